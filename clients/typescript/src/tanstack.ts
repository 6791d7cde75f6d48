/**
 * {@link netraConnection}: a connection for TanStack AI's `useChat({ connection })`, over a WebSocket that reconnects and resumes.
 *
 * Each event of a run becomes a chunk. After a network interruption the socket reconnects and resumes, without an error. After a reload,
 * `hydrate` returns the conversation so far, and `joinRun` the events of the current turn from its beginning.
 */
import { type BaseEvent, EventType, type Message, type RunAgentInput } from '@ag-ui/client';
import { type StreamChunk, StreamProcessor, type UIMessage, uiMessagesToWire } from '@tanstack/ai/client';
import type { ConnectConnectionAdapter, ResumableConnectConnectionAdapter } from '@tanstack/ai-client';
import { Observable } from 'rxjs';
import { type NetraAgentConfig, parseUrl } from './agent.js';
import { metadataOf, type Outcome } from './compat.js';
import { Connection } from './connection.js';
import { eventsOf } from './events.js';
import { callerIdOf, type Turn } from './history.js';
import { newId } from './ids.js';
import { Run } from './run.js';
import { NetraError } from './wire.js';

type Hydrate = NonNullable<ConnectConnectionAdapter['hydrate']>;
type Interrupts = NonNullable<Awaited<ReturnType<Hydrate>>['interrupts']>['pending'];

export interface NetraConnectionConfig extends Omit<NetraAgentConfig, 'agentId' | 'debug' | 'description' | 'initialMessages' | 'initialState'> {
  /**
   * What happens to the run when TanStack aborts its stream, as it does for `stop()` and when the chat is unmounted: `stop` stops it
   * on the server, `leave` lets it continue there. Default: `stop`. Closing or reloading the page stops nothing.
   */
  onAbort?: 'stop' | 'leave';
}

export interface NetraConnection extends ResumableConnectConnectionAdapter {
  hydrate: Hydrate;
  /** Closes the socket. Runs that are followed fail here and continue on the server. */
  close(): void;
}

/** The most events that are buffered for a page that reads them slowly. */
const MAX_BUFFERED_EVENTS = 100_000;
/** For how many runs the thread is remembered: `joinRun` gets only the run's id. */
const MAX_RUNS = 64;

/** `useChat({ connection: netraConnection({ url, headers }), threadId, persistence: true })` */
export function netraConnection(config: NetraConnectionConfig): NetraConnection {
  const { base, agent } = parseUrl(config.url);
  const connection = new Connection({ ...config, base });
  const leaveOnAbort = config.onAbort === 'leave';
  // The runs that wait for answers, by the ids of their interrupts and pending calls.
  const waitingRuns = new Map<string, string>();
  const threadsByRun = new Map<string, string>();
  const remember = (runId: string, threadId: string) => {
    threadsByRun.delete(runId);
    threadsByRun.set(runId, threadId);
    const [oldest] = threadsByRun.keys();
    if (threadsByRun.size > MAX_RUNS && oldest !== undefined) threadsByRun.delete(oldest);
  };
  const follow = (input: Partial<RunAgentInput> & { threadId: string; runId: string }, start: Start): BufferedRun => {
    const fullInput = { messages: [], tools: [], context: [], state: {}, forwardedProps: {}, ...input };
    return new BufferedRun((subscriber) => new Run(connection, config.agent ?? agent, fullInput, waitingRuns, subscriber), start);
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
      yield* follow(input as RunAgentInput, (run) => run.start()).read(new ChunkConverter(messages), signal, () => leaveOnAbort);
    },

    async *joinRun(runId, signal) {
      const threadId = threadsByRun.get(runId) ?? config.threadId;
      if (threadId === undefined) {
        const remedy = 'give `persistence: true` to the chat, or `threadId` to the connection';
        throw new NetraError('not_found', `the thread of the run ${runId} is not known; ${remedy}`);
      }
      const joined = follow({ threadId, runId }, (run) => run.join(eventsBeforeJoined));
      // TanStack aborts a joined run from which nothing arrives for a while; that must not stop it.
      yield* joined.read(new ChunkConverter([]), signal, (hasRead) => leaveOnAbort || !hasRead);
    },

    async hydrate(threadId) {
      let turns: Turn[] = [];
      const newestEvents = await follow({ threadId, runId: newId() }, (run) =>
        run.join((current) => {
          turns = current;
          return [];
        }),
      ).initialEvents();
      const runId = serverRunId(newestEvents);
      if (runId === undefined) return { messages: [], activeRun: null, interrupts: null };
      remember(runId, threadId);
      const active = !newestEvents.some(isTerminal);
      const pending = newestEvents.flatMap(interruptsOf);
      return {
        messages: uiMessagesOf(turns, active),
        activeRun: active ? { runId } : null,
        interrupts: pending.length > 0 ? { runId, pending } : null,
      };
    },

    close: () => connection.close(),
  };
}

const snapshotOf = (messages: unknown[]): BaseEvent => ({ type: EventType.MESSAGES_SNAPSHOT, messages }) as unknown as BaseEvent;

/**
 * The conversation as TanStack would build it from the events. If the last turn is active, its answer is left out, because `joinRun`
 * returns it.
 */
function uiMessagesOf(turns: Turn[], active: boolean): UIMessage[] {
  const processor = new StreamProcessor();
  turns.forEach(({ item, runs }, index) => {
    processor.addUserMessage(item.message.content, callerIdOf(item));
    processor.prepareAssistantMessage();
    if (active && index === turns.length - 1) return;
    const converter = new ChunkConverter(processor.getMessages());
    for (const chunk of runs.flatMap(eventsOf).flatMap((event) => converter.convert(event))) processor.processChunk(chunk);
  });
  return processor.getMessages();
}

/**
 * The events before a run that TanStack joins: the messages up to the newest turn, and the events of the turn's earlier runs.
 * Without the messages, TanStack would drop its newest message, including the reasoning, at the run's first text.
 */
function eventsBeforeJoined(turns: Turn[]): BaseEvent[] {
  const earlier = turns.at(-1)!.runs.slice(0, -1).flatMap(eventsOf);
  return [snapshotOf(uiMessagesOf(turns, true)), ...earlier.filter((event) => event.type !== EventType.RUN_STARTED && !isTerminal(event))];
}

/** The fields of events that name messages. */
interface MessageFields {
  messageId?: string;
  parentMessageId?: string;
  messages?: { id?: string }[];
}

/**
 * Converts a run's events to TanStack's chunks: adds events that start a message to which only a tool call refers. Otherwise TanStack
 * would show the call in the previous message.
 */
class ChunkConverter {
  private started: Set<string>;

  /** `messages`: the conversation before the run. */
  constructor(messages: { id?: string }[]) {
    this.started = idsOf(messages);
  }

  convert(event: BaseEvent): StreamChunk[] {
    const { type, messageId, parentMessageId, messages } = event as BaseEvent & MessageFields;
    const chunk = event as unknown as StreamChunk;
    if (type === EventType.MESSAGES_SNAPSHOT) this.started = idsOf(messages ?? []);
    if (type === EventType.TEXT_MESSAGE_START && messageId !== undefined) this.started.add(messageId);
    if (type !== EventType.TOOL_CALL_START || parentMessageId === undefined || this.started.has(parentMessageId)) return [chunk];
    this.started.add(parentMessageId);
    const message = { messageId: parentMessageId, role: 'assistant' };
    return [{ type: EventType.TEXT_MESSAGE_START, ...message }, { type: EventType.TEXT_MESSAGE_END, ...message }, chunk] as StreamChunk[];
  }
}

const idsOf = (messages: { id?: string }[]): Set<string> => new Set(messages.flatMap(({ id }) => id ?? []));

const isTerminal = ({ type }: BaseEvent): boolean => type === EventType.RUN_FINISHED || type === EventType.RUN_ERROR;

function serverRunId(events: BaseEvent[]): string | undefined {
  const started = events.find(({ type }) => type === EventType.RUN_STARTED);
  return started && (metadataOf(started)['netra'] as { runId: string }).runId;
}

function interruptsOf(event: BaseEvent): Interrupts {
  const { outcome } = event as BaseEvent & { outcome?: Outcome };
  return event.type === EventType.RUN_FINISHED && outcome?.type === 'interrupt' ? (outcome.interrupts as Interrupts) : [];
}

type Start = (run: Run) => Promise<void>;
type Subscriber = ConstructorParameters<typeof Run>[4];

/** A run whose events are buffered until TanStack reads them. */
class BufferedRun {
  private readonly run: Run;
  private readonly buffer: BaseEvent[] = [];
  private ended = false;
  private failure: unknown;
  private wake = (): void => {};

  constructor(create: (subscriber: Subscriber) => Run, start: Start) {
    let run!: Run;
    new Observable<BaseEvent>((subscriber) => void (run = create(subscriber))).subscribe({
      next: (event) => this.push(event),
      error: (error) => this.end(error),
      complete: () => this.end(),
    });
    this.run = run;
    void start(run);
  }

  /** The first events, which arrive together: all events so far. Stops following the run, which continues on the server. */
  async initialEvents(): Promise<BaseEvent[]> {
    await this.untilReadable();
    this.leave();
    if (this.failure !== undefined) throw this.failure;
    return this.buffer;
  }

  /**
   * The events in order. When reading ends, the run is stopped, unless `shouldLeave` returns true; its argument is whether an event
   * was read.
   */
  async *read(converter: ChunkConverter, signal: AbortSignal | undefined, shouldLeave: (hasRead: boolean) => boolean): AsyncGenerator<StreamChunk> {
    let hasRead = false;
    const wake = () => this.wake();
    signal?.addEventListener('abort', wake, { once: true });
    try {
      while (!signal?.aborted) {
        const event = this.buffer.shift();
        if (event === undefined && this.ended) break;
        if (event === undefined) {
          await this.untilReadable();
        } else {
          hasRead = true;
          yield* converter.convert(event);
        }
      }
      if (this.failure !== undefined && !signal?.aborted) throw this.failure;
    } finally {
      signal?.removeEventListener('abort', wake);
      if (!shouldLeave(hasRead)) this.run.stop();
      this.leave();
    }
  }

  /** Resolves when an event is buffered or the run has ended. */
  private untilReadable(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
      if (this.buffer.length > 0 || this.ended) resolve();
    });
  }

  /** Stops following the run, which continues on the server. */
  private leave(): void {
    this.run.detach();
    this.run.close();
  }

  private push(event: BaseEvent): void {
    if (this.ended) return;
    if (this.buffer.length < MAX_BUFFERED_EVENTS) this.buffer.push(event);
    else this.end(new NetraError('too_large', `${MAX_BUFFERED_EVENTS} events were not read in time; reload the page to see the rest`));
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
