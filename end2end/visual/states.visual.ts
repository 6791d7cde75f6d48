/** The main states of the page, each as a picture. Times and durations, which differ each time, are covered. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { admin } from '../accounts.ts';
import { expect, type Page, test as base } from '../fixtures.ts';
import { recordedAgent } from '../recorded.ts';
import { type ScriptedAgent, scriptedAgentFixture } from '../scripted.ts';
import { ask, lastRun, messageField, showAnalysis, waitForConnection, waitForRunState } from '../threads.ts';

const folder = mkdtempSync(join(tmpdir(), 'netra-visual-'));

/** The configuration of a replay agent whose answer is the text of `answer.md`. */
function markdownAgent(): string {
  const text = readFileSync(resolve(import.meta.dirname, 'answer.md'), 'utf8');
  const file = join(folder, 'answer.jsonl');
  const events = [
    { type: 'TEXT_MESSAGE_START', messageId: 'm', role: 'assistant' },
    { type: 'TEXT_MESSAGE_CONTENT', messageId: 'm', delta: text },
    { type: 'TEXT_MESSAGE_END', messageId: 'm' },
  ];
  writeFileSync(file, events.map((event) => JSON.stringify(event)).join('\n'));
  return `[[agents]]\nid = "markdown"\nname = "Markdown"\nkind = "replay"\nfile = "${file}"\nevents_per_second = 100000\n`;
}

const test = base.extend<object, { scripted: ScriptedAgent }>({
  scripted: scriptedAgentFixture,
  serverOptions: [
    async ({ scripted }, use) => use({ config: recordedAgent(100_000) + markdownAgent() + scripted.config }),
    { scope: 'worker' },
  ],
});

/** Compares what the window shows. */
async function compare(page: Page, name: string): Promise<void> {
  await page.evaluate(() => document.fonts.ready);
  const mask = [page.locator('time'), page.locator('.time'), page.locator('.run-state'), page.locator('.presence')];
  await expect(page).toHaveScreenshot(`${name}.png`, { mask });
}

test('signing in', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByLabel('Email')).toBeVisible();
  await compare(page, 'sign-in');
});

test('a new thread, and what can be typed in it', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  await compare(page, 'start');
  await messageField(page).fill('@');
  await expect(page.getByRole('listbox', { name: 'Suggestions' })).toBeVisible();
  await compare(page, 'suggestions');
});

test('an answer with figures', async ({ page, signedIn: _ }) => {
  await showAnalysis(page);
  await compare(page, 'analysis');
});

test('an answer in Markdown', async ({ page, signedIn: _ }) => {
  const path = await ask(page, '@markdown Show what you can write');
  await waitForRunState(page, 'finished');
  await page.goto(path);
  await waitForConnection(page);
  await expect(lastRun(page).locator('.katex').first()).toBeVisible();
  await expect(lastRun(page).locator('pre span').first()).toBeVisible();
  await compare(page, 'markdown');
});

test('approvals, in the thread and in the inbox', async ({ page, signedIn: _ }) => {
  await ask(page, '@scripted Write a mail');
  await waitForRunState(page, 'interrupted');
  await expect(page.getByRole('button', { name: 'Approve' })).toBeVisible();
  await compare(page, 'approval');
  await page.goto('/inbox');
  await waitForConnection(page);
  await expect(page.getByRole('button', { name: 'Approve' }).first()).toBeVisible();
  await compare(page, 'inbox');
});

test('dialogs', async ({ page, signedIn: _ }) => {
  const path = await ask(page, '@recorded Go on');
  await waitForRunState(page, 'finished');
  await page.goto(path);
  await waitForConnection(page);
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox', { name: /Search or jump to/ }).fill('the');
  await compare(page, 'palette');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: `Account of ${admin.name}` }).click();
  await compare(page, 'account-menu');
  await page.getByRole('button', { name: 'Prompts', exact: true }).click();
  await expect(page.getByRole('searchbox', { name: 'Search prompts by name' })).toBeFocused();
  await compare(page, 'prompts');
});

test('administration and account', async ({ page, signedIn: _ }) => {
  await page.goto('/admin/agents');
  await waitForConnection(page);
  await expect(page.getByRole('heading', { name: 'Agents' }).first()).toBeVisible();
  await compare(page, 'agents');
  await page.goto('/account');
  await waitForConnection(page);
  await compare(page, 'account');
});
