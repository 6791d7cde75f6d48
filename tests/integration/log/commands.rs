//! Commands that come twice, at the same time, on two nodes.

use futures_util::future::{FutureExt, join_all};
use netra::{
    protocol::{CreateThread, DeleteThread, ThreadId},
    server::{channel::Channel, store::Engine, threads},
};
use tokio::time::timeout;

use crate::{
    log::house::{House, delta, log, message, on_both},
    support::PATIENCE,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_eight_times_at_once_is_done_once_and_answered_alike() {
    on_both(async |house| {
        let nodes = match house.node().await.0 {
            one if one.store().engine() == Engine::Sqlite => vec![one],
            one => vec![one, house.node().await.0],
        };
        let node = |index: usize| &nodes[index % nodes.len()];
        let create = CreateThread { thread_id: ThreadId::new(), title: Some("Twice".into()), agent: None };
        let made = join_all((0..8).map(|n| threads::create(node(n), &house.user, &create, "script"))).await;
        let made: Vec<_> = made.into_iter().map(|made| made.expect("made")).collect();
        assert!(made.iter().all(|thread| *thread == made[0]));
        let send = message(create.thread_id, "Once.");
        let sent =
            join_all((0..8).map(|n| threads::send(node(n), &house.user, &send, None, |_| Ok("script".into())))).await;
        let sent: Vec<_> = sent.into_iter().map(|sent| sent.expect("accepted")).collect();
        assert!(sent.iter().all(|asked| asked.accepted == sent[0].accepted));
        assert_eq!(sent.iter().filter(|asked| asked.run.is_some()).count(), 1, "one of them begins the run");
        let log = log(node(0), Channel::Thread(create.thread_id)).await;
        assert_eq!(log.len(), 2, "the thread and the message: {log:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_while_a_transaction_begins_leaves_none_open() {
    let house = House::on(Engine::Postgres).await;
    let (channels, _) = house.node().await;
    let store = channels.store();
    for _ in 0..50 {
        // As far as it comes at once: its BEGIN is under way.
        assert!(store.begin_read().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let none_is_open = async {
        // Each that waits for a connection has its turn before this one.
        while sqlx::query_scalar::<_, i64>(open).fetch_one(store.reader()).await.expect("counts") > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, none_is_open).await.expect("all are rolled back");
    for _ in 0..50 {
        drop(store.begin_read().await.expect("every connection can begin again"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_deleted_on_one_node_stays_deleted_while_another_writes_to_it() {
    let house = House::on(Engine::Postgres).await;
    let ((one, _), (other, _)) = (house.node().await, house.node().await);
    for _ in 0..5 {
        let thread = house.thread(&one).await;
        let run = house.run(&one, thread).await;
        let writing = async { while one.append(thread, run, &[delta(run, "x")]).await.expect("answers").is_some() {} };
        let delete = DeleteThread { thread_id: thread };
        let sending = async {
            let sent = threads::send(&one, &house.user, &message(thread, "Late."), None, |_| Ok("script".into())).await;
            sent.err().map(|error| error.into_body().code)
        };
        let ((), deleted, sent) = tokio::join!(writing, threads::delete(&other, &house.user, &delete), sending);
        deleted.expect("deleted");
        assert!(matches!(sent, None | Some(netra::protocol::ErrorCode::NotFound)), "{sent:?}");
        assert_eq!(log(&one, Channel::Thread(thread)).await, [], "nothing comes back");
        assert_eq!(one.extent(Channel::Thread(thread)).await.expect("reads").head, 0);
    }
}
