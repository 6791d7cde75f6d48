/**
 * Each front end holds the same conversation twice: with the remote agent directly, and with the same agent on Netra, where the
 * network is cut in the middle of answers and the page is loaded anew. What it shows is compared, message by message.
 */
import { expect, type Page, test } from '@playwright/test';
import { Proxy } from '../typescript/build/test/proxy.js';
import { Server } from '../typescript/build/test/server.js';
import { Site } from './site.ts';

const questions = ['How is the weather?', 'And tomorrow?', 'And after that?', 'And in the end?'];

/** A message as it stands in the page. */
interface Shown {
  id: string;
  text: string;
}

/** The messages in the order of the page; what the front end shows of one in several places is one. */
async function shown(page: Page): Promise<Shown[]> {
  const all = await page.locator('[data-message-id]').evaluateAll((elements) =>
    elements.map((element) => ({ id: element.getAttribute('data-message-id')!, text: (element as HTMLElement).innerText.replace(/\s+/g, ' ').trim() })),
  );
  return all.filter(({ id }, index) => all.findIndex((other) => other.id === id) === index);
}

/** A person's messages among them. */
const questionsIn = (messages: Shown[]) => messages.filter(({ text }) => questions.includes(text));

/** The same, with what a page makes up for ids of a person's messages named by the question. */
const named = (messages: Shown[]) => messages.map(({ id, text }) => ({ id: questions.includes(text) ? 'a question' : id, text }));

async function ask(page: Page, question: string): Promise<void> {
  await page.getByRole('textbox').fill(question);
  await page.getByRole('textbox').press('Enter');
}

const answered = (page: Page, turn: number) => expect(page.locator('[data-message-id]', { hasText: `It is sunny in turn ${turn}.` }).last()).toBeVisible();

/** All that the page shows, calls of tools among it, in order. */
const text = async (page: Page) => (await page.locator('#root').innerText()).replace(/\s+/g, ' ').trim();

/** The whole conversation, which nobody disturbs: what is shown after each turn. */
async function undisturbed(page: Page): Promise<{ messages: Shown[]; text: string }[]> {
  const turns = [];
  for (const [index, question] of questions.entries()) {
    await ask(page, question);
    await answered(page, index + 1);
    await settled(page);
    turns.push({ messages: named(await shown(page)), text: await text(page) });
  }
  return turns;
}

/** Until the page does not change any more what it shows: an answer's last events come after its last words. */
async function settled(page: Page): Promise<void> {
  let before = '';
  await expect
    .poll(async () => {
      const now = JSON.stringify(await shown(page));
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
  test(`${name} shows the same conversation on Netra, cut and loaded anew, as with the agent directly`, async ({ page }) => {
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
      const where: Record<string, string>[] = runtime ? [{ runtime: '/runtime-direct' }, { runtime: '/runtime-netra' }] : [{}, { netra, token: await server.token() }];

      await page.goto(address({ ...where[0], thread: crypto.randomUUID() }));
      const direct = await undisturbed(page);
      expect(direct.at(-1)!.text.split('get_weather').length - 1, 'the calls are seen').toBe(questions.length);
      /** The page shows what it shows of the direct conversation after so many turns. */
      const same = async (turn: number) => {
        await answered(page, turn);
        await settled(page);
        expect(named(await shown(page))).toEqual(direct[turn - 1]!.messages);
        expect(await text(page)).toBe(direct[turn - 1]!.text);
      };

      await page.goto(address({ ...where[1], thread: crypto.randomUUID() }));
      /** A person's messages with the ids that the page gave them: as it shows them before their answers end, when nothing has restated them. */
      const asked: Shown[] = [];
      /** Asks the next question; its answer stops in its middle. */
      const askNext = async () => {
        site.agent.halt();
        const question = questions[asked.length]!;
        await ask(page, question);
        await expect.poll(() => site.agent.waiting).toBe(1);
        await expect.poll(async () => questionsIn(await shown(page)).at(-1)?.text).toBe(question);
        asked.push(questionsIn(await shown(page)).at(-1)!);
      };
      /**
       * The page shows the same as with the agent directly, and a person's messages have the ids of `asked`. After a reload they have come
       * from the server; with the agent in CopilotKit's runtime, from that runtime's memory.
       */
      const sameAsAsked = async () => {
        await same(asked.length);
        expect(questionsIn(await shown(page)), 'a person’s messages keep the ids that the page gave them').toEqual(asked);
      };

      await askNext();
      site.agent.goOn();
      await sameAsAsked();

      // Cut in the middle of an answer.
      await askNext();
      await expect(page.locator('[data-message-id]', { hasText: `You asked: ${questions[1]}.` }).last()).toBeVisible();
      const connections = proxy.connections;
      proxy.cut();
      await expect.poll(() => proxy.connections).toBeGreaterThan(connections);
      site.agent.goOn();
      await sameAsAsked();

      // Loaded anew in the middle of the next.
      await askNext();
      await page.reload();
      proxy.cut();
      site.agent.goOn();
      await sameAsAsked();

      // And once more, with nothing under way; then the conversation goes on, and all of it is there again.
      await page.reload();
      await sameAsAsked();
      await askNext();
      site.agent.goOn();
      await sameAsAsked();
      await page.reload();
      await sameAsAsked();
      expect(new Set(asked.map(({ id }) => id)).size, 'each has an id of its own').toBe(questions.length);
      expect(site.agent.asked.length, 'nothing was asked twice').toBe(2 * questions.length);
    } finally {
      proxy.stop();
      await server.remove();
      site.stop();
    }
  });
}
