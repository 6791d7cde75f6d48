/** The command palette, the list of shortcuts, and shortcuts. */
import { admin } from './accounts.ts';
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test } from './fixtures.ts';
import { recordedAgent } from './recorded.ts';
import { ask, lastRun, messageField, sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

test.use({ serverOptions: [{ config: recordedAgent(12) }, { scope: 'worker' }] });

const palette = (page: Page) => page.getByRole('dialog', { name: 'Search or jump to' });
const field = (page: Page) => page.getByRole('combobox', { name: 'Search or jump to' });
const option = (page: Page, name: string | RegExp) => palette(page).getByRole('option', { name });
const shortcuts = (page: Page) => page.getByRole('dialog', { name: 'Keyboard shortcuts' });

async function home(page: Page): Promise<void> {
  await page.goto('/');
  await waitForConnection(page);
}

async function openPalette(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Search or jump to' }).click();
  await expect(field(page)).toBeFocused();
}

/** Answers requests to search, without a server's index. */
async function answerSearches(page: Page, answer: (query: string) => Promise<object | undefined>): Promise<void> {
  await page.route(/\/api\/search\?/, async (route) => {
    const found = await answer(new URL(route.request().url()).searchParams.get('q') ?? '');
    if (found) await route.fulfill({ json: found });
    else await route.abort();
  });
}

const nothing = { hits: [] };

test('the palette opens by its button and its keys, and closes with the focus where it was', async ({ page, signedIn: _ }, { project }) => {
  await answerSearches(page, async () => nothing);
  await home(page);
  await openPalette(page);
  await expectAccessible(page);
  await page.keyboard.press('Escape');
  await expect(palette(page)).toHaveCount(0);
  await expect(page.getByRole('button', { name: 'Search or jump to' })).toBeFocused();
  if (project.name === 'phone') return;
  await messageField(page).fill('A draft');
  await page.keyboard.press('Control+k');
  await expect(field(page)).toBeFocused();
  await page.keyboard.press('Tab');
  await expect.poll(() => page.evaluate(() => document.activeElement?.closest('main') === null), 'the page behind is not reached').toBe(true);
  await field(page).focus();
  await page.keyboard.press('Control+k');
  await expect(messageField(page)).toBeFocused();
  await expect(messageField(page)).toHaveValue('A draft');
  await page.keyboard.press('Control+k');
  await palette(page).getByRole('button', { name: 'Close' }).click();
  await expect(messageField(page)).toBeFocused();
});

test('the palette finds threads by words in any order, marks them, and opens one', async ({ page, signedIn: _ }) => {
  await answerSearches(page, async () => nothing);
  const path = await ask(page, 'Where do the zebra tokens go');
  await waitForRunState(page, 'finished');
  await ask(page, 'Something else entirely');
  await waitForRunState(page, 'finished');
  await openPalette(page);
  await field(page).fill('tok zeb');
  await expect(option(page, 'Where do the zebra tokens go')).toHaveAttribute('aria-selected', 'true');
  await expect(option(page, 'Where do the zebra tokens go').locator('mark')).toHaveText(['zeb', 'tok']);
  const selected = await option(page, 'Where do the zebra tokens go').getAttribute('id');
  await expect(field(page)).toHaveAttribute('aria-activedescendant', selected ?? '');
  await expectAccessible(page);
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(new RegExp(`${path}$`));
  await expect(palette(page)).toHaveCount(0);
  await expect.poll(() => page.evaluate(() => document.activeElement !== document.body)).toBe(true);

  await openPalette(page);
  await field(page).fill('no such thing anywhere');
  await expect(palette(page).getByText('No results for “no such thing anywhere”.')).toBeVisible();
  await expectAccessible(page);
});

test('arrow keys and the pointer choose an action', async ({ page, signedIn: _ }) => {
  await answerSearches(page, async () => nothing);
  await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await openPalette(page);
  const options = palette(page).getByRole('option');
  await expect(options.first()).toHaveAttribute('aria-selected', 'true');
  await page.keyboard.press('ArrowDown');
  await expect(options.nth(1)).toHaveAttribute('aria-selected', 'true');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('ArrowUp');
  await expect(options.last()).toHaveAttribute('aria-selected', 'true');

  await field(page).fill('dark');
  await option(page, 'Use the dark theme').click();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await openPalette(page);
  await expect(option(page, 'Use the dark theme')).toHaveCount(0);
  await expectAccessible(page);
  await field(page).fill('system theme');
  await page.keyboard.press('Enter');
  await expect(page.locator('html')).not.toHaveAttribute('data-theme');

  await openPalette(page);
  await field(page).fill('with recorded');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/$/);
  await expect(page.getByLabel('Agent')).toHaveValue('recorded');

  await openPalette(page);
  await field(page).fill('account');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/account$/);
  await expect(page.getByRole('main')).toBeFocused();
  await openPalette(page);
  await field(page).fill('agents tools');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/admin\/agents$/);
  await openPalette(page);
  await field(page).fill('sign out');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/sign-in/);
});

test('the palette stops the answer', async ({ page, signedIn: _ }) => {
  await ask(page, '@recorded Go on');
  await waitForRunState(page, 'running');
  await openPalette(page);
  await option(page, /^Stop the answer/).click();
  await waitForRunState(page, 'cancelled');
  await expect.poll(() => page.evaluate(() => document.activeElement !== document.body)).toBe(true);
});

test('messages are found while typing: the newest query counts, and a failure is told quietly', async ({ page, signedIn: _, browserConsole }) => {
  browserConsole.allow(/ERR_FAILED|Failed to load resource/);
  const path = await ask(page, 'The first question');
  await waitForRunState(page, 'finished');
  const message = await sentMessages(page).first().getAttribute('data-message-id');
  const hit = (text: string) => ({
    thread_id: path.split('/').pop(),
    title: 'The first question',
    kind: 'answer',
    message_id: message,
    at: 0,
    excerpt: [{ text: 'An answer about ', matched: false }, { text, matched: true }],
  });
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const queries: string[] = [];
  await answerSearches(page, async (query) => {
    queries.push(query);
    if (query === 'broken') return undefined;
    if (query === 'q') await held;
    return { hits: [hit(query)] };
  });
  await openPalette(page);
  await field(page).pressSequentially('quag');
  await expect.poll(() => queries).toEqual(['q']);
  release();
  await expect(option(page, /An answer about quag/)).toBeVisible();
  await expect(option(page, /An answer about quag/).locator('mark')).toHaveText('quag');
  expect(queries, 'one request at a time, the next for the newest query').toEqual(['q', 'quag']);
  await expectAccessible(page);

  await field(page).fill('broken');
  await expect(palette(page).getByText(/could not be searched/)).toBeVisible();
  await field(page).fill('quagga');
  await expect(palette(page).getByText(/could not be searched/)).toHaveCount(0);
  await option(page, /An answer about quagga/).click();
  await expect(page).toHaveURL(new RegExp(`${path}\\?m=${message}$`));
});

test('the list of shortcuts opens by its key and from the menu; single keys can be turned off @desktop', async ({ page, signedIn: _ }) => {
  await answerSearches(page, async () => nothing);
  await home(page);
  await page.getByRole('main').focus();
  await page.keyboard.press('?');
  await expect(shortcuts(page)).toBeVisible();
  await expect(shortcuts(page).getByText('Search or jump to')).toBeVisible();
  await expectAccessible(page);
  await page.keyboard.press('Escape');
  await expect(shortcuts(page)).toHaveCount(0);
  await expect(page.getByRole('main')).toBeFocused();

  await page.keyboard.press('/');
  await expect(messageField(page)).toBeFocused();
  await page.keyboard.type('a/b?');
  await expect(messageField(page)).toHaveValue('a/b?');
  await expect(shortcuts(page)).toHaveCount(0);

  const account = page.getByRole('button', { name: `Account of ${admin.name}` });
  await account.click();
  await page.getByRole('button', { name: 'Keyboard shortcuts' }).click();
  await shortcuts(page).getByRole('checkbox', { name: /Single-key shortcuts/ }).uncheck();
  await expectAccessible(page);
  await page.keyboard.press('Escape');
  await expect(account).toBeFocused();
  await page.getByRole('main').focus();
  await page.keyboard.press('/');
  await expect(page.getByRole('main')).toBeFocused();
  await page.reload();
  await waitForConnection(page);
  await page.getByRole('main').focus();
  await page.keyboard.press('?');
  await page.keyboard.press('Control+k');
  await expect(field(page)).toBeFocused();
  await expect(shortcuts(page)).toHaveCount(0);
  await field(page).fill('keyboard');
  await page.keyboard.press('Enter');
  await shortcuts(page).getByRole('checkbox', { name: /Single-key shortcuts/ }).check();
  await page.keyboard.press('Escape');
  await page.getByRole('main').focus();
  await page.keyboard.press('?');
  await expect(shortcuts(page)).toBeVisible();
});

test('keys start a thread, edit the last message, and go between messages @desktop', async ({ page, signedIn: _ }) => {
  await ask(page, 'The first one');
  await waitForRunState(page, 'finished');
  await sendMessage(page, 'The second one');
  await expect(sentMessages(page)).toHaveCount(2);
  await waitForRunState(page, 'finished');

  await messageField(page).press('ArrowUp');
  const edit = page.getByLabel('Edit your message');
  await expect(edit).toBeFocused();
  await expect(edit).toHaveValue('The second one');
  await page.keyboard.press('Escape');
  await expect(edit).toHaveCount(0);
  await messageField(page).fill('Not empty');
  await page.keyboard.press('ArrowUp');
  await expect(edit).toHaveCount(0);

  await page.getByRole('region', { name: 'Conversation' }).focus();
  await page.keyboard.press('Alt+ArrowDown');
  const isFocused = (selector: string) => expect.poll(() => page.evaluate((selector) => document.activeElement?.matches(selector), selector)).toBe(true);
  await isFocused('.timeline article');
  await lastRun(page).getByRole('button').first().focus();
  await page.keyboard.press('Alt+ArrowUp');
  await isFocused('.question');
  await expect(sentMessages(page).last()).toBeFocused();
  await page.keyboard.press('Alt+ArrowUp');
  await isFocused('.run');
  await page.keyboard.press('Alt+ArrowDown');
  await expect(sentMessages(page).last()).toBeFocused();
  await page.keyboard.press('Alt+ArrowDown');
  await expect(lastRun(page)).toBeFocused();

  await page.keyboard.press('Control+Shift+O');
  await expect(page).toHaveURL(/\/$/);
  await expect(messageField(page)).toBeFocused();
});
