// In the page's first file: copies texts, and loads `answers.js` when an answer has a block for it. The names after `netra:` are those
// of files that scripts/site.mjs bundles.

const FEEDBACK_MS = 2000;
const labels = new WeakMap();
let answers;
let status;

/** Loads the tools for answers once. After a failure, the next call tries again. */
function loadAnswers() {
  answers ??= import('netra:answers').catch((error) => {
    answers = undefined;
    throw error;
  });
  return answers;
}

/** Prepares the blocks of an answer. Without the tools, code stays plain and formulas are shown as their source. */
export function prepareAnswer(area) {
  if (!answers && area.querySelector('.code, .math')) loadAnswers().catch(() => {});
}

/** Copies a text, and shows the result on the button that was pressed. */
export async function copyText(button, text) {
  const copied = await write(text).then(
    () => true,
    () => writeBySelection(text),
  );
  showResult(button, copied ? 'Copied' : 'Could not copy');
}

async function write(text) {
  // Browsers offer the clipboard only to pages that were loaded by HTTPS or from this computer.
  if (!navigator.clipboard) throw new Error('no clipboard');
  await navigator.clipboard.writeText(text);
}

/** Copies by selecting the text in a field. Returns whether the browser did it. */
function writeBySelection(text) {
  const focused = document.activeElement;
  const field = document.createElement('textarea');
  field.className = 'sr-only';
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  focused?.focus({ preventScroll: true });
  return copied;
}

/** Shows a result on a button for a moment, and announces it to screen readers. */
function showResult(button, text) {
  const label = button.querySelector('span') ?? button;
  const { original, timer } = labels.get(button) ?? { original: label.textContent };
  clearTimeout(timer);
  label.textContent = text;
  announce(text);
  const restore = () => {
    label.textContent = original;
    labels.delete(button);
  };
  labels.set(button, { original, timer: setTimeout(restore, FEEDBACK_MS) });
}

function announce(text) {
  if (!status) {
    status = document.createElement('p');
    status.className = 'sr-only';
    status.setAttribute('role', 'status');
    document.body.append(status);
  }
  status.textContent = '';
  // Screen readers announce changes of an element that they know already.
  setTimeout(() => {
    status.textContent = text;
  }, 50);
}

addEventListener('click', (event) => {
  const button = event.target.closest?.('button[data-press]');
  if (!button) return;
  loadAnswers().then(
    ({ press }) => press(button, { announce, copyText }),
    () => showResult(button, 'Could not load'),
  );
});
