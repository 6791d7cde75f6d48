/** Tests the agent with a real server and interrupted connections. AG-UI's own client applies and verifies the events. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type BaseEvent, EventType, type ImageInputPart, type Message, type RunFinishedEvent } from '@ag-ui/client';
import { NetraAgent, type NetraAgentConfig, NetraError } from '../src/index.js';
import { RunEvents } from '../src/events.js';
import { conversation, conversationOf } from './conversation.js';
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

function createAgent(config: Partial<NetraAgentConfig> = {}): NetraAgent {
  const random = () => 0.1;
  return new NetraAgent({ url: `${proxy.url}/api/agents/slow/agui`, token: () => server.token(), idleMs: 0, random, ...config });
}

let questions = 0;

/** Runs the agent with a new question; `received` grows as events arrive. */
function ask(agent: NetraAgent, id = `question-${++questions}`, more: { forwardedProps?: object } = {}) {
  const received: BaseEvent[] = [];
  agent.addMessage({ id, role: 'user', content: 'Where do my tokens go?' });
  const done = agent.runAgent(more, { onEvent: ({ event }) => void received.push(event) });
  return { received, done };
}

/** The run's events in the server's log, with the ids that an AG-UI caller gets. */
async function logged(agent: NetraAgent, received: BaseEvent[]): Promise<BaseEvent[]> {
  const { threadId, runId } = serverIds(received);
  const { runId: callerRunId } = received[0] as { runId?: string };
  const log = await server.log(threadId, runId);
  return log.map((event) => {
    if (event.type !== EventType.RUN_STARTED && event.type !== EventType.RUN_FINISHED) return event;
    return { ...event, threadId: agent.threadId, runId: callerRunId, metadata: { ...event.metadata, netra: { threadId, runId } } };
  }) as BaseEvent[];
}

/** Sorts messages by id: a snapshot may have another order. */
function sorted({ messages, ...rest }: Awaited<ReturnType<typeof conversationOf>>) {
  const key = (message: Message) => `${message.role} ${message.id} ${message.role === 'tool' ? message.toolCallId : ''}`;
  return { ...rest, messages: messages.toSorted((a, b) => (key(a) < key(b) ? -1 : 1)) };
}

const serverIds = (received: BaseEvent[]) => received[0]?.metadata?.['netra'] as { threadId: string; runId: string };
const answers = (agent: NetraAgent) => agent.messages.filter(({ role }) => role === 'assistant').map(({ content }) => content);

test('the events of a run equal the log, and the verifier accepts them', async () => {
  const agent = createAgent({ url: `${proxy.url}/api/agents/quick/agui` });
  const { received, done } = ask(agent);
  await done;
  assert.deepEqual(received, await logged(agent, received));
  assert.equal(received.at(-1)?.type, EventType.RUN_FINISHED);
  assert.ok(received.length > 50, `${received.length} events`);
});

test('a run whose connection is cut repeatedly is received once and in order', async () => {
  const agent = createAgent();
  const before = proxy.connections;
  const { received, done } = ask(agent);
  for (const events of [1, 20, 60, 120]) {
    await until(`${events} events`, () => received.length >= events);
    proxy.cut();
  }
  await done;
  assert.deepEqual(received, await logged(agent, received));
  assert.ok(proxy.connections >= before + 4, 'it reconnected each time');

  const whole = createAgent({ url: `${proxy.url}/api/agents/quick/agui` });
  await ask(whole).done;
  assert.deepEqual(answers(agent), answers(whole), 'the text equals that of an undisturbed run');
});

test('a command whose reply was lost is sent again and executed once', async () => {
  const agent = createAgent({ url: `${proxy.url}/api/agents/quick/agui`, threadId: 'lost replies' });
  for (let round = 0; round < 12; round += 1) {
    const { received, done } = ask(agent);
    const bytes = proxy.bytes + 150 * round;
    const cut = until('a reply is under way', () => proxy.bytes > bytes || received.length > 0).then(() => proxy.cut());
    await Promise.all([done, cut]);
    assert.deepEqual(received, await logged(agent, received), `round ${round}`);
  }
  assert.equal(answers(agent).length % 12, 0);
});

test('a run whose server was killed ends with an error', async () => {
  const agent = createAgent();
  const { received, done } = ask(agent);
  await until('some events', () => received.length > 20);
  await server.end('SIGKILL');
  await server.start();
  await done;
  assert.deepEqual(received, await logged(agent, received));
  assert.equal(received.at(-1)?.type, EventType.RUN_ERROR);
});

test('after a restore from a backup, the run in the restored log is received', async () => {
  const agent = createAgent();
  const { received, done } = ask(agent);
  await until('some events', () => received.length > 20);
  await server.end('SIGKILL');
  await server.markRestored();
  await server.start();
  await done;
  assert.equal(received.at(-1)?.type, EventType.RUN_ERROR);
  const { threadId, runId } = serverIds(received);
  const { customs: _, ...whole } = await conversationOf(await server.log(threadId, runId));
  assert.deepEqual(conversation(agent), whole);
});

test('the agent reconnects to a server that was restarted', async () => {
  const agent = createAgent();
  const { received, done } = ask(agent);
  await until('some events', () => received.length > 20);
  const [ended] = await Promise.all([done, server.end('SIGTERM').then(() => server.start())]);
  assert.ok(ended);
  assert.deepEqual(received, await logged(agent, received));
});

test('aborting stops the run on the server, and its terminal event is received', async () => {
  const agent = createAgent();
  const { received, done } = ask(agent);
  await until('some events', () => received.length > 20);
  agent.abortRun();
  await done;
  const last = received.at(-1) as RunFinishedEvent;
  assert.deepEqual(last.outcome, { type: 'cancelled' });
  assert.deepEqual(received, await logged(agent, received));
});

test('aborting before anything was sent ends the run without a request', async () => {
  const agent = createAgent();
  proxy.block();
  const { received, done } = ask(agent);
  await until('it runs', () => agent.isRunning);
  await new Promise((resolve) => setTimeout(resolve, 50));
  agent.abortRun();
  await done;
  proxy.restore();
  assert.deepEqual(received.map(({ type }) => type), [EventType.RUN_STARTED, EventType.RUN_FINISHED]);
});

test('a detached run continues, and sending the same message again receives all of it', async () => {
  const agent = createAgent({ threadId: 'detached' });
  const first = ask(agent, 'the question');
  await until('some events', () => first.received.length > 20);
  await agent.detachActiveRun();
  const again = createAgent({ threadId: 'detached' });
  const second = ask(again, 'the question');
  await second.done;
  assert.deepEqual(serverIds(second.received), serverIds(first.received), 'the same run');
  assert.deepEqual(second.received, await logged(again, second.received));
  assert.equal((second.received.at(-1) as RunFinishedEvent).outcome, undefined, 'it was not stopped');
});

test('unsubscribing stops the run', async () => {
  const agent = createAgent();
  const received: BaseEvent[] = [];
  const message = { id: 'unsubscribed', role: 'user' as const, content: 'Go on' };
  const input = { threadId: 'unsubscribing', runId: 'r1', messages: [message], tools: [], context: [], state: {}, forwardedProps: {} };
  const subscription = agent.run(input).subscribe((event) => received.push(event));
  await until('some events', () => received.length > 20);
  subscription.unsubscribe();
  const { threadId, runId } = serverIds(received);
  const log = await server.log(threadId, runId);
  assert.deepEqual((log.at(-1) as RunFinishedEvent).outcome, { type: 'cancelled' });
});

test('clones run at the same time over one socket', async () => {
  const agent = createAgent();
  const before = proxy.connections;
  const runs = [1, 2, 3].map((n) => {
    const clone = agent.clone();
    clone.threadId = `clone ${n}`;
    return { clone, ...ask(clone) };
  });
  await until('they run', () => runs.every(({ received }) => received.length > 5));
  await Promise.all(runs.map(({ done }) => done));
  for (const { clone, received } of runs) assert.deepEqual(received, await logged(clone, received));
  // Discovery, the ticket and the socket.
  assert.ok(proxy.connections - before <= 3, `${proxy.connections - before} connections`);
});

test('a reloaded page gets the conversation and the active run', async () => {
  const threadId = 'reloaded';
  const first = createAgent({ url: `${proxy.url}/api/agents/quick/agui`, threadId });
  await ask(first).done;
  const second = createAgent({ threadId });
  const active = ask(second);
  await until('some events', () => active.received.length > 20);
  const page = createAgent({ threadId });
  const joined = page.connectAgent();
  await until('it follows the run', () => page.messages.length > 2);
  proxy.cut();
  await Promise.all([joined, active.done]);
  const all = conversation(page).messages;
  const [before, now] = [conversation(first).messages, conversation(second).messages];
  assert.deepEqual(all.slice(-now.length), now, 'the active run');
  assert.equal(page.messages.filter(({ role }) => role === 'user').length, 2);
  assert.equal(all.length, before.filter(({ role }) => role !== 'activity').length + now.length);

  const empty = createAgent({ threadId: 'never used' });
  await empty.connectAgent();
  assert.deepEqual(empty.messages, []);
});

test('in a reloaded page the user’s messages have the ids that the page gave them', async () => {
  const threadId = 'reloaded with ids';
  const ids = ['question one', crypto.randomUUID(), 'x'.repeat(256), 'asked over HTTP', '', 'y'.repeat(257)];
  for (const id of ids) {
    const agent = createAgent({ url: `${proxy.url}/api/agents/quick/agui`, threadId });
    await ask(agent, id, id === 'asked over HTTP' ? { forwardedProps: { colour: 'blue' } } : {}).done;
  }
  const page = createAgent({ threadId });
  await page.connectAgent();
  const own = page.messages.flatMap(({ role, id }) => (role === 'user' ? [id] : []));
  assert.deepEqual(own.slice(0, 4), ids.slice(0, 4));
  assert.equal(new Set(own).size, ids.length, 'an id that is too short or too long is replaced by the server’s');
});

test('a client that is far behind gets the rest from a snapshot, with no text lost or repeated', async () => {
  const behind = await Server.start({ NETRA_LOG: 'warn', NETRA_SOCKET__REPLAY_LIMIT: '10' });
  const network = await Proxy.start(behind.port);
  try {
    const agent = createAgent({ url: `${network.url}/api/agents/slow/agui`, token: () => behind.token() });
    const { received, done } = ask(agent);
    for (const events of [20, 40]) {
      await until(`${events} events`, () => received.length > events);
      network.block();
      await new Promise((resolve) => setTimeout(resolve, 700));
      network.restore();
    }
    await done;
    await behind.end('SIGTERM');
    behind.env = { NETRA_LOG: 'warn' };
    await behind.start();
    const { threadId, runId } = serverIds(received);
    const log = await behind.log(threadId, runId);
    assert.ok(received.length < log.length, `from a snapshot, not replayed: ${received.length} of ${log.length} events`);
    const { customs: _, ...whole } = await conversationOf(log);
    assert.deepEqual(conversation(agent), whole);
  } finally {
    network.stop();
    await behind.remove();
  }
});

test('after any number of events, a snapshot completes the same conversation', async () => {
  const { received, done } = ask(createAgent({ url: `${server.url}/api/agents/quick/agui` }));
  await done;
  const { threadId, runId } = serverIds(received);
  const [log, run] = [await server.log(threadId, runId), await server.view(threadId, runId)];
  const whole = await conversationOf(log);
  assert.ok(whole.messages.length > 3, 'there are messages to compare');
  for (let count = 0; count <= log.length; count += 5) {
    const events: BaseEvent[] = [];
    const restated = new RunEvents({ threadId, runId }, { threadId, runId }, new Map(), [], (event) => events.push(event));
    log.slice(0, count).forEach((event) => restated.apply(event));
    restated.restate(run);
    assert.ok(restated.done);
    assert.deepEqual(await conversationOf(events), whole, `after ${count} of ${log.length} events`);
  }
});

test('if an emitted text has changed, all messages are emitted again', async () => {
  const { received, done } = ask(createAgent({ url: `${server.url}/api/agents/quick/agui` }));
  await done;
  const { threadId, runId } = serverIds(received);
  const [log, run] = [await server.log(threadId, runId), await server.view(threadId, runId)];
  const whole = await conversationOf(log);
  for (let count = 10; count <= log.length; count += 25) {
    const events: BaseEvent[] = [];
    const restated = new RunEvents({ threadId, runId }, { threadId, runId }, new Map(), [], (event) => events.push(event));
    const changed = (event: BaseEvent & { delta?: string }) => ({ ...event, ...(event.delta && { delta: `x${event.delta}` }) });
    log.slice(0, count).filter(({ type }) => !type.startsWith('RUN_F')).forEach((event) => restated.apply(changed(event)));
    restated.restate(run);
    assert.deepEqual(sorted(await conversationOf(events)), sorted(whole), `after ${count} of ${log.length} events`);
  }
});

test('a wrong token is an error and is not retried', async () => {
  const agent = createAgent({ token: 'no token' });
  const { done } = ask(agent);
  await assert.rejects(done, (error: NetraError) => error instanceof NetraError && error.code === 'signed_out');
});

test('invalid input is refused with a message that says what to do', async () => {
  const agent = createAgent();
  await assert.rejects(agent.runAgent(), /the last message is neither/);
  agent.addMessage({ id: '1', role: 'user', content: ' ' });
  await assert.rejects(agent.runAgent(), /empty/);
  const image = (source: object) => [{ type: 'text' as const, text: 'Look' }, { type: 'image' as const, source } as ImageInputPart];
  agent.addMessage({ id: '2', role: 'user', content: image({ type: 'url', value: 'https://example.org/a.png' }) });
  await assert.rejects(agent.runAgent(), /without its bytes cannot be sent/);
  const agentless = createAgent({ url: proxy.url });
  agentless.addMessage({ id: '3', role: 'user', content: image({ type: 'data', value: 'aGk=', mimeType: 'image/png' }) });
  await assert.rejects(agentless.runAgent(), /needs an agent/);
  assert.throws(() => new NetraAgent({ url: 'no address' }), /is not a URL/);
});

test('a front end without a state gets the thread’s, and one with another gets the agent’s changes', async () => {
  const agent = createAgent({ url: `${proxy.url}/api/agents/shares/agui`, threadId: 'shares', idleMs: 60_000 });
  for (const state of [{}, {}, { count: 1 }, { count: 5, own: true }, {}]) {
    agent.setState(state);
    const { received, done } = ask(agent);
    await done;
    assert.deepEqual(agent.state, { count: 1 });
    assert.ok(received.every((event) => !JSON.stringify(event).includes('netraGiven')));
  }
  agent.abortRun();
});
