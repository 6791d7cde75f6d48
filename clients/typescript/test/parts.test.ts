/** What needs no server: ids, and when to come back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idFor, isId, newId } from '../src/ids.js';
import { Backoff, comesBack } from '../src/reconnect.js';

test('an id of Netra’s stays, and any other text stands for one, the same each time', () => {
  const person = '019a2b3c-4d5e-7f60-8192-a3b4c5d6e7f8';
  const minted = newId();
  assert.ok(isId(minted));
  assert.equal(idFor(person, minted), minted);
  const derived = idFor(person, 'my thread');
  // The server derives the same.
  assert.equal(derived, '00000000-0000-761f-b764-803dc9f70071');
  assert.ok(isId(derived));
  assert.equal(idFor(person, 'my thread'), derived);
  assert.notEqual(idFor(person, 'my other thread'), derived);
  assert.notEqual(idFor(minted, 'my thread'), derived, 'another person’s is another thread');
});

test('below 4400 a client comes back, except where it was done or sent too much', () => {
  const codes = [1000, 1001, 1006, 1009, 1012, 4000, 4001, 4002, 4400, 4401, 4403, 4409, 4499];
  assert.deepEqual(codes.filter(comesBack), [1001, 1006, 1012, 4000, 4001, 4002]);
});

test('waits double to twenty seconds, and a server’s word counts', () => {
  const backoff = new Backoff(() => 1);
  assert.deepEqual([1, 2, 3].map(() => backoff.next(undefined, '')), [500, 1000, 2000]);
  for (let n = 0; n < 40; n += 1) assert.ok(backoff.next(undefined, '') <= 20_000);
  assert.equal(backoff.next(1234, 'restarting'), 1234, 'what a draining server advertised is jittered already');
  backoff.proved();
  assert.equal(backoff.next(undefined, '{"retry_after_ms":3000}'), 3500, 'never before the server wants it');
  assert.equal(new Backoff(() => 0).next(undefined, ''), 0);
});
