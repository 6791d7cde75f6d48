/** An AG-UI endpoint whose answers the test writes and finishes. */
import type { ServerResponse } from 'node:http';
import type { Page } from '@playwright/test';
import { Endpoint } from './endpoint.ts';
import { waitForRunState } from './threads.ts';

interface Answer {
  threadId: string;
  runId: string;
  messageId: string;
  response: ServerResponse;
}

export class StreamedAgent extends Endpoint {
  private answer: Answer | undefined;

  static async start(): Promise<StreamedAgent> {
    return new StreamedAgent().listen();
  }

  /** The agent's entry for the configuration file. */
  get config(): string {
    return `[[agents]]\nid = "streamed"\nname = "Streamed"\nkind = "ag-ui"\nurl = "${this.url}/"\nallow_private_network = true\n`;
  }

  /** Whether an answer is in progress. */
  get isAnswering(): boolean {
    return this.answer !== undefined;
  }

  /** Appends to the answer. */
  write(delta: string): void {
    if (!this.answer) throw new Error('no answer is in progress');
    const { messageId } = this.answer;
    emit(this.answer, { type: 'TEXT_MESSAGE_CONTENT', messageId, delta });
  }

  /** Ends the answer. */
  finish(): void {
    if (!this.answer) throw new Error('no answer is in progress');
    const { threadId, runId, messageId, response } = this.answer;
    emit(this.answer, { type: 'TEXT_MESSAGE_END', messageId });
    emit(this.answer, { type: 'RUN_FINISHED', threadId, runId, outcome: { type: 'success' } });
    this.answer = undefined;
    response.end();
  }

  protected respond(body: string, response: ServerResponse): void {
    const { threadId, runId } = JSON.parse(body) as Answer;
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const answer = { threadId, runId, messageId: `m-${runId}`, response };
    emit(answer, { type: 'RUN_STARTED', threadId, runId });
    emit(answer, { type: 'TEXT_MESSAGE_START', messageId: answer.messageId, role: 'assistant' });
    this.answer = answer;
    response.on('close', () => {
      if (this.answer === answer) this.answer = undefined;
    });
  }
}

/** A Playwright fixture: one agent for all tests of a worker process. */
export const streamedAgentFixture: [({}: object, use: (agent: StreamedAgent) => Promise<void>) => Promise<void>, { scope: 'worker' }] = [
  async ({}, use) => {
    const agent = await StreamedAgent.start();
    await use(agent);
    await agent.close();
  },
  { scope: 'worker' },
];

/** Finishes the answer, and waits until the page shows that. */
export async function endAnswer(page: Page, agent: StreamedAgent): Promise<void> {
  agent.finish();
  await waitForRunState(page, 'finished');
}

/** A number of paragraphs for an answer, each with a name. */
export function paragraphs(name: string, count: number): string {
  return Array.from({ length: count }, (_, index) => `Paragraph ${name}${index + 1}. ${'Some words to fill a line or two. '.repeat(4)}\n\n`).join('');
}

function emit({ response }: Answer, event: object): void {
  response.write(`data: ${JSON.stringify(event)}\n\n`);
}
