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

export function nothingFound({ isFiltered, cut, tagged, why, onAll, onClear }) {
  if (tagged) {
    panel("tag", "No good match by words", paragraph(`${haveTag(tagged)}.`), button("Show them", tagged.onTag),
      cut > 0 && button("Show weak matches", onAll, "quiet"));
    return;
  }
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
export function below({ total, cut, onAll }) {
  const box = byId("below");
  const more = total > 0 && cut > 0;
  show(box, more);
  if (!more) return;
  const text = `${plural(cut, "more photo")} ${cut === 1 ? "matches" : "match"} less well.`;
  box.replaceChildren(paragraph(text), button("Show all", onAll, "quiet"));
}

/** Sentences above the photos. `tagged`: {tag, photos, onTag} where the tag of that name finds more; else null. */
export function notes(texts, tagged) {
  const box = byId("notes");
  const told = texts.map((text) => [icon("info"), h("span", {}, text)]);
  if (tagged) told.push([icon("tag"), h("span", {}, `${haveTag(tagged)}.`), button("Show them", tagged.onTag, "quiet")]);
  show(box, told.length > 0);
  box.replaceChildren(...told.map((parts) => paragraph(...parts)));
}

const haveTag = ({ tag, photos }) => `${plural(photos, "photo")} ${photos === 1 ? "has" : "have"} the tag ${tag}`;

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
