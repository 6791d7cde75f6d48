//! Real servers, clients and databases under faults, and an audit that nothing stored, applied or acknowledged is lost or
//! repeated.
//!
//! A seed decides all choices and is printed; `NETRA_CHAOS_SEED` repeats one, `NETRA_CHAOS_FAULTS` sets the number of faults.

mod audit;
mod chaos;
mod client_recorder;
mod nodes;
mod plan;
mod proxy;
mod report;
mod storm;
mod users;

use std::time::Duration;

use chaos::{Chaos, Report};
use plan::Plan;

use crate::support::Deployment;

/// Seeds that failed once, on one node and on three; they run before a new one.
const EMBEDDED_SEEDS: &[u64] = &[];
const DISTRIBUTED_SEEDS: &[u64] = &[];
/// The number of faults with those seeds.
const REPEATED_FAULTS: u32 = 200;

fn assert_ok(seed: u64, report: &Report) {
    let shown: Vec<&String> = report.violations.iter().take(20).collect();
    assert!(report.violations.is_empty(), "seed {seed} shows {} violations: {shown:#?}", report.violations.len());
    assert!(report.acknowledged > 0, "no message was acknowledged: {report:?}");
}

async fn assert_survives(deployment: Deployment, nodes: usize, regressions: &[u64]) {
    let repeated =
        |seed: &u64| Plan { seed: *seed, faults: REPEATED_FAULTS, ..Plan::from_environment(REPEATED_FAULTS) };
    for plan in regressions.iter().map(repeated).chain([Plan::from_environment(1_000)]) {
        let report = Chaos::start(deployment, nodes, plan.clone(), |setup| setup).await.run().await;
        assert_ok(plan.seed, &report);
        assert!(report.faults >= plan.faults, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_faults_on_the_embedded_engine_lose_nothing_and_repeat_nothing() {
    assert_survives(Deployment::Embedded, 1, EMBEDDED_SEEDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_faults_on_three_nodes_lose_nothing_and_repeat_nothing() {
    assert_survives(Deployment::Distributed, 3, DISTRIBUTED_SEEDS).await;
}

/// Sends two messages on a server with a deliberate bug, which the audit must find.
async fn assert_bug_is_found(bug: &str) {
    let settle_timeout = Duration::from_secs(5);
    let plan = Plan { clients: 2, users: 1, tasks_per_user: 0, settle_timeout, ..Plan::from_environment(0) };
    let chaos = Chaos::start(Deployment::Embedded, 1, plan, |setup| setup.with("TEST_BUG", bug)).await;
    chaos.skip_log_verification();
    let asking = async {
        for _ in 0..2 {
            chaos.users[0].1.ask_once().await;
        }
    };
    let report = chaos.run_during(asking).await;
    assert!(!report.violations.is_empty(), "{bug} was not found");
    println!("{bug} is found: {}", report.violations[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_finds_an_entry_that_is_not_delivered() {
    assert_bug_is_found("skip_delivery").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_finds_an_entry_published_before_its_commit() {
    assert_bug_is_found("publish_before_commit").await;
}
