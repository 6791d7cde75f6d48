//! Concurrent writers.

use futures_util::future::join_all;
use netra::{
    protocol::RunId,
    server::{
        channel::{Channel, Channels},
        store::Engine,
    },
};

use crate::{
    log::{delta, log},
    support::store::{TestStore, on_both_engines},
};

/// Appends `count` numbered deltas of a run, one after the other.
async fn write(channels: &Channels, thread: netra::protocol::ThreadId, run: RunId, count: usize) {
    let mut last = 0;
    for number in 0..count {
        let seq =
            channels.append(thread, run, &[delta(run, format!("{number};"))]).await.expect("the entries are appended");
        let seq = seq.expect("the run is this node's");
        assert!(seq > last, "a run's appends stay in order");
        last = seq;
    }
}

/// Asserts that the log has every seq once, and every delta of every run once, in order.
async fn assert_whole(channels: &Channels, thread: netra::protocol::ThreadId, runs: &[RunId], count: usize) {
    let log = log(channels, Channel::Thread(thread)).await;
    let seqs: Vec<u64> = log.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=log.len() as u64).collect::<Vec<u64>>());
    for run in runs {
        let of_run = |(_, frame): &&(u64, String)| frame.contains(&run.to_string()) && frame.contains("\"delta\"");
        let numbers: Vec<String> = log.iter().filter(of_run).map(|(_, frame)| text(frame)).collect();
        assert_eq!(numbers, (0..count).map(|number| format!("{number};")).collect::<Vec<_>>());
    }
}

fn text(frame: &str) -> String {
    let push: serde_json::Value = serde_json::from_str(frame).expect("JSON");
    push["payload"]["entry"]["event"]["delta"].as_str().expect("a delta").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_at_once_lose_nothing_and_repeat_nothing() {
    on_both_engines(async |test_store| {
        let (channels, recorder) = test_store.node().await;
        let mut threads = Vec::new();
        for _ in 0..5 {
            let thread = test_store.create_thread(&channels).await;
            let runs = [test_store.create_run(&channels, thread).await, test_store.create_run(&channels, thread).await];
            threads.push((thread, runs));
        }
        let channels = &channels;
        let writers = threads.iter().flat_map(|(thread, runs)| runs.map(|run| write(channels, *thread, run, 40)));
        join_all(writers).await;
        for (thread, runs) in &threads {
            assert_whole(channels, *thread, runs, 40).await;
            let mut delivered = recorder.seqs(Channel::Thread(*thread));
            if channels.store().engine() == Engine::Postgres {
                delivered.sort_unstable();
            }
            let all: Vec<u64> = (1..=delivered.len() as u64).collect();
            assert_eq!(delivered, all, "delivered once; on SQLite in order, too");
            assert_eq!(
                channels.extent(Channel::Thread(*thread)).await.expect("the extent is read").head,
                all.len() as u64
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_a_threads_log_without_a_gap() {
    let test_store = TestStore::on(Engine::Postgres).await;
    let ((one, _), (other, _)) = (test_store.node().await, test_store.node().await);
    let thread = test_store.create_thread(&one).await;
    let (first, second) = (test_store.create_run(&one, thread).await, test_store.create_run(&other, thread).await);
    tokio::join!(write(&one, thread, first, 50), write(&other, thread, second, 50));
    assert_whole(&one, thread, &[first, second], 50).await;
    assert_eq!(one.epoch(), other.epoch(), "nodes on one store have the same epoch");
    assert_ne!(one.node(), other.node());
}

#[tokio::test]
async fn a_finished_or_deleted_run_accepts_no_append() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let thread = test_store.create_thread(&channels).await;
        let run = test_store.create_run(&channels, thread).await;
        let head = channels
            .append(thread, run, &[delta(run, "a")])
            .await
            .expect("the entries are appended")
            .expect("the run is open");
        assert!(channels.has_after(thread, head - 1, run).await.expect("the log is read"));
        assert!(!channels.has_after(thread, head, run).await.expect("the log is read"));
        let mut tx = channels.begin().await.expect("the transaction begins");
        let update = sqlx::query("UPDATE runs SET ended_at = 1 WHERE id = $1").bind(run.to_string());
        update.execute(tx.sql()).await.expect("the statement succeeds");
        tx.commit().await.expect("the transaction commits");
        assert_eq!(channels.append(thread, run, &[delta(run, "b")]).await.expect("the store does not fail"), None);
        let unknown = RunId::new();
        assert_eq!(
            channels.append(thread, unknown, &[delta(unknown, "c")]).await.expect("the store does not fail"),
            None
        );
        assert_eq!(channels.extent(Channel::Thread(thread)).await.expect("the extent is read").head, head);
    })
    .await;
}
