//! The bus: how the nodes over one store tell each other what happened.
//!
//! One type with two engines: local, where there is nobody to tell, and NATS. It stands between the log and this node's
//! connections ([`Hub`]): what is stored goes to them directly and to the other nodes through a bounded queue. Promises:
//! telling never blocks and never fails; whatever is lost on the way (the bus is away, a queue is full) is a counted hint,
//! marked in [`Status`] and made good from the store, because [`Bus::asked`] has the heads of the logs compared.

// Without NATS nothing leaves this process: what only NATS reads is unused.
#![cfg_attr(not(feature = "nats"), allow(dead_code))]

mod message;
#[cfg(feature = "nats")]
mod nats;
#[cfg(not(feature = "nats"))]
#[path = "no_nats.rs"]
mod nats;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use message::{InLine, NodeMessage, Part};

use super::{
    channel::{Channel, Delivery, Hub},
    clock::now_ms,
    config::BusConfig,
    metrics,
};
use crate::protocol::Epoch;

/// How many entries wait for the bus at most, and how many of their bytes.
const MAX_ENTRIES: usize = 16_384;
const MAX_BYTES: usize = 32 << 20;
/// How many messages to other nodes wait at most.
const MAX_MESSAGES: usize = 4096;

/// What a node does with what the others tell. Must not block.
pub trait Listener: Send + Sync + 'static {
    /// An entry was stored.
    fn entry(&self, delivery: &Delivery);

    /// A channel has come so far, by an entry that is not said.
    fn head(&self, channel: Channel, seq: u64);

    /// Something is to be done.
    fn on_message(&self, message: NodeMessage);
}

/// How the bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There are no other nodes.
    Local,
    /// What happens here is told to the others, and they are heard.
    Connected,
    /// Other nodes may not hear this one, or not be heard: the log is polled.
    Degraded {
        /// Since when, in milliseconds since 1970.
        since: i64,
    },
}

impl Status {
    /// Whether something may be lost on the way.
    #[must_use]
    pub fn is_degraded(self) -> bool {
        matches!(self, Self::Degraded { .. })
    }
}

/// The bus; clones share it.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    /// This node's connections.
    hub: Arc<dyn Hub>,
    nats: Option<Queues>,
    health: watch::Sender<Health>,
    /// Counts how often the logs' heads were asked to be compared.
    asked: watch::Sender<u64>,
    dropped: AtomicU64,
}

/// What waits for NATS.
struct Queues {
    servers: Vec<reqwest::Url>,
    entries: mpsc::Sender<Delivery>,
    messages: mpsc::Sender<NodeMessage>,
    /// Of the entries that wait.
    bytes: AtomicUsize,
    /// Taken by [`Bus::run`].
    waiting: Mutex<Option<Waiting>>,
}

struct Waiting {
    entries: mpsc::Receiver<Delivery>,
    messages: mpsc::Receiver<NodeMessage>,
}

#[derive(Debug, Clone, Copy)]
struct Health {
    status: Status,
    connected: bool,
    /// An entry did not fit into the queue, and the others have not been told yet.
    overflowed: bool,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("status", &self.status()).field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl Bus {
    /// A bus in front of this node's connections. It holds what is to be said until [`Self::run`].
    #[must_use]
    pub fn new(config: &BusConfig, hub: Arc<dyn Hub>) -> Self {
        let nats = config.servers().map(|servers| {
            let (entries, waiting_entries) = mpsc::channel(MAX_ENTRIES);
            let (messages, waiting_messages) = mpsc::channel(MAX_MESSAGES);
            let waiting = Mutex::new(Some(Waiting { entries: waiting_entries, messages: waiting_messages }));
            Queues { servers, entries, messages, bytes: AtomicUsize::new(0), waiting }
        });
        let status = if nats.is_some() { Status::Degraded { since: now_ms() } } else { Status::Local };
        metrics::bus_connected(!status.is_degraded());
        let health = watch::Sender::new(Health { status, connected: false, overflowed: false });
        Self(Arc::new(Inner { hub, nats, health, asked: watch::Sender::new(0), dropped: AtomicU64::new(0) }))
    }

    /// Speaks and listens until `stopping`, then says what still waits. Nodes of one `epoch`, which is the store's, hear each
    /// other. The bus may come and go meanwhile. Without other nodes it ends at once.
    pub async fn run(self, node: String, epoch: Epoch, listener: Arc<dyn Listener>, stopping: CancellationToken) {
        let Some(queues) = &self.0.nats else { return };
        let Some(waiting) = queues.waiting.lock().take() else { return };
        nats::run(&self, &node, &epoch, listener, waiting, stopping).await;
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.health.borrow().status
    }

    /// Whether there can be other nodes.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0.nats.is_none()
    }

    /// Waits until the status is another than `known`; answers it.
    pub async fn changed(&self, known: Status) -> Status {
        let mut health = self.0.health.subscribe();
        let changed = health.wait_for(|health| health.status != known).await;
        // The sender lives as long as this does.
        changed.map_or(known, |health| health.status)
    }

    /// How many entries and messages were not said: the bus was away, or a queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Tells the other nodes: now, or what still counts then once the bus is back.
    pub fn tell(&self, message: NodeMessage) {
        let Some(queues) = &self.0.nats else { return };
        if message.is_of_the_moment() && !self.0.health.borrow().connected {
            return;
        }
        if let Err(error) = queues.messages.try_send(message) {
            self.drop_one();
            tracing::warn!(%error, "a message to the other nodes was dropped");
        }
    }

    /// Has the heads of the logs compared: something may have been lost.
    pub fn ask(&self) {
        self.0.asked.send_modify(|asked| *asked += 1);
    }

    /// Changes whenever the heads of the logs are to be compared.
    #[must_use]
    pub fn asked(&self) -> watch::Receiver<u64> {
        self.0.asked.subscribe()
    }

    /// Queues an entry for the other nodes.
    fn publish(&self, delivery: &Delivery) {
        let Some(queues) = &self.0.nats else { return };
        let bytes = delivery.frame.len();
        // Counted before it is in the queue: it may be taken out, and counted off, at once.
        let before = queues.bytes.fetch_add(bytes, Ordering::Relaxed);
        // While it is away nothing waits for it: it would be old by then, and the log has it.
        let fits = self.0.health.borrow().connected
            && before + bytes <= MAX_BYTES
            && queues.entries.try_send(delivery.clone()).is_ok();
        if !fits {
            self.taken(delivery);
            self.drop_one();
            self.change(|health| health.overflowed = true);
        }
    }

    fn drop_one(&self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::bus_dropped(1);
    }

    /// An entry left the queue, or did not get in.
    fn taken(&self, delivery: &Delivery) {
        if let Some(queues) = &self.0.nats {
            queues.bytes.fetch_sub(delivery.frame.len(), Ordering::Relaxed);
        }
    }

    fn change(&self, edit: impl FnOnce(&mut Health)) {
        let mut turned = None;
        self.0.health.send_if_modified(|health| {
            let (was, before) = (health.connected, health.status);
            edit(health);
            let well = health.connected && !health.overflowed;
            health.status = match before {
                _ if well => Status::Connected,
                Status::Degraded { since } => Status::Degraded { since },
                _ => Status::Degraded { since: now_ms() },
            };
            turned = (health.status != before).then_some(health.status);
            turned.is_some() || was != health.connected
        });
        if let Some(status) = turned {
            metrics::bus_connected(!status.is_degraded());
        }
        match turned {
            Some(Status::Connected) => tracing::info!("the bus is well: other nodes hear and are heard"),
            Some(_) => {
                tracing::warn!("the bus is degraded: other nodes may not hear this one; the log is polled meanwhile");
            }
            None => {}
        }
    }
}

impl Hub for Bus {
    fn deliver(&self, delivery: &Delivery) {
        self.0.hub.deliver(delivery);
        self.publish(delivery);
    }

    fn uncertain(&self, _: Channel) {
        self.ask();
        self.tell(NodeMessage::Compare {});
    }
}
