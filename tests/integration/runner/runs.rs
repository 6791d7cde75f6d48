//! One run: what an agent does, and how it ends.

use netra::server::usage;

use super::*;

#[tokio::test]
async fn an_answer_is_in_the_log_in_order_from_begin_to_end() {
    let house = House::new().await;
    let run = house.begin("answer").await;
    assert_eq!(house.until_over(run).await, RunState::Finished);
    let events = house.events(run).await;
    let Event::RunStarted(begun) = &events[0] else { panic!("begins") };
    assert_eq!((&begun.thread_id, &begun.run_id), (&house.thread.to_string(), &run.to_string()));
    let view = house.view().await;
    let view = view.run(run).expect("the run");
    assert_eq!((said(view), &view.result), (vec!["All is well."], &Some(json!({"words": 3}))));
    assert_eq!(house.phases(run).await, [RunPhase::Running, RunPhase::Finished]);
    house.assert_delivered_in_order();
    house.until_idle().await;
}

#[tokio::test]
async fn what_an_agent_leaves_open_is_closed_for_it() {
    let house = House::new().await;
    let run = house.begin("leave open").await;
    assert_eq!(house.until_over(run).await, RunState::Finished);
    house.events(run).await;
}

#[tokio::test]
async fn a_stopped_run_ends_cancelled_with_everything_closed_and_stopping_again_changes_nothing() {
    let house = House::new().await;
    for text in ["wait", "deaf"] {
        let run = house.begin(text).await;
        house.until_open(run).await;
        let asked = std::time::Instant::now();
        house.runner.stop(run);
        house.runner.stop(run);
        assert_eq!(house.until_over(run).await, RunState::Cancelled);
        assert!(asked.elapsed() < PATIENCE / 2, "an agent that does not listen delays its end by nothing");
        let events = house.events(run).await;
        let Some(Event::RunFinished(end)) = events.last() else { panic!("finishes") };
        assert_eq!(end.outcome, Some(RunOutcome::Cancelled));
        assert_eq!(house.phases(run).await, [RunPhase::Running, RunPhase::Cancelled]);
        house.until_idle().await;
        house.runner.stop(run);
        assert_eq!(house.events(run).await.len(), events.len());
    }
}

#[tokio::test]
async fn a_stop_that_comes_before_the_start_is_kept() {
    let house = House::new().await;
    let run = house.accept("script", "wait").await;
    let id = run.run_id;
    house.runner.stop(id);
    house.runner.start(run);
    assert_eq!(house.until_over(id).await, RunState::Cancelled);
    house.events(id).await;
}

#[tokio::test]
async fn an_error_a_panic_and_a_broken_rule_end_the_run_with_their_codes_and_no_secrets() {
    let house = House::new().await;
    for (text, expected) in
        [("fail", "unreadable_file"), ("panic", "agent_panicked"), ("violate", "protocol_violation")]
    {
        let run = house.begin(text).await;
        let state = house.until_over(run).await;
        assert_eq!(code(&state), expected);
        let events = house.events(run).await;
        assert!(!format!("{events:?}").contains("secret"), "a panic's words are for the log alone");
        assert_eq!(house.phases(run).await, [RunPhase::Running, RunPhase::Failed]);
        let view = house.view().await;
        assert_eq!(said(view.run(run).expect("the run")), ["so far"], "what was said before is kept");
    }
    house.until_idle().await;
}

#[tokio::test]
async fn a_run_that_takes_too_long_fails_with_the_limit() {
    let house = House::with(|options| options.time_limit = Duration::from_millis(50)).await;
    let run = house.begin("deaf").await;
    let state = house.until_over(run).await;
    assert_eq!(code(&state), "time_limit");
    house.events(run).await;
}

#[tokio::test]
async fn an_emitter_that_outlives_its_agent_does_not_keep_the_run_alive() {
    let house = House::new().await;
    let run = house.begin("leak").await;
    assert_eq!(house.until_over(run).await, RunState::Finished);
}

#[tokio::test]
async fn deltas_go_together_within_the_window_and_alone_without_one() {
    let whole: String = (0..500).map(|word| format!("{word} ")).collect();
    for (window, most) in [(Duration::from_secs(5), 2), (Duration::ZERO, 500)] {
        let house = House::with(|options| options.coalesce = window).await;
        let run = house.begin("stream").await;
        assert_eq!(house.until_over(run).await, RunState::Finished);
        let events = house.events(run).await;
        let deltas = events.iter().filter(|event| matches!(event, Event::TextMessageContent(_))).count();
        assert_eq!(deltas, most);
        assert_eq!(said(house.view().await.run(run).expect("the run")), [whole.as_str()]);
        house.assert_delivered_in_order();
    }
}

#[tokio::test]
async fn a_run_whose_thread_is_deleted_ends_without_a_word() {
    let house = House::new().await;
    let run = house.begin("gate").await;
    house.until_open(run).await;
    let running = threads::delete(&house.channels, &house.user, &DeleteThread { thread_id: house.thread }).await;
    assert_eq!(running.expect("deleted"), [run]);
    house.runner.stop(run);
    house.until_idle().await;
    assert_eq!(
        house.channels.extent(Channel::Thread(house.thread)).await.expect("reads").head,
        0,
        "nothing came after"
    );
}

#[tokio::test]
async fn what_a_run_used_counts_though_its_thread_was_deleted_meanwhile() {
    let mut tokens = 0;
    let house = House::new().await;
    for (text, is_told) in [("spend until stopped", true), ("spend at the gate", false)] {
        let thread_id = thread(&house.channels, &house.user).await;
        let command = SendMessage::new(thread_id, text);
        let asked = threads::send(&house.channels, &house.user, &command, None, |_| Ok("script".into())).await;
        let run = asked.expect("accepted").run.expect("a run");
        let run_id = run.run_id;
        house.runner.start(run);
        house.until_of(thread_id, |view| view.run(run_id).is_some_and(|run| run.nodes.len() == 7)).await;
        threads::delete(&house.channels, &house.user, &DeleteThread { thread_id }).await.expect("deleted");
        if is_told {
            house.runner.stop(run_id);
        } else {
            // Nobody says so: the run finds out when it appends.
            house.gate.add_permits(1);
        }
        house.until_idle().await;
        tokens += 1_000;
        assert_eq!(usage::today(&house.channels, house.user.id).await.expect("reads").tokens, tokens, "{text}");
        assert_eq!(
            house.channels.extent(Channel::Thread(thread_id)).await.expect("reads").head,
            0,
            "no word comes back"
        );
    }
    // Nor is anything counted, or tried again, for somebody who is gone.
    let run = house.begin("spend until stopped").await;
    house.until_open(run).await;
    house.sql("DELETE FROM users").await;
    house.runner.stop(run);
    house.until_idle().await;
    assert_eq!(usage::today(&house.channels, house.user.id).await.expect("reads").tokens, 0);
}

#[tokio::test]
async fn a_person_has_a_bounded_number_of_runs_and_more_wait_up_to_a_bound() {
    let house = House::with(|options| (options.max_runs_per_user, options.max_waiting_per_user) = (1, 1)).await;
    let other = thread(&house.channels, &house.user).await;
    let going = house.begin("wait").await;
    house.runner.admit(house.user.id).expect("one may wait");
    let command = SendMessage::new(other, "answer");
    let asked = threads::send(&house.channels, &house.user, &command, None, |_| Ok("script".into())).await;
    let waiting = asked.expect("accepted").run.expect("a run");
    let run_id = waiting.run_id;
    house.runner.start(waiting);
    let line: Vec<_> = house.runner.waiting(other).iter().map(|at| at.waiting).collect();
    assert_eq!(line, [Waiting { run_id, position: 1, waits_for: WaitsFor::Person }]);
    let refused = house.runner.admit(house.user.id).expect_err("too many");
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(refused.retry_after_ms.is_some());
    house.runner.admit(UserId::new()).expect("others may");
    house.runner.stop(going);
    house.until_idle().await;
    let (_, view) = house.channels.thread(other).await.expect("reads");
    assert_eq!(view.run(run_id).expect("the run").state, RunState::Finished);
    house.runner.admit(house.user.id).expect("room again");
}

#[tokio::test]
async fn a_run_reads_its_messages_files_and_else_the_threads_latest() {
    let house = House::new().await;
    let ids = [FileId::new(), FileId::new()];
    let mut tx = house.channels.begin().await.expect("begins");
    for (at, id) in ids.iter().enumerate() {
        sqlx::query("INSERT INTO files (id, thread_id, name, bytes, created_at) VALUES ($1, $2, $3, 5, $4)")
            .bind(id.to_string())
            .bind(house.thread.to_string())
            .bind(format!("{at}.csv"))
            .bind(now_ms())
            .execute(tx.sql())
            .await
            .expect("inserts");
    }
    tx.commit().await.expect("commits");
    let named = SendMessage { attachments: vec![ids[0]], ..SendMessage::new(house.thread, "answer") };
    let named = house.ask("script", &named).await;
    let latest = house.accept("script", "answer").await;
    for (run, id, name) in [(named, ids[0], "0.csv"), (latest, ids[1], "1.csv")] {
        let run_id = run.run_id;
        house.runner.start(run);
        house.until_over(run_id).await;
        let path = house.folder.path().join("files").join(house.thread.to_string()).join(id.to_string());
        assert_eq!(*house.files.lock().expect("not poisoned"), [format!("{name}={}", path.display())]);
    }
}
