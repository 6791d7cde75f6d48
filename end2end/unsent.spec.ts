/** Unsent text survives reloads, crashes and closed tabs, stays in its place, and is sent once. */
import type { BrowserContext, WebSocketRoute } from '@playwright/test';
import { expect, type Page, test } from './fixtures.ts';
import { createAdmin, signInByRequest, submitSignIn } from './accounts.ts';
import { ask, messageField, pendingMessages, sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

/** Blocks or allows sockets while pages load normally, so that sent messages wait in the browser. */
class Sockets {
  private closed = false;
  private readonly open = new Set<WebSocketRoute>();

  static async route(context: BrowserContext): Promise<Sockets> {
    const sockets = new Sockets();
    await context.routeWebSocket(/\/ws$/, (socket) => {
      if (sockets.closed) return void socket.close({ code: 1012 });
      socket.connectToServer();
      sockets.open.add(socket);
    });
    return sockets;
  }

  async block(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.open].map((socket) => socket.close({ code: 1012 }).catch(() => {})));
    this.open.clear();
  }

  allow(): void {
    this.closed = false;
  }
}

const log = { name: 'log.csv', mimeType: 'text/csv', buffer: Buffer.from('timestamp,input_tokens,output_tokens\n2024-01-01T00:00:00Z,10,20\n') };

/** The records that this browser stores. */
async function stored(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const local = Object.keys(localStorage).filter((key) => key.startsWith('netra.written/'));
    const database = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open('netra');
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const keys = await Promise.all(
      ['records', 'files'].map(
        (name) =>
          new Promise<IDBValidKey[]>((resolve, reject) => {
            const request = database.transaction(name).objectStore(name).getAllKeys();
            request.onsuccess = () => resolve(request.result);
            request.onerror = () => reject(request.error);
          }),
      ),
    );
    database.close();
    return [...local, ...keys.flat().map(String)];
  });
}

test('a message sent offline is shown after a reload, with its file, and sent once', async ({ page, context, signedIn: _, browserConsole }) => {
  browserConsole.allow(/WebSocket/);
  const sockets = await Sockets.route(context);
  await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await sockets.block();
  await page.locator('input[type=file]').setInputFiles(log);
  await expect(page.getByText('log.csv')).toBeVisible();
  await sendMessage(page, 'And with this log?');
  await sendMessage(page, 'And after that?');
  for (let reloads = 0; reloads < 2; reloads += 1) {
    await page.reload();
    await expect(pendingMessages(page)).toHaveCount(2);
    await expect(pendingMessages(page).first()).toContainText('And with this log?');
    await expect(pendingMessages(page).first()).toContainText('log.csv');
    await expect(pendingMessages(page).last()).toContainText('And after that?');
  }
  sockets.allow();
  await page.reload();
  await expect(sentMessages(page)).toHaveCount(3, { timeout: 30_000 });
  await expect(pendingMessages(page)).toHaveCount(0);
  await expect.poll(() => stored(page), 'no stored record is left').toEqual([]);
  await page.reload();
  await waitForConnection(page);
  await expect(sentMessages(page)).toHaveCount(3);
  await expect(sentMessages(page).nth(1)).toContainText('And with this log?');
  await expect(sentMessages(page).nth(1)).toContainText('log.csv');
  await expect(sentMessages(page).last()).toContainText('And after that?');
});

test('a new thread’s first message survives a crash of its page, and another page sends it', async ({ page, context, signedIn: _, browserConsole }) => {
  // The thread does not exist on the server yet.
  browserConsole.allow(/WebSocket|status of 404/);
  const sockets = await Sockets.route(context);
  await page.goto('/');
  await waitForConnection(page);
  await sockets.block();
  const text = `What survives a crash, ${test.info().project.name}?`;
  await sendMessage(page, text);
  await expect(page).toHaveURL(/\/threads\//);
  const path = new URL(page.url()).pathname;
  await messageField(page).fill('half a thought');
  const crashed = page.waitForEvent('crash');
  const devtools = await context.newCDPSession(page);
  devtools.send('Page.crash').catch(() => {});
  await crashed;
  const next = await context.newPage();
  await next.goto(path);
  await expect(pendingMessages(next)).toContainText(text);
  await expect(messageField(next)).toHaveValue('half a thought');
  sockets.allow();
  await next.goto('/');
  await expect(next.locator('.sidebar a', { hasText: text })).toHaveCount(1, { timeout: 30_000 });
  await next.goto(path);
  await waitForRunState(next, 'finished');
  await expect(sentMessages(next)).toHaveCount(1);
  await expect(messageField(next)).toHaveValue('half a thought');
});

test('a message sent to a killed server is sent once when the server is back @desktop', async ({ page, freshServer, browserConsole }) => {
  browserConsole.allow(/WebSocket|ERR_CONNECTION_REFUSED|status of 50\d/);
  await createAdmin(freshServer);
  await signInByRequest(page, freshServer);
  await page.goto(freshServer.url);
  await waitForConnection(page);
  await sendMessage(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await freshServer.kill9();
  await expect(page.locator('[data-status]').first()).toHaveAttribute('data-status', 'reconnecting');
  await sendMessage(page, 'And without a log?');
  await expect(pendingMessages(page)).toContainText('And without a log?');
  await freshServer.start();
  await page.reload();
  await expect(sentMessages(page)).toHaveCount(2, { timeout: 30_000 });
  await waitForRunState(page, 'finished');
  await page.reload();
  await waitForConnection(page);
  await expect(sentMessages(page)).toHaveCount(2);
});

test('twelve messages each get a thread although another page is loaded within 5 ms of Enter @desktop', async ({ page, signedIn: _ }) => {
  test.slow();
  for (let n = 0; n < 12; n += 1) {
    await page.goto('/');
    await waitForConnection(page);
    await messageField(page).fill(`Message number ${n} of twelve?`);
    await page.evaluate((delay) => {
      const area = document.querySelector('#message') as HTMLTextAreaElement;
      area.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
      const leave = () => location.assign('/admin/agents');
      if (delay < 0) leave();
      else setTimeout(leave, delay);
    }, n % 7 - 1);
    await expect(page).toHaveURL(/\/admin\/agents$/);
  }
  await page.goto('/');
  for (let n = 0; n < 12; n += 1) {
    await expect(page.locator('.sidebar a', { hasText: `Message number ${n} of twelve?` })).toHaveCount(1, { timeout: 30_000 });
  }
  // Records of pages in the back/forward cache are taken over ten seconds later.
  await expect.poll(() => stored(page), { timeout: 40_000 }).toEqual([]);
});

test('an edit survives an edit of the same message in another tab, and a reload', async ({ page, context, signedIn: _ }) => {
  const path = await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  const area = (tab: Page) => tab.getByLabel('Edit your message');
  await page.getByRole('button', { name: 'Edit' }).click();
  await area(page).fill('my words');
  const other = await context.newPage();
  await other.goto(path);
  await waitForConnection(other);
  await other.getByRole('button', { name: 'Edit' }).click();
  await expect(area(other)).toHaveValue('What can you do?');
  await area(other).fill('their words');
  // Return starts a new line on a phone.
  await other.locator('.edit-form').getByRole('button', { name: 'Send' }).click();
  await expect(sentMessages(other)).toContainText('their words');
  await expect(page.getByText('This message was edited elsewhere.')).toBeVisible();
  await expect(area(page)).toHaveValue('my words');
  await page.reload();
  await waitForConnection(page);
  await expect(area(page)).toHaveValue('my words');
  await expect(page.getByRole('group', { name: 'Versions of this message' })).toContainText('1/2');
  await page.locator('.edit-form').getByRole('button', { name: 'Send' }).click();
  await expect(sentMessages(page)).toContainText('my words');
  await expect(page.getByRole('group', { name: 'Versions of this message' })).toContainText('3/3');
  await page.reload();
  await waitForConnection(page);
  await expect(sentMessages(page)).toContainText('my words');
  await expect(area(page)).toHaveCount(0);
});

test('a draft keeps its text and file through navigation, a reload and a closed tab', async ({ page, context, signedIn: _ }) => {
  const path = await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await page.goto('/');
  await waitForConnection(page);
  await page.locator('input[type=file]').setInputFiles(log);
  await messageField(page).fill('What is in this log?');
  const expectDraft = async (tab: Page) => {
    await expect(messageField(tab)).toHaveValue('What is in this log?');
    await expect(tab.getByRole('list', { name: 'Attached files' })).toContainText('log.csv');
  };
  await expectDraft(page);
  // To another page of the application, and back.
  await page.evaluate((path) => (document.querySelector(`a[href="${path}"]`) as HTMLAnchorElement).click(), path);
  await expect(sentMessages(page)).toHaveCount(1);
  await expect(messageField(page)).toHaveValue('');
  await page.goBack();
  await expectDraft(page);
  await page.reload();
  await expectDraft(page);
  const next = await context.newPage();
  await page.close();
  await next.goto('/');
  await expectDraft(next);
  await next.getByRole('button', { name: 'Send' }).click();
  await expect(sentMessages(next)).toContainText('log.csv');
  await next.goto('/');
  await waitForConnection(next);
  await expect(messageField(next)).toHaveValue('');
  await expect.poll(() => stored(next)).toEqual([]);
});

test('files of what a closed tab removed are removed, too @desktop', async ({ page, signedIn: _, browserConsole }) => {
  // The address of an answer in JSON has no icon.
  browserConsole.allow(/favicon/);
  await page.goto('/');
  await waitForConnection(page);
  await page.locator('input[type=file]').setInputFiles(log);
  const inDatabase = async () => (await stored(page)).filter((name) => !name.startsWith('netra.written/'));
  await expect.poll(async () => (await inDatabase()).length, 'a draft and its file').toBe(2);
  const draft = (await inDatabase()).find((name) => name.includes('/'));
  // As if the tab had been closed before it removed the draft from the database. The application does not run on this page.
  await page.goto('/api/config');
  await page.evaluate((name) => localStorage.setItem(`netra.written/${name}`, ''), draft);
  await page.goto('/');
  await waitForConnection(page);
  await expect.poll(() => stored(page)).toEqual([]);
});

test('two tabs have separate drafts, and a new tab takes over the draft of a closed one @desktop', async ({ page, context, signedIn: _ }) => {
  const other = await context.newPage();
  await page.goto('/');
  await waitForConnection(page);
  await messageField(page).fill('first draft');
  await other.goto('/');
  await waitForConnection(other);
  await expect(messageField(other)).toHaveValue('');
  await messageField(other).fill('second draft');
  await page.close();
  const next = await context.newPage();
  await next.goto('/');
  await expect(messageField(next)).toHaveValue('first draft');
  await expect(messageField(other)).toHaveValue('second draft');
});

test('signing out removes all stored text from the browser', async ({ page, signedIn }) => {
  await page.goto('/');
  await waitForConnection(page);
  await page.locator('input[type=file]').setInputFiles(log);
  await messageField(page).fill('a secret');
  await expect.poll(async () => (await stored(page)).length).toBeGreaterThan(1);
  const visited: string[] = [];
  page.on('framenavigated', (frame) => visited.push(frame.url()));
  await page.getByRole('button', { name: /^Account of/ }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible();
  expect(await stored(page)).toEqual([]);
  // One navigation only: no second sign-in page replaces this one and drops what is typed.
  expect(visited).toEqual([new URL('/sign-in', page.url()).href]);
  await submitSignIn(page, signedIn);
  await waitForConnection(page);
  await expect(messageField(page)).toHaveValue('');
});

test('the page warns once if the browser stores nothing, and keeps working @desktop', async ({ page, signedIn: _ }) => {
  await page.addInitScript(() => {
    const refuse = () => {
      throw new DOMException('no', 'QuotaExceededError');
    };
    Storage.prototype.setItem = refuse;
    IDBFactory.prototype.open = refuse;
  });
  await page.goto('/');
  await waitForConnection(page);
  await messageField(page).fill('What can you do?');
  const notice = page.getByText('This browser cannot store what you write');
  await expect(notice).toBeVisible();
  await page.getByRole('button', { name: 'Dismiss notice' }).click();
  await messageField(page).fill('What can you do now?');
  await page.getByRole('button', { name: 'Send' }).click();
  await waitForRunState(page, 'finished');
  await expect(notice).toHaveCount(0);
});
