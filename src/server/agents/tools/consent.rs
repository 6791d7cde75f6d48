//! Asking a person about a call, and reading what they said.
//!
//! A call that needs consent ends its run with an interrupt of reason `tool_call`, in AG-UI's own words: the answer is
//! `{approved, editedArgs?, reason?}`, where `editedArgs` replaces the arguments whole. The next run carries it as `resume`.
//!
//! Promises: only a clear yes is a yes. An answer that is missing or malformed refuses the call, in words that the model is
//! told. What was answered in time counts however late the run goes on; edited arguments are held to the tool's schema when
//! they are answered, and like any others when the call is made.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Consent, ToolOutput, ToolSpec, text::clip};
use crate::{protocol::agui::Interrupt, server::json_schema};

/// The reason of an interrupt that asks about a tool call.
pub const TOOL_CALL: &str = "tool_call";
/// Most characters of a person's reason that the model is told.
const MAX_REASON: usize = 1_000;
/// The longest arguments that are taken, in bytes.
const MAX_ARGUMENTS: usize = 128 << 10;
/// The longest that a person is asked about: they are part of one event.
const MAX_ASKED: usize = 32 << 10;
/// The largest schema of arguments that is part of a question; edits to a larger one are taken, and checked afterwards.
const MAX_SHOWN_SCHEMA: usize = 16 << 10;

/// What a person said about a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Yes.
    Approved {
        /// The arguments to call it with.
        args: Value,
        /// Whether the person changed them.
        edited: bool,
    },
    /// No.
    Refused {
        /// Why, where it was said.
        reason: Option<String>,
    },
    /// Nobody answered in time.
    Expired,
}

/// Asks about the call `tool_call_id` of `spec` with `args`, for a person to answer within `expires_in`; for ever, without.
#[must_use]
pub fn ask(tool_call_id: &str, spec: &ToolSpec, args: &Value, expires_in: Option<Duration>) -> Interrupt {
    let metadata = json!({"toolName": spec.name, "args": args, "source": spec.source});
    let expires_at = expires_in.and_then(|after| Timestamp::now().checked_add(after).ok());
    Interrupt {
        id: Uuid::now_v7().to_string(),
        reason: TOOL_CALL.into(),
        message: Some(format!("Call {} of {} with these arguments?", spec.name, spec.source)),
        tool_call_id: Some(tool_call_id.into()),
        response_schema: Some(response_schema(&spec.parameters)),
        expires_at: expires_at.map(|at| at.to_string()),
        subagent_run_id: None,
        metadata: match metadata {
            Value::Object(metadata) => Some(metadata),
            _ => None,
        },
    }
}

/// AG-UI's recommended schema for approval with edits; that `editedArgs` is in it says that edits are taken.
fn response_schema(parameters: &Value) -> Value {
    let small = parameters.to_string().len() <= MAX_SHOWN_SCHEMA;
    let mut edited = parameters.as_object().filter(|_| small).cloned().unwrap_or_default();
    edited.insert("type".into(), "object".into());
    edited.insert("description".into(), "Full replacement of the tool args. Not merged.".into());
    // References within a schema begin at its root.
    let shared: Vec<_> = ["$defs", "definitions"].into_iter().filter_map(|name| edited.remove_entry(name)).collect();
    let mut schema = json!({
        "type": "object",
        "properties": {
            "approved": {"type": "boolean"},
            "editedArgs": edited,
            "reason": {"type": "string", "description": "Why not; the model is told."},
        },
        "required": ["approved"],
    });
    shared.into_iter().for_each(|(name, schemas)| schema[name] = schemas);
    schema
}

/// Reads the answer to an interrupt of [`ask`]: whether it was `resolved`, and with which payload. One that came late was not
/// taken, so none is judged by the time.
#[must_use]
pub fn read(interrupt: &Interrupt, resolved: bool, payload: Option<&Value>) -> Answer {
    let refused = |reason: &str| Answer::Refused { reason: Some(reason.into()) };
    if !resolved {
        let expired = payload.and_then(|payload| payload.get("expired")) == Some(&Value::Bool(true));
        return if expired { Answer::Expired } else { Answer::Refused { reason: None } };
    }
    let Some(payload) = payload.and_then(Value::as_object) else { return refused("the answer did not say") };
    match payload.get("approved") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            let reason = payload.get("reason").and_then(Value::as_str).filter(|reason| !reason.trim().is_empty());
            return Answer::Refused { reason: reason.map(|reason| clip(reason, MAX_REASON)) };
        }
        _ => return refused("the answer did not say"),
    }
    let proposed = interrupt.metadata.as_ref().and_then(|metadata| metadata.get("args"));
    match (payload.get("editedArgs").filter(|args| !args.is_null()), proposed) {
        (Some(args), _) if !args.is_object() => refused("the edited arguments are no JSON object"),
        (Some(args), proposed) => Answer::Approved { args: args.clone(), edited: Some(args) != proposed },
        (None, Some(args)) => Answer::Approved { args: args.clone(), edited: false },
        (None, None) => refused("what was approved is not known any more"),
    }
}

impl Answer {
    /// What the model is told in place of a result where the call is not made.
    #[must_use]
    pub fn output(&self) -> Option<ToolOutput> {
        match self {
            Self::Approved { .. } => None,
            Self::Refused { reason: Some(reason) } => Some(ToolOutput::failed(format!(
                "The person refused this call: {reason}. It was not made; do not repeat it unchanged."
            ))),
            Self::Refused { reason: None } => Some(ToolOutput::failed(
                "The person refused this call. It was not made; go on without it, or ask what they want instead.",
            )),
            Self::Expired => Some(ToolOutput::failed("Nobody answered in time, so this call was not made.")),
        }
    }
}

/// Whether arguments, as a model wrote them, are JSON and fit a tool: to be known before a person is asked.
///
/// # Errors
/// What the model is told in place of a result.
pub fn arguments(spec: &ToolSpec, text: &str) -> Result<Value, ToolOutput> {
    within(text, if spec.consent == Consent::Ask { MAX_ASKED } else { MAX_ARGUMENTS })?;
    let text = if text.trim().is_empty() { "{}" } else { text };
    let args: Value = serde_json::from_str(text)
        .map_err(|error| ToolOutput::failed(format!("The arguments are no JSON ({error}). Send one JSON object.")))?;
    json_schema::check(&spec.parameters, &args).map_err(ToolOutput::failed)?;
    Ok(args)
}

/// Whether arguments are of a length that any tool takes, whoever carries it out.
///
/// # Errors
/// What the model is told in place of a result.
pub fn measure(text: &str) -> Result<(), ToolOutput> {
    within(text, MAX_ARGUMENTS)
}

fn within(text: &str, most: usize) -> Result<(), ToolOutput> {
    let bytes = text.len();
    if bytes <= most {
        return Ok(());
    }
    Err(ToolOutput::failed(format!("The arguments have {bytes} bytes; at most {most} are taken. Call it with less.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ToolSpec {
        ToolSpec {
            name: "mail__send".into(),
            description: String::new(),
            parameters: json!({"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}),
            consent: Consent::Ask,
            source: "mail".into(),
        }
    }

    fn asked(expires_in: Option<Duration>) -> Interrupt {
        ask("call-1", &spec(), &json!({"to": "a@example.com"}), expires_in)
    }

    #[test]
    fn a_question_says_what_is_called_and_what_an_answer_looks_like() {
        let interrupt = serde_json::to_value(asked(Some(Duration::from_secs(60)))).expect("JSON");
        assert_eq!((&interrupt["reason"], &interrupt["toolCallId"]), (&json!("tool_call"), &json!("call-1")));
        assert_eq!(
            interrupt["metadata"],
            json!({"toolName": "mail__send", "args": {"to": "a@example.com"}, "source": "mail"})
        );
        let answer = &interrupt["responseSchema"];
        assert_eq!(answer["required"], json!(["approved"]));
        assert_eq!(answer["properties"]["editedArgs"]["required"], json!(["to"]));
        let validator = jsonschema::validator_for(answer).expect("a schema");
        assert!(validator.is_valid(&json!({"approved": true, "editedArgs": {"to": "b@example.com"}})));
        assert!(!validator.is_valid(&json!({"approved": "yes"})));
        assert!(interrupt["expiresAt"].as_str().is_some_and(|at| at.parse::<Timestamp>().is_ok()), "{interrupt}");
        assert_eq!(asked(None).expires_at, None);
    }

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        let interrupt = asked(None);
        let said = |payload: Option<Value>| read(&interrupt, true, payload.as_ref());
        let args = json!({"to": "a@example.com"});
        assert_eq!(said(Some(json!({"approved": true}))), Answer::Approved { args: args.clone(), edited: false });
        let null = said(Some(json!({"approved": true, "editedArgs": null})));
        assert_eq!(null, Answer::Approved { args: args.clone(), edited: false });
        let edited = said(Some(json!({"approved": true, "editedArgs": {"to": "b@example.com"}})));
        assert_eq!(edited, Answer::Approved { args: json!({"to": "b@example.com"}), edited: true });
        let no = said(Some(json!({"approved": false, "reason": "not now"})));
        assert_eq!(no, Answer::Refused { reason: Some("not now".into()) });
        assert_eq!(said(Some(json!({"approved": false, "reason": " "}))), Answer::Refused { reason: None });
        let unclear = [
            None,
            Some(json!({})),
            Some(json!(true)),
            Some(json!({"approved": "true"})),
            Some(json!({"approved": 1})),
            Some(json!({"approved": true, "editedArgs": "all"})),
        ];
        for payload in unclear {
            let answer = said(payload.clone());
            assert!(matches!(answer, Answer::Refused { .. }), "{payload:?}: {answer:?}");
            assert!(answer.output().is_some_and(|output| output.failed));
        }
        assert_eq!(read(&interrupt, false, Some(&json!({"approved": true}))), Answer::Refused { reason: None });
    }

    #[test]
    fn what_was_taken_counts_whenever_it_is_read_and_silence_is_told_as_such() {
        let interrupt = Interrupt { expires_at: Some("2001-01-01T00:00:00Z".into()), ..asked(None) };
        let yes = json!({"approved": true});
        assert!(matches!(read(&interrupt, true, Some(&yes)), Answer::Approved { .. }));
        assert_eq!(read(&interrupt, false, None), Answer::Refused { reason: None });
        assert_eq!(read(&interrupt, false, Some(&json!({"expired": true}))), Answer::Expired);
    }

    #[test]
    fn what_a_schema_shares_is_found_from_the_edited_arguments() {
        let parameters = json!({
            "type": "object",
            "properties": {"who": {"$ref": "#/$defs/who"}},
            "$defs": {"who": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
        });
        let interrupt = ask("call-1", &ToolSpec { parameters, ..spec() }, &json!({}), None);
        let schema = interrupt.response_schema.expect("a schema");
        let said = |name: Value| json!({"approved": true, "editedArgs": {"who": {"name": name}}});
        assert!(json_schema::problems(&schema, &said(json!("Ada")), "it").is_empty());
        let problems = json_schema::problems(&schema, &said(json!(5)), "it");
        assert_eq!(problems, ["`editedArgs.who.name` must be string, and is a number"]);
        assert!(jsonschema::validator_for(&schema).expect("a schema").is_valid(&said(json!("Ada"))));
    }

    #[test]
    fn arguments_that_are_no_json_or_do_not_fit_are_told_to_the_model() {
        assert_eq!(arguments(&spec(), "{\"to\":\"x\"}"), Ok(json!({"to": "x"})));
        let long = format!("{{\"to\":\"{}\"}}", "x".repeat(MAX_ASKED));
        for text in ["", "{\"to\":", "{\"to\":1}", "[]", "null", &long] {
            let output = arguments(&spec(), text).expect_err("wrong");
            assert!(output.failed && output.text.contains("arguments"), "{text}: {}", output.text);
        }
    }
}
