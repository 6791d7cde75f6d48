//! What of the logs goes: deltas of finished runs become their aggregate, and what need not be kept is not.
//!
//! Promises: a thread looks the same before and after its deltas were put together; what is no longer kept goes in whole
//! turns (a message with the run that answered it), oldest first, and never a run that goes on. Whoever saw less than what
//! was trimmed begins with a snapshot.

use std::{collections::HashSet, time::Duration};

use sqlx::{AssertSqlSafe, Row as _};
use tokio_util::sync::CancellationToken;

use super::{
    Append, Channel, Channels,
    fold::{apply_to_thread, kept_text},
    read::{Row, page},
};
use crate::{
    protocol::{Entry, RunId, ThreadEntry, ThreadId},
    server::{
        clock::now_ms,
        config::StoreConfig,
        error::Result,
        store::{chunks, places},
    },
    thread::{Compactor, ThreadView},
};

/// How many threads one look takes on.
const THREADS: i64 = 32;

/// How often the logs are trimmed.
const TRIM_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What may go, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trimming {
    /// How long after a thread's last run ended its deltas are put together.
    pub compact_after: Duration,
    /// How long a turn is kept after its run ended; none: for ever.
    pub keep_for: Option<Duration>,
    /// How many bytes of log a thread may keep; none: any.
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

impl Channels {
    /// Looks once for what may go; answers how many entries went. Call it again while it answers more than zero.
    ///
    /// # Errors
    /// Where the store fails; what went before is gone.
    pub async fn trim(&self, options: &Trimming) -> Result<u64> {
        let now = now_ms();
        let before = |age: Duration| now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let mut gone = 0;
        if let Some(age) = options.keep_for {
            for thread in self.old(before(age)).await? {
                gone += self.forget(thread, before(age), None).await?;
            }
        }
        let until = before(options.compact_after);
        for thread in self.quiet(until).await? {
            gone += match self.compact(thread, until).await {
                // One that cannot be read stays as it is, and does not keep the others from their turn.
                Err(error) if !error.is_out_of_reach() => {
                    tracing::error!(thread = %thread, %error, "a thread's log cannot be compacted");
                    continue;
                }
                compacted => compacted?,
            };
            if let Some(most) = options.keep_bytes {
                gone += self.forget(thread, i64::MIN, Some(most)).await?;
            }
        }
        Ok(gone)
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

    /// Trims until nothing more may go; returns the number of entries that went.
    async fn trim_all(&self, options: &Trimming) -> Result<u64> {
        let mut entries = 0;
        loop {
            match self.trim(options).await? {
                0 => return Ok(entries),
                gone => entries += gone,
            }
        }
    }

    /// Threads whose runs are all over, and some of them since the last look.
    async fn quiet(&self, until: i64) -> Result<Vec<ThreadId>> {
        let sql = "SELECT DISTINCT r.thread_id FROM runs r JOIN threads t ON t.id = r.thread_id \
                   WHERE r.ended_at > t.trimmed_at AND r.ended_at <= $1 AND NOT EXISTS \
                   (SELECT 1 FROM runs o WHERE o.thread_id = r.thread_id AND o.ended_at IS NULL) LIMIT $2";
        self.threads(sql, until).await
    }

    /// Threads with runs that ended so long ago.
    async fn old(&self, until: i64) -> Result<Vec<ThreadId>> {
        self.threads("SELECT DISTINCT thread_id FROM runs WHERE ended_at <= $1 LIMIT $2", until).await
    }

    async fn threads(&self, sql: &'static str, until: i64) -> Result<Vec<ThreadId>> {
        let query = sqlx::query_scalar::<_, String>(sql).bind(until).bind(THREADS);
        query.fetch_all(self.store().reader()).await?.iter().map(|id| Ok(id.parse()?)).collect()
    }

    async fn compact(&self, thread: ThreadId, until: i64) -> Result<u64> {
        let mut tx = self.begin().await?;
        let Some((trimmed, head)) = tx.extent(thread).await? else { return Ok(0) };
        let mut compactor = Compactor::default();
        let channel = Channel::Thread(thread);
        tx.each(thread, trimmed, |row| {
            if let Entry::Thread(entry) = row.decode(channel)? {
                compactor.read(row.seq, entry);
            }
            Ok(())
        })
        .await?;
        let (gone, grown) = compactor.finish();
        for (seq, entry) in grown {
            sqlx::query("UPDATE entries SET entry = $3 WHERE channel = $1 AND seq = $2")
                .bind(channel.to_string())
                .bind(seq.cast_signed())
                .bind(serde_json::to_string(&entry)?)
                .execute(tx.sql())
                .await?;
        }
        tx.remove(thread, &gone, if gone.is_empty() { trimmed } else { head }).await?;
        sqlx::query("UPDATE threads SET trimmed_at = $2 WHERE id = $1")
            .bind(thread.to_string())
            .bind(until)
            .execute(tx.sql())
            .await?;
        tx.commit().await?;
        Ok(gone.len() as u64)
    }

    /// Lets whole turns go: those whose run ended until then, and the oldest while the log has more bytes than it may.
    async fn forget(&self, thread: ThreadId, until: i64, most: Option<u64>) -> Result<u64> {
        let mut tx = self.begin().await?;
        let Some((trimmed, head)) = tx.extent(thread).await? else { return Ok(0) };
        let runs =
            sqlx::query("SELECT id, ended_at FROM runs WHERE thread_id = $1 AND ended_at IS NOT NULL ORDER BY id");
        let runs = runs.bind(thread.to_string()).fetch_all(tx.sql()).await?;
        let run = |row: &sqlx::any::AnyRow| -> Result<(RunId, i64)> {
            Ok((row.try_get::<String, _>(0)?.parse()?, row.try_get(1)?))
        };
        let runs: Vec<(RunId, i64)> = runs.iter().map(run).collect::<Result<_>>()?;
        let (mut turns, mut bytes) = (Vec::new(), 0);
        tx.each(thread, 0, |row| {
            bytes += row.entry.len() as u64;
            let run = match row.decode(Channel::Thread(thread))? {
                Entry::Thread(ThreadEntry::Agent { run_id, .. }) => Some(run_id),
                Entry::Thread(ThreadEntry::Message { message }) => Some(message.run_id),
                Entry::Thread(ThreadEntry::Answer { answer }) => Some(answer.resumed_by),
                _ => None,
            };
            turns.extend(run.map(|run| (run, row.seq, row.entry.len() as u64)));
            Ok(())
        })
        .await?;
        let mut doomed = HashSet::new();
        for (run, ended_at) in runs {
            if ended_at > until && most.is_none_or(|most| bytes <= most) {
                break;
            }
            bytes -= turns.iter().filter(|(of, ..)| *of == run).map(|(_, _, bytes)| bytes).sum::<u64>();
            doomed.insert(run);
        }
        if doomed.is_empty() {
            return Ok(0);
        }
        let gone: Vec<u64> = turns.iter().filter(|(run, ..)| doomed.contains(run)).map(|(_, seq, _)| *seq).collect();
        let before = tx.folded(thread).await?;
        // What was kept folded still has them.
        sqlx::query("DELETE FROM snapshots WHERE channel = $1")
            .bind(Channel::Thread(thread).to_string())
            .execute(tx.sql())
            .await?;
        for run in doomed {
            sqlx::query("DELETE FROM runs WHERE id = $1").bind(run.to_string()).execute(tx.sql()).await?;
        }
        tx.remove(thread, &gone, gone.last().copied().unwrap_or_default().max(trimmed)).await?;
        let mut left = tx.folded(thread).await?;
        // What is left of the log may tell a state as changes of one that went: the thread as it looks is kept beside it.
        if left.restore_states_from(&before) {
            let text = serde_json::to_string(&left)?;
            let query = sqlx::query("INSERT INTO snapshots (channel, seq, state) VALUES ($1, $2, $3)");
            let query = query.bind(Channel::Thread(thread).to_string()).bind(head.cast_signed()).bind(text);
            query.execute(tx.sql()).await?;
        }
        tx.commit().await?;
        Ok(gone.len() as u64)
    }
}

impl Append {
    /// Where a thread's log was trimmed and where it ends; nobody else changes the thread until this is over.
    async fn extent(&mut self, thread: ThreadId) -> Result<Option<(u64, u64)>> {
        let sql = format!("SELECT id FROM threads WHERE id = $1 AND deleted_at IS NULL{}", self.engine().for_update());
        let thread_row = sqlx::query(AssertSqlSafe(sql)).bind(thread.to_string()).fetch_optional(self.sql()).await?;
        let open = "SELECT id FROM runs WHERE thread_id = $1 AND ended_at IS NULL LIMIT 1";
        let open = sqlx::query(open).bind(thread.to_string()).fetch_optional(self.sql()).await?;
        let query = sqlx::query("SELECT trimmed, head FROM channels WHERE id = $1");
        let row = query.bind(Channel::Thread(thread).to_string()).fetch_optional(self.sql()).await?;
        let (Some(_), None, Some(row)) = (thread_row, open, row) else { return Ok(None) };
        Ok(Some((row.try_get::<i64, _>(0)?.cast_unsigned(), row.try_get::<i64, _>(1)?.cast_unsigned())))
    }

    /// Reads a thread's log on from a place.
    async fn each(&mut self, thread: ThreadId, mut after: u64, mut read: impl FnMut(&Row) -> Result<()>) -> Result<()> {
        loop {
            let rows = page(self.sql(), Channel::Thread(thread), after).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.seq;
            rows.iter().try_for_each(&mut read)?;
        }
    }

    /// A thread as it looks in this transaction.
    async fn folded(&mut self, thread: ThreadId) -> Result<ThreadView> {
        let channel = Channel::Thread(thread);
        let kept = kept_text(self.sql(), channel).await?;
        let kept = kept.and_then(|(seq, text)| serde_json::from_str(&text).ok().map(|view| (seq, view)));
        let (seq, mut view) = kept.unwrap_or_default();
        self.each(thread, seq, |row| {
            apply_to_thread(&mut view, row.at, row.decode(channel)?);
            Ok(())
        })
        .await?;
        Ok(view)
    }

    /// Deletes entries; those up to `trimmed` may be missing from now on.
    async fn remove(&mut self, thread: ThreadId, gone: &[u64], trimmed: u64) -> Result<()> {
        let channel = Channel::Thread(thread).to_string();
        for chunk in chunks(gone) {
            let engine = self.engine();
            let (first, seqs) = (engine.place(1), places(engine, 2, chunk.len()));
            let sql = format!("DELETE FROM entries WHERE channel = {first} AND seq IN ({seqs})");
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(&channel);
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
        sqlx::query(sql)
            .bind(&channel)
            .bind(trimmed.cast_signed())
            .bind(thread.to_string())
            .execute(self.sql())
            .await?;
        Ok(())
    }
}
