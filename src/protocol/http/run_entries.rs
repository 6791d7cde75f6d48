//! The entries of one run, as they are in its thread's log.

use serde::{Deserialize, Serialize};

use crate::protocol::ThreadEntry;

/// The response to `GET /api/runs/<run_id>/entries?after=<next>&limit=500`: a page of the entries of one of the caller's runs, in the
/// order of the log. The first is the message or the answer that requested the run; the run's events follow, to its end, and between
/// them entries `read`, for messages that its agent read meanwhile. Feedback that was given later is not among them.
///
/// A page may have fewer entries than `limit`, even none, while `next` says that there are more: entries of other runs lie between them.
/// For a run that has not ended, ask for further entries after the `seq` of the last one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunEntries {
    /// The entries.
    pub entries: Vec<RunEntry>,
    /// The `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An entry of a thread's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunEntry {
    /// Its position in the thread's log. Numbers may be missing: those of other runs, and of deltas that were merged into others after
    /// the run's end.
    pub seq: u64,
    /// When it was appended, in milliseconds since 1970.
    pub at: i64,
    /// The entry.
    pub entry: ThreadEntry,
}
