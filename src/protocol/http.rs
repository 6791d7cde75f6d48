//! The JSON bodies of the HTTP API. Errors are [`Problem`]s.

pub mod agent_entry;
mod agents;
mod auth;
mod check;
mod imports;
mod inbox;
mod raw_events;
mod run_entries;
mod search;
mod tools;
mod usage;

use serde::{Deserialize, Serialize};

pub use agents::{AdminAgent, AdminAgents, AgentInfo, AgentKind, AgentSource, FeedbackCounts, Health, LastFailure};
pub use auth::{
    AccessToken, AuthConfig, ChangePassword, Config, Role, Setup, SignIn, SignedIn, SocketConfig, Ticket, User,
};
pub use check::{AgentCheck, CheckAgent, Finding, FindingLevel};
pub use imports::{ImportFormat, ImportReport};
pub use inbox::{InboxItem, InboxPage};
pub use raw_events::{RawEvent, RawEvents};
pub use run_entries::{RunEntries, RunEntry};
pub use search::{ExcerptPart, SearchHit, SearchHitKind, SearchPage};
pub use tools::{AdminTools, Consent, ToolInfo, ToolSource, ToolSourceState};
pub use usage::{Budget, OwnUsage, Usage, UsageReport, UsageRow, UsageSum};

use super::{Cursor, FeedPlace, FileId, ThreadSummary};

/// The response to `POST /api/threads/<thread_id>/files` and `POST /api/files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Uploaded {
    /// The file's id.
    pub file_id: FileId,
    /// The file's name.
    pub name: String,
    /// The size in bytes.
    pub bytes: u64,
}

/// The response to `GET /api/threads?before=<older>&limit=50`: a page of the caller's threads, most recently active first. Archived
/// threads are left out; `archived=true` lists them instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ThreadPage {
    /// The position in the log of `user` at which this is the state.
    pub cursor: Cursor,
    /// The threads. The newest page also contains pinned threads and those that wait for the person's answer.
    pub threads: Vec<ThreadSummary>,
    /// The `before` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<FeedPlace>,
}

/// An error as RFC 9457 `application/problem+json`, with a stable `code`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The HTTP status's name.
    pub title: String,
    /// A stable code for programs.
    pub code: String,
    /// One sentence for a person: what is wrong and what to do.
    pub detail: String,
    /// Milliseconds after which a retry may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}
