//! How long a search takes in 100,000 messages of one person, and how long it takes to index them.
//!
//! The words of the messages are distributed as in a language: the most common one is in most messages. The queries have common and rare words,
//! pairs, phrases and beginnings of words. PostgreSQL is measured if `NETRA_BENCH_POSTGRES` is the URL of an empty database.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use netra::{
    protocol::{Author, RunId, ThreadEntry, ThreadId, ThreadInfo, UserId, UserMessage},
    server::{
        channel::{Channels, Delivery, Hub},
        search::{ChangedThreads, Indexer, Query, find},
        store::Store,
    },
};
use sqlx::AssertSqlSafe;

const THREADS: u64 = 1_000;
const MESSAGES_PER_THREAD: u64 = 100;
/// How many different words there are.
const WORDS: u64 = 30_000;
const QUERIES: u64 = 50;

/// Delivers nothing.
struct NoHub;

impl Hub for NoHub {
    fn deliver(&self, delivery: &Delivery) {
        black_box(delivery);
    }
}

/// Numbers that look random, the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// The number of a word: low numbers are common, by Zipf's law.
    fn word(&mut self) -> u64 {
        let share = self.below(1 << 32) as f64 / f64::from(u32::MAX);
        ((WORDS as f64).powf(share) as u64).saturating_sub(1)
    }
}

/// A word by its number; common words are short.
fn word(mut number: u64) -> String {
    const SYLLABLES: [&str; 16] =
        ["ta", "re", "mi", "no", "ku", "sa", "le", "fo", "ri", "da", "ne", "po", "lu", "gi", "be", "wo"];
    let mut word = String::new();
    loop {
        word.push_str(SYLLABLES[(number % 16) as usize]);
        number /= 16;
        if number == 0 {
            return word;
        }
    }
}

/// Inserts a person with threads full of messages; returns their id.
async fn fill(channels: &Channels) -> UserId {
    let (owner, mut numbers) = (UserId::new(), Numbers(7));
    let mut tx = channels.begin().await.expect("the transaction begins");
    let sql = format!(
        "INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ('{owner}', '{owner}', 'Bench', 'member', '', 0)"
    );
    sqlx::query(AssertSqlSafe(sql)).execute(tx.sql()).await.expect("the statement succeeds");
    tx.commit().await.expect("the transaction commits");
    for thread in 0..THREADS {
        let id = ThreadId::new();
        let title = format!("{} {}", word(numbers.word()), word(numbers.word()));
        let at = 1_767_225_600_000 + i64::try_from(thread * MESSAGES_PER_THREAD * 1_000).expect("a time");
        let info = ThreadInfo::new(id, title.clone(), "bench", at);
        let mut entries = vec![ThreadEntry::Thread { thread: info }];
        let mut runs = Vec::new();
        for _ in 0..MESSAGES_PER_THREAD {
            let words: Vec<String> = (0..5 + numbers.below(56)).map(|_| word(numbers.word())).collect();
            let author = Author { id: owner, name: "Bench".into() };
            let run = RunId::new();
            let message = UserMessage::new(author, words.join(" "), run, "bench");
            entries.push(ThreadEntry::Message { message });
            runs.push(format!("('{run}', '{id}', '{owner}', 'bench', 0, 0)"));
        }
        let rows = (1..).zip(&entries).map(|(seq, entry)| {
            let json = serde_json::to_string(entry).expect("the value is serialized");
            format!("('thread/{id}', {seq}, {}, '{json}')", at + seq * 1_000)
        });
        let (rows, head) = (rows.collect::<Vec<_>>().join(", "), entries.len());
        let sql = format!(
            "INSERT INTO threads (id, owner, title, agent, request, created_at) VALUES ('{id}', '{owner}', '{title}', 'bench', '', {at}); \
             INSERT INTO channels (id, head) VALUES ('thread/{id}', {head}); \
             INSERT INTO entries (channel, seq, at, entry) VALUES {rows}; \
             INSERT INTO runs (id, thread_id, owner, agent, started_at, ended_at) VALUES {};",
            runs.join(", "),
        );
        let mut tx = channels.begin().await.expect("the transaction begins");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(tx.sql()).await.expect("the statements succeed");
        tx.commit().await.expect("the transaction commits");
    }
    owner
}

/// The queries, of all kinds in turn.
fn queries() -> Vec<String> {
    let mut numbers = Numbers(11);
    let mut queries = vec![format!("{} ", word(0)), format!("\"{}\"", word(0))];
    while (queries.len() as u64) < QUERIES {
        let common = word(numbers.below(20));
        let rare = word(1_000 + numbers.below(WORDS - 1_000));
        queries.push(match numbers.below(6) {
            0 => format!("\"{common}\""),
            1 => format!("\"{rare}\""),
            2 => format!("{common} {}", word(numbers.below(20))),
            3 => format!("{common} {rare}"),
            4 => format!("\"{common} {}\"", word(numbers.below(200))),
            _ => rare[..2 + numbers.below(3) as usize].to_owned(),
        });
    }
    queries
}

async fn measure(engine: &str, url: &str) {
    let store = Store::open_url(url).await.expect("the store opens");
    let channels = Channels::new(store, Arc::new(NoHub)).await.expect("the log opens");
    let owner = fill(&channels).await;
    let began = Instant::now();
    let indexer = Indexer::new(channels.clone(), ChangedThreads::default());
    indexer.index_all().await.expect("everything is indexed");
    println!("{engine}: {} messages indexed in {:.1?}", THREADS * MESSAGES_PER_THREAD, began.elapsed());
    let mut times: Vec<(Duration, String, usize)> = Vec::new();
    for text in queries() {
        let query = Query::parse(&text).expect("it has words");
        let began = Instant::now();
        let page = find(channels.store(), owner, query, 20, None).await.expect("the store is searched");
        times.push((began.elapsed(), text, page.hits.len()));
    }
    times.sort();
    println!("{engine}: median {:.1?}", times[times.len() / 2].0);
    for (time, text, hits) in times.iter().rev().take(5) {
        println!("{engine}: {time:.1?} for `{text}` ({hits} hits on the page)");
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = format!("sqlite:{}?mode=rwc", folder.path().join("bench.db").display());
    runtime.block_on(measure("SQLite", &sqlite));
    match std::env::var("NETRA_BENCH_POSTGRES") {
        Ok(url) => runtime.block_on(measure("PostgreSQL", &url)),
        Err(_) => eprintln!("PostgreSQL is not measured: NETRA_BENCH_POSTGRES is not set"),
    }
}
