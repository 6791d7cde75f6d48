use std::collections::VecDeque;

use super::*;
use crate::{
    protocol::{
        Epoch, Notice, NoticeId,
        http::{Role, User},
    },
    server::auth::Via,
};

fn manager(edit: impl FnOnce(&mut SocketConfig)) -> ConnectionManager {
    let mut config = SocketConfig::default();
    edit(&mut config);
    ConnectionManager::new(&config)
}

fn identity(session: &str) -> Identity {
    let user = User { id: UserId::new(), name: "Ada".into(), email: "ada@example.org".into(), role: Role::Member };
    Identity { user, via: Via::Cookie { session: session.into() }, expires_at: i64::MAX }
}

fn received(handle: &ConnectionGuard) -> (Vec<Item>, Option<CloseCode>) {
    let mut batch = VecDeque::new();
    let close = handle.send_queue().take(&mut batch);
    (batch.into(), close.map(|close| close.code))
}

fn notice() -> Push {
    Push::Notice(Notice { id: NoticeId::new(), text: "Maintenance at noon.".into(), at: 0 })
}

#[test]
fn one_connection_too_many_closes_the_oldest() {
    let manager = manager(|config| config.max_connections_per_user = 2);
    let (ada, bob) = (identity("a"), identity("b"));
    let first = manager.connect(&ada).expect("the connection is admitted");
    let second = manager.connect(&ada).expect("the connection is admitted");
    let other = manager.connect(&bob).expect("the connection is admitted");
    let third = manager.connect(&ada).expect("the connection is admitted");
    assert_eq!(received(&first).1, Some(CloseCode::TooManyConnections));
    assert_eq!([&second, &third, &other].map(|handle| received(handle).1), [None; 3]);
    assert_eq!(manager.connections_of(ada.user.id), 2);
    drop(first);
    assert_eq!(manager.connections_of(ada.user.id), 2, "unregistered once");
    drop((second, third, other));
    assert_eq!(manager.counts(), Counts { connections: 0, users: 0, channels: 0, opened: 4 });
}

#[test]
fn a_full_server_accepts_no_connection_until_one_ends() {
    let manager = manager(|config| config.max_connections = 1);
    let first = manager.connect(&identity("a")).expect("the connection is admitted");
    assert_eq!(manager.connect(&identity("b")).err(), Some(Rejection::Full));
    drop(first);
    assert!(manager.connect(&identity("b")).is_ok());
}

#[test]
fn a_push_reaches_a_person_a_thread_or_everyone() {
    let manager = manager(|_| {});
    let (ada, bob) = (identity("a"), identity("b"));
    let (tab, phone, other) = (
        manager.connect(&ada).expect("the connection is admitted"),
        manager.connect(&ada).expect("the connection is admitted"),
        manager.connect(&bob).expect("the connection is admitted"),
    );
    let thread = ThreadId::new();
    assert!(phone.follower().follow(Channel::Thread(thread)));
    assert_eq!(manager.push_user(ada.user.id, &notice()), 2);
    assert_eq!(manager.push_thread(thread, &notice()), 1);
    assert_eq!(manager.broadcast(&notice()), 3);
    assert_eq!([&tab, &phone, &other].map(|handle| received(handle).0.len()), [2, 3, 1]);
}

#[test]
fn nothing_of_a_revoked_or_deleted_channel_is_delivered() {
    let manager = manager(|_| {});
    let ada = identity("a");
    let tab = manager.connect(&ada).expect("the connection is admitted");
    let [first, second] = [Channel::Thread(ThreadId::new()), Channel::Thread(ThreadId::new())];
    assert!(tab.follower().follow(first) && tab.follower().follow(second));
    let delivery = |channel, seq| Delivery::new(&Epoch("e".into()), channel, seq, 1, "{}");
    manager.deliver(&delivery(first, 1));
    manager.revoke(ada.user.id, first);
    manager.end_subscriptions(second);
    for channel in [first, second] {
        manager.deliver(&delivery(channel, 2));
    }
    let items = received(&tab).0;
    assert!(matches!(items[..], [Item::Entry(_), Item::Revoked(a), Item::Revoked(b)] if (a, b) == (first, second)));
    assert_eq!(manager.counts().channels, 0);
}

#[test]
fn the_connections_of_a_session_or_a_person_can_be_closed() {
    let manager = manager(|_| {});
    let ada = identity("a");
    let phone = Identity { via: Via::Cookie { session: "b".into() }, ..ada.clone() };
    let (tab, phone) = (
        manager.connect(&ada).expect("the connection is admitted"),
        manager.connect(&phone).expect("the connection is admitted"),
    );
    assert_eq!(manager.close_session("a", CloseCode::SessionEnded, "signed out"), 1);
    assert_eq!((received(&tab).1, received(&phone).1), (Some(CloseCode::SessionEnded), None));
    assert_eq!(manager.close_user(ada.user.id, CloseCode::Disconnected, "by an administrator"), 2);
    assert_eq!(received(&phone).1, Some(CloseCode::Disconnected));
}

#[tokio::test]
async fn draining_spreads_the_reconnects_and_accepts_no_connection() {
    let manager = manager(|config| config.max_connections_per_user = 100);
    let ada = identity("a");
    let handles: Vec<ConnectionGuard> =
        (0..50).map(|_| manager.connect(&ada).expect("the connection is admitted")).collect();
    manager.begin_drain(Duration::from_secs(10));
    assert_eq!(manager.connect(&ada).err(), Some(Rejection::Draining));
    let mut delays = std::collections::BTreeSet::new();
    for handle in &handles {
        let (items, close) = received(handle);
        let [Item::Frame(frame)] = &items[..] else { panic!("one push each: {items:?}") };
        let push: serde_json::Value = serde_json::from_str(frame).expect("JSON");
        delays.insert(push["payload"]["reconnect_in_ms"].as_u64().expect("a delay"));
        assert_eq!(close, None);
    }
    assert!(delays.len() > 45, "each its own: {delays:?}");
    assert!(delays.first() < Some(&200) && (Some(&9_800)..=Some(&10_000)).contains(&delays.last()));
    let going = tokio::spawn({
        let manager = manager.clone();
        async move { manager.finish_drain().await }
    });
    handles[0].send_queue().closed().await;
    assert_eq!(received(&handles[0]).1, Some(CloseCode::Restarting));
    drop(handles);
    going.await.expect("draining ends after the last connection");
}
