//! Calls that a server works on as tasks: polled until they are over.
//!
//! Promises: a task is asked for by its id, which stands in the log, so any process can go on with it; a server that is away
//! meanwhile is asked again; a person who stops the run has its task cancelled. A run that ends otherwise (its time limit, the
//! end of this process) leaves its task at work, for the next run to ask for.

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
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        ToolOutput,
        questions::{Called, Continuation, Response},
        text::clip,
    },
    McpSource,
    call::{MAX_ERROR, unasked},
    content,
    elicitation::{questions, responses},
};
use crate::server::runs::RunInput;

/// The pause between two questions for a task where its server names none.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Bounds of the pause that a server names.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(100);
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);
/// How long a server that is away is waited for.
const AWAY_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How long a server may go on listing a question after it was told the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the cancellation of a task may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// A task that is cancelled at its server when this is dropped, if a person stopped the run.
struct Followed {
    source: Arc<McpSource>,
    id: String,
    stopped_by_person: CancellationToken,
    /// Nothing is left to cancel: it is over, asks a person, or was cancelled.
    is_settled: bool,
}

impl Followed {
    fn settle(&mut self) {
        self.is_settled = true;
    }

    fn cancel(&mut self) {
        self.is_settled = true;
        let Ok(runtime) = Handle::try_current() else { return };
        let (source, cancel) = (Arc::clone(&self.source), CancelTaskParams::new(self.id.clone()));
        let cancelling = async move {
            let cancelled = async {
                let (session, _) = source.session().await.ok()?;
                session.peer.cancel_task(cancel).await.ok()
            };
            if !matches!(timeout(CANCEL_TIMEOUT, cancelled).await, Ok(Some(()))) {
                tracing::warn!(tools = source.id, "a task could not be cancelled at its server");
            }
        };
        self.source.closing.spawn_on(cancelling, &runtime);
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if !self.is_settled && self.stopped_by_person.is_cancelled() {
            self.cancel();
        }
    }
}

/// The questions that a task was told the answers to.
struct Answered {
    keys: HashSet<String>,
    at: Instant,
}

impl Answered {
    fn new(answers: &[(String, Response)]) -> Self {
        Self { keys: answers.iter().map(|(key, _)| key.clone()).collect(), at: Instant::now() }
    }

    /// The task went on: a question that it asks from now on is a new one, whatever its key.
    fn forget(&mut self) {
        self.keys.clear();
    }

    /// Whether the server lists a question of this key only because it has not come to the answer yet.
    fn has(&self, key: &str) -> bool {
        self.keys.contains(key) && self.at.elapsed() < ANSWER_TIMEOUT
    }
}

impl McpSource {
    /// Waits until a task is over, or asks a person; `answers` are those to what it asked before.
    pub(super) async fn follow(
        self: &Arc<Self>,
        name: &str,
        id: &str,
        answers: Vec<(String, Response)>,
        input: &RunInput,
    ) -> Called {
        let deadline = Instant::now() + self.config.task_timeout;
        let mut answered = Answered::new(&answers);
        let mut answers = Some(answers).filter(|answers| !answers.is_empty());
        let (source, id, stopped_by_person) = (Arc::clone(self), id.to_owned(), input.stopped_by_person.clone());
        let mut followed = Followed { source, id: id.clone(), stopped_by_person, is_settled: false };
        let mut away_since: Option<Instant> = None;
        while Instant::now() < deadline {
            let step = match self.session().await {
                Ok((session, _)) => self.step(&session.peer, &id, &mut answers).await,
                Err(_) => Err(ServiceError::TransportClosed),
            };
            if step.is_ok() {
                away_since = None;
            }
            match step {
                Ok(Step::Over(output)) => {
                    followed.settle();
                    return output.into();
                }
                Ok(Step::Working(named)) => {
                    answered.forget();
                    sleep(named.unwrap_or(POLL_INTERVAL)).await;
                }
                Ok(Step::Asks(mut requests, named)) => {
                    requests.retain(|key, _| !answered.has(key));
                    if requests.is_empty() {
                        sleep(named.unwrap_or(POLL_INTERVAL)).await;
                        continue;
                    }
                    return match questions(&self.id, requests, &Continuation::Task(id)) {
                        Ok(asked) => {
                            followed.settle();
                            Called::Asked(asked)
                        }
                        Err(reason) => {
                            followed.cancel();
                            unasked(name, reason)
                        }
                    };
                }
                Err(ServiceError::McpError(error)) => {
                    followed.settle();
                    return ToolOutput::failed(format!("`{name}` failed: {}", clip(&error.message, MAX_ERROR))).into();
                }
                // Its connection is gone, which the next session finds; the task is not.
                Err(_) if away_since.get_or_insert_with(Instant::now).elapsed() < AWAY_TIMEOUT => {
                    sleep(POLL_INTERVAL).await;
                }
                Err(_) => break,
            }
        }
        if away_since.is_some() {
            followed.settle();
            return ToolOutput::failed(format!(
                "`{name}` went on as a task, and its server has been away since. What became of the task is not known; \
                 it may have done its work."
            ))
            .into();
        }
        followed.cancel();
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
                Step::Over(ToolOutput::failed(format!("The task failed: {}", clip(message, MAX_ERROR))))
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
