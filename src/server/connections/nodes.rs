//! What is done on every node: here directly, on the others through the bus.
//!
//! The one place from which runs are stopped, sockets closed and people told, so that no caller has to know how many nodes
//! there are. What another node says goes the same way, except that it is not said again.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{audit, catch_up, manager::ConnectionManager, presence};
use crate::{
    protocol::{CloseCode, Epoch, Notice, Push, RunId, ThreadId, UserId},
    server::{
        auth::Auth,
        bus::{Bus, Listener, NodeMessage},
        channel::{Channel, Channels, Delivery, Hub},
        runs::Runner,
    },
};

/// The nodes, as this one sees them; clones share it.
#[derive(Clone)]
pub struct Nodes(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) name: String,
    pub(super) epoch: Epoch,
    pub(super) manager: ConnectionManager,
    pub(super) runner: Runner,
    pub(super) bus: Bus,
    /// Who is in which thread, elsewhere.
    pub(super) elsewhere: Mutex<presence::Elsewhere>,
    /// Told when presence changed elsewhere.
    pub(super) stirred: Notify,
    /// Told when what people may do changed.
    pub(super) recheck: Notify,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nodes").field("name", &self.0.name).field("bus", &self.0.bus).finish_non_exhaustive()
    }
}

impl Nodes {
    /// The node of these channels, and the others on its bus.
    #[must_use]
    pub fn new(channels: &Channels, manager: ConnectionManager, runner: Runner, bus: Bus) -> Self {
        let (elsewhere, stirred, recheck) = Default::default();
        let (name, epoch) = (channels.node().to_owned(), channels.epoch().clone());
        Self(Arc::new(Inner { name, epoch, manager, runner, bus, elsewhere, stirred, recheck }))
    }

    /// The bus.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.0.bus
    }

    /// Hears the others and sees to what is lost between nodes, to authority and to presence, until `stopping`.
    pub async fn run(self, channels: Channels, auth: Auth, stopping: CancellationToken) {
        let (name, epoch) = (self.0.name.clone(), self.0.epoch.clone());
        tokio::join!(
            self.0.bus.clone().run(name, epoch.clone(), Arc::new(self.clone()), stopping.clone()),
            catch_up::run(&self.0, &channels, &stopping),
            audit::run(&self.0, &auth, &stopping),
            presence::run(&self.0, &epoch, &stopping),
        );
    }

    /// Tells the others that nobody is here any more.
    pub fn leave(&self) {
        self.0.bus.tell(NodeMessage::Leaving { node: self.0.name.clone() });
    }

    /// Stops a run, wherever it goes on.
    pub fn stop_run(&self, run_id: RunId) {
        self.everywhere(NodeMessage::StopRun { run_id });
    }

    /// Closes all sockets of a person (4403). Answers how many there were here.
    pub fn disconnect(&self, user_id: UserId) -> usize {
        self.everywhere(NodeMessage::Disconnect { user_id })
    }

    /// A session ended: closes its sockets (4401). Answers how many there were here.
    pub fn end_session(&self, session: &str) -> usize {
        self.everywhere(NodeMessage::EndSession { session: session.to_owned() })
    }

    /// What people may do changed: whoever may not be connected any more is closed (4401).
    pub fn recheck(&self) {
        self.everywhere(NodeMessage::Recheck {});
    }

    /// Administrators changed the agents.
    pub fn agents_changed(&self) {
        self.everywhere(NodeMessage::AgentsChanged {});
    }

    /// A thread was deleted: nobody follows it any more.
    pub fn forget(&self, thread_id: ThreadId) {
        self.everywhere(NodeMessage::Forget { thread_id });
    }

    /// Says something to everyone. Answers to how many sockets here.
    pub fn notice(&self, notice: Notice) -> usize {
        self.everywhere(NodeMessage::Notice { notice })
    }

    /// Does it here and tells the others. Answers how many connections it met here.
    fn everywhere(&self, message: NodeMessage) -> usize {
        self.0.bus.tell(message.clone());
        self.here(message)
    }

    fn here(&self, message: NodeMessage) -> usize {
        let Inner { manager, runner, bus, elsewhere, stirred, recheck, .. } = &*self.0;
        match message {
            NodeMessage::StopRun { run_id } => runner.stop(run_id),
            NodeMessage::Disconnect { user_id } => {
                return manager.close_user(user_id, CloseCode::Disconnected, "disconnected by an administrator");
            }
            NodeMessage::EndSession { session } => {
                return manager.close_session(&session, CloseCode::SessionEnded, "signed out");
            }
            NodeMessage::Recheck {} => recheck.notify_one(),
            NodeMessage::AgentsChanged {} => runner.agents().changed.notify_one(),
            NodeMessage::Forget { thread_id } => manager.forget(Channel::Thread(thread_id)),
            NodeMessage::Notice { notice } => return manager.broadcast(&Push::Notice(notice)),
            NodeMessage::Compare {} => bus.ask(),
            NodeMessage::Present { node, parts } => {
                elsewhere.lock().hear(node.into(), parts);
                stirred.notify_one();
            }
            NodeMessage::Leaving { node } => {
                elsewhere.lock().leave(&node);
                stirred.notify_one();
            }
        }
        0
    }
}

impl Listener for Nodes {
    fn entry(&self, delivery: &Delivery) {
        self.0.manager.deliver(delivery);
    }

    fn head(&self, channel: Channel, seq: u64) {
        self.0.manager.head(channel, seq);
    }

    fn told(&self, message: NodeMessage) {
        tracing::debug!(?message, "another node says");
        self.here(message);
    }
}
