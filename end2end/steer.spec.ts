/** Speaking while a run is active: queued messages that are changed and moved, steering, and stopping and asking. */
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test as base } from './fixtures.ts';
import { WrittenModel, writtenModelFixture } from './model.ts';
import { recordedAgent } from './recorded.ts';
import { lastRun, messageField, sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

const test = base.extend<object, { model: WrittenModel }>({
  model: writtenModelFixture,
  serverOptions: [async ({ model }, use) => use({ config: model.config + recordedAgent(3) }), { scope: 'worker' }],
});

/** Asks an agent in a new thread, and waits until it answers. */
async function askAgent(page: Page, agent: string, text: string): Promise<void> {
  await page.goto('/');
  await waitForConnection(page);
  await page.getByLabel('Agent').selectOption(agent);
  await sendMessage(page, text);
  await expect(page).toHaveURL(/\/threads\//);
  await waitForRunState(page, 'running');
}

/** Sends a message in one of the ways of the menu beside the send button. */
async function sendBy(page: Page, way: string, text: string): Promise<void> {
  await messageField(page).fill(text);
  await page.getByRole('button', { name: 'Message options' }).click();
  await page.getByRole('group', { name: 'Message options' }).getByRole('button', { name: way }).click();
  await expect(messageField(page)).toHaveValue('');
}

const message = (page: Page, text: string) => sentMessages(page).filter({ has: page.getByText(text, { exact: true }) });
const runs = (page: Page) => page.locator('[data-run-id]');

async function expectMessages(page: Page, texts: string[]): Promise<void> {
  await expect(page.locator('.message-text')).toHaveText(texts);
}

test('a message stops the current run and is answered before queued ones', async ({ page, signedIn: _ }) => {
  await askAgent(page, 'recorded', 'First');
  await sendMessage(page, 'Later');
  await expectMessages(page, ['First', 'Later']);
  await messageField(page).fill('Now');
  await page.getByRole('button', { name: 'Message options' }).click();
  const menu = page.getByRole('group', { name: 'Message options' });
  await expect(menu.getByRole('button')).toHaveCount(3);
  await expect(menu).toBeInViewport({ ratio: 1 });
  await expectAccessible(page);
  await menu.getByRole('button', { name: 'Stop and ask' }).click();
  await expectMessages(page, ['First', 'Now', 'Later']);
  await expect(runs(page).first()).toHaveAttribute('data-run-state', 'cancelled');
  await expect(runs(page).nth(1)).toHaveAttribute('data-run-state', 'running');
  await expect(lastRun(page)).toContainText('Waiting: 1st in line');
  await page.reload();
  await waitForConnection(page);
  await expectMessages(page, ['First', 'Now', 'Later']);
  for (const run of [1, 2]) {
    await expect(runs(page).nth(run)).toHaveAttribute('data-run-state', 'running');
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await expect(runs(page).nth(run)).toHaveAttribute('data-run-state', 'cancelled');
  }
});

test('queued messages are changed and moved, in every tab', async ({ page, context, signedIn: _ }) => {
  // Two tabs, and each message is stopped at the end.
  test.slow();
  await askAgent(page, 'recorded', 'First');
  for (const text of ['Alpha', 'Beta', 'Gamma']) await sendMessage(page, text);
  await expectMessages(page, ['First', 'Alpha', 'Beta', 'Gamma']);
  const other = await context.newPage();
  await other.goto(new URL(page.url()).pathname);
  await waitForConnection(other);

  await expect(message(page, 'Alpha').getByRole('button', { name: 'Move up' })).toBeDisabled();
  await expect(message(page, 'Gamma').getByRole('button', { name: 'Move down' })).toBeDisabled();
  await expect(message(page, 'First').getByRole('button', { name: 'Move down' })).toHaveCount(0);
  await expectAccessible(page);
  await message(page, 'Gamma').getByRole('button', { name: 'Move up' }).click();
  for (const tab of [page, other]) await expectMessages(tab, ['First', 'Alpha', 'Gamma', 'Beta']);
  await expect(message(page, 'Gamma').getByRole('button', { name: 'Move up' })).toBeFocused();
  await message(other, 'Alpha').getByRole('button', { name: 'Move down' }).click();
  for (const tab of [page, other]) await expectMessages(tab, ['First', 'Gamma', 'Alpha', 'Beta']);

  await message(page, 'Alpha').getByRole('button', { name: 'Edit' }).click();
  const area = page.getByLabel('Edit your message');
  await expect(area).toBeFocused();
  await area.fill('Delta');
  await expectAccessible(page);
  await page.locator('.edit-form').getByRole('button', { name: 'Save' }).click();
  for (const tab of [page, other]) await expectMessages(tab, ['First', 'Gamma', 'Delta', 'Beta']);
  await expect(page.getByRole('group', { name: 'Versions of this message' })).toHaveCount(0);
  await expect(message(page, 'Delta').getByRole('button', { name: 'Edit' })).toBeFocused();

  await runs(page).last().getByRole('button', { name: 'Take back' }).click();
  for (const tab of [page, other]) await expectMessages(tab, ['First', 'Gamma', 'Delta']);
  await other.close();
  for (let run = 0; run < 3; run += 1) {
    await expect(runs(page).nth(run)).toHaveAttribute('data-run-state', 'running');
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await expect(runs(page).nth(run)).toHaveAttribute('data-run-state', 'cancelled');
  }
});

test('a model reads a message before its next step', async ({ page, model, signedIn: _ }) => {
  await askAgent(page, 'model', 'What does it cost?');
  await expect.poll(() => model.isAnswering).toBe(true);
  model.write('Ten dollars.');
  await expect(lastRun(page)).toContainText('Ten dollars.');
  await sendBy(page, 'Steer', 'In euros, please');
  await expect(lastRun(page)).toContainText('The agent will read this before its next step');
  await expectAccessible(page);
  const before = model.requests.length;
  model.finish();
  await expect.poll(() => model.requests.length).toBe(before + 1);
  expect(model.requests.at(-1)).toEqual(['user: What does it cost?', 'assistant: Ten dollars.', 'user: In euros, please']);
  await expect(runs(page)).toHaveCount(1);
  await expect(lastRun(page)).toHaveAttribute('data-run-state', 'running');
  model.write('Nine euros.');
  model.finish();
  await waitForRunState(page, 'finished');
  const answer = async () => (await lastRun(page).innerText()).replace(/\s+/g, ' ');
  const order = /Ten dollars\..*In euros, please.*Read by the agent.*Nine euros\./;
  await expect.poll(answer).toMatch(order);
  await expectAccessible(page);
  await page.reload();
  await waitForConnection(page);
  await expect.poll(answer).toMatch(order);
});

test('keys choose how a message is sent while a run is active @desktop', async ({ page, model, signedIn: _ }) => {
  await askAgent(page, 'model', 'First');
  await expect.poll(() => model.isAnswering).toBe(true);
  await messageField(page).fill('Queued');
  await page.keyboard.press('Enter');
  await expect(messageField(page)).toHaveValue('');
  await messageField(page).fill('Steered');
  await page.keyboard.press('Control+Enter');
  await expectMessages(page, ['First', 'Steered', 'Queued']);
  await messageField(page).fill('Now');
  await page.keyboard.press('Control+Shift+Enter');
  await expectMessages(page, ['First', 'Now', 'Steered', 'Queued']);
  await expect(runs(page).first()).toHaveAttribute('data-run-state', 'cancelled');
  // The next run reads the message that was to steer the first.
  await expect.poll(() => model.isAnswering).toBe(true);
  model.write('Well.');
  model.finish();
  await expect.poll(() => model.requests.at(-1)?.at(-1)).toBe('user: Queued');
  model.finish();
  await waitForRunState(page, 'finished');
});

test('other agents are stopped and asked with what was said so far', async ({ page, signedIn: _ }) => {
  await askAgent(page, 'recorded', 'First');
  await sendBy(page, 'Steer', 'Second');
  await expect(runs(page).first()).toHaveAttribute('data-run-state', 'cancelled');
  await waitForRunState(page, 'running');
  await page.getByRole('button', { name: 'Stop', exact: true }).click();
  await waitForRunState(page, 'cancelled');
});
