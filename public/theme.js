// Applies a chosen theme before the first paint.
try {
  const theme = localStorage.getItem("netra.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's theme it is.
}
