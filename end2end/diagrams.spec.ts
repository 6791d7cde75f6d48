/** Mermaid diagrams in answers: drawn as pictures in a sandbox, with their sources at hand. */
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test as base } from './fixtures.ts';
import { endAnswer, type StreamedAgent, streamedAgentFixture } from './streamed.ts';
import { ask, lastRun, waitForConnection, waitForRunState } from './threads.ts';

const test = base.extend<object, { agent: StreamedAgent }>({
  agent: streamedAgentFixture,
  serverOptions: [async ({ agent }, use) => use({ config: agent.config }), { scope: 'worker' }],
});

const blocks = (page: Page) => lastRun(page).locator('.code');
const picture = (page: Page) => blocks(page).locator('.diagram img:visible');

/** Shows an answer with code blocks of Mermaid. */
async function answerWith(page: Page, agent: StreamedAgent, ...sources: string[]): Promise<void> {
  await ask(page, '@streamed Draw it');
  await expect.poll(() => agent.isAnswering).toBe(true);
  await waitForRunState(page, 'running');
  agent.write(`Here it is:\n\n${sources.map((source) => `\`\`\`mermaid\n${source}\n\`\`\`\n\n`).join('')}That is all.`);
  await endAnswer(page, agent);
}

test('a diagram is shown as a picture, and its source on request', async ({ page, agent, signedIn: _ }) => {
  await answerWith(page, agent, 'flowchart LR\n  accTitle: From browser to server\n  A[Browser] -->|"opens a socket"| B{Server}\n  B --> C[(Log)]');
  await expect(picture(page)).toHaveCount(1);
  await expect(picture(page)).toHaveAttribute('alt', 'Diagram: From browser to server');
  await expect.poll(() => picture(page).evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(100);
  await expect(blocks(page).locator('pre')).toBeHidden();
  await expectAccessible(page);

  await blocks(page).getByRole('button', { name: 'Source' }).click();
  await expect(blocks(page).locator('pre')).toContainText('A[Browser]');
  await expect(picture(page)).toHaveCount(0);
  await blocks(page).getByRole('button', { name: 'Source' }).click();
  await expect(picture(page)).toHaveCount(1);

  await page.emulateMedia({ colorScheme: 'dark' });
  await expect(picture(page)).toHaveClass('for-dark');
  await page.reload();
  await waitForConnection(page);
  await expect(picture(page)).toHaveClass('for-dark');
  const area = await blocks(page).locator('.diagram').boundingBox();
  expect((await picture(page).boundingBox())?.width).toBeLessThanOrEqual(area?.width ?? 0);
});

test('a diagram with an error stays code and says why, and the next one is drawn', async ({ page, agent, signedIn: _ }) => {
  await answerWith(page, agent, 'flowchart LR\n  A --> [', 'sequenceDiagram\n  Browser->>Server: hello\n  Server-->>Browser: welcome');
  await expect(picture(page)).toHaveCount(1);
  await expect(blocks(page).last().locator('.diagram')).toHaveCount(1);
  await expect(blocks(page).first()).toContainText('This diagram cannot be drawn. Parse error on line 2');
  await expect(blocks(page).first().locator('pre')).toBeVisible();
  await expectAccessible(page);
});

test('a diagram neither runs scripts nor loads anything @desktop', async ({ page, agent, signedIn: _, browserConsole }) => {
  // What a source wants to load is refused.
  browserConsole.allow(/Content Security Policy/);
  // Playwright reports requests that the policy blocks, too: they fail with `csp`.
  const foreign = new Map<string, string>();
  const isForeign = (url: string) => !url.startsWith('data:') && new URL(url).hostname !== '127.0.0.1';
  page.on('request', (request) => isForeign(request.url()) && foreign.set(request.url(), 'sent'));
  page.on('requestfailed', (request) => isForeign(request.url()) && foreign.set(request.url(), request.failure()?.errorText ?? 'failed'));
  const hostile = [
    '%%{init: {"securityLevel": "loose", "htmlLabels": true, "themeCSS": "@import url(https://evil.example/a.css)"}}%%',
    'flowchart LR',
    '  A["<img src=https://evil.example/b onerror=parent.broken=1><script>parent.broken=1</script>"] --> B',
    '  click A href "javascript:parent.broken=1"',
    '  B@{ img: "https://evil.example/c.png", label: "C" }',
  ].join('\n');
  await answerWith(page, agent, hostile, 'pie\n  "a" : 1\n  "b" : 2');
  await expect(blocks(page).last().locator('.diagram')).toHaveCount(1);
  await expect(blocks(page).first().locator('.diagram, .code-problem')).toHaveCount(1);
  expect(await page.evaluate(() => 'broken' in window)).toBe(false);
  expect([...foreign.values()].filter((outcome) => outcome !== 'csp')).toEqual([]);
  const drawer = page.locator('iframe');
  await expect(drawer).toHaveAttribute('sandbox', 'allow-scripts');
  expect(await drawer.evaluate((frame: HTMLIFrameElement) => frame.contentDocument)).toBeNull();
});
