//! The commands: each one's payload, and the payload of its `ok` reply.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    AddMember, ChannelName, CreateTemporaryThread, Cursor, DeletePrompt, DeleteTag, EditQueued, Epoch, FileId,
    ForkThread, InterruptAnswer, KeepThread, LeaveThread, MessageId, MoveQueued, RemoveMember, RenameTag, RunFeedback,
    RunId, SavePrompt, SendMode, SetMemberRole, ShareThread, TagThreads, ThreadId, ThreadInfo, ThreadView, UserFeed,
    WithdrawLink,
};

/// A command's payload, with its `type` on the wire and the payload of its reply.
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
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
            /// Every command's `type`.
            pub const TYPES: &'static [&'static str] = &[$($kind),*];

            /// This command's `type` on the wire.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $kind,)* }
            }
        }
    };
}

commands! {
    /// Follow a channel, from a cursor or from a snapshot of its state.
    Subscribe = "subscribe" -> Subscribed;
    /// Stop following a channel.
    Unsubscribe = "unsubscribe" -> Accepted;
    /// Create a thread.
    CreateThread = "create_thread" -> ThreadReply;
    /// Create a thread that is deleted soon.
    CreateTemporaryThread = "create_temporary_thread" -> ThreadReply;
    /// Make a temporary thread an ordinary one.
    KeepThread = "keep_thread" -> ThreadReply;
    /// Create a thread with a copy of a part of another one.
    ForkThread = "fork_thread" -> ThreadReply;
    /// Change a thread's title.
    RenameThread = "rename_thread" -> ThreadReply;
    /// Pin a thread, or unpin it.
    PinThread = "pin_thread" -> ThreadReply;
    /// Archive a thread, or take it out of the archive.
    ArchiveThread = "archive_thread" -> ThreadReply;
    /// Change the agent that answers in a thread.
    SetAgent = "set_agent" -> ThreadReply;
    /// Delete a thread with its messages, runs and files.
    DeleteThread = "delete_thread" -> Accepted;
    /// Send a message in a thread; an agent's run answers it.
    SendMessage = "send_message" -> MessageAccepted;
    /// Take back a message whose run has not begun.
    TakeBack = "take_back" -> Accepted;
    /// Change a message whose run has not begun.
    EditQueued = "edit_queued" -> Accepted;
    /// Change the order in which waiting messages are answered.
    MoveQueued = "move_queued" -> Accepted;
    /// Answer the interrupts of a run; the agent continues in a new run.
    Answer = "answer" -> MessageAccepted;
    /// Stop a run.
    StopRun = "stop_run" -> Accepted;
    /// Mark a thread as read.
    MarkRead = "mark_read" -> Accepted;
    /// Add a version of an answer that a person edited.
    EditAnswer = "edit_answer" -> MessageAccepted;
    /// Say whether the answer of a run was good.
    GiveFeedback = "give_feedback" -> Accepted;
    /// Create a link with which anybody can read a thread.
    ShareThread = "share_thread" -> Accepted;
    /// Withdraw such a link.
    WithdrawLink = "withdraw_link" -> Accepted;
    /// Share a thread with another user of the instance.
    AddMember = "add_member" -> Accepted;
    /// Change what a member of a thread may do.
    SetMemberRole = "set_member_role" -> Accepted;
    /// Stop sharing a thread with a user.
    RemoveMember = "remove_member" -> Accepted;
    /// Give up the access to another user's thread.
    LeaveThread = "leave_thread" -> Accepted;
    /// Add tags to threads, and remove some.
    TagThreads = "tag_threads" -> Accepted;
    /// Change a tag's name.
    RenameTag = "rename_tag" -> Accepted;
    /// Delete a tag.
    DeleteTag = "delete_tag" -> Accepted;
    /// Create a prompt of the library, or replace it.
    SavePrompt = "save_prompt" -> Accepted;
    /// Delete a prompt of the library.
    DeletePrompt = "delete_prompt" -> Accepted;
    /// Check that the connection is alive.
    Ping = "ping" -> Pong;
}

/// `subscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// The channel to follow.
    pub channel: ChannelName,
    /// The position that the client has reached; absent if it has no state yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Cursor>,
    /// For `user`: a snapshot is as the first page of `GET /api/threads` with this limit, which also returns the other threads. Absent:
    /// all threads, archived ones too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<u32>,
}

/// `unsubscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Unsubscribe {
    /// The channel to stop following.
    pub channel: ChannelName,
}

/// `create_thread`. Sent again with the same id and content, it returns the same thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateThread {
    /// The new thread's id, generated by the client.
    pub thread_id: ThreadId,
    /// The title; absent: taken from the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The id of the agent that answers; absent: the server's default agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// `rename_thread`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RenameThread {
    /// The thread.
    pub thread_id: ThreadId,
    /// The new title.
    pub title: String,
}

/// `pin_thread`. Pinned threads are listed first. No effect if the thread is pinned, or not pinned, already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PinThread {
    /// The thread.
    pub thread_id: ThreadId,
    /// Whether to pin it.
    pub pinned: bool,
}

/// `archive_thread`. Archived threads are listed apart. A message in an archived thread takes it out of the archive. No effect if the
/// thread is archived, or not archived, already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ArchiveThread {
    /// The thread.
    pub thread_id: ThreadId,
    /// Whether to archive it.
    pub archived: bool,
}

/// `set_agent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetAgent {
    /// The thread.
    pub thread_id: ThreadId,
    /// The id of the new agent.
    pub agent: String,
}

/// `delete_thread`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeleteThread {
    /// The thread.
    pub thread_id: ThreadId,
}

/// `send_message`. Sent again with the same id and content, it returns the same run.
///
/// If a run of the thread is active, the message's run waits, unless `mode` says otherwise. A thread is a tree of messages: a message that
/// `replaces` another is a new version of it (edited, or with the same text again); the other versions are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// The message's id, generated by the client.
    pub message_id: MessageId,
    /// The thread.
    pub thread_id: ThreadId,
    /// The content: plain text, at most [`super::limits::MAX_MESSAGE_BYTES`] bytes.
    pub text: String,
    /// The id of the agent that answers; absent: the thread's agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The attached files, uploaded to this thread before, or with `POST /api/files` and not sent yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<FileId>,
    /// The message that this one follows; absent: the thread's newest. Not together with `replaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<MessageId>,
    /// The message that this one is a new version of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<MessageId>,
    /// The calling program's own id of the message: 1 to [`super::limits::MAX_EXTERNAL_ID_BYTES`] bytes. It is stored and returned
    /// with the message, and has no other effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// What happens if a run of the thread is active.
    #[serde(default, skip_serializing_if = "SendMode::is_queue")]
    pub mode: SendMode,
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
            mode: SendMode::Queue,
        }
    }
}

/// `take_back`. Succeeds too if the message was taken back already; `conflict` if its run has begun: stop the run instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TakeBack {
    /// The thread.
    pub thread_id: ThreadId,
    /// The message.
    pub message_id: MessageId,
}

/// `answer`: a person's answers to all interrupts of a run. A run can be answered once; a different answer is a `conflict`. Sent
/// again with the same id and content, it returns the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The answer's id, generated by the client.
    pub answer_id: MessageId,
    /// The thread.
    pub thread_id: ThreadId,
    /// The interrupted run.
    pub run_id: RunId,
    /// One answer for each of its interrupts.
    pub answers: Vec<InterruptAnswer>,
}

/// `stop_run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StopRun {
    /// The run. No effect if it has ended.
    pub run_id: RunId,
}

/// `mark_read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MarkRead {
    /// The thread.
    pub thread_id: ThreadId,
}

/// `edit_answer`: adds a version of the message that a run answered, with the same text and files, whose answer is the given text. The
/// run must have ended. No agent runs; later messages follow the new version. Sent again with the same id and content, it returns the
/// same reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EditAnswer {
    /// The thread.
    pub thread_id: ThreadId,
    /// The run whose answer was edited.
    pub run_id: RunId,
    /// The id of the message's new version, generated by the client.
    pub message_id: MessageId,
    /// The edited answer, in Markdown: at most [`super::limits::MAX_MESSAGE_BYTES`] bytes.
    pub text: String,
}

/// `give_feedback`: feedback on a run that has ended, in place of what was given before. Giving the same again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GiveFeedback {
    /// The thread.
    pub thread_id: ThreadId,
    /// The run.
    pub run_id: RunId,
    /// The feedback; without a rating, it is withdrawn.
    pub feedback: RunFeedback,
}

/// `ping`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ping {}

/// An empty `ok` payload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Accepted {}

/// How a subscription continues from the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The cursor is at the end of the log: nothing was missed.
    Live,
    /// Every entry after the cursor follows.
    Replay,
    /// `snapshot` is the whole state at `seq`; entries after it follow.
    Snapshot,
}

/// A channel's state, folded from its log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Snapshot {
    /// The state of `thread/<id>`.
    Thread(ThreadView),
    /// The state of `user`.
    User(UserFeed),
}

// `S` is the state: the server uses one that is encoded already.
/// The reply to `subscribe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Subscribed"))]
#[serde(bound(deserialize = "S: Deserialize<'de>"))]
pub struct Subscribed<S = Snapshot> {
    /// The channel.
    pub channel: ChannelName,
    /// The log's epoch.
    pub epoch: Epoch,
    /// With `live` and `snapshot`: the position of the state. With `replay`: the cursor; the entries after it follow.
    pub seq: u64,
    /// How the subscription continues.
    pub mode: Mode,
    /// With `snapshot`: the state at `seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<S>,
    /// On `netra.v1.compact`: the number that stands for the channel in the frames of its entries that follow this reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_number: Option<u32>,
}

/// The reply to `create_thread`, `create_temporary_thread`, `keep_thread`, `fork_thread`, `rename_thread`, `pin_thread`, `archive_thread` and
/// `set_agent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ThreadReply {
    /// The thread as it is now.
    pub thread: ThreadInfo,
}

/// The reply to `send_message` and `answer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessageAccepted {
    /// The run that answers the message, or that continues after the answer.
    pub run_id: RunId,
    /// The position of the message or answer in the thread's log.
    pub seq: u64,
}

/// The reply to `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pong {
    /// The server's clock, in milliseconds since 1970.
    pub server_time: i64,
}
