/** Streaming answers: elements that are shown stay, and the result is the same as for the whole text. */
import { readFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { expect, type Page, test as base } from './fixtures.ts';
import { connected, lastRun, runIs } from './threads.ts';

/** An AG-UI endpoint whose answers the test controls. */
class DictatedAgent {
  private readonly server: Server;
  private run: { threadId: string; runId: string; response: ServerResponse } | undefined;

  private constructor() {
    this.server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        const { threadId, runId } = JSON.parse(body) as { threadId: string; runId: string };
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        this.run = { threadId, runId, response };
        this.emit({ type: 'RUN_STARTED', threadId, runId });
        this.emit({ type: 'TEXT_MESSAGE_START', messageId: `m-${runId}`, role: 'assistant' });
      });
    });
  }

  static async start(): Promise<DictatedAgent> {
    const agent = new DictatedAgent();
    await new Promise<void>((resolve) => agent.server.listen(0, '127.0.0.1', resolve));
    return agent;
  }

  get config(): string {
    const url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
    return `[[agents]]\nid = "dictated"\nname = "DictatedAgent"\nkind = "ag-ui"\nurl = "${url}"\nallow_private_network = true\n`;
  }

  write(delta: string): void {
    this.emit({ type: 'TEXT_MESSAGE_CONTENT', messageId: `m-${this.run?.runId}`, delta });
  }

  finish(): void {
    if (!this.run) return;
    const { threadId, runId, response } = this.run;
    this.emit({ type: 'TEXT_MESSAGE_END', messageId: `m-${runId}` });
    this.emit({ type: 'RUN_FINISHED', threadId, runId, outcome: { type: 'success' } });
    response.end();
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private emit(event: object): void {
    this.run?.response.write(`data: ${JSON.stringify(event)}\n\n`);
  }
}

const test = base.extend<object, { agent: DictatedAgent }>({
  agent: [
    async ({}, use) => {
      const agent = await DictatedAgent.start();
      await use(agent);
      await agent.close();
    },
    { scope: 'worker' },
  ],
  serverOptions: [async ({ agent }, use) => use({ config: agent.config }), { scope: 'worker' }],
});

/** Asks the agent, which then waits for text from the test. */
async function ask(page: Page): Promise<void> {
  await page.goto('/');
  await connected(page);
  await page.getByLabel('Message').fill('@dictated Go on');
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page).toHaveURL(/\/threads\//);
  await runIs(page, 'running');
}

const answer = (page: Page) => lastRun(page).locator('.markdown');

/** The HTML of the answer, without hydration comments. */
async function markup(page: Page): Promise<string> {
  return (await answer(page).innerHTML()).replace(/<!--.*?-->/g, '');
}

/** Marks an element and selects its text, to detect later whether the page replaced them. */
async function select(page: Page, selector: string): Promise<void> {
  await answer(page).locator(selector).first().evaluate((element) => {
    element.setAttribute('data-marked', '');
    // The text of a code block is one growing node: select only its current text.
    const text = element.firstChild instanceof Text ? element.firstChild : undefined;
    const range = document.createRange();
    if (text) {
      range.setStart(text, 0);
      range.setEnd(text, text.length);
    } else range.selectNodeContents(element);
    getSelection()?.removeAllRanges();
    getSelection()?.addRange(range);
  });
}

const growing = [
  { what: 'list', head: '', line: (n: number) => `- item ${n} of **many**\n`, part: 'li', select: 'li p' },
  { what: 'table', head: '| n | word |\n|--:|---|\n', line: (n: number) => `| ${n} | word ${n} |\n`, part: 'tbody tr', select: 'td:last-child' },
  { what: 'code block', head: '```js\n', line: (n: number) => `const line${n} = "<é😀>";\n`, part: 'pre code', select: 'pre code' },
];

for (const { what, head, line, part, select: selector } of growing) {
  test(`the first lines of a ${what} keep their elements while hundreds follow`, async ({ page, agent, signedIn: _ }) => {
    await ask(page);
    const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => line(from + n)).join('');
    agent.write(head + lines(0, 3));
    const isCode = part === 'pre code';
    const expectLines = (count: number) =>
      isCode
        ? expect(answer(page).locator(part)).toContainText(`line${count - 1} = `)
        : expect(answer(page).locator(part)).toHaveCount(count);
    await expectLines(3);
    await select(page, selector);
    const selected = await page.evaluate(() => String(getSelection()));
    expect(selected).not.toBe('');
    const first = await answer(page).locator(part).first().evaluateHandle((element) => (element.tagName === 'CODE' ? element.firstChild : element));
    for (let sent = 3; sent < 600; sent += 199) {
      agent.write(lines(sent, sent + 199));
      await expectLines(sent + 199);
    }
    // A selection includes the line break at the end of a block only once more text follows.
    expect((await page.evaluate(() => String(getSelection()))).trimEnd()).toBe(selected.trimEnd());
    expect(await first.evaluate((node) => node?.isConnected)).toBe(true);
    await expect(answer(page).locator('[data-marked]')).toHaveCount(1);
    agent.write('\n```\n\nAnd **then**.\n');
    agent.finish();
    await runIs(page, 'finished');
    // The grown answer equals the server's rendering of the whole text.
    const grown = (await markup(page)).replace(' data-marked=""', '');
    await page.reload();
    await connected(page);
    expect(await markup(page)).toBe(grown);
  });
}

test('a link definition at the end turns the references above into links', async ({ page, agent, signedIn: _ }) => {
  await ask(page);
  agent.write('See [the guide][g].\n\n- and [g]\n- more\n\nLast words.\n\n');
  await expect(answer(page)).toContainText('Last words.');
  await expect(answer(page).getByRole('link')).toHaveCount(0);
  agent.write('[g]: https://e.org/guide\n');
  await expect(answer(page).getByRole('link')).toHaveCount(2);
  await expect(answer(page).getByRole('link', { name: 'the guide' })).toHaveAttribute('href', 'https://e.org/guide');
  agent.finish();
  await runIs(page, 'finished');
});

test('the page stays usable with hostile nesting, brackets and columns', async ({ page, agent, signedIn: _ }) => {
  await ask(page);
  const hostile = [
    '> '.repeat(3000) + 'deep\n',
    '- '.repeat(3000) + 'deep\n' + '\n'.repeat(300),
    '['.repeat(5000) + '\n',
    '*a **a '.repeat(3000) + '\n',
    '`'.repeat(300) + ' ``'.repeat(2000) + '\n',
    `${'|a'.repeat(2000)}\n${'|-'.repeat(2000)}\n${'b\n'.repeat(2000)}`,
    '<a href="'.repeat(2000) + '\n',
  ];
  for (const [place, text] of hostile.entries()) {
    agent.write(`${text}\nmark ${place}.\n\n`);
    await expect(answer(page).getByText(`mark ${place}.`)).toBeAttached();
  }
  expect(await answer(page).evaluate((element) => element.querySelectorAll('*').length)).toBeLessThan(20_000);
  agent.finish();
  await runIs(page, 'finished');
  await page.getByLabel('Message').fill('still here');
  await expect(page.getByLabel('Message')).toHaveValue('still here');
});

const cases = resolve(import.meta.dirname, '../tests/data/markdown');
const recordedAnswer = (name: string) => readFileSync(resolve(cases, `${name}.md`), 'utf8');

test('Arabic and Hebrew are shown right to left, the rest of an answer left to right', async ({ page, agent, signedIn: _ }, info) => {
  await ask(page);
  agent.write(`${recordedAnswer('rtl')}\n${recordedAnswer('cjk-bold')}\n${recordedAnswer('br-table')}\n${recordedAnswer('math')}\n${recordedAnswer('bare-urls')}\n${recordedAnswer('tilde2')}\n${recordedAnswer('inline-fence')}`);
  agent.finish();
  await runIs(page, 'finished');
  const direction = (selector: string) => answer(page).locator(selector).first().evaluate((element) => getComputedStyle(element).direction);
  expect(await direction('p')).toBe('rtl');
  expect(await direction('ul')).toBe('rtl');
  expect(await direction('table')).toBe('rtl');
  expect(await direction('p:has-text("And an English")')).toBe('ltr');
  expect(await direction('li code')).toBe('ltr');
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await info.attach(`markdown-${colorScheme}.png`, { body: await answer(page).screenshot(), contentType: 'image/png' });
  }
});
