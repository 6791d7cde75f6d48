/** Forks: a new thread with a copy of this one up to an answer. */
import { expectAccessible } from './accessible.ts';
import { expect, test } from './fixtures.ts';
import { answerMenu, ask, lastRun, messageField, pressInAnswerMenu, sendMessage, sentMessages, waitForRunState } from './threads.ts';
import { endAnswer, StreamedAgent, streamedAgentFixture } from './streamed.ts';

const streamed = test.extend<object, { agent: StreamedAgent }>({
  agent: streamedAgentFixture,
  serverOptions: [async ({ agent }, use) => use({ config: agent.config }), { scope: 'worker' }],
});

streamed('a thread is forked at an answer, goes on by itself, and links to where it comes from', async ({ page, agent, signedIn: _ }) => {
  const path = await ask(page, '@streamed Where do my tokens go', { name: 'log.csv', mimeType: 'text/csv', buffer: Buffer.from('a,b\n1,2\n') });
  await expect.poll(() => agent.isAnswering).toBe(true);
  agent.write('Into long conversations.');
  await expect(answerMenu(page)).toHaveCount(0);
  await endAnswer(page, agent);
  await sendMessage(page, '@streamed And my money');
  await expect.poll(() => agent.isAnswering).toBe(true);
  agent.write('Into output tokens.');
  await endAnswer(page, agent);
  await expectAccessible(page);

  await pressInAnswerMenu(page, 'Fork from here', page.locator('[data-run-id]').first());
  await expect(page).not.toHaveURL(new RegExp(path));
  await expect(page).toHaveURL(/\/threads\/[0-9a-f-]{36}$/);
  await expect(page).toHaveTitle(/Where do my tokens go: log\.csv \(fork\)/);
  await expect(sentMessages(page)).toHaveCount(1);
  await expect(lastRun(page)).toContainText('Into long conversations.');
  await expect(page.getByText('Forked from')).toBeVisible();
  await expectAccessible(page);
  const file = sentMessages(page).getByRole('link', { name: /log\.csv/ }).first();
  const response = await page.request.get((await file.getAttribute('href')) ?? '');
  expect(await response.text()).toBe('a,b\n1,2\n');

  // It goes on by itself, and keeps its origin over a reload.
  await sendMessage(page, '@streamed Something else');
  await expect.poll(() => agent.isAnswering).toBe(true);
  agent.write('Well.');
  await endAnswer(page, agent);
  await page.reload();
  await expect(sentMessages(page)).toHaveCount(2);
  await page.getByRole('link', { name: 'Where do my tokens go: log.csv', exact: true }).and(page.locator('.forked-from a')).click();
  await expect(page).toHaveURL(new RegExp(`${path}\\?m=`));
  await expect(sentMessages(page)).toHaveCount(2);
  await expect(page.getByText('Forked from')).toHaveCount(0);
  await expect(messageField(page)).toBeVisible();
  await waitForRunState(page, 'finished');
});
