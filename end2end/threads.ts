/** Actions in a thread, through the page. */
import { expect, type Page } from '@playwright/test';

type Upload = string | { name: string; mimeType: string; buffer: Buffer };

/** Waits until the indicator shows that the socket is open. */
export async function connected(page: Page): Promise<void> {
  await expect(page.locator('[data-status]').first()).toHaveAttribute('data-status', 'connected');
}

/** The id of the page's connection, assigned by the server. */
export async function connectionId(page: Page): Promise<string> {
  await connected(page);
  const id = await page.locator('[data-connection]').first().getAttribute('data-connection');
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  return id ?? '';
}

/** Asks a question in a new thread, and returns the thread's path. */
export async function ask(page: Page, question: string, file?: Upload): Promise<string> {
  await page.goto('/');
  await connected(page);
  if (file) await page.locator('input[type=file]').setInputFiles(file);
  await page.getByLabel('Message').fill(question);
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page).toHaveURL(/\/threads\/[0-9a-f-]{36}$/);
  return new URL(page.url()).pathname;
}

/** The last run on the page. */
export function lastRun(page: Page) {
  return page.locator('[data-run-id]').last();
}

/** Waits until the last run is in a state. */
export async function runIs(page: Page, state: string, timeout = 30_000): Promise<void> {
  await expect(lastRun(page)).toHaveAttribute('data-run-state', state, { timeout });
}

/** The visible text of the last run, without durations, which differ between page loads. */
export async function runText(page: Page): Promise<string> {
  const text = await lastRun(page).innerText();
  return text.replace(/\b\d+(\.\d+)?\s?(ms|s|min|h)\b/g, '').replace(/\s+/g, ' ').trim();
}
