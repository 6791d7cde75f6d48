import { readFile } from 'node:fs/promises';
import { expect, test } from './fixtures.ts';
import { ask, messageField, waitForConnection, waitForRunState } from './threads.ts';

const log = 'timestamp,model,input_tokens,output_tokens\n2026-01-01T00:00:00Z,gpt-4o,100,10\n';

test('a file of a thread can be downloaded, unchanged and under its name', async ({ page, signedIn: _ }) => {
  const name = 'Übung "1" 👩‍🚀.csv';
  await ask(page, 'Where do my tokens go?', { name, mimeType: 'text/csv', buffer: Buffer.from(log) });
  await waitForRunState(page, 'finished');
  const link = page.getByRole('list', { name: 'Files' }).getByRole('link', { name: `Download ${name}` });
  const [download] = await Promise.all([page.waitForEvent('download'), link.click()]);
  // The browser replaces characters that file systems do not allow.
  expect(download.suggestedFilename().replace(/[_"\u200d]/g, '')).toBe(name.replace(/["\u200d]/g, ''));
  expect(await readFile(await download.path(), 'utf8')).toBe(log);
  await expect(page).toHaveURL(/\/threads\//);
});

test('a pasted picture is attached, and invisible characters are removed from pasted text', async ({ page, signedIn: _, browserConsole }) => {
  // By Playwright, which reads pictures for its trace.
  browserConsole.allow(/Connecting to 'blob:/);
  await page.goto('/');
  await waitForConnection(page);
  const field = messageField(page);
  await field.focus();
  const paste = (text: string | undefined, picture: boolean) =>
    field.evaluate(
      (area, { text, picture }) => {
        const clipboardData = new DataTransfer();
        if (text !== undefined) clipboardData.setData('text/plain', text);
        if (picture) clipboardData.items.add(new File([new Uint8Array([137, 80, 78, 71])], 'image.png', { type: 'image/png' }));
        area.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
      },
      { text, picture },
    );
  await paste('\u{feff}5\u{a0}000\u{200b} tok\u{ad}ens\u{202e}\r\n👩‍🚀', false);
  await expect(field).toHaveValue('5 000 tokens\n👩‍🚀');
  await expect(page.getByRole('list', { name: 'Attached files' })).toHaveCount(0);
  await paste(undefined, true);
  await expect(page.getByRole('list', { name: 'Attached files' }).getByText('image.png')).toBeVisible();
  await expect(field).toHaveValue('5 000 tokens\n👩‍🚀');
});

test('hidden characters in names are made visible', async ({ page, signedIn: _ }) => {
  await ask(page, 'invoice\u{202e}fdp.exe שלום', { name: 'log\u{202e}vsc.exe.csv', mimeType: 'text/csv', buffer: Buffer.from(log) });
  await waitForRunState(page, 'finished');
  await expect(page.locator('.header-title')).toHaveText('invoice\\u202efdp.exe שלום: log\\u202evsc.exe.csv');
  await expect(page).toHaveTitle(/invoice\\u202efdp\.exe שלום/);
  await expect(page.getByRole('list', { name: 'Files' }).getByText('log\\u202evsc.exe.csv')).toBeVisible();
  // The file picker offers the types that the analyst reads.
  await expect(page.locator('input[type=file]')).toHaveAttribute('accept', /^\.csv,/);
});
