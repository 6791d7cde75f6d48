//! Restarts, shutdowns and a store that fails.

use super::*;

#[tokio::test]
async fn a_restart_ends_what_the_dead_process_left() {
    let house = House::new().await;
    let began = house.begin("gate").await;
    house.until_open(began).await;
    // Another runner on the same store: as after a crash, it does not live this one.
    let after =
        runner(&house.channels, &house.gate, &house.files, RunnerOptions::new(house.folder.path().join("files")));
    assert_eq!(after.recover().await.expect("recovers"), 1);
    assert_eq!(code(&house.until_over(began).await), "server_restarted");
    house.events(began).await;
    assert_eq!(house.phases(began).await, [RunPhase::Running, RunPhase::Failed]);
    let head = house.channels.extent(Channel::Thread(house.thread)).await.expect("reads").head;
    assert_eq!(after.recover().await.expect("recovers"), 0, "once is enough");
    house.gate.add_permits(1);
    house.until_idle().await;
    let now = house.channels.extent(Channel::Thread(house.thread)).await.expect("reads").head;
    assert_eq!(now, head, "a run that was ended elsewhere says nothing more");
    house.assert_delivered_in_order();
}

#[tokio::test]
async fn recovery_leaves_the_living_alone() {
    let house = House::new().await;
    let run = house.begin("gate").await;
    house.until_open(run).await;
    assert_eq!(house.runner.recover().await.expect("recovers"), 0);
    house.gate.add_permits(1);
    assert_eq!(house.until_over(run).await, RunState::Finished);
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_delays_a_run_and_loses_nothing_of_it() {
    let house = House::new().await;
    let run = house.begin("gate").await;
    house.until_open(run).await;
    house.sql("ALTER TABLE entries RENAME TO elsewhere").await;
    house.gate.add_permits(1);
    while house.gate.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    house.sql("ALTER TABLE elsewhere RENAME TO entries").await;
    assert_eq!(house.until_over(run).await, RunState::Finished);
    house.events(run).await;
    house.assert_delivered_in_order();
}

#[tokio::test]
async fn a_run_that_cannot_be_stored_is_dropped_and_ended_once_the_store_is_back() {
    let house = House::with(|options| options.store_timeout = Duration::ZERO).await;
    let run = house.begin("gate").await;
    house.until_open(run).await;
    house.sql("ALTER TABLE entries RENAME TO elsewhere").await;
    house.gate.add_permits(1);
    house.until_idle().await;
    house.sql("ALTER TABLE elsewhere RENAME TO entries").await;
    assert!(!house.view().await.run(run).expect("the run").state.is_over());
    assert_eq!(house.runner.recover().await.expect("recovers"), 1);
    house.until_over(run).await;
    house.events(run).await;
    assert_eq!(house.phases(run).await, [RunPhase::Running, RunPhase::Failed]);
}

#[tokio::test]
async fn a_shutdown_ends_what_does_not_finish_and_leaves_what_has_not_begun() {
    let house = House::new().await;
    let long = house.begin("deaf").await;
    house.until_open(long).await;
    let waiting = house.begin("answer").await;
    house.runner.shutdown(Duration::from_millis(20)).await;
    assert_eq!(house.runner.active(), 0);
    let view = house.view().await;
    assert_eq!(view.run(waiting).expect("the run").state, RunState::Waiting, "it stays for the next start");
    assert_eq!(code(&house.until_over(long).await), "server_restarting");
    house.events(long).await;
    let refused = house.runner.admit(house.user.id).expect_err("going down");
    assert_eq!(serde_json::to_value(refused.code).expect("a code"), "unavailable");
}
