/** An agent that replays a recorded run at a given speed. */
import { resolve } from 'node:path';
import { expect, type Page } from '@playwright/test';
import { sendMessage, waitForConnection, waitForRunState } from './threads.ts';

const file = resolve(import.meta.dirname, '../tests/data/replay.jsonl');

/** The agent's entry for the configuration file. */
export function recordedAgent(eventsPerSecond: number): string {
  return `[[agents]]\nid = "recorded"\nname = "Recorded"\nkind = "replay"\nfile = "${file}"\nevents_per_second = ${eventsPerSecond}\n`;
}

/** Asks the recorded agent in a new thread, waits until the run has started, and returns the path of the thread. */
export async function askRecorded(page: Page): Promise<string> {
  await page.goto('/');
  await waitForConnection(page);
  await page.getByLabel('Agent').selectOption('recorded');
  await sendMessage(page, 'Go on');
  await expect(page).toHaveURL(/\/threads\//);
  await waitForRunState(page, 'running');
  return new URL(page.url()).pathname;
}
