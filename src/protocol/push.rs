//! What the server says unasked.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ChannelName, ConnectionId, Epoch, ErrorBody, NoticeId, RunId, UserId, http::Role};

/// The person a connection belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct WelcomeUser {
    /// The person.
    pub id: UserId,
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
}

/// The first push of every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Welcome {
    /// This connection.
    pub connection_id: ConnectionId,
    /// Whose it is.
    pub user: WelcomeUser,
    /// The node that serves it.
    pub node: String,
    /// The server's clock, in milliseconds since 1970.
    pub server_time: i64,
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u64,
    /// The largest frame the client may send, in bytes.
    pub max_frame_bytes: usize,
    /// When the credentials run out, in milliseconds since 1970: the socket is then closed 4401.
    pub expires_at: i64,
}

/// One entry of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct EventPush {
    /// The channel.
    pub channel: ChannelName,
    /// Its log's epoch.
    pub epoch: Epoch,
    /// The entry's place: 1, 2, 3 ... per channel. Absent: not kept, and may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it was appended, in milliseconds since 1970.
    pub at: i64,
    /// A `ThreadEntry` or a `UserEntry`, by channel; read it with [`super::Entry::decode`]. Without `seq` a `ThreadSignal`.
    pub entry: Value,
}

/// A person, as others see them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Person {
    /// The person.
    pub id: UserId,
    /// The name.
    pub name: String,
}

/// Somebody who has a thread open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Present {
    /// Who.
    pub user: Person,
    /// In how many places: tabs, devices, programs.
    pub connections: u32,
}

/// What is said on `thread/<id>` and not kept: an `event` without `seq`. It may be lost, and the next one tells all again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ThreadSignal {
    /// Who has the thread open now. Nothing is said to one who is alone and always was.
    Presence {
        /// Everyone, by id.
        present: Vec<Present>,
    },
    /// Which of the thread's runs wait, and where in line. A run that is not named does not wait.
    Queue {
        /// The runs that wait, in order.
        waiting: Vec<Waiting>,
    },
}

/// What a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// Earlier messages of its thread.
    Thread,
    /// Other runs of the same person.
    Person,
    /// Other runs of the same agent.
    Agent,
    /// Any run of the server.
    Server,
}

/// A run's place in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Waiting {
    /// The run.
    pub run_id: RunId,
    /// 1: the next to begin of those that wait for the same.
    pub position: u32,
    /// What it waits for.
    pub waits_for: WaitsFor,
}

/// The server restarts soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Draining {
    /// Milliseconds after the close at which this client comes back; another for each, so that they come spread.
    pub reconnect_in_ms: u64,
}

/// Words of an administrator to everyone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Notice {
    /// This notice.
    pub id: NoticeId,
    /// Plain text.
    pub text: String,
    /// When it was sent, in milliseconds since 1970.
    pub at: i64,
}

/// Every push, as `{"type", "payload"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum Push {
    /// The connection is open and whose it is.
    Welcome(Welcome),
    /// An entry of a channel that the connection follows.
    Event(EventPush),
    /// A frame that no reply can answer was refused.
    Error(ErrorBody),
    /// The server restarts soon.
    Draining(Draining),
    /// Words of an administrator.
    Notice(Notice),
    /// A push of a kind that this build does not know; never sent.
    #[serde(skip)]
    Unknown(String),
}
