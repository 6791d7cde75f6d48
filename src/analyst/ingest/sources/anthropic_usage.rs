//! Anthropic's own counts of usage: the export of the Console's usage page (CSV), and the Admin API's reports of
//! messages and of Claude Code.
//!
//! Each row is the sum of a period, a day by default, of an unknown number of requests. Columns of the export as in
//! exports of 2026 (and an older one with a single column for cache writes); fields of the reports as in the Admin
//! API reference (`usage_report/messages`, `usage_report/claude_code`). Input excludes tokens read from and written
//! to a cache.

use super::{
    Stateless,
    anthropic_messages::{WEB_SEARCHES, tokens},
    shared::{group_by, identify_sum, tier},
};
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage};

/// The CSV export of the Console.
pub(super) static CONSOLE: Stateless =
    Stateless { name: "Anthropic Console export", recognises: is_console, read: read_console };

/// The report of messages.
pub(super) static REPORT: Stateless =
    Stateless { name: "Anthropic usage report", recognises: is_report, read: read_report };

/// The report of Claude Code, one record for each user and day.
pub(super) static CLAUDE_CODE: Stateless =
    Stateless { name: "Anthropic Claude Code report", recognises: is_claude_code, read: read_claude_code };

const DAY: i64 = 86_400_000;

fn is_console(record: Record<'_>) -> bool {
    record.has_all(&["usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens"])
}

fn read_console(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let start = sink.optional("time", record.time("usage_date_utc", None));
    let mut usage = Usage {
        start_ms: start,
        // An export by the hour has times of day.
        period_ms: start.filter(|ms| ms.rem_euclid(DAY) == 0).map(|_| DAY),
        requests: Some(0),
        model: record.text("model_version"),
        input: record.count("usage_input_tokens_no_cache")?,
        output: record.count("usage_output_tokens")?,
        cached: record.count("usage_input_tokens_cache_read")?,
        cache_write: record.sum(&[
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
            "usage_input_tokens_cache_write",
        ])?,
        cache_write_1h: record.count("usage_input_tokens_cache_write_1h")?,
        tier: tier(record.text("usage_type").as_deref()),
        ..Usage::default()
    };
    usage.add_cache_to_input();
    group_by(
        &mut usage,
        record,
        &[
            ("key", "api_key"),
            ("project", "workspace"),
            ("type", "usage_type"),
            ("context window", "context_window"),
            ("speed", "speed"),
        ],
    );
    usage.group("region", record.text("inference_geo").filter(|region| region != "not_available"));
    if record.count("web_search_count")?.unwrap_or(0) > 0 {
        sink.unknown(WEB_SEARCHES);
    }
    identify_sum(&mut usage);
    sink.push(usage);
    Ok(())
}

fn is_report(record: Record<'_>) -> bool {
    is_result(record) || record.items("results").any(is_result) || record.items("data").any(is_report)
}

fn is_result(record: Record<'_>) -> bool {
    record.has_all(&["uncached_input_tokens", "cache_read_input_tokens", "output_tokens"])
}

/// Reads a page, a bucket or a result.
fn read_report(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if is_result(record) {
        return read_result(record, record, sink);
    }
    record.items("data").try_for_each(|bucket| read_report(bucket, sink))?;
    record.items("results").try_for_each(|result| read_result(result, record, sink))
}

fn read_result<'a>(record: Record<'a>, bucket: Record<'a>, sink: &mut Sink<'_>) -> Result<(), String> {
    let start = sink.optional("time", bucket.time("starting_at", None));
    let end = sink.optional("end time", bucket.time("ending_at", None));
    let mut usage = Usage {
        start_ms: start,
        period_ms: start.zip(end).map(|(start, end)| end - start),
        requests: Some(0),
        model: record.text("model"),
        tier: tier(record.text("service_tier").as_deref()),
        ..tokens(record)?
    };
    usage.group("key", record.text("api_key_id"));
    usage.group("project", record.text("workspace_id"));
    usage.group("user", record.first_text(&["account_id", "service_account_id"]));
    usage.group("tier", record.text("service_tier"));
    usage.group("context window", record.text("context_window"));
    usage.group("region", record.text("inference_geo").filter(|region| region != "not_available"));
    if record.count("server_tool_use.web_search_requests")?.unwrap_or(0) > 0 {
        sink.unknown(WEB_SEARCHES);
    }
    identify_sum(&mut usage);
    sink.push(usage);
    Ok(())
}

fn is_claude_code(record: Record<'_>) -> bool {
    record.has_all(&["actor", "date", "core_metrics", "model_breakdown"])
}

fn read_claude_code(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    for part in record.items("model_breakdown") {
        let cost = sink.optional("cost", part.money("estimated_cost.amount"));
        let mut usage = Usage {
            start_ms: sink.optional("time", record.time("date", None)),
            period_ms: Some(DAY),
            requests: Some(0),
            model: part.text("model"),
            input: part.count("tokens.input")?,
            output: part.count("tokens.output")?,
            cached: part.count("tokens.cache_read")?,
            cache_write: part.count("tokens.cache_creation")?,
            // In cents.
            cost: cost.map(|mut cost| {
                cost.amount /= 100.0;
                cost
            }),
            ..Usage::default()
        };
        usage.add_cache_to_input();
        usage.group("user", record.first_text(&["actor.email_address", "actor.api_key_name"]));
        group_by(
            &mut usage,
            record,
            &[("organization", "organization_id"), ("terminal", "terminal_type"), ("plan", "customer_type")],
        );
        identify_sum(&mut usage);
        sink.push(usage);
    }
    if record.items("model_breakdown").next().is_none() {
        sink.skip("days of users without requests");
    }
    Ok(())
}
