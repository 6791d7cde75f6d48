import { expectAccessible } from './accessible.ts';
import { expect, test } from './fixtures.ts';
import { admin, createAdmin, discovery, signIn, submitSignIn } from './people.ts';

test('a stranger is asked to sign in', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible();
  await expectAccessible(page);
});

test('the right password opens the page, and a reload keeps it open', async ({ page, server }) => {
  await signIn(page, server);
  expect((await discovery(page.request, server)).auth.signed_in).toBe(true);
  await page.reload();
  await expect(page).not.toHaveURL(/sign-in/);
  await expect(page.getByRole('button', { name: 'Sign in' })).toHaveCount(0);
});

test('a wrong password and an unknown account get the same answer', async ({ page, server, browserConsole }) => {
  browserConsole.allow(/status of 401/);
  const answers: string[] = [];
  for (const email of [admin.email, 'nobody@example.org']) {
    await page.goto(`${server.url}/sign-in`);
    await submitSignIn(page, { email, password: 'not the password' });
    const alert = page.getByRole('alert');
    await expect(alert).toContainText(/\S/);
    answers.push(await alert.innerText());
  }
  expect(answers[0]).toBe(answers[1]);
  expect((await discovery(page.request, server)).auth.signed_in).toBe(false);
});

test('signing out closes the door in every tab', async ({ page, context, server, signedIn }) => {
  expect(signedIn.email).toBe(admin.email);
  const other = await context.newPage();
  await page.goto('/');
  await other.goto('/');
  await page.getByRole('button', { name: /^Account of/ }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible();
  await expect(other.getByText(/sign(ed)? (in|out)/i).first()).toBeVisible();
  expect((await discovery(page.request, server)).auth.signed_in).toBe(false);
});

test('a session survives a restart of the server @desktop', async ({ page, freshServer, browserConsole }) => {
  // The socket of the page breaks off while nobody listens.
  browserConsole.allow(/WebSocket|ERR_CONNECTION_REFUSED|status of 50\d/);
  await createAdmin(freshServer);
  await signIn(page, freshServer);
  await freshServer.restart();
  await page.reload();
  await expect(page).not.toHaveURL(/sign-in/);
  expect((await discovery(page.request, freshServer)).auth.signed_in).toBe(true);
});
