//! Asking a person for consent to a call, and parsing the answer.
//!
//! A call that needs consent ends its run with an interrupt of reason `tool_call`, as AG-UI defines it: the answer is
//! `{approved, editedArgs?, reason?}`, where `editedArgs` replaces all arguments. The next run carries the answer as
//! `resume`.
//!
//! Guarantees: only `approved: true` allows a call. A missing or malformed answer refuses it, and the model gets the
//! reason. An answer that was given in time counts however late the next run starts. Edited arguments are checked
//! against the tool's schema when the person answers, and again when the call is made, like all arguments.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Consent, ToolOutput, ToolSpec};
use crate::{protocol::agui::Interrupt, server::json_schema, text::clip};

/// The reason of an interrupt that asks for consent to a tool call.
pub const TOOL_CALL: &str = "tool_call";
/// A person's reason is passed to the model up to this length, in characters.
const MAX_REASON_CHARS: usize = 1_000;
/// The longest arguments of a call, in bytes.
const MAX_ARGUMENT_BYTES: usize = 128 << 10;
/// The longest arguments of a call that needs consent, in bytes; smaller, because the interrupt contains them.
const MAX_CONSENT_ARGUMENT_BYTES: usize = 32 << 10;
/// The largest schema of arguments that an interrupt contains, in bytes. With a larger one, edited arguments are checked
/// only when the call is made.
const MAX_INTERRUPT_SCHEMA_BYTES: usize = 16 << 10;

/// A person's answer to a request for consent.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The call may be made.
    Approved {
        /// The arguments to call it with.
        args: Value,
        /// Whether the person edited them.
        edited: bool,
    },
    /// The call must not be made.
    Refused {
        /// The person's reason, if given.
        reason: Option<String>,
    },
    /// Nobody answered in time.
    Expired,
}

/// An interrupt that asks for consent to the call `tool_call_id` of `spec` with `args`. It expires after `expires_in`,
/// or never.
#[must_use]
pub fn new_interrupt(tool_call_id: &str, spec: &ToolSpec, args: &Value, expires_in: Option<Duration>) -> Interrupt {
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

/// AG-UI's recommended schema for approval with edits; the property `editedArgs` signals that edits are accepted.
fn response_schema(parameters: &Value) -> Value {
    let is_small = parameters.to_string().len() <= MAX_INTERRUPT_SCHEMA_BYTES;
    let mut edited = parameters.as_object().filter(|_| is_small).cloned().unwrap_or_default();
    edited.insert("type".into(), "object".into());
    edited.insert("description".into(), "Full replacement of the tool args. Not merged.".into());
    // `$ref`s in a schema are resolved from its root, so shared definitions must move there.
    let shared: Vec<_> = ["$defs", "definitions"].into_iter().filter_map(|name| edited.remove_entry(name)).collect();
    let mut schema = json!({
        "type": "object",
        "properties": {
            "approved": {"type": "boolean"},
            "editedArgs": edited,
            "reason": {"type": "string", "description": "Why not; passed to the model."},
        },
        "required": ["approved"],
    });
    shared.into_iter().for_each(|(name, schemas)| schema[name] = schemas);
    schema
}

/// Parses the answer to an interrupt of [`new_interrupt`] from its status (`resolved` or not) and payload. Does not check
/// `expires_at`: late answers were rejected when they arrived.
#[must_use]
pub fn parse_answer(interrupt: &Interrupt, resolved: bool, payload: Option<&Value>) -> Answer {
    let refused = |reason: &str| Answer::Refused { reason: Some(reason.into()) };
    if !resolved {
        let expired = payload.and_then(|payload| payload.get("expired")) == Some(&Value::Bool(true));
        return if expired { Answer::Expired } else { Answer::Refused { reason: None } };
    }
    let Some(payload) = payload.and_then(Value::as_object) else {
        return refused("the answer did not say whether it is approved");
    };
    match payload.get("approved") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            let reason = payload.get("reason").and_then(Value::as_str).filter(|reason| !reason.trim().is_empty());
            return Answer::Refused { reason: reason.map(|reason| clip(reason, MAX_REASON_CHARS)) };
        }
        _ => return refused("the answer did not say whether it is approved"),
    }
    let proposed = interrupt.metadata.as_ref().and_then(|metadata| metadata.get("args"));
    match (payload.get("editedArgs").filter(|args| !args.is_null()), proposed) {
        (Some(args), _) if !args.is_object() => refused("the edited arguments are not a JSON object"),
        (Some(args), proposed) => Answer::Approved { args: args.clone(), edited: Some(args) != proposed },
        (None, Some(args)) => Answer::Approved { args: args.clone(), edited: false },
        (None, None) => refused("the arguments to approve are missing"),
    }
}

impl Answer {
    /// The output for the model if the call is not made.
    #[must_use]
    pub fn output(&self) -> Option<ToolOutput> {
        match self {
            Self::Approved { .. } => None,
            Self::Refused { reason: Some(reason) } => Some(ToolOutput::failed(format!(
                "The person refused this call: {reason}. It was not made; do not repeat it unchanged."
            ))),
            Self::Refused { reason: None } => Some(ToolOutput::failed(
                "The person refused this call. It was not made; continue without it, or ask what they want instead.",
            )),
            Self::Expired => Some(ToolOutput::failed("Nobody answered in time, so this call was not made.")),
        }
    }
}

/// Parses the arguments that a model wrote and checks them against the tool's schema.
///
/// # Errors
/// An output for the model that says what is wrong.
pub fn parse_arguments(spec: &ToolSpec, text: &str) -> Result<Value, ToolOutput> {
    let max = if spec.consent == Consent::Ask { MAX_CONSENT_ARGUMENT_BYTES } else { MAX_ARGUMENT_BYTES };
    check_max_length(text, max)?;
    let text = if text.trim().is_empty() { "{}" } else { text };
    let args: Value = serde_json::from_str(text).map_err(|error| {
        ToolOutput::failed(format!("The arguments are not valid JSON ({error}). Send one JSON object."))
    })?;
    json_schema::check(&spec.parameters, &args).map_err(ToolOutput::failed)?;
    Ok(args)
}

/// Checks the length of arguments of a tool that the caller of the run executes.
///
/// # Errors
/// An output for the model that says that they are too long.
pub fn check_length(text: &str) -> Result<(), ToolOutput> {
    check_max_length(text, MAX_ARGUMENT_BYTES)
}

fn check_max_length(text: &str, max: usize) -> Result<(), ToolOutput> {
    let bytes = text.len();
    if bytes <= max {
        return Ok(());
    }
    Err(ToolOutput::failed(format!(
        "The arguments have {bytes} bytes; the limit is {max}. Call the tool again with shorter arguments."
    )))
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

    fn consent_interrupt(expires_in: Option<Duration>) -> Interrupt {
        new_interrupt("call-1", &spec(), &json!({"to": "a@example.com"}), expires_in)
    }

    #[test]
    fn an_interrupt_contains_the_call_and_the_schema_of_an_answer() {
        let interrupt = serde_json::to_value(consent_interrupt(Some(Duration::from_secs(60)))).expect("JSON");
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
        assert_eq!(consent_interrupt(None).expires_at, None);
    }

    #[test]
    fn only_approved_true_allows_a_call() {
        let interrupt = consent_interrupt(None);
        let parse = |payload: Option<Value>| parse_answer(&interrupt, true, payload.as_ref());
        let args = json!({"to": "a@example.com"});
        assert_eq!(parse(Some(json!({"approved": true}))), Answer::Approved { args: args.clone(), edited: false });
        let null = parse(Some(json!({"approved": true, "editedArgs": null})));
        assert_eq!(null, Answer::Approved { args: args.clone(), edited: false });
        let edited = parse(Some(json!({"approved": true, "editedArgs": {"to": "b@example.com"}})));
        assert_eq!(edited, Answer::Approved { args: json!({"to": "b@example.com"}), edited: true });
        let no = parse(Some(json!({"approved": false, "reason": "not now"})));
        assert_eq!(no, Answer::Refused { reason: Some("not now".into()) });
        assert_eq!(parse(Some(json!({"approved": false, "reason": " "}))), Answer::Refused { reason: None });
        let unclear = [
            None,
            Some(json!({})),
            Some(json!(true)),
            Some(json!({"approved": "true"})),
            Some(json!({"approved": 1})),
            Some(json!({"approved": true, "editedArgs": "all"})),
        ];
        for payload in unclear {
            let answer = parse(payload.clone());
            assert!(matches!(answer, Answer::Refused { .. }), "{payload:?}: {answer:?}");
            assert!(answer.output().is_some_and(|output| output.failed));
        }
        assert_eq!(parse_answer(&interrupt, false, Some(&json!({"approved": true}))), Answer::Refused { reason: None });
    }

    #[test]
    fn answers_are_parsed_without_checking_the_expiry() {
        let interrupt = Interrupt { expires_at: Some("2001-01-01T00:00:00Z".into()), ..consent_interrupt(None) };
        let yes = json!({"approved": true});
        assert!(matches!(parse_answer(&interrupt, true, Some(&yes)), Answer::Approved { .. }));
        assert_eq!(parse_answer(&interrupt, false, None), Answer::Refused { reason: None });
        assert_eq!(parse_answer(&interrupt, false, Some(&json!({"expired": true}))), Answer::Expired);
    }

    #[test]
    fn references_in_the_schema_of_edited_arguments_resolve() {
        let parameters = json!({
            "type": "object",
            "properties": {"who": {"$ref": "#/$defs/who"}},
            "$defs": {"who": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
        });
        let interrupt = new_interrupt("call-1", &ToolSpec { parameters, ..spec() }, &json!({}), None);
        let schema = interrupt.response_schema.expect("a schema");
        let answer = |name: Value| json!({"approved": true, "editedArgs": {"who": {"name": name}}});
        assert!(json_schema::problems(&schema, &answer(json!("Ada")), "it").is_empty());
        let problems = json_schema::problems(&schema, &answer(json!(5)), "it");
        assert_eq!(problems, ["`editedArgs.who.name` must be string, and is a number"]);
        assert!(jsonschema::validator_for(&schema).expect("a schema").is_valid(&answer(json!("Ada"))));
    }

    #[test]
    fn invalid_arguments_give_an_output_for_the_model() {
        assert_eq!(parse_arguments(&spec(), "{\"to\":\"x\"}"), Ok(json!({"to": "x"})));
        let long = format!("{{\"to\":\"{}\"}}", "x".repeat(MAX_CONSENT_ARGUMENT_BYTES));
        for text in ["", "{\"to\":", "{\"to\":1}", "[]", "null", &long] {
            let output = parse_arguments(&spec(), text).expect_err("invalid");
            assert!(output.failed && output.text.contains("arguments"), "{text}: {}", output.text);
        }
    }
}
