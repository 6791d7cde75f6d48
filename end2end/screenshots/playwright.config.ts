/** The pictures in the README: `make screenshots`. As the tests, but one at a time and without traces. */
import { defineConfig } from '@playwright/test';
import base from '../playwright.config.ts';

export default defineConfig(base, {
  testDir: '.',
  testMatch: '*.pictures.ts',
  workers: 1,
  reporter: [['list']],
  use: { trace: 'off', screenshot: 'off' },
});
