//! What a client may ask: each command's payload, and what its `ok` reply carries.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    ChannelName, Cursor, Epoch, FileId, InterruptAnswer, MessageId, RunId, ThreadId, ThreadInfo, ThreadView, UserFeed,
};

/// Ties a command's payload to its type on the wire and to its answer.
pub trait Request: Into<Command> {
    /// `type` on the wire.
    const TYPE: &'static str;
    /// The payload of the `ok` reply.
    type Ok: DeserializeOwned + Serialize + Send + 'static;
}

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $kind:literal -> $ok:ty;)*) => {
        /// Every command, as `{"type", "payload"}`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
        #[serde(tag = "type", content = "payload")]
        pub enum Command {
            $($(#[$doc])* #[serde(rename = $kind)] $name($name),)*
        }

        $(
            impl Request for $name {
                const TYPE: &'static str = $kind;
                type Ok = $ok;
            }

            impl From<$name> for Command {
                fn from(payload: $name) -> Self {
                    Self::$name(payload)
                }
            }
        )*

        impl Command {
            /// Every command's type, in the order of the documentation.
            pub const TYPES: &'static [&'static str] = &[$($kind),*];

            /// This command's type on the wire.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $kind,)* }
            }
        }
    };
}

commands! {
    /// Follow a channel, from a cursor or from now.
    Subscribe = "subscribe" -> Subscribed;
    /// Stop following a channel.
    Unsubscribe = "unsubscribe" -> Accepted;
    /// Make a thread.
    CreateThread = "create_thread" -> ThreadReply;
    /// Give a thread another title.
    RenameThread = "rename_thread" -> ThreadReply;
    /// Let another agent answer in a thread from now on.
    SetAgent = "set_agent" -> ThreadReply;
    /// Delete a thread with all that is in it.
    DeleteThread = "delete_thread" -> Accepted;
    /// Say something in a thread; an agent's run answers.
    SendMessage = "send_message" -> MessageAccepted;
    /// Take a message back whose run has not begun.
    TakeBack = "take_back" -> Accepted;
    /// Answer what a run waits for; the agent goes on in a new run.
    Answer = "answer" -> MessageAccepted;
    /// Stop a run within a second.
    StopRun = "stop_run" -> Accepted;
    /// The person has seen what there is in a thread.
    MarkRead = "mark_read" -> Accepted;
    /// Ask for a sign of life.
    Ping = "ping" -> Pong;
}

/// `subscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// The channel to follow.
    pub channel: ChannelName,
    /// The position that the client has reached; absent: it has nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Cursor>,
    /// Of `user`: at most so many threads in a snapshot, the newest; `GET /api/threads` has the others. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<u32>,
}

/// `unsubscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Unsubscribe {
    /// The channel to leave.
    pub channel: ChannelName,
}

/// `create_thread`. The same id with the same content again answers the same thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateThread {
    /// The new thread's id, minted by the client.
    pub thread_id: ThreadId,
    /// Its title; absent: taken from the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The id of the agent that answers in it; absent: the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// `rename_thread`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RenameThread {
    /// The thread.
    pub thread_id: ThreadId,
    /// Its new title.
    pub title: String,
}

/// `set_agent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetAgent {
    /// The thread.
    pub thread_id: ThreadId,
    /// The id of the agent that answers from now on.
    pub agent: String,
}

/// `delete_thread`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeleteThread {
    /// The thread.
    pub thread_id: ThreadId,
}

/// `send_message`. The same id with the same content again answers the same run.
///
/// While a run of the thread goes on the message waits its turn. A thread is a tree of messages: one that `replaces` another
/// stands in its place, for the same question asked again or an edited one, and what was said before stays reachable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// The message's id, minted by the client.
    pub message_id: MessageId,
    /// Where it is said.
    pub thread_id: ThreadId,
    /// What is said: plain text, at most [`super::limits::MAX_MESSAGE_BYTES`] bytes.
    pub text: String,
    /// The id of the agent that shall answer; absent: the thread's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Files of this thread that belong to the message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<FileId>,
    /// The message that this one is said after; absent: the thread's newest. Not together with `replaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<MessageId>,
    /// The message in whose place this one stands, as another version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<MessageId>,
    /// What the calling program calls the message, where its ids are others: 1 to [`super::limits::MAX_EXTERNAL_ID_BYTES`]
    /// bytes. It is given back with the message, and means nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

impl SendMessage {
    /// A new message to the thread's agent.
    #[must_use]
    pub fn new(thread_id: ThreadId, text: impl Into<String>) -> Self {
        Self {
            message_id: MessageId::new(),
            thread_id,
            text: text.into(),
            agent: None,
            attachments: Vec::new(),
            after: None,
            replaces: None,
            external_id: None,
        }
    }
}

/// `take_back`. One that was taken back already is fine; one whose run has begun is a `conflict`: stop the run instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TakeBack {
    /// The thread.
    pub thread_id: ThreadId,
    /// The message.
    pub message_id: MessageId,
}

/// `answer`: a person's answers to all that an interrupted run waits for. Once: another answer is a `conflict`; the same
/// id with the same content again answers the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The answer's id, minted by the client.
    pub answer_id: MessageId,
    /// The thread.
    pub thread_id: ThreadId,
    /// The run that waits.
    pub run_id: RunId,
    /// One answer for each of its interrupts.
    pub answers: Vec<InterruptAnswer>,
}

/// `stop_run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StopRun {
    /// The run. One that has ended already is fine: nothing changes.
    pub run_id: RunId,
}

/// `mark_read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MarkRead {
    /// The thread.
    pub thread_id: ThreadId,
}

/// `ping`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ping {}

/// An `ok` that says no more than that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Accepted {}

/// How a subscription goes on from the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The cursor is at the head: nothing was missed.
    Live,
    /// Every entry after the cursor follows.
    Replay,
    /// `snapshot` is the whole state at `seq`; entries after it follow.
    Snapshot,
}

/// The reducer's state of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Snapshot {
    /// Of `thread/<id>`.
    Thread(ThreadView),
    /// Of `user`.
    User(UserFeed),
}

/// The answer to `subscribe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Subscribed {
    /// The channel.
    pub channel: ChannelName,
    /// Its log's epoch.
    pub epoch: Epoch,
    /// `live` and `snapshot`: the position of that state. `replay`: the cursor, after which entries follow.
    pub seq: u64,
    /// How it goes on.
    pub mode: Mode,
    /// With `snapshot`: the state at `seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
}

/// The answer to `create_thread` and `rename_thread`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct ThreadReply {
    /// The thread as it is now.
    pub thread: ThreadInfo,
}

/// The answer to `send_message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct MessageAccepted {
    /// The run that answers the message.
    pub run_id: RunId,
    /// The message's place in the thread's log.
    pub seq: u64,
}

/// The answer to `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Pong {
    /// The server's clock, in milliseconds since 1970.
    pub server_time: i64,
}
