/** What was said in a thread before its newest run: for a front end that comes to it anew. */
import { type BaseEvent, EventType, type Message } from '@ag-ui/client';
import { messagesOf } from './events.js';
import type { Node, RunView, Said, ThreadView } from './wire.js';

/** The runs of a thread, oldest first. */
export const runsOf = (view: ThreadView): RunView[] => view.items.flatMap((item) => (item.kind === 'run' ? [item.value] : []));

/** A person's message, and the runs that answered it. */
export interface Turn {
  said: Said;
  runs: RunView[];
}

/** A person's messages from the first to the one with this id, each said after the one before it; without such a one, to the newest. */
function branchTo(view: ThreadView, id?: string): Said[] {
  const said = view.items.flatMap((item) => (item.kind === 'message' ? [item.value] : []));
  const last = said.find(({ message }) => message.id === id) ?? said.at(-1);
  const branch = last ? [last] : [];
  for (let next: Said | undefined = last; next; ) {
    const { follows }: Said = next;
    next = said.find(({ message }) => message.id === follows && !branch.some((known) => known.message.id === follows));
    if (next) branch.unshift(next);
  }
  return branch;
}

/** The turns of the newest branch, oldest first; nothing where nothing was said, or what was said last has no run yet. */
export function turnsOf(view: ThreadView): Turn[] | undefined {
  const runs = runsOf(view);
  const answers = ({ message }: Said) => runs.filter((run) => run.message_id === message.id || run.run_id === message.run_id);
  const turns = branchTo(view).map((said): Turn => ({ said, runs: answers(said) }));
  return turns.at(-1)?.runs.length ? turns : undefined;
}

/** What the front end calls a message: by the id that it gave it, where the server kept that. */
export const idOf = ({ message }: Said): string => message.external_id ?? message.id;

/** The messages of an earlier run's nodes. A call whose arguments are not whole is left out: the newest run announces it again. */
const messagesIn = (nodes: Node[]): Message[] => messagesOf(nodes.filter(({ body, state }) => body.is !== 'tool' || state !== 'open'));

/** The conversation of some turns up to their newest run. What a run said to a cancellation stands before the message that it answers. */
export function messagesBefore(turns: Turn[]): Message[] {
  const newest = turns.at(-1)?.runs.at(-1);
  return turns.flatMap(({ said, runs }): Message[] => {
    const told = runs.filter((run) => run !== newest);
    return [
      ...told.flatMap(({ nodes, nodes_before_message = 0 }) => messagesIn(nodes.slice(0, nodes_before_message))),
      { id: idOf(said), role: 'user', content: said.message.content },
      ...told.flatMap(({ nodes, nodes_before_message = 0 }) => messagesIn(nodes.slice(nodes_before_message))),
    ];
  });
}

/** Events that give a front end the shared state that a run begins with. A run that the view does not have comes after all that it has. */
export function stateBefore(view: ThreadView, runId: string): BaseEvent[] {
  const runs = runsOf(view);
  const at = runs.findIndex(({ run_id }) => run_id === runId);
  const branch = new Set(branchTo(view, runs[at]?.message_id).map(({ message }) => message.id));
  const before = runs.slice(0, at < 0 ? undefined : at).filter(({ message_id }) => message_id === undefined || branch.has(message_id));
  const whole = before.findLastIndex(({ shared }) => shared !== undefined);
  const changes = before.slice(whole + 1).flatMap(({ shared_changes }) => shared_changes ?? []);
  return [
    ...(whole < 0 ? [] : [{ type: EventType.STATE_SNAPSHOT, snapshot: before[whole]!.shared } as BaseEvent]),
    ...changes.map((delta) => ({ type: EventType.STATE_DELTA, delta }) as BaseEvent),
  ];
}
