// The large view: one photo, what is known of it, and the way to the next.

import * as api from "./api.js";
import { detailRows } from "./details.js";
import { byId, h, remember, remembered, show } from "./dom.js";
import { TagEditor } from "./tags.js";
import { fileName } from "./texts.js";
import { describe } from "./tile.js";
import { Stage } from "./zoom.js";

const PREVIEWS = [800, 1600, 2560];
const MOST_NEAR = 30; // of a group of near-duplicates

export class Viewer {
  #abort = null;
  #results = null;
  #index = -1;
  #size = 0;
  #sharp = new Image(); // what is being fetched to be shown
  #ahead = []; // the same of the photos beside it
  #edited = {}; // fields that were changed here since the photo was opened

  /** `events`: onClose(), onMove(id, index), onChange(id, fields), onSearch(query), onOpen(id), onError, say. */
  constructor(events) {
    this.events = events;
    this.dialog = byId("viewer");
    this.image = byId("large");
    this.id = null;
    this.photo = null;
    this.stage = new Stage(byId("stage"), this.image, {
      onPrevious: () => this.move(-1),
      onNext: () => this.move(1),
      onClose: () => this.events.onClose(),
      onZoom: (scale) => this.#zoomed(scale),
    });
    this.tags = new TagEditor(byId("tags"), {
      onChange: (id, tags) => this.#changed(id, { tags }),
      onSearch: (name) => this.events.onSearch({ tag: name }),
      onError: (error) => this.events.onError(error),
      say: (text) => this.events.say(text),
    });
    this.#listen();
  }

  get isOpen() {
    return this.dialog.open;
  }

  get index() {
    return this.#index;
  }

  /** Show a photo; `index` is its place among the results, -1 where it has none. */
  open(id, { results, index }) {
    this.#results = results;
    if (!this.isOpen) {
      this.#showDetails(remembered("details", matchMedia("(min-width: 900px)").matches));
      this.dialog.showModal();
      this.dialog.focus();
    }
    if (id === this.id) {
      if (index >= 0) this.#index = index; // the same photo among newer results
      this.#drawTurns();
      return;
    }
    this.id = id;
    this.#index = index;
    this.#edited = {};
    this.photo = index >= 0 ? results.at(index) : null;
    this.#draw();
    this.#fetch();
  }

  close() {
    if (this.id === null) return;
    this.#abort?.abort();
    this.id = null;
    this.photo = null;
    for (const image of [this.image, this.#sharp, ...this.#ahead]) image.removeAttribute("src");
    this.dialog.close();
    this.tags.show(null, []);
  }

  async move(step) {
    if (this.#index < 0) return;
    const index = this.#index + step;
    try {
      const item = await this.#results.fetchAt(index);
      if (item && this.isOpen) this.events.onMove(item.id, index);
    } catch (error) {
      if (!api.isAbort(error)) this.events.onError(error);
    }
  }

  async toggleFavourite() {
    if (!this.photo) return;
    const [id, favourite] = [this.id, !this.photo.favourite];
    this.#changed(id, { favourite });
    try {
      await api.setFavourite(id, favourite);
      this.events.say(favourite ? "Added to favourites" : "Removed from favourites");
    } catch (error) {
      this.#changed(id, { favourite: !favourite });
      this.events.onError(error);
    }
  }

  toggleDetails() {
    this.#showDetails(this.dialog.classList.contains("plain"));
    remember("details", !this.dialog.classList.contains("plain"));
  }

  /** Put the focus where a tag is typed. */
  addTag() {
    this.#showDetails(true);
    this.tags.input.focus();
  }

  moreLikeThis() {
    this.events.onSearch({ like: this.id });
  }

  #listen() {
    const clicks = {
      "viewer-close": () => this.events.onClose(),
      "viewer-star": () => this.toggleFavourite(),
      "viewer-like": () => this.moreLikeThis(),
      "viewer-info": () => this.toggleDetails(),
      "viewer-in": () => this.stage.step(1),
      "viewer-out": () => this.stage.step(-1),
      "viewer-previous": () => this.move(-1),
      "viewer-next": () => this.move(1),
    };
    for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.events.onClose();
    });
    // Browsers close a dialog in spite of that when Escape comes twice: the address must follow.
    this.dialog.addEventListener("close", () => {
      if (this.id !== null && !this.isOpen) this.events.onClose();
    });
  }

  #drawTurns() {
    show(byId("viewer-previous"), this.#index > 0);
    show(byId("viewer-next"), this.#index >= 0 && this.#index < (this.#results?.total ?? 0) - 1);
  }

  #draw() {
    const photo = this.photo;
    byId("viewer-title").textContent = photo ? fileName(photo.path) : "";
    this.dialog.setAttribute("aria-label", photo ? `Photo: ${fileName(photo.path)}` : "Photo");
    this.#drawTurns();
    show(byId("viewer-problem"), false);
    byId("facts").replaceChildren();
    byId("near").replaceChildren();
    this.tags.show(this.id, photo?.tags ?? []);
    this.image.alt = photo ? describe(photo) : "";
    this.#size = 0;
    this.image.src = api.thumbnailUrl(photo ?? { id: this.id });
    if (photo) this.#drawPhoto();
  }

  #drawPhoto() {
    const photo = this.photo;
    byId("viewer-title").textContent = fileName(photo.path);
    this.dialog.setAttribute("aria-label", `Photo: ${fileName(photo.path)}`);
    this.image.alt = describe(photo);
    this.stage.setPicture(photo.width_px, photo.height_px);
    byId("facts").replaceChildren(...detailRows(photo, {
      onSearch: (query) => this.events.onSearch({ query }),
      onCopy: (text, what) => this.#copy(text, what),
    }));
    this.#drawStar();
    this.#sharpen(this.stage.fitted.width);
  }

  #drawStar() {
    const star = byId("viewer-star");
    star.setAttribute("aria-pressed", String(Boolean(this.photo?.favourite)));
    star.title = this.photo?.favourite ? "Remove from favourites (f)" : "Add to favourites (f)";
  }

  async #fetch() {
    this.#abort?.abort();
    this.#abort = new AbortController();
    const [id, { signal }] = [this.id, this.#abort];
    const near = api.duplicatesOf(id, { signal }).catch(() => null); // the strip is an extra
    try {
      const found = await api.photo(id, { signal });
      if (id !== this.id) return;
      const relevance = this.photo?.relevance ?? null;
      this.photo = { ...found, relevance, ...this.#edited };
      this.tags.show(id, found.tags);
      this.photo.tags = this.tags.tags;
      this.#drawPhoto();
      this.#drawNear(await near);
      this.#preload();
    } catch (error) {
      if (api.isAbort(error) || id !== this.id) return;
      byId("viewer-problem").textContent = error.message;
      show(byId("viewer-problem"), true);
    }
  }

  #zoomed(scale) {
    byId("viewer-out").disabled = scale <= 1.01;
    if (this.photo) this.#sharpen(this.stage.fitted.width * scale);
  }

  /** The least preview that is sharp at this width, once decoded, in place of what is shown. */
  async #sharpen(width) {
    const photo = this.photo;
    const longer = (width * devicePixelRatio * Math.max(photo.width_px, photo.height_px)) / photo.width_px;
    const size = PREVIEWS.find((size) => size >= longer * 0.9) ?? PREVIEWS.at(-1);
    if (size <= this.#size) return;
    this.#size = size;
    const id = this.id;
    this.dialog.classList.add("loading");
    this.#sharp.src = ""; // nobody waits for it any more: the server need not make it
    const sharp = (this.#sharp = new Image());
    sharp.src = api.previewUrl(photo, size);
    try {
      await sharp.decode();
      if (id === this.id && size === this.#size) this.image.src = sharp.src;
    } catch {
      if (id === this.id && size === this.#size) {
        const why = photo.missing ? "is not on disk at the moment" : "cannot be read at the moment";
        byId("viewer-problem").textContent = `The file ${why}; this is its thumbnail.`;
        show(byId("viewer-problem"), true);
      }
    }
    if (id === this.id && size === this.#size) this.dialog.classList.remove("loading");
  }

  #preload() {
    const beside = [1, -1].map((step) => this.#index >= 0 && this.#results?.at(this.#index + step)).filter(Boolean);
    for (const image of this.#ahead) image.src = "";
    const size = this.#size || PREVIEWS[1];
    this.#ahead = beside.map((item) => Object.assign(new Image(), { src: api.previewUrl(item, size) }));
  }

  #drawNear(found) {
    const photos = (found?.groups ?? []).flatMap((group) => group.photos);
    const others = [...new Map(photos.map((other) => [other.id, other])).values()].filter(({ id }) => id !== this.id);
    if (!others.length || !this.id) return;
    const tiles = others.slice(0, MOST_NEAR).map((other) =>
      h("li", {}, h("button", { type: "button", title: fileName(other.path), "aria-label": describe(other),
        onclick: () => this.events.onOpen(other.id) }, h("img", { src: api.thumbnailUrl(other), alt: "" }))));
    byId("near").replaceChildren(h("h2", {}, "Nearly the same"), h("ul", { class: "strip" }, tiles));
  }

  #changed(id, fields) {
    if (id === this.id) {
      Object.assign(this.#edited, fields);
      if (this.photo) Object.assign(this.photo, fields);
      this.#drawStar();
    }
    this.events.onChange(id, fields);
  }

  #showDetails(visible) {
    this.dialog.classList.toggle("plain", !visible);
    byId("viewer-info").setAttribute("aria-expanded", String(visible));
  }

  async #copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      this.events.say(`${what} copied`, { seen: true });
    } catch {
      this.events.say(`This browser does not let pages copy. ${what}: ${text}`, { seen: true });
    }
  }
}
