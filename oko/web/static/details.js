// What is known of a photo: when, where, with what, in which files.

import { h, icon, iconButton } from "./dom.js";
import { written } from "./query.js";
import * as texts from "./texts.js";

/** Rows for the panel beside the photo. `events`: onSearch(query), onCopy(text, what). */
export function detailRows(photo, events) {
  return [dateRow(photo, events), cameraRow(photo, events), sizeRow(photo), placeRow(photo, events),
    ...fileRows(photo, events), matchRow(photo)].filter(Boolean);
}

function row(sign, title, main, ...more) {
  return h("div", { class: "fact" }, h("dt", {}, icon(sign), h("span", { class: "hidden" }, title)),
    h("dd", { class: "main" }, main), more.filter(Boolean).map((line) => h("dd", { class: "more" }, line)));
}

const link = (text, query, events, title) =>
  h("button", { type: "button", class: "link", title, onclick: () => events.onSearch(query) }, text);

function dateRow(photo, events) {
  if (!photo.taken_at) return row("calendar", "Date", "No date");
  const day = photo.taken_at.slice(0, 10);
  const offset = /[+-]\d\d:\d\d$/.exec(photo.taken_at)?.[0];
  const time = texts.weekdayAndTime(photo.taken_at) + (offset ? ` (UTC${offset})` : "");
  const source = photo.taken_from === "file" ? "from the file’s time: the photo itself has no date" : null;
  const main = link(texts.dayOf(photo.taken_at), written("date", day), events, "All photos of this day");
  return row("calendar", "Date", main, time, source);
}

function cameraRow(photo, events) {
  if (!photo.camera && !photo.lens) return null;
  const one = (key, title) => photo[key] && link(photo[key], written(key, photo[key]), events, title);
  const [camera, lens] = [one("camera", "All photos of this camera"), one("lens", "All photos with this lens")];
  return row("camera", "Camera and lens", camera ?? lens, camera && lens);
}

function sizeRow(photo) {
  const pixels = `${photo.width_px} × ${photo.height_px}`;
  const rest = [texts.megapixels(photo.width_px, photo.height_px), photo.format, texts.bytes(photo.size_bytes)];
  return row("image", "Size", pixels, rest.filter(Boolean).join(" · "));
}

function placeRow(photo, events) {
  const { latitude, longitude } = photo;
  if (latitude === null || latitude === undefined || longitude === null || longitude === undefined) return null;
  const near = `near:${latitude.toFixed(5)},${longitude.toFixed(5)},1`;
  const text = texts.position(latitude, longitude);
  return row("map-pin", "Place",
    h("span", { class: "with-button" }, h("span", {}, text),
      iconButton("copy", "Copy the position", () => events.onCopy(`${latitude}, ${longitude}`, "Position"))),
    link("Photos within 1 km", near, events));
}

function fileRows(photo, events) {
  const paths = [photo.path, ...[...(photo.files ?? []), ...(photo.copies ?? [])].map((file) => file.path)];
  return [...new Set(paths)].map((path, at) =>
    row("folder", at ? "Further file" : "File",
      h("span", { class: "with-button" }, h("span", { class: "file" }, texts.fileName(path)),
        iconButton("copy", "Copy the path", () => events.onCopy(path, "Path"))),
      link(texts.folderOf(path), written("folder", texts.folderOf(path)), events, "All photos of this folder"),
      at === 0 && photo.missing && "not on disk at the moment"));
}

function matchRow(photo) {
  if (photo.relevance === null || photo.relevance === undefined) return null;
  return row("search", "Match", `${Math.round(photo.relevance * 100)} % match`);
}
