//! The wire protocol `netra.v1`, and `netra.v1.compact`: every type that crosses the wire.
//!
//! Frames, commands, replies, pushes, log entries, views of threads and feeds, close codes, AG-UI events, ids, limits and the JSON
//! bodies of the HTTP API. Only serde: it compiles for every target and does no I/O.
//!
//! Guarantees: `shared/schema.json` is generated from these types (`schema`, a feature). The server decodes strictly
//! (unknown commands and fields are refused); clients decode leniently (unknown fields are ignored, unknown pushes and entries
//! become [`Push::Unknown`] and [`Entry::Unknown`]).

pub mod agui;
mod close;
mod command;
pub mod compact;
mod entry;
mod error;
#[cfg(feature = "schema")]
mod examples;
pub mod extensions;
mod feed;
pub mod file_types;
mod fork;
mod frame;
pub mod http;
mod ids;
pub mod json;
pub mod limits;
mod members;
mod prompts;
mod push;
mod queued;
#[cfg(feature = "schema")]
pub mod schema;
mod sharing;
mod tags;
mod temporary;
mod thread_view;
pub mod untrusted;

pub use close::CloseCode;
pub use command::{
    Accepted, Answer, ArchiveThread, Command, CreateThread, DeleteThread, EditAnswer, GiveFeedback, MarkRead,
    MessageAccepted, Mode, PinThread, Ping, Pong, RenameThread, Request, SendMessage, SetAgent, Snapshot, StopRun,
    Subscribe, Subscribed, TakeBack, ThreadReply, Unsubscribe,
};
pub use entry::{
    AnswerStatus, Attachment, Author, Entry, InterruptAnswer, Rating, RunAnswer, RunFeedback, RunPhase, ThreadEntry,
    ThreadInfo, UserEntry, UserMessage, UserRole,
};
pub use error::{ErrorBody, ErrorCode};
pub use feed::{FeedPlace, ThreadSummary, UserFeed};
pub use fork::{ForkOrigin, ForkThread};
pub use frame::{
    ClientFrame, DecodeError, Outcome, ServerFrame, decode_client, encode_command, encode_ok, encode_push, encode_reply,
};
pub use ids::{
    ChannelName, ConnectionId, Cursor, Epoch, FileId, IdError, MessageId, NoticeId, PromptId, RunId, ShareId, TagId,
    ThreadId, UserId,
};
pub use members::{
    AddMember, LeaveThread, Member, MemberRole, People, RemoveMember, SetMemberRole, SharedThread, ThreadMembers,
};
pub use prompts::{DeletePrompt, Prompt, PromptInfo, PromptList, SavePrompt};
pub use push::{
    Draining, EventPush, Notice, Person, Present, Push, ThreadSignal, Waiting, WaitsFor, Welcome, WelcomeUser,
};
pub use queued::{EditQueued, MoveQueued, SendMode};
pub use sharing::{ShareLink, ShareLinks, ShareThread, WithdrawLink};
pub use tags::{CountedTag, DeleteTag, RenameTag, Tag, TagList, TagThreads};
pub use temporary::{CreateTemporaryThread, KeepThread, Temporary};
pub use thread_view::{
    Encrypted, Item, MessageItem, Node, NodeBody, NodeState, ReadMessage, Resolution, RunState, RunView, ThreadView,
};

/// The WebSocket subprotocol that every client and server of this crate knows.
pub const PROTOCOL: &str = "netra.v1";

/// The subprotocols that clients of this crate offer. A server that knows both chooses the second.
pub const OFFERED_PROTOCOLS: [&str; 2] = [PROTOCOL, compact::COMPACT_PROTOCOL];

/// The prefix of a further subprotocol that carries a single-use ticket: `ticket.<ticket>`.
pub const TICKET_PREFIX: &str = "ticket.";
