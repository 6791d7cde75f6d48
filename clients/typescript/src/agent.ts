/**
 * {@link NetraAgent}: an agent of a Netra server, to AG-UI's client what its `HttpAgent` is, over the durable socket.
 *
 * A run belongs to the server, not to the connection: when the socket is cut, the agent comes back and goes on where it was, and the
 * front end sees each event once and in order. The conversation is the server's too: of `messages` only the last, the person's, is
 * sent; what was said before is in the thread.
 */
import { AbstractAgent, type AgentConfig, type BaseEvent, type RunAgentInput } from '@ag-ui/client';
import { Observable, tap } from 'rxjs';
import { Connection, type ConnectionOptions } from './connection.js';
import { Run } from './run.js';
import { NetraError } from './wire.js';

export interface NetraAgentConfig extends AgentConfig, Omit<ConnectionOptions, 'base'> {
  /** The server (`https://netra.example.org`), or an agent's endpoint there (`https://netra.example.org/api/agents/analyst/agui`). */
  url: string;
  /** The id of the agent. Default: the one in `url`, else the thread's. */
  agent?: string;
}

export class NetraAgent extends AbstractAgent {
  private agent: string | undefined;
  private connection: Connection;
  /** The runs that ended by asking, by the ids of what they asked. */
  private asked = new Map<string, string>();
  private runs = new Set<Run>();
  /** The shared state as the server's events left it, as JSON: it need not be told to the server again. */
  private told: string | undefined;

  constructor(config: NetraAgentConfig) {
    super(config);
    const { base, agent } = address(config.url);
    this.agent = config.agent ?? agent;
    this.connection = new Connection({ ...config, base });
  }

  run(input: RunAgentInput): Observable<BaseEvent> {
    return this.follow(input, (run) => run.begin());
  }

  /**
   * What `connectAgent` asks for: the thread's conversation, and the newest run, to its end where it goes on. It restores `messages`,
   * `state` and `pendingInterrupts` after a reload. Leaving stops nothing.
   */
  protected override connect(input: RunAgentInput): Observable<BaseEvent> {
    return this.follow(input, (run) => run.join());
  }

  private follow(input: RunAgentInput, begin: (run: Run) => Promise<void>): Observable<BaseEvent> {
    const known = this.told !== undefined && JSON.stringify(input.state) === this.told;
    const { state: _, ...stateless } = input;
    return new Observable((subscriber) => {
      const run = new Run(this.connection, this.agent, known ? stateless : input, this.asked, subscriber);
      this.runs.add(run);
      void begin(run);
      return () => {
        this.runs.delete(run);
        run.leave();
      };
    });
  }

  protected override apply(...told: Parameters<AbstractAgent['apply']>): ReturnType<AbstractAgent['apply']> {
    return super.apply(...told).pipe(
      tap(({ state }) => {
        if (state !== undefined) this.told = JSON.stringify(state);
      }),
    );
  }

  /** Stops the run, everywhere. The stream ends when the run has: with `RUN_FINISHED`, outcome `cancelled`. */
  override abortRun(): void {
    for (const run of [...this.runs]) run.stop();
  }

  /** Stops following the run here. It goes on at the server. (Any other way to unsubscribe stops it.) */
  override async detachActiveRun(): Promise<void> {
    this.runs.forEach((run) => run.detach());
    await super.detachActiveRun();
  }

  /** Closes the socket at once; runs that are followed fail here, and go on at the server. Clones share the socket. */
  close(): void {
    this.connection.close();
  }

  override clone(): NetraAgent {
    const cloned = super.clone() as NetraAgent;
    cloned.agent = this.agent;
    cloned.connection = this.connection;
    cloned.asked = this.asked;
    cloned.told = this.told;
    cloned.runs = new Set();
    return cloned;
  }
}

/** The server and, where the address is an agent's, the agent. */
export function address(url: string): { base: string; agent?: string } {
  const page = (globalThis as { location?: { href: string } }).location?.href;
  if (!URL.canParse(url, page)) throw new NetraError('invalid_input', `\`${url}\` is no address; give the server's, such as https://netra.example.org`);
  const { origin, pathname } = new URL(url, page);
  const [, before, id] = /^(.*)\/api\/agents\/([^/]+)\/agui\/?$/.exec(pathname) ?? [];
  const base = origin + (before ?? pathname).replace(/\/+$/, '');
  return id === undefined ? { base } : { base, agent: decodeURIComponent(id) };
}
