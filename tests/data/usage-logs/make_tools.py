"""Writes logs of coding tools, gateways, APIs and servers with values of our own, and their true figures (tools.json).

The figures are summed up from the generated values, not read back from the files. Run it in this folder."""

import csv
import io
import json
import random

random.seed(20261129)
EXPECTED = {}
DAY = 86_400_000


def iso(seconds):
    """A time of 2 November 2026, some seconds after 9 o'clock, in UTC."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(int(minutes), 60)
    return f"2026-11-02T{9 + hours:02d}:{minute:02d}:{second:06.3f}Z"


class Figures:
    """Sums of what counts."""

    def __init__(self, source, **known):
        self.sums = {"requests": 0, "input": 0, "output": 0, "cached": 0, "cache_write": 0, "reasoning": 0, "failed": 0}
        self.cost = None
        self.source, self.known = source, known

    def add(self, requests=1, cost=None, **counts):
        self.sums["requests"] += requests
        for name, count in counts.items():
            self.sums[name] = self.sums.get(name, 0) + count
        if cost is not None:
            self.cost = (self.cost or 0) + cost

    def done(self, name):
        figures = {**self.sums, **self.known, "source": self.source}
        if self.cost is not None:
            figures["logged_cost"] = round(self.cost, 9)
        EXPECTED[name] = figures


def write(name, text, figures):
    with open(name, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    figures.done(name)


def lines(records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def table(rows, columns):
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def n(low, high):
    return random.randint(low, high)


def claude_code():
    figures, out, uuids = Figures("Claude Code sessions"), [], iter(range(1000))

    def line(session, message=None, **more):
        out.append({"type": "assistant", "sessionId": session, "uuid": f"u{next(uuids)}", "parentUuid": None,
                    "cwd": "/home/dev/app", "version": "2.1.0", "timestamp": iso(len(out) * 7), **({"message": message} if message else {}), **more})

    def message(id, model="claude-opus-4-5-20251101", hour=None, output=None, **usage):
        read, write, fresh = n(5_000, 60_000), n(200, 4_000), n(2, 30)
        hour = n(0, write) if hour is None else hour
        output = n(50, 900) if output is None else output
        counts = {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": write,
                  "cache_creation": {"ephemeral_5m_input_tokens": write - hour, "ephemeral_1h_input_tokens": hour},
                  "output_tokens": output, "server_tool_use": {"web_search_requests": 1}, "service_tier": "standard", **usage}
        made = {"id": id, "type": "message", "role": "assistant", "model": model, "content": [], "usage": counts}
        return made, dict(input=fresh + read + write, cached=read, cache_write=write, cache_write_1h=hour, output=output)

    out.append({"type": "summary", "summary": "a title", "leafUuid": "x"})
    first = None
    for i in range(8):
        line("s1", {"role": "user", "content": "…"}, type="user")
        made, counts = message(f"msg_{i}")
        early = {**made, "usage": {**made["usage"], "output_tokens": 1}}
        for part in [early] * n(0, 2) + [made]:
            line("s1", part, requestId=f"req_{i}")
        figures.add(**counts)
        first = first or made
    # The session is resumed in another one: its first message is copied.
    line("s2", first, requestId="req_0")
    # A side question repeats a message of the session with another request id.
    line("s2", first, requestId="req_side", isSidechain=True)
    # A sub-agent, on a line of its own and within a line of the session.
    made, counts = message("msg_agent", model="claude-haiku-4-5-20251001")
    line("s2", made, requestId="req_agent", isSidechain=True, agentId="a1")
    figures.add(**counts)
    line("s2", type="progress", data={"type": "agent_progress", "agentId": "a1",
         "message": {"type": "assistant", "requestId": "req_agent", "message": made}})
    line("s2", {"role": "user", "content": []}, type="user",
         toolUseResult={"agentId": "a1", "totalTokens": 99_999, "usage": {"input_tokens": 99_999}})
    # A gateway that states no request ids and uses the same message id in each session.
    for session in ["s3", "s4"]:
        made, counts = message("chatcmpl-1", model="deepseek-chat", hour=0)
        line(session, made)
        line(session, made)
        figures.add(**counts)
    # Neither id.
    made, counts = message(None, hour=0)
    line("s4", made)
    out.append(dict(out[-1]))
    figures.add(**counts)
    # An error that Claude Code itself wrote as an answer.
    line("s4", {"id": "x", "role": "assistant", "model": "<synthetic>", "usage": {"input_tokens": 0, "output_tokens": 0}},
         isApiErrorMessage=True)
    # Only the durations of what was written, and no cache at all.
    made, counts = message("msg_plain")
    made["usage"] = {"input_tokens": 500, "output_tokens": 20, "cache_read_input_tokens": None}
    line("s4", made, requestId="req_plain", costUSD=0.0125)
    figures.add(input=500, output=20, cost=0.0125)
    write("claude_code.jsonl", lines(out), figures)


CODEX = ["input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens"]


def codex_usage():
    fresh = n(1_000, 20_000)
    output = n(50, 3_000)
    return [fresh, n(0, fresh), output, n(0, output)]


def codex_object(counts):
    return {**dict(zip(CODEX, counts)), "total_tokens": counts[0] + counts[2]}


def codex():
    def event(seconds, total, last, **more):
        return {"timestamp": iso(seconds), "type": "event_msg", "payload": {"type": "token_count",
                "info": {"total_token_usage": codex_object(total), "last_token_usage": codex_object(last),
                         "model_context_window": 272_000}, "rate_limits": {"primary": {"used_percent": 3.0}}}, **more}

    def add(figures, counts):
        figures.add(input=counts[0], cached=counts[1], output=counts[2], reasoning=counts[3])

    def meta(seconds, id, **more):
        return {"timestamp": iso(seconds), "type": "session_meta", "payload": {"id": id, "cwd": "/home/dev/app", **more}}

    def turn(seconds, model):
        return {"timestamp": iso(seconds), "type": "turn_context", "payload": {"model": model, "cwd": "/home/dev/app"}}

    figures = Figures("Codex sessions")
    out, total = [meta(0, "parent"), turn(1, "gpt-5-codex")], [0] * 4
    out.append({"timestamp": iso(2), "type": "event_msg", "payload": {"type": "token_count", "info": None, "rate_limits": {}}})
    for i in range(12):
        if i == 6:
            out.append(turn(i * 30 + 1, "gpt-5.1"))
        out.append({"timestamp": iso(i * 30 + 5), "type": "response_item", "payload": {"type": "message", "role": "user"}})
        last = codex_usage()
        total = [a + b for a, b in zip(total, last)]
        add(figures, last)
        # The same sum again whenever limits change.
        out += [event(i * 30 + 10 + k, total, last) for k in range(n(1, 3))]
    copied = list(out)
    # Two requests between two events: the sum grows by both, the last one is stated.
    both = [codex_usage(), codex_usage()]
    for counts in both:
        total = [a + b for a, b in zip(total, counts)]
    figures.add(requests=1, **{name: both[0][at] + both[1][at]
                               for at, name in enumerate(["input", "cached", "output", "reasoning"])})
    out.append(event(500, total, both[1]))
    # The sum begins anew.
    last = codex_usage()
    out.append(event(520, last, last))
    add(figures, last)
    write("codex.jsonl", lines(out), figures)

    # A fork begins with a copy of the session, in one go, with the time of the fork.
    figures = Figures("Codex sessions")
    out = [meta(1000, "child", forked_from_id="parent")]
    out += [{**line, "timestamp": iso(1000 + k / 1000)} for k, line in enumerate(copied)]
    total = codex_total(copied)
    for i in range(5):
        last = codex_usage()
        total = [a + b for a, b in zip(total, last)]
        add(figures, last)
        out.append(event(1010 + i * 20, total, last))
    write("codex_fork.jsonl", lines(out), figures)


def codex_total(records):
    infos = [record["payload"].get("info") for record in records if record["payload"].get("type") == "token_count"]
    return [[info for info in infos if info][-1]["total_token_usage"][name] for name in CODEX]


def cursor():
    columns = ["Date", "User", "Cloud Agent ID", "Automation ID", "Kind", "Model", "Max Mode", "Input (w/ Cache Write)",
               "Input (w/o Cache Write)", "Cache Read", "Output Tokens", "Total Tokens", "Cost"]
    for name, includes in [("cursor.csv", False), ("cursor_includes.csv", True)]:
        figures, rows = Figures("Cursor usage export"), []
        for i in range(14):
            written, fresh, read, output = n(0, 9_000), n(500, 4_000), n(0, 50_000), n(20, 2_000)
            kind = ["Included", "On-Demand", "Free"][i % 3]
            failed = i == 7
            if failed:
                kind, written, fresh, read, output = "Errored, No Charge", 0, 0, 0, 0
            cost = n(1, 90) / 100 if kind == "On-Demand" else None
            rows.append(dict(zip(columns, [iso(i * 60), "ada@example.org", "", "", kind, "claude-4.5-sonnet", "No",
                written + fresh if includes else written, fresh, read, output, written + fresh + read + output,
                f"${cost:.2f}" if cost else ["Included", "-", "Free"][i % 3]])))
            figures.add(input=written + fresh + read, cached=read, cache_write=written, output=output, cost=cost,
                        failed=int(failed))
        write(name, table(rows, columns), figures)
    figures, events = Figures("Cursor usage events"), []
    for i in range(12):
        usage = {"inputTokens": n(10, 3_000), "outputTokens": n(10, 900), "cacheWriteTokens": n(0, 3_000),
                 "cacheReadTokens": n(0, 30_000), "totalCents": n(1, 500) / 7}
        included = i % 2 == 0
        events.append({"timestamp": str(1793610000000 + i * 60_000), "model": "gpt-5", "maxMode": i % 3 == 0,
            "kind": "USAGE_EVENT_KIND_INCLUDED_IN_PRO" if included else "USAGE_EVENT_KIND_USAGE_BASED",
            "requestsCosts": 1.5, "isTokenBasedCall": True, "tokenUsage": usage, "userEmail": "ada@example.org",
            "chargedCents": usage["totalCents"] + 1 if i % 4 == 1 else None})
        cents = None if included else usage["totalCents"] + (1 if i % 4 == 1 else 0)
        figures.add(input=usage["inputTokens"] + usage["cacheWriteTokens"] + usage["cacheReadTokens"],
                    cached=usage["cacheReadTokens"], cache_write=usage["cacheWriteTokens"], output=usage["outputTokens"],
                    cost=cents and cents / 100)
    # Charged by request, without tokens.
    events.append({"timestamp": "1793620000000", "model": "gpt-4.1", "kind": "Usage-based", "requestsCosts": 1})
    page = {"totalUsageEventsCount": 13, "usageEventsDisplay": events}
    write("cursor_events.json", json.dumps(page, indent=1) + "\n", figures)


def litellm_rows(figures):
    """Rows of the spend logs: of OpenAI, of Anthropic in several versions of LiteLLM, failed, from the cache, embeddings."""
    rows = []
    for i in range(24):
        shape = ["openai", "anthropic", "reads only", "neither", "failed", "hit", "embedding", "xai"][i % 8]
        prompt, output, read, written = n(2_000, 9_000), n(20, 900), 0, 0
        usage, status, hit, call, model, reasoning = {}, "success", "False", "acompletion", "gpt-4.1", 0
        logged_prompt = whole = prompt
        logged_output = output
        if shape == "openai":
            read = n(0, prompt)
            usage = {"prompt_tokens_details": {"cached_tokens": read, "audio_tokens": 0}}
        elif shape in ("anthropic", "reads only", "neither"):
            model, fresh = "claude-sonnet-4-5", n(3, 90)
            read, written = n(1_000, 5_000), n(1_000, 4_000)
            whole = fresh + read + written
            logged_prompt = {"anthropic": whole, "reads only": fresh + read, "neither": fresh}[shape]
            usage = {"prompt_tokens_details": {"cached_tokens": 0 if i % 2 else read, "audio_tokens": None},
                     "cache_read_input_tokens": read, "cache_creation_input_tokens": written}
        elif shape == "failed":
            status, whole, output, logged_prompt, logged_output, usage = "failure", 0, 0, 0, 0, None
        elif shape == "hit":
            hit = "True"
        elif shape == "embedding":
            call, model, output, logged_output = "aembedding", "text-embedding-3-small", 0, 0
        else:
            model, reasoning = "xai/grok-4", n(100, 900)
            usage = {"completion_tokens_details": {"reasoning_tokens": reasoning}}
            output += reasoning
        total = logged_prompt + logged_output + (reasoning if shape == "xai" else 0)
        cost = 0 if status == "failure" or hit == "True" else n(1, 9_999) / 1e6
        if usage is not None:
            usage = {"prompt_tokens": logged_prompt, "completion_tokens": logged_output, "total_tokens": total, **usage}
        rows.append({"request_id": f"chatcmpl-{i}", "call_type": call, "api_key": "88dc", "spend": cost, "total_tokens": total,
            "prompt_tokens": logged_prompt, "completion_tokens": logged_output, "startTime": iso(i * 60)[:-1].replace("T", " "),
            "endTime": iso(i * 60 + 4)[:-1].replace("T", " "), "completionStartTime": iso(i * 60 + 1)[:-1].replace("T", " "),
            "model": model, "model_group": model, "custom_llm_provider": "x", "user": "u1",
            "metadata": {"user_api_key_alias": "main\tkey", "usage_object": usage, "additional_usage_values": {}},
            "cache_hit": hit, "request_tags": ["prod", "a\\b"], "end_user": "", "team_id": None, "status": status})
        if hit != "True":
            figures.add(input=whole, output=output, cached=read, cache_write=written, reasoning=reasoning, cost=cost,
                        failed=int(status == "failure"))
    return rows


def litellm():
    figures = Figures("LiteLLM spend logs")
    rows = litellm_rows(figures)
    cells = [{**row, "metadata": json.dumps(row["metadata"]), "request_tags": json.dumps(row["request_tags"])} for row in rows]
    write("litellm.csv", table(cells + [cells[3]], list(rows[0])), figures)

    figures = Figures("LiteLLM spend logs")
    rows = litellm_rows(figures)
    write("litellm_api.json", json.dumps(rows + [rows[0]]), figures)

    figures = Figures("LiteLLM spend logs")
    rows = litellm_rows(figures)

    def cell(value):
        if value is None:
            return "\\N"
        text = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")

    daily = 'COPY public."LiteLLM_DailyUserSpend" (id, user_id, date, api_key, model, prompt_tokens, api_requests) FROM stdin;\n' \
        + "".join(f"d{i}\tu1\t2026-11-02\tk{i}\tm\t99999\t9\n" for i in range(40)) + "\\.\n\n"
    names = ", ".join(f'"{name}"' if name != name.lower() else name for name in rows[0])
    dump = "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n-- Dumped by pg_dump version 16.4\n\nSET statement_timeout = 0;\n" \
        + "SET client_encoding = 'UTF8';\n" * 60 + 'CREATE TABLE public."LiteLLM_SpendLogs" (\n    request_id text NOT NULL\n);\n' \
        + daily + f'COPY public."LiteLLM_SpendLogs" ({names}) FROM stdin;\n' \
        + "".join("\t".join(cell(value) for value in row.values()) + "\n" for row in rows) \
        + "\\.\n\n--\n-- PostgreSQL database dump complete\n--\n"
    write("litellm_dump.sql", dump, figures)

    figures = Figures("LiteLLM logging payloads")
    out = []
    for i, row in enumerate(litellm_rows(figures)):
        start = 1793610000 + i * 60
        out.append({"id": row["request_id"], "trace_id": "t1", "call_type": row["call_type"], "stream": True,
            "response_cost": row["spend"], "status": row["status"], "custom_llm_provider": "x",
            "total_tokens": row["total_tokens"], "prompt_tokens": row["prompt_tokens"],
            "completion_tokens": row["completion_tokens"], "startTime": start + 0.25, "endTime": start + 3.5,
            "completionStartTime": start + 1.0, "response_time": 0.75, "model": row["model"], "model_id": "m",
            "model_group": row["model"], "api_base": "", "metadata": row["metadata"], "cache_hit": row["cache_hit"] == "True",
            "request_tags": row["request_tags"], "messages": [{"role": "user", "content": "…"}], "response": None})
    write("litellm_payloads.jsonl", lines(out), figures)

    figures, rows = Figures("LiteLLM daily spend"), []
    for i in range(20):
        fresh, read, written, output, requests, cost = n(1_000, 90_000), n(0, 90_000), n(0, 9_000), n(10, 9_000), n(1, 90), n(1, 999) / 1e4
        failed = n(0, requests)
        if i == 7:
            fresh = read = written = output = requests = failed = cost = 0
        rows.append({"id": f"id{i}", "user_id": f"u{i % 3}", "date": f"2026-11-{1 + i // 2:02d}", "api_key": f"k{i % 2}",
            "model": "gpt-4.1", "model_group": "gpt-4.1", "custom_llm_provider": "openai", "mcp_namespaced_tool_name": "",
            "prompt_tokens": fresh + read + written, "completion_tokens": output, "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written, "spend": cost, "api_requests": requests,
            "successful_requests": requests - failed, "failed_requests": failed, "created_at": iso(0), "updated_at": iso(0)})
        if i != 7:
            figures.add(requests=requests, input=fresh + read + written, output=output, cached=read, cache_write=written, cost=cost)
    write("litellm_daily.csv", table(rows, list(rows[0])), figures)


def gemini_usage(i):
    prompt, cached, answer, thoughts, tools = n(500, 9_000), 0, n(5, 900), 0, 0
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": answer}
    if i % 2:
        cached = usage["cachedContentTokenCount"] = n(0, prompt)
    if i % 3:
        thoughts = usage["thoughtsTokenCount"] = n(10, 4_000)
    if i % 5 == 4:
        tools = usage["toolUsePromptTokenCount"] = n(10, 400)
    if i % 7 == 6:
        # Cut off within its thoughts.
        del usage["candidatesTokenCount"]
        answer = 0
    sound = n(1, prompt) if i % 4 == 3 else 0
    usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": prompt - sound}]
    if sound:
        usage["promptTokensDetails"].append({"modality": "AUDIO", "tokenCount": sound})
    usage["totalTokenCount"] = prompt + answer + thoughts + tools
    usage["trafficType"] = "ON_DEMAND"
    counts = dict(input=prompt + tools, output=answer + thoughts, cached=cached, reasoning=thoughts, audio_input=sound)
    return usage, counts


def snake(value):
    if isinstance(value, dict):
        return {"".join("_" + c.lower() if c.isupper() else c for c in name): snake(v) for name, v in value.items()}
    return [snake(v) for v in value] if isinstance(value, list) else value


def gemini():
    figures, out = Figures("Gemini responses"), []
    for i in range(20):
        usage, counts = gemini_usage(i)
        record = {"candidates": [{"content": {"parts": [{"text": "…"}], "role": "model"}, "finishReason": "STOP"}],
                  "usageMetadata": usage, "modelVersion": "gemini-2.5-pro", "createTime": iso(i * 60), "responseId": f"g{i}"}
        if i % 2:
            # A part of the same stream, with fewer tokens.
            part = {"promptTokenCount": usage["promptTokenCount"], "totalTokenCount": usage["promptTokenCount"]}
            out.append(snake({**record, "usageMetadata": part}) if i % 4 == 1 else {**record, "usageMetadata": part})
        out.append(snake(record) if i % 4 == 1 else record)
        figures.add(**counts)
    write("gemini.jsonl", lines(out), figures)

    figures, out = Figures("Gemini responses"), []
    for i in range(12):
        request = {"contents": [{"role": "user", "parts": [{"text": "…"}]}]}
        if i == 5:
            out.append({"status": "Bad Request: too long", "processed_time": iso(i), "request": request, "response": {}})
            figures.add(failed=1)
            continue
        usage, counts = gemini_usage(i)
        out.append({"status": "", "processed_time": iso(i), "request": request,
                    "response": {"candidates": [], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash", "responseId": f"b{i}"}})
        figures.add(**counts)
    write("gemini_batch.jsonl", lines(out), figures)

    figures, out = Figures("Vertex AI request-response logging"), []
    for i in range(14):
        usage, counts = gemini_usage(i)
        response = {"candidates": [], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash", "responseId": f"v{i}"}
        if i % 3 == 1:
            response = [{"candidates": [{"index": 0}]}, response]
        row = {"endpoint": "publishers/google/models/gemini-2.5-flash", "deployed_model_id": "0", "logging_time": f"2026-11-02 09:{i:02d}:00.000000 UTC",
               "request_id": str(7_000_000_000 + i), "model": "gemini-2.5-flash", "model_version": "default",
               "api_method": "streamGenerateContent" if i % 3 == 1 else "generateContent",
               "request_payload": [], "full_request": json.dumps({"contents": []}), "full_response": json.dumps(response)}
        if i == 9:
            row["full_response"] = None
            out.append(row)
            continue
        if i == 11:
            fresh, read, written, answer = 90, 4_000, 300, 25
            row["model"] = "claude-sonnet-4-5@20250929"
            row["full_response"] = json.dumps({"model": "claude-sonnet-4-5-20250929", "usage": {"input_tokens": fresh,
                "cache_read_input_tokens": read, "cache_creation_input_tokens": written, "output_tokens": answer}})
            counts = dict(input=fresh + read + written, output=answer, cached=read, cache_write=written)
        out.append(row)
        figures.add(**counts)
    write("vertex_logging.jsonl", lines(out), figures)


def chat_completions():
    figures, out = Figures("OpenAI API objects"), []
    for i in range(24):
        kind = ["xai", "deepseek", "mistral", "groq", "openrouter", "llama"][i % 6]
        prompt, answer, reasoning, cached, cost = n(200, 9_000), n(5, 900), n(10, 3_000), 0, None
        usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
        record = {"id": f"{kind}-{i}", "object": "chat.completion", "created": 1793610000 + i * 60, "model": kind,
                  "choices": [{"index": 0, "message": {"role": "assistant", "content": "…"}, "finish_reason": "stop"}]}
        output = answer
        if kind == "xai":
            cached, cost = n(0, prompt), n(1, 10**8) / 1e10
            usage.update(total_tokens=prompt + answer + reasoning, num_sources_used=0, cost_in_usd_ticks=round(cost * 1e10),
                prompt_tokens_details={"text_tokens": prompt, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": cached},
                completion_tokens_details={"reasoning_tokens": reasoning, "audio_tokens": 0})
            output += reasoning
        elif kind == "deepseek":
            cached, reasoning = n(0, prompt), n(0, answer)
            usage.update(prompt_cache_hit_tokens=cached, prompt_cache_miss_tokens=prompt - cached,
                         completion_tokens_details={"reasoning_tokens": reasoning})
        elif kind == "mistral":
            reasoning = 0
        elif kind == "groq":
            reasoning = 0
            usage.update(queue_time=0.25, prompt_time=0.125, completion_time=1.5, total_time=1.625)
            record["x_groq"] = {"id": "req"}
        elif kind == "openrouter":
            cached, reasoning, cost = n(0, prompt), n(0, answer), n(1, 9_999) / 1e6
            usage.update(cost=cost, is_byok=False, prompt_tokens_details={"cached_tokens": cached},
                         completion_tokens_details={"reasoning_tokens": reasoning})
            record["provider"] = "Anthropic"
        else:
            cached, reasoning = n(0, prompt), 0
            record["timings"] = {"cache_n": cached, "prompt_n": prompt - cached, "prompt_ms": 100.5, "predicted_n": answer,
                                 "predicted_ms": 900.25}
        if i == 15:
            # A stream: only its last chunk has usage.
            chunk = {"id": record["id"], "object": "chat.completion.chunk", "created": record["created"], "model": kind}
            out += [{**chunk, "choices": [{"index": 0, "delta": {"content": "…"}}], "usage": None},
                    {**chunk, "choices": [], "x_groq": {"id": "req", "usage": usage}}]
        else:
            out.append({**record, "usage": usage})
        if i == 4:
            out.append({**record, "usage": usage})
        figures.add(input=prompt, output=output, cached=cached, reasoning=reasoning, cost=cost)
    figures.known["latency_max_ms"] = 1875
    write("chat_completions.jsonl", lines(out), figures)

    figures, out = Figures("llama.cpp completions"), []
    for i in range(10):
        prompt, answer = n(50, 900), n(5, 300)
        cached = n(0, prompt - 1)
        out.append({"index": 0, "content": "…", "model": "llama.gguf", "tokens_predicted": answer, "tokens_evaluated": prompt,
            "stop": True, "tokens_cached": prompt + answer - 1, "timings": {"prompt_n": prompt - cached, "prompt_ms": 12.5,
            "predicted_n": answer, "predicted_ms": 800.0}})
        figures.add(input=prompt, output=answer, cached=cached)
    write("llama_cpp.jsonl", lines(out), figures)


def ollama():
    figures, out = Figures("Ollama responses", latency_max_ms=9_000), []
    for i in range(12):
        prompt, answer = n(20, 900), n(5, 300)
        record = {"model": "llama3.3:70b", "created_at": iso(i * 60), "done": True, "done_reason": "stop",
                  "total_duration": 9_000_000_000 if i == 3 else n(10**8, 8 * 10**9), "load_duration": 10**7,
                  "prompt_eval_count": prompt, "prompt_eval_duration": 10**8, "eval_count": answer, "eval_duration": 10**9}
        if i % 2:
            record["message"] = {"role": "assistant", "content": ""}
        if i == 5:
            # The prompt was kept whole from the request before.
            del record["prompt_eval_count"]
            prompt = 0
        out.append({"model": "llama3.3:70b", "created_at": iso(i * 60 - 1), "message": {"content": "…"}, "done": False})
        out.append(record)
        figures.add(input=prompt, output=answer)
    out.append({"model": "nomic-embed-text", "embeddings": [[0.1]], "total_duration": 14_000_000, "load_duration": 10**6,
                "prompt_eval_count": 8})
    figures.add(input=8, output=0)
    out.append({"model": "llama3.3:70b", "created_at": iso(900), "response": "", "done": True, "done_reason": "load"})
    write("ollama.jsonl", lines(out), figures)


def openrouter():
    figures, rows = Figures("OpenRouter activity export"), []
    for i in range(16):
        prompt, answer = n(100, 9_000), n(5, 900)
        cached, reasoning, own = n(0, prompt), n(0, answer), i % 5 == 4
        cost = n(1, 9_999) / 1e6
        rows.append({"generation_id": f"gen-{i}", "created_at": iso(i * 60)[:-1].replace("T", " "), "cost_total": 0 if own else cost,
            "cost_web_search": 0, "cost_cache": -0.0001 if cached else 0, "cost_file_processing": 0,
            "byok_usage_inference": cost if own else 0, "tokens_prompt": prompt, "tokens_completion": answer,
            "tokens_reasoning": reasoning, "tokens_cached": cached, "model_permaslug": "anthropic/claude-4.5-sonnet-20250929",
            "provider_name": "Anthropic", "variant": "standard", "cancelled": "false", "streamed": "true", "user": "",
            "finish_reason_raw": "end_turn", "finish_reason_normalized": "error" if i == 6 else "stop",
            "generation_time_ms": 2_000 + i, "time_to_first_token_ms": 300, "app_name": "shop", "api_key_name": "main"})
        figures.add(input=prompt, output=answer, cached=cached, reasoning=reasoning, cost=cost, failed=int(i == 6))
    write("openrouter.csv", table(rows + [rows[2]], list(rows[0])), figures)

    figures, out = Figures("OpenRouter generations"), []
    for i in range(10):
        prompt, answer = n(100, 9_000), n(5, 900)
        cached, reasoning, cost = n(0, prompt), n(0, answer), n(1, 9_999) / 1e6
        out.append({"data": {"id": f"gen-{i}", "model": "openai/gpt-5", "created_at": iso(i * 60), "total_cost": cost,
            "usage": cost, "is_byok": False, "upstream_inference_cost": None, "tokens_prompt": prompt + 17,
            "tokens_completion": answer + 5, "native_tokens_prompt": prompt, "native_tokens_completion": answer,
            "native_tokens_reasoning": reasoning, "native_tokens_cached": cached, "latency": 350, "generation_time": 2_100,
            "streamed": True, "provider_name": "OpenAI", "finish_reason": "stop", "app_id": 7}})
        figures.add(input=prompt, output=answer, cached=cached, reasoning=reasoning, cost=cost)
    write("openrouter_generations.jsonl", lines(out), figures)

    figures, out = Figures("OpenRouter activity"), []
    for i in range(10):
        prompt, answer, requests, cost = n(10_000, 90_000), n(500, 9_000), n(1, 40), n(1, 9_999) / 1e4
        reasoning = n(0, answer)
        out.append({"date": f"2026-11-{1 + i:02d}", "model": "openai/gpt-4.1", "model_permaslug": "openai/gpt-4.1-2025-04-14",
            "endpoint_id": "e", "provider_name": "OpenAI", "usage": cost, "byok_usage_inference": 0, "requests": requests,
            "prompt_tokens": prompt, "completion_tokens": answer, "reasoning_tokens": reasoning})
        figures.add(requests=requests, input=prompt, output=answer, reasoning=reasoning, cost=cost)
    write("openrouter_activity.json", json.dumps({"data": out}) + "\n", figures)


def traces():
    figures, out = Figures("Mooncake trace"), []
    for i in range(20):
        prompt, answer = n(500, 9_000), n(5, 400)
        out.append({"timestamp": i * 900, "input_length": prompt, "output_length": answer, "hash_ids": [0, 1, i]})
        figures.add(input=prompt, output=answer)
    write("mooncake.jsonl", lines(out), figures)

    figures, rows = Figures("BurstGPT trace"), []
    for i in range(20):
        prompt, answer = n(50, 2_000), n(5, 400) if i % 9 else 0
        rows.append({"Timestamp": i * 37 + 5, "Model": "GPT-4" if i % 3 else "ChatGPT", "Request tokens": prompt,
                     "Response tokens": answer, "Total tokens": prompt + answer, "Log Type": "API log" if i % 2 else "Conversation log"})
        figures.add(input=prompt, output=answer, failed=int(answer == 0))
    write("burstgpt.csv", table(rows, list(rows[0])), figures)

    figures = Figures("benchmark of a vLLM or SGLang server")
    inputs, outputs = [n(50, 2_000) for _ in range(12)], [n(5, 60) for _ in range(12)]
    outputs[4] = 0
    for prompt, answer in zip(inputs, outputs):
        figures.add(input=prompt, output=answer, failed=int(answer == 0))
    result = {"date": "20261102-090000", "backend": "vllm", "model_id": "meta-llama/Llama-3.1-8B-Instruct", "num_prompts": 12,
        "request_rate": "inf", "duration": 12.5, "completed": 11, "failed": 1, "total_input_tokens": sum(inputs),
        "total_output_tokens": sum(outputs), "request_throughput": 0.96, "output_throughput": 50.0,
        "input_lens": inputs, "output_lens": outputs, "ttfts": [0.25 if answer else 0.0 for answer in outputs],
        "itls": [[0.02] * max(answer - 1, 0) for answer in outputs], "generated_texts": ["…"] * 12,
        "errors": ["" if answer else "timeout" for answer in outputs]}
    write("vllm_benchmark.json", json.dumps(result) + "\n", figures)


def agent_output():
    figures, out = Figures("Claude Code output"), []
    for i in range(8):
        fresh, read, written, answer = n(2, 30), n(5_000, 60_000), n(200, 4_000), n(50, 900)
        message = {"id": f"msg_{i}", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
                   "usage": {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": written,
                             "output_tokens": answer}}
        if i == 0:
            out.append({"type": "system", "subtype": "init", "session_id": "s1", "model": "claude-sonnet-4-5"})
        out += [{"type": "assistant", "message": message, "session_id": "s1", "parent_tool_use_id": None}] * n(1, 3)
        out.append({"type": "user", "message": {"role": "user", "content": []}, "session_id": "s1"})
        figures.add(input=fresh + read + written, cached=read, cache_write=written, output=answer)
    out.append({"type": "result", "subtype": "success", "session_id": "s1", "total_cost_usd": 1.5, "is_error": False,
                "usage": {"input_tokens": 99_999, "output_tokens": 9}, "modelUsage": {"claude-sonnet-4-5": {"inputTokens": 99_999}}})
    write("claude_code_output.jsonl", lines(out), figures)

    # Only results, each the sum of a session.
    figures, out = Figures("Claude Code output"), []
    for i in range(6):
        models = {}
        for model in ["claude-sonnet-4-5", "claude-haiku-4-5"][: 1 + i % 2]:
            fresh, read, written, answer, cost = n(2, 90), n(5_000, 60_000), n(200, 4_000), n(50, 900), n(1, 999) / 1e3
            models[model] = {"inputTokens": fresh, "outputTokens": answer, "cacheReadInputTokens": read,
                             "cacheCreationInputTokens": written, "webSearchRequests": 0, "costUSD": cost}
            figures.add(input=fresh + read + written, cached=read, cache_write=written, output=answer, cost=cost)
        out.append({"type": "result", "subtype": "success", "session_id": f"s{i}", "is_error": False, "num_turns": 4,
                    "total_cost_usd": sum(counts["costUSD"] for counts in models.values()), "usage": {"input_tokens": 1},
                    "modelUsage": models})
    figures.known["requests"] = None
    write("claude_code_results.jsonl", lines(out), figures)

    figures, out = Figures("Codex output"), []
    for i in range(6):
        counts = codex_usage()
        out += [{"type": "thread.started", "thread_id": f"t{i}"}, {"type": "turn.started"},
                {"type": "item.completed", "item": {"id": "item_0", "type": "agent_message", "text": "…"}},
                {"type": "turn.completed", "usage": dict(zip(CODEX, counts))}]
        figures.add(input=counts[0], cached=counts[1], output=counts[2], reasoning=counts[3])
    figures.known["requests"] = None
    write("codex_output.jsonl", lines(out), figures)


def ccusage():
    for kind, times in [("daily", [f"2026-11-0{day}" for day in range(1, 8)]), ("monthly", ["2026-09", "2026-10"]),
                        ("sessions", ["2026-11-02", "2026-11-02", "2026-11-03"]), ("blocks", [iso(0), iso(18000), iso(36000)])]:
        figures, items, totals = Figures("ccusage report"), [], 0
        for i, time in enumerate(times):
            parts = []
            for model in ["claude-opus-4-5-20251101", "claude-haiku-4-5-20251001"][: 1 + i % 2]:
                fresh, answer, read, written, cost = n(10, 9000), n(10, 60000), n(0, 9_000_000), n(0, 400_000), n(1, 9_000_000) / 1e6
                figures.add(input=fresh + read + written, output=answer, cached=read, cache_write=written, cost=cost)
                totals += cost
                parts.append((model, fresh, answer, written, read, cost))
            sums = [sum(part[at] for part in parts) for at in range(1, 6)]
            if kind == "blocks":
                # All of a block's models are one sum.
                items.append({"id": time, "startTime": time, "endTime": iso(18000 * (i + 1)), "isGap": False, "isActive": False, "entries": 9,
                              "tokenCounts": dict(zip(["inputTokens", "outputTokens", "cacheCreationInputTokens", "cacheReadInputTokens"], sums)),
                              "totalTokens": sum(sums[:4]), "costUSD": sums[4], "models": [part[0] for part in parts]})
                if i == 0:
                    items.append({"id": "gap", "startTime": iso(18000), "endTime": iso(36000), "isGap": True, "isActive": False, "entries": 0,
                                  "tokenCounts": {"inputTokens": 0, "outputTokens": 0, "cacheCreationInputTokens": 0, "cacheReadInputTokens": 0},
                                  "totalTokens": 0, "costUSD": 0, "models": []})
                continue
            names = ["inputTokens", "outputTokens", "cacheCreationTokens", "cacheReadTokens"]
            item = {**dict(zip(names, sums)), "totalTokens": sum(sums[:4]), "totalCost": sums[4], "modelsUsed": [part[0] for part in parts],
                    "modelBreakdowns": [{"modelName": part[0], **dict(zip(names, part[1:5])), "cost": part[5]} for part in parts]}
            where = {"daily": {"date": time}, "monthly": {"month": time}, "sessions": {"sessionId": f"-home-project-{i}", "lastActivity": time}}
            items.append({**where[kind], **item})
        figures.known["requests"] = None
        report = {kind: items} if kind == "blocks" else {kind: items, "totals": {"inputTokens": 1, "totalCost": totals}}
        write(f"ccusage_{kind}.json", json.dumps(report, indent=2) + "\n", figures)


CASES = {
    "case_01_claude_code_session.jsonl": dict(requests=20, input=1124053, cached=1080088, cache_write=43871, output=18791,
                                              source="Claude Code sessions"),
    "case_05_cursor_usage.csv": dict(requests=30, input=676003, cached=470912, cache_write=144837, output=33275,
                                     logged_cost=0.71, source="Cursor usage export"),
    "case_06_litellm_spend_logs.jsonl": dict(requests=30, input=163883, cached=122902, cache_write=0, output=5799,
                                             logged_cost=0.189805, source="LiteLLM spend logs"),
    "case_09_gemini_thoughts.jsonl": dict(requests=25, input=109769, cached=0, cache_write=0, output=73722,
                                          source="Gemini responses"),
    "case_12a_ollama_ns.jsonl": dict(requests=20, input=6322, cached=0, cache_write=0, output=3249, latency_max_ms=8571,
                                     source="Ollama responses"),
    "case_12c_mooncake_ms.jsonl": dict(requests=60, input=289447, cached=0, cache_write=0, output=10841,
                                       source="Mooncake trace"),
}

for make in [claude_code, codex, cursor, litellm, gemini, chat_completions, ollama, openrouter, traces, agent_output, ccusage]:
    make()
EXPECTED.update(CASES)
with open("tools.json", "w", encoding="utf-8") as file:
    file.write(json.dumps(EXPECTED, indent=1) + "\n")
