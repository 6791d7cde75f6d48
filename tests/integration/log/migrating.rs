//! Stores that an older version made.

use std::path::Path;

use netra::server::store::{Engine, Store};
use sqlx::{
    AnyConnection, Connection,
    migrate::{Migration, Migrator},
};

use crate::support::postgres::Postgres;

/// Makes a database as the version with this last migration left it, and fills it.
async fn old_store(url: &str, last: i64, rows: &'static str) {
    sqlx::any::install_default_drivers();
    let all =
        Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).await.expect("the migrations are read");
    let old: Vec<Migration> = all.iter().filter(|migration| migration.version <= last).cloned().collect();
    let mut connection = AnyConnection::connect(url).await.expect("the database is connected");
    Migrator::with_migrations(old).run(&mut connection).await.expect("the migrations are applied");
    sqlx::raw_sql(rows).execute(&mut connection).await.expect("the statement succeeds");
    connection.close().await.expect("the connection closes");
}

/// A run that has begun, one that was taken back, one that waits, and one of another thread. Events quote the ids of others.
const RUNS: &str = r#"
    INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ('u', 'e', 'n', 'member', '', 0);
    INSERT INTO threads (id, owner, title, agent, request, created_at)
        VALUES ('t', 'u', '', 'a', '', 0), ('other', 'u', '', 'a', '', 0);
    INSERT INTO runs (id, thread_id, owner, agent, started_at, message_id, turn, seq) VALUES
        ('begun', 't', 'u', 'a', 0, 'm1', 1, 1), ('taken', 't', 'u', 'a', 0, 'm2', 2, 2),
        ('waits', 't', 'u', 'a', 0, 'm3', 3, 3), ('elsewhere', 'other', 'u', 'a', 0, 'm4', 1, 1);
    INSERT INTO channels (id, head) VALUES ('thread/t', 7), ('thread/other', 1);
    INSERT INTO entries (channel, seq, at, entry) VALUES
        ('thread/t', 1, 10, '{"kind":"message","message":{"id":"m1","content":"{\"kind\":\"agent\",\"run_id\":\"waits\"}"}}'),
        ('thread/t', 2, 20, '{"kind":"message","message":{"id":"m2"}}'),
        ('thread/t', 3, 30, '{"kind":"message","message":{"id":"m3"}}'),
        ('thread/t', 4, 40, '{"kind":"agent","run_id":"begun","event":{"value":{"kind":"agent","run_id":"waits"}}}'),
        ('thread/t', 5, 50, '{"kind":"agent","run_id":"begun","event":{"value":{"kind":"taken_back","message_id":"m3"}}}'),
        ('thread/t', 6, 60, '{"kind":"agent","run_id":"begun","event":{"value":"\u0000 and \\u0000"}}'),
        ('thread/t', 7, 70, '{"kind":"taken_back","message_id":"m2"}'),
        ('thread/t', 8, 80, 'unreadable'),
        ('thread/other', 1, 5, '{"kind":"agent","run_id":"begun","event":{}}');
"#;

#[tokio::test]
async fn a_store_of_the_version_before_opens_and_its_runs_have_their_states() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let folder = tempfile::tempdir().expect("a folder");
        let postgres = if engine == Engine::Postgres { Some(Postgres::start().await) } else { None };
        let file = || format!("sqlite:{}?mode=rwc", folder.path().join("netra.db").display());
        let url = postgres.as_ref().map_or_else(file, Postgres::url);
        old_store(&url, 500, RUNS).await;
        let store = Store::open_url(&url).await.expect("the store opens");
        let sql = "SELECT id, begun_at, taken_back_at FROM runs ORDER BY id";
        let states: Vec<(String, Option<i64>, Option<i64>)> =
            sqlx::query_as(sql).fetch_all(store.reader()).await.expect("the rows are read");
        let expected =
            [("begun", Some(40), None), ("elsewhere", None, None), ("taken", None, Some(70)), ("waits", None, None)];
        assert_eq!(states, expected.map(|(id, begun, taken)| (id.to_owned(), begun, taken)), "{engine:?}");
        store.close().await;
    }
}
