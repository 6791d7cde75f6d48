/** A scripted model with OpenAI's API: calls three tools one after the other, then answers with the last result. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

interface ModelRequest {
  messages: { role: string; content?: unknown; tool_call_id?: string }[];
  tools?: { function: { name: string } }[];
}

export class Model {
  /** The requests, in order. */
  readonly requests: ModelRequest[] = [];

  private constructor(private readonly server: Server) {}

  static start(): Promise<Model> {
    return new Promise((resolve) => {
      const server = createServer(async (request, response) => {
        let body = '';
        for await (const chunk of request) body += chunk;
        const parsed = JSON.parse(body) as ModelRequest;
        model.requests.push(parsed);
        response.setHeader('content-type', 'text/event-stream');
        for (const chunk of answer(parsed)) response.write(`data: ${JSON.stringify(chunk)}\n\n`);
        response.end('data: [DONE]\n\n');
      });
      const model = new Model(server);
      server.listen(0, '127.0.0.1', () => resolve(model));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1/`;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

function* answer({ messages }: ModelRequest): Generator<object> {
  const chunk = (delta: object, finish_reason: string | null = null) => ({ id: 'c', choices: [{ index: 0, delta, finish_reason }] });
  const call = (name: string) => chunk({ tool_calls: [{ index: 0, id: `call-${name}`, type: 'function', function: { name, arguments: '{}' } }] });
  const results = messages.slice(messages.findLastIndex(({ role }) => role === 'user') + 1).filter(({ role }) => role === 'tool');
  const next = ['list_files', 'describe_log', 'pick_colour'][results.length];
  yield chunk({ reasoning_content: 'What ' });
  yield chunk({ reasoning_content: 'now?' });
  if (next) {
    yield chunk({ content: `Calling ${next}.` });
    yield call(next);
  } else {
    yield chunk({ content: 'It is ' });
    yield chunk({ content: String(results.at(-1)?.content) });
  }
  yield chunk({}, next ? 'tool_calls' : 'stop');
  yield { id: 'c', choices: [], usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } };
}
