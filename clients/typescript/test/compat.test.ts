/** Tests the package with a release of AG-UI's client before 1.0. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Server } from './server.js';

const packages = resolve(import.meta.dirname, '../../node_modules');

/** A front end's program. */
const conversation = `
import { HttpAgent } from '@ag-ui/client';
import { NetraAgent } from './src/index.js';
const [url, token] = process.argv.slice(2);
const agent = new NetraAgent({ url: url + '/api/agents/quick/agui', token: () => token, idleMs: 0 });
if (!(agent instanceof Object.getPrototypeOf(HttpAgent))) throw new Error('NetraAgent is not an agent of this release');
agent.addMessage({ id: 'question', role: 'user', content: 'Where do my tokens go?' });
await agent.runAgent({});
console.log(JSON.stringify(agent.messages.map(({ id, role }) => [id === 'question' ? id : '', role])));
`;

/** The messages of the conversation with a release of the client. */
async function messagesWith(server: Server, release: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'netra-release-'));
  try {
    await cp(resolve(import.meta.dirname, '../src'), join(folder, 'src'), { recursive: true });
    await writeFile(join(folder, 'package.json'), '{"type": "module"}');
    await writeFile(join(folder, 'conversation.js'), conversation);
    for (const name of ['@noble/hashes', 'rxjs', 'uuid', 'ws', '@ag-ui/client']) {
      const link = join(folder, 'node_modules', name);
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(packages, name === '@ag-ui/client' ? release : name), link);
    }
    const { stdout } = await promisify(execFile)(process.execPath, ['conversation.js', server.url, await server.token()], { cwd: folder });
    return stdout.trim();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test('a conversation is the same with a release of the client before 1.0 as with 1.0', async () => {
  const server = await Server.start({ NETRA_LOG: 'warn' });
  try {
    const now = await messagesWith(server, '@ag-ui/client');
    assert.match(now, /^\[\["question","user"\],/);
    assert.equal(await messagesWith(server, 'ag-ui-client-older'), now);
  } finally {
    await server.remove();
  }
});
