/** A real `netra serve` process with its own port and data folder, removed after the test. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const root = resolve(import.meta.dirname, '..');
const binary = resolve(process.env['NETRA'] ?? join(root, 'target/release/netra'));
/** How long starting or stopping may take, in milliseconds. */
const timeoutMs = 20_000;
/** How long a stopping server waits for its runs, in milliseconds, unless a test sets another time: below `timeoutMs`. */
const drainMs = 500;
/** How many characters of the server's output are kept. */
const logLimit = 400_000;

export interface Options {
  /** Environment variables for the server, such as `{ NETRA_SOCKET__HEARTBEAT_MS: '1000' }`. */
  env?: Record<string, string>;
  /** TOML appended to Leptos.toml, for tables that variables cannot set, such as `[[agents]]` (with an absolute `file`). */
  config?: string;
}

export class Server {
  readonly setupToken = 'setup-token-of-the-end-to-end-tests';
  private child: ChildProcess | undefined;
  private output = '';

  private constructor(
    /** The server's folder, with `data/` and its configuration. */
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

  /** The newest output of the server, across restarts. */
  get log(): string {
    return this.output;
  }

  /** The link that the server prints when it starts. */
  get link(): string {
    const link = this.output.match(/https?:\/\/[^\s"'<>\x1b]+/)?.[0];
    if (!link) throw new Error(`the server printed no link:\n${this.output}`);
    return link;
  }

  /** Starts the process, each time on the same port with the same data. */
  async start(): Promise<void> {
    const args = ['serve', '--listen', `127.0.0.1:${this.port}`, '--data', join(this.folder, 'data')];
    if (this.options.config) args.push('--config', join(this.folder, 'Leptos.toml'));
    const child = spawn(binary, args, {
      cwd: root,
      env: { ...process.env, NETRA_SETUP_TOKEN: this.setupToken, NO_COLOR: '1', NETRA_SERVER__DRAIN_MS: String(drainMs), ...this.options.env },
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
      const response = fetch(`${this.url}/api/config`, { signal: AbortSignal.timeout(timeoutMs) });
      return (await response.catch(() => undefined))?.ok ?? false;
    });
  }

  /** Stops the server gracefully (SIGTERM), as a deployment does, and waits until it has stopped. */
  async stop(): Promise<void> {
    await this.end('SIGTERM');
  }

  /** Kills the server (SIGKILL), like a crash. */
  async kill9(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** Stops the server and starts it again with the same data, as a deployment does. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Checks the log of every run against AG-UI's rules. Throws if one breaks them. */
  async verify(): Promise<void> {
    const config = this.options.config ? ['--config', join(this.folder, 'Leptos.toml')] : [];
    const args = ['store', 'verify', '--data', join(this.folder, 'data'), ...config];
    await promisify(execFile)(binary, args, { cwd: root, env: { ...process.env, ...this.options.env } }).catch(
      ({ stdout, stderr }: { stdout: string; stderr: string }) => {
        throw new Error(`the log breaks AG-UI's rules:\n${stdout}${stderr}`);
      },
    );
  }

  /** Adds an account, as an operator does. */
  addUser({ email, name, password }: { email: string; name: string; password: string }): void {
    const args = ['user', 'add', '--password-stdin', '--email', email, '--name', name, '--data', join(this.folder, 'data')];
    execFileSync(binary, args, { cwd: this.folder, input: password, stdio: ['pipe', 'ignore', 'inherit'] });
  }

  /** Stops the server and removes its folder. */
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
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    await exited;
    clearTimeout(timer);
    if (timedOut) throw new Error(`the server did not stop within ${timeoutMs} ms of ${signal}:\n${this.output}`);
  }

  private async until(condition: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!(await condition())) {
      if (Date.now() > deadline) throw new Error(`the server did not answer within ${timeoutMs} ms:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/**
 * A free port for a server that may be stopped and started again. It is below the ports that systems give to outgoing connections
 * (from 32768 on Linux, from 49152 elsewhere), so that no connection takes it while the server is stopped.
 */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const port = 12_000 + Math.floor(Math.random() * 20_000);
    const probe = createServer();
    probe.once('error', () => resolve(freePort()));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(port)));
  });
}
