//! Interrupts that frameworks send in other ways than in the outcome of a run.
//!
//! By default, LangGraph's adapter ends an interrupted run without an outcome and sends a `CUSTOM` event, `on_interrupt`; it
//! expects the answer in `forwardedProps.command.resume`. CrewAI's adapter sends the same event with a complete AG-UI interrupt in it,
//! and ADK's a call of `adk_request_confirmation` without a result; both expect the answer in `resume`. All of them become
//! interrupts in the run's outcome, and the answer is sent as the adapter expects it.

use serde_json::{Map, Value, json};

use crate::protocol::{
    AnswerStatus,
    agui::{Custom, Interrupt, Message, Resume, ToolContent},
};

/// The name of the custom event.
const ON_INTERRUPT: &str = "on_interrupt";
/// Metadata key of an interrupt: how its answer is sent.
const ANSWER_BY: &str = "answerBy";
/// Value of [`ANSWER_BY`]: as LangGraph's command to resume.
const COMMAND: &str = "forwardedProps.command.resume";
/// Value of [`ANSWER_BY`]: as the result of the call.
const RESULT: &str = "result";
/// Marks a cancelled interrupt in a command, as LangGraph's adapter defines it.
const CANCELLED: &str = "__agui_cancelled__";

/// The interrupt of a custom event; `index` is the number of earlier ones in the run.
pub(super) fn from_custom_event(event: &Custom, run_id: &str, index: usize) -> Option<Interrupt> {
    if event.name != ON_INTERRUPT {
        return None;
    }
    let value = decode(&event.value);
    let framework_id = event.base.raw_event.as_ref().and_then(|raw| raw["id"].as_str());
    if framework_id.is_none()
        && let Ok(interrupt) = serde_json::from_value::<Interrupt>(value.clone())
    {
        return Some(interrupt);
    }
    let mut interrupt = Interrupt {
        id: framework_id.map_or_else(|| format!("{run_id}-interrupt-{index}"), str::to_owned),
        reason: "langgraph:interrupt".into(),
        message: None,
        tool_call_id: None,
        response_schema: value.get("responseSchema").or_else(|| value.get("response_schema")).cloned(),
        expires_at: None,
        subagent_run_id: event.subagent_run_id.clone(),
        metadata: Some(Map::from_iter([
            ("langgraph".to_owned(), json!({"raw": value})),
            (ANSWER_BY.to_owned(), COMMAND.into()),
        ])),
    };
    fill_in(&mut interrupt);
    Some(interrupt)
}

/// The tool that ADK calls to have a user confirm another call.
pub(super) const REQUEST_CONFIRMATION: &str = "adk_request_confirmation";
/// The beginning of ADK's default hint, which is not written for users.
const ADK_HINT_PREFIX: &str = "Please approve or reject the tool call";

/// The interrupt for a call of [`REQUEST_CONFIRMATION`] without a result. Its id is the call's.
pub(super) fn from_confirmation_call(call_id: &str, arguments: &str) -> Interrupt {
    let request: Value = serde_json::from_str(arguments).unwrap_or_default();
    let mut interrupt = Interrupt {
        id: call_id.to_owned(),
        reason: "confirmation".into(),
        message: request["toolConfirmation"]["hint"].as_str().map(str::to_owned),
        tool_call_id: Some(call_id.to_owned()),
        response_schema: None,
        expires_at: None,
        subagent_run_id: None,
        metadata: Some(Map::from_iter([("adk".to_owned(), request)])),
    };
    fill_in(&mut interrupt);
    interrupt
}

/// The interrupt for a call without a result, with `confirm_pending_calls`.
pub(super) fn from_open_call(call_id: &str, name: &str, arguments: &str) -> Interrupt {
    let approved = json!({"type": "boolean"});
    let schema = json!({"type": "object", "properties": {"approved": approved}, "required": ["approved"]});
    Interrupt {
        id: call_id.to_owned(),
        reason: "tool_call".into(),
        message: Some(format!("Allow {name} with {arguments}?")),
        tool_call_id: Some(call_id.to_owned()),
        response_schema: Some(schema),
        expires_at: None,
        subagent_run_id: None,
        metadata: Some(Map::from_iter([(ANSWER_BY.to_owned(), RESULT.into())])),
    }
}

/// Removes from `resume` the answers that are sent as results of calls, and returns these results. They have the fields
/// of all supported frameworks for an approval.
pub(super) fn take_results(resume: &mut Vec<Resume>, open: &[Interrupt]) -> Vec<Message> {
    let is_answered_by_result = |interrupt: &Interrupt| {
        interrupt.metadata.as_ref().is_some_and(|metadata| metadata.get(ANSWER_BY) == Some(&RESULT.into()))
    };
    let by_result = |id: &str| open.iter().any(|interrupt| interrupt.id == id && is_answered_by_result(interrupt));
    let answers = resume.extract_if(.., |answer| by_result(&answer.interrupt_id));
    let result = |answer: Resume| {
        let mut fields = match answer.payload {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let is_approved = answer.status == AnswerStatus::Resolved && fields.get("approved") == Some(&true.into());
        fields.extend(["approved", "accepted", "confirmed"].map(|name| (name.to_owned(), is_approved.into())));
        Message::Tool {
            id: format!("{}-answer", answer.interrupt_id),
            content: ToolContent::Text(Value::Object(fields).to_string()),
            tool_call_id: answer.interrupt_id,
            error: None,
            encrypted_value: None,
            subagent_run_id: None,
        }
    };
    answers.map(result).collect()
}

/// Adds a question and an answer schema to a confirmation of ADK.
fn fill_in_confirmation(interrupt: &mut Interrupt) {
    let Some(request) = interrupt.metadata.as_ref().and_then(|metadata| metadata.get("adk")) else { return };
    if !request["toolConfirmation"].is_object() {
        return;
    }
    let call = &request["originalFunctionCall"];
    let question = call["name"].as_str().map(|name| format!("Allow {name} with {}?", call["args"]));
    if interrupt.message.as_ref().is_none_or(|hint| hint.starts_with(ADK_HINT_PREFIX)) && question.is_some() {
        interrupt.message = question;
    }
    if interrupt.response_schema.is_none() {
        let confirmed = json!({"type": "boolean"});
        interrupt.response_schema =
            Some(json!({"type": "object", "properties": {"confirmed": confirmed}, "required": ["confirmed"]}));
    }
}

/// Adds a missing question and answer schema to an interrupt, from the metadata of its framework.
pub(super) fn fill_in(interrupt: &mut Interrupt) {
    fill_in_confirmation(interrupt);
    let raw = interrupt.metadata.as_ref().and_then(|metadata| metadata.get("langgraph")?.get("raw")).map(decode);
    let Some(raw) = raw else { return };
    if interrupt.message.is_none() {
        interrupt.message = question(&raw);
    }
    if interrupt.response_schema.is_none() {
        interrupt.response_schema = choices(&raw);
    }
}

/// Decodes a value that may be a string with JSON in it.
fn decode(value: &Value) -> Value {
    let text = value.as_str().filter(|text| text.trim_start().starts_with(['{', '[']));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

/// The question: the value itself, or the first of the fields in which agents usually put it.
fn question(value: &Value) -> Option<String> {
    const FIELDS: [&str; 7] = ["message", "question", "prompt", "query", "text", "description", "action"];
    let text = value.as_str().or_else(|| FIELDS.iter().find_map(|field| value.get(field)?.as_str()));
    text.filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

/// A schema of the choices, if the value lists them.
fn choices(value: &Value) -> Option<Value> {
    let choices = ["options", "choices"].iter().find_map(|field| value.get(field)?.as_array());
    let texts = choices.filter(|all| !all.is_empty() && all.iter().all(Value::is_string))?;
    Some(json!({"enum": texts}))
}

/// Whether an interrupt is answered by `forwardedProps.command.resume`.
pub(crate) fn is_answered_by_command(interrupt: &Interrupt) -> bool {
    interrupt.metadata.as_ref().and_then(|metadata| metadata.get(ANSWER_BY)).is_some_and(|by| *by == COMMAND)
}

/// Removes from `resume` the answers that are sent in `command.resume`, and returns its value.
pub(super) fn take_command(resume: &mut Vec<Resume>, open: &[Interrupt]) -> Option<Value> {
    let by_command = |id: &str| open.iter().any(|interrupt| interrupt.id == id && is_answered_by_command(interrupt));
    let answers: Vec<Resume> = resume.extract_if(.., |answer| by_command(&answer.interrupt_id)).collect();
    let payload = |answer: &Resume| match answer.status {
        // The adapter treats `null` as no answer.
        AnswerStatus::Resolved => answer.payload.clone().unwrap_or_else(|| "".into()),
        AnswerStatus::Cancelled => json!({CANCELLED: true, "interrupt_id": answer.interrupt_id}),
    };
    match answers.as_slice() {
        [] => None,
        [answer] => Some(payload(answer)),
        // LangGraph expects several answers by the ids of their interrupts.
        several => Some(several.iter().map(|answer| (answer.interrupt_id.clone(), payload(answer))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_interrupt(value: Value, raw_event: Value) -> Custom {
        let mut event = Custom::new(ON_INTERRUPT, value);
        event.base.raw_event = Some(raw_event);
        event
    }

    #[test]
    fn a_complete_interrupt_in_a_custom_event_is_used_unchanged() {
        let value = json!({"id": "t", "reason": "crewai:human_feedback", "message": "Send it?", "metadata": {}});
        let interrupt = from_custom_event(&Custom::new(ON_INTERRUPT, value), "r", 0).expect("an interrupt");
        assert_eq!((interrupt.id.as_str(), interrupt.message.as_deref()), ("t", Some("Send it?")));
        assert!(!is_answered_by_command(&interrupt));
    }

    #[test]
    fn the_answer_to_an_open_call_is_sent_as_its_result() {
        let open = [from_open_call("c", "send_mail", r#"{"to":"bob"}"#)];
        assert_eq!(open[0].message.as_deref(), Some(r#"Allow send_mail with {"to":"bob"}?"#));
        let answer = |status, payload| vec![Resume { interrupt_id: "c".into(), status, payload, metadata: None }];
        let cases = [
            (answer(AnswerStatus::Resolved, Some(json!({"approved": true, "note": "soon"}))), true),
            (answer(AnswerStatus::Resolved, Some(json!({"approved": false}))), false),
            (answer(AnswerStatus::Cancelled, Some(json!({"approved": true}))), false),
        ];
        for (mut resume, is_approved) in cases {
            let results = take_results(&mut resume, &open);
            let [Message::Tool { tool_call_id, content: ToolContent::Text(text), .. }] = &results[..] else {
                panic!("one result, not {results:?}")
            };
            let result: Value = serde_json::from_str(text).expect("JSON");
            assert!(resume.is_empty() && tool_call_id == "c");
            assert_eq!((&result["accepted"], &result["confirmed"]), (&json!(is_approved), &json!(is_approved)));
        }
    }

    #[test]
    fn a_confirmation_of_adk_gets_a_question_for_users() {
        let hint = format!("{ADK_HINT_PREFIX} send_mail() by responding with a FunctionResponse");
        let call = json!({"id": "c", "name": "send_mail", "args": {"to": "bob"}});
        let arguments = json!({"originalFunctionCall": call, "toolConfirmation": {"hint": hint, "confirmed": false}});
        let interrupt = from_confirmation_call("adk-1", &arguments.to_string());
        assert_eq!((interrupt.id.as_str(), interrupt.tool_call_id.as_deref()), ("adk-1", Some("adk-1")));
        assert_eq!(interrupt.message.as_deref(), Some("Allow send_mail with {\"to\":\"bob\"}?"));
        assert_eq!(interrupt.response_schema.expect("a schema")["required"], json!(["confirmed"]));
        let own_hint = json!({"originalFunctionCall": call, "toolConfirmation": {"hint": "Really?"}});
        assert_eq!(from_confirmation_call("adk-1", &own_hint.to_string()).message.as_deref(), Some("Really?"));
    }

    #[test]
    fn a_custom_event_becomes_an_interrupt_with_its_question_and_choices() {
        let text = from_custom_event(&on_interrupt("Send a mail to bob?".into(), json!({"id": "i"})), "r", 0)
            .expect("an interrupt");
        assert_eq!((text.id.as_str(), text.message.as_deref()), ("i", Some("Send a mail to bob?")));
        assert_eq!(text.response_schema, None);
        let value = r#"{"question": "Which?", "options": ["red", "blue"]}"#;
        let choice = from_custom_event(&on_interrupt(value.into(), Value::Null), "r", 1).expect("an interrupt");
        assert_eq!((choice.id.as_str(), choice.message.as_deref()), ("r-interrupt-1", Some("Which?")));
        assert_eq!(choice.response_schema, Some(json!({"enum": ["red", "blue"]})));
        assert!(from_custom_event(&Custom::new("chart", json!({})), "r", 0).is_none());
    }

    #[test]
    fn an_answer_is_sent_as_the_adapter_expects_it() {
        let open: Vec<Interrupt> = ["a", "b"]
            .map(|id| from_custom_event(&on_interrupt("?".into(), json!({"id": id})), "r", 0).expect("an interrupt"))
            .into();
        let answer = |id: &str, status, payload| Resume { interrupt_id: id.into(), status, payload, metadata: None };
        let yes = || answer("a", AnswerStatus::Resolved, Some(json!("yes")));
        let mut one = vec![yes(), answer("other", AnswerStatus::Resolved, None)];
        assert_eq!(take_command(&mut one, &open), Some(json!("yes")));
        assert_eq!(one.len(), 1, "other answers stay in `resume`");
        let mut two = vec![yes(), answer("b", AnswerStatus::Cancelled, None)];
        let cancelled = json!({"__agui_cancelled__": true, "interrupt_id": "b"});
        assert_eq!(take_command(&mut two, &open), Some(json!({"a": "yes", "b": cancelled})));
        let mut empty = vec![answer("a", AnswerStatus::Resolved, None)];
        assert_eq!(take_command(&mut empty, &open), Some(json!("")), "no payload is not an approval");
        assert_eq!(take_command(&mut vec![answer("x", AnswerStatus::Cancelled, None)], &open), None);
    }
}
