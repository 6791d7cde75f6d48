//! The rows of a fork.

use std::collections::HashMap;

use sqlx::{Any, AnyConnection, Executor};

use super::copy::CopiedRequest;
use crate::{
    protocol::{RunId, ThreadId, UserId},
    server::{error::Result, store::row},
};

row! {
    /// What the copy of a run keeps of its row.
    #[derive(Debug)]
    pub(in super::super) struct EndedRun {
        pub(in super::super) id: RunId,
        pub(in super::super) agent: String,
        pub(in super::super) started_at: i64,
        pub(in super::super) ended_at: i64,
        pub(in super::super) begun_at: Option<i64>,
        pub(in super::super) asks_until: Option<i64>,
        pub(in super::super) answered_at: Option<i64>,
        pub(in super::super) caller: Option<String>,
    }
}

/// The runs of a thread that have ended.
pub(super) async fn ended_runs<'c>(
    executor: impl Executor<'c, Database = Any>,
    thread: ThreadId,
) -> Result<HashMap<RunId, EndedRun>> {
    let sql = "SELECT id, agent, started_at, ended_at, begun_at, asks_until, answered_at, caller FROM runs \
               WHERE thread_id = $1 AND ended_at IS NOT NULL";
    let rows: Vec<EndedRun> = sqlx::query_as(sql).bind(thread).fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Whether a thread with this id exists, or existed.
pub(super) async fn exists<'c>(executor: impl Executor<'c, Database = Any>, thread: ThreadId) -> Result<bool> {
    let query = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM threads WHERE id = $1").bind(thread);
    Ok(query.fetch_one(executor).await? > 0)
}

/// Inserts the copy of a run and of the message or answer that requested it.
pub(in super::super) async fn insert_run(
    connection: &mut AnyConnection,
    thread: ThreadId,
    owner: UserId,
    request: &CopiedRequest,
    run: &EndedRun,
) -> Result<()> {
    let (turn, seq) = (request.order.turn.cast_signed(), request.order.seq.cast_signed());
    let sql = "INSERT INTO runs (id, thread_id, owner, agent, started_at, ended_at, begun_at, asks_until, answered_at, \
               caller, message_id, turn, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    sqlx::query(sql)
        .bind(request.run_id)
        .bind(thread)
        .bind(owner)
        .bind(&run.agent)
        .bind(run.started_at)
        .bind(run.ended_at)
        .bind(run.begun_at)
        .bind(run.asks_until)
        .bind(run.answered_at)
        .bind(&run.caller)
        .bind(request.message_id)
        .bind(turn)
        .bind(seq)
        .execute(&mut *connection)
        .await?;
    let sql = "INSERT INTO messages (id, author, thread_id, request, run_id, seq) VALUES ($1, $2, $3, '', $4, $5)";
    let query = sqlx::query(sql).bind(request.id).bind(owner).bind(thread).bind(request.run_id).bind(seq);
    query.execute(connection).await?;
    Ok(())
}
