"""Writes logs of OpenAI, Anthropic, Azure and Amazon Bedrock, and consoles.json with the figures that must be read from them.

All values are made up. The figures are summed here, from the values, before they are written in a format.
"""

import csv
import io
import json
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).parent
DAY = 86_400
START = 1_793_491_200  # 2026-11-01T00:00:00Z

rng = random.Random(20261101)
expected = {}


class Sums:
    """The figures of one file."""

    def __init__(self, source, requests=0):
        self.figures = dict(requests=requests, input=0, output=0, cached=0, cache_write=0, reasoning=0)
        self.figures["source"] = source

    def add(self, requests=1, cost=None, **tokens):
        if self.figures["requests"] is not None:
            self.figures["requests"] += requests
        for name, n in tokens.items():
            self.figures[name] += n
        if cost is not None:
            self.figures["logged_cost"] = round(self.figures.get("logged_cost", 0) + cost, 9)


def iso(seconds, fraction=""):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def write(name, sums, text):
    (HERE / name).write_text(text, newline="")
    expected[name] = sums.figures


def lines(records):
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)


def table(names, rows):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return out.getvalue()


def chat_usage(sums, reasoning_beside=False):
    """OpenAI's usage of a chat completion; counts it."""
    prompt, cached = rng.randrange(200, 9000), 0
    if rng.random() < 0.5:
        cached = prompt // 128 // 2 * 128
    reasoning, visible = rng.randrange(0, 900), rng.randrange(5, 700)
    sums.add(input=prompt, output=visible + reasoning, cached=cached, reasoning=reasoning)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": visible if reasoning_beside else visible + reasoning,
        "total_tokens": prompt + visible + reasoning,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }


def response_usage(sums):
    """OpenAI's usage of a response; counts it."""
    usage = chat_usage(sums)
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": usage["prompt_tokens_details"]["cached_tokens"]},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": usage["completion_tokens_details"]["reasoning_tokens"]},
        "total_tokens": usage["total_tokens"],
    }


def openai_objects():
    sums, records = Sums("OpenAI API objects"), []

    def chat(i, usage, **more):
        return {
            "id": f"chatcmpl-{i:03}", "object": "chat.completion", "created": START + 60 * i,
            "model": "gpt-5-mini-2025-08-07",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
            "usage": usage, "service_tier": "default", "system_fingerprint": None, **more,
        }

    for i in range(8):
        records.append(chat(i, chat_usage(sums), service_tier=["default", "flex", "priority", None][i % 4]))
    records.append(records[3])  # written twice
    # A stream: all chunks but the last one have no usage.
    for part in range(3):
        chunk = chat(20, None, object="chat.completion.chunk")
        chunk["choices"] = [{"index": 0, "delta": {"content": "f"}, "finish_reason": None}]
        records.append(chunk)
    records.append(chat(20, chat_usage(sums), object="chat.completion.chunk", choices=[]))
    # Responses, one of them not finished, one failed.
    for i in range(6):
        usage = response_usage(sums) if i < 4 else None
        status = ["completed", "completed", "completed", "incomplete", "in_progress", "failed"][i]
        records.append({
            "id": f"resp_{i:03}", "object": "response", "created_at": START + 3600 + i, "status": status,
            "model": "gpt-5-2025-08-07", "error": {"code": "server_error"} if status == "failed" else None,
            "output": [], "usage": usage, "metadata": {"feature": ["search", "chat"][i % 2]}, "service_tier": "default",
        })
    sums.add()  # the failed one
    # The last event of a stream of the Responses API repeats a response.
    records.append({"type": "response.completed", "sequence_number": 9, "response": records[-5]})
    # Requests beside their answers; one failed.
    for i in range(3):
        records.append({
            "timestamp": iso(START + 7200 + i), "request": {"model": "gpt-4.1", "messages": [], "user": "ada"},
            "response": chat(40 + i, chat_usage(sums)),
        })
    records.append({
        "timestamp": iso(START + 7300), "request": {"model": "gpt-4.1", "messages": []},
        "response": {"error": {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}},
    })
    sums.add()
    # Copies of the API: xAI counts reasoning beside the output, DeepSeek names cached tokens in its own way.
    records.append(chat(60, chat_usage(sums, reasoning_beside=True), model="grok-4"))
    records.append(chat(61, {
        "prompt_tokens": 700, "completion_tokens": 90, "total_tokens": 790,
        "prompt_cache_hit_tokens": 640, "prompt_cache_miss_tokens": 60,
    }, model="deepseek-chat"))
    sums.add(input=700, output=90, cached=640)
    # Embeddings.
    for i in range(3):
        n = rng.randrange(10, 5000)
        records.append({
            "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}],
            "model": "text-embedding-3-small", "usage": {"prompt_tokens": n, "total_tokens": n},
        })
        sums.add(input=n)
    write("openai_objects.jsonl", sums, lines(records))

    # A single answer, over several lines.
    n = 4321
    sums = Sums("OpenAI API objects")
    sums.add(input=n)
    write("openai_embedding.json", sums, json.dumps({
        "object": "list", "data": [{"object": "embedding", "index": i, "embedding": [0.1, -0.2]} for i in range(3)],
        "model": "text-embedding-3-large", "usage": {"prompt_tokens": n, "total_tokens": n},
    }, indent=2))

    # One that keeps its request, over several lines.
    sums = Sums("OpenAI API objects")
    record = {
        "timestamp": iso(START), "messages": [{"role": "user", "content": "hello"}], "response": chat(70, chat_usage(sums)),
    }
    write("openai_chat_pair.json", sums, json.dumps(record, indent=2))

    sums, records = Sums("OpenAI API objects"), []
    for i in range(12):
        body, status = {"error": {"code": "invalid_value", "message": "no"}}, 400
        if i % 6 != 5:
            body, status = chat(100 + i, chat_usage(sums)), 200
        else:
            sums.add()
        records.append({
            "id": f"batch_req_{i:03}", "custom_id": f"request-{i}", "error": None,
            "response": {"status_code": status, "request_id": f"req_{i:03}", "body": body},
        })
    records.append({
        "id": "batch_req_900", "custom_id": "request-900", "response": None,
        "error": {"code": "batch_expired", "message": "This request could not be executed before the completion window expired."},
    })
    sums.add()
    write("openai_batch_output.jsonl", sums, lines(records))


def openai_usage():
    names = (
        "start_time,end_time,start_time_iso,end_time_iso,project_id,project_name,num_model_requests,user_id,user_email,"
        "api_key_id,api_key_name,model,batch,service_tier,input_tokens,output_tokens,input_cached_tokens,"
        "input_uncached_tokens,input_text_tokens,output_text_tokens,input_cached_text_tokens,input_audio_tokens,"
        "input_cached_audio_tokens,output_audio_tokens"
    ).split(",")
    sums, rows = Sums("OpenAI usage export"), []
    for day in range(6):
        begin = START + day * DAY
        times = [begin, begin + DAY, iso(begin)[:-1] + "+00:00", iso(begin + DAY)[:-1] + "+00:00"]
        if day == 3:  # a day without usage
            rows.append(times + [""] * (len(names) - len(times)))
            continue
        for model, batch, tier in [
            ("gpt-4.1-mini-2025-04-14", "FALSE", "default"), ("gpt-5-2025-08-07", "TRUE", ""),
            ("gpt-4o-audio-preview-2024-12-17", "FALSE", "priority"),
        ]:
            requests, n, out = rng.randrange(1, 400), rng.randrange(1000, 900_000), rng.randrange(100, 90_000)
            cached, audio = n // 3, n // 10 if "audio" in model else 0
            sums.add(requests=requests, input=n, output=out, cached=cached)
            rows.append(times + [
                "proj_a", "Search", f"{requests}.0", "user-1", "ada@example.com", "key_1", "prod", model, batch, tier,
                f"{n}.0", f"{out}.0", f"{cached}.0", f"{n - cached}.0", f"{n - cached - audio}.0", f"{out}.0",
                f"{cached}.0", f"{audio}.0", "0.0", f"{audio // 2}.0",
            ])
    rows.append(rows[1])  # exports overlap
    write("openai_usage_export.csv", sums, table(names, rows))

    sums, buckets = Sums("OpenAI usage API"), []
    for day in range(4):
        results = []
        for model in ["gpt-4.1-2025-04-14", "gpt-5-2025-08-07"] if day != 2 else []:
            requests, n, out = rng.randrange(1, 400), rng.randrange(1000, 900_000), rng.randrange(100, 90_000)
            sums.add(requests=requests, input=n, output=out, cached=n // 4, cache_write=n // 8)
            results.append({
                "object": "organization.usage.completions.result", "input_tokens": n, "output_tokens": out,
                "input_cached_tokens": n // 4, "input_cache_write_tokens": n // 8, "input_audio_tokens": 0,
                "output_audio_tokens": 0, "num_model_requests": requests, "project_id": "proj_a", "user_id": None,
                "api_key_id": None, "model": model, "batch": day == 1, "service_tier": None,
            })
        if day == 0:
            sums.add(requests=7, input=12_345)
            results.append({
                "object": "organization.usage.embeddings.result", "input_tokens": 12_345, "num_model_requests": 7,
                "project_id": None, "user_id": None, "api_key_id": None, "model": "text-embedding-3-small",
            })
            sums.add(requests=3)
            results.append({
                "object": "organization.usage.images.result", "images": 4, "num_model_requests": 3,
                "size": "1024x1024", "source": "image.generation", "model": "dall-e-3", "project_id": None,
            })
            results.append({"object": "organization.usage.vector_stores.result", "usage_bytes": 1024, "project_id": None})
        begin = START + day * DAY
        buckets.append({"object": "bucket", "start_time": begin, "end_time": begin + DAY, "results": results})
    page = {"object": "page", "data": buckets, "has_more": False, "next_page": None}
    write("openai_usage_api.json", sums, json.dumps(page, indent=1))
    # The same as one page in each line, as scripts write it.
    pages = [{"object": "page", "data": [bucket], "has_more": True, "next_page": "p"} for bucket in buckets]
    write("openai_usage_api_pages.jsonl", sums, lines(pages))
    write("openai_usage_api_bucket.json", bucket_sums(buckets[1]), json.dumps(buckets[1]))


def bucket_sums(bucket):
    sums = Sums("OpenAI usage API")
    for result in bucket["results"]:
        sums.add(
            requests=result["num_model_requests"], input=result["input_tokens"], output=result["output_tokens"],
            cached=result["input_cached_tokens"], cache_write=result["input_cache_write_tokens"],
        )
    return sums


def openai_costs():
    api, export = Sums("OpenAI costs", None), Sums("OpenAI costs", None)
    buckets, rows = [], []
    names = (
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,"
        "organization_id,organization_name"
    ).split(",")
    for day in range(7):
        begin = START + day * DAY
        times = [begin, begin + DAY, iso(begin), iso(begin + DAY)]
        results = []
        for item in ["gpt-5-2025-08-07, input", "gpt-5-2025-08-07, output", None] if day != 4 else []:
            amount = round(rng.random() * 9, 12)
            api.add(0, cost=amount)
            export.add(0, cost=amount)
            results.append({
                "object": "organization.costs.result", "amount": {"value": amount, "currency": "usd"},
                "line_item": item, "project_id": "proj_a",
            })
            rows.append(times + [f"{amount:.16f}", "usd", item or "", "proj_a", "org-1", "Personal"])
        if not results:
            rows.append(times + [""] * 6)
        buckets.append({"object": "bucket", "start_time": begin, "end_time": begin + DAY, "results": results})
    page = {"object": "page", "data": buckets, "has_more": False, "next_page": None}
    write("openai_costs.json", api, json.dumps(page, indent=1))
    write("openai_costs.csv", export, table(names, rows))


def openai_activity():
    sums, items = Sums("OpenAI activity export"), []
    for i in range(15):
        model, operation = [
            ("gpt-4o-2024-08-06", "completion"), ("gpt-4o-mini-2024-07-18", "completion"),
            ("text-embedding-3-small", "embeddings"),
        ][i % 3]
        requests, n = rng.randrange(1, 40), rng.randrange(100, 80_000)
        out, cached = (0, 0) if operation == "embeddings" else (rng.randrange(10, 9000), n // 5)
        sums.add(requests=requests, input=n, output=out, cached=cached)
        items.append({
            "organization_id": "org-1", "organization_name": "Personal", "aggregation_timestamp": START + 300 * i,
            "n_requests": requests, "operation": operation, "snapshot_id": model, "n_context_tokens_total": n,
            "n_generated_tokens_total": out, "email": "ada@example.com" if i % 2 else None, "api_key_id": "key_1",
            "api_key_name": None, "api_key_redacted": "sk-...ab", "api_key_type": None, "project_id": "proj_a",
            "project_name": "Search", "request_type": "batch" if i % 5 == 0 else "", "n_cached_context_tokens_total": cached,
        })
    write("openai_activity.json", sums, json.dumps({
        "object": "list", "data": items, "ft_data": [], "dalle_api_data": [], "whisper_api_data": [], "tts_api_data": [],
    }, indent=1))

    sums, items = Sums("Groq activity"), []
    for i in range(10):
        requests, n, out = rng.randrange(1, 200), rng.randrange(1000, 90_000), rng.randrange(100, 9000)
        cost = rng.randrange(1, 9000) / 10_000
        sums.add(requests=requests, input=n, output=out, cached=n // 3, cost=cost)
        items.append({
            "organization_id": "org_1", "organization_name": "Personal", "n_context_tokens_total": n,
            "n_non_cached_context_tokens_total": n - n // 3, "n_generated_tokens_total": out, "project_id": "project_1",
            "api_key_id": "key_1", "api_key_name": "open", "model": ["llama-3.1-8b-instant", "openai/gpt-oss-120b"][i % 2],
            "timestamp": START + i // 2 * DAY, "user_id": "", "user": "", "num_requests": requests, "num_seconds": 0,
            "service_tier": "on_demand", "cost": cost,
        })
    write("groq_activity.json", sums, json.dumps({"object": "list", "data": items}, indent=1))


def message_usage(sums, requests=1):
    """Anthropic's usage of a message; counts it."""
    fresh, out = rng.randrange(3, 3000), rng.randrange(5, 2000)
    read, short, long = [(0, rng.randrange(1000, 9000), 0), (rng.randrange(1000, 40_000), 0, 0), (0, 0, 0),
                         (0, 0, rng.randrange(1000, 9000))][rng.randrange(4)]
    sums.add(requests, input=fresh + read + short + long, output=out, cached=read, cache_write=short + long)
    return {
        "input_tokens": fresh, "cache_creation_input_tokens": short + long, "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": out, "service_tier": "standard", "server_tool_use": None, "inference_geo": "not_available",
    }


def anthropic_messages():
    sums, records = Sums("Anthropic messages"), []

    def message(i, usage):
        return {
            "id": f"msg_{i:03}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "text", "text": "fine"}], "stop_reason": "end_turn", "stop_sequence": None, "usage": usage,
        }

    for i in range(12):
        usage = message_usage(sums)
        if i == 4:
            usage["server_tool_use"] = {"web_search_requests": 2}
        if i == 5:
            usage["service_tier"] = "priority"
        records.append({"timestamp": iso(START + 60 * i, ".250"), **message(i, usage)})
    records.append(records[2])  # written twice
    # Beside the request.
    records.append({"created_at": iso(START + 4000), "request": {"model": "claude-sonnet-4-5"}, "response": message(20, message_usage(sums))})
    # The events of a stream: the output of its start is not final.
    usage = message_usage(sums)
    records += [
        {"type": "message_start", "message": message(30, {**usage, "output_tokens": 1})},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": usage["output_tokens"] // 2}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": usage["output_tokens"]}},
        {"type": "message_stop"},
    ]
    # A compaction: its tokens stand only in the iterations.
    usage = message_usage(sums)
    plain = {name: usage[name] for name in ["input_tokens", "output_tokens"]}
    usage["iterations"] = [
        {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500}, {"type": "message", **plain},
    ]
    sums.add(0, input=180_000, output=3500)
    records.append(message(40, usage))
    write("anthropic_messages.jsonl", sums, lines(records))

    sums, records = Sums("Anthropic messages"), []
    for i in range(10):
        result = {"type": "succeeded", "message": message(100 + i, {**message_usage(sums), "service_tier": "batch"})}
        records.append({"custom_id": f"doc-{i}", "result": result})
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    records.append({"custom_id": "doc-10", "result": {"type": "errored", "error": error}})
    sums.add()
    records.append({"custom_id": "doc-11", "result": {"type": "expired"}})
    write("anthropic_batch_results.jsonl", sums, lines(records))


def anthropic_usage():
    names = (
        "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
        "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
        "usage_output_tokens,web_search_count,inference_geo,speed"
    ).split(",")
    sums, rows = Sums("Anthropic Console export", None), []
    for i in range(14):
        fresh, short, long, read, out = (rng.randrange(1000, 900_000) for _ in range(5))
        sums.add(0, input=fresh + short + long + read, output=out, cached=read, cache_write=short + long)
        rows.append([
            iso(START + i // 2 * DAY)[:10], "claude-sonnet-4-5-20250929", ["prod", "test"][i % 2], "Default",
            ["standard", "batch"][i % 2], "≤ 200k", fresh, short, long, read, out, i % 3, "not_available", "",
        ])
    rows.append(rows[5])  # exports overlap
    write("anthropic_console_export.csv", sums, table(names, rows))

    sums, buckets = Sums("Anthropic usage report", None), []
    for day in range(5):
        results = []
        for tier in ["standard", "batch", "priority"] if day != 3 else []:
            fresh, short, long, read, out = (rng.randrange(1000, 900_000) for _ in range(5))
            sums.add(0, input=fresh + short + long + read, output=out, cached=read, cache_write=short + long)
            results.append({
                "uncached_input_tokens": fresh,
                "cache_creation": {"ephemeral_1h_input_tokens": long, "ephemeral_5m_input_tokens": short},
                "cache_read_input_tokens": read, "output_tokens": out, "server_tool_use": {"web_search_requests": 0},
                "api_key_id": None, "workspace_id": "wrkspc_1", "model": "claude-opus-4-5-20251101",
                "service_tier": tier, "context_window": "0-200k", "inference_geo": "global",
            })
        begin = START + day * DAY
        buckets.append({"starting_at": iso(begin), "ending_at": iso(begin + DAY), "results": results})
    page = {"data": buckets, "has_more": False, "next_page": None}
    write("anthropic_usage_report.json", sums, json.dumps(page, indent=1))

    sums, days = Sums("Anthropic Claude Code report", None), []
    for i in range(10):
        parts = []
        for model in ["claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"][: 1 + i % 2] if i != 7 else []:
            fresh, out, read, written = (rng.randrange(100, 90_000) for _ in range(4))
            cents = rng.randrange(1, 5000)
            sums.add(0, input=fresh + read + written, output=out, cached=read, cache_write=written, cost=cents / 100)
            parts.append({
                "model": model, "tokens": {"input": fresh, "output": out, "cache_read": read, "cache_creation": written},
                "estimated_cost": {"currency": "USD", "amount": cents},
            })
        days.append({
            "date": iso(START + i // 2 * DAY), "actor": {"type": "user_actor", "email_address": f"u{i % 3}@example.com"},
            "organization_id": "org_1", "customer_type": "api", "terminal_type": "vscode",
            "core_metrics": {"num_sessions": 3, "commits_by_claude_code": 1}, "tool_actions": {}, "model_breakdown": parts,
        })
    write("anthropic_claude_code_report.json", sums, json.dumps({"data": days, "has_more": False}, indent=1))

    sums, buckets = Sums("Anthropic costs", None), []
    for day in range(6):
        results = []
        for kind in ["uncached_input_tokens", "output_tokens", None]:
            cents = rng.randrange(1, 900_000) / 1000
            sums.add(0, cost=cents / 100)
            results.append({
                "currency": "USD", "amount": f"{cents:.5f}", "workspace_id": None,
                "description": f"Claude Sonnet 4.5 Usage - {kind}" if kind else "Web Search Usage",
                "cost_type": "tokens" if kind else "web_search", "context_window": "0-200k" if kind else None,
                "model": "claude-sonnet-4-5-20250929" if kind else None, "service_tier": "standard" if kind else None,
                "token_type": kind, "inference_geo": None,
            })
        begin = START + day * DAY
        buckets.append({"starting_at": iso(begin), "ending_at": iso(begin + DAY), "results": results})
    write("anthropic_costs.json", sums, json.dumps({"data": buckets, "has_more": False, "next_page": None}, indent=1))

    sums, rows = Sums("Anthropic Console cost export", None), []
    for i in range(12):
        kind = ["input_no_cache", "output", "input_cache_read", "input_cache_write_5m"][i % 4]
        amount = rng.randrange(1, 90_000) / 10_000
        sums.add(0, cost=amount)
        rows.append([iso(START + i // 4 * DAY)[:10], "Claude Sonnet 4.5", "Default", "prod", kind, f"{amount:.4f}"])
    names = ["usage_date_utc", "model", "workspace", "api_key", "token_type", "cost_usd"]
    rows.append(rows[2])  # exports overlap
    write("anthropic_console_costs.csv", sums, table(names, rows))


def azure():
    sums, rows = Sums("Azure API Management logs"), []
    names = [
        "TimeGenerated [UTC]", "CorrelationId", "SequenceNumber", "DeploymentName", "ModelName", "PromptTokens",
        "CompletionTokens", "TotalTokens", "IsStreamCompletion", "RequestMessages", "ResponseMessages", "Region",
    ]
    for i in range(12):
        moment = datetime.fromtimestamp(START, timezone.utc) + timedelta(days=i, minutes=11 * i)
        # As the portal writes it: 11/13/2026, 2:12:00.125 AM
        clock = f"{moment.month}/{moment.day}/{moment.year}, {moment.hour % 12 or 12}:{moment.minute:02}:00.125 " + "AP"[moment.hour >= 12] + "M"
        n, out = rng.randrange(50, 9000), rng.randrange(5, 900)
        if i == 5:
            n = out = 0  # a request that failed
        sums.add(input=n, output=out)
        rows.append([clock, f"c{i}", 0, "chat", "gpt-4.1", n, out, n + out, "true", "", "", "Sweden Central"])
        rows.append([clock, f"c{i}", 1, "", "", 0, 0, 0, "false", '[{"role":"user"}]', "", "Sweden Central"])
        rows.append([clock, f"c{i}", 2, "", "", 0, 0, 0, "false", "", "fine", "Sweden Central"])
    write("azure_api_management.csv", sums, table(names, rows))

    # The same log as events. Claude's prompt tokens exclude cached ones.
    sums, records = Sums("Azure API Management logs"), []
    for i in range(10):
        n, out, cached = rng.randrange(1000, 9000), rng.randrange(5, 900), rng.randrange(1, 900)
        model = ["gpt-4.1", "claude-sonnet-4-5"][i % 2]
        sums.add(input=n + (cached if i % 2 else 0), output=out, cached=cached)
        records.append({
            "time": iso(START + i), "category": "GatewayLlmLogs", "location": "swedencentral",
            "properties": {
                "correlationId": f"c{i}", "requestId": f"r{i}", "sequenceNumber": 0, "deploymentName": model, "modelName": model,
                "promptTokens": n, "completionTokens": out, "totalTokens": n + out, "promptCachedTokens": cached,
            },
        })
    records.append(records[3])  # delivered twice
    write("azure_api_management_events.json", sums, json.dumps({"records": records}, indent=1))

    sums, records = Sums("Azure OpenAI diagnostic logs"), []
    for i in range(10):
        properties = {
            "apiName": "Azure OpenAI API version 2024-10-21", "requestTime": 638_000, "requestLength": 700,
            "responseTime": 638_001, "responseLength": 900, "objectId": "", "streamType": "Streaming",
            "modelDeploymentName": "chat", "modelName": "gpt-4o", "modelVersion": "2024-08-06",
        }
        if i == 6:
            properties = {"apiName": "Azure OpenAI API version 2024-10-21", "objectId": ""}
        else:
            sums.add()
        records.append({
            "time": iso(START + 60 * i, ".1234567"), "resourceId": "/SUBSCRIPTIONS/1/OPENAI", "category": "RequestResponse",
            "operationName": "ChatCompletions_Create", "resultSignature": "429" if i == 3 else "200",
            "durationMs": rng.randrange(200, 9000), "callerIpAddress": "10.0.0.***", "correlationId": f"c{i}",
            "location": "swedencentral", "properties": json.dumps(properties) if i % 2 else properties,
        })
    write("azure_openai_diagnostics.jsonl", sums, lines(records))

    sums, rows = Sums("Azure LLM inference trace"), []
    for i in range(20):
        n, out = rng.randrange(10, 7000), rng.randrange(1, 900)
        sums.add(input=n, output=out)
        rows.append([f"2024-05-10 00:{i // 60:02}:{i % 60:02}.{rng.randrange(10**6):06}+00:00", n, out])
    write("azure_llm_trace.csv", sums, table(["TIMESTAMP", "ContextTokens", "GeneratedTokens"], rows))

    sums = Sums("Azure Monitor metrics")
    series = {"ProcessedPromptTokens": {}, "GeneratedTokens": {}, "AzureOpenAIRequests": {}, "TokenTransaction": {}}
    for hour in range(8):
        for deployment in ["chat", "search"]:
            requests, n, out = rng.randrange(1, 90), rng.randrange(100, 90_000), rng.randrange(10, 9000)
            if hour == 4:
                requests = n = out = 0
            sums.add(requests=requests, input=n, output=out)
            for metric, value in zip(series, [n, out, requests, n + out]):
                # Hours without a value have none in the answer.
                point = {"timeStamp": iso(START + 3600 * hour), **({"total": float(value)} if value else {})}
                series[metric].setdefault(deployment, []).append(point)
    value = [{
        "id": f"/subscriptions/1/{metric}", "name": {"value": metric, "localizedValue": metric}, "unit": "Count",
        "timeseries": [{
            "metadatavalues": [{"name": {"value": "modeldeploymentname", "localizedValue": "m"}, "value": name}],
            "data": points,
        } for name, points in parts.items()],
    } for metric, parts in series.items()]
    write("azure_monitor_metrics.json", sums, json.dumps({"cost": 0, "interval": "PT1H", "value": value}, indent=1))

    # The table AzureMetrics. The newer metric InputTokens counts the same tokens, with other dimensions.
    sums, rows = Sums("Azure Monitor metrics"), []
    for minute in range(9):
        requests, n, out = rng.randrange(1, 9), rng.randrange(100, 9000), rng.randrange(10, 900)
        sums.add(requests=requests, input=n, output=out)
        time = iso(START + 60 * minute)
        for metric, total, resource in [
            ("InputTokens", n, "OPENAI-OTHER-NAME"), ("ProcessedPromptTokens", n, "OPENAI"), ("GeneratedTokens", out, "OPENAI"),
            ("AzureOpenAIRequests", requests, "OPENAI"), ("AzureOpenAITimeToResponse", 312.5, "OPENAI"),
        ]:
            rows.append([time, metric, total, total, "PT1M", resource, "MICROSOFT.COGNITIVESERVICES"])
    names = ["TimeGenerated", "MetricName", "Total", "Maximum", "TimeGrain", "Resource", "ResourceProvider"]
    write("azure_metrics_table.csv", sums, table(names, rows))

    sums, rows = Sums("Azure cost export", None), []
    for i in range(16):
        meter = ["gpt-4o-0806-Inp-glbl Tokens", "gpt-4o-0806-Outp-glbl Tokens", "D2s v3", "gpt 4.1 cached Inp glbl Tokens"][i % 4]
        amount = rng.randrange(1, 90_000) / 10_000
        if meter != "D2s v3":
            sums.add(0, cost=amount)
        rows.append([
            f"11/{i + 1:02}/2026", "Virtual Machines" if meter == "D2s v3" else "Cognitive Services",
            "" if meter == "D2s v3" else "Azure OpenAI", meter, rng.randrange(1, 900), f"{amount:.4f}", "EUR", "rg-ai",
        ])
    names = [
        "Date", "MeterCategory", "MeterSubCategory", "MeterName", "Quantity", "CostInBillingCurrency",
        "BillingCurrencyCode", "ResourceGroup",
    ]
    write("azure_costs.csv", sums, table(names, rows))


def invocation(i, sums, with_counts=True, body=None, **more):
    """A line of Bedrock's log; counts it."""
    fresh, out = rng.randrange(3, 3000), rng.randrange(5, 2000)
    read, written = [(0, 0), (rng.randrange(1000, 40_000), 0), (0, rng.randrange(1000, 9000))][i % 3]
    sums.add(input=fresh + read + written, output=out, cached=read, cache_write=written)
    counts = {"inputTokenCount": fresh, "cacheReadInputTokenCount": read, "cacheWriteInputTokenCount": written}
    return {
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": iso(START + 60 * i),
        "accountId": "111122223333", "region": "eu-central-1", "requestId": f"r{i}", "operation": "InvokeModel",
        "identity": {"arn": f"arn:aws:sts::111122223333:assumed-role/App/session-{i % 3}"},
        "modelId": "arn:aws:bedrock:eu-central-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "input": {"inputContentType": "application/json", "inputBodyJson": {}, **(counts if with_counts else {})},
        "output": {
            "outputContentType": "application/json",
            "outputBodyJson": body(fresh, out, read, written) if body else {},
            **({"outputTokenCount": out} if with_counts else {}),
        },
        "requestMetadata": {"team": ["search", "chat"][i % 2]}, **more,
    }


def bedrock():
    sums = Sums("Bedrock invocation logs")
    records = [invocation(i, sums) for i in range(10)]
    failed = {**records[0], "requestId": "r100", "errorCode": "ThrottlingException", "input": {"inputContentType": "application/json"}}
    del failed["output"]
    records += [failed, records[4]]
    sums.add()
    # An export of CloudWatch: the log stands in `message`.
    events = [{"timestamp": (START + i) * 1000, "message": json.dumps(record), "ingestionTime": 0} for i, record in enumerate(records)]
    write("bedrock_cloudwatch_events.json", sums, json.dumps({"events": events, "searchedLogStreams": []}, indent=1))
    rows = [[f"2026-11-01 00:{i:02}:00.000", json.dumps(record)] for i, record in enumerate(records)]
    write("bedrock_logs_insights.csv", sums, table(["@timestamp", "@message"], rows))

    def anthropic(fresh, out, read, written):
        return {
            "id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929", "content": [],
            "usage": {
                "input_tokens": fresh, "output_tokens": out, "cache_read_input_tokens": read,
                "cache_creation_input_tokens": written,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": written},
            },
        }

    def stream(fresh, out, read, written):
        start = anthropic(fresh, 1, read, written)
        return [
            {"type": "message_start", "message": start},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "fine"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": out}},
            {"type": "message_stop", "amazon-bedrock-invocationMetrics": {
                "inputTokenCount": fresh, "outputTokenCount": out, "invocationLatency": 2000, "firstByteLatency": 600,
                "cacheReadInputTokenCount": read, "cacheWriteInputTokenCount": written,
            }},
        ]

    def converse(fresh, out, read, written):
        return {"output": {"message": {}}, "stopReason": "end_turn", "metrics": {"latencyMs": 900}, "usage": {
            "inputTokens": fresh, "outputTokens": out, "totalTokens": fresh + out + read + written,
            "cacheReadInputTokens": read, "cacheWriteInputTokens": written,
            "cacheDetails": [{"inputTokens": written, "ttl": "1h"}] if written else [],
        }}

    sums = Sums("Bedrock invocation logs")
    records = [invocation(i, sums, False, [anthropic, stream, converse][i % 3 if i < 9 else 1]) for i in range(12)]
    profile = "arn:aws:bedrock:eu-central-1:111122223333:application-inference-profile/abc123"
    records.append(invocation(12, sums, False, anthropic, modelId=profile))
    records.append({
        **records[0], "requestId": "r50", "modelId": "amazon.titan-embed-text-v2:0",
        "input": {"inputContentType": "application/json", "inputTokenCount": 77},
        "output": {"outputContentType": "application/json", "outputBodyJson": {"inputTextTokenCount": 77}},
    })
    sums.add(input=77)
    write("bedrock_bodies.jsonl", sums, lines(records))

    sums, records = Sums("Bedrock batch output"), []
    for i in range(10):
        fresh, out, read, written = rng.randrange(10, 900), rng.randrange(10, 900), i % 2 * 1024, 0
        sums.add(input=fresh + read, output=out, cached=read)
        body = [anthropic, converse][i % 2](fresh, out, read, written)
        records.append({"recordId": f"REC{i:04}", "modelInput": {"messages": []}, "modelOutput": body})
    error = {"errorCode": 400, "errorMessage": "no", "expired": False, "retryable": False}
    records.append({"recordId": "REC0010", "modelInput": {}, "error": error})
    sums.add()
    write("bedrock_batch_output.jsonl", sums, lines(records))

    sums, records = Sums("Bedrock Converse answers"), []
    for i in range(10):
        fresh, out, read, written = rng.randrange(10, 900), rng.randrange(10, 900), i % 2 * 1024, i % 3 * 100
        sums.add(input=fresh + read + written, output=out, cached=read, cache_write=written)
        answer = {"ResponseMetadata": {"RequestId": f"r{i}", "HTTPStatusCode": 200}, **converse(fresh, out, read, written)}
        records.append({"timestamp": iso(START + i), "modelId": "amazon.nova-pro-v1:0", "response": answer})
    write("bedrock_converse.jsonl", sums, lines(records))

    sums, rows = Sums("AWS Cost and Usage Report", None), []
    for i in range(15):
        code, kind = [("AmazonBedrock", "EUC1-Nova-Pro-input-tokens"), ("AmazonEC2", "BoxUsage"), ("3sfx", "EUC1-MP:EUC1_OutputTokenCount-Units")][i % 3]
        name = {"AmazonBedrock": "Amazon Bedrock", "AmazonEC2": "Amazon EC2", "3sfx": "Claude Sonnet 4.5 (Amazon Bedrock Edition)"}[code]
        amount = rng.randrange(1, 90_000) / 100_000
        text = f"{amount:.6f}"
        if i == 6:
            text = "-0.5"  # a credit
        elif code != "AmazonEC2":
            sums.add(0, cost=amount)
        rows.append([
            f"id{i}", iso(START + 3600 * i), iso(START + 3600 * (i + 1)), "111122223333", "Credit" if i == 6 else "Usage", code,
            kind, "InvokeModel", rng.randrange(1, 900), "USD", text, name,
        ])
    names = [
        "identity/LineItemId", "lineItem/UsageStartDate", "lineItem/UsageEndDate", "lineItem/UsageAccountId",
        "lineItem/LineItemType", "lineItem/ProductCode", "lineItem/UsageType", "lineItem/Operation",
        "lineItem/UsageAmount", "lineItem/CurrencyCode", "lineItem/UnblendedCost", "product/ProductName",
    ]
    rows.append(rows[3])  # exports overlap
    write("aws_cost_and_usage.csv", sums, table(names, rows))

    sums, results = Sums("CloudWatch metrics of Bedrock"), []
    columns = {"Invocations": [], "InputTokenCount": [], "OutputTokenCount": [], "CacheReadInputTokenCount": [], "InvocationLatency": []}
    for hour in range(10):
        requests, n, out, read = rng.randrange(1, 90), rng.randrange(100, 90_000), rng.randrange(10, 9000), rng.randrange(0, 9000)
        sums.add(requests=requests, input=n + read, output=out, cached=read)
        for metric, value in zip(columns, [requests, n, out, read, 812.5]):
            columns[metric].append(value)
    times = [iso(START + 3600 * hour)[:-1] + "+00:00" for hour in range(10)]
    for i, (metric, values) in enumerate(columns.items()):
        # CloudWatch answers with the newest first.
        results.append({
            "Id": f"m{i}", "Label": f"amazon.nova-pro-v1:0 {metric}", "Timestamps": times[::-1],
            "Values": [float(value) for value in values[::-1]], "StatusCode": "Complete",
        })
    write("cloudwatch_bedrock_metrics.json", sums, json.dumps({"MetricDataResults": results, "Messages": []}, indent=1))

    sums, rows = Sums("FOCUS cost export", None), []
    for i in range(12):
        service = ["Amazon Bedrock", "Amazon S3", "Azure OpenAI Service"][i % 3]
        amount = rng.randrange(1, 90_000) / 10_000
        if service != "Amazon S3":
            sums.add(0, cost=amount)
        rows.append([
            f"{amount:.4f}", "USD", iso(START + i * DAY), iso(START + (i + 1) * DAY), service, "AWS", "tokens", "eu-central-1", "1234",
        ])
    names = [
        "BilledCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd", "ServiceName", "ProviderName",
        "ChargeDescription", "RegionId", "SubAccountId",
    ]
    write("focus_costs.csv", sums, table(names, rows))


def cases():
    """Logs with figures from elsewhere, kept as they are."""
    for name, source, figures in [
        ("03_openai_usage_export.csv", "OpenAI usage export", (467_218, 700_827_000, 56_066_160, 280_330_800, 0)),
        ("04_anthropic_console.csv", "Anthropic Console export", (None, 43_852_987, 727_070, 36_490_322, 3_988_757)),
        ("08_bedrock_invocations.jsonl", "Bedrock invocation logs", (25, 237_318, 9225, 139_490, 57_927)),
        ("10_perfect_caching.jsonl", None, (48, 1_039_643, 10_745, 857_515, 171_503)),
    ]:
        requests, n, out, cached, written = figures
        expected[f"case_{name}"] = {
            "requests": requests, "input": n, "output": out, "cached": cached, "cache_write": written, "source": source,
        }


for make in [openai_objects, openai_usage, openai_costs, openai_activity, anthropic_messages, anthropic_usage, azure, bedrock, cases]:
    make()
(HERE / "consoles.json").write_text(json.dumps(expected, indent=1) + "\n")
