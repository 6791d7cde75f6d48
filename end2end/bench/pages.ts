/** Pages of a new browser context, slowed down, and what is measured in them. */
import type { Browser, BrowserContext, CDPSession, Page } from '@playwright/test';
import { signInByRequest } from '../accounts.ts';
import type { Console } from '../console.ts';
import type { Server } from '../server.ts';
import type { Profile } from './figures.ts';

/** 1.6 Mbit/s down, 0.75 Mbit/s up, 150 ms for each request with its response. Chromium counts bytes per second. */
const slowNetwork = { offline: false, latency: 150, downloadThroughput: 1_600_000 / 8, uploadThroughput: 750_000 / 8 };

/** How long to wait for anything in the page, in milliseconds. */
export const pageTimeoutMs = 120_000;

/** A file that was loaded, in bytes. */
export interface Loaded {
  type: string;
  /** As sent, with the headers of the response. */
  sent: number;
  /** Uncompressed. */
  size: number;
}

/** The times of a page since its navigation began, in milliseconds. */
export interface Times {
  /** First contentful paint. */
  paint: number;
  /** The first frame with the end of the thread in view; meaningless if `watchPage` was given no question. */
  end: number;
  /** The first frame in which the socket is open and the page's own code has reacted to a character in the composer. */
  interactive: number;
}

/** A page in a browser context of its own: signed in, and with an empty cache. */
export class BenchPage {
  private constructor(
    private readonly context: BrowserContext,
    readonly page: Page,
    private readonly client: CDPSession,
  ) {}

  static async open(browser: Browser, server: Server, browserConsole: Console): Promise<BenchPage> {
    const context = await browser.newContext({ baseURL: server.url });
    browserConsole.watch(context);
    const page = await context.newPage();
    await signInByRequest(page, server);
    const client = await context.newCDPSession(page);
    await client.send('Page.enable');
    await client.send('Network.enable');
    return new BenchPage(context, page, client);
  }

  async close(): Promise<void> {
    await this.context.close();
  }

  /** Slows the page down from here. */
  async throttle(profile: Profile): Promise<void> {
    await this.client.send('Emulation.setCPUThrottlingRate', { rate: profile.cpu });
    if (profile.isSlowNetwork) await this.client.send('Network.emulateNetworkConditions', slowNetwork);
  }

  /** Opens a path and waits until the page is interactive. `lastQuestion` is in the thread's last message from the user, if it is a thread. */
  async load(path: string, lastQuestion?: string): Promise<{ times: Times; files: Loaded[] }> {
    const finish = collectFiles(this.client);
    const script = await this.client.send('Page.addScriptToEvaluateOnNewDocument', {
      source: `(${watchPage.toString()})(${JSON.stringify({ lastQuestion, timeoutMs: pageTimeoutMs })})`,
    });
    await this.page.goto(path, { timeout: pageTimeoutMs });
    const times = await this.page.evaluate(() => (window as unknown as { benchTimes: Promise<Times> }).benchTimes);
    await this.client.send('Page.removeScriptToEvaluateOnNewDocument', script);
    return { times, files: finish() };
  }
}

/** Collects the files that are loaded, until the returned function is called. */
function collectFiles(client: CDPSession): () => Loaded[] {
  const files = new Map<string, Loaded>();
  const onResponse = ({ requestId, response }: { requestId: string; response: { mimeType: string } }) => {
    files.set(requestId, { type: response.mimeType, sent: 0, size: 0 });
  };
  const onData = ({ requestId, dataLength }: { requestId: string; dataLength: number }) => {
    const file = files.get(requestId);
    if (file) file.size += dataLength;
  };
  const onFinished = ({ requestId, encodedDataLength }: { requestId: string; encodedDataLength: number }) => {
    const file = files.get(requestId);
    if (file) file.sent = encodedDataLength;
  };
  client.on('Network.responseReceived', onResponse);
  client.on('Network.dataReceived', onData);
  client.on('Network.loadingFinished', onFinished);
  return () => {
    client.off('Network.responseReceived', onResponse);
    client.off('Network.dataReceived', onData);
    client.off('Network.loadingFinished', onFinished);
    return [...files.values()];
  };
}

/** Runs in the page before its own scripts: sets `benchTimes`, a promise of the times. */
function watchPage({ lastQuestion, timeoutMs }: { lastQuestion?: string; timeoutMs: number }): void {
  const until = (name: string, event: (reached: () => void) => void) =>
    new Promise<number>((resolve, reject) => {
      setTimeout(() => reject(new Error(`${name}: not reached within ${timeoutMs} ms`)), timeoutMs);
      event(() => resolve(performance.now()));
    });

  const paint = new Promise<number>((resolve) => {
    new PerformanceObserver((list) => {
      const first = list.getEntriesByName('first-contentful-paint')[0];
      if (first) resolve(first.startTime);
    }).observe({ type: 'paint', buffered: true });
  });

  const interactive = until('interactive', (reached) => {
    let isTyped = false;
    const type = (field: HTMLTextAreaElement, text: string) => {
      field.value = text;
      field.dispatchEvent(new InputEvent('input', { bubbles: true, data: text, inputType: 'insertText' }));
    };
    const observer = new MutationObserver(() => {
      const field = document.querySelector<HTMLTextAreaElement>('#message');
      const send = document.querySelector<HTMLButtonElement>('.composer button[type=submit]');
      if (!field || !send || !document.querySelector('[data-status=connected]')) return;
      if (!isTyped) {
        isTyped = true;
        type(field, 'x');
      } else if (!send.disabled) {
        observer.disconnect();
        type(field, '');
        requestAnimationFrame(reached);
      }
    });
    observer.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-status', 'disabled'] });
  });

  const end = until('the end of the thread', (reached) => {
    const check = () => {
      const area = document.querySelector('.scroller');
      const last = [...document.querySelectorAll('.question')].at(-1);
      const isEnd = area && last?.textContent?.includes(lastQuestion ?? '') && area.querySelector('[data-run-id]:last-of-type');
      if (isEnd && area.scrollHeight - area.clientHeight - area.scrollTop <= 2) reached();
      else requestAnimationFrame(check);
    };
    if (lastQuestion === undefined) reached();
    else requestAnimationFrame(check);
  });

  const times = Promise.all([paint, interactive, end]).then(([paint, interactive, end]) => ({ paint, interactive, end }));
  Object.assign(window, { benchTimes: times });
}
