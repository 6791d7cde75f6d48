//! What the logs of channels hold: the entries, in the two kinds of channel.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ChannelName, FileId, MessageId, RunId, ThreadId, ThreadSignal, UserId, agui::Event};

/// Who wrote a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Author {
    /// The person.
    pub id: UserId,
    /// The name as it was when the message was written.
    pub name: String,
}

/// A person's message is always of role `user`; the type says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    /// Written by a person.
    #[default]
    User,
}

/// A file that belongs to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Attachment {
    /// The file.
    pub file_id: FileId,
    /// Its name as uploaded.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A message that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct UserMessage {
    /// Its id, minted by the client.
    pub id: MessageId,
    /// Always `user`.
    #[serde(default)]
    pub role: UserRole,
    /// Who wrote it.
    pub author: Author,
    /// What it says: plain text.
    pub content: String,
    /// The run that answers it.
    pub run_id: RunId,
    /// The agent that answers it.
    pub agent: String,
    /// The files that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The message that it was said after; absent: the thread's newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<MessageId>,
    /// The message in whose place it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<MessageId>,
    /// What the program that sent it calls it, where its ids are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

impl UserMessage {
    /// A new message without files, said after the thread's newest.
    #[must_use]
    pub fn new(author: Author, content: impl Into<String>, run_id: RunId, agent: impl Into<String>) -> Self {
        Self {
            id: MessageId::new(),
            role: UserRole::User,
            author,
            content: content.into(),
            run_id,
            agent: agent.into(),
            attachments: Vec::new(),
            after: None,
            replaces: None,
            external_id: None,
        }
    }
}

/// What a person said to an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AnswerStatus {
    /// Answered: `payload` says how.
    Resolved,
    /// Not answered, and not going to be.
    Cancelled,
}

/// A person's answer to one interrupt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InterruptAnswer {
    /// The interrupt.
    pub interrupt_id: String,
    /// Whether it was answered.
    pub status: AnswerStatus,
    /// The answer, as the interrupt's `responseSchema` has it. To a tool call: `{"approved", "editedArgs"?, "reason"?}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// Anything more, for the agent. Of a call's result: the `messageId` that it has, the `error` that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// What a person answered to an interrupted run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct RunAnswer {
    /// Its id, minted by the client.
    pub id: MessageId,
    /// The run that waited.
    pub run_id: RunId,
    /// The run in which the agent goes on.
    pub resumed_by: RunId,
    /// The agent.
    pub agent: String,
    /// Who answered.
    pub author: Author,
    /// One answer for each interrupt.
    pub answers: Vec<InterruptAnswer>,
}

/// What is said about a thread, apart from what was said in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct ThreadInfo {
    /// The thread.
    pub id: ThreadId,
    /// Its title.
    pub title: String,
    /// The id of the agent that answers in it.
    pub agent: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
}

/// An entry of `thread/<id>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ThreadEntry {
    /// A person said something.
    Message {
        /// What was said.
        message: UserMessage,
    },
    /// An agent's run went on.
    Agent {
        /// The run.
        run_id: RunId,
        /// What happened, as AG-UI has it.
        event: Box<Event>,
    },
    /// A person answered what a run waited for.
    Answer {
        /// What was answered.
        answer: RunAnswer,
    },
    /// A message was taken back before its run began.
    TakenBack {
        /// The message.
        message_id: MessageId,
    },
    /// The thread was made or renamed, or has another agent.
    Thread {
        /// The thread as it is now.
        thread: ThreadInfo,
    },
}

/// Where a run is, as the feed tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// It was accepted: it goes on, or waits its turn.
    Running,
    /// It finished.
    Finished,
    /// It was stopped.
    Cancelled,
    /// It failed.
    Failed,
    /// It waits for a person.
    Interrupted,
    /// What it waited for was answered, or will not be.
    Answered,
    /// Its message was taken back before it began.
    TakenBack,
}

/// An entry of `user`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum UserEntry {
    /// A thread was made or renamed.
    Thread {
        /// The thread as it is now.
        thread: ThreadInfo,
    },
    /// A thread was deleted.
    ThreadRemoved {
        /// The thread.
        thread_id: ThreadId,
    },
    /// A run in a thread began or ended.
    Run {
        /// The thread.
        thread_id: ThreadId,
        /// The run.
        run_id: RunId,
        /// Where it is now.
        phase: RunPhase,
    },
    /// The person has seen what there is in a thread.
    Read {
        /// The thread.
        thread_id: ThreadId,
    },
}

/// An entry of either kind of channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Of a thread.
    Thread(ThreadEntry),
    /// Of the person's feed.
    User(UserEntry),
    /// Of a thread, without a place in its log.
    Signal(ThreadSignal),
    /// Of a kind that this build does not know: its place in the log counts, its content does not.
    Unknown(Value),
}

impl Entry {
    /// Reads an entry as its channel has it.
    #[must_use]
    pub fn decode(channel: ChannelName, value: Value) -> Self {
        let known = match channel {
            ChannelName::Thread(_) => ThreadEntry::deserialize(&value)
                .map(Self::Thread)
                .or_else(|_| ThreadSignal::deserialize(&value).map(Self::Signal)),
            ChannelName::User => UserEntry::deserialize(&value).map(Self::User),
        };
        known.unwrap_or(Self::Unknown(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Person, Present};

    #[test]
    fn a_signal_is_read_as_one_on_threads_alone() {
        let user = Person { id: UserId::new(), name: "Ada".into() };
        let signal = ThreadSignal::Presence { present: vec![Present { user, connections: 2 }] };
        let value = serde_json::to_value(&signal).expect("serializes");
        let read = |channel| Entry::decode(channel, value.clone());
        assert_eq!(read(ChannelName::Thread(ThreadId::new())), Entry::Signal(signal.clone()));
        assert_eq!(read(ChannelName::User), Entry::Unknown(value.clone()));
        let newer = serde_json::json!({"kind": "typing"});
        assert_eq!(Entry::decode(ChannelName::Thread(ThreadId::new()), newer.clone()), Entry::Unknown(newer));
    }
}
