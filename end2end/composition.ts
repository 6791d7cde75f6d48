/** The events that browsers send while an input method composes a text (Japanese, Chinese, Korean and others). */
import type { Locator } from '@playwright/test';

/** Starts a composition in a field and leaves it unfinished. */
async function compose(field: Locator, text: string): Promise<void> {
  await field.focus();
  await field.evaluate((element: HTMLInputElement | HTMLTextAreaElement, text) => {
    element.dispatchEvent(new CompositionEvent('compositionstart', { bubbles: true }));
    element.value = text;
    element.dispatchEvent(new InputEvent('input', { bubbles: true, data: text, inputType: 'insertCompositionText', isComposing: true }));
  }, text);
}

/** A key of the composition as Chromium and Firefox send it: during the composition. */
export async function keyWhileComposing(field: Locator, text: string, key: string): Promise<void> {
  await compose(field, text);
  await field.evaluate((element, key) => {
    element.dispatchEvent(new KeyboardEvent('keydown', { key, keyCode: 229, isComposing: true, bubbles: true, cancelable: true }));
    element.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true }));
  }, key);
}

/** The key that ends a composition as Safari sends it: after the composition; only the key code shows that the key belonged to the composition. */
export async function keyAfterComposing(field: Locator, text: string, key: string): Promise<void> {
  await compose(field, text);
  await field.evaluate(
    (element, { text, key }) => {
      element.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true, data: text }));
      element.dispatchEvent(new KeyboardEvent('keydown', { key, code: key, keyCode: 229, which: 229, bubbles: true, cancelable: true } as KeyboardEventInit));
    },
    { text, key },
  );
}
