/** An AG-UI endpoint that validates its input with the protocol's own schema, and answers with the number of files in it. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RunAgentInputSchema } from '@ag-ui/core/schemas';

type Input = ReturnType<typeof RunAgentInputSchema.parse>;

export class Remote {
  /** The inputs, in order. */
  readonly inputs: Input[] = [];

  private constructor(private readonly server: Server) {}

  static start(): Promise<Remote> {
    return new Promise((resolve) => {
      const server = createServer(async (request, response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk);
        const parsed = RunAgentInputSchema.safeParse(JSON.parse(Buffer.concat(chunks).toString()));
        if (!parsed.success) return response.writeHead(422).end(parsed.error.message);
        remote.inputs.push(parsed.data);
        response.setHeader('content-type', 'text/event-stream');
        for (const event of answer(parsed.data)) response.write(`data: ${JSON.stringify(event)}\n\n`);
        response.end();
      });
      const remote = new Remote(server);
      server.listen(0, '127.0.0.1', () => resolve(remote));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/agent`;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

function* answer({ threadId, runId, messages }: Input): Generator<object> {
  const parts = messages.flatMap(({ content }) => (Array.isArray(content) ? content : []));
  const messageId = `answer to ${runId}`;
  yield { type: 'RUN_STARTED', threadId, runId };
  yield { type: 'TEXT_MESSAGE_START', messageId };
  yield { type: 'TEXT_MESSAGE_CONTENT', messageId, delta: `${parts.filter(({ type }) => type !== 'text').length} files` };
  yield { type: 'TEXT_MESSAGE_END', messageId };
  yield { type: 'RUN_FINISHED', threadId, runId };
}
