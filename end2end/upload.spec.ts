/** Uploads that are refused while they are in progress. */
import { expect, test } from './fixtures.ts';
import { sendMessage, waitForConnection } from './threads.ts';

test.use({ serverOptions: { env: { NETRA_ANALYST__MAX_FILE_BYTES: '1000' } } });

test('a refused upload shows its reason', async ({ page, signedIn: _, browserConsole }) => {
  browserConsole.allow(/413/);
  await page.goto('/');
  await waitForConnection(page);
  const file = { name: 'large.csv', mimeType: 'text/csv', buffer: Buffer.alloc(16_000_000, 'a') };
  await page.locator('input[type=file]').setInputFiles(file, { timeout: 30_000 });
  await sendMessage(page, 'Where do my tokens go?');
  await expect(page.getByRole('alert').filter({ hasText: 'Not sent' })).toContainText(/too large|at most 1000 bytes/);
});
