// The line above the grid: filters of the query as chips, how many photos there are, their order and size.

import { thumbnailUrl } from "./api.js";
import { byId, h, icon, remember, remembered, show } from "./dom.js";
import { filtersOf, hasWords, without } from "./query.js";
import { found } from "./texts.js";

const SIZES = [
  { wide: 130, narrow: 84 },
  { wide: 200, narrow: 124 },
  { wide: 300, narrow: 210 },
];
const NARROW = matchMedia("(max-width: 600px)");

export class Bar {
  /** `events`: onQuery(q), onSort(sort), onCut(), onSize(target height). */
  constructor(events) {
    this.events = events;
    this.size = remembered("size", 1);
    byId("sort").addEventListener("change", (event) => this.events.onSort(event.target.value));
    byId("smaller").addEventListener("click", () => this.#resize(-1));
    byId("larger").addEventListener("click", () => this.#resize(1));
    NARROW.addEventListener("change", () => this.#resize(0));
  }

  start() {
    this.#resize(0);
  }

  /** The order that holds when none is named. */
  static defaultSort({ q, picture }) {
    return picture || hasWords(q) ? "relevance" : "newest";
  }

  showQuestion(state) {
    const filters = filtersOf(state.q);
    const chips = filters.map((filter) => this.#chip(filter, state.q));
    const ranked = state.picture || hasWords(state.q);
    if (state.all && ranked) chips.push(this.#weak());
    byId("chips").replaceChildren(...chips);
    show(byId("chips"), chips.length > 0);
    for (const option of byId("sort").options) {
      option.hidden = option.disabled = !ranked && ["relevance", "diverse"].includes(option.value);
    }
    byId("sort").value = state.sort || filters.find((f) => f.key === "sort")?.value || Bar.defaultSort(state);
  }

  showCount(results) {
    this.#showOrder(results.total > 0);
    if (!results.total) return this.clearCount();
    const took = results.tookMs === null ? "" : ` in ${Math.max(1, Math.round(results.tookMs))} ms`;
    byId("count").replaceChildren(
      h("strong", {}, found(results)), h("span", { class: "took" }, took));
  }

  clearCount() {
    byId("count").replaceChildren();
    this.#showOrder(false);
  }

  #showOrder(visible) {
    show(document.querySelector(".order"), visible);
  }

  #chip(filter, text) {
    const remove = () => this.#taken(() => this.events.onQuery(without(text, filter)));
    const photo = filter.key === "like" && /^\d+$/.test(filter.value) && { id: filter.value };
    return h("li", { class: filter.isNegative ? "chip unwanted" : "chip" },
      photo && h("img", { src: thumbnailUrl(photo), alt: "", onerror: (event) => event.target.remove() }),
      h("span", {}, filter.label),
      h("button", { type: "button", "aria-label": `Remove the filter ${filter.label}`, onclick: remove }, icon("x")));
  }

  /** The way back from what lies below the relevance line. */
  #weak() {
    return h("li", { class: "chip" }, h("span", {}, "weak matches, too"),
      h("button", { type: "button", "aria-label": "Only good matches", title: "Only good matches",
        onclick: () => this.#taken(() => this.events.onCut()) }, icon("x")));
  }

  #taken(away) {
    away();
    // The button that had the focus is gone; whoever uses the keyboard goes on from here.
    (byId("chips").querySelector("button") ?? byId("results")).focus({ preventScroll: true });
  }

  #resize(by) {
    this.size = Math.min(SIZES.length - 1, Math.max(0, this.size + by));
    if (by) remember("size", this.size);
    byId("smaller").disabled = this.size === 0;
    byId("larger").disabled = this.size === SIZES.length - 1;
    const size = SIZES[this.size] ?? SIZES[1];
    this.events.onSize(NARROW.matches ? size.narrow : size.wide);
  }
}
