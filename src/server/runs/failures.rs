//! Failures of runs that are stored for administrators.

use crate::{
    protocol::http::LastFailure,
    server::{
        error::Result,
        store::{Store, row},
    },
    thread::{EndKind, RunEnd},
};

/// The code of a run that was executing when its server was killed.
pub(super) use crate::protocol::extensions::SERVER_RESTARTED;
/// The code of a run that was executing when its server shut down.
pub(super) const SERVER_RESTARTING: &str = "server_restarting";
/// The code of a run whose node is lost.
pub(super) const SERVER_LOST: &str = "server_lost";
/// The longest stored message of a failure, in characters.
const MAX_PROBLEM_CHARS: usize = 500;

/// Whether a run failed because its server stopped, not because of its agent.
pub(super) fn is_caused_by_server(code: &str) -> bool {
    [SERVER_RESTARTED, SERVER_RESTARTING, SERVER_LOST].contains(&code)
}

/// The message to store for a run that failed because of its agent.
pub(super) fn problem(ending: &RunEnd) -> Option<String> {
    match &ending.kind {
        EndKind::Failed { message, code } if !is_caused_by_server(code) => {
            Some(message.chars().take(MAX_PROBLEM_CHARS).collect())
        }
        _ => None,
    }
}

/// The failure of an agent's newest run, whichever node it ended on; `None` if that run did not fail.
///
/// # Errors
/// If the store fails.
pub async fn last_failure(store: &Store, agent: &str) -> Result<Option<LastFailure>> {
    row! { struct Row { ended_at: i64, problem: Option<String> } }
    let sql =
        "SELECT ended_at, problem FROM runs WHERE agent = $1 AND ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1";
    let newest: Option<Row> = sqlx::query_as(sql).bind(agent).fetch_optional(store.reader()).await?;
    Ok(newest.and_then(|Row { ended_at, problem }| Some(LastFailure { at: ended_at, message: problem? })))
}
