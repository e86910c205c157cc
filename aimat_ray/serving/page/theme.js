// Set before the page is painted, so that a chosen theme does not flash. Not a module: it must run at once.
"use strict";
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("aimat-theme"); } catch { /* storage may be switched off */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
