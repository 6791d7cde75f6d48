// The text of rendered Markdown, to copy it.

/** The sources of formulas that are shown. */
export const sources = new WeakMap();

const plain = {
  link: (text, href) => (href === text || href === `mailto:${text}` ? text : `${text} (${href})`),
  marked: (text) => text,
  lineBreak: '\n',
};

// An answer's footnotes are written as `[1]`.
const MARKS = { STRONG: '**', EM: '*', DEL: '~~', CODE: '`' };
const markdown = {
  link: (text, href) => (href === text ? text : `[${text}](${href})`),
  marked: (text, tag) => `${MARKS[tag] ?? ''}${text}${MARKS[tag] ?? ''}`,
  lineBreak: '<br>',
};

/** The text of inline content in one of the styles above. */
function inline(node, style) {
  let text = '';
  for (const child of node.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) text += child.nodeValue.replace(/\s*\n\s*/g, ' ');
    else if (child.nodeType === Node.ELEMENT_NODE) text += element(child, style);
  }
  return text;
}

function element(node, style) {
  if (node.tagName === 'BR') return style.lineBreak;
  if (node.tagName === 'IMG') return node.dataset.address ? style.link(node.alt || 'Image', node.dataset.address) : node.alt;
  // Without its button.
  if (node.matches('.image-place')) return element(node.firstElementChild, style);
  if (node.matches('.math')) return sources.get(node) ?? node.textContent;
  if (node.matches('.image')) return style.link(node.querySelector('.image-description')?.textContent ?? 'Image', node.getAttribute('href'));
  const text = inline(node, style);
  return node.tagName === 'A' ? style.link(text, node.getAttribute('href')) : style.marked(text, node.tagName);
}

const indented = (text, first, rest) => text.split('\n').map((line, index) => (line ? (index ? rest : first) + line : line)).join('\n');

/** The lines of a list, with its markers. */
function list(node) {
  const start = node.start ?? 1;
  const items = [...node.children].map((item, index) => {
    const marker = node.tagName === 'OL' ? `${start + index}. ` : '- ';
    return indented([...item.children].map(block).join('\n'), marker, ' '.repeat(marker.length));
  });
  return items.join('\n');
}

function block(node) {
  if (node.tagName === 'UL' || node.tagName === 'OL') return list(node);
  if (node.tagName === 'BLOCKQUOTE') return indented([...node.children].map(block).join('\n\n'), '> ', '> ');
  if (node.tagName === 'HR') return '---';
  if (node.matches('.code')) return node.querySelector('code').textContent.replace(/\n$/, '');
  if (node.matches('.table')) return rows(node).map((row) => row.map((cell) => inline(cell, plain)).join('\t')).join('\n');
  return inline(node, plain).trim();
}

/** An answer as plain text: without marks for emphasis, with those of lists. */
export function plainText(area) {
  return [...area.children].map(block).join('\n\n');
}

/** The cells of a table, row by row. */
export const rows = (node) => [...node.querySelectorAll('tr')].map((row) => [...row.cells].flatMap((cell) => [cell, ...missing(cell)]));

/** Cells at the end of a row that Markdown lacks are one wide cell. */
const missing = (cell) => Array.from({ length: cell.colSpan - 1 }, () => document.createElement('td'));

/** A table as CSV (RFC 4180). */
export function csvOf(table) {
  const field = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return table.map((row) => row.map((cell) => field(inline(cell, plain).trim())).join(',')).join('\r\n');
}

/** A table as Markdown. */
export function markdownOf([head, ...body]) {
  const line = (row) => `| ${row.map((cell) => inline(cell, markdown).trim().replace(/(?<!\\)\|/g, '\\|')).join(' | ')} |`;
  const rule = `| ${head.map((cell) => (cell.classList.contains('number') ? '---:' : '---')).join(' | ')} |`;
  return [line(head), rule, ...body.map(line)].join('\n');
}
