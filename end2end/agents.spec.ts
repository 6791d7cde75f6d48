/** Choosing among many agents: a dialog with a search field. */
import { resolve } from 'node:path';
import { expectAccessible } from './accessible.ts';
import { expect, type Page, test } from './fixtures.ts';
import { messageField, sendMessage, waitForConnection, waitForRunState } from './threads.ts';

const file = resolve(import.meta.dirname, '../tests/data/replay.jsonl');
const agent = (number: number) =>
  `[[agents]]\nid = "agent-${number}"\nname = "Agent ${number}"\ndescription = "Replays recording ${number}."\nkind = "replay"\nfile = "${file}"\nevents_per_second = 1000\n`;

test.use({ serverOptions: [{ config: Array.from({ length: 8 }, (_, index) => agent(index + 1)).join('\n') }, { scope: 'worker' }] });

const dialog = (page: Page) => page.getByRole('dialog', { name: 'Choose an agent' });
const option = (page: Page, name: string | RegExp) => dialog(page).getByRole('option', { name });

test('an agent is found by its name or description, chosen with the keys, and answers', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  const button = page.getByRole('button', { name: 'Agent: Workload analyst' });
  await button.click();
  const field = page.getByRole('combobox', { name: 'Choose an agent' });
  await expect(field).toBeFocused();
  await expect(dialog(page).getByRole('option')).toHaveCount(9);
  await expect(option(page, /Agent 3/)).toContainText('Replays recording 3.');
  await expectAccessible(page);
  await field.fill('recording 5');
  await expect(dialog(page).getByRole('option')).toHaveCount(1);
  await page.keyboard.press('Enter');
  await expect(dialog(page)).toHaveCount(0);
  await expect(page.getByRole('button', { name: 'Agent: Agent 5' })).toBeFocused();
  await page.getByRole('button', { name: 'Agent: Agent 5' }).click();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('button', { name: 'Agent: Agent 5' })).toBeFocused();
  await sendMessage(page, 'Go on');
  await expect(page).toHaveURL(/\/threads\//);
  await expect(page.getByRole('article', { name: 'Answer from Agent 5' })).toBeVisible();
  await waitForRunState(page, 'finished');
});

test('agents that are not available say why, as of now', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  await page.route('**/api/agents', async (route) => {
    const response = await route.fetch();
    const agents = (await response.json()) as { id: string; unavailable?: string; disabled?: string }[];
    for (const agent of agents) {
      if (agent.id === 'agent-1') agent.unavailable = 'it does not respond at the moment';
      if (agent.id === 'agent-2') agent.disabled = 'the file is missing';
    }
    await route.fulfill({ json: agents });
  });
  await page.getByRole('button', { name: 'Agent: Workload analyst' }).click();
  await expect(option(page, /^Agent 1/)).toContainText('Not available: it does not respond at the moment');
  await expect(option(page, /^Agent 2/)).toContainText('Not available: the file is missing');
  await expect(option(page, /^Agent 2/)).toHaveAttribute('aria-disabled', 'true');
  await expectAccessible(page);
  await option(page, /^Agent 2/).click({ force: true });
  await expect(dialog(page), 'it cannot be chosen').toBeVisible();
  await option(page, /^Agent 1/).click();
  await expect(page.getByRole('button', { name: 'Agent: Agent 1' })).toBeVisible();
  await expect(messageField(page)).toHaveValue('');
});
