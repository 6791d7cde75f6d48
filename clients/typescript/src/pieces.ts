/**
 * Joins texts that the log stores in pieces, because they are too long for one entry. Netra marks the first piece and the later ones with
 * fields that AG-UI does not define. A front end gets the whole text, without these marks.
 */
import { type BaseEvent, EventType, type Message, type MessagesSnapshotEvent, type ToolCallResultEvent } from '@ag-ui/client';
import { metadataOf, withoutMetadata } from './compat.js';

/** The mark of a text's first piece: `true`. */
const BEGINS = 'netraBegins';
/** The mark of its later pieces: `last` in the last one, `more` in the others. */
const CONTINUES = 'netraContinues';

/** `true` in a tool message of a restated conversation whose content was left out, since the thread has it already as the call's result. */
const KNOWN = 'netraKnown';

type Content = ToolCallResultEvent['content'];
type Operation = { path: string; value?: unknown; [BEGINS]?: boolean; [CONTINUES]?: string };
type Result = BaseEvent & { toolCallId: string; content: string };

export class PieceJoiner {
  /** Incomplete texts of the shared state, by path. */
  private readonly partialTexts = new Map<string, string>();
  /** Complete tool results, by call id. */
  private readonly results = new Map<string, Content>();
  /** Incomplete tool results, by call id. */
  private readonly partialResults = new Map<string, Result>();

  /** `before`: the conversation before the run. */
  constructor(before: Message[] = []) {
    for (const message of before) if (message.role === 'tool') this.results.set(message.toolCallId, message.content);
  }

  /** Returns the event for the front end, or `undefined` while later pieces are missing. */
  join(event: BaseEvent): BaseEvent | undefined {
    if (event.type === EventType.STATE_DELTA) return this.joinState(event as BaseEvent & { delta: Operation[] });
    if (event.type === EventType.MESSAGES_SNAPSHOT) return this.fillResults(event as MessagesSnapshotEvent);
    if (event.type !== EventType.TOOL_CALL_RESULT) return event;
    const whole = this.joinResult(event as Result);
    if (whole) this.results.set(whole.toolCallId, whole.content);
    return whole;
  }

  private fillResults(event: MessagesSnapshotEvent): BaseEvent {
    const messages = event.messages.map((message) => {
      if (message.role !== 'tool') return message;
      const { [KNOWN]: isKnown, ...rest } = message as typeof message & { [KNOWN]?: boolean };
      const content = (isKnown ? this.results.get(rest.toolCallId) : undefined) ?? rest.content;
      this.results.set(rest.toolCallId, content);
      return { ...rest, content };
    });
    return { ...event, messages };
  }

  /** Emits the first piece at once, so that the path exists for operations that follow. With the last piece, the whole text replaces it. */
  private joinState(event: BaseEvent & { delta: Operation[] }): BaseEvent | undefined {
    const delta: Operation[] = [];
    for (const { [BEGINS]: begins, [CONTINUES]: mark, ...operation } of event.delta) {
      if (begins) this.partialTexts.set(operation.path, String(operation.value));
      if (mark === undefined) {
        delta.push(operation);
        continue;
      }
      const text = (this.partialTexts.get(operation.path) ?? '') + String(operation.value);
      this.partialTexts.set(operation.path, text);
      // Each later piece of a text is the only operation of its event.
      if (mark !== 'last') return undefined;
      this.partialTexts.delete(operation.path);
      delta.push({ ...operation, value: text });
    }
    return { ...event, delta } as BaseEvent;
  }

  private joinResult(event: Result): Result | undefined {
    const { [BEGINS]: begins, [CONTINUES]: mark } = metadataOf(event);
    if (begins) {
      this.partialResults.set(event.toolCallId, withoutMetadata(event, BEGINS));
      return undefined;
    }
    if (mark === undefined) return event;
    const whole = this.partialResults.get(event.toolCallId);
    if (whole) whole.content += event.content;
    if (mark === 'last') this.partialResults.delete(event.toolCallId);
    return mark === 'last' ? whole : undefined;
  }
}
