/** Streaming answers: elements that are shown stay, and the result is the same as for the whole text. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, type Page, test as base } from './fixtures.ts';
import { endAnswer, type StreamedAgent, streamedAgentFixture } from './streamed.ts';
import { ask, lastRun, messageField, waitForConnection, waitForRunState } from './threads.ts';

const test = base.extend<object, { agent: StreamedAgent }>({
  agent: streamedAgentFixture,
  serverOptions: [async ({ agent }, use) => use({ config: agent.config }), { scope: 'worker' }],
});

/** Starts an answer, whose text comes from the test. */
async function beginAnswer(page: Page, agent: StreamedAgent): Promise<void> {
  await ask(page, '@streamed Go on');
  await expect.poll(() => agent.isAnswering).toBe(true);
  await waitForRunState(page, 'running');
}

const answer = (page: Page) => lastRun(page).locator('.markdown');

/** The HTML of the answer, without hydration comments and the colours of code. */
async function markup(page: Page): Promise<string> {
  const html = await answer(page).evaluate((element) => {
    const copy = element.cloneNode(true) as Element;
    for (const code of copy.querySelectorAll('pre > code')) code.textContent = code.textContent;
    return copy.innerHTML;
  });
  return html.replace(/<!--.*?-->/g, '');
}

/** Marks an element and selects its text, to detect later whether the page replaced them. */
async function markAndSelect(page: Page, selector: string): Promise<void> {
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

const growingBlocks = [
  { what: 'list', head: '', line: (n: number) => `- item ${n} of **many**\n`, part: 'li', selector: 'li p' },
  { what: 'table', head: '| n | word |\n|--:|---|\n', line: (n: number) => `| ${n} | word ${n} |\n`, part: 'tbody tr', selector: 'td:last-child' },
  { what: 'code block', head: '```js\n', line: (n: number) => `const line${n} = "<é😀>";\n`, part: 'pre code', selector: 'pre code' },
];

for (const { what, head, line, part, selector } of growingBlocks) {
  test(`the first lines of a ${what} keep their elements while hundreds follow`, async ({ page, agent, signedIn: _ }) => {
    await beginAnswer(page, agent);
    const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => line(from + n)).join('');
    agent.write(head + lines(0, 3));
    const isCode = part === 'pre code';
    const expectLines = (count: number) =>
      isCode
        ? expect(answer(page).locator(part)).toContainText(`line${count - 1} = `)
        : expect(answer(page).locator(part)).toHaveCount(count);
    await expectLines(3);
    await markAndSelect(page, selector);
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
    await endAnswer(page, agent);
    // The grown answer equals the server's rendering of the whole text.
    const grown = (await markup(page)).replace(' data-marked=""', '');
    await page.reload();
    await waitForConnection(page);
    expect(await markup(page)).toBe(grown);
  });
}

test('a link definition at the end turns the references above into links', async ({ page, agent, signedIn: _ }) => {
  await beginAnswer(page, agent);
  agent.write('See [the guide][g].\n\n- and [g]\n- more\n\nLast words.\n\n');
  await expect(answer(page)).toContainText('Last words.');
  await expect(answer(page).getByRole('link')).toHaveCount(0);
  agent.write('[g]: https://e.org/guide\n');
  await expect(answer(page).getByRole('link')).toHaveCount(2);
  await expect(answer(page).getByRole('link', { name: 'the guide' })).toHaveAttribute('href', 'https://e.org/guide');
  await endAnswer(page, agent);
});

test('the page stays usable with hostile nesting, brackets and columns', async ({ page, agent, signedIn: _ }) => {
  await beginAnswer(page, agent);
  const hostile = [
    '> '.repeat(3000) + 'deep\n',
    '- '.repeat(3000) + 'deep\n' + '\n'.repeat(300),
    '['.repeat(5000) + '\n',
    '*a **a '.repeat(3000) + '\n',
    '`'.repeat(300) + ' ``'.repeat(2000) + '\n',
    `${'|a'.repeat(2000)}\n${'|-'.repeat(2000)}\n${'b\n'.repeat(2000)}`,
    '<a href="'.repeat(2000) + '\n',
  ];
  for (const [index, text] of hostile.entries()) {
    agent.write(`${text}\nmark ${index}.\n\n`);
    await expect(answer(page).getByText(`mark ${index}.`)).toBeAttached();
  }
  expect(await answer(page).evaluate((element) => element.querySelectorAll('*').length)).toBeLessThan(20_000);
  await endAnswer(page, agent);
  await messageField(page).fill('still here');
  await expect(messageField(page)).toHaveValue('still here');
});

const cases = resolve(import.meta.dirname, '../tests/data/markdown');
const recordedAnswer = (name: string) => readFileSync(resolve(cases, `${name}.md`), 'utf8');

test('Arabic and Hebrew are shown right to left, the rest of an answer left to right', async ({ page, agent, signedIn: _ }, info) => {
  await beginAnswer(page, agent);
  // The direction is checked in the first text; the others are for the screenshots.
  agent.write(`${recordedAnswer('rtl')}\n${recordedAnswer('cjk-bold')}\n${recordedAnswer('br-table')}\n${recordedAnswer('math')}\n${recordedAnswer('bare-urls')}\n${recordedAnswer('tilde2')}\n${recordedAnswer('inline-fence')}`);
  await endAnswer(page, agent);
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
