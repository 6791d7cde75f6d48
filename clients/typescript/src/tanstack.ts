/**
 * {@link netraConnection}: what TanStack AI's `useChat({ connection })` takes, over the durable socket.
 *
 * A run's events are TanStack's chunks. A cut is not seen: the connection below comes back and goes on. After a reload, `hydrate`
 * answers the conversation, and `joinRun` tells the turn that goes on, from its beginning.
 */
import { type BaseEvent, EventType, type Message, type RunAgentInput } from '@ag-ui/client';
import { type StreamChunk, StreamProcessor, type UIMessage, uiMessagesToWire } from '@tanstack/ai/client';
import type { ConnectConnectionAdapter, ResumableConnectConnectionAdapter } from '@tanstack/ai-client';
import { Observable } from 'rxjs';
import { address, type NetraAgentConfig } from './agent.js';
import { Connection } from './connection.js';
import { idOf, type Turn } from './history.js';
import { newId } from './ids.js';
import { eventsOf } from './events.js';
import { Run } from './run.js';
import { metadataOf, type Outcome } from './compat.js';
import { NetraError } from './wire.js';

type Hydrate = NonNullable<ConnectConnectionAdapter['hydrate']>;
type Interrupts = NonNullable<Awaited<ReturnType<Hydrate>>['interrupts']>['pending'];

export interface NetraConnectionConfig extends Omit<NetraAgentConfig, 'agentId' | 'debug' | 'description' | 'initialMessages' | 'initialState'> {
  /**
   * What happens to the run when TanStack aborts its stream, as it does for `stop()` and when the chat is unmounted: `stop` ends it
   * at the server, `leave` lets it go on there. Default: `stop`. A page that is closed or reloaded stops nothing.
   */
  onAbort?: 'stop' | 'leave';
}

export interface NetraConnection extends ResumableConnectConnectionAdapter {
  hydrate: Hydrate;
  /** Closes the socket at once; runs that are followed fail here, and go on at the server. */
  close(): void;
}

/** Events that wait for a page that reads more slowly than they come. */
const MAX_WAITING_EVENTS = 100_000;
/** Runs whose thread is remembered. */
const MAX_RUNS = 64;

/** `useChat({ connection: netraConnection({ url, headers }), threadId, persistence: true })` */
export function netraConnection(config: NetraConnectionConfig): NetraConnection {
  const { base, agent } = address(config.url);
  const connection = new Connection({ ...config, base });
  const leaves = config.onAbort === 'leave';
  const asked = new Map<string, string>();
  const threads = new Map<string, string>();
  const remember = (runId: string, threadId: string) => {
    threads.delete(runId);
    threads.set(runId, threadId);
    const [oldest] = threads.keys();
    if (threads.size > MAX_RUNS && oldest !== undefined) threads.delete(oldest);
  };
  const follow = (input: Partial<RunAgentInput> & { threadId: string; runId: string }, begin: Begin): Followed => {
    const whole = { messages: [], tools: [], context: [], state: {}, forwardedProps: {}, ...input };
    return new Followed((subscriber) => new Run(connection, config.agent ?? agent, whole, asked, subscriber), begin);
  };

  return {
    async *connect(messages, data, signal, context) {
      const threadId = context?.threadId ?? config.threadId ?? newId();
      const runId = context?.runId ?? newId();
      remember(runId, threadId);
      const input = {
        threadId,
        runId,
        ...(context?.parentRunId !== undefined && { parentRunId: context.parentRunId }),
        ...(context?.resume !== undefined && { resume: context.resume }),
        messages: uiMessagesToWire(messages) as Message[],
        tools: context?.clientTools ?? [],
        forwardedProps: context?.forwardedProps ?? data ?? {},
      };
      yield* follow(input as RunAgentInput, (run) => run.begin()).read(new Chunks(messages), signal, () => leaves);
    },

    async *joinRun(runId, signal) {
      const threadId = threads.get(runId) ?? config.threadId;
      if (threadId === undefined) {
        const remedy = 'give `persistence: true` to the chat, or `threadId` to the connection';
        throw new NetraError('not_found', `nothing says which thread the run ${runId} belongs to; ${remedy}`);
      }
      const joined = follow({ threadId, runId }, (run) => run.join(beforeJoined));
      // TanStack gives up a run that it joined where nothing comes for a while; that run goes on.
      yield* joined.read(new Chunks([]), signal, (told) => leaves || !told);
    },

    async hydrate(threadId) {
      let turns: Turn[] = [];
      const newest = await follow({ threadId, runId: newId() }, (run) =>
        run.join((known) => {
          turns = known;
          return [];
        }),
      ).now();
      const runId = serverRunId(newest);
      if (runId === undefined) return { messages: [], activeRun: null, interrupts: null };
      remember(runId, threadId);
      const active = !newest.some(isLast);
      const pending = newest.flatMap(interruptsOf);
      return {
        messages: shownOf(turns, active),
        activeRun: active ? { runId } : null,
        interrupts: pending.length > 0 ? { runId, pending } : null,
      };
    },

    close: () => connection.close(),
  };
}

const snapshotOf = (messages: unknown[]): BaseEvent => ({ type: EventType.MESSAGES_SNAPSHOT, messages }) as unknown as BaseEvent;

/** The conversation as TanStack makes it of what it is told. The turn that goes on is told by `joinRun`. */
function shownOf(turns: Turn[], active: boolean): UIMessage[] {
  const processor = new StreamProcessor();
  turns.forEach(({ said, runs }, index) => {
    processor.addUserMessage(said.message.content, idOf(said));
    processor.prepareAssistantMessage();
    if (active && index === turns.length - 1) return;
    const chunks = new Chunks(processor.getMessages());
    for (const chunk of runs.flatMap(eventsOf).flatMap((event) => chunks.of(event))) processor.processChunk(chunk);
  });
  return processor.getMessages();
}

/**
 * What TanStack is told before a run that it joins: the messages up to the newest turn, and what the turn's earlier runs said.
 * Without the messages, it would drop its newest one as soon as the run says something, with what the run thought before.
 */
function beforeJoined(turns: Turn[]): BaseEvent[] {
  const earlier = turns.at(-1)!.runs.slice(0, -1).flatMap(eventsOf);
  return [snapshotOf(shownOf(turns, true)), ...earlier.filter((event) => event.type !== EventType.RUN_STARTED && !isLast(event))];
}

/** What an event says of messages. */
interface About {
  messageId?: string;
  parentMessageId?: string;
  messages?: { id?: string }[];
}

/**
 * A run's events as TanStack's chunks, whose types name each one. A call may name a message that nothing else begins; TanStack would
 * show such a call in the message before, so the message is begun here.
 */
class Chunks {
  private begun: Set<string>;

  /** After these messages. */
  constructor(messages: { id?: string }[]) {
    this.begun = idsOf(messages);
  }

  of(event: BaseEvent): StreamChunk[] {
    const { type, messageId, parentMessageId, messages } = event as BaseEvent & About;
    const chunk = event as unknown as StreamChunk;
    if (type === EventType.MESSAGES_SNAPSHOT) this.begun = idsOf(messages ?? []);
    if (type === EventType.TEXT_MESSAGE_START && messageId !== undefined) this.begun.add(messageId);
    if (type !== EventType.TOOL_CALL_START || parentMessageId === undefined || this.begun.has(parentMessageId)) return [chunk];
    this.begun.add(parentMessageId);
    const about = { messageId: parentMessageId, role: 'assistant' };
    return [{ type: EventType.TEXT_MESSAGE_START, ...about }, { type: EventType.TEXT_MESSAGE_END, ...about }, chunk] as StreamChunk[];
  }
}

const idsOf = (messages: { id?: string }[]): Set<string> => new Set(messages.flatMap(({ id }) => id ?? []));

const isLast = ({ type }: BaseEvent): boolean => type === EventType.RUN_FINISHED || type === EventType.RUN_ERROR;

function serverRunId(events: BaseEvent[]): string | undefined {
  const begun = events.find(({ type }) => type === EventType.RUN_STARTED);
  return begun && (metadataOf(begun)['netra'] as { runId: string }).runId;
}

function interruptsOf(event: BaseEvent): Interrupts {
  const { outcome } = event as BaseEvent & { outcome?: Outcome };
  return event.type === EventType.RUN_FINISHED && outcome?.type === 'interrupt' ? (outcome.interrupts as Interrupts) : [];
}

type Begin = (run: Run) => Promise<void>;
type Subscriber = ConstructorParameters<typeof Run>[4];

/** A run whose events wait until they are read. */
class Followed {
  private readonly run: Run;
  private readonly waiting: BaseEvent[] = [];
  private ended = false;
  private failure: unknown;
  private wake = (): void => {};

  constructor(make: (subscriber: Subscriber) => Run, begin: Begin) {
    let run!: Run;
    new Observable<BaseEvent>((subscriber) => void (run = make(subscriber))).subscribe({
      next: (event) => this.next(event),
      error: (error) => this.end(error),
      complete: () => this.end(),
    });
    this.run = run;
    void begin(run);
  }

  /** What is told at once when there is something to tell: of a thread, all that is known. The run goes on. */
  async now(): Promise<BaseEvent[]> {
    await this.some();
    this.leave();
    if (this.failure !== undefined) throw this.failure;
    return this.waiting;
  }

  /** The events in order. Where they are read no further, the run is stopped, or left if `leaves` says so: `told`, once some were read. */
  async *read(chunks: Chunks, signal: AbortSignal | undefined, leaves: (told: boolean) => boolean): AsyncGenerator<StreamChunk> {
    let told = false;
    const aborted = () => this.wake();
    signal?.addEventListener('abort', aborted, { once: true });
    try {
      while (!signal?.aborted) {
        const event = this.waiting.shift();
        if (event === undefined && this.ended) break;
        if (event === undefined) {
          await this.some();
        } else {
          told = true;
          yield* chunks.of(event);
        }
      }
      if (this.failure !== undefined && !signal?.aborted) throw this.failure;
    } finally {
      signal?.removeEventListener('abort', aborted);
      if (!leaves(told)) this.run.stop();
      this.leave();
    }
  }

  private some(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
      if (this.waiting.length > 0 || this.ended) resolve();
    });
  }

  private leave(): void {
    this.run.detach();
    this.run.leave();
  }

  private next(event: BaseEvent): void {
    if (this.ended) return;
    if (this.waiting.length < MAX_WAITING_EVENTS) this.waiting.push(event);
    else this.end(new NetraError('too_large', `${MAX_WAITING_EVENTS} events wait to be read; load the page anew to see the rest`));
    this.wake();
  }

  private end(failure?: unknown): void {
    if (this.ended) return;
    this.ended = true;
    this.failure = failure;
    if (failure instanceof NetraError && failure.code === 'too_large') this.leave();
    this.wake();
  }
}
