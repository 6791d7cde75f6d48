"""Writes the usage logs of tracing tools and gateways that the tests read, and their true figures (tracing.json).

Run it in this folder. The values are random with a fixed seed; the figures are added up here, from what is written, never by the
product.
"""

import csv
import json
import random
from datetime import datetime, timedelta, timezone

random.seed(7)
START = datetime(2026, 11, 2, 9, 0, tzinfo=timezone.utc)
FIGURES = {}


class Truth:
    """The sums of the requests of one file."""

    def __init__(self, source):
        self.source, self.requests, self.cost, self.has_cost = source, 0, 0.0, False
        self.sums = dict(input=0, output=0, cached=0, cache_write=0, reasoning=0)

    def add(self, cost=None, **parts):
        self.requests += 1
        for name, n in parts.items():
            self.sums[name] += n
        if cost is not None:
            self.cost, self.has_cost = self.cost + cost, True

    def save(self, name, requests="count"):
        FIGURES[name] = {"requests": self.requests if requests == "count" else requests, **self.sums, "source": self.source}
        if self.has_cost:
            FIGURES[name]["logged_cost"] = round(self.cost, 9)


def at(seconds):
    return START + timedelta(seconds=seconds)


def iso(seconds):
    return at(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def nanos(seconds):
    return str(int(at(seconds).timestamp() * 1000) * 1_000_000)


def draw():
    """Tokens of a request: all input, of it cached and written to a cache, all output, of it reasoning."""
    whole = random.randint(800, 9000)
    cached = random.choice([0, whole // 2, whole * 3 // 4])
    write = random.choice([0, (whole - cached) // 3])
    output = random.randint(20, 900)
    return whole, cached, write, output, random.choice([0, output // 2])


def write_lines(name, records):
    with open(name, "w") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


def write_csv(name, rows):
    names = list(dict.fromkeys(column for row in rows for column in row))
    with open(name, "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def value(v):
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    if isinstance(v, float):
        return {"doubleValue": v}
    if isinstance(v, list):
        return {"arrayValue": {"values": [value(item) for item in v]}}
    return {"stringValue": v}


def attributes(fields):
    return [{"key": key, "value": value(v)} for key, v in fields.items()]


def span(trace, number, parent, name, seconds, fields, status=0, length=1.5):
    return {
        "traceId": f"{trace:032x}", "spanId": f"{number:016x}", "parentSpanId": f"{parent:016x}" if parent else "",
        "name": name, "kind": 3, "startTimeUnixNano": nanos(seconds), "endTimeUnixNano": nanos(seconds + length),
        "attributes": attributes(fields), "status": {"code": status} if status else {},
    }


def resource_spans(service, scope, spans):
    return {"resource": {"attributes": attributes({"service.name": service})},
            "scopeSpans": [{"scope": {"name": scope, "version": "1"}, "spans": spans}]}


def otlp_spans():
    """Agents that sum their requests, all conventions, a failed request, an embedding, a resent batch."""
    truth, lines = Truth("OpenTelemetry export (OTLP)"), []
    for trace in range(1, 7):
        children, total_in, total_out = [], 0, 0
        for i in range(3):
            whole, cached, write, output, reasoning = draw()
            seconds, number = trace * 100 + i * 5, trace * 100 + i + 10
            fields = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4.1",
                      "gen_ai.usage.input_tokens": whole, "gen_ai.usage.output_tokens": output,
                      "gen_ai.usage.cache_read.input_tokens": cached, "gen_ai.usage.cache_creation.input_tokens": write,
                      "gen_ai.usage.reasoning.output_tokens": reasoning, "gen_ai.conversation.id": f"c{trace}",
                      "gen_ai.response.finish_reasons": ["stop"]}
            # The request stands under a span without usage.
            children.append(span(trace, number + 50, trace * 100, "step", seconds, {"step": i}))
            children.append(span(trace, number, number + 50, "chat gpt-4.1", seconds, fields))
            truth.add(input=whole, cached=cached, cache_write=write, output=output, reasoning=reasoning)
            total_in, total_out = total_in + whole, total_out + output
        agent = span(trace, trace * 100, 0, "invoke_agent helper", trace * 100, {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper", "gen_ai.request.model": "gpt-4.1",
            "gen_ai.usage.input_tokens": total_in, "gen_ai.usage.output_tokens": total_out}, length=20)
        lines.append({"resourceSpans": [resource_spans("agents", "otel.openai", children + [agent])]})
    # Anthropic's counts, passed on as they are: cached tokens beside the input.
    claude = []
    for i in range(6):
        whole, _, _, output, _ = draw()
        cached, write = whole * 4 // 5, whole // 10
        claude.append(span(50, 5000 + i, 0, "chat", 2000 + i * 9, {
            "gen_ai.operation.name": "chat", "gen_ai.system": "anthropic", "gen_ai.response.model": "claude-sonnet-4-5",
            "gen_ai.usage.input_tokens": whole - cached - write, "gen_ai.usage.output_tokens": output,
            "gen_ai.usage.cache_read_input_tokens": cached, "gen_ai.usage.cache_creation_input_tokens": write}))
        truth.add(input=whole, cached=cached, cache_write=write, output=output)
    claude.append(span(51, 6000, 0, "chat", 2100, {"gen_ai.operation.name": "chat", "gen_ai.system": "anthropic",
                       "gen_ai.request.model": "claude-sonnet-4-5", "error.type": "overloaded_error"}, status=2))
    truth.add()
    lines.append({"resourceSpans": [resource_spans("claude", "raw", claude)]})
    # Older conventions: OpenLLMetry with prompt tokens, OpenInference, the Vercel AI SDK (the parent repeats the child).
    whole, _, _, output, _ = draw()
    old = [span(60, 7000, 0, "openai.chat", 2200, {"llm.request.type": "chat", "gen_ai.system": "OpenAI",
                "gen_ai.request.model": "gpt-4o", "gen_ai.usage.prompt_tokens": whole, "gen_ai.usage.completion_tokens": output,
                "llm.usage.total_tokens": whole + output, "traceloop.workflow.name": "search"})]
    truth.add(input=whole, output=output)
    whole, _, _, _, _ = draw()
    old.append(span(61, 7001, 0, "embeddings", 2210, {"gen_ai.operation.name": "embeddings", "gen_ai.system": "openai",
                    "gen_ai.request.model": "text-embedding-3-small", "gen_ai.usage.input_tokens": whole}))
    truth.add(input=whole)
    whole, _, _, output, _ = draw()
    old.append(span(62, 7002, 0, "ai.generateText", 2220, {"ai.model.id": "gpt-4o", "ai.usage.promptTokens": whole,
                    "ai.usage.completionTokens": output}))
    old.append(span(62, 7003, 7002, "ai.generateText.doGenerate", 2220, {"ai.model.id": "gpt-4o", "gen_ai.system": "openai",
                    "gen_ai.usage.input_tokens": whole, "gen_ai.usage.output_tokens": output}))
    truth.add(input=whole, output=output)
    lines.append({"resourceSpans": [resource_spans("old", "old", old)]})
    lines.append(lines[2])
    write_lines("otlp_spans.jsonl", lines)
    truth.save("otlp_spans.jsonl")
    # One document, indented, with the names of the protobuf definition inside.
    truth, spans = Truth("OpenTelemetry export (OTLP)"), []
    for i in range(10):
        whole, cached, _, output, _ = draw()
        spans.append({"trace_id": f"t{i}", "span_id": f"s{i}", "name": "ChatCompletion",
                      "start_time_unix_nano": nanos(i), "end_time_unix_nano": nanos(i + 1), "attributes": [
                          {"key": "openinference.span.kind", "value": {"string_value": "LLM"}},
                          {"key": "llm.model_name", "value": {"string_value": "gpt-4o"}},
                          {"key": "llm.token_count.prompt", "value": {"int_value": whole}},
                          {"key": "llm.token_count.prompt_details.cache_read", "value": {"int_value": cached}},
                          {"key": "llm.token_count.completion", "value": {"int_value": output}},
                          {"key": "llm.token_count.total", "value": {"int_value": whole + output}}]})
        truth.add(input=whole, cached=cached, output=output)
    document = {"resourceSpans": [{"resource": {}, "scope_spans": [{"scope": {"name": "x"}, "spans": spans[:5]}]},
                                  {"resource": {}, "scope_spans": [{"scope": {"name": "x"}, "spans": spans[5:]}]}]}
    with open("otlp_document.json", "w") as file:
        json.dump(document, file, indent=1)
    truth.save("otlp_document.json")


def claude_code_event(i, as_text=True):
    whole, cached, write, output, _ = draw()
    cost, ms = round(random.uniform(0.001, 0.05), 6), random.randint(500, 9000)
    fields = {"event.name": "api_request", "event.timestamp": iso(i * 20), "event.sequence": i, "session.id": f"s{i % 3}",
              "user.id": "u1", "organization.id": "o1", "model": "claude-sonnet-4-5", "input_tokens": whole - cached - write,
              "output_tokens": output, "cache_read_tokens": cached, "cache_creation_tokens": write, "cost_usd": cost,
              "duration_ms": ms}
    if as_text:
        fields = {key: str(v) for key, v in fields.items()}
    return fields, dict(input=whole, cached=cached, cache_write=write, output=output, cost=cost)


def log(seconds, name, fields):
    return {"timeUnixNano": nanos(seconds), "severityNumber": 9, "body": {"stringValue": name}, "attributes": attributes(fields)}


def resource_logs(service, records):
    return {"resourceLogs": [{"resource": {"attributes": attributes({"service.name": service})},
                              "scopeLogs": [{"scope": {"name": service}, "logRecords": records}]}]}


def otlp_logs():
    truth, records = Truth("OpenTelemetry export (OTLP)"), []
    for i in range(12):
        fields, parts = claude_code_event(i)
        records.append(log(i * 20, "claude_code.user_prompt", {"event.name": "user_prompt", "prompt_length": "10"}))
        records.append(log(i * 20 + 5, "claude_code.api_request", fields))
        truth.add(**parts)
    records.append(log(400, "claude_code.api_error", {"event.name": "api_error", "event.sequence": "99", "session.id": "s0",
                       "model": "claude-sonnet-4-5", "error": "Overloaded", "status_code": "529", "duration_ms": "300"}))
    truth.add()
    records.append(records[1])
    lines = [resource_logs("claude-code", records[:10]), resource_logs("claude-code", records[10:])]
    # Gemini CLI: thoughts and tool prompts beside; each response is stated twice.
    gemini = []
    for i in range(4):
        whole, cached, _, output, thoughts = draw()
        gemini.append(log(500 + i, "API response", {
            "event.name": "gemini_cli.api_response", "event.timestamp": iso(500 + i), "model": "gemini-2.5-pro", "duration_ms": 900,
            "input_token_count": whole, "output_token_count": output, "cached_content_token_count": cached,
            "thoughts_token_count": thoughts, "tool_token_count": 7, "total_token_count": whole + output + thoughts + 7}))
        gemini.append(log(500 + i, "GenAI operation", {
            "event.name": "gen_ai.client.inference.operation.details", "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": whole, "gen_ai.usage.output_tokens": output}))
        truth.add(input=whole + 7, cached=cached, output=output + thoughts, reasoning=thoughts)
    lines.append(resource_logs("gemini-cli", gemini))
    codex = [log(600, "", {"event.name": "codex.sse_event", "event.kind": "response.created"})]
    for i in range(4):
        whole, cached, _, output, reasoning = draw()
        codex.append(log(601 + i, "", {
            "event.name": "codex.sse_event", "event.kind": "response.completed", "conversation.id": "k", "model": "gpt-5-codex",
            "input_token_count": whole, "output_token_count": output, "cached_token_count": cached,
            "reasoning_token_count": reasoning}))
        truth.add(input=whole, cached=cached, output=output, reasoning=reasoning)
    lines.append(resource_logs("codex_cli_rs", codex))
    write_lines("otlp_logs.jsonl", lines)
    truth.save("otlp_logs.jsonl")
    # As a log service stores them: one object for each event.
    truth, flat = Truth("telemetry of a coding agent (log events)"), []
    for i in range(12):
        fields, parts = claude_code_event(i, as_text=i % 2 == 0)
        if i % 3 == 0:
            flat.append({"timestamp": iso(i * 20), "body": "claude_code.api_request", "attributes": fields,
                         "resource": {"attributes": {"service.name": "claude-code"}}})
        elif i % 3 == 1:
            flat.append({"Timestamp": iso(i * 20), "Body": "claude_code.api_request", "LogAttributes": fields})
        else:
            flat.append({"timestamp": iso(i * 20), "body": "claude_code.api_request", **fields})
        flat.append({"timestamp": iso(i * 20 + 1), "body": "claude_code.tool_result",
                     "attributes": {"event.name": "tool_result", "tool_name": "Bash", "session.id": "s0"}})
        truth.add(**parts)
    write_lines("agent_events.jsonl", flat)
    truth.save("agent_events.jsonl")


def otlp_metrics():
    """Claude Code's counters: delta sums of a minute."""
    truth, lines = Truth("OpenTelemetry export (OTLP)"), []
    for i in range(10):
        whole, cached, write, output, _ = draw()
        cost = round(random.uniform(0.01, 0.2), 6)
        common = {"session.id": f"s{i % 2}", "user.id": "u", "model": "claude-sonnet-4-5"}
        times = {"startTimeUnixNano": nanos(i * 60), "timeUnixNano": nanos(i * 60 + 60)}
        kinds = {"input": whole - cached - write, "output": output, "cacheRead": cached, "cacheCreation": write}
        tokens = [{**times, "attributes": attributes({**common, "type": kind}), "asDouble": float(n)} for kind, n in kinds.items()]
        lines.append({"resourceMetrics": [{"resource": {"attributes": attributes({"service.name": "claude-code"})}, "scopeMetrics": [
            {"scope": {"name": "com.anthropic.claude_code"}, "metrics": [
                {"name": "claude_code.token.usage", "sum": {"aggregationTemporality": 1, "dataPoints": tokens}},
                {"name": "claude_code.cost.usage", "sum": {"aggregationTemporality": 1, "dataPoints": [
                    {**times, "attributes": attributes(common), "asDouble": cost}]}},
                {"name": "claude_code.session.count", "sum": {"dataPoints": [{**times, "asInt": "1"}]}}]}]}]})
        truth.add(input=whole, cached=cached, cache_write=write, output=output, cost=cost)
    write_lines("otlp_metrics.jsonl", lines)
    truth.save("otlp_metrics.jsonl", None)
    # The conventions' histogram, cumulative: each export has all since the start. Its counts are requests.
    truth, lines = Truth("OpenTelemetry export (OTLP)"), []
    sums = [0, 0, 0]
    for i in range(8):
        for _ in range(3):
            whole, _, _, output, _ = draw()
            sums = [sums[0] + whole, sums[1] + output, sums[2] + 1]
            truth.add(input=whole, output=output)
        times = {"startTimeUnixNano": nanos(0), "timeUnixNano": nanos(i * 60 + 60)}
        points = [{**times, "attributes": attributes({"gen_ai.request.model": "gpt-4o", "gen_ai.token.type": kind}),
                   "count": str(sums[2]), "sum": float(n)} for kind, n in (("input", sums[0]), ("output", sums[1]))]
        lines.append({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "gen_ai.client.token.usage", "histogram": {
            "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE", "dataPoints": points}}]}]}]})
    write_lines("otlp_metrics_cumulative.jsonl", lines)
    truth.save("otlp_metrics_cumulative.jsonl")


SPANS = "spans of a trace (OpenTelemetry, Arize Phoenix)"


def spans():
    """The console exporters of Python and JavaScript."""
    truth, lines = Truth(SPANS), []
    for i in range(10):
        whole, cached, write, output, reasoning = draw()
        fields = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4.1",
                  "gen_ai.usage.input_tokens": whole, "gen_ai.usage.output_tokens": output,
                  "gen_ai.usage.cache_read.input_tokens": cached, "gen_ai.usage.cache_creation.input_tokens": write,
                  "gen_ai.usage.reasoning.output_tokens": reasoning}
        if i % 2:
            lines.append({"name": "chat", "context": {"trace_id": f"0x{i}", "span_id": f"0x1{i}"}, "parent_id": f"0x2{i}",
                          "start_time": iso(i), "end_time": iso(i + 2), "status": {"status_code": "OK"}, "attributes": fields,
                          "resource": {"attributes": {"service.name": "shop"}}})
            lines.append({"name": "GET /", "context": {"trace_id": f"0x{i}", "span_id": f"0x2{i}"}, "parent_id": None,
                          "start_time": iso(i), "end_time": iso(i + 2), "attributes": {"http.status_code": 200}})
        else:
            second = int(at(i).timestamp())
            lines.append({"type": "span", "traceId": f"a{i}", "spanId": f"b{i}", "name": "chat", "attributes": fields,
                          "startTime": [second, 5_000_000], "endTime": [second + 2, 0], "status": {"code": 0}})
        truth.add(input=whole, cached=cached, cache_write=write, output=output, reasoning=reasoning)
    lines.append(lines[0])
    write_lines("spans.jsonl", lines)
    truth.save("spans.jsonl")


def phoenix():
    """Phoenix: a page of its API with chains that sum, a table of its client."""
    truth, items, rows = Truth(SPANS), [], []
    table = Truth(SPANS)
    for i in range(12):
        whole, cached, write, output, reasoning = draw()
        parts = dict(input=whole, cached=cached, cache_write=write, output=output, reasoning=reasoning)
        counts = {"prompt": whole, "completion": output, "total": whole + output,
                  "prompt_details": {"cache_read": cached, "cache_write": write}, "completion_details": {"reasoning": reasoning}}
        nested = {"llm": {"model_name": "claude-sonnet-4-5", "provider": "anthropic", "token_count": counts},
                  "openinference": {"span": {"kind": "LLM"}}, "user": {"id": f"u{i % 3}"}, "session": {"id": "s"}}
        chain = {"llm": {"token_count": {"prompt": whole, "completion": output}}, "openinference": {"span": {"kind": "CHAIN"}}}
        head = {"start_time": iso(i * 9), "end_time": iso(i * 9 + 3), "status_code": "OK", "status_message": "", "events": []}
        items.append({"id": f"c{i}", "name": "chain", "context": {"trace_id": f"t{i}", "span_id": f"c{i}"}, "span_kind": "CHAIN",
                      "parent_id": None, **head, "attributes": chain})
        items.append({"id": f"l{i}", "name": "LLM", "context": {"trace_id": f"t{i}", "span_id": f"l{i}"}, "span_kind": "LLM",
                      "parent_id": f"c{i}", **head, "attributes": nested})
        truth.add(**parts)
        rows.append({"context.span_id": f"l{i}", "name": "LLM", "span_kind": "LLM", "parent_id": "", "context.trace_id": f"t{i}",
                     "start_time": iso(i * 9).replace("T", " ").replace("Z", "+00:00"), "end_time": iso(i * 9 + 3),
                     "status_code": "OK", "attributes.llm.model_name": "gpt-4o", "attributes.openinference.span.kind": "LLM",
                     "attributes.llm.token_count.prompt": f"{whole}.0", "attributes.llm.token_count.completion": f"{output}.0",
                     "attributes.llm.token_count.total": f"{whole + output}.0",
                     "attributes.llm.token_count.prompt_details.cache_read": f"{cached}.0",
                     "attributes.llm.token_count.completion_details.reasoning": f"{reasoning}.0",
                     "cumulative_llm_token_count.prompt": whole * 3})
        table.add(input=whole, cached=cached, output=output, reasoning=reasoning)
        rows.append({"context.span_id": f"r{i}", "name": "retrieve", "span_kind": "RETRIEVER", "context.trace_id": f"t{i}",
                     "start_time": iso(i), "end_time": iso(i), "status_code": "OK",
                     "attributes.openinference.span.kind": "RETRIEVER"})
    rows.append({"context.span_id": "bad", "name": "LLM", "span_kind": "LLM", "context.trace_id": "t99", "start_time": iso(990),
                 "end_time": iso(991), "status_code": "ERROR", "attributes.openinference.span.kind": "LLM",
                 "attributes.llm.model_name": "gpt-4o"})
    table.add()
    with open("phoenix.json", "w") as file:
        json.dump({"data": items, "next_cursor": None}, file, indent=1)
    truth.save("phoenix.json")
    write_csv("phoenix.csv", rows)
    table.save("phoenix.csv")


def langfuse():
    source = "Langfuse observations"
    truth, lines, rows = Truth(source), [], []
    table = Truth(source)
    for i in range(12):
        whole, cached, write, output, reasoning = draw()
        cost = round(random.uniform(0.001, 0.02), 6)
        parts = dict(input=whole, cached=cached, cache_write=write, output=output, reasoning=reasoning, cost=cost)
        usage = {"input": whole - cached - write, "input_cached_tokens": cached, "input_cache_creation": 0,
                 "input_cache_creation_1h": write, "output": output - reasoning, "output_reasoning_tokens": reasoning,
                 "total": whole + output}
        # Blob storage: snake_case; spans and a trace's root stand between.
        lines.append({"id": f"o{i}", "trace_id": f"t{i}", "type": "GENERATION", "parent_observation_id": f"s{i}", "name": "answer",
                      "start_time": f"2026-11-02 09:{i:02}:00.000000", "end_time": f"2026-11-02 09:{i:02}:02.500000",
                      "provided_model_name": "claude-sonnet-4-5", "usage_details": usage, "cost_details": {"total": cost},
                      "total_cost": cost, "completion_start_time": f"2026-11-02 09:{i:02}:00.400000", "level": "DEFAULT",
                      "user_id": f"u{i % 3}", "session_id": "s", "trace_name": "chat", "environment": "production", "latency": 2.5})
        lines.append({"id": f"s{i}", "trace_id": f"t{i}", "type": "SPAN", "parent_observation_id": "", "name": "root",
                      "start_time": f"2026-11-02 09:{i:02}:00.000000", "end_time": None, "usage_details": {}, "cost_details": {}})
        truth.add(**parts)
        # A table of the user interface: JSON in cells.
        rows.append({"id": f"o{i}", "traceId": f"t{i}", "type": "GENERATION", "startTime": iso(i * 60), "endTime": iso(i * 60 + 2),
                     "name": "answer", "model": "gpt-4.1", "usageDetails": json.dumps(
                         {"input": whole - cached, "input_cached_tokens": cached, "output": output, "total": whole + output}),
                     "costDetails": json.dumps({"total": cost}), "totalCost": cost, "inputUsage": whole, "outputUsage": output,
                     "latency": 2, "timeToFirstToken": 0.3, "level": "DEFAULT", "promptName": "p", "userId": f"u{i % 3}"})
        table.add(input=whole, cached=cached, output=output, cost=cost)
    lines.append(lines[0])
    lines.append({"id": "bad", "trace_id": "t", "type": "GENERATION", "parent_observation_id": "", "name": "answer", "level": "ERROR",
                  "start_time": "2026-11-02 10:00:00.000000", "end_time": "2026-11-02 10:00:01.000000", "usage_details": {},
                  "cost_details": {}, "provided_model_name": "claude-sonnet-4-5"})
    truth.add()
    write_lines("langfuse_blob.jsonl", lines)
    truth.save("langfuse_blob.jsonl")
    write_csv("langfuse.csv", rows)
    table.save("langfuse.csv")
    # A page of the older API; parts within by the total; an embedding; a trace that sums up.
    truth, items = Truth(source), []
    for i in range(10):
        whole, cached, _, output, _ = draw()
        item = {"id": f"p{i}", "traceId": f"q{i}", "type": "GENERATION", "name": "old", "startTime": iso(i), "endTime": iso(i + 1),
                "completionStartTime": None, "model": "gpt-4o", "level": "DEFAULT", "parentObservationId": None,
                "promptTokens": whole, "completionTokens": output, "totalTokens": whole + output,
                "usage": {"input": whole, "output": output, "total": whole + output, "unit": "TOKENS"},
                "calculatedTotalCost": None}
        if i % 2:
            item["usageDetails"] = {"input": whole, "cache_read_input_tokens": cached, "output": output, "total": whole + output}
            truth.add(input=whole, cached=cached, output=output)
        else:
            truth.add(input=whole, output=output)
        items.append(item)
    items.append({"id": "e", "traceId": "q", "type": "EMBEDDING", "startTime": iso(30), "endTime": iso(31), "costDetails": {},
                  "model": "text-embedding-3-small", "usageDetails": {"input": 500, "total": 500}})
    truth.add(input=500)
    items.append({"id": "c", "traceId": "q", "type": "GENERATION", "startTime": iso(30), "endTime": iso(31), "model": "tts",
                  "usage": {"input": 5000, "output": 0, "unit": "CHARACTERS"}, "calculatedTotalCost": 0.1})
    items.append({"id": "q0", "timestamp": iso(0), "name": "trace", "htmlPath": "/x", "latency": 1, "totalCost": 1.5,
                  "observations": ["p0"], "scores": []})
    with open("langfuse_page.json", "w") as file:
        json.dump({"data": items, "meta": {"page": 1, "limit": 50, "totalItems": len(items), "totalPages": 1}}, file)
    truth.save("langfuse_page.json")


def langsmith():
    truth, lines, rows = Truth("LangSmith runs"), [], []
    table = Truth("LangSmith runs")
    for i in range(12):
        whole, cached, write, output, reasoning = draw()
        cost = round(random.uniform(0.001, 0.02), 6)
        run = {"id": f"r{i}", "name": "ChatOpenAI", "run_type": "llm", "start_time": iso(i * 30), "end_time": iso(i * 30 + 3),
               "first_token_time": iso(i * 30 + 1), "status": "success", "error": None, "trace_id": f"t{i}", "parent_run_id": f"c{i}",
               "dotted_order": "x", "session_id": "p1", "tags": ["a"], "prompt_cost": str(cost / 2), "completion_cost": str(cost / 2),
               "total_cost": str(cost), "extra": {"metadata": {"ls_model_name": "gpt-4.1", "ls_provider": "openai",
                                                               "user_id": f"u{i % 3}"}}}
        if i % 2:
            run.update(prompt_tokens=whole, completion_tokens=output, total_tokens=whole + output,
                       prompt_token_details={"cache_read": cached, "cache_creation": write},
                       completion_token_details={"reasoning": reasoning})
        else:
            run.update(prompt_tokens=0, completion_tokens=0, total_tokens=0)
            run["outputs"] = {"usage_metadata": {"input_tokens": whole, "output_tokens": output, "total_tokens": whole + output,
                              "input_token_details": {"cache_read": cached, "cache_creation": write},
                              "output_token_details": {"reasoning": reasoning}}}
        chain = {**run, "id": f"c{i}", "name": "chain", "run_type": "chain", "parent_run_id": None, "prompt_tokens": whole,
                 "completion_tokens": output, "total_tokens": whole + output}
        if i == 4:
            lines.append({**chain, "child_runs": [run]})
        else:
            lines += [run, chain]
        truth.add(input=whole, cached=cached, cache_write=write, output=output, reasoning=reasoning, cost=cost)
        rows += [{"id": f"{kind}{i}", "name": kind, "run_type": kind, "start_time": iso(i), "end_time": iso(i + 2), "status": "success",
                  "parent_run_id": parent, "trace_id": f"t{i}", "prompt_tokens": whole, "completion_tokens": output,
                  "total_tokens": whole + output, "total_cost": cost,
                  "extra": json.dumps({"metadata": {"ls_model_name": "gpt-4.1", "ls_provider": "openai"}})}
                 for kind, parent in (("chain", ""), ("llm", f"chain{i}"))]
        table.add(input=whole, output=output, cost=cost)
    lines.append(lines[0])
    lines.append({"id": "bad", "name": "ChatOpenAI", "run_type": "llm", "start_time": iso(900), "end_time": iso(901), "trace_id": "t",
                  "status": "error", "error": "RateLimitError", "parent_run_id": None, "prompt_tokens": None,
                  "completion_tokens": None, "total_tokens": None, "total_cost": None})
    truth.add()
    write_lines("langsmith.jsonl", lines)
    truth.save("langsmith.jsonl")
    write_csv("langsmith.csv", rows)
    table.save("langsmith.csv")


def helicone():
    truth, items, rows = Truth("Helicone requests"), [], []
    table = Truth("Helicone requests")
    for i in range(12):
        whole, cached, write, output, _ = draw()
        cost = round(random.uniform(0.001, 0.02), 6)
        prompt = whole - cached - write
        items.append({"request_id": f"r{i}", "response_id": f"x{i}", "request_created_at": iso(i * 7), "response_created_at": iso(i * 7 + 2),
                      "response_status": 200, "request_model": "claude-sonnet-4-5", "response_model": "claude-sonnet-4-5",
                      "request_user_id": f"u{i % 3}", "request_properties": {"Feature": f"f{i % 2}", "Helicone-Session-Id": "s"},
                      "provider": "ANTHROPIC", "delay_ms": 2100, "time_to_first_token": 300, "prompt_tokens": prompt,
                      "completion_tokens": output, "total_tokens": prompt + output, "prompt_cache_read_tokens": cached,
                      "prompt_cache_write_tokens": write, "costUSD": cost, "request_path": "/v1/messages"})
        truth.add(input=whole, cached=cached, cache_write=write, output=output, cost=cost)
        rows.append({"organization_id": "o", "request_id": f"r{i}", "request_created_at": iso(i).replace("T", " ").rstrip("Z"),
                     "latency": 1500, "status": 200, "model": "gpt-4o", "user_id": f"u{i % 3}", "provider": "OPENAI",
                     "prompt_tokens": prompt, "completion_tokens": output, "prompt_cache_read_tokens": cached,
                     "prompt_cache_write_tokens": write, "cost": round(cost * 1e9), "properties": json.dumps({"Team": f"t{i % 2}"})})
        table.add(input=whole, cached=cached, cache_write=write, output=output, cost=cost)
    items.append(items[0])
    items.append({"request_id": "bad", "request_created_at": iso(999), "response_status": 429, "request_model": "gpt-4o",
                  "delay_ms": 50, "prompt_tokens": None, "completion_tokens": None, "total_tokens": None, "request_properties": {}})
    truth.add()
    with open("helicone.json", "w") as file:
        json.dump({"data": items, "error": None}, file)
    truth.save("helicone.json")
    write_csv("helicone.csv", rows)
    table.save("helicone.csv")


def portkey():
    truth, lines = Truth("Portkey logs"), []
    for i in range(12):
        whole, cached, write, output, _ = draw()
        cost = round(random.uniform(0.1, 2), 6)
        line = {"id": f"r{i}", "trace_id": f"t{i}", "created_at": iso(i * 7), "is_success": 1, "total_units": whole + output,
                "res_units": output, "cost": cost, "cost_currency": "USD", "response_time": 1200, "response_status_code": 200,
                "mode": "SINGLE", "config": "pc-1", "prompt_slug": "", "metadata": {"_user": f"u{i % 3}", "team": "a"},
                "request_url": "https://api.example/v1/chat/completions"}
        if i % 2:
            line.update(ai_org="openai", ai_model="gpt-4o", req_units=whole, response={"body": {"usage": {
                "prompt_tokens": whole, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": cached}}}})
            truth.add(input=whole, cached=cached, output=output, cost=cost / 100)
        else:
            cached, write = whole * 4 // 5, whole // 10
            line.update(ai_org="anthropic", ai_model="claude-sonnet-4-5", req_units=whole - cached - write,
                        total_units=whole - cached - write + output, response={"body": {"usage": {
                            "input_tokens": whole - cached - write, "output_tokens": output, "cache_read_input_tokens": cached,
                            "cache_creation_input_tokens": write}}})
            truth.add(input=whole, cached=cached, cache_write=write, output=output, cost=cost / 100)
        lines.append(line)
    lines.append({"id": "bad", "created_at": iso(999), "is_success": 0, "ai_org": "openai", "ai_model": "gpt-4o", "req_units": 0,
                  "res_units": 0, "total_units": 0, "cost": None, "response_time": 80, "response_status_code": 429})
    truth.add()
    write_lines("portkey.jsonl", lines)
    truth.save("portkey.jsonl")


def opik():
    truth, items = Truth("Opik spans"), []
    for i in range(10):
        whole, cached, _, output, _ = draw()
        cost = round(random.uniform(0.001, 0.02), 6)
        head = {"trace_id": f"t{i}", "project_name": "p", "start_time": iso(i * 8), "end_time": iso(i * 8 + 3), "feedback_scores": []}
        items.append({"id": f"a{i}", **head, "parent_span_id": None, "type": "general", "name": "agent", "usage": None})
        items.append({"id": f"b{i}", **head, "parent_span_id": f"a{i}", "type": "llm", "name": "chat", "model": "gpt-4o",
                      "provider": "openai", "usage": {"prompt_tokens": whole, "completion_tokens": output,
                      "total_tokens": whole + output, "original_usage.prompt_tokens_details.cached_tokens": cached},
                      "total_estimated_cost": cost})
        truth.add(input=whole, cached=cached, output=output, cost=cost)
    items.append({"id": "bad", "trace_id": "t", "start_time": iso(900), "end_time": iso(901), "type": "llm", "model": "gpt-4o",
                  "provider": "openai", "usage": None, "parent_span_id": None, "error_info": {"exception_type": "RateLimit"}})
    truth.add()
    with open("opik.json", "w") as file:
        json.dump(items, file, indent=1)
    truth.save("opik.json")


def weave():
    """Calls of one model below calls that sum both models up; one such sum stands alone."""
    truth, lines = Truth("W&B Weave calls"), []
    for i in range(8):
        head = {"trace_id": f"t{i}", "project_id": "p", "op_name": "weave:///x", "exception": None, "wb_user_id": "u",
                "started_at": iso(i * 9), "ended_at": iso(i * 9 + 4)}
        usages = {}
        for model in ("gpt-4o", "gpt-4o-mini"):
            whole, cached, _, output, _ = draw()
            usages[model] = {"requests": 1, "prompt_tokens": whole, "completion_tokens": output, "total_tokens": whole + output,
                             "prompt_tokens_details": {"cached_tokens": cached}}
            costs = {model: {"prompt_tokens_total_cost": 0.001, "completion_tokens_total_cost": 0.002}}
            if i < 7:
                lines.append({**head, "id": f"{model}{i}", "parent_id": f"a{i}",
                              "summary": {"usage": {model: usages[model]}, "weave": {"costs": costs}}})
                truth.add(input=whole, cached=cached, output=output, cost=0.003)
            else:
                truth.add(input=whole, cached=cached, output=output)
        lines.append({**head, "id": f"a{i}", "parent_id": None, "summary": {"usage": usages}})
        lines.append({**head, "id": f"n{i}", "parent_id": f"a{i}", "summary": {}})
    write_lines("weave.jsonl", lines)
    truth.save("weave.jsonl")


for make in (otlp_spans, otlp_logs, otlp_metrics, spans, phoenix, langfuse, langsmith, helicone, portkey, opik, weave):
    make()
# Two logs that come from elsewhere, with the figures that came with them.
FIGURES["case_02_otlp_agent_spans.jsonl"] = {"requests": 30, "input": 86898, "cached": 0, "cache_write": 0, "output": 4740,
                                             "source": "OpenTelemetry export (OTLP)"}
FIGURES["case_07_langfuse.jsonl"] = {"requests": 25, "input": 79598, "cached": 26525, "cache_write": 0, "output": 4866,
                                     "logged_cost": 0.158337, "source": "Langfuse observations"}
with open("tracing.json", "w") as out:
    json.dump(FIGURES, out, indent=1)
    out.write("\n")
