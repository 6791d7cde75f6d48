/** The blocks of answers: code, formulas, tables, images and footnotes, and how they and whole answers are copied. */
import type { ServerResponse } from 'node:http';
import { Endpoint } from './endpoint.ts';
import { expect, type Page, test as base } from './fixtures.ts';
import { expectAccessible } from './accessible.ts';
import { endAnswer, type StreamedAgent, streamedAgentFixture } from './streamed.ts';
import { answerMenu, ask, lastRun, waitForConnection, waitForRunState } from './threads.ts';

const test = base.extend<object, { agent: StreamedAgent }>({
  agent: streamedAgentFixture,
  serverOptions: [async ({ agent }, use) => use({ config: agent.config, env: { NETRA_IMAGES__ALLOW_PRIVATE_NETWORK: 'true' } }), { scope: 'worker' }],
});
test.use({ permissions: ['clipboard-read', 'clipboard-write'] });

type Upload = Parameters<typeof ask>[2];

/** Starts an answer, whose text comes from the test. */
async function beginAnswer(page: Page, agent: StreamedAgent, file?: Upload): Promise<void> {
  await ask(page, '@streamed Show **me**', file);
  await expect.poll(() => agent.isAnswering).toBe(true);
  await waitForRunState(page, 'running');
}

/** Asks, and waits for an answer with this text. */
async function answerWith(page: Page, agent: StreamedAgent, text: string): Promise<void> {
  await beginAnswer(page, agent);
  agent.write(text);
  await endAnswer(page, agent);
}

const answer = (page: Page) => lastRun(page).locator('.markdown');
const button = (page: Page, name: string) => lastRun(page).getByRole('button', { name, exact: true });
const clipboard = (page: Page) => page.evaluate(() => navigator.clipboard.readText());
const keywords = (page: Page) => answer(page).locator('.hljs-keyword');

/** Copies the answer as text with its menu, and returns what was copied. */
async function copyAsText(page: Page): Promise<string> {
  await answerMenu(page).click();
  const copied = await pressCopy(page, 'Copy as text');
  await page.keyboard.press('Escape');
  return copied;
}

/** Presses a button, waits until it shows its result and then its name again, and returns what was copied. */
async function pressCopy(page: Page, name: string): Promise<string> {
  await button(page, name).first().click();
  await expect(button(page, 'Copied')).toBeVisible();
  await expect(page.getByRole('status').filter({ hasText: 'Copied' })).toBeAttached();
  const copied = await clipboard(page);
  await expect(button(page, name).first()).toBeVisible();
  return copied;
}

/** Collects the scripts for answers that the page requests, without their hashes. */
function requestedScripts(page: Page): string[] {
  const scripts: string[] = [];
  page.on('request', (request) => {
    const name = /\/pkg\/netra-(\w+)\.[^/]+\.js$/.exec(request.url())?.[1];
    if (name) scripts.push(name);
  });
  return scripts;
}

test('code is plain while it grows, then highlighted, and copied as it was written', async ({ page, agent, signedIn: _ }) => {
  await beginAnswer(page, agent);
  agent.write('```js\nconst a = "<b>";\n');
  await expect(answer(page).locator('.language')).toHaveText('js');
  await expect(answer(page).locator('code')).toContainText('const a');
  await expect(keywords(page)).toHaveCount(0);
  agent.write('const b = 2;\n```\n\nAnd');
  await expect(keywords(page)).toHaveText(['const', 'const']);
  expect(await pressCopy(page, 'Copy')).toBe('const a = "<b>";\nconst b = 2;');
  agent.write(' more.\n\n```unknown\nconst c\n```\n');
  await endAnswer(page, agent);
  await expect(answer(page).locator('.language')).toHaveText(['js', 'unknown']);
  await expect(keywords(page)).toHaveCount(2);
});

test('a selection in code stays when the code is complete, which is highlighted afterwards', async ({ page, agent, signedIn: _ }) => {
  await beginAnswer(page, agent);
  agent.write('```js\nconst answer = 42;\n');
  await expect(answer(page).locator('code')).toContainText('42');
  await answer(page).locator('code').evaluate((code) => getSelection()?.setBaseAndExtent(code.firstChild as Text, 6, code.firstChild as Text, 12));
  agent.write('```\n\nThen a formula: \\(x^2\\).\n\nMore.');
  await expect(answer(page).locator('math')).toHaveCount(1);
  expect(await page.evaluate(() => String(getSelection()))).toBe('answer');
  await expect(keywords(page)).toHaveCount(0);
  await page.evaluate(() => getSelection()?.removeAllRanges());
  await expect(keywords(page)).toHaveText('const');
  await endAnswer(page, agent);
});

test('long lines of code are wrapped on request', async ({ page, agent, signedIn: _ }) => {
  await answerWith(page, agent, `\`\`\`\n${'word '.repeat(100)}\n\`\`\`\n`);
  const pre = answer(page).locator('pre');
  const overflow = () => pre.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth);
  expect(await overflow()).toBeGreaterThan(100);
  await button(page, 'Wrap').click();
  await expect(button(page, 'Wrap')).toHaveAttribute('aria-pressed', 'true');
  expect(await overflow()).toBe(0);
  await button(page, 'Wrap').press('Enter');
  await expect(button(page, 'Wrap')).toHaveAttribute('aria-pressed', 'false');
});

test('formulas are shown as mathematics, prices and what has an error as they were written', async ({ page, agent, signedIn: _ }) => {
  await beginAnswer(page, agent);
  agent.write('It costs $5, or $10 with \\(a_1 + b\\), $E = mc^2$ and $\\nothing$.\n\n\\[\n\\sum_{i=1}^n i\n\\]\n\n$$\\int_0^1 x\\,dx$$');
  await expect(answer(page).locator('math')).toHaveCount(3);
  await expect(answer(page).locator('.math').last()).toHaveText('$$\\int_0^1 x\\,dx$$');
  await endAnswer(page, agent);
  await expect(answer(page).locator('math')).toHaveCount(4);
  await expect(answer(page).locator('math[display=block]')).toHaveCount(2);
  await expect(answer(page).locator('p').first()).toContainText('It costs $5, or $10 with');
  const failed = answer(page).locator('.math', { hasText: '$\\nothing$' });
  await expect(failed).toHaveAttribute('title', /cannot be shown/);
  expect(await copyAsText(page)).toContain('with \\(a_1 + b\\), $E = mc^2$ and $\\nothing$.');
});

test('formulas that would need inline styles or links show no error on the console', async ({ page, agent, signedIn: _ }) => {
  await answerWith(page, agent, '$\\pmb{a} + \\fcolorbox{red}{white}{b}$ and $\\color{red} c$ and $\\href{javascript:alert(1)}{d}$ and $\\boxed{e}$');
  await expect(answer(page).locator('math')).not.toHaveCount(0);
  await expect(answer(page).locator('a, [href]')).toHaveCount(0);
});

test('a table is copied as CSV and as Markdown', async ({ page, agent, signedIn: _ }) => {
  await answerWith(page, agent, '| Name | Cost |\n|---|--:|\n| **Ada**, "A" | 1 |\n| see [e](https://e.org) \\| x<br>y | 2 |\n| alone |\n');
  expect(await pressCopy(page, 'Copy as CSV')).toBe('Name,Cost\r\n"Ada, ""A""",1\r\n"see e (https://e.org) | x\ny",2\r\nalone,');
  const markdown = '| Name | Cost |\n| --- | ---: |\n| **Ada**, "A" | 1 |\n| see [e](https://e.org) \\| x<br>y | 2 |\n| alone |  |';
  expect(await pressCopy(page, 'Copy as Markdown')).toBe(markdown);
});

test('a table that grows keeps its sideways scroll and its selection', async ({ page, agent, signedIn: _ }) => {
  await beginAnswer(page, agent);
  const row = (cell: string) => `|${` ${cell.repeat(12)} |`.repeat(12)}\n`;
  agent.write(row('head') + row('-') + row('a') + row('b'));
  await expect(answer(page).locator('tbody tr')).toHaveCount(2);
  const scroll = answer(page).locator('.scroll');
  await scroll.evaluate((element) => {
    element.scrollLeft = 300;
    getSelection()?.selectAllChildren(element.querySelector('tbody td') as Element);
  });
  for (let sent = 0; sent < 50; sent += 1) agent.write(row('c'));
  await expect(answer(page).locator('tbody tr')).toHaveCount(52);
  agent.write('\nThe end.');
  await endAnswer(page, agent);
  expect(await scroll.evaluate(({ scrollLeft }) => scrollLeft)).toBe(300);
  expect(await page.evaluate(() => String(getSelection()))).toBe('a'.repeat(12));
});

test('an answer is copied as Markdown and as text, a message as it was written', async ({ page, agent, signedIn: _ }) => {
  const text = '# Head\n\n1. One **bold**\n   - inner\n2. Two\n\n> [!TIP]\n> Quote\n\n```js\nx\n```\n\nSee <https://e.org/a> or [here](https://e.org/b).\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n\nEnd';
  await answerWith(page, agent, text);
  await expect(page.locator('.run-end').getByRole('button')).toHaveText(['Copy', 'Ask again', '', '', '']);
  await page.locator('.run-end').getByRole('button', { name: 'Copy', exact: true }).press('Enter');
  await expect(page.locator('.run-end').getByRole('button', { name: 'Copied' })).toBeFocused();
  expect(await clipboard(page)).toBe(text);
  await expect(button(page, 'Copied')).toHaveCount(0);
  const plain = 'Head\n\n1. One bold\n   - inner\n2. Two\n\n> Tip\n\n> Quote\n\nx\n\nSee https://e.org/a or here (https://e.org/b).\n\na\tb\n1\t2\n\n---\n\nEnd';
  expect(await copyAsText(page)).toBe(plain);
  await page.locator('.question').getByRole('button', { name: 'Copy' }).click();
  await expect(page.locator('.question').getByRole('button', { name: 'Copied' })).toBeVisible();
  expect(await clipboard(page)).toBe('Show **me**');
});

test('a failure to copy is shown', async ({ page, agent, signedIn: _ }) => {
  await answerWith(page, agent, 'Words');
  await page.evaluate(() => {
    navigator.clipboard.writeText = () => Promise.reject(new Error('refused'));
    document.execCommand = () => false;
  });
  await button(page, 'Copy').click();
  await expect(button(page, 'Could not copy')).toBeVisible();
  await expect(button(page, 'Copy')).toBeVisible();
});

test('without the browser’s clipboard, as on a page without HTTPS, texts are copied too', async ({ page, agent, signedIn: _ }) => {
  await answerWith(page, agent, 'Words');
  await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true }));
  await button(page, 'Copy').click();
  await expect(button(page, 'Copied')).toBeFocused();
  await page.evaluate(() => Reflect.deleteProperty(navigator, 'clipboard'));
  expect(await clipboard(page)).toBe('Words');
});

test('a remote image is a link that names its host, and nothing is requested', async ({ page, agent, signedIn: _ }) => {
  const remote: string[] = [];
  page.on('request', (request) => {
    if (request.url().includes('e.org')) remote.push(request.url());
  });
  await answerWith(page, agent, 'See ![a chart](https://img.e.org/c.png?user=1) and [![badge](https://e.org/b.svg)](https://e.org).');
  const link = answer(page).getByRole('link', { name: 'a chart Open image on img.e.org' });
  await expect(link).toHaveAttribute('href', 'https://img.e.org/c.png?user=1');
  await expect(link).toHaveAttribute('rel', /noreferrer/);
  await expect(answer(page).getByRole('link', { name: 'badge' })).toHaveAttribute('href', 'https://e.org');
  await expect(answer(page).locator('img')).toHaveCount(0);
  expect(remote).toEqual([]);
});

test('an image among the thread’s files is shown', async ({ page, agent, signedIn: _ }) => {
  const png = 'iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFElEQVR4nGP4z8DwHwyBBAMDAwAl/gP9zUE9WQAAAABJRU5ErkJggg==';
  await beginAnswer(page, agent, { name: 'dots.png', mimeType: 'image/png', buffer: Buffer.from(png, 'base64') });
  const path = await page.locator('.question .chip a[download]').getAttribute('href');
  agent.write(`![two dots](${path})`);
  await endAnswer(page, agent);
  const image = answer(page).getByRole('img', { name: 'two dots' });
  await expect.poll(() => image.evaluate((image) => (image as HTMLImageElement).naturalWidth)).toBe(2);
});

test('a footnote and its reference lead to each other', async ({ page, agent, signedIn: _ }) => {
  await answerWith(page, agent, `It grew[^1], as said[^2].\n\n${'Words.\n\n'.repeat(40)}[^1]: In the report.\n`);
  await button(page, 'Footnote 1').click();
  await expect(button(page, 'Back to reference 1')).toBeFocused();
  await expect(button(page, 'Back to reference 1')).toBeInViewport();
  await page.keyboard.press('Enter');
  await expect(button(page, 'Footnote 1')).toBeFocused();
  await expect(button(page, 'Footnote 1')).toBeInViewport();
  await button(page, 'Footnote 2').click();
  await expect(page.getByRole('status').filter({ hasText: 'This answer has no footnote [2].' })).toBeAttached();
});

test('scripts for answers are loaded by the answers that need them', async ({ page, agent, signedIn: _ }) => {
  const scripts = requestedScripts(page);
  await answerWith(page, agent, 'Only **words** and a table.\n\n|a|\n|-|\n|b|\n');
  await page.reload();
  await waitForConnection(page);
  expect(scripts).toEqual([]);
  await answerWith(page, agent, `\`\`\`js\nlet a\n\`\`\`\n\n${'Words.\n\n'.repeat(100)}\n\nThe end.`);
  await expect.poll(() => scripts).toContain('answers');
  await page.reload();
  await waitForConnection(page);
  await answer(page).locator('.code').scrollIntoViewIfNeeded();
  await expect(keywords(page)).toHaveText('let');
  expect([...new Set(scripts)].sort()).toEqual(['answers', 'highlight']);
});

test('if the scripts cannot be loaded, code stays plain, formulas stay as written, and buttons say so', async ({ page, agent, signedIn: _, browserConsole }) => {
  browserConsole.allow(/Failed to load resource|ERR_FAILED/);
  await page.route(/\/pkg\/netra-(answers|highlight|math)\./, (route) => route.abort());
  await answerWith(page, agent, '```js\nlet a\n```\n\nand $x^2$.\n');
  await expect(answer(page).locator('code')).toHaveText('let a\n');
  await expect(answer(page).locator('.math')).toHaveText('$x^2$');
  await answer(page).getByRole('button', { name: 'Copy' }).click();
  await expect(button(page, 'Could not load')).toBeVisible();
  await page.unroute(/\/pkg\/netra-(answers|highlight|math)\./);
});

const everything = [
  '# Everything\n\nAn answer with `code`, **bold**, a formula \\( x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a} \\), a price of $5 or $20, and a footnote[^1].',
  '\\[\n\\sum_{i=1}^{n} x_i \\cdot y_i = \\int_0^\\infty e^{-x^2}\\,dx, \\quad A = \\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix}\n\\]',
  '```rust\n/// Adds two numbers.\n#[derive(Debug)]\nfn add(a: i32, b: i32) -> Result<i32, String> {\n    let text = "a long string that goes on and on, so that the line is wider than the block itself and scrolls";\n    Ok(a + b + 42) // the sum\n}\n```',
  '```json\n{ "name": "Ada", "age": 36, "admin": true }\n```',
  '```\nno language\n```',
  '| Model | Tokens | Cost |\n|---|--:|--:|\n| gpt | 1,234 | $0.12 |\n| claude | 5,678 | $0.34 |',
  '![A chart of the costs](https://images.example.org/chart.png)',
  '> [!NOTE]\n> Useful to know.\n\n> [!TIP]\n> A better way.\n\n> [!IMPORTANT]\n> Needed for the goal.\n\n> [!WARNING]\n> Take care.\n\n> [!CAUTION]\n> This deletes everything.',
  '- [x] done\n- [ ] to do\n  1. first\n  2. second',
  '[^1]: From the report.',
].join('\n\n');

test('the blocks of an answer are accessible in both themes, at each width', async ({ page, agent, signedIn: _ }, info) => {
  await answerWith(page, agent, everything);
  for (const width of [1440, 1024, 390]) {
    await page.setViewportSize({ width, height: 2600 });
    await expect(keywords(page)).not.toHaveCount(0);
    await expect(answer(page).locator('math')).toHaveCount(2);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await expectAccessible(page);
      await info.attach(`answer-${width}-${colorScheme}.png`, { body: await page.screenshot(), contentType: 'image/png' });
    }
  }
});

/** A host of images: of one red pixel, once it is allowed to answer. */
class ImageHost extends Endpoint {
  requests = 0;
  isDown = true;

  static async start(): Promise<ImageHost> {
    return new ImageHost().listen();
  }

  protected respond(_: string, response: ServerResponse): void {
    this.requests += 1;
    if (this.isDown) return void response.writeHead(500).end();
    const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';
    response.writeHead(200, { 'content-type': 'image/png' }).end(Buffer.from(pixel, 'base64'));
  }
}

test('an image of another host is loaded by the server, when it is asked for', async ({ page, agent, signedIn: _, browserConsole }) => {
  browserConsole.allow(/502/);
  const host = await ImageHost.start();
  await answerWith(page, agent, `Look: ![A red point](${host.url}/a.png) and more.`);
  await expect(answer(page).getByRole('link', { name: /^A red point/ })).toHaveAttribute('href', `${host.url}/a.png`);
  await expectAccessible(page);
  expect(host.requests, 'nobody asked for it').toBe(0);
  await button(page, 'Load image').click();
  await expect(page.getByRole('status').filter({ hasText: 'The image could not be loaded.' })).toBeAttached();
  host.isDown = false;
  await button(page, 'Load image again').click();
  const image = answer(page).getByRole('img', { name: 'A red point' });
  await expect(image).toBeVisible();
  await expect(image).toBeFocused();
  expect(host.requests).toBe(2);
  await expect(answer(page).getByRole('link')).toHaveCount(0);
  await expectAccessible(page);
  expect(await copyAsText(page)).toBe(`Look: A red point (${host.url}/a.png) and more.`);
  await host.close();
});
