//! The statements over the runs of a thread that have not ended: their order, and what became of their messages.

use sqlx::{Any, AnyConnection, AssertSqlSafe, Executor};

use super::RunOrder;
use crate::{
    protocol::{MessageId, RunId, ThreadId},
    server::{
        clock::now_ms,
        error::Result,
        store::{Engine, row},
    },
};

row! {
    /// A run that has not ended.
    #[derive(Debug)]
    pub(super) struct OpenRun {
        pub(super) id: RunId,
        pub(super) message_id: Option<MessageId>,
        pub(super) agent: String,
        turn: i64,
        seq: i64,
        begun_at: Option<i64>,
        steers: i64,
    }
}

impl OpenRun {
    pub(super) fn order(&self) -> RunOrder {
        RunOrder { turn: self.turn.cast_unsigned(), seq: self.seq.cast_unsigned() }
    }

    /// Whether it is the run of a message, and has not begun. A run that resumes another keeps its place in its turn.
    pub(super) fn is_waiting_message(&self) -> bool {
        self.begun_at.is_none() && self.turn == self.seq && self.message_id.is_some()
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun_at.is_some()
    }

    /// Whether the agent of an active run may read its message.
    pub(super) fn steers(&self) -> bool {
        self.steers != 0
    }
}

/// The runs of a thread that have not ended, in order. `engine`: locks them until the transaction ends, so that none of them begins.
pub(super) async fn open_runs<'c>(
    executor: impl Executor<'c, Database = Any>,
    thread: ThreadId,
    engine: Option<Engine>,
) -> Result<Vec<OpenRun>> {
    let lock = engine.map_or("", |engine| engine.for_update());
    let sql = format!(
        "SELECT id, message_id, agent, turn, seq, begun_at, steers FROM runs WHERE thread_id = $1 AND ended_at IS NULL \
         ORDER BY turn, seq{lock}"
    );
    Ok(sqlx::query_as(AssertSqlSafe(sql)).bind(thread).fetch_all(executor).await?)
}

pub(super) async fn set_order(connection: &mut AnyConnection, run: RunId, order: RunOrder) -> Result<()> {
    let query = sqlx::query("UPDATE runs SET turn = $2, seq = $3 WHERE id = $1").bind(run);
    query.bind(order.turn.cast_signed()).bind(order.seq.cast_signed()).execute(connection).await?;
    Ok(())
}

/// How many messages of a thread wait to be read by an active run.
pub(super) async fn unread<'c>(executor: impl Executor<'c, Database = Any>, thread: ThreadId) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM runs WHERE thread_id = $1 AND steers = 1 AND ended_at IS NULL AND begun_at IS NULL";
    Ok(sqlx::query_scalar(sql).bind(thread).fetch_one(executor).await?)
}

/// Ends a run whose message was read by another run, unless it has begun or ended.
pub(super) async fn end_read_run(connection: &mut AnyConnection, run: RunId) -> Result<bool> {
    let sql = "UPDATE runs SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL AND begun_at IS NULL";
    Ok(sqlx::query(sql).bind(run).bind(now_ms()).execute(connection).await?.rows_affected() > 0)
}

/// Whether a run has not ended and belongs to a node.
pub(super) async fn is_open_on(connection: &mut AnyConnection, run: RunId, node: &str) -> Result<bool> {
    let sql = "SELECT COUNT(*) FROM runs WHERE id = $1 AND node = $2 AND ended_at IS NULL";
    let query = sqlx::query_scalar::<_, i64>(sql).bind(run).bind(node.to_owned());
    Ok(query.fetch_one(connection).await? > 0)
}
