/** Tests that the subscriptions on the server match the followed channels in the end, whatever is refused. The server is simulated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channels, type Follower } from '../src/channels.js';

const MAX_CHANNELS = 2;
const rateLimited = { code: 'rate_limited', message: 'too fast', retry_after_ms: 10 };
const full = { code: 'conflict', message: 'too many channels' };

/** Channels, and a simulated server that accepts at most {@link MAX_CHANNELS} subscriptions, and refuses commands on request. */
class Simulation {
  readonly channels = new Channels();
  readonly subscriptions = new Set<string>();
  private readonly sent: { id: number; type: string; channel: string }[] = [];
  private id = 0;

  /** Sends the commands that are due. */
  send(): void {
    this.channels.sendDue((type, payload) => {
      const { channel } = payload as { channel: string };
      this.sent.push({ id: ++this.id, type, channel });
      return this.id;
    });
  }

  /** The server executes or refuses the next command, and its reply arrives. Returns whether there was one. */
  serve(refuse: boolean): boolean {
    const next = this.sent.shift();
    if (!next) return false;
    const { id, type, channel } = next;
    const isFull = type === 'subscribe' && !this.subscriptions.has(channel) && this.subscriptions.size >= MAX_CHANNELS;
    if (!refuse && type === 'unsubscribe') this.subscriptions.delete(channel);
    if (!refuse && type === 'subscribe' && !isFull) this.subscriptions.add(channel);
    const error = refuse ? rateLimited : isFull ? full : undefined;
    const [subscribed, unsubscribed] = [this.channels.subscribeOf(id), this.channels.unsubscribeOf(id)];
    if (unsubscribed !== undefined) this.channels.onUnsubscribed(unsubscribed, error);
    else if (subscribed !== undefined && error) this.channels.onRefused(subscribed, error);
    else if (subscribed !== undefined) this.channels.onSubscribed(subscribed, { epoch: 'e', seq: 0, mode: 'snapshot', snapshot: { kind: 'thread', items: [] } });
    return true;
  }

  settle(): void {
    do this.send();
    while (this.serve(false));
  }
}

const follower: Follower = { entry: () => {}, snapshot: () => {}, failed: (error) => assert.fail(error) };

test('an unsubscribe that is refused with a retry time is sent again', () => {
  const simulation = new Simulation();
  void simulation.channels.add('a', follower);
  simulation.settle();
  simulation.channels.remove('a', follower);
  simulation.send();
  simulation.serve(true);
  assert.deepEqual([...simulation.subscriptions], ['a']);
  simulation.settle();
  assert.deepEqual([...simulation.subscriptions], []);
});

test('whatever is refused, the server’s subscriptions are exactly the wanted ones in the end', () => {
  for (let seed = 1; seed <= 500; seed += 1) {
    let state = seed;
    // A seeded generator: a failure prints the seed that repeats it.
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const simulation = new Simulation();
    const wanted: string[] = [];
    const unfollow = (name: string) => simulation.channels.remove(name, follower);
    for (let step = 0; step < 80; step += 1) {
      const [name, action] = [`c${random(5)}`, random(6)];
      if (action < 2 && !wanted.includes(name)) {
        if (wanted.length === MAX_CHANNELS) unfollow(wanted.shift()!);
        wanted.push(name);
        simulation.channels.add(name, follower).catch((error: Error) => assert.fail(`seed ${seed}: ${error.message}`));
      } else if (action === 2 && wanted.includes(name)) {
        wanted.splice(wanted.indexOf(name), 1);
        unfollow(name);
      } else if (action === 3) {
        simulation.send();
      } else {
        simulation.serve(random(2) === 0);
      }
    }
    simulation.settle();
    assert.deepEqual([...simulation.subscriptions].sort(), wanted.sort(), `seed ${seed}`);
  }
});
