/** Tests the events of a run and the messages before it, without a server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BaseEvent, EventType, type Message } from '@ag-ui/client';
import { RunEvents } from '../src/events.js';
import { messagesBefore, runsOf, stateBefore } from '../src/history.js';
import type { Node, RunView, ThreadView } from '../src/wire.js';
import { conversationOf } from './conversation.js';

test('a call that is announced again is emitted once', async () => {
  const call = (args: string, state: 'open' | 'called') =>
    ({ id: 'c', state, body: { is: 'tool', name: 'send_mail', args } }) as const;
  const run = (run_id: string, nodes: Node[]): RunView => ({ run_id, message_id: 'm', state: { is: 'running' }, nodes });
  const interrupted = { ...run('one', [call('{"to":', 'open')]), state: { is: 'interrupted' as const, interrupts: [] } };
  const resumed = run('two', []);
  const message = { id: 'm', run_id: 'one', content: 'Send it' };
  const turns = [{ item: { message }, runs: [interrupted, resumed] }];
  assert.deepEqual(messagesBefore(turns).map(({ id }) => id), ['m'], 'a call with incomplete arguments belongs to the run that announces it again');
  const events: BaseEvent[] = [];
  const ids = { threadId: 't', runId: 'two' };
  const run2 = new RunEvents(ids, ids, new Map(), messagesBefore(turns), (event) => events.push(event));
  run2.restate(resumed, [{ ...interrupted, nodes: [call('{"to":"of old"}', 'called')] }, interrupted]);
  run2.apply({ type: EventType.TOOL_CALL_ARGS, toolCallId: 'c', delta: '"bob"}' } as BaseEvent);
  run2.apply({ type: EventType.TOOL_CALL_END, toolCallId: 'c' } as BaseEvent);
  run2.apply({ type: EventType.RUN_FINISHED, ...ids } as BaseEvent);
  const { messages } = await conversationOf(events);
  const calls = messages.flatMap((message) => (message.role === 'assistant' ? (message.toolCalls ?? []) : []));
  assert.deepEqual(calls.map((one) => one.function.arguments), ['{"to":"bob"}']);
});

test('what an agent says about a cancelled interrupt comes before the message that its run answers', () => {
  const text = (id: string): Node => ({ id, state: 'done', body: { is: 'text', role: 'assistant', text: id } });
  const run = (run_id: string, nodes: Node[], nodes_before_message?: number): RunView =>
    ({ run_id, state: { is: 'finished' }, nodes, ...(nodes_before_message !== undefined && { nodes_before_message }) });
  const item = (id: string) => ({ message: { id, run_id: id, content: id } });
  const turns = [
    { item: item('send'), runs: [run('1', [text('may I?')])] },
    { item: item('no, wait'), runs: [run('2', [text('cancelled'), text('I wait')], 1)] },
    { item: item('now'), runs: [run('3', [])] },
  ];
  assert.deepEqual(messagesBefore(turns).map(({ id }) => id), ['send', 'may I?', 'cancelled', 'no, wait', 'I wait', 'now']);
});

test('restated messages and states have the caller’s ids, at any depth', () => {
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

test('states and messages that the log stores as changes are emitted completely', () => {
  const events: BaseEvent[] = [];
  const ids = { threadId: 't', runId: 'r' };
  const before: Message[] = [
    { id: 'u1', role: 'user', content: 'One' },
    { id: 'a1', role: 'assistant', content: 'Well.' },
    { id: 'u2', role: 'user', content: 'Two' },
  ];
  const finished = (shared: object) => ({ state: { is: 'finished' as const }, nodes: [], ...shared });
  const changes = (value: number) => [[{ op: 'replace', path: '/n', value }]];
  const item = (id: string, follows?: string) => ({ message: { id, content: '?', run_id: `of-${id}` }, ...(follows && { follows }) });
  const view = {
    items: [
      { kind: 'message', value: item('ours-1') },
      { kind: 'run', value: { run_id: 'of-ours-1', message_id: 'ours-1', ...finished({ shared: { n: 1, text: 'large' } }) } },
      { kind: 'message', value: item('other', 'ours-1') },
      { kind: 'run', value: { run_id: 'of-other', message_id: 'other', ...finished({ shared_changes: changes(5) }) } },
      { kind: 'message', value: item('ours-2', 'ours-1') },
      { kind: 'run', value: { run_id: 'of-ours-2', message_id: 'ours-2', ...finished({ shared_changes: [...changes(2), ...changes(3)] }) } },
    ],
  } as ThreadView;
  const state = stateBefore(view, 'of-ours-2');
  const run = new RunEvents(ids, ids, new Map([['ours-2', 'u2']]), before, (event) => events.push(event), state);
  run.apply({ type: EventType.RUN_STARTED, ...ids } as BaseEvent);
  run.apply({ type: EventType.STATE_DELTA, delta: changes(2)[0] } as BaseEvent);
  const turn = [{ id: 'ours-2', role: 'user', content: 'Two' }, { id: 'a2', role: 'assistant', content: 'Good.' }];
  run.apply({ type: EventType.MESSAGES_SNAPSHOT, messages: turn, metadata: { netraSinceQuestion: true } } as BaseEvent);
  run.restate(runsOf(view).at(-1)!);
  const rest = events.slice(1).filter(({ type }) => type !== EventType.RUN_FINISHED);
  assert.deepEqual(rest, [
    { type: EventType.STATE_SNAPSHOT, snapshot: { n: 1, text: 'large' } },
    { type: EventType.STATE_DELTA, delta: changes(2)[0] },
    { type: EventType.MESSAGES_SNAPSHOT, messages: [...before, turn[1]] },
    { type: EventType.STATE_DELTA, delta: changes(3)[0] },
  ]);
  const after = stateBefore(view, 'the next').map((event) => (event as BaseEvent & { delta?: object[] }).delta);
  assert.deepEqual(after, [undefined, changes(2)[0], changes(3)[0]], 'a run of another branch changes nothing');
});

test('texts that the log stores in pieces are joined', () => {
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

test('a result that a reconnect interrupted between its pieces is emitted once, joined', () => {
  const events: BaseEvent[] = [];
  const ids = { threadId: 't', runId: 'r' };
  const run = new RunEvents(ids, ids, new Map(), [], (event) => events.push(event));
  const result = { type: EventType.TOOL_CALL_RESULT, toolCallId: 'c', messageId: 'm' };
  const log = [
    { type: EventType.RUN_STARTED, ...ids },
    { type: EventType.TOOL_CALL_START, toolCallId: 'c', toolCallName: 'read' },
    { type: EventType.TOOL_CALL_END, toolCallId: 'c' },
    { ...result, content: 'ab', metadata: { netraBegins: true } },
  ];
  log.forEach((event) => run.apply(event as BaseEvent));
  const body = { is: 'tool', name: 'read', args: '', result: 'abcd', result_id: 'm' } as const;
  const view: RunView = { run_id: 'r', state: { is: 'running' }, nodes: [{ id: 'c', state: 'done', body }] };
  run.restate(view);
  run.restate(view);
  assert.deepEqual(events.slice(3), [{ ...result, content: 'abcd', role: 'tool' }]);
});
