/** The fixtures of every test: a real server, a first administrator, a console without errors, and a log that passes verification. */
import { test as base, expect } from '@playwright/test';
import { Console } from './console.ts';
import { admin, createAdmin, type Account, signInByRequest } from './accounts.ts';
import { type Options, Server } from './server.ts';

export { expect };
export type { Page } from '@playwright/test';

interface Fixtures {
  /** A server without accounts, for this test alone: to set up, restart or kill. */
  freshServer: Server;
  /** The errors on the browser's console; `browserConsole.allow(/.../)` for those that the test causes. */
  browserConsole: Console;
  /** Signs the test's page in as the administrator, by a request instead of the form. `signedIn: _` if the account is not used. */
  signedIn: Account;
}

interface WorkerFixtures {
  /** The options of this worker's server: `test.use({ serverOptions: { env: { ... } } })` at the top of a file. */
  serverOptions: Options;
  /** A server with an administrator, shared by all tests of this worker. */
  server: Server;
}

export const test = base.extend<Fixtures, WorkerFixtures>({
  serverOptions: [{}, { scope: 'worker', option: true }],

  server: [
    async ({ serverOptions }, use) => {
      const server = await Server.start(serverOptions);
      try {
        await createAdmin(server);
        await use(server);
      } finally {
        await server.remove();
      }
    },
    { scope: 'worker' },
  ],

  baseURL: async ({ server }, use) => use(server.url),

  freshServer: async ({ context, serverOptions }, use, info) => {
    const server = await Server.start(serverOptions);
    try {
      await use(server);
      // Close the pages before the server stops, so that they log no errors. After a failure they stay, for the screenshot.
      if (info.status === info.expectedStatus) await Promise.all(context.pages().map((page) => page.close()));
      await server.verify();
    } finally {
      if (info.status !== info.expectedStatus) await info.attach('server.log', { body: server.log, contentType: 'text/plain' });
      await server.remove();
    }
  },

  browserConsole: [
    async ({ context, server }, use, info) => {
      const collected = new Console();
      collected.watch(context);
      await use(collected);
      if (info.status !== info.expectedStatus) await info.attach('shared-server.log', { body: server.log, contentType: 'text/plain' });
      expect(collected.unexpected, 'no errors on the browser console').toEqual([]);
      await server.verify();
    },
    { auto: true },
  ],

  signedIn: async ({ page, server }, use) => {
    await signInByRequest(page, server, admin);
    await use(admin);
  },
});
