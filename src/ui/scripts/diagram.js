// Mermaid diagrams as pictures. In a file of its own; the library is in the page that draws them (diagram_page.js).

/** How long drawing may take, including loading the library. */
const DRAW_TIMEOUT_MS = 30_000;
/** How long the page that draws is kept without work. */
const IDLE_TTL_MS = 30_000;
/** Longer sources stay code. */
const MAX_SOURCE_CHARS = 20_000;

/** The source of a diagram has an error, or it is too long. */
export class DiagramError extends Error {}

/** The page that draws, and the diagrams that it has to draw. */
class Drawer {
  #frame = document.createElement('iframe');
  #channel = new MessageChannel();
  #waiting = new Map();
  #next = 0;
  #idle;

  constructor() {
    this.#frame.className = 'diagram-page';
    this.#frame.sandbox = 'allow-scripts';
    this.#frame.title = 'Draws diagrams';
    this.#frame.setAttribute('aria-hidden', 'true');
    this.#frame.tabIndex = -1;
    this.#frame.src = new URL('netra:diagram_page', import.meta.url);
    this.#channel.port1.onmessage = ({ data: { id, drawn, problem } }) => {
      const { resolve, reject } = this.#take(id) ?? {};
      if (drawn) resolve?.(drawn);
      else reject?.(new DiagramError(problem));
    };
    // The page has no origin that could be named as the receiver.
    this.#frame.addEventListener('load', () => this.#frame.contentWindow.postMessage('port', '*', [this.#channel.port2]), { once: true });
    document.body.append(this.#frame);
  }

  draw(source) {
    clearTimeout(this.#idle);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#close(), DRAW_TIMEOUT_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#channel.port1.postMessage({ id, source });
    });
  }

  #take(id) {
    const request = this.#waiting.get(id);
    clearTimeout(request?.timer);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#idle = setTimeout(() => this.#close(), IDLE_TTL_MS);
    return request;
  }

  /** Removes the page. What it has not drawn fails. */
  #close() {
    drawer = undefined;
    clearTimeout(this.#idle);
    this.#channel.port1.close();
    this.#frame.remove();
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new Error('the diagram was not drawn in time'));
    }
    this.#waiting.clear();
  }
}

let drawer;

const image = (scheme, { [scheme]: svg, width, height, title }) => {
  const picture = new Image(Math.ceil(width), Math.ceil(height));
  picture.className = `for-${scheme}`;
  picture.alt = title ? `Diagram: ${title}` : 'Diagram. Its source is shown by the button Source.';
  // As an image, SVG runs no scripts and loads nothing.
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  return picture;
};

/** Draws a source as an element with the picture. Throws a `DiagramError` if that is the source's fault. */
export async function diagram(source) {
  if (source.length > MAX_SOURCE_CHARS) throw new DiagramError(`It has over ${MAX_SOURCE_CHARS} characters.`);
  const drawn = await (drawer ??= new Drawer()).draw(source);
  const area = document.createElement('div');
  area.className = 'diagram';
  area.append(image('light', drawn), image('dark', drawn));
  return area;
}
