//! The bus: sends entries and messages to the other nodes of the store.
//!
//! Either local, without other nodes, or NATS. It is the [`Hub`] of this node's channels: entries go to the node's own connections
//! directly, and to the other nodes through a bounded queue.
//!
//! Guarantees: sending never blocks and never fails. What is lost (the bus is down, a queue is full) is counted, except
//! transient messages while the bus is down. If entries may be lost, the [`Status`] is degraded, and nodes compare the
//! last `seq` of their logs ([`Bus::comparisons`]) and read what is missing from the store.

// Built without the feature `nats`, some items are unused.
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

pub use message::{NodeMessage, ThreadReport, WaitingRun};

use super::{
    channel::{Channel, Delivery, Hub},
    clock::now_ms,
    config::BusConfig,
    metrics,
};
use crate::protocol::Epoch;

/// The most entries that wait to be sent.
const MAX_QUEUED_ENTRIES: usize = 16_384;
/// The most bytes of entries that wait to be sent.
const MAX_QUEUED_BYTES: usize = 32 << 20;
/// The most messages that wait to be sent.
const MAX_QUEUED_MESSAGES: usize = 4096;

/// Receives what the other nodes send. Its functions must not block.
pub trait Listener: Send + Sync + 'static {
    /// An entry was stored.
    fn on_entry(&self, delivery: &Delivery);

    /// An entry was stored, but came without its frame (it is too large for the bus, for example).
    fn on_head(&self, channel: Channel, seq: u64);

    /// A message arrived.
    fn on_message(&self, message: NodeMessage);
}

/// The state of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There are no other nodes.
    Local,
    /// Entries and messages go both ways.
    Connected,
    /// Entries or messages may be lost: the ends of the logs are polled.
    Degraded {
        /// Since when, in milliseconds since 1970.
        since: i64,
    },
}

impl Status {
    /// Whether entries and messages may be lost.
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
    /// How many times a comparison of the logs' ends was requested.
    comparisons: watch::Sender<u64>,
    dropped: AtomicU64,
}

/// What waits to be sent over NATS.
struct Queues {
    servers: Vec<reqwest::Url>,
    entries: mpsc::Sender<Delivery>,
    messages: mpsc::Sender<NodeMessage>,
    /// Bytes of the waiting entries.
    bytes: AtomicUsize,
    /// The other ends of the queues, until [`Bus::run`] takes them.
    receivers: Mutex<Option<Receivers>>,
}

struct Receivers {
    entries: mpsc::Receiver<Delivery>,
    messages: mpsc::Receiver<NodeMessage>,
}

#[derive(Debug, Clone, Copy)]
struct Health {
    status: Status,
    connected: bool,
    /// An entry was not queued (the queue was full, or the bus down), and the other nodes have not been asked to compare since.
    entries_missed: bool,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("status", &self.status()).field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl Bus {
    /// A bus for this node, whose connections are behind `hub`. Until [`Self::run`] has connected, messages to other
    /// nodes wait, and other nodes read entries from the store.
    #[must_use]
    pub fn new(config: &BusConfig, hub: Arc<dyn Hub>) -> Self {
        let nats = config.servers().map(|servers| {
            let (entries, queued_entries) = mpsc::channel(MAX_QUEUED_ENTRIES);
            let (messages, queued_messages) = mpsc::channel(MAX_QUEUED_MESSAGES);
            let receivers = Mutex::new(Some(Receivers { entries: queued_entries, messages: queued_messages }));
            Queues { servers, entries, messages, bytes: AtomicUsize::new(0), receivers }
        });
        let status = if nats.is_some() { Status::Degraded { since: now_ms() } } else { Status::Local };
        metrics::bus_connected(!status.is_degraded());
        let health = watch::Sender::new(Health { status, connected: false, entries_missed: false });
        Self(Arc::new(Inner { hub, nats, health, comparisons: watch::Sender::new(0), dropped: AtomicU64::new(0) }))
    }

    /// Sends and receives until `stopping`, then sends what is still queued. Nodes receive only from nodes of their store, which is named
    /// by its `epoch`. Reconnects after the bus was down. A local bus returns at once.
    pub async fn run(self, node: String, epoch: Epoch, listener: Arc<dyn Listener>, stopping: CancellationToken) {
        let Some(queues) = &self.0.nats else { return };
        let Some(receivers) = queues.receivers.lock().take() else { return };
        nats::run(&self, &node, &epoch, listener, receivers, stopping).await;
    }

    /// The current status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.health.borrow().status
    }

    /// Whether there are no other nodes.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0.nats.is_none()
    }

    /// Waits until the status differs from `known`; returns the new status.
    pub async fn changed(&self, known: Status) -> Status {
        let mut health = self.0.health.subscribe();
        let changed = health.wait_for(|health| health.status != known).await;
        // It cannot fail: `self` keeps the sender.
        changed.map_or(known, |health| health.status)
    }

    /// How many entries and messages were not sent: the bus was down, or a queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Sends a message to the other nodes. While the bus is down, all but transient ones wait for it.
    pub fn send(&self, message: NodeMessage) {
        let Some(queues) = &self.0.nats else { return };
        if message.is_transient() && !self.0.health.borrow().connected {
            return;
        }
        if let Err(error) = queues.messages.try_send(message) {
            self.count_dropped();
            tracing::warn!(%error, "a message to the other nodes was dropped");
        }
    }

    /// Requests a comparison of the logs' ends with what connections were sent, because entries may have been lost.
    pub fn request_comparison(&self) {
        self.0.comparisons.send_modify(|count| *count += 1);
    }

    /// Changes with each request for a comparison.
    #[must_use]
    pub fn comparisons(&self) -> watch::Receiver<u64> {
        self.0.comparisons.subscribe()
    }

    /// Queues an entry for the other nodes.
    fn publish(&self, delivery: &Delivery) {
        let Some(queues) = &self.0.nats else { return };
        let bytes = delivery.frame.len();
        // Count before queueing: the entry may be taken out, and subtracted, at once.
        let before = queues.bytes.fetch_add(bytes, Ordering::Relaxed);
        // While the bus is down entries are not queued: other nodes poll the store meanwhile.
        let fits = self.0.health.borrow().connected
            && before + bytes <= MAX_QUEUED_BYTES
            && queues.entries.try_send(delivery.clone()).is_ok();
        if !fits {
            self.dequeued(delivery);
            self.count_dropped();
            self.update_health(|health| health.entries_missed = true);
        }
    }

    fn count_dropped(&self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::bus_dropped(1);
    }

    /// Subtracts an entry that left the queue, or did not get in.
    fn dequeued(&self, delivery: &Delivery) {
        if let Some(queues) = &self.0.nats {
            queues.bytes.fetch_sub(delivery.frame.len(), Ordering::Relaxed);
        }
    }

    /// Changes the health, and reports a change of the status.
    fn update_health(&self, edit: impl FnOnce(&mut Health)) {
        let mut changed = None;
        self.0.health.send_if_modified(|health| {
            let (was, before) = (health.connected, health.status);
            edit(health);
            let is_well = health.connected && !health.entries_missed;
            health.status = match before {
                _ if is_well => Status::Connected,
                Status::Degraded { since } => Status::Degraded { since },
                _ => Status::Degraded { since: now_ms() },
            };
            changed = (health.status != before).then_some(health.status);
            changed.is_some() || was != health.connected
        });
        if let Some(status) = changed {
            metrics::bus_connected(!status.is_degraded());
        }
        match changed {
            Some(Status::Connected) => tracing::info!("the bus is connected"),
            Some(_) => {
                tracing::warn!("the bus is degraded: entries may be lost, and the logs are polled");
            }
            None => {}
        }
    }
}

impl Hub for Bus {
    fn deliver(&self, delivery: &Delivery) {
        self.deliver_all(std::slice::from_ref(delivery));
    }

    fn deliver_all(&self, deliveries: &[Delivery]) {
        self.0.hub.deliver_all(deliveries);
        deliveries.iter().for_each(|delivery| self.publish(delivery));
    }

    fn uncertain(&self, _: Channel) {
        self.request_comparison();
        self.send(NodeMessage::Compare {});
    }
}
