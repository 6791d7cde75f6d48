//! Leases: each run belongs to one node.

use std::{collections::HashSet, time::Duration};

use netra::server::{leases::Leases, store::Engine, threads};
use tokio::time::timeout;

use crate::{
    log::delta,
    support::{
        TEST_TIMEOUT,
        store::{TestStore, on_both_engines},
    },
};

#[tokio::test]
async fn a_node_owns_its_runs_until_its_lease_expires() {
    let test_store = TestStore::on(Engine::Postgres).await;
    let ((one, _), (other, _)) = (test_store.node().await, test_store.node().await);
    let takeover = Duration::from_millis(1_500);
    let (old, new) = (Leases::new(&one, "one", takeover), Leases::new(&other, "other", takeover));
    old.renew().await.expect("the lease is renewed");
    new.renew().await.expect("the lease is renewed");
    let thread = test_store.create_thread(&one).await;
    let run = test_store.create_run(&one, thread).await;
    assert_eq!(new.claim().await.expect("the runs are claimed"), [], "its lease is valid");
    assert!(one.append(thread, run, &[delta(run, "mine")]).await.expect("the store does not fail").is_some());
    let claiming = async {
        loop {
            let claimed = new.claim().await.expect("the runs are claimed");
            if !claimed.is_empty() {
                return claimed;
            }
            // A lease expires by the store's clock, of which nothing is notified; the node polls at its usual interval.
            tokio::time::sleep(new.renew_interval()).await;
            new.renew().await.expect("the lease is renewed");
        }
    };
    let claimed = timeout(TEST_TIMEOUT, claiming).await.expect("the runs are claimed in time");
    assert_eq!(claimed.iter().map(|orphan| orphan.run_id).collect::<Vec<_>>(), [run]);
    assert_eq!(
        one.append(thread, run, &[delta(run, "late")]).await.expect("the store does not fail"),
        None,
        "the old owner is fenced"
    );
    old.renew().await.expect("the lease is renewed");
    assert_eq!(
        one.append(thread, run, &[delta(run, "late")]).await.expect("the store does not fail"),
        None,
        "a renewed lease does not return the run"
    );
    assert!(other.append(thread, run, &[delta(run, "new")]).await.expect("the store does not fail").is_some());
    assert_eq!(old.claim().await.expect("the runs are claimed"), [], "the new owner's lease is valid");
}

#[tokio::test]
async fn a_released_lease_leaves_its_runs_to_others_at_once() {
    on_both_engines(async |test_store| {
        let ((one, _), (other, _)) = (test_store.node().await, test_store.node().await);
        let (old, new) = (
            Leases::new(&one, "one", Duration::from_secs(3600)),
            Leases::new(&other, "other", Duration::from_secs(60)),
        );
        old.renew().await.expect("the lease is renewed");
        let run = test_store.create_run(&one, test_store.create_thread(&one).await).await;
        assert_eq!(new.claim().await.expect("the runs are claimed"), []);
        old.release().await.expect("the lease is released");
        assert_eq!(
            new.claim().await.expect("the runs are claimed").iter().map(|orphan| orphan.run_id).collect::<Vec<_>>(),
            [run]
        );
    })
    .await;
}

#[tokio::test]
async fn two_nodes_that_find_the_same_dead_node_share_its_runs_without_overlap() {
    on_both_engines(async |test_store| {
        let ((one, _), (a, _), (b, _)) = (test_store.node().await, test_store.node().await, test_store.node().await);
        let takeover = Duration::from_secs(60);
        let (a, b) = (Leases::new(&a, "a", takeover), Leases::new(&b, "b", takeover));
        a.renew().await.expect("the lease is renewed");
        b.renew().await.expect("the lease is renewed");
        let thread = test_store.create_thread(&one).await;
        for _ in 0..20 {
            let mut orphans = HashSet::new();
            for _ in 0..10 {
                orphans.insert(test_store.create_run(&one, thread).await);
            }
            let (of_a, of_b) = tokio::join!(a.claim(), b.claim());
            let claimed: Vec<_> =
                [of_a, of_b].into_iter().flat_map(|runs| runs.expect("the runs are claimed")).collect();
            assert_eq!(claimed.len(), orphans.len());
            assert_eq!(claimed.into_iter().map(|run| run.run_id).collect::<HashSet<_>>(), orphans);
        }
    })
    .await;
}

#[tokio::test]
async fn a_stop_reaches_the_node_that_owns_the_run() {
    on_both_engines(async |test_store| {
        let ((one, _), (other, _)) = (test_store.node().await, test_store.node().await);
        let leases = Leases::new(&one, "one", Duration::from_secs(60));
        let run = test_store.create_run(&one, test_store.create_thread(&one).await).await;
        let stops = async || {
            let open = leases.open_runs().await.expect("the runs are read");
            open.into_iter().map(|run| (run.run_id, run.stopped)).collect::<Vec<_>>()
        };
        assert_eq!(stops().await, [(run, false)]);
        assert!(threads::request_stop(&other, test_store.user.id, run).await.expect("the stop is stored"));
        assert_eq!(stops().await, [(run, true)]);
        assert_eq!(
            Leases::new(&other, "other", Duration::from_secs(60)).open_runs().await.expect("the runs are read"),
            []
        );
    })
    .await;
}
