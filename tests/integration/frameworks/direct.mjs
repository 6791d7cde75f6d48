// A conversation with an AG-UI endpoint through the protocol's own client, without Netra.
// Run: node direct.mjs '{"url": ..., "threadId": ..., "state": ..., "steps": [...]}'; writes messages and state to standard output.
// A step sends a message ({"say": text}), answers the last run's interrupt ({"answer": payload}; with "command": true where the run
// ended without an outcome), or gives the result of the pending call ({"result": text}).
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [, , folder, task] = process.argv;
const client = createRequire(`${folder}/package.json`).resolve("@ag-ui/client");
const { HttpAgent } = await import(pathToFileURL(client));
const { url, threadId, state, steps } = JSON.parse(task);
const agent = new HttpAgent({ url, threadId, initialState: state ?? {} });

async function run(parameters) {
  try {
    await agent.runAgent(parameters);
  } catch (error) {
    process.stderr.write(`${error}\n`);
    process.exit(1);
  }
}

const resume = (status, payload) => agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, status, ...payload }));

for (const step of steps) {
  if ("say" in step) {
    if (agent.pendingInterrupts.length > 0) await run({ resume: resume("cancelled", {}) });
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content: step.say });
    await run();
  } else if ("result" in step) {
    const answered = new Set(agent.messages.filter(({ role }) => role === "tool").map(({ toolCallId }) => toolCallId));
    const calls = agent.messages.flatMap(({ toolCalls }) => toolCalls ?? []).filter(({ id }) => !answered.has(id));
    for (const { id } of calls) agent.addMessage({ id: crypto.randomUUID(), role: "tool", toolCallId: id, content: step.result });
    await run();
  } else if (step.command) {
    await run({ forwardedProps: { command: { resume: step.answer } } });
  } else {
    await run({ resume: resume("resolved", { payload: step.answer }) });
  }
}
process.stdout.write(JSON.stringify({ messages: agent.messages, state: agent.state, waits: agent.pendingInterrupts }));
