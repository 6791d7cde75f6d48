/** The inbox: the questions of all threads, answered in place. */
import { expectAccessible } from './accessible.ts';
import { signInByRequest } from './accounts.ts';
import { expect, type Page, test as base } from './fixtures.ts';
import { type ScriptedAgent, scriptedAgentFixture } from './scripted.ts';
import { lastRun, sendMessage, waitForConnection, waitForRunState } from './threads.ts';

const test = base.extend<object, { agent: ScriptedAgent }>({
  agent: scriptedAgentFixture,
  serverOptions: [async ({ agent }, use) => use({ config: agent.config, env: { NETRA_SOCKET__COMMANDS_PER_MINUTE: '100000' } }), { scope: 'worker' }],
});

/** Sends a message that the agent answers with a question; returns the thread's path. */
async function askAndWait(page: Page, message: string): Promise<string> {
  await page.goto('/');
  await waitForConnection(page);
  await sendMessage(page, `@scripted ${message}`);
  await expect(page).toHaveURL(/\/threads\/[0-9a-f-]{36}$/);
  await waitForRunState(page, 'interrupted');
  return new URL(page.url()).pathname;
}

const questions = (page: Page) => page.locator('.inbox li');
const question = (page: Page, title: string) => questions(page).filter({ has: page.getByRole('link', { name: title, exact: true }) });
const inboxLink = (page: Page) => page.getByRole('link', { name: /^Inbox/, includeHidden: true });

let made = 0;

/** A text that no other thread of this worker's server contains. */
const unique = (text: string) => `${text} ${++made}`;

test('questions of several threads are answered in place and leave the list', async ({ page, signedIn: _ }) => {
  const [mail, form] = [unique('Write a mail about tokens'), unique('Fill in a form for the report')];
  const mailPath = await askAndWait(page, mail);
  await askAndWait(page, form);
  await page.goto('/inbox');
  await expect(questions(page)).toHaveCount(2);
  await expect(questions(page).first()).toContainText(form);
  await expect(question(page, mail)).toContainText('Scripted');
  await expect(inboxLink(page)).toContainText('2');
  await expectAccessible(page);

  // A form that is filled in halfway stays as it is when another question is answered.
  await question(page, form).getByLabel('Name of the report').fill('Half');
  await question(page, mail).getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(questions(page)).toHaveCount(1);
  await expect(inboxLink(page)).toContainText('1');
  await expect(page.getByRole('heading', { name: 'Inbox', level: 1 })).toBeFocused();
  const open = question(page, form);
  await expect(open.getByLabel('Name of the report')).toHaveValue('Half');
  await open.getByLabel('Pages').fill('7');
  await open.getByRole('group', { name: 'Urgent' }).getByRole('radio', { name: 'No' }).check();
  await open.getByRole('radio', { name: 'small' }).check();
  await open.getByRole('button', { name: 'Answer', exact: true }).click();
  await expect(page.getByText('Nothing is waiting for you.')).toBeVisible();
  await expectAccessible(page);
  await page.goto(mailPath);
  await waitForRunState(page, 'finished');
  await expect(lastRun(page)).toContainText('Sent:');
});

test('a question that is answered in its thread leaves the inbox of another device, and a new one appears', async ({ page, browser, server, signedIn: _, browserConsole }) => {
  const mail = unique('Write a mail');
  const path = await askAndWait(page, mail);
  const context = await browser.newContext();
  browserConsole.watch(context);
  const other = await context.newPage();
  await signInByRequest(other, server);
  await other.goto(`${server.url}/inbox`);
  await expect(questions(other)).toHaveCount(1);
  await page.goto(path);
  await page.getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(questions(other)).toHaveCount(0);
  await expect(other.getByText('Nothing is waiting for you.')).toBeVisible();
  await sendMessage(page, '@scripted Write another mail');
  await expect(questions(other)).toHaveCount(1);
  await questions(other).getByRole('link').click();
  await expect(other).toHaveURL(new RegExp(`${path}\\?m=`));
  await other.getByRole('button', { name: 'Deny', exact: true }).click();
  await waitForRunState(other, 'interrupted');
  await context.close();
});

test('the palette opens the inbox', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  await page.keyboard.press('ControlOrMeta+k');
  await page.getByRole('combobox', { name: 'Search or jump to' }).fill('inbox');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/inbox$/);
  await expect(page.getByRole('heading', { name: 'Inbox', level: 1 })).toBeVisible();
});
