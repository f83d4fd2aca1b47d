// Light, dark, or as the system is set; kept in this browser. early.js applies it before the first paint.

import { byId, icon } from "./dom.js";

const ORDER = ["system", "light", "dark"];
const ICONS = { system: "monitor", light: "sun", dark: "moon" };

export function startTheme() {
  const button = byId("theme");
  apply(button, document.documentElement.dataset.theme ?? "system");
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? "system";
    apply(button, ORDER[(ORDER.indexOf(now) + 1) % ORDER.length]);
  });
}

function apply(button, theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("oko.theme");
    else localStorage.setItem("oko.theme", theme);
  } catch {
    // Holds until the page is closed.
  }
  const next = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
  button.replaceChildren(icon(ICONS[theme]));
  button.title = `Colours: ${theme}`;
  button.setAttribute("aria-label", `Colours: ${theme}. Change to ${next}`);
}
