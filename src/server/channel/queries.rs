//! The statements over `channels`, `entries` and `snapshots`, and those over `runs` that appending needs.
//!
//! Statements that write a log cover many rows each. They return their results in one row, as text: passing a row through SQLite's
//! driver costs more than finding it.

use std::collections::{HashMap, HashSet};

use sqlx::{Any, AnyConnection, AssertSqlSafe, Executor};

use super::{Channel, Extent, PAGE};
use crate::{
    protocol::{Entry, RunId},
    server::{
        error::{Error, Result},
        store::{Engine, chunks, placeholders, row, row_placeholders},
    },
};

row! {
    /// An entry as it is stored.
    #[derive(Debug)]
    pub(super) struct EntryRow {
        seq: i64,
        pub(super) at: i64,
        pub(super) entry: String,
    }
}

impl EntryRow {
    pub(super) fn seq(&self) -> u64 {
        self.seq.cast_unsigned()
    }

    pub(super) fn decode(&self, channel: Channel) -> Result<Entry> {
        Ok(Entry::decode(channel.name(), serde_json::from_str(&self.entry)?))
    }
}

/// The entries after a place, at most [`PAGE`] of them.
pub(super) async fn page<'c>(
    executor: impl Executor<'c, Database = Any>,
    channel: Channel,
    after: u64,
) -> Result<Vec<EntryRow>> {
    let sql = "SELECT seq, at, entry FROM entries WHERE channel = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    let query = sqlx::query_as(sql).bind(channel).bind(after.cast_signed()).bind(i64::from(PAGE));
    Ok(query.fetch_all(executor).await?)
}

/// Where a channel's log begins and ends; nothing if it has none.
pub(super) async fn extent<'c>(
    executor: impl Executor<'c, Database = Any>,
    channel: Channel,
) -> Result<Option<Extent>> {
    row! { struct Row { trimmed: i64, head: i64 } }
    let query = sqlx::query_as("SELECT trimmed, head FROM channels WHERE id = $1").bind(channel);
    let row: Option<Row> = query.fetch_optional(executor).await?;
    Ok(row.map(|Row { trimmed, head }| Extent { trimmed: trimmed.cast_unsigned(), head: head.cast_unsigned() }))
}

/// Where the log of each of these channels begins and ends; channels without a log are left out.
pub(super) async fn extents<'c>(
    executor: impl Executor<'c, Database = Any> + Copy,
    engine: Engine,
    channels: &[Channel],
) -> Result<HashMap<Channel, Extent>> {
    row! { struct Row { id: Channel, trimmed: i64, head: i64 } }
    let mut extents = HashMap::with_capacity(channels.len());
    for chunk in chunks(channels) {
        let ids = placeholders(engine, 1, chunk.len());
        let sql = format!("SELECT id, trimmed, head FROM channels WHERE id IN ({ids})");
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        for channel in chunk {
            query = query.bind(*channel);
        }
        let rows: Vec<Row> = query.fetch_all(executor).await?;
        let extent =
            |row: Row| (row.id, Extent { trimmed: row.trimmed.cast_unsigned(), head: row.head.cast_unsigned() });
        extents.extend(rows.into_iter().map(extent));
    }
    Ok(extents)
}

row! {
    /// What folding a channel has to read.
    pub(super) struct FoldSize {
        /// The end of the log.
        pub(super) head: i64,
        /// The `seq` of the snapshot, if there is one.
        pub(super) snapshot_seq: Option<i64>,
        /// Its length in characters.
        pub(super) snapshot_chars: Option<i64>,
    }
}

pub(super) async fn fold_size<'c>(
    executor: impl Executor<'c, Database = Any>,
    channel: Channel,
) -> Result<Option<FoldSize>> {
    let sql = "SELECT c.head, s.seq AS snapshot_seq, CAST(LENGTH(s.state) AS BIGINT) AS snapshot_chars \
               FROM channels c LEFT JOIN snapshots s ON s.channel = c.id WHERE c.id = $1";
    Ok(sqlx::query_as(sql).bind(channel).fetch_optional(executor).await?)
}

/// The `seq` and JSON of a channel's snapshot.
pub(super) async fn snapshot(connection: &mut AnyConnection, channel: Channel) -> Result<Option<(u64, String)>> {
    row! { struct Row { seq: i64, state: String } }
    let query = sqlx::query_as("SELECT seq, state FROM snapshots WHERE channel = $1").bind(channel);
    let row: Option<Row> = query.fetch_optional(connection).await?;
    Ok(row.map(|Row { seq, state }| (seq.cast_unsigned(), state)))
}

/// Stores a snapshot, unless the channel was deleted.
pub(super) async fn put_snapshot(
    connection: &mut AnyConnection,
    channel: Channel,
    seq: u64,
    state: String,
) -> Result<()> {
    let sql = "INSERT INTO snapshots (channel, seq, state) SELECT id, $2, $3 FROM channels WHERE id = $1 \
               ON CONFLICT (channel) DO UPDATE SET seq = excluded.seq, state = excluded.state";
    sqlx::query(sql).bind(channel).bind(seq.cast_signed()).bind(state).execute(connection).await?;
    Ok(())
}

/// How much a channel grows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    pub(super) channel: Channel,
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Moves the ends of channels; returns their new ends. Locks the rows of `channels`, which must be in the order of their names.
pub(super) async fn grow(
    connection: &mut AnyConnection,
    engine: Engine,
    growths: &[Growth],
) -> Result<HashMap<Channel, u64>> {
    debug_assert!(growths.is_sorted_by(|a, b| a.channel.to_string() < b.channel.to_string()), "in order");
    let mut heads = HashMap::with_capacity(growths.len());
    for chunk in chunks(growths) {
        let sql = format!(
            "INSERT INTO channels (id, head, bytes) VALUES {} \
             ON CONFLICT (id) DO UPDATE SET head = channels.head + excluded.head, bytes = channels.bytes + excluded.bytes",
            row_placeholders(engine, chunk.len(), 3),
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for Growth { channel, entries, bytes } in chunk {
            query = query.bind(*channel).bind(entries.cast_signed()).bind(bytes.cast_signed());
        }
        query.execute(&mut *connection).await?;
        let ids = placeholders(engine, 1, chunk.len());
        let sql = format!("SELECT string_agg(id || ' ' || head, ',') FROM channels WHERE id IN ({ids})");
        let mut query = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql));
        for Growth { channel, .. } in chunk {
            query = query.bind(*channel);
        }
        let unreadable = || Error::Corrupt("the ends of channels cannot be read".into());
        for pair in query.fetch_one(&mut *connection).await?.unwrap_or_default().split(',') {
            let (channel, head) = pair.split_once(' ').ok_or_else(unreadable)?;
            heads.insert(channel.parse()?, head.parse().map_err(|_| unreadable())?);
        }
    }
    Ok(heads)
}

/// The end of a channel's log, whose row is locked until the transaction ends, even if it had none before.
pub(super) async fn lock_head(connection: &mut AnyConnection, channel: Channel) -> Result<u64> {
    let sql = "INSERT INTO channels (id, head, bytes) VALUES ($1, 0, 0) ON CONFLICT (id) DO UPDATE SET head = channels.head \
               RETURNING head";
    let head: i64 = sqlx::query_scalar(sql).bind(channel).fetch_one(connection).await?;
    Ok(head.cast_unsigned())
}

/// A row of `entries` to insert.
#[derive(Debug)]
pub(super) struct NewEntry<'a> {
    pub(super) channel: &'a str,
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) entry: &'a str,
}

/// Inserts entries.
pub(super) async fn insert_entries(
    connection: &mut AnyConnection,
    engine: Engine,
    entries: &[NewEntry<'_>],
) -> Result<()> {
    for chunk in chunks(entries) {
        let values = row_placeholders(engine, chunk.len(), 4);
        let sql = format!("INSERT INTO entries (channel, seq, at, entry) VALUES {values}");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for row in chunk {
            query = query.bind(row.channel).bind(row.seq.cast_signed()).bind(row.at).bind(row.entry);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Runs that have not ended and are owned by this node.
#[derive(Debug, Default)]
pub(super) struct OwnedRuns {
    pub(super) all: HashSet<RunId>,
    /// Those that have no entry yet.
    pub(super) not_begun: HashSet<RunId>,
}

/// Which of these runs have not ended and are owned by `node`. Locks their rows: they stay so until the transaction ends.
pub(super) async fn owned_runs(
    connection: &mut AnyConnection,
    engine: Engine,
    node: &str,
    runs: &[RunId],
) -> Result<OwnedRuns> {
    let mut owned = OwnedRuns::default();
    for chunk in chunks(runs) {
        let sql = format!(
            "SELECT string_agg(CASE WHEN begun_at IS NULL THEN '+' ELSE '' END || id, ',') FROM (SELECT id, begun_at FROM runs \
             WHERE node = {} AND ended_at IS NULL AND id IN ({}) ORDER BY id{}) AS owned",
            engine.placeholder(1),
            placeholders(engine, 2, chunk.len()),
            engine.for_share(),
        );
        let mut query = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql)).bind(node);
        for run in chunk {
            query = query.bind(*run);
        }
        let ids = query.fetch_one(&mut *connection).await?.unwrap_or_default();
        for id in ids.split(',').filter(|id| !id.is_empty()) {
            let run = id.trim_start_matches('+').parse()?;
            owned.all.insert(run);
            if id.starts_with('+') {
                owned.not_begun.insert(run);
            }
        }
    }
    Ok(owned)
}

/// Marks runs as begun: their first entries are appended in this transaction.
pub(super) async fn mark_begun(connection: &mut AnyConnection, engine: Engine, runs: &[RunId], at: i64) -> Result<()> {
    for chunk in chunks(runs) {
        let (first, ids) = (engine.placeholder(1), placeholders(engine, 2, chunk.len()));
        let mut query = sqlx::query(AssertSqlSafe(format!("UPDATE runs SET begun_at = {first} WHERE id IN ({ids})")));
        query = query.bind(at);
        for run in chunk {
            query = query.bind(*run);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
