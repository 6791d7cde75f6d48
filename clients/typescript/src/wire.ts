/** The frames of `netra.v1`, as far as this client reads and writes them. It ignores what it does not know. */
import type { BaseEvent, Interrupt } from '@ag-ui/client';

/** A position in a channel's log. */
export interface Cursor {
  epoch: string;
  seq: number;
}

/** What a command is refused with, and what a run's stream fails with where the server, or the way to it, is the cause. */
export class NetraError extends Error {
  override readonly name = 'NetraError';

  constructor(
    /** `not_found`, `forbidden`, `rate_limited` and so on, or `signed_out`, `closed`, `cancelled`, `invalid_input`. */
    readonly code: string,
    message: string,
    /** Milliseconds after which it may work. */
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

export interface ErrorBody {
  code: string;
  message: string;
  retry_after_ms?: number;
}

export const refusal = (body: ErrorBody): NetraError => new NetraError(body.code, body.message, body.retry_after_ms);

/** The longest that is waited without a word for what may work later (ms); beyond that whoever asked is told: a budget is a day's. */
const MOST_PATIENCE_MS = 60_000;

/** Whether waiting helps. */
export const waits = ({ code, retryAfterMs }: NetraError): boolean =>
  retryAfterMs !== undefined && retryAfterMs <= MOST_PATIENCE_MS && (code === 'rate_limited' || code === 'unavailable');

export interface Welcome {
  user: { id: string; name: string; role: string };
  heartbeat_ms: number;
  max_frame_bytes: number;
}

export interface EventPush {
  channel: string;
  epoch: string;
  seq?: number;
  at: number;
  entry: Entry;
}

/** An entry of a thread. */
export type Entry =
  | { kind: 'message'; message: { id: string; run_id: string } }
  | { kind: 'answer'; answer: { id: string; run_id: string; resumed_by: string } }
  | { kind: 'agent'; run_id: string; event: BaseEvent }
  | { kind: 'taken_back'; message_id: string }
  | { kind: 'thread' };

export interface Subscribed {
  epoch: string;
  seq: number;
  mode: 'live' | 'replay' | 'snapshot';
  snapshot?: { kind: string } & Partial<ThreadView>;
}

export interface Accepted {
  run_id: string;
  seq: number;
}

/** A thread as the server's reducer has it. */
export interface ThreadView {
  items: ({ kind: 'run'; value: RunView } | { kind: 'message'; value: Said })[];
}

export interface Said {
  /** `external_id`: what the program that sent it calls it, where that is another id. */
  message: { id: string; content: string; run_id: string; external_id?: string };
  /** The message that it was said after; absent: the first of its branch. */
  follows?: string;
}

export interface RunView {
  run_id: string;
  message_id?: string;
  /** Calls that it left to whoever asked. */
  pending?: string[];
  state:
    | { is: 'waiting' | 'running' | 'finished' | 'cancelled' }
    | { is: 'interrupted'; interrupts: Interrupt[] }
    | { is: 'failed'; message: string; code?: string };
  nodes: Node[];
  /** How many of the nodes stand before the message that the run answers: what the agent said to a cancellation. */
  nodes_before_message?: number;
  usage?: unknown[];
  /** The shared state as the run left it. Absent: as the runs before left it, changed by `shared_changes`. */
  shared?: unknown;
  /** Each a list of operations (RFC 6902), in order. */
  shared_changes?: unknown[][];
  result?: unknown;
}

export interface Node {
  id: string;
  within?: string;
  state: 'open' | 'called' | 'done' | 'failed';
  chunked?: boolean;
  body:
    | { is: 'text'; role: string; text: string }
    | { is: 'reasoning_span' }
    | { is: 'reasoning'; text: string }
    | { is: 'step' }
    | { is: 'tool'; name: string; args: string; message?: string; result?: string; result_id?: string; parts?: unknown[]; error?: string }
    | { is: 'withdrawn' }
    | { is: 'subagent'; name: string; description?: string; error?: string }
    | { is: 'activity'; activity_type: string; content: Record<string, unknown> }
    | { is: 'custom'; name: string; value: unknown };
}
