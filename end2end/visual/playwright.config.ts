/**
 * Compares the main states of the page with their pictures: `make visual`. Text is drawn differently by other browsers and with other
 * fonts, so it is not part of the tests: take the pictures on the same machine before a change (`ARGS=--update-snapshots`).
 */
import base from '../playwright.config.ts';

// Not merged: the projects are others.
export default {
  ...base,
  testDir: '.',
  testMatch: '*.visual.ts',
  snapshotPathTemplate: '{testDir}/pictures/{arg}-{projectName}{ext}',
  expect: { timeout: 10_000, toHaveScreenshot: { animations: 'disabled', caret: 'hide', maxDiffPixelRatio: 0.002 } },
  reporter: [['list'], ['html', { open: 'never', outputFolder: '../playwright-report' }]],
  use: { ...base.use, trace: 'off' as const },
  projects: (['light', 'dark'] as const).flatMap((colorScheme) => [
    { name: `1440-${colorScheme}`, use: { colorScheme, viewport: { width: 1440, height: 900 } } },
    { name: `1024-${colorScheme}`, use: { colorScheme, viewport: { width: 1024, height: 768 } } },
    { name: `390-${colorScheme}`, use: { colorScheme, viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true } },
  ]),
};
