//! Interrupts that are told otherwise than by the outcome of a run.
//!
//! LangGraph's adapter, as it is installed, ends a run that waits for a person without an outcome and says what it waits for in a
//! `CUSTOM` event, `on_interrupt`; the answer goes into `forwardedProps.command.resume`. Here such a run is interrupted like
//! any other, and its answer is sent the way the adapter takes it. CrewAI's sends the same event with a whole AG-UI interrupt in it,
//! and ADK's a call of `adk_request_confirmation` without a result; both take the answer as AG-UI has it.

use serde_json::{Map, Value, json};

use crate::protocol::{
    AnswerStatus,
    agui::{Custom, Interrupt, Message, Resume, ToolContent},
};

/// The event's name.
const ON_INTERRUPT: &str = "on_interrupt";
/// In an interrupt's metadata: how its answer is sent.
const ANSWER_BY: &str = "answerBy";
const COMMAND: &str = "forwardedProps.command.resume";
const RESULT: &str = "result";
/// In what the agent gets where the person gave no answer: the adapters' own sign of that.
const CANCELLED: &str = "__agui_cancelled__";

/// The interrupt that a custom event tells of; `index`: how many the run told of before.
pub(super) fn read(event: &Custom, run_id: &str, index: usize) -> Option<Interrupt> {
    if event.name != ON_INTERRUPT {
        return None;
    }
    let value = parsed(&event.value);
    let theirs = event.base.raw_event.as_ref().and_then(|raw| raw["id"].as_str());
    if theirs.is_none()
        && let Ok(whole) = serde_json::from_value::<Interrupt>(value.clone())
    {
        return Some(whole);
    }
    let mut interrupt = Interrupt {
        id: theirs.map_or_else(|| format!("{run_id}-interrupt-{index}"), str::to_owned),
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
    complete(&mut interrupt);
    Some(interrupt)
}

/// The tool that ADK calls for a person to confirm another call.
pub(super) const REQUEST_CONFIRMATION: &str = "adk_request_confirmation";
/// How ADK's own hint begins, which is written for programs.
const ADK_HINT: &str = "Please approve or reject the tool call";

/// The interrupt that a call of [`REQUEST_CONFIRMATION`] without a result stands for. It is answered by its id.
pub(super) fn confirmation(call_id: &str, arguments: &str) -> Interrupt {
    let asked: Value = serde_json::from_str(arguments).unwrap_or_default();
    let mut interrupt = Interrupt {
        id: call_id.to_owned(),
        reason: "confirmation".into(),
        message: asked["toolConfirmation"]["hint"].as_str().map(str::to_owned),
        tool_call_id: Some(call_id.to_owned()),
        response_schema: None,
        expires_at: None,
        subagent_run_id: None,
        metadata: Some(Map::from_iter([("adk".to_owned(), asked)])),
    };
    complete(&mut interrupt);
    interrupt
}

/// The interrupt that a call without a result stands for, where the agent's configuration says so.
pub(super) fn pending_call(call_id: &str, name: &str, arguments: &str) -> Interrupt {
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

/// Takes the answers out of `resume` that are sent as results of the calls that waited. Frameworks have different words for a
/// yes: a result says it in all of them.
pub(super) fn results(resume: &mut Vec<Resume>, waited: &[Interrupt]) -> Vec<Message> {
    let is_result =
        |asked: &Interrupt| asked.metadata.as_ref().is_some_and(|more| more.get(ANSWER_BY) == Some(&RESULT.into()));
    let by_result = |id: &str| waited.iter().any(|asked| asked.id == id && is_result(asked));
    let answers = resume.extract_if(.., |answer| by_result(&answer.interrupt_id));
    let result = |answer: Resume| {
        let mut said = match answer.payload {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let yes = answer.status == AnswerStatus::Resolved && said.get("approved") == Some(&true.into());
        said.extend(["approved", "accepted", "confirmed"].map(|word| (word.to_owned(), yes.into())));
        Message::Tool {
            id: format!("{}-answer", answer.interrupt_id),
            content: ToolContent::Text(Value::Object(said).to_string()),
            tool_call_id: answer.interrupt_id,
            error: None,
            encrypted_value: None,
            subagent_run_id: None,
        }
    };
    answers.map(result).collect()
}

/// Gives a confirmation that ADK asks for a question for people and the kind of answer that it takes.
fn complete_confirmation(interrupt: &mut Interrupt) {
    let Some(asked) = interrupt.metadata.as_ref().and_then(|more| more.get("adk")) else { return };
    if !asked["toolConfirmation"].is_object() {
        return;
    }
    let call = &asked["originalFunctionCall"];
    let question = call["name"].as_str().map(|name| format!("Allow {name} with {}?", call["args"]));
    if interrupt.message.as_ref().is_none_or(|hint| hint.starts_with(ADK_HINT)) && question.is_some() {
        interrupt.message = question;
    }
    if interrupt.response_schema.is_none() {
        let confirmed = json!({"type": "boolean"});
        interrupt.response_schema =
            Some(json!({"type": "object", "properties": {"confirmed": confirmed}, "required": ["confirmed"]}));
    }
}

/// Gives an interrupt the question and the kind of answer that its framework says, where the interrupt itself says none.
pub(super) fn complete(interrupt: &mut Interrupt) {
    complete_confirmation(interrupt);
    let raw = interrupt.metadata.as_ref().and_then(|more| more.get("langgraph")?.get("raw")).map(parsed);
    let Some(raw) = raw else { return };
    if interrupt.message.is_none() {
        interrupt.message = question(&raw);
    }
    if interrupt.response_schema.is_none() {
        interrupt.response_schema = choices(&raw);
    }
}

/// Values are told as JSON or as text that holds JSON.
fn parsed(value: &Value) -> Value {
    let text = value.as_str().filter(|text| text.trim_start().starts_with(['{', '[']));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

/// What a person is asked: the value itself, or the first of the fields in which authors put it.
fn question(value: &Value) -> Option<String> {
    const FIELDS: [&str; 7] = ["message", "question", "prompt", "query", "text", "description", "action"];
    let text = value.as_str().or_else(|| FIELDS.iter().find_map(|field| value.get(field)?.as_str()));
    text.filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

/// A schema of what may be answered, where the value lists it.
fn choices(value: &Value) -> Option<Value> {
    let listed = ["options", "choices"].iter().find_map(|field| value.get(field)?.as_array());
    let texts = listed.filter(|all| !all.is_empty() && all.iter().all(Value::is_string))?;
    Some(json!({"enum": texts}))
}

/// Whether an interrupt is answered by `forwardedProps.command.resume`.
pub(crate) fn is_answered_by_command(asked: &Interrupt) -> bool {
    asked.metadata.as_ref().and_then(|more| more.get(ANSWER_BY)).is_some_and(|by| *by == COMMAND)
}

/// Takes the answers out of `resume` that are not sent there; answers what is sent as `command.resume`.
pub(super) fn command(resume: &mut Vec<Resume>, waited: &[Interrupt]) -> Option<Value> {
    let by_command = |id: &str| waited.iter().any(|asked| asked.id == id && is_answered_by_command(asked));
    let answers: Vec<Resume> = resume.extract_if(.., |answer| by_command(&answer.interrupt_id)).collect();
    let payload = |answer: &Resume| match answer.status {
        // `null` would be no answer at all to the adapter, and anything else would say what nobody said.
        AnswerStatus::Resolved => answer.payload.clone().unwrap_or_else(|| "".into()),
        AnswerStatus::Cancelled => json!({CANCELLED: true, "interrupt_id": answer.interrupt_id}),
    };
    match answers.as_slice() {
        [] => None,
        [answer] => Some(payload(answer)),
        // One for each, by its id: so LangGraph tells them apart.
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
    fn a_custom_event_that_holds_a_whole_interrupt_is_that_interrupt_and_is_answered_by_its_id() {
        let value = json!({"id": "t", "reason": "crewai:human_feedback", "message": "Send it?", "metadata": {}});
        let asked = read(&Custom::new(ON_INTERRUPT, value), "r", 0).expect("one");
        assert_eq!((asked.id.as_str(), asked.message.as_deref()), ("t", Some("Send it?")));
        assert!(!is_answered_by_command(&asked));
    }

    #[test]
    fn the_answer_to_a_call_without_a_result_is_its_result() {
        let waited = [pending_call("c", "send_mail", r#"{"to":"bob"}"#)];
        assert_eq!(waited[0].message.as_deref(), Some(r#"Allow send_mail with {"to":"bob"}?"#));
        let answer = |status, payload| vec![Resume { interrupt_id: "c".into(), status, payload, metadata: None }];
        let cases = [
            (answer(AnswerStatus::Resolved, Some(json!({"approved": true, "note": "soon"}))), true),
            (answer(AnswerStatus::Resolved, Some(json!({"approved": false}))), false),
            (answer(AnswerStatus::Cancelled, Some(json!({"approved": true}))), false),
        ];
        for (mut resume, yes) in cases {
            let results = results(&mut resume, &waited);
            let [Message::Tool { tool_call_id, content: ToolContent::Text(text), .. }] = &results[..] else {
                panic!("one result, not {results:?}")
            };
            let said: Value = serde_json::from_str(text).expect("JSON");
            assert!(resume.is_empty() && tool_call_id == "c");
            assert_eq!((&said["accepted"], &said["confirmed"]), (&json!(yes), &json!(yes)));
        }
    }

    #[test]
    fn a_request_for_a_confirmation_is_a_question_for_people() {
        let hint = format!("{ADK_HINT} send_mail() by responding with a FunctionResponse");
        let call = json!({"id": "c", "name": "send_mail", "args": {"to": "bob"}});
        let arguments = json!({"originalFunctionCall": call, "toolConfirmation": {"hint": hint, "confirmed": false}});
        let asked = confirmation("adk-1", &arguments.to_string());
        assert_eq!((asked.id.as_str(), asked.tool_call_id.as_deref()), ("adk-1", Some("adk-1")));
        assert_eq!(asked.message.as_deref(), Some("Allow send_mail with {\"to\":\"bob\"}?"));
        assert_eq!(asked.response_schema.expect("a schema")["required"], json!(["confirmed"]));
        let own_words = json!({"originalFunctionCall": call, "toolConfirmation": {"hint": "Really?"}});
        assert_eq!(confirmation("adk-1", &own_words.to_string()).message.as_deref(), Some("Really?"));
    }

    #[test]
    fn a_custom_event_is_an_interrupt_with_its_question_and_its_choices() {
        let words = read(&on_interrupt("Send a mail to bob?".into(), json!({"id": "i"})), "r", 0).expect("one");
        assert_eq!((words.id.as_str(), words.message.as_deref()), ("i", Some("Send a mail to bob?")));
        assert_eq!(words.response_schema, None);
        let told = r#"{"question": "Which?", "options": ["red", "blue"]}"#;
        let choice = read(&on_interrupt(told.into(), Value::Null), "r", 1).expect("one");
        assert_eq!((choice.id.as_str(), choice.message.as_deref()), ("r-interrupt-1", Some("Which?")));
        assert_eq!(choice.response_schema, Some(json!({"enum": ["red", "blue"]})));
        assert!(read(&Custom::new("chart", json!({})), "r", 0).is_none());
    }

    #[test]
    fn an_answer_is_sent_as_the_adapter_takes_it() {
        let waited: Vec<Interrupt> =
            ["a", "b"].map(|id| read(&on_interrupt("?".into(), json!({"id": id})), "r", 0).expect("one")).into();
        let answer = |id: &str, status, payload| Resume { interrupt_id: id.into(), status, payload, metadata: None };
        let yes = || answer("a", AnswerStatus::Resolved, Some(json!("yes")));
        let mut one = vec![yes(), answer("other", AnswerStatus::Resolved, None)];
        assert_eq!(command(&mut one, &waited), Some(json!("yes")));
        assert_eq!(one.len(), 1, "what is no such interrupt stays in `resume`");
        let mut two = vec![yes(), answer("b", AnswerStatus::Cancelled, None)];
        let cancelled = json!({"__agui_cancelled__": true, "interrupt_id": "b"});
        assert_eq!(command(&mut two, &waited), Some(json!({"a": "yes", "b": cancelled})));
        let mut silent = vec![answer("a", AnswerStatus::Resolved, None)];
        assert_eq!(command(&mut silent, &waited), Some(json!("")), "nobody said yes");
        assert_eq!(command(&mut vec![answer("x", AnswerStatus::Cancelled, None)], &waited), None);
    }
}
