// Mathematics as MathML, which browsers show without fonts or styles of ours, and read to screen readers. In a file of its own.
import { renderToString } from 'katex';

/** Shows a formula, given with its delimiters, in an element. Throws if it has an error. */
export function showMath(element, source, displayMode) {
  const formula = source.replace(/^(\$\$?|\\[([])/, '').replace(/(\$\$?|\\[)\]])$/, '');
  const html = renderToString(formula, { displayMode, output: 'mathml', strict: 'ignore', maxSize: 50, maxExpand: 1000 });
  // Our Content-Security-Policy forbids attributes for styles, but not setting them. In text, KaTeX writes quotes as `&quot;`.
  element.innerHTML = html.replaceAll(' style="', ' data-style="');
  for (const styled of element.querySelectorAll('[data-style]')) styled.style.cssText = styled.dataset.style;
}
