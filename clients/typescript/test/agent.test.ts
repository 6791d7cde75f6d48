/** The agent against a real server, through a network that is cut in the middle of runs. AG-UI's own client applies and verifies. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AbstractAgent, type BaseEvent, EventType, type ImageInputPart, type Message, type RunFinishedEvent } from '@ag-ui/client';
import { from } from 'rxjs';
import { NetraAgent, type NetraAgentConfig, NetraError } from '../src/index.js';
import { messagesBefore, runsOf, stateBefore } from '../src/history.js';
import { RunEvents } from '../src/events.js';
import type { Node, RunView, ThreadView } from '../src/wire.js';
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

function agentOf(config: Partial<NetraAgentConfig> = {}): NetraAgent {
  const random = () => 0.1;
  return new NetraAgent({ url: `${proxy.url}/api/agents/slow/agui`, token: () => server.token(), idleMs: 0, random, ...config });
}

let questions = 0;

/** Asks something, and answers what was heard of it: `heard` grows as it comes. */
function ask(agent: NetraAgent, id = `question-${++questions}`, more: { forwardedProps?: object } = {}) {
  const heard: BaseEvent[] = [];
  agent.addMessage({ id, role: 'user', content: 'Where do my tokens go?' });
  const done = agent.runAgent(more, { onEvent: ({ event }) => void heard.push(event) });
  return { heard, done };
}

/** What the server's log has, as a caller of AG-UI is told it. */
async function logged(agent: NetraAgent, heard: BaseEvent[]): Promise<BaseEvent[]> {
  const { threadId, runId } = netra(heard);
  const { runId: known } = heard[0] as { runId?: string };
  const log = await server.log(threadId, runId);
  return log.map((event) => {
    if (event.type !== EventType.RUN_STARTED && event.type !== EventType.RUN_FINISHED) return event;
    return { ...event, threadId: agent.threadId, runId: known, metadata: { ...event.metadata, netra: { threadId, runId } } };
  }) as BaseEvent[];
}

/** What a front end holds after events, by AG-UI's own client: it verifies them, too. */
async function conversationOf(events: BaseEvent[]) {
  class Told extends AbstractAgent {
    override run = () => from(events);
  }
  const agent = new Told();
  const customs: unknown[] = [];
  await agent.runAgent({}, { onCustomEvent: ({ event }) => void customs.push(event.name, event.value) });
  return { ...conversation(agent), customs };
}

/** By id: what is told whole stands in the order of a snapshot. */
function sorted({ messages, ...rest }: Awaited<ReturnType<typeof conversationOf>>) {
  const key = (message: Message) => `${message.role} ${message.id} ${message.role === 'tool' ? message.toolCallId : ''}`;
  return { ...rest, messages: messages.toSorted((a, b) => (key(a) < key(b) ? -1 : 1)) };
}

/** Messages and state. A restated result has an id of its own. */
function conversation({ messages, state }: AbstractAgent) {
  const said = messages.filter(({ role }) => role !== 'user');
  return { messages: said.map((message) => (message.role === 'tool' ? { ...message, id: '' } : message)), state };
}

const netra = (heard: BaseEvent[]) => heard[0]?.metadata?.['netra'] as { threadId: string; runId: string };
const answers = (agent: NetraAgent) => agent.messages.filter(({ role }) => role === 'assistant').map(({ content }) => content);

test('a run is the log, event by event, and the verifier has nothing against it', async () => {
  const agent = agentOf({ url: `${proxy.url}/api/agents/quick/agui` });
  const { heard, done } = ask(agent);
  await done;
  assert.deepEqual(heard, await logged(agent, heard));
  assert.equal(heard.at(-1)?.type, EventType.RUN_FINISHED);
  assert.ok(heard.length > 50, `${heard.length} events`);
});

test('a run that is cut again and again is told once and in order', async () => {
  const agent = agentOf();
  const before = proxy.connections;
  const { heard, done } = ask(agent);
  for (const events of [1, 20, 60, 120]) {
    await until(`${events} events`, () => heard.length >= events);
    proxy.cut();
  }
  await done;
  assert.deepEqual(heard, await logged(agent, heard));
  assert.ok(proxy.connections >= before + 4, 'it came back each time');

  const whole = agentOf({ url: `${proxy.url}/api/agents/quick/agui` });
  await ask(whole).done;
  assert.deepEqual(answers(agent), answers(whole), 'the text is the one of a run that nobody cut');
});

test('a command whose answer was lost is sent again and done once', async () => {
  const agent = agentOf({ url: `${proxy.url}/api/agents/quick/agui`, threadId: 'commands that are lost' });
  for (let round = 0; round < 12; round += 1) {
    const { heard, done } = ask(agent);
    const bytes = proxy.bytes + 150 * round;
    const cut = until('an answer on its way', () => proxy.bytes > bytes || heard.length > 0).then(() => proxy.cut());
    await Promise.all([done, cut]);
    assert.deepEqual(heard, await logged(agent, heard), `round ${round}`);
  }
  assert.equal(answers(agent).length % 12, 0);
});

test('a server that is killed in the middle of a run ends it, and the agent hears so', async () => {
  const agent = agentOf();
  const { heard, done } = ask(agent);
  await until('some events', () => heard.length > 20);
  await server.end('SIGKILL');
  await server.start();
  await done;
  assert.deepEqual(heard, await logged(agent, heard));
  assert.equal(heard.at(-1)?.type, EventType.RUN_ERROR);
});

test('where the log was replaced by a copy, what it says of the run is told', async () => {
  const agent = agentOf();
  const { heard, done } = ask(agent);
  await until('some events', () => heard.length > 20);
  await server.end('SIGKILL');
  await server.restored();
  await server.start();
  await done;
  assert.equal(heard.at(-1)?.type, EventType.RUN_ERROR);
  const { threadId, runId } = netra(heard);
  const { customs: _, ...whole } = await conversationOf(await server.log(threadId, runId));
  assert.deepEqual(conversation(agent), whole);
});

test('a server that restarts in order is come back to', async () => {
  const agent = agentOf();
  const { heard, done } = ask(agent);
  await until('some events', () => heard.length > 20);
  const [ended] = await Promise.all([done, server.end('SIGTERM').then(() => server.start())]);
  assert.ok(ended);
  assert.deepEqual(heard, await logged(agent, heard));
});

test('aborting stops the run at the server, and its end is told', async () => {
  const agent = agentOf();
  const { heard, done } = ask(agent);
  await until('some events', () => heard.length > 20);
  agent.abortRun();
  await done;
  const last = heard.at(-1) as RunFinishedEvent;
  assert.deepEqual(last.outcome, { type: 'cancelled' });
  assert.deepEqual(heard, await logged(agent, heard));
});

test('aborting before anything was sent ends the run without asking', async () => {
  const agent = agentOf();
  proxy.takeAway();
  const { heard, done } = ask(agent);
  await until('it runs', () => agent.isRunning);
  await new Promise((next) => setTimeout(next, 50));
  agent.abortRun();
  await done;
  proxy.mend();
  assert.deepEqual(heard.map(({ type }) => type), [EventType.RUN_STARTED, EventType.RUN_FINISHED]);
});

test('detaching lets the run go on, and asking the same again hears all of it', async () => {
  const agent = agentOf({ threadId: 'left and found again' });
  const first = ask(agent, 'the question');
  await until('some events', () => first.heard.length > 20);
  await agent.detachActiveRun();
  const again = agentOf({ threadId: 'left and found again' });
  const second = ask(again, 'the question');
  await second.done;
  assert.deepEqual(netra(second.heard), netra(first.heard), 'the same run');
  assert.deepEqual(second.heard, await logged(again, second.heard));
  assert.equal((second.heard.at(-1) as RunFinishedEvent).outcome, undefined, 'nobody stopped it');
});

test('unsubscribing stops the run', async () => {
  const agent = agentOf();
  const heard: BaseEvent[] = [];
  const message = { id: 'unsubscribed', role: 'user' as const, content: 'Go on' };
  const input = { threadId: 'unsubscribing', runId: 'r1', messages: [message], tools: [], context: [], state: {}, forwardedProps: {} };
  const subscription = agent.run(input).subscribe((event) => heard.push(event));
  await until('some events', () => heard.length > 20);
  subscription.unsubscribe();
  const { threadId, runId } = netra(heard);
  const log = await server.log(threadId, runId);
  assert.deepEqual((log.at(-1) as RunFinishedEvent).outcome, { type: 'cancelled' });
});

test('clones run at the same time over one socket', async () => {
  const agent = agentOf();
  const before = proxy.connections;
  const runs = [1, 2, 3].map((n) => {
    const clone = agent.clone();
    clone.threadId = `clone ${n}`;
    return { clone, ...ask(clone) };
  });
  await until('they run', () => runs.every(({ heard }) => heard.length > 5));
  await Promise.all(runs.map(({ done }) => done));
  for (const { clone, heard } of runs) assert.deepEqual(heard, await logged(clone, heard));
  // Discovery, the ticket and the socket.
  assert.ok(proxy.connections - before <= 3, `${proxy.connections - before} connections`);
});

test('a page that was loaded anew finds the conversation, and the run that goes on', async () => {
  const threadId = 'loaded anew';
  const first = agentOf({ url: `${proxy.url}/api/agents/quick/agui`, threadId });
  await ask(first).done;
  const second = agentOf({ threadId });
  const going = ask(second);
  await until('some events', () => going.heard.length > 20);
  const page = agentOf({ threadId });
  const joined = page.connectAgent();
  await until('it follows', () => page.messages.length > 2);
  proxy.cut();
  await Promise.all([joined, going.done]);
  const said = conversation(page).messages;
  const [before, now] = [conversation(first).messages, conversation(second).messages];
  assert.deepEqual(said.slice(-now.length), now, 'the run that went on');
  assert.equal(page.messages.filter(({ role }) => role === 'user').length, 2);
  assert.equal(said.length, before.filter(({ role }) => role !== 'activity').length + now.length);

  const nobody = agentOf({ threadId: 'never said' });
  await nobody.connectAgent();
  assert.deepEqual(nobody.messages, []);
});

test('a page that was loaded anew has a person’s messages under the ids that it gave them', async () => {
  const threadId = 'loaded anew, by its own ids';
  const ids = ['question one', crypto.randomUUID(), 'x'.repeat(256), 'asked over HTTP', '', 'y'.repeat(257)];
  for (const id of ids) {
    const agent = agentOf({ url: `${proxy.url}/api/agents/quick/agui`, threadId });
    await ask(agent, id, id === 'asked over HTTP' ? { forwardedProps: { colour: 'blue' } } : {}).done;
  }
  const page = agentOf({ threadId });
  await page.connectAgent();
  const own = page.messages.flatMap(({ role, id }) => (role === 'user' ? [id] : []));
  assert.deepEqual(own.slice(0, 4), ids.slice(0, 4));
  assert.equal(new Set(own).size, ids.length, 'an id that is too short or too long is replaced by the server’s');
});

test('a call that is announced again is told once, wherever it is joined', async () => {
  const call = (args: string, state: 'open' | 'called') =>
    ({ id: 'c', state, body: { is: 'tool', name: 'send_mail', args } }) as const;
  const run = (run_id: string, nodes: Node[]): RunView => ({ run_id, message_id: 'm', state: { is: 'running' }, nodes });
  const interrupted = { ...run('one', [call('{"to":', 'open')]), state: { is: 'interrupted' as const, interrupts: [] } };
  const resumed = run('two', []);
  const message = { id: 'm', run_id: 'one', content: 'Send it' };
  const turns = [{ said: { message }, runs: [interrupted, resumed] }];
  assert.deepEqual(messagesBefore(turns).map(({ id }) => id), ['m'], 'a call whose arguments still come is told with the run that announces it again');
  const events: BaseEvent[] = [];
  const ids = { threadId: 't', runId: 'two' };
  const told = new RunEvents(ids, ids, new Map(), messagesBefore(turns), (event) => events.push(event));
  told.restate(resumed, [{ ...interrupted, nodes: [call('{"to":"of old"}', 'called')] }, interrupted]);
  told.apply({ type: EventType.TOOL_CALL_ARGS, toolCallId: 'c', delta: '"bob"}' } as BaseEvent);
  told.apply({ type: EventType.TOOL_CALL_END, toolCallId: 'c' } as BaseEvent);
  told.apply({ type: EventType.RUN_FINISHED, ...ids } as BaseEvent);
  const { messages } = await conversationOf(events);
  const calls = messages.flatMap((said) => (said.role === 'assistant' ? (said.toolCalls ?? []) : []));
  assert.deepEqual(calls.map((one) => one.function.arguments), ['{"to":"bob"}']);
});

test('what an agent said to a cancellation stands before the message that its run answers', () => {
  const text = (id: string): Node => ({ id, state: 'done', body: { is: 'text', role: 'assistant', text: id } });
  const run = (run_id: string, nodes: Node[], nodes_before_message?: number): RunView =>
    ({ run_id, state: { is: 'finished' }, nodes, ...(nodes_before_message !== undefined && { nodes_before_message }) });
  const said = (id: string) => ({ message: { id, run_id: id, content: id } });
  const turns = [
    { said: said('send'), runs: [run('1', [text('may I?')])] },
    { said: said('no, wait'), runs: [run('2', [text('cancelled'), text('I wait')], 1)] },
    { said: said('now'), runs: [run('3', [])] },
  ];
  assert.deepEqual(messagesBefore(turns).map(({ id }) => id), ['send', 'may I?', 'cancelled', 'no, wait', 'I wait', 'now']);
});

test('far behind, the rest is restated: no text is lost, none doubled', async () => {
  const behind = await Server.start({ NETRA_LOG: 'warn', NETRA_SOCKET__REPLAY_LIMIT: '10' });
  const network = await Proxy.start(behind.port);
  try {
    const agent = agentOf({ url: `${network.url}/api/agents/slow/agui`, token: () => behind.token() });
    const { heard, done } = ask(agent);
    for (const events of [20, 40]) {
      await until(`${events} events`, () => heard.length > events);
      network.takeAway();
      await new Promise((next) => setTimeout(next, 700));
      network.mend();
    }
    await done;
    await behind.end('SIGTERM');
    behind.env = { NETRA_LOG: 'warn' };
    await behind.start();
    const { threadId, runId } = netra(heard);
    const log = await behind.log(threadId, runId);
    assert.ok(heard.length < log.length, `restated, not replayed: ${heard.length} of ${log.length} events`);
    const { customs: _, ...whole } = await conversationOf(log);
    assert.deepEqual(conversation(agent), whole);
  } finally {
    network.stop();
    await behind.remove();
  }
});

test('whatever was told before, the rest restated from a snapshot makes the same conversation', async () => {
  const { heard, done } = ask(agentOf({ url: `${server.url}/api/agents/quick/agui` }));
  await done;
  const { threadId, runId } = netra(heard);
  const [log, run] = [await server.log(threadId, runId), await server.view(threadId, runId)];
  const whole = await conversationOf(log);
  assert.ok(whole.messages.length > 3, 'there is something to compare');
  for (let told = 0; told <= log.length; told += 5) {
    const events: BaseEvent[] = [];
    const restated = new RunEvents({ threadId, runId }, { threadId, runId }, new Map(), [], (event) => events.push(event));
    log.slice(0, told).forEach((event) => restated.apply(event));
    restated.restate(run);
    assert.ok(restated.done);
    assert.deepEqual(await conversationOf(events), whole, `after ${told} of ${log.length} events`);
  }
});

test('where what was told says something else now, the messages are told whole', async () => {
  const { heard, done } = ask(agentOf({ url: `${server.url}/api/agents/quick/agui` }));
  await done;
  const { threadId, runId } = netra(heard);
  const [log, run] = [await server.log(threadId, runId), await server.view(threadId, runId)];
  const whole = await conversationOf(log);
  for (let told = 10; told <= log.length; told += 25) {
    const events: BaseEvent[] = [];
    const restated = new RunEvents({ threadId, runId }, { threadId, runId }, new Map(), [], (event) => events.push(event));
    const otherwise = (event: BaseEvent & { delta?: string }) => ({ ...event, ...(event.delta && { delta: `x${event.delta}` }) });
    log.slice(0, told).filter(({ type }) => !type.startsWith('RUN_F')).forEach((event) => restated.apply(otherwise(event)));
    restated.restate(run);
    assert.deepEqual(sorted(await conversationOf(events)), sorted(whole), `after ${told} of ${log.length} events`);
  }
});

test('a wrong token is said, and is not tried for ever', async () => {
  const agent = agentOf({ token: 'no token' });
  const { done } = ask(agent);
  await assert.rejects(done, (error: NetraError) => error instanceof NetraError && error.code === 'signed_out');
});

test('what cannot be asked is refused with what to do', async () => {
  const agent = agentOf();
  await assert.rejects(agent.runAgent(), /the last message is neither/);
  agent.addMessage({ id: '1', role: 'user', content: ' ' });
  await assert.rejects(agent.runAgent(), /empty/);
  const image = (source: object) => [{ type: 'text' as const, text: 'Look' }, { type: 'image' as const, source } as ImageInputPart];
  agent.addMessage({ id: '2', role: 'user', content: image({ type: 'url', value: 'https://example.org/a.png' }) });
  await assert.rejects(agent.runAgent(), /without its bytes cannot be sent/);
  const nameless = agentOf({ url: proxy.url });
  nameless.addMessage({ id: '3', role: 'user', content: image({ type: 'data', value: 'aGk=', mimeType: 'image/png' }) });
  await assert.rejects(nameless.runAgent(), /names its agent/);
  assert.throws(() => new NetraAgent({ url: 'no address' }), /no address/);
});

test('a front end without a state has the thread’s, and one with another is told what is made of that', async () => {
  const agent = agentOf({ url: `${proxy.url}/api/agents/shares/agui`, threadId: 'shares', idleMs: 60_000 });
  for (const state of [{}, {}, { count: 1 }, { count: 5, own: true }, {}]) {
    agent.setState(state);
    const { heard, done } = ask(agent);
    await done;
    assert.deepEqual(agent.state, { count: 1 });
    assert.ok(heard.every((event) => !JSON.stringify(event).includes('netraGiven')));
  }
  agent.abortRun();
});

test('what an agent restates has the caller’s own ids, wherever they stand', () => {
  const events: BaseEvent[] = [];
  const ids = { threadId: 't', runId: 'r' };
  const run = new RunEvents(ids, ids, new Map([['ours', 'theirs']]), [], (event) => events.push(event));
  const messages = [{ id: 'ours', role: 'user', content: 'ours, in a text' }];
  run.apply({ type: EventType.MESSAGES_SNAPSHOT, messages } as BaseEvent);
  run.apply({ type: EventType.STATE_SNAPSHOT, snapshot: { messages, last: 'ours' } } as BaseEvent);
  const named = [{ id: 'theirs', role: 'user', content: 'ours, in a text' }];
  assert.deepEqual(events, [
    { type: EventType.MESSAGES_SNAPSHOT, messages: named },
    { type: EventType.STATE_SNAPSHOT, snapshot: { messages: named, last: 'theirs' } },
  ]);
});

test('what the log has as changes alone is told whole', () => {
  const events: BaseEvent[] = [];
  const ids = { threadId: 't', runId: 'r' };
  const before: Message[] = [
    { id: 'u1', role: 'user', content: 'One' },
    { id: 'a1', role: 'assistant', content: 'Well.' },
    { id: 'u2', role: 'user', content: 'Two' },
  ];
  const node = (shared: object) => ({ state: { is: 'finished' as const }, nodes: [], ...shared });
  const changes = (value: number) => [[{ op: 'replace', path: '/n', value }]];
  const said = (id: string, follows?: string) => ({ message: { id, content: '?', run_id: `of-${id}` }, ...(follows && { follows }) });
  const view = {
    items: [
      { kind: 'message', value: said('ours-1') },
      { kind: 'run', value: { run_id: 'of-ours-1', message_id: 'ours-1', ...node({ shared: { n: 1, text: 'large' } }) } },
      { kind: 'message', value: said('other', 'ours-1') },
      { kind: 'run', value: { run_id: 'of-other', message_id: 'other', ...node({ shared_changes: changes(5) }) } },
      { kind: 'message', value: said('ours-2', 'ours-1') },
      { kind: 'run', value: { run_id: 'of-ours-2', message_id: 'ours-2', ...node({ shared_changes: [...changes(2), ...changes(3)] }) } },
    ],
  } as ThreadView;
  const state = stateBefore(view, 'of-ours-2');
  const run = new RunEvents(ids, ids, new Map([['ours-2', 'u2']]), before, (event) => events.push(event), state);
  run.apply({ type: EventType.RUN_STARTED, ...ids } as BaseEvent);
  run.apply({ type: EventType.STATE_DELTA, delta: changes(2)[0] } as BaseEvent);
  const turn = [{ id: 'ours-2', role: 'user', content: 'Two' }, { id: 'a2', role: 'assistant', content: 'Good.' }];
  run.apply({ type: EventType.MESSAGES_SNAPSHOT, messages: turn, metadata: { netraSinceQuestion: true } } as BaseEvent);
  run.restate(runsOf(view).at(-1)!);
  const told = events.slice(1).filter(({ type }) => type !== EventType.RUN_FINISHED);
  assert.deepEqual(told, [
    { type: EventType.STATE_SNAPSHOT, snapshot: { n: 1, text: 'large' } },
    { type: EventType.STATE_DELTA, delta: changes(2)[0] },
    { type: EventType.MESSAGES_SNAPSHOT, messages: [...before, turn[1]] },
    { type: EventType.STATE_DELTA, delta: changes(3)[0] },
  ]);
  const after = stateBefore(view, 'the next').map((event) => (event as BaseEvent & { delta?: object[] }).delta);
  assert.deepEqual(after, [undefined, changes(2)[0], changes(3)[0]], 'a run of another branch changes nothing');
});

test('what the log has in pieces is told whole', () => {
  const events: BaseEvent[] = [];
  const ids = { threadId: 't', runId: 'r' };
  const run = new RunEvents(ids, ids, new Map(), [], (event) => events.push(event));
  const result = { type: EventType.TOOL_CALL_RESULT, toolCallId: 'c', messageId: 'm' };
  const set = (value: string, mark: object) => ({ type: EventType.STATE_DELTA, delta: [{ op: 'replace', path: '/a', value, ...mark }] });
  const log = [
    { ...result, content: 'ab', metadata: { netraBegins: true, error: 'no' } },
    { ...result, content: 'cd', metadata: { netraContinues: 'more' } },
    { ...result, content: 'ef', metadata: { netraContinues: 'last' } },
    set('ab', { netraBegins: true }),
    set('cd', { netraContinues: 'more' }),
    set('ef', { netraContinues: 'last' }),
    set('gh', {}),
    { type: EventType.MESSAGES_SNAPSHOT, messages: [{ id: 'n', role: 'tool', toolCallId: 'c', content: '', netraKnown: true }] },
  ];
  log.forEach((event) => run.apply(event as BaseEvent));
  const restated = { type: EventType.MESSAGES_SNAPSHOT, messages: [{ id: 'n', role: 'tool', toolCallId: 'c', content: 'abcdef' }] };
  assert.deepEqual(events, [{ ...result, content: 'abcdef', metadata: { error: 'no' } }, set('ab', {}), set('abcdef', {}), set('gh', {}), restated]);
});

test('a result that was cut between its pieces is told once, and whole', () => {
  const events: BaseEvent[] = [];
  const ids = { threadId: 't', runId: 'r' };
  const run = new RunEvents(ids, ids, new Map(), [], (event) => events.push(event));
  const about = { type: EventType.TOOL_CALL_RESULT, toolCallId: 'c', messageId: 'm' };
  const log = [
    { type: EventType.RUN_STARTED, ...ids },
    { type: EventType.TOOL_CALL_START, toolCallId: 'c', toolCallName: 'read' },
    { type: EventType.TOOL_CALL_END, toolCallId: 'c' },
    { ...about, content: 'ab', metadata: { netraBegins: true } },
  ];
  log.forEach((event) => run.apply(event as BaseEvent));
  const body = { is: 'tool', name: 'read', args: '', result: 'abcd', result_id: 'm' } as const;
  const view: RunView = { run_id: 'r', state: { is: 'running' }, nodes: [{ id: 'c', state: 'done', body }] };
  run.restate(view);
  run.restate(view);
  assert.deepEqual(events.slice(3), [{ ...about, content: 'abcd', role: 'tool' }]);
});
