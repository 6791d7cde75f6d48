//! Temporary threads: when they are deleted, kept, listed and found.

use netra::{
    protocol::{
        CreateTemporaryThread, CreateThread, ErrorCode, KeepThread, RenameThread, Temporary, ThreadId, http::ThreadPage,
    },
    server::{
        channel::Channels,
        clock::now_ms,
        search::{ChangedThreads, Indexer, Query, find},
        threads::{self, ExpiredThread, TemporaryLimits},
    },
};

use crate::support::{
    ADA, ADMIN, Setup,
    store::{TestStore, on_both_engines},
};

const LIMITS: TemporaryLimits = TemporaryLimits { max_hours: 2, idle_minutes: 5 };

/// Sets a column of a thread to a time.
async fn set(channels: &Channels, column: &str, thread: ThreadId, at: i64) {
    let mut tx = channels.begin().await.expect("the transaction begins");
    let sql = format!("UPDATE threads SET {column} = $1 WHERE id = $2");
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(at).bind(thread.to_string());
    query.execute(tx.sql()).await.expect("the statement succeeds");
    tx.commit().await.expect("the transaction commits");
}

/// The threads that a search finds once everything is indexed.
async fn found(channels: &Channels, test_store: &TestStore, text: &str) -> Vec<ThreadId> {
    let indexer = Indexer::new(channels.clone(), ChangedThreads::default());
    indexer.index_all().await.expect("everything is indexed");
    let query = Query::parse(text).expect("a query");
    let page = find(channels.store(), test_store.user.id, query, 50, None).await.expect("the store is searched");
    page.hits.into_iter().map(|hit| hit.thread_id).collect()
}

async fn expired(channels: &Channels) -> Vec<ThreadId> {
    let expired = threads::expired_threads(channels).await.expect("the threads are read");
    expired.into_iter().map(|ExpiredThread { id, .. }| id).collect()
}

async fn create(channels: &Channels, test_store: &TestStore) -> ThreadId {
    let command = CreateTemporaryThread { thread_id: ThreadId::new(), agent: None };
    let user = &test_store.user;
    let thread = threads::create_temporary(channels, user, &command, ("script", LIMITS)).await.expect("it is created");
    let again = threads::create_temporary(channels, user, &command, ("script", LIMITS)).await;
    assert_eq!(again.expect("the same again changes nothing"), thread);
    let Some(Temporary { delete_at, idle_minutes: 5 }) = thread.temporary else { panic!("{thread:?}") };
    assert_eq!(delete_at, thread.created_at + 2 * 3_600_000);
    thread.id
}

#[tokio::test]
async fn temporary_threads_expire_when_nobody_follows_them_or_they_are_too_old() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let ordinary = test_store.create_thread(&channels).await;
        let [idle, followed, old, kept] = [
            create(&channels, test_store).await,
            create(&channels, test_store).await,
            create(&channels, test_store).await,
            create(&channels, test_store).await,
        ];
        assert_eq!(expired(&channels).await, []);
        for thread in [idle, kept] {
            test_store.create_run(&channels, thread).await;
        }
        assert_eq!(found(&channels, test_store, "go").await, []);
        let six_minutes_ago = now_ms() - 6 * 60_000;
        for thread in [idle, followed, kept] {
            set(&channels, "followed_at", thread, six_minutes_ago).await;
        }
        set(&channels, "delete_at", old, now_ms()).await;
        threads::record_followed(&channels, |thread| thread != idle).await.expect("it is recorded");
        let keep = KeepThread { thread_id: kept };
        let thread = threads::keep(&channels, &test_store.user, &keep).await.expect("it is kept");
        assert_eq!(thread.temporary, None);
        assert_eq!(threads::keep(&channels, &test_store.user, &keep).await.expect("again"), thread);
        let hits = found(&channels, test_store, "go").await;
        assert!(hits.contains(&kept) && !hits.contains(&idle), "{hits:?}");
        let mut now = expired(&channels).await;
        now.sort_unstable();
        assert_eq!(now, [idle, old]);
        // A rename keeps what is temporary so.
        let rename = RenameThread { thread_id: followed, title: "Named".into() };
        let renamed = threads::rename(&channels, &test_store.user, &rename).await.expect("it is renamed");
        assert!(renamed.temporary.is_some());
        // What was kept or followed since it was found stays.
        for (thread, is_deleted) in
            [(idle, true), (old, true), (old, false), (kept, false), (followed, false), (ordinary, false)]
        {
            let expired = ExpiredThread { id: thread, owner: test_store.user.id };
            let deleted = threads::delete_expired(&channels, expired).await.expect("the store works");
            assert_eq!(deleted.is_some(), is_deleted, "{thread}");
        }
        assert_eq!(expired(&channels).await, []);
        let feed = channels.feed(test_store.user.id).await.expect("the feed").1;
        let mut left: Vec<ThreadId> = feed.threads.iter().map(|thread| thread.info.id).collect();
        left.sort_unstable();
        let mut expected = vec![ordinary, followed, kept];
        expected.sort_unstable();
        assert_eq!(left, expected);
    })
    .await;
}

#[tokio::test]
async fn temporary_threads_are_marked_in_the_first_page_of_threads_and_in_no_other() {
    let server = Setup::default().start().await;
    server.add_member(ADA).await;
    let client = server.signed_in(ADMIN).await;
    let socket = server.socket(ADMIN).await;
    let thread_id = ThreadId::new();
    let created = socket.send(CreateTemporaryThread { thread_id, agent: None }).await.expect("it is created").thread;
    assert!(created.temporary.is_some());
    for _ in 0..3 {
        let create = CreateThread { thread_id: ThreadId::new(), title: None, agent: None };
        socket.send(create).await.expect("the thread is created");
    }
    let page = async |path: &str| client.get(path).await.json::<ThreadPage>().await.expect("a page");
    let first = page("/api/threads?limit=2").await;
    assert_eq!(first.threads.len(), 3);
    assert_eq!(first.threads.iter().filter(|thread| thread.info.temporary.is_some()).count(), 1);
    let second = page(&format!("/api/threads?limit=2&before={}", first.older.expect("another page"))).await;
    assert_eq!((second.threads.len(), second.older), (1, None));
    assert!(second.threads[0].info.temporary.is_none());
    let ada = server.socket(ADA).await;
    let refused = ada.send(KeepThread { thread_id }).await.expect_err("it is not hers");
    assert_eq!(refused.code, ErrorCode::NotFound);
    socket.send(KeepThread { thread_id }).await.expect("it is kept");
    assert_eq!(page("/api/threads?limit=2").await.threads.len(), 2);
}
