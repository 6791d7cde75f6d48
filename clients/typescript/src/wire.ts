/** The parts of the frames of `netra.v1` and `netra.v1.compact` that this client uses. Other fields and types are ignored. */
import type { BaseEvent, Interrupt } from '@ag-ui/client';

/** A position in a channel's log. */
export interface Cursor {
  epoch: string;
  seq: number;
}

/** Why a command was refused, or why a run's stream failed. */
export class NetraError extends Error {
  override readonly name = 'NetraError';

  constructor(
    /**
     * A code of the server (`not_found`, `forbidden`, `rate_limited` and so on), or `signed_out`, `cancelled`, `invalid_input`, `closed`
     * (by the server, or because the agent was closed), `refused` (a request, without a reason), `unsupported` (client, server and
     * platform do not fit together).
     */
    readonly code: string,
    message: string,
    /** Milliseconds after which a retry may succeed. */
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

/** The error in a reply. */
export interface ErrorBody {
  code: string;
  message: string;
  retry_after_ms?: number;
}

export const toError = (body: ErrorBody): NetraError => new NetraError(body.code, body.message, body.retry_after_ms);

/** The longest wait (ms) before an automatic retry. Longer ones, such as for the next day's budget, are reported to the caller. */
const MAX_RETRY_WAIT_MS = 60_000;

/** Whether to wait and try again. */
export const isRetryable = ({ code, retryAfterMs }: NetraError): boolean =>
  retryAfterMs !== undefined && retryAfterMs <= MAX_RETRY_WAIT_MS && (code === 'rate_limited' || code === 'unavailable');

/** The first push on a connection. */
export interface Welcome {
  user: { id: string; name: string; role: string };
  heartbeat_ms: number;
  max_frame_bytes: number;
}

/** A new entry of a followed channel; without `seq`, a signal. */
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
  | { kind: 'edited'; message_id: string; run_id: string; content: string }
  | { kind: 'moved'; message_id: string; before?: string }
  /** The agent of the run `run_id` read a message; the message's own run never begins. */
  | { kind: 'read'; message_id: string; run_id: string }
  | { kind: 'thread' };

/** The reply to `subscribe`. */
export interface Subscribed {
  epoch: string;
  seq: number;
  mode: 'live' | 'replay' | 'snapshot';
  snapshot?: { kind: string } & Partial<ThreadView>;
  /** On `netra.v1.compact`: the number that stands for the channel in the frames of its entries. */
  channel_number?: number;
}

/** The reply to a command that starts a run. */
export interface Accepted {
  run_id: string;
  seq: number;
}

/** A thread as the server's reducer computes it. */
export interface ThreadView {
  items: ({ kind: 'run'; value: RunView } | { kind: 'message'; value: MessageItem })[];
}

export interface MessageItem {
  /** `external_id`: the id that the sending program gave the message, if it differs. */
  message: { id: string; content: string; run_id: string; external_id?: string };
  /** The previous message of the branch; absent for the first. */
  follows?: string;
}

export interface RunView {
  run_id: string;
  message_id?: string;
  /** Ids of the tool calls that the caller has to execute. */
  pending?: string[];
  state:
    | { is: 'waiting' | 'running' | 'finished' | 'cancelled' }
    | { is: 'interrupted'; interrupts: Interrupt[] }
    | { is: 'failed'; message: string; code?: string };
  nodes: Node[];
  /** If the run first cancelled interrupts: how many nodes it produced before the agent received the run's own message. */
  nodes_before_message?: number;
  /** The messages that its agent read while it was active, each with the number of nodes before it. */
  read?: { nodes_before: number; item: MessageItem }[];
  usage?: unknown[];
  /** The shared state at the run's end. Absent: that of the previous run, with `shared_changes` applied. */
  shared?: unknown;
  /** JSON patches (RFC 6902), in order. */
  shared_changes?: unknown[][];
  result?: unknown;
}

export interface Node {
  id: string;
  /** The sub-agent that it belongs to; absent for the run itself. */
  within?: string;
  /** `called`: a tool call with complete arguments and no result yet. */
  state: 'open' | 'called' | 'done' | 'failed';
  /** Whether it came in `*_CHUNK` events, which have no end event. */
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
