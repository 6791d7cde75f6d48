// The blocks of answers: their buttons, and highlighting code, showing formulas and drawing diagrams. Loaded when an answer has one of
// them, in a file of its own; highlight.js, KaTeX and Mermaid follow when code, a formula or a diagram is in sight.
import { csvOf, markdownOf, plainText, rows, sources } from './text.js';

/** Longer code stays plain. */
const MAX_HIGHLIGHTED_CHARS = 100_000;
const BLOCKS = '.markdown :is(.code, .math)';
/** Items and rows settle within their list or table. */
const PARTS = '.markdown > :is(ul, ol) > li, .markdown > .table tr';

/** Blocks in sight that are not shown completely. */
const waiting = new Set();
const finished = new WeakSet();
let isScheduled = false;

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) waiting.add(target);
      else waiting.delete(target);
    }
    schedule();
  },
  { rootMargin: '200px 0px', scrollMargin: '200px 0px' },
);

function watch(element) {
  if (!element.closest('.markdown') && !element.querySelector('.markdown')) return;
  const blocks = [...element.querySelectorAll(BLOCKS)];
  if (element.matches(BLOCKS)) blocks.push(element);
  for (const block of blocks) if (!finished.has(block)) observer.observe(block);
}

function schedule() {
  if (isScheduled || waiting.size === 0) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    for (const block of waiting) {
      if (block.isConnected && !(isSettled(block) && !isSelected(block))) continue;
      waiting.delete(block);
      observer.unobserve(block);
      if (block.isConnected) show(block);
    }
  });
}

/** Whether a block does not change any more: another one follows it, or its text is complete. */
function isSettled(block) {
  const area = block.closest('.markdown');
  if (!area?.classList.contains('growing') || !block.closest('.run')?.matches('[aria-busy=true]')) return true;
  let top = block;
  while (top.parentElement !== area) top = top.parentElement;
  return Boolean(top.nextElementSibling ?? block.closest(PARTS)?.nextElementSibling);
}

/** Whether the selection touches a block. Replacing its text would end the selection. */
function isSelected(block) {
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && selection.containsNode(block, true));
}

async function show(block) {
  finished.add(block);
  try {
    if (block.matches('.math')) await showFormula(block);
    else if (block.dataset.language?.toLowerCase() === 'mermaid') await showDiagram(block);
    else await highlight(block);
  } catch {
    // The code stays plain, formulas and diagrams are shown as their sources. The next time the block is in sight, this is tried again.
    finished.delete(block);
  }
}

async function highlight(block) {
  const code = block.querySelector('pre > code');
  const text = code.textContent;
  if (!block.dataset.language || text.length > MAX_HIGHLIGHTED_CHARS) return;
  const { highlighted } = await import('netra:highlight');
  const html = highlighted(text, block.dataset.language);
  if (html !== undefined && code.textContent === text) code.innerHTML = html;
}

async function showFormula(span) {
  const source = span.textContent;
  const { showMath } = await import('netra:math');
  try {
    showMath(span, source, span.classList.contains('display'));
    sources.set(span, source);
  } catch (error) {
    span.title = `This formula cannot be shown. ${error.message}`;
  }
}

/** Shows a diagram in place of its source, which a button shows again. */
async function showDiagram(block) {
  const code = block.querySelector('pre > code');
  const source = code.textContent;
  const { diagram, DiagramError } = await import('netra:diagram');
  try {
    const area = await diagram(source);
    if (!block.isConnected || code.textContent !== source) return;
    block.append(area);
    block.classList.add('drawn');
    const button = document.createElement('button');
    button.type = 'button';
    button.dataset.press = 'source';
    button.setAttribute('aria-pressed', 'false');
    button.textContent = 'Source';
    block.querySelector('[data-press=wrap]').before(button);
  } catch (error) {
    if (!(error instanceof DiagramError)) throw error;
    const problem = document.createElement('p');
    problem.className = 'code-problem';
    problem.textContent = `This diagram cannot be drawn. ${error.message.split('\n', 1)[0].replace(/[:.]?$/, '.')}`;
    block.append(problem);
  }
}

/** Moves the focus from a reference to the text of its footnote, or back. */
function jump(button, to, announce) {
  const label = button.textContent;
  const target = [...button.closest('.markdown').querySelectorAll(`[data-press=${to}]`)].find(({ textContent }) => textContent === label);
  if (!target) return announce(`This answer has no footnote ${label}.`);
  target.focus();
  target.scrollIntoView({ block: 'nearest' });
}

/** Shows an image of another host in the place of its link. This server requests it, so the host does not learn who reads. */
function loadImage(button, announce) {
  if (button.getAttribute('aria-disabled') === 'true') return;
  const place = button.closest('.image-place');
  const image = new Image();
  const { href } = place.querySelector('a');
  image.dataset.address = href;
  image.alt = place.querySelector('.image-description')?.textContent ?? '';
  image.addEventListener('load', () => {
    const hadFocus = document.activeElement === button;
    place.replaceChildren(image);
    image.tabIndex = -1;
    if (hadFocus) image.focus({ preventScroll: true });
    announce('The image is shown.');
  });
  image.addEventListener('error', () => {
    button.removeAttribute('aria-disabled');
    button.textContent = 'Load image again';
    announce('The image could not be loaded.');
    button.title = 'The image could not be loaded';
  });
  button.setAttribute('aria-disabled', 'true');
  button.textContent = 'Loading';
  image.src = `/api/images?url=${encodeURIComponent(href)}`;
}

/** Does what a button in an answer is for. */
export function press(button, { announce, copyText }) {
  const table = () => rows(button.closest('.table'));
  switch (button.dataset.press) {
    case 'code':
      return copyText(button, button.closest('.code').querySelector('code').textContent.replace(/\n$/, ''));
    case 'wrap': {
      const isWrapped = button.closest('.code').classList.toggle('wrapped');
      return button.setAttribute('aria-pressed', isWrapped);
    }
    case 'source': {
      const isShown = button.closest('.code').classList.toggle('with-source');
      return button.setAttribute('aria-pressed', isShown);
    }
    case 'image':
      return loadImage(button, announce);
    case 'csv':
      return copyText(button, csvOf(table()));
    case 'markdown':
      return copyText(button, markdownOf(table()));
    case 'text': {
      const areas = button.closest('.run').querySelectorAll('.answer > .markdown, .report .text > .markdown');
      return copyText(button, [...areas].map(plainText).join('\n\n'));
    }
    case 'footnote':
      return jump(button, 'reference', announce);
    case 'reference':
      return jump(button, 'footnote', announce);
  }
}

new MutationObserver((records) => {
  for (const { addedNodes } of records) {
    for (const node of addedNodes) if (node instanceof Element) watch(node);
  }
  schedule();
}).observe(document.body, { childList: true, subtree: true, attributeFilter: ['class', 'aria-busy'] });
document.addEventListener('selectionchange', schedule);
watch(document.body);
