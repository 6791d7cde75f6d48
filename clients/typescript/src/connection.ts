/**
 * One durable socket: it opens when it is needed, comes back when it is cut, and closes when nothing has needed it for a while.
 *
 * Promises: each entry of a followed channel is handed on once and in order; each command is answered once, and those that were
 * under way when a connection died are sent again as they were, in order (the ids inside make that harmless); nothing is kept
 * without a bound.
 */
import type { RunAgentInput } from '@ag-ui/client';
import { Channels, type Follower, type Next } from './channels.js';
import { Backoff, comesBack, farewell } from './reconnect.js';
import { Later, type Socket, type WayOptions, begin, open } from './transport.js';
import { type Accepted, type ErrorBody, type EventPush, NetraError, type Subscribed, type Welcome, refusal, waits } from './wire.js';

export interface ConnectionOptions extends WayOptions {
  /** Milliseconds after which a socket that nobody needs is closed. Default: 10 000. */
  idleMs?: number;
  /** The source of jitter, 0 up to 1. */
  random?: () => number;
}

interface Command {
  type: string;
  payload: object;
  resolve: (payload: unknown) => void;
  reject: (error: NetraError) => void;
  tries: number;
}

/** Milliseconds for a handshake up to its welcome, and for an answer to a ping. */
const ANSWER_MS = 10_000;
/** Milliseconds for the reply to a command on a connection that is otherwise alive. */
const COMMAND_MS = 30_000;
/** Milliseconds after its welcome when a connection counts as good. */
const PROVING_MS = 5_000;
const MOST_COMMANDS = 256;
const MOST_TRIES = 10;

/** How many threads with a shared state are remembered. */
const MOST_WITH_STATE = 256;

export class Connection {
  private socket: Socket | undefined;
  private welcomed: Welcome | undefined;
  private opening = false;
  private attempt = 0;
  private advertised: number | undefined;
  private readonly backoff: Backoff;
  private readonly channels = new Channels();
  /** Threads in which a shared state was seen. */
  private readonly withState = new Set<string>();
  private readonly queue: Command[] = [];
  private inFlight: number | undefined;
  private lastId = 0;
  private holds = 0;
  private readonly waiting = new Set<{ resolve: (welcome: Welcome) => void; reject: (error: NetraError) => void }>();
  private readonly timers = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(private readonly options: ConnectionOptions) {
    this.backoff = new Backoff(options.random ?? Math.random);
  }

  /** Whose connection it is, once there is one. */
  ready(): Promise<Welcome> {
    if (this.welcomed) return Promise.resolve(this.welcomed);
    const welcome = new Promise<Welcome>((resolve, reject) => this.waiting.add({ resolve, reject }));
    this.wake();
    return welcome;
  }

  /** Remembers that a thread has a shared state. */
  noteState(threadId: string): void {
    if (this.withState.size < MOST_WITH_STATE) this.withState.add(threadId);
  }

  /** Whether a thread has a shared state, as far as this connection has seen; of more threads than are remembered each may. */
  mayHaveState(threadId: string): boolean {
    return this.withState.size >= MOST_WITH_STATE || this.withState.has(threadId);
  }

  /** Keeps the socket until the returned function is called. */
  hold(): () => void {
    this.holds += 1;
    this.stopTimer('idle');
    let held = true;
    return () => {
      if (held) this.holds -= 1;
      held = false;
      this.rest();
    };
  }

  /** Sends a command, as often as it takes to be answered. */
  command<T>(type: string, payload: object): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.queue.length >= MOST_COMMANDS) {
        return reject(new NetraError('unavailable', `${MOST_COMMANDS} commands wait already; wait until the connection is back`));
      }
      this.queue.push({ type, payload, resolve: resolve as (payload: unknown) => void, reject, tries: 0 });
      this.wake();
      this.pump();
    });
  }

  /** Whether a run can be begun over HTTP: a ticket is one for a socket alone. */
  get speaksHttp(): boolean {
    return this.options.getTicket === undefined;
  }

  /** Begins a run over HTTP, as often as it takes to be answered; what the server cannot do now is asked a few times. */
  async begin(agent: string, input: RunAgentInput, wanted: () => boolean): Promise<Accepted | undefined> {
    const backoff = new Backoff(this.options.random ?? Math.random);
    for (let refused = 0; wanted(); ) {
      try {
        return await begin(this.options, agent, input);
      } catch (error) {
        if (error instanceof NetraError) throw error;
        if (error instanceof Later && ++refused >= MOST_TRIES) throw error.error;
        const asked = error instanceof Later ? (error.error.retryAfterMs ?? 0) : 0;
        await new Promise((done) => setTimeout(done, asked + backoff.next(undefined, '')));
      }
    }
    return undefined;
  }

  /** Takes a command back that was not sent yet. Answers whether it was so. */
  takeBack(payload: object): boolean {
    const index = this.queue.findIndex((command) => command.payload === payload && command.tries === 0);
    const [command] = index < 0 ? [] : this.queue.splice(index, 1);
    command?.reject(new NetraError('cancelled', 'taken back before it was sent'));
    return command !== undefined;
  }

  /** Follows a channel from where this connection knows it, or from a snapshot. Resolves when the server agreed. */
  follow(name: string, follower: Follower): Promise<void> {
    const agreed = this.channels.add(name, follower);
    this.wake();
    this.pump();
    return agreed;
  }

  unfollow(name: string, follower: Follower): void {
    this.channels.remove(name, follower);
    this.pump();
    this.rest();
  }

  /** How far a followed channel has come. */
  position(name: string): number {
    return this.channels.position(name);
  }

  /** Has a channel's entries after `seq` told again; after nothing: a snapshot. */
  rewind(name: string, seq?: number): void {
    this.channels.rewind(name, seq);
    this.pump();
  }

  /** Closes the socket for good; whatever waits fails. */
  close(): void {
    this.fail(new NetraError('closed', 'the agent was closed'), 1000);
  }

  // Opening, losing and coming back.

  /** Opens the socket, unless it is open or on its way. */
  private wake(): void {
    this.stopTimer('idle');
    if (this.socket || this.opening || this.timers.has('retry')) return;
    globalThis.removeEventListener?.('online', this.online);
    this.opening = true;
    const attempt = ++this.attempt;
    open(this.options).then(
      (socket) => {
        if (attempt !== this.attempt) return socket.close(1000);
        this.opening = false;
        this.listen(socket);
      },
      (error: unknown) => {
        if (attempt !== this.attempt) return;
        this.opening = false;
        if (error instanceof NetraError) this.fail(error, 1000);
        else this.comeBack('');
      },
    );
  }

  private listen(socket: Socket): void {
    this.socket = socket;
    this.advertised = undefined;
    socket.onmessage = ({ data }) => {
      if (this.socket === socket && typeof data === 'string') this.heard(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.socket === socket) this.closed(code, reason);
    };
    // A close follows; without a listener, some platforms would throw.
    socket.onerror = () => {};
    this.startTimer('dead', ANSWER_MS, () => this.drop());
  }

  /** Gives a connection up from which nothing is heard. */
  private drop(): void {
    const socket = this.socket;
    this.closed(4000, '');
    socket?.close(4000, 'nothing was heard');
  }

  private closed(code: number, reason: string): void {
    this.lost();
    if (comesBack(code)) return this.comeBack(reason);
    const [why, message] = farewell(code);
    this.fail(new NetraError(why, message), 1000);
  }

  private lost(): void {
    this.socket = undefined;
    this.welcomed = undefined;
    this.inFlight = undefined;
    for (const timer of ['dead', 'ping', 'proved', 'pause', 'again', 'answer']) this.stopTimer(timer);
    this.channels.lost();
    const [first] = this.queue;
    if (first && first.tries >= MOST_TRIES) {
      this.queue.shift();
      first.reject(new NetraError('unavailable', 'the server did not answer; look whether it was done before you try again'));
    }
  }

  private comeBack(reason: string): void {
    if (!this.needed()) return;
    this.startTimer('retry', this.backoff.next(this.advertised, reason), () => this.wake());
    // The network is back: no reason to wait for the rest, unless the server asked for it.
    if (this.advertised === undefined && reason === '') globalThis.addEventListener?.('online', this.online);
  }

  private readonly online = (): void => {
    if (this.timers.has('retry')) this.stopTimer('retry');
    if (this.needed()) this.wake();
  };

  /** Ends everything that waits; the next use opens a new socket. */
  private fail(error: NetraError, code: number): void {
    const socket = this.socket;
    this.attempt += 1;
    this.opening = false;
    this.stopTimer('retry');
    this.stopTimer('idle');
    globalThis.removeEventListener?.('online', this.online);
    this.lost();
    socket?.close(code);
    const [commands, waiting] = [this.queue.splice(0), [...this.waiting]];
    this.waiting.clear();
    waiting.forEach(({ reject }) => reject(error));
    commands.forEach(({ reject }) => reject(error));
    this.channels.fail(error);
  }

  private needed(): boolean {
    return this.holds > 0 || this.queue.length > 0 || this.channels.size > 0 || this.waiting.size > 0;
  }

  private rest(): void {
    if (this.needed()) return;
    this.stopTimer('retry');
    if (this.socket) this.startTimer('idle', this.options.idleMs ?? 10_000, () => this.fail(new NetraError('closed', 'idle'), 1000));
  }

  // What comes.

  private heard(text: string): void {
    if (this.welcomed) this.expectSign(this.welcomed.heartbeat_ms);
    let frame: { type?: string; id?: number; payload?: unknown };
    try {
      frame = JSON.parse(text) as typeof frame;
    } catch {
      return this.drop();
    }
    const { type, id, payload } = frame;
    if (typeof id === 'number') return this.answered(id, type === 'ok', payload);
    if (type === 'welcome') this.welcome(payload as Welcome);
    else if (type === 'event') this.next(this.channels.event(payload as EventPush));
    else if (type === 'draining') this.advertised = (payload as { reconnect_in_ms: number }).reconnect_in_ms;
  }

  private welcome(welcome: Welcome): void {
    this.welcomed = welcome;
    this.expectSign(welcome.heartbeat_ms);
    this.startTimer('proved', Math.min(PROVING_MS, welcome.heartbeat_ms), () => this.backoff.proved());
    this.waiting.forEach(({ resolve }) => resolve(welcome));
    this.waiting.clear();
    this.pump();
    this.rest();
  }

  /** Only what arrives counts as a sign of life: after a silence the server is asked, and given up if it does not answer. */
  private expectSign(heartbeatMs: number): void {
    this.stopTimer('dead');
    this.startTimer('ping', Math.max(heartbeatMs, 1_000), () => {
      this.send('ping', {});
      this.startTimer('dead', ANSWER_MS, () => this.drop());
    });
  }

  private next(next: Next): void {
    if (next === 'hopeless') this.drop();
    else if (next && 'pause' in next) this.pause(next.pause);
    else if (next) this.startTimer('again', next.again, () => this.pump());
  }

  private answered(id: number, ok: boolean, payload: unknown): void {
    const [channel, left] = [this.channels.askedAs(id), this.channels.leavingAs(id)];
    if (left !== undefined) this.next(this.channels.left(left, ok ? undefined : (payload as ErrorBody)));
    else if (channel !== undefined && ok) this.next(this.channels.answered(channel, payload as Subscribed));
    else if (channel !== undefined) this.next(this.channels.refused(channel, payload as ErrorBody));
    else if (this.inFlight === id) this.replied(ok, payload);
    this.pump();
    this.rest();
  }

  private replied(ok: boolean, payload: unknown): void {
    this.inFlight = undefined;
    this.stopTimer('answer');
    const [first] = this.queue;
    if (!first) return;
    const error = ok ? undefined : refusal(payload as ErrorBody);
    if (error && waits(error) && first.tries < MOST_TRIES) return this.pause(error);
    this.queue.shift();
    if (error) first.reject(error);
    else first.resolve(payload);
  }

  private pause({ retryAfterMs = 0 }: NetraError): void {
    this.startTimer('pause', retryAfterMs, () => this.pump());
  }

  // What goes.

  /** Sends what may be sent now: what is left and followed first, then one command after the other. */
  private pump(): void {
    if (!this.welcomed) return;
    const paused = this.timers.has('pause');
    if (!paused && !this.timers.has('again')) this.channels.ask((type, payload) => this.send(type, payload));
    const [first] = this.queue;
    if (!first || paused || this.inFlight !== undefined) return;
    first.tries += 1;
    this.startTimer('answer', COMMAND_MS, () => this.drop());
    this.inFlight = this.send(first.type, first.payload);
  }

  private send(type: string, payload: object): number {
    const id = ++this.lastId;
    const text = JSON.stringify({ type, id, payload });
    const most = this.welcomed?.max_frame_bytes ?? Infinity;
    if (new TextEncoder().encode(text).length > most) {
      // Answered here: the server would close the socket.
      const large = { code: 'too_large', message: `a frame has at most ${most} bytes` };
      queueMicrotask(() => this.answered(id, false, large));
    } else {
      this.socket?.send(text);
    }
    return id;
  }

  private startTimer(name: string, ms: number, run: () => void): void {
    this.stopTimer(name);
    const timer = setTimeout(() => {
      this.timers.delete(name);
      run();
    }, ms);
    this.timers.set(name, timer);
  }

  private stopTimer(name: string): void {
    clearTimeout(this.timers.get(name));
    this.timers.delete(name);
  }
}
