/**
 * Texts that are longer than an entry of the log stand in several: each has a piece, and says whether it begins the text or
 * continues it. A front end is told the whole.
 */
import { type BaseEvent, EventType } from '@ag-ui/client';
import { metadataOf } from './versions.js';

const BEGINS = 'netraBegins';
const CONTINUES = 'netraContinues';

type Operation = { path: string; value?: unknown; [BEGINS]?: boolean; [CONTINUES]?: string };
type Result = BaseEvent & { toolCallId: string; content: string };

export class Pieces {
  /** Of the shared state, by their paths. */
  private readonly texts = new Map<string, string>();
  /** Results of tools, by their calls. */
  private readonly results = new Map<string, Result>();

  /** The event as it is told; nothing while pieces are to come. */
  join(event: BaseEvent): BaseEvent | undefined {
    if (event.type === EventType.STATE_DELTA) return this.state(event as BaseEvent & { delta: Operation[] });
    if (event.type === EventType.TOOL_CALL_RESULT) return this.result(event as Result);
    return event;
  }

  /** The first piece is told as it comes, so that what follows it has its place. */
  private state(event: BaseEvent & { delta: Operation[] }): BaseEvent | undefined {
    const delta: Operation[] = [];
    for (const { [BEGINS]: begins, [CONTINUES]: mark, ...operation } of event.delta) {
      const text = (this.texts.get(operation.path) ?? '') + String(operation.value);
      if (begins) this.texts.set(operation.path, String(operation.value));
      if (mark === undefined) {
        delta.push(operation);
        continue;
      }
      this.texts.set(operation.path, text);
      if (mark !== 'last') return undefined;
      this.texts.delete(operation.path);
      delta.push({ ...operation, value: text });
    }
    return { ...event, delta } as BaseEvent;
  }

  private result(event: Result): BaseEvent | undefined {
    const { [BEGINS]: begins, [CONTINUES]: mark, ...more } = metadataOf(event);
    if (begins) {
      const { metadata: _, ...first } = event as Result & { metadata?: object };
      this.results.set(event.toolCallId, { ...first, ...(Object.keys(more).length > 0 && { metadata: more }) } as Result);
      return undefined;
    }
    if (mark === undefined) return event;
    const whole = this.results.get(event.toolCallId);
    if (whole) whole.content += event.content;
    if (mark === 'last') this.results.delete(event.toolCallId);
    return mark === 'last' ? whole : undefined;
  }
}
