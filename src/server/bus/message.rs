//! Messages between nodes, other than entries.

use serde::{Deserialize, Serialize};

use crate::protocol::{Notice, Present, RunId, ThreadId, UserId, Waiting};

/// A message to all nodes. A node ignores types that it does not have: other versions may run during a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NodeMessage {
    /// Stop a run.
    StopRun {
        /// The run.
        run_id: RunId,
    },
    /// An administrator disconnected a person: close their sockets (4403).
    Disconnect {
        /// The person.
        user_id: UserId,
    },
    /// A session ended: close its sockets (4401).
    EndSession {
        /// The session's key, which is a digest.
        session: String,
    },
    /// Rights changed: check against the store whether people may stay connected.
    Recheck {},
    /// Administrators changed the agents: read them from the store again.
    AgentsChanged {},
    /// A thread was deleted: end its subscriptions.
    #[serde(rename = "forget")]
    ThreadDeleted {
        /// The thread.
        thread_id: ThreadId,
    },
    /// A user may not read a thread any more: end their subscriptions of it.
    MemberRemoved {
        /// The thread.
        thread_id: ThreadId,
        /// The user.
        user_id: UserId,
    },
    /// The order of a thread's waiting runs changed: read it from the store again.
    QueueMoved {
        /// The thread.
        thread_id: ThreadId,
    },
    /// Show everyone a notice of an administrator.
    Notice {
        /// The notice.
        notice: Notice,
    },
    /// Entries may have been lost: compare the last `seq` of each followed log with what connections were sent.
    Compare {},
    /// Who has threads open and which runs wait, at one node. Replaces what it reported of these threads before.
    Present {
        /// The node.
        node: String,
        /// A report for each thread.
        parts: Vec<ThreadReport>,
    },
    /// A node stops: nobody is connected to it.
    Leaving {
        /// The node.
        node: String,
    },
}

impl NodeMessage {
    /// Whether to drop the message while the bus is down: it is repeated anyway, or its receivers find out in another way.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Compare {} | Self::Present { .. } | Self::Leaving { .. })
    }
}

/// Who has a thread open and which of its runs wait, at one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadReport {
    /// The thread.
    pub thread_id: ThreadId,
    /// Who has it open, and how often; empty after the last one left.
    pub present: Vec<Present>,
    /// The waiting runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingRun>,
}

/// A run that waits at one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRun {
    /// The `seq` of the entry that began its turn.
    pub turn: u64,
    /// The `seq` of the entry that requested the run.
    pub seq: u64,
    /// What it waits for, and its position among the runs of that node.
    pub waiting: Waiting,
}
