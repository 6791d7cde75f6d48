/** Finds installed programs. */
import { execFileSync } from 'node:child_process';

/** The path of the first of these commands that is installed. */
export function installed(...names: (string | undefined)[]): string | undefined {
  for (const name of names) {
    if (!name) continue;
    try {
      return execFileSync('sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).trim();
    } catch {
      continue;
    }
  }
  return undefined;
}
