// The answers to one question: a sparse list of which only the blocks around the viewport are fetched, and kept.

import * as api from "./api.js";

export const BLOCK = 100; // photos a request

export class Results {
  static kept = 40; // blocks: the ones nearest to where one looks; further ones are fetched again
  #near = 0; // the block that was asked for last

  /** `question`: {q, picture, sort, all}. `onBlock(number)` is called when a block that was loaded has arrived. */
  constructor(question, { onBlock }) {
    this.question = question;
    this.onBlock = onBlock;
    this.total = 0;
    this.cut = 0;
    this.isCounted = true; // false: more answer than `total`; whoever comes to its end gets all of them counted
    this.notes = [];
    this.tagged = null; // {tag, photos, query} where the tag of that name finds more
    this.tookMs = null;
    this.blocks = new Map();
    this.waiting = new Map(); // block -> {promise, abort}
  }

  /** The first block, and with it all counts. Raises ApiError. */
  async start() {
    const page = await this.#fetch(0);
    this.notes = page.notes ?? [];
    this.tagged = page.tagged ?? null;
    this.tookMs = page.took_ms ?? null;
    return this;
  }

  get blockCount() {
    return Math.ceil(this.total / BLOCK);
  }

  sizeOf(block) {
    return Math.min(BLOCK, this.total - block * BLOCK);
  }

  /** The photo at a place, or undefined while it is not here yet. */
  at(index) {
    return this.blocks.get(Math.floor(index / BLOCK))?.[index % BLOCK];
  }

  /** The photo at a place, fetched if need be; null beyond the end. */
  async fetchAt(index) {
    if (index < 0 || index >= this.total) return null;
    const block = Math.floor(index / BLOCK);
    if (!this.blocks.has(block)) await this.load(block);
    return this.at(index) ?? null;
  }

  /** Where a photo is among those that are here; -1 if it is not. */
  indexOf(id) {
    for (const [block, items] of this.blocks) {
      const at = items.findIndex((item) => item.id === id);
      if (at >= 0) return block * BLOCK + at;
    }
    return -1;
  }

  /** Fetch a block once. Raises ApiError, or AbortError when it was scrolled past. */
  load(block) {
    this.#near = block;
    const running = this.waiting.get(block);
    if (running) return running.promise;
    const abort = new AbortController();
    const promise = this.#fetch(block, abort.signal)
      .then(() => this.onBlock(block))
      .finally(() => this.waiting.delete(block));
    this.waiting.set(block, { promise, abort });
    return promise;
  }

  /** Let go of requests for blocks that nobody looks at any more. */
  dropWaiting(isWanted) {
    for (const [block, { abort }] of this.waiting) if (!isWanted(block)) abort.abort();
  }

  /** Change what is known of a photo, wherever it stands. */
  patch(id, fields) {
    const index = this.indexOf(id);
    if (index >= 0) Object.assign(this.at(index), fields);
    return index;
  }

  close() {
    this.dropWaiting(() => false);
  }

  #farthest() {
    const distance = (block) => Math.abs(block - this.#near);
    return [...this.blocks.keys()].reduce((a, b) => (distance(b) > distance(a) ? b : a));
  }

  async #fetch(block, signal) {
    const page = await api.search(this.question, { offset: block * BLOCK, limit: BLOCK, signal });
    this.blocks.set(block, page.results);
    if (block === 0 || (!this.isCounted && !page.at_least)) {
      this.total = page.total;
      this.cut = page.cut ?? 0;
      this.isCounted = !page.at_least;
    }
    if (this.blocks.size > Results.kept) this.blocks.delete(this.#farthest());
    return page;
  }
}
