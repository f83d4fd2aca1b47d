// The grid of photos. Only the rows near the viewport are elements; the rest is arithmetic.

import { isAbort } from "./api.js";
import { assumedRatios, GAP_PX, justify, ratioOf } from "./layout.js";
import { BLOCK } from "./results.js";
import { makeTile, place, updateTile } from "./tile.js";

const TALLEST_PX = 12_000_000; // browsers stop at 17 to 33 million; beyond this the scrollbar is geared down
const OVERSCAN = 0.75; // viewports above and below that are kept ready
const ASK_EVERY_MS = 60; // while the scrollbar is dragged, what flies past is not asked for

export class Grid {
  #layouts = new Map(); // block -> {boxes, height}
  #heights = new Map(); // block -> its height once it was known: it keeps it when it is let go
  #tiles = new Map(); // index -> element
  #tops = new Float64Array(1);
  #frame = 0;
  #asking = 0;
  #width = 0;

  /** `events`: hrefOf(item), onScroll(first index), onFailure(error), onRender(). */
  constructor(list, events) {
    this.list = list;
    this.events = events;
    this.results = null;
    this.active = 0;
    this.target = 200;
    addEventListener("scroll", () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(list);
  }

  /** Show other results, from their beginning or from `place` ({index, offset}). */
  show(results, place = null) {
    this.results?.close();
    this.results = results;
    this.active = place?.index ?? 0;
    const hadFocus = this.list.contains(document.activeElement);
    for (const tile of this.#tiles.values()) tile.remove();
    this.#tiles.clear();
    this.#relayout(place ?? { index: 0, offset: null });
    if (hadFocus) this.#tiles.get(this.active)?.querySelector("a")?.focus({ preventScroll: true });
  }

  /** Rows of about this height. */
  resize(target) {
    if (target === this.target) return;
    this.target = target;
    if (this.results) this.#relayout(this.place());
  }

  /** What stands at the top: {index, offset in pixels}, to come back to later. */
  place() {
    const top = this.#viewTop();
    const index = this.#firstBelow(top);
    return { index, offset: this.#boxOf(index).y - top };
  }

  blockArrived(block) {
    const place = this.place();
    this.#layouts.delete(block);
    for (const key of this.#layouts.keys()) if (key >= 0 && !this.results.blocks.has(key)) this.#layouts.delete(key);
    for (const [index, tile] of this.#tiles) {
      if (Math.floor(index / BLOCK) === block && !this.#keeps(tile)) {
        tile.remove();
        this.#tiles.delete(index);
      }
    }
    this.#relayout(place, { keepLayouts: true });
  }

  /** After `results.patch`. */
  photoChanged(index) {
    const tile = this.#tiles.get(index);
    if (tile) updateTile(tile, this.results.at(index));
  }

  /** The elements in view and what they show, for whoever wants to sharpen them. */
  shown() {
    return [...this.#tiles].map(([index, tile]) => ({ tile, item: this.results.at(index) }));
  }

  render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (!this.results) return;
    const top = this.#viewTop();
    const [from, to] = this.#range(top);
    for (const [index, tile] of this.#tiles) {
      if ((index < from || index >= to) && !this.#keeps(tile)) {
        tile.remove();
        this.#tiles.delete(index);
      }
    }
    const shift = this.#realTop() - top; // 0 unless the scrollbar is geared down
    for (let index = from; index < to; index++) this.#draw(index, shift);
    this.#setTabStop(from, to);
    this.#askForBlocks(from, to);
    this.events.onRender?.();
  }

  // Moving with the keyboard

  /** Focus the photo at a place, scrolling and fetching as needed. */
  async focus(index) {
    if (!this.results?.total) return;
    this.active = Math.min(Math.max(index, 0), this.results.total - 1);
    this.#scrollIntoView(this.active);
    this.render();
    if (!this.results.at(this.active)) {
      const wanted = this.active;
      await this.results.fetchAt(wanted).catch(() => null);
      if (this.active !== wanted) return;
      this.#scrollIntoView(wanted);
      this.render();
    }
    this.#tiles.get(this.active)?.querySelector("a")?.focus({ preventScroll: true });
  }

  /** The index above or below (`step` -1 or 1) another, nearest to the middle of its picture. */
  vertical(index, step) {
    const box = this.#boxOf(index);
    const middle = box.x + box.w / 2;
    let best = index;
    let nearest = Infinity;
    let row = null;
    for (let at = index + step; at >= 0 && at < this.results.total; at += step) {
      const other = this.#boxOf(at);
      if (Math.abs(other.y - box.y) < 1) continue;
      row ??= other.y;
      if (Math.abs(other.y - row) >= 1) break;
      const distance = Math.abs(other.x + other.w / 2 - middle);
      if (distance < nearest) [nearest, best] = [distance, at];
    }
    return best;
  }

  // Geometry, in the coordinates of an endless list ("virtual")

  #relayout(place, { keepLayouts = false } = {}) {
    if (!keepLayouts) {
      this.#layouts.clear();
      this.#heights.clear();
    }
    this.#width = this.list.clientWidth;
    const count = this.results.blockCount;
    this.#tops = new Float64Array(count + 1);
    for (let block = 0; block < count; block++) {
      const { height, isKnown } = this.#layout(block);
      if (isKnown) this.#heights.set(block, height);
      this.#tops[block + 1] = this.#tops[block] + (this.#heights.get(block) ?? height);
    }
    this.list.style.height = `${Math.min(this.#height, TALLEST_PX)}px`;
    if (place.offset === null) scrollTo({ top: 0, behavior: "instant" });
    else if (this.#realTop() > 0 || place.index > 0) {
      this.#scrollTo(this.#boxOf(Math.min(place.index, this.results.total - 1)).y - place.offset);
    }
    this.render();
  }

  #layout(block) {
    const known = this.results.blocks.get(block);
    const size = this.results.sizeOf(block);
    const key = known || size < BLOCK ? block : -1; // all blocks that are not here look alike
    const found = this.#layouts.get(key);
    if (found && found.isKnown === Boolean(known)) return found;
    // Fewer came than were promised when photos went meanwhile: their places stay, empty.
    const ratios = known ? Array.from({ length: size }, (_, at) => ratioOf(known[at])) : assumedRatios(size);
    const isLast = block === this.results.blockCount - 1;
    const layout = justify(ratios, { width: this.#width, target: this.target, gap: GAP_PX, isLast });
    layout.isKnown = Boolean(known);
    this.#layouts.set(key, layout);
    return layout;
  }

  get #height() {
    return this.#tops[this.#tops.length - 1];
  }

  #boxOf(index) {
    const block = Math.floor(index / BLOCK);
    const layout = this.results?.total ? this.#layout(block) : null;
    const box = layout?.boxes[index % BLOCK];
    if (!box) return { x: 0, y: 0, w: 0, h: 0 };
    const stretch = (this.#tops[block + 1] - this.#tops[block]) / layout.height; // 1, but for blocks that were let go
    return { ...box, y: this.#tops[block] + box.y * stretch, h: box.h * stretch };
  }

  #gear() {
    const beyond = this.#height - TALLEST_PX;
    return beyond <= 0 ? 1 : (this.#height - innerHeight) / (TALLEST_PX - innerHeight);
  }

  #realTop() {
    return -this.list.getBoundingClientRect().top;
  }

  #viewTop() {
    return this.#realTop() * this.#gear();
  }

  #scrollTo(virtualTop) {
    const by = virtualTop / this.#gear() - this.#realTop();
    if (Math.abs(by) >= 1) scrollBy({ top: by, behavior: "instant" });
  }

  #scrollIntoView(index) {
    const box = this.#boxOf(index);
    const top = this.#viewTop();
    const header = document.querySelector(".top").offsetHeight + 8;
    if (box.y < top + header) this.#scrollTo(box.y - header);
    else if (box.y + box.h > top + innerHeight - 8) this.#scrollTo(box.y + box.h - innerHeight + 8);
  }

  #firstBelow(top) {
    let low = 0;
    let high = Math.max(0, this.results.blockCount - 1);
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#tops[middle + 1] <= top) low = middle + 1;
      else high = middle;
    }
    if (!this.results.total) return 0;
    let index = low * BLOCK;
    const last = index + this.results.sizeOf(low) - 1;
    for (let box = this.#boxOf(index); index < last && box.y + box.h <= top; box = this.#boxOf(index)) index++;
    return index;
  }

  #range(top) {
    if (!this.results.total) return [0, 0];
    const margin = innerHeight * OVERSCAN;
    const from = this.#firstBelow(top - margin);
    const bottom = top + innerHeight + margin;
    let to = from;
    while (to < this.results.total && this.#boxOf(to).y < bottom) to++;
    return [from, to];
  }

  // Elements

  #draw(index, shift) {
    const item = this.results.at(index);
    let tile = this.#tiles.get(index);
    if (tile && item && !tile.dataset.id) {
      tile.remove();
      tile = null;
    }
    if (!tile) {
      tile = makeTile(item, { index, total: this.results.total, href: item ? this.events.hrefOf(item) : null });
      this.#tiles.set(index, tile);
      this.#insert(tile, index);
    }
    const box = this.#boxOf(index);
    place(tile, { ...box, y: box.y + shift });
  }

  #insert(tile, index) {
    // In reading order, for screen readers: after its nearest predecessor.
    let before = null;
    for (let at = index - 1; at >= index - 3 && !before; at--) before = this.#tiles.get(at);
    if (before) before.after(tile);
    else {
      const next = [...this.list.children].find((other) => Number(other.dataset.index) > index);
      this.list.insertBefore(tile, next ?? null);
    }
  }

  #keeps(tile) {
    return tile.contains(document.activeElement);
  }

  #setTabStop(from, to) {
    const hasFocus = this.list.contains(document.activeElement);
    if (!hasFocus && (this.active < from || this.active >= to)) {
      this.active = Math.min(this.#firstBelow(Math.max(0, this.#viewTop())), Math.max(0, this.results.total - 1));
    }
    for (const [index, tile] of this.#tiles) {
      const link = tile.querySelector("a");
      if (link) link.tabIndex = index === this.active ? 0 : -1;
    }
  }

  #askForBlocks(from, to) {
    if (to <= from || this.#asking) return;
    const missing = (block) => !this.results.blocks.has(block);
    const [first, last] = [Math.floor(from / BLOCK), Math.floor((to - 1) / BLOCK)];
    if (!missing(first) && !missing(last)) return;
    this.#asking = setTimeout(() => {
      this.#asking = 0;
      this.#ask();
    }, ASK_EVERY_MS);
  }

  #ask() {
    const [from, to] = this.#range(this.#viewTop());
    const [first, last] = [Math.floor(from / BLOCK), Math.floor(Math.max(from, to - 1) / BLOCK)];
    this.results.dropWaiting((block) => block >= first && block <= last);
    for (let block = first; block <= last; block++) {
      if (this.results.blocks.has(block)) continue;
      this.results.load(block).catch((error) => {
        if (!isAbort(error)) this.events.onFailure(error);
      });
    }
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.render();
      if (this.results?.total) this.events.onScroll?.(this.#firstBelow(Math.max(0, this.#viewTop())));
    });
  }

  #resized() {
    if (this.results && this.list.clientWidth !== this.#width) this.#relayout(this.place());
  }
}
