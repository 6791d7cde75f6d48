//! What a tool's server asks a person in the middle of a call, and how the call goes on.
//!
//! Such a question ends the run with an interrupt of reason `input_required`, whose `responseSchema` is what the server asked
//! for. An answer is `resolved` with the content; `cancelled` with `{"declined": true}` says no; any other `cancelled` leaves
//! the question unanswered. The interrupt's metadata say how the call goes on, so that it stands in the log.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::ToolOutput;
use crate::protocol::agui::Interrupt;
pub use crate::server::runs::tool_tasks::{CONTINUATION, Continuation, task_of};

/// The reason of an interrupt that asks what a tool's server wants to know.
pub const INPUT_REQUIRED: &str = "input_required";

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Called {
    /// It is over.
    Done(ToolOutput),
    /// Its server asks a person before it goes on: at least one question.
    Asked(Vec<Question>),
    /// Its server works on it as a task, to be kept in the log and followed with [`super::ToolBox::resume`].
    Begun(Continuation),
}

impl Called {
    /// The output, for whoever cannot ask a person: a question is a failure then.
    #[must_use]
    pub fn output(self) -> ToolOutput {
        match self {
            Self::Done(output) => output,
            Self::Asked(_) => ToolOutput::failed("The tool asks a person, and nobody can be asked here."),
            Self::Begun(_) => ToolOutput::failed("The tool works on, and its result is not waited for here."),
        }
    }
}

impl From<ToolOutput> for Called {
    fn from(output: ToolOutput) -> Self {
        Self::Done(output)
    }
}

/// What a tool's server asks a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What the server knows the answer by.
    pub key: String,
    /// The server's words: untrusted, bounded.
    pub message: String,
    /// The JSON Schema of an answer: an object's.
    pub schema: Value,
    /// The id of the source, for people.
    pub source: String,
    /// How long the call can wait; for ever, without.
    pub expires_in: Option<Duration>,
    /// How the call goes on.
    pub continuation: Continuation,
}

/// What a person said to a [`Question`].
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// What was asked for.
    Accepted(Value),
    /// No.
    Declined,
    /// Nothing: the question was closed, or nobody came in time.
    Cancelled,
}

/// What a call goes on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Resumption {
    /// How.
    pub continuation: Continuation,
    /// The answers, each with its question's key.
    pub answers: Vec<(String, Response)>,
    /// The arguments that the call was made with.
    pub args: Value,
    /// Whether a person allowed the call: a tool that asks first is not called again without.
    pub allowed: bool,
}

/// Asks a question of the call `tool_call_id` of the tool `name`, for a person to answer within `expires_in` at most.
#[must_use]
pub fn ask(
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

/// What an answer to an interrupt of [`ask`] says: whether it was `resolved`, and with which payload.
#[must_use]
pub fn read(resolved: bool, payload: Option<&Value>) -> Response {
    let declined = || payload.and_then(|payload| payload.get("declined")) == Some(&Value::Bool(true));
    match resolved {
        true => Response::Accepted(payload.cloned().unwrap_or_else(|| Map::new().into())),
        false if declined() => Response::Declined,
        false => Response::Cancelled,
    }
}

/// How the call goes on that interrupts of [`ask`] belong to, with each one's answer; none where they do not say. They must be
/// of a run of the agent that goes on with it: another agent's interrupts may say anything. `allowed`: a person allowed the call.
#[must_use]
pub fn resumption<'a>(
    answered: impl IntoIterator<Item = (&'a Interrupt, Response)>,
    allowed: bool,
) -> Option<Resumption> {
    let mut resumption: Option<Resumption> = None;
    for (interrupt, response) in answered {
        let metadata = interrupt.metadata.as_ref()?;
        let answer = (metadata.get("key")?.as_str()?.to_owned(), response);
        match &mut resumption {
            Some(resumption) => resumption.answers.push(answer),
            None => {
                let continuation = serde_json::from_value(metadata.get(CONTINUATION)?.clone()).ok()?;
                let args = metadata.get("args")?.clone();
                resumption = Some(Resumption { continuation, answers: vec![answer], args, allowed });
            }
        }
    }
    resumption
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
    fn a_call_goes_on_by_what_its_interrupts_say() {
        let retry = Continuation::Retry { state: Some("s".into()) };
        let ask = |key| ask("c", "desk__book", &json!({"day": 1}), &question(key, retry.clone()), None);
        let (one, two) = (ask("a"), ask("b"));
        assert_eq!(one.message.as_deref(), Some("desk asks: Which table?"));
        assert!(one.expires_at.is_some());
        let accepted = Response::Accepted(json!({"table": "x"}));
        let answers = vec![("a".to_owned(), accepted.clone()), ("b".to_owned(), Response::Declined)];
        let expected = Resumption { continuation: retry.clone(), answers, args: json!({"day": 1}), allowed: true };
        assert_eq!(resumption([(&one, accepted), (&two, Response::Declined)], true), Some(expected));
        assert_eq!(resumption([], true), None);
    }

    #[test]
    fn an_answer_accepts_declines_or_cancels() {
        let content = json!({"table": "x"});
        assert_eq!(read(true, Some(&content)), Response::Accepted(content));
        assert_eq!(read(true, None), Response::Accepted(json!({})));
        assert_eq!(read(false, Some(&json!({"declined": true}))), Response::Declined);
        assert_eq!(read(false, Some(&json!({"expired": true}))), Response::Cancelled);
        assert_eq!(read(false, None), Response::Cancelled);
    }
}
