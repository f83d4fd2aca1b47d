// The picture in the large view: fitted, zoomed with wheel, double click, pinch or keys, moved, swiped.

const STEP = 1.5;
const SWIPE_PX = 60;
const PULL_PX = 110; // downwards, to close
const MOST_UPSCALED = 3; // a small picture is not blown up further than this

export class Stage {
  #scale = 1;
  #x = 0;
  #y = 0;
  #pointers = new Map();
  #gesture = null;
  #size = { width: 1, height: 1 };

  /** `events`: onPrevious, onNext, onClose, onZoom(scale). */
  constructor(element, image, events) {
    this.element = element;
    this.image = image;
    this.events = events;
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    element.addEventListener("dblclick", (event) => this.#doubleClick(event));
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, (event) => this.#up(event));
    new ResizeObserver(() => this.fit()).observe(element);
  }

  get isZoomed() {
    return this.#scale > 1.01;
  }

  /** Another picture of this size in pixels. */
  setPicture(width, height) {
    this.#size = { width: width || 4, height: height || 3 };
    this.fit();
  }

  fit() {
    const { width, height } = this.#size;
    const room = this.element.getBoundingClientRect();
    const scale = Math.min(room.width / width, room.height / height, MOST_UPSCALED);
    this.fitted = { width: width * scale, height: height * scale };
    this.image.style.width = `${this.fitted.width}px`;
    this.image.style.height = `${this.fitted.height}px`;
    this.#set(1, 0, 0);
  }

  /** Zoom by steps around the middle; 0 fits. */
  step(by) {
    if (by === 0) this.#set(1, 0, 0);
    else this.#zoomAt(by > 0 ? STEP : 1 / STEP, 0, 0);
  }

  /** Move a zoomed picture by a part of the stage. */
  pan(dx, dy) {
    const room = this.element.getBoundingClientRect();
    this.#set(this.#scale, this.#x - dx * room.width * 0.2, this.#y - dy * room.height * 0.2);
  }

  get #most() {
    return Math.max(4, (2 * this.#size.width) / (this.fitted?.width || 1));
  }

  #set(scale, x, y) {
    const room = this.element.getBoundingClientRect();
    this.#scale = Math.min(this.#most, Math.max(1, scale));
    const limit = (size, all) => Math.max(0, (size * this.#scale - all) / 2);
    const [mx, my] = [limit(this.fitted.width, room.width), limit(this.fitted.height, room.height)];
    this.#x = Math.min(mx, Math.max(-mx, x));
    this.#y = Math.min(my, Math.max(-my, y));
    this.#draw(this.#x, this.#y);
    this.element.classList.toggle("zoomed", this.isZoomed);
    this.events.onZoom?.(this.#scale);
  }

  #draw(x, y) {
    this.image.style.transform = `translate(-50%, -50%) translate(${x}px, ${y}px) scale(${this.#scale})`;
  }

  #zoomAt(factor, px, py) {
    const scale = Math.min(this.#most, Math.max(1, this.#scale * factor));
    const real = scale / this.#scale;
    this.#set(scale, px - (px - this.#x) * real, py - (py - this.#y) * real);
  }

  #fromMiddle({ clientX, clientY }) {
    const room = this.element.getBoundingClientRect();
    return [clientX - room.left - room.width / 2, clientY - room.top - room.height / 2];
  }

  #wheel(event) {
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    this.#zoomAt(Math.exp(-Math.max(-120, Math.min(120, pixels)) / 300), ...this.#fromMiddle(event));
  }

  #doubleClick(event) {
    if (event.target.closest("button")) return;
    if (this.isZoomed) this.#set(1, 0, 0);
    else this.#zoomAt(2.5, ...this.#fromMiddle(event));
  }

  #down(event) {
    if (event.button !== 0 || event.target.closest("button")) return;
    this.element.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, event);
    this.#begin();
  }

  #begin() {
    const [first, second] = [...this.#pointers.values()];
    this.image.classList.add("held");
    this.#gesture = {
      x: first.clientX, y: first.clientY, fromX: this.#x, fromY: this.#y,
      spread: second ? spread(first, second) : 0, swipes: !second && first.pointerType === "touch" && !this.isZoomed,
    };
  }

  #move(event) {
    if (!this.#pointers.has(event.pointerId) || !this.#gesture) return;
    this.#pointers.set(event.pointerId, event);
    const [first, second] = [...this.#pointers.values()];
    const gesture = this.#gesture;
    if (second) {
      const now = spread(first, second);
      const middle = { clientX: (first.clientX + second.clientX) / 2, clientY: (first.clientY + second.clientY) / 2 };
      if (gesture.spread) this.#zoomAt(now / gesture.spread, ...this.#fromMiddle(middle));
      gesture.spread = now;
      return;
    }
    const [dx, dy] = [event.clientX - gesture.x, event.clientY - gesture.y];
    if (this.isZoomed) this.#set(this.#scale, gesture.fromX + dx, gesture.fromY + dy);
    else if (gesture.swipes) this.#draw(Math.abs(dx) > Math.abs(dy) ? dx : 0, Math.abs(dy) > Math.abs(dx) ? dy : 0);
  }

  #up(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    this.image.classList.remove("held");
    const gesture = this.#gesture;
    if (this.#pointers.size) return this.#begin();
    this.#gesture = null;
    this.#draw(this.#x, this.#y);
    if (!gesture.swipes || event.type === "pointercancel") return;
    const [dx, dy] = [event.clientX - gesture.x, event.clientY - gesture.y];
    const { onNext, onPrevious } = this.events;
    if (Math.abs(dx) > SWIPE_PX && Math.abs(dx) > Math.abs(dy)) (dx < 0 ? onNext : onPrevious)();
    else if (dy > PULL_PX && dy > Math.abs(dx)) this.events.onClose();
  }
}

const spread = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
