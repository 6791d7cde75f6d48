/** An answer is edited into a version of one's own; the agent's stays reachable. */
import { expectAccessible } from './accessible.ts';
import { expect, test as base } from './fixtures.ts';
import { WrittenModel, writtenModelFixture } from './model.ts';
import { answerMenu, ask, lastRun, pressInAnswerMenu, sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

const test = base.extend<object, { model: WrittenModel }>({
  model: writtenModelFixture,
  serverOptions: [async ({ model }, use) => use({ config: model.config }), { scope: 'worker' }],
});

test('an edited answer is another version, which the agent reads next', async ({ page, model, signedIn: _ }) => {
  await ask(page, '@model What does it cost?');
  await expect.poll(() => model.isAnswering).toBe(true);
  model.write('It costs **ten** dollars.');
  model.finish();
  await waitForRunState(page, 'finished');

  await pressInAnswerMenu(page, 'Edit answer');
  const field = page.getByLabel('Edit the answer');
  await expect(field).toBeFocused();
  await expect(field).toHaveValue('It costs **ten** dollars.');
  await expect(page.getByRole('button', { name: 'Save', exact: true })).toBeDisabled();
  await expectAccessible(page);
  await page.keyboard.press('Escape');
  await expect(field).toHaveCount(0);

  await pressInAnswerMenu(page, 'Edit answer');
  await field.fill('It costs **nine** euros.');
  await field.press('Enter');
  await expect(field).toHaveValue(/\n/);
  await field.fill('It costs **nine** euros.');
  await field.press('Control+Enter');
  await expect(lastRun(page).locator('.markdown')).toHaveText('It costs nine euros.');
  await expect(lastRun(page)).toContainText('Model, edited by');
  await expect(sentMessages(page)).toHaveCount(1);
  await expect(page.getByRole('group', { name: 'Versions of this message' })).toContainText('2/2');
  await expectAccessible(page);

  // The agent's own answer stays reachable.
  await page.getByRole('button', { name: 'Previous version' }).click();
  await expect(lastRun(page).locator('.markdown')).toHaveText('It costs ten dollars.');
  await page.reload();
  await waitForConnection(page);
  await expect(lastRun(page).locator('.markdown')).toHaveText('It costs nine euros.');
  await expect(answerMenu(page)).toBeVisible();

  await sendMessage(page, '@model And two?');
  await expect.poll(() => model.requests.at(-1)).toEqual(['user: What does it cost?', 'assistant: It costs **nine** euros.', 'user: And two?']);
  await expect.poll(() => model.isAnswering).toBe(true);
  model.write('Eighteen.');
  model.finish();
  await waitForRunState(page, 'finished');
});
