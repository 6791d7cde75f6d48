/** When to come back after a socket closed: the protocol's table of close codes, and waits that double with full jitter. */

const FIRST_MS = 500;
const MOST_MS = 20_000;
/** The longest wait that a server may ask for. */
const MOST_ASKED_MS = 5 * 60_000;

/** Whether a client comes back by itself: yes below 4400, except after 1000 and 1009. */
export const comesBack = (code: number): boolean => code !== 1000 && code !== 1009 && !(code >= 4400 && code < 5000);

/** What a person is told of a close after which nobody comes back. */
export function farewell(code: number): [code: string, message: string] {
  switch (code) {
    case 1009:
      return ['too_large', 'something sent was larger than the server takes'];
    case 4401:
      return ['signed_out', 'the session ended or was revoked; sign in again'];
    case 4403:
      return ['forbidden', 'an administrator closed this connection'];
    case 4409:
      return ['closed', 'this person has more connections open than the server allows, and this one was the oldest'];
    case 4400:
      return ['closed', 'this client does not fit the server; update it'];
    default:
      return ['closed', `the server closed the connection (${code})`];
  }
}

/** Counts failures since the last connection that proved itself. */
export class Backoff {
  private failures = 0;

  constructor(private readonly random: () => number) {}

  /** How long to wait now: as long as a restarting server advertised, else at random, and never less than the server asked for. */
  next(advertisedMs: number | undefined, reason: string): number {
    this.failures += 1;
    const bound = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(this.failures - 1, 16));
    const asked = Math.min(retryAfter(reason) ?? advertisedMs ?? 0, MOST_ASKED_MS);
    const alone = advertisedMs !== undefined && retryAfter(reason) === undefined;
    return alone ? asked : asked + this.random() * bound;
  }

  /** A connection proved itself: the next failure is the first again. */
  proved(): void {
    this.failures = 0;
  }
}

/** The wait that a close reason asks for: `{"retry_after_ms": n}`. */
function retryAfter(reason: string): number | undefined {
  try {
    const asked = (JSON.parse(reason) as { retry_after_ms?: unknown }).retry_after_ms;
    return typeof asked === 'number' && asked >= 0 ? asked : undefined;
  } catch {
    return undefined;
  }
}
