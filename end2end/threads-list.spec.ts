/** The list of threads: groups, pinned and archived threads, marks, deleting with undo, loading older threads. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectAccessible } from './accessible.ts';
import { signInByRequest } from './accounts.ts';
import { expect, type Page, test } from './fixtures.ts';
import { messageField, sendMessage, waitForConnection, waitForRunState } from './threads.ts';

/** The configuration of an agent that fails. */
function failing(): string {
  const file = join(mkdtempSync(join(tmpdir(), 'netra-recordings-')), 'failing.jsonl');
  writeFileSync(file, JSON.stringify({ type: 'RUN_ERROR', message: 'the price list is unavailable', code: 'no_prices' }));
  return `[[agents]]\nid = "failing"\nname = "Failing"\nkind = "replay"\nfile = "${file}"\nevents_per_second = 100\n`;
}

const env = { NETRA_SOCKET__COMMANDS_PER_MINUTE: '100000' };
test.use({ serverOptions: [{ config: failing(), env }, { scope: 'worker' }] });

const list = (page: Page) => page.getByRole('navigation', { name: 'Threads', includeHidden: true });
const rows = (page: Page) => list(page).locator('.thread-row');
const row = (page: Page, title: string) => rows(page).filter({ has: page.getByText(title, { exact: true }) });
const headings = (page: Page) => list(page).getByRole('heading', { includeHidden: true });
const notice = (page: Page) => page.locator('.undo-notice');

/** Sends commands over another socket of the same user, and waits for their replies. */
async function command(page: Page, ...commands: { type: string; payload: object }[]): Promise<void> {
  await page.evaluate(async (commands) => {
    const { url, protocol } = ((await (await fetch('/api/config')).json()) as { socket: { url: string; protocol: string } }).socket;
    const socket = new WebSocket(url, protocol);
    await new Promise((resolve) => (socket.onopen = resolve));
    let answered = 0;
    const all = new Promise<void>((resolve, reject) => {
      socket.onmessage = ({ data }) => {
        const { type } = JSON.parse(String(data)) as { type: string };
        if (type === 'error') reject(new Error(String(data)));
        if (type === 'ok' && ++answered === commands.length) resolve();
      };
    });
    commands.forEach((command, index) => socket.send(JSON.stringify({ id: index + 1, ...command })));
    await all;
    socket.close();
  }, commands);
}

let made = 0;

/** Creates threads with these titles, the oldest first; returns their ids. */
async function createThreads(page: Page, titles: string[]): Promise<string[]> {
  const hex = (n: number, length: number) => n.toString(16).padStart(length, '0');
  const ids = titles.map(() => {
    const [time, count] = [hex(Date.now(), 12), hex(made++ % 4096, 3)];
    return `${time.slice(0, 8)}-${time.slice(8)}-7${count}-8000-${hex(Math.floor(Math.random() * 2 ** 48), 12)}`;
  });
  await command(page, ...titles.map((title, index) => ({ type: 'create_thread', payload: { thread_id: ids[index], title } })));
  return ids;
}

async function openList(page: Page): Promise<void> {
  await waitForConnection(page);
  const opener = page.getByRole('button', { name: 'Threads', exact: true });
  if ((await opener.isVisible()) && (await opener.getAttribute('aria-expanded')) === 'false') await opener.click();
}

async function choose(page: Page, title: string, item: string): Promise<void> {
  await row(page, title).hover();
  await row(page, title).getByRole('button', { name: `Actions for ${title}` }).click();
  await page.getByRole('button', { name: item, exact: true }).click();
}

/** A text that no other thread of this worker's server contains. */
const unique = (text: string) => `${text} ${++made}`;

test('a pinned thread comes first, on every device, and stays there after a reload', async ({ page, context, signedIn: _ }) => {
  await page.goto('/');
  const [old, young] = [unique('Old'), unique('Young')];
  await createThreads(page, [old, young]);
  const other = await context.newPage();
  await other.goto('/');
  await openList(page);
  await choose(page, old, 'Pin');
  for (const tab of [page, other]) {
    await expect(headings(tab).first()).toHaveText('Pinned');
    await expect(rows(tab).first()).toContainText(old);
    await expect(headings(tab).nth(1)).toHaveText('Today');
  }
  await expect(row(page, old).getByRole('link')).toBeFocused();
  await expectAccessible(page);
  await page.reload();
  await openList(page);
  await expect(rows(page).first()).toContainText(old);
  await choose(page, old, 'Unpin');
  await expect(headings(page).filter({ hasText: 'Pinned' })).toHaveCount(0);
  await expect(headings(other).filter({ hasText: 'Pinned' })).toHaveCount(0);
});

test('threads are grouped by date in the time zone of the reader', async ({ page, browser, server, browserConsole, signedIn: _ }) => {
  await page.goto('/');
  const title = unique('Dated');
  await createThreads(page, [title]);
  await expect(headings(page).first()).toHaveText('Today');
  // Far enough east and west that it is another date in one of the two than it will be here in a day.
  for (const [days, heading] of [[1, 'Yesterday'], [3, 'Previous 7 days'], [20, 'Previous 30 days']] as const) {
    const later = await browser.newContext({ timezoneId: 'UTC', baseURL: server.url });
    browserConsole.watch(later);
    const tab = await later.newPage();
    await signInByRequest(tab, server);
    // The page takes the date from the server's clock, which the welcome frame tells.
    await tab.routeWebSocket(/\/ws/, (socket) => {
      const upstream = socket.connectToServer();
      upstream.onMessage((message) => {
        const text = String(message);
        socket.send(text.startsWith('{"type":"welcome"') ? text.replace(/"server_time":(\d+)/, (_, at) => `"server_time":${Number(at) + days * 86_400_000}`) : message);
      });
    });
    await tab.goto('/');
    await expect(headings(tab).first()).toHaveText(heading);
    await expect(list(tab)).toContainText(title);
    await later.close();
  }
});

test('an archived thread is only on the page of archived threads, and comes back from there', async ({ page, context, signedIn: _ }) => {
  await page.goto('/');
  const [kept, put] = [unique('Kept'), unique('Put away')];
  await createThreads(page, [kept, put]);
  const other = await context.newPage();
  await other.goto('/');
  await openList(page);
  await choose(page, put, 'Archive');
  await expect(row(page, put)).toHaveCount(0);
  await expect(row(other, put)).toHaveCount(0);
  await expect(row(page, kept).getByRole('link')).toBeFocused();
  await list(page).getByRole('link', { name: 'Archived' }).click();
  await expect(page.getByRole('heading', { name: 'Archived threads' })).toBeVisible();
  await expect(page.getByRole('main').getByRole('link', { name: put })).toBeVisible();
  await expectAccessible(page);
  // After a reload, the thread is in no page of the feed.
  await page.reload();
  await waitForConnection(page);
  await expect(row(page, put)).toHaveCount(0);
  await page.getByRole('button', { name: `Unarchive ${put}` }).click();
  await expect(page.getByRole('main').getByRole('link', { name: put })).toHaveCount(0);
  for (const tab of [page, other]) await expect(row(tab, put)).toHaveCount(1);
});

test('a message in an archived thread takes it out of the archive', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  const title = unique('Answered');
  const [thread_id] = await createThreads(page, [title]);
  await command(page, { type: 'archive_thread', payload: { thread_id, archived: true } });
  await page.goto(`/threads/${thread_id}`);
  await waitForConnection(page);
  await expect(row(page, title)).toHaveCount(0);
  await sendMessage(page, 'What can you do?');
  await expect(row(page, title)).toHaveCount(1);
});

test('a deleted thread leaves the list at once, and can be brought back', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  const [first, second] = [unique('First'), unique('Second')];
  await createThreads(page, [first, second]);
  await openList(page);
  await choose(page, second, 'Delete');
  await expect(row(page, second)).toHaveCount(0);
  await expect(notice(page)).toHaveRole('status');
  await expect(notice(page)).toContainText(`Deleted “${second}”.`);
  await expect(row(page, first).getByRole('link')).toBeFocused();
  await expectAccessible(page);
  await page.getByRole('button', { name: 'Undo' }).focus();
  await page.keyboard.press('Enter');
  await expect(row(page, second).getByRole('link')).toBeFocused();
  await expect(notice(page)).toBeEmpty();
  await page.reload();
  await expect(row(page, second)).toHaveCount(1);
});

test('undoing the deletion of the open thread opens it again', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  const title = unique('Open');
  const [id] = await createThreads(page, [title]);
  await page.goto(`/threads/${id}`);
  await openList(page);
  await choose(page, title, 'Delete');
  await expect(page).toHaveURL(/\/$/);
  await expect(messageField(page)).toBeFocused();
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(page).toHaveURL(new RegExp(`/threads/${id}$`));
  await expect(row(page, title)).toHaveCount(1);
});

test('a thread is deleted for good when the time is over', async ({ page, context, signedIn: _ }) => {
  await page.goto('/');
  const title = unique('Gone');
  await createThreads(page, [title]);
  const other = await context.newPage();
  await other.goto('/');
  await waitForConnection(other);
  await openList(page);
  await choose(page, title, 'Delete');
  await expect(notice(page)).toContainText(title);
  await expect(row(other, title)).toHaveCount(1);
  await expect(row(other, title)).toHaveCount(0, { timeout: 20_000 });
  await expect(notice(page)).toBeEmpty();
});

test('leaving the page deletes the thread for good', async ({ page, browserConsole, signedIn: _ }) => {
  // The page of the deleted thread.
  browserConsole.allow(/status of 404/);
  await page.goto('/');
  const title = unique('Left');
  const [id] = await createThreads(page, [title]);
  await openList(page);
  await choose(page, title, 'Delete');
  await expect(notice(page)).toContainText(title);
  await page.goto('about:blank');
  await expect
    .poll(async () => {
      await page.goto('/');
      return row(page, title).count();
    })
    .toBe(0);
  await page.goto(`/threads/${id}`);
  await expect(page.getByRole('heading', { name: 'Thread not found' })).toBeVisible();
});

test('a thread whose run failed is marked until someone looks at it', async ({ page, context, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  await page.getByLabel('Agent').selectOption('failing');
  const title = unique('Fail');
  await sendMessage(page, title);
  await waitForRunState(page, 'failed');
  const path = new URL(page.url()).pathname;
  // Looked at: no mark.
  await expect(row(page, title).locator('.thread-link [role="img"]')).toHaveCount(0);
  const id = path.split('/').pop();
  await page.goto('/');
  const send = { message_id: id?.replace(/.{12}$/, 'aaaaaaaaaaaa'), thread_id: id, text: 'Again', agent: 'failing' };
  await command(page, { type: 'send_message', payload: send });
  const mark = row(page, title).getByRole('img', { name: 'Failed', includeHidden: true });
  await expect(mark).toHaveCount(1);
  await openList(page);
  await expectAccessible(page);
  const other = await context.newPage();
  await other.goto(path);
  await expect(mark).toHaveCount(0);
});

test('older threads load when the end of the list comes near, in a bounded number of rows', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  const titles = Array.from({ length: 320 }, (_, index) => unique(`Many ${index} of`));
  const ids = await createThreads(page, titles);
  // An old thread that is pinned is there from the start.
  await command(page, { type: 'pin_thread', payload: { thread_id: ids[0], pinned: true } });
  await page.reload();
  await expect(rows(page)).toHaveCount(51);
  await expect(rows(page).first()).toContainText(titles[0] ?? '');
  await openList(page);
  const wanted = row(page, titles[5] ?? '');
  await expect
    .poll(async () => {
      expect(await rows(page).count()).toBeLessThanOrEqual(200);
      await rows(page).last().scrollIntoViewIfNeeded();
      return wanted.count();
    })
    .toBe(1);
  await wanted.getByRole('link').focus();
  await page.keyboard.press('ArrowUp');
  await expect(row(page, titles[6] ?? '').getByRole('link')).toBeFocused();
  await expect(list(page).locator('.thread-link[tabindex="0"]')).toHaveCount(1);
  const listed = await rows(page).evaluateAll((all) => all.map((row) => row.getAttribute('data-thread-id')));
  expect(new Set(listed).size).toBe(listed.length);
  // And back to the newest.
  await expect
    .poll(async () => {
      expect(await rows(page).count()).toBeLessThanOrEqual(200);
      await rows(page).first().scrollIntoViewIfNeeded();
      return row(page, titles[319] ?? '').count();
    })
    .toBe(1);
  await command(page, { type: 'pin_thread', payload: { thread_id: ids[0], pinned: false } });
});

test('a page of threads that cannot be loaded is reported, and can be loaded again', async ({ page, browserConsole, signedIn: _ }) => {
  browserConsole.allow(/ERR_FAILED/);
  await page.goto('/');
  await createThreads(page, Array.from({ length: 60 }, (_, index) => unique(`More ${index} of`)));
  await page.reload();
  await openList(page);
  const count = await rows(page).count();
  await page.route('**/api/threads?before=*', (route) => route.abort());
  await rows(page).last().scrollIntoViewIfNeeded();
  await expect(list(page).getByRole('alert')).toContainText('The server could not be reached.');
  await page.unroute('**/api/threads?before=*');
  await page.getByRole('button', { name: 'Show older threads' }).click();
  await expect.poll(() => rows(page).count()).toBeGreaterThan(count);
  await expect(list(page).getByRole('alert')).toHaveCount(0);
});

/** Answers searches with these hits, of which the excerpts have one matched part each. */
async function answerSearches(page: Page, hits: (query: string) => object[]): Promise<string[]> {
  const asked: string[] = [];
  await page.route('**/api/search?*', async (route) => {
    const query = new URL(route.request().url()).searchParams.get('q') ?? '';
    asked.push(query);
    await route.fulfill({ json: { hits: hits(query) } });
  });
  return asked;
}

test('a search shows what was found with the matched words marked, and opens the message', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  const title = unique('Needle');
  await sendMessage(page, title);
  await waitForRunState(page, 'finished');
  const message_id = await page.locator('[data-message-id]').first().getAttribute('data-message-id');
  const thread_id = new URL(page.url()).pathname.split('/').pop();
  await page.goto('/');
  await openList(page);
  const asked = await answerSearches(page, (query) =>
    query === 'none'
      ? []
      : [
          { thread_id, title, kind: 'title', at: Date.now(), excerpt: [{ text: title, matched: true }] },
          { thread_id, title, kind: 'message', message_id, at: Date.now(), excerpt: [{ text: 'Where is the ', matched: false }, { text: 'Needle', matched: true }, { text: '?', matched: false }] },
        ],
  );
  const field = page.getByRole('searchbox', { name: 'Search threads' });
  await field.fill('none');
  const results = page.getByRole('region', { name: 'Search results' });
  await expect(results).toContainText('Nothing found.');
  await expect(row(page, title)).toBeHidden();
  await field.fill('needle');
  await expect(results.getByRole('listitem')).toHaveCount(2);
  await expect(results.locator('mark').last()).toHaveText('Needle');
  await expect(results.getByRole('status')).toContainText('2 results');
  await expectAccessible(page);
  expect(asked).toEqual(['none', 'needle']);
  await results.getByRole('link').last().click();
  await expect(page).toHaveURL(new RegExp(`/threads/${thread_id}\\?m=${message_id}$`));
  await expect(page.locator(`[data-message-id="${message_id}"]`)).toBeFocused();
  await openList(page);
  await field.press('Escape');
  await expect(field).toHaveValue('');
  await expect(field).toBeFocused();
  await expect(row(page, title)).toBeVisible();
});

test('of several searches the last one is shown, and one that fails can be repeated', async ({ page, browserConsole, signedIn: _ }) => {
  browserConsole.allow(/status of 503|ERR_FAILED/);
  await page.goto('/');
  await openList(page);
  const held: (() => Promise<void>)[] = [];
  let fails = true;
  await page.route('**/api/search?*', async (route) => {
    const query = new URL(route.request().url()).searchParams.get('q') ?? '';
    const hit = { thread_id: '019b76da-a800-7000-8000-000000000001', title: query, kind: 'title', at: 1, excerpt: [{ text: `Found ${query}`, matched: false }] };
    const answer = () => route.fulfill({ json: { hits: [hit] } });
    if (query === 'slow') held.push(answer);
    else if (query === 'broken' && fails) await route.abort();
    else await answer();
  });
  const field = page.getByRole('searchbox', { name: 'Search threads' });
  const results = page.getByRole('region', { name: 'Search results' });
  await field.fill('slow');
  await expect.poll(() => held.length).toBe(1);
  await expect(results).toContainText('Searching');
  await field.fill('fast');
  await expect(results).toContainText('Found fast');
  await held[0]?.();
  await field.fill('broken');
  await expect(results.getByRole('alert')).toContainText('The server could not be reached.');
  await expect(results).not.toContainText('Found slow');
  fails = false;
  await results.getByRole('button', { name: 'Try again' }).click();
  await expect(results).toContainText('Found broken');
});

test('several threads are selected and archived or deleted together', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  const titles = ['One', 'Two', 'Three', 'Four', 'Five'].map((name) => unique(`Several ${name}`));
  await createThreads(page, titles);
  await openList(page);
  const [one, two, three, four, five] = titles as [string, string, string, string, string];
  const bar = page.getByRole('group', { name: 'Selected threads' });
  const box = (title: string) => row(page, title).getByRole('checkbox');
  await choose(page, five, 'Select');
  await expect(box(five)).toBeChecked();
  await expect(box(five)).toBeFocused();
  await expect(bar).toContainText('1 selected');
  await expectAccessible(page);
  await box(three).click({ modifiers: ['Shift'] });
  await expect(bar).toContainText('3 selected');
  await box(four).click();
  await expect(bar).toContainText('2 selected');
  await page.keyboard.press('Escape');
  await expect(bar).toHaveCount(0);
  await expect(row(page, four).getByRole('link')).toBeFocused();

  await row(page, one).getByRole('link').click({ modifiers: ['ControlOrMeta'] });
  await box(two).press('Space');
  await expect(bar).toContainText('2 selected');
  await bar.getByRole('button', { name: 'Delete' }).click();
  await expect(notice(page)).toContainText('Deleted 2 threads.');
  for (const title of [one, two]) await expect(row(page, title)).toHaveCount(0);
  await page.getByRole('button', { name: 'Undo' }).click();
  for (const title of [one, two]) await expect(row(page, title)).toHaveCount(1);

  await choose(page, three, 'Select');
  await box(five).click({ modifiers: ['Shift'] });
  await bar.getByRole('button', { name: 'Archive' }).click();
  await expect(bar).toHaveCount(0);
  for (const title of [three, four, five]) await expect(row(page, title)).toHaveCount(0);
  await list(page).getByRole('link', { name: 'Archived' }).click();
  for (const title of [three, four, five]) await expect(page.getByRole('main').getByRole('link', { name: title })).toBeVisible();
});
