/** Tags: tagging threads, filtering lists by tag, renaming and deleting tags. */
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test } from './fixtures.ts';
import { recordedAgent } from './recorded.ts';
import { ask, waitForConnection, waitForRunState } from './threads.ts';

test.use({ serverOptions: [{ config: recordedAgent(1_000_000) }, { scope: 'worker' }] });

const list = (page: Page) => page.getByRole('navigation', { name: 'Threads', includeHidden: true });
const row = (page: Page, path: string) => list(page).locator(`[data-thread-id="${path.split('/').pop()}"]`);
const dialog = (page: Page) => page.getByRole('dialog', { name: 'Tags' });
const filter = (page: Page) => page.getByRole('combobox', { name: 'Filter threads by tag' });

let made = 0;
/** A name that no other tag of this worker's server has. */
const unique = (name: string) => `${name} ${++made}`;

async function openList(page: Page): Promise<void> {
  await waitForConnection(page);
  const opener = page.getByRole('button', { name: 'Threads', exact: true });
  if ((await opener.isVisible()) && (await opener.getAttribute('aria-expanded')) === 'false') await opener.click();
}

async function askQuestion(page: Page, text: string): Promise<string> {
  const path = await ask(page, `@recorded ${text}`);
  await waitForRunState(page, 'finished');
  return path;
}

test('a thread is tagged by typing, in its header and in the menu of its row', async ({ page, context, signedIn: _ }) => {
  const [costs, work] = [unique('Costs'), unique('Work')];
  const path = await askQuestion(page, 'What does it cost?');
  await page.getByRole('button', { name: 'Tag this thread' }).click();
  await dialog(page).getByRole('textbox', { name: 'New tag' }).fill(costs);
  await page.keyboard.press('Enter');
  await expect(dialog(page).getByRole('checkbox', { name: costs })).toBeChecked();
  await expect(dialog(page).getByRole('textbox', { name: 'New tag' })).toHaveValue('');
  await page.keyboard.type(work);
  await page.keyboard.press('Enter');
  await expect(dialog(page).getByRole('checkbox', { name: work })).toBeChecked();
  await expectAccessible(page);
  await page.keyboard.press('Escape');
  await expect(page.getByRole('button', { name: `Tags: ${costs}, ${work}` })).toBeFocused();
  // Another tab, and after a reload.
  const other = await context.newPage();
  await other.goto(path);
  await expect(row(other, path)).toContainText(costs);
  await openList(page);
  await row(page, path).hover();
  await row(page, path).getByRole('button', { name: /Actions for/ }).click();
  await page.getByRole('button', { name: 'Tags', exact: true }).click();
  await dialog(page).getByRole('checkbox', { name: costs }).uncheck();
  await expect(row(other, path)).not.toContainText(costs);
  await expect(row(other, path)).toContainText(work);
  await other.close();
});

test('the filter is in the address, and search and the archive follow it', async ({ page, signedIn: _ }) => {
  const tag = unique('Bills');
  const [tagged, plain] = [await askQuestion(page, 'What about bananas?'), await askQuestion(page, 'And bananas again?')];
  await page.goto(tagged);
  await waitForConnection(page);
  await page.getByRole('button', { name: 'Tag this thread' }).click();
  await dialog(page).getByRole('textbox', { name: 'New tag' }).fill(tag);
  await page.keyboard.press('Enter');
  await expect(dialog(page).getByRole('checkbox', { name: tag })).toBeChecked();
  await page.keyboard.press('Escape');
  await openList(page);
  await filter(page).selectOption(tag);
  await expect(page).toHaveURL(/\?tag=/);
  await openList(page);
  await expect(row(page, tagged)).toBeVisible();
  await expect(row(page, plain)).toHaveCount(0);
  await expectAccessible(page);
  await row(page, tagged).getByRole('link').click();
  await expect(page).toHaveURL(/\?tag=/);
  await page.reload();
  await openList(page);
  await expect(row(page, tagged)).toBeVisible();
  await expect(row(page, plain)).toHaveCount(0);
  await page.getByRole('searchbox', { name: 'Search threads' }).fill('bananas');
  const hits = list(page).locator('.search-hit');
  await expect(hits.first()).toContainText('What about');
  await expect(hits.filter({ hasText: 'again' })).toHaveCount(0);
  await page.getByRole('searchbox', { name: 'Search threads' }).fill('');
  await row(page, tagged).hover();
  await row(page, tagged).getByRole('button', { name: /Actions for/ }).click();
  await page.getByRole('button', { name: 'Archive', exact: true }).click();
  await openList(page);
  await filter(page).selectOption(tag);
  await openList(page);
  await list(page).getByRole('link', { name: 'Archived' }).click();
  await expect(page.getByRole('main').getByRole('link', { name: 'What about bananas?' })).toBeVisible();
});

test('several threads are tagged at once, and a tag is renamed and deleted everywhere', async ({ page, signedIn: _ }) => {
  const [tag, renamed] = [unique('Many'), unique('Renamed')];
  const paths = [await askQuestion(page, 'One of many?'), await askQuestion(page, 'Two of many?')] as const;
  await openList(page);
  await row(page, paths[0]).hover();
  await row(page, paths[0]).getByRole('button', { name: /Actions for/ }).click();
  await page.getByRole('button', { name: 'Select', exact: true }).click();
  await row(page, paths[1]).getByRole('checkbox').click();
  await page.getByRole('group', { name: 'Selected threads' }).getByRole('button', { name: 'Tags' }).click();
  await expect(dialog(page)).toContainText('The tags of 2 threads.');
  await dialog(page).getByRole('textbox', { name: 'New tag' }).fill(tag);
  await page.keyboard.press('Enter');
  for (const path of paths) await expect(row(page, path)).toContainText(tag);
  await dialog(page).getByRole('button', { name: `Rename ${tag}` }).click();
  await dialog(page).getByRole('textbox', { name: 'Name of the tag' }).fill(renamed);
  await page.keyboard.press('Enter');
  for (const path of paths) await expect(row(page, path)).toContainText(renamed);
  await dialog(page).getByRole('button', { name: `Delete ${renamed} in all threads` }).click();
  for (const path of paths) await expect(row(page, path)).not.toContainText(renamed);
  await expect(dialog(page).getByRole('checkbox', { name: renamed })).toHaveCount(0);
});
