/** Actions in a thread, through the page. */
import { expect, type Page } from '@playwright/test';
import { generatedLog } from './logs.ts';

type Upload = string | { name: string; mimeType: string; buffer: Buffer };

/** Waits until the indicator shows that the socket is open. */
export async function waitForConnection(page: Page): Promise<void> {
  await expect(page.locator('[data-status]').first()).toHaveAttribute('data-status', 'connected');
}

/** Waits until the page has connected again by itself after an outage. It waits up to 20 s between attempts. */
export async function waitForReconnection(page: Page): Promise<void> {
  await expect(page.locator('[data-status]').first()).toHaveAttribute('data-status', 'connected', { timeout: 30_000 });
}

/** The id of the page's connection, assigned by the server. */
export async function connectionId(page: Page): Promise<string> {
  await waitForConnection(page);
  const id = await page.locator('[data-connection]').first().getAttribute('data-connection');
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  return id ?? '';
}

/** The text field of the composer. */
export const messageField = (page: Page) => page.getByLabel('Message', { exact: true });

/** The user's messages that the thread shows as sent. */
export const sentMessages = (page: Page) => page.locator('.question:not(.pending)');

/** The user's messages that are not sent yet. */
export const pendingMessages = (page: Page) => page.locator('.question.pending');

/** The scroll box of the thread. */
export const scroller = (page: Page) => page.getByRole('region', { name: 'Conversation' });

/** How far the end is below the window, in pixels. */
export const distanceToEnd = (page: Page) => scroller(page).evaluate((area) => area.scrollHeight - area.clientHeight - area.scrollTop);

/** The button that returns to the end of the thread. */
export const jumpButton = (page: Page) => page.getByRole('button', { name: 'Jump to latest' });

/** Sends a message with the composer, and waits until the composer is empty. */
export async function sendMessage(page: Page, text: string): Promise<void> {
  await messageField(page).fill(text);
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(messageField(page)).toHaveValue('');
}

/** Sends a message in a new thread, and returns the thread's path. */
export async function ask(page: Page, text: string, file?: Upload): Promise<string> {
  await page.goto('/');
  await waitForConnection(page);
  if (file) await page.locator('input[type=file]').setInputFiles(file);
  await sendMessage(page, text);
  await expect(page).toHaveURL(/\/threads\/[0-9a-f-]{36}$/);
  return new URL(page.url()).pathname;
}

/** The last run on the page. */
export function lastRun(page: Page) {
  return page.locator('[data-run-id]').last();
}

/** The button that opens the menu of an answer: of the last one, or of those in `within`. */
export const answerMenu = (page: Page, within = lastRun(page)) => within.getByRole('button', { name: 'More actions for this answer' });

/** Opens the menu of an answer and presses one of its buttons or links. */
export async function pressInAnswerMenu(page: Page, name: string, within = lastRun(page)): Promise<void> {
  await answerMenu(page, within).click();
  const menu = page.getByRole('group', { name: 'More actions for this answer' });
  await menu.getByRole('button', { name }).or(menu.getByRole('link', { name })).click();
}

/** Waits until the last run is in a state. */
export async function waitForRunState(page: Page, state: string, timeout = 30_000): Promise<void> {
  await expect(lastRun(page)).toHaveAttribute('data-run-state', state, { timeout });
}

/** The visible text of the last run, without durations, which differ between page loads. */
export async function runText(page: Page): Promise<string> {
  const text = await lastRun(page).innerText();
  return text.replace(/\b\d+(\.\d+)?\s?(ms|s|min|h)\b/g, '').replace(/\s+/g, ' ').trim();
}

/** Asks the analyst about a usage log, opens the thread again, and scrolls to the question: the state that pictures show. */
export async function showAnalysis(page: Page): Promise<void> {
  const path = await ask(page, 'Where do my tokens go, and what should I change?', generatedLog(600));
  await waitForRunState(page, 'finished');
  await page.goto(path);
  await waitForConnection(page);
  await expect(lastRun(page).locator('table').first()).toBeVisible();
  await page.locator('.question').first().scrollIntoViewIfNeeded();
  await expect(page.locator('.question').first()).toBeInViewport();
}
