/** How long the page's main thread is busy without a break while a long answer streams in. */
import { expect, test as base } from '../fixtures.ts';
import { lastRun, sendMessage } from '../threads.ts';
import { cpuProfiles, Figures, repeats } from './figures.ts';
import { BenchPage, pageTimeoutMs } from './pages.ts';
import { answers, lastWords, type Recordings, recordingsFixture } from './recordings.ts';

const test = base.extend<object, { recordings: Recordings }>({
  recordings: recordingsFixture,
  serverOptions: [async ({ recordings }, use) => use({ config: recordings.config }), { scope: 'worker' }],
});

const names: Record<keyof typeof answers, string> = { text: 'mixed text', list: 'one list', code: 'one code block' };

interface Streamed {
  /** The durations of all tasks over 50 ms from the first run's appearance to its end, in milliseconds. */
  longTasks: number[];
  /** From the run's appearance on the page to its end, in milliseconds. */
  took: number;
}

/** Runs in the page: waits until a run has come and finished. */
function watchRun(timeoutMs: number): Promise<Streamed> {
  return new Promise((resolve, reject) => {
    const tasks: PerformanceEntry[] = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries())).observe({ type: 'longtask' });
    let began: number | undefined;
    const observer = new MutationObserver(() => {
      const run = document.querySelector('[data-run-id]');
      if (run) began ??= performance.now();
      const state = run?.getAttribute('data-run-state');
      if (began === undefined || (state !== 'finished' && state !== 'failed')) return;
      observer.disconnect();
      const [from, took] = [began, performance.now() - began];
      const during = ({ startTime }: PerformanceEntry): boolean => startTime >= from && startTime <= from + took;
      // The task that shows the end is reported after it.
      setTimeout(() => resolve({ took, longTasks: tasks.filter(during).map(({ duration }) => duration) }), 1000);
    });
    observer.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-run-state'] });
    setTimeout(() => reject(new Error(`the run did not finish within ${timeoutMs} ms`)), timeoutMs);
  });
}

for (const answer of Object.keys(answers) as (keyof typeof answers)[]) {
  test(`streaming ${names[answer]} @desktop`, async ({ browser, server, browserConsole }, info) => {
    const figures = new Figures();
    for (const profile of cpuProfiles) {
      for (let repeat = 0; repeat < repeats; repeat++) {
        const opened = await BenchPage.open(browser, server, browserConsole);
        const { page } = opened;
        await opened.load('/');
        await opened.throttle(profile);
        const watched = page.evaluate(watchRun, pageTimeoutMs);
        await sendMessage(page, `@${answer} Go on`);
        const { longTasks, took } = await watched;
        await expect(lastRun(page)).toContainText(lastWords);
        const what = `streaming ${names[answer]}`;
        figures.add(profile, `${what}: long tasks`, 'count', longTasks.length);
        figures.add(profile, `${what}: longest task`, 'ms', Math.max(0, ...longTasks));
        figures.add(profile, `${what}: total blocking`, 'ms', longTasks.reduce((sum, duration) => sum + duration - 50, 0));
        figures.add(profile, `${what}: shown completely after`, 's', took / 1000);
        await opened.close();
      }
    }
    await figures.report(info);
  });
}
