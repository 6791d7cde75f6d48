/** Sharing a thread with other users of the server: reading along, writing, and being removed. */
import { expectAccessible } from './accessible.ts';
import { type Account, openPageOf } from './accounts.ts';
import { expect, type Page, test } from './fixtures.ts';
import { recordedAgent } from './recorded.ts';
import { ask, messageField, sendMessage, sentMessages, waitForRunState } from './threads.ts';

test.use({ serverOptions: [{ config: recordedAgent(1_000_000) }, { scope: 'worker' }] });

/** Opens the list of threads if it is hidden, and the menu of a thread. */
async function openMenu(page: Page, path: string): Promise<void> {
  const row = await threadRow(page, path);
  await row.hover();
  await row.getByRole('button', { name: /Actions for/ }).click();
}

async function threadRow(page: Page, path: string) {
  const threads = page.getByRole('button', { name: 'Threads', exact: true });
  const row = page.locator(`[data-thread-id="${path.split('/').pop()}"]`);
  if (!(await row.isVisible()) && (await threads.isVisible())) await threads.click();
  await expect(row).toBeVisible();
  return row;
}

test('a thread is shared to read, then to write, until the member is removed', async ({ page, server, browserConsole, signedIn }, info) => {
  browserConsole.allow(/status of 404/);
  const member: Account = { email: `bea-${info.project.name}@example.org`, name: `Bea ${info.project.name}`, password: 'correct horse battery' };
  server.addUser(member);
  const path = await ask(page, '@recorded What does it cost?');
  await waitForRunState(page, 'finished');
  await openMenu(page, path);
  await page.getByRole('button', { name: 'Share' }).click();
  const dialog = page.getByRole('dialog', { name: 'Share this thread' });
  await expect(dialog).toContainText('No members yet.');
  await dialog.getByLabel('Name of a user').fill('nobody of this name');
  await dialog.getByRole('button', { name: 'Find' }).click();
  await expect(dialog).toContainText('No other user has this name.');
  await dialog.getByLabel('Name of a user').fill(member.name.toLowerCase());
  await dialog.getByRole('button', { name: 'Find' }).click();

  const theirs = await openPageOf(member, page, server, browserConsole);
  await theirs.goto('/');
  await dialog.getByRole('button', { name: `Let ${member.name} read` }).click();
  await expect(dialog.getByLabel(`What ${member.name} may do`)).toHaveValue('read');
  await expectAccessible(page);
  await info.attach('dialog', { body: await page.screenshot(), contentType: 'image/png' });

  // The member sees it appear, marked with its owner's name, and can only read.
  const row = await threadRow(theirs, path);
  await expect(row.getByRole('img', { name: `Shared by ${signedIn.name}` })).toBeVisible();
  await row.getByRole('link').click();
  await expect(theirs.getByRole('note')).toContainText(`You can read this thread. ${signedIn.name} shared it with you`);
  await expect(messageField(theirs)).toHaveCount(0);
  const question = theirs.getByRole('article', { name: `Message from ${signedIn.name}` });
  await expect(question).toContainText('What does it cost?');
  await expect(question.getByRole('button', { name: 'Edit' })).toHaveCount(0);
  await expect(question.getByRole('img', { name: 'Has this thread open' }), 'its owner is here').toBeVisible();
  await expectAccessible(theirs);
  await info.attach('reader', { body: await theirs.screenshot(), contentType: 'image/png' });

  // May write: the composer appears, and both see who wrote.
  await dialog.getByLabel(`What ${member.name} may do`).selectOption('Can write');
  await sendMessage(theirs, '@recorded And in June?');
  await expect(sentMessages(theirs)).toHaveCount(2);
  await dialog.getByRole('button', { name: 'Close' }).click();
  await expect(page.getByRole('article', { name: `Message from ${member.name}` })).toContainText('And in June?');
  await expect(page.locator('.presence')).toContainText(member.name);

  await openMenu(page, path);
  await page.getByRole('button', { name: 'Share' }).click();
  await dialog.getByRole('button', { name: `Remove ${member.name}` }).click();
  await expect(dialog).toContainText('No members yet.');
  await expect(theirs.getByRole('heading', { name: 'Thread not available any more' })).toBeVisible();
  await theirs.reload();
  await expect(theirs.getByRole('heading', { name: 'Thread not found' })).toBeVisible();
  await theirs.context().close();
});
