//! Which agents failed the last time they ran.

use crate::{
    protocol::http::LastFailure,
    server::{
        error::Result,
        store::{Store, row},
    },
    thread::{EndKind, RunEnd},
};

/// The end of a run that was under way when its server was killed.
pub(super) use crate::protocol::extensions::SERVER_RESTARTED;
/// The end of a run that was under way when its server was told to end.
pub(super) const SERVER_RESTARTING: &str = "server_restarting";
/// The end of a run whose node is gone.
pub(super) const SERVER_LOST: &str = "server_lost";
/// The longest description of a failure that is kept, in characters.
const MAX_PROBLEM: usize = 500;

/// Whether a run failed because its server ended: its agent did nothing wrong.
pub(super) fn is_of_server(code: &str) -> bool {
    [SERVER_RESTARTED, SERVER_RESTARTING, SERVER_LOST].contains(&code)
}

/// What the store keeps of a run that failed through its agent.
pub(super) fn problem(ending: &RunEnd) -> Option<String> {
    match &ending.kind {
        EndKind::Failed { message, code } if !is_of_server(code) => Some(message.chars().take(MAX_PROBLEM).collect()),
        _ => None,
    }
}

/// The failure of an agent's newest run, on whichever node it ended; nothing where that run did not fail.
///
/// # Errors
/// Where the store fails.
pub async fn last_failure(store: &Store, agent: &str) -> Result<Option<LastFailure>> {
    row! { struct Row { ended_at: i64, problem: Option<String> } }
    let sql =
        "SELECT ended_at, problem FROM runs WHERE agent = $1 AND ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1";
    let newest: Option<Row> = sqlx::query_as(sql).bind(agent).fetch_optional(store.reader()).await?;
    Ok(newest.and_then(|Row { ended_at, problem }| Some(LastFailure { at: ended_at, message: problem? })))
}
