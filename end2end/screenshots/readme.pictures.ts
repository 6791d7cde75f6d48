/** Takes the README's pictures into docs/pictures: of a question about a usage log, in both colour schemes and on a phone, and of its replay. */
import { resolve } from 'node:path';
import { expect, test } from '../fixtures.ts';
import { pressInAnswerMenu, showAnalysis } from '../threads.ts';

const picture = (name: string) => ({ path: resolve(import.meta.dirname, `../../docs/pictures/${name}.png`) });

test('pictures', async ({ page, signedIn: _ }, { project }) => {
  await showAnalysis(page);
  if (project.name === 'phone') return void (await page.screenshot(picture('phone')));
  await page.setViewportSize({ width: 1280, height: 800 });
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot(picture(`thread-${colorScheme}`));
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await pressInAnswerMenu(page, 'Replay');
  const position = page.getByRole('slider', { name: 'Position' });
  await expect(position).toBeVisible();
  const last = Number(await position.getAttribute('max'));
  await position.fill(String(Math.round(last / 2)));
  await page.screenshot(picture('replay'));
});
