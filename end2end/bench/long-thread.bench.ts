/** A finished thread of 10,000 entries: opening it, and typing in it. */
import { expect, type Page, test as base } from '../fixtures.ts';
import { signInByRequest } from '../accounts.ts';
import type { Server } from '../server.ts';
import { messageField } from '../threads.ts';
import { Figures, loadProfiles, repeats } from './figures.ts';
import { BenchPage } from './pages.ts';
import { type Recordings, recordingsFixture, turnEntries } from './recordings.ts';
import { median } from '../../scripts/table.mjs';

const turns = 10_000 / turnEntries;
/** Keys that are typed in each measurement. */
const keys = 40;

const test = base.extend<object, { recordings: Recordings }>({
  recordings: recordingsFixture,
  // Each delta becomes an entry of its own.
  serverOptions: [
    async ({ recordings }, use) => {
      await use({ config: recordings.config, env: { NETRA_SOCKET__COALESCE_MS: '0', NETRA_SOCKET__COMMANDS_PER_MINUTE: '1000000' } });
    },
    { scope: 'worker' },
  ],
});

/** Creates the thread over HTTP, turn by turn; returns its id. */
async function createThread(page: Page, server: Server): Promise<string> {
  let id: string | undefined;
  for (let turn = 1; turn <= turns; turn++) {
    const response = await page.request.post(`${server.url}/api/agents/turn/agui`, {
      headers: { origin: server.url },
      data: {
        threadId: 'bench',
        runId: `run-${turn}`,
        messages: [{ id: `question-${turn}`, role: 'user', content: `Question ${turn} of ${turns}` }],
        tools: [],
        context: [],
        state: {},
        forwardedProps: {},
      },
    });
    const events = await response.text();
    expect(response.status(), events).toBe(200);
    expect(events).toContain('"RUN_FINISHED"');
    id = response.headers()['x-netra-thread-id'];
  }
  if (!id) throw new Error('the server named no thread');
  return id;
}

/** The number of entries of a thread, from a subscription. */
function countEntries(page: Page, thread: string): Promise<number> {
  return page.evaluate(
    (thread) =>
      new Promise<number>((resolve, reject) => {
        const socket = new WebSocket(`ws://${location.host}/ws`, 'netra.v1');
        socket.onclose = ({ code, reason }) => reject(new Error(`the socket closed: ${code} ${reason}`));
        socket.onmessage = ({ data }) => {
          const frame = JSON.parse(data as string) as { type: string; id?: number; payload: { seq: number } };
          if (frame.type === 'welcome') socket.send(JSON.stringify({ type: 'subscribe', id: 1, payload: { channel: `thread/${thread}` } }));
          if (frame.id !== 1) return;
          resolve(frame.payload.seq);
          socket.close();
        };
      }),
    thread,
  );
}

/** The times from a key to the frame that shows it, and the longest interaction that Event Timing reports, in milliseconds. */
interface Typing {
  frames: number[];
  longestEvent: number;
}

/** Types into the composer, each key after the frame of the one before. */
async function type(page: Page): Promise<Typing> {
  await messageField(page).focus();
  await page.evaluate(() => {
    const typing: Typing = { frames: [], longestEvent: 0 };
    Object.assign(window, { benchTyping: typing });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) typing.longestEvent = Math.max(typing.longestEvent, duration);
    }).observe({ type: 'event', durationThreshold: 16 } as PerformanceObserverInit);
    const afterPaint = new MessageChannel();
    let pressed = 0;
    afterPaint.port1.onmessage = () => typing.frames.push(performance.now() - pressed);
    const onKey = (event: Event) => {
      pressed = event.timeStamp;
      requestAnimationFrame(() => afterPaint.port2.postMessage(null));
    };
    addEventListener('keydown', onKey, true);
  });
  const typing = () => page.evaluate(() => (window as unknown as { benchTyping: Typing }).benchTyping);
  for (let key = 1; key <= keys; key++) {
    await page.keyboard.press('abcde fghij'[key % 11] ?? 'a');
    await expect.poll(async () => (await typing()).frames.length).toBe(key);
  }
  expect((await messageField(page).inputValue()).length).toBe(keys);
  return typing();
}

test('a thread of 10,000 entries @desktop', async ({ browser, page, server, browserConsole }, info) => {
  await signInByRequest(page, server);
  const thread = await createThread(page, server);
  await page.goto('/');
  const entries = await countEntries(page, thread);
  await page.close();
  expect(entries).toBeGreaterThanOrEqual(turns * turnEntries);
  const figures = new Figures();
  for (const profile of loadProfiles) {
    for (let repeat = 0; repeat < repeats; repeat++) {
      const opened = await BenchPage.open(browser, server, browserConsole);
      // The files of the page are in the cache from here, as for someone who was here before.
      await opened.load('/');
      await opened.throttle(profile);
      const { times, files } = await opened.load(`/threads/${thread}`, `Question ${turns} of`);
      const html = files.filter(({ type }) => type.includes('html'));
      const sum = (of: 'sent' | 'size') => html.reduce((sum, file) => sum + file[of], 0) / 1000;
      figures.add(profile, 'long thread: entries', 'count', entries);
      figures.add(profile, 'long thread: HTML as sent', 'kB', sum('sent'));
      figures.add(profile, 'long thread: HTML, uncompressed', 'kB', sum('size'));
      figures.add(profile, 'long thread: elements', 'count', await opened.page.evaluate(() => document.querySelectorAll('*').length));
      figures.add(profile, 'long thread: first contentful paint', 'ms', times.paint);
      figures.add(profile, 'long thread: end in view', 'ms', times.end);
      figures.add(profile, 'long thread: interactive', 'ms', times.interactive);
      if (!profile.isSlowNetwork) {
        const { frames, longestEvent } = await type(opened.page);
        figures.add(profile, 'long thread: key to next frame, median', 'ms', median(frames));
        figures.add(profile, 'long thread: key to next frame, longest', 'ms', Math.max(...frames));
        figures.add(profile, 'long thread: longest interaction (Event Timing)', 'ms', longestEvent);
      }
      await opened.close();
    }
  }
  await figures.report(info);
});
