/** Keys in text fields, and the focus: input methods, phones, and elements that disappear. */
import { expectAccessible } from './accessible.ts';
import { keyAfterComposing, keyWhileComposing } from './composition.ts';
import { expect, type Page, test } from './fixtures.ts';
import { recordedAgent } from './recorded.ts';
import { ask, lastRun, messageField, sendMessage, sentMessages, waitForConnection, waitForRunState } from './threads.ts';

test.use({ serverOptions: [{ config: recordedAgent(12) }, { scope: 'worker' }] });

const composing = { 'as Chromium sends it': keyWhileComposing, 'as Safari sends it': keyAfterComposing };

/** The open thread's row in the list of threads. On a phone, opens the list first. */
async function openRow(page: Page) {
  const opener = page.getByRole('button', { name: 'Threads', exact: true });
  if (await opener.isVisible()) await opener.click();
  return page.locator('.thread-row', { has: page.locator('[aria-current="page"]') });
}

async function choose(page: Page, row: ReturnType<Page['locator']>, ...items: string[]): Promise<void> {
  await row.getByRole('button', { name: /^Actions for/ }).click();
  for (const item of items) await page.getByRole('button', { name: item, exact: true }).click();
}

for (const [name, press] of Object.entries(composing)) {
  test(`a key that an input method handles, ${name}, neither sends nor cancels nor stops`, async ({ page, signedIn: _ }) => {
    await ask(page, 'What can you do?');
    await waitForRunState(page, 'finished');

    await press(messageField(page), '日本', 'Enter');
    await expect(messageField(page)).toHaveValue('日本');
    await messageField(page).fill('');

    await sentMessages(page).getByRole('button', { name: 'Edit' }).click();
    const edit = page.getByLabel('Edit your message');
    for (const key of ['Enter', 'Escape']) {
      await press(edit, '日本', key);
      await expect(edit).toHaveValue('日本');
    }
    await page.getByRole('button', { name: 'Cancel' }).click();

    const row = await openRow(page);
    await choose(page, row, 'Rename');
    const title = page.getByRole('textbox', { name: 'Title' });
    for (const key of ['Enter', 'Escape']) {
      await press(title, '日本', key);
      await expect(title).toBeFocused();
    }
    await page.keyboard.press('Escape');
    await expect(title).toHaveCount(0);
    await page.goto(new URL(page.url()).pathname);
    await waitForConnection(page);

    await sendMessage(page, '@recorded Go on');
    await waitForRunState(page, 'running');
    await press(messageField(page), '日本', 'Escape');
    await messageField(page).fill('');
    await expect(lastRun(page)).toHaveAttribute('data-run-state', 'running');
    // A stop would disable the button at once.
    await expect(page.getByRole('button', { name: 'Stop' })).toBeEnabled();
    await page.keyboard.press('Escape');
    await waitForRunState(page, 'cancelled');
    // Only the intended message was sent.
    await expect(sentMessages(page)).toHaveCount(2);
  });
}

test('Return starts a new line on a phone and sends elsewhere', async ({ page, signedIn: _ }, { project }) => {
  const isPhone = project.name === 'phone';
  await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await messageField(page).pressSequentially('one');
  await page.keyboard.press(isPhone ? 'Enter' : 'Shift+Enter');
  await messageField(page).pressSequentially('two');
  await expect(messageField(page)).toHaveValue('one\ntwo');
  if (isPhone) await page.getByRole('button', { name: 'Send' }).click();
  else await page.keyboard.press('Enter');
  await expect(messageField(page)).toHaveValue('');
  await expect(sentMessages(page)).toHaveCount(2);
  await waitForRunState(page, 'finished');

  await sentMessages(page).last().getByRole('button', { name: 'Edit' }).click();
  const edit = page.getByLabel('Edit your message');
  await expect(edit).toBeFocused();
  await page.keyboard.press('End');
  await page.keyboard.press(isPhone ? 'Enter' : 'Shift+Enter');
  await edit.pressSequentially('three');
  await expect(edit).toHaveValue(/\nthree/);
  if (isPhone) await edit.locator('xpath=ancestor::form').getByRole('button', { name: 'Send' }).click();
  else await page.keyboard.press('Enter');
  await expect(sentMessages(page).last()).toContainText('three');
});

test('after the first message, typing goes to the composer and Escape stops the run', async ({ page, signedIn: _ }) => {
  await ask(page, '@recorded Go on');
  await expect(messageField(page)).toBeFocused();
  await page.keyboard.type('And then');
  await expect(messageField(page)).toHaveValue('And then');
  await waitForRunState(page, 'running');
  await page.keyboard.press('Escape');
  await waitForRunState(page, 'cancelled');
});

test('a menu, field, button or thread that disappears returns the focus', async ({ page, signedIn: _ }) => {
  await ask(page, 'The first one');
  await waitForRunState(page, 'finished');
  await ask(page, 'The second one');
  await waitForRunState(page, 'finished');

  // A button that disappears when pressed.
  await lastRun(page).getByRole('button', { name: 'Ask again' }).click();
  await expect(page.getByRole('group', { name: 'Versions of this message' })).toContainText('2/2');
  await waitForRunState(page, 'finished');
  await expect.poll(() => page.evaluate(() => document.activeElement?.closest('.conversation') !== null)).toBe(true);

  const row = await openRow(page);
  const actions = row.getByRole('button', { name: /^Actions for/ });
  await actions.click();
  await expect(page.getByRole('button', { name: 'Rename' })).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(actions).toBeFocused();

  for (const key of ['Enter', 'Escape']) {
    await choose(page, row, 'Rename');
    await expect(page.getByRole('textbox', { name: 'Title' })).toBeFocused();
    await page.keyboard.press(key);
    await expect(row.getByRole('link')).toBeFocused();
  }

  // Deleting another thread: the focus moves to its neighbour, or to the link for a new thread.
  const other = page.locator('.thread-row', { hasText: 'The first one' });
  await choose(page, other, 'Delete');
  await expect(other).toHaveCount(0);
  await expect.poll(() => page.evaluate(() => document.activeElement?.className ?? '')).toMatch(/thread-link|new-thread/);

  // Deleting the open thread: the page for a new one opens.
  await choose(page, row, 'Delete');
  await expect(page).toHaveURL(/\/$/);
  await expect(messageField(page)).toBeFocused();
});

test('Escape closes the list of threads on a phone, also with the focus on a thread’s actions @phone', async ({ page, signedIn: _ }) => {
  await ask(page, 'What can you do?');
  const row = await openRow(page);
  await expect(page.getByRole('complementary', { name: 'Sidebar' }).getByRole('link').first()).toBeFocused();
  await row.getByRole('link').press('ArrowRight');
  await expect(row.getByRole('button', { name: /^Actions for/ })).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('button', { name: 'Threads', exact: true })).toBeFocused();
});

test('the list of threads is one tab stop, and arrow keys move within it @desktop', async ({ page, signedIn: _ }) => {
  for (const title of ['One', 'Two', 'Three']) await ask(page, title);
  await waitForRunState(page, 'finished');
  const rows = page.locator('.thread-row');
  const links = rows.getByRole('link');
  await expect(page.locator('.threads [tabindex="0"]')).toHaveCount(1);
  await page.getByRole('searchbox', { name: 'Search threads' }).focus();
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Inbox' })).toBeFocused();
  await page.keyboard.press('Tab');
  await expect(page.locator('.threads [aria-current="page"]')).toBeFocused();
  await page.keyboard.press('Home');
  await expect(links.first()).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await expect(links.nth(1)).toBeFocused();
  await page.keyboard.press('ArrowRight');
  await expect(rows.nth(1).getByRole('button')).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await expect(rows.nth(2).getByRole('button')).toBeFocused();
  await page.keyboard.press('ArrowLeft');
  await expect(links.nth(2)).toBeFocused();
  await page.keyboard.press('End');
  await expect(links.last()).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await expect(links.last()).toBeFocused();
  await expect(page.locator('.threads [tabindex="0"]')).toHaveCount(1);
  await expectAccessible(page);
  // The composer is a few tab stops after the list, however long the list is.
  let stops = 0;
  await page.goto('/');
  await waitForConnection(page);
  await page.locator('.threads [tabindex="0"]').focus();
  while (!(await messageField(page).evaluate((area) => area === document.activeElement))) {
    await page.keyboard.press('Tab');
    expect(++stops).toBeLessThanOrEqual(6);
  }
  await page.keyboard.press('Shift+Tab');
  await expect(messageField(page)).not.toBeFocused();
});

test('skip links move the focus and keep the address @desktop', async ({ page, signedIn: _ }) => {
  const path = await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await page.goto(path);
  await waitForConnection(page);
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Skip to content' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('main')).toBeFocused();
  await page.keyboard.press('Tab');
  await expect.poll(() => page.evaluate(() => document.activeElement?.closest('main') !== null)).toBe(true);
  await page.getByRole('link', { name: 'Skip to the message' }).focus();
  await expectAccessible(page);
  await page.keyboard.press('Enter');
  await expect(messageField(page)).toBeFocused();
  await expect(page).toHaveURL(new RegExp(`${path}$`));
});
