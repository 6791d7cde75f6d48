//! A person's feed: their threads, which of them run, which have something new.

use serde::{Deserialize, Serialize};

use crate::protocol::{RunId, RunPhase, ThreadId, ThreadInfo, UserEntry};

/// A person's threads, folded from the log of `user`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct UserFeed {
    /// The threads, the one with the newest activity first.
    pub threads: Vec<ThreadSummary>,
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

impl UserFeed {
    /// Folds the next entry, appended at `at` (milliseconds since 1970).
    pub fn apply(&mut self, at: i64, entry: UserEntry) {
        match entry {
            UserEntry::Thread { thread } => match self.thread_mut(thread.id) {
                Some(known) => known.info = thread,
                None => {
                    let (running, asking) = Default::default();
                    let summary = ThreadSummary { info: thread, active_at: at, running, asking, unread: false };
                    self.threads.insert(0, summary);
                }
            },
            UserEntry::ThreadRemoved { thread_id } => self.threads.retain(|thread| thread.info.id != thread_id),
            UserEntry::Run { thread_id, run_id, phase } => {
                if let Some(thread) = self.thread_mut(thread_id) {
                    thread.running.retain(|running| *running != run_id);
                    thread.asking.retain(|asking| *asking != run_id);
                    match phase {
                        RunPhase::Running => thread.running.push(run_id),
                        RunPhase::Interrupted => {
                            thread.asking.push(run_id);
                            thread.unread = true;
                        }
                        RunPhase::Finished | RunPhase::Cancelled | RunPhase::Failed => thread.unread = true,
                        RunPhase::Answered | RunPhase::TakenBack => {}
                    }
                    thread.active_at = at;
                    self.threads.sort_by_key(|thread| std::cmp::Reverse(thread.active_at));
                }
            }
            UserEntry::Read { thread_id } => {
                if let Some(thread) = self.thread_mut(thread_id) {
                    thread.unread = false;
                }
            }
        }
    }

    /// A thread by id.
    #[must_use]
    pub fn thread(&self, id: ThreadId) -> Option<&ThreadSummary> {
        self.threads.iter().find(|thread| thread.info.id == id)
    }

    fn thread_mut(&mut self, id: ThreadId) -> Option<&mut ThreadSummary> {
        self.threads.iter_mut().find(|thread| thread.info.id == id)
    }
}
