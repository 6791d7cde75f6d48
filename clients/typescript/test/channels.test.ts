/** What the server follows for a connection is what is wanted in the end, whatever it refuses meanwhile. No server: its answers are a model's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channels, type Follower } from '../src/channels.js';

const PLACES = 2;
const slowly = { code: 'rate_limited', message: 'slowly', retry_after_ms: 10 };
const full = { code: 'conflict', message: 'too many channels' };

/** Channels, and a server that follows what it is told to, at most {@link PLACES}, unless it refuses. */
class World {
  readonly channels = new Channels();
  readonly follows = new Set<string>();
  private readonly sent: { id: number; type: string; channel: string }[] = [];
  private id = 0;

  /** What is due is sent. */
  ask(): void {
    this.channels.ask((type, payload) => {
      const { channel } = payload as { channel: string };
      this.sent.push({ id: ++this.id, type, channel });
      return this.id;
    });
  }

  /** The server takes the next command, and its answer arrives. Answers whether there was one. */
  serve(refuse: boolean): boolean {
    const next = this.sent.shift();
    if (!next) return false;
    const { id, type, channel } = next;
    const isFull = type === 'subscribe' && !this.follows.has(channel) && this.follows.size >= PLACES;
    if (!refuse && type === 'unsubscribe') this.follows.delete(channel);
    if (!refuse && type === 'subscribe' && !isFull) this.follows.add(channel);
    const error = refuse ? slowly : isFull ? full : undefined;
    const [asked, left] = [this.channels.askedAs(id), this.channels.leavingAs(id)];
    if (left !== undefined) this.channels.left(left, error);
    else if (asked !== undefined && error) this.channels.refused(asked, error);
    else if (asked !== undefined) this.channels.answered(asked, { epoch: 'e', seq: 0, mode: 'snapshot', snapshot: { kind: 'thread', items: [] } });
    return true;
  }

  settle(): void {
    do this.ask();
    while (this.serve(false));
  }
}

const nobody: Follower = { entry: () => {}, snapshot: () => {}, failed: (error) => assert.fail(error) };

test('an unsubscribe that is refused for the moment is sent again', () => {
  const world = new World();
  void world.channels.add('a', nobody);
  world.settle();
  world.channels.remove('a', nobody);
  world.ask();
  world.serve(true);
  assert.deepEqual([...world.follows], ['a']);
  world.settle();
  assert.deepEqual([...world.follows], []);
});

test('whatever is refused, exactly what is wanted is followed in the end', () => {
  for (let seed = 1; seed <= 500; seed += 1) {
    let state = seed;
    // A generator of our own: a failure names the seed that repeats it.
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const world = new World();
    const wanted: string[] = [];
    const leave = (name: string) => world.channels.remove(name, nobody);
    for (let step = 0; step < 80; step += 1) {
      const [name, kind] = [`c${random(5)}`, random(6)];
      if (kind < 2 && !wanted.includes(name)) {
        if (wanted.length === PLACES) leave(wanted.shift()!);
        wanted.push(name);
        world.channels.add(name, nobody).catch((error: Error) => assert.fail(`seed ${seed}: ${error.message}`));
      } else if (kind === 2 && wanted.includes(name)) {
        wanted.splice(wanted.indexOf(name), 1);
        leave(name);
      } else if (kind === 3) {
        world.ask();
      } else {
        world.serve(random(2) === 0);
      }
    }
    world.settle();
    assert.deepEqual([...world.follows].sort(), wanted.sort(), `seed ${seed}`);
  }
});
