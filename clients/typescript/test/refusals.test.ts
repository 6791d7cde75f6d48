/** Tests that refusals of the server, and failures of the caller's functions, end the run with an error that says what to do. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type AbstractAgent, HttpAgent } from '@ag-ui/client';
import { NetraAgent, type NetraAgentConfig, NetraError, newId } from '../src/index.js';
import { Model } from './model.js';
import { Server, until } from './server.js';

let server: Server;
let model: Model;

before(async () => {
  model = await Model.start();
  const modelAgent = `[[agents]]\nid = "model"\nname = "Model"\nkind = "model"\nmodel = "scripted"\nbase_url = "${model.url}"\ntitles = false\n`;
  server = await Server.start({ NETRA_LOG: 'warn', NETRA_RUNS__DAILY_TOKENS_PER_USER: '10' }, modelAgent);
});

after(async () => {
  model.stop();
  await server.remove();
});

const url = (agent: string) => `${server.url}/api/agents/${agent}/agui`;
const tools = [{ name: 'pick_colour', description: 'Picks a colour.', parameters: { type: 'object', properties: {} } }];

function createAgent(config: Partial<NetraAgentConfig> = {}): NetraAgent {
  return new NetraAgent({ url: url('quick'), threadId: newId(), idleMs: 0, ...(!config.getTicket && { token: () => server.token() }), ...config });
}

function ask(agent: AbstractAgent, parameters: Parameters<AbstractAgent['runAgent']>[0] = {}) {
  agent.addMessage({ id: newId(), role: 'user', content: 'Where do my tokens go?' });
  return agent.runAgent(parameters);
}

const isRefusal = (code: string, message: RegExp) => (error: Error) =>
  error instanceof NetraError && error.code === code && message.test(error.message);

test('a state that came from the server is not sent back, so a ticket is enough for the next message', async () => {
  const getTicket = async () => {
    const headers = { authorization: `Bearer ${await server.token()}` };
    const response = await fetch(`${server.url}/api/auth/ticket`, { method: 'POST', headers });
    return ((await response.json()) as { ticket: string }).ticket;
  };
  const agent = createAgent({ url: url('shares'), getTicket });
  await ask(agent);
  assert.deepEqual(agent.state, { count: 1 });
  await ask(agent);
  agent.setState({ count: 7 });
  await assert.rejects(ask(agent), isRefusal('invalid_input', /give a token instead/));
});

test('input that needs an agent is refused if no agent is given', async () => {
  await assert.rejects(ask(createAgent({ url: server.url }), { tools }), isRefusal('invalid_input', /needs an agent/));
});

test('a failing token function ends the run, and one with a network error is called again', async () => {
  const broken = () => Promise.reject(new Error('the vault is sealed'));
  await assert.rejects(ask(createAgent({ token: broken })), isRefusal('signed_out', /`token` failed: the vault is sealed/));
  let calls = 0;
  const offline = () => (++calls < 3 ? Promise.reject(new TypeError('fetch failed')) : server.token());
  const run = ask(createAgent({ token: offline, random: () => 0 }));
  await until('it is called again', () => calls > 2);
  await run;
});

test('a used-up budget is reported at once, over the socket and over HTTP', async () => {
  await assert.rejects(ask(createAgent({ url: url('model') })), /budget/, 'the budget is used up');
  const overBudget = isRefusal('rate_limited', /today/);
  await assert.rejects(ask(createAgent({ url: url('model') })), overBudget);
  await assert.rejects(ask(createAgent({ url: url('model') }), { tools }), overBudget);
  const headers = { Authorization: `Bearer ${await server.token()}` };
  await assert.rejects(ask(new HttpAgent({ url: url('model'), headers })), (error: Error & { status?: number }) => error.status === 429);
});
