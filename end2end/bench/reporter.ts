/** Prints the figures of all benchmarks as one table. */
import type { Reporter, TestCase, TestResult } from '@playwright/test/reporter';
import { figure, table } from '../../scripts/table.mjs';
import { attachmentName, loadProfiles, repeats, type Row } from './figures.ts';

export default class TableReporter implements Reporter {
  private readonly rows: Row[] = [];

  onTestEnd(_test: TestCase, result: TestResult): void {
    const attached = result.attachments.filter(({ name }) => name === attachmentName);
    for (const { body } of attached) this.rows.push(...(JSON.parse(String(body)) as Row[]));
  }

  onEnd(): void {
    if (this.rows.length === 0) return;
    const names = loadProfiles.map(({ name }) => name);
    const cell = (value: number | undefined) => (value === undefined ? '' : figure(value));
    const rows = this.rows.map(({ what, unit, values }) => [what, unit, ...names.map((name) => cell(values[name]))]);
    console.log(`\nMedians of ${repeats}:\n\n${table([['figure', 'unit', ...names], ...rows])}\n`);
  }
}
