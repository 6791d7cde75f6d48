//! Questions that a tool's server asks a person during a call, and how the call continues after the answer.
//!
//! A question ends the run with an interrupt of reason `input_required`, whose `responseSchema` is the schema that the
//! server sent. A `resolved` answer carries the content; `cancelled` with `{"declined": true}` declines; any other
//! `cancelled` leaves the question unanswered. The interrupt's metadata contains the [`Continuation`], so the log keeps
//! it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::ToolOutput;
use crate::protocol::agui::Interrupt;
pub use crate::server::runs::tool_tasks::{CONTINUATION, Continuation, task_of};

/// The reason of an interrupt with a question of a tool's server.
pub const INPUT_REQUIRED: &str = "input_required";

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum CallOutcome {
    /// The call ended.
    Done(ToolOutput),
    /// Its server asks a person before it continues: at least one question.
    InputRequired(Vec<Question>),
    /// Its server runs it as a task. The caller records it in the log and follows it with [`super::ToolBox::resume`].
    TaskStarted(Continuation),
}

impl CallOutcome {
    /// The output, for a caller that supports neither questions nor tasks: both become failures.
    #[must_use]
    pub fn output(self) -> ToolOutput {
        match self {
            Self::Done(output) => output,
            Self::InputRequired(_) => ToolOutput::failed("The tool asks a person, but no person can be asked here."),
            Self::TaskStarted(_) => {
                ToolOutput::failed("The tool continues as a task, but tasks are not followed here.")
            }
        }
    }
}

impl From<ToolOutput> for CallOutcome {
    fn from(output: ToolOutput) -> Self {
        Self::Done(output)
    }
}

/// A question of a tool's server to a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The server's key for the answer.
    pub key: String,
    /// The server's text: untrusted, bounded.
    pub message: String,
    /// The JSON Schema of the answer, which is an object.
    pub schema: Value,
    /// The id of the source, shown to people.
    pub source: String,
    /// How long the call can wait; `None`: without limit.
    pub expires_in: Option<Duration>,
    /// How the call continues.
    pub continuation: Continuation,
}

/// A person's response to a [`Question`].
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// The content that was requested.
    Accepted(Value),
    /// The person declined.
    Declined,
    /// There is no answer: the question was closed or expired.
    Cancelled,
}

/// The data with which a call continues.
#[derive(Debug, Clone, PartialEq)]
pub struct Resumption {
    /// How the call continues.
    pub continuation: Continuation,
    /// The responses, each with the key of its question.
    pub answers: Vec<(String, Response)>,
    /// The arguments of the call.
    pub args: Value,
    /// Whether a person allowed the call. A tool that requires consent is not called again without it.
    pub allowed: bool,
}

/// An interrupt with a question of the call `tool_call_id` of the tool `name`. It expires after `expires_in` or the
/// question's own limit, whichever is shorter.
#[must_use]
pub fn new_interrupt(
    tool_call_id: &str,
    name: &str,
    args: &Value,
    question: &Question,
    expires_in: Option<Duration>,
) -> Interrupt {
    let expires_in = [expires_in, question.expires_in].into_iter().flatten().min();
    let expires_at = expires_in.and_then(|after| Timestamp::now().checked_add(after).ok());
    let metadata = [
        ("toolName", json!(name)),
        ("args", args.clone()),
        ("source", json!(question.source)),
        ("key", json!(question.key)),
        (CONTINUATION, json!(question.continuation)),
    ];
    Interrupt {
        id: Uuid::now_v7().to_string(),
        reason: INPUT_REQUIRED.into(),
        message: Some(format!("{} asks: {}", question.source, question.message)),
        tool_call_id: Some(tool_call_id.into()),
        response_schema: Some(question.schema.clone()),
        expires_at: expires_at.map(|at| at.to_string()),
        subagent_run_id: None,
        metadata: Some(metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
    }
}

/// Parses the answer to an interrupt of [`new_interrupt`], given whether it was `resolved` and with which payload.
#[must_use]
pub fn parse_response(resolved: bool, payload: Option<&Value>) -> Response {
    let declined = || payload.and_then(|payload| payload.get("declined")) == Some(&Value::Bool(true));
    match resolved {
        true => Response::Accepted(payload.cloned().unwrap_or_else(|| Map::new().into())),
        false if declined() => Response::Declined,
        false => Response::Cancelled,
    }
}

impl Resumption {
    /// Continues the call that these interrupts of [`new_interrupt`] belong to, with the response to each; `None` if
    /// there are no interrupts or their metadata is incomplete. The interrupts must come from a run of the same agent,
    /// because those of other agents are not trusted. `allowed`: a person allowed the call.
    #[must_use]
    pub fn from_answers<'a>(
        answered: impl IntoIterator<Item = (&'a Interrupt, Response)>,
        allowed: bool,
    ) -> Option<Self> {
        let mut resumption: Option<Self> = None;
        for (interrupt, response) in answered {
            let metadata = interrupt.metadata.as_ref()?;
            let answer = (metadata.get("key")?.as_str()?.to_owned(), response);
            match &mut resumption {
                Some(resumption) => resumption.answers.push(answer),
                None => {
                    let continuation = serde_json::from_value(metadata.get(CONTINUATION)?.clone()).ok()?;
                    let args = metadata.get("args")?.clone();
                    resumption = Some(Self { continuation, answers: vec![answer], args, allowed });
                }
            }
        }
        resumption
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(key: &str, continuation: Continuation) -> Question {
        Question {
            key: key.into(),
            message: "Which table?".into(),
            schema: json!({"type": "object", "properties": {"table": {"type": "string"}}}),
            source: "desk".into(),
            expires_in: Some(Duration::from_secs(60)),
            continuation,
        }
    }

    #[test]
    fn a_resumption_is_built_from_interrupts_and_their_answers() {
        let retry = Continuation::Retry { state: Some("s".into()) };
        let interrupt = |key| new_interrupt("c", "desk__book", &json!({"day": 1}), &question(key, retry.clone()), None);
        let (one, two) = (interrupt("a"), interrupt("b"));
        assert_eq!(one.message.as_deref(), Some("desk asks: Which table?"));
        assert!(one.expires_at.is_some());
        let accepted = Response::Accepted(json!({"table": "x"}));
        let answers = vec![("a".to_owned(), accepted.clone()), ("b".to_owned(), Response::Declined)];
        let expected = Resumption { continuation: retry.clone(), answers, args: json!({"day": 1}), allowed: true };
        assert_eq!(Resumption::from_answers([(&one, accepted), (&two, Response::Declined)], true), Some(expected));
        assert_eq!(Resumption::from_answers([], true), None);
    }

    #[test]
    fn a_response_is_accepted_declined_or_cancelled() {
        let content = json!({"table": "x"});
        assert_eq!(parse_response(true, Some(&content)), Response::Accepted(content));
        assert_eq!(parse_response(true, None), Response::Accepted(json!({})));
        assert_eq!(parse_response(false, Some(&json!({"declined": true}))), Response::Declined);
        assert_eq!(parse_response(false, Some(&json!({"expired": true}))), Response::Cancelled);
        assert_eq!(parse_response(false, None), Response::Cancelled);
    }
}
