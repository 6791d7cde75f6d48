//! Tests of the reducer: a snapshot plus the tail equals the full replay, and a run's end closes everything in it.

use proptest::prelude::*;

use super::*;
use crate::protocol::{
    Author, MessageId, Rating, RunAnswer, RunFeedback, RunId, ThreadEntry, ThreadId, UserId, UserMessage, agui::*,
    extensions::AFTER_CANCELLATION,
};

/// Any event. There are few ids, so that starts, deltas and ends of the same node occur in every order.
fn event() -> impl Strategy<Value = Event> {
    let id = prop::sample::select(vec!["a", "b", "c"]);
    let sub = prop::option::of(prop::sample::select(vec!["s", "t"]));
    (0..30u8, id, sub, "[a-z]{0,3}").prop_map(|(kind, id, sub, text)| {
        let event: Event = match kind {
            0 => TextMessageStart::new(id).into(),
            1 | 2 => TextMessageContent::new(id, text).into(),
            3 => TextMessageEnd::new(id).into(),
            4 => ToolCallStart::new(id, text).into(),
            5 => ToolCallArgs::new(id, text).into(),
            6 => ToolCallEnd::new(id).into(),
            7 => ToolCallResult::new(text, id, ToolContent::Text("r".into())).into(),
            8 => StepStarted::new(id).into(),
            9 => StepFinished::new(id).into(),
            10 => ReasoningStart::new(id).into(),
            11 => ReasoningMessageStart::new(id, ReasoningRole::Reasoning).into(),
            12 => ReasoningMessageContent::new(id, text).into(),
            13 => ReasoningMessageEnd::new(id).into(),
            14 => ReasoningEnd::new(id).into(),
            15 => SubagentStarted::new(id, text).into(),
            16 => SubagentFinished::new(id).into(),
            17 => SubagentError::new(id, text).into(),
            18 => TextMessageChunk { message_id: Some(id.into()), delta: Some(text), ..TextMessageChunk::new() }.into(),
            19 => Custom::new(id, serde_json::json!({"v": text})).into(),
            20 => RunStarted::new(id, id).into(),
            21 => StateDelta::new(vec![serde_json::json!({"op": "add", "path": "/a", "value": text})]).into(),
            22 => ActivitySnapshot::new(id, "plan", serde_json::Map::new()).into(),
            23 => {
                let step = serde_json::json!({"op": "add", "path": format!("/{id}"), "value": text});
                ActivityDelta::new(id, "plan", vec![step]).into()
            }
            24 => {
                let call =
                    serde_json::json!({"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}});
                let said = serde_json::json!(
                    {"role": "assistant", "id": id, "content": text, "toolCalls": [call], "encryptedValue": text}
                );
                let mut messages = vec![serde_json::json!({"role": "user", "id": "u", "content": "?"}), said];
                if text.len() > 1 {
                    let thought = serde_json::json!({"role": "reasoning", "id": text, "content": text});
                    let result = serde_json::json!({"role": "tool", "id": "r", "toolCallId": "b", "content": text});
                    messages.extend([thought, result]);
                }
                MessagesSnapshot::new(messages).into()
            }
            25 => ReasoningEncryptedValue::new(EncryptedSubtype::Message, id, text).into(),
            26 => ReasoningEncryptedValue::new(EncryptedSubtype::ToolCall, id, text).into(),
            27 => {
                let name = Some("f".into());
                let chunk =
                    ToolCallChunk { tool_call_id: Some(id.into()), tool_call_name: name, ..ToolCallChunk::new() };
                ToolCallChunk { delta: Some(text), ..chunk }.into()
            }
            28 => ToolCallChunk { delta: Some(text), ..ToolCallChunk::new() }.into(),
            _ => StateSnapshot::new(serde_json::json!(text)).into(),
        };
        event.with_subagent(sub)
    })
}

fn log() -> impl Strategy<Value = Vec<ThreadEntry>> {
    let (runs, messages) = ([(); 4].map(|()| RunId::new()), [(); 3].map(|()| MessageId::new()));
    let author = Author { id: UserId::new(), name: "Ada".into() };
    let other = prop::option::of(prop::sample::select(messages.to_vec()));
    let entry = (event(), 0..4usize, 0..14u8, other).prop_map(move |(event, index, kind, other)| match kind {
        0 | 1 => {
            let (id, run_id) = (messages[index % 3], runs[index]);
            let mut message = UserMessage { id, ..UserMessage::new(author.clone(), "?", run_id, "a") };
            if kind == 0 {
                message.after = other
            } else {
                message.replaces = other
            }
            ThreadEntry::Message { message }
        }
        2 => ThreadEntry::TakenBack { message_id: messages[index % 3] },
        3 => ThreadEntry::Answer {
            answer: RunAnswer {
                id: messages[index % 3],
                run_id: runs[index],
                resumed_by: runs[(index + 1) % 4],
                agent: "a".into(),
                author: author.clone(),
                answers: Vec::new(),
            },
        },
        4 => {
            let call = ["a", "b", "c", "d"][index];
            let interrupt = serde_json::json!({"id": "i", "reason": "tool_call", "toolCallId": call});
            let interrupt = serde_json::from_value(interrupt);
            let outcome = RunOutcome::Interrupt { interrupts: vec![interrupt.expect("an interrupt")] };
            let event = RunFinished { outcome: Some(outcome), ..RunFinished::new("t", "r") };
            ThreadEntry::Agent { run_id: runs[index], event: Box::new(event.into()) }
        }
        5 => {
            let rating = [None, Some(Rating::Good), Some(Rating::Bad)][index % 3];
            ThreadEntry::Feedback { run_id: runs[index], feedback: RunFeedback { rating, note: String::new() } }
        }
        6 => queued_tests::entry(messages[index % 3], other, (runs[index], index)),
        _ => ThreadEntry::Agent { run_id: runs[index], event: Box::new(event) },
    });
    prop::collection::vec(entry, 0..60)
}

fn fold(mut view: ThreadView, from: usize, entries: &[ThreadEntry]) -> ThreadView {
    for (at, entry) in entries.iter().enumerate().skip(from) {
        view.apply(at as i64, entry.clone());
    }
    view
}

proptest! {
    #[test]
    fn a_snapshot_and_the_tail_equal_the_whole_replay(entries in log(), cut in 0..60usize) {
        let cut = cut.min(entries.len());
        let prefix = fold(ThreadView::default(), 0, &entries[..cut]);
        let sent = serde_json::to_string(&prefix).expect("the value is serialized");
        let snapshot: ThreadView = serde_json::from_str(&sent).expect("the JSON has this type");
        prop_assert_eq!(&snapshot, &prefix);
        let whole = fold(ThreadView::default(), 0, &entries);
        let seen = fold(snapshot.clone().without_encrypted_values(), cut, &entries);
        prop_assert_eq!(&fold(snapshot, cut, &entries), &whole);
        prop_assert_eq!(seen.without_encrypted_values(), whole.without_encrypted_values(), "also without the encrypted values, which people are not sent");
    }

    #[test]
    fn a_compacted_log_folds_into_the_same_view(entries in log()) {
        let mut compactor = Compactor::default();
        for (seq, entry) in (0..).zip(&entries) {
            compactor.read(seq, entry.clone());
        }
        let (deleted, replaced) = compactor.finish();
        let mut view = ThreadView::default();
        for (seq, entry) in (0..).zip(&entries).filter(|(seq, _)| !deleted.contains(seq)) {
            let entry = replaced.iter().find(|(at, _)| *at == seq).map_or(entry, |(_, entry)| entry);
            view.apply(seq as i64, entry.clone());
        }
        prop_assert_eq!(view, fold(ThreadView::default(), 0, &entries));
    }

    #[test]
    fn the_closing_events_close_everything_and_the_last_is_terminal(entries in log(), stopped in any::<bool>()) {
        let mut view = fold(ThreadView::default(), 0, &entries);
        let thread = ThreadId::new();
        let kind = if stopped { EndKind::Cancelled } else { EndKind::Failed { message: "gone".into(), code: "lost".into() } };
        let runs: Vec<RunView> = view.active_runs().cloned().collect();
        for run in runs {
            let events = run.closing_events(thread, &kind.clone().into());
            let (last, closing) = events.split_last().expect("at least the terminal event");
            prop_assert!(matches!(last, Event::RunFinished(_) | Event::RunError(_)));
            for event in closing {
                view.apply(99, ThreadEntry::Agent { run_id: run.run_id, event: Box::new(event.clone()) });
            }
            let open = view.run(run.run_id).expect("the run is in the view").nodes.iter().filter(|n| n.state == NodeState::Open && !n.chunked).count();
            prop_assert_eq!(open, 0, "the events before the terminal one close everything");
            view.apply(99, ThreadEntry::Agent { run_id: run.run_id, event: Box::new(last.clone()) });
            prop_assert!(view.run(run.run_id).expect("the run is in the view").state.is_over());
        }
    }
}

#[test]
fn ten_thousand_deltas_of_one_message_become_one() {
    let run_id = RunId::new();
    let mut compactor = Compactor::default();
    for seq in 0..10_000 {
        let event = TextMessageContent::new("a", "x");
        compactor.read(seq, ThreadEntry::Agent { run_id, event: Box::new(event.into()) });
    }
    let (deleted, replaced) = compactor.finish();
    assert_eq!(deleted, (1..10_000).collect::<Vec<u64>>());
    let event = Box::new(TextMessageContent::new("a", "x".repeat(10_000)).into());
    assert_eq!(replaced, [(0, ThreadEntry::Agent { run_id, event })]);
}

#[test]
fn nodes_that_are_open_during_a_snapshot_are_closed_by_their_own_end_events() {
    let run_id = RunId::new();
    let call = serde_json::json!({"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    let said = serde_json::json!({"role": "assistant", "id": "m", "content": "Well", "toolCalls": [call]});
    let chunk =
        |id: &str| TextMessageChunk { message_id: Some(id.into()), delta: Some("!".into()), ..TextMessageChunk::new() };
    let events: Vec<Event> = vec![
        chunk("over").into(),
        TextMessageStart::new("left out").into(),
        TextMessageStart::new("m").into(),
        ToolCallStart::new("c", "look").into(),
        MessagesSnapshot::new(vec![said]).into(),
    ];
    let mut entries: Vec<_> = events.into_iter().map(|e| ThreadEntry::Agent { run_id, event: Box::new(e) }).collect();
    let states = |entries: &[ThreadEntry]| -> Vec<(NodeBody, NodeState)> {
        let view = fold(ThreadView::default(), 0, entries);
        view.run(run_id).expect("the run").nodes.iter().map(|node| (node.body.clone(), node.state)).collect()
    };
    let (open, done) = (NodeState::Open, NodeState::Done);
    let expected = [(true, done), (false, open), (false, open), (false, open)];
    let now: Vec<_> = states(&entries).iter().map(|(body, state)| (*body == NodeBody::Withdrawn, *state)).collect();
    assert_eq!(now, expected);
    for event in [ToolCallEnd::new("c").into(), TextMessageContent::new("m", ", no").into()] {
        entries.push(ThreadEntry::Agent { run_id, event: Box::new(event) });
    }
    let now = states(&entries);
    assert_eq!(now[2].0, NodeBody::Text { role: TextRole::Assistant, text: "Well, no".into() });
    assert_eq!(now[3].1, NodeState::Called);
}

#[test]
fn deltas_of_interleaved_messages_go_to_their_own_message() {
    let run_id = RunId::new();
    let events: Vec<Event> = vec![
        TextMessageStart::new("a").into(),
        TextMessageStart::new("b").into(),
        TextMessageContent::new("a", "1").into(),
        TextMessageContent::new("b", "2").into(),
        TextMessageEnd::new("a").into(),
        TextMessageContent::new("b", "3").into(),
    ];
    let entries: Vec<_> = events.into_iter().map(|e| ThreadEntry::Agent { run_id, event: Box::new(e) }).collect();
    let view = fold(ThreadView::default(), 0, &entries);
    let run = view.run(run_id).expect("the run");
    let texts: Vec<_> = run.nodes.iter().map(|n| (n.body.clone(), n.state)).collect();
    let text = |t: &str| NodeBody::Text { role: TextRole::Assistant, text: t.into() };
    assert_eq!(texts, [(text("1"), NodeState::Done), (text("23"), NodeState::Open)]);
}

#[test]
fn open_steps_and_calls_of_a_failed_or_stopped_run_are_marked_failed() {
    let run_id = RunId::new();
    let failed = EndKind::Failed { message: "gone".into(), code: "lost".into() };
    for (kind, expected) in [
        (failed, NodeState::Failed),
        (EndKind::Cancelled, NodeState::Failed),
        (EndKind::Finished { result: None, pending: Vec::new() }, NodeState::Done),
    ] {
        let events: Vec<Event> = vec![
            StepStarted::new("over").into(),
            StepFinished::new("over").into(),
            StepStarted::new("open").into(),
            ToolCallStart::new("c", "look").into(),
        ];
        let entries: Vec<_> = events.into_iter().map(|e| ThreadEntry::Agent { run_id, event: Box::new(e) }).collect();
        let mut view = fold(ThreadView::default(), 0, &entries);
        let events = view.run(run_id).expect("the run").closing_events(ThreadId::new(), &kind.into());
        for event in events {
            view.apply(9, ThreadEntry::Agent { run_id, event: Box::new(event) });
        }
        let states: Vec<_> = view.run(run_id).expect("the run").nodes.iter().map(|node| node.state).collect();
        assert_eq!(states, [NodeState::Done, expected, expected]);
    }
}

/// The entries of a thread in which a run was interrupted and answered, and its two runs.
fn answered(interrupt: serde_json::Value, first: Vec<Event>) -> (Vec<ThreadEntry>, [RunId; 2]) {
    let runs = [RunId::new(), RunId::new()];
    let author = Author { id: UserId::new(), name: "Ada".into() };
    let message = UserMessage::new(author.clone(), "Send it", runs[0], "a");
    let interrupts = vec![serde_json::from_value(interrupt).expect("an interrupt")];
    let outcome = Some(RunOutcome::Interrupt { interrupts });
    let end: Event = RunFinished { outcome, ..RunFinished::new("t", "r") }.into();
    let entry = |event: Event| ThreadEntry::Agent { run_id: runs[0], event: Box::new(event) };
    let mut entries = vec![ThreadEntry::Message { message }, entry(RunStarted::new("t", "r").into())];
    entries.extend(first.into_iter().chain([end]).map(entry));
    let [run_id, resumed_by] = runs;
    let answer = RunAnswer { id: MessageId::new(), run_id, resumed_by, agent: "a".into(), author, answers: Vec::new() };
    entries.push(ThreadEntry::Answer { answer });
    (entries, runs)
}

fn entries_of(run_id: RunId, events: Vec<Event>) -> Vec<ThreadEntry> {
    events.into_iter().map(|event| ThreadEntry::Agent { run_id, event: Box::new(event) }).collect()
}

/// The calls of a run: id, arguments, result.
fn calls_in(view: &ThreadView, run_id: RunId) -> Vec<(String, String, Option<String>)> {
    let run = view.run(run_id).expect("the run");
    let call = |node: &std::sync::Arc<Node>| match &node.body {
        NodeBody::Tool { args, result, .. } => Some((node.id.clone(), args.clone(), result.clone())),
        _ => None,
    };
    run.nodes.iter().filter_map(call).collect()
}

fn call(id: &str, args: &str) -> Vec<Event> {
    vec![ToolCallStart::new(id, "send").into(), ToolCallArgs::new(id, args).into(), ToolCallEnd::new(id).into()]
}

#[test]
fn a_call_that_the_resuming_run_announces_again_is_the_same_call() {
    let asked = serde_json::json!({"id": "i", "reason": "tool_call", "toolCallId": "c"});
    let (mut entries, [first, second]) = answered(asked, call("c", r#"{"to":"bob"}"#));
    let result = ToolCallResult::new("m", "c", ToolContent::Text("sent".into()));
    let again = call("c", r#"{"to":"eve"}"#).into_iter().chain([result.clone().into(), result.into()]);
    entries.extend(entries_of(second, again.collect()));
    let view = fold(ThreadView::default(), 0, &entries);
    let expected = ("c".to_owned(), r#"{"to":"eve"}"#.to_owned(), Some("sent".to_owned()));
    assert_eq!((calls_in(&view, first), calls_in(&view, second)), (vec![expected], Vec::new()));
    assert_eq!(view.run(first).expect("the run").nodes[0].state, NodeState::Done);

    // The call comes again in chunks after its result: it is still the same call and keeps the result.
    let chunk = |id: Option<&str>, delta: &str| ToolCallChunk {
        tool_call_id: id.map(str::to_owned),
        tool_call_name: id.map(|_| "send".to_owned()),
        delta: Some(delta.into()),
        ..ToolCallChunk::new()
    };
    entries.extend(entries_of(second, vec![chunk(Some("c"), "{").into(), chunk(None, "}").into()]));
    let view = fold(ThreadView::default(), 0, &entries);
    let expected = ("c".to_owned(), "{}".to_owned(), Some("sent".to_owned()));
    assert_eq!((calls_in(&view, first), calls_in(&view, second)), (vec![expected], Vec::new()));
    assert_eq!(view.run(first).expect("the run").nodes[0].state, NodeState::Open);
    entries.extend(entries_of(second, vec![RunFinished::new("t", "r").into()]));
    let view = fold(ThreadView::default(), 0, &entries);
    assert_eq!(view.run(first).expect("the run").nodes[0].state, NodeState::Done, "chunks end with their run");

    // The history has one call and one result.
    let history = serde_json::to_value(view.history(RunId::new())).expect("the value is serialized");
    let said: Vec<&str> = history.as_array().expect("messages").iter().filter_map(|m| m["role"].as_str()).collect();
    assert_eq!(said, ["user", "assistant", "tool"]);
}

#[test]
fn the_same_id_in_another_turn_is_another_call() {
    let asked = serde_json::json!({"id": "i", "reason": "tool_call", "toolCallId": "c"});
    let (mut entries, [first, second]) = answered(asked, call("c", "{}"));
    let result = || -> Event { ToolCallResult::new("m", "c", ToolContent::Text("sent".into())).into() };
    entries.extend(entries_of(second, vec![result()]));
    let third = RunId::new();
    let ThreadEntry::Message { message } = entries[0].clone() else { unreachable!("a message") };
    let message = UserMessage { id: MessageId::new(), run_id: third, ..message };
    entries.push(ThreadEntry::Message { message });
    entries.extend(entries_of(third, call("c", "[]").into_iter().chain([result()]).collect()));
    let view = fold(ThreadView::default(), 0, &entries);
    let sent = |args: &str| ("c".to_owned(), args.to_owned(), Some("sent".to_owned()));
    assert_eq!((calls_in(&view, first), calls_in(&view, third)), (vec![sent("{}")], vec![sent("[]")]));
}

#[test]
fn a_call_that_only_an_interrupt_describes_is_shown_with_its_result() {
    let asked = serde_json::json!({
        "id": "i", "reason": "tool_call", "toolCallId": "c", "metadata": {"toolName": "send", "args": {"to": "bob"}}
    });
    let (mut entries, [first, second]) = answered(asked, Vec::new());
    entries.extend(entries_of(second, vec![ToolCallResult::new("m", "c", ToolContent::Text("sent".into())).into()]));
    let view = fold(ThreadView::default(), 0, &entries);
    let expected = ("c".to_owned(), r#"{"to":"bob"}"#.to_owned(), Some("sent".to_owned()));
    assert_eq!(calls_in(&view, first), [expected]);
    let history = serde_json::to_value(view.history(RunId::new())).expect("the value is serialized");
    assert_eq!(history[1]["toolCalls"][0]["function"]["name"], "send");
    assert_eq!(history[2]["content"], "sent");
}

#[test]
fn an_agent_cannot_change_the_calls_of_another() {
    let asked = serde_json::json!({"id": "i", "reason": "tool_call", "toolCallId": "c"});
    let (mut entries, [first, _]) = answered(asked, call("c", "{}"));
    entries.pop();
    let ThreadEntry::Message { message } = entries[0].clone() else { unreachable!("a message") };
    let others = RunId::new();
    let message = UserMessage { id: MessageId::new(), run_id: others, agent: "b".into(), ..message };
    entries.push(ThreadEntry::Message { message });
    let result = ToolCallResult::new("m", "c", ToolContent::Text("forged".into()));
    entries.extend(entries_of(others, [vec![result.clone().into()], call("c", "[]"), vec![result.into()]].concat()));
    let view = fold(ThreadView::default(), 0, &entries);
    assert_eq!(calls_in(&view, first), [("c".to_owned(), "{}".to_owned(), None)]);
    assert_eq!(calls_in(&view, others), [("c".to_owned(), "[]".to_owned(), Some("forged".to_owned()))]);
}

#[test]
fn a_call_with_the_id_of_a_cancelled_one_is_a_new_call_once_the_agent_has_the_new_message() {
    let asked = serde_json::json!({"id": "i", "reason": "tool_call", "toolCallId": "c"});
    let (mut entries, [first, _]) = answered(asked, call("c", "{}"));
    entries.pop();
    let ThreadEntry::Message { message } = entries[0].clone() else { unreachable!("a message") };
    let next = RunId::new();
    let message = UserMessage { id: MessageId::new(), run_id: next, ..message };
    entries.push(ThreadEntry::Message { message });
    let again = fold(ThreadView::default(), 0, &[entries.clone(), entries_of(next, call("c", "[1]"))].concat());
    assert_eq!(
        (calls_in(&again, first)[0].1.as_str(), calls_in(&again, next)),
        ("[1]", Vec::new()),
        "it announces the cancelled call again"
    );
    let mut begins: Event = ToolCallStart::new("c", "send").into();
    begins.base_mut().metadata.get_or_insert_default().insert(AFTER_CANCELLATION.into(), true.into());
    let rest: Vec<Event> = vec![ToolCallArgs::new("c", "[2]").into(), ToolCallEnd::new("c").into()];
    entries.extend(entries_of(next, [vec![begins], rest].concat()));
    let view = fold(ThreadView::default(), 0, &entries);
    assert_eq!((calls_in(&view, first)[0].1.as_str(), calls_in(&view, next)[0].1.as_str()), ("{}", "[2]"));
}
