//! Reports of ccusage, which sums up the logs of Claude Code and other coding agents: `ccusage daily --json`, `weekly`, `monthly`,
//! `session` and `blocks`.
//!
//! Fields as in its documentation ("JSON output") and the expected outputs of its tests. Each item is the sum of a day, a week, a month, a
//! session or five hours; `modelBreakdowns` has a part for each model. Newer reports name the time of all but sessions and blocks `period`. Input excludes tokens read from and written to a cache. Costs are computed by ccusage from list prices.

use super::{Stateless, shared::identify_sum};
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage};

/// The source.
pub(super) static REPORTS: Stateless = Stateless { name: "ccusage report", recognises, read };

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A list of a report: its name, the period of its items, and the field with their time.
struct List {
    name: &'static str,
    period_ms: Option<i64>,
    time: &'static str,
}

const LISTS: &[List] = &[
    List { name: "daily", period_ms: Some(DAY), time: "date" },
    List { name: "weekly", period_ms: Some(7 * DAY), time: "week" },
    List { name: "monthly", period_ms: Some(31 * DAY), time: "month" },
    List { name: "sessions", period_ms: None, time: "lastActivity" },
    List { name: "session", period_ms: None, time: "lastActivity" },
    List { name: "blocks", period_ms: Some(5 * HOUR), time: "startTime" },
];

fn recognises(record: Record<'_>) -> bool {
    is_item(record) || LISTS.iter().any(|list| record.items(list.name).any(is_item))
}

fn is_item(item: Record<'_>) -> bool {
    item.has_all(&["inputTokens", "outputTokens", "cacheReadTokens", "totalCost"])
        || item.has_all(&["tokenCounts.inputTokens", "tokenCounts.cacheReadInputTokens", "costUSD"])
}

/// Reads a report, or an item of one whose list was taken apart before.
fn read(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if is_item(record) {
        let list = LISTS.iter().find(|list| record.has(list.time)).ok_or("time is missing")?;
        return read_item(record, list, sink);
    }
    LISTS.iter().try_for_each(|list| record.items(list.name).try_for_each(|item| read_item(item, list, sink)))
}

fn read_item(item: Record<'_>, list: &List, sink: &mut Sink<'_>) -> Result<(), String> {
    if item.truth("isGap") == Some(true) {
        sink.skip("hours without requests");
        return Ok(());
    }
    if item.items("modelBreakdowns").next().is_none() {
        // Without parts by model, an item of one model is that model's.
        let models = item.json("modelsUsed").or_else(|| item.json("models")).and_then(|models| models.as_array());
        let only_model = models.filter(|models| models.len() == 1).and_then(|models| models[0].as_str());
        return push(item, item, list, only_model, sink);
    }
    item.items("modelBreakdowns").try_for_each(|part| push(item, part, list, None, sink))
}

/// Pushes an item, or its part of one model.
fn push<'a>(
    item: Record<'a>,
    counts: Record<'a>,
    list: &List,
    model: Option<&'a str>,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    // The `period` of a session is its name.
    let time = if list.period_ms.is_some() && !item.has(list.time) { "period" } else { list.time };
    let mut usage = Usage {
        start_ms: sink.optional("time", item.time(time, None)),
        period_ms: list.period_ms,
        requests: Some(0),
        model: counts.text("modelName").or_else(|| model.map(Into::into)),
        input: counts.first_count(&["inputTokens", "tokenCounts.inputTokens"])?,
        output: counts.first_count(&["outputTokens", "tokenCounts.outputTokens"])?,
        cached: counts.first_count(&["cacheReadTokens", "tokenCounts.cacheReadInputTokens"])?,
        cache_write: counts.first_count(&["cacheCreationTokens", "tokenCounts.cacheCreationInputTokens"])?,
        cost: ["cost", "totalCost", "costUSD"].iter().find_map(|path| sink.optional("cost", counts.money(path))),
        ..Usage::default()
    };
    usage.add_cache_to_input();
    usage.group("session", item.text("sessionId"));
    usage.group("project", item.first_text(&["project", "projectPath"]));
    identify_sum(&mut usage);
    sink.push(usage);
    Ok(())
}
