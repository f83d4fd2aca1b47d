// Ways in for somebody who has not typed anything: favourites, and the tags and folders with most photos.

import * as api from "./api.js";
import { byId, h, icon, show } from "./dom.js";
import { written } from "./query.js";
import { count, fileName } from "./texts.js";

const MOST_TAGS = 14;
const MOST_FOLDERS = 5;

export class Explore {
  #built = null;
  #isWanted = false;

  constructor({ hrefOf }) {
    this.hrefOf = hrefOf;
  }

  /** Shown only while everything is shown. */
  async show(isWanted) {
    const box = byId("explore");
    this.#isWanted = isWanted;
    if (!isWanted) return show(box, false);
    this.#built ??= this.#build().catch(() => (this.#built = null));
    const links = await this.#built;
    if (!links || !this.#isWanted) return; // something was searched for meanwhile
    byId("explore-links").replaceChildren(...links.map((link) => h("li", {}, link)));
    show(box, links.length > 0);
  }

  /** Counts changed: build it anew the next time. */
  forget() {
    this.#built = null;
  }

  async #build() {
    const [tags, folders] = await Promise.all([api.tags(), api.folders()]);
    const photos = (tag) => tag.confirmed + tag.suggested;
    const common = tags.filter((tag) => photos(tag) > 0).sort((a, b) => photos(b) - photos(a)).slice(0, MOST_TAGS);
    return [
      this.#link("star", "Favourites", "is:favourite"),
      ...common.map((tag) => this.#link("tag", tag.name, written("tag", tag.name), count(photos(tag)))),
      ...(folders.length > 1 ? folders.slice(0, MOST_FOLDERS) : []).map((folder) =>
        this.#link("folder", folder.name ?? fileName(folder.path), written("folder", folder.path), count(folder.files))),
    ];
  }

  #link(sign, label, q, detail = "") {
    return h("a", { class: "way", href: this.hrefOf({ q }), "data-q": q }, icon(sign), label,
      detail && h("span", { class: "detail" }, detail));
  }
}
