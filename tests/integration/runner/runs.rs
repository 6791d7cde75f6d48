//! A single run: its events, and how it ends.

use netra::server::usage;

use super::*;

#[tokio::test]
async fn an_answer_is_in_the_log_in_order_from_begin_to_end() {
    let harness = RunnerHarness::new().await;
    let run = harness.begin("answer").await;
    assert_eq!(harness.final_state(run).await, RunState::Finished);
    let events = harness.events(run).await;
    let Event::RunStarted(begun) = &events[0] else { panic!("begins") };
    assert_eq!((&begun.thread_id, &begun.run_id), (&harness.thread.to_string(), &run.to_string()));
    let view = harness.view().await;
    let view = view.run(run).expect("the run");
    assert_eq!((texts(view), &view.result), (vec!["All is well."], &Some(json!({"words": 3}))));
    assert_eq!(harness.phases(run).await, [RunPhase::Running, RunPhase::Finished]);
    harness.assert_delivered_in_order();
    harness.until_idle().await;
}

#[tokio::test]
async fn events_that_an_agent_leaves_open_are_closed() {
    let harness = RunnerHarness::new().await;
    let run = harness.begin("leave open").await;
    assert_eq!(harness.final_state(run).await, RunState::Finished);
    harness.events(run).await;
}

#[tokio::test]
async fn a_stopped_run_ends_cancelled_with_everything_closed_and_stopping_again_changes_nothing() {
    let harness = RunnerHarness::new().await;
    for text in ["wait", "ignore the stop"] {
        let run = harness.begin(text).await;
        harness.until_open(run).await;
        let requested_at = std::time::Instant::now();
        harness.runner.stop(run);
        harness.runner.stop(run);
        assert_eq!(harness.final_state(run).await, RunState::Cancelled);
        assert!(
            requested_at.elapsed() < Duration::from_secs(10),
            "an agent that ignores the stop does not delay the end"
        );
        let events = harness.events(run).await;
        let Some(Event::RunFinished(end)) = events.last() else { panic!("finishes") };
        assert_eq!(end.outcome, Some(RunOutcome::Cancelled));
        assert_eq!(harness.phases(run).await, [RunPhase::Running, RunPhase::Cancelled]);
        harness.until_idle().await;
        harness.runner.stop(run);
        assert_eq!(harness.events(run).await.len(), events.len());
    }
}

#[tokio::test]
async fn a_stop_that_comes_before_the_start_is_kept() {
    let harness = RunnerHarness::new().await;
    let run = harness.accept("script", &SendMessage::new(harness.thread, "wait"), None).await;
    let id = run.run_id;
    harness.runner.stop(id);
    harness.runner.start(run);
    assert_eq!(harness.final_state(id).await, RunState::Cancelled);
    harness.events(id).await;
}

#[tokio::test]
async fn an_error_a_panic_and_a_broken_rule_end_the_run_with_their_codes_and_no_secrets() {
    let harness = RunnerHarness::new().await;
    for (text, expected) in
        [("fail", "unreadable_file"), ("panic", "agent_panicked"), ("violate", "protocol_violation")]
    {
        let run = harness.begin(text).await;
        let state = harness.final_state(run).await;
        assert_eq!(code(&state), expected);
        let events = harness.events(run).await;
        assert!(!format!("{events:?}").contains("secret"), "a panic's message is only in the server's log");
        assert_eq!(harness.phases(run).await, [RunPhase::Running, RunPhase::Failed]);
        let view = harness.view().await;
        assert_eq!(texts(view.run(run).expect("the run")), ["so far"], "the text before is kept");
    }
    harness.until_idle().await;
}

#[tokio::test]
async fn a_run_that_takes_too_long_fails_with_the_limit() {
    let harness = RunnerHarness::with(|options| options.time_limit = Duration::from_millis(50)).await;
    let run = harness.begin("ignore the stop").await;
    let state = harness.final_state(run).await;
    assert_eq!(code(&state), "time_limit");
    harness.events(run).await;
}

#[tokio::test]
async fn an_emitter_that_outlives_its_agent_does_not_keep_the_run_alive() {
    let harness = RunnerHarness::new().await;
    let run = harness.begin("leak").await;
    assert_eq!(harness.final_state(run).await, RunState::Finished);
}

#[tokio::test]
async fn deltas_go_together_within_the_window_and_alone_without_one() {
    let whole: String = (0..500).map(|word| format!("{word} ")).collect();
    for (window, most) in [(Duration::from_secs(5), 2), (Duration::ZERO, 500)] {
        let harness = RunnerHarness::with(|options| options.coalesce = window).await;
        let run = harness.begin("stream").await;
        assert_eq!(harness.final_state(run).await, RunState::Finished);
        let events = harness.events(run).await;
        let deltas = events.iter().filter(|event| matches!(event, Event::TextMessageContent(_))).count();
        assert_eq!(deltas, most);
        assert_eq!(texts(harness.view().await.run(run).expect("the run")), [whole.as_str()]);
        harness.assert_delivered_in_order();
    }
}

#[tokio::test]
async fn a_run_whose_thread_is_deleted_ends_without_an_entry() {
    let harness = RunnerHarness::new().await;
    let run = harness.begin("gate").await;
    harness.until_open(run).await;
    let running = threads::delete(&harness.channels, &harness.user, &DeleteThread { thread_id: harness.thread }).await;
    assert_eq!(running.expect("the thread is deleted"), [run]);
    harness.runner.stop(run);
    harness.until_idle().await;
    assert_eq!(
        harness.channels.extent(Channel::Thread(harness.thread)).await.expect("the extent is read").head,
        0,
        "nothing came after"
    );
}

#[tokio::test]
async fn a_runs_usage_counts_though_its_thread_was_deleted() {
    let mut tokens = 0;
    let harness = RunnerHarness::new().await;
    for (text, is_told) in [("spend until stopped", true), ("spend at the gate", false)] {
        let thread_id = harness.create_thread().await;
        let command = SendMessage::new(thread_id, text);
        let outcome = threads::send(&harness.channels, &harness.user, &command, None, |_| Ok("script".into())).await;
        let run = outcome.expect("the command is accepted").run.expect("a run");
        let run_id = run.run_id;
        harness.runner.start(run);
        harness.until_in(thread_id, |view| view.run(run_id).is_some_and(|run| run.nodes.len() == 7)).await;
        threads::delete(&harness.channels, &harness.user, &DeleteThread { thread_id })
            .await
            .expect("the thread is deleted");
        if is_told {
            harness.runner.stop(run_id);
        } else {
            // The run is not notified; it finds out when it appends.
            harness.agent.gate.add_permits(1);
        }
        harness.until_idle().await;
        tokens += 1_000;
        assert_eq!(
            usage::today(&harness.channels, harness.user.id).await.expect("the usage is read").tokens,
            tokens,
            "{text}"
        );
        assert_eq!(
            harness.channels.extent(Channel::Thread(thread_id)).await.expect("the extent is read").head,
            0,
            "nothing of the deleted thread is delivered"
        );
    }
    // For a removed user nothing is counted or retried.
    let run = harness.begin("spend until stopped").await;
    harness.until_open(run).await;
    harness.sql("DELETE FROM users").await;
    harness.runner.stop(run);
    harness.until_idle().await;
    assert_eq!(usage::today(&harness.channels, harness.user.id).await.expect("the usage is read").tokens, 0);
}

#[tokio::test]
async fn a_person_has_a_bounded_number_of_runs_and_more_wait_up_to_a_bound() {
    let harness =
        RunnerHarness::with(|options| (options.max_runs_per_user, options.max_waiting_per_user) = (1, 1)).await;
    let other = harness.create_thread().await;
    let going = harness.begin("wait").await;
    harness.runner.admit(harness.user.id).expect("one waiting run is allowed");
    let command = SendMessage::new(other, "answer");
    let outcome = threads::send(&harness.channels, &harness.user, &command, None, |_| Ok("script".into())).await;
    let waiting = outcome.expect("the command is accepted").run.expect("a run");
    let run_id = waiting.run_id;
    harness.runner.start(waiting);
    let line: Vec<_> = harness.runner.waiting(other).iter().map(|at| at.waiting).collect();
    assert_eq!(line, [Waiting { run_id, position: 1, waits_for: WaitsFor::Person }]);
    let refused = harness.runner.admit(harness.user.id).expect_err("too many");
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(refused.retry_after_ms.is_some());
    harness.runner.admit(UserId::new()).expect("other users are admitted");
    harness.runner.stop(going);
    harness.until_idle().await;
    let (_, view) = harness.channels.thread(other).await.expect("the thread is read");
    assert_eq!(view.run(run_id).expect("the run").state, RunState::Finished);
    harness.runner.admit(harness.user.id).expect("the queue has room again");
}

#[tokio::test]
async fn a_run_reads_its_messages_files_or_else_the_threads_latest() {
    let harness = RunnerHarness::new().await;
    let ids = [FileId::new(), FileId::new()];
    let mut tx = harness.channels.begin().await.expect("the transaction begins");
    for (at, id) in ids.iter().enumerate() {
        sqlx::query("INSERT INTO files (id, thread_id, name, bytes, created_at) VALUES ($1, $2, $3, 5, $4)")
            .bind(id.to_string())
            .bind(harness.thread.to_string())
            .bind(format!("{at}.csv"))
            .bind(now_ms())
            .execute(tx.sql())
            .await
            .expect("the statement succeeds");
    }
    tx.commit().await.expect("the transaction commits");
    let named = SendMessage { attachments: vec![ids[0]], ..SendMessage::new(harness.thread, "answer") };
    let named = harness.accept("script", &named, None).await;
    let latest = harness.accept("script", &SendMessage::new(harness.thread, "answer"), None).await;
    for (run, id, name) in [(named, ids[0], "0.csv"), (latest, ids[1], "1.csv")] {
        let run_id = run.run_id;
        harness.runner.start(run);
        harness.final_state(run_id).await;
        let path = harness.files().join(harness.thread.to_string()).join(id.to_string());
        assert_eq!(*harness.agent.files.lock().expect("not poisoned"), [format!("{name}={}", path.display())]);
    }
}
