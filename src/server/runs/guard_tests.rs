use serde_json::json;

use super::*;
use crate::protocol::agui::{
    ActivityDelta, ActivitySnapshot, EncryptedSubtype, MessagesSnapshot, ReasoningEncryptedValue, ReasoningEnd,
    ReasoningMessageContent, ReasoningMessageEnd, ReasoningMessageStart, ReasoningRole, ReasoningStart, RunError,
    RunFinished, RunStarted, StateDelta, StepFinished, StepStarted, SubagentError, SubagentFinished, SubagentStarted,
    TextMessageChunk, TextMessageContent, TextMessageEnd, TextMessageStart, ToolCallArgs, ToolCallChunk, ToolCallEnd,
    ToolCallStart,
};
use crate::server::runs::verifier::verify;
use crate::thread::MAX_PATCH_MOVES;

type Events = Vec<Event>;

/// The message of the first violation, or "nothing".
fn first_violation(events: Events) -> String {
    let mut guard = Guard::default();
    let violation = events.iter().find_map(|event| guard.check(event).err());
    violation.map_or_else(|| "nothing".into(), |violation| violation.to_string())
}

/// The event as one of a sub-agent.
fn of(subagent: &str, event: impl Into<Event>) -> Event {
    event.into().with_subagent(Some(subagent))
}

/// The start of a sub-agent.
fn sub(id: &str) -> Event {
    SubagentStarted::new(id, "Data").into()
}

/// The start of a message.
fn text(id: &str) -> Event {
    TextMessageStart::new(id).into()
}

fn chunk(id: Option<&str>) -> Event {
    TextMessageChunk { message_id: id.map(Into::into), delta: Some("x".into()), ..TextMessageChunk::new() }.into()
}

fn tool_chunk(id: Option<&str>, name: Option<&str>) -> Event {
    let (tool_call_id, tool_call_name) = (id.map(Into::into), name.map(Into::into));
    ToolCallChunk { tool_call_id, tool_call_name, ..ToolCallChunk::new() }.into()
}

/// The start of a call.
fn call(id: &str, parent: Option<&str>) -> Event {
    ToolCallStart { parent_message_id: parent.map(Into::into), ..ToolCallStart::new(id, "profile") }.into()
}

fn started() -> Event {
    RunStarted::new("t", "r").into()
}

fn finished() -> Event {
    RunFinished::new("t", "r").into()
}

#[test]
fn valid_events_are_accepted() {
    let reasoning = || ReasoningMessageStart::new("a", ReasoningRole::Reasoning).into();
    let valid: Vec<Events> = vec![
        vec![text("a"), text("b"), TextMessageContent::new("a", "").into(), TextMessageEnd::new("a").into()],
        vec![text("a"), TextMessageEnd::new("a").into(), text("a"), TextMessageEnd::new("a").into()],
        vec![text("a"), call("a", Some("a")), ReasoningStart::new("a").into(), reasoning()],
        vec![StepStarted::new("s").into(), sub("x"), of("x", StepStarted::new("s")), StepFinished::new("s").into()],
        vec![StepStarted::new("s").into(), StepFinished::new("s").into(), StepStarted::new("s").into()],
        vec![sub("x"), of("x", text("a")), TextMessageContent::new("a", "no tag").into()],
        vec![sub("x"), of("x", text("a")), call("c", Some("a")), of("x", ToolCallArgs::new("c", "{}"))],
        vec![chunk(Some("a")), chunk(None), chunk(Some("b")), chunk(Some("a"))],
        vec![chunk(Some("a")), of("x", chunk(Some("b"))), chunk(None), of("x", chunk(None)), chunk(Some("b"))],
        vec![chunk(Some("a")), StepStarted::new("s").into(), text("a")],
        vec![of("x", text("a")), of("x", TextMessageEnd::new("a"))],
        vec![tool_chunk(Some("c"), Some("profile")), tool_chunk(None, None), tool_chunk(Some("c"), None)],
        vec![StateDelta::new(vec![json!({"op": "add", "path": "/a~1b/0", "value": null})]).into()],
    ];
    for events in valid {
        assert_eq!(first_violation(events.clone()), "nothing", "{events:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn every_broken_rule_is_named() {
    let nested = SubagentStarted { parent_subagent_run_id: Some("x".into()), ..SubagentStarted::new("y", "Y") };
    let activity = || ActivitySnapshot::new("a", "plan", serde_json::Map::new());
    let reasoning = || ReasoningMessageStart::new("a", ReasoningRole::Reasoning).into();
    let cases: Vec<(Events, &str)> = vec![
        (vec![started()], "RUN_STARTED: agents must not send this event"),
        (vec![finished()], "RUN_FINISHED: agents must not send this event"),
        (vec![RunError::new("no").into()], "RUN_ERROR: agents must not send this event"),
        (vec![text("a"), text("a")], "the text message `a` has started already"),
        (
            vec![TextMessageContent::new("a", "x").into()],
            "TEXT_MESSAGE_CONTENT: the text message `a` has not started or has ended",
        ),
        (
            vec![text("a"), TextMessageEnd::new("a").into(), TextMessageEnd::new("a").into()],
            "the text message `a` has not started or has ended",
        ),
        (vec![text("a"), ToolCallArgs::new("a", "{").into()], "the tool call `a` has not started or has ended"),
        (vec![call("c", None), call("c", None)], "the tool call `c` has started already"),
        (vec![ToolCallEnd::new("c").into()], "the tool call `c` has not started or has ended"),
        (
            vec![ReasoningStart::new("a").into(), ReasoningStart::new("a").into()],
            "reasoning span `a` has started already",
        ),
        (vec![ReasoningEnd::new("a").into()], "the reasoning span `a` has not started or has ended"),
        (vec![reasoning(), reasoning()], "the reasoning message `a` has started already"),
        (
            vec![ReasoningStart::new("a").into(), ReasoningMessageContent::new("a", "x").into()],
            "the reasoning message `a` has not started or has ended",
        ),
        (vec![ReasoningMessageEnd::new("a").into()], "the reasoning message `a` has not started or has ended"),
        (vec![StepStarted::new("s").into(), StepStarted::new("s").into()], "the step `s` has started already"),
        (vec![StepFinished::new("s").into()], "the step `s` has not started or has ended"),
        (vec![StepStarted::new("s").into(), sub("x"), of("x", StepFinished::new("s"))], "has not started or has ended"),
        (vec![sub("x"), sub("x")], "the sub-agent `x` was announced already"),
        (vec![sub("x"), SubagentFinished::new("x").into(), sub("x")], "the sub-agent `x` was announced already"),
        (vec![nested.into()], "the parent `x` was not announced by SUBAGENT_STARTED"),
        (vec![SubagentFinished::new("x").into()], "the sub-agent `x` has not started or has ended"),
        (
            vec![sub("x"), SubagentError::new("x", "no").into(), SubagentError::new("x", "no").into()],
            "the sub-agent `x` has not started or has ended",
        ),
        (vec![sub("x"), text("a"), of("x", TextMessageEnd::new("a"))], "belongs to the run itself, not to `x`"),
        (vec![sub("x"), sub("y"), of("x", text("a")), of("y", TextMessageContent::new("a", ""))], "sub-agent `x`, not"),
        (vec![sub("x"), text("a"), of("x", call("c", Some("a")))], "the text message `a` belongs to the run itself"),
        (
            vec![sub("x"), activity().into(), of("x", ActivityDelta::new("a", "plan", vec![]))],
            "the activity `a` belongs",
        ),
        (vec![chunk(None)], "the first chunk of a text message must have its id"),
        (vec![text("a"), chunk(Some("a"))], "TEXT_MESSAGE_CHUNK: the text message `a` has started already"),
        (
            vec![chunk(Some("a")), StepStarted::new("s").into(), chunk(None)],
            "the first chunk of a text message must have its id",
        ),
        (vec![of("x", chunk(Some("a"))), of("y", chunk(Some("a")))], "the text message `a` does not belong to `y`"),
        (
            vec![of("x", chunk(Some("a"))), of("y", chunk(Some("b"))), chunk(None)],
            "more than one text message is open, and the chunk has neither an id nor a sub-agent",
        ),
        (vec![tool_chunk(Some("c"), None)], "the first chunk of a tool call must name the tool"),
        (
            vec![tool_chunk(Some("c"), Some("a")), tool_chunk(None, Some("b"))],
            "a chunk of the tool call `c` has other fields than the first",
        ),
        (
            vec![
                MessagesSnapshot::new(vec![json!({"id": "a", "role": "assistant", "toolCalls": [{"id": "c"}]})]).into(),
                of("x", call("c", None)),
            ],
            "the tool call `c` belongs to the run itself, not to `x`",
        ),
        (
            vec![call("c", None), of("x", ReasoningEncryptedValue::new(EncryptedSubtype::ToolCall, "c", "v"))],
            "the tool call `c` belongs to the run itself, not to `x`",
        ),
        (vec![StateDelta::new(vec![json!({"op": "add", "path": "a", "value": 1})]).into()], "JSON pointers"),
        (vec![StateDelta::new(vec![json!({"op": "remove", "path": "/a~2"})]).into()], "JSON pointers"),
        (vec![StateDelta::new(vec![json!({"op": "put", "path": "/a"})]).into()], "RFC 6902"),
        (
            vec![StateDelta::new(vec![json!({"op": "move", "from": "/a", "path": "/b"}); MAX_PATCH_MOVES + 1]).into()],
            "a delta may have at most 32 operations that move or copy, this one has 33",
        ),
        (
            vec![text("a"), TextMessageContent::new("a", "x".repeat(MAX_EVENT_BYTES)).into()],
            "may have at most 262144 bytes",
        ),
    ];
    for (events, expected) in cases {
        let message = first_violation(events);
        assert!(message.contains(expected), "`{message}` should say `{expected}`");
    }
}

#[test]
fn the_ids_and_bytes_of_a_run_are_limited() {
    let many = (0..MAX_IDS + 2).map(|id| sub(&id.to_string())).collect();
    assert!(first_violation(many).contains("may have at most 10000 messages, calls, steps and sub-agents"));
    let long = "x".repeat(MAX_EVENT_BYTES - 100);
    let events = (0..=MAX_RUN_BYTES / long.len() + 1).map(|_| TextMessageContent::new("a", long.clone()).into());
    assert!(
        first_violation([text("a")].into_iter().chain(events).collect())
            .contains("the events of a run may have at most 67108864 bytes in total")
    );
}

#[test]
fn a_log_starts_once_ends_once_and_leaves_nothing_open() {
    let error = || RunError::new("no").into();
    let logs: Vec<(Events, &str)> = vec![
        (vec![started(), text("a"), TextMessageEnd::new("a").into(), finished()], ""),
        (vec![started(), text("a"), error()], ""),
        (vec![error()], ""),
        (vec![], "every run ends"),
        (vec![started(), text("a")], "every run ends"),
        (vec![text("a")], "a run begins with RUN_STARTED"),
        (vec![started(), started()], "a run begins once"),
        (vec![started(), finished(), error()], "nothing follows the end"),
        (vec![started(), text("a"), finished()], "the text message `a` is still open"),
        (vec![started(), StepStarted::new("s").into(), finished()], "the step `s` is still open"),
        (vec![started(), sub("x"), finished()], "the sub-agent `x` is still open"),
        (vec![started(), call("c", None), finished()], "the tool call `c` is still open"),
        (vec![started(), ReasoningStart::new("a").into(), finished()], "the reasoning span `a` is still open"),
    ];
    for (events, expected) in logs {
        let message = verify(&events).err().map(|violation| violation.to_string()).unwrap_or_default();
        assert!(
            message.contains(expected) && message.is_empty() == expected.is_empty(),
            "`{message}`, not `{expected}`"
        );
    }
}
