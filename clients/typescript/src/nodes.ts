/** Converts the nodes of a thread's view to AG-UI events and messages. */
import { EventType, type Message } from '@ag-ui/client';
import { Type } from './compat.js';
import type { Node, RunView } from './wire.js';

/** What a front end has received of a node. */
export interface Progress {
  open: boolean;
  text: string;
  /** Whether the result of a tool call was received. */
  answered: boolean;
}

export type Kind = Node['body']['is'];

/** The key of a node: ids are unique in a run per kind, names of steps only within their sub-agent. */
export function keyOf(kind: Kind, id: string, within?: string): string {
  return `${kind}\0${kind === 'step' ? (within === undefined ? '' : `of ${within}`) : ''}\0${id}`;
}

export const nodeId = (node: Node): string => (node.body.is === 'custom' ? '' : node.id);

/** An event's type and fields; `last`: to be emitted after the events of everything inside the node. */
type NodeEvent = [type: EventType, fields: object, last?: 'last'];

/** The events between what a front end has received of a node and the node as it is now. One case for each kind of node. */
export function missingEvents(node: Node, progress: Progress | undefined): NodeEvent[] {
  const { id, body } = node;
  const closes = node.state !== 'open' && (progress?.open ?? true);
  const events: NodeEvent[] = [];
  const streamed = (kind: string, ids: object, begin: object, text: string) => {
    const [delta, name] = [text.slice(progress?.text.length ?? 0), (part: string) => `${kind}_${part}` as EventType];
    if (node.chunked) {
      if (delta || !progress) events.push([name('CHUNK'), { ...ids, ...(!progress && begin), ...(delta && { delta }) }]);
      return;
    }
    if (!progress) events.push([name('START'), { ...ids, ...begin }]);
    if (delta) events.push([name(kind === 'TOOL_CALL' ? 'ARGS' : 'CONTENT'), { ...ids, delta }]);
    if (closes) events.push([name('END'), ids]);
  };
  switch (body.is) {
    case 'text':
      streamed('TEXT_MESSAGE', { messageId: id }, { role: body.role }, body.text);
      break;
    case 'reasoning':
      streamed('REASONING_MESSAGE', { messageId: id }, node.chunked ? {} : { role: 'reasoning' }, body.text);
      break;
    case 'tool':
      streamed('TOOL_CALL', { toolCallId: id }, { toolCallName: body.name, ...optionalField(body.message, 'parentMessageId') }, body.args);
      if (body.result !== undefined && !progress?.answered) {
        const { result, result_id, parts, error } = body;
        const fields = { messageId: result_id ?? resultIdOf(id), toolCallId: id, content: parts ?? result, role: 'tool' };
        events.push([EventType.TOOL_CALL_RESULT, { ...fields, ...(error && { metadata: { error } }) }]);
      }
      break;
    case 'reasoning_span':
      if (!progress) events.push([EventType.REASONING_START, { messageId: id }]);
      if (closes) events.push([EventType.REASONING_END, { messageId: id }, 'last']);
      break;
    case 'step':
      if (!progress) events.push([EventType.STEP_STARTED, { stepName: id }]);
      if (closes) events.push([EventType.STEP_FINISHED, { stepName: id }, 'last']);
      break;
    case 'subagent': {
      const subagentRunId = id;
      const fields = body.description !== undefined && { description: body.description };
      if (!progress) events.push([Type.SUBAGENT_STARTED, { subagentRunId, name: body.name, ...fields, ...optionalField(node.within, 'parentSubagentRunId') }]);
      if (closes && node.state === 'failed') {
        events.push([Type.SUBAGENT_ERROR, { subagentRunId, message: body.error ?? 'failed' }, 'last']);
      } else if (closes) {
        events.push([Type.SUBAGENT_FINISHED, { subagentRunId }, 'last']);
      }
      break;
    }
    case 'activity':
      events.push([EventType.ACTIVITY_SNAPSHOT, { messageId: id, activityType: body.activity_type, content: body.content }]);
      break;
    case 'custom':
      if (!progress) events.push([EventType.CUSTOM, { name: body.name, value: body.value }]);
      break;
  }
  return events;
}

/** The field with this name and value, if there is a value. */
const optionalField = (value: string | undefined, name: string): object => (value === undefined ? {} : { [name]: value });

/** The part of a node that grows while it streams. */
export function textOf({ body }: Node): string {
  if (body.is === 'tool') return body.args;
  return body.is === 'text' || body.is === 'reasoning' ? body.text : '';
}

/** Converts nodes to messages, with the ids that AG-UI's client gives them. */
export function messagesOf(nodes: Node[]): Message[] {
  const messages: Message[] = [];
  for (const { id, body, within } of nodes) {
    const owner = optionalField(within, 'subagentRunId');
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
        const fields = { id: result_id ?? resultIdOf(id), toolCallId: id, content: parts ?? result, ...(error && { error }) };
        messages.push({ role: 'tool', ...fields, ...owner } as Message);
      }
    }
  }
  return messages;
}

const resultIdOf = (call: string): string => `${call}-result`;

/** The terminal event of a run, if it has ended. */
export function terminalEvent(run: RunView): [EventType, object] | undefined {
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
