//! Appends to the log per second, by database, by the number of runs that append concurrently, and by the number of their threads.
//!
//! Each append is one delta of about 200 bytes, like a coalesced piece of an answer. A run waits for its commit before its next
//! append, so durable appends are measured. PostgreSQL is measured if `NETRA_BENCH_POSTGRES` is the URL of an empty database.

use std::{hint::black_box, sync::Arc, time::Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use netra::{
    protocol::{
        CreateThread, MessageId, RunId, SendMessage, ThreadEntry, ThreadId, UserId,
        agui::TextMessageContent,
        http::{Role, User},
    },
    server::{
        channel::{Channels, Delivery, Hub},
        store::Store,
        threads,
    },
};

/// Delivers nothing.
struct NoHub;

impl Hub for NoHub {
    fn deliver(&self, delivery: &Delivery) {
        black_box(delivery);
    }
}

/// Creates `count` runs in `threads` threads.
async fn runs(url: &str, count: usize, threads: usize) -> (Channels, Vec<(ThreadId, RunId)>) {
    let store = Store::open_url(url).await.expect("the store opens");
    let channels = Channels::new(store, Arc::new(NoHub)).await.expect("the log opens");
    let id = UserId::new();
    let user = User { id, name: "Bench".into(), email: format!("{id}@example.org"), role: Role::Member };
    let mut tx = channels.begin().await.expect("the transaction begins");
    let sql =
        "INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ($1, $2, $3, 'member', '', 0)";
    let insert = sqlx::query(sql).bind(user.id.to_string()).bind(&user.email).bind(&user.name);
    insert.execute(tx.sql()).await.expect("the statement succeeds");
    tx.commit().await.expect("the transaction commits");
    let ids: Vec<ThreadId> = (0..threads).map(|_| ThreadId::new()).collect();
    for thread_id in &ids {
        let create = CreateThread { thread_id: *thread_id, title: None, agent: None };
        threads::create(&channels, &user, &create, "bench").await.expect("the thread is created");
    }
    let mut runs = Vec::new();
    for thread_id in ids.into_iter().cycle().take(count) {
        let message_id = MessageId::new();
        let send = SendMessage { message_id, ..SendMessage::new(thread_id, "Go.") };
        let outcome = threads::send(&channels, &user, &send, None, |_| Ok("bench".into()))
            .await
            .expect("the message is accepted");
        let accepted = outcome.accepted;
        runs.push((thread_id, accepted.run_id));
    }
    (channels, runs)
}

fn appends(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = format!("sqlite:{}?mode=rwc", folder.path().join("bench.db").display());
    let postgres = std::env::var("NETRA_BENCH_POSTGRES").ok();
    let engines = [("sqlite", Some(sqlite)), ("postgres", postgres)];
    let mut group = criterion.benchmark_group("appends");
    group.sample_size(10).throughput(Throughput::Elements(1));
    for (engine, url) in engines {
        let Some(url) = url else {
            eprintln!("PostgreSQL is not measured: NETRA_BENCH_POSTGRES is not set");
            continue;
        };
        for (writers, threads) in [(1, 1), (16, 16), (256, 256), (2_048, 2_048), (2_048, 64)] {
            let (channels, runs) = runtime.block_on(runs(&url, writers, threads));
            let name = format!("{writers} runs in {threads} threads");
            group.bench_function(BenchmarkId::new(engine, name), |bencher| {
                bencher.to_async(&runtime).iter_custom(|iterations| {
                    let each = iterations.div_ceil(writers as u64);
                    let writer = move |channels: Channels, (thread, run): (ThreadId, RunId)| {
                        tokio::spawn(async move {
                            let event = Box::new(TextMessageContent::new("m", "x".repeat(60)).into());
                            let entry = [ThreadEntry::Agent { run_id: run, event }];
                            for _ in 0..each {
                                channels
                                    .append(thread, run, &entry)
                                    .await
                                    .expect("the entries are appended")
                                    .expect("the run is open");
                            }
                        })
                    };
                    let (channels, runs) = (channels.clone(), runs.clone());
                    async move {
                        let began = Instant::now();
                        join_all(runs.into_iter().map(|run| writer(channels.clone(), run))).await;
                        // Scaled to the requested number of iterations, as each run does a whole number of appends.
                        began.elapsed().mul_f64(iterations as f64 / (each * writers as u64) as f64)
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, appends);
criterion_main!(benches);
