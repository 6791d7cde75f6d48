//! One event from its text, held to AG-UI's published schemas where reading it alone would be laxer.
//!
//! Beyond what the types say: what may be left out is so and never `null`, whole numbers lie where JSON carries them
//! exactly, a run that waits says for what. What a later version or a vendor adds is no mistake, as for the protocol's own
//! client: fields that are not known stay with their event, an event of an unknown type is kept as a `RAW` one, an unknown
//! outcome counts as none. The four `null`s that older frameworks send are taken for absent, as that client does.

use serde_json::{Map, Value};

use super::{failure::excerpt, shape};
use crate::protocol::{
    agui::{Event, Raw, RunOutcome},
    limits::MAX_SAFE_INTEGER,
};

/// Where an event comes from that AG-UI 1.0 does not know: `source` of the `RAW` event that holds it.
pub(crate) const UNKNOWN: &str = "unknown AG-UI event";
/// Whole numbers; as JSON has one kind of numbers, `3.0` is one, too.
const WHOLE: &[&str] = &[
    "timestamp",
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "reasoningTokens",
    "cachedInputTokens",
    "cacheWriteInputTokens",
];

/// An event that was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// The event.
    pub(crate) event: Event,
    /// What of it AG-UI 1.0 does not know and gives a meaning to: its type, its outcome.
    pub(crate) unknown: Option<String>,
}

/// Reads an event.
///
/// # Errors
/// What is wrong, in a sentence that repeats but little of the event.
pub(crate) fn event(text: &str) -> Result<Read, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON ({error}): {}", excerpt(text)))?;
    let Value::Object(mut fields) = value else { return Err(format!("it is no JSON object: {}", excerpt(text))) };
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        _ => return Err(format!("it has no `type`: {}", excerpt(text))),
    };
    if !Event::TYPES.contains(&kind.as_str()) {
        let raw = Raw { source: Some(UNKNOWN.into()), ..Raw::new(fields) };
        return Ok(Read { event: raw.into(), unknown: Some(format!("the event `{}`", excerpt(&kind))) });
    }
    let wrong = |what: String| format!("{kind}: {what}");
    fields.retain(|field, value| !(value.is_null() && is_absent(&kind, field)));
    if let Some(field) = fields.iter().find(|(field, value)| value.is_null() && is_optional(&kind, field)) {
        return Err(wrong(format!("`{}` is null; say it or leave it out", field.0)));
    }
    whole_numbers(&mut fields);
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
    whole(&event).map_err(wrong)?;
    Ok(Read { event, unknown })
}

/// Whether `null` says there that there is nothing, as older frameworks have it.
fn is_absent(kind: &str, field: &str) -> bool {
    match field {
        "rawEvent" => true,
        "result" => matches!(kind, "RUN_FINISHED" | "SUBAGENT_FINISHED"),
        "outcome" => kind == "RUN_FINISHED",
        "parentMessageId" => matches!(kind, "TOOL_CALL_START" | "TOOL_CALL_CHUNK"),
        "input" => kind == "RUN_STARTED",
        _ => false,
    }
}

/// Whether an event of that type has such a field, and may leave it out.
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

/// Takes numbers without a fraction for what they are, where whole ones belong.
fn whole_numbers(fields: &mut Map<String, Value>) {
    for (field, value) in fields {
        match value {
            Value::Number(number) if WHOLE.contains(&field.as_str()) => {
                let float = number.as_f64().filter(|_| number.is_f64());
                if let Some(float) = float.filter(|f| f.fract() == 0.0 && f.abs() <= MAX_SAFE_INTEGER as f64) {
                    *value = Value::from(float as i64);
                }
            }
            Value::Array(items) if field == "usage" => {
                items.iter_mut().filter_map(Value::as_object_mut).for_each(whole_numbers);
            }
            _ => {}
        }
    }
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
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(text: &str) -> Value {
        serde_json::to_value(event(text).expect(text).event).expect("writes")
    }

    #[test]
    fn what_is_right_is_read_and_what_nobody_knows_stays() {
        let text = r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"assistant","rawEvent":null,"novelty":null}"#;
        let expected = json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant", "novelty": null});
        assert_eq!(written(text), expected);
        for text in [
            r#"{"type":"STATE_SNAPSHOT","snapshot":null}"#,
            r#"{"type":"CUSTOM","name":"n","value":null,"metadata":{"a":null}}"#,
            r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","result":null,"outcome":null}"#,
            r#"{"type":"TOOL_CALL_START","toolCallId":"c","toolCallName":"n","parentMessageId":null}"#,
            r#"{"type":"RUN_STARTED","threadId":"t","runId":"r","input":{"state":null}}"#,
            r#"{"type":"STEP_STARTED","stepName":"s","name":null,"role":7}"#,
            r#"{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"v","role":"vendor","content":null},{"id":"u","role":"user","content":[{"type":"hologram"}]}]}"#,
        ] {
            assert_eq!(event(text).expect(text).unknown, None);
        }
        let whole = r#"{"type":"RUN_ERROR","message":"m","timestamp":5.0,"usage":[{"inputTokens":1e3}]}"#;
        assert_eq!(
            written(whole),
            json!({"type": "RUN_ERROR", "message": "m", "usage": [{"inputTokens": 1000}], "timestamp": 5})
        );
    }

    #[test]
    fn events_and_outcomes_of_later_versions_end_no_run() {
        for kind in ["TELEPORT", "THINKING_START", "toString"] {
            let whole = json!({"type": kind, "pct": 5, "timestamp": "soon", "x": null});
            let read = event(&whole.to_string()).expect("reads");
            assert_eq!(read.unknown, Some(format!("the event `{kind}`")));
            let raw = json!({"type": "RAW", "event": whole, "source": "unknown AG-UI event"});
            assert_eq!(serde_json::to_value(&read.event).expect("writes"), raw);
        }
        let text = r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"deferred","until":5}}"#;
        let read = event(text).expect("reads");
        assert!(read.unknown.is_some() && matches!(&read.event, Event::RunFinished(end) if end.outcome.is_none()));
        let text = r#"{"type":"SUBAGENT_FINISHED","subagentRunId":"s","outcome":{"type":"cancelled"}}"#;
        assert_eq!(event(text).expect("reads").unknown.as_deref(), Some("an outcome of SUBAGENT_FINISHED"));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_short_sentence() {
        let cases = [
            ("{\"type\":", "it is no JSON (EOF while parsing"),
            ("[1]", "it is no JSON object: [1]"),
            ("null", "it is no JSON object: null"),
            ("{}", "it has no `type`: {}"),
            (r#"{"type":7}"#, "it has no `type`"),
            (r#"{"type":"TEXT_MESSAGE_START"}"#, "TEXT_MESSAGE_START: missing field `messageId`"),
            (r#"{"type":"TEXT_MESSAGE_START","messageId":7}"#, "TEXT_MESSAGE_START: invalid type: integer `7`"),
            (r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"tool"}"#, "unknown variant `tool`"),
            (r#"{"type":"TEXT_MESSAGE_START","messageId":"m","name":null}"#, "`name` is null; say it or leave it out"),
            (r#"{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":1.5}"#, "floating point `1.5`"),
            (r#"{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":9007199254740992}"#, "`timestamp` is larger"),
            (
                r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","usage":[{"model":null}]}"#,
                "`usage[0].model` is null",
            ),
            (
                r#"{"type":"RUN_ERROR","message":"m","usage":[{"inputTokens":1e18}]}"#,
                "`usage[0].inputTokens` is no whole number",
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
            (r#"{"type":"MESSAGES_SNAPSHOT","messages":[5]}"#, "`messages[0]` is no object"),
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
                "`content[0]` is no object",
            ),
            (
                r#"{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[{"type":"image","source":{"type":"url"}}]}"#,
                "`content[0].source.value` is missing",
            ),
            (
                r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[{"id":"i","reason":"r","responseSchema":5}]}}"#,
                "`outcome.interrupts[0].responseSchema` is no object",
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
            let said = event(text).expect_err(text);
            assert!(said.contains(expected), "`{said}` should say `{expected}`");
        }
        let deep = format!("{{\"type\":\"RAW\",\"event\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let said = event(&deep).expect_err("is too deep");
        assert!(said.contains("recursion limit") && said.len() < 400, "{said}");
    }
}
