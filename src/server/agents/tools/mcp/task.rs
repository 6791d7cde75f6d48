//! Calls that a server works on as tasks: polled until they are over.
//!
//! Promises: a task is asked for by its id, which stands in the log, so any process can go on with it; a server that is away
//! meanwhile is asked again; a stopped run cancels its task there.

use std::{collections::HashSet, sync::Arc, time::Duration};

use rmcp::{
    Peer, RoleClient, ServiceError,
    model::{CallToolResult, CancelTaskParams, GetTaskParams, TaskPayload, UpdateTaskParams},
};
use serde_json::Value;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{
    super::{
        ToolOutput,
        questions::{Called, Continuation, Response},
        text::clipped,
    },
    McpSource,
    call::{MAX_ERROR, unasked},
    content,
    elicitation::{questions, responses},
};

/// The pause between two questions for a task where its server names none.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Bounds of the pause that a server names.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(100);
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);
/// How long a server that is away is waited for.
const AWAY_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// A task that is cancelled at its server when this is dropped.
struct Followed {
    peer: Option<Peer<RoleClient>>,
    id: String,
}

impl Followed {
    /// It goes on without being waited for, or is over.
    fn leave(&mut self) {
        self.peer = None;
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let (Some(peer), Ok(runtime)) = (self.peer.take(), Handle::try_current()) else { return };
        let cancel = CancelTaskParams::new(std::mem::take(&mut self.id));
        runtime.spawn(async move { timeout(POLL_INTERVAL * 5, peer.cancel_task(cancel)).await });
    }
}

impl McpSource {
    /// Waits until a task is over, or asks a person; `answers` are those to what it asked before.
    pub(super) async fn follow(self: &Arc<Self>, name: &str, id: &str, answers: Vec<(String, Response)>) -> Called {
        let deadline = Instant::now() + self.config.task_timeout;
        // An answer may be known there only a moment later.
        let answered: HashSet<String> = answers.iter().map(|(key, _)| key.clone()).collect();
        let mut answers = Some(answers).filter(|answers| !answers.is_empty());
        let mut followed = Followed { peer: None, id: id.to_owned() };
        let mut away_since = None;
        while Instant::now() < deadline {
            let (peer, pause) = match self.session().await {
                Ok((session, _)) => (session.peer.clone(), POLL_INTERVAL),
                Err(_) if away_since.get_or_insert_with(Instant::now).elapsed() < AWAY_TIMEOUT => {
                    sleep(POLL_INTERVAL).await;
                    continue;
                }
                Err(refusal) => {
                    followed.leave();
                    let reason = refusal.reason;
                    return ToolOutput::failed(format!(
                        "`{name}` went on as a task, and its server is away: {reason}."
                    ))
                    .into();
                }
            };
            followed.peer = Some(peer.clone());
            match self.step(&peer, id, &mut answers).await {
                Ok(Step::Over(output)) => {
                    followed.leave();
                    return output.into();
                }
                Ok(Step::Working(named)) => {
                    away_since = None;
                    sleep(named.unwrap_or(pause)).await;
                }
                Ok(Step::Asks(mut requests, named)) => {
                    away_since = None;
                    requests.retain(|key, _| !answered.contains(key));
                    if requests.is_empty() {
                        sleep(named.unwrap_or(pause)).await;
                        continue;
                    }
                    let asked = questions(&self.id, requests, &Continuation::Task(id.to_owned()));
                    if asked.is_ok() {
                        followed.leave();
                    }
                    return asked.map_or_else(|reason| unasked(name, reason), Called::Asked);
                }
                Err(ServiceError::McpError(error)) => {
                    followed.leave();
                    return ToolOutput::failed(format!("`{name}` failed: {}", clipped(&error.message, MAX_ERROR)))
                        .into();
                }
                // Its connection is gone, which the next session finds; the task is not.
                Err(_) if away_since.get_or_insert_with(Instant::now).elapsed() < AWAY_TIMEOUT => sleep(pause).await,
                Err(_) => break,
            }
        }
        ToolOutput::failed(format!(
            "The task of `{name}` was not over in time, and was cancelled; it may have done part of its work."
        ))
        .into()
    }

    /// Tells a task the answers it waits for, and asks how it is.
    async fn step(
        &self,
        peer: &Peer<RoleClient>,
        id: &str,
        answers: &mut Option<Vec<(String, Response)>>,
    ) -> Result<Step, ServiceError> {
        let limit = self.config.connect_timeout;
        let late = || ServiceError::Timeout { timeout: limit };
        if let Some(given) = answers.clone() {
            let update = UpdateTaskParams::new(id, responses(given));
            timeout(limit, peer.update_task(update)).await.map_err(|_| late())??;
            *answers = None;
        }
        let got = timeout(limit, peer.get_task(GetTaskParams::new(id))).await.map_err(|_| late())??.task;
        let named = got.task.poll_interval_ms.map(Duration::from_millis);
        let named = named.map(|named| named.clamp(MIN_POLL_INTERVAL, MAX_POLL_INTERVAL));
        Ok(match got.payload {
            TaskPayload::Working => Step::Working(named),
            TaskPayload::InputRequired { input_requests } => Step::Asks(input_requests, named),
            TaskPayload::Completed { result } => {
                let result = serde_json::from_value::<CallToolResult>(Value::Object(result));
                Step::Over(match result {
                    Ok(result) => content::output(result, self.config.max_output_bytes),
                    Err(_) => ToolOutput::failed("The task is over, and its result is not known here."),
                })
            }
            TaskPayload::Failed { error } => {
                let message = error.get("message").and_then(Value::as_str).unwrap_or("it did not say why");
                Step::Over(ToolOutput::failed(format!("The task failed: {}", clipped(message, MAX_ERROR))))
            }
            TaskPayload::Cancelled => Step::Over(ToolOutput::failed("The task was cancelled at its server.")),
            _ => Step::Over(ToolOutput::failed("The task is in a state that is not known here.")),
        })
    }
}

/// How a task is.
enum Step {
    Over(ToolOutput),
    /// It works on; the pause that its server names.
    Working(Option<Duration>),
    Asks(rmcp::model::InputRequests, Option<Duration>),
}
