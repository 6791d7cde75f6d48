//! One node to a run.

use std::time::Duration;

use netra::server::{leases::Leases, store::Engine, threads};

use crate::house::{House, delta, on_both};

#[tokio::test]
async fn a_nodes_runs_are_its_own_while_it_renews_and_anothers_once_it_is_dead() {
    let house = House::on(Engine::Postgres).await;
    let ((one, _), (other, _)) = (house.node().await, house.node().await);
    let within = Duration::from_millis(1_500);
    let (alive, heir) = (Leases::new(&one, "one", within), Leases::new(&other, "other", within));
    alive.renew().await.expect("renews");
    heir.renew().await.expect("renews");
    let thread = house.thread(&one).await;
    let run = house.run(&one, thread).await;
    assert_eq!(heir.claim().await.expect("asks"), [], "it is alive");
    assert!(one.append(thread, run, &[delta(run, "mine")]).await.expect("appends").is_some());
    let claimed = loop {
        let claimed = heir.claim().await.expect("asks");
        if !claimed.is_empty() {
            break claimed;
        }
        tokio::time::sleep(heir.turn()).await;
        heir.renew().await.expect("renews");
    };
    assert_eq!(claimed.iter().map(|orphan| orphan.run_id).collect::<Vec<_>>(), [run]);
    assert_eq!(one.append(thread, run, &[delta(run, "late")]).await.expect("answers"), None, "fenced, however alive");
    alive.renew().await.expect("renews");
    assert_eq!(
        one.append(thread, run, &[delta(run, "late")]).await.expect("answers"),
        None,
        "a new lease brings none back"
    );
    assert!(other.append(thread, run, &[delta(run, "heir")]).await.expect("appends").is_some());
    assert_eq!(alive.claim().await.expect("asks"), [], "the heir is alive");
}

#[tokio::test]
async fn a_lease_given_back_leaves_its_runs_to_others_at_once() {
    on_both(async |house| {
        let ((one, _), (other, _)) = (house.node().await, house.node().await);
        let (leaves, heir) = (
            Leases::new(&one, "one", Duration::from_secs(3600)),
            Leases::new(&other, "other", Duration::from_secs(60)),
        );
        leaves.renew().await.expect("renews");
        let run = house.run(&one, house.thread(&one).await).await;
        assert_eq!(heir.claim().await.expect("asks"), []);
        leaves.leave().await.expect("leaves");
        assert_eq!(heir.claim().await.expect("asks").iter().map(|orphan| orphan.run_id).collect::<Vec<_>>(), [run]);
    })
    .await;
}

#[tokio::test]
async fn whoever_asks_to_stop_is_heard_by_the_node_that_lives_the_run() {
    on_both(async |house| {
        let ((one, _), (other, _)) = (house.node().await, house.node().await);
        let leases = Leases::new(&one, "one", Duration::from_secs(60));
        let run = house.run(&one, house.thread(&one).await).await;
        assert_eq!(leases.stops().await.expect("asks"), []);
        assert!(threads::ask_to_stop(&other, house.user.id, run).await.expect("noted"));
        assert_eq!(leases.stops().await.expect("asks"), [run]);
        assert_eq!(Leases::new(&other, "other", Duration::from_secs(60)).stops().await.expect("asks"), []);
    })
    .await;
}
