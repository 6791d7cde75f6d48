/** The channels that a connection follows, with their cursors: passes each entry on once and in order. No I/O. */
import { type CompactEntry, CompactDecoder } from './compact.js';
import { type Cursor, type Entry, type ErrorBody, type EventPush, NetraError, type Subscribed, type ThreadView, isRetryable, toError } from './wire.js';

/** Receives what happens in a channel. */
export interface Follower {
  entry(seq: number, entry: Entry): void;
  /** Sent instead of the entries up to `seq`: the thread at that position. `replaced`: it comes from another log than what was received before. */
  snapshot(seq: number, view: ThreadView, replaced: boolean): void;
  failed(error: NetraError): void;
}

interface Channel {
  cursor: Cursor | undefined;
  /** The epoch of the server's last reply. */
  epoch: string | undefined;
  /**
   * `due`: to be subscribed; `requested`: the reply is awaited; `full`: refused because the connection follows too many channels, and
   * due again once it follows one less.
   */
  state: 'due' | 'requested' | 'subscribed' | 'full';
  /** Whether the server may already send this channel to this connection. */
  mayBeSubscribed: boolean;
  /** The id of the last `subscribe`. */
  requestId: number;
  /** How many times in a row a reply or entry did not continue from the cursor. */
  mismatches: number;
  followers: Set<Follower>;
  /** The calls of {@link Channels.add} that wait for the server's reply. */
  waiting: { resolve: () => void; reject: (error: NetraError) => void }[];
}

/** What the connection has to do after a frame: subscribe again after a delay, send nothing for a while, or open another socket. */
export type Action = undefined | { resubscribeInMs: number } | { pause: NetraError } | 'reconnect';

const MAX_MISMATCHES = 10;
const MAX_CURSORS = 64;

export class Channels {
  private readonly followed = new Map<string, Channel>();
  /** Channels to unsubscribe from, until the server has replied; with the id of the `unsubscribe` that was sent, if any. */
  private readonly unsubscribing = new Map<string, number | undefined>();
  /** The cursors of channels that are no longer followed, so that following them again continues from there. */
  private readonly cursors = new Map<string, Cursor>();
  private readonly compact = new CompactDecoder();

  get size(): number {
    return this.followed.size;
  }

  /** Resolves when the server has accepted the subscription, at once if it has already. */
  add(name: string, follower: Follower): Promise<void> {
    const create = (): Channel => {
      const cursor = this.cursors.get(name);
      // An `unsubscribe` may be under way or be refused; this `subscribe` is sent after it, so it is the one that counts.
      const mayBeSubscribed = this.unsubscribing.delete(name);
      return { cursor, epoch: cursor?.epoch, state: 'due', mayBeSubscribed, requestId: 0, mismatches: 0, followers: new Set(), waiting: [] };
    };
    const channel = this.followed.get(name) ?? create();
    this.followed.set(name, channel);
    channel.followers.add(follower);
    if (channel.state === 'subscribed') return Promise.resolve();
    return new Promise((resolve, reject) => channel.waiting.push({ resolve, reject }));
  }

  /** If this was the last follower and the connection may be subscribed, {@link sendDue} unsubscribes. */
  remove(name: string, follower: Follower): void {
    const channel = this.followed.get(name);
    channel?.followers.delete(follower);
    if (!channel || channel.followers.size > 0) return;
    this.forget(name, channel);
    if (channel.mayBeSubscribed || channel.state === 'requested') this.unsubscribing.set(name, undefined);
  }

  position(name: string): number {
    return this.followed.get(name)?.cursor?.seq ?? 0;
  }

  /** Requests the entries after `seq` again; without `seq`, a snapshot. */
  rewind(name: string, seq?: number): void {
    const channel = this.followed.get(name);
    if (!channel) return;
    const epoch = channel.cursor?.epoch;
    channel.cursor = seq === undefined || epoch === undefined ? undefined : { epoch, seq };
    channel.state = 'due';
  }

  /** The socket is gone: all channels are subscribed again on the next one. */
  disconnected(): void {
    this.unsubscribing.clear();
    this.compact.clear();
    for (const channel of this.followed.values()) [channel.state, channel.mayBeSubscribed] = ['due', false];
  }

  /** Ends all channels with an error. */
  fail(error: NetraError): void {
    for (const [name, channel] of [...this.followed]) {
      this.forget(name, channel);
      channel.waiting.splice(0).forEach(({ reject }) => reject(error));
      channel.followers.forEach((follower) => follower.failed(error));
    }
  }

  /** Sends the commands that are due; `send` returns the id of the command that it sent. */
  sendDue(send: (type: 'subscribe' | 'unsubscribe', payload: object) => number): void {
    for (const [name, id] of this.unsubscribing) if (id === undefined) this.unsubscribing.set(name, send('unsubscribe', { channel: name }));
    for (const [name, channel] of this.followed) {
      if (channel.state !== 'due') continue;
      channel.state = 'requested';
      channel.requestId = send('subscribe', { channel: name, ...(channel.cursor && { after: channel.cursor }) });
    }
  }

  /** The channel of the `subscribe` with this id. */
  subscribeOf(id: number): string | undefined {
    for (const [name, { state, requestId }] of this.followed) if (state === 'requested' && requestId === id) return name;
    return undefined;
  }

  /** The channel of the `unsubscribe` with this id. */
  unsubscribeOf(id: number): string | undefined {
    for (const [name, requestId] of this.unsubscribing) if (requestId === id) return name;
    return undefined;
  }

  /** Handles the reply to an `unsubscribe`; one that is refused temporarily is sent again. */
  onUnsubscribed(name: string, body?: ErrorBody): Action {
    const error = body && toError(body);
    if (error && isRetryable(error)) {
      this.unsubscribing.set(name, undefined);
      return { pause: error };
    }
    this.unsubscribing.delete(name);
    this.compact.remove(name);
    for (const channel of this.followed.values()) if (channel.state === 'full') channel.state = 'due';
    return undefined;
  }

  onSubscribed(name: string, { epoch, seq, mode, snapshot, channel_number }: Subscribed): Action {
    if (channel_number !== undefined) this.compact.begin(channel_number, name, epoch);
    const channel = this.followed.get(name);
    if (!channel) return undefined;
    const position = channel.cursor?.epoch === epoch ? channel.cursor.seq : undefined;
    const replaced = channel.epoch !== undefined && channel.epoch !== epoch;
    [channel.state, channel.mayBeSubscribed] = ['subscribed', true];
    channel.epoch = epoch;
    if (mode !== 'snapshot' && position !== undefined && position >= seq) {
      channel.waiting.splice(0).forEach(({ resolve }) => resolve());
    } else if (mode === 'snapshot' && snapshot?.items) {
      channel.waiting.splice(0).forEach(({ resolve }) => resolve());
      // Entries of the previous subscription may have arrived beyond the snapshot.
      if (position !== undefined && position > seq) return undefined;
      channel.cursor = { epoch, seq };
      const view: ThreadView = { items: snapshot.items };
      for (const follower of [...channel.followers]) follower.snapshot(seq, view, replaced);
    } else {
      channel.cursor = undefined;
      return this.resubscribe(channel);
    }
    return undefined;
  }

  onRefused(name: string, body: ErrorBody): Action {
    const [channel, error] = [this.followed.get(name), toError(body)];
    if (!channel) return undefined;
    channel.state = 'due';
    if (isRetryable(error)) return { pause: error };
    channel.mayBeSubscribed = false;
    this.compact.remove(name);
    if (error.code === 'conflict' && this.unsubscribing.size > 0) {
      channel.state = 'full';
      return undefined;
    }
    this.followed.delete(name);
    // If the first subscription is refused, only `add` fails: its caller may create the thread.
    if (channel.epoch !== undefined) channel.followers.forEach((follower) => follower.failed(error));
    channel.waiting.splice(0).forEach(({ reject }) => reject(error));
    return undefined;
  }

  /** Handles a compact entry like an `event` push. If it does not fit what was sent before, the channels continue on another connection. */
  onCompactEntry(entry: CompactEntry): Action {
    const push = this.compact.decode(entry);
    if (push === 'wrong') return 'reconnect';
    return push && this.onEvent(push);
  }

  onEvent({ channel: name, epoch, seq, entry }: EventPush): Action {
    const channel = this.followed.get(name);
    // Signals, such as presence, have no `seq`; this client does not need them.
    if (!channel || seq === undefined) return undefined;
    const { cursor } = channel;
    if (cursor?.epoch === epoch && seq === cursor.seq + 1) {
      cursor.seq = seq;
      channel.mismatches = 0;
      for (const follower of [...channel.followers]) follower.entry(seq, entry);
      return undefined;
    }
    // Until the reply to `subscribe`, entries of the previous subscription may arrive. Those that do not continue
    // from the cursor are ignored: the new subscription starts there.
    if (channel.state !== 'subscribed' || (cursor?.epoch === epoch && seq <= cursor.seq)) return undefined;
    if (cursor?.epoch !== epoch) channel.cursor = undefined;
    return this.resubscribe(channel);
  }

  /** Subscribes again after a mismatch: the first time at once, from the cursor if there still is one, then from a snapshot and after growing delays. */
  private resubscribe(channel: Channel): Action {
    channel.mismatches += 1;
    channel.state = 'due';
    if (channel.mismatches === 1) return { resubscribeInMs: 0 };
    channel.cursor = undefined;
    return channel.mismatches > MAX_MISMATCHES ? 'reconnect' : { resubscribeInMs: 500 * channel.mismatches };
  }

  private forget(name: string, { cursor }: Channel): void {
    this.followed.delete(name);
    this.cursors.delete(name);
    if (cursor) this.cursors.set(name, cursor);
    const [oldest] = this.cursors.keys();
    if (this.cursors.size > MAX_CURSORS && oldest !== undefined) this.cursors.delete(oldest);
  }
}
