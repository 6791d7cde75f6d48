/**
 * One run, from the command that starts it to its terminal event.
 *
 * The thread is followed before the message is sent, so that no event of the run is missed; events that arrive twice are emitted once.
 * A message that is sent again with the same id gets the same run, from its beginning.
 */
import { type BaseEvent, EventType, type Message, type RunAgentInput } from '@ag-ui/client';
import type { Subscriber } from 'rxjs';
import type { Follower } from './channels.js';
import { type Answer, metadataOf, type Outcome, partsOf, withoutMetadata } from './compat.js';
import type { Connection } from './connection.js';
import { RunEvents } from './events.js';
import { messagesBefore, runsOf, stateBefore, type Turn, turnsOf } from './history.js';
import { idFor } from './ids.js';
import { type Accepted, type Entry, NetraError, type RunView, type ThreadView } from './wire.js';

/** The metadata key of the events that set the state given by the run's caller. */
const GIVEN = 'netraGiven';
/** The longest message id (UTF-8) that the server stores and returns after a reload. */
const MAX_EXTERNAL_ID_BYTES = 256;
/** How many interrupts and pending calls are remembered, with their runs. */
const MAX_INTERRUPTS = 256;

export class Run implements Follower {
  private threadId = '';
  private runId: string | undefined;
  private events: RunEvents | undefined;
  /** The last snapshot of the thread before the run started. */
  private viewBefore: ThreadView | undefined;
  /** The `seq` of the run's last entry that was applied, and of the entry that started it. */
  private lastSeq = 0;
  private firstSeq = 0;
  /** The command that starts the run, with the id of its message or answer. */
  private command: { id: string; payload: object } | undefined;
  private stopping = false;
  /** Whether the run continues on the server when it is no longer followed here. */
  private detached = false;
  private ended = false;
  private viewRequest: { resolve: (view: ThreadView) => void; reject: (error: NetraError) => void } | undefined;
  private joining = false;
  private eventsBefore: ((turns: Turn[]) => BaseEvent[]) | undefined;
  private readonly release: () => void;

  constructor(
    private readonly connection: Connection,
    private readonly agent: string | undefined,
    private readonly input: RunAgentInput,
    /** The runs that wait for answers, by the ids of their interrupts and pending calls. */
    private readonly waitingRuns: Map<string, string>,
    private readonly subscriber: Subscriber<BaseEvent>,
  ) {
    this.release = connection.hold();
  }

  async start(): Promise<void> {
    try {
      const resume = this.input.resume?.length ? this.input.resume : resultsOf(this.input.messages);
      const message = resume ? undefined : newMessageOf(this.input.messages);
      if (message && this.agent === undefined && (message.hasFiles || message.results.length > 0 || needsHttp(this.input))) {
        throw new NetraError('invalid_input', 'a message with files, results, tools, context, state or forwardedProps needs an agent: give `agent`');
      }
      const { user } = await this.connection.ready();
      this.threadId = idFor(user.id, this.input.threadId);
      if (!this.ended) await this.followThread();
      // A channel that continues from a cursor comes without a snapshot.
      const lacksState = !this.viewBefore && needsState(this.input, this.detached) && this.connection.mayHaveState(this.threadId);
      if (lacksState && !this.ended) await this.requestView();
      if (this.ended) return;
      const accepted = resume ? await this.sendAnswers(resume) : await this.sendMessage(message!);
      if (accepted) this.onAccepted(accepted);
    } catch (error) {
      this.failed(error as NetraError);
    }
  }

  /**
   * Emits the thread's conversation, and the newest run to its end. A thread that does not exist yet has no events.
   * `eventsBefore` returns the events for the conversation before that run; default: a snapshot of the messages.
   */
  async join(eventsBefore?: (turns: Turn[]) => BaseEvent[]): Promise<void> {
    this.detached = true;
    this.eventsBefore = eventsBefore;
    try {
      const { user } = await this.connection.ready();
      this.threadId = idFor(user.id, this.input.threadId);
      if (this.ended) return;
      this.joining = true;
      await this.connection.follow(this.channel, this);
      // A channel that continues from a cursor comes without a snapshot.
      if (this.joining && !this.ended) this.connection.rewind(this.channel);
    } catch (error) {
      if ((error as NetraError).code !== 'not_found') return this.failed(error as NetraError);
      this.close();
      this.subscriber.complete();
    }
  }

  private onJoined(seq: number, view: ThreadView): void {
    this.joining = false;
    const turns = turnsOf(view);
    const run = turns?.at(-1)?.runs.at(-1);
    if (!turns || !run) {
      this.close();
      return this.subscriber.complete();
    }
    const messages = messagesBefore(turns);
    this.setRun(run.run_id, seq, messages);
    this.lastSeq = seq;
    this.events?.start(this.eventsBefore?.(turns) ?? [{ type: EventType.MESSAGES_SNAPSHOT, messages } as BaseEvent]);
    this.events?.restate(run, turns.flatMap(({ runs }) => runs).filter((other) => other !== run));
  }

  private get channel(): string {
    return `thread/${this.threadId}`;
  }

  /** Follows the thread, and creates it if it does not exist. */
  private async followThread(): Promise<void> {
    try {
      await this.connection.follow(this.channel, this);
    } catch (error) {
      if ((error as NetraError).code !== 'not_found' || this.ended) throw error;
      const thread = { thread_id: this.threadId, ...(this.agent !== undefined && { agent: this.agent }) };
      await this.connection.command('create_thread', thread).catch((refused: NetraError) => {
        // Another client may have created it meanwhile: then it can be followed.
        if (refused.code !== 'conflict') throw refused;
      });
      if (!this.ended) await this.connection.follow(this.channel, this);
    }
  }

  private sendMessage({ id, text, hasFiles, results }: NewMessage): Promise<Accepted | undefined> | undefined {
    const message_id = idFor(this.threadId, id);
    if (this.agent !== undefined && (hasFiles || results.length > 0 || needsHttp(this.input))) {
      // On the socket a message is only text. Earlier messages are in the thread already.
      return this.startOverHttp(this.agent, message_id, [...results, ...this.input.messages.slice(-1)]);
    }
    const agent = this.agent !== undefined && { agent: this.agent };
    const external = id !== message_id && isStorable(id) && { external_id: id };
    return this.send('send_message', message_id, { message_id, thread_id: this.threadId, text, ...agent, ...external });
  }

  private async sendAnswers(resume: Answer[]): Promise<Accepted | undefined> {
    const ids = resume.map(({ interruptId }) => interruptId);
    const run_id = this.waitingRuns.get(ids[0] ?? '') ?? waitingRun(await this.requestView(), ids);
    if (run_id === undefined) throw new NetraError('not_found', `no run of this thread waits for an answer to ${ids.join(', ')}`);
    const answers = resume.map(({ interruptId, status, payload, metadata }) => ({
      interrupt_id: interruptId,
      status,
      ...(payload !== undefined && payload !== null && { payload }),
      ...(metadata !== undefined && metadata !== null && { metadata }),
    }));
    const last = this.input.messages.at(-1);
    const answer_id = idFor(this.threadId, this.input.resume?.length || !last ? this.input.runId : last.id);
    if (this.agent !== undefined && this.connection.canUseHttp && needsHttp(this.input)) {
      // The results at the end are the answers; the server has the calls before them.
      const from = this.input.messages.findLastIndex(({ role }) => role !== 'tool');
      return this.startOverHttp(this.agent, answer_id, this.input.messages.slice(Math.max(from, 0)));
    }
    return this.send('answer', answer_id, { answer_id, thread_id: this.threadId, run_id, answers });
  }

  /** Starts the run with the whole input of AG-UI, which commands on the socket do not have. */
  private startOverHttp(agent: string, id: string, messages: Message[]): Promise<Accepted | undefined> {
    this.command = { id, payload: {} };
    return this.connection.startRun(agent, { ...this.input, messages }, () => !this.ended);
  }

  private send(type: string, id: string, payload: object): Promise<Accepted> | undefined {
    if (this.ended) return undefined;
    this.command = { id, payload };
    return this.connection.command(type, payload);
  }

  /** Requests a snapshot of the thread. */
  private requestView(): Promise<ThreadView> {
    const view = new Promise<ThreadView>((resolve, reject) => (this.viewRequest = { resolve, reject }));
    this.connection.rewind(this.channel);
    return view;
  }

  private onAccepted({ run_id, seq }: Accepted): void {
    const wasReceived = this.runId === undefined && seq <= this.connection.position(this.channel);
    this.setRun(run_id, seq);
    if (this.stopping) this.sendStop();
    // A repeated message: the entries of its run were received before, so they are requested again.
    else if (wasReceived && !this.ended) this.connection.rewind(this.channel, seq - 1);
  }

  private setRun(runId: string, seq: number, before = this.input.messages): void {
    if (this.runId !== undefined) return;
    this.runId = runId;
    this.firstSeq = seq;
    const { threadId } = this;
    const callerIds = { threadId: this.input.threadId, runId: this.input.runId, parentRunId: this.input.parentRunId };
    const state = this.viewBefore && needsState(this.input, this.detached) ? stateBefore(this.viewBefore, runId) : [];
    const messageIds = this.messageIds(before, this.viewBefore);
    this.viewBefore = undefined;
    this.events = new RunEvents(callerIds, { threadId, runId }, messageIds, before, (event) => this.emit(event), state);
  }

  /** The caller's ids of the user's messages, by the server's ids: of the messages that it gave, and of those in the thread. */
  private messageIds(messages: Message[], view?: ThreadView): Map<string, string> {
    const stored = (view?.items ?? []).flatMap(({ kind, value }): [string, string][] =>
      kind === 'message' && value.message.external_id !== undefined ? [[value.message.id, value.message.external_id]] : [],
    );
    const given = messages.flatMap(({ id, role }): [string, string][] => (role === 'user' ? [[idFor(this.threadId, id), id]] : []));
    return new Map([...stored, ...given].filter(([serverId, callerId]) => serverId !== callerId));
  }

  entry(seq: number, entry: Entry): void {
    if (this.ended) return;
    if (entry.kind === 'agent' && setsState(entry.event)) this.connection.noteState(this.threadId);
    if (entry.kind === 'message' && entry.message.id === this.command?.id) this.setRun(entry.message.run_id, seq);
    if (entry.kind === 'answer' && entry.answer.id === this.command?.id) this.setRun(entry.answer.resumed_by, seq);
    if (entry.kind === 'taken_back' && entry.message_id === this.command?.id) this.emitCancelled();
    if (entry.kind !== 'agent' || entry.run_id !== this.runId || seq <= this.lastSeq) return;
    this.lastSeq = seq;
    this.events?.apply(entry.event);
  }

  snapshot(seq: number, view: ThreadView, replaced: boolean): void {
    // Positions of the previous log do not apply to this one.
    if (replaced) this.lastSeq = this.firstSeq = 0;
    if (!this.events) this.viewBefore = view;
    if (runsOf(view).some(({ shared }) => shared !== undefined)) this.connection.noteState(this.threadId);
    if (this.joining) return this.onJoined(seq, view);
    this.viewRequest?.resolve(view);
    this.viewRequest = undefined;
    if (this.ended || !this.events || seq < this.firstSeq || seq < this.lastSeq) return;
    this.lastSeq = seq;
    const runs = runsOf(view);
    const index = runs.findIndex(({ run_id }) => run_id === this.runId);
    const run = runs[index];
    if (!run) return this.failed(new NetraError('not_found', 'the run is no longer in the thread’s log'));
    this.events.restate(run, runs.slice(0, index));
  }

  failed(error: NetraError): void {
    this.viewRequest?.reject(error);
    this.viewRequest = undefined;
    if (this.ended) return;
    this.end();
    this.subscriber.error(error);
  }

  private emit(logged: BaseEvent): void {
    const isGiven = GIVEN in metadataOf(logged);
    // The front end has the state that it gave.
    if (isGiven && !needsState(this.input, this.detached)) return;
    const event = isGiven ? withoutMetadata(logged, GIVEN) : logged;
    if (this.ended || this.isGivenResult(event as BaseEvent & { toolCallId?: string })) return;
    this.rememberInterrupts(event);
    this.subscriber.next(event);
    if (event.type !== EventType.RUN_FINISHED && event.type !== EventType.RUN_ERROR) return;
    this.end();
    this.subscriber.complete();
  }

  /** Whether an event is the result of a tool call that the caller gave itself. */
  private isGivenResult({ type, toolCallId }: BaseEvent & { toolCallId?: string }): boolean {
    const given = type === EventType.TOOL_CALL_RESULT && !this.input.resume?.length && resultsOf(this.input.messages);
    return Boolean(given && given.some(({ interruptId }) => interruptId === toolCallId));
  }

  /** Remembers the run of each interrupt and pending call, for the run that answers them. */
  private rememberInterrupts(event: BaseEvent): void {
    const { outcome } = event as BaseEvent & { outcome?: Outcome };
    if (event.type !== EventType.RUN_FINISHED || this.runId === undefined) return;
    const interrupts = outcome?.type === 'interrupt' ? outcome.interrupts.map(({ id }) => id) : [];
    const pending = outcome?.type === 'success' ? (outcome.pendingToolCallIds ?? []) : [];
    for (const id of [...interrupts, ...pending]) this.waitingRuns.set(id, this.runId);
    for (const id of this.waitingRuns.keys()) {
      if (this.waitingRuns.size > MAX_INTERRUPTS) this.waitingRuns.delete(id);
    }
  }

  /** Stops the run on the server; its terminal event follows. */
  stop(): void {
    if (this.ended || this.stopping) return;
    this.stopping = true;
    if (this.runId !== undefined) this.sendStop();
    else if (!this.command || this.connection.cancelUnsent(this.command.payload)) this.emitCancelled();
  }

  /** From now on, {@link close} does not stop the run. */
  detach(): void {
    this.detached = true;
  }

  /** Stops following the run, and stops it on the server unless it is detached. */
  close(): void {
    if (this.ended) return;
    const { detached, runId, command } = this;
    this.end();
    if (detached) return;
    this.stopping = true;
    if (runId !== undefined) this.sendStop();
    else if (command) this.connection.cancelUnsent(command.payload);
  }

  private sendStop(): void {
    // An error means that the run has ended already.
    this.connection.command('stop_run', { run_id: this.runId }).catch(() => {});
  }

  /** The run will not start: emits a cancelled one. */
  private emitCancelled(): void {
    const ids = { threadId: this.input.threadId, runId: this.input.runId };
    this.emit({ type: EventType.RUN_STARTED, ...ids } as BaseEvent);
    this.emit({ type: EventType.RUN_FINISHED, ...ids, outcome: { type: 'cancelled' } } as BaseEvent);
  }

  private end(): void {
    this.ended = true;
    if (this.threadId) this.connection.unfollow(this.channel, this);
    this.release();
  }
}

/** The tool results at the end of the conversation, for the calls that a run left to the caller; `undefined` if there are none. */
function resultsOf(messages: Message[]): Answer[] | undefined {
  const from = messages.findLastIndex(({ role }) => role !== 'tool') + 1;
  const results = messages.slice(from).flatMap((message): Answer[] =>
    message.role === 'tool'
      ? [{ interruptId: message.toolCallId, status: 'resolved', payload: message.content, metadata: { messageId: message.id, ...(message.error && { error: message.error }) } }]
      : [],
  );
  return results.length ? results : undefined;
}

/** Whether the server stores the caller's id of a message in addition to its own. */
const isStorable = (id: string): boolean => id !== '' && new TextEncoder().encode(id).length <= MAX_EXTERNAL_ID_BYTES;

/** The message to send. */
interface NewMessage {
  id: string;
  text: string;
  hasFiles: boolean;
  /** The tool results before it. */
  results: Message[];
}

/** The last message, which must be the user's. */
function newMessageOf(messages: Message[]): NewMessage {
  const last = messages.at(-1);
  if (last?.role !== 'user') {
    throw new NetraError('invalid_input', 'the last message is neither a user’s nor a tool’s; add a message, or `resume` an interrupted run');
  }
  const parts = partsOf(last.content);
  const texts = parts.flatMap((part) => {
    if (part.type === 'text') return part.text ?? '';
    if (part.source?.type === 'data') return [];
    const problem = `a part of type \`${part.type}\` without its bytes cannot be sent`;
    throw new NetraError('invalid_input', `${problem}; give them in a \`source\` of type \`data\`, or upload the file to the thread`);
  });
  const recent = messages.slice(messages.findLastIndex(({ role }) => role === 'assistant') + 1);
  return { id: last.id, text: texts.join('\n'), hasFiles: texts.length < parts.length, results: recent.filter(({ role }) => role === 'tool') };
}

/** Whether an event sets the shared state. */
const setsState = ({ type }: BaseEvent): boolean => type === EventType.STATE_SNAPSHOT || type === EventType.STATE_DELTA;

/** Whether the front end needs the thread's state: it joins the thread, or gives an empty state. */
function needsState(input: RunAgentInput, isJoining: boolean): boolean {
  return isJoining || ('state' in input && (input.state == null || JSON.stringify(input.state) === '{}'));
}

/** Whether the input has tools, context, state or forwarded properties, which only HTTP can carry. */
function needsHttp({ tools, context, state, forwardedProps }: RunAgentInput): boolean {
  const isGiven = (value: unknown) => value !== undefined && value !== null && JSON.stringify(value) !== '{}';
  return tools.length > 0 || context.length > 0 || isGiven(state) || isGiven(forwardedProps);
}

/** The newest run that waits for answers to all of these interrupts or calls. */
function waitingRun(view: ThreadView, ids: string[]): string | undefined {
  const waits = ({ state, pending, nodes }: RunView) => {
    // If the outcome names no calls, any call of the run may be the caller's.
    const calls = pending?.length ? pending : nodes.flatMap(({ id, body }) => (body.is === 'tool' ? id : []));
    const open = state.is === 'interrupted' ? state.interrupts.map(({ id }) => id) : calls;
    return ids.every((id) => open.includes(id));
  };
  return runsOf(view).filter(waits).at(-1)?.run_id;
}
