//! Nothing lost, nothing repeated: real servers, clients and databases under faults, and an audit of all that was
//! stored, applied and acknowledged.
//!
//! What is done is decided by a seed, which is printed; `NETRA_CHAOS_SEED` repeats one, `NETRA_CHAOS_FAULTS` makes it longer.

mod audit;
mod chaos;
mod nodes;
mod people;
mod plan;
mod proxy;
mod storm;
mod verdict;
mod witness;

use std::time::Duration;

use chaos::{Chaos, Outcome};
use plan::Plan;

use crate::support::Engine;

/// Seeds that failed once, on one node and on three: they are run before a new one.
const EMBEDDED: &[u64] = &[];
const DISTRIBUTED: &[u64] = &[];
/// How many faults those get.
const AGAIN: u32 = 200;

fn holds(seed: u64, outcome: &Outcome) {
    let shown: Vec<&String> = outcome.wrongs.iter().take(20).collect();
    assert!(outcome.wrongs.is_empty(), "seed {seed} shows {} wrongs: {shown:#?}", outcome.wrongs.len());
    assert!(outcome.acknowledged > 0, "nothing was said: {outcome:?}");
}

async fn survives(engine: Engine, nodes: usize, regressions: &[u64]) {
    let again = |seed: &u64| Plan { seed: *seed, faults: AGAIN, ..Plan::from_environment(AGAIN) };
    for plan in regressions.iter().map(again).chain([Plan::from_environment(1_000)]) {
        let outcome = Chaos::begin(engine, nodes, plan.clone(), |setup| setup).await.run().await;
        holds(plan.seed, &outcome);
        assert!(outcome.faults >= plan.faults, "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_faults_on_the_embedded_engine_lose_nothing_and_repeat_nothing() {
    survives(Engine::Embedded, 1, EMBEDDED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_faults_on_three_nodes_lose_nothing_and_repeat_nothing() {
    survives(Engine::Distributed, 3, DISTRIBUTED).await;
}

/// Asks twice on a server with a deliberate bug: the audit must see it.
async fn is_seen(bug: &str) {
    let patience = Duration::from_secs(5);
    let plan = Plan { clients: 2, people: 1, lives: 0, patience, ..Plan::from_environment(0) };
    let chaos = Chaos::begin(Engine::Embedded, 1, plan, |setup| setup.with("TEST_BUG", bug)).await;
    chaos.spoil();
    let asking = async {
        for _ in 0..2 {
            chaos.people[0].1.ask_once().await;
        }
    };
    let outcome = chaos.live_through(asking).await;
    assert!(!outcome.wrongs.is_empty(), "{bug} went unseen");
    println!("{bug} is seen: {}", outcome.wrongs[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_sees_an_entry_that_is_not_delivered() {
    is_seen("skip_delivery").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_sees_what_was_published_before_it_was_stored() {
    is_seen("publish_before_commit").await;
}
