// The server renders buttons and forms before the page's WebAssembly has loaded. Until the page is hydrated, this script stores
// clicks on buttons and submits of forms, one per element, and then repeats them. Links work without code.
{
  const pending = new Set();
  const types = ["click", "submit"];

  const store = (event) => {
    const element = event.type === "submit" ? event.target : event.target.closest?.("button");
    if (!element) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    pending.add(element);
  };

  const repeat = () => {
    for (const element of pending) {
      if (!element.isConnected) continue;
      if (element instanceof HTMLFormElement) element.requestSubmit();
      else element.click();
    }
  };

  for (const type of types) addEventListener(type, store, true);
  addEventListener(
    "netra:hydrated",
    () => {
      for (const type of types) removeEventListener(type, store, true);
      // Effects that enable a button run after this event, in the same task.
      setTimeout(repeat);
    },
    { once: true },
  );
}
