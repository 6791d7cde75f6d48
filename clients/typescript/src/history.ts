/** What was said in a thread before its newest run: for a front end that comes to it anew. */
import type { Message } from '@ag-ui/client';
import { messagesOf } from './restate.js';
import type { RunView, Said, ThreadView } from './wire.js';

/** The runs of a thread, oldest first. */
export const runsOf = (view: ThreadView): RunView[] => view.items.flatMap((item) => (item.kind === 'run' ? [item.value] : []));

/** The newest run and the conversation of its branch up to it; nothing where nothing was said. */
export function newest(view: ThreadView): { before: Message[]; run: RunView } | undefined {
  const said = view.items.flatMap((item) => (item.kind === 'message' ? [item.value] : []));
  const runs = runsOf(view);
  const last = said.at(-1);
  if (!last) return undefined;
  const branch = [last];
  for (let next: Said | undefined = last; next; ) {
    const { follows }: Said = next;
    next = said.find(({ message }) => message.id === follows && !branch.some((known) => known.message.id === follows));
    if (next) branch.unshift(next);
  }
  const answers = ({ message }: Said) => runs.filter((run) => run.message_id === message.id || run.run_id === message.run_id);
  const run = answers(last).at(-1);
  if (!run) return undefined;
  const before = branch.flatMap((one): Message[] => [
    { id: one.message.id, role: 'user', content: one.message.content },
    ...answers(one).filter((other) => other !== run).flatMap(({ nodes }) => messagesOf(nodes)),
  ]);
  return { before, run };
}
