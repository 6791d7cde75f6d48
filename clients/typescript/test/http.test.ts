/** Tests `POST /api/agents/<id>/agui` with AG-UI's own `HttpAgent` and its verifier, and that the socket gives the same runs. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { type AbstractAgent, type BaseEvent, EventType, HttpAgent, type RunFinishedEvent, type ToolCallResultEvent } from '@ag-ui/client';
import { NetraAgent, newId } from '../src/index.js';
import { Model } from './model.js';
import { Remote } from './remote.js';
import { Server, sample, until } from './server.js';

let server: Server;
let model: Model;
let remote: Remote;
let config: { headers: Record<string, string> };

before(async () => {
  [model, remote] = await Promise.all([Model.start(), Remote.start()]);
  const modelAgent = `[[agents]]\nid = "model"\nname = "Model"\nkind = "model"\nmodel = "scripted"\nbase_url = "${model.url}"\ntitles = false\ntools = ["data"]\n`;
  const toolSource = '[[tools]]\nid = "data"\nkind = "builtin"\nconsent = { default = "automatic", describe_log = "ask" }\n';
  const remoteAgent = `[[agents]]\nid = "remote"\nname = "Remote"\nkind = "ag-ui"\nurl = "${remote.url}"\nallow_private_network = true\n`;
  server = await Server.start({ NETRA_LOG: 'warn' }, modelAgent + remoteAgent + toolSource);
  config = { headers: { Authorization: `Bearer ${await server.token()}` } };
});

after(async () => {
  model.stop();
  remote.stop();
  await server.remove();
});

const url = (agent: string) => `${server.url}/api/agents/${agent}/agui`;

/** Runs the agent with a question, and returns the events. */
async function ask(agent: AbstractAgent, content: string, id = newId()): Promise<BaseEvent[]> {
  const received: BaseEvent[] = [];
  agent.addMessage({ id, role: 'user', content });
  await agent.runAgent({ runId: 'run of the caller' }, { onEvent: ({ event }) => void received.push(event) });
  return received;
}

const serverIds = (received: BaseEvent[]) => received[0]?.metadata?.['netra'] as { threadId: string; runId: string };

async function assertLogged(received: BaseEvent[], threadId: string): Promise<void> {
  const own = serverIds(received);
  const log = await server.log(own.threadId, own.runId);
  const expected = log.map((event) => {
    const hasIds = event.type === EventType.RUN_STARTED || event.type === EventType.RUN_FINISHED;
    // The caller has no id of the previous run.
    const { parentRunId, ...rest } = event as BaseEvent & { parentRunId?: string };
    const ids = { threadId: own.threadId, runId: own.runId, ...(parentRunId !== undefined && { parentRunId }) };
    return hasIds ? { ...rest, threadId, runId: 'run of the caller', metadata: { ...event.metadata, netra: ids } } : event;
  });
  // The caller does not get the state that it gave.
  assert.deepEqual(received, expected.filter((event) => !JSON.stringify(event).includes('netraGiven')));
}

test('the official client and its verifier accept a recorded run, whose events equal the log', async () => {
  const agent = new HttpAgent({ url: url('quick'), threadId: 'any thread', ...config });
  const received = await ask(agent, 'Where do my tokens go?');
  await assertLogged(received, 'any thread');
  assert.ok(agent.messages.length > 3);
});

test('the verifier accepts the built-in analyst, without a file and with one', async () => {
  const threadId = newId();
  const agent = new HttpAgent({ url: url('analyst'), threadId, ...config });
  await assertLogged(await ask(agent, 'Where do my tokens go?'), threadId);
  await server.upload(threadId, 'log.csv', await readFile(sample));
  const received = await ask(agent, 'Cut cost, compare gpt-4.1 with gpt-4.1-mini, make it faster, forecast next month');
  await assertLogged(received, threadId);
  const tools = received.filter(({ type }) => type === EventType.TOOL_CALL_RESULT);
  assert.ok(tools.length >= 5, `${tools.length} tools answered`);
});

test('the same question over HTTP and the socket is one run', async () => {
  const [threadId, id] = ['http and socket', 'the question'];
  const http = await ask(new HttpAgent({ url: url('quick'), threadId, ...config }), 'Hello', id);
  const socket = await ask(new NetraAgent({ url: url('quick'), threadId, idleMs: 0, ...config }), 'Hello', id);
  assert.deepEqual(serverIds(socket), serverIds(http));
  assert.deepEqual(socket, http);
});

test('a run with more input than a message is started over HTTP and followed on the socket', async () => {
  const requests: string[] = [];
  const recordingFetch = (url: string, init: RequestInit) => (requests.push(`${init.method} ${new URL(url).pathname}`), fetch(url, init));
  const agent = new NetraAgent({ url: url('quick'), threadId: 'more', initialState: { known: 1 }, idleMs: 0, fetch: recordingFetch, ...config });
  const received = await ask(agent, 'Hello');
  await assertLogged(received, 'more');
  assert.deepEqual(requests, ['GET /api/config', 'POST /api/auth/ticket', 'POST /api/agents/quick/agui']);
});

for (const [name, AgentClass] of [['HttpAgent', HttpAgent], ['NetraAgent', NetraAgent]] as const) {
  test(`an interrupt is answered by ${name}, and the agent continues`, async () => {
    const agent = new AgentClass({ url: url('asks'), threadId: `asks by ${name}`, ...config, ...(AgentClass === NetraAgent && { idleMs: 0 }) });
    const asked = await ask(agent, 'May I?');
    assert.deepEqual(agent.pendingInterrupts.map(({ id }) => id), ['may I']);
    const received: BaseEvent[] = [];
    const resume = [{ interruptId: 'may I', status: 'resolved' as const, payload: { approved: true } }];
    await agent.runAgent({ runId: 'run of the caller', resume }, { onEvent: ({ event }) => void received.push(event) });
    assert.notEqual(serverIds(received).runId, serverIds(asked).runId);
    assert.equal(serverIds(received).threadId, serverIds(asked).threadId);
    await assertLogged(received, agent.threadId);
    const unknown = [{ interruptId: 'unknown', status: 'cancelled' as const }];
    agent.pendingInterrupts = [];
    await assert.rejects(agent.runAgent({ resume: unknown }), /waits for an answer/);
  });

  test(`files in a message of ${name} are stored with the message`, async () => {
    const agent = new AgentClass({ url: url('quick'), threadId: `files by ${name}`, ...config, ...(AgentClass === NetraAgent && { idleMs: 0 }) });
    const source = { type: 'data' as const, value: Buffer.from('bytes').toString('base64'), mimeType: 'image/png' };
    const image = { type: 'image' as const, source, metadata: { filename: 'photo.png' } };
    const received: BaseEvent[] = [];
    const content = [{ type: 'text' as const, text: 'What is this?' }, image, { ...image, metadata: undefined }];
    agent.addMessage({ id: newId(), role: 'user', content });
    await agent.runAgent({ runId: 'run of the caller' }, { onEvent: ({ event }) => void received.push(event) });
    await assertLogged(received, agent.threadId);
    const bytes = Buffer.from('bytes');
    assert.deepEqual(await server.files(serverIds(received).threadId), [['photo.png', bytes], ['file-3.png', bytes]]);
    const link = { type: 'url' as const, value: 'http://127.0.0.1/photo.png' };
    agent.addMessage({ id: newId(), role: 'user', content: [{ type: 'text', text: 'And this?' }, { type: 'image', source: link }] });
    await assert.rejects(agent.runAgent(), /`data`, or upload/);
  });

  test(`a model with a tool that needs consent and a tool of ${name} answers in the end`, async () => {
    const agent = new AgentClass({ url: url('model'), threadId: `model by ${name}`, ...config, ...(AgentClass === NetraAgent && { idleMs: 0 }) });
    const tools = [{ name: 'pick_colour', description: 'Picks a colour.', parameters: { type: 'object', properties: {} } }];
    agent.addMessage({ id: newId(), role: 'user', content: 'What colour?' });
    await agent.runAgent({ tools });
    assert.deepEqual(agent.pendingInterrupts.map(({ reason }) => reason), ['tool_call']);
    const pending: string[] = [];
    const resume = agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, status: 'resolved' as const, payload: { approved: true } }));
    const onRunFinishedEvent = (event: { outcome: string; pendingToolCallIds?: string[] }) => void pending.push(...(event.pendingToolCallIds ?? []));
    await agent.runAgent({ tools, resume }, { onRunFinishedEvent });
    const [toolCallId] = pending;
    assert.ok(toolCallId, 'a call of the caller’s tool');
    agent.addMessage({ id: newId(), role: 'tool', toolCallId, content: `blue for ${name}` });
    await agent.runAgent({ tools });
    assert.equal(agent.messages.at(-1)?.content, `It is blue for ${name}`);
    assert.deepEqual(model.requests.at(-1)?.messages.filter(({ role }) => role === 'tool').length, 3);
    const answered = agent.messages.filter(({ role }) => role === 'tool').length;
    assert.equal(answered, 3, 'each call has one result in the client as well');
  });

  test(`a call that a run leaves to ${name} gets its result, and the agent continues`, async () => {
    const agent = new AgentClass({ url: url('calls'), threadId: `calls by ${name}`, ...config, ...(AgentClass === NetraAgent && { idleMs: 0 }) });
    const asked = await ask(agent, 'Paint it');
    const { outcome } = asked.at(-1) as RunFinishedEvent;
    const [call] = outcome?.type === 'success' ? (outcome.pendingToolCallIds ?? []) : [];
    assert.ok(call, 'a call is pending');
    agent.addMessage({ id: newId(), role: 'tool', toolCallId: call, content: 'blue' });
    const received: BaseEvent[] = [];
    await agent.runAgent({ runId: 'run of the caller' }, { onEvent: ({ event }) => void received.push(event) });
    assert.ok(!received.some(({ type }) => type === EventType.TOOL_CALL_RESULT), 'the caller has the result already');
    const own = serverIds(received);
    const log = await server.log(own.threadId, own.runId);
    const results = log.filter((event): event is ToolCallResultEvent => event.type === EventType.TOOL_CALL_RESULT);
    assert.deepEqual(results.map(({ toolCallId, content }) => [toolCallId, content]), [[call, 'blue']]);
    assert.equal(received.length, log.length - 1);
    assert.equal(agent.messages.filter(({ role }) => role === 'tool').length, 1);
    const view = await server.view(serverIds(asked).threadId, serverIds(asked).runId);
    assert.deepEqual(view.nodes.map(({ body }) => body.is === 'tool' && body.result), ['blue'], 'the result is stored with its call');
  });
}

test('files are sent to a remote agent in the form of the protocol’s own schema', async () => {
  const agent = new HttpAgent({ url: url('remote'), threadId: 'files for a remote agent', ...config });
  const part = (type: 'image' | 'audio' | 'video' | 'document', mimeType: string, filename: string) => {
    const source = { type: 'data' as const, value: Buffer.from([0, 255]).toString('base64'), mimeType };
    return { type, source, metadata: { filename } };
  };
  const files = [part('audio', 'audio/mpeg', 'a.mp3'), part('video', 'video/mp4', 'v.mp4'), part('document', 'application/zip', 'z.zip')];
  agent.addMessage({ id: newId(), role: 'user', content: [{ type: 'text', text: 'Look' }, ...files] });
  await agent.runAgent();
  assert.equal(agent.messages.at(-1)?.content, '3 files');
  assert.deepEqual(remote.inputs.at(-1)?.messages.at(-1)?.content, [{ type: 'text', text: 'Look' }, ...files]);
});

test('a refusal of the server is an error of the run, with the reason', async () => {
  const agent = new HttpAgent({ url: url('nobody'), ...config });
  await assert.rejects(ask(agent, 'Hello'), (error: Error & { status?: number }) => error.status === 404 && error.message.includes('there is no agent'));
  const signedOut = new HttpAgent({ url: url('quick') });
  await assert.rejects(ask(signedOut, 'Hello'), (error: Error & { status?: number }) => error.status === 401);
});

test('a run continues without its caller, and stopping it ends it for all followers', async () => {
  const [threadId, id] = ['left by the caller', newId()];
  const leaving = new HttpAgent({ url: url('slow'), threadId, ...config });
  const received: BaseEvent[] = [];
  leaving.addMessage({ id, role: 'user', content: 'Take your time' });
  const left = leaving.runAgent({}, { onEvent: ({ event }) => void received.push(event) });
  await until('some events', () => received.length > 10);
  leaving.abortRun();
  await left;
  const again = ask(new HttpAgent({ url: url('slow'), threadId, ...config }), 'Take your time', id);
  const stopped = await fetch(`${server.url}/api/runs/${serverIds(received).runId}`, { method: 'DELETE', ...config });
  assert.equal(stopped.status, 204);
  assert.deepEqual(((await again).at(-1) as RunFinishedEvent).outcome, { type: 'cancelled' });
});
