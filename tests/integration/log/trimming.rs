//! Compaction and removal of the entries of finished runs.

use std::time::Duration;

use netra::{
    protocol::{
        RunId, ThreadId,
        agui::{Raw, RunFinished, RunStarted, StateDelta, StateSnapshot, TextMessageEnd, TextMessageStart},
    },
    server::{
        channel::{Channel, Channels, Extent, Trimming},
        clock::now_ms,
        raw_events,
    },
};

use serde_json::json;

use crate::{
    log::{delta, entry, log},
    support::store::{TestStore, on_both_engines},
};

/// Compacts finished runs at once, and removes none.
const COMPACT_NOW: Trimming = Trimming { compact_after: Duration::ZERO, keep_for: None, keep_bytes: None };

/// A run with a thousand deltas, which ended at this time, or is open.
async fn run_with_deltas(
    test_store: &TestStore,
    channels: &Channels,
    thread: ThreadId,
    ended_at: Option<i64>,
) -> RunId {
    let run = test_store.create_run(channels, thread).await;
    let mut entries = vec![entry(run, RunStarted::new(thread, run)), entry(run, TextMessageStart::new("m"))];
    entries.extend((0..1_000).map(|number| delta(run, format!("{number} "))));
    entries.push(entry(run, TextMessageEnd::new("m")));
    if ended_at.is_some() {
        entries.push(entry(run, RunFinished::new(thread, run)));
    }
    channels.append(thread, run, &entries).await.expect("the entries are appended").expect("the run is open");
    let mut tx = channels.begin().await.expect("the transaction begins");
    let update = sqlx::query("UPDATE runs SET ended_at = $2 WHERE id = $1").bind(run.to_string()).bind(ended_at);
    update.execute(tx.sql()).await.expect("the statement succeeds");
    tx.commit().await.expect("the transaction commits");
    run
}

#[tokio::test]
async fn a_finished_runs_deltas_become_one_and_the_thread_looks_the_same() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let thread = test_store.create_thread(&channels).await;
        let open = run_with_deltas(test_store, &channels, thread, None).await;
        assert_eq!(channels.trim(&COMPACT_NOW).await.expect("the log is trimmed"), 0, "an open run is kept");
        let mut tx = channels.begin().await.expect("the transaction begins");
        let update =
            sqlx::query("UPDATE runs SET ended_at = $2 WHERE id = $1").bind(open.to_string()).bind(now_ms() - 1);
        update.execute(tx.sql()).await.expect("the statement succeeds");
        tx.commit().await.expect("the transaction commits");
        let before = channels.thread(thread).await.expect("the thread is folded");
        assert_eq!(channels.trim(&COMPACT_NOW).await.expect("the log is trimmed"), 999);
        assert_eq!(
            channels.trim(&COMPACT_NOW).await.expect("the log is trimmed"),
            0,
            "the second time changes nothing"
        );
        assert_eq!(channels.thread(thread).await.expect("the thread is folded"), before);
        let head = before.0.seq;
        assert_eq!(
            channels.extent(Channel::Thread(thread)).await.expect("the extent is read"),
            Extent { trimmed: head, head }
        );
        // Without a stored snapshot, the remaining entries fold to the same view.
        let mut tx = channels.begin().await.expect("the transaction begins");
        sqlx::query("DELETE FROM snapshots").execute(tx.sql()).await.expect("the statement succeeds");
        tx.commit().await.expect("the transaction commits");
        assert_eq!(channels.thread(thread).await.expect("the thread is folded"), before);
    })
    .await;
}

#[tokio::test]
async fn old_runs_and_runs_over_the_size_limit_are_removed_completely() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let thread = test_store.create_thread(&channels).await;
        let day = 24 * 3600 * 1000;
        let old = run_with_deltas(test_store, &channels, thread, Some(now_ms() - 3 * day)).await;
        let recent = run_with_deltas(test_store, &channels, thread, Some(now_ms() - day)).await;
        let newest = run_with_deltas(test_store, &channels, thread, Some(now_ms() - 1)).await;
        let days = |days: u64| Some(Duration::from_secs(days * 24 * 3600));
        let never = Duration::from_secs(100 * 24 * 3600);
        let aged = Trimming { compact_after: never, keep_for: days(2), keep_bytes: None };
        let runs = async || {
            let view = channels.thread(thread).await.expect("the thread is folded").1;
            [old, recent, newest].map(|run| view.run(run).is_some())
        };
        assert_eq!(runs().await, [true; 3]);
        assert!(channels.trim(&aged).await.expect("the log is trimmed") > 1_000);
        assert_eq!(runs().await, [false, true, true]);
        let bytes: usize = log(&channels, Channel::Thread(thread)).await.iter().map(|(_, frame)| frame.len()).sum();
        let sized = Trimming { keep_bytes: Some(bytes as u64 / 2), ..COMPACT_NOW };
        assert!(channels.trim(&sized).await.expect("the log is trimmed") > 0);
        assert!(runs().await[2], "the newest is small enough after its deltas were merged");
        let tight = Trimming { compact_after: Duration::ZERO, keep_for: None, keep_bytes: Some(1) };
        let last = run_with_deltas(test_store, &channels, thread, Some(now_ms() - 1)).await;
        assert!(channels.trim(&tight).await.expect("the log is trimmed") > 0);
        let view = channels.thread(thread).await.expect("the thread is folded").1;
        assert!(view.run(last).is_none() && view.info.is_some(), "the thread itself stays");
        let Extent { trimmed, head } = channels.extent(Channel::Thread(thread)).await.expect("the extent is read");
        assert!((1..=head).contains(&trimmed));
    })
    .await;
}

#[tokio::test]
async fn raw_events_count_while_they_are_kept_and_are_removed_with_their_run() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let thread = test_store.create_thread(&channels).await;
        let raw = [Raw::new(json!("x".repeat(1_000_000))).into()];
        let old = run_with_deltas(test_store, &channels, thread, Some(now_ms() - 3 * 24 * 3600 * 1000)).await;
        let new = run_with_deltas(test_store, &channels, thread, Some(now_ms())).await;
        for run in [old, new] {
            raw_events::keep(&channels, thread, run, &raw).await.expect("the events are kept");
        }
        let counted = async || {
            let sql = "SELECT bytes FROM channels WHERE id = $1";
            let query = sqlx::query_scalar::<_, i64>(sql).bind(Channel::Thread(thread).to_string());
            query.fetch_one(channels.store().reader()).await.expect("the row is read")
        };
        assert!(counted().await > 2_000_000);
        let day = Duration::from_secs(24 * 3600);
        let aged = Trimming { compact_after: 100 * day, keep_for: Some(day), keep_bytes: None };
        assert!(channels.trim(&aged).await.expect("the log is trimmed") > 0);
        assert!(
            (1_000_000..2_000_000).contains(&counted().await),
            "the raw events of the remaining run: {}",
            counted().await
        );
        let removed = raw_events::page(&channels, old, 0).await.expect("the page is read");
        assert!(removed.events.is_empty(), "they were removed with their run");
        let remaining = raw_events::page(&channels, new, 0).await.expect("the page is read");
        assert_eq!(remaining.events.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_state_is_kept_after_the_run_that_set_it_is_removed() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let thread = test_store.create_thread(&channels).await;
        let large = json!({"text": "x".repeat(100_000), "turns": 1});
        let mut runs = Vec::new();
        for turn in 1..=3 {
            let run = run_with_deltas(test_store, &channels, thread, None).await;
            let delta = json!([{"op": "replace", "path": "/turns", "value": turn}]);
            let state_entry = match turn {
                1 => entry(run, StateSnapshot::new(large.clone())),
                _ => entry(run, StateDelta::new(delta.as_array().expect("operations").clone())),
            };
            channels
                .append(thread, run, &[state_entry])
                .await
                .expect("the entries are appended")
                .expect("the run is open");
            let mut tx = channels.begin().await.expect("the transaction begins");
            let ended_at = now_ms() - if turn == 3 { 1 } else { 3 * 24 * 3600 * 1000 };
            let update =
                sqlx::query("UPDATE runs SET ended_at = $2 WHERE id = $1").bind(run.to_string()).bind(ended_at);
            update.execute(tx.sql()).await.expect("the statement succeeds");
            tx.commit().await.expect("the transaction commits");
            runs.push(run);
        }
        let never = Duration::from_secs(100 * 24 * 3600);
        let day = Duration::from_secs(24 * 3600);
        let aged = Trimming { compact_after: never, keep_for: Some(day), keep_bytes: None };
        assert!(channels.trim(&aged).await.expect("the log is trimmed") > 0);
        let (_, view) = channels.thread(thread).await.expect("the thread is folded");
        assert!(view.run(runs[0]).is_none() && view.run(runs[1]).is_none());
        let mut expected = large;
        expected["turns"] = json!(3);
        assert_eq!(view.state_of(runs[2]).as_deref(), Some(&expected));
    })
    .await;
}
