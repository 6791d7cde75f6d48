//! Questions of a server in the middle of a call: whose call it is, and the calls that wait for a person.
//!
//! Promises: a question reaches the person whose call it is, or nobody. Before the protocol of 2026-07-28 a server does not
//! say which call it asks for, so only a question that comes while a single call is under way is put to a person, and a
//! source that asks is given one call at a time in a session. A server may work on at a call that nobody waits for any more:
//! once a call ended without an answer, no question of its session is put to anybody, and later calls have another session. A
//! call that waits keeps its session to itself, and ends when nobody answers for [`HELD_TIMEOUT`].

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

use super::super::{
    questions::{Continuation, Question, Response},
    text::clip,
};

/// How long a call waits in this process for a person's answer.
pub(super) const HELD_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// Calls of one source that wait for a person at once.
pub(super) const MAX_HELD: usize = 32;
/// Questions of one call at once.
const MAX_QUESTIONS: usize = 8;
/// The largest schema of an answer, in bytes.
const MAX_SCHEMA: usize = 16 << 10;
/// Most characters of a question.
const MAX_MESSAGE: usize = 2_000;
/// The longest state of a server that is kept with a question, in bytes.
const MAX_STATE: usize = 32 << 10;

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: ElicitRequestParams,
    pub(super) answer: oneshot::Sender<ElicitResult>,
}

/// The calls that are under way in a session.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls {
    open: Arc<Mutex<HashMap<Uuid, mpsc::Sender<Asked>>>>,
    /// Whether a call ended without an answer: its server may work on at it, and ask for it.
    unanswered: Arc<AtomicBool>,
    /// Told when a call ended.
    ended: Arc<Notify>,
    /// Whether the source ever asked: its later calls have their session to themselves.
    asks: Arc<AtomicBool>,
}

/// A call that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    id: Uuid,
    calls: Calls,
    is_answered: bool,
}

impl Calls {
    /// The calls of a new session of a source; `asks` is shared by its sessions.
    pub(super) fn new(asks: Arc<AtomicBool>) -> Self {
        Self { asks, ..Self::default() }
    }

    /// Begins a call; its questions arrive at the receiver, one at a time.
    pub(super) fn begin(&self) -> (Open, mpsc::Receiver<Asked>) {
        let (sender, receiver) = mpsc::channel(1);
        let id = Uuid::now_v7();
        self.open.lock().insert(id, sender);
        (Open { id, calls: self.clone(), is_answered: false }, receiver)
    }

    /// Whether a call ended without an answer.
    pub(super) fn has_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Acquire)
    }

    /// Returns once no call is under way.
    pub(super) async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.open.lock().is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Puts a question to the call that it belongs to, and waits for the answer; cancelled where it cannot be told which
    /// call that is.
    pub(super) async fn ask(&self, request: ElicitRequestParams, withdrawn: CancellationToken) -> ElicitResult {
        self.asks.store(true, Ordering::Release);
        let only = {
            let open = self.open.lock();
            let mut open = open.values();
            open.next().filter(|_| open.next().is_none() && !self.has_unanswered()).cloned()
        };
        let (answer, answered) = oneshot::channel();
        match only {
            Some(call) if call.try_send(Asked { request, answer }).is_ok() => {}
            _ => {
                tracing::warn!("a question of a tool server was cancelled: it is not known which call asks");
                return cancelled();
            }
        }
        tokio::select! {
            answer = answered => answer.unwrap_or_else(|_| cancelled()),
            () = withdrawn.cancelled() => cancelled(),
        }
    }
}

impl Open {
    /// Its server answered: it asks nothing more for this call.
    pub(super) fn answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        {
            // Under the lock: a question finds both changed, or neither.
            let mut open = self.calls.open.lock();
            self.calls.unanswered.fetch_or(!self.is_answered, Ordering::AcqRel);
            open.remove(&self.id);
        }
        self.calls.ended.notify_waiters();
    }
}

/// The answer where nobody said anything.
pub(super) fn cancelled() -> ElicitResult {
    ElicitResult::new(ElicitationAction::Cancel)
}

/// A person's response as the protocol has it.
pub(super) fn result(response: Response) -> ElicitResult {
    match response {
        Response::Accepted(content) => ElicitResult::new(ElicitationAction::Accept).with_content(content),
        Response::Declined => ElicitResult::new(ElicitationAction::Decline),
        Response::Cancelled => cancelled(),
    }
}

/// Responses by their keys, as the protocol has them.
pub(super) fn responses(answers: Vec<(String, Response)>) -> InputResponses {
    let answers = answers.into_iter();
    answers.filter_map(|(key, response)| Some((key, serde_json::to_value(result(response)).ok()?))).collect()
}

/// A question as it is put to a person; what cannot be a form is refused, with a reason for the model.
pub(super) fn question(
    source: &str,
    key: String,
    request: ElicitRequestParams,
    continuation: Continuation,
) -> Result<Question, &'static str> {
    let ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } = request else {
        return Err("it asked the person to open an address, which is not supported");
    };
    let schema = serde_json::to_value(requested_schema).unwrap_or(Value::Null);
    if schema.to_string().len() > MAX_SCHEMA {
        return Err("it asked the person for more than fits a form (16 KiB of schema)");
    }
    let expires_in = matches!(continuation, Continuation::Held(_)).then_some(HELD_TIMEOUT);
    let message = clip(&message, MAX_MESSAGE);
    Ok(Question { key, message, schema, source: source.to_owned(), expires_in, continuation })
}

/// What a server of the newest version asks before it goes on, all of which must be forms.
pub(super) fn questions(
    source: &str,
    requests: InputRequests,
    continuation: &Continuation,
) -> Result<Vec<Question>, &'static str> {
    if requests.len() > MAX_QUESTIONS {
        return Err("it asked the person more than 8 questions at once");
    }
    if matches!(continuation, Continuation::Retry { state: Some(state) } if state.len() > MAX_STATE) {
        return Err("the state it wants back with the answer has more than 32 KiB");
    }
    let asked = requests.into_iter().map(|(key, request)| match request {
        InputRequest::Elicitation(request) => question(source, key, request.params, continuation.clone()),
        _ => Err("it asked for what is not given to tools here (a model, or folders)"),
    });
    asked.collect()
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
    async fn a_question_is_put_to_the_only_call_and_to_none_of_several() {
        let calls = Calls::default();
        let (one, mut asked) = calls.begin();
        let answering = async {
            let asked = asked.recv().await.expect("a question");
            asked.answer.send(result(Response::Declined)).expect("it waits");
        };
        let (answer, ()) = tokio::join!(calls.ask(request(), CancellationToken::new()), answering);
        assert_eq!(answer.action, ElicitationAction::Decline);
        let two = calls.begin();
        assert_eq!(calls.ask(request(), CancellationToken::new()).await.action, ElicitationAction::Cancel);
        drop((one, two));
        assert_eq!(calls.ask(request(), CancellationToken::new()).await.action, ElicitationAction::Cancel);
    }

    #[tokio::test]
    async fn a_question_that_may_be_of_a_call_without_an_answer_is_put_to_nobody() {
        let calls = Calls::default();
        let (mut answered, _asked) = calls.begin();
        answered.answered();
        drop(answered);
        assert!(!calls.has_unanswered());
        let (stopped, _asked) = calls.begin();
        let (_other, mut asked) = calls.begin();
        drop(stopped);
        assert!(calls.has_unanswered());
        assert_eq!(calls.ask(request(), CancellationToken::new()).await.action, ElicitationAction::Cancel);
        assert!(asked.try_recv().is_err(), "the other call did not ask");
    }

    #[tokio::test]
    async fn a_question_that_its_server_withdraws_is_over() {
        let calls = Calls::default();
        let (_open, _asked) = calls.begin();
        let withdrawn = CancellationToken::new();
        withdrawn.cancel();
        assert_eq!(calls.ask(request(), withdrawn).await.action, ElicitationAction::Cancel);
    }
}
