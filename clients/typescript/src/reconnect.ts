/** When to reconnect after a socket closed: the protocol's close codes, and exponential backoff with full jitter. */

const INITIAL_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 20_000;
/** The longest wait that a server may ask for. */
const MAX_RETRY_AFTER_MS = 5 * 60_000;

/** Whether to reconnect after a close code: yes below 4400, except after 1000 and 1009. */
export const shouldReconnect = (code: number): boolean => code !== 1000 && code !== 1009 && !(code >= 4400 && code < 5000);

/** The error code and message for a close code after which the client does not reconnect. */
export function closeError(code: number): [code: string, message: string] {
  switch (code) {
    case 1009:
      return ['too_large', 'a message was larger than the server accepts'];
    case 4401:
      return ['signed_out', 'the session ended or was revoked; sign in again'];
    case 4403:
      return ['forbidden', 'an administrator closed this connection'];
    case 4409:
      return ['closed', 'this user has more connections open than the server allows, and this one was the oldest'];
    case 4400:
      return ['unsupported', 'this client does not match the server; update it'];
    default:
      return ['closed', `the server closed the connection (${code})`];
  }
}

/** Counts failures since the last stable connection. */
export class Backoff {
  private failures = 0;

  constructor(private readonly random: () => number) {}

  /**
   * Milliseconds until the next attempt: what a restarting server named, which has jitter already; otherwise random, in addition
   * to the wait in the close reason, if any.
   */
  next(reconnectInMs: number | undefined, reason: string): number {
    this.failures += 1;
    const bound = Math.min(MAX_BACKOFF_MS, INITIAL_BACKOFF_MS * 2 ** Math.min(this.failures - 1, 16));
    const serverWait = Math.min(retryAfter(reason) ?? reconnectInMs ?? 0, MAX_RETRY_AFTER_MS);
    const isExact = reconnectInMs !== undefined && retryAfter(reason) === undefined;
    return isExact ? serverWait : serverWait + this.random() * bound;
  }

  /** The connection is stable: the next failure counts as the first. */
  reset(): void {
    this.failures = 0;
  }
}

/** The wait in a close reason: `{"retry_after_ms": n}`. */
function retryAfter(reason: string): number | undefined {
  try {
    const asked = (JSON.parse(reason) as { retry_after_ms?: unknown }).retry_after_ms;
    return typeof asked === 'number' && asked >= 0 ? asked : undefined;
  } catch {
    return undefined;
  }
}
