/** The page reports the known state of runs, connections and agents, and what to do. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { expect, test } from './fixtures.ts';
import { createAdmin, signInByRequest } from './accounts.ts';
import { Server } from './server.ts';
import { lastRun, pendingMessages, sendMessage, waitForConnection, waitForReconnection, waitForRunState } from './threads.ts';

const folder = mkdtempSync(join(tmpdir(), 'netra-recordings-'));

/** The configuration of a replay agent with these events. */
function recording(id: string, eventsPerSecond: number, events: object[]): string {
  const file = join(folder, `${id}.jsonl`);
  writeFileSync(file, events.map((event) => JSON.stringify(event)).join('\n'));
  return `[[agents]]\nid = "${id}"\nname = "${id}"\nkind = "replay"\nfile = "${file}"\nevents_per_second = ${eventsPerSecond}\n`;
}

const words = Array.from({ length: 600 }, (_, index) => ({ type: 'TEXT_MESSAGE_CONTENT', messageId: 'm', delta: `word ${index} ` }));
const slow = recording('slow', 10, [{ type: 'TEXT_MESSAGE_START', messageId: 'm', role: 'assistant' }, ...words, { type: 'TEXT_MESSAGE_END', messageId: 'm' }]);
const failing = recording('failing', 100, [
  { type: 'STEP_STARTED', stepName: 'fetch the prices' },
  { type: 'TOOL_CALL_START', toolCallId: 'c', toolCallName: 'read_prices' },
  { type: 'TOOL_CALL_ARGS', toolCallId: 'c', delta: '{}' },
  { type: 'TOOL_CALL_END', toolCallId: 'c' },
  { type: 'RUN_ERROR', message: 'the price list is unavailable', code: 'no_prices' },
]);
const silent = recording('silent', 100, [
  { type: 'STEP_STARTED', stepName: 'look' },
  { type: 'STEP_FINISHED', stepName: 'look' },
]);

test.use({ serverOptions: [{ config: slow + failing + silent }, { scope: 'worker' }] });

async function askAgent(page: Page, agent: string, url = '/'): Promise<void> {
  await page.goto(url);
  await waitForConnection(page);
  await page.getByLabel('Agent').selectOption(agent);
  await sendMessage(page, 'Go on');
  await expect(page).toHaveURL(/\/threads\//);
}

test('without the server, no run is shown as running, none can be stopped, and messages wait', async ({ page, freshServer, browserConsole }) => {
  // The page may wait 20 s between two attempts to connect.
  test.slow();
  browserConsole.allow(/WebSocket|ERR_CONNECTION_REFUSED|status of 50\d/);
  await createAdmin(freshServer);
  await signInByRequest(page, freshServer);
  await askAgent(page, 'slow', freshServer.url);
  await waitForRunState(page, 'running');
  await expect(lastRun(page).locator('.byline .time').first()).toHaveText(/\d s/);
  await freshServer.kill9();
  await expect(lastRun(page)).toContainText('Not connected: state unknown');
  await expect(page.getByRole('button', { name: 'Stop' })).toBeDisabled();
  await expect(page.locator('.indicator-cause')).toContainText('The server is not responding.');
  const durationBefore = await lastRun(page).locator('.byline .time').first().innerText();
  await sendMessage(page, 'And then?');
  await expect(pendingMessages(page)).toContainText('Not sent yet. It will be sent when the connection is back.');
  // Wait for later attempts: their countdown uses the same clock.
  await expect(page.locator('[data-status]').first()).toContainText(/attempt ([3-9]|\d\d)/, { timeout: 20_000 });
  expect(await lastRun(page).locator('.byline .time').first().innerText()).toBe(durationBefore);
  await freshServer.start();
  await waitForReconnection(page);
  await expect(pendingMessages(page)).toHaveCount(0, { timeout: 20_000 });
});

test('a thread that is deleted elsewhere is reported', async ({ page, context, signedIn: _ }) => {
  await askAgent(page, 'slow');
  await waitForRunState(page, 'running');
  const id = new URL(page.url()).pathname.split('/').pop();
  const other = await context.newPage();
  await other.goto('/');
  await waitForConnection(other);
  const menu = other.getByRole('button', { name: 'Threads', exact: true });
  if (await menu.isVisible()) await menu.click();
  const row = other.locator(`[data-thread-id="${id}"]`);
  await row.hover();
  await row.getByRole('button', { name: /Actions for/ }).click();
  await row.getByRole('button', { name: 'Delete' }).click();
  // Leaving the page ends the time in which it could be undone.
  await other.goto('about:blank');
  await expect(page.getByRole('heading', { name: 'Thread not available any more' })).toBeVisible();
  await expect(page.getByText('Open in')).toHaveCount(0);
  await expect(page.locator('[data-run-id]')).toHaveCount(0);
});

test('the duration of a run follows the server’s clock, not the device’s @desktop', async ({ page, signedIn: _ }) => {
  await page.addInitScript(() => {
    const now = Date.now.bind(Date);
    Date.now = () => now() + 3_600_000;
  });
  await askAgent(page, 'slow');
  await waitForRunState(page, 'running');
  await expect(lastRun(page).locator('.byline .time').first()).toHaveText(/^\d+ s$/);
  await page.keyboard.press('Escape');
});

test('a failed step has no check mark, and its agent is shown as failing @desktop', async ({ page, signedIn: _ }) => {
  await askAgent(page, 'failing');
  await waitForRunState(page, 'failed');
  await expect(lastRun(page).locator('.step').getByRole('img', { name: 'Failed' })).toBeVisible();
  await expect(lastRun(page).locator('.tool').getByRole('img', { name: 'Failed' })).toBeVisible();
  await expect(lastRun(page).getByRole('img', { name: 'Done' })).toHaveCount(0);
  await page.goto('/admin/agents');
  const card = page.locator('[data-agent="failing"]');
  await expect(card).toContainText('Last run failed');
  await expect(card).toContainText('The price list is unavailable');
  await expect(page.locator('[data-agent="silent"]')).toContainText('Usable');
});

test('a run without output is reported @desktop', async ({ page, signedIn: _ }) => {
  await askAgent(page, 'silent');
  await waitForRunState(page, 'finished');
  await expect(lastRun(page)).toContainText('The agent ended without an answer.');
});

test('editing a message stops the run of its old version', async ({ page, signedIn: _ }) => {
  await askAgent(page, 'slow');
  await waitForRunState(page, 'running');
  const before = await lastRun(page).getAttribute('data-run-id');
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.locator('.question textarea').fill('Go on, but shorter');
  await page.locator('.question').getByRole('button', { name: 'Send' }).click();
  await expect(page.locator(`[data-run-id="${before}"]`)).toHaveCount(0);
  await waitForRunState(page, 'running');
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByRole('button', { name: 'Previous version' }).click();
  await expect(page.locator(`[data-run-id="${before}"]`)).toHaveAttribute('data-run-state', 'cancelled');
});

/** A proxy that forwards requests and refuses WebSocket upgrades. */
async function withoutUpgrades(target: number): Promise<HttpServer> {
  const proxy = createServer((incoming, outgoing) => {
    const { upgrade: _, connection: __, ...headers } = incoming.headers;
    const forwarded = request({ port: target, host: '127.0.0.1', path: incoming.url, method: incoming.method, headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
    });
    // Either side may close its connection first.
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  proxy.on('upgrade', (_, socket) => socket.on('error', () => socket.destroy()).end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'));
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return proxy;
}

test('a proxy that refuses upgrades is named as the cause @desktop', async ({ page, server, browserConsole }) => {
  browserConsole.allow(/WebSocket/);
  const proxy = await withoutUpgrades(server.port);
  try {
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    await signInByRequest(page, server);
    await page.goto(url);
    await expect(page.locator('.indicator-cause')).toContainText('pass WebSocket upgrades', { timeout: 20_000 });
    await page.goto('about:blank');
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

test('a page from another address than the public one names the address and the setting @desktop', async ({ page }) => {
  const server = await Server.start({ env: { NETRA_SERVER__PUBLIC_URL: 'https://netra.example.org' } });
  try {
    await page.goto(`${server.url}/setup`);
    const problem = page.getByRole('alert').first();
    await expect(problem).toContainText('Open https://netra.example.org');
    await expect(problem).toContainText(`server.public_url = "${server.url}"`);
  } finally {
    await page.close();
    await server.remove();
  }
});
