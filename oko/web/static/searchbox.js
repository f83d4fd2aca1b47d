// The search field: words, suggestions, a picture, and what is wrong with a query, at its place.

import * as api from "./api.js";
import { Combobox } from "./combobox.js";
import { byId, h, icon, remember, remembered, show } from "./dom.js";
import { count } from "./texts.js";

const KEPT_SEARCHES = 8;
const ICONS = { tag: "tag", folder: "folder", camera: "camera", lens: "camera", filter: "sliders-horizontal",
  value: "sliders-horizontal" };

export class SearchBox {
  #pictureUrl = null;
  picture = "";

  /** `events`: onSearch({q, picture}), onPicture(file). */
  constructor(events) {
    this.events = events;
    this.form = byId("search");
    this.input = byId("query");
    this.combobox = new Combobox(this.input, byId("suggestions"), {
      fetch: (text, asked) => this.#suggest(text, asked),
      take: (option) => this.#take(option),
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.input.addEventListener("input", () => this.#typed());
    byId("clear").addEventListener("click", () => this.#clear());
    byId("pick").addEventListener("click", () => byId("picture-file").click());
    byId("picture-file").addEventListener("change", (event) => {
      if (event.target.files[0]) this.events.onPicture(event.target.files[0]);
      event.target.value = "";
    });
  }

  /** Show a question that came from elsewhere (the address, a chip, a link). */
  set({ q, picture }) {
    // Somebody is typing while the same results are drawn anew (a job has ended, the server is back).
    const isTyping = q === this.searched && this.isFresh && document.activeElement === this.input;
    if (this.input.value.trim() !== q && !isTyping) this.input.value = q;
    this.searched = q;
    if (picture !== this.picture) this.showPicture(picture, null);
    this.#typed();
  }

  /** Whether the field holds words that were not searched for yet. */
  get isFresh() {
    return this.input.value.trim() !== (this.searched ?? "");
  }

  /** Show the picture that is searched with; `file` where this browser still has it. */
  showPicture(id, file) {
    if (this.#pictureUrl) URL.revokeObjectURL(this.#pictureUrl);
    this.#pictureUrl = file && URL.createObjectURL(file);
    this.picture = id;
    const slot = byId("picture");
    show(slot, Boolean(id));
    slot.replaceChildren();
    if (!id) return;
    slot.append(
      this.#pictureUrl ? h("img", { src: this.#pictureUrl, alt: "Your picture" }) : icon("image"),
      h("button", { type: "button", "aria-label": "Search without the picture", title: "Search without the picture",
        onclick: () => {
          this.showPicture("", null);
          this.search();
        } }, icon("x")));
  }

  search() {
    this.combobox.close();
    const q = this.input.value.trim();
    if (q) remember("searches", [q, ...remembered("searches", []).filter((old) => old !== q)].slice(0, KEPT_SEARCHES));
    this.events.onSearch({ q, picture: this.picture });
    if (matchMedia("(pointer: coarse)").matches) this.input.blur(); // puts the phone's keyboard away
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  /** What is wrong with the query, with the place marked; null when nothing is. */
  showProblem(error) {
    const box = byId("problem");
    show(box, Boolean(error));
    this.input.setAttribute("aria-invalid", String(Boolean(error)));
    box.replaceChildren();
    if (!error) return;
    const text = this.searched ?? "";
    if (error.start !== null && error.start !== undefined && text) {
      const characters = [...text];
      const piece = (from, to) => characters.slice(from, to).join("");
      const end = Math.max(error.end ?? error.start + 1, error.start + 1);
      box.append(h("p", { class: "place", dir: "auto" }, piece(0, error.start),
        h("mark", {}, piece(error.start, end) || "\u00a0"), piece(end)));
    }
    box.append(h("p", {}, icon("triangle-alert"), h("span", {}, sentence(error.message))));
    if (error.hint) box.append(h("p", { class: "hint" }, error.hint));
  }

  #typed() {
    show(byId("clear"), this.input.value !== "");
  }

  #clear() {
    this.input.value = "";
    this.#typed();
    this.input.focus();
    if (this.searched) this.events.onSearch({ q: "", picture: this.picture });
  }

  async #suggest(text, { signal, caret }) {
    if (!text.trim()) return remembered("searches", []).map((q) => ({ q, label: q, icon: "history" }));
    const found = await api.suggestions(text.slice(0, caret), { signal });
    const characters = [...text]; // the server counts characters; a string counts an emoji as two
    return found.suggestions.map((s) => ({
      q: characters.slice(0, s.start).join("") + s.text + characters.slice(s.end).join(""),
      label: s.label,
      detail: s.detail || (s.count === null ? "" : count(s.count)),
      icon: ICONS[s.kind] ?? "search",
    }));
  }

  #take(option) {
    this.input.value = option.q;
    this.#typed();
    // "tag:" alone is a beginning: its values come next. A whole filter or an old search is what was wanted.
    if (option.q.endsWith(":")) this.combobox.ask();
    else this.search();
  }
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?:]$/.test(text) ? "" : ".");
