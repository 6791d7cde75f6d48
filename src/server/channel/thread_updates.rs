//! Updates of threads that need nothing but the thread's row. They share the writers' transactions with the entries of runs.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use sqlx::{AnyConnection, AssertSqlSafe};

use super::{Channel, encode};
use crate::{
    protocol::{TagId, Temporary, ThreadEntry, ThreadId, ThreadInfo, UserEntry, UserId},
    server::{
        error::{Error, Result},
        store::{Engine, chunks, placeholders, row, row_placeholders},
    },
};

/// The update of a thread, as `decide` returns it.
#[derive(Debug, Default)]
pub struct ThreadUpdate {
    /// The thread with what changes in its row, if anything does.
    pub info: Option<ThreadInfo>,
    /// Entries for the thread's log.
    pub log: Vec<ThreadEntry>,
    /// Entries for its owner's feed.
    pub feed: Vec<UserEntry>,
}

/// Decides what changes, or refuses. It is called again if the transaction fails.
pub(super) type Decide = Box<dyn Fn(&ThreadInfo) -> Result<ThreadUpdate> + Send + Sync>;

/// Encoded entries, by channel.
pub(super) type EncodedEntries = Vec<(Channel, Vec<String>)>;

/// A request to change a thread: whose it is, which one, and the function that decides what changes.
pub(super) struct ThreadChangeRequest {
    pub(super) owner: UserId,
    pub(super) thread: ThreadId,
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
    rows: HashMap<ThreadId, (UserId, ThreadInfo)>,
    changed: BTreeSet<ThreadId>,
}

impl ThreadRows {
    /// Locks rows until the transaction ends, in the order of ids, and reads them. Deleted threads are left out.
    pub(super) async fn lock(connection: &mut AnyConnection, engine: Engine, threads: &[ThreadId]) -> Result<Self> {
        row! {
            struct Row {
                id: ThreadId,
                owner: UserId,
                title: String,
                agent: String,
                created_at: i64,
                pinned: i64,
                archived: i64,
                forked_from: Option<String>,
                delete_at: Option<i64>,
                idle_minutes: Option<i64>,
                tags: String,
            }
        }
        let mut rows = HashMap::with_capacity(threads.len());
        for chunk in chunks(threads) {
            let (ids, lock) = (placeholders(engine, 1, chunk.len()), engine.for_update());
            let sql = format!(
                "SELECT id, owner, title, agent, created_at, pinned, archived, forked_from, delete_at, idle_minutes, tags FROM threads \
                 WHERE id IN ({ids}) AND deleted_at IS NULL ORDER BY id{lock}"
            );
            let mut query = sqlx::query_as(AssertSqlSafe(sql));
            for thread in chunk {
                query = query.bind(*thread);
            }
            let found: Vec<Row> = query.fetch_all(&mut *connection).await?;
            for row in found {
                let Row { id, owner, title, agent, created_at, pinned, archived, forked_from, .. } = row;
                let (pinned, archived) = (pinned != 0, archived != 0);
                let forked_from = forked_from.as_deref().map(serde_json::from_str).transpose()?;
                let temporary = Temporary::from_columns(row.delete_at, row.idle_minutes);
                let tags = TagId::list_from_column(&row.tags);
                let info = ThreadInfo { id, title, agent, created_at, pinned, archived, forked_from, temporary, tags };
                rows.insert(id, (owner, info));
            }
        }
        Ok(Self { rows, changed: BTreeSet::new() })
    }

    /// Decides about a change. Returns the thread as it is then, and the entries for its log and its owner's feed.
    pub(super) fn decide(&mut self, change: &ThreadChangeRequest) -> Result<(ThreadInfo, EncodedEntries)> {
        let row = self.rows.get_mut(&change.thread).filter(|(owner, _)| *owner == change.owner);
        let (_, thread) = row.ok_or_else(|| Error::not_found("thread"))?;
        let ThreadUpdate { info, log, feed } = (change.decide)(thread)?;
        let entries =
            vec![(Channel::Thread(change.thread), encode(&log)?), (Channel::User(change.owner), encode(&feed)?)];
        if let Some(info) = info {
            *thread = info;
            self.changed.insert(change.thread);
        }
        Ok((thread.clone(), entries))
    }

    /// Writes the rows that changed.
    pub(super) async fn store(&self, connection: &mut AnyConnection, engine: Engine) -> Result<()> {
        let changed: Vec<&ThreadInfo> = self.changed.iter().map(|id| &self.rows[id].1).collect();
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
        Ok(())
    }
}
