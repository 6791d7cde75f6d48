/** Reading answers: where a thread opens, the pinned question, what is new, going on after an answer that was cut off, and feedback. */
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test as base } from './fixtures.ts';
import { endAnswer, paragraphs, type StreamedAgent, streamedAgentFixture } from './streamed.ts';
import { ask, distanceToEnd, lastRun, runText, scroller, sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

const test = base.extend<object, { agent: StreamedAgent }>({
  agent: streamedAgentFixture,
  serverOptions: [async ({ agent }, use) => use({ config: agent.config }), { scope: 'worker' }],
});

const question = 'How do tides work, and why are there two of them on most days?';
const pinned = (page: Page) => page.getByRole('button', { name: /^Go to the question/ });
const newMark = (page: Page) => page.getByText('New since you left');

/** Asks in a new thread; the answer is as long as the given number of paragraphs, and not ended yet. Returns the thread's path. */
async function askForParagraphs(page: Page, agent: StreamedAgent, count: number): Promise<string> {
  const path = await ask(page, `@streamed ${question}`);
  await expect.poll(() => agent.isAnswering).toBe(true);
  agent.write(paragraphs('a', count));
  await expect(page.getByText(`Paragraph a${count}.`)).toBeAttached();
  return path;
}

/** Whether a run of the thread is in progress, as the server says. */
async function isRunning(page: Page, path: string): Promise<boolean> {
  const { threads } = (await (await page.request.get('/api/threads')).json()) as { threads: { info: { id: string }; running?: string[] }[] };
  return threads.some((thread) => path.endsWith(thread.info.id) && (thread.running ?? []).length > 0);
}

test('the question stays pinned while its answer grows, and leads back to it', async ({ page, agent, signedIn: _ }) => {
  await askForParagraphs(page, agent, 1);
  await expect(sentMessages(page)).toBeInViewport();
  await expect(pinned(page)).toHaveCount(0);
  agent.write(paragraphs('b', 30));
  await expect(page.getByText('Paragraph b30.')).toBeInViewport();
  await expect(pinned(page)).toContainText(question);
  await expectAccessible(page);
  await endAnswer(page, agent);
  await pinned(page).click();
  await expect(sentMessages(page)).toBeInViewport();
  await expect(sentMessages(page)).toBeFocused();
  await expect(pinned(page)).toHaveCount(0);
});

test('a long answer that ended meanwhile opens at its beginning, and then where it was left', async ({ page, agent, signedIn: _ }) => {
  const path = await askForParagraphs(page, agent, 30);
  await page.goto('/');
  await waitForConnection(page);
  agent.finish();
  await expect.poll(() => isRunning(page, path)).toBe(false);
  await page.goto(path);
  await waitForRunState(page, 'finished');
  await expect(page.getByText('Paragraph a1.')).toBeInViewport();
  await expect(page.getByText('Paragraph a30.')).not.toBeInViewport();
  await expect(newMark(page)).toHaveCount(0);
  await scroller(page).press('End');
  await expect.poll(() => distanceToEnd(page)).toBeLessThanOrEqual(2);
  await page.goto('/');
  await waitForConnection(page);
  await page.goto(path);
  await waitForRunState(page, 'finished');
  await expect(page.getByText('Paragraph a30.')).toBeInViewport();
  await expect.poll(() => distanceToEnd(page)).toBeLessThanOrEqual(2);
});

test('a short answer and a running one open at the end', async ({ page, agent, signedIn: _ }) => {
  const path = await askForParagraphs(page, agent, 30);
  await page.goto('/');
  await waitForConnection(page);
  await page.goto(path);
  await expect(page.getByText('Paragraph a30.')).toBeInViewport();
  agent.write(paragraphs('b', 3));
  await expect(page.getByText('Paragraph b3.')).toBeInViewport();
  await endAnswer(page, agent);
});

test('what was added since the user left is marked', async ({ page, context, agent, signedIn: _ }) => {
  const path = await askForParagraphs(page, agent, 2);
  await endAnswer(page, agent);
  await page.goto('/');
  await waitForConnection(page);
  // Another device, which shares nothing with this browser but the account.
  const storage = await context.storageState();
  const other = await context.browser()?.newContext({ storageState: { ...storage, origins: [] } });
  if (!other) throw new Error('no browser');
  const elsewhere = await other.newPage();
  await elsewhere.goto(new URL(path, page.url()).href);
  await waitForConnection(elsewhere);
  await sendMessage(elsewhere, '@streamed And in lakes?');
  await expect.poll(() => agent.isAnswering).toBe(true);
  agent.write(paragraphs('c', 30));
  await endAnswer(elsewhere, agent);
  await other.close();
  await page.goto(path);
  await waitForRunState(page, 'finished');
  await expect(newMark(page)).toBeInViewport();
  await expect(sentMessages(page).last()).toBeInViewport();
  await expect(page.getByText('Paragraph c30.')).not.toBeInViewport();
  await expectAccessible(page);
  await page.reload();
  await waitForConnection(page);
  await expect(sentMessages(page).last()).toBeInViewport();
  await expect(newMark(page)).toHaveCount(0);
});

test('after a stopped answer, Continue asks the agent to go on', async ({ page, agent, signedIn: _ }) => {
  await askForParagraphs(page, agent, 2);
  await page.getByRole('button', { name: 'Stop' }).click();
  await waitForRunState(page, 'cancelled');
  await lastRun(page).getByRole('button', { name: 'Continue' }).click();
  await expect.poll(() => agent.isAnswering).toBe(true);
  await expect(sentMessages(page).last()).toContainText('Continue where you stopped.');
  await expect(page.getByRole('button', { name: 'Continue' })).toHaveCount(0);
  agent.write('And so on.');
  await endAnswer(page, agent);
  expect(await runText(page)).toContain('And so on.');
});

test('feedback with a note is kept, changed and taken back', async ({ page, agent, signedIn: _ }) => {
  await askForParagraphs(page, agent, 1);
  await endAnswer(page, agent);
  const good = page.getByRole('button', { name: 'Good answer' });
  const bad = page.getByRole('button', { name: 'Bad answer' });
  await good.click();
  await expect(good).toHaveAttribute('aria-pressed', 'true');
  await page.getByLabel('What was good or bad about the answer?').fill('Clear and short');
  await page.getByRole('button', { name: 'Save note' }).click();
  await expect(page.locator('.feedback')).toContainText('Clear and short');
  await expectAccessible(page);
  await page.reload();
  await waitForConnection(page);
  await expect(good).toHaveAttribute('aria-pressed', 'true');
  await expect(page.locator('.feedback')).toContainText('Clear and short');
  await bad.click();
  await expect(bad).toHaveAttribute('aria-pressed', 'true');
  await expect(good).toHaveAttribute('aria-pressed', 'false');
  await bad.click();
  await expect(bad).toHaveAttribute('aria-pressed', 'false');
  await expect(page.getByRole('button', { name: 'Edit note' })).toHaveCount(0);
});
