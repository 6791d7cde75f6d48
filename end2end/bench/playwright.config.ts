/** The page's benchmarks: `make bench-page`. As the tests, but one at a time, without traces, and with a table at the end. */
import { defineConfig } from '@playwright/test';
import base from '../playwright.config.ts';

export default defineConfig(base, {
  testDir: '.',
  testMatch: '*.bench.ts',
  workers: 1,
  timeout: 20 * 60_000,
  reporter: [['list'], ['./reporter.ts']],
  use: { trace: 'off', screenshot: 'off', navigationTimeout: 60_000 },
});
