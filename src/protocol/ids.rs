//! Typed ids: a run is no thread and neither is a string.
//!
//! All ids that Netra or its clients mint are UUIDv7, so they sort by time; every other version is refused where it is
//! read. Ids inside AG-UI events belong to the agent that made them and stay plain strings.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is no id or channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is no UUID at all.
    #[error("`{0}` is not a UUID")]
    NotUuid(String),
    /// The text is a UUID of another version than 7.
    #[error("`{0}` is not a UUID of version 7")]
    NotV7(String),
    /// The text names no channel.
    #[error("`{0}` is not a channel: use `user` or `thread/<thread_id>`")]
    NotChannel(String),
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, later than every id this process made before.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "each call answers another id, which no default should")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let id = Uuid::try_parse(text).map_err(|_| IdError::NotUuid(clip(text)))?;
                if id.get_version_num() == 7 { Ok(Self(id)) } else { Err(IdError::NotV7(clip(text))) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        #[cfg(feature = "ssr")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": concat!("A UUIDv7 (", stringify!($name), ")."),
                    "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$",
                })
            }
        }
    )*};
}

ids! {
    /// A thread: one conversation and its log.
    ThreadId;
    /// A message that a person wrote. Minted by the client.
    MessageId;
    /// One run of an agent.
    RunId;
    /// A person.
    UserId;
    /// One socket.
    ConnectionId;
    /// An uploaded file.
    FileId;
    /// A notice to everyone.
    NoticeId;
}

/// The part of a refused text that an error repeats: enough to recognise it by, never all of it.
fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

/// What a client subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ChannelName {
    /// `user`: the caller's own feed.
    User,
    /// `thread/<thread_id>`: one thread.
    Thread(ThreadId),
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::Thread(id) => write!(f, "thread/{id}"),
        }
    }
}

impl FromStr for ChannelName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.strip_prefix("thread/") {
            Some(id) => id.parse().map(Self::Thread),
            None if text == "user" => Ok(Self::User),
            None => Err(IdError::NotChannel(clip(text))),
        }
    }
}

impl TryFrom<String> for ChannelName {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ChannelName> for String {
    fn from(name: ChannelName) -> String {
        name.to_string()
    }
}

#[cfg(feature = "ssr")]
impl schemars::JsonSchema for ChannelName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ChannelName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "`user`, the caller's own feed, or `thread/<thread_id>`.",
            "pattern": "^(user|thread/[0-9a-fA-F-]{36})$",
        })
    }
}

/// Which log a position counts in: it changes only when a log was replaced (a restore). Opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Epoch(pub String);

/// A position in a channel's log: everything up to and including `seq` of that epoch has been applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The log's epoch.
    pub epoch: Epoch,
    /// The last applied entry; 0 for none.
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_seven_is_an_id() {
        let minted = ThreadId::new();
        assert_eq!(minted.to_string().parse(), Ok(minted));
        let v4 = "7f3d9a52-0c1e-4f4b-9a53-6d2f1c0b8e11";
        assert_eq!(v4.parse::<ThreadId>(), Err(IdError::NotV7(v4.into())));
        assert_eq!("nine".parse::<ThreadId>(), Err(IdError::NotUuid("nine".into())));
    }

    #[test]
    fn a_channel_name_reads_back_what_it_writes() {
        for name in [ChannelName::User, ChannelName::Thread(ThreadId::new())] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert!("thread/".parse::<ChannelName>().is_err());
        assert!("users".parse::<ChannelName>().is_err());
    }
}
