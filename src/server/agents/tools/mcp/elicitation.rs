//! Questions of a server during a call (MCP elicitation), and which call they belong to.
//!
//! Guarantees: a question is shown only to the person whose call it belongs to, or is cancelled. In protocol versions
//! before 2026-07-28 a question does not name its call. It is therefore passed on only if exactly one call is open in
//! its session, and a source that has asked before gets one call at a time in a session. A server may continue a call
//! that was given up here, and ask: after a call ended without a response, all questions of its session are cancelled
//! and new calls use another session. A call that waits for a person is the only user of its session, and ends after
//! [`HELD_TIMEOUT`] without an answer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rmcp::model::{ElicitRequestParams, ElicitResult, ElicitationAction, InputRequest, InputRequests, InputResponses};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::questions::{Continuation, Question, Response};
use crate::text::clip;

/// How long a call is held in this process for a person's answer.
pub(super) const HELD_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// The most held calls of one source.
pub(super) const MAX_HELD: usize = 32;
/// The most questions of one call at once.
const MAX_QUESTIONS: usize = 8;
/// The largest schema of an answer, in bytes.
const MAX_SCHEMA_BYTES: usize = 16 << 10;
/// The longest question, in characters.
const MAX_MESSAGE_CHARS: usize = 2_000;
/// The longest state that a server may attach to a question, in bytes.
const MAX_STATE_BYTES: usize = 32 << 10;

/// A question that waits for an answer.
#[derive(Debug)]
pub(super) struct PendingQuestion {
    pub(super) request: ElicitRequestParams,
    pub(super) answer: oneshot::Sender<ElicitResult>,
}

/// The open calls of a session.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenCalls {
    open: Arc<Mutex<HashMap<Uuid, mpsc::Sender<PendingQuestion>>>>,
    /// Whether a call ended without a response: the server may continue it and ask questions.
    unanswered: Arc<AtomicBool>,
    /// Notified when a call ends.
    ended: Arc<Notify>,
    /// Whether the source ever asked a question: then it gets one call at a time in a session.
    has_asked: Arc<AtomicBool>,
}

/// An open call, registered until it is dropped.
#[derive(Debug)]
pub(super) struct OpenCall {
    id: Uuid,
    calls: OpenCalls,
    is_answered: bool,
}

impl OpenCalls {
    /// The open calls of a new session; the sessions of a source share `has_asked`.
    pub(super) fn new(has_asked: Arc<AtomicBool>) -> Self {
        Self { has_asked, ..Self::default() }
    }

    /// Registers a call. Its questions arrive at the receiver, one at a time.
    pub(super) fn register(&self) -> (OpenCall, mpsc::Receiver<PendingQuestion>) {
        let (sender, receiver) = mpsc::channel(1);
        let id = Uuid::now_v7();
        self.open.lock().insert(id, sender);
        (OpenCall { id, calls: self.clone(), is_answered: false }, receiver)
    }

    /// Whether a call ended without a response.
    pub(super) fn has_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Acquire)
    }

    /// Waits until no call is open.
    pub(super) async fn wait_until_idle(&self) {
        loop {
            let ended = self.ended.notified();
            if self.open.lock().is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Passes a question to its call and waits for the answer. Cancels it if its call cannot be determined.
    pub(super) async fn ask(&self, request: ElicitRequestParams, withdrawn: CancellationToken) -> ElicitResult {
        self.has_asked.store(true, Ordering::Release);
        let only_call = {
            let open = self.open.lock();
            let mut open = open.values();
            open.next().filter(|_| open.next().is_none() && !self.has_unanswered()).cloned()
        };
        let (answer, answered) = oneshot::channel();
        match only_call {
            Some(call) if call.try_send(PendingQuestion { request, answer }).is_ok() => {}
            _ => {
                tracing::warn!("a question of a tool server was cancelled: its call cannot be determined");
                return cancelled();
            }
        }
        tokio::select! {
            answer = answered => answer.unwrap_or_else(|_| cancelled()),
            () = withdrawn.cancelled() => cancelled(),
        }
    }
}

impl OpenCall {
    /// Records that the server responded, so it asks no more questions for this call.
    pub(super) fn mark_answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        {
            // Both change under the lock, so that `ask` sees both changes or neither.
            let mut open = self.calls.open.lock();
            self.calls.unanswered.fetch_or(!self.is_answered, Ordering::AcqRel);
            open.remove(&self.id);
        }
        self.calls.ended.notify_waiters();
    }
}

/// The answer that cancels a question.
pub(super) fn cancelled() -> ElicitResult {
    ElicitResult::new(ElicitationAction::Cancel)
}

/// A person's response in the protocol's form.
pub(super) fn elicit_result(response: Response) -> ElicitResult {
    match response {
        Response::Accepted(content) => ElicitResult::new(ElicitationAction::Accept).with_content(content),
        Response::Declined => ElicitResult::new(ElicitationAction::Decline),
        Response::Cancelled => cancelled(),
    }
}

/// Responses with their keys, in the protocol's form.
pub(super) fn input_responses(answers: Vec<(String, Response)>) -> InputResponses {
    let answers = answers.into_iter();
    answers.filter_map(|(key, response)| Some((key, serde_json::to_value(elicit_result(response)).ok()?))).collect()
}

/// The question for a person.
///
/// # Errors
/// Why the request is not supported, for the model.
pub(super) fn to_question(
    source: &str,
    key: String,
    request: ElicitRequestParams,
    continuation: Continuation,
) -> Result<Question, &'static str> {
    let ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } = request else {
        return Err("it asked the person to open a URL, which is not supported");
    };
    let schema = serde_json::to_value(requested_schema).unwrap_or(Value::Null);
    if schema.to_string().len() > MAX_SCHEMA_BYTES {
        return Err("it asked the person with a form whose schema has more than 16 KiB");
    }
    let expires_in = matches!(continuation, Continuation::Held(_)).then_some(HELD_TIMEOUT);
    let message = clip(&message, MAX_MESSAGE_CHARS);
    Ok(Question { key, message, schema, source: source.to_owned(), expires_in, continuation })
}

/// The questions for a person that a server of version 2026-07-28 sent, all of which must be forms.
///
/// # Errors
/// Why the requests are not supported, for the model.
pub(super) fn to_questions(
    source: &str,
    requests: InputRequests,
    continuation: &Continuation,
) -> Result<Vec<Question>, &'static str> {
    if requests.len() > MAX_QUESTIONS {
        return Err("it asked the person more than 8 questions at once");
    }
    if matches!(continuation, Continuation::Retry { state: Some(state) } if state.len() > MAX_STATE_BYTES) {
        return Err("the state that it attached to its question has more than 32 KiB");
    }
    let questions = requests.into_iter().map(|(key, request)| match request {
        InputRequest::Elicitation(request) => to_question(source, key, request.params, continuation.clone()),
        _ => Err("it asked for something that tools do not get here (a model, or folders)"),
    });
    questions.collect()
}

#[cfg(test)]
mod tests {
    use rmcp::model::ElicitationSchema;

    use super::*;

    fn request() -> ElicitRequestParams {
        let requested_schema = ElicitationSchema::new(std::collections::BTreeMap::new());
        ElicitRequestParams::FormElicitationParams { meta: None, message: "Well?".into(), requested_schema }
    }

    #[tokio::test]
    async fn a_question_reaches_the_only_open_call_and_none_of_several() {
        let calls = OpenCalls::default();
        let (one, mut asked) = calls.register();
        let answering = async {
            let asked = asked.recv().await.expect("a question");
            asked.answer.send(elicit_result(Response::Declined)).expect("the question waits for an answer");
        };
        let (answer, ()) = tokio::join!(calls.ask(request(), CancellationToken::new()), answering);
        assert_eq!(answer.action, ElicitationAction::Decline);
        let two = calls.register();
        assert_eq!(calls.ask(request(), CancellationToken::new()).await.action, ElicitationAction::Cancel);
        drop((one, two));
        assert_eq!(calls.ask(request(), CancellationToken::new()).await.action, ElicitationAction::Cancel);
    }

    #[tokio::test]
    async fn a_question_that_may_belong_to_a_call_without_a_response_is_cancelled() {
        let calls = OpenCalls::default();
        let (mut answered, _asked) = calls.register();
        answered.mark_answered();
        drop(answered);
        assert!(!calls.has_unanswered());
        let (stopped, _asked) = calls.register();
        let (_other, mut asked) = calls.register();
        drop(stopped);
        assert!(calls.has_unanswered());
        assert_eq!(calls.ask(request(), CancellationToken::new()).await.action, ElicitationAction::Cancel);
        assert!(asked.try_recv().is_err(), "the other call did not ask");
    }

    #[tokio::test]
    async fn a_question_that_the_server_withdraws_is_cancelled() {
        let calls = OpenCalls::default();
        let (_open, _asked) = calls.register();
        let withdrawn = CancellationToken::new();
        withdrawn.cancel();
        assert_eq!(calls.ask(request(), withdrawn).await.action, ElicitationAction::Cancel);
    }
}
