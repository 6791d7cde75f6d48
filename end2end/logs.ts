/** Usage logs to ask about: a real trace where there is one, and one that is made here. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The Azure code-completion trace, outside of the project: 8,819 requests. */
export const azureTrace = join(resolve(import.meta.dirname, '../..'), 'shared/data/azure-llm-2023/code.csv');
export const hasAzureTrace = existsSync(azureTrace);

/** A log that is generated, the same each time: `rows` requests of two models, one a second. */
export function generatedLog(rows: number): { name: string; mimeType: string; buffer: Buffer } {
  const lines = ['timestamp,model,input_tokens,output_tokens,cached_tokens,latency_ms'];
  for (let row = 0; row < rows; row++) {
    const time = new Date(Date.UTC(2026, 0, 5, 9, 0, row)).toISOString();
    const input = 200 + ((row * 7919) % 4000);
    lines.push(`${time},${row % 4 ? 'gpt-4o' : 'gpt-4o-mini'},${input},${20 + ((row * 104729) % 400)},${row % 3 ? 0 : 100},${300 + ((row * 31) % 900)}`);
  }
  return { name: 'usage.csv', mimeType: 'text/csv', buffer: Buffer.from(`${lines.join('\n')}\n`) };
}
