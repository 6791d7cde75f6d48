//! The connection manager: the one place that knows who is connected, who follows what, and how to reach them.
//!
//! Built once and handed down; clones share it. Promises: a connection is in the books exactly as long as its [`Handle`]
//! lives, so there are no ghosts; what is pushed is encoded once; the books are locked only while they are read or
//! written, never while somebody is told something.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{extract::ws::Utf8Bytes, http::StatusCode};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    outbound::{Close, Item, Outbound},
    registry::{Holder, Registry},
};
use crate::{
    protocol::{
        CloseCode, ConnectionId, Draining, Present, Push, ThreadId, UserId, encode_push, http::Problem,
        limits::MAX_SUBSCRIPTIONS,
    },
    server::{
        auth::Identity,
        channel::{Channel, Delivery, Hub},
        config::SocketConfig,
        metrics,
        problem::problem,
        rates::Rates,
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
    rates: Arc<Rates>,
    draining: AtomicBool,
    opened: AtomicU64,
    /// Told whenever a connection goes.
    gone: Notify,
    /// Told whenever somebody comes to a thread or leaves it.
    stirred: Notify,
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

/// When to try again, where there is no place for a connection.
pub(super) const RETRY_MS: u64 = 5_000;

impl From<Full> for Problem {
    fn from(full: Full) -> Self {
        let refused = match full {
            Full::Draining => {
                problem(StatusCode::SERVICE_UNAVAILABLE, "draining", "the server restarts; come back soon")
            }
            Full::Connections => {
                let detail = "the server has no place left; come back";
                problem(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", detail)
            }
        };
        Self { retry_after_ms: Some(RETRY_MS), ..refused }
    }
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
            rates: Arc::new(Rates::new(config.commands_per_minute)),
            draining: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            gone: Notify::new(),
            stirred: Notify::new(),
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
        registry.insert(id, holder(identity), outbound.clone());
        drop(registry);
        for (_, oldest) in oldest {
            oldest.close(Close::new(CloseCode::TooManyConnections, "another connection took the place of this one"));
        }
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Handle { manager: self.clone(), id, outbound })
    }

    /// How much each person may ask in a minute.
    #[must_use]
    pub fn rates(&self) -> &Arc<Rates> {
        &self.0.rates
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

    /// The channel has come as far as `head`: those who were not told yet read it from the store.
    pub(crate) fn head(&self, channel: Channel, head: u64) {
        let followers = self.0.registry.lock().behind(channel, head);
        for (_, outbound) in followers.iter().flat_map(|followers| followers.iter()) {
            outbound.push(Item::Head(channel, head));
        }
    }

    /// Every channel that somebody follows.
    pub(crate) fn followed(&self) -> Vec<Channel> {
        self.0.registry.lock().followed()
    }

    /// Whose each connection is, and how it is reached.
    pub(crate) fn holders(&self) -> Vec<(Holder, Arc<Outbound>)> {
        self.0.registry.lock().holders()
    }

    /// Who has a thread open here.
    pub(crate) fn present(&self, thread: ThreadId) -> Vec<Present> {
        self.0.registry.lock().present(thread)
    }

    /// Waits until somebody comes to a thread or leaves it.
    pub(crate) async fn stirred(&self) {
        self.0.stirred.notified().await;
    }

    /// Threads that somebody came to or left, since this was asked before.
    pub(crate) fn take_stirred(&self) -> HashSet<ThreadId> {
        self.0.registry.lock().take_stirred()
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
        let followers = self.0.registry.lock().delivered(delivery.channel, delivery.seq);
        #[cfg(debug_assertions)]
        if crate::server::fault_injection::skips(&delivery.frame) {
            return;
        }
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
        self.manager.0.stirred.notify_one();
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
        let fits = self.manager.0.registry.lock().follow(self.id, channel, MAX_SUBSCRIPTIONS);
        self.manager.0.stirred.notify_one();
        fits
    }

    /// From now on they do not.
    pub(crate) fn unfollow(&self, channel: Channel) {
        self.manager.0.registry.lock().unfollow(self.id, channel);
        self.manager.0.stirred.notify_one();
    }
}

fn holder(identity: &Identity) -> Holder {
    let user = &identity.user;
    Holder { user: user.id, name: user.name.as_str().into(), role: user.role, session: identity.session().into() }
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
#[path = "manager_tests.rs"]
mod tests;
