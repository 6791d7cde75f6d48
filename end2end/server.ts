/** A real `netra serve` under test: its own port, its own data folder, gone when the test is. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const root = resolve(import.meta.dirname, '..');
const binary = resolve(process.env['NETRA'] ?? join(root, 'target/release/netra'));
/** Milliseconds to start, and to stop: far more than either takes. */
const patience = 20_000;
/** Characters of the server's output that are kept for a report. */
const logLimit = 400_000;

export interface Options {
  /** Variables for the server, such as `{ NETRA_SOCKET__HEARTBEAT_MS: '1000' }`. */
  env?: Record<string, string>;
  /** TOML put after Leptos.toml: tables that variables cannot say, such as `[[agents]]` (with an absolute `file`). */
  config?: string;
}

export class Server {
  readonly setupToken = 'setup-token-of-the-end-to-end-tests';
  private child: ChildProcess | undefined;
  private output = '';

  private constructor(
    /** The folder of this server alone: `data/` inside it, and its configuration. */
    readonly folder: string,
    readonly port: number,
    private readonly options: Options,
  ) {}

  /** Starts a server on a free port with an empty store, and waits until it answers. */
  static async start(options: Options = {}): Promise<Server> {
    const folder = await mkdtemp(join(tmpdir(), 'netra-e2e-'));
    const server = new Server(folder, await freePort(), options);
    if (options.config) {
      const base = await readFile(join(root, 'Leptos.toml'), 'utf8');
      await writeFile(join(folder, 'Leptos.toml'), `${base}\n${options.config}\n`);
    }
    await server.start();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Everything the server has said, across restarts (the newest part of it). */
  get log(): string {
    return this.output;
  }

  /** The link that the server prints for whoever started it. */
  get link(): string {
    const link = this.output.match(/https?:\/\/[^\s"'<>\x1b]+/)?.[0];
    if (!link) throw new Error(`the server printed no link:\n${this.output}`);
    return link;
  }

  /** Starts the process again on the same port with the same data. */
  async start(): Promise<void> {
    const args = ['serve', '--listen', `127.0.0.1:${this.port}`, '--data', join(this.folder, 'data')];
    if (this.options.config) args.push('--config', join(this.folder, 'Leptos.toml'));
    const child = spawn(binary, args, {
      cwd: root,
      env: { ...process.env, NETRA_SETUP_TOKEN: this.setupToken, NO_COLOR: '1', ...this.options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    const keep = (chunk: Buffer) => {
      this.output = (this.output + chunk.toString()).slice(-logLimit);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.on('error', (error) => keep(Buffer.from(`${binary}: ${error.message}\n`)));
    await this.until(async () => {
      if (this.child !== child || child.exitCode !== null || child.pid === undefined) {
        throw new Error(`the server did not start:\n${this.output}`);
      }
      return (await fetch(`${this.url}/api/config`).catch(() => undefined))?.ok ?? false;
    });
  }

  /** Asks the server to stop (SIGTERM), as a deploy does, and waits until it has. */
  async stop(): Promise<void> {
    await this.end('SIGTERM');
  }

  /** Ends the server as a crash does (SIGKILL). */
  async kill9(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** A deploy: stop, and start with the same data. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Holds the log of every run to AG-UI's rules; throws with what breaks them. */
  async verify(): Promise<void> {
    const config = this.options.config ? ['--config', join(this.folder, 'Leptos.toml')] : [];
    const args = ['store', 'verify', '--data', join(this.folder, 'data'), ...config];
    await promisify(execFile)(binary, args, { cwd: root, env: { ...process.env, ...this.options.env } }).catch(
      ({ stdout, stderr }: { stdout: string; stderr: string }) => {
        throw new Error(`the log breaks AG-UI's rules:\n${stdout}${stderr}`);
      },
    );
  }

  /** Ends the server for good and removes its folder. */
  async remove(): Promise<void> {
    try {
      await this.stop();
    } finally {
      await rm(this.folder, { recursive: true, force: true });
    }
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.child;
    this.child = undefined;
    if (!child || child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((done) => child.once('exit', () => done()));
    child.kill(signal);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, patience);
    await gone;
    clearTimeout(timer);
    if (late) throw new Error(`the server did not stop within ${patience} ms of ${signal}:\n${this.output}`);
  }

  private async until(condition: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + patience;
    while (!(await condition())) {
      if (Date.now() > deadline) throw new Error(`the server did not answer within ${patience} ms:\n${this.output}`);
      await new Promise((next) => setTimeout(next, 50));
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const probe = createServer();
    probe.once('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      if (address === null || typeof address === 'string') return failed(new Error('no port'));
      probe.close(() => done(address.port));
    });
  });
}
