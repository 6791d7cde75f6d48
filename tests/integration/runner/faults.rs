//! Restarts, shutdowns and store failures.

use super::*;

#[tokio::test]
async fn a_restart_ends_what_the_dead_process_left() {
    let harness = RunnerHarness::new().await;
    let began = harness.begin("gate").await;
    harness.until_open(began).await;
    // Another runner on the same store, as after a crash: the run is not its own.
    let after =
        runner(&harness.channels, &harness.agent.gate, &harness.agent.files, RunnerOptions::new(harness.files()));
    assert_eq!(after.recover().await.expect("the runs are recovered"), 1);
    assert_eq!(code(&harness.final_state(began).await), "server_restarted");
    harness.events(began).await;
    assert_eq!(harness.phases(began).await, [RunPhase::Running, RunPhase::Failed]);
    let head = harness.channels.extent(Channel::Thread(harness.thread)).await.expect("the extent is read").head;
    assert_eq!(after.recover().await.expect("the runs are recovered"), 0, "it is recovered once");
    harness.agent.gate.add_permits(1);
    harness.until_idle().await;
    let now = harness.channels.extent(Channel::Thread(harness.thread)).await.expect("the extent is read").head;
    assert_eq!(now, head, "a run that another node ended appends nothing more");
    harness.assert_delivered_in_order();
}

#[tokio::test]
async fn recovery_does_not_end_active_runs() {
    let harness = RunnerHarness::new().await;
    let run = harness.begin("gate").await;
    harness.until_open(run).await;
    assert_eq!(harness.runner.recover().await.expect("the runs are recovered"), 0);
    harness.agent.gate.add_permits(1);
    assert_eq!(harness.final_state(run).await, RunState::Finished);
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_delays_a_run_and_loses_nothing_of_it() {
    let harness = RunnerHarness::new().await;
    let run = harness.begin("gate").await;
    harness.until_open(run).await;
    harness.sql("ALTER TABLE entries RENAME TO elsewhere").await;
    harness.agent.gate.add_permits(1);
    while harness.agent.gate.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    harness.sql("ALTER TABLE elsewhere RENAME TO entries").await;
    assert_eq!(harness.final_state(run).await, RunState::Finished);
    harness.events(run).await;
    harness.assert_delivered_in_order();
}

#[tokio::test]
async fn a_run_that_cannot_be_stored_is_dropped_and_recovered_once_the_store_works() {
    let harness = RunnerHarness::with(|options| options.store_timeout = Duration::ZERO).await;
    let run = harness.begin("gate").await;
    harness.until_open(run).await;
    harness.sql("ALTER TABLE entries RENAME TO elsewhere").await;
    harness.agent.gate.add_permits(1);
    harness.until_idle().await;
    harness.sql("ALTER TABLE elsewhere RENAME TO entries").await;
    assert!(!harness.view().await.run(run).expect("the run").state.is_over());
    assert_eq!(harness.runner.recover().await.expect("the runs are recovered"), 1);
    harness.final_state(run).await;
    harness.events(run).await;
    assert_eq!(harness.phases(run).await, [RunPhase::Running, RunPhase::Failed]);
}

#[tokio::test]
async fn a_shutdown_ends_unfinished_runs_and_keeps_queued_ones() {
    let harness = RunnerHarness::new().await;
    let long = harness.begin("ignore the stop").await;
    harness.until_open(long).await;
    let waiting = harness.begin("answer").await;
    harness.runner.shutdown(Duration::from_millis(20)).await;
    assert_eq!(harness.runner.active(), 0);
    let view = harness.view().await;
    assert_eq!(view.run(waiting).expect("the run").state, RunState::Waiting, "it starts after the restart");
    assert_eq!(code(&harness.final_state(long).await), "server_restarting");
    harness.events(long).await;
    let refused = harness.runner.admit(harness.user.id).expect_err("the server is shutting down");
    assert_eq!(serde_json::to_value(refused.code).expect("a code"), "unavailable");
}
