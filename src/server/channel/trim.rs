//! Trimming of threads' logs: deltas of ended runs are merged, and entries that need not be kept are deleted.
//!
//! Guarantees: merging does not change a thread's view. Deletion takes whole runs, each with the message or the answer
//! that started it, oldest first, and none of a thread with a run that has not ended. Clients whose cursor is before
//! the trimmed entries get a snapshot.

use std::{collections::HashSet, time::Duration};

use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use super::{Channel, Channels, CommandTransaction, Extent, fold::apply_to_thread, queries};
use crate::{
    protocol::{Entry, RunId, ThreadId},
    server::{
        clock::now_ms,
        config::StoreConfig,
        error::Result,
        store::{chunks, placeholders, row},
    },
    thread::{Compactor, ThreadView},
};

/// The most threads that one call of [`Channels::trim`] compacts, and the most of which it deletes old runs.
const MAX_THREADS: i64 = 32;

/// The time between two trimmings of the logs.
const TRIM_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What is trimmed, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trimming {
    /// The time between the end of a thread's last run and the merging of its deltas.
    pub compact_after: Duration,
    /// How long a run is kept after its end; `None`: for ever.
    pub keep_for: Option<Duration>,
    /// How many bytes of log a thread may keep; `None`: any number.
    pub keep_bytes: Option<u64>,
}

impl From<&StoreConfig> for Trimming {
    fn from(config: &StoreConfig) -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Self {
            compact_after: minutes(config.compact_after_minutes.into()),
            keep_for: (config.keep_days > 0).then(|| minutes(u64::from(config.keep_days) * 24 * 60)),
            keep_bytes: (config.keep_thread_bytes > 0).then_some(config.keep_thread_bytes),
        }
    }
}

row! {
    /// A run that has ended.
    struct EndedRun {
        id: RunId,
        ended_at: i64,
    }
}

impl Channels {
    /// Trims some of the logs; returns how many entries were deleted. Call it again while that is more than zero.
    ///
    /// # Errors
    /// If the store fails; logs that were trimmed before stay trimmed.
    pub async fn trim(&self, options: &Trimming) -> Result<u64> {
        let now = now_ms();
        let before = |age: Duration| now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let mut deleted = 0;
        if let Some(age) = options.keep_for {
            for thread in self.threads_with_runs_ended_by(before(age)).await? {
                deleted += self.delete_runs(thread, before(age), None).await?;
            }
        }
        let until = before(options.compact_after);
        for thread in self.threads_to_compact(until).await? {
            deleted += match self.compact(thread, until).await {
                // A log that cannot be read stays as it is; the other threads are still trimmed.
                Err(error) if !error.is_out_of_reach() => {
                    tracing::error!(thread = %thread, %error, "a thread's log cannot be compacted");
                    continue;
                }
                compacted => compacted?,
            };
            if let Some(max_bytes) = options.keep_bytes {
                deleted += self.delete_runs(thread, i64::MIN, Some(max_bytes)).await?;
            }
        }
        Ok(deleted)
    }

    /// Trims the logs at intervals, until `stopping`.
    pub async fn run_trimming(self, options: Trimming, stopping: CancellationToken) {
        let mut ticks = tokio::time::interval(TRIM_INTERVAL);
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            match stopping.run_until_cancelled(self.trim_all(&options)).await {
                Some(Ok(1..)) => tracing::info!("trimmed the logs of finished runs"),
                Some(Err(error)) => tracing::warn!(%error, "the logs could not be trimmed"),
                Some(Ok(0)) | None => {}
            }
        }
    }

    /// Trims until there is nothing to trim; returns how many entries were deleted.
    async fn trim_all(&self, options: &Trimming) -> Result<u64> {
        let mut entries = 0;
        loop {
            match self.trim(options).await? {
                0 => return Ok(entries),
                deleted => entries += deleted,
            }
        }
    }

    /// Threads whose runs have all ended, at least one of them since the last compaction.
    async fn threads_to_compact(&self, until: i64) -> Result<Vec<ThreadId>> {
        let sql = "SELECT DISTINCT r.thread_id FROM runs r JOIN threads t ON t.id = r.thread_id \
                   WHERE r.ended_at > t.trimmed_at AND r.ended_at <= $1 AND NOT EXISTS \
                   (SELECT 1 FROM runs o WHERE o.thread_id = r.thread_id AND o.ended_at IS NULL) LIMIT $2";
        self.threads(sql, until).await
    }

    async fn threads_with_runs_ended_by(&self, until: i64) -> Result<Vec<ThreadId>> {
        self.threads("SELECT DISTINCT thread_id FROM runs WHERE ended_at <= $1 LIMIT $2", until).await
    }

    async fn threads(&self, sql: &'static str, until: i64) -> Result<Vec<ThreadId>> {
        Ok(sqlx::query_scalar(sql).bind(until).bind(MAX_THREADS).fetch_all(self.store().reader()).await?)
    }

    /// Merges a thread's deltas.
    async fn compact(&self, thread: ThreadId, until: i64) -> Result<u64> {
        let mut tx = self.begin_alone().await?;
        let Some(Extent { trimmed, head }) = tx.lock_idle(thread).await? else { return Ok(0) };
        let mut compactor = Compactor::default();
        let channel = Channel::Thread(thread);
        tx.for_each_entry(thread, trimmed, |row| {
            if let Entry::Thread(entry) = row.decode(channel)? {
                compactor.read(row.seq(), entry);
            }
            Ok(())
        })
        .await?;
        let (deleted, merged) = compactor.finish();
        for (seq, entry) in merged {
            sqlx::query("UPDATE entries SET entry = $3 WHERE channel = $1 AND seq = $2")
                .bind(channel)
                .bind(seq.cast_signed())
                .bind(serde_json::to_string(&entry)?)
                .execute(tx.sql())
                .await?;
        }
        tx.delete_entries(thread, &deleted, if deleted.is_empty() { trimmed } else { head }).await?;
        let query = sqlx::query("UPDATE threads SET trimmed_at = $2 WHERE id = $1").bind(thread).bind(until);
        query.execute(tx.sql()).await?;
        tx.commit().await?;
        Ok(deleted.len() as u64)
    }

    /// Deletes the runs that ended by `until` with their entries, and the oldest others while the log has more than `max_bytes`.
    async fn delete_runs(&self, thread: ThreadId, until: i64, max_bytes: Option<u64>) -> Result<u64> {
        let mut tx = self.begin_alone().await?;
        let Some(Extent { trimmed, head }) = tx.lock_idle(thread).await? else { return Ok(0) };
        let sql = "SELECT id, ended_at FROM runs WHERE thread_id = $1 AND ended_at IS NOT NULL ORDER BY turn, seq, id";
        let ended: Vec<EndedRun> = sqlx::query_as(sql).bind(thread).fetch_all(tx.sql()).await?;
        let (entries, mut bytes) = tx.entries_of_runs(thread).await?;
        let mut runs = HashSet::new();
        for EndedRun { id, ended_at } in ended {
            if ended_at > until && max_bytes.is_none_or(|max| bytes <= max) {
                break;
            }
            bytes -= entries.iter().filter(|entry| entry.run == id).map(|entry| entry.bytes).sum::<u64>();
            runs.insert(id);
        }
        if runs.is_empty() {
            return Ok(0);
        }
        let seqs: Vec<u64> = entries.iter().filter(|entry| runs.contains(&entry.run)).map(|entry| entry.seq).collect();
        let before = tx.view(thread).await?;
        // The snapshot still has the deleted runs.
        sqlx::query("DELETE FROM snapshots WHERE channel = $1").bind(Channel::Thread(thread)).execute(tx.sql()).await?;
        for run in runs {
            sqlx::query("DELETE FROM runs WHERE id = $1").bind(run).execute(tx.sql()).await?;
            let found_by_search = "DELETE FROM search_texts WHERE thread_id = $1 AND run_id = $2";
            sqlx::query(found_by_search).bind(thread).bind(run).execute(tx.sql()).await?;
        }
        tx.delete_entries(thread, &seqs, seqs.last().copied().unwrap_or_default().max(trimmed)).await?;
        let mut remaining = tx.view(thread).await?;
        // A deleted run may have set a state that the remaining runs only change: then a snapshot keeps the state.
        if remaining.restore_states_from(&before) {
            let text = serde_json::to_string(&remaining)?;
            queries::put_snapshot(tx.sql(), Channel::Thread(thread), head, text).await?;
        }
        tx.commit().await?;
        Ok(seqs.len() as u64)
    }
}

/// An entry that is deleted with its run.
struct RunEntry {
    run: RunId,
    seq: u64,
    bytes: u64,
}

impl CommandTransaction {
    /// Locks a thread until the transaction ends, and returns the extent of its log; `None` if the thread was deleted or one of its runs has
    /// not ended.
    async fn lock_idle(&mut self, thread: ThreadId) -> Result<Option<Extent>> {
        let sql = format!("SELECT id FROM threads WHERE id = $1 AND deleted_at IS NULL{}", self.engine().for_update());
        let live = sqlx::query(AssertSqlSafe(sql)).bind(thread).fetch_optional(self.sql()).await?;
        let open = "SELECT id FROM runs WHERE thread_id = $1 AND ended_at IS NULL LIMIT 1";
        let open = sqlx::query(open).bind(thread).fetch_optional(self.sql()).await?;
        if live.is_none() || open.is_some() {
            return Ok(None);
        }
        queries::extent(self.sql(), Channel::Thread(thread)).await
    }

    /// Reads the entries of a thread's log after a `seq`.
    async fn for_each_entry(
        &mut self,
        thread: ThreadId,
        mut after: u64,
        mut read: impl FnMut(&queries::EntryRow) -> Result<()>,
    ) -> Result<()> {
        loop {
            let rows = queries::page(self.sql(), Channel::Thread(thread), after).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.seq();
            rows.iter().try_for_each(&mut read)?;
        }
    }

    /// The entries of a thread that belong to runs, in order, and the bytes of all its entries.
    async fn entries_of_runs(&mut self, thread: ThreadId) -> Result<(Vec<RunEntry>, u64)> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        self.for_each_entry(thread, 0, |row| {
            bytes += row.entry.len() as u64;
            let run = match row.decode(Channel::Thread(thread))? {
                Entry::Thread(entry) => entry.run_id(),
                _ => None,
            };
            entries.extend(run.map(|run| RunEntry { run, seq: row.seq(), bytes: row.entry.len() as u64 }));
            Ok(())
        })
        .await?;
        Ok((entries, bytes))
    }

    /// A thread's view in this transaction.
    async fn view(&mut self, thread: ThreadId) -> Result<ThreadView> {
        let channel = Channel::Thread(thread);
        let snapshot = queries::snapshot(self.sql(), channel).await?;
        let snapshot = snapshot.and_then(|(seq, text)| serde_json::from_str(&text).ok().map(|view| (seq, view)));
        let (seq, mut view) = snapshot.unwrap_or_default();
        self.for_each_entry(thread, seq, |row| {
            apply_to_thread(&mut view, row.at, row.decode(channel)?);
            Ok(())
        })
        .await?;
        Ok(view)
    }

    /// Deletes entries, records that entries up to `trimmed` may be missing, and recounts the thread's bytes.
    async fn delete_entries(&mut self, thread: ThreadId, seqs: &[u64], trimmed: u64) -> Result<()> {
        let channel = Channel::Thread(thread);
        for chunk in chunks(seqs) {
            let engine = self.engine();
            let (first, places) = (engine.placeholder(1), placeholders(engine, 2, chunk.len()));
            let sql = format!("DELETE FROM entries WHERE channel = {first} AND seq IN ({places})");
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(channel);
            for seq in chunk {
                query = query.bind(seq.cast_signed());
            }
            query.execute(self.sql()).await?;
        }
        let sql = "UPDATE channels SET trimmed = $2, bytes = \
                   (SELECT COALESCE(SUM(OCTET_LENGTH(entry)), 0) FROM entries WHERE channel = $1) + \
                   (SELECT COALESCE(SUM(OCTET_LENGTH(caller)), 0) FROM runs WHERE thread_id = $3) + \
                   (SELECT COALESCE(SUM(OCTET_LENGTH(event)), 0) FROM raw_events \
                    WHERE run_id IN (SELECT id FROM runs WHERE thread_id = $3)) + \
                   (SELECT COALESCE(SUM(OCTET_LENGTH(request)), 0) FROM messages WHERE thread_id = $3) WHERE id = $1";
        sqlx::query(sql).bind(channel).bind(trimmed.cast_signed()).bind(thread).execute(self.sql()).await?;
        self.changes.shortened.push(channel);
        Ok(())
    }
}
