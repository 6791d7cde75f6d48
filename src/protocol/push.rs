//! The pushes: frames that the server sends without a command.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ChannelName, ConnectionId, Epoch, ErrorBody, NoticeId, RunId, UserId, http::Role};

/// The person who is signed in on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Welcome {
    /// The connection's id.
    pub connection_id: ConnectionId,
    /// Who is signed in on it.
    pub user: WelcomeUser,
    /// The name of the node that serves it.
    pub node: String,
    /// The server's clock, in milliseconds since 1970.
    pub server_time: i64,
    /// The heartbeat interval, in milliseconds.
    pub heartbeat_ms: u64,
    /// The maximum size of a client's frame, in bytes.
    pub max_frame_bytes: usize,
    /// When the credentials expire, in milliseconds since 1970; the socket is then closed with 4401.
    pub expires_at: i64,
}

/// One entry of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventPush {
    /// The channel.
    pub channel: ChannelName,
    /// The log's epoch.
    pub epoch: Epoch,
    /// The entry's position in the channel's log: 1, 2, 3 ... Absent for a signal, which is not stored and may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it was appended, in milliseconds since 1970.
    pub at: i64,
    /// A `ThreadEntry` or `UserEntry`, by channel; without `seq`, a `ThreadSignal`. [`super::Entry::decode`] decodes it.
    pub entry: Value,
}

/// A person, as other people see them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Person {
    /// The person.
    pub id: UserId,
    /// The name.
    pub name: String,
}

/// A person who has a thread open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Present {
    /// Who.
    pub user: Person,
    /// On how many connections: tabs, devices, programs.
    pub connections: u32,
}

/// A signal on `thread/<id>`, sent as an `event` without `seq`. It may be lost; each one replaces the previous one of its
/// kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ThreadSignal {
    /// Who has the thread open now. Not sent until a second connection has opened the thread.
    Presence {
        /// Everyone, ordered by id.
        present: Vec<Present>,
    },
    /// Which of the thread's runs wait, with their places in line. A run that is not listed does not wait.
    Queue {
        /// The runs that wait, in order.
        waiting: Vec<Waiting>,
    },
}

/// What a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// Earlier messages of its thread.
    Thread,
    /// Other runs of the same person.
    Person,
    /// Other runs of the same agent.
    Agent,
    /// Other runs on the server.
    Server,
}

/// A waiting run's place in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Waiting {
    /// The run.
    pub run_id: RunId,
    /// The place among the runs that wait for the same thing; 1 begins next.
    pub position: u32,
    /// What it waits for.
    pub waits_for: WaitsFor,
}

/// The server restarts soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Draining {
    /// How many milliseconds after the close this client shall reconnect. Differs per client, so that they do not all return at once.
    pub reconnect_in_ms: u64,
}

/// An administrator's message to everyone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notice {
    /// The notice's id.
    pub id: NoticeId,
    /// The message, as plain text.
    pub text: String,
    /// When it was sent, in milliseconds since 1970.
    pub at: i64,
}

/// Every push, as `{"type", "payload"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum Push {
    /// The connection is open.
    Welcome(Welcome),
    /// An entry of a channel that the connection follows.
    Event(EventPush),
    /// A frame without a valid id was refused.
    Error(ErrorBody),
    /// The server restarts soon.
    Draining(Draining),
    /// An administrator's message to everyone.
    Notice(Notice),
    /// A push of an unknown type; never sent.
    #[serde(skip)]
    Unknown(String),
}
