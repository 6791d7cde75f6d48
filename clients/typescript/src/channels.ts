/** The channels that a connection follows, and how far each has come: every entry is handed on once and in order. No I/O. */
import { type Cursor, type Entry, type ErrorBody, type EventPush, NetraError, type Subscribed, type ThreadView, refusal, waits } from './wire.js';

/** Who follows a channel. */
export interface Follower {
  entry(seq: number, entry: Entry): void;
  /** Where the entries cannot be had any more: what the thread looks like at `seq`; `replaced`: in another log than before. */
  snapshot(seq: number, view: ThreadView, replaced: boolean): void;
  failed(error: NetraError): void;
}

interface Channel {
  cursor: Cursor | undefined;
  /** The log that the server answered from last. */
  epoch: string | undefined;
  /** `full`: refused because the connection follows too many; asked for again when it follows one less. */
  state: 'due' | 'asked' | 'on' | 'full';
  /** Whether the server may already follow it for this connection. */
  granted: boolean;
  askedAs: number;
  misfits: number;
  followers: Set<Follower>;
  /** Whoever waits for the server to agree. */
  waiting: { resolve: () => void; reject: (error: NetraError) => void }[];
}

/** What comes of an answer or an entry: ask again after so long; pause all; or that nothing fits, time and again. */
export type Next = undefined | { again: number } | { pause: NetraError } | 'hopeless';

const MOST_MISFITS = 10;
const MOST_CURSORS = 64;

export class Channels {
  private readonly followed = new Map<string, Channel>();
  /** Channels that nobody follows now, until the server agrees; with the id of the `unsubscribe`, where one is under way. */
  private readonly leaving = new Map<string, number | undefined>();
  /** How far channels came that nobody follows now, so that the next look at them need not begin anew. */
  private readonly known = new Map<string, Cursor>();

  get size(): number {
    return this.followed.size;
  }

  /** Resolves when the server agreed, at once where it did. */
  add(name: string, follower: Follower): Promise<void> {
    const fresh = (): Channel => {
      const cursor = this.known.get(name);
      // Its `unsubscribe` may be on the way, or refused: the `subscribe` comes after it and settles it.
      const granted = this.leaving.delete(name);
      return { cursor, epoch: cursor?.epoch, state: 'due', granted, askedAs: 0, misfits: 0, followers: new Set(), waiting: [] };
    };
    const channel = this.followed.get(name) ?? fresh();
    this.followed.set(name, channel);
    channel.followers.add(follower);
    if (channel.state === 'on') return Promise.resolve();
    return new Promise((resolve, reject) => channel.waiting.push({ resolve, reject }));
  }

  /** Where nobody follows the channel any more, {@link ask} tells the server, which may follow it. */
  remove(name: string, follower: Follower): void {
    const channel = this.followed.get(name);
    channel?.followers.delete(follower);
    if (!channel || channel.followers.size > 0) return;
    this.forget(name, channel);
    if (channel.granted || channel.state === 'asked') this.leaving.set(name, undefined);
  }

  position(name: string): number {
    return this.followed.get(name)?.cursor?.seq ?? 0;
  }

  /** Has the entries after `seq` told again; after nothing: a snapshot. */
  rewind(name: string, seq?: number): void {
    const channel = this.followed.get(name);
    if (!channel) return;
    const epoch = channel.cursor?.epoch;
    channel.cursor = seq === undefined || epoch === undefined ? undefined : { epoch, seq };
    channel.state = 'due';
  }

  /** The connection is gone: all are asked for again on the next. */
  lost(): void {
    this.leaving.clear();
    for (const channel of this.followed.values()) [channel.state, channel.granted] = ['due', false];
  }

  /** Nobody comes back. */
  fail(error: NetraError): void {
    for (const [name, channel] of [...this.followed]) {
      this.forget(name, channel);
      channel.waiting.splice(0).forEach(({ reject }) => reject(error));
      channel.followers.forEach((follower) => follower.failed(error));
    }
  }

  /** Leaves and asks for those that are to be left and asked for; `send` answers the id of what it sent. */
  ask(send: (type: 'subscribe' | 'unsubscribe', payload: object) => number): void {
    for (const [name, askedAs] of this.leaving) if (askedAs === undefined) this.leaving.set(name, send('unsubscribe', { channel: name }));
    for (const [name, channel] of this.followed) {
      if (channel.state !== 'due') continue;
      channel.state = 'asked';
      channel.askedAs = send('subscribe', { channel: name, ...(channel.cursor && { after: channel.cursor }) });
    }
  }

  /** Whether a reply is one to a subscription, and then whose. */
  askedAs(id: number): string | undefined {
    for (const [name, { state, askedAs }] of this.followed) if (state === 'asked' && askedAs === id) return name;
    return undefined;
  }

  /** Whether a reply is one to an `unsubscribe`, and then whose. */
  leavingAs(id: number): string | undefined {
    for (const [name, askedAs] of this.leaving) if (askedAs === id) return name;
    return undefined;
  }

  /** An `unsubscribe` is answered; what is refused for the moment is sent again. */
  left(name: string, body?: ErrorBody): Next {
    const error = body && refusal(body);
    if (error && waits(error)) {
      this.leaving.set(name, undefined);
      return { pause: error };
    }
    this.leaving.delete(name);
    for (const channel of this.followed.values()) if (channel.state === 'full') channel.state = 'due';
    return undefined;
  }

  answered(name: string, { epoch, seq, mode, snapshot }: Subscribed): Next {
    const channel = this.followed.get(name);
    if (!channel) return undefined;
    const here = channel.cursor?.epoch === epoch ? channel.cursor.seq : undefined;
    const replaced = channel.epoch !== undefined && channel.epoch !== epoch;
    [channel.state, channel.granted] = ['on', true];
    channel.epoch = epoch;
    if (mode !== 'snapshot' && here !== undefined && here >= seq) {
      channel.waiting.splice(0).forEach(({ resolve }) => resolve());
    } else if (mode === 'snapshot' && snapshot?.items) {
      channel.waiting.splice(0).forEach(({ resolve }) => resolve());
      // Entries of the subscription before may have carried us past it already.
      if (here !== undefined && here > seq) return undefined;
      channel.cursor = { epoch, seq };
      const view: ThreadView = { items: snapshot.items };
      for (const follower of [...channel.followers]) follower.snapshot(seq, view, replaced);
    } else {
      channel.cursor = undefined;
      return this.misfit(channel);
    }
    return undefined;
  }

  refused(name: string, body: ErrorBody): Next {
    const [channel, error] = [this.followed.get(name), refusal(body)];
    if (!channel) return undefined;
    channel.state = 'due';
    if (waits(error)) return { pause: error };
    channel.granted = false;
    if (error.code === 'conflict' && this.leaving.size > 0) {
      channel.state = 'full';
      return undefined;
    }
    this.followed.delete(name);
    // Refused at once, only whoever asked hears of it: the thread may be still to be made.
    if (channel.epoch !== undefined) channel.followers.forEach((follower) => follower.failed(error));
    channel.waiting.splice(0).forEach(({ reject }) => reject(error));
    return undefined;
  }

  event({ channel: name, epoch, seq, entry }: EventPush): Next {
    const channel = this.followed.get(name);
    // What has no place in the log (presence) is nothing to an agent.
    if (!channel || seq === undefined) return undefined;
    const { cursor } = channel;
    if (cursor?.epoch === epoch && seq === cursor.seq + 1) {
      cursor.seq = seq;
      channel.misfits = 0;
      for (const follower of [...channel.followers]) follower.entry(seq, entry);
      return undefined;
    }
    // Before the answer to a subscription, others may still be under way; the answer settles it.
    if (channel.state !== 'on' || (cursor?.epoch === epoch && seq <= cursor.seq)) return undefined;
    if (cursor?.epoch !== epoch) channel.cursor = undefined;
    return this.misfit(channel);
  }

  /** Something did not fit: asks again from the cursor, the second time from nothing, ever more slowly. */
  private misfit(channel: Channel): Next {
    channel.misfits += 1;
    channel.state = 'due';
    if (channel.misfits === 1) return { again: 0 };
    channel.cursor = undefined;
    return channel.misfits > MOST_MISFITS ? 'hopeless' : { again: 500 * channel.misfits };
  }

  private forget(name: string, { cursor }: Channel): void {
    this.followed.delete(name);
    this.known.delete(name);
    if (cursor) this.known.set(name, cursor);
    const [oldest] = this.known.keys();
    if (this.known.size > MOST_CURSORS && oldest !== undefined) this.known.delete(oldest);
  }
}
