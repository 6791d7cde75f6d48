//! Search over a person's threads.

use serde::{Deserialize, Serialize};

use crate::protocol::{MessageId, RunId, ThreadId};

/// The response to `GET /api/search?q=<text>&limit=20&after=<next>`: a page of what was found in the caller's threads. Titles come first, then
/// messages and answers, the better and the newer ones first.
///
/// All words of `q` must occur, in any order; the last may be the beginning of a word, and words in double quotes must follow each other. Case and accents
/// do not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SearchPage {
    /// What was found.
    pub hits: Vec<SearchHit>,
    /// The `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A title, message or answer that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SearchHit {
    /// The thread.
    pub thread_id: ThreadId,
    /// The thread's title.
    pub title: String,
    /// What was found.
    pub kind: SearchHitKind,
    /// The message, or the message that the answer belongs to; absent for a title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The run that gave the answer, or that answers the message; absent for a title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// When the thread got this title, the message was sent, or the answer ended; in milliseconds since 1970.
    pub at: i64,
    /// The text around the first words that match. An ellipsis stands for what is left out before and after it.
    pub excerpt: Vec<ExcerptPart>,
}

/// In which text the words were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SearchHitKind {
    /// A thread's title.
    Title,
    /// A person's message.
    Message,
    /// The text of a run: the answer of an agent.
    Answer,
}

/// A part of an excerpt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExcerptPart {
    /// The text.
    pub text: String,
    /// Whether the text matches words of the query.
    pub matched: bool,
}
