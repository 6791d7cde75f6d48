/** Decodes the entries of a connection on `netra.v1.compact`, on which an entry's frame is an array. */
import type { Entry, EventPush } from './wire.js';

/**
 * `[channel_number, seq, at, entry, slot?]`: a whole entry, to be put into the slot if there is one; or `[channel_number, slot, elapsed,
 * delta]`: the channel's next entry, equal to the one in the slot except for its event's `delta`.
 */
export type CompactEntry = [number, number, number, Entry | string, number?];

interface NumberedChannel {
  name: string;
  epoch: string;
  seq: number;
  at: number;
  /** The entries in the slots. */
  slots: Map<number, Entry>;
}

const SLOTS = 4;

/** The channels of one connection, by their numbers. */
export class CompactDecoder {
  private readonly channels = new Map<number, NumberedChannel>();

  /** The reply to `subscribe` gave the channel this number. */
  begin(number: number, name: string, epoch: string): void {
    this.remove(name);
    this.channels.set(number, { name, epoch, seq: Number.NaN, at: 0, slots: new Map() });
  }

  /** The channel is not followed any more. */
  remove(name: string): void {
    for (const [number, channel] of this.channels) if (channel.name === name) this.channels.delete(number);
  }

  /** The connection was lost: numbers have no meaning on the next one. */
  clear(): void {
    this.channels.clear();
  }

  /**
   * The entry as an `event` push. `undefined` if its number is unknown: it belongs to a subscription that was ended. `wrong`
   * if it does not fit what was sent before.
   */
  decode(compact: CompactEntry): EventPush | 'wrong' | undefined {
    const channel = this.channels.get(compact[0]);
    if (!channel) return undefined;
    const [, seqOrSlot, atOrElapsed, entryOrDelta, slot] = compact;
    if (typeof entryOrDelta !== 'string') {
      if (slot !== undefined && !(slot < SLOTS)) return 'wrong';
      [channel.seq, channel.at] = [seqOrSlot, atOrElapsed];
      // A copy, as followers may change what they are given.
      if (slot !== undefined) channel.slots.set(slot, structuredClone(entryOrDelta));
      return this.push(channel, entryOrDelta);
    }
    const known = channel.slots.get(seqOrSlot);
    if (known?.kind !== 'agent') return 'wrong';
    channel.seq += 1;
    channel.at += atOrElapsed;
    const entry = structuredClone(known);
    Object.assign(entry.event, { delta: entryOrDelta });
    return this.push(channel, entry);
  }

  private push({ name, epoch, seq, at }: NumberedChannel, entry: Entry): EventPush {
    return { channel: name, epoch, seq, at, entry };
  }
}
