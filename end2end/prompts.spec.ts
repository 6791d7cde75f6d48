/** The prompt library: writing, finding, filling in, sharing and deleting prompts. */
import { expectAccessible } from './accessible.ts';
import { type Account, openPageOf } from './accounts.ts';
import { expect, type Page, test } from './fixtures.ts';
import { recordedAgent } from './recorded.ts';
import { ask, messageField, sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

test.use({ serverOptions: [{ config: recordedAgent(1_000_000) }, { scope: 'worker' }] });

const dialog = (page: Page) => page.getByRole('dialog', { name: 'Prompts' });
const rows = (page: Page) => dialog(page).getByRole('list', { name: 'Prompts' }).getByRole('listitem');
const options = (page: Page) => page.getByRole('listbox', { name: 'Suggestions' }).getByRole('option');

let made = 0;
/** A name that no other prompt of this worker's server has. */
const unique = (name: string) => `${name} ${++made}`;

async function openLibrary(page: Page): Promise<void> {
  await page.getByRole('button', { name: /^Account of/ }).click();
  await page.getByRole('button', { name: 'Prompts', exact: true }).click();
  await expect(dialog(page).getByRole('searchbox')).toBeFocused();
}

/** Writes a prompt in the library, which is open. */
async function write(page: Page, name: string, text: string, shared = false): Promise<void> {
  await dialog(page).getByRole('button', { name: 'New prompt' }).click();
  await expect(dialog(page).getByLabel('Name')).toBeFocused();
  await page.keyboard.type(name);
  await dialog(page).getByLabel('Text').fill(text);
  if (shared) await dialog(page).getByRole('checkbox').check();
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await expect(rows(page).filter({ hasText: name })).toHaveCount(1);
}

test('a prompt is written, suggested after a slash, filled in and sent', async ({ page, signedIn: _ }, info) => {
  const [report, thanks] = [unique('Weekly report'), unique('Thanks')];
  await page.goto('/');
  await waitForConnection(page);
  await openLibrary(page);
  await expectAccessible(page);
  await write(page, report, 'Write the report of {{week}} for {{reader}}. Begin with {{week}}.');
  await write(page, thanks, 'Thank you.');
  await expectAccessible(page);
  await info.attach('library', { body: await page.screenshot(), contentType: 'image/png' });
  await page.keyboard.press('Escape');

  await messageField(page).focus();
  await page.keyboard.type(`/${report.toUpperCase().slice(0, 9)}`);
  await expect(options(page).filter({ hasText: report })).toContainText('Write the report of {{week}}');
  await messageField(page).fill(`/${report}`);
  await expect(options(page)).toHaveCount(1);
  await expectAccessible(page);
  await info.attach('suggestions', { body: await page.screenshot(), contentType: 'image/png' });
  await page.keyboard.press('Enter');
  await expect(dialog(page).getByLabel('week')).toBeFocused();
  await page.keyboard.type('May 4');
  const preview = dialog(page).getByRole('group', { name: 'Preview' });
  await expect(preview).toHaveText('Write the report of May 4 for {{reader}}. Begin with May 4.');
  await dialog(page).getByLabel('reader').fill('the board');
  await expect(preview).toHaveText('Write the report of May 4 for the board. Begin with May 4.');
  await expectAccessible(page);
  await info.attach('fields', { body: await page.screenshot(), contentType: 'image/png' });
  await dialog(page).getByRole('button', { name: 'Insert' }).click();
  await expect(dialog(page)).toHaveCount(0);
  await expect(messageField(page)).toHaveValue('Write the report of May 4 for the board. Begin with May 4.');
  await expect(messageField(page)).toBeFocused();
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(sentMessages(page)).toContainText('for the board');
  await waitForRunState(page, 'finished');

  // One without fields is inserted at once.
  await messageField(page).fill(`/${thanks}`);
  await expect(options(page)).toHaveCount(1);
  await options(page).click();
  await expect(messageField(page)).toHaveValue('Thank you.');
  // The same text typed again is suggested again.
  await messageField(page).fill(`/${thanks}`);
  await expect(options(page)).toHaveCount(1);
  await page.keyboard.press('Enter');
  await expect(messageField(page)).toHaveValue('Thank you.');
});

test('a prompt is inserted into what is being written, and into a new thread from pages without a composer', async ({ page, signedIn: _ }) => {
  const name = unique('Polite');
  await ask(page, '@recorded What does it cost?');
  await waitForRunState(page, 'finished');
  await messageField(page).fill('Dear agent, ');
  await openLibrary(page);
  await dialog(page).getByRole('button', { name: 'New prompt' }).click();
  await expect(dialog(page).getByLabel('Text'), 'what is in the composer').toHaveValue('Dear agent, ');
  await dialog(page).getByRole('button', { name: 'Cancel' }).click();
  await write(page, name, 'please be brief.');
  await rows(page).filter({ hasText: name }).getByTitle('Insert into the composer').click();
  await expect(messageField(page)).toHaveValue('Dear agent, please be brief.');
  await expect(messageField(page)).toBeFocused();
  await page.goto('/inbox');
  await waitForConnection(page);
  await openLibrary(page);
  await rows(page).filter({ hasText: name }).getByTitle('Insert into the composer').click();
  await expect(page).toHaveURL(/\/$/);
  await expect(messageField(page)).toHaveValue('please be brief.');
});

test('a message that begins with a slash is sent if no prompt has the name', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  await sendMessage(page, '/etc/hosts has no entry');
  await expect(sentMessages(page)).toContainText('/etc/hosts has no entry');
});

test('a shared prompt is used and copied by others, and changed by its owner alone', async ({ page, server, browserConsole, signedIn }, info) => {
  const member: Account = { email: `pia-${info.project.name}@example.org`, name: `Pia ${info.project.name}`, password: 'correct horse battery' };
  server.addUser(member);
  const name = unique('House style');
  await page.goto('/');
  await waitForConnection(page);
  await openLibrary(page);
  await write(page, name, 'Write plainly.', true);
  await expect(rows(page).filter({ hasText: name })).toContainText('Shared');

  const theirs = await openPageOf(member, page, server, browserConsole);
  await theirs.goto('/');
  await waitForConnection(theirs);
  await openLibrary(theirs);
  const row = rows(theirs).filter({ hasText: name });
  await expect(row).toContainText(`Of ${signedIn.name}`);
  await expect(row.getByRole('button', { name: `Delete ${name}` })).toHaveCount(0);
  await row.getByRole('button', { name: `Make a copy of ${name}` }).click();
  await expect(dialog(theirs).getByLabel('Text')).toHaveValue('Write plainly.');
  await dialog(theirs).getByLabel('Text').fill('Write very plainly.');
  await dialog(theirs).getByRole('button', { name: 'Save' }).click();
  await expect(rows(theirs).filter({ hasText: name })).toHaveCount(2);

  // The owner changes it, and the change is what others get from then on.
  await rows(page).filter({ hasText: name }).getByRole('button', { name: `Edit ${name}` }).click();
  await dialog(page).getByLabel('Text').fill('Write simply.');
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await expect(rows(page).filter({ hasText: name })).toContainText('Write simply.');
  await theirs.keyboard.press('Escape');
  await messageField(theirs).fill(`/${name}`);
  await options(theirs).filter({ hasText: `Of ${signedIn.name}` }).click();
  await expect(messageField(theirs)).toHaveValue('Write simply.');

  await rows(page).filter({ hasText: name }).getByRole('button', { name: `Delete ${name}` }).click();
  await expect(dialog(page).getByRole('group', { name: `Delete ${name}?` }).getByRole('button', { name: 'Delete' })).toBeFocused();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await expect(rows(page).filter({ hasText: name }), 'it was kept').toHaveCount(1);
  await rows(page).filter({ hasText: name }).getByRole('button', { name: `Delete ${name}` }).click();
  await page.keyboard.press('Enter');
  await expect(rows(page).filter({ hasText: name })).toHaveCount(0);
  await expect(dialog(page).getByRole('searchbox')).toBeFocused();
  await theirs.context().close();
});

test('what is wrong with a prompt is said, and nothing that was written is lost', async ({ page, signedIn: _ }) => {
  const name = unique('Costs');
  await page.goto('/');
  await waitForConnection(page);
  await openLibrary(page);
  await write(page, name, 'What does it cost?');
  await dialog(page).getByRole('button', { name: 'New prompt' }).click();
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await expect(dialog(page).getByRole('alert')).toContainText('Give it a name.');
  await dialog(page).getByLabel('Name').fill(name.toLowerCase());
  await dialog(page).getByLabel('Text').fill('And this?');
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await expect(dialog(page).getByRole('alert')).toContainText('choose another name');
  await expect(dialog(page).getByLabel('Text')).toHaveValue('And this?');
  await expectAccessible(page);
  // Closed by mistake, and opened again.
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toHaveCount(0);
  await page.getByRole('button', { name: /^Account of/ }).click();
  await page.getByRole('button', { name: 'Prompts', exact: true }).click();
  await expect(dialog(page).getByLabel('Text')).toHaveValue('And this?');
  await dialog(page).getByRole('button', { name: 'Cancel' }).click();
  await expect(rows(page).filter({ hasText: name })).toHaveCount(1);
});
