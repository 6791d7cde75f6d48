//! The statements that write a log, many rows each. What they answer comes in one row, too: to hand a row over costs
//! SQLite's driver more than to find it.

use std::collections::{HashMap, HashSet};

use sqlx::{AnyConnection, AssertSqlSafe};

use super::Channel;
use crate::{
    protocol::RunId,
    server::{
        error::{Error, Result},
        store::{Engine, chunks, places, rows},
    },
};

/// A row of the log.
#[derive(Debug)]
pub(super) struct LogRow<'a> {
    pub(super) channel: &'a str,
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) entry: &'a str,
}

/// What is added to a channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added {
    pub(super) channel: Channel,
    /// How many entries.
    pub(super) entries: u64,
    /// How many bytes they have.
    pub(super) bytes: u64,
}

/// Moves the ends of channels on; answers where they are now. The channels must be in order and each
/// there once: all who lock several take them in the same order, so that no two wait for each other.
pub(super) async fn advance(
    connection: &mut AnyConnection,
    engine: Engine,
    added: &[Added],
) -> Result<HashMap<Channel, u64>> {
    debug_assert!(added.is_sorted_by(|a, b| a.channel.to_string() < b.channel.to_string()), "in order");
    let mut heads = HashMap::with_capacity(added.len());
    for chunk in chunks(added) {
        let sql = format!(
            "INSERT INTO channels (id, head, bytes) VALUES {} \
             ON CONFLICT (id) DO UPDATE SET head = channels.head + excluded.head, bytes = channels.bytes + excluded.bytes",
            rows(engine, chunk.len(), 3),
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for Added { channel, entries, bytes } in chunk {
            query = query.bind(channel.to_string()).bind(entries.cast_signed()).bind(bytes.cast_signed());
        }
        query.execute(&mut *connection).await?;
        let places = places(engine, 1, chunk.len());
        let sql = format!("SELECT string_agg(id || ' ' || head, ',') FROM channels WHERE id IN ({places})");
        let mut query = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql));
        for Added { channel, .. } in chunk {
            query = query.bind(channel.to_string());
        }
        let unread = || Error::Corrupt("the ends of channels cannot be read".into());
        for pair in query.fetch_one(&mut *connection).await?.unwrap_or_default().split(',') {
            let (channel, head) = pair.split_once(' ').ok_or_else(unread)?;
            heads.insert(channel.parse()?, head.parse().map_err(|_| unread())?);
        }
    }
    Ok(heads)
}

/// Writes rows of the log.
pub(super) async fn insert(connection: &mut AnyConnection, engine: Engine, log: &[LogRow<'_>]) -> Result<()> {
    for chunk in chunks(log) {
        let sql = format!("INSERT INTO entries (channel, seq, at, entry) VALUES {}", rows(engine, chunk.len(), 4));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for row in chunk {
            query = query.bind(row.channel).bind(row.seq.cast_signed()).bind(row.at).bind(row.entry);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Which of these runs go on and are this node's; they stay so until the transaction ends.
pub(super) async fn held(
    connection: &mut AnyConnection,
    engine: Engine,
    node: &str,
    runs: &[RunId],
) -> Result<HashSet<RunId>> {
    let mut held = HashSet::with_capacity(runs.len());
    for chunk in chunks(runs) {
        let sql = format!(
            "SELECT string_agg(id, ',') FROM (SELECT id FROM runs WHERE node = {} AND ended_at IS NULL AND id IN ({}) \
             ORDER BY id{}) AS held",
            engine.place(1),
            places(engine, 2, chunk.len()),
            engine.for_share(),
        );
        let mut query = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql)).bind(node);
        for run in chunk {
            query = query.bind(run.to_string());
        }
        let ids = query.fetch_one(&mut *connection).await?.unwrap_or_default();
        for id in ids.split(',').filter(|id| !id.is_empty()) {
            held.insert(id.parse()?);
        }
    }
    Ok(held)
}
