import { defineConfig, devices } from '@playwright/test';
import { installed } from './installed.ts';

/** The installed Chromium or Chrome; `undefined` selects the one that Playwright downloaded. */
const chromium = installed(process.env['CHROMIUM_PATH'], 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable');

// No background requests, and able to start as root, for example in a container.
const flags = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
];

export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.ts',
  // Each worker has its own server (fixtures.ts); two fit on two cores.
  workers: 2,
  fullyParallel: false,
  forbidOnly: !!process.env['CI'],
  // A flaky test counts as failed.
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: [['list'], ['html', { open: 'never' }]],
  use: {
    launchOptions: { executablePath: chromium, args: flags },
    locale: 'en-GB',
    timezoneId: 'UTC',
    actionTimeout: 10_000,
    navigationTimeout: 20_000,
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
  },
  projects: [
    // `@desktop`: does not depend on the screen size, so it runs once. `@phone`: only for phones.
    { name: 'desktop', use: { ...devices['Desktop Chrome'] }, grepInvert: /@phone/ },
    { name: 'phone', use: { ...devices['Pixel 7'] }, grepInvert: /@desktop/ },
  ],
});
