//! Tests that events on the wire have exactly AG-UI's format.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn there_are_thirty_one_events() {
    assert_eq!(Event::TYPES.len(), 31);
}

#[test]
fn fields_are_camel_case_and_absent_ones_left_out() {
    let event = Event::from(ToolCallStart::new("c1", "load_log")).with_subagent(Some("s1"));
    let wire =
        json!({"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "load_log", "subagentRunId": "s1"});
    assert_eq!(serde_json::to_value(&event).expect("the value is serialized"), wire);
    assert_eq!(serde_json::from_value::<Event>(wire).expect("the JSON has this type"), event);
    assert_eq!(event.subagent(), Some("s1"));
}

#[test]
fn fields_that_every_event_may_have_are_flattened() {
    let wire = json!({"type": "RUN_ERROR", "message": "no", "timestamp": 5, "metadata": {"a": 1}});
    let event: Event = serde_json::from_value(wire.clone()).expect("the JSON has this type");
    assert_eq!(event.base().timestamp, Some(5));
    assert_eq!(serde_json::to_value(&event).expect("the value is serialized"), wire);
}

#[test]
fn unknown_fields_are_kept_in_place() {
    let wire = json!({
        "type": "MESSAGES_SNAPSHOT", "messages": [], "subagentRunId": "s", "x-vendor": {"k": [1, null]}, "metadata": {"a": 1},
    });
    let event: Event = serde_json::from_value(wire.clone()).expect("the JSON has this type");
    assert_eq!(
        (event.subagent(), &event.base().extra["subagentRunId"]),
        (None, &json!("s")),
        "MESSAGES_SNAPSHOT does not define this field"
    );
    assert_eq!(serde_json::to_value(&event).expect("the value is serialized"), wire);
    let marked = json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "a", "mark": 1});
    let marked: Event = serde_json::from_value(marked).expect("the JSON has this type");
    assert_eq!(marked.delta_key(), None, "merged with other deltas, the unknown field would be lost");
}

proptest! {
    #[test]
    fn an_event_that_is_decoded_and_encoded_is_the_same_text(
        float in any::<f64>().prop_filter("JSON has only finite numbers", |float| float.is_finite()),
        whole: i64,
        large: u64,
    ) {
        let text = json!({"type": "CUSTOM", "name": "n", "value": [float, whole], "vendor": {"f": float, "u": large}}).to_string();
        let event: Event = serde_json::from_str(&text).expect("the JSON has this type");
        let Event::Custom(Custom { value, .. }) = &event else { panic!("another event") };
        prop_assert_eq!(value[0].as_f64().map(f64::to_bits), Some(float.to_bits()));
        prop_assert_eq!(serde_json::to_string(&event).expect("the value is serialized"), text);
    }
}

#[test]
fn outcomes_have_the_protocols_format() {
    let mut finished = RunFinished::new("t", "r");
    finished.outcome = Some(RunOutcome::Cancelled);
    let wire = json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "cancelled"}});
    assert_eq!(serde_json::to_value(Event::from(finished)).expect("the value is serialized"), wire);
    let success = RunOutcome::Success { pending_tool_call_ids: None };
    assert_eq!(serde_json::to_value(success).expect("the value is serialized"), json!({"type": "success"}));
}

#[test]
fn a_tools_result_is_text_or_parts() {
    let reasoning = Event::from(ReasoningMessageStart::new("m", ReasoningRole::Reasoning));
    assert_eq!(serde_json::to_value(reasoning).expect("the value is serialized")["role"], "reasoning");
    let parts = json!({"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "c", "content": [{"type": "text", "text": "4"}]});
    assert!(matches!(
        serde_json::from_value::<Event>(parts).expect("the JSON has this type"),
        Event::ToolCallResult(ToolCallResult { content: ToolContent::Parts(_), .. })
    ));
}
