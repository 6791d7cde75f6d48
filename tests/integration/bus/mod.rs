//! Several nodes over one store: their messages over a real NATS, and what happens while it is down.

mod nodes;
mod real;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use netra::{
    protocol::{Epoch, Notice, NoticeId, RunId, ThreadId, UserId},
    server::{
        bus::{Bus, Listener, NodeMessage, Status},
        channel::{Channel, Delivery, Hub},
        config::BusConfig,
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::socket::server::until;
use crate::support::nats::Nats;

/// The messages that a node received, in order.
#[derive(Debug, Default)]
struct Received {
    entries: Mutex<Vec<(Channel, u64, String)>>,
    heads: Mutex<Vec<(Channel, u64)>>,
    messages: Mutex<Vec<NodeMessage>>,
}

impl Listener for Received {
    fn on_entry(&self, delivery: &Delivery) {
        let entry = (delivery.channel, delivery.seq, delivery.entry().to_owned());
        self.entries.lock().expect("not poisoned").push(entry);
    }

    fn on_head(&self, channel: Channel, seq: u64) {
        self.heads.lock().expect("not poisoned").push((channel, seq));
    }

    fn on_message(&self, message: NodeMessage) {
        self.messages.lock().expect("not poisoned").push(message);
    }
}

impl Hub for Received {
    fn deliver(&self, delivery: &Delivery) {
        self.on_entry(delivery);
    }
}

/// A node that only records the messages it receives.
struct Node {
    bus: Bus,
    /// From other nodes.
    received: Arc<Received>,
    /// Deliveries for its own connections.
    delivered: Arc<Received>,
    stopping: CancellationToken,
}

impl Node {
    fn new(url: &str, epoch: &str) -> Self {
        let (received, delivered): (Arc<Received>, Arc<Received>) = Default::default();
        let bus = Bus::new(&BusConfig { url: url.into() }, delivered.clone());
        let stopping = CancellationToken::new();
        tokio::spawn(bus.clone().run("a node".into(), Epoch(epoch.into()), received.clone(), stopping.clone()));
        Self { bus, received, delivered, stopping }
    }

    async fn until(&self, status: impl Fn(Status) -> bool) {
        until("the status of the bus", || status(self.bus.status())).await;
    }

    /// Waits until a message of `other` arrives: being connected does not mean that the subscriptions are active.
    async fn until_receives_from(&self, other: &Self) {
        self.until(|status| status == Status::Connected).await;
        let marker = NodeMessage::StopRun { run_id: RunId::new() };
        let received = || {
            other.bus.send(marker.clone());
            self.received.messages.lock().expect("not poisoned").contains(&marker)
        };
        until("the nodes receive from each other", received).await;
        // Every message has arrived.
        let last = NodeMessage::StopRun { run_id: RunId::new() };
        other.bus.send(last.clone());
        until("the last message", || self.received.messages.lock().expect("not poisoned").contains(&last)).await;
        self.received.messages.lock().expect("not poisoned").clear();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

fn entry(channel: Channel, seq: u64, text: &str) -> Delivery {
    Delivery::new(&Epoch("1".into()), channel, seq, 1_767_225_600_000, text)
}

fn everything() -> Vec<NodeMessage> {
    vec![
        NodeMessage::StopRun { run_id: RunId::new() },
        NodeMessage::Disconnect { user_id: UserId::new() },
        NodeMessage::EndSession { session: "a digest".into() },
        NodeMessage::Recheck {},
        NodeMessage::ThreadDeleted { thread_id: ThreadId::new() },
        NodeMessage::Notice { notice: Notice { id: NoticeId::new(), text: "Noon.".into(), at: 1 } },
        NodeMessage::Compare {},
        NodeMessage::Present { node: "a".into(), parts: Vec::new() },
        NodeMessage::Leaving { node: "a".into() },
    ]
}

#[tokio::test]
async fn messages_of_a_node_reach_the_others_once_and_in_order() {
    let nats = Nats::start().await;
    let [a, b, other_store] = ["1", "1", "2"].map(|epoch| Node::new(&nats.url(), epoch));
    a.until_receives_from(&b).await;
    b.until_receives_from(&a).await;
    other_store.until(|status| status == Status::Connected).await;

    let channels = [Channel::Thread(ThreadId::new()), Channel::User(UserId::new())];
    let entries: Vec<_> =
        (1..=500).flat_map(|seq| channels.map(|channel| (channel, seq, format!("{{\"n\":{seq}}}\u{e9}")))).collect();
    for (channel, seq, text) in &entries {
        a.bus.deliver(&entry(*channel, *seq, text));
    }
    let messages = everything();
    messages.iter().for_each(|message| a.bus.send(message.clone()));
    let count = |node: &Node| node.received.entries.lock().expect("not poisoned").len();
    until("all entries", || count(&b) >= entries.len()).await;
    until("all messages", || b.received.messages.lock().expect("not poisoned").len() >= messages.len()).await;
    assert_eq!(*b.received.entries.lock().expect("not poisoned"), entries);
    assert_eq!(*b.received.messages.lock().expect("not poisoned"), messages);
    assert_eq!(
        a.delivered.entries.lock().expect("not poisoned").len(),
        entries.len(),
        "its own connections get deliveries directly"
    );
    assert_eq!((count(&a), count(&other_store)), (0, 0), "neither its own messages nor those of another store");
    assert!(other_store.received.messages.lock().expect("not poisoned").is_empty());
    assert_eq!((a.bus.dropped(), a.bus.status()), (0, Status::Connected));
}

#[tokio::test]
async fn an_entry_that_is_too_large_for_nats_is_announced_by_its_seq() {
    let nats = Nats::start().await;
    let [a, b] = ["1", "1"].map(|epoch| Node::new(&nats.url(), epoch));
    b.until_receives_from(&a).await;
    let channel = Channel::Thread(ThreadId::new());
    a.bus.deliver(&entry(channel, 7, &"x".repeat(2 << 20)));
    a.bus.deliver(&entry(channel, 8, "{}"));
    until("the one that fits", || b.received.entries.lock().expect("not poisoned").len() == 1).await;
    assert_eq!(*b.received.heads.lock().expect("not poisoned"), [(channel, 7)]);
}

#[tokio::test]
async fn a_bus_that_is_down_is_degraded_and_reconnects_by_itself() {
    let mut nats = Nats::start().await;
    let [a, b] = ["1", "1"].map(|epoch| Node::new(&nats.url(), epoch));
    b.until_receives_from(&a).await;
    nats.stop().await;
    a.until(Status::is_degraded).await;
    b.until(Status::is_degraded).await;
    let channel = Channel::Thread(ThreadId::new());
    a.bus.deliver(&entry(channel, 1, "{}"));
    assert_eq!(a.bus.dropped(), 1, "publishing does not wait, as the log has the entry");
    let kept = NodeMessage::StopRun { run_id: RunId::new() };
    a.bus.send(kept.clone());
    let comparisons = b.bus.comparisons();

    nats.restart().await;
    a.until(|status| status == Status::Connected).await;
    until("the heads are compared", || comparisons.has_changed().expect("the sender is not dropped")).await;
    b.until_receives_from(&a).await;
    a.bus.deliver(&entry(channel, 2, "{}"));
    until("the next entry", || !b.received.entries.lock().expect("not poisoned").is_empty()).await;
    assert_eq!(b.received.entries.lock().expect("not poisoned")[0].1, 2);
}

#[tokio::test]
async fn a_node_starts_without_nats_and_publishes_its_messages_later() {
    let mut nats = Nats::start().await;
    let b = Node::new(&nats.url(), "1");
    b.until(|status| status == Status::Connected).await;
    nats.stop().await;
    b.until(Status::is_degraded).await;
    let a = Node::new(&nats.url(), "1");
    assert!(a.bus.status().is_degraded());
    let stop = NodeMessage::StopRun { run_id: RunId::new() };
    nats.restart().await;
    // Repeated until it arrives: node a does not see whether b has subscribed again.
    let received = || {
        a.bus.send(stop.clone());
        b.received.messages.lock().expect("not poisoned").contains(&stop)
    };
    until("the message", received).await;
}

/// A server that completes NATS' handshake and then reads nothing.
async fn stalled_nats() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("the port is free");
    let url = format!("nats://{}", listener.local_addr().expect("the listener has an address"));
    tokio::spawn(async move {
        let info = r#"{"server_id":"x","version":"2.9.10","proto":1,"host":"127.0.0.1","port":1,"max_payload":1048576,"headers":true}"#;
        let mut kept = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let handshake = async {
                socket.write_all(format!("INFO {info}\r\n").as_bytes()).await?;
                let mut received = [0; 4096];
                let _ = socket.read(&mut received).await?;
                socket.write_all(b"PONG\r\n").await
            };
            if handshake.await.is_ok() {
                kept.push(socket);
            }
        }
    });
    url
}

#[tokio::test]
async fn a_stalled_bus_delays_no_publisher() {
    let a = Node::new(&stalled_nats().await, "1");
    a.until(|status| status == Status::Connected).await;
    let (channel, text) = (Channel::Thread(ThreadId::new()), "x".repeat(64 << 10));
    let begun = Instant::now();
    for seq in 1..=2_000 {
        a.bus.deliver(&entry(channel, seq, &text));
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(a.bus.dropped() > 0 && a.bus.status().is_degraded(), "{:?}", a.bus);
    assert_eq!(a.delivered.entries.lock().expect("not poisoned").len(), 2_000, "its own connections miss nothing");
}
