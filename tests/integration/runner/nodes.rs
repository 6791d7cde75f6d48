//! Turns over restarts and nodes: a queued run starts once and in order, on any node, and a finished one leaves the queue.

use netra::protocol::TakeBack;

use super::*;

#[tokio::test]
async fn a_run_stopped_before_its_start_does_not_start_after_a_restart() {
    let harness = RunnerHarness::new().await;
    let run = harness.accept("script", &SendMessage::new(harness.thread, "panic"), None).await.run_id;
    assert!(threads::request_stop(&harness.channels, harness.user.id, run).await.expect("the stop is stored"));
    let (_, after) = harness.node().await;
    assert_eq!(after.recover().await.expect("the runs are recovered"), 0);
    assert_eq!(harness.final_state(run).await, RunState::Cancelled);
    assert_eq!(harness.events(run).await.len(), 2, "its agent is not called");
}

#[tokio::test]
async fn a_stopped_run_ends_cancelled_even_if_its_node_died_before_it_read_the_stop() {
    let harness = RunnerHarness::new().await;
    let run = harness.begin("gate").await;
    harness.until_open(run).await;
    assert!(threads::request_stop(&harness.channels, harness.user.id, run).await.expect("the stop is stored"));
    let (_, after) = harness.node().await;
    assert_eq!(after.recover().await.expect("the runs are recovered"), 1);
    assert_eq!(harness.final_state(run).await, RunState::Cancelled);
}

#[tokio::test]
async fn an_interrupt_that_cannot_be_abandoned_does_not_block_others() {
    let harness = RunnerHarness::new().await;
    let has_interrupts =
        |run| move |view: &ThreadView| view.run(run).is_some_and(|run| !run.open_interrupts().is_empty());
    let broken = harness.begin("too late").await;
    harness.until(has_interrupts(broken)).await;
    // Two interrupts with the same id cannot be answered. Agents may not send that any more, but older logs may have it.
    let duplicate_id =
        r#"UPDATE entries SET entry = REPLACE(entry, '"interrupts":[', '"interrupts":[{"id":"i","reason":"x"},')"#;
    harness.sql(duplicate_id).await;
    let thread = harness.create_thread().await;
    let next = harness.accept("script", &SendMessage::new(thread, "too late"), None).await;
    let id = next.run_id;
    harness.runner.start(next);
    harness.until_in(thread, has_interrupts(id)).await;
    let (channels, after) = harness.node().await;
    let _upkeep = Upkeep::spawn(&after);
    harness.until_in(thread, |view| view.run(id).is_some_and(|run| run.answered.is_some())).await;
    let (_, view) = channels.thread(harness.thread).await.expect("the thread is read");
    assert_eq!(view.run(broken).expect("the run").open_interrupts().len(), 2, "it still waits");
}

#[tokio::test]
async fn a_message_accepted_during_shutdown_starts_its_run_after_the_restart() {
    let harness = RunnerHarness::new().await;
    let run = harness.accept("script", &SendMessage::new(harness.thread, "answer"), None).await;
    let id = run.run_id;
    harness.runner.shutdown(TEST_TIMEOUT).await;
    harness.runner.start(run);
    assert_eq!((harness.runner.active(), harness.runner.waiting(harness.thread).len()), (0, 1));
    harness.runner.release_lease().await;
    let (_, after) = harness.node().await;
    assert_eq!(after.recover().await.expect("the runs are recovered"), 0);
    let _upkeep = Upkeep::spawn(&after);
    assert_eq!(harness.final_state(id).await, RunState::Finished);
    harness.events(id).await;
}

#[tokio::test]
async fn runs_taken_back_or_deleted_on_another_node_leave_the_queue_without_a_message() {
    let harness = RunnerHarness::with(|options| options.lease = Duration::from_millis(500)).await;
    let running = harness.begin("gate").await;
    harness.until_open(running).await;
    let message = SendMessage::new(harness.thread, "panic");
    let (taken_back, next) = (harness.send(&message).await, harness.begin("answer").await);
    let queue = || harness.runner.waiting(harness.thread).iter().map(|at| at.waiting.run_id).collect::<Vec<_>>();
    assert_eq!(queue(), [taken_back, next]);
    let command = TakeBack { thread_id: harness.thread, message_id: message.message_id };
    threads::take_back(&harness.channels, &harness.user, &command).await.expect("the message is taken back");
    let until_queue_is = async |expected: &[RunId]| {
        let wait = async {
            while queue() != expected {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, wait).await.expect("the queue changes in time");
    };
    until_queue_is(&[next]).await;
    threads::delete(&harness.channels, &harness.user, &DeleteThread { thread_id: harness.thread })
        .await
        .expect("the thread is deleted");
    until_queue_is(&[]).await;
    harness.agent.gate.add_permits(1);
    harness.until_idle().await;
    assert_eq!(
        harness.channels.extent(Channel::Thread(harness.thread)).await.expect("the extent is read").head,
        0,
        "no entry was appended after the deletion"
    );
}

#[tokio::test]
async fn late_results_wait_for_runs_that_started_meanwhile_also_on_another_node() {
    let harness = RunnerHarness::new().await;
    let pending = harness.begin("leave a call").await;
    assert_eq!(harness.final_state(pending).await, RunState::Finished);
    let running = harness.begin("gate").await;
    harness.until_open(running).await;
    let queued = harness.begin("answer").await;
    let (channels, other) = harness.node().await;
    let mut results = harness.answer_command(pending);
    results.answers[0].interrupt_id = "call".into();
    let outcome =
        threads::answer(&channels, &harness.user, &results, None, |_| Ok(())).await.expect("the answer is accepted");
    let resumed = outcome.run.expect("a run");
    assert!(resumed.blocked, "a later run of the thread is running");
    let id = resumed.run_id;
    other.start(resumed);
    let _upkeep = Upkeep::spawn(&other);
    harness.agent.gate.add_permits(1);
    for run in [running, id, queued] {
        assert_eq!(harness.final_state(run).await, RunState::Finished);
    }
    let of_run = |entry| if let Entry::Thread(ThreadEntry::Agent { run_id, .. }) = entry { Some(run_id) } else { None };
    let mut order: Vec<RunId> =
        harness.entries(Channel::Thread(harness.thread)).await.into_iter().filter_map(of_run).collect();
    order.dedup();
    assert_eq!(order, [pending, running, id, queued], "one after the other");
}
