// A form for those who do not know the query language: it writes filters into the query, nothing else.

import * as api from "./api.js";
import { byId, h } from "./dom.js";
import { filtersOf, withFilter } from "./query.js";

const TEXTS = { tag: "filter-tag", after: "filter-after", before: "filter-before", camera: "filter-camera",
  folder: "filter-folder", orientation: "filter-orientation" };
const CHECKS = [["is", "favourite"], ["is", "untagged"], ["has", "gps"], ["dup", "no"]];

export class FilterPanel {
  /** `events`: onQuery(q). */
  constructor(events) {
    this.events = events;
    this.dialog = byId("filter-panel");
    byId("filter-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.dialog.close();
      this.events.onQuery(this.#apply(this.q));
    });
    byId("filter-reset").addEventListener("click", () => {
      this.dialog.close();
      this.events.onQuery(this.#cleared(this.q));
    });
  }

  async open(q) {
    this.q = q;
    this.#fill(filtersOf(q).filter((filter) => !filter.isNegative));
    this.dialog.showModal();
    const [tags, folders] = await Promise.all([api.tags(), api.folders()]).catch(() => [[], []]);
    const used = tags.filter((tag) => tag.confirmed + tag.suggested > 0);
    byId("filter-tags").replaceChildren(...used.map((tag) => h("option", { value: tag.name })));
    byId("filter-folders").replaceChildren(...folders.map((folder) => h("option", { value: folder.path })));
  }

  #fill(filters) {
    this.filled = {};
    for (const [key, id] of Object.entries(TEXTS)) {
      byId(id).value = filters.find((f) => f.key === key)?.value ?? "";
      this.filled[key] = byId(id).value.trim();
    }
    for (const [key, value] of CHECKS) {
      byId(checkId(key, value)).checked = filters.some((f) => f.key === key && f.value === value);
    }
  }

  #apply(q) {
    for (const [key, id] of Object.entries(TEXTS)) {
      const value = byId(id).value.trim();
      // What was left alone stays as it is written: a field shows one tag of several, and no list's quotes.
      if (value !== this.filled[key]) q = withFilter(q, key, value || null);
    }
    // Two of them share the key "is", so the checked ones are set one by one after all are out.
    for (const [key, value] of CHECKS) q = without(q, key, value);
    const wanted = CHECKS.filter(([key, value]) => byId(checkId(key, value)).checked);
    return [q, ...wanted.map(([key, value]) => `${key}:${value}`)].filter(Boolean).join(" ");
  }

  #cleared(q) {
    for (const key of Object.keys(TEXTS)) q = withFilter(q, key, null);
    for (const [key, value] of CHECKS) q = without(q, key, value);
    return q;
  }
}

const checkId = (key, value) => `filter-${key}-${value}`;

function without(q, key, value) {
  const found = filtersOf(q).filter((f) => f.key === key && f.value === value && !f.isNegative).reverse();
  return found.reduce((text, f) => `${text.slice(0, f.start).trimEnd()} ${text.slice(f.end).trimStart()}`.trim(), q);
}
