use serde_json::{Value, json};

use super::*;

fn started() -> Value {
    json!({"type": "RUN_STARTED", "threadId": "t", "runId": "r"})
}

fn finished() -> Value {
    json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "result": {"n": 1}, "usage": [{"inputTokens": 3}]})
}

fn text(kind: &str) -> Value {
    json!({"type": format!("TEXT_MESSAGE_{kind}"), "messageId": "m"})
}

fn failed() -> Value {
    json!({"type": "RUN_ERROR", "message": "no luck", "code": "luck", "usage": [{"outputTokens": 2}]})
}

/// The events that a strict check of a stream passes on, and how it ends.
fn read_strict(sent: &[Value]) -> (Vec<Event>, Result<RunFinished, Failure>) {
    read(Rules { strict: true, ..RULES }, sent)
}

const RULES: Rules =
    Rules { max_events: 10, max_event_bytes: 1_024, keep_raw: true, confirm_pending_calls: false, strict: false };

fn read(rules: Rules, sent: &[Value]) -> (Vec<Event>, Result<RunFinished, Failure>) {
    let (mut state, mut events) = (StreamState::new("t".into(), "r".into(), rules), Vec::new());
    for value in sent {
        match state.on_event(&value.to_string()) {
            Ok(event) => events.extend(event),
            Err(failure) => return (events, Err(failure)),
        }
    }
    (events, state.end())
}

#[test]
fn events_between_start_and_end_are_passed_on_unchanged() {
    let content = json!({
        "type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "a", "timestamp": 7, "metadata": {"k": null}, "vendor": [0.1, null],
    });
    let (events, end) = read_strict(&[started(), text("START"), content.clone(), text("END"), finished()]);
    let wire: Vec<Value> =
        events.iter().map(|event| serde_json::to_value(event).expect("the value is serialized")).collect();
    assert_eq!(wire, [text("START"), content, text("END")]);
    let end = end.expect("the run finished");
    assert_eq!((end.result, end.usage.expect("usage")[0].input_tokens), (Some(json!({"n": 1})), Some(3)));
}

#[test]
fn every_violation_has_a_code_and_a_message() {
    let violation = "protocol_violation";
    let cases: Vec<(Vec<Value>, &str, &str)> = vec![
        (vec![], "stream_cut", "ended before a run started"),
        (vec![started(), text("START")], "stream_cut", "ended before the run did"),
        (vec![text("START")], violation, "TEXT_MESSAGE_START: the first event is RUN_STARTED or RUN_ERROR"),
        (vec![finished()], violation, "RUN_FINISHED: the first event is RUN_STARTED"),
        (vec![started(), started()], violation, "RUN_STARTED: a run does not begin again"),
        (
            vec![started(), text("END")],
            violation,
            "TEXT_MESSAGE_END: the text message `m` has not started or has ended",
        ),
        (vec![started(), text("START"), finished()], violation, "RUN_FINISHED: the text message `m` is still open"),
        (vec![started(), finished(), text("START")], violation, "after RUN_FINISHED comes a new RUN_STARTED"),
        (vec![started(), finished(), finished()], violation, "RUN_FINISHED: after RUN_FINISHED"),
        (vec![started(), json!([])], "malformed_event", "it is not a JSON object"),
        (vec![failed()], "luck", "no luck"),
        (vec![started(), text("START"), failed()], "luck", "no luck"),
        (vec![started(), finished(), failed()], "luck", "no luck"),
        (vec![json!({"type": "RUN_ERROR", "message": "alas"})], "agent_error", "alas"),
        (
            std::iter::once(started()).chain((0..10).map(|_| json!({"type": "RAW", "event": 1}))).collect(),
            "too_many_events",
            "10 events",
        ),
    ];
    for (sent, code, message) in cases {
        let failure = read_strict(&sent).1.expect_err(message);
        let reported = failure.run_error.as_ref().and_then(|error| error.code.as_deref());
        assert_eq!(reported.unwrap_or(failure.code), code, "{sent:?}");
        assert!(failure.message.contains(message), "`{}` should say `{message}`", failure.message);
    }
    let error = read_strict(&[failed()]).1.expect_err("failed").run_error.expect("the RUN_ERROR");
    assert_eq!(error.usage.expect("usage")[0].output_tokens, Some(2));
}

#[test]
fn start_and_end_may_have_the_frameworks_own_ids() {
    let own = |kind: &str| json!({"type": kind, "threadId": "its own", "runId": "its own"});
    assert!(read_strict(&[own("RUN_STARTED"), own("RUN_FINISHED")]).1.is_ok());
}

#[test]
fn several_runs_in_a_stream_count_as_one_that_ends_as_the_last_does() {
    let another = [started(), finished(), started(), text("START")];
    let (events, end) = read_strict(&[&another[..], &[failed()]].concat());
    assert_eq!((events.len(), end.expect_err("failed").message.contains("no luck")), (1, true));
    let (events, end) = read_strict(&another);
    assert_eq!((events.len(), end.expect_err("cut").code), (1, "stream_cut"));
    let last = json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "usage": [{"inputTokens": 4}]});
    let (events, end) = read_strict(&[&another[..], &[text("END"), last]].concat());
    let end = end.expect("the run finished");
    let tokens: Vec<_> = end.usage.into_iter().flatten().map(|usage| usage.input_tokens).collect();
    assert_eq!((events.len(), end.result, tokens), (2, None, vec![Some(3), Some(4)]));
}

#[test]
fn unknown_events_and_outcomes_fail_no_run() {
    let (vendor, stray) = (json!({"type": "VENDOR_PROGRESS", "pct": 5}), json!({"type": "THINKING_END"}));
    let mut end = finished();
    end["outcome"] = json!({"type": "deferred"});
    let (events, ended) =
        read_strict(&[stray.clone(), started(), text("START"), vendor.clone(), text("END"), end, stray]);
    let wire: Vec<Value> =
        events.iter().map(|event| serde_json::to_value(event).expect("the value is serialized")).collect();
    let raw = json!({"type": "RAW", "event": vendor, "source": "unknown AG-UI event"});
    assert_eq!(wire, [text("START"), raw, text("END")]);
    assert_eq!(ended.expect("the run finished").outcome, None);
    let own = json!({"type": "RAW", "event": vendor, "source": "it"});
    assert!(read_strict(&[own]).1.expect_err("too early").message.contains("the first event is RUN_STARTED"));
}

/// Checks that streams are accepted and refused as by AG-UI's own client; returns the number of streams.
fn check_verdicts(variable: &str, file: &str) -> usize {
    let file = std::env::var(variable).unwrap_or(format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR")));
    let text = std::fs::read_to_string(file).expect("the file is read");
    let different = text.lines().filter_map(|line| {
        let stream: Value = serde_json::from_str(line).expect("JSON");
        let mut state = StreamState::new(
            "t".into(),
            "r".into(),
            Rules { max_events: 1_000, max_event_bytes: 4_096, strict: true, ..RULES },
        );
        let events = stream["events"].as_array().expect("events").iter();
        let ours = events.enumerate().find_map(|(at, event)| Some((at, state.on_event(&event.to_string()).err()?)));
        let same = ours.as_ref().map(|(at, _)| *at as u64) == stream["at"].as_u64();
        (!same).then(|| format!("{:?}, expected: {line}", ours.map(|(at, failure)| (at, failure.message))))
    });
    let different: Vec<String> = different.collect();
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    text.lines().count()
}

#[test]
fn orders_of_events_are_accepted_and_refused_as_by_ag_uis_own_client() {
    assert!(check_verdicts("NETRA_VERDICTS", "verdicts.jsonl") >= 200);
}

#[test]
fn fields_are_accepted_and_refused_as_by_ag_uis_own_client() {
    assert!(check_verdicts("NETRA_FIELDS", "fields.jsonl") >= 300);
}

#[test]
fn repeated_and_missing_ends_fail_a_run_only_if_the_rules_are_strict() {
    let end = |kind: &str, id: &str| json!({"type": kind, "toolCallId": id});
    let start = json!({"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "look"});
    let tolerated = [
        vec![started(), start.clone(), end("TOOL_CALL_END", "c"), end("TOOL_CALL_END", "c"), finished()],
        vec![started(), start.clone(), finished()],
    ];
    for sent in tolerated {
        assert!(read(Rules { strict: true, ..RULES }, &sent).1.is_err(), "{sent:?}");
        let (events, ended) = read(RULES, &sent);
        assert!(ended.is_ok(), "{sent:?}");
        assert_eq!(events.iter().filter(|event| matches!(event, Event::ToolCallStart(_))).count(), 1);
        assert!(events.iter().filter(|event| matches!(event, Event::ToolCallEnd(_))).count() <= 1);
    }
    let step = |kind: &str| json!({"type": kind, "stepName": "s"});
    let twice = vec![started(), step("STEP_STARTED"), step("STEP_FINISHED"), step("STEP_FINISHED"), finished()];
    assert!(read(RULES, &twice).1.is_ok());
    // The end of an unknown call and a repeated start are never tolerated.
    let unknown = vec![started(), end("TOOL_CALL_END", "never started"), finished()];
    let again = vec![started(), start.clone(), start, end("TOOL_CALL_END", "c"), finished()];
    for sent in [unknown, again] {
        assert_eq!(read(RULES, &sent).1.expect_err("a refusal").code, "protocol_violation");
    }
}

#[test]
fn raw_events_are_kept_only_if_configured() {
    let sent = [started(), json!({"type": "RAW", "event": {"large": "x".repeat(2_000)}}), finished()];
    let (events, ended) = read(Rules { keep_raw: false, ..RULES }, &sent);
    assert!(events.is_empty() && ended.is_ok());
    let delta = json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "a", "rawEvent": {"large": "x".repeat(2_000)}});
    let (events, ended) =
        read(Rules { keep_raw: false, ..RULES }, &[started(), text("START"), delta, text("END"), finished()]);
    assert!(ended.is_ok() && events.iter().all(|event| event.base().raw_event.is_none()));
    assert!(events[1].delta_key().is_some(), "it can be merged with other deltas");
    assert_eq!(read(RULES, &sent).1.expect_err("its size").code, "event_too_large");
}

#[test]
fn a_run_with_interrupts_in_custom_events_is_interrupted() {
    let question = json!({"type": "CUSTOM", "name": "on_interrupt", "value": "Send it?", "rawEvent": {"id": "i"}});
    let end = json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r"});
    let (events, ended) = read_strict(&[started(), question.clone(), end]);
    assert!(matches!(events[..], [Event::Custom(_)]), "front ends get the event too");
    let Some(RunOutcome::Interrupt { interrupts }) = ended.expect("the run finished").outcome else {
        panic!("an interrupt")
    };
    assert_eq!((interrupts[0].id.as_str(), interrupts[0].message.as_deref()), ("i", Some("Send it?")));

    // An outcome takes precedence; its missing message comes from its metadata.
    let own =
        json!({"id": "own", "reason": "langgraph:interrupt", "metadata": {"langgraph": {"raw": {"question": "Why?"}}}});
    let end = json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "interrupt", "interrupts": [own]}});
    let (_, ended) = read_strict(&[started(), question, end]);
    let Some(RunOutcome::Interrupt { interrupts }) = ended.expect("the run finished").outcome else {
        panic!("an interrupt")
    };
    assert_eq!((interrupts.len(), interrupts[0].message.as_deref()), (1, Some("Why?")));
}

#[test]
fn a_remote_agent_cannot_set_how_calls_of_netras_tools_continue() {
    let content = json!({"toolCallId": "c", "continuation": {"task": "t"}});
    for activity in [
        json!({"type": "ACTIVITY_SNAPSHOT", "messageId": "m", "activityType": "tool_task", "content": content}),
        json!({"type": "ACTIVITY_DELTA", "messageId": "m", "activityType": "tool_task", "patch": []}),
    ] {
        let (_, end) = read(RULES, &[started(), activity, finished()]);
        let failure = end.expect_err("a refusal");
        assert!(failure.message.contains("`tool_task` are reserved for Netra"), "{failure:?}");
    }
    let interrupt =
        json!({"id": "i", "reason": "input_required", "metadata": {"toolName": "x", "continuation": {"task": "t"}}});
    let end = json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "interrupt", "interrupts": [interrupt]}});
    let custom = json!({"type": "CUSTOM", "name": "on_interrupt", "value": interrupt});
    for sent in [vec![started(), end], vec![started(), custom, finished()]] {
        let (_, end) = read(RULES, &sent);
        let Some(RunOutcome::Interrupt { interrupts }) = end.expect("the run finished").outcome else {
            panic!("no interrupt")
        };
        let metadata = interrupts[0].metadata.as_ref().expect("metadata");
        assert!(metadata.contains_key("toolName") && !metadata.contains_key("continuation"), "{metadata:?}");
    }
}

#[test]
fn a_remote_agent_cannot_mark_the_end_of_a_cancellation_or_ask_more_questions_than_allowed() {
    let marked =
        json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "metadata": {"afterCancellation": true, "k": 1}});
    let (events, _) = read(RULES, &[started(), marked]);
    let metadata = events[0].base().metadata.as_ref().expect("metadata");
    assert!(metadata.contains_key("k") && !metadata.contains_key(AFTER_CANCELLATION), "{metadata:?}");
    let question = json!({"type": "CUSTOM", "name": "on_interrupt", "value": "Well?"});
    let sent: Vec<Value> =
        std::iter::once(started()).chain(std::iter::repeat_n(question, MAX_INTERRUPTS + 1)).collect();
    let (_, end) = read(Rules { max_events: 100, ..RULES }, &sent);
    assert_eq!(end.expect_err("a refusal").code, "too_many_interrupts");
}
