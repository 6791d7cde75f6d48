/**
 * What AG-UI 1.0 has and the releases before it have not. Front ends pin one or the other: this package compiles and works with
 * `@ag-ui/client` from 0.0.58 on.
 */
import { type BaseEvent, EventType, type Message, type ResumeEntry } from '@ag-ui/client';

/** The types of events by name, also those that an older `EventType` lacks. */
export const Type = {
  ...EventType,
  SUBAGENT_STARTED: 'SUBAGENT_STARTED' as EventType,
  SUBAGENT_FINISHED: 'SUBAGENT_FINISHED' as EventType,
  SUBAGENT_ERROR: 'SUBAGENT_ERROR' as EventType,
} as const;

/** An answer to what a run waits for. */
export type Answer = ResumeEntry & { metadata?: Record<string, unknown> };

/** How a run finished. */
export type Outcome =
  | { type: 'interrupt'; interrupts: { id: string }[] }
  | { type: 'success'; pendingToolCallIds?: string[] }
  | { type: 'cancelled' };

/** What an event says beside its own fields. */
export function metadataOf(event: BaseEvent): Record<string, unknown> {
  return (event as BaseEvent & { metadata?: Record<string, unknown> }).metadata ?? {};
}

/** An event without these fields of its metadata, and without any metadata where none is left. */
export function withoutMarks<E extends BaseEvent>(event: E, ...marks: string[]): E {
  const { metadata: _, ...bare } = event as E & { metadata?: object };
  const left = Object.entries(metadataOf(event)).filter(([field]) => !marks.includes(field));
  return { ...bare, ...(left.length > 0 && { metadata: Object.fromEntries(left) }) } as E;
}

/** A part of a person's message. */
export interface Part {
  type: string;
  text?: string;
  source?: { type: string };
  /** The bytes of a `binary` part, as releases before 1.0 have them. */
  data?: string;
}

/** The parts of a person's message. */
export function partsOf(content: Extract<Message, { role: 'user' }>['content']): Part[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : (content as Part[]);
}
