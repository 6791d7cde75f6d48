/** Tests that compact entries become the pushes that `netra.v1` would have brought. `parts.test.ts` and others use them with a real server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channels, type Follower } from '../src/channels.js';
import { CompactDecoder, type CompactEntry } from '../src/compact.js';
import type { Entry } from '../src/wire.js';

const text = (delta: string): Entry => ({ kind: 'agent', run_id: 'r', event: { type: 'TEXT_MESSAGE_CONTENT', messageId: 'm', delta } }) as unknown as Entry;
const push = (seq: number, at: number, delta: string) => ({ channel: 'thread/t', epoch: 'e', seq, at, entry: text(delta) });

test('a delta follows the last entry and equals the one in its slot', () => {
  const decoder = new CompactDecoder();
  decoder.begin(1, 'thread/t', 'e');
  assert.deepEqual(decoder.decode([1, 7, 100, text('a'), 0]), push(7, 100, 'a'));
  assert.deepEqual(decoder.decode([1, 8, 110, { kind: 'thread' }]), { ...push(8, 110, ''), entry: { kind: 'thread' } });
  assert.deepEqual(decoder.decode([1, 0, 5, 'b']), push(9, 115, 'b'));
  assert.deepEqual(decoder.decode([1, 0, -20, 'c']), push(10, 95, 'c'));
});

test('entries of an unknown number are ignored, and those that do not fit are not', () => {
  const decoder = new CompactDecoder();
  assert.equal(decoder.decode([1, 7, 100, text('a'), 0]), undefined);
  decoder.begin(1, 'thread/t', 'e');
  assert.equal(decoder.decode([1, 0, 5, 'b']), 'wrong', 'an empty slot');
  assert.equal(decoder.decode([1, 7, 100, text('a'), 4]), 'wrong', 'no such slot');
  decoder.begin(2, 'thread/t', 'e');
  assert.equal(decoder.decode([1, 0, 5, 'b']), undefined, 'the number of the former subscription');
});

test('a follower that changes an entry changes no later one', () => {
  const decoder = new CompactDecoder();
  decoder.begin(1, 'thread/t', 'e');
  for (const compact of [[1, 7, 100, text('a'), 0], [1, 0, 5, 'b']] as CompactEntry[]) {
    const push = decoder.decode(compact);
    assert.ok(push && push !== 'wrong' && push.entry.kind === 'agent');
    push.entry.event.type = 'changed' as typeof push.entry.event.type;
  }
  assert.deepEqual(decoder.decode([1, 0, 5, 'c']), push(9, 110, 'c'));
});

test('a reply to a subscription that is not wanted any more leads to no new connection', () => {
  const channels = new Channels();
  const follower: Follower = { entry: () => assert.fail(), snapshot: () => assert.fail(), failed: (error) => assert.fail(error) };
  let sent = 0;
  const send = (): number => ++sent;
  void channels.add('thread/t', follower);
  channels.sendDue(send);
  channels.remove('thread/t', follower);
  assert.equal(channels.subscribeOf(1), undefined);
  assert.equal(channels.onCompactEntry([1, 7, 100, text('a'), 0]), undefined);
});
