/**
 * A remote agent that restates the conversation: it calls a tool, streams an answer in two deltas, and ends with a snapshot of all
 * messages. A test can make it pause between the deltas.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Message, RunAgentInput } from '@ag-ui/client';

export class Agent {
  /** The inputs, in order. */
  readonly inputs: RunAgentInput[] = [];
  private paused: (() => void)[] = [];
  private shouldPause = false;

  /** From now on, answers pause in their middle. */
  pause(): void {
    this.shouldPause = true;
  }

  /** How many answers are paused. */
  get pausedCount(): number {
    return this.paused.length;
  }

  /** Continues all answers. */
  resume(): void {
    this.shouldPause = false;
    this.paused.splice(0).forEach((resume) => resume());
  }

  async respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const input = JSON.parse(Buffer.concat(chunks).toString()) as RunAgentInput;
    this.inputs.push(input);
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
    if (this.shouldPause) await new Promise<void>((resume) => this.paused.push(resume));
    emit({ type: 'TEXT_MESSAGE_CONTENT', messageId: answer, delta: second });
    emit({ type: 'TEXT_MESSAGE_END', messageId: answer });
    const answers: Message[] = [
      { id: `asking ${turn}`, role: 'assistant', toolCalls: [{ id: call, type: 'function', function: { name: 'get_weather', arguments: args } }] },
      { id: result, role: 'tool', toolCallId: call, content: 'sunny' },
      { id: answer, role: 'assistant', content: first + second },
    ];
    emit({ type: 'MESSAGES_SNAPSHOT', messages: [...messages, ...answers] });
    emit({ type: 'RUN_FINISHED', threadId, runId });
    response.end();
  }
}
