/** The composer beside its text: pasted texts, files, and what screen readers hear. */
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test as base } from './fixtures.ts';
import { type ScriptedAgent, scriptedAgentFixture } from './scripted.ts';
import { endAnswer, type StreamedAgent, streamedAgentFixture } from './streamed.ts';
import { ask, lastRun, messageField, sendMessage, waitForConnection, waitForRunState } from './threads.ts';

const test = base.extend<{}, { streamed: StreamedAgent; scripted: ScriptedAgent }>({
  streamed: streamedAgentFixture,
  scripted: scriptedAgentFixture,
  serverOptions: [async ({ streamed, scripted }, use) => use({ config: `${streamed.config}\n${scripted.config}` }), { scope: 'worker' }],
});

const attached = (page: Page) => page.getByRole('list', { name: 'Attached files' });

async function paste(page: Page, text: string): Promise<void> {
  await messageField(page).focus();
  await messageField(page).evaluate((area, text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', text);
    area.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
  }, text);
}

const hasFocus = (page: Page) => expect.poll(() => page.evaluate(() => document.activeElement !== document.body), 'an element has the focus').toBe(true);

test('a long pasted text becomes a file, or text again', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  const long = 'A line of the log.\n'.repeat(150);
  await messageField(page).fill('See ');
  await paste(page, long);
  await expect(attached(page).getByText('Pasted text.txt')).toBeVisible();
  await expect(page.getByText('Pasted text attached as a file.')).toBeVisible();
  await expect(messageField(page)).toHaveValue('See ');
  await expectAccessible(page);
  await page.getByRole('button', { name: 'Insert as text instead' }).click();
  await expect(messageField(page)).toHaveValue(`See ${long}`);
  await expect(messageField(page)).toBeFocused();
  await expect(attached(page)).toHaveCount(0);
  await expect(page.getByText('Pasted text attached as a file.')).toHaveCount(0);

  await messageField(page).fill('Read this');
  await paste(page, long);
  await paste(page, long);
  await expect(attached(page).getByRole('listitem')).toHaveCount(2);
  await attached(page).getByRole('button', { name: 'Remove Pasted text 2.txt' }).click();
  await expect(page.getByText('Pasted text attached as a file.')).toHaveCount(0);
  // The invisible character is removed, so the page inserts the text itself; a made-up event has no default action.
  await paste(page, 'A short\u{200b} text');
  await expect(messageField(page)).toHaveValue('Read thisA short text');
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page.getByRole('list', { name: 'Files' }).getByRole('link', { name: 'Pasted text.txt', exact: true })).toBeVisible();
});

test('files of a message open in a new tab if browsers can show them, and download', async ({ page, context, streamed, signedIn: _, browserConsole }) => {
  // By Playwright, in the sandbox of the shown file.
  browserConsole.allow(/Blocked script execution/);
  const log = 'timestamp,model,input_tokens,output_tokens\n2026-01-01T00:00:00Z,gpt-4o,100,10\n';
  await ask(page, '@streamed Look at this', { name: 'log.csv', mimeType: 'text/csv', buffer: Buffer.from(log) });
  await expect.poll(() => streamed.isAnswering).toBe(true);
  await endAnswer(page, streamed);
  const files = page.getByRole('list', { name: 'Files' });
  await expectAccessible(page);
  const [tab] = await Promise.all([context.waitForEvent('page'), files.getByRole('link', { name: 'log.csv', exact: true }).click()]);
  await tab.waitForLoadState();
  await expect(tab.locator('body')).toContainText('gpt-4o');
  await tab.close();
  const [download] = await Promise.all([page.waitForEvent('download'), files.getByRole('link', { name: 'Download log.csv' }).click()]);
  expect(download.suggestedFilename()).toBe('log.csv');

  const path = await files.getByRole('link', { name: 'log.csv', exact: true }).getAttribute('href');
  const shown = await page.request.get(path ?? '');
  expect(shown.headers()['content-type']).toBe('text/plain; charset=utf-8');
  expect(shown.headers()['content-disposition']).toMatch(/^inline/);
  expect(shown.headers()['content-security-policy']).toContain("default-src 'none'");
  expect(shown.headers()['x-content-type-options']).toBe('nosniff');

  // A file that could run scripts is only downloaded, whatever the address asks for.
  await ask(page, '@streamed And this', { name: 'page.html', mimeType: 'text/html', buffer: Buffer.from('<script>alert(1)</script>') });
  await expect.poll(() => streamed.isAnswering).toBe(true);
  await endAnswer(page, streamed);
  const link = page.getByRole('list', { name: 'Files' }).getByRole('link');
  await expect(link).toHaveCount(1);
  const refused = await page.request.get(`${await link.getAttribute('href')}?show=true`);
  expect(refused.headers()['content-type']).toBe('application/octet-stream');
  expect(refused.headers()['content-disposition']).toMatch(/^attachment/);
});

/** Collects what the live regions of the thread say. */
async function listen(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const heard: string[] = [];
    Object.assign(window, { heard });
    const read = () => {
      for (const region of document.querySelectorAll('.conversation > [role="status"].sr-only')) {
        const text = region.textContent?.trim() ?? '';
        if (text && heard.at(-1) !== text) heard.push(text);
      }
    };
    new MutationObserver(read).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  return () => page.evaluate(() => (window as unknown as { heard: string[] }).heard);
}

test('screen readers hear that an answer begins, asks, ends or fails, and never its text', async ({ page, streamed, signedIn: _ }) => {
  await ask(page, '@scripted Hello');
  await waitForRunState(page, 'finished');
  const heard = await listen(page);
  await sendMessage(page, '@streamed Go on');
  await waitForRunState(page, 'running');
  await expect.poll(heard).toContain('Streamed is answering.');
  for (const word of ['Some ', 'secret ', 'words.']) streamed.write(word);
  await expect(lastRun(page)).toContainText('Some secret words.');
  streamed.finish();
  await waitForRunState(page, 'finished');
  await expect.poll(heard).toContain('Streamed has answered.');
  await sendMessage(page, '@scripted Send a mail');
  await waitForRunState(page, 'interrupted');
  await expect.poll(async () => (await heard()).at(-1)).toMatch(/^Scripted is waiting for you\. May I send this mail\?/);
  await sendMessage(page, '@streamed Once more');
  await waitForRunState(page, 'running');
  await page.getByRole('button', { name: 'Stop' }).click();
  await waitForRunState(page, 'cancelled');
  await expect.poll(heard).toContain('Streamed was stopped.');
  expect((await heard()).join(' ')).not.toContain('secret');
});

test('the focus is never lost by sending, stopping, editing or removing files', async ({ page, signedIn: _ }, { project }) => {
  await page.goto('/');
  await waitForConnection(page);
  await page.locator('input[type=file]').setInputFiles({ name: 'a.csv', mimeType: 'text/csv', buffer: Buffer.from('a,b\n1,2\n') });
  await attached(page).getByRole('button', { name: 'Remove a.csv' }).click();
  await expect(attached(page)).toHaveCount(0);
  await hasFocus(page);
  await messageField(page).fill('@streamed Go on');
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page).toHaveURL(/\/threads\//);
  await waitForRunState(page, 'running');
  await expect(messageField(page)).toBeFocused();
  await page.getByRole('button', { name: 'Stop' }).click();
  await waitForRunState(page, 'cancelled');
  await expect(page.getByRole('button', { name: 'Stop' })).toHaveCount(0);
  await hasFocus(page);

  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByLabel('Edit your message').fill('@streamed Again');
  await page.getByRole('button', { name: 'Send' }).first().click();
  await waitForRunState(page, 'running');
  await hasFocus(page);
  if (project.name === 'desktop') {
    await page.keyboard.press('Escape');
    await waitForRunState(page, 'cancelled');
    await hasFocus(page);
  }
});
