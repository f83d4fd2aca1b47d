// Runs before the first paint, so that a dark page never flashes white. The rest of the switch is theme.js.
"use strict";
try {
  const chosen = localStorage.getItem("oko.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // No storage (private window, blocked cookies): the system's setting holds.
}
