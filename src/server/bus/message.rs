//! What nodes tell each other beside entries.

use serde::{Deserialize, Serialize};

use crate::protocol::{Notice, Present, RunId, ThreadId, UserId, Waiting};

/// One thing that every node does. A kind that a node does not know (another version of it, in a rolling deploy) is
/// ignored there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NodeMessage {
    /// A run shall stop, wherever it goes on.
    StopRun {
        /// The run.
        run_id: RunId,
    },
    /// An administrator disconnected a person (4403).
    Disconnect {
        /// The person.
        user_id: UserId,
    },
    /// A session ended: so do its sockets (4401).
    EndSession {
        /// The session's key, which is a digest.
        session: String,
    },
    /// What people may do changed: look into the store whether those who are connected still may.
    Recheck {},
    /// Administrators changed the agents: look into the store which there are.
    AgentsChanged {},
    /// A thread was deleted: nobody follows it any more.
    Forget {
        /// The thread.
        thread_id: ThreadId,
    },
    /// Words of an administrator to everyone.
    Notice {
        /// The words.
        notice: Notice,
    },
    /// Entries may be missing: compare the heads of the logs.
    Compare {},
    /// Who is in some threads and what waits there, at one node; in place of what it said of these threads before.
    Present {
        /// The node.
        node: String,
        /// Thread by thread.
        parts: Vec<Part>,
    },
    /// A node stops: nobody is there any more.
    Leaving {
        /// The node.
        node: String,
    },
}

impl NodeMessage {
    /// Whether it is worth nothing later: it is told again by then, or whoever missed it finds out otherwise.
    pub(super) fn is_of_the_moment(&self) -> bool {
        matches!(self, Self::Compare {} | Self::Present { .. } | Self::Leaving { .. })
    }
}

/// Who is in a thread and what waits there, at one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The thread.
    pub thread_id: ThreadId,
    /// Who has it open, and how often; nobody: left.
    pub present: Vec<Present>,
    /// The thread's runs that wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<InLine>,
}

/// A run that waits at one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InLine {
    /// The place in the thread's log that its turn has.
    pub turn: u64,
    /// The place of what asked for it.
    pub seq: u64,
    /// Its place in line, among those of that node.
    pub waiting: Waiting,
}
