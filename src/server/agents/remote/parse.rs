//! One event from its text, held to AG-UI's published schemas where reading it alone would be laxer.
//!
//! Beyond what the types say: what may be left out is so and never `null`, whole numbers lie where JSON carries them
//! exactly, a run that waits says for what. Fields that the protocol does not know are left away, as its own client does; so
//! are the four `null`s that older frameworks send and that client takes for absent. Events it does not know are refused.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::failure::excerpt;
use crate::protocol::{
    agui::{Event, Message, RunOutcome},
    limits::MAX_SAFE_INTEGER,
};

/// Optional fields, for which `null` is no value. Not here: `rawEvent`, `result`, `outcome`, `parentMessageId` and `input`,
/// whose `null` is taken for nothing, and those that may say anything.
const OPTIONAL: &[&str] = &[
    "timestamp",
    "metadata",
    "subagentRunId",
    "protocolVersion",
    "parentRunId",
    "usage",
    "code",
    "role",
    "name",
    "messageId",
    "delta",
    "toolCallId",
    "toolCallName",
    "replace",
    "description",
    "parentSubagentRunId",
    "parentToolCallId",
    "source",
    "interruptIds",
    "pendingToolCallIds",
    "message",
    "responseSchema",
    "expiresAt",
    "provider",
    "model",
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "reasoningTokens",
    "cachedInputTokens",
    "cacheWriteInputTokens",
];

/// Reads an event.
///
/// # Errors
/// What is wrong, in a sentence that repeats but little of the event.
pub(crate) fn event(text: &str) -> Result<Event, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON ({error}): {}", excerpt(text)))?;
    let Value::Object(fields) = &value else { return Err(format!("it is no JSON object: {}", excerpt(text))) };
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        _ => return Err(format!("it has no `type`: {}", excerpt(text))),
    };
    if !Event::TYPES.contains(&kind.as_str()) {
        let old = if kind.starts_with("THINKING_") { ", it is of AG-UI before 1.0" } else { "" };
        return Err(format!("AG-UI 1.0 has no event `{}`{old}", excerpt(&kind)));
    }
    let wrong = |what: String| format!("{kind}: {what}");
    if let Some(field) = null(fields) {
        return Err(wrong(format!("`{field}` is null; say it or leave it out")));
    }
    let event: Event = serde_json::from_value(value).map_err(|error| wrong(excerpt(&error.to_string())))?;
    whole(&event).map_err(wrong)?;
    Ok(event)
}

/// A field that is `null` and may not be, here or in what the protocol describes below.
fn null(fields: &Map<String, Value>) -> Option<&str> {
    fields.iter().find_map(|(key, value)| match value {
        Value::Null => OPTIONAL.contains(&key.as_str()).then_some(key.as_str()),
        Value::Object(fields) if key == "outcome" => null(fields),
        Value::Array(items) if matches!(key.as_str(), "usage" | "interrupts") => {
            items.iter().filter_map(Value::as_object).find_map(null)
        }
        _ => None,
    })
}

/// What the types cannot say.
fn whole(event: &Event) -> Result<(), String> {
    let safe = -MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER;
    if event.base().timestamp.is_some_and(|at| !safe.contains(&at)) {
        return Err("`timestamp` is larger than JSON carries exactly".into());
    }
    match event {
        Event::RunFinished(e) if matches!(&e.outcome, Some(RunOutcome::Interrupt { interrupts }) if interrupts.is_empty()) => {
            Err("a run that is interrupted says what it waits for: `outcome.interrupts` is empty".into())
        }
        Event::MessagesSnapshot(e) => e.messages.iter().enumerate().try_for_each(|(at, message)| {
            let read = Message::deserialize(message).map(drop);
            read.map_err(|error| format!("messages[{at}]: {}", excerpt(&error.to_string())))
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_is_read_and_what_nobody_knows_is_left_away() {
        let text = r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"assistant","rawEvent":null,"novelty":null}"#;
        assert_eq!(event(text).expect("reads").kind(), "TEXT_MESSAGE_START");
        for text in [
            r#"{"type":"STATE_SNAPSHOT","snapshot":null}"#,
            r#"{"type":"CUSTOM","name":"n","value":null,"metadata":{"a":null}}"#,
            r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","result":null,"outcome":null}"#,
            r#"{"type":"TOOL_CALL_START","toolCallId":"c","toolCallName":"n","parentMessageId":null}"#,
            r#"{"type":"RUN_STARTED","threadId":"t","runId":"r","input":{"state":null}}"#,
        ] {
            event(text).expect(text);
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_one_short_sentence() {
        let cases = [
            ("{\"type\":", "it is no JSON (EOF while parsing"),
            ("[1]", "it is no JSON object: [1]"),
            ("null", "it is no JSON object: null"),
            ("{}", "it has no `type`: {}"),
            (r#"{"type":7}"#, "it has no `type`"),
            (r#"{"type":"TELEPORT"}"#, "AG-UI 1.0 has no event `TELEPORT`"),
            (r#"{"type":"THINKING_START"}"#, "AG-UI 1.0 has no event `THINKING_START`, it is of AG-UI before 1.0"),
            (r#"{"type":"TEXT_MESSAGE_START"}"#, "TEXT_MESSAGE_START: missing field `messageId`"),
            (r#"{"type":"TEXT_MESSAGE_START","messageId":7}"#, "TEXT_MESSAGE_START: invalid type: integer `7`"),
            (r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"tool"}"#, "unknown variant `tool`"),
            (r#"{"type":"TEXT_MESSAGE_START","messageId":"m","name":null}"#, "`name` is null; say it or leave it out"),
            (r#"{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":1.5}"#, "floating point `1.5`"),
            (r#"{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":9007199254740992}"#, "`timestamp` is larger"),
            (r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","usage":[{"model":null}]}"#, "`model` is null"),
            (
                r#"{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"user"}]}"#,
                "messages[0]: missing field `content`",
            ),
            (
                r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[]}}"#,
                "`outcome.interrupts` is empty",
            ),
            (
                r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[{"id":"i","reason":"r","toolCallId":null}]}}"#,
                "`toolCallId` is null",
            ),
        ];
        for (text, expected) in cases {
            let said = event(text).expect_err(text);
            assert!(said.contains(expected), "`{said}` should say `{expected}`");
        }
        let deep = format!("{{\"type\":\"RAW\",\"event\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let said = event(&deep).expect_err("is too deep");
        assert!(said.contains("recursion limit") && said.len() < 400, "{said}");
    }
}
