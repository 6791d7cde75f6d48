/** The accounts of the tests, and signing in: through the forms, or by a request where the form is not what is tested. */
import { type APIRequestContext, expect, type Page } from '@playwright/test';
import type { Console } from './console.ts';
import type { Server } from './server.ts';

export interface Account {
  email: string;
  name: string;
  password: string;
}

export const admin: Account = {
  email: 'first@example.org',
  name: 'First Administrator',
  password: 'correct horse battery staple',
};

/** The response to `GET /api/config`. */
export async function discovery(request: APIRequestContext, server: Server) {
  const response = await request.get(`${server.url}/api/config`);
  expect(response.status()).toBe(200);
  return (await response.json()) as {
    version: string;
    socket: { url: string; protocol: string; heartbeat_ms: number; max_frame_bytes: number };
    auth: { signed_in: boolean; methods: string[]; needs_setup: boolean };
  };
}

/** Creates the first administrator by a request. */
export async function createAdmin(server: Server, person: Account = admin): Promise<void> {
  const response = await fetch(`${server.url}/api/auth/setup`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: server.url },
    body: JSON.stringify({ setup_token: server.setupToken, ...person }),
  });
  if (!response.ok) throw new Error(`the setup returned ${response.status}: ${await response.text()}`);
}

/** Signs the page's browser in by a request. */
export async function signInByRequest(page: Page, server: Server, person: Account = admin): Promise<void> {
  const response = await page.request.post(`${server.url}/api/auth/sign-in`, {
    headers: { origin: server.url },
    data: { email: person.email, password: person.password },
  });
  expect(response.status(), await response.text()).toBe(200);
}

/** Opens the link that the server printed and creates the first administrator in the form. */
export async function setupAdmin(page: Page, server: Server, person: Account = admin): Promise<void> {
  await page.goto(server.link);
  await page.getByLabel('Name').fill(person.name);
  await page.getByLabel('Email').fill(person.email);
  await page.getByLabel('Password').fill(person.password);
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page).not.toHaveURL(/setup|sign-in/);
}

/** Fills in the sign-in form and submits it. */
export async function submitSignIn(page: Page, person: Pick<Account, 'email' | 'password'>): Promise<void> {
  await page.getByLabel('Email').fill(person.email);
  await page.getByLabel('Password').fill(person.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Signs in through the form. */
export async function signIn(page: Page, server: Server, person: Account = admin): Promise<void> {
  await page.goto(`${server.url}/sign-in`);
  await submitSignIn(page, person);
  await expect(page).not.toHaveURL(/sign-in/);
}

/** Opens a page in a browser context of its own, of the same size, and signs an account in there by a request. */
export async function openPageOf(person: Account, page: Page, server: Server, browserConsole: Console): Promise<Page> {
  const browser = page.context().browser();
  if (!browser) throw new Error('no browser');
  const context = await browser.newContext({ baseURL: server.url, viewport: page.viewportSize() });
  browserConsole.watch(context);
  const theirs = await context.newPage();
  await signInByRequest(theirs, server, person);
  return theirs;
}
