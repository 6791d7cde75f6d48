//! Streams of an endpoint, valid and invalid.

use std::sync::Arc;

use netra::{
    protocol::{DeleteThread, agui::Event},
    server::threads,
    thread::RunState,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::remote::{
    harness::{RemoteHarness, text_of},
    server::{Endpoint, message, short_pause},
};

/// An endpoint that starts a run, sends these bytes and closes.
async fn sending(bytes: impl Into<Vec<u8>>) -> Endpoint {
    let bytes = bytes.into();
    Endpoint::start(move |_, mut answer| {
        let bytes = bytes.clone();
        async move {
            answer.begin().await?;
            answer.raw(bytes).await
        }
    })
    .await
}

#[tokio::test]
async fn every_event_between_start_and_end_is_in_the_log_unchanged() {
    let tool = "TOOL_CALL";
    let floats: Vec<f64> = (1..2_000).map(|n| f64::from(n).sqrt() * 10_f64.powi(n % 17 - 8)).collect();
    let mut events = message("m1", &["All ", "is ", "well."]);
    events.extend([
        json!({"type": "STEP_STARTED", "stepName": "look", "timestamp": 5, "vendor": {"k": [1, null]}, "name": null}),
        json!({"type": "SUBAGENT_STARTED", "subagentRunId": "s", "name": "Data"}),
        json!({"type": format!("{tool}_START"), "toolCallId": "c", "toolCallName": "look", "subagentRunId": "s"}),
        json!({"type": format!("{tool}_ARGS"), "toolCallId": "c", "delta": "{}"}),
        json!({"type": format!("{tool}_END"), "toolCallId": "c"}),
        json!({"type": format!("{tool}_RESULT"), "toolCallId": "c", "messageId": "r", "content": [{"type": "text", "text": "4"}]}),
        json!({"type": "SUBAGENT_FINISHED", "subagentRunId": "s"}),
        json!({"type": "STEP_FINISHED", "stepName": "look"}),
        json!({"type": "STATE_SNAPSHOT", "snapshot": {"a": 1}}),
        json!({"type": "STATE_DELTA", "delta": [{"op": "replace", "path": "/a", "value": 2}]}),
        json!({"type": "ACTIVITY_SNAPSHOT", "messageId": "p", "activityType": "plan", "content": {"steps": []}}),
        json!({"type": "CUSTOM", "name": "mood", "value": null, "metadata": {"k": null}}),
        json!({"type": "CUSTOM", "name": "numbers", "value": floats, "x-vendor": [u64::MAX, i64::MIN, 5e-324, f64::MAX]}),
        json!({"type": "MESSAGES_SNAPSHOT", "messages": [{"id": "v", "role": "vendor", "content": null}, {"id": "m1", "role": "assistant", "content": "All is well.", "x": 0.1}]}),
    ]);
    let end = json!({
        "result": {"n": 1}, "usage": [{"model": "m", "inputTokens": 3}], "timestamp": 9, "rawEvent": {"q": 1},
        "metadata": {"costUsd": 0.5}, "vendor": 2,
    });
    let sent = (events.clone(), end.clone());
    let server = Endpoint::start(move |_, mut answer| {
        let (events, more) = sent.clone();
        async move {
            answer.begin().await?;
            answer.events(&events).await?;
            let mut end = answer.finished();
            end.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            answer.event(&end).await
        }
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let run = harness.ask("hello").await;
    assert_eq!(run.state, RunState::Finished);
    let log = harness.stored_events(run.run_id).await;
    let (between, ends) = (&log[1..log.len() - 1], log.last().expect("an end"));
    // Deltas within the window are merged, as for any agent.
    let deltas = |events: &[Value]| -> String {
        events.iter().filter(|e| e["messageId"] == "m1").filter_map(|e| e["delta"].as_str()).collect()
    };
    let others = |events: &[Value]| -> Vec<Value> {
        events.iter().filter(|event| event["type"] != "TEXT_MESSAGE_CONTENT").cloned().collect()
    };
    assert_eq!((deltas(between), others(between)), (deltas(&events), others(&events)));
    for (key, value) in end.as_object().expect("an object") {
        assert_eq!(ends[key], *value, "{key}");
    }
    let numbers = events.iter().find(|event| event["name"] == "numbers").expect("numbers");
    assert!(
        harness.thread_frames().await.iter().any(|frame| frame.contains(&numbers.to_string())),
        "every digit is the same"
    );
}

#[tokio::test]
async fn unknown_events_are_kept_on_demand_and_do_not_end_a_run() {
    let vendor = json!({"type": "VENDOR_PROGRESS", "pct": 5, "deep": {"k": null}});
    let sent = vendor.clone();
    let server = Endpoint::start(move |_, mut answer| {
        let vendor = sent.clone();
        async move {
            answer.stream().await?;
            answer.event(&vendor).await?;
            answer.event(&answer.started()).await?;
            let mut before = message("m1", &["Before, "]);
            before[0]["rawEvent"] = json!({"chunk": 1});
            answer.events(&before).await?;
            answer.event(&vendor).await?;
            answer.events(&message("m2", &["after."])).await?;
            let mut end = answer.finished();
            end["outcome"] = json!({"type": "deferred"});
            answer.event(&end).await
        }
    })
    .await;
    let harness = RemoteHarness::with(&server, json!({"keep_raw": true})).await;
    let run = harness.ask("hello").await;
    assert_eq!((run.state.clone(), text_of(&run).as_str()), (RunState::Finished, "Before, after."));
    let log = harness.stored_events(run.run_id).await;
    assert!(log.iter().all(|event| event["type"] != "RAW"), "{log:?}");
    assert!(log[..log.len() - 1].iter().all(|event| event.get("rawEvent").is_none()), "{log:?}");
    let expected = [
        json!({"type": "RAW", "event": {"chunk": 1}, "source": "TEXT_MESSAGE_START"}),
        json!({"type": "RAW", "event": vendor, "source": "unknown AG-UI event"}),
    ];
    assert_eq!(harness.raw(run.run_id).await, expected);

    let command = DeleteThread { thread_id: harness.thread };
    threads::delete(&harness.channels, &harness.user, &command).await.expect("the thread is deleted");
    let left =
        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM raw_events").fetch_one(harness.channels.store().reader());
    assert_eq!(left.await.expect("a number"), 0, "they are deleted with their thread");
}

#[tokio::test]
async fn an_agents_own_error_is_kept_complete_and_a_shortened_one_is_marked() {
    let server = sending(format!(
        "data: {}\n\n",
        json!({"type": "RUN_ERROR", "message": "x".repeat(5_000), "code": "y".repeat(100), "timestamp": 3, "rawEvent": {"a": 1}, "hint": "h"})
    ))
    .await;
    let harness = RemoteHarness::new(&server).await;
    let run = harness.ask("hello").await;
    let log = harness.stored_events(run.run_id).await;
    let expected = json!({
        "type": "RUN_ERROR", "message": "x".repeat(1_999) + "…", "code": "y".repeat(63) + "…", "timestamp": 3,
        "rawEvent": {"a": 1}, "hint": "h",
    });
    assert_eq!(log.last(), Some(&expected));
}

#[tokio::test]
async fn crlf_comments_split_characters_and_several_data_lines_are_read() {
    let server = Endpoint::start(|_, mut answer| async move {
        answer.chunked().await?;
        let text = format!(
            ": hello\r\n\r\ndata: {}\r\n\r\nevent: x\r\nid: 1\r\ndata: {{\"type\":\"TEXT_MESSAGE_CHUNK\",\r\ndata: \"messageId\":\"m\",\"delta\":\"ä€𝄞\"}}\r\n\r\ndata: {}",
            answer.started(),
            answer.finished()
        );
        // One byte at a time, without a blank line after the last event.
        for byte in text.into_bytes() {
            answer.raw([byte]).await?;
        }
        answer.raw("").await
    })
    .await;
    let run = RemoteHarness::new(&server).await.ask("hello").await;
    assert_eq!((run.state.clone(), text_of(&run).as_str()), (RunState::Finished, "ä€𝄞"));
}

#[tokio::test]
async fn an_unreadable_or_invalid_event_ends_the_run_with_a_description() {
    let open = "data: {\"type\":\"TEXT_MESSAGE_START\",\"messageId\":\"m\"}\n\n";
    let cases: [(Vec<u8>, &str, &str); 10] = [
        (b"data: {\"type\":\n\n".into(), "malformed_event", "it is not JSON"),
        (b"data: hello\n\n".into(), "malformed_event", "it is not JSON"),
        (b"data: \xff\n\n".into(), "malformed_event", "not UTF-8"),
        (b"data: {\"type\":7}\n\n".into(), "malformed_event", "it has no `type`"),
        (b"data: {\"type\":\"RAW\",\"event\":1,\"timestamp\":1.5}\n\n".into(), "malformed_event", "1.5"),
        (b"data: {\"type\":\"RAW\",\"event\":1,\"source\":null}\n\n".into(), "malformed_event", "`source` is null"),
        (
            b"data: {\"type\":\"TEXT_MESSAGE_END\",\"messageId\":\"m\"}\n\n".into(),
            "protocol_violation",
            "the text message `m` has not started or has ended",
        ),
        ([open, open].concat().into(), "protocol_violation", "the text message `m` has started already"),
        (
            [open, "data: {\"type\":\"RUN_STARTED\",\"threadId\":\"t\",\"runId\":\"r\"}\n\n"].concat().into(),
            "protocol_violation",
            "RUN_STARTED: a run does not begin again",
        ),
        (
            [open, "data: {\"type\":\"RUN_ERROR\",\"message\":\"no luck\",\"code\":\"luck\"}\n\n"].concat().into(),
            "luck",
            "no luck",
        ),
    ];
    for (bytes, code, expected) in cases {
        let server = sending(bytes).await;
        let harness = RemoteHarness::with(&server, json!({"strict": true})).await;
        let message = harness.failure(code).await;
        assert!(message.contains(expected), "`{message}` should say `{expected}`");
    }
}

#[tokio::test]
async fn a_run_that_ends_with_something_open_or_sends_events_after_its_end_fails() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        let open = json!({"type": "STEP_STARTED", "stepName": "s"});
        if number == 0 {
            answer.event(&open).await?;
            return answer.finish().await;
        }
        answer.event(&answer.finished()).await?;
        answer.event(&open).await
    })
    .await;
    let harness = RemoteHarness::with(&server, json!({"strict": true})).await;
    assert!(harness.failure("protocol_violation").await.contains("RUN_FINISHED: the step `s` is still open"));
    assert!(harness.failure("protocol_violation").await.contains("after RUN_FINISHED"));
}

#[tokio::test]
async fn a_run_that_does_not_begin_with_run_started_is_refused() {
    let server = Endpoint::start(|_, mut answer| async move {
        answer.stream().await?;
        answer.events(&message("m", &["a"])).await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    assert!(harness.failure("protocol_violation").await.contains("the first event is RUN_STARTED"));
}

#[tokio::test]
async fn other_ids_and_a_second_run_in_a_stream_belong_to_the_requested_run() {
    let server = Endpoint::start(|_, mut answer| async move {
        answer.stream().await?;
        for run in ["one", "two"] {
            answer.event(&json!({"type": "RUN_STARTED", "threadId": "its own", "runId": run})).await?;
            answer.events(&message(run, &[run])).await?;
            answer.event(&json!({"type": "RUN_FINISHED", "threadId": "its own", "runId": run})).await?;
            short_pause().await;
        }
        Ok(())
    })
    .await;
    let run = RemoteHarness::new(&server).await.ask("hello").await;
    assert_eq!((run.state.clone(), text_of(&run).as_str()), (RunState::Finished, "onetwo"));
}

#[tokio::test]
async fn a_cut_stream_keeps_the_text_so_far() {
    let gate = Arc::new(Notify::new());
    let seen = gate.clone();
    let server = Endpoint::start(move |number, mut answer| {
        let seen = seen.clone();
        async move {
            if number == 0 {
                answer.begin().await?;
            } else {
                answer.chunked().await?;
                answer.event(&answer.started()).await?;
            }
            answer.events(&message("m", &["so ", "far"])[..3]).await?;
            answer.raw("data: {\"type\":\"TEXT_").await?;
            seen.notified().await;
            match number {
                // A close during an event; a close before the last chunk; a reset.
                0 | 1 => Ok(()),
                _ => answer.cut(),
            }
        }
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    for _ in 0..3 {
        let run = harness.begin("hello").await;
        harness.until_text_is(run, "so far").await;
        gate.notify_one();
        let run = harness.until_over(run).await;
        let RunState::Failed { message, code: Some(code) } = &run.state else { panic!("fails, not {:?}", run.state) };
        assert_eq!((code.as_str(), text_of(&run).as_str()), ("stream_cut", "so far"));
        assert!(message.contains("what it sent so far is kept"), "{message}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_an_event_is_cut() {
    let server = Endpoint::start(|_, mut answer| async move { answer.stream().await }).await;
    assert!(RemoteHarness::new(&server).await.failure("stream_cut").await.contains("ended before a run started"));
}

#[tokio::test]
async fn silence_ends_a_run_and_comments_are_no_silence() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number == 0 {
            return answer.hold().await;
        }
        for _ in 0..20 {
            short_pause().await;
            answer.raw(": still here\n\n").await?;
        }
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::with(&server, json!({"silence_timeout_ms": 300})).await;
    assert!(harness.failure("silence_timeout").await.contains("sent nothing for 300ms"));
    server.until_disconnected(1).await;
    assert_eq!(harness.ask("hello").await.state, RunState::Finished);
}

#[tokio::test]
async fn a_missing_first_event_ends_a_run_whatever_else_arrives() {
    let server = Endpoint::start(|number, mut answer| async move {
        match number {
            0 => answer.hold().await,
            1 => {
                answer.stream().await?;
                answer.hold().await
            }
            _ => {
                answer.stream().await?;
                answer.flood(": not yet\n\n").await
            }
        }
    })
    .await;
    let harness = RemoteHarness::with(&server, json!({"first_event_timeout_ms": 200})).await;
    for left in 1..=3 {
        assert!(harness.failure("first_event_timeout").await.contains("200ms"));
        server.until_disconnected(left).await;
    }
    assert_eq!(server.requests().len(), 3, "no request was repeated");
}

#[tokio::test]
async fn a_giant_event_ends_a_run_before_it_is_read_whole() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number == 0 {
            let event = json!({"type": "RAW", "event": "x".repeat(5_000)});
            answer.event(&event).await?;
            return answer.hold().await;
        }
        answer.flood("data: never ends, and never a line's end ").await
    })
    .await;
    let harness = RemoteHarness::with(&server, json!({"max_event_bytes": 4_096, "keep_raw": true})).await;
    for left in 1..=2 {
        assert!(harness.failure("event_too_large").await.contains("at most 4096 bytes"));
        server.until_disconnected(left).await;
    }
}

#[tokio::test]
async fn an_endless_stream_ends_at_the_bound_of_events() {
    let server = Endpoint::start(|_, mut answer| async move {
        answer.begin().await?;
        answer.event(&json!({"type": "TEXT_MESSAGE_START", "messageId": "m"})).await?;
        answer.flood("data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m\",\"delta\":\"x\"}\n\n").await
    })
    .await;
    let harness = RemoteHarness::with(&server, json!({"max_events": 500})).await;
    let run = harness.ask("hello").await;
    assert!(
        matches!(&run.state, RunState::Failed { code: Some(code), .. } if code == "too_many_events"),
        "{:?}",
        run.state
    );
    assert_eq!(text_of(&run).len(), 498, "all but the beginning of run and message");
    server.until_disconnected(1).await;
    assert!(harness.events(run.run_id).await.iter().any(|event| matches!(event, Event::TextMessageEnd(_))));
}

#[tokio::test]
async fn a_finished_run_ends_though_the_endpoint_sends_more() {
    let server = Endpoint::start(|_, mut answer| async move {
        answer.begin().await?;
        answer.event(&answer.finished()).await?;
        answer.flood(": still here\n\n").await
    })
    .await;
    assert_eq!(RemoteHarness::new(&server).await.ask("hello").await.state, RunState::Finished);
    server.until_disconnected(1).await;
}
