/**
 * One run's events, whether they come one by one or were compacted while the client was away.
 *
 * What was told is noted: which texts, calls, steps and so on there are, and how far each has come. When the server answers with a
 * snapshot of the thread instead of the entries, the difference between the two is told in events: texts go on where they stopped,
 * what is new is begun, what has ended is ended. Where something told says something else now (the agent restated it, or the log is
 * an older copy), the messages are told whole, as `MESSAGES_SNAPSHOT`. So nothing is lost, nothing doubled, and the stream stays one
 * that AG-UI's verifier accepts. What a snapshot does not hold (raw events, encrypted reasoning) cannot be restated.
 */
import { type BaseEvent, EventType, type Message, type MessagesSnapshotEvent } from '@ag-ui/client';
import { Pieces } from './pieces.js';
import { metadataOf, Type, withoutMarks } from './compat.js';
import type { Node, RunView } from './wire.js';

/** In the metadata of a `MESSAGES_SNAPSHOT` of the log: it leaves out what was said before the message that its run answers. */
const SINCE_QUESTION = 'netraSinceQuestion';

/** What is known of one thing in the run. */
interface Note {
  open: boolean;
  text: string;
  answered: boolean;
}

/** Reads any field of an event: the log may hold events of a newer version. */
type Fields = BaseEvent & Record<string, string | undefined>;
type Emit = (event: BaseEvent) => void;
type Kind = Node['body']['is'];

/** A value with the caller's own ids, wherever in it they stand: agents restate conversations in states, too. */
function restored<T>(value: T, ids: ReadonlyMap<string, string>): T {
  if (ids.size === 0) return value;
  if (typeof value === 'string') return (ids.get(value) ?? value) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => restored(item, ids)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, restored<unknown>(item, ids)])) as T;
}

export class RunEvents {
  private readonly notes = new Map<string, Note[]>();
  private started = false;
  private ended = false;
  private readonly pieces: Pieces;
  /** How many of the log's changes of the shared state have come. */
  private changes = 0;

  constructor(
    /** The ids that the caller knows, for the events that name the thread and the run. */
    private readonly ids: { threadId: string; runId: string; parentRunId?: string | undefined },
    private readonly own: { threadId: string; runId: string },
    /** What the caller calls its messages, by the ids that stand for them on the server. */
    private readonly messageIds: ReadonlyMap<string, string>,
    /** The conversation up to the run, as the caller has it. */
    private readonly before: Message[],
    private readonly emit: Emit,
    /** Events that give a front end that has no state the one that the run begins with. */
    private readonly state: BaseEvent[] = [],
  ) {
    this.pieces = new Pieces(before);
  }

  /** Whether the run's last event was told. */
  get done(): boolean {
    return this.ended;
  }

  /** Tells the next event of the log. */
  apply(event: BaseEvent): void {
    // A run that was told to have begun before it did, for the sake of what came before it, begins once.
    if (this.ended || (this.started && event.type === EventType.RUN_STARTED)) return;
    if (event.type === EventType.STATE_DELTA) this.changes += 1;
    this.send(event);
    if (event.type === EventType.RUN_STARTED) this.state.forEach((told) => this.send(told));
  }

  private send(event: BaseEvent): void {
    const joined = this.pieces.join(event);
    if (!joined) return;
    this.note(joined as Fields);
    this.emit(this.named(this.whole(restored(joined, this.messageIds))));
  }

  /** The log has a restated conversation from the question on; a front end, which takes it for all that was said, is told all of it. */
  private whole(event: BaseEvent): BaseEvent {
    if (event.type !== EventType.MESSAGES_SNAPSHOT || !(SINCE_QUESTION in metadataOf(event))) return event;
    const { messages, ...rest } = withoutMarks(event as MessagesSnapshotEvent, SINCE_QUESTION);
    const asked = this.before.findIndex(({ id }) => id === messages[0]?.id);
    const all = [...this.before.slice(0, asked < 0 ? undefined : asked), ...messages];
    return { ...rest, messages: all } as BaseEvent;
  }

  /** Tells that the run has begun, and the conversation up to it, in the events that are given. */
  begin(before: BaseEvent[]): void {
    this.apply({ type: EventType.RUN_STARTED, ...this.own } as BaseEvent);
    before.forEach((event) => this.apply(event));
  }

  /**
   * Tells what lies between what was told and what the thread looks like now. `earlier`: the thread's runs before it, oldest first,
   * among whose calls are those that this run announced again.
   */
  restate(run: RunView, earlier: RunView[] = []): void {
    if (this.ended || run.state.is === 'waiting') return;
    const tell = (type: EventType, fields: object, within?: string) =>
      this.apply({ type, ...fields, ...(within !== undefined && { subagentRunId: within }) } as BaseEvent);
    if (!this.started) tell(EventType.RUN_STARTED, this.own);
    const closings: (() => void)[] = [];
    const nodes = this.paired([...run.nodes, ...this.announcedAgain(run, earlier)]);
    this.correct(nodes);
    for (const [node, known] of nodes) {
      // A sub-agent's own events name their parent in a field of its own.
      const owner = node.body.is === 'subagent' ? undefined : node.within;
      for (const [type, fields, last] of difference(node, known)) {
        if (last) closings.unshift(() => tell(type, fields, owner));
        else tell(type, fields, owner);
      }
    }
    closings.forEach((close) => close());
    if (run.shared !== undefined) tell(EventType.STATE_SNAPSHOT, { snapshot: run.shared });
    else for (const delta of (run.shared_changes ?? []).slice(this.changes)) tell(EventType.STATE_DELTA, { delta });
    const terminal = ending(run);
    if (terminal) tell(...terminal);
  }

  /**
   * The calls of earlier runs that this run announced again: those that were told as its own, and those that are open. In a run that
   * is over, a call is open only while a later run announces it again.
   */
  private announcedAgain(run: RunView, earlier: RunView[]): Node[] {
    const key = (node: Node) => keyOf(node.body.is, nodeId(node), node.within);
    const met = new Set(run.nodes.map(key));
    const found: Node[] = [];
    for (const node of [...earlier].reverse().flatMap(({ nodes }) => nodes)) {
      if (node.body.is !== 'tool' || met.has(key(node))) continue;
      // The newest run that has the call holds what was announced last.
      met.add(key(node));
      if (node.state === 'open' || this.notes.has(key(node))) found.push(node);
    }
    return found;
  }

  /** Each node with what was told of it. */
  private paired(nodes: Node[]): [Node, Note | undefined][] {
    const met = new Map<string, number>();
    return nodes.map((node) => {
      const key = keyOf(node.body.is, nodeId(node), node.within);
      const nth = met.get(key) ?? 0;
      met.set(key, nth + 1);
      return [node, this.notes.get(key)?.[nth]];
    });
  }

  /** Where what was told is not how it begins now, the messages told so far are told whole. */
  private correct(nodes: [Node, Note | undefined][]): void {
    const known = nodes.filter((pair): pair is [Node, Note] => pair[1] !== undefined);
    if (known.every(([node, note]) => textIn(node).startsWith(note.text))) return;
    const messages = [...this.before, ...messagesOf(known.map(([node]) => node))];
    this.apply({ type: EventType.MESSAGES_SNAPSHOT, messages } as BaseEvent);
  }

  /** The event as the caller expects it: with the caller's ids; Netra's are in its metadata. */
  private named(event: BaseEvent): BaseEvent {
    if (event.type !== EventType.RUN_STARTED && event.type !== EventType.RUN_FINISHED) return event;
    const { parentRunId: parent, ...rest } = event as BaseEvent & { parentRunId?: string };
    const { parentRunId, ...ids } = this.ids;
    const { threadId, runId } = this.own;
    const metadata = { ...metadataOf(event), netra: { threadId, runId, ...(parent !== undefined && { parentRunId: parent }) } };
    return { ...rest, ...ids, ...(parent !== undefined && parentRunId !== undefined && { parentRunId }), metadata } as BaseEvent;
  }

  private note(e: Fields): void {
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
        const note = this.last('tool', call);
        if (note) note.answered = true;
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
        return this.replace((e as unknown as MessagesSnapshotEvent).messages);
    }
  }

  /** Takes over what a restated conversation says after the person's last message: that is this run. What it leaves out is gone. */
  private replace(messages: Message[]): void {
    const thinks = messages.some(({ role }) => role === 'reasoning');
    const named = new Set(messages.flatMap((message) => [message.id, ...(message.role === 'assistant' ? (message.toolCalls ?? []).map(({ id }) => id) : [])]));
    for (const [key, notes] of this.notes) {
      const [kind, , id] = key.split('\0');
      const restated = kind === 'text' || kind === 'tool' || (thinks && kind === 'reasoning');
      if (restated && !named.has(id!) && notes.every(({ open }) => !open)) this.notes.delete(key);
    }
    const known = (kind: Kind, id: string): Note => {
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
    const notes = this.notes.get(key) ?? [];
    notes.push({ open: true, text: '', answered: false });
    // In the order in which they were told last, for chunks that name no id.
    this.notes.delete(key);
    this.notes.set(key, notes);
  }

  private grow(kind: Kind, id: string, delta: string | undefined): void {
    const note = this.last(kind, id);
    if (note) note.text += delta ?? '';
  }

  private close(kind: Kind, id: string, within?: string): void {
    const note = this.last(kind, id, within);
    if (note) note.open = false;
  }

  /** A chunk begins its message where the id is new, and goes on with the last one where it names none. */
  private chunk(kind: Kind, id: string | undefined, delta: string | undefined): void {
    const key = [...this.notes.keys()].reverse().find((known) => known.startsWith(`${kind}\0`));
    const named = id ?? key?.split('\0')[2];
    if (named === undefined) return;
    if (!this.last(kind, named)?.open) this.open(kind, named);
    this.grow(kind, named, delta);
  }

  private last(kind: Kind, id: string, within?: string): Note | undefined {
    return this.notes.get(keyOf(kind, id, within))?.at(-1);
  }
}

/** The events of a run as it is in the thread. */
export function eventsOf(run: RunView): BaseEvent[] {
  const events: BaseEvent[] = [];
  const ids = { threadId: '', runId: run.run_id };
  new RunEvents(ids, ids, new Map(), [], (event) => events.push(event)).restate(run);
  return events;
}

/** Ids are unique in a run together with the kind; a step's name only with whose it is. */
function keyOf(kind: Kind, id: string, within?: string): string {
  return `${kind}\0${kind === 'step' ? (within === undefined ? '' : `of ${within}`) : ''}\0${id}`;
}

const nodeId = (node: Node): string => (node.body.is === 'custom' ? '' : node.id);

type Step = [type: EventType, fields: object, last?: 'last'];

/** The events that bring one thing from what is known of it to what it is now; `last`: only when all within it is told. */
function difference(node: Node, known: Note | undefined): Step[] {
  const { id, body } = node;
  const closes = node.state !== 'open' && (known?.open ?? true);
  const steps: Step[] = [];
  const streamed = (kind: string, ids: object, begin: object, text: string) => {
    const [delta, name] = [text.slice(known?.text.length ?? 0), (part: string) => `${kind}_${part}` as EventType];
    if (node.chunked) {
      if (delta || !known) steps.push([name('CHUNK'), { ...ids, ...(!known && begin), ...(delta && { delta }) }]);
      return;
    }
    if (!known) steps.push([name('START'), { ...ids, ...begin }]);
    if (delta) steps.push([name(kind === 'TOOL_CALL' ? 'ARGS' : 'CONTENT'), { ...ids, delta }]);
    if (closes) steps.push([name('END'), ids]);
  };
  switch (body.is) {
    case 'text':
      streamed('TEXT_MESSAGE', { messageId: id }, { role: body.role }, body.text);
      break;
    case 'reasoning':
      streamed('REASONING_MESSAGE', { messageId: id }, node.chunked ? {} : { role: 'reasoning' }, body.text);
      break;
    case 'tool':
      streamed('TOOL_CALL', { toolCallId: id }, { toolCallName: body.name, ...parent(body.message, 'parentMessageId') }, body.args);
      if (body.result !== undefined && !known?.answered) {
        const { result, result_id, parts, error } = body;
        const about = { messageId: result_id ?? resultOf(id), toolCallId: id, content: parts ?? result, role: 'tool' };
        steps.push([EventType.TOOL_CALL_RESULT, { ...about, ...(error && { metadata: { error } }) }]);
      }
      break;
    case 'reasoning_span':
      if (!known) steps.push([EventType.REASONING_START, { messageId: id }]);
      if (closes) steps.push([EventType.REASONING_END, { messageId: id }, 'last']);
      break;
    case 'step':
      if (!known) steps.push([EventType.STEP_STARTED, { stepName: id }]);
      if (closes) steps.push([EventType.STEP_FINISHED, { stepName: id }, 'last']);
      break;
    case 'subagent': {
      const subagentRunId = id;
      const about = body.description !== undefined && { description: body.description };
      if (!known) steps.push([Type.SUBAGENT_STARTED, { subagentRunId, name: body.name, ...about, ...parent(node.within, 'parentSubagentRunId') }]);
      if (closes && node.state === 'failed') {
        steps.push([Type.SUBAGENT_ERROR, { subagentRunId, message: body.error ?? 'failed' }, 'last']);
      } else if (closes) {
        steps.push([Type.SUBAGENT_FINISHED, { subagentRunId }, 'last']);
      }
      break;
    }
    case 'activity':
      steps.push([EventType.ACTIVITY_SNAPSHOT, { messageId: id, activityType: body.activity_type, content: body.content }]);
      break;
    case 'custom':
      if (!known) steps.push([EventType.CUSTOM, { name: body.name, value: body.value }]);
      break;
  }
  return steps;
}

const parent = (id: string | undefined, field: string): object => (id === undefined ? {} : { [field]: id });

/** What grows in a node. */
function textIn({ body }: Node): string {
  if (body.is === 'tool') return body.args;
  return body.is === 'text' || body.is === 'reasoning' ? body.text : '';
}

/** Nodes as messages, with the ids that AG-UI's client gives them. */
export function messagesOf(nodes: Node[]): Message[] {
  const messages: Message[] = [];
  for (const { id, body, within } of nodes) {
    const owner = parent(within, 'subagentRunId');
    if (body.is === 'text') {
      messages.push({ id, role: body.role, content: body.text, ...owner } as Message);
    } else if (body.is === 'reasoning') {
      messages.push({ id, role: 'reasoning', content: body.text, ...owner } as Message);
    } else if (body.is === 'tool') {
      const call = { id, type: 'function' as const, function: { name: body.name, arguments: body.args } };
      const carrier = messages.find((message) => message.role === 'assistant' && message.id === body.message);
      if (carrier?.role === 'assistant') carrier.toolCalls = [...(carrier.toolCalls ?? []), call];
      else messages.push({ id: body.message ?? id, role: 'assistant', toolCalls: [call], ...owner } as Message);
      if (body.result !== undefined) {
        const { result, result_id, parts, error } = body;
        const about = { id: result_id ?? resultOf(id), toolCallId: id, content: parts ?? result, ...(error && { error }) };
        messages.push({ role: 'tool', ...about, ...owner } as Message);
      }
    }
  }
  return messages;
}

const resultOf = (call: string): string => `${call}-result`;

function ending(run: RunView): [EventType, object] | undefined {
  const usage = run.usage?.length ? { usage: run.usage } : {};
  const finished = (more: object): [EventType, object] => [EventType.RUN_FINISHED, { ...more, ...usage }];
  switch (run.state.is) {
    case 'finished':
      return finished({
        ...(run.result !== undefined && { result: run.result }),
        ...(run.pending?.length && { outcome: { type: 'success', pendingToolCallIds: run.pending } }),
      });
    case 'cancelled':
      return finished({ outcome: { type: 'cancelled' } });
    case 'interrupted':
      return finished({ outcome: { type: 'interrupt', interrupts: run.state.interrupts } });
    case 'failed': {
      const { message, code } = run.state;
      return [EventType.RUN_ERROR, { message, ...(code !== undefined && { code }), ...usage }];
    }
    default:
      return undefined;
  }
}
