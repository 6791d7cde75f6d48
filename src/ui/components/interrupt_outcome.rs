//! How an interrupt ended: who answered what, as the thread's log records it.

use leptos::prelude::*;
use serde_json::Value;

use super::{
    clock::Timestamp,
    icons::{Glyph, icon},
    json::LongText,
};
use crate::{
    protocol::{AnswerStatus, InterruptAnswer, agui::Interrupt},
    text::escape_invisible,
    thread::Resolution,
};

/// The reason of interrupts that ask for approval of a tool call.
pub(crate) const TOOL_CALL: &str = "tool_call";

/// Whether the payload of a `cancelled` answer declines the question, rather than skips it.
pub(crate) fn is_declined(payload: Option<&Value>) -> bool {
    payload.and_then(|payload| payload.get("declined")) == Some(&Value::Bool(true))
}

/// The answer to a yes-or-no question: a boolean, or an object with one boolean field.
fn yes_or_no(payload: &Value) -> Option<bool> {
    match payload {
        Value::Object(fields) if fields.len() == 1 => fields.values().next().and_then(Value::as_bool),
        value => value.as_bool(),
    }
}

/// How one interrupt ended, for display.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    text: String,
    /// The answer's data, shown below the text.
    data: Option<Value>,
    glyph: Glyph,
}

impl Outcome {
    fn positive(text: String) -> Self {
        Self { text, data: None, glyph: Glyph::Check }
    }

    fn negative(text: impl Into<String>) -> Self {
        Self { text: text.into(), data: None, glyph: Glyph::Close }
    }

    fn new(interrupt: &Interrupt, answered: &Resolution) -> Self {
        let Resolution::Answered { author, answers, .. } = answered else {
            return Self::negative("Not answered: another message was sent instead.");
        };
        let who = escape_invisible(&author.name);
        let answer = answers.iter().find(|answer| answer.interrupt_id == interrupt.id);
        let Some(InterruptAnswer { status, payload, .. }) = answer else {
            return Self::negative(format!("Not answered by {who}."));
        };
        let payload = payload.clone().unwrap_or_default();
        match (status, interrupt.reason.as_str()) {
            (AnswerStatus::Cancelled, _) if payload.get("expired") == Some(&Value::Bool(true)) => {
                Self::negative("Not answered in time. The agent continues without an answer.")
            }
            (AnswerStatus::Cancelled, _) if is_declined(Some(&payload)) => {
                Self::negative(format!("Declined by {who}."))
            }
            (AnswerStatus::Cancelled, _) => {
                Self::negative(format!("Skipped by {who}. The agent continues without an answer."))
            }
            (AnswerStatus::Resolved, TOOL_CALL) => Self::of_tool_call(&who, &payload),
            (AnswerStatus::Resolved, _) => match yes_or_no(&payload) {
                Some(yes) => Self::positive(format!("Answered by {who}: {}", if yes { "Yes" } else { "No" })),
                None => Self { data: Some(payload), ..Self::positive(format!("Answered by {who}:")) },
            },
        }
    }

    fn of_tool_call(who: &str, payload: &Value) -> Self {
        if payload.get("approved") == Some(&Value::Bool(true)) {
            return match payload.get("editedArgs").filter(|args| !args.is_null()).cloned() {
                Some(args) => {
                    Self { data: Some(args), ..Self::positive(format!("Approved by {who}, with other arguments:")) }
                }
                None => Self::positive(format!("Approved by {who}.")),
            };
        }
        let reason = payload.get("reason").and_then(Value::as_str).map(str::trim).filter(|reason| !reason.is_empty());
        Self::negative(match reason {
            Some(reason) => format!("Denied by {who}: {}", escape_invisible(reason)),
            None => format!("Denied by {who}."),
        })
    }
}

/// How one interrupt ended.
#[component]
pub(crate) fn InterruptOutcome(interrupt: Interrupt, answered: Resolution) -> impl IntoView {
    let Outcome { text, data, glyph } = Outcome::new(&interrupt, &answered);
    let at = match answered {
        Resolution::Answered { at, .. } => Some(view! { <Timestamp at/> }),
        Resolution::Abandoned => None,
    };
    let data = data.map(|value| {
        let text = match value {
            Value::String(text) => escape_invisible(&text),
            value => serde_json::to_string_pretty(&value).unwrap_or_default(),
        };
        view! { <LongText text=Signal::stored(text) label="Answer"/> }
    });
    view! {
        <p class="outcome">{icon(glyph)} <span>{text}</span> {at}</p>
        {data}
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::{Author, RunId, UserId};

    fn outcome(reason: &str, status: AnswerStatus, payload: Value) -> String {
        let interrupt = Interrupt {
            id: "a".into(),
            reason: reason.into(),
            message: None,
            tool_call_id: None,
            response_schema: None,
            expires_at: None,
            subagent_run_id: None,
            metadata: None,
        };
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let answers =
            vec![InterruptAnswer { interrupt_id: "a".into(), status, payload: Some(payload), metadata: None }];
        Outcome::new(&interrupt, &Resolution::Answered { author, at: 0, answers, resumed_by: RunId::new() }).text
    }

    #[test]
    fn an_outcome_says_who_decided_what() {
        let call = |payload| outcome(TOOL_CALL, AnswerStatus::Resolved, payload);
        assert_eq!(call(json!({"approved": true})), "Approved by Ada.");
        assert_eq!(call(json!({"approved": true, "editedArgs": {"to": 1}})), "Approved by Ada, with other arguments:");
        assert_eq!(call(json!({"approved": false, "reason": "too early"})), "Denied by Ada: too early");
        assert_eq!(call(json!({"approved": "yes"})), "Denied by Ada.");
        assert_eq!(outcome("question", AnswerStatus::Resolved, json!(7)), "Answered by Ada:");
        assert_eq!(outcome("question", AnswerStatus::Resolved, json!(true)), "Answered by Ada: Yes");
        assert_eq!(outcome("question", AnswerStatus::Resolved, json!({"confirmed": false})), "Answered by Ada: No");
        assert!(outcome("question", AnswerStatus::Cancelled, json!(null)).starts_with("Skipped by Ada"));
        assert!(
            outcome("input_required", AnswerStatus::Cancelled, json!({"declined": true})) == "Declined by Ada."
                && outcome(TOOL_CALL, AnswerStatus::Cancelled, json!({"expired": true}))
                    .starts_with("Not answered in time")
        );
    }
}
