// One photo of the grid.

import { thumbnailUrl } from "./api.js";
import { h, icon } from "./dom.js";
import { dayOf, fileName } from "./texts.js";

/** The list item of a photo, or of one that has not arrived yet (`item` undefined). */
export function makeTile(item, { index, total, href }) {
  const position = { "aria-setsize": total, "aria-posinset": index + 1, "data-index": index };
  if (!item) return h("li", { class: "tile waiting", ...position });
  const image = h("img", { alt: "", decoding: "async", draggable: "false", src: thumbnailUrl(item) });
  const tile = h("li", { class: "tile", "data-id": item.id, ...position },
    h("a", { href, tabindex: -1, "data-index": index }, image),
    h("button", { type: "button", class: "star", tabindex: -1, "aria-label": "Favourite" }, icon("star")),
    h("span", { class: "badges", "aria-hidden": "true" }));
  image.addEventListener("load", () => tile.classList.add("loaded"), { once: true });
  image.addEventListener("error", () => tile.classList.add("broken"), { once: true });
  updateTile(tile, item);
  return tile;
}

/** Bring names, star and badges up to date. */
export function updateTile(tile, item) {
  const link = tile.querySelector("a");
  link.setAttribute("aria-label", describe(item));
  link.title = fileName(item.path);
  const star = tile.querySelector(".star");
  star.setAttribute("aria-pressed", String(Boolean(item.favourite)));
  star.title = item.favourite ? "Remove from favourites" : "Add to favourites";
  tile.classList.toggle("favourite", Boolean(item.favourite));
  tile.classList.toggle("missing", Boolean(item.missing));
  const badges = [];
  if (item.missing) badges.push("not on disk");
  if (item.copies?.length) badges.push(`${item.copies.length + 1} files`);
  tile.querySelector(".badges").replaceChildren(...badges.map((text) => h("span", {}, text)));
}

/** What a screen reader says of a photo. */
export function describe(item) {
  const tags = (item.tags ?? []).filter((tag) => tag.state !== "rejected").slice(0, 4).map((tag) => tag.name);
  const parts = [fileName(item.path), item.taken_at && dayOf(item.taken_at), tags.join(", "),
    item.favourite && "favourite", item.missing && "not on disk"];
  return parts.filter(Boolean).join(", ");
}

export function place(tile, { x, y, w, h: height }) {
  const style = tile.style;
  style.transform = `translate(${x.toFixed(2)}px, ${y.toFixed(2)}px)`;
  style.width = `${w.toFixed(2)}px`;
  style.height = `${height.toFixed(2)}px`;
}
