/** Scrolling: the end of a conversation stays visible while it is followed, and a reader's position is kept. In Firefox: firefox.spec.ts. */
import { expect, type Page, test as base } from './fixtures.ts';
import { generatedLog } from './logs.ts';
import { recordedAgent } from './recorded.ts';
import { endAnswer, paragraphs, type StreamedAgent, streamedAgentFixture } from './streamed.ts';
import { ask, distanceToEnd, jumpButton, lastRun, messageField, scroller, sendMessage, waitForRunState } from './threads.ts';

const test = base.extend<object, { agent: StreamedAgent }>({
  agent: streamedAgentFixture,
  serverOptions: [async ({ agent }, use) => use({ config: agent.config + recordedAgent(400) }), { scope: 'worker' }],
});

async function expectEndVisible(page: Page): Promise<void> {
  await expect.poll(() => distanceToEnd(page)).toBeLessThanOrEqual(2);
  await expect(jumpButton(page)).toHaveCount(0);
}

/** Measures in each painted frame how far the end is below the window. The returned function stops and returns the maximum. */
async function watchEnd(page: Page): Promise<() => Promise<number>> {
  await scroller(page).evaluate((area) => {
    const watched = { maximum: 0, on: true };
    Object.assign(window, { watched });
    const afterPaint = new MessageChannel();
    afterPaint.port1.onmessage = () => {
      watched.maximum = Math.max(watched.maximum, area.scrollHeight - area.clientHeight - area.scrollTop);
    };
    const frame = () => {
      afterPaint.port2.postMessage(null);
      if (watched.on) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  return () =>
    page.evaluate(() => {
      const { watched } = window as unknown as { watched: { maximum: number; on: boolean } };
      watched.on = false;
      return watched.maximum;
    });
}

/** Starts an answer that is longer than the window and continues until the test ends it. */
async function beginAnswer(page: Page, agent: StreamedAgent): Promise<void> {
  await ask(page, '@streamed Go on');
  await expect.poll(() => agent.isAnswering).toBe(true);
  await grow(page, agent, 'a', 40);
}

/** Appends paragraphs to the answer, and waits until the page shows them. */
async function grow(page: Page, agent: StreamedAgent, name: string, count: number): Promise<void> {
  agent.write(paragraphs(name, count));
  await expect(page.getByText(`Paragraph ${name}${count}.`)).toBeAttached();
}

/** The position of a paragraph in the window. */
const topOf = (page: Page, paragraph: string) =>
  page.getByText(`Paragraph ${paragraph}.`).evaluate((element) => element.getBoundingClientRect().top);

async function expectInPlace(page: Page, paragraph: string, top: number): Promise<void> {
  await expect.poll(async () => Math.abs((await topOf(page, paragraph)) - top)).toBeLessThanOrEqual(1.5);
}

/** Scrolls as a person would, by a number of pixels; negative is up. Resolves when the box has stopped. */
type ScrollMethod = (page: Page, by: number) => Promise<void>;

/** Waits until the box has moved and then not moved for some frames. */
async function waitUntilScrolled(page: Page, before: number): Promise<void> {
  await scroller(page).evaluate(
    (area, before) =>
      new Promise<void>((resolve) => {
        let [last, still] = [area.scrollTop, 0];
        const frame = () => {
          const moved = Math.abs(area.scrollTop - before) > 2;
          still = moved && area.scrollTop === last ? still + 1 : 0;
          last = area.scrollTop;
          if (still >= 10) resolve();
          else requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
      }),
    before,
  );
}

const position = (page: Page) => scroller(page).evaluate((area) => area.scrollTop);

const scrollMethods: Record<string, ScrollMethod> = {
  wheel: async (page, by) => {
    const before = await position(page);
    await scroller(page).hover();
    await page.mouse.wheel(0, by);
    await waitUntilScrolled(page, before);
  },
  keys: async (page, by) => {
    const before = await position(page);
    await scroller(page).focus();
    for (let left = Math.abs(by); left > 0; left -= 400) await page.keyboard.press(by < 0 ? 'PageUp' : 'PageDown');
    await waitUntilScrolled(page, before);
  },
  script: async (page, by) => {
    const before = await position(page);
    await scroller(page).evaluate((area, by) => area.scrollBy(0, by), by);
    await waitUntilScrolled(page, before);
  },
  touch: async (page, by) => {
    const before = await position(page);
    const { x, y, width, height } = (await scroller(page).boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
    const client = await page.context().newCDPSession(page);
    const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', at?: number) =>
      client.send('Input.dispatchTouchEvent', { type, touchPoints: at === undefined ? [] : [{ x: x + width / 2, y: at }] });
    // One swipe cannot be longer than the screen, so swipe repeatedly.
    for (let left = Math.abs(by); left > 0; left -= 300) {
      const to = Math.sign(-by) * Math.min(left, 300);
      const from = y + height / 2 - to / 2;
      await touch('touchStart', from);
      for (let step = 1; step <= 10; step++) await touch('touchMove', from + (to * step) / 10);
      await touch('touchEnd');
    }
    await waitUntilScrolled(page, before);
  },
};

for (const agent of ['analyst', 'recorded']) {
  test(`message and answer stay visible through follow-ups of ${agent}`, async ({ page, signedIn: _ }) => {
    await ask(page, `@${agent} Where do my tokens go?`, agent === 'analyst' ? generatedLog(400) : undefined);
    await waitForRunState(page, 'finished');
    await expectEndVisible(page);
    const maximum = await watchEnd(page);
    for (let round = 1; round <= 4; round++) {
      await sendMessage(page, `@${agent} Question ${round}: and what else?`);
      await expect(page.locator('[data-run-id]')).toHaveCount(round + 1);
      await waitForRunState(page, 'finished');
      await expectEndVisible(page);
    }
    expect(await maximum(), 'the end was visible in every frame').toBeLessThanOrEqual(2);
  });
}

for (const [name, scroll] of Object.entries(scrollMethods)) {
  test.describe(name, () => {
    // Swipes need a touch screen, also at desktop size.
    if (name === 'touch') test.use({ hasTouch: true });

    test(`scrolling up by ${name} keeps the position while the answer grows, and scrolling back to the end resumes following`, async ({ page, agent, signedIn: _ }) => {
      await beginAnswer(page, agent);
      await expectEndVisible(page);
      await scroll(page, -900);
      await expect(jumpButton(page)).toBeVisible();
      const top = await topOf(page, 'a20');
      await grow(page, agent, 'b', 20);
      await expectInPlace(page, 'a20', top);
      await expect(jumpButton(page)).toBeVisible();
      await scroll(page, (await distanceToEnd(page)) + 100);
      await expectEndVisible(page);
      await grow(page, agent, 'c', 20);
      await expectEndVisible(page);
      await endAnswer(page, agent);
      await expectEndVisible(page);
    });
  });
}

test('the button and a sent message both go to the end', async ({ page, agent, signedIn: _ }) => {
  await beginAnswer(page, agent);
  await scrollMethods['script']?.(page, -900);
  await jumpButton(page).click();
  await expectEndVisible(page);
  await expect(scroller(page)).toBeFocused();
  await scrollMethods['script']?.(page, -900);
  await endAnswer(page, agent);
  await expect(jumpButton(page)).toBeVisible();
  await sendMessage(page, '@streamed And now?');
  await expectEndVisible(page);
  await expect.poll(() => agent.isAnswering).toBe(true);
  await grow(page, agent, 'b', 30);
  await expectEndVisible(page);
  await endAnswer(page, agent);
});

test('layout changes alone do not change whether the end is followed', async ({ page, agent, signedIn: _ }) => {
  await beginAnswer(page, agent);
  // An article that shrinks for some frames and grows again, like one that the browser lays out late.
  await page.locator('.question').first().evaluate(async (message: HTMLElement) => {
    const frames = async () => {
      for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    };
    message.style.height = '3000px';
    await frames();
    message.style.height = '10px';
    await frames();
    message.style.height = '';
  });
  await expectEndVisible(page);
  await grow(page, agent, 'b', 10);
  await expectEndVisible(page);
  // Content above the reader's position grows and shrinks.
  await scrollMethods['script']?.(page, -900);
  const top = await topOf(page, 'a30');
  for (const height of ['1500px', '10px', '']) {
    await page.locator('.question').first().evaluate((message: HTMLElement, height) => message.style.setProperty('height', height), height);
    await expectInPlace(page, 'a30', top);
  }
  await expect(jumpButton(page)).toBeVisible();
  await endAnswer(page, agent);
});

test('a growing composer and a shrinking window hide neither the end nor the reader’s position', async ({ page, agent, signedIn: _ }) => {
  await beginAnswer(page, agent);
  const size = page.viewportSize() ?? { width: 0, height: 0 };
  const shrunken = { ...size, height: Math.round(size.height * 0.6) };
  await messageField(page).fill('A long thought\n'.repeat(8));
  await expectEndVisible(page);
  await page.setViewportSize(shrunken);
  await expectEndVisible(page);
  await expect(messageField(page)).toBeInViewport();
  await page.setViewportSize(size);
  await expectEndVisible(page);
  await messageField(page).fill('');
  await expectEndVisible(page);
  await scrollMethods['script']?.(page, -900);
  const top = await topOf(page, 'a30');
  await messageField(page).fill('A long thought\n'.repeat(8));
  await expectInPlace(page, 'a30', top);
  await page.setViewportSize(shrunken);
  await expectInPlace(page, 'a30', top);
  await endAnswer(page, agent);
});

test('the composer and the end stay visible above an on-screen keyboard', async ({ page, agent, signedIn: _ }) => {
  await beginAnswer(page, agent);
  // Like Safari on a phone: only the visual viewport shrinks.
  const keyboard = (share: number) =>
    page.evaluate((share) => {
      const viewport = window.visualViewport;
      if (!viewport) throw new Error('there is no visual viewport');
      Object.defineProperty(viewport, 'height', { configurable: true, get: () => innerHeight * share });
      viewport.dispatchEvent(new Event('resize'));
    }, share);
  const bottom = () => messageField(page).evaluate((area) => area.getBoundingClientRect().bottom / innerHeight);
  await keyboard(0.55);
  await expect.poll(bottom).toBeLessThan(0.55);
  await expectEndVisible(page);
  await grow(page, agent, 'b', 10);
  await expectEndVisible(page);
  await keyboard(1);
  await expect.poll(bottom).toBeGreaterThan(0.55);
  await expectEndVisible(page);
  await endAnswer(page, agent);
});

test('a section that is opened keeps its place', async ({ page, signedIn: _ }) => {
  await ask(page, '@recorded Go on');
  await waitForRunState(page, 'finished');
  const summary = lastRun(page).locator('summary').first();
  await summary.scrollIntoViewIfNeeded();
  const topOfSummary = () => summary.evaluate((element) => element.getBoundingClientRect().top);
  const top = await topOfSummary();
  const open = () => summary.evaluate((element) => (element.parentElement as HTMLDetailsElement).open);
  const before = await open();
  await summary.click();
  await expect.poll(open).toBe(!before);
  await expect.poll(async () => Math.abs((await topOfSummary()) - top)).toBeLessThanOrEqual(1.5);
});
