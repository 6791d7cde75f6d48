//! Nothing lost, nothing repeated: real servers, clients and databases under faults, and an audit of all that was
//! stored, applied and acknowledged.
//!
//! What is done is decided by a seed, which is printed; `NETRA_CHAOS_SEED` repeats one, `NETRA_CHAOS_FAULTS` makes it longer.
#![cfg(feature = "ssr")]

mod audit;
mod chaos;
mod nodes;
mod people;
mod plan;
mod proxy;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod witness;

use std::time::Duration;

use chaos::{Chaos, Outcome};
use plan::Plan;
use support::Engine;

/// Seeds that once failed.
const REGRESSIONS: &[(Engine, usize, u64)] = &[];

fn holds(seed: u64, outcome: &Outcome) {
    let shown: Vec<&String> = outcome.wrongs.iter().take(20).collect();
    assert!(outcome.wrongs.is_empty(), "seed {seed} shows {} wrongs: {shown:#?}", outcome.wrongs.len());
    assert!(outcome.acknowledged > 0, "nothing was said: {outcome:?}");
}

async fn survives(engine: Engine, nodes: usize, plan: Plan) {
    let outcome = Chaos::begin(engine, nodes, plan.clone(), |setup| setup).await.run().await;
    holds(plan.seed, &outcome);
    assert!(outcome.faults >= plan.faults, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_faults_on_the_embedded_engine_lose_nothing_and_repeat_nothing() {
    survives(Engine::Embedded, 1, Plan::from_environment(1_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_faults_on_three_nodes_lose_nothing_and_repeat_nothing() {
    survives(Engine::Distributed, 3, Plan::from_environment(1_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_that_failed_once_fail_no_more() {
    for (engine, nodes, seed) in REGRESSIONS {
        survives(*engine, *nodes, Plan { seed: *seed, ..Plan::from_environment(200) }).await;
    }
}

/// Runs a short plan on a server with a deliberate bug: the audit must see it.
async fn is_seen(bug: &str) {
    let patience = Duration::from_secs(5);
    let plan = Plan { seed: 1, faults: 12, clients: 2, people: 1, operate_every: 100, patience };
    let outcome = Chaos::begin(Engine::Embedded, 1, plan, |setup| setup.with("TEST_BUG", bug)).await.run().await;
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
