/** Buttons pressed and forms submitted before the WebAssembly has loaded take effect once it has. */
import type { Page } from '@playwright/test';
import { expect, test } from './fixtures.ts';
import { admin, submitSignIn } from './accounts.ts';
import { askRecorded, recordedAgent } from './recorded.ts';
import { lastRun, waitForConnection, waitForRunState } from './threads.ts';

test.use({ serverOptions: [{ config: recordedAgent(12) }, { scope: 'worker' }] });

/** Delays the page's WebAssembly until the returned function is called. */
async function delayWasm(page: Page): Promise<() => void> {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route(/\.wasm$/, async (route) => {
    await released;
    await route.continue();
  });
  return () => release();
}

test('a click before hydration stops a run', async ({ page, context, signedIn: _ }) => {
  const path = await askRecorded(page);
  const other = await context.newPage();
  const release = await delayWasm(other);
  await other.goto(path);
  await other.getByRole('button', { name: 'Stop' }).click();
  await expect(lastRun(other)).toHaveAttribute('data-run-state', 'running');
  release();
  await waitForRunState(other, 'cancelled');
  await waitForRunState(page, 'cancelled');
});

test('a menu clicked twice before hydration opens once', async ({ page, signedIn: _ }) => {
  const release = await delayWasm(page);
  await page.goto('/account');
  const menu = page.getByRole('button', { name: /^Account of/ });
  await menu.click();
  await menu.click();
  release();
  await waitForConnection(page);
  await expect(page.getByRole('button', { name: 'Sign out', exact: true })).toBeVisible();
});

test('signing in before hydration works, by Enter and by the button', async ({ page, server }) => {
  for (const submit of [() => page.keyboard.press('Enter'), () => page.getByRole('button', { name: 'Sign in' }).click()]) {
    await page.context().clearCookies();
    const release = await delayWasm(page);
    await page.goto(`${server.url}/sign-in`);
    await page.getByLabel('Email').fill(admin.email);
    await page.getByLabel('Password').fill(admin.password);
    await submit();
    expect(page.url()).toBe(`${server.url}/sign-in`);
    release();
    await expect(page).not.toHaveURL(/sign-in/);
    // Connect before the next round removes the cookie: a refused socket would log an error.
    await waitForConnection(page);
    await page.unroute(/\.wasm$/);
  }
});

test('a wrong password sent before hydration is refused with a reason', async ({ page, server, browserConsole }) => {
  browserConsole.allow(/status of 401/);
  const release = await delayWasm(page);
  await page.goto(`${server.url}/sign-in`);
  await submitSignIn(page, { email: admin.email, password: 'not the password' });
  release();
  await expect(page.getByRole('alert')).toContainText(/\S/);
});
