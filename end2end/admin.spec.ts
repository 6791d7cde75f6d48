/** The administrators' page: agents are added, edited, checked and removed. */
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test } from './fixtures.ts';
import { createAdmin, signInByRequest } from './accounts.ts';
import type { Server } from './server.ts';
import { waitForConnection } from './threads.ts';

test.use({
  serverOptions: [
    {
      config:
        '[[agents]]\nid = "broken"\nname = "Broken"\nkind = "ag-ui"\nurl = "no address"\n' +
        '[[tools]]\nid = "far"\nkind = "mcp"\nurl = "https://tools.example.org/mcp"\n' +
        '[[tools]]\nid = "wrong"\nkind = "mcp"\n' +
        '[[tools]]\nid = "data"\nkind = "builtin"\nconsent = { default = "automatic", describe_log = "ask" }\n',
    },
    { scope: 'worker' },
  ],
});

test('an invalid entry is disabled with its reason, and the other agents run', async ({ page, signedIn }) => {
  await page.goto('/');
  await waitForConnection(page);
  await page.getByRole('button', { name: `Account of ${signedIn.name}` }).click();
  await page.getByRole('link', { name: 'Agents, tools, usage' }).click();
  await expect(page).toHaveURL(/\/admin\/agents$/);
  const broken = page.getByRole('article', { name: 'Broken' });
  await expect(broken).toHaveAttribute('data-state', 'disabled');
  await expect(broken).toContainText(/url/i);
  await expect(page.locator('[data-agent="analyst"]')).toHaveAttribute('data-state', 'usable');
  await expectAccessible(page);
});

test('tools are shown with their consent, and an invalid source with its reason', async ({ page, signedIn: _ }) => {
  await page.goto('/admin/agents');
  const tools = page.getByRole('region', { name: 'Tools' });
  await expect(tools.getByRole('article', { name: 'far' })).toContainText('Not connected yet');
  const wrong = tools.getByRole('article', { name: 'wrong' });
  await expect(wrong).toHaveAttribute('data-state', 'disabled');
  await expect(wrong).toContainText(/url|command/);
  const data = tools.getByRole('article', { name: 'data' });
  await expect(data).toHaveAttribute('data-state', 'usable');
  await data.getByText(/\d+ tools: \d+ automatic/).click();
  await expect(data.getByRole('listitem').first()).toContainText(/Automatic|Asks first/);
  await tools.getByRole('button', { name: 'Refresh' }).click();
  await expect(data).toHaveAttribute('data-state', 'usable');
  await expectAccessible(page);
});

test('a check reports how an agent answers', async ({ page, signedIn: _ }) => {
  await page.goto('/admin/agents');
  await waitForConnection(page);
  await expect(page.getByRole('button', { name: 'Check Broken' })).toHaveCount(0);
  const opener = page.locator('[data-agent="analyst"]').getByRole('button', { name: /^Check / });
  await opener.click();
  const form = page.getByRole('form', { name: /^Check / });
  await expect(form.getByLabel('First message of the check')).toBeFocused();
  await form.getByRole('button', { name: 'Run check' }).click();
  await expect(form.getByRole('listitem')).toContainText([/^Works: It answered in/, /^Works: It answers when the conversation continues/]);
  await expectAccessible(page);
  await form.getByRole('button', { name: 'Close' }).click();
  await expect(form).toHaveCount(0);
  await expect(opener).toBeFocused();
});

/** Creates and signs in the first administrator, and opens the form for a new agent. */
async function addAgent(page: Page, server: Server) {
  await createAdmin(server);
  await signInByRequest(page, server);
  await page.goto(`${server.url}/admin/agents`);
  await waitForConnection(page);
  await page.getByRole('button', { name: 'Add agent' }).click();
  return page.getByRole('form', { name: 'New agent' });
}

test('a secret is hidden, kept on edits, and not sent to another host', async ({ page, freshServer, browserConsole }) => {
  browserConsole.allow(/status of 422/);
  const form = await addAgent(page, freshServer);
  await form.getByLabel('Id', { exact: true }).fill('far');
  await form.getByLabel('Name', { exact: true }).fill('Far');
  await form.getByLabel('URL').fill('https://agents.example.org/run');
  await form.getByLabel('Headers').fill('X-Key: a-literal-secret');
  await form.getByRole('button', { name: 'Save' }).click();

  await page.getByRole('button', { name: 'Edit Far' }).click();
  const change = page.getByRole('form', { name: 'Edit Far' });
  await expect(change.getByLabel('Headers')).toHaveValue('X-Key: (set)');
  await change.getByLabel('Description').fill('It is far.');
  await change.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('article', { name: 'Far', exact: true })).toContainText('It is far.');

  await page.getByRole('button', { name: 'Edit Far' }).click();
  await change.getByLabel('URL').fill('https://elsewhere.example.org/run');
  await change.getByRole('button', { name: 'Save' }).click();
  await expect(change.getByLabel('Headers')).toBeFocused();
  await expect(change.getByLabel('Headers')).toHaveAccessibleDescription(/for another address/);
  await change.getByRole('button', { name: 'Cancel' }).click();
  await expect(page.getByRole('article', { name: 'Far', exact: true })).toContainText('It is far.');
});

test('an agent is added, offered, edited and removed', async ({ page, freshServer, browserConsole }) => {
  browserConsole.allow(/status of 4\d\d/);
  const form = await addAgent(page, freshServer);
  await expect(form.getByLabel('Id', { exact: true })).toBeFocused();
  await form.getByLabel('Id', { exact: true }).fill('helper');
  await form.getByLabel('Name', { exact: true }).fill('Helper');
  await form.getByLabel('URL').fill('ftp://example.org');
  await form.getByRole('button', { name: 'Save' }).click();
  await expect(form.getByLabel('URL')).toBeFocused();
  await expect(form.getByLabel('URL')).toHaveAttribute('aria-invalid', 'true');
  await expectAccessible(page);
  await form.getByLabel('URL').fill('https://agents.example.org/run');
  await form.getByLabel('Example questions').fill('How are you?\nWho are you?');
  await form.getByRole('button', { name: 'Save' }).click();
  const helper = page.getByRole('article', { name: 'Helper' });
  await expect(helper).toContainText('added here');

  await page.goto(freshServer.url);
  await waitForConnection(page);
  await page.getByLabel('Agent').selectOption('helper');
  await expect(page.getByRole('button', { name: 'Who are you?' })).toBeVisible();

  await page.goto(`${freshServer.url}/admin/agents`);
  await page.getByRole('button', { name: 'Edit Helper' }).click();
  const change = page.getByRole('form', { name: 'Edit Helper' });
  await change.getByLabel('Name', { exact: true }).fill('Helping hand');
  await change.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('article', { name: 'Helping hand' })).toBeVisible();
  await page.getByRole('button', { name: 'Remove Helping hand' }).click();
  // The first click asks for confirmation.
  await page.getByRole('button', { name: 'Remove Helping hand' }).click();
  await expect(page.getByRole('article', { name: 'Helping hand' })).toHaveCount(0);
});
