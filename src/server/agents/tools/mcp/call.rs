//! A call of a server's tool, from the request to the response, with questions to a person in between.
//!
//! Guarantees: a call is sent once, unless its server asks for it again; the time that a call waits for a person does not
//! count towards its time-out; dropping a call cancels it at its server. A held call continues only in its own thread;
//! it ends with this process, and the answer then gets an output that says so. A repeated call needs the same consent
//! as the first one.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rmcp::{
    ServiceError,
    model::{CallToolRequestParams, CallToolResponse, ElicitResult, InputRequiredResult, InputResponses, JsonObject},
};
use serde_json::Value;
use tokio::{
    sync::{OwnedMutexGuard, mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use uuid::Uuid;

use super::{
    McpSource,
    connect::is_unsent,
    content,
    elicitation::{
        HELD_TIMEOUT, MAX_HELD, OpenCall, PendingQuestion, cancelled, elicit_result, input_responses, to_question,
        to_questions,
    },
    session::{CloseOnDrop, Session},
    tool_list::{ListedTool, ToolList},
};
use crate::{
    protocol::ThreadId,
    server::{
        agents::tools::{
            Consent, ToolOutput,
            questions::{CallOutcome, Continuation, Question, Resumption},
        },
        json_schema,
        runs::RunInput,
    },
    text::clip,
};

/// The longest error message of a server, in characters.
pub(super) const MAX_ERROR_CHARS: usize = 2_000;
/// The longest id of a server's task, in bytes: the log contains it.
const MAX_TASK_ID_BYTES: usize = 1_024;
/// How many times a server may defer a call without a question.
const MAX_DEFERRALS: u32 = 6;
/// The delay before a deferred call is sent again; it doubles each time.
const FIRST_DEFERRAL_DELAY: Duration = Duration::from_millis(200);

/// A call that was sent and has no response yet.
struct ActiveCall {
    /// The name under which models see the tool.
    name: String,
    response: BoxFuture<'static, Result<CallToolResponse, ServiceError>>,
    questions: mpsc::Receiver<PendingQuestion>,
    open: OpenCall,
    _lock: Option<OwnedMutexGuard<()>>,
    session: Arc<Session>,
    /// Set once a person was asked: this call is then the only user of its session.
    close_on_drop: Option<CloseOnDrop>,
    /// The time until the call times out, without the time that it waits for a person.
    time_left: Duration,
}

/// A call that waits for a person.
pub(super) struct HeldCall {
    call: ActiveCall,
    thread: ThreadId,
    answer: oneshot::Sender<ElicitResult>,
}

/// What a repeated call carries besides its arguments; empty for the first attempt.
#[derive(Default)]
struct Retry {
    responses: Option<InputResponses>,
    state: Option<String>,
}

/// A call to make.
struct CallRequest<'a> {
    name: &'a str,
    args: Value,
    thread: ThreadId,
    /// Whether a person allowed it, if its tool requires consent.
    allowed: bool,
}

/// The outcome of one attempt at a call.
enum AttemptOutcome {
    Finished(CallOutcome),
    /// The server wants the call sent again later, with this state.
    Deferred(Option<String>),
}

impl McpSource {
    /// Calls a tool by the name that [`Self::list`] returned. Dropping the future cancels the call. The caller must
    /// have obtained the consent that the tool requires.
    pub(in super::super) async fn call(self: &Arc<Self>, name: &str, args: Value, thread: ThreadId) -> CallOutcome {
        self.call_with_retries(CallRequest { name, args, thread, allowed: true }, Retry::default()).await
    }

    /// Continues a call.
    pub(in super::super) async fn resume(
        self: &Arc<Self>,
        name: &str,
        resumption: Resumption,
        input: &RunInput,
    ) -> CallOutcome {
        let Resumption { continuation, mut answers, args, allowed } = resumption;
        let request = CallRequest { name, args, thread: input.thread_id, allowed };
        match continuation {
            Continuation::Held(id) => {
                let held = self.take_held(id, &request);
                let (Some(HeldCall { call, answer, .. }), Some((_, response))) = (held, answers.pop()) else {
                    return ToolOutput::failed(format!(
                        "The server of `{}` waited for this answer in a session that is over: Netra was restarted \
                         meanwhile, or the answer came too late or at another node. The call failed; it may have done \
                         part of its work.",
                        self.id
                    ))
                    .into();
                };
                // If the server no longer waits for the answer, the call's outcome says why.
                let _ = answer.send(elicit_result(response));
                match self.wait_for_outcome(call, request.thread).await {
                    AttemptOutcome::Finished(outcome) => outcome,
                    AttemptOutcome::Deferred(state) => {
                        self.call_with_retries(request, Retry { responses: None, state }).await
                    }
                }
            }
            Continuation::Retry { state } => {
                let retry = Retry { responses: Some(input_responses(answers)), state };
                self.call_with_retries(request, retry).await
            }
            Continuation::Task(id) => self.follow_task(name, &id, answers, input).await,
        }
    }

    /// Removes and returns the held call with this id, if it belongs to this thread and tool.
    fn take_held(&self, id: Uuid, request: &CallRequest<'_>) -> Option<HeldCall> {
        let mut held = self.held.lock();
        let matches = |held: &HeldCall| held.thread == request.thread && held.call.name == request.name;
        if held.get(&id).is_some_and(matches) { held.remove(&id) } else { None }
    }

    /// Ends the held calls of a thread in which the person sent something other than an answer.
    pub(in super::super) fn abandon(&self, thread: ThreadId) {
        let abandoned: Vec<HeldCall> =
            self.held.lock().extract_if(|_, held| held.thread == thread).map(|(_, held)| held).collect();
        // Dropped after the lock is released.
        drop(abandoned);
    }

    /// Makes a call, and repeats it while its server defers it.
    async fn call_with_retries(self: &Arc<Self>, request: CallRequest<'_>, mut retry: Retry) -> CallOutcome {
        for deferrals in 0..MAX_DEFERRALS {
            let call = match self.send(&request, retry).await {
                Ok(call) => call,
                Err(output) => return output.into(),
            };
            match self.wait_for_outcome(call, request.thread).await {
                AttemptOutcome::Finished(outcome) => return outcome,
                AttemptOutcome::Deferred(state) => retry = Retry { responses: None, state },
            }
            sleep(FIRST_DEFERRAL_DELAY * 2_u32.pow(deferrals)).await;
        }
        ToolOutput::failed(format!(
            "The server of `{}` deferred the call {MAX_DEFERRALS} times; call it again later.",
            request.name
        ))
        .into()
    }

    /// Sends a call.
    ///
    /// # Errors
    /// Why it was not sent, for the model.
    async fn send(&self, request: &CallRequest<'_>, retry: Retry) -> Result<ActiveCall, ToolOutput> {
        let CallRequest { name, args, .. } = request;
        let deadline = Instant::now() + self.config.call_timeout;
        loop {
            let (session, tools) = self.session_with_tools().await.map_err(|error| {
                ToolOutput::failed(format!(
                    "The tools of `{}` are unavailable: {}. The call was not made; continue without them, or call again \
                     later.",
                    self.id, error.reason
                ))
            })?;
            let tool = callable_tool(&tools, request)?;
            let lock = if self.has_asked.load(Ordering::Acquire) {
                let lock = tokio::select! {
                    lock = timeout_at(deadline, Arc::clone(&session.call_lock).lock_owned()) => lock,
                    // The call with the lock waits for a person: this one uses another session.
                    () = session.retired.cancelled() => continue,
                };
                let busy = |_| ToolOutput::failed(format!("`{name}` is busy with other calls. The call was not made."));
                Some(lock.map_err(busy)?)
            } else {
                None
            };
            if session.retired.is_cancelled() || session.has_unanswered_call() {
                continue;
            }
            let args: JsonObject = args.as_object().cloned().unwrap_or_default();
            let mut params = CallToolRequestParams::new(tool.name.clone()).with_arguments(args);
            (params.input_responses, params.request_state) = (retry.responses, retry.state);
            let (open, questions) = session.calls.register();
            let peer = session.peer.clone();
            return Ok(ActiveCall {
                name: (*name).to_owned(),
                response: Box::pin(async move { peer.call_tool_once(params).await }),
                questions,
                open,
                _lock: lock,
                session,
                close_on_drop: None,
                time_left: self.config.call_timeout,
            });
        }
    }

    /// Waits until a call ends, asks a person or times out.
    async fn wait_for_outcome(self: &Arc<Self>, mut call: ActiveCall, thread: ThreadId) -> AttemptOutcome {
        let started = Instant::now();
        loop {
            tokio::select! {
                biased;
                response = &mut call.response => {
                    if matches!(response, Ok(_) | Err(ServiceError::McpError(_))) {
                        call.open.mark_answered();
                    }
                    return self.on_response(&call, response);
                }
                Some(PendingQuestion { request, answer }) = call.questions.recv() => {
                    let id = Uuid::now_v7();
                    match to_question(&self.id, String::new(), request, Continuation::Held(id)) {
                        Ok(question) if self.held.lock().len() < MAX_HELD => {
                            call.time_left = call.time_left.saturating_sub(started.elapsed());
                            let held = HeldCall { call, thread, answer };
                            return AttemptOutcome::Finished(self.hold(id, held, question).await);
                        }
                        Ok(_) => self.warn_of_cancelled_question("too many calls wait for a person"),
                        Err(reason) => self.warn_of_cancelled_question(reason),
                    }
                    // The call continues; its server decides what a cancelled question means.
                    let _ = answer.send(cancelled());
                }
                () = sleep_until(started + call.time_left) => {
                    let (name, seconds) = (&call.name, self.config.call_timeout.as_secs_f32());
                    return AttemptOutcome::Finished(ToolOutput::failed(format!(
                        "`{name}` did not answer within {seconds} s, and was cancelled; it may have done part of its work."
                    )).into());
                }
            }
        }
    }

    fn warn_of_cancelled_question(&self, reason: &str) {
        tracing::warn!(tools = self.id, reason, "a question of a tool server was cancelled");
    }

    /// Holds a call until a person answers. From then on it is the only user of its session.
    async fn hold(self: &Arc<Self>, id: Uuid, mut held: HeldCall, question: Question) -> CallOutcome {
        let session = Arc::clone(&held.call.session);
        if held.call.close_on_drop.is_none() {
            held.call.close_on_drop = Some(CloseOnDrop {
                session: Arc::clone(&session),
                id: self.id.clone(),
                closing: self.background.clone(),
            });
            let mut connection = self.connection.lock().await;
            if connection.session.take_if(|current| Arc::ptr_eq(current, &session)).is_some() {
                // The server works, so the next session opens without a delay.
                connection.reset_delay();
            }
            session.retired.cancel();
        }
        self.held.lock().insert(id, held);
        let source = Arc::clone(self);
        self.background.spawn(async move {
            tokio::select! {
                () = sleep(HELD_TIMEOUT) => {}
                () = source.stopping.cancelled() => {}
            }
            let expired = source.held.lock().remove(&id);
            // Dropped after the lock is released.
            drop(expired);
        });
        CallOutcome::InputRequired(vec![question])
    }

    /// The outcome of an attempt that got a response or lost its connection.
    fn on_response(&self, call: &ActiveCall, response: Result<CallToolResponse, ServiceError>) -> AttemptOutcome {
        let name = &call.name;
        if matches!(response, Ok(_) | Err(ServiceError::McpError(_))) {
            call.session.has_responded.store(true, Ordering::Relaxed);
        }
        let output = match response {
            Ok(CallToolResponse::Complete(result)) => content::output(result, self.config.max_output_bytes),
            Ok(CallToolResponse::InputRequired(required)) => return self.input_required(name, required),
            Ok(CallToolResponse::Task(created)) if created.task.task_id.len() > MAX_TASK_ID_BYTES => {
                ToolOutput::failed(format!(
                    "`{name}` started a task that cannot be followed: its id has more than {MAX_TASK_ID_BYTES} bytes."
                ))
            }
            Ok(CallToolResponse::Task(created)) => {
                let continuation = Continuation::Task(created.task.task_id);
                return AttemptOutcome::Finished(CallOutcome::TaskStarted(continuation));
            }
            Ok(_) => ToolOutput::failed(format!("`{name}` answered in an unknown way.")),
            Err(ServiceError::McpError(error)) => {
                ToolOutput::failed(format!("`{name}` failed: {}", clip(&error.message, MAX_ERROR_CHARS)))
            }
            Err(error) => {
                // The source's current session is another one if this call has its own.
                if call.close_on_drop.is_none() {
                    self.drop_session(&call.session, &error);
                }
                let what = if is_unsent(&error) {
                    "cannot be reached; the call was not made"
                } else {
                    "ended during the call; it may or may not have been carried out"
                };
                ToolOutput::failed(format!("The server of `{}` {what}.", self.id))
            }
        };
        AttemptOutcome::Finished(output.into())
    }

    /// The outcome of an attempt whose server, of version 2026-07-28, asks questions or defers the call.
    fn input_required(&self, name: &str, required: InputRequiredResult) -> AttemptOutcome {
        let InputRequiredResult { input_requests, request_state, .. } = required;
        let requests = input_requests.unwrap_or_default();
        if requests.is_empty() {
            return AttemptOutcome::Deferred(request_state);
        }
        let questions = to_questions(&self.id, requests, &Continuation::Retry { state: request_state });
        AttemptOutcome::Finished(
            questions.map_or_else(|reason| cannot_continue(name, reason), CallOutcome::InputRequired),
        )
    }
}

/// The tool that a request names, if the request may be sent.
///
/// # Errors
/// Why it may not, for the model.
fn callable_tool<'a>(tools: &'a ToolList, request: &CallRequest<'_>) -> Result<&'a ListedTool, ToolOutput> {
    let CallRequest { name, args, allowed, .. } = request;
    let Some(tool) = tools.tools.iter().find(|tool| tool.spec.name == *name) else {
        return Err(ToolOutput::failed(format!("There is no tool `{}` (any more).", clip(name, 100))));
    };
    match tool.spec.consent {
        Consent::Off => return Err(ToolOutput::failed(format!("The tool `{name}` is switched off here."))),
        Consent::Ask if !allowed => {
            return Err(ToolOutput::failed(format!(
                "A person must allow `{name}`, and nobody allowed this call. It was not made; call it again to ask."
            )));
        }
        _ => {}
    }
    json_schema::check(&tool.spec.parameters, args).map_err(ToolOutput::failed)?;
    Ok(tool)
}

/// The output of a call whose server asks for something that is not supported.
pub(super) fn cannot_continue(name: &str, reason: &str) -> CallOutcome {
    ToolOutput::failed(format!("`{name}` cannot continue: {reason}.")).into()
}
