"use strict";
(() => {
  const root = document.documentElement;
  const stored = (() => { try { return localStorage.getItem("apprentice-theme"); } catch { return null; } })();
  if (stored) root.dataset.theme = stored;
  window.switchTheme = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("apprentice-theme", root.dataset.theme); } catch { /* a private window forgets */ }
    document.dispatchEvent(new Event("themechange"));
  };
})();
