/** Temporary threads: not listed, deleted soon, kept on request. */
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test } from './fixtures.ts';
import { sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

const rows = (page: Page, title: string) => page.locator('.thread-row').filter({ has: page.getByText(title, { exact: true }) });
const notice = (page: Page) => page.getByRole('note').filter({ hasText: 'Temporary.' });

test('a temporary thread says when it is deleted, is not listed, and can be kept', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  await page.getByLabel('Temporary').check();
  await expect(page.getByText('deleted soon after you leave it')).toBeVisible();
  await expectAccessible(page);
  await sendMessage(page, 'Only for now');
  await expect(page).toHaveURL(/\/threads\/[0-9a-f-]{36}$/);
  await waitForRunState(page, 'finished');
  await expect(notice(page)).toContainText('10 minutes after you leave');
  await expect(rows(page, 'Only for now')).toHaveCount(0);
  await expectAccessible(page);
  await page.reload();
  await waitForConnection(page);
  await expect(notice(page)).toBeVisible();
  await expect(rows(page, 'Only for now')).toHaveCount(0);
  await page.getByRole('button', { name: 'Keep this thread' }).click();
  await expect(notice(page)).toHaveCount(0);
  await expect(rows(page, 'Only for now')).toHaveCount(1);
  await page.reload();
  await expect(sentMessages(page)).toHaveCount(1);
  await expect(rows(page, 'Only for now')).toHaveCount(1);
  await expect(notice(page)).toHaveCount(0);
});
