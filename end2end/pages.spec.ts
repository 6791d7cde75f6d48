/** Pages under load over keep-alive connections, and the initial list of threads. */
import { Agent, get, type IncomingHttpHeaders } from 'node:http';
import { expect, test } from './fixtures.ts';
import { admin, createAdmin } from './accounts.ts';
import { type Server } from './server.ts';
import { ask, waitForConnection, waitForRunState } from './threads.ts';

// The rate limit must not refuse the commands that create the threads.
test.use({ serverOptions: [{ env: { NETRA_SOCKET__COMMANDS_PER_MINUTE: '1000000' } }, { scope: 'worker' }] });

/** How many times each route is loaded, and how many loads run at once. */
const loadsPerRoute = 3_000;
const atOnce = 16;

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Loads a page over a keep-alive connection. */
function load(agent: Agent, server: Server, path: string, cookie: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = get(`${server.url}${path}`, { agent, headers: { accept: 'text/html', cookie } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0, headers } = response;
        resolve({ status: statusCode, headers, body: Buffer.concat(chunks).toString() });
      });
    });
    request.on('error', reject);
  });
}

/** Loads a page many times. Returns what is wrong with each response that is not as expected. */
async function problemsOf(server: Server, path: string, cookie: string, status: number, title: string): Promise<string[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  const problems: string[] = [];
  let left = loadsPerRoute;
  const worker = async () => {
    while (left-- > 0) {
      const response = await load(agent, server, path, cookie).catch((error: unknown) => String(error));
      if (typeof response === 'string') problems.push(response);
      else if (response.status !== status) problems.push(`status ${response.status}`);
      else if (!response.body.includes('</html>')) problems.push(`${response.body.length} characters`);
      else if (!response.body.includes(`<title>${title} · Netra</title>`)) problems.push('another title');
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  agent.destroy();
  return problems;
}

async function signIn(server: Server): Promise<string> {
  const response = await fetch(`${server.url}/api/auth/sign-in`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: server.url },
    body: JSON.stringify({ email: admin.email, password: admin.password }),
  });
  expect(response.status).toBe(200);
  return (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
}

test('every route answers completely, three thousand times over keep-alive connections @desktop', async ({ page, server, signedIn: _, freshServer }) => {
  test.setTimeout(900_000);
  const thread = await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await page.goto('about:blank');

  const cookie = await signIn(server);
  expect(await problemsOf(freshServer, '/setup', '', 200, 'Welcome to Netra')).toEqual([]);
  await createAdmin(freshServer);
  expect(await problemsOf(server, '/sign-in', '', 200, 'Sign in')).toEqual([]);
  expect(await problemsOf(server, '/', cookie, 200, 'New thread')).toEqual([]);
  expect(await problemsOf(server, thread, cookie, 200, 'What can you do?')).toEqual([]);
  expect(await problemsOf(server, '/admin/agents', cookie, 200, 'Agents')).toEqual([]);
  expect(await problemsOf(server, '/nowhere', cookie, 404, 'Not found')).toEqual([]);
});

test('the sidebar shows the newest threads first and older ones on demand', async ({ page, signedIn: _ }) => {
  await page.goto('/');
  await waitForConnection(page);
  // Creates the threads over a second socket of the same user.
  await page.evaluate(async () => {
    const { url, protocol } = ((await (await fetch('/api/config')).json()) as { socket: { url: string; protocol: string } }).socket;
    const socket = new WebSocket(url, protocol);
    const hex = (n: number, length: number) => n.toString(16).padStart(length, '0');
    await new Promise((resolve) => (socket.onopen = resolve));
    const total = 120;
    let answered = 0;
    const all = new Promise<void>((resolve, reject) => {
      socket.onmessage = ({ data }) => {
        const { type } = JSON.parse(String(data)) as { type: string };
        if (type === 'error') reject(new Error(String(data)));
        if (type === 'ok' && ++answered === total) resolve();
      };
    });
    for (let n = 0; n < total; n++) {
      const thread_id = `${hex(Date.now(), 12).slice(0, 8)}-${hex(Date.now(), 12).slice(8)}-7${hex(n, 3)}-8000-${hex(Math.floor(Math.random() * 2 ** 48), 12)}`;
      socket.send(JSON.stringify({ type: 'create_thread', id: n + 1, payload: { thread_id, title: `Thread ${n}` } }));
    }
    await all;
    socket.close();
  });
  await page.reload();
  await waitForConnection(page);
  const rows = page.getByRole('navigation', { name: 'Threads', includeHidden: true }).locator('[data-thread-id]');
  await expect(rows).toHaveCount(50);
  const opener = page.getByRole('button', { name: 'Threads', exact: true });
  if (await opener.isVisible()) await opener.click();
  await expect(page.getByRole('button', { name: 'Show older threads' })).toBeVisible();
  const oldest = rows.filter({ hasText: /^Thread 0/ });
  await expect
    .poll(async () => {
      await rows.last().scrollIntoViewIfNeeded();
      return oldest.count();
    })
    .toBe(1);
  await expect(page.getByRole('button', { name: 'Show older threads' })).toHaveCount(0);
  const listed = await rows.evaluateAll((all) => all.map((row) => row.getAttribute('data-thread-id')));
  expect(new Set(listed).size).toBe(listed.length);
});
