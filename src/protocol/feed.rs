//! A person's feed: their threads, which of them have active runs, and which are unread.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{RunId, Tag, ThreadId, ThreadInfo};

/// A person's threads, folded from the log of the channel `user`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserFeed {
    /// The threads, most recently active first.
    pub threads: Vec<ThreadSummary>,
    /// In a partial feed: the place after which the missing, older threads begin. Absent if the feed is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<FeedPlace>,
    /// The person's tags, by name. Complete, also in a partial feed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// A place in a feed's order, `<active_at>.<thread_id>` on the wire. The threads after it are older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeedPlace {
    /// When the thread at this place was created or last had a run, in milliseconds since 1970.
    pub active_at: i64,
    /// The thread.
    pub thread_id: ThreadId,
}

impl fmt::Display for FeedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.active_at, self.thread_id)
    }
}

impl From<FeedPlace> for String {
    fn from(place: FeedPlace) -> Self {
        place.to_string()
    }
}

impl FromStr for FeedPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
        let (active_at, thread_id) = parts.ok_or("not a place in the feed; use the `older` of a page")?;
        Ok(Self { active_at, thread_id })
    }
}

impl TryFrom<String> for FeedPlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for FeedPlace {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FeedPlace".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A place in a feed's order, `<active_at>.<thread_id>`. The threads after it are older.",
            "type": "string"
        })
    }
}

/// A thread in the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ThreadSummary {
    /// Title and agent.
    pub info: ThreadInfo,
    /// When it was created or last had a run, in milliseconds since 1970.
    pub active_at: i64,
    /// The runs that have not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<RunId>,
    /// The interrupted runs that wait for the person's answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asking: Vec<RunId>,
    /// Whether a run ended since the person last marked the thread as read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    /// Whether the newest run failed, and the person has not marked the thread as read since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

impl ThreadSummary {
    /// A new thread without runs.
    #[must_use]
    pub fn new(info: ThreadInfo, active_at: i64) -> Self {
        Self { info, active_at, running: Vec::new(), asking: Vec::new(), unread: false, failed: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_parses_as_it_was_written() {
        let place = FeedPlace { active_at: 1_767_225_600_000, thread_id: ThreadId::new() };
        assert_eq!(place.to_string().parse(), Ok(place));
        assert!("1.2".parse::<FeedPlace>().is_err());
        assert!("".parse::<FeedPlace>().is_err());
    }
}
