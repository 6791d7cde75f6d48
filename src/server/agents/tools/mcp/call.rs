//! A call of a server's tool, from its beginning over a person's answers to its end.
//!
//! Promises: a call is sent once; what waits for a person counts for no time-out of the call; whoever drops a call cancels it
//! at its server. A call that waits in this process goes on in its own thread alone; it dies with the process, and says so when
//! the answer comes. A call that is made again needs what the first one needed: a person's yes, where its tool asks.

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
    elicitation::{Asked, HELD_TIMEOUT, MAX_HELD, Open, cancelled, question, questions, responses, result},
    session::{Kept, Session},
};
use crate::{
    protocol::ThreadId,
    server::{
        agents::tools::{
            Consent, ToolOutput,
            questions::{Called, Continuation, Question, Resumption},
            text::clip,
        },
        json_schema,
        runs::RunInput,
    },
};

/// Most characters of an error that a server answers with.
pub(super) const MAX_ERROR: usize = 2_000;
/// The longest id of a server's task, in bytes: it is kept in the log.
const MAX_TASK_ID: usize = 1_024;
/// How often a server may put a call off without asking anything.
const MAX_DEFERRALS: u32 = 6;
/// The wait before a call that was put off is made again; it doubles.
const FIRST_DEFERRAL: Duration = Duration::from_millis(200);

/// A call that is under way.
struct Live {
    /// What it is called here.
    name: String,
    answer: BoxFuture<'static, Result<CallToolResponse, ServiceError>>,
    asked: mpsc::Receiver<Asked>,
    open: Open,
    _turn: Option<OwnedMutexGuard<()>>,
    session: Arc<Session>,
    /// Where a person was asked: the session is the call's own.
    kept: Option<Kept>,
    /// How long it may work on.
    left: Duration,
}

/// A call that waits for a person.
pub(super) struct Held {
    live: Live,
    thread: ThreadId,
    answer: oneshot::Sender<ElicitResult>,
}

/// What a call is made again with; nothing the first time.
#[derive(Default)]
struct Retry {
    responses: Option<InputResponses>,
    state: Option<String>,
}

/// A call to make.
struct Wanted<'a> {
    name: &'a str,
    args: Value,
    thread: ThreadId,
    /// Whether it may be made though its tool asks a person first.
    allowed: bool,
}

/// What became of a call that was driven.
enum Driven {
    Over(Called),
    /// Its server wants it again, with this.
    Deferred(Option<String>),
}

impl McpSource {
    /// Calls a tool by the name that [`Self::list`] gave it. Dropping the future cancels the call.
    /// Whoever calls has asked a person where that must be.
    pub(in super::super) async fn call(self: &Arc<Self>, name: &str, args: Value, thread: ThreadId) -> Called {
        self.perform(Wanted { name, args, thread, allowed: true }, Retry::default()).await
    }

    /// Goes on with a call.
    pub(in super::super) async fn resume(
        self: &Arc<Self>,
        name: &str,
        resumption: Resumption,
        input: &RunInput,
    ) -> Called {
        let Resumption { continuation, mut answers, args, allowed } = resumption;
        let wanted = Wanted { name, args, thread: input.thread_id, allowed };
        match continuation {
            Continuation::Held(id) => {
                let held = self.take_held(id, &wanted);
                let (Some(Held { live, answer, .. }), Some((_, response))) = (held, answers.pop()) else {
                    return ToolOutput::failed(format!(
                        "The server of `{}` waited for this answer in a session that is over: Netra was restarted \
                         meanwhile, or the answer came too late or at another node. The call failed; it may have done \
                         part of its work.",
                        self.id
                    ))
                    .into();
                };
                // Where nobody waits for it, the call's own end says why.
                let _ = answer.send(result(response));
                match self.drive(live, wanted.thread).await {
                    Driven::Over(called) => called,
                    Driven::Deferred(state) => self.perform(wanted, Retry { responses: None, state }).await,
                }
            }
            Continuation::Retry { state } => {
                let retry = Retry { responses: Some(responses(answers)), state };
                self.perform(wanted, retry).await
            }
            Continuation::Task(id) => self.follow(name, &id, answers, input).await,
        }
    }

    /// The call that waits under an id, where it is this call of this thread.
    fn take_held(&self, id: Uuid, wanted: &Wanted<'_>) -> Option<Held> {
        let mut held = self.held.lock();
        let is_it = |held: &Held| held.thread == wanted.thread && held.live.name == wanted.name;
        if held.get(&id).is_some_and(is_it) { held.remove(&id) } else { None }
    }

    /// Ends the calls of a thread that wait for a person who said something else.
    pub(in super::super) fn abandon(&self, thread: ThreadId) {
        let over: Vec<Held> =
            self.held.lock().extract_if(|_, held| held.thread == thread).map(|(_, held)| held).collect();
        drop(over);
    }

    async fn perform(self: &Arc<Self>, wanted: Wanted<'_>, mut retry: Retry) -> Called {
        for deferrals in 0..MAX_DEFERRALS {
            let live = match self.begin(&wanted, retry).await {
                Ok(live) => live,
                Err(output) => return output.into(),
            };
            match self.drive(live, wanted.thread).await {
                Driven::Over(called) => return called,
                Driven::Deferred(state) => retry = Retry { responses: None, state },
            }
            sleep(FIRST_DEFERRAL * 2_u32.pow(deferrals)).await;
        }
        ToolOutput::failed(format!(
            "The server of `{}` put the call off {MAX_DEFERRALS} times; call it again later.",
            wanted.name
        ))
        .into()
    }

    /// Sends a call.
    async fn begin(&self, wanted: &Wanted<'_>, retry: Retry) -> Result<Live, ToolOutput> {
        let Wanted { name, args, allowed, .. } = wanted;
        let deadline = Instant::now() + self.config.call_timeout;
        loop {
            let (session, listed) = self.listed().await.map_err(|refusal| {
                ToolOutput::failed(format!(
                    "The tools of `{}` are away: {}. The call was not made; go on without them, or call again later.",
                    self.id, refusal.reason
                ))
            })?;
            let Some(tool) = listed.tools.iter().find(|tool| tool.spec.name == *name) else {
                return Err(ToolOutput::failed(format!("There is no tool `{}` (any more).", clip(name, 100))));
            };
            if tool.spec.consent == Consent::Off {
                return Err(ToolOutput::failed(format!("The tool `{name}` is switched off here.")));
            }
            if tool.spec.consent == Consent::Ask && !allowed {
                return Err(ToolOutput::failed(format!(
                    "A person must allow `{name}`, and nobody allowed this call. It was not made; call it again to ask."
                )));
            }
            json_schema::check(&tool.spec.parameters, args).map_err(ToolOutput::failed)?;
            let _turn = if self.asks.load(Ordering::Acquire) {
                let turn = tokio::select! {
                    turn = timeout_at(deadline, Arc::clone(&session.turn).lock_owned()) => turn,
                    // The call that has it waits for a person: this one gets a session of its own.
                    () = session.kept.cancelled() => continue,
                };
                let busy = |_| ToolOutput::failed(format!("`{name}` is busy with other calls. The call was not made."));
                Some(turn.map_err(busy)?)
            } else {
                None
            };
            if session.kept.is_cancelled() || session.is_tainted() {
                continue;
            }
            let args: JsonObject = args.as_object().cloned().unwrap_or_default();
            let mut call = CallToolRequestParams::new(tool.name.clone()).with_arguments(args);
            (call.input_responses, call.request_state) = (retry.responses, retry.state);
            let (open, asked) = session.calls.begin();
            let peer = session.peer.clone();
            let answer = Box::pin(async move { peer.call_tool_once(call).await });
            let (name, left) = ((*name).to_owned(), self.config.call_timeout);
            return Ok(Live { name, answer, asked, open, _turn, session, kept: None, left });
        }
    }

    /// Waits for what becomes of a call.
    async fn drive(self: &Arc<Self>, mut live: Live, thread: ThreadId) -> Driven {
        let began = Instant::now();
        loop {
            tokio::select! {
                biased;
                answered = &mut live.answer => {
                    if matches!(answered, Ok(_) | Err(ServiceError::McpError(_))) {
                        live.open.answered();
                    }
                    return self.answered(&live, answered);
                }
                Some(asked) = live.asked.recv() => {
                    let id = Uuid::now_v7();
                    let asks = question(&self.id, String::new(), asked.request, Continuation::Held(id));
                    match asks {
                        Ok(question) if self.held.lock().len() < MAX_HELD => {
                            live.left = live.left.saturating_sub(began.elapsed());
                            let held = Held { live, thread, answer: asked.answer };
                            return Driven::Over(self.hold(id, held, question).await);
                        }
                        Ok(_) => tracing::warn!(tools = self.id, "too many calls wait for a person; a question was cancelled"),
                        Err(reason) => tracing::warn!(tools = self.id, reason, "a question of a tool server was cancelled"),
                    }
                    // Its server says what comes of that.
                    let _ = asked.answer.send(cancelled());
                }
                () = sleep_until(began + live.left) => {
                    let (name, seconds) = (&live.name, self.config.call_timeout.as_secs_f32());
                    return Driven::Over(ToolOutput::failed(format!(
                        "`{name}` did not answer within {seconds} s, and was cancelled; it may have done part of its work."
                    )).into());
                }
            }
        }
    }

    /// Keeps a call, and its session to it, until a person answers.
    async fn hold(self: &Arc<Self>, id: Uuid, mut held: Held, question: Question) -> Called {
        let session = Arc::clone(&held.live.session);
        if held.live.kept.is_none() {
            held.live.kept =
                Some(Kept { session: Arc::clone(&session), id: self.id.clone(), closing: self.closing.clone() });
            let mut link = self.link.lock().await;
            if link.session.take_if(|linked| Arc::ptr_eq(linked, &session)).is_some() {
                // It serves well: the next one is opened at once.
                (link.attempts, link.not_before) = (0, None);
            }
            session.kept.cancel();
        }
        self.held.lock().insert(id, held);
        let source = Arc::clone(self);
        self.closing.spawn(async move {
            tokio::select! {
                () = sleep(HELD_TIMEOUT) => {}
                () = source.stopping.cancelled() => {}
            }
            let late = source.held.lock().remove(&id);
            drop(late);
        });
        Called::Asked(vec![question])
    }

    /// What an answer says.
    fn answered(&self, live: &Live, answered: Result<CallToolResponse, ServiceError>) -> Driven {
        let name = &live.name;
        let output = match answered {
            Ok(response) => {
                live.session.proven.store(true, Ordering::Relaxed);
                match response {
                    CallToolResponse::Complete(result) => content::output(result, self.config.max_output_bytes),
                    CallToolResponse::InputRequired(required) => return self.input_required(name, required),
                    CallToolResponse::Task(begun) if begun.task.task_id.len() > MAX_TASK_ID => {
                        ToolOutput::failed(format!(
                            "`{name}` began a task whose id has more than {MAX_TASK_ID} bytes: it cannot be followed."
                        ))
                    }
                    CallToolResponse::Task(begun) => {
                        return Driven::Over(Called::Begun(Continuation::Task(begun.task.task_id)));
                    }
                    _ => ToolOutput::failed(format!("`{name}` answered in a way that is not known here.")),
                }
            }
            Err(ServiceError::McpError(error)) => {
                live.session.proven.store(true, Ordering::Relaxed);
                ToolOutput::failed(format!("`{name}` failed: {}", clip(&error.message, MAX_ERROR)))
            }
            Err(error) => {
                // Others have another session by now.
                if live.kept.is_none() {
                    self.lost(&live.session, &error);
                }
                let what = if is_unsent(&error) {
                    "cannot be reached; the call was not made"
                } else {
                    "ended during the call; it may or may not have been carried out"
                };
                ToolOutput::failed(format!("The server of `{}` {what}.", self.id))
            }
        };
        Driven::Over(output.into())
    }

    /// What a server of the newest version wants before it goes on.
    fn input_required(&self, name: &str, required: InputRequiredResult) -> Driven {
        let InputRequiredResult { input_requests, request_state, .. } = required;
        let requests = input_requests.unwrap_or_default();
        if requests.is_empty() {
            return Driven::Deferred(request_state);
        }
        let asked = questions(&self.id, requests, &Continuation::Retry { state: request_state });
        Driven::Over(asked.map_or_else(|reason| unasked(name, reason), Called::Asked))
    }
}

/// The output where a server wants what is not given.
pub(super) fn unasked(name: &str, reason: &str) -> Called {
    ToolOutput::failed(format!("`{name}` cannot go on: {reason}.")).into()
}
