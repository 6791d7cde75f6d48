import { expect, test } from './fixtures.ts';
import { createAdmin, signInByRequest } from './accounts.ts';
import { askRecorded, recordedAgent } from './recorded.ts';
import { ask, connectionId, lastRun, messageField, runText, scroller, sendMessage, waitForConnection, waitForReconnection, waitForRunState } from './threads.ts';

test.use({ serverOptions: [{ config: recordedAgent(24) }, { scope: 'worker' }] });

/** The number of the user's open sockets, as the server reports it. */
async function connectionCount(page: import('@playwright/test').Page, url: string): Promise<number> {
  const response = await page.request.get(`${url}/api/auth/me`);
  expect(response.status()).toBe(200);
  return ((await response.json()) as { connections: number }).connections;
}

test('twenty route changes use one connection @desktop', async ({ page, server, signedIn: _ }) => {
  await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  const before = await connectionId(page);
  const threads = page.getByRole('navigation', { name: 'Threads' });
  for (let change = 0; change < 10; change++) {
    await page.getByRole('link', { name: 'New thread' }).first().click();
    await expect(page).toHaveURL(/\/$/);
    await threads.locator('a[href^="/threads/"]').first().click();
    await expect(page).toHaveURL(/\/threads\//);
  }
  expect(await connectionId(page)).toBe(before);
  expect(await connectionCount(page, server.url)).toBe(1);
});

test('a reload during a run shows everything once', async ({ page, context, signedIn: _ }) => {
  const path = await askRecorded(page);
  const other = await context.newPage();
  await other.goto(path);
  await page.reload();
  await waitForRunState(page, 'running');
  await page.reload();
  await waitForRunState(page, 'finished', 60_000);
  await waitForRunState(other, 'finished', 60_000);
  const text = await runText(page);
  expect(await runText(other)).toBe(text);
  await page.reload();
  await waitForRunState(page, 'finished');
  expect(await runText(page)).toBe(text);
});

test('a message sent offline waits and is delivered when the network is back', async ({ page, context, signedIn: _, browserConsole }) => {
  browserConsole.allow(/ERR_INTERNET_DISCONNECTED|WebSocket/);
  await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await context.setOffline(true);
  await expect(page.locator('[data-status]').first()).toHaveAttribute('data-status', /offline|reconnecting/);
  await sendMessage(page, 'And without a log?');
  await expect(page.locator('[data-run-id]')).toHaveCount(1);
  await context.setOffline(false);
  await expect(page.locator('[data-run-id]')).toHaveCount(2, { timeout: 30_000 });
  await waitForRunState(page, 'finished');
});

test('a run can be stopped from another tab', async ({ page, context, signedIn: _ }) => {
  const path = await askRecorded(page);
  const other = await context.newPage();
  await other.goto(path);
  await other.getByRole('button', { name: 'Stop' }).click();
  await waitForRunState(other, 'cancelled');
  await waitForRunState(page, 'cancelled');
});

test('Escape stops a run, in the composer and in the conversation @desktop', async ({ page, signedIn: _ }) => {
  for (const target of [messageField(page), scroller(page)]) {
    await askRecorded(page);
    await expect(page.getByRole('button', { name: 'Stop' })).toHaveAttribute('title', /Escape/);
    await target.focus();
    await page.keyboard.press('Escape');
    await waitForRunState(page, 'cancelled');
    await expect(lastRun(page).getByRole('button', { name: 'Ask again' })).toBeEnabled();
  }
});

test('a crash of the server ends the run with a reason, and the page recovers @desktop', async ({ page, freshServer, browserConsole }) => {
  // The page may wait 20 s between two attempts to connect.
  test.slow();
  browserConsole.allow(/WebSocket|ERR_CONNECTION_REFUSED|status of 50\d/);
  await createAdmin(freshServer);
  await signInByRequest(page, freshServer);
  await page.goto(freshServer.url);
  await waitForConnection(page);
  await page.getByLabel('Agent').selectOption('recorded');
  await sendMessage(page, 'Go on');
  await waitForRunState(page, 'running');
  await freshServer.kill9();
  await expect(page.locator('[data-status]').first()).toHaveAttribute('data-status', 'reconnecting');
  await freshServer.start();
  await waitForRunState(page, 'failed', 40_000);
  await waitForReconnection(page);
  await page.getByRole('button', { name: 'Ask again' }).click();
  await waitForRunState(page, 'running');
  await expect(page.getByRole('group', { name: 'Versions of this message' })).toContainText('2/2');
  await expect(lastRun(page)).toHaveAttribute('aria-label', 'Answer from Recorded');
  // Stop the run: the server, which the test stops next, would wait for it.
  await page.getByRole('button', { name: 'Stop' }).click();
  await waitForRunState(page, 'cancelled');
});
