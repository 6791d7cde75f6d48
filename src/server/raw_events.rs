//! RAW events of agents with `keep_raw`: the events of a framework from which its AG-UI events were made.
//!
//! They are stored apart from the thread's entries, so that opening a thread does not load them, and are deleted with their run.

use futures_util::TryStreamExt;
use serde_json::Value;

use crate::{
    protocol::{
        RunId, ThreadId,
        agui::Event,
        http::{RawEvent, RawEvents},
    },
    server::{channel::Channels, clock::now_ms, error::Result, store::row},
};

/// A page with more bytes than this takes no further event.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

row! {
    struct EventRow {
        seq: i64,
        at: i64,
        event: String,
    }
}

/// Stores events of a run, in order.
///
/// # Errors
/// If the store fails, or the run was deleted.
pub async fn keep(channels: &Channels, thread_id: ThreadId, run_id: RunId, events: &[Event]) -> Result<()> {
    let at = now_ms();
    let mut tx = channels.begin().await?;
    let last = "SELECT COALESCE(MAX(seq), 0) FROM raw_events WHERE run_id = $1";
    let last: i64 = sqlx::query_scalar(last).bind(run_id).fetch_one(tx.sql()).await?;
    let mut bytes = 0;
    for (seq, event) in (last + 1..).zip(events) {
        let event = serde_json::to_string(event)?;
        bytes += event.len();
        let sql = "INSERT INTO raw_events (run_id, seq, at, event) VALUES ($1, $2, $3, $4)";
        sqlx::query(sql).bind(run_id).bind(seq).bind(at).bind(event).execute(tx.sql()).await?;
    }
    tx.count_bytes(thread_id, bytes);
    tx.commit().await
}

/// A page of the RAW events of a run: those whose number is greater than `after`. The caller checks the access to its thread.
///
/// # Errors
/// If the store fails.
pub async fn page(channels: &Channels, run_id: RunId, after: u64) -> Result<RawEvents> {
    let mut reader = channels.store().reader().acquire().await?;
    let sql = "SELECT seq, at, event FROM raw_events WHERE run_id = $1 AND seq > $2 ORDER BY seq";
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = sqlx::query_as::<_, EventRow>(sql).bind(run_id).bind(after).fetch(&mut *reader);
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(EventRow { seq, at, event: text }) = rows.try_next().await? {
        let seq = u64::try_from(seq).unwrap_or_default();
        if bytes > MAX_PAGE_BYTES {
            let next = events.last().map(|event: &RawEvent| event.seq);
            return Ok(RawEvents { events, next });
        }
        bytes += text.len();
        events.push(RawEvent { seq, at, event: serde_json::from_str::<Value>(&text)? });
    }
    Ok(RawEvents { events, next: None })
}
