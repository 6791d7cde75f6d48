/** Importing conversations of other programs. */
import { join } from 'node:path';
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test } from './fixtures.ts';
import { waitForConnection } from './threads.ts';

const sample = (name: string) => join(import.meta.dirname, '../tests/data/imports', name);
const dialog = (page: Page) => page.getByRole('dialog', { name: 'Import conversations' });

test('a file is read, imported, and not imported again', async ({ page, browserConsole, signedIn: _ }) => {
  browserConsole.allow(/status of 422/);
  await page.goto('/');
  await waitForConnection(page);
  await page.getByRole('button', { name: /^Account of/ }).click();
  await page.getByRole('button', { name: 'Import conversations' }).click();
  const field = dialog(page).getByLabel('File');
  await field.setInputFiles({ name: 'broken.json', mimeType: 'application/json', buffer: Buffer.from('[\n{"mapping": 1}]') });
  await expect(dialog(page)).toContainText('line 2');
  await field.setInputFiles(sample('open-webui.json'));
  await expect(dialog(page)).toContainText('Open WebUI: 1 conversation. 1 part of messages cannot be kept');
  await expectAccessible(page);
  await dialog(page).getByRole('button', { name: 'Import', exact: true }).click();
  await expect(dialog(page)).toContainText('Imported 1 conversation.');
  await field.setInputFiles(sample('open-webui.json'));
  await dialog(page).getByRole('button', { name: 'Import', exact: true }).click();
  await expect(dialog(page)).toContainText('1 was imported before.');
  await page.keyboard.press('Escape');
  const opener = page.getByRole('button', { name: 'Threads', exact: true });
  if (await opener.isVisible()) await opener.click();
  await page.getByRole('navigation', { name: 'Threads' }).getByRole('link', { name: 'Tea' }).click();
  await expect(page.locator('.question').last()).toContainText('And black tea?');
  await expect(page.getByRole('main')).toContainText('Boiling.');
});
