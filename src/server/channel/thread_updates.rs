//! Updates of threads that need nothing but the thread's row and its members. They share the writers' transactions with the entries of runs.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use sqlx::{AnyConnection, AssertSqlSafe};

use super::{Channel, FeedEntries, encode};
use crate::{
    protocol::{ThreadEntry, ThreadId, ThreadInfo, UserEntry, UserId},
    server::{
        access::{self, Access, ThreadRow},
        error::{Error, Result},
        store::{Engine, chunks, row_placeholders},
    },
};

/// The update of a thread, as `decide` returns it.
#[derive(Debug, Default)]
pub struct ThreadUpdate {
    /// The thread as the user sees it, with what changes, if anything does: title and agent change for all, the marks for this user.
    pub info: Option<ThreadInfo>,
    /// A further entry for the user's feed.
    pub feed: Option<UserEntry>,
}

/// Decides what changes, or refuses. It is called again if the transaction fails.
pub(super) type Decide = Box<dyn Fn(&ThreadInfo) -> Result<ThreadUpdate> + Send + Sync>;

/// Encoded entries, by channel.
pub(super) type EncodedEntries = Vec<(Channel, Vec<String>)>;

/// A request to change a thread: who requests it, which thread, the access that it needs, and the function that decides what changes.
pub(super) struct ThreadChangeRequest {
    pub(super) user: UserId,
    pub(super) thread: ThreadId,
    pub(super) needed: Access,
    pub(super) decide: Decide,
}

impl fmt::Debug for ThreadChangeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadChangeRequest").field("thread", &self.thread).finish_non_exhaustive()
    }
}

/// The rows of threads in a transaction, with the changes that were decided.
#[derive(Debug, Default)]
pub(super) struct ThreadRows {
    rows: HashMap<ThreadId, ThreadRow>,
    changed: BTreeSet<ThreadId>,
    /// Members whose marks changed.
    changed_members: BTreeSet<(ThreadId, UserId)>,
}

impl ThreadRows {
    /// Locks rows until the transaction ends, in the order of ids, and reads them. Deleted threads are left out.
    pub(super) async fn lock(connection: &mut AnyConnection, engine: Engine, threads: &[ThreadId]) -> Result<Self> {
        let rows = access::read_threads(connection, engine, threads, engine.for_update()).await?;
        Ok(Self { rows, ..Self::default() })
    }

    /// Decides about a change. Returns the thread as the user sees it then, and the entries for its log and for feeds.
    pub(super) fn decide(&mut self, change: &ThreadChangeRequest) -> Result<(ThreadInfo, EncodedEntries)> {
        let row = self.rows.get_mut(&change.thread).ok_or_else(|| Error::not_found("thread"))?;
        row.access(change.user).require(change.needed)?;
        let ThreadUpdate { info, feed } = (change.decide)(&row.info_for(change.user))?;
        let (mut log, mut feeds) = (Vec::new(), FeedEntries::default());
        if let Some(info) = info {
            let before = row.clone();
            row.change(change.user, &info);
            feeds.add_change(&before, row);
            if before.info != row.info {
                self.changed.insert(change.thread);
            }
            if before.info.for_log() != row.info.for_log() {
                log.push(ThreadEntry::info(&row.info));
            }
            if before.members != row.members {
                self.changed_members.insert((change.thread, change.user));
            }
        }
        feed.into_iter().for_each(|entry| feeds.add(change.user, entry));
        let mut entries = vec![(Channel::Thread(change.thread), encode(&log)?)];
        for (user, feed) in feeds.into_sorted() {
            entries.push((Channel::User(user), encode(&feed)?));
        }
        Ok((row.info_for(change.user), entries))
    }

    /// Writes the rows that changed.
    pub(super) async fn store(&self, connection: &mut AnyConnection, engine: Engine) -> Result<()> {
        let changed: Vec<&ThreadInfo> = self.changed.iter().map(|id| &self.rows[id].info).collect();
        for chunk in chunks(&changed) {
            // Both databases name the columns of `VALUES` `column1`, `column2` and so on. A title that changes here comes from a person.
            let sql = format!(
                "UPDATE threads SET title = new.column2, agent = new.column3, pinned = new.column4, archived = new.column5, \
                 title_source = CASE WHEN threads.title = new.column2 THEN threads.title_source END \
                 FROM (VALUES {}) AS new WHERE threads.id = new.column1",
                row_placeholders(engine, chunk.len(), 5),
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for thread in chunk {
                let (pinned, archived) = (i64::from(thread.pinned), i64::from(thread.archived));
                query = query.bind(thread.id).bind(&thread.title).bind(&thread.agent).bind(pinned).bind(archived);
            }
            query.execute(&mut *connection).await?;
        }
        for (thread, user) in &self.changed_members {
            let info = self.rows[thread].info_for(*user);
            let sql = "UPDATE thread_members SET pinned = $3, archived = $4 WHERE thread_id = $1 AND user_id = $2";
            let query = sqlx::query(sql).bind(*thread).bind(*user);
            query.bind(i64::from(info.pinned)).bind(i64::from(info.archived)).execute(&mut *connection).await?;
        }
        Ok(())
    }
}
