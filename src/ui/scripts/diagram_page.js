// The page in which diagrams are drawn: sandboxed, of no origin, and without access to the network (src/server/site.rs), because the
// sources come from agents. It gets a port from the page that embeds it, then sources of Mermaid, and answers with pictures. Before this
// script, Mermaid is loaded as a global variable (scripts/site.mjs).
const { mermaid } = globalThis;
const THEMES = { light: 'default', dark: 'dark' };

/** Draws a diagram as SVG: an image for each colour scheme, its size in pixels, and its title. Throws if the source has an error. */
async function draw(source) {
  const drawn = {};
  for (const [scheme, theme] of Object.entries(THEMES)) {
    mermaid.initialize({
      startOnLoad: false,
      securityLevel: 'strict',
      suppressErrorRendering: true,
      // Text as SVG: browsers measure HTML within an image differently.
      htmlLabels: false,
      fontFamily: 'system-ui, sans-serif',
      theme,
    });
    const { svg } = await mermaid.render(`diagram-${scheme}`, source);
    const parsed = new DOMParser().parseFromString(svg, 'text/html').querySelector('svg');
    const { width, height } = parsed.viewBox.baseVal;
    parsed.setAttribute('width', width);
    parsed.setAttribute('height', height);
    Object.assign(drawn, { width, height, title: parsed.querySelector(':scope > title')?.textContent ?? '' });
    drawn[scheme] = new XMLSerializer().serializeToString(parsed);
  }
  return drawn;
}

addEventListener(
  'message',
  ({ ports: [port] }) => {
    let last = Promise.resolve();
    port.onmessage = ({ data: { id, source } }) => {
      // Mermaid has one configuration for all diagrams, so they are drawn one after the other.
      last = last.then(async () => {
        try {
          port.postMessage({ id, drawn: await draw(source) });
        } catch (error) {
          port.postMessage({ id, problem: String(error?.message ?? error) });
        }
      });
    };
  },
  { once: true },
);
