//! A store with one user in it, on which a test opens as many nodes as it needs.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use netra::{
    protocol::{
        CreateThread, RunId, SendMessage, ThreadId, UserId,
        http::{Role, User},
    },
    server::{
        channel::{Channel, Channels, Delivery, Hub},
        store::{Engine, Store},
        threads,
    },
};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::postgres::Postgres;

/// The id of the agent of all threads; there is no such agent.
const AGENT: &str = "script";

/// A node's hub that records the channel and seq of every delivery, for tests that wait for one.
#[derive(Default)]
pub struct DeliveryRecorder {
    deliveries: Mutex<Vec<(Channel, u64)>>,
    delivered: Notify,
}

impl DeliveryRecorder {
    /// The seqs delivered on a channel, in order of delivery.
    pub fn seqs(&self, channel: Channel) -> Vec<u64> {
        let deliveries = self.deliveries.lock().expect("not poisoned");
        deliveries.iter().filter(|(delivered_on, _)| *delivered_on == channel).map(|(_, seq)| *seq).collect()
    }

    /// Waits until a condition holds, which is checked now and after each delivery.
    pub async fn until(&self, condition: impl AsyncFn() -> bool) {
        loop {
            let delivered = self.delivered.notified();
            tokio::pin!(delivered);
            delivered.as_mut().enable();
            if condition().await {
                return;
            }
            delivered.await;
        }
    }
}

impl Hub for DeliveryRecorder {
    fn deliver(&self, delivery: &Delivery) {
        self.deliveries.lock().expect("not poisoned").push((delivery.channel, delivery.seq));
        self.delivered.notify_waiters();
    }
}

/// A store with one user. When it is dropped, it is removed.
pub struct TestStore {
    url: String,
    pub user: User,
    folder: TempDir,
    _postgres: Option<Postgres>,
}

/// Runs a test on SQLite and on PostgreSQL.
pub async fn on_both_engines(test: impl AsyncFn(&TestStore)) {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        eprintln!("on {engine:?}");
        test(&TestStore::on(engine).await).await;
    }
}

impl TestStore {
    /// An empty store on this engine, with one user.
    pub async fn on(engine: Engine) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Postgres::start().await),
        };
        let file = || format!("sqlite:{}?mode=rwc", folder.path().join("netra.db").display());
        let url = postgres.as_ref().map_or_else(file, Postgres::url);
        let user =
            User { id: UserId::new(), name: "Owner".into(), email: "owner@example.org".into(), role: Role::Member };
        let store = Self { url, user, folder, _postgres: postgres };
        store.insert(&store.user).await;
        store
    }

    /// Another user.
    pub async fn add_user(&self, name: &str) -> User {
        let email = format!("{}@example.org", name.to_lowercase());
        let user = User { id: UserId::new(), name: name.to_owned(), email, role: Role::Member };
        self.insert(&user).await;
        user
    }

    async fn insert(&self, user: &User) {
        let store = Store::open_url(&self.url).await.expect("the store opens");
        let sql =
            "INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ($1, $2, $3, 'member', '', 0)";
        let mut tx = store.begin().await.expect("the transaction begins");
        let query = sqlx::query(sql).bind(user.id.to_string()).bind(&user.email).bind(&user.name);
        query.execute(&mut *tx).await.expect("the statement succeeds");
        tx.commit().await.expect("the transaction commits");
    }

    /// A folder for the test's files, on SQLite the database's too.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the store once more, as another process does.
    pub async fn node(&self) -> (Channels, Arc<DeliveryRecorder>) {
        let recorder = Arc::new(DeliveryRecorder::default());
        let store = Store::open_url(&self.url).await.expect("the store opens");
        (Channels::new(store, recorder.clone()).await.expect("the log opens"), recorder)
    }

    pub async fn create_thread(&self, channels: &Channels) -> ThreadId {
        create_thread(channels, &self.user, AGENT).await
    }

    /// Sends a message, whose run then belongs to this node.
    pub async fn create_run(&self, channels: &Channels, thread_id: ThreadId) -> RunId {
        let command = SendMessage::new(thread_id, "Go on.");
        let outcome = threads::send(channels, &self.user, &command, None, |_| Ok(AGENT.into()))
            .await
            .expect("the message is accepted");
        outcome.accepted.run_id
    }
}

/// Creates a thread whose agent has this id.
pub async fn create_thread(channels: &Channels, user: &User, agent: &str) -> ThreadId {
    let command = CreateThread { thread_id: ThreadId::new(), title: None, agent: None };
    threads::create(channels, user, &command, agent).await.expect("the thread is created").id
}
