//! The time to start a run: from `Runner::start` to the call of its agent, with `RUN_STARTED` committed and the run's input read from
//! the store.
//!
//! Each run has its own thread, which holds only the run's message, or 100 turns before it (500 entries). PostgreSQL is measured if
//! `NETRA_BENCH_POSTGRES` is the URL of an empty database.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use netra::{
    protocol::{
        CreateThread, RunId, SendMessage, ThreadId, UserId,
        agui::{TextMessageContent, TextMessageEnd, TextMessageStart},
        http::{AgentInfo, Role, User},
    },
    server::{
        agents::{AgentBuilder, AgentRegistry},
        channel::{Channels, Delivery, Hub},
        runs::{Agent, AgentError, Done, Emitter, RunInput, Runner, RunnerOptions},
        store::Store,
        threads,
    },
};
use tokio::sync::mpsc;

/// Delivers nothing.
struct NoHub;

impl Hub for NoHub {
    fn deliver(&self, _: &Delivery) {}
}

/// An agent that reports when it is called, and answers a short text.
struct TimedAgent(mpsc::UnboundedSender<Instant>);

#[async_trait]
impl Agent for TimedAgent {
    fn info(&self) -> AgentInfo {
        AgentInfo::new("timed", "Timed", "")
    }

    async fn run(&self, _: RunInput, out: Emitter) -> Result<Done, AgentError> {
        let _ = self.0.send(Instant::now());
        out.emit(TextMessageStart::new("m")).await?;
        out.emit(TextMessageContent::new("m", "An answer of a few words.")).await?;
        out.emit(TextMessageEnd::new("m")).await?;
        Ok(Done::default())
    }
}

struct Fixture {
    channels: Channels,
    runner: Runner,
    /// When the agent was called.
    calls: mpsc::UnboundedReceiver<Instant>,
    user: User,
    /// A thread with 100 turns.
    long: ThreadId,
}

impl Fixture {
    async fn new(url: &str) -> Self {
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
        let (sender, calls) = mpsc::unbounded_channel();
        let agents = AgentRegistry::new([Arc::new(TimedAgent(sender)) as Arc<dyn Agent>], &[], AgentBuilder::default());
        let options = RunnerOptions { coalesce: Duration::ZERO, ..RunnerOptions::new(std::env::temp_dir()) };
        let runner = Runner::new(channels.clone(), agents.agents().clone(), options);
        let long = ThreadId::new();
        let mut fixture = Self { channels, runner, calls, user, long };
        fixture.create(long).await;
        for _ in 0..100 {
            fixture.run(long).await;
        }
        fixture
    }

    async fn create(&self, thread_id: ThreadId) {
        let create = CreateThread { thread_id, title: Some("A thread".into()), agent: None };
        threads::create(&self.channels, &self.user, &create, "timed").await.expect("the thread is created");
    }

    /// Creates a thread, with a copy of the long one's log or empty.
    async fn thread(&self, is_long: bool) -> ThreadId {
        let thread_id = ThreadId::new();
        self.create(thread_id).await;
        if is_long {
            let mut tx = self.channels.begin().await.expect("the transaction begins");
            for sql in [
                "INSERT INTO entries (channel, seq, at, entry) SELECT $1, seq, at, entry FROM entries \
                 WHERE channel = $2 AND seq > 1",
                "UPDATE channels SET head = (SELECT head FROM channels WHERE id = $2) WHERE id = $1",
            ] {
                let query = sqlx::query(sql).bind(format!("thread/{thread_id}")).bind(format!("thread/{}", self.long));
                query.execute(tx.sql()).await.expect("the statement succeeds");
            }
            tx.commit().await.expect("the transaction commits");
        }
        thread_id
    }

    /// Runs an agent and waits until its end is stored; returns how long its start took.
    async fn run(&mut self, thread_id: ThreadId) -> Duration {
        let send = SendMessage::new(thread_id, "What do my tokens cost?");
        let sent = threads::send(&self.channels, &self.user, &send, None, |_| Ok("timed".into())).await;
        let new = sent.expect("the message is accepted").run.expect("a run");
        let (run_id, start): (RunId, Instant) = (new.run_id, Instant::now());
        self.runner.start(new);
        let called_at = self.calls.recv().await.expect("the agent is called");
        while threads::is_open(&self.channels, run_id).await.expect("the run is read") {
            tokio::task::yield_now().await;
        }
        called_at - start
    }
}

fn starts(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = format!("sqlite:{}?mode=rwc", folder.path().join("bench.db").display());
    let postgres = std::env::var("NETRA_BENCH_POSTGRES").ok();
    let mut group = criterion.benchmark_group("starts");
    group.sample_size(20);
    for (engine, url) in [("sqlite", Some(sqlite)), ("postgres", postgres)] {
        let Some(url) = url else {
            eprintln!("PostgreSQL is not measured: NETRA_BENCH_POSTGRES is not set");
            continue;
        };
        let fixture = Arc::new(tokio::sync::Mutex::new(runtime.block_on(Fixture::new(&url))));
        for (name, is_long) in [("a first message", false), ("100 turns before", true)] {
            group.bench_function(BenchmarkId::new(engine, name), |bencher| {
                bencher.to_async(&runtime).iter_custom(|iterations| {
                    let fixture = fixture.clone();
                    async move {
                        let (mut fixture, mut took) = (fixture.lock().await, Duration::ZERO);
                        for _ in 0..iterations {
                            let thread_id = fixture.thread(is_long).await;
                            took += fixture.run(thread_id).await;
                        }
                        took
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, starts);
criterion_main!(benches);
