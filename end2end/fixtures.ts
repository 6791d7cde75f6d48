/** What every test has: a real server, a first administrator, a console that must stay silent, and a log that must be in order. */
import { test as base, expect } from '@playwright/test';
import { Console } from './console.ts';
import { admin, createAdmin, type Person, signInByCall } from './people.ts';
import { type Options, Server } from './server.ts';

export { expect };
export type { Page } from '@playwright/test';

interface Fixtures {
  /** A server that nobody has set up yet, for this test alone: to set up, to restart, to kill. */
  freshServer: Server;
  /** What the browser complained of; `browserConsole.allow(/.../)` for what the test itself causes. */
  browserConsole: Console;
  /** Signs the test's page in as the administrator, without the form. */
  signedIn: Person;
}

interface WorkerFixtures {
  /** How this worker's server is started: `test.use({ serverOptions: { env: { ... } } })` at the top of a file. */
  serverOptions: Options;
  /** A server with an administrator, shared by the tests of this worker. */
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
      // Before the server goes: no page is left to complain that it went. A failed test's stay, for the screenshot.
      if (info.status === info.expectedStatus) await Promise.all(context.pages().map((page) => page.close()));
      await server.verify();
    } finally {
      if (info.status !== info.expectedStatus) await info.attach('server.log', { body: server.log, contentType: 'text/plain' });
      await server.remove();
    }
  },

  browserConsole: [
    async ({ context, server }, use, info) => {
      const heard = new Console();
      heard.watch(context);
      await use(heard);
      if (info.status !== info.expectedStatus) await info.attach('shared-server.log', { body: server.log, contentType: 'text/plain' });
      expect(heard.unexpected, 'the browser had nothing to complain of').toEqual([]);
      await server.verify();
    },
    { auto: true },
  ],

  signedIn: async ({ page, server }, use) => {
    await signInByCall(page, server, admin);
    await use(admin);
  },
});
