// A text field with a list of suggestions, after the ARIA combobox pattern: focus stays in the field, the arrow
// keys move through the list (aria-activedescendant), Enter takes, Escape closes.

import { h, icon } from "./dom.js";

export class Combobox {
  #options = [];
  #active = -1;
  #asked = 0;
  #abort = null;
  #timer = 0;

  /**
   * `options.fetch(text, {signal, caret})` gives [{label, detail, icon, ...}]; `options.take(option)` is called with the
   * one chosen; `options.delayMs` how long typing must rest; with `options.clears` Escape empties the field once the list
   * is closed, and only then reaches what the field is in. `input` and `list` are elements of the page.
   */
  constructor(input, list, options) {
    this.input = input;
    this.list = list;
    this.options = options;
    const marks = { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id };
    for (const [name, value] of Object.entries(marks)) input.setAttribute(name, value);
    list.setAttribute("role", "listbox");
    input.addEventListener("input", () => this.#later());
    input.addEventListener("focus", () => this.options.onFocus?.());
    input.addEventListener("click", () => this.isOpen || this.#later());
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("blur", () => this.close());
    // The field must not lose focus before the click arrives.
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.#take(Number(row.dataset.at));
    });
  }

  get isOpen() {
    return !this.list.hidden;
  }

  /** Close the list, and drop what is still being fetched. */
  close() {
    clearTimeout(this.#timer);
    this.#asked++;
    this.#abort?.abort();
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.#active = -1;
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), this.options.delayMs ?? 80);
  }

  async #ask() {
    const number = ++this.#asked;
    this.#abort?.abort();
    this.#abort = new AbortController();
    let found = [];
    try {
      const asked = { signal: this.#abort.signal, caret: this.input.selectionStart };
      found = await this.options.fetch(this.input.value, asked);
    } catch {
      // Suggestions are a convenience: the search itself will say what is wrong.
    }
    if (number === this.#asked && document.activeElement === this.input) this.#show(found);
  }

  #show(found) {
    this.#options = found;
    this.#active = -1;
    this.list.replaceChildren(...found.map((option, at) => this.#row(option, at)));
    this.list.hidden = found.length === 0;
    this.input.setAttribute("aria-expanded", String(found.length > 0));
    this.input.removeAttribute("aria-activedescendant");
  }

  #row(option, at) {
    return h("li", { role: "option", id: `${this.list.id}-${at}`, "data-at": at, "aria-selected": "false" },
      option.icon && icon(option.icon),
      h("span", { class: "label" }, option.label),
      option.detail && h("span", { class: "detail" }, option.detail));
  }

  #key(event) {
    if (event.isComposing) return;
    const { key } = event;
    if ((key === "ArrowDown" || key === "ArrowUp") && !this.isOpen) this.#ask();
    else if (key === "ArrowDown") this.#activate(this.#active + 1);
    else if (key === "ArrowUp") this.#activate(this.#active < 0 ? this.#options.length - 1 : this.#active - 1);
    else if (key === "Enter" && this.isOpen && this.#active >= 0) this.#take(this.#active);
    else if (key === "Escape" && this.isOpen) this.close();
    else if (key === "Escape" && this.options.clears && this.input.value) this.#clear();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #clear() {
    this.input.value = "";
    this.close();
  }

  #activate(at) {
    this.#active = at >= this.#options.length ? -1 : at;
    for (const row of this.list.children) {
      const isActive = Number(row.dataset.at) === this.#active;
      row.setAttribute("aria-selected", String(isActive));
      if (isActive) row.scrollIntoView({ block: "nearest" });
    }
    if (this.#active < 0) this.input.removeAttribute("aria-activedescendant");
    else this.input.setAttribute("aria-activedescendant", `${this.list.id}-${this.#active}`);
  }

  #take(at) {
    const option = this.#options[at];
    this.close();
    this.options.take(option);
  }

  /** Ask at once: the text was changed by a choice, and the next word can follow. */
  ask() {
    this.#ask();
  }
}
