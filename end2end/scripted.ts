/** A scripted AG-UI endpoint: it answers, or asks for approval or input first. */
import type { ServerResponse } from 'node:http';
import { Endpoint } from './endpoint.ts';

interface Resume {
  interruptId: string;
  status: 'resolved' | 'cancelled';
  payload?: { approved?: boolean; editedArgs?: unknown; reason?: string; [field: string]: unknown };
}

interface Input {
  threadId: string;
  runId: string;
  messages: { role: string; content?: unknown; toolCallId?: string; toolCalls?: { id: string; function: { arguments: string } }[] }[];
  resume?: Resume[];
  forwardedProps?: { command?: { resume?: unknown } };
}

/** The arguments of the call of `send_mail`, unless a person edits them. */
export const mailArguments = { to: 'ada@example.org', subject: 'Tokens' };

/** The schema of the form that the agent shows: a field of each type. */
const form = {
  type: 'object',
  required: ['title', 'pages', 'urgent', 'size'],
  properties: {
    title: { type: 'string', title: 'Name of the report', description: 'It is shown on the first page.' },
    pages: { type: 'integer', title: 'Pages' },
    urgent: { type: 'boolean', title: 'Urgent' },
    size: { enum: ['small', 'large'], title: 'Size' },
    more: { type: 'object', title: 'More' },
  },
};

export class ScriptedAgent extends Endpoint {
  /** The inputs of all its runs so far, including resumed ones. */
  readonly inputs: Input[] = [];

  static async start(): Promise<ScriptedAgent> {
    return new ScriptedAgent().listen();
  }

  /** The agent's entry for the configuration file. */
  get config(): string {
    return `[[agents]]\nid = "scripted"\nname = "Scripted"\ndescription = "Follows a script."\nkind = "ag-ui"\nurl = "${this.url}"\nallow_private_network = true\n`;
  }

  protected respond(body: string, response: ServerResponse): void {
    const input = JSON.parse(body) as Input;
    this.inputs.push(input);
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const { threadId, runId } = input;
    const emit = (event: object) => response.write(`data: ${JSON.stringify(event)}\n\n`);
    const say = (text: string) => {
      const messageId = `m-${runId}`;
      emit({ type: 'TEXT_MESSAGE_START', messageId, role: 'assistant' });
      emit({ type: 'TEXT_MESSAGE_CONTENT', messageId, delta: text });
      emit({ type: 'TEXT_MESSAGE_END', messageId });
    };
    emit({ type: 'RUN_STARTED', threadId, runId });
    const message = String(input.messages.findLast(({ role }) => role === 'user')?.content ?? '');
    const [resumed] = input.resume ?? [];
    // If the user sent a message instead of an answer, `resumed` is `cancelled`; that message gets a normal answer.
    const command = input.forwardedProps?.command?.resume;
    if (command !== undefined) {
      say(command === true ? 'Deployed.' : `Not deployed: ${JSON.stringify(command)}`);
      emit({ type: 'RUN_FINISHED', threadId, runId });
    } else if (resumed?.status === 'resolved' && resumed.interruptId.startsWith('form-')) {
      say(`Filled in: ${JSON.stringify(resumed.payload)}`);
      emit({ type: 'RUN_FINISHED', threadId, runId, outcome: { type: 'success' } });
    } else if (resumed?.status === 'resolved') {
      const toolCallId = resumed.interruptId.replace('ask-', '');
      const { approved = false, editedArgs, reason } = resumed.payload ?? {};
      const content = approved ? JSON.stringify({ sent: editedArgs ?? mailArguments }) : 'refused';
      emit({ type: 'TOOL_CALL_RESULT', messageId: `r-${toolCallId}`, toolCallId, content, role: 'tool' });
      say(approved ? `Sent: ${JSON.stringify(editedArgs ?? mailArguments)}` : `Not sent: ${reason ?? 'refused'}`);
      emit({ type: 'RUN_FINISHED', threadId, runId, outcome: { type: 'success' } });
    } else if (/mail/.test(message)) {
      const toolCallId = `call-${runId}`;
      emit({ type: 'TOOL_CALL_START', toolCallId, toolCallName: 'send_mail' });
      emit({ type: 'TOOL_CALL_ARGS', toolCallId, delta: JSON.stringify(mailArguments) });
      emit({ type: 'TOOL_CALL_END', toolCallId });
      const interrupt = {
        id: `ask-${toolCallId}`,
        reason: 'tool_call',
        message: 'May I send this mail? <b>It cannot be taken back.</b>',
        toolCallId,
        metadata: { toolName: 'send_mail', args: mailArguments },
      };
      emit({ type: 'RUN_FINISHED', threadId, runId, outcome: { type: 'interrupt', interrupts: [interrupt] } });
    } else if (/deploy/.test(message)) {
      // The interrupt of LangGraph's adapter in its default configuration.
      emit({ type: 'CUSTOM', name: 'on_interrupt', value: 'Deploy to production?' });
      emit({ type: 'RUN_FINISHED', threadId, runId });
    } else if (/form/.test(message)) {
      const interrupt = { id: `form-${runId}`, reason: 'question', message: 'What should the report look like?', responseSchema: form };
      emit({ type: 'RUN_FINISHED', threadId, runId, outcome: { type: 'interrupt', interrupts: [interrupt] } });
    } else {
      say(`You said: ${message}`);
      emit({ type: 'RUN_FINISHED', threadId, runId, outcome: { type: 'success' } });
    }
    response.end();
  }
}

/** A Playwright fixture: one agent for all tests of a worker process. */
export const scriptedAgentFixture: [({}: object, use: (agent: ScriptedAgent) => Promise<void>) => Promise<void>, { scope: 'worker' }] = [
  async ({}, use) => {
    const agent = await ScriptedAgent.start();
    await use(agent);
    await agent.close();
  },
  { scope: 'worker' },
];
