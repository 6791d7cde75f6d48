/** Sharing a thread by a link, and printing it. */
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test } from './fixtures.ts';
import { recordedAgent } from './recorded.ts';
import { ask, waitForRunState } from './threads.ts';

test.use({ serverOptions: [{ config: recordedAgent(1_000_000) }, { scope: 'worker' }] });

/** Opens the menu of the thread that is shown. */
async function openMenu(page: Page, path: string): Promise<void> {
  const threads = page.getByRole('button', { name: 'Threads', exact: true });
  if (await threads.isVisible()) await threads.click();
  const row = page.locator(`[data-thread-id="${path.split('/').pop()}"]`);
  await row.hover();
  await row.getByRole('button', { name: /Actions for/ }).click();
}

test('a thread is shared by a link that can be withdrawn', async ({ page, context, browserConsole, signedIn: _ }) => {
  browserConsole.allow(/status of 404/);
  const path = await ask(page, '@recorded What does it cost?');
  await waitForRunState(page, 'finished');
  await openMenu(page, path);
  await page.getByRole('button', { name: 'Share' }).click();
  const dialog = page.getByRole('dialog', { name: 'Share this thread' });
  await expect(dialog).toContainText('No links yet.');
  await dialog.getByLabel('Expires after').selectOption('30 days');
  await dialog.getByRole('button', { name: 'Create link' }).click();
  await expect(dialog.locator('.share-link')).toContainText('Expires ');
  await expectAccessible(page);
  const address = await dialog.getByRole('link').innerText();
  // A visitor without an account.
  const visitor = await context.browser()?.newContext();
  if (!visitor) throw new Error('no browser');
  browserConsole.watch(visitor);
  const shared = await visitor.newPage();
  await shared.goto(address);
  await expect(shared.locator('.question')).toContainText('What does it cost?');
  await expect(shared.locator('.run')).not.toHaveCount(0);
  await expect(shared.getByRole('textbox')).toHaveCount(0);
  await expectAccessible(shared);
  await dialog.getByRole('button', { name: 'Withdraw' }).click();
  await expect(dialog).toContainText('No links yet.');
  await shared.goto(address);
  await expect(shared.getByText('it has expired, or its owner withdrew it')).toBeVisible();
  await visitor.close();
});

test('a thread is printed as a document', async ({ page, signedIn: _ }) => {
  const path = await ask(page, '@recorded What does it cost?');
  await waitForRunState(page, 'finished');
  await openMenu(page, path);
  const opened = page.waitForEvent('popup');
  await page.getByRole('link', { name: 'Print' }).click();
  const document = await opened;
  await expect(document.locator('.question')).toContainText('What does it cost?');
  await document.emulateMedia({ media: 'print' });
  await expect(document.locator('.run')).toBeVisible();
  await expectAccessible(document);
});
