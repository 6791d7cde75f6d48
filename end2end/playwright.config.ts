import { defineConfig, devices } from '@playwright/test';
import { installed } from './installed.ts';

/** An installed Chromium or Chrome; `undefined`, and so the one Playwright downloaded, where there is none. */
const chromium = installed(process.env['CHROMIUM_PATH'], 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable');

// Quiet on a closed network, and able to start as root (in a container, say).
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
  // Each worker has a server of its own (fixtures.ts), and the suite has two cores.
  workers: 2,
  fullyParallel: false,
  forbidOnly: !!process.env['CI'],
  // A test that passes only now and then has failed.
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
    // `@desktop` marks what does not depend on the size of the screen, and is tested once; `@phone` what only a phone has.
    { name: 'desktop', use: { ...devices['Desktop Chrome'] }, grepInvert: /@phone/ },
    { name: 'phone', use: { ...devices['Pixel 7'] }, grepInvert: /@desktop/ },
  ],
});
