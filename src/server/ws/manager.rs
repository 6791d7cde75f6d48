//! The connection manager: the one place that knows who is connected, who follows what, and how to reach them.
//!
//! Built once and handed down; clones share it. Promises: a connection is in the books exactly as long as its [`Handle`]
//! lives, so there are no ghosts; what is pushed is encoded once; the books are locked only while they are read or
//! written, never while somebody is told something.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    outbound::{Close, Item, Outbound},
    registry::Registry,
};
use crate::{
    protocol::{CloseCode, ConnectionId, Draining, Push, ThreadId, UserId, encode_push, limits::MAX_SUBSCRIPTIONS},
    server::{
        auth::Identity,
        channel::{Channel, Delivery, Hub},
        config::SocketConfig,
        metrics,
    },
};

/// How long [`ConnectionManager::finish_drain`] waits for the closed connections to go.
const FAREWELL: Duration = Duration::from_secs(3);

/// Who is connected; clones share it.
#[derive(Debug, Clone)]
pub struct ConnectionManager(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Mutex<Registry<Arc<Outbound>>>,
    max_connections: usize,
    max_connections_per_user: usize,
    outbound_bytes: usize,
    draining: AtomicBool,
    opened: AtomicU64,
    /// Told whenever a connection goes.
    gone: Notify,
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Open connections.
    pub connections: usize,
    /// People who have any.
    pub users: usize,
    /// Channels that somebody follows.
    pub channels: usize,
    /// Connections ever opened.
    pub opened: u64,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The server is about to stop.
    Draining,
    /// It has as many as it takes.
    Connections,
}

/// A connection's line in the books: dropped, the line is struck out.
#[derive(Debug)]
pub(crate) struct Handle {
    manager: ConnectionManager,
    id: ConnectionId,
    outbound: Arc<Outbound>,
}

impl ConnectionManager {
    /// With nobody connected.
    #[must_use]
    pub fn new(config: &SocketConfig) -> Self {
        Self(Arc::new(Inner {
            registry: Mutex::default(),
            max_connections: config.max_connections,
            max_connections_per_user: config.max_connections_per_user,
            outbound_bytes: config.outbound_queue_bytes,
            draining: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            gone: Notify::new(),
        }))
    }

    /// Enters a connection. Where the person has as many as allowed, the oldest is closed (4409).
    pub(crate) fn connect(&self, identity: &Identity) -> Result<Handle, Full> {
        self.admits()?;
        let user = identity.user.id;
        let outbound = Arc::new(Outbound::new(self.0.outbound_bytes));
        let mut registry = self.0.registry.lock();
        if registry.counts().0 >= self.0.max_connections {
            return Err(Full::Connections);
        }
        let surplus = (registry.count_of(user) + 1).saturating_sub(self.0.max_connections_per_user);
        let oldest = if surplus > 0 { registry.of_user(user) } else { Vec::new() };
        let oldest: Vec<_> = oldest.into_iter().take(surplus).collect();
        for (id, _) in &oldest {
            registry.remove(*id);
        }
        let id = ConnectionId::new();
        registry.insert(id, user, identity.session(), outbound.clone());
        drop(registry);
        for (_, oldest) in oldest {
            oldest.close(Close::new(CloseCode::TooManyConnections, "another connection took the place of this one"));
        }
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Handle { manager: self.clone(), id, outbound })
    }

    /// Whether connections are taken at all.
    pub(crate) fn admits(&self) -> Result<(), Full> {
        if self.0.draining.load(Ordering::Acquire) { Err(Full::Draining) } else { Ok(()) }
    }

    /// Whether the server is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.admits().is_err()
    }

    /// Pushes to all connections of a person. Answers how many.
    pub fn push_user(&self, user: UserId, push: &Push) -> usize {
        let connections = self.0.registry.lock().of_user(user);
        send(&connections, push)
    }

    /// Pushes to everyone who follows a thread. Answers how many.
    pub fn push_thread(&self, thread: ThreadId, push: &Push) -> usize {
        let followers = self.0.registry.lock().followers(Channel::Thread(thread));
        followers.map_or(0, |followers| send(&followers, push))
    }

    /// Pushes to everyone. Answers how many connections.
    pub fn broadcast(&self, push: &Push) -> usize {
        let connections = self.0.registry.lock().all();
        send(&connections, push)
    }

    /// Closes the connections of a session, which `reason` (at most 123 bytes) explains. Answers how many.
    pub fn close_session(&self, session: &str, code: CloseCode, reason: &'static str) -> usize {
        let connections = self.0.registry.lock().of_session(session);
        close(&connections, &Close::new(code, reason))
    }

    /// Closes all connections of a person, which `reason` (at most 123 bytes) explains. Answers how many.
    pub fn close_user(&self, user: UserId, code: CloseCode, reason: &'static str) -> usize {
        let connections = self.0.registry.lock().of_user(user);
        close(&connections, &Close::new(code, reason))
    }

    /// The person may not follow the channel any more: their connections hear nothing more of it.
    pub fn revoke(&self, user: UserId, channel: Channel) {
        let mut registry = self.0.registry.lock();
        let connections = registry.of_user(user);
        let told: Vec<_> = connections.into_iter().filter_map(|(id, _)| registry.unfollow(id, channel)).collect();
        drop(registry);
        told.iter().for_each(|outbound| outbound.push(Item::Revoked(channel)));
    }

    /// The channel is no more: nobody follows it.
    pub fn forget(&self, channel: Channel) {
        let mut registry = self.0.registry.lock();
        let Some(followers) = registry.followers(channel) else { return };
        for (id, _) in followers.iter() {
            registry.unfollow(*id, channel);
        }
        drop(registry);
        followers.iter().for_each(|(_, outbound)| outbound.push(Item::Revoked(channel)));
    }

    /// The server is about to stop: nobody is taken any more, and everyone is told when to come back, each at another
    /// time within `window` after the close.
    pub fn begin_drain(&self, window: Duration) {
        self.0.draining.store(true, Ordering::Release);
        let connections = self.0.registry.lock().all();
        tracing::info!(connections = connections.len(), "draining");
        let slot = window.as_secs_f64() * 1_000.0 / connections.len().max(1) as f64;
        for (place, (_, outbound)) in connections.iter().enumerate() {
            // Each its own slot, and a random place in it: spread evenly, and not in step.
            let reconnect_in_ms = ((place as f64 + rand::random::<f64>()) * slot) as u64;
            outbound.push(Item::Frame(encode_push(&Push::Draining(Draining { reconnect_in_ms })).into()));
        }
    }

    /// Closes everyone (1012), after what waits for them, and waits until they went.
    pub async fn finish_drain(&self) {
        let connections = self.0.registry.lock().all();
        close(&connections, &Close::new(CloseCode::Restarting, "the server restarts"));
        drop(connections);
        let empty = async {
            loop {
                let gone = self.0.gone.notified();
                if self.counts().connections == 0 {
                    break;
                }
                gone.await;
            }
        };
        if tokio::time::timeout(FAREWELL, empty).await.is_err() {
            tracing::warn!(connections = self.counts().connections, "connections outlast the drain");
        }
    }

    /// Tells everyone when to come back within `window`, and closes them (1012).
    pub async fn drain(&self, window: Duration) {
        self.begin_drain(window);
        self.finish_drain().await;
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (connections, users, channels) = self.0.registry.lock().counts();
        Counts { connections, users, channels, opened: self.0.opened.load(Ordering::Relaxed) }
    }

    /// How many bytes wait to be written, over all connections.
    #[must_use]
    pub fn queue_bytes(&self) -> usize {
        let connections = self.0.registry.lock().all();
        connections.iter().map(|(_, outbound)| outbound.bytes()).sum()
    }

    /// How many connections a person has.
    #[must_use]
    pub fn connections_of(&self, user: UserId) -> usize {
        self.0.registry.lock().count_of(user)
    }
}

impl Hub for ConnectionManager {
    fn deliver(&self, delivery: &Delivery) {
        let followers = self.0.registry.lock().followers(delivery.channel);
        metrics::fan_out(followers.as_ref().map_or(0, |followers| followers.len()));
        for (_, outbound) in followers.iter().flat_map(|followers| followers.iter()) {
            outbound.push(Item::Entry(delivery.clone()));
        }
    }
}

impl Handle {
    /// The connection's id.
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// What waits to be written to it.
    pub(crate) fn outbound(&self) -> &Arc<Outbound> {
        &self.outbound
    }

    /// A way to follow channels that does not keep the connection in the books.
    pub(crate) fn follower(&self) -> Follower {
        Follower { manager: self.manager.clone(), id: self.id }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.manager.0.registry.lock().remove(self.id);
        self.manager.0.gone.notify_waiters();
    }
}

/// Follows channels for one connection; without effect once that is gone.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    manager: ConnectionManager,
    id: ConnectionId,
}

impl Follower {
    /// From now on the channel's deliveries go to the connection. Answers whether there was room.
    pub(crate) fn follow(&self, channel: Channel) -> bool {
        self.manager.0.registry.lock().follow(self.id, channel, MAX_SUBSCRIPTIONS)
    }

    /// From now on they do not.
    pub(crate) fn unfollow(&self, channel: Channel) {
        self.manager.0.registry.lock().unfollow(self.id, channel);
    }
}

fn send(connections: &[(ConnectionId, Arc<Outbound>)], push: &Push) -> usize {
    let frame = Utf8Bytes::from(encode_push(push));
    connections.iter().for_each(|(_, outbound)| outbound.push(Item::Frame(frame.clone())));
    connections.len()
}

fn close(connections: &[(ConnectionId, Arc<Outbound>)], why: &Close) -> usize {
    connections.iter().for_each(|(_, outbound)| outbound.close(why.clone()));
    connections.len()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::{
        protocol::{
            Notice, NoticeId,
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

    fn heard(handle: &Handle) -> (Vec<Item>, Option<CloseCode>) {
        let mut batch = VecDeque::new();
        let close = handle.outbound().take(&mut batch);
        (batch.into(), close.map(|close| close.code))
    }

    fn notice() -> Push {
        Push::Notice(Notice { id: NoticeId::new(), text: "Maintenance at noon.".into(), at: 0 })
    }

    #[test]
    fn one_connection_too_many_closes_the_oldest() {
        let manager = manager(|config| config.max_connections_per_user = 2);
        let (ada, bob) = (identity("a"), identity("b"));
        let first = manager.connect(&ada).expect("fits");
        let second = manager.connect(&ada).expect("fits");
        let other = manager.connect(&bob).expect("fits");
        let third = manager.connect(&ada).expect("fits");
        assert_eq!(heard(&first).1, Some(CloseCode::TooManyConnections));
        assert_eq!([&second, &third, &other].map(|handle| heard(handle).1), [None; 3]);
        assert_eq!(manager.connections_of(ada.user.id), 2);
        drop(first);
        assert_eq!(manager.connections_of(ada.user.id), 2, "struck out once");
        drop((second, third, other));
        assert_eq!(manager.counts(), Counts { connections: 0, users: 0, channels: 0, opened: 4 });
    }

    #[test]
    fn a_full_server_takes_nobody_until_somebody_goes() {
        let manager = manager(|config| config.max_connections = 1);
        let first = manager.connect(&identity("a")).expect("fits");
        assert_eq!(manager.connect(&identity("b")).err(), Some(Full::Connections));
        drop(first);
        assert!(manager.connect(&identity("b")).is_ok());
    }

    #[test]
    fn a_push_reaches_a_person_a_thread_or_everyone() {
        let manager = manager(|_| {});
        let (ada, bob) = (identity("a"), identity("b"));
        let (tab, phone, other) = (
            manager.connect(&ada).expect("fits"),
            manager.connect(&ada).expect("fits"),
            manager.connect(&bob).expect("fits"),
        );
        let thread = ThreadId::new();
        assert!(phone.follower().follow(Channel::Thread(thread)));
        assert_eq!(manager.push_user(ada.user.id, &notice()), 2);
        assert_eq!(manager.push_thread(thread, &notice()), 1);
        assert_eq!(manager.broadcast(&notice()), 3);
        assert_eq!([&tab, &phone, &other].map(|handle| heard(handle).0.len()), [2, 3, 1]);
    }

    #[test]
    fn a_channel_that_is_revoked_or_gone_is_heard_no_more() {
        let manager = manager(|_| {});
        let ada = identity("a");
        let tab = manager.connect(&ada).expect("fits");
        let [first, second] = [Channel::Thread(ThreadId::new()), Channel::Thread(ThreadId::new())];
        assert!(tab.follower().follow(first) && tab.follower().follow(second));
        manager.deliver(&Delivery { channel: first, seq: 1, frame: "{}".into() });
        manager.revoke(ada.user.id, first);
        manager.forget(second);
        for channel in [first, second] {
            manager.deliver(&Delivery { channel, seq: 2, frame: "{}".into() });
        }
        let items = heard(&tab).0;
        assert!(matches!(items[..], [Item::Entry(_), Item::Revoked(a), Item::Revoked(b)] if (a, b) == (first, second)));
        assert_eq!(manager.counts().channels, 0);
    }

    #[test]
    fn a_session_and_a_person_can_be_closed() {
        let manager = manager(|_| {});
        let ada = identity("a");
        let phone = Identity { via: Via::Cookie { session: "b".into() }, ..ada.clone() };
        let (tab, phone) = (manager.connect(&ada).expect("fits"), manager.connect(&phone).expect("fits"));
        assert_eq!(manager.close_session("a", CloseCode::SessionEnded, "signed out"), 1);
        assert_eq!((heard(&tab).1, heard(&phone).1), (Some(CloseCode::SessionEnded), None));
        assert_eq!(manager.close_user(ada.user.id, CloseCode::Disconnected, "by an administrator"), 2);
        assert_eq!(heard(&phone).1, Some(CloseCode::Disconnected));
    }

    #[tokio::test]
    async fn draining_spreads_the_return_and_takes_nobody() {
        let manager = manager(|config| config.max_connections_per_user = 100);
        let ada = identity("a");
        let handles: Vec<Handle> = (0..50).map(|_| manager.connect(&ada).expect("fits")).collect();
        manager.begin_drain(Duration::from_secs(10));
        assert_eq!(manager.connect(&ada).err(), Some(Full::Draining));
        let mut delays = std::collections::BTreeSet::new();
        for handle in &handles {
            let (items, close) = heard(handle);
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
        handles[0].outbound().closed().await;
        assert_eq!(heard(&handles[0]).1, Some(CloseCode::Restarting));
        drop(handles);
        going.await.expect("ends once they went");
    }
}
