use proptest::prelude::*;

use super::*;
use crate::{
    protocol::{
        Author, MessageId, UserId, UserMessage,
        agui::{RunFinished, RunStarted, ToolCallStart},
        extensions::KNOWN_RESULT,
    },
    thread::NodeBody,
};

/// A thread, and the events that were stored in it.
#[derive(Default)]
struct Log {
    view: ThreadView,
    messages: Vec<MessageId>,
    run: Option<RunId>,
    /// The bytes of all stored events.
    bytes: usize,
}

impl Log {
    /// Adds a message and starts its run.
    fn start_run(&mut self) -> RunId {
        let (id, run_id) = (MessageId::new(), RunId::new());
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let message = UserMessage { id, ..UserMessage::new(author, "?", run_id, "a") };
        self.view.apply(0, ThreadEntry::Message { message });
        self.run = Some(run_id);
        self.messages.push(id);
        self.store(vec![RunStarted::new("t", "r").into()]);
        run_id
    }

    fn store(&mut self, events: Vec<Event>) {
        let run_id = self.run.expect("a run");
        for event in events {
            let bytes = extent(&event).bytes;
            assert!(bytes <= MAX_EVENT_BYTES, "{bytes}");
            self.bytes += bytes;
            self.view.apply(0, ThreadEntry::Agent { run_id, event: Box::new(event) });
        }
    }

    /// Stores the changes of an event; returns their types.
    fn condense(&mut self, event: impl Into<Event>) -> Result<Vec<&'static str>, CondenseError> {
        let changes = condense(&self.view, self.run.expect("a run"), 0, event.into())?;
        let kinds = changes.iter().map(Event::kind).collect();
        self.store(changes);
        Ok(kinds)
    }

    fn state(&self) -> Value {
        self.view.state_of(self.run.expect("a run")).map_or(Value::Null, Arc::unwrap_or_clone)
    }

    fn nodes(&self) -> Vec<(String, NodeBody)> {
        let run = self.view.run(self.run.expect("a run")).expect("a run");
        run.nodes.iter().map(|node| (node.id.clone(), node.body.clone())).collect()
    }

    /// A restated conversation: the messages of users with `earlier` before the last one, then `more`.
    fn conversation(&self, earlier: &[Value], more: &[Value]) -> MessagesSnapshot {
        let user_message = |id: &MessageId| json!({"role": "user", "id": id.to_string(), "content": "?"});
        let (last, before) = self.messages.split_last().expect("a message");
        let before = before.iter().map(user_message).chain(earlier.iter().cloned());
        MessagesSnapshot::new(before.chain([user_message(last)]).chain(more.iter().cloned()).collect::<Vec<_>>())
    }
}

#[test]
fn a_restated_state_is_stored_as_its_changes_over_the_runs_of_a_thread() {
    let mut log = Log::default();
    let text = "x".repeat(1_000);
    let mut state = json!({"notes": [], "step": 0});
    for turn in 0..50 {
        log.start_run();
        state["notes"].as_array_mut().expect("notes").push(json!({"turn": turn, "text": text}));
        state["step"] = json!(turn);
        let kept = log.condense(StateSnapshot::new(state.clone())).expect("the event is accepted");
        assert_eq!(kept, [if turn == 0 { "STATE_SNAPSHOT" } else { "STATE_DELTA" }]);
        assert_eq!(
            log.condense(StateSnapshot::new(state.clone())).expect("the event is accepted"),
            [""; 0],
            "nothing changed"
        );
        assert_eq!(log.state(), state);
    }
    assert!(log.bytes < 50 * 1_400, "{}", log.bytes);
    let whole = serde_json::to_string(&log.view).expect("the value is serialized").len();
    assert!(whole < 3 * 1024 * 1024, "a large state is stored once in the thread: {whole}");
    log.start_run();
    let other = json!({"all": "new"});
    assert_eq!(
        log.condense(StateSnapshot::new(other.clone())).expect("the event is accepted"),
        ["STATE_SNAPSHOT"],
        "it is shorter than a delta"
    );
    assert_eq!(log.state(), other);
}

#[test]
fn a_state_that_is_too_long_for_an_event_is_split() {
    let mut log = Log::default();
    log.start_run();
    let rows: Vec<Value> = (0..3_000).map(|n| json!({"n": n, "text": "y".repeat(500)})).collect();
    let state = json!({"rows": rows, "a/b~c": {"deep": ["z".repeat(200_000), "z".repeat(200_000)]}, "end": true});
    log.condense(StateSnapshot::new(state.clone())).expect("the event is accepted");
    assert_eq!(log.state(), state);
    let before = log.bytes;
    let mut next = state;
    next["rows"].as_array_mut().expect("rows").extend((0..400).map(|n| json!(n)));
    log.condense(StateSnapshot::new(next.clone())).expect("the event is accepted");
    assert_eq!(log.state(), next);
    assert!(log.bytes - before < 40_000, "{}", log.bytes - before);

    let long = json!({"rows": [], "a/b": ["ä".repeat(MAX_EVENT_BYTES), "\u{1}".repeat(MAX_EVENT_BYTES)], "n": 1});
    log.condense(StateSnapshot::new(long.clone())).expect("the event is accepted");
    assert_eq!(log.state(), long);
    log.start_run();
    let mut next = long;
    next["a/b"][0] = json!("z".repeat(MAX_EVENT_BYTES));
    log.condense(StateSnapshot::new(next.clone())).expect("the event is accepted");
    assert_eq!(log.state(), next, "also if an earlier run sent the rest");
    let text = json!("x".repeat(MAX_EVENT_BYTES));
    let problem = log.condense(StateSnapshot::new(text)).expect_err("no event can hold it").to_string();
    assert!(problem.contains("the shared state at ``") && problem.contains("bytes"), "{problem}");
    assert_eq!(log.state(), next, "the earlier state is kept");
}

#[test]
fn a_long_result_is_split_and_joined_again() {
    let mut log = Log::default();
    log.start_run();
    log.store(vec![ToolCallStart::new("c", "look").into(), ToolCallEnd::new("c").into()]);
    let text = "\u{1}ä".repeat(MAX_EVENT_BYTES / 2);
    let mut result = ToolCallResult::new("r", "c", ToolContent::Text(text.clone()));
    result.base.extra.insert("x".into(), json!(1));
    log.condense(result).expect("the event is accepted");
    assert!(matches!(&log.nodes()[0].1, NodeBody::Tool { result: Some(result), .. } if *result == text));
    let calls = json!({"role": "assistant", "id": "m", "toolCalls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": ""}}]});
    let restated = json!({"role": "tool", "id": "r", "toolCallId": "c", "content": text});
    log.condense(log.conversation(&[], &[calls.clone(), restated.clone()])).expect("the event is accepted");
    assert!(matches!(&log.nodes()[0].1, NodeBody::Tool { result: Some(result), .. } if *result == text));

    // Some agents change the id of a restated result.
    let before = log.bytes;
    let mut renamed = restated;
    renamed["id"] = "other".into();
    log.condense(log.conversation(&[], &[calls, renamed])).expect("the event is accepted");
    let NodeBody::Tool { result, result_id, .. } = log.nodes()[0].1.clone() else { panic!("a call") };
    assert_eq!((result.as_deref(), result_id.as_deref()), (Some(text.as_str()), Some("other")));
    assert!(log.bytes - before < 1024, "its text is not stored again: {} bytes", log.bytes - before);
}

#[test]
fn the_servers_marks_are_removed_from_an_agents_events() {
    let metadata =
        json!({"netraBegins": true, "netraContinues": "last", "netraGiven": true, "netraSinceQuestion": true, "k": 1});
    let operation = json!({"op": "add", "path": "/a", "value": "x", "netraBegins": true, "netraContinues": "last"});
    let message = json!({"id": "r", "role": "tool", "toolCallId": "c", "content": "", "netraKnown": true});
    for event in [
        json!({"type": "STATE_DELTA", "delta": [operation], "metadata": metadata}),
        json!({"type": "MESSAGES_SNAPSHOT", "messages": [message], "metadata": metadata}),
        json!({"type": "TOOL_CALL_RESULT", "toolCallId": "c", "messageId": "r", "content": "x", "metadata": metadata}),
    ] {
        let mut event: Event = serde_json::from_value(event).expect("an event");
        marks::remove(&mut event);
        let left = json!(event);
        assert!(!left.to_string().contains("netra"), "{left}");
        assert_eq!(left["metadata"], json!({"k": 1}), "other metadata is kept");
    }
}

#[test]
fn a_marked_result_is_filled_in_once() {
    let mut log = Log::default();
    log.start_run();
    log.store(vec![ToolCallStart::new("c", "look").into(), ToolCallEnd::new("c").into()]);
    log.condense(ToolCallResult::new("r", "c", ToolContent::Text("long".into()))).expect("the event is accepted");
    let mut marked = vec![json!({"role": "tool", "toolCallId": "c", "content": "", "netraKnown": true}); 3];
    log.view.fill_in_results(&mut marked);
    let contents: Vec<&Value> = marked.iter().map(|message| &message["content"]).collect();
    assert_eq!(contents, ["long", "", ""]);
}

#[test]
fn states_with_very_many_values_are_stored_whole() {
    let mut log = Log::default();
    log.start_run();
    for value in [1, 2] {
        let state = json!({"all": vec![value; MAX_COMPARED_VALUES / 2]});
        log.condense(StateSnapshot::new(state.clone())).expect("the event is accepted");
        assert_eq!(log.state(), state);
    }
    let many = vec![json!({"role": "user", "id": "u", "content": "?"}); MAX_MESSAGES + 1];
    let problem = log.condense(MessagesSnapshot::new(many)).expect_err("too many").to_string();
    assert!(problem.contains("20001 messages"), "{problem}");
}

#[test]
fn a_long_result_in_a_restated_conversation_is_stored_if_new_and_marked_if_known() {
    let mut log = Log::default();
    log.start_run();
    let text = "long ".repeat(MAX_EVENT_BYTES / 5);
    let calls = |ids: &[&str]| {
        let call = |id: &&str| json!({"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}});
        json!({"role": "assistant", "id": "m", "content": null, "toolCalls": ids.iter().map(call).collect::<Vec<_>>()})
    };
    let result = |id: &str, call: &str| json!({"role": "tool", "id": id, "toolCallId": call, "content": text});
    // A conversation with an activity, which a thread does not show, is not split into its messages.
    let activity = json!({"role": "activity", "id": "a", "activityType": "x", "content": {}});
    log.condense(log.conversation(&[], &[calls(&["c"]), result("r", "c"), activity.clone()]))
        .expect("the event is accepted");
    assert!(matches!(&log.nodes()[0].1, NodeBody::Tool { result: Some(result), .. } if *result == text));
    let before = log.bytes;
    let again = [calls(&["c", "d"]), result("r", "c"), result("s", "d"), activity];
    log.condense(log.conversation(&[], &again)).expect("the event is accepted");
    assert!(matches!(&log.nodes()[1].1, NodeBody::Tool { result: Some(result), .. } if *result == text));
    let more = log.bytes - before;
    assert!(more < text.len() * 3 / 2, "the first is not stored again: {more} bytes");
    let kept = results::separate(&log.view, MessagesSnapshot::new(again.to_vec()));
    let Event::MessagesSnapshot(kept) = &kept[0] else { panic!("a conversation: {kept:?}") };
    assert_eq!((&kept.messages[1]["content"], &kept.messages[1][KNOWN_RESULT]), (&json!(""), &json!(true)));
}

#[test]
fn a_restated_conversation_is_stored_as_what_is_new_in_it() {
    let mut log = Log::default();
    log.start_run();
    let assistant = |id: &str, text: &str| json!({"role": "assistant", "id": id, "content": text});
    let call = json!({"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    let calls = json!({"role": "assistant", "id": "m2", "toolCalls": [call]});
    let result = json!({"role": "tool", "id": "r", "toolCallId": "c", "content": "seen"});
    log.store(vec![TextMessageStart::new("m1").into(), TextMessageContent::new("m1", "Well.").into()]);
    log.store(vec![TextMessageEnd::new("m1").into()]);
    let first = [assistant("m1", "Well.")];
    assert_eq!(log.condense(log.conversation(&[], &first)).expect("the event is accepted"), [""; 0]);
    let more = [assistant("m1", "Well."), calls.clone(), result.clone(), assistant("m3", "Done.")];
    let kept = log.condense(log.conversation(&[], &more)).expect("the event is accepted");
    let text = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"];
    let called = ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"];
    assert_eq!(kept, [&called[..], &text].concat());
    assert_eq!(log.condense(log.conversation(&[], &more)).expect("the event is accepted"), [""; 0]);
    // Messages that were left out or changed need a snapshot, but only of the conversation since the question.
    log.start_run();
    log.store(vec![ToolCallStart::new("gone", "look").into(), ToolCallEnd::new("gone").into()]);
    let long = assistant("m0", &"x".repeat(100_000));
    let turn = log.conversation(&[long], &[assistant("m4", "Again.")]);
    let before = log.bytes;
    assert_eq!(log.condense(turn).expect("the event is accepted"), ["MESSAGES_SNAPSHOT"]);
    assert!(log.bytes - before < 400, "{}", log.bytes - before);
    let bodies: Vec<bool> = log.nodes().iter().map(|(_, body)| *body == NodeBody::Withdrawn).collect();
    assert_eq!(bodies, [true, false]);
    // A message that is longer than an event.
    log.start_run();
    let long = "ä".repeat(MAX_EVENT_BYTES);
    log.condense(log.conversation(&[], &[assistant("m5", &long)])).expect("the event is accepted");
    assert!(matches!(&log.nodes()[0].1, NodeBody::Text { text, .. } if *text == long));
}

#[test]
fn a_long_delta_is_split_and_only_the_first_piece_keeps_the_other_fields() {
    let mut event: Event = TextMessageContent::new("a", "\u{1}".repeat(300_000)).into();
    event.base_mut().extra.insert("x".into(), json!(1));
    let pieces = pieces(event);
    let text: String = pieces.iter().cloned().filter_map(|mut piece| piece.delta_mut().cloned()).collect();
    assert_eq!(text, "\u{1}".repeat(300_000));
    assert!(pieces.iter().all(|piece| extent(piece).bytes <= MAX_EVENT_BYTES));
    assert_eq!(pieces.iter().filter(|piece| piece.base().extra.contains_key("x")).count(), 1);
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..4i64).prop_map(Value::from),
        prop_oneof!["[a-c~/]{0,3}", Just("x".repeat(30_000))].prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-c~/]{0,2}", inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn message() -> impl Strategy<Value = Value> {
    let id = prop::sample::select(vec!["a", "b", "c"]);
    (0..4u8, id, "[a-z]{0,2}").prop_map(|(kind, id, text)| match kind {
        0 | 1 => json!({"role": "assistant", "id": id, "content": text}),
        2 => {
            let call = json!({"id": id, "type": "function", "function": {"name": "f", "arguments": text}});
            json!({"role": "assistant", "id": format!("of-{id}"), "content": text, "toolCalls": [call]})
        }
        _ => json!({"role": "tool", "id": format!("r-{id}"), "toolCallId": id, "content": text}),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_thread_has_the_last_of_any_states(states in prop::collection::vec((json_value(), any::<bool>()), 1..12)) {
        let mut log = Log::default();
        log.start_run();
        for (state, asks) in states {
            if asks {
                log.store(vec![RunFinished::new("t", "r").into()]);
                log.start_run();
            }
            log.condense(StateSnapshot::new(state.clone())).expect("the event is accepted");
            prop_assert_eq!(log.state(), state);
        }
    }

    #[test]
    fn a_thread_looks_as_if_every_conversation_were_stored_whole(
        turns in prop::collection::vec(prop::collection::vec(prop::collection::vec(message(), 0..5), 0..4), 1..4),
    ) {
        let mut log = Log::default();
        let mut whole = ThreadView::default();
        for snapshots in turns {
            let run_id = log.start_run();
            // The same messages and runs, without the events.
            for item in &log.view.items[whole.items.len()..] {
                whole.items.push(item.clone());
            }
            for messages in snapshots {
                let event = log.conversation(&[], &messages);
                whole.apply(0, ThreadEntry::Agent { run_id, event: Box::new(event.clone().into()) });
                log.condense(event).expect("the event is accepted");
                prop_assert!(is_same(&log.view, &whole), "{:#?}\n{:#?}", log.view, whole);
            }
        }
    }
}
