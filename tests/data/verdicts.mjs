// Random streams, most of them nearly right, with what the protocol's own verifier says of each: at which event it is
// broken, or that it is not. Run: npm i @ag-ui/client@1.0.0 && node verdicts.mjs COUNT > verdicts.jsonl
import { Subject } from "rxjs";
import { enforceEvents, transformChunks, verifyEvents } from "@ag-ui/client";

process.env.SUPPRESS_TRANSFORMATION_WARNINGS = "true";
let seed = 20250101;
const random = () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const pick = (list) => list[Math.floor(random() * list.length)];
const chance = (p) => random() < p;
const id = () => pick(["a", "b"]);
const tag = () => (chance(0.35) ? { subagentRunId: pick(["x", "y"]) } : {});
const maybe = (p, fields) => (chance(p) ? fields() : {});

const kinds = [
  () => ({ type: "STEP_STARTED", stepName: id(), ...tag() }),
  () => ({ type: "STEP_FINISHED", stepName: id(), ...tag() }),
  () => ({ type: "TEXT_MESSAGE_START", messageId: id(), ...tag() }),
  () => ({ type: "TEXT_MESSAGE_CONTENT", messageId: id(), delta: "", ...tag() }),
  () => ({ type: "TEXT_MESSAGE_END", messageId: id(), ...tag() }),
  () => ({
    type: "TEXT_MESSAGE_CHUNK", ...maybe(0.6, () => ({ messageId: id() })), ...maybe(0.2, () => ({ role: pick(["assistant", "user"]) })),
    ...maybe(0.1, () => ({ name: id() })), ...maybe(0.8, () => ({ delta: "x" })), ...tag(),
  }),
  () => ({ type: "TOOL_CALL_START", toolCallId: id(), toolCallName: "t", ...maybe(0.4, () => ({ parentMessageId: id() })), ...tag() }),
  () => ({ type: "TOOL_CALL_ARGS", toolCallId: id(), delta: "", ...tag() }),
  () => ({ type: "TOOL_CALL_END", toolCallId: id(), ...tag() }),
  () => ({
    type: "TOOL_CALL_CHUNK", ...maybe(0.6, () => ({ toolCallId: id() })), ...maybe(0.5, () => ({ toolCallName: pick(["t", "t", "u"]) })),
    ...maybe(0.2, () => ({ parentMessageId: id() })), ...tag(),
  }),
  () => ({ type: "TOOL_CALL_RESULT", messageId: id(), toolCallId: id(), content: "4", ...tag() }),
  () => ({ type: "STATE_SNAPSHOT", snapshot: {}, ...tag() }),
  () => ({ type: "STATE_DELTA", delta: [{ op: "add", path: pick(["/a", "/a", "a", "/~2"]), value: 1 }], ...tag() }),
  () => ({
    type: "MESSAGES_SNAPSHOT",
    messages: [{ id: id(), role: "assistant", content: "x", ...maybe(0.5, () => ({ toolCalls: [{ id: id(), type: "function", function: { name: "t", arguments: "" } }] })), ...tag() }],
  }),
  () => ({ type: "ACTIVITY_SNAPSHOT", messageId: id(), activityType: "p", content: {}, ...maybe(0.5, () => ({ replace: chance(0.5) })), ...tag() }),
  () => ({ type: "ACTIVITY_DELTA", messageId: id(), activityType: "p", patch: [], ...tag() }),
  () => ({ type: "REASONING_START", messageId: id(), ...tag() }),
  () => ({ type: "REASONING_MESSAGE_START", messageId: id(), role: "reasoning", ...tag() }),
  () => ({ type: "REASONING_MESSAGE_CONTENT", messageId: id(), delta: "", ...tag() }),
  () => ({ type: "REASONING_MESSAGE_END", messageId: id(), ...tag() }),
  () => ({ type: "REASONING_MESSAGE_CHUNK", ...maybe(0.6, () => ({ messageId: id() })), ...maybe(0.8, () => ({ delta: "x" })), ...tag() }),
  () => ({ type: "REASONING_END", messageId: id(), ...tag() }),
  () => ({ type: "REASONING_ENCRYPTED_VALUE", subtype: pick(["tool-call", "message"]), entityId: id(), encryptedValue: "v", ...tag() }),
  () => ({ type: "SUBAGENT_STARTED", subagentRunId: pick(["x", "y"]), name: "n", ...maybe(0.2, () => ({ parentSubagentRunId: pick(["x", "y"]) })) }),
  () => ({ type: "SUBAGENT_FINISHED", subagentRunId: pick(["x", "y"]) }),
  () => ({ type: "SUBAGENT_ERROR", subagentRunId: pick(["x", "y"]), message: "m" }),
  () => ({ type: "RAW", event: {}, ...tag() }),
  () => ({ type: "CUSTOM", name: "n", value: null, ...tag() }),
];
const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };
const finished = { type: "RUN_FINISHED", threadId: "t", runId: "r" };

// A verifier that can be asked one event at a time.
const verifier = () => {
  const source = new Subject();
  let broken = null;
  source.pipe(enforceEvents(), transformChunks(), verifyEvents()).subscribe({ error: (error) => (broken = String(error.message ?? error)) });
  return (event) => {
    try { source.next(structuredClone(event)); } catch (error) { broken ??= String(error.message ?? error); }
    return broken;
  };
};
const verdict = (events) => {
  const ask = verifier();
  for (let at = 0; at < events.length; at++) {
    const broken = ask(events[at]);
    if (broken) return { at, broken: broken.slice(0, 160) };
  }
  return { at: null };
};

const count = Number(process.argv[2] ?? 100);
for (let n = 0; n < count; n++) {
  // Of random events those that fit are kept, so that streams grow long before one that does not.
  const events = [started];
  const length = 2 + Math.floor(random() * 14);
  while (events.length < length) {
    const event = pick(kinds)();
    if (verdict([...events, event]).at === null) events.push(event);
  }
  if (chance(0.6)) events.push(pick(kinds)());
  if (chance(0.5)) events.push(pick([finished, finished, finished, started]));
  console.log(JSON.stringify({ events, ...verdict(events) }));
}
