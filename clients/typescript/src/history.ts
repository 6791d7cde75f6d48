/** What was said in a thread before its newest run: for a front end that comes to it anew. */
import type { Message } from '@ag-ui/client';
import { messagesOf } from './restate.js';
import type { RunView, Said, ThreadView } from './wire.js';

/** The runs of a thread, oldest first. */
export const runsOf = (view: ThreadView): RunView[] => view.items.flatMap((item) => (item.kind === 'run' ? [item.value] : []));

/** A person's message, and the runs that answered it. */
export interface Turn {
  said: Said;
  runs: RunView[];
}

/** The turns of the newest branch, oldest first; nothing where nothing was said, or what was said last has no run yet. */
export function turnsOf(view: ThreadView): Turn[] | undefined {
  const said = view.items.flatMap((item) => (item.kind === 'message' ? [item.value] : []));
  const last = said.at(-1);
  if (!last) return undefined;
  const branch = [last];
  for (let next: Said | undefined = last; next; ) {
    const { follows }: Said = next;
    next = said.find(({ message }) => message.id === follows && !branch.some((known) => known.message.id === follows));
    if (next) branch.unshift(next);
  }
  const runs = runsOf(view);
  const answers = ({ message }: Said) => runs.filter((run) => run.message_id === message.id || run.run_id === message.run_id);
  const turns = branch.map((one): Turn => ({ said: one, runs: answers(one) }));
  return turns.at(-1)!.runs.length > 0 ? turns : undefined;
}

/** The conversation of some turns up to their newest run. */
export function messagesBefore(turns: Turn[]): Message[] {
  const newest = turns.at(-1)?.runs.at(-1);
  return turns.flatMap(({ said, runs }): Message[] => [
    { id: said.message.id, role: 'user', content: said.message.content },
    ...runs.filter((run) => run !== newest).flatMap(({ nodes }) => messagesOf(nodes)),
  ]);
}
