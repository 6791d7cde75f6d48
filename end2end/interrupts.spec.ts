/** Interrupts, which request approval or input: shown in every tab, answered once, kept through reloads and crashes. */
import { expectAccessible } from './accessible.ts';
import { mailArguments, type ScriptedAgent, scriptedAgentFixture } from './scripted.ts';
import { expect, type Page, test as base } from './fixtures.ts';
import { createAdmin, signInByRequest } from './accounts.ts';
import { lastRun, messageField, sendMessage, waitForConnection, waitForReconnection, waitForRunState } from './threads.ts';

const test = base.extend<object, { agent: ScriptedAgent }>({
  agent: scriptedAgentFixture,
  serverOptions: [async ({ agent }, use) => use({ config: agent.config }), { scope: 'worker' }],
});

/** Sends a message that the agent answers with an interrupt, and returns the thread's path. */
async function sendUntilInterrupt(page: Page, url = '', message = 'Write a mail'): Promise<string> {
  await page.goto(`${url}/`);
  await waitForConnection(page);
  await sendMessage(page, `@scripted ${message}`);
  await expect(page).toHaveURL(/\/threads\/[0-9a-f-]{36}$/);
  await waitForRunState(page, 'interrupted');
  return new URL(page.url()).pathname;
}

const card = (page: Page) => page.getByRole('region', { name: 'Approve send_mail' });

test('two browsers show the request; one approves, and both continue', async ({ page, browser, server, signedIn, browserConsole }) => {
  const path = await sendUntilInterrupt(page);
  const otherContext = await browser.newContext();
  browserConsole.watch(otherContext);
  const other = await otherContext.newPage();
  await signInByRequest(other, server);
  await other.goto(`${server.url}${path}`);
  for (const tab of [page, other]) {
    await expect(card(tab)).toContainText('May I send this mail? <b>It cannot be taken back.</b>');
    await expect(card(tab)).toContainText(mailArguments.to);
    await expect(tab).toHaveTitle(/^\(1\) /);
    await expect(tab.locator('.thread-row', { has: tab.locator('[aria-current="page"]') }).getByRole('img', { name: 'Waiting for you', includeHidden: true })).toBeAttached();
  }
  await expectAccessible(page);
  await other.getByRole('button', { name: 'Approve' }).click();
  for (const tab of [page, other]) {
    await waitForRunState(tab, 'finished');
    await expect(lastRun(tab)).toContainText(`Sent: ${JSON.stringify(mailArguments)}`);
    await expect(card(tab)).toContainText(`Approved by ${signedIn.name}.`);
    await expect(tab.getByRole('button', { name: 'Approve' })).toHaveCount(0);
    await expect(tab).not.toHaveTitle(/^\(\d+\) /);
  }
  await otherContext.close();
});

test('arguments can be edited, and invalid JSON is not sent', async ({ page, signedIn: _ }) => {
  await sendUntilInterrupt(page);
  await page.getByRole('button', { name: 'Edit arguments' }).click();
  const area = page.getByLabel('Arguments, as JSON');
  await expect(area).toBeFocused();
  await area.fill('{"to": ');
  await page.getByRole('button', { name: 'Approve with these arguments' }).click();
  await expect(area).toBeFocused();
  await expect(area).toHaveAccessibleDescription(/Invalid JSON/);
  await expectAccessible(page);
  await area.fill('{"to": "eve@example.org"}');
  await page.getByRole('button', { name: 'Approve with these arguments' }).click();
  await waitForRunState(page, 'finished');
  await expect(lastRun(page)).toContainText('Sent: {"to":"eve@example.org"}');
  await expect(card(page)).toContainText('with other arguments');
});

test('a request is announced and can be answered by keyboard alone', async ({ page, signedIn: _ }) => {
  await sendUntilInterrupt(page, '', 'Fill in a form');
  await sendMessage(page, '@scripted Write a mail');
  await expect(card(page)).toBeVisible();
  const status = page.getByRole('status');
  await expect(status.filter({ hasText: 'Scripted is waiting for you. May I send this mail?' })).toBeAttached();
  await expect(messageField(page)).toBeFocused();
  await page.getByRole('button', { name: 'Edit arguments' }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByLabel('Arguments, as JSON')).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('button', { name: 'Edit arguments' })).toBeFocused();
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Enter');
  await expect(page.getByLabel(/Reason/)).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('button', { name: 'Deny' })).toBeFocused();
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Enter');
  await expect(card(page)).toBeFocused();
  await waitForRunState(page, 'finished');
  await expect(status.filter({ hasText: 'Scripted has answered.' })).toBeAttached();
  await expect(card(page)).toBeFocused();
});

test('a question is a form with a control for each type, and errors are shown at their fields', async ({ page, signedIn: _ }) => {
  await sendUntilInterrupt(page, '', 'Fill in a form');
  const form = page.getByRole('region', { name: 'Question from the agent' });
  await form.getByRole('button', { name: 'Answer', exact: true }).click();
  const title = form.getByLabel('Name of the report');
  await expect(title).toBeFocused();
  await expect(title).toHaveAccessibleDescription('It is shown on the first page. This field is required.');
  await expect(form.getByRole('radio', { name: 'Yes' })).not.toBeChecked();
  await expectAccessible(page);
  await title.fill('Third quarter');
  await form.getByLabel('Pages').fill('seven');
  await form.getByRole('group', { name: 'Urgent' }).getByRole('radio', { name: 'No' }).check();
  await form.getByRole('radio', { name: 'large' }).check();
  await form.getByLabel('More (optional)').fill('{"a": 1}');
  await form.getByRole('button', { name: 'Answer', exact: true }).click();
  await expect(form.getByLabel('Pages')).toBeFocused();
  await expect(form.getByLabel('Pages')).toHaveAccessibleDescription('Enter a whole number.');
  await form.getByLabel('Pages').fill('7');
  await page.keyboard.press('Enter');
  await waitForRunState(page, 'finished');
  await expect(lastRun(page)).toContainText('{"title":"Third quarter","pages":7,"urgent":false,"size":"large","more":{"a":1}}');
});

test('a question without a schema takes yes, no or a text', async ({ page, signedIn }) => {
  await sendUntilInterrupt(page, '', 'Please deploy');
  const question = page.getByRole('region', { name: 'Question from the agent' });
  await expect(question).toContainText('Deploy to production?');
  await expectAccessible(page);
  await question.getByRole('button', { name: 'Yes' }).click();
  await waitForRunState(page, 'finished');
  await expect(lastRun(page)).toContainText('Deployed.');
  await expect(question).toContainText(`Answered by ${signedIn.name}: Yes`);
  await sendUntilInterrupt(page, '', 'Please deploy');
  await question.getByRole('button', { name: 'No', exact: true }).click();
  await expect(lastRun(page)).toContainText('Not deployed: false');
  await sendUntilInterrupt(page, '', 'Please deploy');
  await question.getByLabel('Answer').fill('To staging first');
  await page.keyboard.press('Enter');
  await expect(lastRun(page)).toContainText('Not deployed: "To staging first"');
});

test('the agent gets the reason of a refusal', async ({ page, signedIn }) => {
  await sendUntilInterrupt(page);
  await page.getByRole('button', { name: 'Deny' }).click();
  await page.getByLabel(/Reason/).fill('Not today');
  await page.keyboard.press('Enter');
  await waitForRunState(page, 'finished');
  await expect(lastRun(page)).toContainText('Not sent: Not today');
  await page.reload();
  await expect(card(page)).toContainText(`Denied by ${signedIn.name}: Not today`);
});

test('sending another message abandons the request', async ({ page, signedIn: _ }) => {
  await sendUntilInterrupt(page);
  await sendMessage(page, '@scripted Never mind');
  await waitForRunState(page, 'finished');
  await expect(lastRun(page)).toContainText('You said: Never mind');
  await expect(card(page)).toContainText('Not answered: another message was sent instead.');
});

test('a request survives a killed server @desktop', async ({ page, freshServer, browserConsole }) => {
  // The page may wait 20 s between two attempts to connect.
  test.slow();
  browserConsole.allow(/WebSocket|ERR_CONNECTION_REFUSED|status of 50\d/);
  await createAdmin(freshServer);
  await signInByRequest(page, freshServer);
  await sendUntilInterrupt(page, freshServer.url);
  await freshServer.kill9();
  await expect(page.locator('[data-status]').first()).toHaveAttribute('data-status', 'reconnecting');
  await page.getByRole('button', { name: 'Approve' }).click();
  await freshServer.start();
  await waitForReconnection(page);
  await waitForRunState(page, 'finished', 40_000);
  await expect(lastRun(page)).toContainText(`Sent: ${JSON.stringify(mailArguments)}`);
  await page.reload();
  await expect(card(page)).toContainText('Approved by');
});
