/** What a browser says on its console while a test runs: by default any complaint fails the test. */
import type { BrowserContext, ConsoleMessage } from '@playwright/test';

/** Warnings that matter as much as errors: the page that the server rendered and the one the browser made differ. */
const grave = /hydrat|panick|leptos|unreachable/i;

export class Console {
  private readonly complaints: string[] = [];
  private readonly allowed: RegExp[] = [];

  /** Lets complaints that match pass, for a test that causes them: offline, say, or a wrong password. */
  allow(...patterns: RegExp[]): void {
    this.allowed.push(...patterns);
  }

  /** Listens to every page of a context: the test's own is watched already, contexts it opens are for it to add. */
  watch(context: BrowserContext): void {
    context.on('console', (message) => this.hear(message));
    context.on('weberror', (error) => this.complaints.push(`uncaught: ${error.error().message}`));
  }

  /** The complaints that nothing allowed. */
  get unexpected(): string[] {
    return this.complaints.filter((complaint) => !this.allowed.some((pattern) => pattern.test(complaint)));
  }

  private hear(message: ConsoleMessage): void {
    const type = message.type();
    if (type === 'error' || type === 'assert' || grave.test(message.text())) {
      this.complaints.push(`${type}: ${message.text()} (${message.location().url})`);
    }
  }
}
