/**
 * A remote agent of the kind that restates the conversation: it calls a tool, says something in halves, and ends with all messages,
 * those that it was sent among them. It waits in the middle of an answer until the test lets it go on.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Message, RunAgentInput } from '@ag-ui/client';

export class Agent {
  /** What it was asked, in order. */
  readonly asked: RunAgentInput[] = [];
  private halted: (() => void)[] = [];
  private halts = false;

  /** From now on, an answer stops in its middle. */
  halt(): void {
    this.halts = true;
  }

  /** How many answers stand still in their middle. */
  get waiting(): number {
    return this.halted.length;
  }

  /** Every answer goes on. */
  goOn(): void {
    this.halts = false;
    this.halted.splice(0).forEach((go) => go());
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const input = JSON.parse(Buffer.concat(chunks).toString()) as RunAgentInput;
    this.asked.push(input);
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const emit = (event: object) => response.write(`data: ${JSON.stringify(event)}\n\n`);
    const { threadId, runId, messages } = input;
    const turn = messages.filter(({ role }) => role === 'user').length;
    const [call, result, answer] = [`call ${turn}`, `result ${turn}`, `answer ${turn}`];
    const question = String(messages.findLast(({ role }) => role === 'user')?.content);
    const [first, second] = [`You asked: ${question}. `, `It is sunny in turn ${turn}.`];
    const args = JSON.stringify({ city: `City ${turn}` });

    emit({ type: 'RUN_STARTED', threadId, runId });
    emit({ type: 'TOOL_CALL_START', toolCallId: call, toolCallName: 'get_weather', parentMessageId: `asking ${turn}` });
    emit({ type: 'TOOL_CALL_ARGS', toolCallId: call, delta: args });
    emit({ type: 'TOOL_CALL_END', toolCallId: call });
    emit({ type: 'TOOL_CALL_RESULT', messageId: result, toolCallId: call, content: 'sunny', role: 'tool' });
    emit({ type: 'TEXT_MESSAGE_START', messageId: answer, role: 'assistant' });
    emit({ type: 'TEXT_MESSAGE_CONTENT', messageId: answer, delta: first });
    if (this.halts) await new Promise<void>((go) => this.halted.push(go));
    emit({ type: 'TEXT_MESSAGE_CONTENT', messageId: answer, delta: second });
    emit({ type: 'TEXT_MESSAGE_END', messageId: answer });
    const said: Message[] = [
      { id: `asking ${turn}`, role: 'assistant', toolCalls: [{ id: call, type: 'function', function: { name: 'get_weather', arguments: args } }] },
      { id: result, role: 'tool', toolCallId: call, content: 'sunny' },
      { id: answer, role: 'assistant', content: first + second },
    ];
    emit({ type: 'MESSAGES_SNAPSHOT', messages: [...messages, ...said] });
    emit({ type: 'RUN_FINISHED', threadId, runId });
    response.end();
  }
}
