// The tags of the open photo: suggested ones are accepted or rejected, own ones added, every decision taken back.

import * as api from "./api.js";
import { Combobox } from "./combobox.js";
import { h, icon } from "./dom.js";
import { count } from "./texts.js";

const NEW = "confirmed";

const withTag = (tags, name, tag) => [...tags.filter((other) => other.name !== name), ...(tag ? [tag] : [])];

export class TagEditor {
  #all = null; // the library's tags, fetched at the first letter
  #decided = new Map(); // name -> tag or null: what was decided on this photo since it was opened

  /** `events`: onChange(id, tags), onSearch(name), onError(error), say(text). */
  constructor(element, events) {
    this.element = element;
    this.events = events;
    this.id = null;
    this.tags = [];
    this.#build();
  }

  show(id, tags) {
    const isOther = id !== this.id;
    this.id = id;
    if (isOther) { // what is typed and decided for this photo stays when the rest of it arrives
      this.#decided.clear();
      this.input.value = "";
      this.combobox.close();
    }
    this.tags = this.#withDecided(tags ?? []);
    this.#draw();
  }

  /** The suggestion that the keys a and x mean. */
  get firstSuggested() {
    return this.#of("suggested")[0]?.name ?? null;
  }

  /** `state`: "confirmed", "rejected", or null to take the decision back. Shown at once, undone if it fails. */
  async decide(name, state) {
    const [id, before] = [this.id, this.tags];
    const old = before.find((tag) => tag.name === name) ?? null;
    // Taken back, a tag is a suggestion again only if the model ever suggested it.
    const back = old && old.score !== null && old.score !== undefined ? { ...old, state: "suggested" } : null;
    const now = state ? { ...(old ?? { name, score: null }), state } : back;
    this.#decided.set(name, now);
    this.#set(id, withTag(before, name, now));
    this.events.say(state ? `${name}: ${state === NEW ? "accepted" : "rejected"}` : `${name}: undecided again`);
    try {
      const decided = await api.decideTag(id, name, state);
      if (decided.name === name && decided.state === (now?.state ?? null)) return;
      const { tags } = await api.photo(id);
      if (id === this.id) this.#decided.delete(name);
      this.#set(id, id === this.id ? this.#withDecided(tags) : tags);
    } catch (error) {
      if (id === this.id) this.#decided.set(name, old);
      this.#set(id, id === this.id ? withTag(this.tags, name, old) : before);
      this.events.onError(error);
    }
  }

  #withDecided(tags) {
    return [...this.#decided].reduce((all, [name, tag]) => withTag(all, name, tag), tags);
  }

  #set(id, tags) {
    this.events.onChange(id, tags);
    if (id !== this.id) return;
    this.tags = tags;
    this.#draw();
  }

  #of(state) {
    const found = this.tags.filter((tag) => tag.state === state);
    return found.sort((a, b) => (b.score ?? 2) - (a.score ?? 2) || a.name.localeCompare(b.name));
  }

  #build() {
    this.confirmed = h("ul", { class: "tags", role: "list", "aria-label": "Confirmed tags" });
    this.suggested = h("ul", { class: "tags", role: "list", "aria-label": "Suggested tags" });
    this.rejected = h("ul", { class: "tags", role: "list", "aria-label": "Rejected tags" });
    this.input = h("input", { id: "new-tag", type: "text", autocomplete: "off", spellcheck: "false", maxlength: 100,
      placeholder: "Add a tag", "aria-label": "Add a tag", enterkeyhint: "done" });
    const list = h("ul", { id: "tag-completions", class: "completions", hidden: true, "aria-label": "Tags" });
    const form = h("form", { class: "add-tag", onsubmit: (event) => this.#submit(event) },
      icon("plus"), this.input, list);
    this.combobox = new Combobox(this.input, list, {
      fetch: (text) => this.#complete(text),
      take: (option) => this.#add(option.label),
      clears: true,
    });
    this.suggestedPart = h("div", {}, h("h3", {}, "Suggested"), this.suggested);
    this.rejectedPart = h("details", {}, h("summary", {}), this.rejected);
    this.element.append(h("h2", {}, "Tags"), this.confirmed, form, this.suggestedPart, this.rejectedPart);
  }

  #draw() {
    const focused = document.activeElement?.closest?.(".tags li")?.dataset.name;
    this.confirmed.replaceChildren(...this.#of(NEW).map((tag) => this.#chip(tag, "confirmed")));
    this.suggested.replaceChildren(...this.#of("suggested").map((tag) => this.#chip(tag, "suggested")));
    const rejected = this.#of("rejected");
    this.rejected.replaceChildren(...rejected.map((tag) => this.#chip(tag, "rejected")));
    this.rejectedPart.querySelector("summary").textContent = `Rejected (${rejected.length})`;
    this.rejectedPart.hidden = rejected.length === 0;
    this.suggestedPart.hidden = this.#of("suggested").length === 0;
    this.confirmed.hidden = this.#of(NEW).length === 0;
    if (focused && !document.activeElement?.closest(".tags")) this.#refocus(focused);
  }

  /** The chip under the focus moved or went: stay where a keyboard can go on. */
  #refocus(name) {
    const next = this.suggested.querySelector("button") ??
      [...this.element.querySelectorAll(".tags li")].find((row) => row.dataset.name === name)?.querySelector("button");
    (next ?? this.input).focus();
  }

  #chip({ name, score }, state) {
    const button = (sign, label, to) =>
      h("button", { type: "button", class: "act", "aria-label": label, title: label,
        onclick: () => this.decide(name, to) }, icon(sign));
    const percent = score === null || score === undefined ? null : `${Math.round(score * 100)} % sure`;
    const parts = {
      confirmed: () => [
        h("button", { type: "button", class: "name", title: `Show all photos with ${name}`,
          "aria-label": `Show all photos with the tag ${name}`, onclick: () => this.events.onSearch(name) }, name),
        button("x", `Take back ${name}`, null)],
      suggested: () => [
        h("button", { type: "button", class: "name", title: percent ?? "Accept", "aria-label": `Accept ${name}`,
          onclick: () => this.decide(name, NEW) }, icon("check"), name),
        button("x", `Reject ${name}`, "rejected")],
      rejected: () => [h("span", { class: "name" }, name), button("undo-2", `Take back: ${name} is undecided`, null)],
    };
    return h("li", { class: `tag ${state}`, "data-name": name }, parts[state]());
  }

  #submit(event) {
    event.preventDefault();
    const name = this.input.value.trim();
    if (name) this.#add(name);
  }

  #add(name) {
    this.input.value = "";
    this.combobox.close();
    this.#all = null;
    this.decide(name, NEW);
    this.input.focus();
  }

  async #complete(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return [];
    this.#all ??= api.tags().then((found) => found.tags ?? found);
    const mine = new Set(this.#of(NEW).map((tag) => tag.name));
    const rank = (name) => (name.toLowerCase().startsWith(wanted) ? 0 : 1);
    return (await this.#all)
      .filter(({ name }) => name.toLowerCase().includes(wanted) && !mine.has(name))
      .sort((a, b) => rank(a.name) - rank(b.name) || (b.confirmed ?? 0) - (a.confirmed ?? 0))
      .slice(0, 8)
      .map(({ name, confirmed, suggested }) => {
        const photos = (confirmed ?? 0) + (suggested ?? 0);
        return { label: name, icon: "tag", detail: photos ? count(photos) : "" };
      });
  }
}
