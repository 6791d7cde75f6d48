/**
 * One run, from the command that begins it to its last event.
 *
 * The thread is followed before the message is sent, so that nothing of its run is missed; what comes twice (a repeated message, a
 * snapshot after a long absence) is told once. A message sent again under the same id gets the same run, told from its beginning.
 */
import { type BaseEvent, EventType, type Message, type RunAgentInput } from '@ag-ui/client';
import type { Subscriber } from 'rxjs';
import type { Follower } from './channels.js';
import type { Connection } from './connection.js';
import { messagesBefore, runsOf, stateBefore, type Turn, turnsOf } from './history.js';
import { idFor } from './ids.js';
import { RunEvents } from './events.js';
import { type Answer, metadataOf, type Outcome, partsOf, withoutMarks } from './compat.js';
import { type Accepted, type Entry, NetraError, type RunView, type ThreadView } from './wire.js';

/** In the metadata of the events that tell the state which the caller of a run gave. */
const GIVEN = 'netraGiven';
/** The longest id of a message, in UTF-8, that the server keeps and gives back after a reload. */
const MAX_EXTERNAL_ID_BYTES = 256;
/** How many interrupts are remembered, and whose they are. */
const MOST_ASKED = 256;

export class Run implements Follower {
  private threadId = '';
  private runId: string | undefined;
  private events: RunEvents | undefined;
  /** The thread as it was last seen before the run began. */
  private known: ThreadView | undefined;
  /** The last entry of the run that was told, and the one that began it. */
  private seen = 0;
  private begun = 0;
  private command: { id: string; payload: object } | undefined;
  private stopping = false;
  private detached = false;
  private over = false;
  private wanted: { resolve: (view: ThreadView) => void; reject: (error: NetraError) => void } | undefined;
  private joining = false;
  private before: ((turns: Turn[]) => BaseEvent[]) | undefined;
  private readonly release: () => void;

  constructor(
    private readonly connection: Connection,
    private readonly agent: string | undefined,
    private readonly input: RunAgentInput,
    private readonly asked: Map<string, string>,
    private readonly subscriber: Subscriber<BaseEvent>,
  ) {
    this.release = connection.hold();
  }

  async begin(): Promise<void> {
    try {
      const resume = this.input.resume?.length ? this.input.resume : resultsOf(this.input.messages);
      const said = resume ? undefined : question(this.input.messages);
      if (said && this.agent === undefined && (said.files || said.results.length > 0 || givesMore(this.input))) {
        throw new NetraError('invalid_input', 'a message with files, results, tools, context, state or forwardedProps names its agent: give `agent`');
      }
      const { user } = await this.connection.ready();
      this.threadId = idFor(user.id, this.input.threadId);
      if (!this.over) await this.follow();
      // Known from before, the thread was not told as it is.
      const lacksState = !this.known && needsState(this.input, this.detached) && this.connection.mayHaveState(this.threadId);
      if (lacksState && !this.over) await this.view();
      if (this.over) return;
      const accepted = resume ? await this.answer(resume) : await this.say(said!);
      if (accepted) this.accepted(accepted);
    } catch (error) {
      this.failed(error as NetraError);
    }
  }

  /**
   * Joins the thread: what was said, and the newest run, to its end. A thread that is not there yet has nothing to tell.
   * `before` are the events that tell what was said before that run; without it, one that restates the messages.
   */
  async join(before?: (turns: Turn[]) => BaseEvent[]): Promise<void> {
    this.detached = true;
    this.before = before;
    try {
      const { user } = await this.connection.ready();
      this.threadId = idFor(user.id, this.input.threadId);
      if (this.over) return;
      this.joining = true;
      await this.connection.follow(this.channel, this);
      // Known from before, it was not told as it is.
      if (this.joining && !this.over) this.connection.rewind(this.channel);
    } catch (error) {
      if ((error as NetraError).code !== 'not_found') return this.failed(error as NetraError);
      this.leave();
      this.subscriber.complete();
    }
  }

  private joined(seq: number, view: ThreadView): void {
    this.joining = false;
    const turns = turnsOf(view);
    const run = turns?.at(-1)?.runs.at(-1);
    if (!turns || !run) {
      this.leave();
      return this.subscriber.complete();
    }
    const messages = messagesBefore(turns);
    this.begins(run.run_id, seq, messages);
    this.seen = seq;
    this.events?.begin(this.before?.(turns) ?? [{ type: EventType.MESSAGES_SNAPSHOT, messages } as BaseEvent]);
    this.events?.restate(run, turns.flatMap(({ runs }) => runs).filter((other) => other !== run));
  }

  private get channel(): string {
    return `thread/${this.threadId}`;
  }

  /** Follows the thread, which is made if need be. */
  private async follow(): Promise<void> {
    try {
      await this.connection.follow(this.channel, this);
    } catch (error) {
      if ((error as NetraError).code !== 'not_found' || this.over) throw error;
      const thread = { thread_id: this.threadId, ...(this.agent !== undefined && { agent: this.agent }) };
      await this.connection.command('create_thread', thread).catch((refused: NetraError) => {
        // Somebody else may have made it meanwhile: then it can be followed.
        if (refused.code !== 'conflict') throw refused;
      });
      if (!this.over) await this.connection.follow(this.channel, this);
    }
  }

  private say({ id, text, files, results }: Question): Promise<Accepted | undefined> | undefined {
    const message_id = idFor(this.threadId, id);
    if (this.agent !== undefined && (files || results.length > 0 || givesMore(this.input))) {
      // A message on the socket is its words alone. What was said before is in the thread.
      return this.overHttp(this.agent, message_id, [...results, ...this.input.messages.slice(-1)]);
    }
    const agent = this.agent !== undefined && { agent: this.agent };
    const external = id !== message_id && isKept(id) && { external_id: id };
    return this.send('send_message', message_id, { message_id, thread_id: this.threadId, text, ...agent, ...external });
  }

  private async answer(resume: Answer[]): Promise<Accepted | undefined> {
    const ids = resume.map(({ interruptId }) => interruptId);
    const run_id = this.asked.get(ids[0] ?? '') ?? whoWaits(await this.view(), ids);
    if (run_id === undefined) throw new NetraError('not_found', `no run of this thread waits for an answer to ${ids.join(', ')}`);
    const answers = resume.map(({ interruptId, status, payload, metadata }) => ({
      interrupt_id: interruptId,
      status,
      ...(payload !== undefined && payload !== null && { payload }),
      ...(metadata !== undefined && metadata !== null && { metadata }),
    }));
    const last = this.input.messages.at(-1);
    const answer_id = idFor(this.threadId, this.input.resume?.length || !last ? this.input.runId : last.id);
    if (this.agent !== undefined && this.connection.speaksHttp && givesMore(this.input)) {
      // The results at the end are the answers; the calls before them are known.
      const from = this.input.messages.findLastIndex(({ role }) => role !== 'tool');
      return this.overHttp(this.agent, answer_id, this.input.messages.slice(Math.max(from, 0)));
    }
    return this.send('answer', answer_id, { answer_id, thread_id: this.threadId, run_id, answers });
  }

  /** Asks with all that a run of AG-UI may be given along, which the socket has no room for. */
  private overHttp(agent: string, id: string, messages: Message[]): Promise<Accepted | undefined> {
    this.command = { id, payload: {} };
    return this.connection.begin(agent, { ...this.input, messages }, () => !this.over);
  }

  private send(type: string, id: string, payload: object): Promise<Accepted> | undefined {
    if (this.over) return undefined;
    this.command = { id, payload };
    return this.connection.command(type, payload);
  }

  /** What the thread looks like now. */
  private view(): Promise<ThreadView> {
    const view = new Promise<ThreadView>((resolve, reject) => (this.wanted = { resolve, reject }));
    this.connection.rewind(this.channel);
    return view;
  }

  private accepted({ run_id, seq }: Accepted): void {
    const passed = this.runId === undefined && seq <= this.connection.position(this.channel);
    this.begins(run_id, seq);
    if (this.stopping) this.stopNow();
    // It was accepted before, and its entries have passed: they are told again.
    else if (passed && !this.over) this.connection.rewind(this.channel, seq - 1);
  }

  private begins(runId: string, seq: number, before = this.input.messages): void {
    if (this.runId !== undefined) return;
    this.runId = runId;
    this.begun = seq;
    const { threadId } = this;
    const known = { threadId: this.input.threadId, runId: this.input.runId, parentRunId: this.input.parentRunId };
    const state = this.known && needsState(this.input, this.detached) ? stateBefore(this.known, runId) : [];
    const names = this.messageIds(before, this.known);
    this.known = undefined;
    this.events = new RunEvents(known, { threadId, runId }, names, before, (event) => this.tell(event), state);
  }

  /** The caller's ids of a person's messages, by the server's ids: of the messages that it gave, and of those in the thread. */
  private messageIds(messages: Message[], view?: ThreadView): Map<string, string> {
    const kept = (view?.items ?? []).flatMap(({ kind, value }): [string, string][] =>
      kind === 'message' && value.message.external_id !== undefined ? [[value.message.id, value.message.external_id]] : [],
    );
    const given = messages.flatMap(({ id, role }): [string, string][] => (role === 'user' ? [[idFor(this.threadId, id), id]] : []));
    return new Map([...kept, ...given].filter(([ours, theirs]) => ours !== theirs));
  }

  entry(seq: number, entry: Entry): void {
    if (this.over) return;
    if (entry.kind === 'agent' && isOfState(entry.event)) this.connection.noteState(this.threadId);
    if (entry.kind === 'message' && entry.message.id === this.command?.id) this.begins(entry.message.run_id, seq);
    if (entry.kind === 'answer' && entry.answer.id === this.command?.id) this.begins(entry.answer.resumed_by, seq);
    if (entry.kind === 'taken_back' && entry.message_id === this.command?.id) this.cancelled();
    if (entry.kind !== 'agent' || entry.run_id !== this.runId || seq <= this.seen) return;
    this.seen = seq;
    this.events?.apply(entry.event);
  }

  snapshot(seq: number, view: ThreadView, replaced: boolean): void {
    // Places of the log before mean nothing in this one.
    if (replaced) this.seen = this.begun = 0;
    if (!this.events) this.known = view;
    if (runsOf(view).some(({ shared }) => shared !== undefined)) this.connection.noteState(this.threadId);
    if (this.joining) return this.joined(seq, view);
    this.wanted?.resolve(view);
    this.wanted = undefined;
    if (this.over || !this.events || seq < this.begun || seq < this.seen) return;
    this.seen = seq;
    const runs = runsOf(view);
    const at = runs.findIndex(({ run_id }) => run_id === this.runId);
    const run = runs[at];
    if (!run) return this.failed(new NetraError('not_found', 'the run is not in the thread’s log any more'));
    this.events.restate(run, runs.slice(0, at));
  }

  failed(error: NetraError): void {
    this.wanted?.reject(error);
    this.wanted = undefined;
    if (this.over) return;
    this.end();
    this.subscriber.error(error);
  }

  private tell(told: BaseEvent): void {
    const isOfCaller = GIVEN in metadataOf(told);
    // The state that the front end gave is its own already.
    if (isOfCaller && !needsState(this.input, this.detached)) return;
    const event = isOfCaller ? withoutMarks(told, GIVEN) : told;
    if (this.over || this.isGiven(event as BaseEvent & { toolCallId?: string })) return;
    this.remember(event);
    this.subscriber.next(event);
    if (event.type !== EventType.RUN_FINISHED && event.type !== EventType.RUN_ERROR) return;
    this.end();
    this.subscriber.complete();
  }

  /** The caller holds the results already that it gave. */
  private isGiven({ type, toolCallId }: BaseEvent & { toolCallId?: string }): boolean {
    const given = type === EventType.TOOL_CALL_RESULT && !this.input.resume?.length && resultsOf(this.input.messages);
    return Boolean(given && given.some(({ interruptId }) => interruptId === toolCallId));
  }

  /** Whose the interrupts are, for the run that answers them. */
  private remember(event: BaseEvent): void {
    const { outcome } = event as BaseEvent & { outcome?: Outcome };
    if (event.type !== EventType.RUN_FINISHED || this.runId === undefined) return;
    const asked = outcome?.type === 'interrupt' ? outcome.interrupts.map(({ id }) => id) : [];
    const pending = outcome?.type === 'success' ? (outcome.pendingToolCallIds ?? []) : [];
    for (const id of [...asked, ...pending]) this.asked.set(id, this.runId);
    for (const id of this.asked.keys()) {
      if (this.asked.size > MOST_ASKED) this.asked.delete(id);
    }
  }

  /** Ends the run at the server, and tells its end when it comes. */
  stop(): void {
    if (this.over || this.stopping) return;
    this.stopping = true;
    if (this.runId !== undefined) this.stopNow();
    else if (!this.command || this.connection.takeBack(this.command.payload)) this.cancelled();
  }

  /** From now on, leaving lets the run go on. */
  detach(): void {
    this.detached = true;
  }

  /** Nobody listens any more. */
  leave(): void {
    if (this.over) return;
    const { detached, runId, command } = this;
    this.end();
    if (detached) return;
    this.stopping = true;
    if (runId !== undefined) this.stopNow();
    else if (command) this.connection.takeBack(command.payload);
  }

  private stopNow(): void {
    // It may have ended meanwhile, which is as good.
    this.connection.command('stop_run', { run_id: this.runId }).catch(() => {});
  }

  /** The run will never begin: it is told as one that was cancelled. */
  private cancelled(): void {
    const ids = { threadId: this.input.threadId, runId: this.input.runId };
    this.tell({ type: EventType.RUN_STARTED, ...ids } as BaseEvent);
    this.tell({ type: EventType.RUN_FINISHED, ...ids, outcome: { type: 'cancelled' } } as BaseEvent);
  }

  private end(): void {
    this.over = true;
    if (this.threadId) this.connection.unfollow(this.channel, this);
    this.release();
  }
}

/** The results that stand at the end of the conversation, of calls that a run left to the caller; nothing where there are none. */
function resultsOf(messages: Message[]): Answer[] | undefined {
  const from = messages.findLastIndex(({ role }) => role !== 'tool') + 1;
  const results = messages.slice(from).flatMap((message): Answer[] =>
    message.role === 'tool'
      ? [{ interruptId: message.toolCallId, status: 'resolved', payload: message.content, metadata: { messageId: message.id, ...(message.error && { error: message.error }) } }]
      : [],
  );
  return results.length ? results : undefined;
}

/** Whether the server keeps the caller's id of a message beside its own. */
const isKept = (id: string): boolean => id !== '' && new TextEncoder().encode(id).length <= MAX_EXTERNAL_ID_BYTES;

/** A message: its words, and whether it carries files beside them. */
interface Question {
  id: string;
  text: string;
  files: boolean;
  /** The results of tools that stand before it. */
  results: Message[];
}

/** What is asked: the last message, which is a person's. */
function question(messages: Message[]): Question {
  const last = messages.at(-1);
  if (last?.role !== 'user') {
    throw new NetraError('invalid_input', 'the last message is neither a person’s nor a tool’s; add what to answer, or `resume` an interrupted run');
  }
  const parts = partsOf(last.content);
  const texts = parts.flatMap((part) => {
    if (part.type === 'text') return part.text ?? '';
    if (part.source?.type === 'data') return [];
    const what = `a part of type \`${part.type}\` without its bytes cannot be sent`;
    throw new NetraError('invalid_input', `${what}; give them in a \`source\` of type \`data\`, or upload the file to the thread`);
  });
  const said = messages.slice(messages.findLastIndex(({ role }) => role === 'assistant') + 1);
  return { id: last.id, text: texts.join('\n'), files: texts.length < parts.length, results: said.filter(({ role }) => role === 'tool') };
}

/** Whether an event tells a shared state. */
const isOfState = ({ type }: BaseEvent): boolean => type === EventType.STATE_SNAPSHOT || type === EventType.STATE_DELTA;

/** Whether the front end is to be told the thread's state: it was loaded anew, or gives an empty state. */
function needsState(input: RunAgentInput, joins: boolean): boolean {
  return joins || ('state' in input && (input.state == null || JSON.stringify(input.state) === '{}'));
}

/** Whether the agent is to be given more than a message. */
function givesMore({ tools, context, state, forwardedProps }: RunAgentInput): boolean {
  const something = (value: unknown) => value !== undefined && value !== null && JSON.stringify(value) !== '{}';
  return tools.length > 0 || context.length > 0 || something(state) || something(forwardedProps);
}

/** The newest run that waits for an answer to all of these. */
function whoWaits(view: ThreadView, ids: string[]): string | undefined {
  const waits = ({ state, pending, nodes }: RunView) => {
    // Where the end names no calls, all that it made may be the caller's.
    const left = pending?.length ? pending : nodes.flatMap(({ id, body }) => (body.is === 'tool' ? id : []));
    const asked = state.is === 'interrupted' ? state.interrupts.map(({ id }) => id) : left;
    return ids.every((id) => asked.includes(id));
  };
  return runsOf(view).filter(waits).at(-1)?.run_id;
}
