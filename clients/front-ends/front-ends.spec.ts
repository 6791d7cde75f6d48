/**
 * Each front end has the same conversation twice: with the remote agent directly, and with the same agent through Netra, where the
 * connection is cut during answers and the page is reloaded. What the page shows is compared, message by message.
 */
import { expect, type Page, test } from '@playwright/test';
import { Proxy } from '../typescript/build/test/proxy.js';
import { Server } from '../typescript/build/test/server.js';
import { Site } from './site.ts';

const questions = ['How is the weather?', 'And tomorrow?', 'And after that?', 'And in the end?'];

/** A message in the page. */
interface ShownMessage {
  id: string;
  text: string;
}

/** The messages in the order of the page; one that the front end shows in several places counts once. */
async function shownMessages(page: Page): Promise<ShownMessage[]> {
  const all = await page.locator('[data-message-id]').evaluateAll((elements) =>
    elements.map((element) => ({ id: element.getAttribute('data-message-id')!, text: (element as HTMLElement).innerText.replace(/\s+/g, ' ').trim() })),
  );
  return all.filter(({ id }, index) => all.findIndex((other) => other.id === id) === index);
}

/** The user's messages among them. */
const questionsIn = (messages: ShownMessage[]) => messages.filter(({ text }) => questions.includes(text));

/** The same without the ids of the user's messages, which a page generates. */
const withoutQuestionIds = (messages: ShownMessage[]) => messages.map(({ id, text }) => ({ id: questions.includes(text) ? 'a question' : id, text }));

async function ask(page: Page, question: string): Promise<void> {
  await page.getByRole('textbox').fill(question);
  await page.getByRole('textbox').press('Enter');
}

/** Waits for the last text of a turn's answer. */
const waitForAnswer = (page: Page, turn: number) => expect(page.locator('[data-message-id]', { hasText: `It is sunny in turn ${turn}.` }).last()).toBeVisible();

/** The whole text of the page, including tool calls. */
const text = async (page: Page) => (await page.locator('#root').innerText()).replace(/\s+/g, ' ').trim();

/** Holds the whole conversation without interruptions; returns what the page shows after each turn. */
async function converseUndisturbed(page: Page): Promise<{ messages: ShownMessage[]; text: string }[]> {
  const turns = [];
  for (const [index, question] of questions.entries()) {
    await ask(page, question);
    await waitForAnswer(page, index + 1);
    await waitUntilSettled(page);
    turns.push({ messages: withoutQuestionIds(await shownMessages(page)), text: await text(page) });
  }
  return turns;
}

/** Waits until the page no longer changes: an answer's last events come after its last text. */
async function waitUntilSettled(page: Page): Promise<void> {
  let before = '';
  await expect
    .poll(async () => {
      const now = JSON.stringify(await shownMessages(page));
      const same = now === before;
      before = now;
      return same;
    }, { intervals: [250] })
    .toBe(true);
}

const variants = [
  { name: 'assistant-ui', folder: 'assistant-ui', runtime: false },
  { name: 'TanStack AI', folder: 'tanstack', runtime: false },
  { name: 'CopilotKit’s chat with the agent in the page', folder: 'copilotkit', runtime: false },
  { name: 'CopilotKit’s chat with the agent in its runtime', folder: 'copilotkit', runtime: true },
];

for (const { name, folder, runtime } of variants) {
  test(`${name} shows the same conversation through Netra, cut and reloaded, as with the agent directly`, async ({ page }) => {
    const site = await Site.start(folder);
    const agent = `[[agents]]\nid = "weather"\nname = "Weather"\nkind = "ag-ui"\nurl = "${site.url}/agent"\nallow_private_network = true\n`;
    const server = await Server.start({ NETRA_LOG: 'warn', NETRA_AUTH__ALLOWED_ORIGINS: JSON.stringify([site.url]) }, agent);
    const proxy = await Proxy.start(server.port);
    try {
      const netra = `${proxy.url}/api/agents/weather/agui`;
      const address = (query: Record<string, string>) => `${site.url}/?${new URLSearchParams(query)}`;
      if (runtime) {
        const { runtimeHandler } = await import('./copilotkit/runtime.ts');
        site.handlers.set('/runtime-direct', runtimeHandler('/runtime-direct', `${site.url}/agent`));
        site.handlers.set('/runtime-netra', runtimeHandler('/runtime-netra', netra, () => server.token()));
      }
      const queries: Record<string, string>[] = runtime ? [{ runtime: '/runtime-direct' }, { runtime: '/runtime-netra' }] : [{}, { netra, token: await server.token() }];

      await page.goto(address({ ...queries[0], thread: crypto.randomUUID() }));
      const direct = await converseUndisturbed(page);
      expect(direct.at(-1)!.text.split('get_weather').length - 1, 'the calls are shown').toBe(questions.length);
      /** Checks that the page shows the same as in the direct conversation after a number of turns. */
      const expectSame = async (turn: number) => {
        await waitForAnswer(page, turn);
        await waitUntilSettled(page);
        expect(withoutQuestionIds(await shownMessages(page))).toEqual(direct[turn - 1]!.messages);
        expect(await text(page)).toBe(direct[turn - 1]!.text);
      };

      await page.goto(address({ ...queries[1], thread: crypto.randomUUID() }));
      /** The user's messages with the ids that the page gave them, read before an agent can restate them. */
      const asked: ShownMessage[] = [];
      /** Asks the next question; its answer pauses in its middle. */
      const askNext = async () => {
        site.agent.pause();
        const question = questions[asked.length]!;
        await ask(page, question);
        await expect.poll(() => site.agent.pausedCount).toBe(1);
        await expect.poll(async () => questionsIn(await shownMessages(page)).at(-1)?.text).toBe(question);
        asked.push(questionsIn(await shownMessages(page)).at(-1)!);
      };
      /**
       * Checks that the page shows the same as with the agent directly, and that the user's messages have the ids of `asked`. After a reload
       * they come from the server, or with the agent in CopilotKit's runtime from that runtime's memory.
       */
      const expectUnchanged = async () => {
        await expectSame(asked.length);
        expect(questionsIn(await shownMessages(page)), 'the user’s messages keep the ids that the page gave them').toEqual(asked);
      };

      await askNext();
      site.agent.resume();
      await expectUnchanged();

      // The connection is cut during an answer.
      await askNext();
      await expect(page.locator('[data-message-id]', { hasText: `You asked: ${questions[1]}.` }).last()).toBeVisible();
      const connections = proxy.connections;
      proxy.cut();
      await expect.poll(() => proxy.connections).toBeGreaterThan(connections);
      site.agent.resume();
      await expectUnchanged();

      // The page is reloaded during the next answer.
      await askNext();
      await page.reload();
      proxy.cut();
      site.agent.resume();
      await expectUnchanged();

      // It is reloaded again without an active run; then the conversation continues and is complete after another reload.
      await page.reload();
      await expectUnchanged();
      await askNext();
      site.agent.resume();
      await expectUnchanged();
      await page.reload();
      await expectUnchanged();
      expect(new Set(asked.map(({ id }) => id)).size, 'each question has its own id').toBe(questions.length);
      expect(site.agent.inputs.length, 'nothing was asked twice').toBe(2 * questions.length);
    } finally {
      proxy.stop();
      await server.remove();
      site.stop();
    }
  });
}
