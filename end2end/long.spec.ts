/** Long threads: only the turns near the reader are in the document. */
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test } from './fixtures.ts';
import { recordedAgent } from './recorded.ts';
import type { Server } from './server.ts';
import { distanceToEnd, jumpButton, messageField, scroller, sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

const turns = 12;
/** More elements than this are never in the document. */
const maxElements = 3_000;

test.use({ serverOptions: { config: recordedAgent(1_000_000), env: { NETRA_SOCKET__COMMANDS_PER_MINUTE: '100000' } } });

/** Creates a thread over HTTP, turn by turn, and returns its path. */
async function createThread(page: Page, server: Server, id: string): Promise<string> {
  let path = '';
  for (let turn = 1; turn <= turns; turn++) {
    const response = await page.request.post(`${server.url}/api/agents/recorded/agui`, {
      headers: { origin: server.url },
      data: {
        threadId: id,
        runId: `run-${turn}`,
        messages: [{ id: `question-${turn}`, role: 'user', content: `Question ${turn}.` }],
        tools: [],
        context: [],
        state: {},
        forwardedProps: {},
      },
    });
    expect(await response.text()).toContain('"RUN_FINISHED"');
    path = `/threads/${response.headers()['x-netra-thread-id']}`;
  }
  return path;
}

const question = (page: Page, turn: number) => sentMessages(page).filter({ hasText: `Question ${turn}.` });

const countElements = (page: Page) => page.evaluate(() => document.querySelectorAll('*').length);

/** Expects the end of the thread at the bottom of the window. */
async function expectEndVisible(page: Page): Promise<void> {
  await expect(question(page, turns)).toBeAttached();
  await expect.poll(() => distanceToEnd(page)).toBeLessThanOrEqual(2);
  await expect(jumpButton(page)).toHaveCount(0);
}

/** Opens a thread, and goes to its end: it opens at the beginning of its last answer. */
async function openAtEnd(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await waitForConnection(page);
  await expect(question(page, turns)).toBeAttached();
  await scroller(page).press('End');
  await expectEndVisible(page);
}

/** The numbers of the questions in the document. */
async function shown(page: Page): Promise<number[]> {
  const texts = await sentMessages(page).allTextContents();
  return texts.map((text) => Number(text.match(/Question (\d+)\./)?.[1]));
}

test('a long thread is read from its end to its beginning and back, with a bounded document', async ({ page, server, signedIn: _ }) => {
  const path = await createThread(page, server, 'read');
  await openAtEnd(page, path);
  await expect(question(page, 1)).toHaveCount(0);
  await scroller(page).hover();
  const seen = new Set<number>();
  const look = async () => {
    const numbers = await shown(page);
    expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index));
    numbers.forEach((number) => seen.add(number));
    expect(await countElements(page)).toBeLessThan(maxElements);
  };
  await expect(async () => {
    await look();
    await page.mouse.wheel(0, -900);
    await expect(question(page, 1)).toBeInViewport({ timeout: 100 });
  }).toPass({ intervals: [50] });
  expect(seen.size).toBe(turns);
  await expect(page.getByRole('button', { name: 'Show earlier messages' })).toHaveCount(0);
  await expect(question(page, turns)).toHaveCount(0);
  await expect(async () => {
    await look();
    await page.mouse.wheel(0, 900);
    await expect(question(page, turns)).toBeAttached({ timeout: 100 });
    await expect(jumpButton(page)).toHaveCount(0, { timeout: 100 });
  }).toPass({ intervals: [50] });
});

test('turns that are added above do not move what is being read', async ({ page, server, signedIn: _ }) => {
  const path = await createThread(page, server, 'still');
  await openAtEnd(page, path);
  const earlier = page.getByRole('button', { name: 'Show earlier messages' });
  await scroller(page).hover();
  // A position in the middle of what is there.
  await page.mouse.wheel(0, -400);
  await expect(jumpButton(page)).toBeVisible();
  const first = (await shown(page))[0] ?? 0;
  const visible = page.locator('.timeline > article').filter({ visible: true }).last();
  const id = await visible.getAttribute('data-run-id');
  const top = () => page.locator(`[data-run-id="${id}"]`).evaluate((article) => Math.round(article.getBoundingClientRect().top));
  const before = await top();
  await earlier.dispatchEvent('click');
  await expect.poll(async () => (await shown(page))[0]).toBeLessThan(first);
  expect(Math.abs((await top()) - before)).toBeLessThanOrEqual(2);
});

test('the keys Home and End, the button to the end and a new message lead to turns that are not in the document', async ({ page, server, signedIn: _ }) => {
  const path = await createThread(page, server, 'jump');
  await page.goto(path);
  await waitForConnection(page);
  await scroller(page).focus();
  await page.keyboard.press('Home');
  await expect(question(page, 1)).toBeInViewport();
  await expect(question(page, turns)).toHaveCount(0);
  await expect(scroller(page)).toBeFocused();
  await expectAccessible(page);
  await page.keyboard.press('End');
  await expectEndVisible(page);
  await expect(question(page, 1)).toHaveCount(0);
  await page.keyboard.press('Home');
  await expect(question(page, 1)).toBeInViewport();
  await jumpButton(page).click();
  await expectEndVisible(page);
  await page.keyboard.press('Home');
  await expect(question(page, 1)).toBeInViewport();
  await sendMessage(page, 'One more.');
  await expect(sentMessages(page).filter({ hasText: 'One more.' })).toBeAttached();
  await waitForRunState(page, 'finished');
  await expect.poll(() => distanceToEnd(page)).toBeLessThanOrEqual(2);
  await expect(messageField(page)).toBeVisible();
});

test('the page comes with the turns at its end alone', async ({ page, server, signedIn: _ }) => {
  const path = await createThread(page, server, 'served');
  const html = await (await page.request.get(server.url + path)).text();
  const articles = html.match(/data-run-id=/g) ?? [];
  expect(articles.length).toBeGreaterThan(1);
  expect(articles.length).toBeLessThan(turns);
});

test('the reading position is kept for another thread, for back, and for a reload', async ({ page, server, signedIn: _ }) => {
  const path = await createThread(page, server, 'position');
  await page.goto(path);
  await waitForConnection(page);
  await scroller(page).focus();
  await page.keyboard.press('Home');
  await expect(question(page, 1)).toBeInViewport();
  await scroller(page).hover();
  await page.mouse.wheel(0, 700);
  const first = page.locator('.timeline > article').first();
  await expect.poll(() => first.evaluate((article) => article.getBoundingClientRect().top)).toBeLessThan(-300);
  /** The distance of the thread's second question from the top of the window. */
  const top = () => question(page, 2).evaluate((article) => Math.round(article.getBoundingClientRect().top));
  const before = await top();
  const expectSamePosition = async () => {
    await expect(question(page, 2)).toBeAttached();
    await expect.poll(async () => Math.abs((await top()) - before)).toBeLessThanOrEqual(2);
    await expect(jumpButton(page)).toBeVisible();
  };
  await page.goto('/account');
  await page.goBack();
  await expectSamePosition();
  await page.reload();
  await waitForConnection(page);
  await expectSamePosition();
  // Without loading another page.
  await page.keyboard.press('Control+Shift+O');
  await expect(page).toHaveURL(`${server.url}/`);
  await page.goBack();
  await expectSamePosition();
  await jumpButton(page).click();
  await expectEndVisible(page);
  await page.reload();
  await waitForConnection(page);
  await expectEndVisible(page);
});
