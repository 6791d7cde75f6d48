/** Signing in and out, changing the password, and sessions that end. */
import { expectAccessible } from './accessible.ts';
import { expect, test } from './fixtures.ts';
import { admin, createAdmin, discovery, signIn, submitSignIn } from './accounts.ts';
import { ask, messageField, waitForConnection, waitForRunState } from './threads.ts';

test('a visitor is asked to sign in', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible();
  await expectAccessible(page);
});

test('the right password signs in, and a reload stays signed in', async ({ page, server }) => {
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

test('signing out signs out every tab', async ({ page, context, server, signedIn: _ }) => {
  const other = await context.newPage();
  await page.goto('/');
  await other.goto('/');
  await page.getByRole('button', { name: /^Account of/ }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible();
  await expect(other.getByText(/sign(ed)? (in|out)/i).first()).toBeVisible();
  expect((await discovery(page.request, server)).auth.signed_in).toBe(false);
});

test('changing the password signs out all other sessions', async ({ page, browser, freshServer, browserConsole }) => {
  // The refused attempts, and the socket of the ended session.
  browserConsole.allow(/WebSocket|status of 4(01|03|22)/);
  await createAdmin(freshServer);
  await signIn(page, freshServer);
  const other = await browser.newContext();
  await other.request.post(`${freshServer.url}/api/auth/sign-in`, {
    headers: { origin: freshServer.url },
    data: { email: admin.email, password: admin.password },
  });
  await page.getByRole('button', { name: /^Account of/ }).click();
  await page.getByRole('link', { name: 'Your account' }).click();
  await expect(page.getByRole('heading', { name: 'Your account' })).toBeVisible();
  await expect(page.getByText('At least 10 characters.')).toBeVisible();
  await expectAccessible(page);
  const change = async (current: string, next: string) => {
    await page.getByLabel('Current password').fill(current);
    await page.getByLabel('New password').fill(next);
    await page.getByRole('button', { name: 'Change password' }).click();
  };
  await change('not the password', 'another battery staple');
  await expect(page.getByRole('alert')).toContainText('current password is wrong');
  await change(admin.password, 'password123');
  await expect(page.getByRole('alert')).toContainText('first that are guessed');
  await change(admin.password, 'another battery staple');
  await expect(page.getByText('Your password was changed.')).toBeVisible();
  await waitForConnection(page);
  expect((await discovery(other.request, freshServer)).auth.signed_in).toBe(false);
  expect((await discovery(page.request, freshServer)).auth.signed_in).toBe(true);
  await page.getByRole('button', { name: 'Sign out everywhere' }).click();
  await page.waitForURL(/\/sign-in$/);
  await submitSignIn(page, { email: admin.email, password: 'another battery staple' });
  await expect(page).not.toHaveURL(/sign-in/);
  await other.close();
});

test('signing out hides the conversation also in a tab that the server cannot reach', async ({ page, context, server, signedIn: _ }) => {
  const path = await ask(page, 'What can you do with the secret of the orchard?');
  await waitForRunState(page, 'finished');
  const other = await context.newPage();
  // Its socket opens and then receives nothing, not even the close.
  await other.routeWebSocket(/\/ws$/, () => {});
  await other.goto(path);
  await expect(other.getByRole('article', { name: 'Your message' })).toContainText('the secret of the orchard');
  await page.getByRole('button', { name: /^Account of/ }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(other).toHaveURL(/\/sign-in/);
  for (const tab of [page, other]) {
    await expect(tab.getByRole('button', { name: 'Sign in' })).toBeVisible();
    await expect(tab.getByText('orchard')).toHaveCount(0);
    expect(await tab.title()).not.toContain('orchard');
    // The browser's back button does not show it either.
    await tab.goBack();
    await expect(tab.getByRole('button', { name: 'Sign in' })).toBeVisible();
    await expect(tab.getByText('orchard')).toHaveCount(0);
  }
  expect((await discovery(page.request, server)).auth.signed_in).toBe(false);
});

test('a draft survives the end of the session, for the same user', async ({ page, server, signedIn, browserConsole }) => {
  // The socket of an ended session is refused.
  browserConsole.allow(/WebSocket|status of 401/);
  const path = await ask(page, 'What can you do?');
  await waitForRunState(page, 'finished');
  await messageField(page).fill('half a thought');
  // As another tab would, but without the page's own code: only its socket tells the page.
  await page.request.post(`${server.url}/api/auth/sign-out`, { headers: { origin: server.url } });
  await expect(page.getByText('Your session ended')).toBeVisible();
  await submitSignIn(page, signedIn);
  await expect(page).toHaveURL(new RegExp(`${path}$`));
  await expect(messageField(page)).toHaveValue('half a thought');
  await page.goto('/');
  await waitForConnection(page);
  await expect(messageField(page)).toHaveValue('');
  await page.goto(path);
  await waitForConnection(page);
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(page.locator('[data-run-id]')).toHaveCount(2);
  await page.reload();
  await waitForConnection(page);
  await expect(messageField(page)).toHaveValue('');
});

test('a session survives a restart of the server @desktop', async ({ page, freshServer, browserConsole }) => {
  // The page's socket closes while the server is down.
  browserConsole.allow(/WebSocket|ERR_CONNECTION_REFUSED|status of 50\d/);
  await createAdmin(freshServer);
  await signIn(page, freshServer);
  await freshServer.restart();
  await page.reload();
  await expect(page).not.toHaveURL(/sign-in/);
  expect((await discovery(page.request, freshServer)).auth.signed_in).toBe(true);
});
