//! Usage events of Cursor: the dashboard's CSV export, and the events of its APIs (`usageEventsDisplay`,
//! `usageEvents`).
//!
//! Source: Cursor's Admin API (`filtered-usage-events`), and exports of its dashboard. The export's column `Input (w/
//! Cache Write)` holds the tokens written to a cache in some exports, and all uncached input in others: `Total Tokens`
//! decides. `Included` or `Free` as a cost means that the plan covers the request: it has no charge of its own.

use super::Stateless;
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage, values::Money};

/// The CSV export.
pub(super) static EXPORT: Stateless =
    Stateless { name: "Cursor usage export", recognises: is_export, read: read_export };

/// Events of the dashboard's API and of the Admin API.
pub(super) static EVENTS: Stateless = Stateless { name: "Cursor usage events", recognises: is_event, read: read_event };

const WITH_WRITE: &str = "Input (w/ Cache Write)";
const WITHOUT_WRITE: &str = "Input (w/o Cache Write)";

fn is_export(record: Record<'_>) -> bool {
    record.has_all(&["Date", "Model", WITH_WRITE, WITHOUT_WRITE, "Cache Read"])
}

fn read_export(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let (with, without) = (record.count(WITH_WRITE)?, record.count(WITHOUT_WRITE)?);
    let (cached, output) = (record.count("Cache Read")?, record.first_count(&["Output Tokens", "Output"])?);
    let total = record.first_count(&["Total Tokens", "Tokens"])?;
    let (read, written) = (cached.unwrap_or(0), with.unwrap_or(0));
    let parts = read.saturating_add(written).saturating_add(output.unwrap_or(0));
    let includes_uncached = total == Some(parts) && written >= without.unwrap_or(0);
    let cache_write = with.map(|with| if includes_uncached { with.saturating_sub(without.unwrap_or(0)) } else { with });
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("Date", None)),
        model: record.text("Model"),
        input: without,
        output,
        total,
        cached,
        cache_write,
        cost: ["Cost", "Cost to you", "Cost ($)"].iter().find_map(|column| read_cost(record, column, sink)),
        failed: record.text("Kind").map(|kind| kind.to_ascii_lowercase().contains("errored")),
        ..Usage::default()
    };
    if usage.input.is_none() && usage.output.is_none() {
        sink.skip("events without token counts");
        return Ok(());
    }
    usage.add_cache_to_input();
    for (name, column) in [("user", "User"), ("type", "Kind"), ("max mode", "Max Mode"), ("agent", "Cloud Agent ID")] {
        usage.group(name, record.text(column));
    }
    sink.push(usage);
    Ok(())
}

/// A cost in dollars; words such as `Included` mean that there is none.
fn read_cost(record: Record<'_>, path: &str, sink: &mut Sink<'_>) -> Option<Money> {
    let words = |text: &str| !text.contains(|c: char| c.is_ascii_digit());
    match record.text(path) {
        Some(text) if words(&text) => None,
        _ => sink.optional("cost", record.money(path)),
    }
}

fn is_event(record: Record<'_>) -> bool {
    record.has_all(&["timestamp", "model", "kind"])
        && ["tokenUsage", "usageBasedCosts", "requestsCosts", "chargedCents"].iter().any(|name| record.has(name))
}

fn read_event(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let count = |name: &str| record.count(&format!("tokenUsage.{name}"));
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("timestamp", None)),
        model: record.text("model"),
        input: count("inputTokens")?,
        output: count("outputTokens")?,
        cached: count("cacheReadTokens")?,
        cache_write: count("cacheWriteTokens")?,
        cost: event_cost(record, sink),
        failed: record.text("kind").map(|kind| kind.to_ascii_lowercase().contains("errored")),
        ..Usage::default()
    };
    if !["inputTokens", "outputTokens", "cacheReadTokens"].iter().any(|name| record.has(&format!("tokenUsage.{name}")))
    {
        sink.skip("events without token counts (failed, or charged by request)");
        return Ok(());
    }
    usage.add_cache_to_input();
    usage.group("user", record.first_text(&["userEmail", "owningUser"]));
    usage.group("type", record.text("kind"));
    usage.group("max mode", record.text("maxMode"));
    usage.group("session", record.text("conversationId"));
    sink.push(usage);
    Ok(())
}

/// What Cursor charges for an event; for one that the plan covers, nothing, though `totalCents` states what it is
/// worth.
fn event_cost(record: Record<'_>, sink: &mut Sink<'_>) -> Option<Money> {
    let kind = record.text("kind").unwrap_or_default().to_ascii_lowercase();
    if kind.contains("included") || record.truth("isChargeable") == Some(false) {
        return None;
    }
    for path in ["chargedCents", "tokenUsage.totalCents"] {
        if let Some(cents) = sink.optional("cost", record.number(path)) {
            return Some(Money { amount: cents / 100.0, currency: None });
        }
    }
    read_cost(record, "usageBasedCosts", sink)
}
