/** Tests the connection with TanStack AI's own chat client, a real server and interrupted connections. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type BaseEvent, EventType, type RunFinishedEvent } from '@ag-ui/client';
import type { StreamChunk } from '@tanstack/ai/client';
import { ChatClient, type ChatClientOptions, type UIMessage } from '@tanstack/ai-client';
import { NetraAgent } from '../src/index.js';
import { type NetraConnectionConfig, netraConnection } from '../src/tanstack.js';
import { Proxy } from './proxy.js';
import { Server, until } from './server.js';

let server: Server;
let proxy: Proxy;

before(async () => {
  server = await Server.start({ NETRA_LOG: 'warn' });
  proxy = await Proxy.start(server.port);
});

after(async () => {
  proxy.stop();
  await server.remove();
});

/** TanStack's `ChatClient` over a connection to Netra, with the events that it received. */
class Chat {
  readonly received: BaseEvent[] = [];
  readonly client: ChatClient;
  interrupts: string[] = [];

  constructor(
    readonly threadId: string,
    agent = 'slow',
    config: Partial<NetraConnectionConfig> = {},
    options: Partial<ChatClientOptions> = {},
  ) {
    const connection = netraConnection({
      url: `${proxy.url}/api/agents/${agent}/agui`,
      token: () => server.token(),
      idleMs: 0,
      random: () => 0.1,
      ...config,
    });
    this.client = new ChatClient({
      connection,
      threadId,
      persistence: true,
      onChunk: (chunk: StreamChunk) => void this.received.push(chunk as unknown as BaseEvent),
      onResumeStateChange: (_, pending) => (this.interrupts = pending.map(({ id }) => id)),
      ...options,
    } as ChatClientOptions);
    this.client.attach();
  }

  get messages(): UIMessage[] {
    return this.client.getMessages();
  }

  /** The server's ids of the run. */
  get run(): { threadId: string; runId: string } {
    return this.received[0]?.metadata?.['netra'] as { threadId: string; runId: string };
  }

  /** The server's log of the run. */
  log(): Promise<BaseEvent[]> {
    return server.log(this.run.threadId, this.run.runId);
  }

  /** Waits for a number of chunks or the end of the run that began last: after a reconnect there may be fewer chunks. */
  async waitForChunks(count: number): Promise<void> {
    const isOver = () => this.received.at(-1)?.type === EventType.RUN_FINISHED;
    await until(`${count} chunks`, () => this.received.length >= count || isOver());
  }

  async waitUntilReady(): Promise<void> {
    await until('the chat is ready', () => this.client.getStatus() === 'ready' && !this.client.getIsLoading());
  }
}

/** A run's events without its first and last, and without the older name of a field that TanStack adds. */
const content = (events: BaseEvent[]) => events.slice(1, -1).map(({ toolName: _, ...event }: BaseEvent & { toolName?: string }) => event);

/** Messages without what differs between pages: the steps of reasoning, and the ids that a page generates for the user's messages. */
const shown = (messages: UIMessage[]) =>
  messages.map(({ id, role, parts }) => ({ id: role === 'user' ? '' : id, role, parts: parts.map((part) => ({ ...part, stepId: '' })) }));

/** A chat's ids of the user's messages. */
const userMessageIds = (messages: UIMessage[]) => messages.flatMap(({ id, role }) => (role === 'user' ? [id] : []));

/** The messages of a chat that gets the events of runs directly. */
async function direct(...runs: [question: string, log: BaseEvent[]][]): Promise<UIMessage[]> {
  let events: BaseEvent[] = [];
  const client = new ChatClient({
    connection: {
      async *connect() {
        yield* events as unknown as StreamChunk[];
      },
    },
  });
  client.attach();
  for (const [question, log] of runs) {
    events = log;
    await client.sendMessage(question);
  }
  return client.getMessages();
}

test('a chat whose connection is cut repeatedly gets its events once and in order', async () => {
  const chat = new Chat('tanstack is cut');
  const done = chat.client.sendMessage('Where do my tokens go?');
  for (const chunks of [1, 20, 60, 120]) {
    await chat.waitForChunks(chunks);
    proxy.cut();
  }
  await done;
  assert.deepEqual(content(chat.received), content(await chat.log()));
  assert.equal(chat.client.getStatus(), 'ready');
  assert.deepEqual(shown(chat.messages), shown(await direct(['Where do my tokens go?', await chat.log()])));
});

test('a chat that is reloaded during a run continues it', async () => {
  const first = new Chat('tanstack is reloaded');
  await first.client.sendMessage('Where do my tokens go?');
  const done = first.client.sendMessage('And the second time?');
  const isStarted = () => first.received.filter(({ type }) => type === EventType.RUN_STARTED).length === 2;
  await until('the second run has begun', isStarted);
  await first.waitForChunks(first.received.length + 20);

  const second = new Chat('tanstack is reloaded');
  await second.waitForChunks(20);
  proxy.cut();
  await done;
  await until('the second chat is complete', () => second.received.at(-1)?.type === EventType.RUN_FINISHED);
  await second.waitUntilReady();
  assert.deepEqual(shown(second.messages), shown(first.messages));
  assert.deepEqual(userMessageIds(second.messages), userMessageIds(first.messages));
  const runs = await Promise.all([first.run, second.run].map(({ threadId, runId }) => server.log(threadId, runId)));
  const whole = await direct(['Where do my tokens go?', runs[0]!], ['And the second time?', runs[1]!]);
  assert.deepEqual(shown(second.messages), shown(whole));
});

test('a chat that is reloaded after a run shows it and sends nothing', async () => {
  const first = new Chat('tanstack comes back later', 'quick');
  await first.client.sendMessage('Where do my tokens go?');
  const second = new Chat('tanstack comes back later', 'quick');
  await until('the conversation is there', () => second.messages.length > 0);
  assert.deepEqual(shown(second.messages), shown(first.messages));
  assert.deepEqual(userMessageIds(second.messages), userMessageIds(first.messages));
  assert.deepEqual(second.received, []);

  await second.client.sendMessage('And the second time?');
  assert.deepEqual(content(second.received), content(await second.log()));
});

test('a call is shown in the message that it names, while it streams and after a reload', async () => {
  const first = new Chat('tanstack looks up', 'looks-up');
  await first.client.sendMessage('How is the weather?');
  await first.client.sendMessage('And now?');
  const turn = [['text'], ['tool-call', 'tool-result'], ['text']];
  assert.deepEqual(first.messages.map(({ parts }) => parts.map(({ type }) => type)), [...turn, ...turn]);
  const second = new Chat('tanstack looks up', 'looks-up');
  await until('the conversation is there', () => second.messages.length > 0);
  assert.deepEqual(shown(second.messages), shown(first.messages));
});

test('a chat that joins the last run of a turn gets the whole turn', async () => {
  const first = new Chat('tanstack joins a turn', 'asks');
  await first.client.sendMessage('Do it');
  await until('the question', () => first.client.getInterrupts().length > 0);
  await first.client.resumeInterruptsUnsafe([{ interruptId: 'may I', status: 'resolved', payload: { approved: true } }]);
  const connection = netraConnection({ url: `${proxy.url}/api/agents/asks/agui`, token: () => server.token(), idleMs: 0, threadId: 'tanstack joins a turn' });
  const chunks: StreamChunk[] = [];
  for await (const chunk of connection.joinRun('any id')) chunks.push(chunk);
  const [joined] = [await direct(['Do it', chunks as unknown as BaseEvent[]])];
  assert.deepEqual(shown(joined), shown(first.messages));
  assert.equal(joined.length, 3, 'the question and two answers');
});

test('a thread without messages is an empty chat', async () => {
  const connection = netraConnection({ url: `${proxy.url}/api/agents/quick/agui`, token: () => server.token(), idleMs: 0 });
  assert.deepEqual(await connection.hydrate('tanstack without messages'), { messages: [], activeRun: null, interrupts: null });
});

test('stop stops the run on the server', async () => {
  const chat = new Chat('tanstack stops');
  const done = chat.client.sendMessage('Where do my tokens go?');
  await chat.waitForChunks(20);
  chat.client.stop();
  await done;
  assert.deepEqual(((await chat.log()).at(-1) as RunFinishedEvent).outcome, { type: 'cancelled' });
});

test('stop stops a joined run on the server', async () => {
  const first = new Chat('tanstack stops what it joined');
  const done = first.client.sendMessage('Where do my tokens go?');
  await first.waitForChunks(20);
  const second = new Chat('tanstack stops what it joined');
  await second.waitForChunks(20);
  second.client.stop();
  await done;
  assert.deepEqual(((await first.log()).at(-1) as RunFinishedEvent).outcome, { type: 'cancelled' });
});

test('with `leave` a run continues without its chat, which gets it again when it is attached', async () => {
  const chat = new Chat('tanstack leaves', 'slow', { onAbort: 'leave' });
  void chat.client.sendMessage('Where do my tokens go?');
  await chat.waitForChunks(20);
  chat.client.detach();
  const log = await chat.log();
  assert.equal((log.at(-1) as RunFinishedEvent).outcome, undefined, 'it was not stopped');
  chat.client.attach();
  const whole = await direct(['Where do my tokens go?', log]);
  await until('the conversation is there', () => chat.messages.length === whole.length && !chat.client.getIsLoading());
  assert.deepEqual(shown(chat.messages), shown(whole));
});

test('an interrupt can be answered after a reload', async () => {
  const first = new Chat('tanstack is asked', 'asks');
  await first.client.sendMessage('Do it');
  await until('the question', () => first.client.getInterrupts().length > 0);
  const second = new Chat('tanstack is asked', 'asks');
  await until('the question after the reload', () => second.client.getInterrupts().length > 0);
  assert.deepEqual(
    second.client.getInterrupts().map(({ id }) => id),
    first.client.getInterrupts().map(({ id }) => id),
  );
  await second.client.resumeInterruptsUnsafe([{ interruptId: 'may I', status: 'resolved', payload: { approved: true } }]);
  const agent = new NetraAgent({ url: `${proxy.url}/api/agents/asks/agui`, token: () => server.token(), threadId: 'tanstack is asked' });
  await agent.connectAgent();
  agent.close();
  assert.equal(agent.messages.filter(({ role }) => role === 'assistant').length, 2, 'the answer started a second run');
});
