// Random streams, most of them nearly valid, with the verdict of the protocol's own client: the index of the invalid event, or none.
// There are two kinds: events in an order that may be invalid, and single events with one changed field.
// Run: npm i @ag-ui/client@1.0.0 && node verdicts.mjs COUNT > verdicts.jsonl && node verdicts.mjs COUNT fields > fields.jsonl
import { Subject } from "rxjs";
import { CompatibilityBoundary, enforceEvents, transformChunks, verifyEvents } from "@ag-ui/client";

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

// A verifier that takes one event at a time.
const verifier = () => {
  const source = new Subject();
  let broken = null;
  const read = new CompatibilityBoundary().run({ messages: [] }, { run: () => source });
  read.pipe(enforceEvents(), transformChunks(), verifyEvents()).subscribe({ error: (error) => (broken = String(error.message ?? error)) });
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

// Events with all their fields, and the events that they need before and after them.
const base = { timestamp: 5, rawEvent: { of: "it" }, metadata: { k: null } };
const usage = () => [{ provider: "p", model: "m", inputTokens: 3, outputTokens: 2, totalTokens: 5, reasoningTokens: 1, cachedInputTokens: 1, cacheWriteInputTokens: 0 }];
const sources = [{ type: "data", value: "aGk=", mimeType: "image/png" }, { type: "url", value: "https://a/b", mimeType: "image/png" }, { type: "file", value: "f", provider: "p", mimeType: "image/png" }];
const parts = () => [{ type: "text", id: "1", text: "x", metadata: { a: 1 } }, { type: pick(["image", "audio", "video", "document"]), id: "2", source: pick(sources), metadata: { a: 1 } }];
const call = () => ({ id: "c", type: "function", function: { name: "t", arguments: "{}" }, encryptedValue: "v", metadata: {} });
const messages = () => {
  const all = { id: "h", subagentRunId: "x", metadata: {} };
  return pick([
    { ...all, role: "developer", name: "n", encryptedValue: "v", content: "x" },
    { ...all, role: "system", name: "n", encryptedValue: "v", content: "x" },
    { ...all, role: "assistant", name: "n", encryptedValue: "v", content: "x", toolCalls: [call()] },
    { ...all, role: "user", name: "n", encryptedValue: "v", content: pick(["x", parts()]) },
    { ...all, role: "tool", toolCallId: "c", error: "e", encryptedValue: "v", content: pick(["x", parts()]) },
    { ...all, role: "activity", activityType: "p", content: {} },
    { ...all, role: "reasoning", encryptedValue: "v", content: "x" },
  ]);
};
const interrupt = () => ({ id: "i", reason: "r", message: "m", toolCallId: "c", responseSchema: {}, expiresAt: "2030-01-01T00:00:00Z", subagentRunId: "x", metadata: {} });
const text = (kind, more) => ({ type: `TEXT_MESSAGE_${kind}`, messageId: "a", subagentRunId: "x", ...more });
const tool = (kind, more) => ({ type: `TOOL_CALL_${kind}`, toolCallId: "c", subagentRunId: "x", ...more });
const thought = (kind, more) => ({ type: `REASONING_MESSAGE_${kind}`, messageId: "r", subagentRunId: "x", ...more });
const child = { type: "SUBAGENT_STARTED", subagentRunId: "s", name: "n", description: "d", parentToolCallId: "c", parentMessageId: "a" };
const opened = [text("START", { role: "assistant", name: "n" }), text("CONTENT", { delta: "x" }), text("END")];
const called = [tool("START", { toolCallName: "t", parentMessageId: "a" }), tool("ARGS", { delta: "{}" }), tool("END")];
const thinks = [{ type: "REASONING_START", messageId: "r", subagentRunId: "x" }, thought("START", { role: "reasoning" }), thought("CONTENT", { delta: "x" }), thought("END"), { type: "REASONING_END", messageId: "r", subagentRunId: "x" }];
const whole = [
  ...[0, 1, 2].map((at) => () => [opened, at]), ...[0, 1, 2].map((at) => () => [called, at]), ...[0, 1, 2, 3, 4].map((at) => () => [thinks, at]),
  () => [[text("CHUNK", { role: "assistant", delta: "x", name: "n" })], 0],
  () => [[tool("CHUNK", { toolCallName: "t", parentMessageId: "a", delta: "{}" })], 0],
  () => [[thought("CHUNK", { delta: "x" })], 0],
  () => [[tool("RESULT", { messageId: "m", role: "tool", content: pick(["x", parts(), parts()]) })], 0],
  () => [[{ type: "STEP_STARTED", stepName: "s" }, { type: "STEP_FINISHED", stepName: "s" }], pick([0, 1])],
  () => [[{ type: "STATE_SNAPSHOT", snapshot: {}, subagentRunId: "x" }], 0],
  () => [[{ type: "STATE_DELTA", delta: [{ op: "add", path: "/a", value: 1 }], subagentRunId: "x" }], 0],
  ...[1, 2, 3].map(() => () => [[{ type: "MESSAGES_SNAPSHOT", messages: [messages()] }], 0]),
  () => [[{ type: "ACTIVITY_SNAPSHOT", messageId: "p", activityType: "plan", content: {}, replace: true }], 0],
  () => [[{ type: "ACTIVITY_DELTA", messageId: "p", activityType: "plan", patch: [{ op: "remove", path: "/a" }] }], 0],
  () => [[{ type: "REASONING_ENCRYPTED_VALUE", subtype: "tool-call", entityId: "c", encryptedValue: "v", subagentRunId: "x" }], 0],
  () => [[child, { type: "SUBAGENT_FINISHED", subagentRunId: "s", result: 1, outcome: pick([{ type: "success" }, { type: "suspended", interruptIds: ["i"] }]) }], pick([0, 1])],
  () => [[child, { type: "SUBAGENT_ERROR", subagentRunId: "s", message: "m", code: "c" }], 1],
  () => [[{ type: "RAW", event: {}, source: "it" }], 0],
  () => [[{ type: "CUSTOM", name: "n", value: null }], 0],
  ...[1, 2].map(() => () => [[{ ...finished, result: 1, usage: usage(), outcome: pick([{ type: "success", pendingToolCallIds: ["c"] }, { type: "interrupt", interrupts: [interrupt()] }, { type: "cancelled" }]) }], 0]),
];

// The fields of an event that may be changed, each as its object or list and its key.
const places = (value) => Object.entries(value).flatMap(([key, inner]) => [
  ...(["type", "op"].includes(key) ? [] : [[value, key]]),
  ...(["threadId", "runId"].includes(key) || inner === null || typeof inner !== "object" ? [] : places(inner)),
]);
const change = (event) => {
  if (chance(0.04)) return void (event.type = pick(["VENDOR", "THINKING_AGAIN"]));
  const named = JSON.stringify(event.outcome?.type ?? event.messages?.[0].role ?? null);
  const [holder, key] = pick(places(event));
  const kind = random();
  if (kind < 0.3) holder[key] = null;
  else if (kind < 0.45 && !Array.isArray(holder)) delete holder[key];
  else if (kind < 0.6 && !Array.isArray(holder)) holder[pick(["vendor", "toString", "name", "source"])] ??= pick([null, 5, { a: 1 }]);
  else if (kind < 0.66 && named !== "null") (event.outcome ?? event.messages[0])[event.outcome ? "type" : "role"] = "vendor";
  else if (kind < 0.7 && Array.isArray(event.content ?? event.messages?.[0].content)) pick(event.content ?? event.messages[0].content).type = "vendor";
  else holder[key] = pick([5, -1, 1.5, 1e18, "x", true, {}, [], [5], [{}], [null]]);
};

const count = Number(process.argv[2] ?? 100);
if (process.argv[3] === "fields") {
  for (let n = 0; n < count; n++) {
    const [around, at] = structuredClone(pick(whole)());
    Object.assign(around[at], structuredClone(chance(0.3) ? base : {}));
    if (chance(0.95)) change(around[at]);
    // The client ignores unknown operations. Half a patch is another patch, so here the whole is refused.
    const operations = [around[at].delta, around[at].patch].flat();
    if (operations.some((one) => one instanceof Object && !Array.isArray(one) && !["add", "remove"].includes(one.op))) continue;
    const ends = around[at].type === "RUN_FINISHED" || around[at].threadId ? [] : [finished];
    const events = JSON.parse(JSON.stringify([started, ...around, ...ends]));
    console.log(JSON.stringify({ events, ...verdict(events) }));
  }
  process.exit(0);
}
for (let n = 0; n < count; n++) {
  // Keeps only valid random events at first, so that streams are long before an invalid one.
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
