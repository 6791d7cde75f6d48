// The server renders buttons and forms before the page's WebAssembly has loaded. Clicks on buttons and submits of forms until then
// are kept, one for each element, and are repeated when the page says that it is hydrated. Links work without code.
{
  const kept = new Set();
  const types = ["click", "submit"];

  const keep = (event) => {
    const element = event.type === "submit" ? event.target : event.target.closest?.("button");
    if (!element) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    kept.add(element);
  };

  const repeat = () => {
    for (const element of kept) {
      if (!element.isConnected) continue;
      if (element instanceof HTMLFormElement) element.requestSubmit();
      else element.click();
    }
  };

  for (const type of types) addEventListener(type, keep, true);
  addEventListener(
    "netra:hydrated",
    () => {
      for (const type of types) removeEventListener(type, keep, true);
      // Effects that enable a button run after this event, in the same task.
      setTimeout(repeat);
    },
    { once: true },
  );
}
