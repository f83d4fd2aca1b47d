// Elements from data. Everything that comes from a library goes through textContent or setAttribute, so that
// a file called <script>.jpg is only ever a text.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id, which index.html promises. */
export const byId = (id) => document.getElementById(id);

/**
 * An element: h("button", {class: "chip", type: "button", onclick: f, "aria-label": "Remove"}, "text", icon("x")).
 * Functions become listeners, true an empty attribute; null, undefined and false are left out.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** One of the symbols at the top of index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows only an icon; its label is read out and shown on hover. */
export function iconButton(name, label, onclick, props = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props },
    icon(name));
}

/** Show or hide without touching the layout of the rest. */
export function show(element, visible) {
  element.hidden = !visible;
}

/** Call `f` once things have been quiet for `ms`. */
export function debounce(f, ms) {
  let timer = 0;
  const later = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...args), ms);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

/** A value kept in this browser, or the fallback where nothing can be kept. */
export function remembered(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(`oko.${key}`)) ?? fallback;
  } catch {
    return fallback;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`oko.${key}`, JSON.stringify(value));
  } catch {
    // Not kept; it holds until the page is closed.
  }
}

export const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
