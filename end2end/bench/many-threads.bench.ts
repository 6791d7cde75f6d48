/** A user with ten threads, and one with 10,000, of which each hundredth has a tag: opening the page, the list of a tag, and search. */
import type { Page } from '@playwright/test';
import { expect, test } from '../fixtures.ts';
import { signInByRequest } from '../accounts.ts';
import type { Server } from '../server.ts';
import { Figures, loadProfiles, repeats } from './figures.ts';
import { BenchPage } from './pages.ts';
import { median } from '../../scripts/table.mjs';

const words = 'cost token cache prompt model answer batch limit price week report error latency trace budget'.split(' ');
const word = (index: number) => words[index % words.length] ?? '';
/** How many searches are measured. */
const searches = 20;

/** A file of conversations as ChatGPT exports them. */
function conversations(from: number, to: number): string {
  const all = Array.from({ length: to - from }, (_, offset) => {
    const index = from + offset;
    const text = (seed: number) => Array.from({ length: 40 }, (_, at) => word(seed * 7 + at * at)).join(' ');
    const message = (role: string, content: string) => ({ author: { role }, create_time: 1_700_000_000 + index * 60, content: { content_type: 'text', parts: [content] } });
    return {
      title: `Thread ${index} about ${word(index)}`,
      create_time: 1_700_000_000 + index * 60,
      conversation_id: `c-${index}`,
      current_node: 'answer',
      mapping: {
        question: { id: 'question', parent: null, children: ['answer'], message: message('user', text(index)) },
        answer: { id: 'answer', parent: 'question', children: [], message: message('assistant', text(index + 1)) },
      },
    };
  });
  return JSON.stringify(all);
}

/** Imports conversations until there are so many threads. */
async function createThreads(page: Page, server: Server, from: number, to: number): Promise<void> {
  for (let start = from; start < to; start += 500) {
    const response = await page.request.post(`${server.url}/api/import`, {
      headers: { origin: server.url, 'content-type': 'application/json' },
      data: Buffer.from(conversations(start, Math.min(start + 500, to))),
      timeout: 120_000,
    });
    expect(response.status(), await response.text()).toBe(200);
  }
}

/** Gives each hundredth thread of the list a tag, by commands; returns its id. */
async function tagSome(page: Page): Promise<string> {
  const threads: string[] = [];
  for (let before = ''; ; ) {
    const response = await page.request.get(`/api/threads?limit=200${before}`);
    const list = (await response.json()) as { threads: { info: { id: string } }[]; older?: string };
    threads.push(...list.threads.map(({ info }) => info.id));
    if (!list.older) break;
    before = `&before=${encodeURIComponent(list.older)}`;
  }
  const tagged = threads.filter((_, index) => index % 100 === 0).slice(0, 100);
  await page.evaluate(
    (thread_ids) =>
      new Promise<void>((resolve, reject) => {
        const socket = new WebSocket(`ws://${location.host}/ws`, 'netra.v1');
        socket.onclose = ({ code, reason }) => reject(new Error(`the socket closed: ${code} ${reason}`));
        socket.onmessage = ({ data }) => {
          const frame = JSON.parse(data as string) as { type: string; id?: number };
          if (frame.type === 'welcome') socket.send(JSON.stringify({ type: 'tag_threads', id: 1, payload: { thread_ids, add: ['Bench'] } }));
          if (frame.id !== 1) return;
          if (frame.type === 'ok') resolve();
          else reject(new Error(data as string));
          socket.onclose = null;
          socket.close();
        };
      }),
    tagged,
  );
  const tags = (await (await page.request.get('/api/tags')).json()) as { tags: { id: string; threads: number }[] };
  expect(tags.tags[0]?.threads).toBe(tagged.length);
  return tags.tags[0]?.id ?? '';
}

/** How long a request takes, in milliseconds. */
async function request(page: Page, path: string): Promise<number> {
  return page.evaluate(async (path) => {
    const begun = performance.now();
    const response = await fetch(path);
    await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return performance.now() - begun;
  }, path);
}

test('ten threads and 10,000 @desktop', async ({ browser, page, server, browserConsole }, info) => {
  await signInByRequest(page, server);
  const figures = new Figures();
  let created = 0;
  for (const count of [10, 10_000]) {
    await createThreads(page, server, created, count);
    created = count;
    const name = `${count.toLocaleString('en')} threads`;
    for (const profile of loadProfiles.filter(({ isSlowNetwork }) => !isSlowNetwork)) {
      for (let repeat = 0; repeat < repeats; repeat++) {
        const opened = await BenchPage.open(browser, server, browserConsole);
        // The files of the page are in the cache from here.
        await opened.load('/');
        await opened.throttle(profile);
        const { times, files } = await opened.load('/');
        const html = files.filter(({ type }) => type.includes('html')).reduce((sum, { size }) => sum + size, 0) / 1000;
        figures.add(profile, `${name}: HTML, uncompressed`, 'kB', html);
        figures.add(profile, `${name}: first contentful paint`, 'ms', times.paint);
        figures.add(profile, `${name}: interactive`, 'ms', times.interactive);
        figures.add(profile, `${name}: elements`, 'count', await opened.page.evaluate(() => document.querySelectorAll('*').length));
        await opened.close();
      }
    }
  }
  await page.goto('/');
  const tag = await tagSome(page);
  const [unthrottled] = loadProfiles;
  if (!unthrottled) throw new Error('there is no profile');
  for (let repeat = 0; repeat < searches; repeat++) {
    figures.add(unthrottled, '10,000 threads: a page of the list', 'ms', await request(page, '/api/threads?limit=50'));
    figures.add(unthrottled, '10,000 threads: a page of a tag', 'ms', await request(page, `/api/threads?limit=50&tag=${tag}`));
  }
  // Imported texts are indexed in the background.
  await expect.poll(async () => ((await (await page.request.get('/api/search?q=%229999%22')).json()) as { hits: unknown[] }).hits.length, { timeout: 300_000 }).toBeGreaterThan(0);
  const times: number[] = [];
  for (let search = 0; search < searches; search++) times.push(await request(page, `/api/search?q=${word(search)}+${word(search * 3 + 1)}`));
  figures.add(unthrottled, '20,000 messages and answers: a search, median', 'ms', median(times));
  figures.add(unthrottled, '20,000 messages and answers: a search, longest', 'ms', Math.max(...times));
  await figures.report(info);
});
