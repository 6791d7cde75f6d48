/** What browsers send while a text is composed by an input method (Japanese, Chinese, Korean and others). */
import type { Locator } from '@playwright/test';

/** Composes a text in a field, up to where it is only half typed. */
async function compose(field: Locator, text: string): Promise<void> {
  await field.focus();
  await field.evaluate((element: HTMLInputElement | HTMLTextAreaElement, text) => {
    element.dispatchEvent(new CompositionEvent('compositionstart', { bubbles: true }));
    element.value = text;
    element.dispatchEvent(new InputEvent('input', { bubbles: true, data: text, inputType: 'insertCompositionText', isComposing: true }));
  }, text);
}

/** A key of the composition, as Chromium and Firefox tell it: while it goes on. */
export async function keyWhileComposing(field: Locator, text: string, key: string): Promise<void> {
  await compose(field, text);
  await field.evaluate((element, key) => {
    element.dispatchEvent(new KeyboardEvent('keydown', { key, keyCode: 229, isComposing: true, bubbles: true, cancelable: true }));
    element.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true }));
  }, key);
}

/** The key that ends a composition, as Safari tells it: afterwards, and only its code says that it was part of it. */
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
