// Compares Netra with two small servers that answer the same commands and neither authenticate nor store (benches/peers): runs
// scenarios of `netra bench` against each of them, one after the other, ROUNDS times, and prints the medians. Where `taskset` exists,
// each server runs on the first core and the client on the others. SECONDS_EACH, CLIENTS and STORM set the scenarios' size.
import { execFile, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { figure, median, table } from './table.mjs';

const root = resolve(import.meta.dirname, '..');
const netra = join(root, 'target/release/netra');
const peers = join(root, 'target/peers/release');
const setting = (name, value) => {
  const set = Number(process.env[name] ?? value);
  if (!Number.isInteger(set) || set < 1) throw new Error(`${name} must be a number from 1`);
  return set;
};
const rounds = setting('ROUNDS', 5);
const seconds = setting('SECONDS_EACH', 3);
const clients = setting('CLIENTS', 1000);
const storm = setting('STORM', 2000);
const email = 'bench@example.org';
const password = 'a password to measure';
/** How long a server may take to start or to stop, and a scenario beyond its measurements, in milliseconds. */
const startTimeoutMs = 20_000;
const scenarioTimeoutMs = 300_000;

const scenarios = [
  ['connect', '--clients', storm],
  ['echo', '--clients', 64],
  ['fanout', '--clients', clients, '--in-flight', 16],
  ['storm', '--clients', storm],
];

/** The rows of the table: the operation, and its CPU time (µs) and rate in the results of all scenarios. */
const operations = [
  ['handshake', ({ connect }) => connect.handshake],
  ['subscribe, without a cursor', ({ connect }) => connect.subscribe_thread_snapshot],
  ['subscribe, cursor at the end', ({ connect }) => connect.subscribe_thread_live],
  ['ping', ({ echo }) => echo.ping],
  ['rename_thread (Netra stores it)', ({ echo }) => echo.rename_thread],
  ['delivery of an entry (Netra stores it)', ({ fanout }) => ({ server_cpu_us: fanout.server_cpu_us_per_delivery, per_second: fanout.deliveries_per_second })],
  ['reconnect at once, with cursors', (results) => reconnect(results.storm.with_cursors)],
  ['reconnect at once, without', (results) => reconnect(results.storm.without)],
];

function reconnect({ server_cpu_ms, all_back_ms }) {
  return { server_cpu_us: (server_cpu_ms * 1000) / storm, per_second: (storm * 1000) / all_back_ms };
}

/** A command line that runs a program on these cores, with as many open files as allowed. */
function pinned(cores, program, ...args) {
  const pin = cores ? ['taskset', '-c', cores] : [];
  return ['sh', ['-c', 'ulimit -n "$(ulimit -Hn)" && exec "$0" "$@"', ...pin, program, ...args.map(String)]];
}

/** The cores of the servers and of the client; both `undefined` if they cannot be separated. */
async function cores() {
  const hasTaskset = await promisify(execFile)('taskset', ['--version']).then(() => true, () => false);
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const allowed = (status.match(/^Cpus_allowed_list:\s*(\S+)/m)?.[1] ?? '').split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  const [server, ...client] = allowed;
  return hasTaskset && client.length > 0 ? { server: `${server}`, client: client.join(',') } : {};
}

/** Starts a server, and waits until it prints its link. */
async function start(core, { program, args, env }) {
  const child = spawn(...pinned(core, program, ...args), { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  running = child;
  const link = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${program} printed no link within ${startTimeoutMs} ms`)), startTimeoutMs);
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
      const found = output.match(/(http:\/\/[\d.:]+)\S*\n/)?.[1];
      if (found) resolve(found);
    });
    child.once('exit', (code, signal) => reject(new Error(`${program} ended with ${code ?? signal}`)));
    child.once('error', reject);
    child.once('close', () => clearTimeout(timer));
  }).catch((error) => {
    child.kill('SIGKILL');
    throw error;
  });
  return { child, link };
}

async function stop(child) {
  const exited = new Promise((resolve) => child.once('exit', resolve));
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), startTimeoutMs);
    await exited;
    clearTimeout(timer);
  }
}

/** Runs all scenarios against a server; returns their results by name. */
async function measure(core, folder, login, { child, link }) {
  const results = {};
  for (const [scenario, ...args] of scenarios) {
    const out = join(folder, 'result.json');
    const target = ['--server', link, ...login, '--pid', child.pid, '--seconds', seconds, '--out', out];
    const command = pinned(core, netra, 'bench', scenario, ...args, ...target);
    const benchmark = promisify(execFile)(...command, { timeout: scenarioTimeoutMs + 2000 * seconds });
    benchmark.child.stdin.end(`${password}\n`);
    await benchmark.catch((error) => {
      throw error.killed ? new Error(`netra bench ${scenario} took too long`) : error;
    });
    results[scenario] = JSON.parse(await readFile(out, 'utf8'));
  }
  return results;
}

/** Fails if a figure of the table is not in the results. */
function check(results) {
  for (const [operation, read] of operations) {
    const { server_cpu_us, per_second } = read(results) ?? {};
    if (!Number.isFinite(server_cpu_us) || !Number.isFinite(per_second)) throw new Error(`the results have no figures for: ${operation}`);
  }
  return results;
}

/** Prints the table of the rounds that all servers completed. */
function printMedians(results, where) {
  const complete = Math.min(...Object.values(results).map(({ length }) => length));
  if (complete === 0) return;
  console.log(`Medians of ${complete} rounds; ${where}.\n`);
  const rows = [['operation', 'figure', 'unit', ...Object.keys(results), 'Netra/axum', 'Netra/raw']];
  for (const [operation, read] of operations) {
    for (const [name, unit, field] of [['server CPU', 'µs', 'server_cpu_us'], ['rate', '/s', 'per_second']]) {
      const medians = Object.values(results).map((rounds) => median(rounds.slice(0, complete).map((result) => read(result)[field])));
      const [own, axum, raw] = medians;
      rows.push([operation, name, unit, ...medians.map(figure), figure(own / axum), figure(own / raw)]);
    }
  }
  console.log(table(rows));
}

const folder = await mkdtemp(join(tmpdir(), 'netra-bench-'));
const { server: serverCore, client: clientCores } = await cores();
const results = {};
/** The server that runs. */
let running;
const interrupted = () => {
  running?.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
  process.exit(1);
};
process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
try {
  await writeFile(join(folder, 'netra.toml'), '');
  const env = {
    NETRA_SOCKET__MAX_CONNECTIONS_PER_USER: '10000',
    NETRA_SOCKET__COMMANDS_PER_MINUTE: '1000000',
    NETRA_QUOTAS__MAX_THREADS_PER_USER: '0',
    NETRA_CONNECTIONS__MAX_PER_ADDRESS: '1000000',
    // Sockets of `connect` are not read while the others open, so they answer no pings.
    NETRA_SOCKET__HEARTBEAT_MS: '300000',
    NETRA_LOG: 'warn',
  };
  /** The arguments for a new store. */
  const newStore = async (round) => {
    const data = ['--data', join(folder, `data-${round}`), '--config', join(folder, 'netra.toml')];
    const adding = promisify(execFile)(netra, ['user', 'add', ...data, '--email', email, '--name', 'Bench', '--password-stdin']);
    adding.child.stdin.end(`${password}\n`);
    await adding;
    return ['serve', '--listen', '127.0.0.1:0', ...data];
  };
  const servers = {
    Netra: { program: netra, newStore, env, login: ['--email', email, '--password-stdin'] },
    axum: { program: join(peers, 'peer-axum'), args: [], login: ['--token', 'none'] },
    raw: { program: join(peers, 'peer-raw'), args: [], login: ['--token', 'none'] },
  };
  for (const name of Object.keys(servers)) results[name] = [];
  for (let round = 1; round <= rounds; round++) {
    // Each begins some of the rounds.
    const order = Object.entries(servers);
    order.push(...order.splice(0, (round - 1) % order.length));
    for (const [name, server] of order) {
      console.error(`round ${round} of ${rounds}: ${name}`);
      const args = server.newStore ? await server.newStore(round) : server.args;
      const started = await start(serverCore, { ...server, args });
      results[name].push(check(await measure(clientCores, folder, server.login, started)));
      await stop(started.child);
      running = undefined;
    }
  }
} catch (error) {
  console.error(`error: ${error.stderr || error.message}`);
  process.exitCode = 1;
} finally {
  if (running) await stop(running);
  await rm(folder, { recursive: true, force: true });
}
// Also after an error: the rounds until then are complete.
if (Object.keys(results).length > 0) printMedians(results, serverCore ? `servers on core ${serverCore}, client on ${clientCores}` : 'not pinned to cores');
