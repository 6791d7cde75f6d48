/**
 * A text that is too long for an entry of the log stands in several entries, a piece in each. Fields of Netra's own mark the piece
 * that begins the text and those that continue it. A front end is told the whole text, without the marks.
 */
import { type BaseEvent, EventType, type Message, type MessagesSnapshotEvent, type ToolCallResultEvent } from '@ag-ui/client';
import { metadataOf, withoutMarks } from './compat.js';

/** `true` in the first piece of a text. */
const BEGINS = 'netraBegins';
/** In the pieces after it: `last` in the last one, `more` in those before. */
const CONTINUES = 'netraContinues';

/** `true` in a tool's message of a restated conversation whose content is left out: it is the result that its call has already. */
const KNOWN = 'netraKnown';

type Content = ToolCallResultEvent['content'];
type Operation = { path: string; value?: unknown; [BEGINS]?: boolean; [CONTINUES]?: string };
type Result = BaseEvent & { toolCallId: string; content: string };

export class Pieces {
  /** What has come of texts of the shared state, by their paths. */
  private readonly texts = new Map<string, string>();
  /** The results that were told, by the ids of their calls. */
  private readonly told = new Map<string, Content>();
  /** What has come of tools' results, by the ids of their calls. */
  private readonly results = new Map<string, Result>();

  /** `before`: what was said before the run. */
  constructor(before: Message[] = []) {
    for (const message of before) if (message.role === 'tool') this.told.set(message.toolCallId, message.content);
  }

  /** The event as a front end is told it; nothing where it waits for the last piece. */
  join(event: BaseEvent): BaseEvent | undefined {
    if (event.type === EventType.STATE_DELTA) return this.state(event as BaseEvent & { delta: Operation[] });
    if (event.type === EventType.MESSAGES_SNAPSHOT) return this.conversation(event as MessagesSnapshotEvent);
    if (event.type !== EventType.TOOL_CALL_RESULT) return event;
    const whole = this.result(event as Result);
    if (whole) this.told.set(whole.toolCallId, whole.content);
    return whole;
  }

  private conversation(event: MessagesSnapshotEvent): BaseEvent {
    const messages = event.messages.map((message) => {
      if (message.role !== 'tool') return message;
      const { [KNOWN]: isKnown, ...told } = message as typeof message & { [KNOWN]?: boolean };
      const content = (isKnown ? this.told.get(told.toolCallId) : undefined) ?? told.content;
      this.told.set(told.toolCallId, content);
      return { ...told, content };
    });
    return { ...event, messages };
  }

  /** The first piece is told at once, so that operations after it find its place; the last is told as the whole text, in its stead. */
  private state(event: BaseEvent & { delta: Operation[] }): BaseEvent | undefined {
    const delta: Operation[] = [];
    for (const { [BEGINS]: begins, [CONTINUES]: mark, ...operation } of event.delta) {
      if (begins) this.texts.set(operation.path, String(operation.value));
      if (mark === undefined) {
        delta.push(operation);
        continue;
      }
      const text = (this.texts.get(operation.path) ?? '') + String(operation.value);
      this.texts.set(operation.path, text);
      // Each later piece of a text is the only operation of its event.
      if (mark !== 'last') return undefined;
      this.texts.delete(operation.path);
      delta.push({ ...operation, value: text });
    }
    return { ...event, delta } as BaseEvent;
  }

  private result(event: Result): Result | undefined {
    const { [BEGINS]: begins, [CONTINUES]: mark } = metadataOf(event);
    if (begins) {
      this.results.set(event.toolCallId, withoutMarks(event, BEGINS));
      return undefined;
    }
    if (mark === undefined) return event;
    const whole = this.results.get(event.toolCallId);
    if (whole) whole.content += event.content;
    if (mark === 'last') this.results.delete(event.toolCallId);
    return mark === 'last' ? whole : undefined;
  }
}
