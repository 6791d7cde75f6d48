//! What several sources need.

use std::borrow::Cow;

use serde_json::Value;

use crate::analyst::{
    dataset::{Kind, Tier},
    ingest::{record::Record, sink::Sink, usage::Usage},
};

/// Fields with the time of a request, in logs that keep the answer of an API and add a time of their own.
pub(super) const TIMES: &[&str] =
    &["timestamp", "@timestamp", "created_at", "createdAt", "time", "ts", "date", "start_time", "startTime"];

/// The service tier of this name.
pub(super) fn tier(name: Option<&str>) -> Tier {
    match name.map(str::to_ascii_lowercase).as_deref() {
        Some("batch") => Tier::Batch,
        Some("flex" | "flex_discount") => Tier::Flex,
        Some("priority" | "priority_on_demand") => Tier::Priority,
        _ => Tier::Standard,
    }
}

/// Adds values to group by: name, and the path at which the record has it.
pub(super) fn group_by<'a>(usage: &mut Usage<'a>, record: Record<'a>, names: &[(&'static str, &str)]) {
    for (name, path) in names {
        usage.group(name, record.text(path));
    }
}

/// Adds the texts of an object of tags, each under its own name.
pub(super) fn group_by_tags<'a>(usage: &mut Usage<'a>, tags: Option<&'a Value>) {
    for (name, value) in tags.and_then(Value::as_object).into_iter().flatten() {
        if let Some(text) = value.as_str() {
            usage.group(name, Some(Cow::Borrowed(text)));
        }
    }
}

/// Whether the name of a model is one of an embedding model.
pub(super) fn is_embedding_model(model: &str) -> bool {
    model.to_ascii_lowercase().contains("embed")
}

/// Shortest period whose sums are recognised when they are repeated.
const HOUR: i64 = 3_600_000;

/// Gives the sum of a period an id made of all its values, so that it counts once where exports overlap. Of shorter
/// periods, two sums may have the same values by chance.
pub(super) fn identify_sum(usage: &mut Usage<'_>) {
    let Some(period) = usage.period_ms.filter(|ms| *ms >= HOUR) else { return };
    let counts = [usage.input, usage.output, usage.cached, usage.cache_write, usage.requests];
    let cost = usage.cost.as_ref().map(|cost| cost.amount);
    let kinds = (usage.tier, usage.kind);
    let id = format!("{:?}", (usage.start_ms, period, &usage.model, counts, cost, kinds, &usage.groups));
    usage.request_id = Some(Cow::Owned(id));
}

/// States that images and audio are billed in another way, if the usage has no tokens.
pub(super) fn note_without_tokens(usage: &Usage<'_>, sink: &mut Sink<'_>) {
    if !usage.has_tokens() && matches!(usage.kind, Kind::Image | Kind::Audio) {
        sink.unknown(
            "Images and audio without tokens are billed by number or length: costs at list prices leave them out.",
        );
    }
}
