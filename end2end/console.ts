/** Collects the errors on the browser's console. By default, any error fails the test. */
import type { BrowserContext, ConsoleMessage } from '@playwright/test';

/** Messages that count as errors, whatever their type: the browser's page differs from the server's, or the page panicked. */
const severe = /hydrat|panick|leptos|unreachable/i;

export class Console {
  private readonly errors: string[] = [];
  private readonly allowed: RegExp[] = [];

  /** Ignores matching errors, which the test itself causes, for example by going offline. */
  allow(...patterns: RegExp[]): void {
    this.allowed.push(...patterns);
  }

  /** Watches all pages of a context. The test's own context is watched already; a test adds the contexts it opens. */
  watch(context: BrowserContext): void {
    context.on('console', (message) => this.record(message));
    context.on('weberror', (error) => this.errors.push(`uncaught: ${error.error().message}`));
  }

  /** The errors that were not allowed. */
  get unexpected(): string[] {
    return this.errors.filter((error) => !this.allowed.some((pattern) => pattern.test(error)));
  }

  private record(message: ConsoleMessage): void {
    const type = message.type();
    if (type === 'error' || type === 'assert' || severe.test(message.text())) {
      this.errors.push(`${type}: ${message.text()} (${message.location().url})`);
    }
  }
}
