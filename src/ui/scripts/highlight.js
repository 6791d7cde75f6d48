// Highlighting of code, in a file of its own.
import highlighter from 'highlight.js/lib/common';

/** The HTML of code with its tokens marked; `undefined` if the language is unknown. */
export function highlighted(code, language) {
  if (!highlighter.getLanguage(language)) return undefined;
  return highlighter.highlight(code, { language, ignoreIllegals: true }).value;
}
