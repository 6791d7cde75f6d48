/** A model behind OpenAI's API, whose answers the test writes and finishes. */
import type { ServerResponse } from 'node:http';
import { Endpoint } from './endpoint.ts';

interface Request {
  messages: { role: string; content: unknown }[];
}

export class WrittenModel extends Endpoint {
  /** The conversations that it was sent, as `role: text`, without instructions. */
  readonly requests: string[][] = [];
  private answer: ServerResponse | undefined;

  static async start(): Promise<WrittenModel> {
    return new WrittenModel().listen();
  }

  /** The configuration of an agent with this model. */
  get config(): string {
    return `[[agents]]\nid = "model"\nname = "Model"\nkind = "model"\nmodel = "written"\nbase_url = "${this.url}/v1"\ntitles = false\n`;
  }

  /** Whether an answer is in progress. */
  get isAnswering(): boolean {
    return this.answer !== undefined;
  }

  /** Appends to the answer. */
  write(content: string): void {
    this.emit({ choices: [{ index: 0, delta: { role: 'assistant', content }, finish_reason: null }] });
  }

  /** Ends the answer. */
  finish(): void {
    this.emit({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
    const { answer } = this;
    this.answer = undefined;
    answer?.end('data: [DONE]\n\n');
  }

  private emit(chunk: object): void {
    if (!this.answer) throw new Error('no answer is in progress');
    this.answer.write(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'written', ...chunk })}\n\n`);
  }

  protected respond(body: string, response: ServerResponse): void {
    const { messages } = JSON.parse(body) as Request;
    this.requests.push(messages.filter(({ role }) => role !== 'system').map(({ role, content }) => `${role}: ${String(content)}`));
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.flushHeaders();
    this.answer = response;
    response.on('close', () => {
      if (this.answer === response) this.answer = undefined;
    });
  }
}

/** A Playwright fixture: one model for all tests of a worker process. */
export const writtenModelFixture: [({}: object, use: (model: WrittenModel) => Promise<void>) => Promise<void>, { scope: 'worker' }] = [
  async ({}, use) => {
    const model = await WrittenModel.start();
    await use(model);
    await model.close();
  },
  { scope: 'worker' },
];
