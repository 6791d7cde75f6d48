/** Queued messages, branches of threads, and the choice of agent. */
import { expectAccessible } from './accessible.ts';
import { expect, test } from './fixtures.ts';
import { askRecorded, recordedAgent } from './recorded.ts';
import { ask, lastRun, messageField, sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

test.use({ serverOptions: [{ config: recordedAgent(12) }, { scope: 'worker' }] });

test('a queued message is shown in every tab and can be taken back', async ({ page, context, signedIn: _ }) => {
  await askRecorded(page);
  await sendMessage(page, 'And then?');
  await sendMessage(page, 'And after that?');
  await expect(lastRun(page)).toContainText('Waiting: 2nd in line');
  await expect(lastRun(page)).toContainText('Starts after earlier messages in this thread');
  const other = await context.newPage();
  await other.goto(new URL(page.url()).pathname);
  await expect(lastRun(other)).toContainText('Waiting: 2nd in line');
  await expectAccessible(page);
  await lastRun(page).getByRole('button', { name: 'Take back' }).click();
  await expect(messageField(page)).toHaveValue('And after that?');
  for (const tab of [page, other]) {
    await expect(sentMessages(tab)).toHaveCount(2);
    await expect(lastRun(tab)).toContainText('Waiting: 1st in line');
  }
  // The draft stays; the message that is taken back is offered beside it.
  await lastRun(page).getByRole('button', { name: 'Take back' }).click();
  await expect(page.getByRole('list', { name: 'Taken back' })).toContainText('And then?');
  await page.getByRole('button', { name: 'Add to message' }).click();
  await expect(messageField(page)).toHaveValue('And after that?\n\nAnd then?');
  await page.getByRole('button', { name: 'Stop' }).click();
  await waitForRunState(page, 'cancelled');
});

test('Escape stops the current run, and the queued one starts', async ({ page, signedIn: _ }) => {
  await askRecorded(page);
  await sendMessage(page, 'And then?');
  await expect(lastRun(page)).toHaveAttribute('data-run-state', 'waiting');
  await page.keyboard.press('Escape');
  await expect(page.locator('[data-run-id]').first()).toHaveAttribute('data-run-state', 'cancelled');
  await waitForRunState(page, 'running');
  await page.keyboard.press('Escape');
  await waitForRunState(page, 'cancelled');
});

test('an edited message becomes another version; each branch continues separately', async ({ page, signedIn: _ }) => {
  await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await sendMessage(page, 'And without a log?');
  await expect(sentMessages(page)).toHaveCount(2);
  await waitForRunState(page, 'finished');

  await sentMessages(page).first().getByRole('button', { name: 'Edit' }).click();
  const area = page.getByLabel('Edit your message');
  await expect(area).toBeFocused();
  await expect(area).toHaveValue('What can you do?');
  await expectAccessible(page);
  await area.fill('What can you not do?');
  await page.locator('.edit-form').getByRole('button', { name: 'Send' }).click();
  await expect(sentMessages(page)).toHaveCount(1);
  await expect(sentMessages(page)).toContainText('What can you not do?');
  const versions = page.getByRole('group', { name: 'Versions of this message' });
  await expect(versions).toContainText('2/2');
  await waitForRunState(page, 'finished');

  // Back by keyboard: the focus stays in the row of versions.
  await versions.getByRole('button', { name: 'Previous version' }).focus();
  await page.keyboard.press('Enter');
  await expect(sentMessages(page)).toHaveCount(2);
  await expect(versions).toContainText('1/2');
  await expect(versions.getByRole('button', { name: 'Next version' })).toBeFocused();

  // A follow-up stays in its branch.
  await sendMessage(page, 'And with one?');
  await expect(sentMessages(page)).toHaveCount(3);
  await expect(sentMessages(page).last()).toContainText('And with one?');
  await waitForRunState(page, 'finished');
  await page.reload();
  await waitForConnection(page);
  await expect(sentMessages(page)).toHaveCount(3);
  await versions.getByRole('button', { name: 'Next version' }).click();
  await expect(sentMessages(page)).toHaveCount(1);
  await expect(sentMessages(page)).toContainText('What can you not do?');
});

test('a message can be asked again, and the older answer stays reachable', async ({ page, signedIn: _ }) => {
  await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  const first = await lastRun(page).getAttribute('data-run-id');
  await page.getByRole('button', { name: 'Ask again' }).click();
  await expect(lastRun(page)).not.toHaveAttribute('data-run-id', first ?? '');
  await waitForRunState(page, 'finished');
  await expect(sentMessages(page)).toHaveCount(1);
  await page.reload();
  await waitForConnection(page);
  await page.getByRole('button', { name: 'Previous version' }).click();
  await expect(lastRun(page)).toHaveAttribute('data-run-id', first ?? '');
});

test('the agent of a thread can be changed, and @ asks another one once', async ({ page, signedIn: _ }) => {
  await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  const field = messageField(page);
  await field.pressSequentially('@rec');
  const suggestions = page.getByRole('listbox', { name: 'Suggestions' });
  await expect(suggestions.getByRole('option')).toHaveCount(1);
  await expectAccessible(page);
  await page.keyboard.press('Escape');
  await expect(suggestions).toHaveCount(0);
  await field.pressSequentially('o');
  await expect(suggestions).toBeVisible();
  await page.keyboard.press('Enter');
  await expect(field).toHaveValue('@recorded ');
  await field.pressSequentially('Go on');
  await page.getByRole('button', { name: 'Send' }).click();
  await waitForRunState(page, 'running');
  await expect(lastRun(page)).toHaveAttribute('aria-label', 'Answer from Recorded');
  await expect(sentMessages(page).last()).toContainText('to Recorded');
  await expect(sentMessages(page).last().locator('.message-text')).toHaveText('Go on');
  await page.keyboard.press('Escape');
  await waitForRunState(page, 'cancelled');
  await expect(page.getByLabel('Agent')).toHaveValue('analyst');
  await page.getByLabel('Agent').selectOption('recorded');
  await page.reload();
  await waitForConnection(page);
  await expect(page.getByLabel('Agent')).toHaveValue('recorded');
  await sendMessage(page, 'And now?');
  await waitForRunState(page, 'running');
  await expect(lastRun(page)).toHaveAttribute('aria-label', 'Answer from Recorded');
  await page.keyboard.press('Escape');
  await waitForRunState(page, 'cancelled');
});
