//! Parses an event, and checks it against AG-UI's published schemas where the Rust types are more lenient.
//!
//! Optional fields are absent and not `null`, integers are within the range that JSON represents exactly, and an interrupted run
//! has interrupts. As in AG-UI's own client, additions of later versions and vendors are accepted: unknown fields stay in their
//! event, an event of an unknown type becomes a `RAW` one, an unknown outcome is dropped. Some `null`s that older
//! frameworks send count as absent, also as in that client.

use serde_json::{Map, Value};

use super::{failure::excerpt, shape};
use crate::protocol::{
    agui::{Event, Raw, RunOutcome},
    limits::MAX_SAFE_INTEGER,
};

/// The `source` of a `RAW` event that stands for an event of a type that AG-UI 1.0 does not define.
pub(crate) const UNKNOWN_EVENT_SOURCE: &str = "unknown AG-UI event";
/// Fields with integers. `3.0` counts as one, since JSON has only one type of numbers.
const INTEGER_FIELDS: &[&str] = &[
    "timestamp",
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "reasoningTokens",
    "cachedInputTokens",
    "cacheWriteInputTokens",
];

/// A parsed event.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The event.
    pub(crate) event: Event,
    /// Its type or outcome, if AG-UI 1.0 does not define it.
    pub(crate) unknown: Option<String>,
}

/// Parses an event.
///
/// # Errors
/// Says what is wrong, with at most a short excerpt of the event.
pub(crate) fn parse(text: &str) -> Result<Parsed, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("it is not JSON ({error}): {}", excerpt(text)))?;
    let Value::Object(mut fields) = value else { return Err(format!("it is not a JSON object: {}", excerpt(text))) };
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        _ => return Err(format!("it has no `type`: {}", excerpt(text))),
    };
    if !Event::TYPES.contains(&kind.as_str()) {
        let raw = Raw { source: Some(UNKNOWN_EVENT_SOURCE.into()), ..Raw::new(fields) };
        return Ok(Parsed { event: raw.into(), unknown: Some(format!("the event `{}`", excerpt(&kind))) });
    }
    let wrong = |what: String| format!("{kind}: {what}");
    fields.retain(|field, value| !(value.is_null() && is_null_absent(&kind, field)));
    if let Some(field) = fields.iter().find(|(field, value)| value.is_null() && is_optional(&kind, field)) {
        return Err(wrong(format!("`{}` is null; set it or leave it out", field.0)));
    }
    normalize_integers(&mut fields);
    let mut unknown = None;
    if matches!(kind.as_str(), "RUN_FINISHED" | "SUBAGENT_FINISHED")
        && fields.get("outcome").is_some_and(|outcome| !shape::is_known_outcome(&kind, outcome))
    {
        fields.remove("outcome");
        unknown = Some(format!("an outcome of {kind}"));
    }
    let value = Value::Object(fields);
    shape::check(&kind, &value).map_err(wrong)?;
    let event: Event = serde_json::from_value(value).map_err(|error| wrong(excerpt(&error.to_string())))?;
    check_values(&event).map_err(wrong)?;
    Ok(Parsed { event, unknown })
}

/// Whether `null` in this field counts as absent.
fn is_null_absent(kind: &str, field: &str) -> bool {
    match field {
        "rawEvent" => true,
        "result" => matches!(kind, "RUN_FINISHED" | "SUBAGENT_FINISHED"),
        "outcome" => kind == "RUN_FINISHED",
        "parentMessageId" => matches!(kind, "TOOL_CALL_START" | "TOOL_CALL_CHUNK"),
        "input" => kind == "RUN_STARTED",
        _ => false,
    }
}

/// Whether events of this type have this field, and it is optional.
fn is_optional(kind: &str, field: &str) -> bool {
    let camel = |name: &str| {
        let mut words = name.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |all, word| all + &word[..1].to_ascii_uppercase() + &word[1..])
    };
    match field {
        "timestamp" | "metadata" => true,
        "subagentRunId" => Event::allows_subagent(kind),
        _ => Event::optional_fields(kind).iter().any(|name| camel(name) == field),
    }
}

/// Converts numbers without a fraction to integers, in fields of integers.
fn normalize_integers(fields: &mut Map<String, Value>) {
    for (field, value) in fields {
        match value {
            Value::Number(number) if INTEGER_FIELDS.contains(&field.as_str()) => {
                let float = number.as_f64().filter(|_| number.is_f64());
                if let Some(float) = float.filter(|f| f.fract() == 0.0 && f.abs() <= MAX_SAFE_INTEGER as f64) {
                    *value = Value::from(float as i64);
                }
            }
            Value::Array(items) if field == "usage" => {
                items.iter_mut().filter_map(Value::as_object_mut).for_each(normalize_integers);
            }
            _ => {}
        }
    }
}

/// Checks what the types cannot express.
fn check_values(event: &Event) -> Result<(), String> {
    let safe = -MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER;
    if event.base().timestamp.is_some_and(|at| !safe.contains(&at)) {
        return Err("`timestamp` is beyond the integers that JSON represents exactly".into());
    }
    match event {
        Event::RunFinished(e) if matches!(&e.outcome, Some(RunOutcome::Interrupt { interrupts }) if interrupts.is_empty()) => {
            Err("an interrupted run has at least one interrupt: `outcome.interrupts` is empty".into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reencoded(text: &str) -> Value {
        serde_json::to_value(parse(text).expect(text).event).expect("the value is serialized")
    }

    #[test]
    fn valid_events_are_parsed_and_keep_unknown_fields() {
        let text = r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"assistant","rawEvent":null,"novelty":null}"#;
        let expected = json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant", "novelty": null});
        assert_eq!(reencoded(text), expected);
        for text in [
            r#"{"type":"STATE_SNAPSHOT","snapshot":null}"#,
            r#"{"type":"CUSTOM","name":"n","value":null,"metadata":{"a":null}}"#,
            r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","result":null,"outcome":null}"#,
            r#"{"type":"TOOL_CALL_START","toolCallId":"c","toolCallName":"n","parentMessageId":null}"#,
            r#"{"type":"RUN_STARTED","threadId":"t","runId":"r","input":{"state":null}}"#,
            r#"{"type":"STEP_STARTED","stepName":"s","name":null,"role":7}"#,
            r#"{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"v","role":"vendor","content":null},{"id":"u","role":"user","content":[{"type":"hologram"}]}]}"#,
        ] {
            assert_eq!(parse(text).expect(text).unknown, None);
        }
        let whole = r#"{"type":"RUN_ERROR","message":"m","timestamp":5.0,"usage":[{"inputTokens":1e3}]}"#;
        assert_eq!(
            reencoded(whole),
            json!({"type": "RUN_ERROR", "message": "m", "usage": [{"inputTokens": 1000}], "timestamp": 5})
        );
    }

    #[test]
    fn events_and_outcomes_of_later_versions_are_accepted() {
        for kind in ["TELEPORT", "THINKING_START", "toString"] {
            let unknown = json!({"type": kind, "pct": 5, "timestamp": "soon", "x": null});
            let parsed = parse(&unknown.to_string()).expect("the event is parsed");
            assert_eq!(parsed.unknown, Some(format!("the event `{kind}`")));
            let raw = json!({"type": "RAW", "event": unknown, "source": "unknown AG-UI event"});
            assert_eq!(serde_json::to_value(&parsed.event).expect("the value is serialized"), raw);
        }
        let text = r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"deferred","until":5}}"#;
        let parsed = parse(text).expect("the event is parsed");
        assert!(parsed.unknown.is_some() && matches!(&parsed.event, Event::RunFinished(end) if end.outcome.is_none()));
        let text = r#"{"type":"SUBAGENT_FINISHED","subagentRunId":"s","outcome":{"type":"cancelled"}}"#;
        assert_eq!(
            parse(text).expect("the event is parsed").unknown.as_deref(),
            Some("an outcome of SUBAGENT_FINISHED")
        );
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn every_problem_has_a_short_message() {
        let cases = [
            ("{\"type\":", "it is not JSON (EOF while parsing"),
            ("[1]", "it is not a JSON object: [1]"),
            ("null", "it is not a JSON object: null"),
            ("{}", "it has no `type`: {}"),
            (r#"{"type":7}"#, "it has no `type`"),
            (r#"{"type":"TEXT_MESSAGE_START"}"#, "TEXT_MESSAGE_START: missing field `messageId`"),
            (r#"{"type":"TEXT_MESSAGE_START","messageId":7}"#, "TEXT_MESSAGE_START: invalid type: integer `7`"),
            (r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"tool"}"#, "unknown variant `tool`"),
            (r#"{"type":"TEXT_MESSAGE_START","messageId":"m","name":null}"#, "`name` is null; set it or leave it out"),
            (r#"{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":1.5}"#, "floating point `1.5`"),
            (
                r#"{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":9007199254740992}"#,
                "`timestamp` is beyond the integers",
            ),
            (
                r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","usage":[{"model":null}]}"#,
                "`usage[0].model` is null",
            ),
            (
                r#"{"type":"RUN_ERROR","message":"m","usage":[{"inputTokens":1e18}]}"#,
                "`usage[0].inputTokens` is not a non-negative integer",
            ),
            (r#"{"type":"SUBAGENT_FINISHED","subagentRunId":"s","outcome":null}"#, "`outcome` is null"),
            (
                r#"{"type":"SUBAGENT_STARTED","subagentRunId":"s","name":"n","parentMessageId":null}"#,
                "`parentMessageId` is null",
            ),
            (r#"{"type":"STEP_STARTED","stepName":"s","subagentRunId":null}"#, "`subagentRunId` is null"),
            (
                r#"{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"user"}]}"#,
                "`messages[0].content` is missing",
            ),
            (r#"{"type":"MESSAGES_SNAPSHOT","messages":[5]}"#, "`messages[0]` is not an object"),
            (
                r#"{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"assistant","content":null}]}"#,
                "`messages[0].content` is null",
            ),
            (
                r#"{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"assistant","toolCalls":[{"id":"c","function":{"name":"n","arguments":""}}]}]}"#,
                "`messages[0].toolCalls[0].type` is missing",
            ),
            (
                r#"{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[5]}"#,
                "`content[0]` is not an object",
            ),
            (
                r#"{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[{"type":"image","source":{"type":"url"}}]}"#,
                "`content[0].source.value` is missing",
            ),
            (
                r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[{"id":"i","reason":"r","responseSchema":5}]}}"#,
                "`outcome.interrupts[0].responseSchema` is not an object",
            ),
            (
                r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[]}}"#,
                "`outcome.interrupts` is empty",
            ),
            (
                r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[{"id":"i","reason":"r","toolCallId":null}]}}"#,
                "`outcome.interrupts[0].toolCallId` is null",
            ),
        ];
        for (text, expected) in cases {
            let message = parse(text).expect_err(text);
            assert!(message.contains(expected), "`{message}` should say `{expected}`");
        }
        let deep = format!("{{\"type\":\"RAW\",\"event\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let message = parse(&deep).expect_err("too deep");
        assert!(message.contains("recursion limit") && message.len() < 400, "{message}");
    }
}
