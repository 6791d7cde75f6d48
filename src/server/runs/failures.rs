//! Failures of runs that are stored for administrators.

use sqlx::Row;

use crate::{
    protocol::http::LastFailure,
    server::{error::Result, store::Store},
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

/// Whether a run failed because its server ended, not because of its agent.
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
    let sql =
        "SELECT ended_at, problem FROM runs WHERE agent = $1 AND ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1";
    let newest = sqlx::query(sql).bind(agent).fetch_optional(store.reader()).await?;
    let Some(newest) = newest else { return Ok(None) };
    let (at, message) = (newest.try_get("ended_at")?, newest.try_get::<Option<String>, _>("problem")?);
    Ok(message.map(|message| LastFailure { at, message }))
}
