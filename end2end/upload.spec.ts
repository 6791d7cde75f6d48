/** Uploads begin when a file is attached: progress, preview, cancelling, failures, and sending meanwhile. */
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test } from './fixtures.ts';
import { messageField, pendingMessages, sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

test.use({ serverOptions: { env: { NETRA_ANALYST__MAX_FILE_BYTES: '1000' } } });

const log = { name: 'log.csv', mimeType: 'text/csv', buffer: Buffer.from('timestamp,input_tokens,output_tokens\n2024-01-01T00:00:00Z,10,20\n') };
const picture = {
  name: 'dot.png',
  mimeType: 'image/png',
  buffer: Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64'),
};

const attached = (page: Page) => page.getByRole('list', { name: 'Attached files' });
const attach = (page: Page, file: typeof log) => page.locator('input[type=file]').setInputFiles(file, { timeout: 30_000 });
const uploads = (page: Page) => page.waitForResponse((response) => response.url().endsWith('/api/files') && response.request().method() === 'POST');

/** Holds uploads back until `release` is called. */
async function holdUploads(page: Page): Promise<{ count: () => number; release: () => void }> {
  let release = () => {};
  let count = 0;
  const released = new Promise<void>((resolve) => (release = resolve));
  await page.route('**/api/files', async (route) => {
    count += 1;
    await released;
    await route.continue().catch(() => {});
  });
  return { count: () => count, release };
}

test('a file is uploaded when it is attached, with a preview, and is sent with the message', async ({ page, signedIn: _, browserConsole }) => {
  // By Playwright, which reads pictures for its trace.
  browserConsole.allow(/Connecting to 'blob:/);
  await page.goto('/');
  await waitForConnection(page);
  const [uploaded] = await Promise.all([uploads(page), attach(page, log)]);
  expect(uploaded.status()).toBe(201);
  await expect(attached(page)).toContainText('log.csv');
  await expect(attached(page)).toContainText(/CSV, \d+ B/);
  await Promise.all([uploads(page), attach(page, picture)]);
  const image = attached(page).locator('img');
  await expect(image).toBeVisible();
  await expect.poll(() => image.evaluate((element: HTMLImageElement) => element.naturalWidth)).toBe(1);
  await expect(page.getByText('Upload finished.')).toHaveCount(1);
  await expectAccessible(page);
  // The file that is removed is freed on the server.
  const removal = page.waitForResponse((response) => response.request().method() === 'DELETE' && response.url().includes('/api/files/'));
  await attached(page).getByRole('button', { name: 'Remove dot.png' }).click();
  expect((await removal).status()).toBe(204);
  let again = 0;
  page.on('request', (request) => (again += request.url().endsWith('/api/files') ? 1 : 0));
  await sendMessage(page, 'Where do my tokens go?');
  await expect(sentMessages(page)).toContainText('log.csv');
  await waitForRunState(page, 'finished');
  expect(again).toBe(0);
});

test('an upload that was completed is not repeated after a reload', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  await messageField(page).fill('Where do my tokens go?');
  await Promise.all([uploads(page), attach(page, log)]);
  await expect(attached(page)).toContainText(/CSV, \d+ B/);
  let again = 0;
  page.on('request', (request) => (again += request.url().endsWith('/api/files') ? 1 : 0));
  await page.reload();
  await expect(attached(page)).toContainText(/CSV, \d+ B/);
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(sentMessages(page)).toContainText('log.csv');
  expect(again).toBe(0);
});

test('an upload that was interrupted by a reload begins again', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  const held = await holdUploads(page);
  await attach(page, log);
  await expect.poll(held.count).toBe(1);
  await page.unroute('**/api/files');
  await Promise.all([uploads(page), page.reload()]);
  held.release();
  await expect(attached(page)).toContainText(/CSV, \d+ B/);
});

test('a message that is sent during an upload waits for it, and says so', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  const held = await holdUploads(page);
  await attach(page, log);
  await expect(attached(page).getByRole('progressbar', { name: 'Uploading log.csv' })).toBeVisible();
  await messageField(page).fill('Where do my tokens go?');
  // Phones have no space for it.
  await expect(page.getByText('Uploading. A message that you send now waits for its files.')).toBeAttached();
  await expectAccessible(page);
  await sendMessage(page, 'Where do my tokens go?');
  await expect(pendingMessages(page)).toContainText('The message is sent as soon as its files are uploaded.');
  await expect(pendingMessages(page).getByRole('progressbar', { name: 'Uploading log.csv' })).toBeVisible();
  held.release();
  await expect(sentMessages(page)).toContainText('log.csv');
  await expect(pendingMessages(page)).toHaveCount(0);
  expect(held.count()).toBe(1);
});

test('cancelling ends the request, and the next file is uploaded', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  await messageField(page).fill('Some words');
  const held = await holdUploads(page);
  await attach(page, log);
  await attach(page, { ...log, name: 'second.csv' });
  await expect.poll(held.count).toBe(1);
  const ended = page.waitForEvent('requestfailed', (request) => request.url().endsWith('/api/files'));
  await attached(page).getByRole('button', { name: 'Cancel upload of log.csv' }).click();
  await ended;
  await expect.poll(held.count).toBe(2);
  held.release();
  await expect(attached(page).getByRole('listitem')).toHaveCount(1);
  await expect(attached(page)).toContainText('second.csv');
  await expect(attached(page)).toContainText(/CSV, \d+ B/);
  await expect(messageField(page)).toHaveValue('Some words');
});

test('a refused upload shows its reason, and loses neither the file nor the text', async ({ page, signedIn: _, browserConsole }) => {
  browserConsole.allow(/413/);
  await page.goto('/');
  await waitForConnection(page);
  await messageField(page).fill('Where do my tokens go?');
  await attach(page, { ...log, name: 'large.csv', buffer: Buffer.alloc(16_000_000, 'a') });
  await expect(attached(page).getByRole('alert')).toContainText(/too large|at most 1000 bytes/);
  await expect(page.getByRole('button', { name: 'Send' })).toBeDisabled();
  await expect(page.getByText('large.csv was not uploaded. Try again, or remove it.')).toBeVisible();
  await expectAccessible(page);
  await Promise.all([uploads(page), attached(page).getByRole('button', { name: 'Try again' }).click()]);
  await expect(attached(page).getByRole('alert')).toContainText(/too large|at most 1000 bytes/);
  await expect(messageField(page)).toHaveValue('Where do my tokens go?');
  await attached(page).getByRole('button', { name: 'Remove large.csv' }).click();
  await expect(page.getByRole('button', { name: 'Send' })).toBeEnabled();
});

test('a file that the server deleted meanwhile is uploaded again when its message is sent', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  const [uploaded] = await Promise.all([uploads(page), attach(page, log)]);
  const { file_id: id } = (await uploaded.json()) as { file_id: string };
  await expect(attached(page)).toContainText(/CSV, \d+ B/);
  await page.evaluate((id) => fetch(`/api/files/${id}`, { method: 'DELETE' }), id);
  const again = uploads(page);
  await sendMessage(page, 'Where do my tokens go?');
  expect((await again).status()).toBe(201);
  await expect(sentMessages(page)).toContainText('log.csv');
});

test('a file that is attached offline is uploaded when the connection is back', async ({ page, context, signedIn: _, browserConsole }) => {
  browserConsole.allow(/WebSocket|ERR_INTERNET_DISCONNECTED/);
  await page.goto('/');
  await waitForConnection(page);
  await context.setOffline(true);
  await attach(page, log);
  await expect(attached(page)).toContainText('Not uploaded yet. It is uploaded when the server can be reached.');
  await messageField(page).fill('Where do my tokens go?');
  await context.setOffline(false);
  await expect(attached(page)).toContainText(/CSV, \d+ B/, { timeout: 30_000 });
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(sentMessages(page)).toContainText('log.csv');
});
