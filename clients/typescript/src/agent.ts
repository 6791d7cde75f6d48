/**
 * {@link NetraAgent}: an agent of a Netra server for AG-UI's client, like its `HttpAgent`, but over Netra's WebSocket.
 *
 * Runs belong to the server, not to the connection: after a failure the agent reconnects and resumes, and the front end gets each event
 * once and in order. The server also stores the conversation: only the last of `messages`, the user's, is sent.
 */
import { AbstractAgent, type AgentConfig, type BaseEvent, type RunAgentInput } from '@ag-ui/client';
import { Observable, tap } from 'rxjs';
import { Connection, type ConnectionOptions } from './connection.js';
import { Run } from './run.js';
import { NetraError } from './wire.js';

export interface NetraAgentConfig extends AgentConfig, Omit<ConnectionOptions, 'base'> {
  /** The server (`https://netra.example.org`), or an agent's endpoint there (`https://netra.example.org/api/agents/analyst/agui`). */
  url: string;
  /** The agent's id. Default: the one in `url`, otherwise the thread's agent. */
  agent?: string;
}

export class NetraAgent extends AbstractAgent {
  private agent: string | undefined;
  private connection: Connection;
  /** The runs that wait for answers, by the ids of their interrupts and pending calls. */
  private waitingRuns = new Map<string, string>();
  private runs = new Set<Run>();
  /** The shared state after the server's events, as JSON; it need not be sent to the server again. */
  private serverState: string | undefined;

  constructor(config: NetraAgentConfig) {
    super(config);
    const { base, agent } = parseUrl(config.url);
    this.agent = config.agent ?? agent;
    this.connection = new Connection({ ...config, base });
  }

  run(input: RunAgentInput): Observable<BaseEvent> {
    return this.follow(input, (run) => run.start());
  }

  /**
   * Called by `connectAgent`: emits the thread's conversation, and the newest run to its end. This restores `messages`, `state` and
   * `pendingInterrupts` after a reload. Unsubscribing does not stop the run.
   */
  protected override connect(input: RunAgentInput): Observable<BaseEvent> {
    return this.follow(input, (run) => run.join());
  }

  private follow(input: RunAgentInput, start: (run: Run) => Promise<void>): Observable<BaseEvent> {
    const isKnown = this.serverState !== undefined && JSON.stringify(input.state) === this.serverState;
    const { state: _, ...stateless } = input;
    return new Observable((subscriber) => {
      const run = new Run(this.connection, this.agent, isKnown ? stateless : input, this.waitingRuns, subscriber);
      this.runs.add(run);
      void start(run);
      return () => {
        this.runs.delete(run);
        run.close();
      };
    });
  }

  protected override apply(...args: Parameters<AbstractAgent['apply']>): ReturnType<AbstractAgent['apply']> {
    return super.apply(...args).pipe(
      tap(({ state }) => {
        if (state !== undefined) this.serverState = JSON.stringify(state);
      }),
    );
  }

  /** Stops the run on the server. The stream ends with `RUN_FINISHED` and the outcome `cancelled`. */
  override abortRun(): void {
    for (const run of [...this.runs]) run.stop();
  }

  /** Stops following the run, which continues on the server. (Unsubscribing in any other way stops a run that `run` started.) */
  override async detachActiveRun(): Promise<void> {
    this.runs.forEach((run) => run.detach());
    await super.detachActiveRun();
  }

  /** Closes the socket, which clones share. Runs that are followed fail here and continue on the server. */
  close(): void {
    this.connection.close();
  }

  override clone(): NetraAgent {
    const cloned = super.clone() as NetraAgent;
    cloned.agent = this.agent;
    cloned.connection = this.connection;
    cloned.waitingRuns = this.waitingRuns;
    cloned.serverState = this.serverState;
    cloned.runs = new Set();
    return cloned;
  }
}

/** Splits a URL into the server's and the id of the agent, if it is an agent's endpoint. */
export function parseUrl(url: string): { base: string; agent?: string } {
  const page = (globalThis as { location?: { href: string } }).location?.href;
  if (!URL.canParse(url, page)) throw new NetraError('invalid_input', `\`${url}\` is not a URL; give the server's, such as https://netra.example.org`);
  const { origin, pathname } = new URL(url, page);
  const [, path, id] = /^(.*)\/api\/agents\/([^/]+)\/agui\/?$/.exec(pathname) ?? [];
  const base = origin + (path ?? pathname).replace(/\/+$/, '');
  return id === undefined ? { base } : { base, agent: decodeURIComponent(id) };
}
