// An MCP server over standard input and output that misbehaves by MODE: `node scripted.mjs MODE [FILE]`.
// It writes calls and notifications to FILE, one a line. Beside FILE, a test sets the state of the task: FILE.done, it is completed;
// FILE.asks, it asks this many questions and then completes; FILE.dies, the next poll ends this process.
import { appendFileSync, existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const [mode, file] = process.argv.slice(2);
const note = (line) => file && appendFileSync(file, `${line}\n`);
const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const text = (text) => ({ content: [{ type: "text", text }] });
const tool = (name, more = {}) => ({ name, inputSchema: { type: "object" }, ...more });
let renamed = false;
// Ids of questions to the user, and of their calls.
const asked = new Map();
const form = {
  mode: "form",
  message: "Which table?",
  requestedSchema: {
    type: "object",
    properties: { table: { type: "string", oneOf: [{ const: "window", title: "At the window" }, { const: "door", title: "At the door" }] } },
    required: ["table"],
  },
};
const task = () => {
  const at = "2026-01-01T00:00:00Z";
  return { taskId: "t-1", createdAt: at, lastUpdatedAt: at, ttlMs: null, pollIntervalMs: 100 };
};

// Whether it was polled as working since the last answer.
let worked = false;
function state() {
  if (existsSync(`${file}.done`)) return { status: "completed", result: text("well rested") };
  if (!existsSync(`${file}.asks`)) return { status: "working" };
  const given = existsSync(`${file}.answers`) ? readFileSync(`${file}.answers`, "utf8").trim().split("\n") : [];
  if (given.length >= Number(readFileSync(`${file}.asks`, "utf8"))) return { status: "completed", result: text(given.join(" ")) };
  if (given.length > 0 && !worked) {
    worked = true;
    return { status: "working" };
  }
  return { status: "input_required", inputRequests: { table: { method: "elicitation/create", params: form } } };
}

const first = mode === "late" && !readFileSync(file, { encoding: "utf8", flag: "a+" }).includes("began");
note(`began ${process.pid}`);
if (first) {
  console.error("it is too early");
  process.exit(3);
}
if (mode === "mute") setInterval(() => {}, 1000);
if (mode === "garbage") process.stdout.write("this is no JSON\n".repeat(3));
if (mode === "dies") {
  console.error("no licence was found");
  process.exit(3);
}
if (mode === "family") {
  // A grandchild that would outlive its parent, and a parent that ignores SIGTERM.
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  note(`grandchild ${child.pid}`);
  process.on("SIGTERM", () => note("asked to end"));
  setInterval(() => {}, 1000);
}
if (mode === "loud") console.error("x".repeat(5_000_000));

function list(cursor) {
  if (mode === "endless") {
    const page = Number(cursor ?? 0);
    return { tools: [tool(`tool_${page}`)], nextCursor: String(page + 1) };
  }
  if (mode === "odd") {
    const giant = { type: "object", properties: { a: { enum: Array(5_000).fill("long enough") } } };
    return {
      tools: [tool("twice"), tool("twice"), tool("a/b c"), tool("giant", { inputSchema: giant }), tool("n".repeat(300))],
    };
  }
  if (mode === "facts") return { tools: [tool("facts")] };
  const named = renamed ? "renamed" : "rename";
  return { tools: [tool(named), tool("sleep"), tool("flood-ping"), tool("flood-talk"), tool("die"), tool("huge"), tool("refuse"), tool("broken"), tool("env"), tool("slow"), tool("ask"), tool("ask-late"), tool("task")] };
}

// Writes without end and stops reading.
function flood(message) {
  process.stdin.pause();
  const block = Array.from({ length: 1000 }, (_, id) => `${JSON.stringify({ jsonrpc: "2.0", ...message(id) })}\n`).join("");
  const more = () => (process.stdout.write(block) ? setImmediate(more) : process.stdout.once("drain", more));
  more();
}

// What this process inherited from its parent.
function facts() {
  const link = (fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  };
  return {
    status: readFileSync("/proc/self/status", "utf8"),
    limits: readFileSync("/proc/self/limits", "utf8"),
    files: readdirSync("/proc/self/fd").map(link),
    folder: process.cwd(),
    home: process.env.HOME,
  };
}

function call(id, params) {
  const { name } = params;
  const answer = (result) => send({ id, result });
  note(`called ${name}`);
  switch (name) {
    case "flood-ping":
      return flood((id) => ({ id, method: "ping" }));
    case "flood-talk":
      return flood(() => ({ method: "notifications/tools/list_changed" }));
    case "rename":
      renamed = true;
      send({ method: "notifications/tools/list_changed" });
      return answer(text("done"));
    case "renamed":
      return answer(text("still here"));
    case "sleep":
      return note("sleeping");
    case "slow":
      return setTimeout(() => answer(text("at last")), 700);
    case "ask":
      if (mode !== "modern") {
        asked.set(`question of ${id}`, id);
        return send({ id: `question of ${id}`, method: "elicitation/create", params: form });
      }
      if (params.inputResponses) {
        return answer(text(JSON.stringify({ ...params.inputResponses.table, state: params.requestState })));
      }
      return answer({
        resultType: "input_required",
        inputRequests: { table: { method: "elicitation/create", params: form } },
        requestState: "s-7",
      });
    case "ask-late":
      // Asks even if the call was cancelled meanwhile.
      asked.set(`question of ${id}`, id);
      return setTimeout(() => send({ id: `question of ${id}`, method: "elicitation/create", params: form }), 300);
    case "task":
      return answer({ resultType: "task", status: "working", ...task() });
    case "die":
      return process.exit(1);
    case "huge":
      return answer(text("z".repeat(2_000_000)));
    case "refuse":
      return answer({ ...text("the disk is full"), isError: true });
    case "facts":
      return answer(text(JSON.stringify(facts())));
    case "env":
      return answer(text(JSON.stringify(process.env)));
    default:
      return send({ id, error: { code: -32603, message: "an internal error of the server" } });
  }
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params, result } = JSON.parse(line);
  if (mode === "mute") return;
  if (result && asked.has(id)) {
    note(`answer ${result.action}`);
    return send({ id: asked.get(id), result: text(JSON.stringify(result)) });
  }
  if (mode === "modern" && method === "initialize") return send({ id, error: { code: -32601, message: "Method not found" } });
  if (mode === "modern" && method === "server/discover") {
    const result = { resultType: "complete", supportedVersions: ["2026-07-28"], capabilities: { tools: {}, extensions: { "io.modelcontextprotocol/tasks": {} } } };
    return send({ id, result: { ...result, ttlMs: 0, cacheScope: "private" } });
  }
  if (method === "initialize") {
    const capabilities = { tools: { listChanged: true } };
    return send({
      id,
      result: { protocolVersion: params.protocolVersion, capabilities, serverInfo: { name: "scripted", version: "1" } },
    });
  }
  if (method === "tools/list") return mode === "mute-list" ? note("listing") : send({ id, result: list(params?.cursor) });
  if (method === "tools/call") return call(id, params);
  if (method === "tasks/get") {
    note("polled");
    if (existsSync(`${file}.dies`)) process.exit(1);
    return send({ id, result: { resultType: "complete", ...task(), ...state() } });
  }
  if (method === "tasks/update") {
    appendFileSync(`${file}.answers`, `${JSON.stringify(params.inputResponses.table)}\n`);
    worked = false;
    return send({ id, result: { resultType: "complete" } });
  }
  if (method === "tasks/cancel") {
    note("cancelled the task");
    return send({ id, result: { resultType: "complete" } });
  }
  if (method === "ping") return send({ id, result: {} });
  if (id === undefined) note(method);
});
