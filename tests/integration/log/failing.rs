//! Transactions that fail: afterwards every connection works, and nothing of the transaction is stored.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use netra::{
    protocol::ErrorCode,
    server::{
        channel::Channel,
        error::Error,
        outage::Outage,
        store::{Engine, Store},
    },
};
use sqlx::AssertSqlSafe;
use tokio::time::timeout;

use crate::{
    log::delta,
    support::{
        TEST_TIMEOUT,
        disk::SmallDisk,
        postgres::Postgres,
        store::{TestStore, on_both_engines},
    },
};

/// At least the size of the largest pool of any engine.
const CONNECTIONS: usize = 4;

async fn insert(connection: &mut sqlx::AnyConnection, key: &str, value: &str) -> Result<(), Error> {
    let query = sqlx::query("INSERT INTO settings (key, value) VALUES ($1, $2)").bind(key).bind(value);
    query.execute(connection).await?;
    Ok(())
}

async fn count(store: &Store, like: &str) -> i64 {
    let query = sqlx::query_scalar("SELECT COUNT(*) FROM settings WHERE key LIKE $1").bind(like);
    query.fetch_one(store.reader()).await.expect("the row is read")
}

/// Asserts that every connection of both pools works and that nothing of the failed transaction is stored.
async fn assert_all_work(store: &Store, after: &str) {
    let writers = store.engine().writers() as usize;
    let mut open = Vec::new();
    for _ in 0..writers {
        let begun = timeout(TEST_TIMEOUT, store.begin()).await.unwrap_or_else(|_| panic!("no turn after {after}"));
        open.push(begun.unwrap_or_else(|error| panic!("a connection cannot begin after {after}: {error}")));
    }
    for (number, mut tx) in open.into_iter().enumerate() {
        insert(&mut tx, &format!("kept/{after}/{number}"), "").await.expect("the row is inserted");
        tx.commit().await.expect("the transaction commits");
    }
    let mut looks = Vec::new();
    for _ in 0..CONNECTIONS {
        looks.push(store.begin_read().await.unwrap_or_else(|error| panic!("no look after {after}: {error}")));
    }
    for look in &mut looks {
        let _: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM settings").fetch_one(&mut **look).await.expect("the row is read");
    }
    drop(looks);
    assert_eq!(count(store, &format!("kept/{after}/%")).await, writers as i64);
    assert_eq!(count(store, "lost/%").await, 0, "something of {after} was stored");
}

/// Starts a transaction and writes a row, which must not be stored.
async fn begun(store: &Store) -> sqlx::Transaction<'static, sqlx::Any> {
    let mut tx = store.begin().await.expect("the transaction begins");
    insert(&mut tx, "lost/before", "").await.expect("the row is inserted");
    tx
}

/// Polls a future this many times, each time it is woken, and drops it; returns whether it completed.
async fn cancel_after<T>(polls: usize, work: impl Future<Output = T>) -> bool {
    let (mut work, mut left) = (pin!(work), polls);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_leaves_no_connection_in_a_transaction() {
    on_both_engines(async |test_store| {
        let store = test_store.node().await.0.store().clone();
        let mut tx = begun(&store).await;
        sqlx::query("SELECT * FROM nothing").execute(&mut *tx).await.expect_err("the statement fails");
        drop(tx);
        assert_all_work(&store, "a wrong statement").await;
        // On a full disk SQLite rolls back by itself without an error at the next statement; this does the same.
        let (twice, expected) = match store.engine() {
            Engine::Sqlite => ("INSERT OR ROLLBACK INTO settings (key, value) VALUES ('lost/before', '')", "1555"),
            Engine::Postgres => ("INSERT INTO settings (key, value) VALUES ('lost/before', '')", "23505"),
        };
        for ending in ["dropped", "rolled back", "committed"] {
            let mut tx = begun(&store).await;
            let error = sqlx::query(twice).execute(&mut *tx).await.expect_err("the statement fails");
            assert_eq!(error.as_database_error().and_then(|error| error.code()).as_deref(), Some(expected));
            let _ = match ending {
                "dropped" => {
                    drop(tx);
                    Ok(())
                }
                "rolled back" => tx.rollback().await,
                _ => tx.commit().await,
            };
            assert_all_work(&store, ending).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_leaves_no_connection_in_a_transaction() {
    on_both_engines(async |test_store| {
        let store = test_store.node().await.0.store().clone();
        let mut tx = begun(&store).await;
        let checked_at_commit = match store.engine() {
            Engine::Sqlite => {
                "PRAGMA defer_foreign_keys = ON; INSERT INTO tickets (hash, user_id, expires_at) VALUES ('lost', 'nobody', 0)"
            }
            Engine::Postgres => {
                "CREATE TEMPORARY TABLE once (id INT UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO once VALUES (1), (1)"
            }
        };
        sqlx::raw_sql(checked_at_commit).execute(&mut *tx).await.expect("the statement succeeds");
        tx.commit().await.expect_err("the commit fails");
        assert_all_work(&store, "a failed commit").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_that_is_dropped_anywhere_leaves_no_connection_in_a_transaction() {
    on_both_engines(async |test_store| {
        let store = test_store.node().await.0.store().clone();
        for polls in 0.. {
            assert!(polls < 1_000, "it completes in the end");
            let work = async {
                let mut tx = store.begin().await?;
                insert(&mut tx, "lost/cancelled", "").await?;
                insert(&mut tx, "lost/cancelled", "").await
            };
            let ended = cancel_after(polls, work).await;
            assert_all_work(&store, &format!("{polls} polls")).await;
            if ended {
                break;
            }
        }
        // Dropped during the commit, its outcome is unknown; the connection works.
        for polls in 0..8 {
            let mut tx = store.begin().await.expect("the transaction begins");
            insert(&mut tx, &format!("doubtful/{polls}"), "").await.expect("the row is inserted");
            cancel_after(polls, tx.commit()).await;
            assert_all_work(&store, &format!("{polls} polls of a commit")).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_leaves_no_connection_in_a_transaction() {
    on_both_engines(async |test_store| {
        let store = test_store.node().await.0.store().clone();
        let inside = store.clone();
        let panicking = tokio::spawn(async move {
            let _tx = begun(&inside).await;
            panic!("in the middle of a transaction");
        });
        assert!(panicking.await.expect_err("the task panics").is_panic());
        assert_all_work(&store, "a panic").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_timeout_leaves_no_connection_in_a_transaction() {
    on_both_engines(async |test_store| {
        let (store, other) = (test_store.node().await.0.store().clone(), test_store.node().await.0.store().clone());
        let soon = match store.engine() {
            Engine::Sqlite => "PRAGMA busy_timeout = 50",
            Engine::Postgres => "SET LOCAL lock_timeout = '50ms'",
        };
        let holding = begun(&other).await;
        let waiting = async {
            if store.engine() == Engine::Sqlite {
                // The setting stays with the connection.
                sqlx::raw_sql(soon).execute(&mut *store.begin_read().await?).await?;
            }
            let mut tx = store.begin().await?;
            sqlx::raw_sql(soon).execute(&mut *tx).await?;
            insert(&mut tx, "lost/before", "").await
        };
        let error = waiting.await.expect_err("the lock is taken");
        assert_eq!(error.outage(), Some(Outage::OutOfReach), "{error}");
        drop(holding);
        assert_all_work(&store, "a lock").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_in_a_transaction_is_replaced() {
    let test_store = TestStore::on(Engine::Postgres).await;
    let (store, other) = (test_store.node().await.0.store().clone(), test_store.node().await.0.store().clone());
    let mut tx = begun(&store).await;
    let id: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *tx).await.expect("the row is read");
    let end = format!("SELECT pg_terminate_backend({id})");
    sqlx::raw_sql(AssertSqlSafe(end)).execute(other.reader()).await.expect("the statement succeeds");
    let error = insert(&mut tx, "lost/after", "").await.expect_err("the transaction is gone");
    assert_eq!(error.outage(), Some(Outage::OutOfReach), "{error}");
    drop(tx);
    assert_all_work(&store, "a lost connection").await;
}

/// A store on a small disk that a test can fill.
struct SmallStore {
    store: Store,
    disk: Option<SmallDisk>,
    _folder: tempfile::TempDir,
    _postgres: Option<Postgres>,
}

impl SmallStore {
    async fn on(engine: Engine) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = SmallDisk::mount(16 << 20);
        let place = disk.as_ref().map_or(folder.path(), SmallDisk::path).to_owned();
        let (url, postgres) = match engine {
            Engine::Sqlite => (format!("sqlite:{}?mode=rwc", place.join("netra.db").display()), None),
            Engine::Postgres => {
                let postgres = Postgres::start().await;
                let url = match &disk {
                    Some(disk) => postgres.database_on(disk.path()).await,
                    None => postgres.database().await,
                };
                (url, Some(postgres))
            }
        };
        let store = Store::open_url(&url).await.expect("the store opens");
        Self { store, disk, _folder: folder, _postgres: postgres }
    }

    /// Fills the disk. Where none could be mounted, makes the database return the error of a full disk.
    async fn fill(&self) {
        let refuse = match (&self.disk, self.store.engine()) {
            (Some(disk), _) => return disk.fill(),
            (None, Engine::Sqlite) => "PRAGMA max_page_count = 1",
            (None, Engine::Postgres) => {
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$; \
                 CREATE TRIGGER full_disk BEFORE INSERT ON settings FOR EACH ROW EXECUTE FUNCTION refuse();"
            }
        };
        let mut tx = self.store.begin().await.expect("the transaction begins");
        sqlx::raw_sql(refuse).execute(&mut *tx).await.expect("the statement succeeds");
        tx.commit().await.expect("the transaction commits");
    }

    async fn make_room(&self) {
        match (&self.disk, self.store.engine()) {
            (Some(disk), _) => disk.make_room(),
            (None, Engine::Sqlite) => {}
            (None, Engine::Postgres) => {
                let mut tx = self.store.begin().await.expect("the transaction begins");
                sqlx::raw_sql("DROP TRIGGER full_disk ON settings")
                    .execute(&mut *tx)
                    .await
                    .expect("the statement succeeds");
                tx.commit().await.expect("the transaction commits");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_reported_and_writes_succeed_once_there_is_room() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let small = SmallStore::on(engine).await;
        eprintln!("on {engine:?}, a disk of its own: {}", small.disk.is_some());
        let store = &small.store;
        small.fill().await;
        let large = "x".repeat(64 << 10);
        for attempt in 0..2 * CONNECTIONS {
            // Writes succeed while they fit into existing pages.
            let write = async {
                let mut tx = store.begin().await?;
                for number in 0..200 {
                    // Random bytes, which the database cannot compress.
                    let text: String =
                        std::iter::repeat_with(|| char::from(rand::random_range(b' '..b'~'))).take(4_000).collect();
                    insert(&mut tx, &format!("lost/{attempt}/{number}"), &text).await?;
                }
                insert(&mut tx, "lost/large", &large).await?;
                tx.commit().await.map_err(Error::from)
            };
            let error = write.await.expect_err("the disk is full");
            assert_eq!(error.outage(), Some(Outage::StoreFull), "{error}");
            let body = error.into_body();
            assert_eq!(body.code, ErrorCode::Unavailable);
            assert!(body.message.contains("disk of the server's store is full"), "{}", body.message);
            assert_eq!(count(store, "lost/%").await, 0, "it can be read, and nothing is half written");
        }
        small.make_room().await;
        assert_all_work(store, "a full disk").await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_continue_after_a_failed_step() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let thread = test_store.create_thread(&channels).await;
        let run = test_store.create_run(&channels, thread).await;
        let head = channels.extent(Channel::Thread(thread)).await.expect("the extent is read").head;
        // Another writer has taken the seq: the append fails with its own error.
        let bad = "INSERT INTO entries (channel, seq, at, entry) VALUES ($1, $2, 0, '{}')";
        let mut tx = channels.begin().await.expect("the transaction begins");
        let query = sqlx::query(bad).bind(Channel::Thread(thread).to_string()).bind((head + 1).cast_signed());
        query.execute(tx.sql()).await.expect("the statement succeeds");
        tx.commit().await.expect("the transaction commits");
        channels.append(thread, run, &[delta(run, "a")]).await.expect_err("the place is taken");
        let mut tx = channels.begin().await.expect("the transaction begins");
        let query = sqlx::query("DELETE FROM entries WHERE channel = $1 AND seq = $2");
        let query = query.bind(Channel::Thread(thread).to_string()).bind((head + 1).cast_signed());
        query.execute(tx.sql()).await.expect("the statement succeeds");
        tx.commit().await.expect("the transaction commits");
        assert_eq!(
            channels.append(thread, run, &[delta(run, "a")]).await.expect("the entries are appended"),
            Some(head + 1)
        );
        assert_all_work(channels.store(), "a failed step").await;
    })
    .await;
}
