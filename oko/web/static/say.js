// Short messages: read out to screen readers, and shown for a moment when they should be seen.

import { byId, h, iconButton } from "./dom.js";

const SHOWN_MS = 6000;
const MOST_SHOWN = 4;

/** `seen`: also shown; `action`: {label, run} adds a button. */
export function say(text, { seen = false, action = null, isError = false } = {}) {
  // One lies inside the large view: what is outside an open dialog is not read out.
  const places = document.querySelectorAll(".live");
  for (const place of places) place.textContent = "";
  // A text equal to the last one is read again only if it arrives as a change.
  requestAnimationFrame(() => places.forEach((place) => (place.textContent = text)));
  if (!seen && !action && !isError) return;
  const toast = h("div", { class: isError ? "toast error" : "toast" }, h("span", {}, text));
  const leave = () => toast.remove();
  if (action) {
    toast.append(h("button", { type: "button", class: "link", onclick: () => (leave(), action.run()) }, action.label));
  }
  toast.append(iconButton("x", "Dismiss", leave));
  const box = host();
  box.append(toast);
  while (box.childElementCount > MOST_SHOWN) box.firstElementChild.remove();
  if (!action) setTimeout(leave, SHOWN_MS);
}

export function sayError(error) {
  say([error.message, error.hint].filter(Boolean).join(" "), { isError: true });
}

/** Toasts must lie inside an open dialog: what is outside is behind it, and inert. */
function host() {
  const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
  const box = byId("toasts");
  const home = dialog ?? document.body;
  if (box.parentElement !== home) home.append(box);
  return box;
}
