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

/// A thread in which a person asks and a run begins, again and again.
#[derive(Default)]
struct Log {
    view: ThreadView,
    asked: Vec<MessageId>,
    run: Option<RunId>,
    /// The bytes of what was kept.
    bytes: usize,
}

impl Log {
    fn ask(&mut self) -> RunId {
        let (id, run_id) = (MessageId::new(), RunId::new());
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let message = UserMessage { id, ..UserMessage::new(author, "?", run_id, "a") };
        self.view.apply(0, ThreadEntry::Message { message });
        (self.run, self.asked) = (Some(run_id), [std::mem::take(&mut self.asked), vec![id]].concat());
        self.keep(vec![RunStarted::new("t", "r").into()]);
        run_id
    }

    fn keep(&mut self, events: Vec<Event>) {
        let run_id = self.run.expect("asked");
        for event in events {
            let bytes = extent(&event).bytes;
            assert!(bytes <= MAX_EVENT_BYTES, "{bytes}");
            self.bytes += bytes;
            self.view.apply(0, ThreadEntry::Agent { run_id, event: Box::new(event) });
        }
    }

    /// Keeps what is new of an event; answers its types.
    fn say(&mut self, event: impl Into<Event>) -> Result<Vec<&'static str>, TooLong> {
        let kept = condense(&self.view, self.run.expect("asked"), 0, event.into())?;
        let kinds = kept.iter().map(Event::kind).collect();
        self.keep(kept);
        Ok(kinds)
    }

    fn state(&self) -> Value {
        self.view.state_of(self.run.expect("asked")).map_or(Value::Null, Arc::unwrap_or_clone)
    }

    fn texts(&self) -> Vec<(String, NodeBody)> {
        let run = self.view.run(self.run.expect("asked")).expect("a run");
        run.nodes.iter().map(|node| (node.id.clone(), node.body.clone())).collect()
    }

    /// A conversation that begins with all that was asked, and then these.
    fn conversation(&self, earlier: &[Value], more: &[Value]) -> MessagesSnapshot {
        let asked = |id: &MessageId| json!({"role": "user", "id": id.to_string(), "content": "?"});
        let (last, before) = self.asked.split_last().expect("asked");
        let before = before.iter().map(asked).chain(earlier.iter().cloned());
        MessagesSnapshot::new(before.chain([asked(last)]).chain(more.iter().cloned()).collect::<Vec<_>>())
    }
}

#[test]
fn a_state_that_is_told_again_is_kept_as_what_it_changes_through_the_runs_of_a_thread() {
    let mut log = Log::default();
    let text = "x".repeat(1_000);
    let mut state = json!({"notes": [], "step": 0});
    for turn in 0..50 {
        log.ask();
        state["notes"].as_array_mut().expect("notes").push(json!({"turn": turn, "text": text}));
        state["step"] = json!(turn);
        let kept = log.say(StateSnapshot::new(state.clone())).expect("is kept");
        assert_eq!(kept, [if turn == 0 { "STATE_SNAPSHOT" } else { "STATE_DELTA" }]);
        assert_eq!(log.say(StateSnapshot::new(state.clone())).expect("is kept"), [""; 0], "it is known");
        assert_eq!(log.state(), state);
    }
    assert!(log.bytes < 50 * 1_400, "{}", log.bytes);
    let whole = serde_json::to_string(&log.view).expect("writes").len();
    assert!(whole < 3 * 1024 * 1024, "a large state stands once in the thread: {whole}");
    log.ask();
    let other = json!({"all": "new"});
    assert_eq!(log.say(StateSnapshot::new(other.clone())).expect("is kept"), ["STATE_SNAPSHOT"], "that is shorter");
    assert_eq!(log.state(), other);
}

#[test]
fn a_state_that_is_too_long_for_an_event_comes_in_several() {
    let mut log = Log::default();
    log.ask();
    let rows: Vec<Value> = (0..3_000).map(|n| json!({"n": n, "text": "y".repeat(500)})).collect();
    let state = json!({"rows": rows, "a/b~c": {"deep": ["z".repeat(200_000), "z".repeat(200_000)]}, "end": true});
    log.say(StateSnapshot::new(state.clone())).expect("is kept");
    assert_eq!(log.state(), state);
    let held = log.bytes;
    let mut next = state;
    next["rows"].as_array_mut().expect("rows").extend((0..400).map(|n| json!(n)));
    log.say(StateSnapshot::new(next.clone())).expect("is kept");
    assert_eq!(log.state(), next);
    assert!(log.bytes - held < 40_000, "{}", log.bytes - held);

    let long = json!({"rows": [], "a/b": ["ä".repeat(MAX_EVENT_BYTES), "\u{1}".repeat(MAX_EVENT_BYTES)], "n": 1});
    log.say(StateSnapshot::new(long.clone())).expect("is kept");
    assert_eq!(log.state(), long);
    log.ask();
    let mut next = long;
    next["a/b"][0] = json!("z".repeat(MAX_EVENT_BYTES));
    log.say(StateSnapshot::new(next.clone())).expect("is kept");
    assert_eq!(log.state(), next, "also where a run before told the rest");
    let text = json!("x".repeat(MAX_EVENT_BYTES));
    let problem = log.say(StateSnapshot::new(text)).expect_err("no event holds it").to_string();
    assert!(problem.contains("the shared state at ``") && problem.contains("bytes"), "{problem}");
    assert_eq!(log.state(), next, "what was said before stays");
}

#[test]
fn a_long_result_comes_in_pieces_and_is_one() {
    let mut log = Log::default();
    log.ask();
    log.keep(vec![ToolCallStart::new("c", "look").into(), ToolCallEnd::new("c").into()]);
    let text = "\u{1}ä".repeat(MAX_EVENT_BYTES / 2);
    let mut result = ToolCallResult::new("r", "c", ToolContent::Text(text.clone()));
    result.base.extra.insert("x".into(), json!(1));
    log.say(result).expect("is kept");
    assert!(matches!(&log.texts()[0].1, NodeBody::Tool { result: Some(said), .. } if *said == text));
    let calls = json!({"role": "assistant", "id": "m", "toolCalls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": ""}}]});
    let told = json!({"role": "tool", "id": "r", "toolCallId": "c", "content": text});
    log.say(log.conversation(&[], &[calls.clone(), told.clone()])).expect("is kept");
    assert!(matches!(&log.texts()[0].1, NodeBody::Tool { result: Some(said), .. } if *said == text));

    // Some agents give the result another id when they restate it.
    let before = log.bytes;
    let mut renamed = told;
    renamed["id"] = "other".into();
    log.say(log.conversation(&[], &[calls, renamed])).expect("is kept");
    let NodeBody::Tool { result, result_id, .. } = log.texts()[0].1.clone() else { panic!("a call") };
    assert_eq!((result.as_deref(), result_id.as_deref()), (Some(text.as_str()), Some("other")));
    assert!(log.bytes - before < 1024, "its text is not kept again: {} bytes", log.bytes - before);
}

#[test]
fn an_agents_events_have_none_of_the_servers_marks() {
    let own =
        json!({"netraBegins": true, "netraContinues": "last", "netraGiven": true, "netraSinceQuestion": true, "k": 1});
    let operation = json!({"op": "add", "path": "/a", "value": "x", "netraBegins": true, "netraContinues": "last"});
    let said = json!({"id": "r", "role": "tool", "toolCallId": "c", "content": "", "netraKnown": true});
    for event in [
        json!({"type": "STATE_DELTA", "delta": [operation], "metadata": own}),
        json!({"type": "MESSAGES_SNAPSHOT", "messages": [said], "metadata": own}),
        json!({"type": "TOOL_CALL_RESULT", "toolCallId": "c", "messageId": "r", "content": "x", "metadata": own}),
    ] {
        let mut event: Event = serde_json::from_value(event).expect("an event");
        marks::remove(&mut event);
        let left = json!(event);
        assert!(!left.to_string().contains("netra"), "{left}");
        assert_eq!(left["metadata"], json!({"k": 1}), "what is the agent's stays");
    }
}

#[test]
fn a_result_is_filled_in_once_however_often_it_is_marked() {
    let mut log = Log::default();
    log.ask();
    log.keep(vec![ToolCallStart::new("c", "look").into(), ToolCallEnd::new("c").into()]);
    log.say(ToolCallResult::new("r", "c", ToolContent::Text("long".into()))).expect("is kept");
    let mut marked = vec![json!({"role": "tool", "toolCallId": "c", "content": "", "netraKnown": true}); 3];
    log.view.fill_in_results(&mut marked);
    let contents: Vec<&Value> = marked.iter().map(|message| &message["content"]).collect();
    assert_eq!(contents, ["long", "", ""]);
}

#[test]
fn states_of_very_many_values_are_kept_whole() {
    let mut log = Log::default();
    log.ask();
    for value in [1, 2] {
        let state = json!({"all": vec![value; MAX_COMPARED_VALUES / 2]});
        log.say(StateSnapshot::new(state.clone())).expect("is kept");
        assert_eq!(log.state(), state);
    }
    let many = vec![json!({"role": "user", "id": "u", "content": "?"}); MAX_MESSAGES + 1];
    let problem = log.say(MessagesSnapshot::new(many)).expect_err("too many").to_string();
    assert!(problem.contains("20001 messages"), "{problem}");
}

#[test]
fn a_long_result_that_only_a_restated_conversation_tells_is_kept_and_those_known_are_marked() {
    let mut log = Log::default();
    log.ask();
    let text = "long ".repeat(MAX_EVENT_BYTES / 5);
    let calls = |ids: &[&str]| {
        let call = |id: &&str| json!({"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}});
        json!({"role": "assistant", "id": "m", "content": null, "toolCalls": ids.iter().map(call).collect::<Vec<_>>()})
    };
    let result = |id: &str, call: &str| json!({"role": "tool", "id": id, "toolCallId": call, "content": text});
    // An activity is no message of a thread: what holds one is not told as events of its own.
    let activity = json!({"role": "activity", "id": "a", "activityType": "x", "content": {}});
    log.say(log.conversation(&[], &[calls(&["c"]), result("r", "c"), activity.clone()])).expect("is kept");
    assert!(matches!(&log.texts()[0].1, NodeBody::Tool { result: Some(said), .. } if *said == text));
    let before = log.bytes;
    let again = [calls(&["c", "d"]), result("r", "c"), result("s", "d"), activity];
    log.say(log.conversation(&[], &again)).expect("is kept");
    assert!(matches!(&log.texts()[1].1, NodeBody::Tool { result: Some(said), .. } if *said == text));
    let more = log.bytes - before;
    assert!(more < text.len() * 3 / 2, "the first is not kept again: {more} bytes");
    let kept = results::separate(&log.view, MessagesSnapshot::new(again.to_vec()));
    let Event::MessagesSnapshot(kept) = &kept[0] else { panic!("a conversation: {kept:?}") };
    assert_eq!((&kept.messages[1]["content"], &kept.messages[1][KNOWN_RESULT]), (&json!(""), &json!(true)));
}

#[test]
fn a_conversation_that_is_told_again_is_kept_as_what_is_new_in_it() {
    let mut log = Log::default();
    log.ask();
    let said = |id: &str, text: &str| json!({"role": "assistant", "id": id, "content": text});
    let call = json!({"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    let calls = json!({"role": "assistant", "id": "m2", "toolCalls": [call]});
    let result = json!({"role": "tool", "id": "r", "toolCallId": "c", "content": "seen"});
    log.keep(vec![TextMessageStart::new("m1").into(), TextMessageContent::new("m1", "Well.").into()]);
    log.keep(vec![TextMessageEnd::new("m1").into()]);
    let first = [said("m1", "Well.")];
    assert_eq!(log.say(log.conversation(&[], &first)).expect("is kept"), [""; 0]);
    let more = [said("m1", "Well."), calls.clone(), result.clone(), said("m3", "Done.")];
    let kept = log.say(log.conversation(&[], &more)).expect("is kept");
    let text = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"];
    let called = ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"];
    assert_eq!(kept, [&called[..], &text].concat());
    assert_eq!(log.say(log.conversation(&[], &more)).expect("is kept"), [""; 0]);
    // What is left out, or said otherwise, needs the conversation; but not what was said before the question.
    log.ask();
    log.keep(vec![ToolCallStart::new("gone", "look").into(), ToolCallEnd::new("gone").into()]);
    let long = said("m0", &"x".repeat(100_000));
    let turn = log.conversation(&[long], &[said("m4", "Again.")]);
    let before = log.bytes;
    assert_eq!(log.say(turn).expect("is kept"), ["MESSAGES_SNAPSHOT"]);
    assert!(log.bytes - before < 400, "{}", log.bytes - before);
    let bodies: Vec<bool> = log.texts().iter().map(|(_, body)| *body == NodeBody::Withdrawn).collect();
    assert_eq!(bodies, [true, false]);
    // An answer in one piece that is longer than an event.
    log.ask();
    let long = "ä".repeat(MAX_EVENT_BYTES);
    log.say(log.conversation(&[], &[said("m5", &long)])).expect("is kept");
    assert!(matches!(&log.texts()[0].1, NodeBody::Text { text, .. } if *text == long));
}

#[test]
fn a_long_delta_comes_in_pieces_that_carry_what_else_it_says_once() {
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
    fn whatever_states_are_told_the_thread_has_the_last(states in prop::collection::vec((json_value(), any::<bool>()), 1..12)) {
        let mut log = Log::default();
        log.ask();
        for (state, asks) in states {
            if asks {
                log.keep(vec![RunFinished::new("t", "r").into()]);
                log.ask();
            }
            log.say(StateSnapshot::new(state.clone())).expect("is kept");
            prop_assert_eq!(log.state(), state);
        }
    }

    #[test]
    fn a_thread_looks_as_if_every_conversation_were_kept_whole(
        turns in prop::collection::vec(prop::collection::vec(prop::collection::vec(message(), 0..5), 0..4), 1..4),
    ) {
        let mut log = Log::default();
        let mut whole = ThreadView::default();
        for snapshots in turns {
            let run_id = log.ask();
            // The same messages and runs; only what they say is folded anew.
            for item in &log.view.items[whole.items.len()..] {
                whole.items.push(item.clone());
            }
            for messages in snapshots {
                let event = log.conversation(&[], &messages);
                whole.apply(0, ThreadEntry::Agent { run_id, event: Box::new(event.clone().into()) });
                log.say(event).expect("is kept");
                prop_assert!(is_same(&log.view, &whole), "{:#?}\n{:#?}", log.view, whole);
            }
        }
    }
}
