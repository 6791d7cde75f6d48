/** The replay of a run: positions, the strip, the log entries, and its way into and out of the address. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test as base } from './fixtures.ts';
import { recordedAgent } from './recorded.ts';
import { type ScriptedAgent, scriptedAgentFixture } from './scripted.ts';
import { answerMenu, ask, lastRun, pressInAnswerMenu, sendMessage, waitForConnection, waitForRunState } from './threads.ts';

const folder = mkdtempSync(join(tmpdir(), 'netra-replays-'));

/** The configuration of a replay agent that writes one text in this many pieces. */
function longAnswer(pieces: number): string {
  const file = join(folder, 'long.jsonl');
  const words = Array.from({ length: pieces }, (_, index) => ({ type: 'TEXT_MESSAGE_CONTENT', messageId: 'm', delta: `w${index} ` }));
  const events = [{ type: 'TEXT_MESSAGE_START', messageId: 'm', role: 'assistant' }, ...words, { type: 'TEXT_MESSAGE_END', messageId: 'm' }];
  writeFileSync(file, events.map((event) => JSON.stringify(event)).join('\n'));
  return `[[agents]]\nid = "long"\nname = "Long"\nkind = "replay"\nfile = "${file}"\nevents_per_second = 100000\n`;
}

// Each piece of a text is an entry of its own.
const env = { NETRA_SOCKET__COALESCE_MS: '0' };
const test = base.extend<object, { scripted: ScriptedAgent }>({
  scripted: scriptedAgentFixture,
  serverOptions: [async ({ scripted }, use) => use({ config: recordedAgent(400) + longAnswer(10_000) + scripted.config, env }), { scope: 'worker' }],
});

const dialog = (page: Page) => page.getByRole('dialog', { name: 'Replay' });
const replayed = (page: Page) => dialog(page).locator('[data-run-id]');
const slider = (page: Page) => dialog(page).getByRole('slider', { name: 'Position' });
const replayable = (page: Page) => page.locator('.conversation [data-run-id]');
const entries = (page: Page) => dialog(page).getByRole('listbox', { name: 'Entries' });
const selectedEntry = (page: Page) => entries(page).getByRole('option', { selected: true });

/** Asks an agent, and waits for the end of its run. */
async function askUntil(page: Page, message: string, state: string): Promise<void> {
  await ask(page, message);
  await waitForRunState(page, state);
}

/** Opens the replay of the last run, and returns the number of its entries. */
async function openReplay(page: Page): Promise<number> {
  await pressInAnswerMenu(page, 'Replay', replayable(page).last());
  await expect(slider(page)).toHaveAttribute('aria-valuetext', /^1 of \d+, 0 ms$/);
  return Number(await slider(page).getAttribute('max'));
}

/** The position that is shown. */
const position = async (page: Page): Promise<number> => Number(await slider(page).inputValue());

/** The texts, and the states of the sub-agents, of a run. */
async function content(run: ReturnType<typeof replayed>): Promise<unknown> {
  const texts = await run.locator('.answer, .report .text').allInnerTexts();
  const agents = await run.locator('[data-subagent]').evaluateAll((all) => all.map((agent) => [agent.getAttribute('data-subagent'), agent.getAttribute('data-state')]));
  return { texts, agents };
}

test('a run is replayed step by step, and ends as the thread shows it', async ({ page, signedIn: _ }) => {
  await askUntil(page, '@recorded Go on', 'finished');
  const expected = await content(lastRun(page));
  const count = await openReplay(page);
  expect(count, 'an entry for each event').toBeGreaterThan(500);
  await expect(page).toHaveURL(/\?replay=[0-9a-f-]{36}$/);
  await expect(replayed(page)).toHaveAttribute('data-run-state', 'waiting');
  await expect(dialog(page).getByRole('button', { name: 'Play' })).toBeFocused();

  await page.keyboard.press('ArrowRight');
  await expect(replayed(page)).toHaveAttribute('data-run-state', 'running');
  await expect(slider(page)).toHaveAttribute('aria-valuetext', new RegExp(`^2 of ${count}, `));
  await page.keyboard.press('End');
  await expect(replayed(page)).toHaveAttribute('data-run-state', 'finished');
  expect(await content(replayed(page))).toEqual(expected);
  await dialog(page).getByRole('button', { name: 'Step back' }).click();
  await expect(replayed(page)).toHaveAttribute('data-run-state', 'running');
  await slider(page).fill(String(Math.floor(count / 2)));
  await expect(replayed(page).locator('[data-subagent="Report"]')).toHaveAttribute('data-state', 'open');
  await page.keyboard.press('Home');
  await expect(replayed(page)).toHaveAttribute('data-run-state', 'waiting');
  await expect(replayed(page).locator('[data-subagent]')).toHaveCount(0);
  await slider(page).fill(String(count));
  expect(await content(replayed(page))).toEqual(expected);
});

test('a run plays at the chosen speed, can be paused, and stops at its end', async ({ page, signedIn: _ }) => {
  await askUntil(page, '@recorded Go on', 'finished');
  const count = await openReplay(page);
  await dialog(page).getByLabel('Speed').selectOption('0.5');
  await page.keyboard.press('Tab');
  await slider(page).focus();
  await page.keyboard.press('Space');
  await expect.poll(() => position(page)).toBeGreaterThan(20);
  await page.keyboard.press('Space');
  await expect(dialog(page).getByRole('button', { name: 'Play' })).toBeVisible();
  expect(await position(page)).toBeLessThan(count);
  await dialog(page).getByLabel('Speed').selectOption('10');
  await dialog(page).getByRole('button', { name: 'Play' }).click();
  await expect(slider(page)).toHaveValue(String(count));
  await expect(dialog(page).getByRole('button', { name: 'Play' })).toBeVisible();
  await expect(replayed(page)).toHaveAttribute('data-run-state', 'finished');
  // From the beginning again.
  await dialog(page).getByLabel('Speed').selectOption('0.5');
  await dialog(page).getByRole('button', { name: 'Play' }).click();
  await expect.poll(() => position(page)).toBeLessThan(count);
});

test('bars of the strip lead to the beginnings of agents, steps and tool calls', async ({ page, signedIn: _ }) => {
  await askUntil(page, '@recorded Go on', 'finished');
  await openReplay(page);
  const strip = dialog(page).getByRole('group', { name: 'Agents, steps, tools and waits' });
  const call = strip.getByRole('button', { name: /^Tool call / }).first();
  const name = /^Tool call (\S+), /.exec((await call.getAttribute('aria-label')) ?? '')?.[1] ?? '';
  await call.click();
  const tool = replayed(page).locator(`[data-tool="${name}"]`);
  await expect(tool.getByRole('img', { name: 'In progress' })).toBeVisible();
  const at = await position(page);
  expect(at).toBeGreaterThan(1);
  await page.keyboard.press('ArrowLeft');
  await expect(strip.locator(':focus'), 'arrow keys move between bars').toHaveCount(1);
  expect(await position(page), 'and not the position').toBe(at);
  await page.keyboard.press('Home');
  await page.keyboard.press('Enter');
  // The first bar is the wait for the start, or the run itself if it started at once.
  await expect(slider(page)).toHaveValue(/^[12]$/);
  await page.keyboard.press('End');
  await page.keyboard.press('Enter');
  await expect.poll(() => position(page)).toBeGreaterThan(at);
  await expect(strip.locator('[tabindex="0"]'), 'one tab stop').toHaveCount(1);
});

test('log entries are filtered, lead to their positions, and are downloaded', async ({ page, signedIn: _ }) => {
  await askUntil(page, '@recorded Go on', 'finished');
  const count = await openReplay(page);
  await dialog(page).getByRole('button', { name: 'Log entries' }).click();
  await expect(dialog(page).getByText(`${count} entries`)).toBeVisible();
  await expect(selectedEntry(page)).toContainText('MESSAGE');
  await dialog(page).getByLabel('Kind of entry').selectOption('TOOL_CALL_START');
  await expect(entries(page).getByRole('option')).toHaveCount(3);
  await entries(page).getByRole('option').nth(1).click();
  await expect(selectedEntry(page)).toContainText('TOOL_CALL_START');
  const at = await position(page);
  await page.keyboard.press('ArrowDown');
  await expect.poll(() => position(page)).toBeGreaterThan(at);
  const detail = dialog(page).getByRole('region', { name: 'JSON of the entry' });
  await expect(detail).toContainText('"type": "TOOL_CALL_START"');
  await dialog(page).getByLabel('Filter entries').fill('no such text');
  await expect(dialog(page).getByText('No entry matches.')).toBeVisible();
  await dialog(page).getByLabel('Filter entries').fill('');
  await dialog(page).getByLabel('Kind of entry').selectOption('');

  const downloading = page.waitForEvent('download');
  await dialog(page).getByRole('button', { name: 'Download' }).click();
  const download = await downloading;
  expect(download.suggestedFilename()).toMatch(/^run-[0-9a-f-]{36}\.jsonl$/);
  const lines = readFileSync(await download.path(), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as { seq: number });
  expect(lines).toHaveLength(count);
  const run = new URL(page.url()).searchParams.get('replay');
  const first = (await (await page.request.get(`/api/runs/${run}/entries?limit=100`)).json()) as { entries: unknown[] };
  expect(lines.slice(0, 100)).toEqual(first.entries);
});

test('ten thousand entries stay responsive', async ({ page, signedIn: _ }) => {
  await askUntil(page, '@long Go on', 'finished');
  const count = await openReplay(page);
  expect(count).toBeGreaterThan(10_000);
  await dialog(page).getByRole('button', { name: 'Log entries' }).click();
  await entries(page).focus();
  await page.keyboard.press('End');
  await expect(selectedEntry(page)).toContainText('RUN_FINISHED');
  await expect(selectedEntry(page)).toBeInViewport();
  expect(await entries(page).getByRole('option').count(), 'a part is in the document').toBeLessThan(100);
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('ArrowUp');
  await expect(selectedEntry(page)).toContainText('w9999');
  await expect(replayed(page).locator('.answer')).toContainText('w9999');
  await page.keyboard.press('Home');
  await expect(replayed(page).locator('.answer')).toHaveCount(0);
});

test('Escape and Back close the replay and return the focus, and its address opens it', async ({ page, signedIn: _ }) => {
  const path = await ask(page, '@recorded Go on');
  await waitForRunState(page, 'finished');
  await openReplay(page);
  const address = page.url();
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toBeHidden();
  await expect(page).toHaveURL(new RegExp(`${path}$`));
  await expect(answerMenu(page, replayable(page).last())).toBeFocused();

  await openReplay(page);
  await page.goBack();
  await expect(dialog(page)).toBeHidden();
  await expect(page).toHaveURL(new RegExp(`${path}$`));
  await expect(answerMenu(page, replayable(page).last())).toBeFocused();

  await page.goto(address);
  await expect(slider(page)).toHaveAttribute('aria-valuetext', /^1 of /);
  await dialog(page).getByRole('button', { name: 'Close' }).click();
  await expect(dialog(page)).toBeHidden();
  await expect(page).toHaveURL(new RegExp(`${path}$`));
  await expect(answerMenu(page, replayable(page).last())).toBeFocused();
});

test('a replay sends nothing: interrupts cannot be answered in it, only in the thread', async ({ page, signedIn: _ }) => {
  await askUntil(page, '@scripted Write a mail', 'interrupted');
  await openReplay(page);
  await page.keyboard.press('End');
  await expect(replayed(page)).toHaveAttribute('data-run-state', 'interrupted');
  await expect(replayed(page).getByText('Waiting for an answer.')).toBeVisible();
  await expect(replayed(page).getByRole('button', { name: /Approve|Deny|Ask again|Good answer/ })).toHaveCount(0);
  // Escape closes the replay, and does not stop anything.
  await page.keyboard.press('Escape');
  await waitForRunState(page, 'interrupted');
  await page.getByRole('button', { name: 'Approve' }).click();
  await waitForRunState(page, 'finished');

  // The run that goes on, and the one that waited, which now shows how long it did.
  await openReplay(page);
  await page.keyboard.press('End');
  await expect(replayed(page)).toContainText('Sent:');
  await page.keyboard.press('Escape');
  await pressInAnswerMenu(page, 'Replay', replayable(page).first());
  await expect(dialog(page).getByRole('button', { name: /^Waiting for you, / })).toBeVisible();
});

test('the address of a run that is not in the thread says so', async ({ page, signedIn: _ }) => {
  const path = await ask(page, '@recorded Go on');
  await waitForRunState(page, 'finished');
  await page.goto(`${path}?replay=00000000-0000-7000-8000-000000000000`);
  await expect(dialog(page)).toContainText('This answer is no longer in the thread.');
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toBeHidden();
  await waitForConnection(page);
  await sendMessage(page, 'Go on');
});

test('a replay is accessible, with and without the entries', async ({ page, signedIn: _ }) => {
  // Checking many elements in two themes takes its time.
  test.slow();
  await askUntil(page, '@recorded Go on', 'finished');
  const count = await openReplay(page);
  await slider(page).fill(String(Math.floor(count / 2)));
  await expectAccessible(page);
  await dialog(page).getByRole('button', { name: 'Log entries' }).click();
  await expect(selectedEntry(page)).toBeVisible();
  await expectAccessible(page);
  await page.emulateMedia({ colorScheme: 'dark' });
  await expectAccessible(page);
});
