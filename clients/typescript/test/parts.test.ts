/** Tests that need no server: ids and reconnecting. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idFor, isId, newId } from '../src/ids.js';
import { Backoff, shouldReconnect } from '../src/reconnect.js';

test('a UUIDv7 is used as it is, and any other text always gives the same id', () => {
  const user = '019a2b3c-4d5e-7f60-8192-a3b4c5d6e7f8';
  const id = newId();
  assert.ok(isId(id));
  assert.equal(idFor(user, id), id);
  const derived = idFor(user, 'my thread');
  // The server derives the same id.
  assert.equal(derived, '00000000-0000-761f-b764-803dc9f70071');
  assert.ok(isId(derived));
  assert.equal(idFor(user, 'my thread'), derived);
  assert.notEqual(idFor(user, 'my other thread'), derived);
  assert.notEqual(idFor(id, 'my thread'), derived, 'the same text of another user is another thread');
});

test('a client reconnects after close codes below 4400, except 1000 and 1009', () => {
  const codes = [1000, 1001, 1006, 1009, 1012, 4000, 4001, 4002, 4400, 4401, 4403, 4409, 4499];
  assert.deepEqual(codes.filter(shouldReconnect), [1001, 1006, 1012, 4000, 4001, 4002]);
});

test('waits double up to twenty seconds, and the server can set a wait', () => {
  const backoff = new Backoff(() => 1);
  assert.deepEqual([1, 2, 3].map(() => backoff.next(undefined, '')), [500, 1000, 2000]);
  for (let n = 0; n < 40; n += 1) assert.ok(backoff.next(undefined, '') <= 20_000);
  assert.equal(backoff.next(1234, 'restarting'), 1234, 'the wait that the server named has jitter already');
  backoff.reset();
  assert.equal(backoff.next(undefined, '{"retry_after_ms":3000}'), 3500, 'never earlier than the server asked');
  assert.equal(new Backoff(() => 0).next(undefined, ''), 0);
});
