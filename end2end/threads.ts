/** What a person does in a thread, by what they see. */
import { expect, type Page } from '@playwright/test';

type Upload = string | { name: string; mimeType: string; buffer: Buffer };

/** Waits until the indicator says that the socket is open. */
export async function connected(page: Page): Promise<void> {
  await expect(page.locator('[data-status]').first()).toHaveAttribute('data-status', 'connected');
}

/** The id of the page's connection, as the server gave it. */
export async function connectionId(page: Page): Promise<string> {
  await connected(page);
  const id = await page.locator('[data-connection]').first().getAttribute('data-connection');
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  return id ?? '';
}

/** Asks in a new thread, and answers with the thread's path. */
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

/** The last run as a reader sees it, without what differs between two looks at the same thing (times). */
export async function runText(page: Page): Promise<string> {
  const text = await lastRun(page).innerText();
  return text.replace(/\b\d+(\.\d+)?\s?(ms|s|min|h)\b/g, '').replace(/\s+/g, ' ').trim();
}
