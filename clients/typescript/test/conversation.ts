/** What AG-UI's client derives from events. */
import { AbstractAgent, type BaseEvent } from '@ag-ui/client';
import { from } from 'rxjs';

/** The messages and state that AG-UI's client derives from events, which it verifies, too. */
export async function conversationOf(events: BaseEvent[]) {
  class Recorded extends AbstractAgent {
    override run = () => from(events);
  }
  const agent = new Recorded();
  const customs: unknown[] = [];
  await agent.runAgent({}, { onCustomEvent: ({ event }) => void customs.push(event.name, event.value) });
  return { ...conversation(agent), customs };
}

/** Messages and state, without the ids of results: a restated result has another id. */
export function conversation({ messages, state }: AbstractAgent) {
  const answers = messages.filter(({ role }) => role !== 'user');
  return { messages: answers.map((message) => (message.role === 'tool' ? { ...message, id: '' } : message)), state };
}
