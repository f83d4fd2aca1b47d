// Everything can be done without a mouse. The list under "?" is made from the same table that the keys work by.

import { byId, h } from "./dom.js";

const HELP = [
  ["Anywhere", [["/", "search"], ["?", "this list"]]],
  ["Grid", [["Arrows", "move"], ["Home, End", "first, last photo"], ["Enter", "open the photo"],
    ["f", "favourite"], ["m", "more like this"], ["−, +", "smaller, larger photos"]]],
  ["Photo", [["Left, Right", "previous, next"], ["Esc", "back to the grid"], ["f", "favourite"],
    ["a", "accept the first suggested tag"], ["x", "reject the first suggested tag"], ["t", "add a tag"],
    ["i", "show or hide the details"], ["m", "more like this"], ["−, +, 0", "zoom out, in, fit"],
    ["Shift + arrows", "move the zoomed photo"]]],
  ["Search field", [["Down, Up", "suggestions"], ["Enter", "search"], ["Esc", "close the suggestions"]]],
];

export function buildHelp() {
  const caps = (keys) => keys.split(", ").map((key) => h("kbd", {}, key));
  const line = ([keys, what]) => h("div", {}, h("dt", {}, caps(keys)), h("dd", {}, what));
  byId("key-list").replaceChildren(...HELP.map(([title, lines]) =>
    h("section", {}, h("h3", {}, title), h("dl", {}, lines.map(line)))));
}

const isTyping = (target) => target instanceof HTMLElement && target.closest("input, textarea, select") !== null;

/** `on`: {search, help, grid: {key: f}, viewer: {key: f}}; a handler that returns false leaves the key alone. */
export function startKeyboard(on) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const open = [...document.querySelectorAll("dialog[open]")].at(-1);
    const table = open === undefined ? { "/": on.search, "?": on.help, ...on.grid }
      : open.id === "viewer" ? { "?": on.help, ...on.viewer } : {};
    const key = event.shiftKey && event.key.startsWith("Arrow") ? `Shift+${event.key}` : event.key;
    const act = table[key];
    if (act && act(event) !== false) event.preventDefault();
  });
}
