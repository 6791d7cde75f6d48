/** Runs a real server with recorded agents, and reads threads and files from it. */
import { once } from 'node:events';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { BaseEvent } from '@ag-ui/client';
import { WebSocket } from 'ws';
import type { RunView, ThreadView } from '../src/wire.js';

const root = resolve(import.meta.dirname, '../../../..');
const binary = resolve(process.env['NETRA'] ?? join(root, 'target/debug/netra'));
const recording = join(root, 'tests/data/replay.jsonl');
/** A usage log for the analyst. */
export const sample = join(root, 'docs/samples/support-assistant.csv');
const SETUP_TOKEN = 'setup-token-of-the-tests';
const ACCOUNT = { email: 'first@example.org', password: 'correct horse battery staple' };
const TIMEOUT_MS = 30_000;

/** Waits until a condition holds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within ${TIMEOUT_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * A free port for a server that may be stopped and started again. It is below the ports that systems give to outgoing connections
 * (from 32768 on Linux, from 49152 elsewhere), so that no connection takes it while the server is stopped.
 */
const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const port = 12_000 + Math.floor(Math.random() * 20_000);
    const probe = createServer().once('error', () => resolve(freePort()));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(port)));
  });

export class Server {
  private child: ChildProcess | undefined;
  private output = '';

  private constructor(
    private readonly folder: string,
    readonly port: number,
    /** Environment variables for the next start. */
    public env: Record<string, string>,
  ) {}

  /**
   * Starts a server with an administrator and replay agents: `slow` and `quick`; `asks`, whose runs end with an interrupt; `calls`, whose
   * runs leave a tool call to the caller; `looks-up`, whose tool calls have a message of their own; `shares`, whose runs set the state.
   */
  static async start(env: Record<string, string> = {}, config = ''): Promise<Server> {
    const folder = await mkdtemp(join(tmpdir(), 'netra-client-'));
    const server = new Server(folder, await freePort(), env);
    const agent = (id: string, rate: number, file = recording) =>
      `[[agents]]\nid = "${id}"\nname = "${id}"\nkind = "replay"\nfile = "${file}"\nevents_per_second = ${rate}\n`;
    const interrupts = [{ id: 'may I', reason: 'confirmation', message: 'May I?' }];
    const asking = [
      { type: 'RUN_STARTED', threadId: 't', runId: 'r' },
      { type: 'TEXT_MESSAGE_START', messageId: 'm', role: 'assistant' },
      { type: 'TEXT_MESSAGE_CONTENT', messageId: 'm', delta: 'I need to know.' },
      { type: 'TEXT_MESSAGE_END', messageId: 'm' },
      { type: 'RUN_FINISHED', threadId: 't', runId: 'r', outcome: { type: 'interrupt', interrupts } },
    ];
    const calling = [
      { type: 'TOOL_CALL_START', toolCallId: 'c', toolCallName: 'pick_colour' },
      { type: 'TOOL_CALL_ARGS', toolCallId: 'c', delta: '{}' },
      { type: 'TOOL_CALL_END', toolCallId: 'c' },
      { type: 'RUN_FINISHED', threadId: 't', runId: 'r', outcome: { type: 'success', pendingToolCallIds: ['c'] } },
    ];
    const lookingUp = [
      { type: 'TOOL_CALL_START', toolCallId: 'look', toolCallName: 'look_up', parentMessageId: 'looking' },
      { type: 'TOOL_CALL_ARGS', toolCallId: 'look', delta: '{}' },
      { type: 'TOOL_CALL_END', toolCallId: 'look' },
      { type: 'TOOL_CALL_RESULT', toolCallId: 'look', messageId: 'found', content: 'sunny' },
      { type: 'TEXT_MESSAGE_START', messageId: 'answer', role: 'assistant' },
      { type: 'TEXT_MESSAGE_CONTENT', messageId: 'answer', delta: 'It is sunny.' },
      { type: 'TEXT_MESSAGE_END', messageId: 'answer' },
    ];
    const sharing = [{ type: 'STATE_SNAPSHOT', snapshot: { count: 1 } }];
    const files: string[] = [];
    for (const [name, events] of Object.entries({ asking, calling, sharing, lookingUp })) {
      files.push(join(folder, `${name}.jsonl`));
      await writeFile(files.at(-1)!, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
    }
    const agents = [agent('slow', 150), agent('quick', 5_000), agent('asks', 1_000, files[0]), agent('calls', 1_000, files[1])];
    agents.push(agent('shares', 1_000, files[2]), agent('looks-up', 1_000, files[3]));
    const base = await readFile(join(root, 'Leptos.toml'), 'utf8');
    await writeFile(join(folder, 'Leptos.toml'), `${base}\n${agents.join('')}${config}`);
    await server.start();
    const body = JSON.stringify({ setup_token: SETUP_TOKEN, name: 'First', ...ACCOUNT });
    const headers = { 'content-type': 'application/json', origin: server.url };
    const response = await fetch(`${server.url}/api/auth/setup`, { method: 'POST', headers, body });
    if (!response.ok) throw new Error(`the setup returned ${response.status}: ${await response.text()}`);
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const args = ['serve', '--listen', `127.0.0.1:${this.port}`, '--data', join(this.folder, 'data')];
    const child = spawn(binary, [...args, '--config', join(this.folder, 'Leptos.toml')], {
      cwd: root,
      env: { ...process.env, NETRA_SETUP_TOKEN: SETUP_TOKEN, NO_COLOR: '1', ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => (this.output = (this.output + text).slice(-100_000)));
    await until('the server answers', async () => {
      if (child.exitCode !== null) throw new Error(`the server did not start:\n${this.output}`);
      return (await fetch(`${this.url}/api/config`).catch(() => undefined))?.ok ?? false;
    });
  }

  /** Kills the process or stops it gracefully, and waits for its end. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.child;
    this.child = undefined;
    if (!child || child.exitCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await exited;
  }

  /** Marks the store as restored from a backup, which changes its epoch. The server must not run. */
  async markRestored(): Promise<void> {
    await promisify(execFile)(binary, ['store', 'restored', '--data', join(this.folder, 'data')], { cwd: this.folder });
  }

  async remove(): Promise<void> {
    await this.end('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }

  /** An access token of the administrator. */
  async token(): Promise<string> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${this.url}/api/auth/token`, { method: 'POST', headers, body: JSON.stringify(ACCOUNT) });
    if (!response.ok) throw new Error(`no token: ${response.status} ${await response.text()}`);
    return ((await response.json()) as { access_token: string }).access_token;
  }

  /** Uploads a file to a thread. */
  async upload(threadId: string, name: string, content: Uint8Array<ArrayBuffer>): Promise<void> {
    const body = new FormData();
    body.set('file', new Blob([content]), name);
    const headers = { authorization: `Bearer ${await this.token()}` };
    const response = await fetch(`${this.url}/api/threads/${threadId}/files`, { method: 'POST', headers, body });
    if (response.status !== 201) throw new Error(`the upload returned ${response.status}: ${await response.text()}`);
  }

  /** Downloads the files of a thread's newest message: names and bytes. */
  async files(threadId: string): Promise<[string, Buffer][]> {
    let attachments: { file_id: string; name: string }[] = [];
    await this.read(threadId, (payload, done) => {
      for (const item of payload.snapshot?.items ?? []) if (item.kind === 'message') attachments = item.value.message.attachments ?? [];
      if (payload.snapshot) done();
    });
    const headers = { authorization: `Bearer ${await this.token()}` };
    return Promise.all(
      attachments.map(async ({ file_id, name }): Promise<[string, Buffer]> => {
        const response = await fetch(`${this.url}/api/threads/${threadId}/files/${file_id}`, { headers });
        if (!response.ok) throw new Error(`the download returned ${response.status}: ${await response.text()}`);
        return [name, Buffer.from(await response.arrayBuffer())];
      }),
    );
  }

  /** The events of a run in the thread's log, read over an undisturbed socket. */
  async log(threadId: string, runId: string): Promise<BaseEvent[]> {
    const events: BaseEvent[] = [];
    await this.read(threadId, (payload, done) => {
      if (payload.entry?.run_id !== runId) return;
      events.push(payload.entry.event);
      if (['RUN_FINISHED', 'RUN_ERROR'].includes(payload.entry.event.type)) done();
    });
    return events;
  }

  /** A run in the server's view of the thread. */
  async view(threadId: string, runId: string): Promise<RunView> {
    let view: RunView | undefined;
    await this.read(threadId, (payload, done) => {
      const items: ThreadView['items'] = payload.snapshot?.items ?? [];
      for (const item of items) if (item.kind === 'run' && item.value.run_id === runId) view = item.value;
      if (payload.snapshot) done();
    });
    if (!view) throw new Error('the thread has no such run');
    return view;
  }

  /** Subscribes for a snapshot and then from the beginning, and passes on all payloads until `done` is called. */
  private async read(threadId: string, onPayload: (payload: any, done: () => void) => void): Promise<void> {
    const headers = { authorization: `Bearer ${await this.token()}` };
    const socket = new WebSocket(`ws://127.0.0.1:${this.port}/ws`, 'netra.v1', { headers });
    const subscribe = (id: number, after?: object) =>
      socket.send(JSON.stringify({ type: 'subscribe', id, payload: { channel: `thread/${threadId}`, ...(after && { after }) } }));
    const finished = new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('message', (data) => {
        const { type, id, payload } = JSON.parse(String(data));
        if (type === 'welcome') return subscribe(1);
        if (type === 'error') return reject(new Error(payload.message));
        onPayload(payload, resolve);
        if (id === 1) subscribe(2, { epoch: payload.epoch, seq: 0 });
      });
    });
    const timer = setTimeout(() => socket.terminate(), TIMEOUT_MS);
    socket.on('close', () => clearTimeout(timer));
    await Promise.race([finished, once(socket, 'close').then(() => Promise.reject(new Error('the socket closed first')))]);
    socket.terminate();
  }
}
