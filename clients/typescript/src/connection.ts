/**
 * One WebSocket: opens when it is needed, reconnects after a failure, and closes when it was not needed for a while.
 *
 * Guarantees: each entry of a followed channel is passed on once and in order. Each command gets one reply; commands that were under
 * way when a connection failed are sent again unchanged and in order; the ids of threads, messages and answers in them keep the server
 * from executing them twice. Every queue and map has a bound.
 */
import type { RunAgentInput } from '@ag-ui/client';
import { type Action, Channels, type Follower } from './channels.js';
import type { CompactEntry } from './compact.js';
import { Backoff, closeError, shouldReconnect } from './reconnect.js';
import { RetryableError, type Socket, type TransportOptions, openSocket, startRun } from './transport.js';
import { type Accepted, type ErrorBody, type EventPush, NetraError, type Subscribed, type Welcome, isRetryable, toError } from './wire.js';

export interface ConnectionOptions extends TransportOptions {
  /** Milliseconds after which a socket that is not needed is closed. Default: 10 000. */
  idleMs?: number;
  /** The source of jitter, 0 up to 1. */
  random?: () => number;
}

interface Command {
  type: string;
  payload: object;
  resolve: (payload: unknown) => void;
  reject: (error: NetraError) => void;
  attempts: number;
}

/** Milliseconds for a handshake up to its welcome, and for the reply to a ping. */
const REPLY_TIMEOUT_MS = 10_000;
/** Milliseconds for the reply to a command on a connection that is otherwise alive. */
const COMMAND_TIMEOUT_MS = 30_000;
/** Milliseconds after the welcome until a connection counts as stable. */
const STABLE_AFTER_MS = 5_000;
const MAX_COMMANDS = 256;
const MAX_ATTEMPTS = 10;
/** How many threads with a shared state are remembered. */
const MAX_THREADS_WITH_STATE = 256;

type Timer =
  /** Gives up a connection that does not reply. */
  | 'silence'
  /** Sends a ping after a silence. */
  | 'ping'
  /** Resets the backoff. */
  | 'stable'
  /** Until it fires, nothing is sent. */
  | 'pause'
  /** Until it fires, no subscription is sent. */
  | 'resubscribe'
  /** Gives up a connection without a reply to a command. */
  | 'command'
  /** Opens the next socket. */
  | 'reconnect'
  /** Closes a socket that is not needed. */
  | 'idle';

export class Connection {
  private socket: Socket | undefined;
  private welcome: Welcome | undefined;
  private opening = false;
  /** Counts the sockets that were opened, to ignore the result of an earlier attempt. */
  private attempt = 0;
  /** The wait before reconnecting that the server named in a `draining` push, in milliseconds. */
  private reconnectInMs: number | undefined;
  private readonly backoff: Backoff;
  private readonly channels = new Channels();
  /** Threads with a shared state. */
  private readonly threadsWithState = new Set<string>();
  private readonly queue: Command[] = [];
  private inFlight: number | undefined;
  private lastId = 0;
  private holds = 0;
  /** The calls of {@link ready} that wait. */
  private readonly waiting = new Set<{ resolve: (welcome: Welcome) => void; reject: (error: NetraError) => void }>();
  private readonly timers = new Map<Timer, ReturnType<typeof setTimeout>>();

  constructor(private readonly options: ConnectionOptions) {
    this.backoff = new Backoff(options.random ?? Math.random);
  }

  /** Resolves with the server's welcome, which names the user, once the connection is open. */
  ready(): Promise<Welcome> {
    if (this.welcome) return Promise.resolve(this.welcome);
    const welcome = new Promise<Welcome>((resolve, reject) => this.waiting.add({ resolve, reject }));
    this.connect();
    return welcome;
  }

  /** Remembers that a thread has a shared state. */
  noteState(threadId: string): void {
    if (this.threadsWithState.size < MAX_THREADS_WITH_STATE) this.threadsWithState.add(threadId);
  }

  /** Whether a thread may have a shared state: it was noted, or so many were that not all are remembered. */
  mayHaveState(threadId: string): boolean {
    return this.threadsWithState.size >= MAX_THREADS_WITH_STATE || this.threadsWithState.has(threadId);
  }

  /** Keeps the socket open until the returned function is called. */
  hold(): () => void {
    this.holds += 1;
    this.stopTimer('idle');
    let held = true;
    return () => {
      if (held) this.holds -= 1;
      held = false;
      this.closeIfIdle();
    };
  }

  /** Sends a command, again on each new connection until it is answered. */
  command<T>(type: string, payload: object): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.queue.length >= MAX_COMMANDS) {
        return reject(new NetraError('unavailable', `${MAX_COMMANDS} commands are queued already; wait until the connection is back`));
      }
      this.queue.push({ type, payload, resolve: resolve as (payload: unknown) => void, reject, attempts: 0 });
      this.connect();
      this.flush();
    });
  }

  /** Whether a run can be started over HTTP: a ticket is valid only for a socket. */
  get canUseHttp(): boolean {
    return this.options.getTicket === undefined;
  }

  /** Starts a run over HTTP. Retries network errors while `isWanted`, and temporary refusals at most {@link MAX_ATTEMPTS} times. */
  async startRun(agent: string, input: RunAgentInput, isWanted: () => boolean): Promise<Accepted | undefined> {
    const backoff = new Backoff(this.options.random ?? Math.random);
    for (let refused = 0; isWanted(); ) {
      try {
        return await startRun(this.options, agent, input);
      } catch (error) {
        if (error instanceof NetraError) throw error;
        if (error instanceof RetryableError && ++refused >= MAX_ATTEMPTS) throw error.error;
        const retryAfterMs = error instanceof RetryableError ? (error.error.retryAfterMs ?? 0) : 0;
        await new Promise((resolve) => setTimeout(resolve, retryAfterMs + backoff.next(undefined, '')));
      }
    }
    return undefined;
  }

  /** Removes a command that was not sent yet; returns whether there was one. */
  cancelUnsent(payload: object): boolean {
    const index = this.queue.findIndex((command) => command.payload === payload && command.attempts === 0);
    const [command] = index < 0 ? [] : this.queue.splice(index, 1);
    command?.reject(new NetraError('cancelled', 'cancelled before it was sent'));
    return command !== undefined;
  }

  /** Follows a channel from the last cursor of this connection, or from a snapshot. Resolves when the server has accepted. */
  follow(name: string, follower: Follower): Promise<void> {
    const accepted = this.channels.add(name, follower);
    this.connect();
    this.flush();
    return accepted;
  }

  unfollow(name: string, follower: Follower): void {
    this.channels.remove(name, follower);
    this.flush();
    this.closeIfIdle();
  }

  /** The `seq` of a followed channel's last entry. */
  position(name: string): number {
    return this.channels.position(name);
  }

  /** Requests a channel's entries after `seq` again; without `seq`, a snapshot. */
  rewind(name: string, seq?: number): void {
    this.channels.rewind(name, seq);
    this.flush();
  }

  /** Closes the socket; everything that waits fails. */
  close(): void {
    this.fail(new NetraError('closed', 'the agent was closed'), 1000);
  }

  // Connecting and reconnecting.

  /** Opens the socket, unless it is open, being opened, or waiting to be. */
  private connect(): void {
    this.stopTimer('idle');
    if (this.socket || this.opening || this.timers.has('reconnect')) return;
    globalThis.removeEventListener?.('online', this.onOnline);
    this.opening = true;
    const attempt = ++this.attempt;
    openSocket(this.options).then(
      (socket) => {
        if (attempt !== this.attempt) return socket.close(1000);
        this.opening = false;
        this.attach(socket);
      },
      (error: unknown) => {
        if (attempt !== this.attempt) return;
        this.opening = false;
        if (error instanceof NetraError) this.fail(error, 1000);
        else this.scheduleReconnect('');
      },
    );
  }

  private attach(socket: Socket): void {
    this.socket = socket;
    this.reconnectInMs = undefined;
    socket.onmessage = ({ data }) => {
      if (this.socket === socket && typeof data === 'string') this.onFrame(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.socket === socket) this.onClose(code, reason);
    };
    // `onclose` follows; without this listener, some platforms throw.
    socket.onerror = () => {};
    this.startTimer('silence', REPLY_TIMEOUT_MS, () => this.drop());
  }

  /** Gives up a connection that does not work, and opens another. */
  private drop(): void {
    const socket = this.socket;
    this.onClose(4000, '');
    socket?.close(4000, 'no reply');
  }

  private onClose(code: number, reason: string): void {
    this.reset();
    if (shouldReconnect(code)) return this.scheduleReconnect(reason);
    const [errorCode, message] = closeError(code);
    this.fail(new NetraError(errorCode, message), 1000);
  }

  /** Clears the state of the previous socket. */
  private reset(): void {
    this.socket = undefined;
    this.welcome = undefined;
    this.inFlight = undefined;
    for (const timer of ['silence', 'ping', 'stable', 'pause', 'resubscribe', 'command'] as const) this.stopTimer(timer);
    this.channels.disconnected();
    const [first] = this.queue;
    if (first && first.attempts >= MAX_ATTEMPTS) {
      this.queue.shift();
      first.reject(new NetraError('unavailable', 'the server did not reply; check whether the command was executed before you try again'));
    }
  }

  private scheduleReconnect(reason: string): void {
    if (!this.isNeeded()) return;
    this.startTimer('reconnect', this.backoff.next(this.reconnectInMs, reason), () => this.connect());
    // When the network is back, the rest of the wait is skipped, unless the server asked for it.
    if (this.reconnectInMs === undefined && reason === '') globalThis.addEventListener?.('online', this.onOnline);
  }

  private readonly onOnline = (): void => {
    this.stopTimer('reconnect');
    if (this.isNeeded()) this.connect();
  };

  /** Ends everything that waits; the next use opens a new socket. */
  private fail(error: NetraError, code: number): void {
    const socket = this.socket;
    this.attempt += 1;
    this.opening = false;
    this.stopTimer('reconnect');
    this.stopTimer('idle');
    globalThis.removeEventListener?.('online', this.onOnline);
    this.reset();
    socket?.close(code);
    const [commands, waiting] = [this.queue.splice(0), [...this.waiting]];
    this.waiting.clear();
    waiting.forEach(({ reject }) => reject(error));
    commands.forEach(({ reject }) => reject(error));
    this.channels.fail(error);
  }

  private isNeeded(): boolean {
    return this.holds > 0 || this.queue.length > 0 || this.channels.size > 0 || this.waiting.size > 0;
  }

  private closeIfIdle(): void {
    if (this.isNeeded()) return;
    this.stopTimer('reconnect');
    if (this.socket) this.startTimer('idle', this.options.idleMs ?? 10_000, () => this.fail(new NetraError('closed', 'closed because no run needed the connection'), 1000));
  }

  // Receiving.

  private onFrame(text: string): void {
    if (this.welcome) this.restartHeartbeat(this.welcome.heartbeat_ms);
    let frame: { type?: string; id?: number; payload?: unknown } | CompactEntry;
    try {
      frame = JSON.parse(text) as typeof frame;
    } catch {
      return this.drop();
    }
    if (Array.isArray(frame)) {
      return this.perform(this.channels.onCompactEntry(frame));
    }
    const { type, id, payload } = frame;
    if (typeof id === 'number') return this.onReply(id, type === 'ok', payload);
    if (type === 'welcome') this.onWelcome(payload as Welcome);
    else if (type === 'event') this.perform(this.channels.onEvent(payload as EventPush));
    else if (type === 'draining') this.reconnectInMs = (payload as { reconnect_in_ms: number }).reconnect_in_ms;
  }

  private onWelcome(welcome: Welcome): void {
    this.welcome = welcome;
    this.restartHeartbeat(welcome.heartbeat_ms);
    this.startTimer('stable', Math.min(STABLE_AFTER_MS, welcome.heartbeat_ms), () => this.backoff.reset());
    this.waiting.forEach(({ resolve }) => resolve(welcome));
    this.waiting.clear();
    this.flush();
    this.closeIfIdle();
  }

  /** Something was received. After a silence a ping is sent; without a reply the connection is given up. */
  private restartHeartbeat(heartbeatMs: number): void {
    this.stopTimer('silence');
    this.startTimer('ping', Math.max(heartbeatMs, 1_000), () => {
      this.send('ping', {});
      this.startTimer('silence', REPLY_TIMEOUT_MS, () => this.drop());
    });
  }

  private perform(action: Action): void {
    if (action === 'reconnect') this.drop();
    else if (action && 'pause' in action) this.pause(action.pause);
    else if (action) this.startTimer('resubscribe', action.resubscribeInMs, () => this.flush());
  }

  private onReply(id: number, ok: boolean, payload: unknown): void {
    const [subscribed, unsubscribed] = [this.channels.subscribeOf(id), this.channels.unsubscribeOf(id)];
    if (unsubscribed !== undefined) this.perform(this.channels.onUnsubscribed(unsubscribed, ok ? undefined : (payload as ErrorBody)));
    else if (subscribed !== undefined && ok) this.perform(this.channels.onSubscribed(subscribed, payload as Subscribed));
    else if (subscribed !== undefined) this.perform(this.channels.onRefused(subscribed, payload as ErrorBody));
    else if (this.inFlight === id) this.onCommandReply(ok, payload);
    this.flush();
    this.closeIfIdle();
  }

  private onCommandReply(ok: boolean, payload: unknown): void {
    this.inFlight = undefined;
    this.stopTimer('command');
    const [first] = this.queue;
    if (!first) return;
    const error = ok ? undefined : toError(payload as ErrorBody);
    if (error && isRetryable(error) && first.attempts < MAX_ATTEMPTS) return this.pause(error);
    this.queue.shift();
    if (error) first.reject(error);
    else first.resolve(payload);
  }

  private pause({ retryAfterMs = 0 }: NetraError): void {
    this.startTimer('pause', retryAfterMs, () => this.flush());
  }

  // Sending.

  /** Sends what may be sent now: subscriptions first, then the queued commands, one at a time. */
  private flush(): void {
    if (!this.welcome) return;
    const paused = this.timers.has('pause');
    if (!paused && !this.timers.has('resubscribe')) this.channels.sendDue((type, payload) => this.send(type, payload));
    const [first] = this.queue;
    if (!first || paused || this.inFlight !== undefined) return;
    first.attempts += 1;
    this.startTimer('command', COMMAND_TIMEOUT_MS, () => this.drop());
    this.inFlight = this.send(first.type, first.payload);
  }

  private send(type: string, payload: object): number {
    const id = ++this.lastId;
    const text = JSON.stringify({ type, id, payload });
    const maxBytes = this.welcome?.max_frame_bytes ?? Infinity;
    if (new TextEncoder().encode(text).length > maxBytes) {
      // Not sent, since the server would close the socket.
      const error = { code: 'too_large', message: `the command has more than the ${maxBytes} bytes that the server allows` };
      queueMicrotask(() => this.onReply(id, false, error));
    } else {
      this.socket?.send(text);
    }
    return id;
  }

  private startTimer(name: Timer, ms: number, run: () => void): void {
    this.stopTimer(name);
    const timer = setTimeout(() => {
      this.timers.delete(name);
      run();
    }, ms);
    this.timers.set(name, timer);
  }

  private stopTimer(name: Timer): void {
    clearTimeout(this.timers.get(name));
    this.timers.delete(name);
  }
}
