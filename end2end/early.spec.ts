/** What a person does with a page whose code has not come yet is done when it has. */
import type { Page } from '@playwright/test';
import { expect, test } from './fixtures.ts';
import { admin, submitSignIn } from './people.ts';
import { askRecorded, recordedAgent } from './recorded.ts';
import { connected, lastRun, runIs } from './threads.ts';

test.use({ serverOptions: [{ config: recordedAgent(12) }, { scope: 'worker' }] });

/** Keeps the page's code away until it is asked for. */
async function withoutCode(page: Page): Promise<() => void> {
  let come = () => {};
  const asked = new Promise<void>((done) => {
    come = done;
  });
  await page.route(/\.wasm$/, async (route) => {
    await asked;
    await route.continue();
  });
  return () => come();
}

test('a run is stopped by a press that comes before the page is alive', async ({ page, context, signedIn }) => {
  expect(signedIn.name).not.toBe('');
  const path = await askRecorded(page);
  const other = await context.newPage();
  const come = await withoutCode(other);
  await other.goto(path);
  await other.getByRole('button', { name: 'Stop' }).click();
  await expect(lastRun(other)).toHaveAttribute('data-run-state', 'running');
  come();
  await runIs(other, 'cancelled');
  await runIs(page, 'cancelled');
});

test('a menu that is pressed twice before the page is alive opens once', async ({ page, signedIn }) => {
  expect(signedIn.name).not.toBe('');
  const come = await withoutCode(page);
  await page.goto('/account');
  const menu = page.getByRole('button', { name: /^Account of/ });
  await menu.click();
  await menu.click();
  come();
  await connected(page);
  await expect(page.getByRole('button', { name: 'Sign out', exact: true })).toBeVisible();
});

test('who signs in before the page is alive, by Enter or by the button, is signed in', async ({ page, server }) => {
  for (const send of [() => page.keyboard.press('Enter'), () => page.getByRole('button', { name: 'Sign in' }).click()]) {
    await page.context().clearCookies();
    const come = await withoutCode(page);
    await page.goto(`${server.url}/sign-in`);
    await page.getByLabel('Email').fill(admin.email);
    await page.getByLabel('Password').fill(admin.password);
    await send();
    expect(page.url()).toBe(`${server.url}/sign-in`);
    come();
    await expect(page).not.toHaveURL(/sign-in/);
    await page.unroute(/\.wasm$/);
  }
});

test('a form without its answers says so, also to a press that came before the page was alive', async ({ page, server, browserConsole }) => {
  browserConsole.allow(/status of 401/);
  const come = await withoutCode(page);
  await page.goto(`${server.url}/sign-in`);
  await submitSignIn(page, { email: admin.email, password: 'not the password' });
  come();
  await expect(page.getByRole('alert')).toContainText(/\S/);
});
