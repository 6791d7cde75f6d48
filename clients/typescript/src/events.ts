/**
 * The events of one run for a front end, from entries of the log or from a snapshot of the thread.
 *
 * The progress of each text, call, step and so on is tracked. When the server sends a snapshot instead of the entries, the difference
 * is emitted as events: texts continue where they stopped, new nodes are started, ended ones are ended. If something that was emitted
 * has changed since (the agent restated it, or the store was restored from an older backup), a `MESSAGES_SNAPSHOT` replaces the
 * messages. So nothing is lost or repeated, and AG-UI's verifier accepts the stream. What a snapshot does not contain (raw events,
 * encrypted reasoning) cannot be restated.
 */
import { type BaseEvent, EventType, type Message, type MessagesSnapshotEvent } from '@ag-ui/client';
import { metadataOf, Type, withoutMetadata } from './compat.js';
import { type Kind, keyOf, missingEvents, messagesOf, nodeId, type Progress, terminalEvent, textOf } from './nodes.js';
import { PieceJoiner } from './pieces.js';
import type { Node, RunView } from './wire.js';

/** The metadata key of a `MESSAGES_SNAPSHOT` in the log that leaves out the messages before the one that its run answers. */
const SINCE_MESSAGE = 'netraSinceQuestion';

/** Gives access to any field: the log may hold events of a newer version. */
type Fields = BaseEvent & Record<string, string | undefined>;
type Emit = (event: BaseEvent) => void;

/** Replaces the server's message ids by the caller's anywhere in a value: agents restate conversations in states, too. */
function withMessageIds<T>(value: T, ids: ReadonlyMap<string, string>): T {
  if (ids.size === 0) return value;
  if (typeof value === 'string') return (ids.get(value) ?? value) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => withMessageIds(item, ids)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withMessageIds<unknown>(item, ids)])) as T;
}

export class RunEvents {
  /** By the nodes' keys. A key has several if a step's name repeats. */
  private readonly progress = new Map<string, Progress[]>();
  private started = false;
  private ended = false;
  private readonly pieces: PieceJoiner;
  /** How many of the log's changes of the shared state were received. */
  private changes = 0;

  constructor(
    /** The caller's ids, for the events that name the thread and the run. */
    private readonly callerIds: { threadId: string; runId: string; parentRunId?: string | undefined },
    private readonly serverIds: { threadId: string; runId: string },
    /** The caller's ids of messages, by the server's ids. */
    private readonly messageIds: ReadonlyMap<string, string>,
    /** The caller's conversation before the run. */
    private readonly before: Message[],
    private readonly emit: Emit,
    /** Events that produce the shared state at the start of the run, for a front end that does not have it. */
    private readonly initialState: BaseEvent[] = [],
  ) {
    this.pieces = new PieceJoiner(before);
  }

  /** Whether the terminal event was emitted. */
  get done(): boolean {
    return this.ended;
  }

  /** Emits the next event of the log. */
  apply(event: BaseEvent): void {
    // `start` may have emitted `RUN_STARTED` already.
    if (this.ended || (this.started && event.type === EventType.RUN_STARTED)) return;
    if (event.type === EventType.STATE_DELTA) this.changes += 1;
    this.send(event);
    if (event.type === EventType.RUN_STARTED) this.initialState.forEach((change) => this.send(change));
  }

  private send(event: BaseEvent): void {
    const joined = this.pieces.join(event);
    if (!joined) return;
    this.track(joined as Fields);
    this.emit(this.withCallerIds(this.withEarlierMessages(withMessageIds(joined, this.messageIds))));
  }

  /** The log may hold a restated conversation only from the run's message on. Adds the messages before it: a snapshot replaces all messages. */
  private withEarlierMessages(event: BaseEvent): BaseEvent {
    if (event.type !== EventType.MESSAGES_SNAPSHOT || !(SINCE_MESSAGE in metadataOf(event))) return event;
    const { messages, ...rest } = withoutMetadata(event as MessagesSnapshotEvent, SINCE_MESSAGE);
    const first = this.before.findIndex(({ id }) => id === messages[0]?.id);
    const all = [...this.before.slice(0, first < 0 ? undefined : first), ...messages];
    return { ...rest, messages: all } as BaseEvent;
  }

  /** Emits `RUN_STARTED`, then events that produce the conversation before the run. */
  start(before: BaseEvent[]): void {
    this.apply({ type: EventType.RUN_STARTED, ...this.serverIds } as BaseEvent);
    before.forEach((event) => this.apply(event));
  }

  /**
   * Emits the difference between what was emitted and the run in a snapshot. `earlier`: the thread's runs before it, oldest first,
   * which hold the calls that this run announced again.
   */
  restate(run: RunView, earlier: RunView[] = []): void {
    if (this.ended || run.state.is === 'waiting') return;
    const emit = (type: EventType, fields: object, within?: string) =>
      this.apply({ type, ...fields, ...(within !== undefined && { subagentRunId: within }) } as BaseEvent);
    if (!this.started) emit(EventType.RUN_STARTED, this.serverIds);
    const closings: (() => void)[] = [];
    const nodes = this.withProgress([...run.nodes, ...this.announcedAgain(run, earlier)]);
    this.replaceChanged(nodes);
    for (const [node, progress] of nodes) {
      // The events of a sub-agent itself name their parent in another field.
      const owner = node.body.is === 'subagent' ? undefined : node.within;
      for (const [type, fields, last] of missingEvents(node, progress)) {
        if (last) closings.unshift(() => emit(type, fields, owner));
        else emit(type, fields, owner);
      }
    }
    closings.forEach((close) => close());
    if (run.shared !== undefined) emit(EventType.STATE_SNAPSHOT, { snapshot: run.shared });
    else for (const delta of (run.shared_changes ?? []).slice(this.changes)) emit(EventType.STATE_DELTA, { delta });
    const terminal = terminalEvent(run);
    if (terminal) emit(...terminal);
  }

  /**
   * The calls of earlier runs that this run announced again: those that were emitted as its own, and those that are open, since a call
   * of a run that has ended is open only while a later run announces it again.
   */
  private announcedAgain(run: RunView, earlier: RunView[]): Node[] {
    const key = (node: Node) => keyOf(node.body.is, nodeId(node), node.within);
    const seen = new Set(run.nodes.map(key));
    const found: Node[] = [];
    for (const node of [...earlier].reverse().flatMap(({ nodes }) => nodes)) {
      if (node.body.is !== 'tool' || seen.has(key(node))) continue;
      // The newest run with the call holds its last announcement.
      seen.add(key(node));
      if (node.state === 'open' || this.progress.has(key(node))) found.push(node);
    }
    return found;
  }

  /** Each node with its progress. */
  private withProgress(nodes: Node[]): [Node, Progress | undefined][] {
    const counts = new Map<string, number>();
    return nodes.map((node) => {
      const key = keyOf(node.body.is, nodeId(node), node.within);
      const nth = counts.get(key) ?? 0;
      counts.set(key, nth + 1);
      return [node, this.progress.get(key)?.[nth]];
    });
  }

  /** If an emitted text is not the beginning of the current one, emits all messages so far. */
  private replaceChanged(nodes: [Node, Progress | undefined][]): void {
    const known = nodes.filter((pair): pair is [Node, Progress] => pair[1] !== undefined);
    if (known.every(([node, progress]) => textOf(node).startsWith(progress.text))) return;
    const messages = [...this.before, ...messagesOf(known.map(([node]) => node))];
    this.apply({ type: EventType.MESSAGES_SNAPSHOT, messages } as BaseEvent);
  }

  /** Replaces the ids of the thread and the run by the caller's; the server's are in the metadata. */
  private withCallerIds(event: BaseEvent): BaseEvent {
    if (event.type !== EventType.RUN_STARTED && event.type !== EventType.RUN_FINISHED) return event;
    const { parentRunId: parent, ...rest } = event as BaseEvent & { parentRunId?: string };
    const { parentRunId, ...ids } = this.callerIds;
    const { threadId, runId } = this.serverIds;
    const metadata = { ...metadataOf(event), netra: { threadId, runId, ...(parent !== undefined && { parentRunId: parent }) } };
    return { ...rest, ...ids, ...(parent !== undefined && parentRunId !== undefined && { parentRunId }), metadata } as BaseEvent;
  }

  /** Updates the progress; one case for each type of event. */
  private track(e: Fields): void {
    const owner = e['subagentRunId'];
    const message = e['messageId'] ?? '';
    const call = e['toolCallId'] ?? '';
    switch (e.type) {
      case EventType.RUN_STARTED:
        this.started = true;
        break;
      case EventType.RUN_FINISHED:
      case EventType.RUN_ERROR:
        this.started = this.ended = true;
        break;
      case EventType.TEXT_MESSAGE_START:
        return this.open('text', message);
      case EventType.TEXT_MESSAGE_CONTENT:
        return this.grow('text', message, e['delta']);
      case EventType.TEXT_MESSAGE_END:
        return this.close('text', message);
      case EventType.TEXT_MESSAGE_CHUNK:
        return this.chunk('text', e['messageId'], e['delta']);
      case EventType.TOOL_CALL_START:
        return this.open('tool', call);
      case EventType.TOOL_CALL_ARGS:
        return this.grow('tool', call, e['delta']);
      case EventType.TOOL_CALL_END:
        return this.close('tool', call);
      case EventType.TOOL_CALL_CHUNK:
        return this.chunk('tool', e['toolCallId'], e['delta']);
      case EventType.TOOL_CALL_RESULT: {
        const progress = this.last('tool', call);
        if (progress) progress.answered = true;
        break;
      }
      case EventType.REASONING_START:
        return this.open('reasoning_span', message);
      case EventType.REASONING_END:
        return this.close('reasoning_span', message);
      case EventType.REASONING_MESSAGE_START:
        return this.open('reasoning', message);
      case EventType.REASONING_MESSAGE_CONTENT:
        return this.grow('reasoning', message, e['delta']);
      case EventType.REASONING_MESSAGE_END:
        return this.close('reasoning', message);
      case EventType.REASONING_MESSAGE_CHUNK:
        return this.chunk('reasoning', e['messageId'], e['delta']);
      case EventType.STEP_STARTED:
        return this.open('step', e['stepName'] ?? '', owner);
      case EventType.STEP_FINISHED:
        return this.close('step', e['stepName'] ?? '', owner);
      case Type.SUBAGENT_STARTED:
        return this.open('subagent', owner ?? '');
      case Type.SUBAGENT_FINISHED:
      case Type.SUBAGENT_ERROR:
        return this.close('subagent', owner ?? '');
      case EventType.CUSTOM:
        return this.open('custom', '');
      case EventType.MESSAGES_SNAPSHOT:
        return this.trackSnapshot((e as unknown as MessagesSnapshotEvent).messages);
    }
  }

  /** Replaces the progress by the restated messages of this run, those after the user's last message. Removes what they leave out. */
  private trackSnapshot(messages: Message[]): void {
    const hasReasoning = messages.some(({ role }) => role === 'reasoning');
    const named = new Set(messages.flatMap((message) => [message.id, ...(message.role === 'assistant' ? (message.toolCalls ?? []).map(({ id }) => id) : [])]));
    for (const [key, all] of this.progress) {
      const [kind, , id] = key.split('\0');
      const restated = kind === 'text' || kind === 'tool' || (hasReasoning && kind === 'reasoning');
      if (restated && !named.has(id!) && all.every(({ open }) => !open)) this.progress.delete(key);
    }
    const known = (kind: Kind, id: string): Progress => {
      if (!this.last(kind, id)) {
        this.open(kind, id);
        this.close(kind, id);
      }
      return this.last(kind, id)!;
    };
    for (const message of messages.slice(messages.findLastIndex(({ role }) => role === 'user') + 1)) {
      if (message.role === 'assistant') {
        if (message.content) known('text', message.id).text = String(message.content);
        for (const call of message.toolCalls ?? []) known('tool', call.id).text = call.function.arguments;
      } else if (message.role === 'reasoning') {
        known('reasoning', message.id).text = message.content;
      } else if (message.role === 'tool') {
        known('tool', message.toolCallId).answered = true;
      }
    }
  }

  private open(kind: Kind, id: string, within?: string): void {
    const key = keyOf(kind, id, within);
    const all = this.progress.get(key) ?? [];
    all.push({ open: true, text: '', answered: false });
    // Moves the key to the end: chunks without an id continue the last one.
    this.progress.delete(key);
    this.progress.set(key, all);
  }

  private grow(kind: Kind, id: string, delta: string | undefined): void {
    const progress = this.last(kind, id);
    if (progress) progress.text += delta ?? '';
  }

  private close(kind: Kind, id: string, within?: string): void {
    const progress = this.last(kind, id, within);
    if (progress) progress.open = false;
  }

  /** A chunk with a new id starts a message; one without an id continues the last. */
  private chunk(kind: Kind, id: string | undefined, delta: string | undefined): void {
    const key = [...this.progress.keys()].reverse().find((known) => known.startsWith(`${kind}\0`));
    const named = id ?? key?.split('\0')[2];
    if (named === undefined) return;
    if (!this.last(kind, named)?.open) this.open(kind, named);
    this.grow(kind, named, delta);
  }

  private last(kind: Kind, id: string, within?: string): Progress | undefined {
    return this.progress.get(keyOf(kind, id, within))?.at(-1);
  }
}

/** The events of a run in a view. */
export function eventsOf(run: RunView): BaseEvent[] {
  const events: BaseEvent[] = [];
  const ids = { threadId: '', runId: run.run_id };
  new RunEvents(ids, ids, new Map(), [], (event) => events.push(event)).restate(run);
  return events;
}
