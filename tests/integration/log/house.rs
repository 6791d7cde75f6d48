//! A store with somebody in it, and as many nodes on it as a test likes.

use std::sync::{Arc, Mutex};

use netra::{
    protocol::{
        CreateThread, RunId, SendMessage, ThreadEntry, ThreadId, UserId,
        agui::{Event, TextMessageContent},
        http::{Role, User},
    },
    server::{
        channel::{Channel, Channels, Delivery, Hub},
        store::{Engine, Store},
        threads,
    },
};
use tempfile::TempDir;

use crate::support::postgres::Postgres;

/// What a node's hub was given, in order.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<(Channel, u64)>>);

impl Heard {
    pub(crate) fn of(&self, channel: Channel) -> Vec<u64> {
        let heard = self.0.lock().expect("not poisoned");
        heard.iter().filter(|(at, _)| *at == channel).map(|(_, seq)| *seq).collect()
    }
}

impl Hub for Heard {
    fn deliver(&self, delivery: &Delivery) {
        self.0.lock().expect("not poisoned").push((delivery.channel, delivery.seq));
    }
}

/// A store.
pub(crate) struct House {
    url: String,
    pub(crate) user: User,
    _folder: TempDir,
    _postgres: Option<Postgres>,
}

/// Runs a test on SQLite and on PostgreSQL.
pub(crate) async fn on_both(test: impl AsyncFn(&House)) {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        eprintln!("on {engine:?}");
        test(&House::on(engine).await).await;
    }
}

impl House {
    pub(crate) async fn on(engine: Engine) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Postgres::start().await),
        };
        let file = || format!("sqlite:{}?mode=rwc", folder.path().join("netra.db").display());
        let url = postgres.as_ref().map_or_else(file, Postgres::url);
        let user =
            User { id: UserId::new(), name: "Owner".into(), email: "owner@example.org".into(), role: Role::Member };
        let house = Self { url, user, _folder: folder, _postgres: postgres };
        let (channels, _) = house.node().await;
        let sql =
            "INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ($1, $2, $3, 'member', '', 0)";
        let mut tx = channels.begin().await.expect("begins");
        let query = sqlx::query(sql).bind(house.user.id.to_string()).bind(&house.user.email).bind(&house.user.name);
        query.execute(tx.sql()).await.expect("inserts");
        tx.commit().await.expect("commits");
        house
    }

    /// One more process on it.
    pub(crate) async fn node(&self) -> (Channels, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        let store = Store::open_url(&self.url).await.expect("opens");
        (Channels::new(store, heard.clone()).await.expect("begins"), heard)
    }

    pub(crate) async fn thread(&self, channels: &Channels) -> ThreadId {
        let thread_id = ThreadId::new();
        let command = CreateThread { thread_id, title: None, agent: None };
        threads::create(channels, &self.user, &command, "script").await.expect("made");
        thread_id
    }

    /// A run that this node has begun.
    pub(crate) async fn run(&self, channels: &Channels, thread_id: ThreadId) -> RunId {
        let command = message(thread_id, "Go on.");
        let asked =
            threads::send(channels, &self.user, &command, None, |_| Ok("script".into())).await.expect("accepted");
        asked.accepted.run_id
    }
}

pub(crate) fn message(thread_id: ThreadId, text: &str) -> SendMessage {
    SendMessage::new(thread_id, text)
}

pub(crate) fn entry(run_id: RunId, event: impl Into<Event>) -> ThreadEntry {
    ThreadEntry::Agent { run_id, event: Box::new(event.into()) }
}

pub(crate) fn delta(run_id: RunId, text: impl Into<String>) -> ThreadEntry {
    entry(run_id, TextMessageContent::new("m", text))
}

/// The places and texts of a channel's whole log, page by page.
pub(crate) async fn log(channels: &Channels, channel: Channel) -> Vec<(u64, String)> {
    let mut log: Vec<(u64, String)> = Vec::new();
    loop {
        let after = log.last().map_or(0, |(seq, _)| *seq);
        let page = channels.page(channel, after).await.expect("reads");
        if page.is_empty() {
            return log;
        }
        log.extend(page.into_iter().map(|delivery| (delivery.seq, delivery.frame.to_string())));
    }
}
