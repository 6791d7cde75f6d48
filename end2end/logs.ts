/** Usage logs to ask about: a real trace, if present, and a generated one. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The Azure code-completion trace with 8,819 requests. It is not part of the project. */
export const azureTrace = join(resolve(import.meta.dirname, '../..'), 'shared/data/azure-llm-2023/code.csv');
export const hasAzureTrace = existsSync(azureTrace);

/** A generated log, the same each time: `rows` requests of two models, one per second. */
export function generatedLog(rows: number): { name: string; mimeType: string; buffer: Buffer } {
  const lines = ['timestamp,model,input_tokens,output_tokens,cached_tokens,latency_ms'];
  for (let row = 0; row < rows; row++) {
    const time = new Date(Date.UTC(2026, 0, 5, 9, 0, row)).toISOString();
    const input = 200 + ((row * 7919) % 4000);
    lines.push(`${time},${row % 4 ? 'gpt-4o' : 'gpt-4o-mini'},${input},${20 + ((row * 104729) % 400)},${row % 3 ? 0 : 100},${300 + ((row * 31) % 900)}`);
  }
  return { name: 'usage.csv', mimeType: 'text/csv', buffer: Buffer.from(`${lines.join('\n')}\n`) };
}
