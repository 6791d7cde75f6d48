/** The other door, `POST /api/agents/<id>/agui`, by AG-UI's own `HttpAgent` and its verifier; and that both doors lead to the same. */
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
  const modelled = `[[agents]]\nid = "model"\nname = "Model"\nkind = "model"\nmodel = "scripted"\nbase_url = "${model.url}"\ntools = ["data"]\n`;
  const asking = '[[tools]]\nid = "data"\nkind = "builtin"\nconsent = { default = "automatic", describe_log = "ask" }\n';
  const far = `[[agents]]\nid = "remote"\nname = "Remote"\nkind = "ag-ui"\nurl = "${remote.url}"\nallow_private_network = true\n`;
  server = await Server.start({ NETRA_LOG: 'warn' }, modelled + far + asking);
  config = { headers: { Authorization: `Bearer ${await server.token()}` } };
});

after(async () => {
  model.stop();
  remote.stop();
  await server.remove();
});

const url = (agent: string) => `${server.url}/api/agents/${agent}/agui`;

/** Asks, and answers what was heard. */
async function ask(agent: AbstractAgent, content: string, id = newId()): Promise<BaseEvent[]> {
  const heard: BaseEvent[] = [];
  agent.addMessage({ id, role: 'user', content });
  await agent.runAgent({ runId: 'run of the caller' }, { onEvent: ({ event }) => void heard.push(event) });
  return heard;
}

const netra = (heard: BaseEvent[]) => heard[0]?.metadata?.['netra'] as { threadId: string; runId: string };

async function assertLogged(heard: BaseEvent[], threadId: string): Promise<void> {
  const own = netra(heard);
  const log = await server.log(own.threadId, own.runId);
  const named = log.map((event) => {
    const names = event.type === EventType.RUN_STARTED || event.type === EventType.RUN_FINISHED;
    // The run before has no name of the caller's.
    const { parentRunId, ...said } = event as BaseEvent & { parentRunId?: string };
    const ids = { threadId: own.threadId, runId: own.runId, ...(parentRunId !== undefined && { parentRunId }) };
    return names ? { ...said, threadId, runId: 'run of the caller', metadata: { ...event.metadata, netra: ids } } : event;
  });
  // The state that it gave is not told to whoever gave it.
  assert.deepEqual(heard, named.filter((event) => !JSON.stringify(event).includes('netraGiven')));
}

test('a recorded run passes the official client and its verifier, event by event as the log has it', async () => {
  const agent = new HttpAgent({ url: url('quick'), threadId: 'any thread', ...config });
  const heard = await ask(agent, 'Where do my tokens go?');
  await assertLogged(heard, 'any thread');
  assert.ok(agent.messages.length > 3);
});

test('the built-in analyst passes, without a file and with one', async () => {
  const threadId = newId();
  const agent = new HttpAgent({ url: url('analyst'), threadId, ...config });
  await assertLogged(await ask(agent, 'Where do my tokens go?'), threadId);
  await server.upload(threadId, 'log.csv', await readFile(sample));
  const heard = await ask(agent, 'Cut cost, compare gpt-4.1 with gpt-4.1-mini, make it faster, forecast next month');
  await assertLogged(heard, threadId);
  const tools = heard.filter(({ type }) => type === EventType.TOOL_CALL_RESULT);
  assert.ok(tools.length >= 5, `${tools.length} tools answered`);
});

test('the same question by both doors is one run', async () => {
  const [threadId, id] = ['two doors', 'the question'];
  const http = await ask(new HttpAgent({ url: url('quick'), threadId, ...config }), 'Hello', id);
  const socket = await ask(new NetraAgent({ url: url('quick'), threadId, idleMs: 0, ...config }), 'Hello', id);
  assert.deepEqual(netra(socket), netra(http));
  assert.deepEqual(socket, http);
});

test('with more than a message the run is begun over HTTP, and followed on the socket', async () => {
  const called: string[] = [];
  const fetching = (url: string, init: RequestInit) => (called.push(`${init.method} ${new URL(url).pathname}`), fetch(url, init));
  const agent = new NetraAgent({ url: url('quick'), threadId: 'more', initialState: { known: 1 }, idleMs: 0, fetch: fetching, ...config });
  const heard = await ask(agent, 'Hello');
  await assertLogged(heard, 'more');
  assert.deepEqual(called, ['GET /api/config', 'POST /api/auth/ticket', 'POST /api/agents/quick/agui']);
});

for (const [name, door] of [['HttpAgent', HttpAgent], ['NetraAgent', NetraAgent]] as const) {
  test(`what a run asks is answered by ${name}, and the agent goes on`, async () => {
    const agent = new door({ url: url('asks'), threadId: `asks by ${name}`, ...config, ...(door === NetraAgent && { idleMs: 0 }) });
    const asked = await ask(agent, 'May I?');
    assert.deepEqual(agent.pendingInterrupts.map(({ id }) => id), ['may I']);
    const heard: BaseEvent[] = [];
    const resume = [{ interruptId: 'may I', status: 'resolved' as const, payload: { approved: true } }];
    await agent.runAgent({ runId: 'run of the caller', resume }, { onEvent: ({ event }) => void heard.push(event) });
    assert.notEqual(netra(heard).runId, netra(asked).runId);
    assert.equal(netra(heard).threadId, netra(asked).threadId);
    await assertLogged(heard, agent.threadId);
    const stranger = [{ interruptId: 'nobody asked', status: 'cancelled' as const }];
    agent.pendingInterrupts = [];
    await assert.rejects(agent.runAgent({ resume: stranger }), /waits for an answer/);
  });

  test(`files in a message of ${name} are files of the message in the thread`, async () => {
    const agent = new door({ url: url('quick'), threadId: `files by ${name}`, ...config, ...(door === NetraAgent && { idleMs: 0 }) });
    const source = { type: 'data' as const, value: Buffer.from('bytes').toString('base64'), mimeType: 'image/png' };
    const image = { type: 'image' as const, source, metadata: { filename: 'photo.png' } };
    const heard: BaseEvent[] = [];
    const content = [{ type: 'text' as const, text: 'What is this?' }, image, { ...image, metadata: undefined }];
    agent.addMessage({ id: newId(), role: 'user', content });
    await agent.runAgent({ runId: 'run of the caller' }, { onEvent: ({ event }) => void heard.push(event) });
    await assertLogged(heard, agent.threadId);
    const bytes = Buffer.from('bytes');
    assert.deepEqual(await server.files(netra(heard).threadId), [['photo.png', bytes], ['file-3.png', bytes]]);
    const elsewhere = { type: 'url' as const, value: 'http://127.0.0.1/photo.png' };
    agent.addMessage({ id: newId(), role: 'user', content: [{ type: 'text', text: 'And this?' }, { type: 'image', source: elsewhere }] });
    await assert.rejects(agent.runAgent(), /`data`, or upload/);
  });

  test(`a model asks a person and ${name}, and answers at last`, async () => {
    const agent = new door({ url: url('model'), threadId: `model by ${name}`, ...config, ...(door === NetraAgent && { idleMs: 0 }) });
    const tools = [{ name: 'pick_colour', description: 'Picks a colour.', parameters: { type: 'object', properties: {} } }];
    agent.addMessage({ id: newId(), role: 'user', content: 'What colour?' });
    await agent.runAgent({ tools });
    assert.deepEqual(agent.pendingInterrupts.map(({ reason }) => reason), ['tool_call']);
    const pending: string[] = [];
    const resume = agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, status: 'resolved' as const, payload: { approved: true } }));
    const onRunFinishedEvent = (event: { outcome: string; pendingToolCallIds?: string[] }) => void pending.push(...(event.pendingToolCallIds ?? []));
    await agent.runAgent({ tools, resume }, { onRunFinishedEvent });
    const [toolCallId] = pending;
    assert.ok(toolCallId, 'a call of the caller’s own');
    agent.addMessage({ id: newId(), role: 'tool', toolCallId, content: `blue for ${name}` });
    await agent.runAgent({ tools });
    assert.equal(agent.messages.at(-1)?.content, `It is blue for ${name}`);
    assert.deepEqual(model.asked.at(-1)?.messages.filter(({ role }) => role === 'tool').length, 3);
    const answered = agent.messages.filter(({ role }) => role === 'tool').length;
    assert.equal(answered, 3, 'each call has one result here as well');
  });

  test(`a call that a run leaves to ${name} is answered with its result, and the agent goes on`, async () => {
    const agent = new door({ url: url('calls'), threadId: `calls by ${name}`, ...config, ...(door === NetraAgent && { idleMs: 0 }) });
    const asked = await ask(agent, 'Paint it');
    const { outcome } = asked.at(-1) as RunFinishedEvent;
    const [call] = outcome?.type === 'success' ? (outcome.pendingToolCallIds ?? []) : [];
    assert.ok(call, 'a call is pending');
    agent.addMessage({ id: newId(), role: 'tool', toolCallId: call, content: 'blue' });
    const heard: BaseEvent[] = [];
    await agent.runAgent({ runId: 'run of the caller' }, { onEvent: ({ event }) => void heard.push(event) });
    assert.ok(!heard.some(({ type }) => type === EventType.TOOL_CALL_RESULT), 'the caller has the result already');
    const own = netra(heard);
    const log = await server.log(own.threadId, own.runId);
    const results = log.filter((event): event is ToolCallResultEvent => event.type === EventType.TOOL_CALL_RESULT);
    assert.deepEqual(results.map(({ toolCallId, content }) => [toolCallId, content]), [[call, 'blue']]);
    assert.equal(heard.length, log.length - 1);
    assert.equal(agent.messages.filter(({ role }) => role === 'tool').length, 1);
    const view = await server.view(netra(asked).threadId, netra(asked).runId);
    assert.deepEqual(view.nodes.map(({ body }) => body.is === 'tool' && body.result), ['blue'], 'it stands with its call');
  });
}

test('what a remote agent is told of files passes the protocol’s own schema', async () => {
  const agent = new HttpAgent({ url: url('remote'), threadId: 'files for another', ...config });
  const part = (type: 'image' | 'audio' | 'video' | 'document', mimeType: string, filename: string) => {
    const source = { type: 'data' as const, value: Buffer.from([0, 255]).toString('base64'), mimeType };
    return { type, source, metadata: { filename } };
  };
  const files = [part('audio', 'audio/mpeg', 'a.mp3'), part('video', 'video/mp4', 'v.mp4'), part('document', 'application/zip', 'z.zip')];
  agent.addMessage({ id: newId(), role: 'user', content: [{ type: 'text', text: 'Look' }, ...files] });
  await agent.runAgent();
  assert.equal(agent.messages.at(-1)?.content, '3 files');
  assert.deepEqual(remote.asked.at(-1)?.messages.at(-1)?.content, [{ type: 'text', text: 'Look' }, ...files]);
});

test('what the server refuses is an error of the run, with the reason', async () => {
  const agent = new HttpAgent({ url: url('nobody'), ...config });
  await assert.rejects(ask(agent, 'Hello'), (error: Error & { status?: number }) => error.status === 404 && error.message.includes('there is no agent'));
  const stranger = new HttpAgent({ url: url('quick') });
  await assert.rejects(ask(stranger, 'Hello'), (error: Error & { status?: number }) => error.status === 401);
});

test('leaving does not stop a run, and stopping it ends what others hear', async () => {
  const [threadId, id] = ['left by the caller', newId()];
  const leaving = new HttpAgent({ url: url('slow'), threadId, ...config });
  const heard: BaseEvent[] = [];
  leaving.addMessage({ id, role: 'user', content: 'Take your time' });
  const left = leaving.runAgent({}, { onEvent: ({ event }) => void heard.push(event) });
  await until('some events', () => heard.length > 10);
  leaving.abortRun();
  await left;
  const again = ask(new HttpAgent({ url: url('slow'), threadId, ...config }), 'Take your time', id);
  const stopped = await fetch(`${server.url}/api/runs/${netra(heard).runId}`, { method: 'DELETE', ...config });
  assert.equal(stopped.status, 204);
  assert.deepEqual(((await again).at(-1) as RunFinishedEvent).outcome, { type: 'cancelled' });
});
