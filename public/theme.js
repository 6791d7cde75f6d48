// Applies a chosen theme before the first paint.
try {
  const theme = localStorage.getItem("netra.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is not available: the system's theme applies.
}
