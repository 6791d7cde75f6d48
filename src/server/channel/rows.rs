//! The statements that write a log, many rows each: one statement a row is several times slower on either database.

use std::collections::HashMap;

use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::Channel;
use crate::{
    protocol::RunId,
    server::{error::Result, store::Engine},
};

/// How many rows a statement writes: few sizes, so that the database prepares few statements.
const SIZES: [usize; 4] = [256, 64, 8, 1];

/// A row of the log.
#[derive(Debug)]
pub(super) struct LogRow<'a> {
    pub(super) channel: &'a str,
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) entry: &'a str,
}

/// Moves the ends of channels on by a count each; answers where they are now. The channels must be in order and each
/// there once: all who lock several take them in the same order, so that no two wait for each other.
pub(super) async fn advance(
    connection: &mut AnyConnection,
    counts: &[(Channel, u64)],
) -> Result<HashMap<Channel, u64>> {
    debug_assert!(counts.is_sorted_by(|a, b| a.0.to_string() < b.0.to_string()), "in order");
    let mut heads = HashMap::with_capacity(counts.len());
    for chunk in chunks(counts) {
        let sql = format!(
            "INSERT INTO channels (id, head) VALUES {} \
             ON CONFLICT (id) DO UPDATE SET head = channels.head + excluded.head RETURNING id, head",
            places(chunk.len(), 2),
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (channel, count) in chunk {
            query = query.bind(channel.to_string()).bind(count.cast_signed());
        }
        for row in query.fetch_all(&mut *connection).await? {
            let channel: String = row.try_get(0)?;
            heads.insert(channel.parse()?, row.try_get::<i64, _>(1)?.cast_unsigned());
        }
    }
    Ok(heads)
}

/// Writes rows of the log.
pub(super) async fn insert(connection: &mut AnyConnection, rows: &[LogRow<'_>]) -> Result<()> {
    for chunk in chunks(rows) {
        let sql = format!("INSERT INTO entries (channel, seq, at, entry) VALUES {}", places(chunk.len(), 4));
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
) -> Result<Vec<RunId>> {
    let mut held = Vec::with_capacity(runs.len());
    for chunk in chunks(runs) {
        let places: Vec<String> = (0..chunk.len()).map(|place| format!("${}", place + 2)).collect();
        let sql = format!(
            "SELECT id FROM runs WHERE node = $1 AND ended_at IS NULL AND id IN ({}) ORDER BY id{}",
            places.join(", "),
            engine.for_share(),
        );
        let mut query = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).bind(node);
        for run in chunk {
            query = query.bind(run.to_string());
        }
        for run in query.fetch_all(&mut *connection).await? {
            held.push(run.parse()?);
        }
    }
    Ok(held)
}

/// `($1, $2), ($3, $4)`: so many rows of so many columns.
fn places(rows: usize, columns: usize) -> String {
    let row = |row| {
        let places: Vec<String> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// Cuts a list into pieces of the [`SIZES`], the largest first.
pub(super) fn chunks<T>(mut rest: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (chunk, left) = rest.split_at(size);
        rest = left;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_come_in_few_sizes_and_hold_everything_once() {
        let rows: Vec<u32> = (0..600).collect();
        let sizes: Vec<usize> = chunks(&rows).map(<[u32]>::len).collect();
        assert_eq!(sizes, [256, 256, 64, 8, 8, 8]);
        assert_eq!(chunks(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        assert_eq!(places(2, 2), "($1, $2), ($3, $4)");
    }
}
