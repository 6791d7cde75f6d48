/** Tests that compact entries become the pushes that `netra.v1` would have brought. `parts.test.ts` and others use them with a real server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompactDecoder } from '../src/compact.js';
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

test('what was not announced is refused', () => {
  const decoder = new CompactDecoder();
  assert.equal(decoder.decode([1, 7, 100, text('a'), 0]), undefined);
  decoder.begin(1, 'thread/t', 'e');
  assert.equal(decoder.decode([1, 0, 5, 'b']), undefined);
  decoder.decode([1, 7, 100, text('a'), 0]);
  assert.equal(decoder.decode([1, 1, 5, 'b']), undefined, 'another slot');
  decoder.begin(2, 'thread/t', 'e');
  assert.equal(decoder.decode([1, 0, 5, 'b']), undefined, 'the number of the former subscription');
});
