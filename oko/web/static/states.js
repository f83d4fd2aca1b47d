// What the page says instead of photos, or below them.

import { byId, h, icon, show } from "./dom.js";
import { plural } from "./texts.js";

function panel(sign, title, ...rest) {
  const box = byId("state");
  box.replaceChildren(icon(sign), h("h2", {}, title), ...rest.filter(Boolean));
  show(box, true);
}

const paragraph = (...parts) => h("p", {}, ...parts);
const button = (label, onclick, kind = "main") =>
  h("button", { type: "button", class: `button ${kind}`, onclick }, label);
const code = (text) => h("code", {}, text);

export function nothing() {
  show(byId("state"), false);
}

export function emptyLibrary({ onLibrary }) {
  panel("images", "No photos yet",
    paragraph("oko finds photos in folders that you name once, in a terminal. They stay where they are, ",
      "and on this machine:"),
    h("pre", {}, code("oko index ~/Pictures")),
    paragraph("Photos appear here while it runs."),
    button("Status of the library", onLibrary, "quiet"));
}

export function nothingFound({ isFiltered, cut, why, onAll, onClear }) {
  if (cut > 0) {
    panel("search", "No good match",
      paragraph(`${plural(cut, "photo")} may be near, but such matches are usually wrong.`),
      button("Show them anyway", onAll));
    return;
  }
  const advice = isFiltered ? "Every filter must hold: take one away." : "Try other words, fewer of them, or a picture.";
  panel("search", "No photo found", paragraph(why || advice), button("Show all photos", onClear, "quiet"));
}

export function failed(error, { onRetry }) {
  panel("triangle-alert", "That did not work", paragraph(error.message), error.hint && paragraph(error.hint),
    button("Try again", onRetry));
}

/** The line under the last photo: what lies below the relevance line. */
export function below({ total, cut, isAll, onAll, onCut }) {
  const box = byId("below");
  const more = total > 0 && cut > 0;
  show(box, more && (isAll ? total > cut : true));
  if (!more) return;
  const [text, label, act] = isAll ? [`The last ${plural(cut, "photo")} match less well.`, "Only good matches", onCut]
    : [`${plural(cut, "more photo")} match less well.`, "Show all", onAll];
  box.replaceChildren(paragraph(text), button(label, act, "quiet"));
}

export function notes(texts) {
  const box = byId("notes");
  show(box, texts.length > 0);
  box.replaceChildren(...texts.map((text) => h("p", {}, icon("info"), h("span", {}, text))));
}

/** A strip at the top while the server is away. */
export function gone(isGone, onRetry) {
  const box = byId("gone");
  show(box, isGone);
  if (!isGone || box.childElementCount) return;
  box.replaceChildren(icon("wifi-off"),
    paragraph("The oko server does not answer. Is ", code("oko serve"),
      " still running? Trying again every few seconds."),
    button("Try now", onRetry, "quiet"));
}

/** Grey shapes while the first results are on their way. */
export function loading(isLoading) {
  byId("results").classList.toggle("busy", isLoading);
  byId("results").setAttribute("aria-busy", String(isLoading));
}
