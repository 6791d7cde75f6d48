/** What the server, or the caller's own functions, refuse: each is an error of the run, soon, with what to do. */
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
  const modelled = `[[agents]]\nid = "model"\nname = "Model"\nkind = "model"\nmodel = "scripted"\nbase_url = "${model.url}"\n`;
  server = await Server.start({ NETRA_LOG: 'warn', NETRA_RUNS__DAILY_TOKENS_PER_USER: '10' }, modelled);
});

after(async () => {
  model.stop();
  await server.remove();
});

const url = (agent: string) => `${server.url}/api/agents/${agent}/agui`;
const tools = [{ name: 'pick_colour', description: 'Picks a colour.', parameters: { type: 'object', properties: {} } }];

function agentOf(config: Partial<NetraAgentConfig> = {}): NetraAgent {
  return new NetraAgent({ url: url('quick'), threadId: newId(), idleMs: 0, ...(!config.getTicket && { token: () => server.token() }), ...config });
}

function ask(agent: AbstractAgent, parameters: Parameters<AbstractAgent['runAgent']>[0] = {}) {
  agent.addMessage({ id: newId(), role: 'user', content: 'Where do my tokens go?' });
  return agent.runAgent(parameters);
}

const refused = (code: string, sentence: RegExp) => (error: Error) =>
  error instanceof NetraError && error.code === code && sentence.test(error.message);

test('a state that the agent’s events left is not told again, so that a ticket is enough for the next message', async () => {
  const getTicket = async () => {
    const headers = { authorization: `Bearer ${await server.token()}` };
    const answer = await fetch(`${server.url}/api/auth/ticket`, { method: 'POST', headers });
    return ((await answer.json()) as { ticket: string }).ticket;
  };
  const agent = agentOf({ url: url('shares'), getTicket });
  await ask(agent);
  assert.deepEqual(agent.state, { count: 1 });
  await ask(agent);
  agent.setState({ count: 7 });
  await assert.rejects(ask(agent), refused('invalid_input', /give a token instead/));
});

test('what only a named agent can be given is not dropped where none is named', async () => {
  await assert.rejects(ask(agentOf({ url: server.url }), { tools }), refused('invalid_input', /names its agent/));
});

test('a function for the token that fails ends the run, and one whose network is away is asked again', async () => {
  const broken = () => Promise.reject(new Error('the vault is sealed'));
  await assert.rejects(ask(agentOf({ token: broken })), refused('signed_out', /`token` failed: the vault is sealed/));
  let asked = 0;
  const away = () => (++asked < 3 ? Promise.reject(new TypeError('fetch failed')) : server.token());
  const done = ask(agentOf({ token: away, random: () => 0 }));
  await until('it asks again', () => asked > 2);
  await done;
});

test('a budget that is used up is said at once, at both doors and on both ways', async () => {
  await assert.rejects(ask(agentOf({ url: url('model') })), /budget/, 'it ends between two steps');
  const spent = refused('rate_limited', /today/);
  await assert.rejects(ask(agentOf({ url: url('model') })), spent);
  await assert.rejects(ask(agentOf({ url: url('model') }), { tools }), spent);
  const headers = { Authorization: `Bearer ${await server.token()}` };
  await assert.rejects(ask(new HttpAgent({ url: url('model'), headers })), (error: Error & { status?: number }) => error.status === 429);
});
