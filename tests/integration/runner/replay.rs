//! The replay agent.

use super::*;

#[tokio::test]
async fn a_replay_plays_the_recording_with_new_ids() {
    let harness = RunnerHarness::new().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let run = harness.accept("replay", &SendMessage::new(harness.thread, "play"), None).await;
        runs.push(run.run_id);
        harness.runner.start(run);
    }
    for run in &runs {
        assert_eq!(harness.final_state(*run).await, RunState::Finished);
        harness.events(*run).await;
    }
    let view = harness.view().await;
    let [first, second] = [0, 1].map(|index| view.run(runs[index]).expect("the run"));
    assert_eq!(first.result, Some(json!({"saving": 0.43, "actions": 3})));
    assert_eq!(texts(first), texts(second));
    assert!(
        texts(first).iter().any(|text| text.starts_with("# Where the tokens go\n") && text.ends_with("can tell.\n"))
    );
    let subagents = first.nodes.iter().filter(|node| matches!(node.body, NodeBody::Subagent { .. })).count();
    assert_eq!(subagents, 5);
    for (one, other) in first.nodes.iter().zip(&second.nodes) {
        let kept = matches!(one.body, NodeBody::Step | NodeBody::Custom { .. });
        assert_eq!(one.id == other.id, kept, "{one:?}");
        assert!(one.within.is_none() || one.within != other.within);
    }
    assert_eq!(view.items.iter().filter(|item| matches!(item, Item::Run(_))).count(), 2);
}

/// Plays the recording; returns its events and the agent's result.
async fn play(rate: u32, cancel: CancellationToken) -> (Vec<Event>, Result<Done, AgentError>) {
    let replay = Replay::open(info("r"), &recording(), rate).expect("the recording opens");
    let (out, mut events) = Emitter::channel(1);
    let author = serde_json::from_value(json!({"id": UserId::new(), "name": "Owner"})).expect("an author");
    let input = RunInput { cancel, ..RunInput::alone(author, "play") };
    let receive = async {
        let mut received = Vec::new();
        while let Some(event) = events.recv().await {
            received.push(event);
        }
        received
    };
    tokio::join!(receive, replay.run(input, out))
}

#[tokio::test(start_paused = true)]
async fn a_replay_keeps_its_rate_low_and_high() {
    for rate in [1, 20, 1_000, 20_000] {
        let begun = tokio::time::Instant::now();
        let (events, ended) = play(rate, CancellationToken::new()).await;
        assert!(ended.is_ok());
        let (took, expected) = (begun.elapsed().as_secs_f64(), (events.len() - 1) as f64 / f64::from(rate));
        assert!((took - expected).abs() < 0.003, "{rate}/s: took {took} s, not {expected} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_replay_that_is_stopped_does_not_wait_for_its_next_event() {
    let (cancel, begun) = (CancellationToken::new(), tokio::time::Instant::now());
    let stop = async {
        tokio::time::advance(Duration::from_millis(500)).await;
        cancel.cancel();
    };
    let ((events, ended), ()) = tokio::join!(play(1, cancel.clone()), stop);
    assert_eq!((events.len(), ended), (1, Err(AgentError::Stopped)));
    assert!(begun.elapsed() < Duration::from_millis(600));
}

#[test]
fn an_invalid_recording_is_refused_with_its_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.jsonl");
    let step = r#"{"type":"STEP_STARTED","stepName":"s"}"#;
    let cases = [
        ("\n\n".to_owned(), "the file has no events"),
        (format!("{step}\nno"), "run.jsonl:2: expected"),
        (format!("{step}\n\n{step}"), "run.jsonl:3: STEP_STARTED: the step `s` has started already"),
        (r#"{"type":"STEP_STARTED"}"#.into(), "run.jsonl:1: "),
        (r#"{"type":"THINKING_START"}"#.into(), "run.jsonl:1: "),
        (format!("{{\"type\":\"RUN_ERROR\",\"message\":\"no\"}}\n{step}"), "run.jsonl:2: an event after the run's end"),
        (r#"{"type":"RUN_STARTED","threadId":"t","runId":"r"}"#.repeat(2), "run.jsonl:1: trailing"),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, text).expect("the file is written");
        let error = Replay::open(info("r"), &path, 10).expect_err(expected).to_string();
        assert!(error.contains(expected), "`{error}` should say `{expected}`");
    }
    let missing = Replay::open(info("r"), &folder.path().join("none.jsonl"), 10).expect_err("missing");
    assert_eq!(missing.key(), "file");
}
