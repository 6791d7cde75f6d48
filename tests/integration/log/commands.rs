//! Commands that are repeated, that arrive at the same time, or that arrive on two nodes.

use futures_util::future::{FutureExt, join_all};
use netra::{
    protocol::{
        ArchiveThread, CreateThread, DeleteThread, ErrorCode, MarkRead, PinThread, RenameThread, SendMessage, ThreadId,
        UserId, http::User,
    },
    server::{
        access::Access,
        channel::{Channel, Channels, CommandTransaction},
        store::Engine,
        threads,
    },
};
use tokio::time::timeout;

use crate::{
    log::{delta, log},
    support::{
        TEST_TIMEOUT,
        store::{TestStore, on_both_engines},
    },
};

/// Begins as many transactions as can write at a time: the writers wait until all have ended.
async fn keep_writers_busy(channels: &Channels) -> Vec<CommandTransaction> {
    let mut open = Vec::new();
    for _ in 0..channels.store().engine().writers() {
        open.push(channels.begin().await.expect("the transaction begins"));
    }
    open
}

/// Ends the transactions that kept the writers busy.
async fn release(busy: Vec<CommandTransaction>) {
    for transaction in busy {
        transaction.commit().await.expect("the transaction commits");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_eight_times_at_once_is_done_once_with_the_same_reply() {
    on_both_engines(async |test_store| {
        let nodes = match test_store.node().await.0 {
            one if one.store().engine() == Engine::Sqlite => vec![one],
            one => vec![one, test_store.node().await.0],
        };
        let node = |index: usize| &nodes[index % nodes.len()];
        let create = CreateThread { thread_id: ThreadId::new(), title: Some("Twice".into()), agent: None };
        let made = join_all((0..8).map(|n| threads::create(node(n), &test_store.user, &create, "script"))).await;
        let made: Vec<_> = made.into_iter().map(|made| made.expect("the thread is created")).collect();
        assert!(made.iter().all(|thread| *thread == made[0]));
        let send = SendMessage::new(create.thread_id, "Once.");
        let sent =
            join_all((0..8).map(|n| threads::send(node(n), &test_store.user, &send, None, |_| Ok("script".into()))))
                .await;
        let sent: Vec<_> = sent.into_iter().map(|sent| sent.expect("the message is accepted")).collect();
        assert!(sent.iter().all(|outcome| outcome.accepted == sent[0].accepted));
        assert_eq!(sent.iter().filter(|outcome| outcome.run.is_some()).count(), 1, "one of them begins the run");
        let log = log(node(0), Channel::Thread(create.thread_id)).await;
        assert_eq!(log.len(), 2, "the thread and the message: {log:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_changes_that_arrive_at_once_each_is_decided_alone_and_in_order() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let user = &test_store.user;
        let stranger = User { id: UserId::new(), ..user.clone() };
        let (thread, other) = (test_store.create_thread(&channels).await, test_store.create_thread(&channels).await);
        let run = test_store.create_run(&channels, other).await;
        let before = log(&channels, Channel::Thread(thread)).await.len();
        let title = |number: usize| RenameThread { thread_id: thread, title: format!("Title {number}") };
        let titles: Vec<_> = (0..32).map(title).collect();
        let foreign = title(100);
        let unknown = MarkRead { thread_id: ThreadId::new() };
        let read = MarkRead { thread_id: other };
        // While these are open, the writers wait: what arrives meanwhile goes into their next transactions.
        let busy = keep_writers_busy(&channels).await;
        let (renamed, foreign, unknown, read, agent, appended, ()) = tokio::join!(
            biased;
            join_all(titles.iter().map(|title| threads::rename(&channels, user, title))),
            threads::rename(&channels, &stranger, &foreign),
            threads::mark_read(&channels, user, &unknown),
            threads::mark_read(&channels, user, &read),
            threads::set_agent(&channels, user, thread, "another"),
            async { channels.append(other, run, &[delta(run, "a")]).await },
            release(busy),
        );
        for (title, renamed) in titles.iter().zip(renamed) {
            assert_eq!(renamed.expect("the thread is renamed").title, title.title);
        }
        for refused in [foreign.map(drop), unknown] {
            assert_eq!(refused.expect_err("it is refused").into_body().code, ErrorCode::NotFound);
        }
        read.expect("the thread is marked as read");
        assert!(appended.expect("the entry is appended").is_some());
        let agent = agent.expect("the agent is set");
        assert_eq!((agent.agent.as_str(), agent.title.as_str()), ("another", "Title 31"));
        assert_eq!(
            threads::authorise(&channels, user.id, thread, Access::Own).await.expect("the thread is read"),
            agent
        );
        let log = log(&channels, Channel::Thread(thread)).await.split_off(before);
        assert_eq!(log.len(), 33, "one entry for each change");
        for (title, (seq, frame)) in titles.iter().zip(&log) {
            assert!(frame.contains(&title.title), "{seq}: {frame}");
        }
        // What changes nothing appends nothing.
        threads::rename(&channels, user, &titles[31]).await.expect("the thread has this title");
        let head = channels.extent(Channel::Thread(thread)).await.expect("the extent is read").head;
        assert_eq!(head, log[32].0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_is_pinned_and_archived_by_its_owner_only_and_each_change_is_made_once() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let user = &test_store.user;
        let stranger = User { id: UserId::new(), ..user.clone() };
        let (thread_id, other) = (test_store.create_thread(&channels).await, test_store.create_thread(&channels).await);
        let head = async |channel| channels.extent(channel).await.expect("the extent is read").head;
        let pin = |pinned| PinThread { thread_id, pinned };
        let archive = |archived| ArchiveThread { thread_id, archived };
        for refused in [
            threads::pin(&channels, &stranger, &pin(true)).await,
            threads::archive(&channels, &stranger, &archive(true)).await,
        ] {
            assert_eq!(refused.expect_err("it is refused").into_body().code, ErrorCode::NotFound);
        }
        let (of_thread, of_feed) = (head(Channel::Thread(thread_id)).await, head(Channel::User(user.id)).await);
        // The second time changes nothing.
        for _ in 0..2 {
            assert!(threads::pin(&channels, user, &pin(true)).await.expect("the thread is pinned").pinned);
            assert!(threads::archive(&channels, user, &archive(true)).await.expect("the thread is archived").archived);
        }
        // The thread's log, which members read, has nothing of it.
        assert_eq!(head(Channel::Thread(thread_id)).await, of_thread);
        assert_eq!(head(Channel::User(user.id)).await, of_feed + 2);
        let info = threads::authorise(&channels, user.id, thread_id, Access::Own).await.expect("the thread is read");
        assert!(info.pinned && info.archived);
        let page = channels.threads_of(user.id, None, 50).await.expect("the page is read");
        assert_eq!(page.threads.iter().map(|thread| thread.info.id).collect::<Vec<_>>(), [other]);
        let archived = channels.archived_threads_of(user.id, None, 50).await.expect("the page is read");
        assert_eq!(archived.threads.iter().map(|thread| &thread.info).collect::<Vec<_>>(), [&info]);

        // A message takes it out of the archive.
        test_store.create_run(&channels, thread_id).await;
        let page = channels.threads_of(user.id, None, 1).await.expect("the page is read");
        let first = &page.threads[0].info;
        assert!((first.id, first.pinned, first.archived) == (thread_id, true, false), "{first:?}");
        assert!(!threads::pin(&channels, user, &pin(false)).await.expect("the thread is unpinned").pinned);
        assert!(!threads::archive(&channels, user, &archive(false)).await.expect("it is not archived").archived);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_postgresql_cannot_store_is_refused_and_no_other_command_with_it() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let user = &test_store.user;
        let (thread, other) = (test_store.create_thread(&channels).await, test_store.create_thread(&channels).await);
        let [bad, good] = [(thread, "a\0b"), (other, "Good")]
            .map(|(thread_id, title)| RenameThread { thread_id, title: title.to_owned() });
        let (bad, good) = tokio::join!(threads::rename(&channels, user, &bad), threads::rename(&channels, user, &good));
        assert_eq!(bad.expect_err("it is refused").into_body().code, ErrorCode::InvalidPayload);
        assert_eq!(good.expect("the thread is renamed").title, "Good");
        // A title that is made of a message has a space in place of U+0000.
        let send = SendMessage::new(thread, "x\0y z");
        threads::send(&channels, user, &send, None, |_| Ok("script".into())).await.expect("the message is accepted");
        let title =
            threads::authorise(&channels, user.id, thread, Access::Own).await.expect("the thread is read").title;
        assert_eq!(title, "x y z");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_another_node_holds_delays_no_other_for_long() {
    let test_store = TestStore::on(Engine::Postgres).await;
    let ((one, _), (other, _)) = (test_store.node().await, test_store.node().await);
    let user = &test_store.user;
    let held = test_store.create_thread(&one).await;
    // So many that both halves have some that belong to the same writer as the thread that is held.
    let free = join_all((0..16).map(|_| test_store.create_thread(&one))).await;
    let mut holding = other.begin().await.expect("the transaction begins");
    let lock = sqlx::query("SELECT id FROM threads WHERE id = $1 FOR UPDATE").bind(held.to_string());
    lock.execute(holding.sql()).await.expect("the row is locked");
    let rename = |thread_id| RenameThread { thread_id, title: "Renamed".to_owned() };
    let (blocked, others): (_, Vec<_>) = (rename(held), free.into_iter().map(rename).collect());
    let (first, second) = others.split_at(8);
    let rename_all = |commands: &[RenameThread]| {
        let commands = commands.to_vec();
        let one = &one;
        async move { join_all(commands.iter().map(|command| threads::rename(one, user, command))).await }
    };
    // The writers take the first half and wait. What arrives meanwhile goes into their next transactions, one of which waits for the lock.
    let busy = keep_writers_busy(&one).await;
    let all = async {
        tokio::join!(
            biased;
            rename_all(first),
            threads::rename(&one, user, &blocked),
            rename_all(second),
            release(busy),
        )
    };
    let (first, blocked, second, ()) = timeout(TEST_TIMEOUT, all).await.expect("the lock times out");
    assert_eq!(blocked.expect_err("its row is locked").into_body().code, ErrorCode::Unavailable);
    for renamed in first.into_iter().chain(second) {
        assert_eq!(renamed.expect("the thread is renamed").title, "Renamed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_dropped_while_a_transaction_begins_leaves_none_open() {
    let test_store = TestStore::on(Engine::Postgres).await;
    let (channels, _) = test_store.node().await;
    let store = channels.store();
    let mut interrupted = 0;
    while interrupted < 50 {
        // Polled once: its BEGIN is in progress, unless the database replied at once.
        interrupted += u32::from(store.begin_read().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let none_is_open = async {
        // The transactions that wait for a connection come before this one.
        while sqlx::query_scalar::<_, i64>(open).fetch_one(store.reader()).await.expect("the row is read") > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(TEST_TIMEOUT, none_is_open).await.expect("all are rolled back");
    for _ in 0..50 {
        drop(store.begin_read().await.expect("the transaction begins on every connection"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_deleted_on_one_node_stays_deleted_while_another_writes_to_it() {
    let test_store = TestStore::on(Engine::Postgres).await;
    let ((one, _), (other, _)) = (test_store.node().await, test_store.node().await);
    for _ in 0..5 {
        let thread = test_store.create_thread(&one).await;
        let run = test_store.create_run(&one, thread).await;
        let writing = async {
            while one.append(thread, run, &[delta(run, "x")]).await.expect("the store does not fail").is_some() {}
        };
        let delete = DeleteThread { thread_id: thread };
        let sending =
            async {
                let sent = threads::send(&one, &test_store.user, &SendMessage::new(thread, "Late."), None, |_| {
                    Ok("script".into())
                })
                .await;
                sent.err().map(|error| error.into_body().code)
            };
        let ((), deleted, sent) = tokio::join!(writing, threads::delete(&other, &test_store.user, &delete), sending);
        deleted.expect("the thread is deleted");
        assert!(matches!(sent, None | Some(ErrorCode::NotFound)), "{sent:?}");
        assert_eq!(log(&one, Channel::Thread(thread)).await, [], "the deleted thread stays empty");
        assert_eq!(one.extent(Channel::Thread(thread)).await.expect("the extent is read").head, 0);
    }
}
