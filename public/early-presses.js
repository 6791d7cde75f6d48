// The server's HTML can be read and pressed before the page's code has come. What is pressed or submitted until then waits,
// each button and form once, and is done when the code says that it is there. Links need no code and go on as they are.
const waiting = new Set();

function keep(event) {
  const target = event.type === "submit" ? event.target : event.target.closest?.("button");
  if (!target) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  waiting.add(target);
}

for (const type of ["click", "submit"]) addEventListener(type, keep, true);

addEventListener(
  "netra:alive",
  () => {
    for (const type of ["click", "submit"]) removeEventListener(type, keep, true);
    // After what the page changes in this turn: a button may only now be enabled.
    setTimeout(() => {
      for (const target of waiting) {
        if (!target.isConnected) continue;
        if (target instanceof HTMLFormElement) target.requestSubmit();
        else target.click();
      }
    });
  },
  { once: true },
);
