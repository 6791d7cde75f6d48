//! The connection manager: the open connections of this node, the channels that they follow, and how to push to them.
//!
//! Clones share it. Guarantees: a connection is registered exactly as long as its [`ConnectionGuard`] exists; a push is encoded
//! once, however many connections receive it; the registry is not locked while items are queued.

use std::{
    collections::HashSet,
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
    registry::{Owner, Registry},
    rejection::Rejection,
    send_queue::{Close, Item, SendQueue},
};
use crate::{
    protocol::{
        CloseCode, ConnectionId, Draining, Present, Push, ThreadId, UserId, encode_push, limits::MAX_SUBSCRIPTIONS,
    },
    server::{
        auth::Identity,
        channel::{Channel, Delivery, Hub},
        config::SocketConfig,
        metrics,
        rates::UserRateLimiter,
    },
};

/// How long [`ConnectionManager::finish_drain`] waits for the closed connections to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// The open connections of this node; clones share it.
#[derive(Debug, Clone)]
pub struct ConnectionManager(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Mutex<Registry<Arc<SendQueue>>>,
    max_connections: usize,
    max_connections_per_user: usize,
    send_queue_bytes: usize,
    rates: Arc<UserRateLimiter>,
    draining: AtomicBool,
    opened: AtomicU64,
    /// Notified when a connection ends.
    ended: Notify,
    /// Notified when a connection follows a thread or stops to.
    presence_changed: Notify,
}

/// Numbers of connections, for metrics and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Open connections.
    pub connections: usize,
    /// People who have at least one.
    pub users: usize,
    /// Channels that are followed.
    pub channels: usize,
    /// Connections opened since the start of the process.
    pub opened: u64,
}

/// A registered connection; dropping it unregisters the connection.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    manager: ConnectionManager,
    id: ConnectionId,
    send_queue: Arc<SendQueue>,
}

impl ConnectionManager {
    /// A manager without connections.
    #[must_use]
    pub fn new(config: &SocketConfig) -> Self {
        Self(Arc::new(Inner {
            registry: Mutex::default(),
            max_connections: config.max_connections,
            max_connections_per_user: config.max_connections_per_user,
            send_queue_bytes: config.outbound_queue_bytes,
            rates: Arc::new(UserRateLimiter::new(config.commands_per_minute)),
            draining: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            ended: Notify::new(),
            presence_changed: Notify::new(),
        }))
    }

    /// Registers a connection. If the person then has too many, their oldest is closed (4409).
    pub(crate) fn connect(&self, identity: &Identity) -> Result<ConnectionGuard, Rejection> {
        self.check_admission()?;
        let user = identity.user.id;
        let send_queue = Arc::new(SendQueue::new(self.0.send_queue_bytes));
        let mut registry = self.0.registry.lock();
        if registry.counts().0 >= self.0.max_connections {
            return Err(Rejection::Full);
        }
        let surplus = (registry.count_of(user) + 1).saturating_sub(self.0.max_connections_per_user);
        let oldest = if surplus > 0 { registry.of_user(user) } else { Vec::new() };
        let oldest: Vec<_> = oldest.into_iter().take(surplus).collect();
        for (id, _) in &oldest {
            registry.remove(*id);
        }
        let id = ConnectionId::new();
        registry.insert(id, owner(identity), send_queue.clone());
        drop(registry);
        for (_, oldest) in oldest {
            oldest.close(Close::new(CloseCode::TooManyConnections, "another connection took the place of this one"));
        }
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        Ok(ConnectionGuard { manager: self.clone(), id, send_queue })
    }

    /// The rate limit of each person.
    #[must_use]
    pub fn rates(&self) -> &Arc<UserRateLimiter> {
        &self.0.rates
    }

    /// Fails while the server drains.
    pub(crate) fn check_admission(&self) -> Result<(), Rejection> {
        if self.0.draining.load(Ordering::Acquire) { Err(Rejection::Draining) } else { Ok(()) }
    }

    /// Whether the server drains.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.check_admission().is_err()
    }

    /// Pushes to all connections of a person; returns how many.
    pub fn push_user(&self, user: UserId, push: &Push) -> usize {
        let connections = self.0.registry.lock().of_user(user);
        send(&connections, push)
    }

    /// Pushes to all connections that follow a thread; returns how many.
    pub fn push_thread(&self, thread: ThreadId, push: &Push) -> usize {
        let followers = self.0.registry.lock().followers(Channel::Thread(thread));
        followers.map_or(0, |followers| send(&followers, push))
    }

    /// Pushes to all connections; returns how many.
    pub fn broadcast(&self, push: &Push) -> usize {
        let connections = self.0.registry.lock().all();
        send(&connections, push)
    }

    /// Closes the connections of a session; returns how many. `reason` goes into the close frame (at most 123 bytes).
    pub fn close_session(&self, session: &str, code: CloseCode, reason: &'static str) -> usize {
        let connections = self.0.registry.lock().of_session(session);
        close(&connections, &Close::new(code, reason))
    }

    /// Closes all connections of a person; returns how many. `reason` goes into the close frame (at most 123 bytes).
    pub fn close_user(&self, user: UserId, code: CloseCode, reason: &'static str) -> usize {
        let connections = self.0.registry.lock().of_user(user);
        close(&connections, &Close::new(code, reason))
    }

    /// A person may not follow a channel any more: ends the subscriptions of their connections.
    pub fn revoke(&self, user: UserId, channel: Channel) {
        let mut registry = self.0.registry.lock();
        let connections = registry.of_user(user);
        let revoked: Vec<_> = connections.into_iter().filter_map(|(id, _)| registry.unfollow(id, channel)).collect();
        drop(registry);
        revoked.iter().for_each(|queue| queue.push(Item::Revoked(channel)));
        self.0.presence_changed.notify_one();
    }

    /// A channel was deleted: ends all subscriptions of it.
    pub fn end_subscriptions(&self, channel: Channel) {
        let mut registry = self.0.registry.lock();
        let Some(followers) = registry.followers(channel) else { return };
        for (id, _) in followers.iter() {
            registry.unfollow(*id, channel);
        }
        drop(registry);
        followers.iter().for_each(|(_, queue)| queue.push(Item::Revoked(channel)));
    }

    /// The log of a channel has entries up to `head`: connections that were not sent all of them read the store.
    pub(crate) fn head(&self, channel: Channel, head: u64) {
        let followers = self.0.registry.lock().for_head(channel, head);
        for (_, queue) in followers.iter().flat_map(|followers| followers.iter()) {
            queue.push(Item::Head(channel, head));
        }
    }

    /// Every channel that is followed.
    pub(crate) fn followed(&self) -> Vec<Channel> {
        self.0.registry.lock().followed()
    }

    /// The owner and the queue of each connection.
    pub(crate) fn owners(&self) -> Vec<(Owner, Arc<SendQueue>)> {
        self.0.registry.lock().owners()
    }

    /// Who follows which thread here.
    pub(crate) fn thread_followers(&self) -> HashSet<(ThreadId, UserId)> {
        self.0.registry.lock().thread_followers()
    }

    /// The people whose connections here follow a thread.
    pub(crate) fn present(&self, thread: ThreadId) -> Vec<Present> {
        self.0.registry.lock().present(thread)
    }

    /// Waits until a connection follows a thread or stops to.
    pub(crate) async fn presence_changed(&self) {
        self.0.presence_changed.notified().await;
    }

    /// The threads whose followers changed since the last call.
    pub(crate) fn take_presence_changes(&self) -> HashSet<ThreadId> {
        self.0.registry.lock().take_presence_changes()
    }

    /// Accepts no more connections, and sends each client a time to reconnect, spread over `window` after the close.
    pub fn begin_drain(&self, window: Duration) {
        self.0.draining.store(true, Ordering::Release);
        let connections = self.0.registry.lock().all();
        tracing::info!(connections = connections.len(), "draining");
        let slot = window.as_secs_f64() * 1_000.0 / connections.len().max(1) as f64;
        for (place, (_, queue)) in connections.iter().enumerate() {
            // A slot each, and a random time in it: spread evenly without a pattern.
            let reconnect_in_ms = ((place as f64 + rand::random::<f64>()) * slot) as u64;
            queue.push(Item::Frame(encode_push(&Push::Draining(Draining { reconnect_in_ms })).into()));
        }
    }

    /// Closes all connections (1012) after writing what is queued for them, and waits until they have ended.
    pub async fn finish_drain(&self) {
        let connections = self.0.registry.lock().all();
        close(&connections, &Close::new(CloseCode::Restarting, "the server restarts"));
        drop(connections);
        let empty = async {
            loop {
                let ended = self.0.ended.notified();
                if self.counts().connections == 0 {
                    break;
                }
                ended.await;
            }
        };
        if tokio::time::timeout(DRAIN_TIMEOUT, empty).await.is_err() {
            tracing::warn!(connections = self.counts().connections, "connections did not end in time");
        }
    }

    /// [`Self::begin_drain`] and [`Self::finish_drain`].
    pub async fn drain(&self, window: Duration) {
        self.begin_drain(window);
        self.finish_drain().await;
    }

    /// The current numbers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (connections, users, channels) = self.0.registry.lock().counts();
        Counts { connections, users, channels, opened: self.0.opened.load(Ordering::Relaxed) }
    }

    /// How many bytes are queued for all connections.
    #[must_use]
    pub fn queue_bytes(&self) -> usize {
        let connections = self.0.registry.lock().all();
        connections.iter().map(|(_, queue)| queue.bytes()).sum()
    }

    /// How many connections a person has.
    #[must_use]
    pub fn connections_of(&self, user: UserId) -> usize {
        self.0.registry.lock().count_of(user)
    }
}

impl Hub for ConnectionManager {
    fn deliver(&self, delivery: &Delivery) {
        self.deliver_all(std::slice::from_ref(delivery));
    }

    fn deliver_all(&self, deliveries: &[Delivery]) {
        // What one channel gets is queued at once for each of its followers, so that it leaves in one write.
        for entries in deliveries.chunk_by(|a, b| a.channel == b.channel) {
            let Some(last) = entries.last() else { continue };
            let followers = self.0.registry.lock().for_delivery(last.channel, last.seq);
            let Some(followers) = followers else { continue };
            #[cfg(debug_assertions)]
            if entries.iter().any(|entry| crate::server::fault_injection::skips_delivery(&entry.frame)) {
                continue;
            }
            metrics::fan_out(followers.len() * entries.len());
            for (_, queue) in followers.iter() {
                queue.push_all(entries.iter().cloned().map(Item::Entry));
            }
        }
    }
}

impl ConnectionGuard {
    /// The connection's id.
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// Its queue.
    pub(crate) fn send_queue(&self) -> &Arc<SendQueue> {
        &self.send_queue
    }

    /// Follows channels for the connection without keeping it registered.
    pub(crate) fn follower(&self) -> Follower {
        Follower { manager: self.manager.clone(), id: self.id }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.manager.0.registry.lock().remove(self.id);
        self.manager.0.ended.notify_waiters();
        self.manager.0.presence_changed.notify_one();
    }
}

/// Follows channels for one connection; has no effect once that is unregistered.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    manager: ConnectionManager,
    id: ConnectionId,
}

impl Follower {
    /// Queues the channel's deliveries for the connection from now on; returns false if it follows too many channels.
    pub(crate) fn follow(&self, channel: Channel) -> bool {
        let fits = self.manager.0.registry.lock().follow(self.id, channel, MAX_SUBSCRIPTIONS);
        self.notify_presence(channel);
        fits
    }

    /// Stops that.
    pub(crate) fn unfollow(&self, channel: Channel) {
        self.manager.0.registry.lock().unfollow(self.id, channel);
        self.notify_presence(channel);
    }

    /// Only who follows a thread is shown to others.
    fn notify_presence(&self, channel: Channel) {
        if matches!(channel, Channel::Thread(_)) {
            self.manager.0.presence_changed.notify_one();
        }
    }
}

fn owner(identity: &Identity) -> Owner {
    let user = &identity.user;
    Owner { user: user.id, name: user.name.as_str().into(), role: user.role, session: identity.session().into() }
}

fn send(connections: &[(ConnectionId, Arc<SendQueue>)], push: &Push) -> usize {
    let frame = Utf8Bytes::from(encode_push(push));
    connections.iter().for_each(|(_, queue)| queue.push(Item::Frame(frame.clone())));
    connections.len()
}

fn close(connections: &[(ConnectionId, Arc<SendQueue>)], why: &Close) -> usize {
    connections.iter().for_each(|(_, queue)| queue.close(why.clone()));
    connections.len()
}

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
