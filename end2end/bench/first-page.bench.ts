/** The first visit of a signed-in person: nothing is in the browser's cache. */
import { test } from '../fixtures.ts';
import { Figures, loadProfiles, repeats } from './figures.ts';
import { BenchPage, type Loaded } from './pages.ts';

/** The kinds of files, by their types. */
const kinds = { HTML: /html/, CSS: /css/, JavaScript: /javascript/, WebAssembly: /wasm/ };

function kilobytes(files: Loaded[], kind: RegExp): number {
  return files.filter(({ type }) => kind.test(type)).reduce((sum, { sent }) => sum + sent, 0) / 1000;
}

test('first page @desktop', async ({ browser, server, browserConsole }, info) => {
  const figures = new Figures();
  // The first page of a browser process also loads fonts and starts processes.
  const warmUp = await BenchPage.open(browser, server, browserConsole);
  await warmUp.load('/');
  await warmUp.close();
  for (const profile of loadProfiles) {
    for (let repeat = 0; repeat < repeats; repeat++) {
      const opened = await BenchPage.open(browser, server, browserConsole);
      await opened.throttle(profile);
      const { times, files } = await opened.load('/');
      for (const [name, kind] of Object.entries(kinds)) figures.add(profile, `first page: ${name} as sent`, 'kB', kilobytes(files, kind));
      figures.add(profile, 'first page: all as sent', 'kB', kilobytes(files, /./));
      figures.add(profile, 'first page: first contentful paint', 'ms', times.paint);
      figures.add(profile, 'first page: interactive', 'ms', times.interactive);
      await opened.close();
    }
  }
  await figures.report(info);
});
