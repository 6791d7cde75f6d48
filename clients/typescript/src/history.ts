/** What was said in a thread before its newest run: for a front end that comes to it anew. */
import { type BaseEvent, EventType, type Message } from '@ag-ui/client';
import { messagesOf } from './restate.js';
import type { RunView, Said, ThreadView } from './wire.js';

/** The runs of a thread, oldest first. */
export const runsOf = (view: ThreadView): RunView[] => view.items.flatMap((item) => (item.kind === 'run' ? [item.value] : []));

/** The messages of the branch that leads to one of them, the first one first; without an id, to the newest. */
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

/** The shared state that a run begins with, as events that bring a front end there. A run that is not in the view yet is the next. */
export function stateBefore(view: ThreadView, runId: string): BaseEvent[] {
  const runs = runsOf(view);
  const at = runs.findIndex(({ run_id }) => run_id === runId);
  const branch = new Set(branchTo(view, runs[at]?.message_id).map(({ message }) => message.id));
  const before = runs.slice(0, at < 0 ? undefined : at).filter(({ message_id }) => message_id === undefined || branch.has(message_id));
  const told = before.findLastIndex(({ shared }) => shared !== undefined);
  const changes = before.slice(told + 1).flatMap(({ shared_changes }) => shared_changes ?? []);
  return [
    ...(told < 0 ? [] : [{ type: EventType.STATE_SNAPSHOT, snapshot: before[told]!.shared } as BaseEvent]),
    ...changes.map((delta) => ({ type: EventType.STATE_DELTA, delta }) as BaseEvent),
  ];
}

/** The newest run and the conversation of its branch up to it; nothing where nothing was said. */
export function newest(view: ThreadView): { before: Message[]; run: RunView } | undefined {
  const runs = runsOf(view);
  const branch = branchTo(view);
  const last = branch.at(-1);
  if (!last) return undefined;
  const answers = ({ message }: Said) => runs.filter((run) => run.message_id === message.id || run.run_id === message.run_id);
  const run = answers(last).at(-1);
  if (!run) return undefined;
  const before = branch.flatMap((one): Message[] => [
    { id: one.message.id, role: 'user', content: one.message.content },
    ...answers(one).filter((other) => other !== run).flatMap(({ nodes }) => messagesOf(nodes)),
  ]);
  return { before, run };
}
