//! What a person's feed looks like: their threads, which of them run, which have something new.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{RunId, ThreadId, ThreadInfo};

/// A person's threads, folded from the log of `user`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct UserFeed {
    /// The threads, the one with the newest activity first.
    pub threads: Vec<ThreadSummary>,
    /// Where the threads begin that are not here, in a feed that is only a part; absent: all are here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<FeedPlace>,
}

/// A place in the order of a feed, on the wire `<active_at>.<thread_id>`: the threads after it are older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeedPlace {
    /// When the thread at the place was made or last ran, in milliseconds since 1970.
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
        let (active_at, thread_id) = parts.ok_or("a place in the feed is what a page of it named in `older`")?;
        Ok(Self { active_at, thread_id })
    }
}

impl TryFrom<String> for FeedPlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(feature = "ssr")]
impl schemars::JsonSchema for FeedPlace {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FeedPlace".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A place in the order of a feed, `<active_at>.<thread_id>`: the threads after it are older.",
            "type": "string"
        })
    }
}

/// A thread as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct ThreadSummary {
    /// Title and agent.
    pub info: ThreadInfo,
    /// When it was made or last ran, in milliseconds since 1970.
    pub active_at: i64,
    /// The runs that are not over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<RunId>,
    /// The runs that wait for the person's answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asking: Vec<RunId>,
    /// A run ended since the person last looked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let place = FeedPlace { active_at: 1_767_225_600_000, thread_id: ThreadId::new() };
        assert_eq!(place.to_string().parse(), Ok(place));
        assert!("1.2".parse::<FeedPlace>().is_err());
        assert!("".parse::<FeedPlace>().is_err());
    }
}
