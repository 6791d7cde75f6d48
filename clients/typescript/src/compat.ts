/** Declares what AG-UI 1.0 added, so that this package also works with earlier releases of `@ag-ui/client`, from 0.0.58 on. */
import { type BaseEvent, EventType, type Message, type ResumeEntry } from '@ag-ui/client';

/** The types of events, including those that are missing in an older `EventType`. */
export const Type = {
  ...EventType,
  SUBAGENT_STARTED: 'SUBAGENT_STARTED' as EventType,
  SUBAGENT_FINISHED: 'SUBAGENT_FINISHED' as EventType,
  SUBAGENT_ERROR: 'SUBAGENT_ERROR' as EventType,
} as const;

/** An answer to an interrupt. The result of a caller's tool is sent as an answer, too. */
export type Answer = ResumeEntry & { metadata?: Record<string, unknown> };

/** How a run finished. */
export type Outcome =
  | { type: 'interrupt'; interrupts: { id: string }[] }
  | { type: 'success'; pendingToolCallIds?: string[] }
  | { type: 'cancelled' };

/** The metadata of an event. */
export function metadataOf(event: BaseEvent): Record<string, unknown> {
  return (event as BaseEvent & { metadata?: Record<string, unknown> }).metadata ?? {};
}

/** Removes fields from an event's metadata, and the metadata itself if it is then empty. */
export function withoutMetadata<E extends BaseEvent>(event: E, ...fields: string[]): E {
  const { metadata: _, ...rest } = event as E & { metadata?: object };
  const kept = Object.entries(metadataOf(event)).filter(([field]) => !fields.includes(field));
  return { ...rest, ...(kept.length > 0 && { metadata: Object.fromEntries(kept) }) } as E;
}

/** A part of a user's message. */
export interface Part {
  type: string;
  text?: string;
  source?: { type: string };
  /** The bytes of a `binary` part, which releases before 1.0 use. */
  data?: string;
}

/** The parts of a user's message. */
export function partsOf(content: Extract<Message, { role: 'user' }>['content']): Part[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : (content as Part[]);
}
