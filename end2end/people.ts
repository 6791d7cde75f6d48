/** The people of the tests, and their ways in: through the forms as a person, or by a call where the way in is not the point. */
import { type APIRequestContext, expect, type Page } from '@playwright/test';
import type { Server } from './server.ts';

export interface Person {
  email: string;
  name: string;
  password: string;
}

export const admin: Person = {
  email: 'first@example.org',
  name: 'First Administrator',
  password: 'correct horse battery staple',
};

/** Who the server says the caller is, from `GET /api/config`. */
export async function discovery(request: APIRequestContext, server: Server) {
  const answer = await request.get(`${server.url}/api/config`);
  expect(answer.status()).toBe(200);
  return (await answer.json()) as {
    version: string;
    socket: { url: string; protocol: string; heartbeat_ms: number; max_frame_bytes: number };
    auth: { signed_in: boolean; methods: string[]; needs_setup: boolean };
  };
}

/** Creates the first administrator by a call. */
export async function createAdmin(server: Server, person: Person = admin): Promise<void> {
  const answer = await fetch(`${server.url}/api/auth/setup`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: server.url },
    body: JSON.stringify({ setup_token: server.setupToken, ...person }),
  });
  if (!answer.ok) throw new Error(`set-up answered ${answer.status}: ${await answer.text()}`);
}

/** Signs the page's browser in by a call: the cookie is the page's own. */
export async function signInByCall(page: Page, server: Server, person: Person = admin): Promise<void> {
  const answer = await page.request.post(`${server.url}/api/auth/sign-in`, {
    headers: { origin: server.url },
    data: { email: person.email, password: person.password },
  });
  expect(answer.status(), await answer.text()).toBe(200);
}

/** Opens the link that the server printed and creates the first administrator in the form. */
export async function setupAdmin(page: Page, server: Server, person: Person = admin): Promise<void> {
  await page.goto(server.link);
  await page.getByLabel('Name').fill(person.name);
  await page.getByLabel('Email').fill(person.email);
  await page.getByLabel('Password').fill(person.password);
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page).not.toHaveURL(/setup|sign-in/);
}

/** Fills the sign-in form in and sends it, whatever comes of it. */
export async function submitSignIn(page: Page, person: Pick<Person, 'email' | 'password'>): Promise<void> {
  await page.getByLabel('Email').fill(person.email);
  await page.getByLabel('Password').fill(person.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Signs in through the form. */
export async function signIn(page: Page, server: Server, person: Person = admin): Promise<void> {
  await page.goto(`${server.url}/sign-in`);
  await submitSignIn(page, person);
  await expect(page).not.toHaveURL(/sign-in/);
}
