/** Messages that an agent read while its run was active. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messagesBefore, turnsOf } from '../src/history.js';
import type { MessageItem, Node, RunView, ThreadView } from '../src/wire.js';

const message = (id: string, content: string, follows?: string): MessageItem => ({
  message: { id, content, run_id: `run-${id}` },
  ...(follows === undefined ? {} : { follows }),
});

const said = (id: string): Node => ({ id, state: 'done', body: { is: 'text', role: 'assistant', text: id } });

const run = (id: string, nodes: Node[], more: Partial<RunView> = {}): RunView => ({
  run_id: `run-${id}`,
  message_id: id,
  state: { is: 'finished' },
  nodes,
  ...more,
});

test('a message that was read during a run is in the conversation where it was read', () => {
  const read = [{ nodes_before: 1, item: message('b', 'In euros.') }];
  const view: ThreadView = {
    items: [
      { kind: 'message', value: message('a', 'What does it cost?') },
      { kind: 'run', value: run('a', [said('dollars'), said('euros')], { read }) },
      { kind: 'message', value: message('c', 'Sure?', 'a') },
      { kind: 'run', value: run('c', []) },
    ],
  };
  const messages = messagesBefore(turnsOf(view) ?? []);
  const lines = messages.map(({ role, content }) => `${role}: ${String(content)}`);
  assert.deepEqual(lines, ['user: What does it cost?', 'assistant: dollars', 'user: In euros.', 'assistant: euros', 'user: Sure?']);
});
