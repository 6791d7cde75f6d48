import { defineConfig, devices } from '@playwright/test';
import { installed } from '../../end2end/installed.ts';

// Turns off the usage reports of CopilotKit's runtime.
process.env['COPILOTKIT_TELEMETRY_DISABLED'] = 'true';

const chromium = installed(process.env['CHROMIUM_PATH'], 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable');

export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.ts',
  workers: 1,
  forbidOnly: !!process.env['CI'],
  // A test that passes only sometimes has failed.
  retries: 0,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
  use: {
    ...devices['Desktop Chrome'],
    launchOptions: {
      executablePath: chromium,
      args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])],
    },
    actionTimeout: 20_000,
    trace: 'retain-on-failure',
  },
});
