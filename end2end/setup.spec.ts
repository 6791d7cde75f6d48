/** Creating the first administrator with the link that the server prints. */
import { expectAccessible } from './accessible.ts';
import { expect, test } from './fixtures.ts';
import { admin, createAdmin, discovery, setupAdmin } from './accounts.ts';

test('the printed link creates and signs in the first administrator', async ({ page, freshServer }) => {
  expect((await discovery(page.request, freshServer)).auth).toMatchObject({ needs_setup: true, signed_in: false });
  await setupAdmin(page, freshServer);
  expect((await discovery(page.request, freshServer)).auth).toMatchObject({ needs_setup: false, signed_in: true });
  await page.reload();
  await expect(page).not.toHaveURL(/setup|sign-in/);
});

test('the link works only once', async ({ page, freshServer }) => {
  const { link } = freshServer;
  await createAdmin(freshServer);
  await page.goto(link);
  await expect(page.getByRole('button', { name: 'Create account' })).toHaveCount(0);
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible();
});

test('a wrong token creates no account', async ({ page, freshServer, browserConsole }) => {
  browserConsole.allow(/status of 40[013]/);
  await page.goto(freshServer.link.replace(freshServer.setupToken, 'not-the-token'));
  await page.getByLabel('Name').fill(admin.name);
  await page.getByLabel('Email').fill(admin.email);
  await page.getByLabel('Password').fill(admin.password);
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page.getByRole('alert')).toContainText(/\S/);
  expect((await discovery(page.request, freshServer)).auth).toMatchObject({ needs_setup: true, signed_in: false });
});

test('the setup page is accessible', async ({ page, freshServer }) => {
  await page.goto(freshServer.link);
  await expect(page.getByRole('button', { name: 'Create account' })).toBeVisible();
  await expectAccessible(page);
});
