#!/usr/bin/env python3
"""Writes replay.jsonl, the recorded run of tests and demonstrations. Seeded, so the output is always the same.

    python3 tests/data/replay.py > tests/data/replay.jsonl
"""

import json
import random
import re

rng = random.Random(7)
start = 1_763_888_400_000
clock = start


def emit(kind, tag=None, **fields):
    global clock
    clock += rng.randint(4, 45)
    event = {"type": kind, **fields, "timestamp": clock}
    if tag:
        event["subagentRunId"] = tag
    print(json.dumps(event, ensure_ascii=False, separators=(",", ":")))


def pieces(text):
    """The text as a model streams it: a word with its space, long ones in two."""
    for word in re.findall(r"\s*\S+|\s+$", text):
        cut = rng.randint(3, len(word) - 2) if len(word) > 9 and rng.random() < 0.5 else len(word)
        yield word[:cut]
        if word[cut:]:
            yield word[cut:]


def say(id, text, tag=None):
    emit("TEXT_MESSAGE_START", tag, messageId=id, role="assistant")
    for delta in pieces(text):
        emit("TEXT_MESSAGE_CONTENT", tag, messageId=id, delta=delta)
    emit("TEXT_MESSAGE_END", tag, messageId=id)


def think(id, text, tag=None):
    emit("REASONING_START", tag, messageId=id)
    emit("REASONING_MESSAGE_START", tag, messageId=id, role="reasoning")
    for delta in pieces(text):
        emit("REASONING_MESSAGE_CONTENT", tag, messageId=id, delta=delta)
    emit("REASONING_MESSAGE_END", tag, messageId=id)
    emit("REASONING_END", tag, messageId=id)


def call(id, name, arguments, result, tag):
    emit("TOOL_CALL_START", tag, toolCallId=id, toolCallName=name)
    text = json.dumps(arguments)
    for at in range(0, len(text), 12):
        emit("TOOL_CALL_ARGS", tag, toolCallId=id, delta=text[at : at + 12])
    emit("TOOL_CALL_END", tag, toolCallId=id)
    emit("TOOL_CALL_RESULT", tag, messageId=f"{id}-result", toolCallId=id, content=json.dumps(result), role="tool")


def agent(id, name, description, steps, result):
    emit("SUBAGENT_STARTED", subagentRunId=id, name=name, description=description)
    for step, work in steps:
        emit("STEP_STARTED", id, stepName=step)
        work(id)
        emit("STEP_FINISHED", id, stepName=step)
    emit("SUBAGENT_FINISHED", subagentRunId=id, result=result, outcome={"type": "success"})


emit("RUN_STARTED", threadId="thread-1", runId="run-1", protocolVersion="1.0")
think("r-1", "The question asks for two things: where tokens go, and what to change. First the goals, then the log, then "
      "options with their savings, and at last a report that a busy person can act on.")
agent("a-triage", "Triage", "Which goals the question states", [
    ("Read the question", lambda tag: say("m-triage", "Two goals: **explain the spend**, and **lower it** without "
                                          "losing quality. No target was named, so options are ordered by effect.", tag)),
], {"goals": ["explain", "cut_cost"]})
agent("a-data", "Data", "A profile of the attached log", [
    ("Recognise columns", lambda tag: call("c-columns", "read_columns", {"file": "usage.csv", "sample_rows": 200},
     {"time": "created_at", "model": "model", "input": "prompt_tokens", "output": "completion_tokens"}, tag)),
    ("Profile the workload", lambda tag: call("c-profile", "profile_workload", {"by": ["model", "hour"], "percentiles":
     [50, 95, 99]}, {"requests": 18240, "input_tokens": 41903112, "output_tokens": 3870455, "p50": 912, "p95": 7410,
     "p99": 15880, "bad_rows": 3}, tag)),
    ("Sum up", lambda tag: say("m-data", "18,240 requests were read; 3 rows could not be and are left out. Input "
                               "makes 92 % of all tokens, and the heaviest 10 % of requests take 47 % of them.", tag)),
], {"requests": 18240, "bad_rows": 3})


def options(tag):
    think("r-2", "Long inputs dominate, so what shortens or caches them comes first. A smaller model can take what is "
          "short on both sides. Batch prices fit only what nobody waits for.", tag)
    call("c-savings", "compute_savings", {"options": ["cache_prefix", "small_model", "batch"]},
         {"cache_prefix": 0.31, "small_model": 0.12, "batch": 0.07}, tag)


agent("a-options", "Optimizations", "Options with computed savings", [("Compare options", options)], {"options": 3})
agent("a-actions", "Actions", "Concrete changes, ordered by effect", [
    ("Order by effect", lambda tag: say("m-actions", "1. Put the fixed instructions first, so that their prefix is "
     "cached. 2. Send requests under 500 tokens to the small model. 3. Move the nightly summaries to batch.", tag)),
], {"actions": 3})
emit("CUSTOM", name="chart", value={
    "title": "Tokens by hour",
    "kind": "bar",
    "x": [f"{hour:02}:00" for hour in range(8, 20)],
    "series": [{"name": "input", "y": [rng.randint(2_100_000, 5_400_000) for _ in range(12)]}],
})
REPORT = """# Where the tokens go

The log holds **18,240 requests** of one working day. Together they read 41.9 million tokens and wrote 3.9 million: for
every token that the service writes, it reads almost eleven. The spend is therefore a matter of **input**, and what is
done about output hardly shows on the bill.

| share of requests | share of tokens |
|---|---|
| heaviest 1 % | 14 % |
| heaviest 10 % | 47 % |
| lightest 50 % | 9 % |

## What stands out

- The median request reads 912 tokens, the 99th percentile 15,880. A few conversations carry their whole history along.
- Two thirds of all requests begin with the same 1,400 tokens of instructions. They are paid for each time.
- Between 13:00 and 15:00 the service reads twice what it reads at any other time; the limits of the provider are near.
- Some 2,300 requests are nightly summaries for which nobody waits.

## What to change

1. **Cache the common prefix.** Move the fixed instructions to the front and what varies behind them. At the provider's price
   for cached input this saves about *31 %* of the bill. It costs an afternoon, and answers stay as they are.
2. **Send short requests to the small model.** Requests under 500 tokens in and 200 out make 38 % of the traffic. Try a
   sample of them on the small model first; where the answers hold up, this saves another *12 %*.
3. **Move the summaries to batch.** Batch prices are half, for answers within a day: *7 %*.

## What this rests on

Prices are those of the table that came with the log, the savings are computed one after the other so that nothing is counted
twice, and three rows without a token count are left out. The small model's quality was **not** measured here: only a sample
can tell.
"""
agent("a-report", "Report", "The report, in Markdown", [
    ("Write the report", lambda tag: say("m-report", REPORT, tag)),
], {"words": len(REPORT.split())})
emit("RUN_FINISHED", threadId="thread-1", runId="run-1", result={"saving": 0.43, "actions": 3}, outcome={"type": "success"},
     usage=[{"provider": "example", "model": "small-1", "inputTokens": 5120, "outputTokens": 1204, "totalTokens": 6324}])
