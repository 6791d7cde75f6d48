/**
 * Scrolling in the installed Firefox: the end of a conversation stays visible while it is followed, and a reader's position is
 * kept. With puppeteer, because Playwright works only with its own build of Firefox.
 */
import puppeteer, { type Browser, type Page, type Viewport } from 'puppeteer-core';
import { test as base, expect } from '@playwright/test';
import { installed } from './installed.ts';
import { admin, createAdmin } from './accounts.ts';
import { recordedAgent } from './recorded.ts';
import { Server } from './server.ts';
import { paragraphs, type StreamedAgent, streamedAgentFixture } from './streamed.ts';

const path = installed(process.env['FIREFOX_PATH'], 'firefox-esr', 'firefox');
const missing = 'NOT TESTED IN FIREFOX: it is not installed. Install it (with Debian: apt-get install firefox-esr) or name it in FIREFOX_PATH.';
if (!path) console.warn(missing);

const test = base.extend<object, { agent: StreamedAgent; server: Server; firefox: Browser }>({
  agent: streamedAgentFixture,
  server: [
    async ({ agent }, use) => {
      const server = await Server.start({ config: agent.config + recordedAgent(400) });
      try {
        await createAdmin(server);
        await use(server);
      } finally {
        await server.remove();
      }
    },
    { scope: 'worker' },
  ],
  firefox: [
    async ({}, use) => {
      const firefox = await puppeteer.launch({ browser: 'firefox', executablePath: path ?? '', headless: true });
      await use(firefox);
      await firefox.close();
    },
    { scope: 'worker' },
  ],
});
test.skip(!path, missing);

const area = '.scroller';
const distanceToEnd = (page: Page) => page.$eval(area, ({ scrollHeight, clientHeight, scrollTop }) => scrollHeight - clientHeight - scrollTop);
const position = (page: Page) => page.$eval(area, ({ scrollTop }) => scrollTop);
const hasJumpButton = async (page: Page) => (await page.$('.jump-to-end')) !== null;
const runs = (page: Page) => page.$$eval('[data-run-id]', (runs) => runs.map((run) => run.getAttribute('data-run-state')));

async function expectEndVisible(page: Page): Promise<void> {
  await expect.poll(() => distanceToEnd(page)).toBeLessThanOrEqual(2);
  expect(await hasJumpButton(page)).toBe(false);
}

async function sendMessage(page: Page, text: string): Promise<void> {
  await page.locator('#message').fill(text);
  await page.locator('.composer button[type=submit]:enabled').click();
}

/** The position of a paragraph in the window; `undefined` if it does not exist. */
const topOf = (page: Page, paragraph: string) =>
  page.evaluate((name) => [...document.querySelectorAll('.run p')].find((p) => p.textContent?.startsWith(`Paragraph ${name}.`))?.getBoundingClientRect().top, paragraph);

async function grow(page: Page, agent: StreamedAgent, name: string, count: number): Promise<void> {
  agent.write(paragraphs(name, count));
  await expect.poll(() => topOf(page, `${name}${count}`)).toBeDefined();
}

/** Scrolls by a number of pixels; negative is up. */
const scrollMethods: Record<string, (page: Page, by: number) => Promise<void>> = {
  wheel: async (page, by) => {
    await page.hover(area);
    await page.mouse.wheel({ deltaY: by });
  },
  keys: async (page, by) => {
    await page.focus(area);
    for (let left = Math.abs(by); left > 0; left -= 400) await page.keyboard.press(by < 0 ? 'PageUp' : 'PageDown');
  },
  script: (page, by) => page.$eval(area, (area, by) => area.scrollBy(0, by), by),
};

/** Scrolls, and waits until the box has moved and stopped. */
async function scroll(page: Page, method: string, by: number): Promise<void> {
  let last = await position(page);
  const before = last;
  await scrollMethods[method]?.(page, by);
  await expect
    .poll(async () => {
      const now = await position(page);
      const still = now === last && Math.abs(now - before) > 2;
      last = now;
      return still;
    }, { intervals: [150] })
    .toBe(true);
}

const sizes = { 'wide window': { width: 1280, height: 720 }, 'narrow window': { width: 412, height: 839 } };

/** Opens a page of the given size, signed in and connected. After the test, its console must have no errors. */
async function inPage(firefox: Browser, server: Server, size: Viewport, use: (page: Page) => Promise<void>): Promise<void> {
  const errors: string[] = [];
  const page = await firefox.newPage();
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.setViewport(size);
  await page.goto(`${server.url}/sign-in`);
  // Leaving a page while it loads or connects logs errors, so wait. A signed-in user is redirected to the home page.
  await page.waitForSelector('button[type=submit]:not([disabled]), [data-status=connected]');
  const { email, password } = admin;
  const signedIn = await page.evaluate(
    async (body) => (await fetch('/api/auth/sign-in', { method: 'POST', headers: { 'content-type': 'application/json' }, body })).ok,
    JSON.stringify({ email, password }),
  );
  expect(signedIn).toBe(true);
  await page.goto(server.url);
  await page.waitForSelector('[data-status=connected]');
  await use(page);
  expect(errors).toEqual([]);
  await page.close();
}

/** Starts an answer that is longer than the window. */
async function beginAnswer(page: Page, agent: StreamedAgent): Promise<void> {
  await sendMessage(page, '@streamed Go on');
  await expect.poll(() => agent.isAnswering).toBe(true);
  await grow(page, agent, 'start', 40);
  await expectEndVisible(page);
}

async function endAnswer(page: Page, agent: StreamedAgent): Promise<void> {
  agent.finish();
  await expect.poll(() => runs(page)).toEqual(['finished']);
}

for (const [name, size] of Object.entries(sizes)) {
  for (const agent of ['analyst', 'recorded']) {
    test(`in a ${name} the follow-ups of ${agent} stay visible @desktop`, async ({ firefox, server }) => {
      await inPage(firefox, server, size, async (page) => {
        for (let round = 1; round <= 4; round++) {
          await sendMessage(page, `@${agent} Question ${round}: what can you do?`);
          await expect.poll(() => runs(page), { timeout: 30_000 }).toEqual(Array<string>(round).fill('finished'));
          await expectEndVisible(page);
        }
      });
    });
  }

  for (const method of Object.keys(scrollMethods)) {
    test(`in a ${name} scrolling up by ${method} stops following, and scrolling back to the end resumes it @desktop`, async ({ firefox, server, agent }) => {
      await inPage(firefox, server, size, async (page) => {
        await beginAnswer(page, agent);
        await scroll(page, method, -900);
        await expect.poll(() => hasJumpButton(page)).toBe(true);
        const [read, top] = [await topOf(page, 'start20'), await position(page)];
        await grow(page, agent, 'away', 10);
        expect(await position(page)).toBe(top);
        expect(await topOf(page, 'start20')).toBe(read);
        await scroll(page, method, (await distanceToEnd(page)) + 100);
        await expectEndVisible(page);
        await grow(page, agent, 'back', 10);
        await expectEndVisible(page);
        await endAnswer(page, agent);
      });
    });
  }

  test(`in a ${name} a growing composer and a shrinking window hide neither the end nor the reader’s position @desktop`, async ({ firefox, server, agent }) => {
    await inPage(firefox, server, size, async (page) => {
      const shrunken = { ...size, height: Math.round(size.height * 0.6) };
      await beginAnswer(page, agent);
      await page.locator('#message').fill('A long thought\n'.repeat(8));
      await expectEndVisible(page);
      await page.setViewport(shrunken);
      await expectEndVisible(page);
      await page.setViewport(size);
      await expectEndVisible(page);
      await scroll(page, 'script', -900);
      const read = (await topOf(page, 'start30')) ?? 0;
      const moved = async () => Math.abs(((await topOf(page, 'start30')) ?? 0) - read);
      await page.setViewport(shrunken);
      await expect.poll(moved).toBeLessThanOrEqual(1.5);
      await page.$eval('.question', (message) => (message as HTMLElement).style.setProperty('height', '1500px'));
      await expect.poll(moved).toBeLessThanOrEqual(1.5);
      await endAnswer(page, agent);
    });
  });
}

test('Firefox draws diagrams in their sandbox @desktop', async ({ firefox, server, agent }) => {
  await inPage(firefox, server, { width: 1280, height: 800 }, async (page) => {
    await beginAnswer(page, agent);
    agent.write('\n\n```mermaid\nflowchart LR\n  A[Browser] --> B[Server]\n```\n\nThat is all.');
    await endAnswer(page, agent);
    const drawn = () => page.$$eval('.diagram img', (images) => images.some((image) => (image as HTMLImageElement).naturalWidth > 0));
    await expect.poll(drawn, { timeout: 20_000 }).toBe(true);
  });
});
