/** The conversation of a thread before its newest run, for a front end that joins it. */
import { type BaseEvent, EventType, type Message } from '@ag-ui/client';
import { messagesOf } from './nodes.js';
import type { MessageItem, Node, RunView, ThreadView } from './wire.js';

/** The runs of a thread, oldest first. */
export const runsOf = (view: ThreadView): RunView[] => view.items.flatMap((item) => (item.kind === 'run' ? [item.value] : []));

/** A user's message, and the runs that answered it. */
export interface Turn {
  item: MessageItem;
  runs: RunView[];
}

/** The user's messages of a branch, from its first to the one with this id; if there is none, to the newest. */
function branchTo(view: ThreadView, id?: string): MessageItem[] {
  const items = view.items.flatMap((item) => (item.kind === 'message' ? [item.value] : []));
  const last = items.find(({ message }) => message.id === id) ?? items.at(-1);
  const branch = last ? [last] : [];
  for (let next: MessageItem | undefined = last; next; ) {
    const { follows }: MessageItem = next;
    next = items.find(({ message }) => message.id === follows && !branch.some((known) => known.message.id === follows));
    if (next) branch.unshift(next);
  }
  return branch;
}

/** The turns of the newest branch, oldest first; `undefined` if there is no message, or the last one has no run yet. */
export function turnsOf(view: ThreadView): Turn[] | undefined {
  const runs = runsOf(view);
  const runsFor = ({ message }: MessageItem) => runs.filter((run) => run.message_id === message.id || run.run_id === message.run_id);
  const turns = branchTo(view).map((item): Turn => ({ item, runs: runsFor(item) }));
  return turns.at(-1)?.runs.length ? turns : undefined;
}

/** The caller's id of a message, if the server has it; otherwise the server's. */
export const callerIdOf = ({ message }: MessageItem): string => message.external_id ?? message.id;

/** The messages of an earlier run's nodes. A call with incomplete arguments is left out: the newest run announces it again. */
const messagesIn = (nodes: Node[]): Message[] => messagesOf(nodes.filter(({ body, state }) => body.is !== 'tool' || state !== 'open'));

const userMessage = (item: MessageItem): Message => ({ id: callerIdOf(item), role: 'user', content: item.message.content });

/** The messages of an earlier run's answer, with those of the user that its agent read meanwhile at their places. */
function answerIn({ nodes, nodes_before_message: start = 0, read = [] }: RunView): Message[] {
  const ends = [...read.map(({ nodes_before }) => nodes_before), nodes.length];
  return ends.flatMap((end, index): Message[] => {
    const item = read[index]?.item;
    return [...messagesIn(nodes.slice(ends[index - 1] ?? start, end)), ...(item ? [userMessage(item)] : [])];
  });
}

/** The conversation up to the newest run. A run's reaction to a cancelled interrupt comes before the message that the run answers. */
export function messagesBefore(turns: Turn[]): Message[] {
  const newest = turns.at(-1)?.runs.at(-1);
  return turns.flatMap(({ item, runs }): Message[] => {
    const earlier = runs.filter((run) => run !== newest);
    return [
      ...earlier.flatMap(({ nodes, nodes_before_message = 0 }) => messagesIn(nodes.slice(0, nodes_before_message))),
      userMessage(item),
      ...earlier.flatMap(answerIn),
    ];
  });
}

/** The events that produce the shared state at the start of a run. A run that is not in the view comes after all that are. */
export function stateBefore(view: ThreadView, runId: string): BaseEvent[] {
  const runs = runsOf(view);
  const index = runs.findIndex(({ run_id }) => run_id === runId);
  const branch = new Set(branchTo(view, runs[index]?.message_id).map(({ message }) => message.id));
  const before = runs.slice(0, index < 0 ? undefined : index).filter(({ message_id }) => message_id === undefined || branch.has(message_id));
  const stateIndex = before.findLastIndex(({ shared }) => shared !== undefined);
  const changes = before.slice(stateIndex + 1).flatMap(({ shared_changes }) => shared_changes ?? []);
  return [
    ...(stateIndex < 0 ? [] : [{ type: EventType.STATE_SNAPSHOT, snapshot: before[stateIndex]!.shared } as BaseEvent]),
    ...changes.map((delta) => ({ type: EventType.STATE_DELTA, delta }) as BaseEvent),
  ];
}
