/** The administrators' page: agents are added, changed and removed there. */
import { expectAccessible } from './accessible.ts';
import { expect, test } from './fixtures.ts';
import { createAdmin, signInByCall } from './people.ts';
import { connected } from './threads.ts';

test.use({
  serverOptions: [
    { config: '[[agents]]\nid = "broken"\nname = "Broken"\nkind = "ag-ui"\nurl = "no address"\n' },
    { scope: 'worker' },
  ],
});

test('a wrong entry is disabled with its reason, and the rest run', async ({ page, signedIn }) => {
  await page.goto('/');
  await connected(page);
  await page.getByRole('button', { name: `Account of ${signedIn.name}` }).click();
  await page.getByRole('link', { name: 'Agents and usage' }).click();
  await expect(page).toHaveURL(/\/admin\/agents$/);
  const broken = page.getByRole('article', { name: 'Broken' });
  await expect(broken).toHaveAttribute('data-agent-state', 'disabled');
  await expect(broken).toContainText(/url/i);
  await expect(page.locator('[data-agent="analyst"]')).toHaveAttribute('data-agent-state', 'usable');
  await expectAccessible(page);
});

test('an agent is added, offered, changed and removed', async ({ page, freshServer, browserConsole }) => {
  browserConsole.allow(/status of 4\d\d/);
  await createAdmin(freshServer);
  await signInByCall(page, freshServer);
  await page.goto(`${freshServer.url}/admin/agents`);
  await connected(page);
  await page.getByRole('button', { name: 'Add agent' }).click();
  const form = page.getByRole('form', { name: 'A new agent' });
  await expect(form.getByLabel('Id', { exact: true })).toBeFocused();
  await form.getByLabel('Id', { exact: true }).fill('helper');
  await form.getByLabel('Name', { exact: true }).fill('Helper');
  await form.getByLabel('Address').fill('ftp://example.org');
  await form.getByRole('button', { name: 'Save' }).click();
  await expect(form.getByLabel('Address')).toBeFocused();
  await expect(form.getByLabel('Address')).toHaveAttribute('aria-invalid', 'true');
  await expectAccessible(page);
  await form.getByLabel('Address').fill('https://agents.example.org/run');
  await form.getByLabel('Questions to begin with').fill('How are you?\nWho are you?');
  await form.getByRole('button', { name: 'Save' }).click();
  const helper = page.getByRole('article', { name: 'Helper' });
  await expect(helper).toContainText('added here');

  await page.goto(freshServer.url);
  await connected(page);
  await page.getByLabel('Agent').selectOption('helper');
  await expect(page.getByRole('button', { name: 'Who are you?' })).toBeVisible();

  await page.goto(`${freshServer.url}/admin/agents`);
  await page.getByRole('button', { name: 'Edit Helper' }).click();
  const change = page.getByRole('form', { name: 'Change Helper' });
  await change.getByLabel('Name', { exact: true }).fill('Helping hand');
  await change.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('article', { name: 'Helping hand' })).toBeVisible();
  await page.getByRole('button', { name: 'Remove Helping hand' }).click();
  await page.getByRole('button', { name: 'Remove Helping hand' }).click();
  await expect(page.getByRole('article', { name: 'Helping hand' })).toHaveCount(0);
});
