/** What the page shows of an agent before the first question: its description, examples, and the hint in the message field. */
import { expectAccessible } from './accessible.ts';
import { expect, test } from './fixtures.ts';
import { messageField, sentMessages, waitForConnection } from './threads.ts';

const config = `
[[agents]]
id = "analyst"
name = "Our analyst"
kind = "builtin"
description = "Knows our bills."
examples = ["Which day was dearest?", "What would batch prices save us?"]
hint = "Ask about our bills"
`;
test.use({ serverOptions: [{ config }, { scope: 'worker' }] });

test('the start page shows the agent’s description, examples and hint', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  await expect(page.getByText('Knows our bills.')).toBeVisible();
  await expect(messageField(page)).toHaveAttribute('placeholder', 'Ask about our bills');
  await expectAccessible(page);
  await page.getByRole('button', { name: 'Which day was dearest?' }).click();
  await expect(messageField(page)).toHaveValue('Which day was dearest?');
  await expect(messageField(page)).toBeFocused();
  await expect(page).toHaveURL(/\/$/);
});

test('an empty thread shows them too, and an example is sent only by the user', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  const id = await page.evaluate(async () => {
    const { url, protocol } = ((await (await fetch('/api/config')).json()) as { socket: { url: string; protocol: string } }).socket;
    const hex = Date.now().toString(16).padStart(12, '0');
    const thread_id = `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${Math.floor(Math.random() * 2 ** 48).toString(16).padStart(12, '0')}`;
    const socket = new WebSocket(url, protocol);
    await new Promise((resolve) => (socket.onopen = resolve));
    const created = new Promise((resolve, reject) => {
      socket.onmessage = ({ data }) => {
        const { type } = JSON.parse(String(data)) as { type: string };
        if (type === 'ok') resolve(undefined);
        if (type === 'error') reject(new Error(String(data)));
      };
    });
    socket.send(JSON.stringify({ type: 'create_thread', id: 1, payload: { thread_id } }));
    await created;
    socket.close();
    return thread_id;
  });
  await page.goto(`/threads/${id}`);
  await waitForConnection(page);
  await expect(page.getByText('Knows our bills.')).toBeVisible();
  await expect(messageField(page)).toHaveAttribute('placeholder', 'Ask about our bills');
  await expectAccessible(page);
  await page.getByRole('button', { name: 'What would batch prices save us?' }).click();
  await expect(messageField(page)).toHaveValue('What would batch prices save us?');
  await expect(sentMessages(page)).toHaveCount(0);
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(sentMessages(page)).toContainText('What would batch prices save us?');
  await expect(page.getByText('Knows our bills.')).toHaveCount(0);
});
