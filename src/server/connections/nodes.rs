//! Actions on every node: applied here directly, on the others through the bus.
//!
//! Callers stop runs, close connections and send notices through [`Nodes`], the same way with one node and with many. A message from
//! another node is applied the same way, but not sent on.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{catch_up, manager::ConnectionManager, member_check, presence, session_check};
use crate::{
    protocol::{CloseCode, Epoch, Notice, Push, RunId, ThreadId, UserId},
    server::{
        auth::{Auth, SessionCache},
        bus::{Bus, Listener, NodeMessage},
        channel::{Channel, Channels, Delivery, Hub},
        runs::Runner,
    },
};

/// This node and the others; clones share it.
#[derive(Clone)]
pub struct Nodes(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) name: String,
    pub(super) epoch: Epoch,
    pub(super) manager: ConnectionManager,
    pub(super) runner: Runner,
    pub(super) bus: Bus,
    /// Presence and waiting runs on the other nodes.
    pub(super) remote: Mutex<presence::RemotePresence>,
    /// Notified when `remote` changes.
    pub(super) remote_changed: Notify,
    /// Notified to check the sessions of open connections at once.
    pub(super) recheck: Notify,
    session_cache: Arc<SessionCache>,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nodes").field("name", &self.0.name).field("bus", &self.0.bus).finish_non_exhaustive()
    }
}

impl Nodes {
    /// The node that these channels belong to, and the others on the bus.
    #[must_use]
    pub fn new(channels: &Channels, manager: ConnectionManager, runner: Runner, bus: Bus, auth: &Auth) -> Self {
        let (remote, remote_changed, recheck) = Default::default();
        let (name, epoch) = (channels.node().to_owned(), channels.epoch().clone());
        let session_cache = auth.session_cache().clone();
        Self(Arc::new(Inner { name, epoch, manager, runner, bus, remote, remote_changed, recheck, session_cache }))
    }

    /// The bus.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.0.bus
    }

    /// Receives messages, and runs the loops of `catch_up`, `session_check`, `member_check` and `presence`, until `stopping`.
    pub async fn run(self, channels: Channels, auth: Auth, stopping: CancellationToken) {
        let (name, epoch) = (self.0.name.clone(), self.0.epoch.clone());
        tokio::join!(
            self.0.bus.clone().run(name, epoch.clone(), Arc::new(self.clone()), stopping.clone()),
            catch_up::run(&self.0, &channels, &stopping),
            session_check::run(&self.0, &auth, &stopping),
            member_check::run(&self.0, channels.store(), &stopping),
            presence::run(&self.0, &epoch, &stopping),
        );
    }

    /// Reports to the others that this node stops and has no connections any more.
    pub fn leave(&self) {
        self.0.bus.send(NodeMessage::Leaving { node: self.0.name.clone() });
    }

    /// Stops a run, whichever node has it.
    pub fn stop_run(&self, run_id: RunId) {
        self.broadcast(NodeMessage::StopRun { run_id });
    }

    /// Closes all connections of a person (4403); returns how many there were on this node.
    pub fn disconnect(&self, user_id: UserId) -> usize {
        self.broadcast(NodeMessage::Disconnect { user_id })
    }

    /// Closes the connections of a session that ended (4401), on all nodes. Returns how many there were on this one.
    pub fn end_session(&self, session: &str) -> usize {
        self.broadcast(NodeMessage::EndSession { session: session.to_owned() })
    }

    /// Sessions or roles changed: closes connections that are not allowed any more (4401).
    pub fn recheck(&self) {
        self.broadcast(NodeMessage::Recheck {});
    }

    /// Administrators changed the agents: reloads them.
    pub fn agents_changed(&self) {
        self.broadcast(NodeMessage::AgentsChanged {});
    }

    /// The order of a thread's waiting runs changed: the nodes read it again.
    pub fn queue_moved(&self, thread_id: ThreadId) {
        self.broadcast(NodeMessage::QueueMoved { thread_id });
    }

    /// A thread was deleted: ends its subscriptions.
    pub fn thread_deleted(&self, thread_id: ThreadId) {
        self.broadcast(NodeMessage::ThreadDeleted { thread_id });
    }

    /// A user was removed from a thread's members: ends their subscriptions of it.
    pub fn member_removed(&self, thread_id: ThreadId, user_id: UserId) {
        self.broadcast(NodeMessage::MemberRemoved { thread_id, user_id });
    }

    /// Sends a notice to everyone; returns how many connections of this node it was sent to.
    pub fn notice(&self, notice: Notice) -> usize {
        self.broadcast(NodeMessage::Notice { notice })
    }

    /// Applies a message here and sends it to the other nodes; returns how many connections of this node it concerns.
    fn broadcast(&self, message: NodeMessage) -> usize {
        self.0.bus.send(message.clone());
        self.apply_local(message)
    }

    /// Applies a message to this node; returns how many of its connections were closed or notified.
    fn apply_local(&self, message: NodeMessage) -> usize {
        let Inner { manager, runner, bus, remote, remote_changed, recheck, session_cache, .. } = &*self.0;
        match message {
            NodeMessage::StopRun { run_id } => runner.stop(run_id),
            NodeMessage::Disconnect { user_id } => {
                return manager.close_user(user_id, CloseCode::Disconnected, "disconnected by an administrator");
            }
            NodeMessage::EndSession { session } => {
                session_cache.clear();
                return manager.close_session(&session, CloseCode::SessionEnded, "signed out");
            }
            NodeMessage::Recheck {} => {
                session_cache.clear();
                recheck.notify_one();
            }
            NodeMessage::AgentsChanged {} => runner.agents().changed.notify_one(),
            NodeMessage::QueueMoved { thread_id } => runner.queue_moved(thread_id),
            NodeMessage::ThreadDeleted { thread_id } => manager.end_subscriptions(Channel::Thread(thread_id)),
            NodeMessage::MemberRemoved { thread_id, user_id } => manager.revoke(user_id, Channel::Thread(thread_id)),
            NodeMessage::Notice { notice } => return manager.broadcast(&Push::Notice(notice)),
            NodeMessage::Compare {} => bus.request_comparison(),
            NodeMessage::Present { node, parts } => {
                remote.lock().apply(node.into(), parts);
                remote_changed.notify_one();
            }
            NodeMessage::Leaving { node } => {
                remote.lock().remove_node(&node);
                remote_changed.notify_one();
            }
        }
        0
    }
}

impl Listener for Nodes {
    fn on_entry(&self, delivery: &Delivery) {
        self.0.manager.deliver(delivery);
    }

    fn on_head(&self, channel: Channel, seq: u64) {
        self.0.manager.head(channel, seq);
    }

    fn on_message(&self, message: NodeMessage) {
        tracing::debug!(?message, "message from another node");
        self.apply_local(message);
    }
}
