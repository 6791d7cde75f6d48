//! What became of what a run asked for: who said what, as the log has it. The same in every tab.

use leptos::prelude::*;
use serde_json::Value;

use super::{
    clock::Moment,
    icons::{Glyph, icon},
    json::Bounded,
};
use crate::{
    protocol::{AnswerStatus, InterruptAnswer, agui::Interrupt},
    text::escape_invisible,
    thread::Resolution,
};

/// The reason of interrupts that ask for consent to a tool call.
pub(crate) const TOOL_CALL: &str = "tool_call";

/// Whether an answer that is `cancelled` says no, rather than nothing.
pub(crate) fn is_declined(payload: Option<&Value>) -> bool {
    payload.and_then(|payload| payload.get("declined")) == Some(&Value::Bool(true))
}

/// The answer to a question that takes yes or no, by itself or in its only field.
fn yes_or_no(payload: &Value) -> Option<bool> {
    match payload {
        Value::Object(fields) if fields.len() == 1 => fields.values().next().and_then(Value::as_bool),
        value => value.as_bool(),
    }
}

/// What became of one interrupt, in words.
#[derive(Debug, Clone, PartialEq)]
struct Verdict {
    text: String,
    /// What was said beside yes and no, as JSON.
    more: Option<Value>,
    glyph: Glyph,
}

fn verdict(interrupt: &Interrupt, answered: &Resolution) -> Verdict {
    let plain = |text: String, glyph| Verdict { text, more: None, glyph };
    let Resolution::Answered { author, answers, .. } = answered else {
        return plain("Not answered: something else was said.".into(), Glyph::Close);
    };
    let who = escape_invisible(&author.name);
    let Some(InterruptAnswer { status, payload, .. }) = answers.iter().find(|one| one.interrupt_id == interrupt.id)
    else {
        return plain(format!("Not answered by {who}."), Glyph::Close);
    };
    let payload = payload.clone().unwrap_or_default();
    match (status, interrupt.reason.as_str()) {
        (AnswerStatus::Cancelled, _) if payload.get("expired") == Some(&Value::Bool(true)) => {
            plain("Nobody answered in time: the agent goes on without it.".into(), Glyph::Close)
        }
        (AnswerStatus::Cancelled, _) if is_declined(Some(&payload)) => {
            plain(format!("Declined by {who}."), Glyph::Close)
        }
        (AnswerStatus::Cancelled, _) => {
            plain(format!("Given up by {who}: the agent goes on without it."), Glyph::Close)
        }
        (AnswerStatus::Resolved, TOOL_CALL) if payload.get("approved") == Some(&Value::Bool(true)) => {
            match payload.get("editedArgs").filter(|args| !args.is_null()).cloned() {
                Some(args) => {
                    let text = format!("Approved by {who}, with other arguments:");
                    Verdict { text, more: Some(args), glyph: Glyph::Check }
                }
                None => plain(format!("Approved by {who}."), Glyph::Check),
            }
        }
        (AnswerStatus::Resolved, TOOL_CALL) => {
            let reason =
                payload.get("reason").and_then(Value::as_str).map(str::trim).filter(|reason| !reason.is_empty());
            plain(
                reason.map_or_else(
                    || format!("Refused by {who}."),
                    |reason| format!("Refused by {who}: {}", escape_invisible(reason)),
                ),
                Glyph::Close,
            )
        }
        (AnswerStatus::Resolved, _) if yes_or_no(&payload).is_some() => {
            let word = if yes_or_no(&payload) == Some(true) { "Yes" } else { "No" };
            plain(format!("Answered by {who}: {word}"), Glyph::Check)
        }
        (AnswerStatus::Resolved, _) => {
            Verdict { text: format!("Answered by {who}:"), more: Some(payload), glyph: Glyph::Check }
        }
    }
}

/// What became of one interrupt.
#[component]
pub(crate) fn VerdictView(interrupt: Interrupt, answered: Resolution) -> impl IntoView {
    let Verdict { text, more, glyph } = verdict(&interrupt, &answered);
    let at = match answered {
        Resolution::Answered { at, .. } => Some(view! { <Moment at/> }),
        Resolution::Abandoned => None,
    };
    let more = more.map(|value| {
        let text = match value {
            Value::String(words) => escape_invisible(&words),
            value => serde_json::to_string_pretty(&value).unwrap_or_default(),
        };
        view! { <Bounded text=Signal::stored(text) label="Answer"/> }
    });
    view! {
        <p class="verdict">{icon(glyph)} <span>{text}</span> {at}</p>
        {more}
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::{Author, RunId, UserId};

    fn told(reason: &str, status: AnswerStatus, payload: Value) -> String {
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
        verdict(&interrupt, &Resolution::Answered { author, at: 0, answers, resumed_by: RunId::new() }).text
    }

    #[test]
    fn a_verdict_says_who_decided_what() {
        let call = |payload| told(TOOL_CALL, AnswerStatus::Resolved, payload);
        assert_eq!(call(json!({"approved": true})), "Approved by Ada.");
        assert_eq!(call(json!({"approved": true, "editedArgs": {"to": 1}})), "Approved by Ada, with other arguments:");
        assert_eq!(call(json!({"approved": false, "reason": "too early"})), "Refused by Ada: too early");
        assert_eq!(call(json!({"approved": "yes"})), "Refused by Ada.");
        assert_eq!(told("question", AnswerStatus::Resolved, json!(7)), "Answered by Ada:");
        assert_eq!(told("question", AnswerStatus::Resolved, json!(true)), "Answered by Ada: Yes");
        assert_eq!(told("question", AnswerStatus::Resolved, json!({"confirmed": false})), "Answered by Ada: No");
        assert!(told("question", AnswerStatus::Cancelled, json!(null)).starts_with("Given up by Ada"));
        assert!(
            told("input_required", AnswerStatus::Cancelled, json!({"declined": true})) == "Declined by Ada."
                && told(TOOL_CALL, AnswerStatus::Cancelled, json!({"expired": true}))
                    .starts_with("Nobody answered in time")
        );
    }
}
