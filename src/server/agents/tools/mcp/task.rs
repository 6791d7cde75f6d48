//! Calls that a server runs as tasks, polled until they end.
//!
//! Guarantees: a task is polled by its id, which the log contains, so any node can continue to follow it; while its
//! server is unavailable, polling is retried; if a person stops the run, the task is cancelled. If the run ends
//! otherwise (time limit, end of this process), the task continues at its server and the next run follows it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use rmcp::{
    Peer, RoleClient, ServiceError,
    model::{CallToolResult, CancelTaskParams, GetTaskParams, InputRequests, TaskPayload, UpdateTaskParams},
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
        questions::{CallOutcome, Continuation, Response},
    },
    McpSource,
    call::{MAX_ERROR_CHARS, cannot_continue},
    content,
    elicitation::{input_responses, to_questions},
};
use crate::{server::runs::RunInput, text::clip};

/// The interval between polls if the server suggests none.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest accepted interval that a server suggests.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The longest accepted interval that a server suggests.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);
/// How long polling is retried while the server is unavailable.
const UNAVAILABLE_TASK_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How long a server may list a question again after it got the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the cancellation of a task may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Cancels a task at its server when this is dropped because a person stopped the run.
struct TaskGuard {
    source: Arc<McpSource>,
    id: String,
    stopped_by_person: CancellationToken,
    /// Whether there is nothing to cancel: the task ended, waits for a person, or was cancelled.
    is_settled: bool,
}

impl TaskGuard {
    fn settle(&mut self) {
        self.is_settled = true;
    }

    fn cancel(&mut self) {
        self.is_settled = true;
        let Ok(runtime) = Handle::try_current() else { return };
        let (source, params) = (Arc::clone(&self.source), CancelTaskParams::new(self.id.clone()));
        let cancelling = async move {
            let cancelled = async {
                let (session, _) = source.session().await.ok()?;
                session.peer.cancel_task(params).await.ok()
            };
            if !matches!(timeout(CANCEL_TIMEOUT, cancelled).await, Ok(Some(()))) {
                tracing::warn!(tools = source.id, "a task could not be cancelled at its server");
            }
        };
        self.source.background.spawn_on(cancelling, &runtime);
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if !self.is_settled && self.stopped_by_person.is_cancelled() {
            self.cancel();
        }
    }
}

/// The keys of the questions whose answers were sent to a task.
struct SentAnswers {
    keys: HashSet<String>,
    sent: Instant,
}

impl SentAnswers {
    fn new(answers: &[(String, Response)]) -> Self {
        Self { keys: answers.iter().map(|(key, _)| key.clone()).collect(), sent: Instant::now() }
    }

    /// Forgets the keys because the task has continued: a question with the same key is a new one.
    fn clear(&mut self) {
        self.keys.clear();
    }

    /// Whether the server still lists an answered question with this key because it has not processed the answer yet.
    fn contains(&self, key: &str) -> bool {
        self.keys.contains(key) && self.sent.elapsed() < ANSWER_TIMEOUT
    }
}

/// Cancels a task that did not end in time, unless its server is unavailable.
fn give_up(name: &str, mut guard: TaskGuard, is_unavailable: bool) -> ToolOutput {
    ToolOutput::failed(if is_unavailable {
        guard.settle();
        format!(
            "`{name}` ran as a task, and its server has been unavailable since. Whether the task was completed is not known."
        )
    } else {
        guard.cancel();
        format!("The task of `{name}` did not end in time and was cancelled; it may have done part of its work.")
    })
}

/// The status of a task, with the server's poll interval while it runs.
enum TaskStatus {
    Ended(ToolOutput),
    Working(Duration),
    InputRequired(InputRequests, Duration),
}

impl McpSource {
    /// Polls a task until it ends or asks a person. `answers` are the answers to its earlier questions.
    pub(super) async fn follow_task(
        self: &Arc<Self>,
        name: &str,
        id: &str,
        answers: Vec<(String, Response)>,
        input: &RunInput,
    ) -> CallOutcome {
        let (source, stopped_by_person) = (Arc::clone(self), input.stopped_by_person.clone());
        let mut guard = TaskGuard { source, id: id.to_owned(), stopped_by_person, is_settled: false };
        let deadline = Instant::now() + self.config.task_timeout;
        let mut sent_answers = SentAnswers::new(&answers);
        let mut answers = Some(answers).filter(|answers| !answers.is_empty());
        let mut unavailable_since: Option<Instant> = None;
        while Instant::now() < deadline {
            let status = match self.session().await {
                Ok((session, _)) => self.poll_task(&session.peer, id, &mut answers).await,
                Err(_) => Err(ServiceError::TransportClosed),
            };
            if status.is_ok() {
                unavailable_since = None;
            }
            match status {
                Ok(TaskStatus::Ended(output)) => {
                    guard.settle();
                    return output.into();
                }
                Ok(TaskStatus::Working(interval)) => {
                    sent_answers.clear();
                    sleep(interval).await;
                }
                Ok(TaskStatus::InputRequired(mut requests, interval)) => {
                    requests.retain(|key, _| !sent_answers.contains(key));
                    if !requests.is_empty() {
                        return self.ask_for_task(name, guard, requests);
                    }
                    sleep(interval).await;
                }
                Err(ServiceError::McpError(error)) => {
                    guard.settle();
                    let message = clip(&error.message, MAX_ERROR_CHARS);
                    return ToolOutput::failed(format!("`{name}` failed: {message}")).into();
                }
                // The connection is lost, but the task may still run; the next session can poll it.
                Err(_) if unavailable_since.get_or_insert_with(Instant::now).elapsed() < UNAVAILABLE_TASK_TIMEOUT => {
                    sleep(POLL_INTERVAL).await;
                }
                Err(_) => break,
            }
        }
        give_up(name, guard, unavailable_since.is_some()).into()
    }

    /// The questions of a task. Cancels the task if they are not supported.
    fn ask_for_task(&self, name: &str, mut guard: TaskGuard, requests: InputRequests) -> CallOutcome {
        match to_questions(&self.id, requests, &Continuation::Task(guard.id.clone())) {
            Ok(questions) => {
                guard.settle();
                CallOutcome::InputRequired(questions)
            }
            Err(reason) => {
                guard.cancel();
                cannot_continue(name, reason)
            }
        }
    }

    /// Sends a task the answers that it waits for, and fetches its status. Clears `answers` once they are sent.
    async fn poll_task(
        &self,
        peer: &Peer<RoleClient>,
        id: &str,
        answers: &mut Option<Vec<(String, Response)>>,
    ) -> Result<TaskStatus, ServiceError> {
        let limit = self.config.connect_timeout;
        let late = || ServiceError::Timeout { timeout: limit };
        if let Some(unsent) = answers.clone() {
            let update = UpdateTaskParams::new(id, input_responses(unsent));
            timeout(limit, peer.update_task(update)).await.map_err(|_| late())??;
            *answers = None;
        }
        let detailed = timeout(limit, peer.get_task(GetTaskParams::new(id))).await.map_err(|_| late())??.task;
        let interval = detailed.task.poll_interval_ms.map_or(POLL_INTERVAL, |suggested| {
            Duration::from_millis(suggested).clamp(MIN_POLL_INTERVAL, MAX_POLL_INTERVAL)
        });
        Ok(match detailed.payload {
            TaskPayload::Working => TaskStatus::Working(interval),
            TaskPayload::InputRequired { input_requests } => TaskStatus::InputRequired(input_requests, interval),
            TaskPayload::Completed { result } => {
                let result = serde_json::from_value::<CallToolResult>(Value::Object(result));
                TaskStatus::Ended(match result {
                    Ok(result) => content::output(result, self.config.max_output_bytes),
                    Err(_) => ToolOutput::failed("The task was completed, but its result has an unknown form."),
                })
            }
            TaskPayload::Failed { error } => {
                let message = error.get("message").and_then(Value::as_str).unwrap_or("the server gave no reason");
                TaskStatus::Ended(ToolOutput::failed(format!("The task failed: {}", clip(message, MAX_ERROR_CHARS))))
            }
            TaskPayload::Cancelled => TaskStatus::Ended(ToolOutput::failed("The task was cancelled at its server.")),
            _ => TaskStatus::Ended(ToolOutput::failed("The task has an unknown status.")),
        })
    }
}
