/** Parts of the page that are loaded only when they are shown, and what happens when they cannot be loaded. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, type Page, test } from './fixtures.ts';
import { admin } from './accounts.ts';
import { generatedLog } from './logs.ts';
import { ask, lastRun, pressInAnswerMenu, waitForConnection, waitForRunState } from './threads.ts';

// `make build` leaves this mark; with it, the tests run, and fail if the page is not split.
const isRelease = existsSync(resolve(import.meta.dirname, '../target/site/.release'));
test.skip(!isRelease, 'target/site is not a release build: only `make build` splits the page');

/** The file of the administrators' page. */
const adminFile = /\/pkg\/netra-split_admin\.[^/]+\.wasm$/;
const agents = (page: Page) => page.locator('[data-agent="analyst"]');
const failure = (page: Page) => page.getByRole('alert').filter({ hasText: 'could not be loaded' });

/** Collects the files of parts that a page requests, without their hashes. */
function requestedParts(page: Page): Set<string> {
  const parts = new Set<string>();
  page.on('request', (request) => {
    const name = /\/pkg\/netra-split_(\w+)\./.exec(request.url())?.[1];
    if (name) parts.add(name);
  });
  return parts;
}

/** Opens the administrators' page by its link. */
async function followLink(page: Page): Promise<void> {
  await page.getByRole('button', { name: `Account of ${admin.name}` }).click();
  await page.getByRole('link', { name: 'Agents, tools, usage' }).click();
  await expect(page).toHaveURL(/\/admin\/agents$/);
}

test('sign-in and a thread load no part, and each part is loaded when it is first shown', async ({ page }) => {
  const parts = requestedParts(page);
  await page.goto('/sign-in');
  await page.getByLabel('Email').fill(admin.email);
  await page.getByLabel('Password').fill(admin.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await waitForConnection(page);
  await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await page.reload();
  await waitForConnection(page);
  expect([...parts]).toEqual([]);
  await followLink(page);
  await expect(agents(page)).toHaveAttribute('data-state', 'usable');
  expect([...parts]).toEqual(['admin']);
});

test('the replay of a run is loaded when it is first opened', async ({ page, signedIn: _ }) => {
  const parts = requestedParts(page);
  await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  expect([...parts]).toEqual([]);
  await pressInAnswerMenu(page, 'Replay');
  await expect(page.getByRole('slider', { name: 'Position' })).toBeVisible();
  expect([...parts]).toEqual(['replay']);
});

test('a part in the HTML of a page is loaded before the page is hydrated', async ({ page, signedIn: _, browserConsole }) => {
  browserConsole.allow(/status of 403/);
  const parts = requestedParts(page);
  await page.goto('/account');
  await waitForConnection(page);
  expect([...parts]).toEqual(['account']);
  await page.getByLabel('Current password').fill('wrong');
  await page.getByLabel('New password').fill('four unrelated words');
  await page.getByRole('button', { name: 'Change password' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
});

test('a part that cannot be loaded is shown when trying again succeeds', async ({ page, signedIn: _, browserConsole }) => {
  browserConsole.allow(/Failed to fetch|ERR_FAILED/);
  await page.goto('/');
  await waitForConnection(page);
  await page.evaluate(() => Object.assign(window, { marked: true }));
  await page.route(adminFile, (route) => route.abort());
  await followLink(page);
  await expect(failure(page)).toBeVisible();
  await page.unroute(adminFile);
  await failure(page).getByRole('button', { name: 'Try again' }).click();
  await expect(agents(page)).toHaveAttribute('data-state', 'usable');
  await expect(failure(page)).toHaveCount(0);
  expect(await page.evaluate(() => 'marked' in window), 'the page was not reloaded').toBe(true);
});

test('all places of a part that could not be loaded are shown after one retry', async ({ page, signedIn: _, browserConsole }) => {
  browserConsole.allow(/Failed to fetch|ERR_FAILED/);
  const figureFile = /\/pkg\/netra-split_figure\.[^/]+\.wasm$/;
  await page.route(figureFile, (route) => route.abort());
  await ask(page, 'Where do my tokens go, and what should I change?', generatedLog(600));
  await waitForRunState(page, 'finished');
  const failures = lastRun(page).getByRole('alert').filter({ hasText: 'could not be loaded' });
  await expect(failures.first()).toBeVisible();
  expect(await failures.count(), 'the run has several charts and tables').toBeGreaterThan(1);
  await page.unroute(figureFile);
  await failures.first().getByRole('button', { name: 'Try again' }).click();
  await expect(failures).toHaveCount(0);
  await expect(lastRun(page).locator('table').first()).toBeVisible();
});

test('a part that the server no longer has reloads the page when trying again', async ({ page, signedIn: _, browserConsole }) => {
  browserConsole.allow(/404|Incorrect response MIME type|HTTP status code is not ok/);
  await page.goto('/');
  await waitForConnection(page);
  await page.evaluate(() => Object.assign(window, { marked: true }));
  await page.route(adminFile, (route) => route.fulfill({ status: 404, contentType: 'text/plain', body: 'not found' }));
  await followLink(page);
  await expect(failure(page)).toBeVisible();
  // The page of the server's new build has the new file.
  page.once('framenavigated', () => void page.unroute(adminFile));
  await failure(page).getByRole('button', { name: 'Try again' }).click();
  await expect(agents(page)).toHaveAttribute('data-state', 'usable');
  expect(await page.evaluate(() => 'marked' in window), 'the page was reloaded').toBe(false);
});

test('a page whose part cannot be loaded says so before hydration, and can be reloaded', async ({ page, signedIn: _, browserConsole }) => {
  browserConsole.allow(/Failed to fetch|ERR_FAILED/);
  await page.route(adminFile, (route) => route.abort());
  await page.goto('/admin/agents');
  await expect(failure(page)).toBeVisible();
  await page.unroute(adminFile);
  await failure(page).getByRole('link', { name: 'Reload the page' }).click();
  await expect(agents(page)).toHaveAttribute('data-state', 'usable');
  await expect(failure(page)).toHaveCount(0);
});
