//! Many nodes over one store: what they tell each other over a real NATS, and what happens while it is away.

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

use crate::socket::bench::until;
use crate::support::nats::Nats;

/// What a node heard, in the order in which it did.
#[derive(Debug, Default)]
struct Heard {
    entries: Mutex<Vec<(Channel, u64, String)>>,
    heads: Mutex<Vec<(Channel, u64)>>,
    messages: Mutex<Vec<NodeMessage>>,
}

impl Listener for Heard {
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

impl Hub for Heard {
    fn deliver(&self, delivery: &Delivery) {
        self.on_entry(delivery);
    }
}

/// A node that only notes what it hears.
struct Node {
    bus: Bus,
    /// From the others.
    heard: Arc<Heard>,
    /// For its own connections.
    delivered: Arc<Heard>,
    stopping: CancellationToken,
}

impl Node {
    fn new(url: &str, epoch: &str) -> Self {
        let (heard, delivered): (Arc<Heard>, Arc<Heard>) = Default::default();
        let bus = Bus::new(&BusConfig { url: url.into() }, delivered.clone());
        let stopping = CancellationToken::new();
        tokio::spawn(bus.clone().run("a node".into(), Epoch(epoch.into()), heard.clone(), stopping.clone()));
        Self { bus, heard, delivered, stopping }
    }

    async fn until(&self, status: impl Fn(Status) -> bool) {
        until("the status of the bus", || status(self.bus.status())).await;
    }

    /// Waits until it hears `other`: its own connection says nothing of whether its subscriptions stand.
    async fn until_hears(&self, other: &Self) {
        self.until(|status| status == Status::Connected).await;
        let marker = NodeMessage::StopRun { run_id: RunId::new() };
        let heard = || {
            other.bus.send(marker.clone());
            self.heard.messages.lock().expect("not poisoned").contains(&marker)
        };
        until("that nodes hear each other", heard).await;
        // All that was said is heard.
        let last = NodeMessage::StopRun { run_id: RunId::new() };
        other.bus.send(last.clone());
        until("the last word", || self.heard.messages.lock().expect("not poisoned").contains(&last)).await;
        self.heard.messages.lock().expect("not poisoned").clear();
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
        NodeMessage::Forget { thread_id: ThreadId::new() },
        NodeMessage::Notice { notice: Notice { id: NoticeId::new(), text: "Noon.".into(), at: 1 } },
        NodeMessage::Compare {},
        NodeMessage::Present { node: "a".into(), parts: Vec::new() },
        NodeMessage::Leaving { node: "a".into() },
    ]
}

#[tokio::test]
async fn what_one_node_says_the_others_hear_once_and_in_order() {
    let nats = Nats::start().await;
    let [a, b, stranger] = ["1", "1", "2"].map(|epoch| Node::new(&nats.url(), epoch));
    a.until_hears(&b).await;
    b.until_hears(&a).await;
    stranger.until(|status| status == Status::Connected).await;

    let channels = [Channel::Thread(ThreadId::new()), Channel::User(UserId::new())];
    let said: Vec<_> =
        (1..=500).flat_map(|seq| channels.map(|channel| (channel, seq, format!("{{\"n\":{seq}}}\u{e9}")))).collect();
    for (channel, seq, text) in &said {
        a.bus.deliver(&entry(*channel, *seq, text));
    }
    let messages = everything();
    messages.iter().for_each(|message| a.bus.send(message.clone()));
    let count = |node: &Node| node.heard.entries.lock().expect("not poisoned").len();
    until("all entries", || count(&b) >= said.len()).await;
    until("all messages", || b.heard.messages.lock().expect("not poisoned").len() >= messages.len()).await;
    assert_eq!(*b.heard.entries.lock().expect("not poisoned"), said);
    assert_eq!(*b.heard.messages.lock().expect("not poisoned"), messages);
    assert_eq!(
        a.delivered.entries.lock().expect("not poisoned").len(),
        said.len(),
        "its own connections are told directly"
    );
    assert_eq!((count(&a), count(&stranger)), (0, 0), "neither an echo nor another store's");
    assert!(stranger.heard.messages.lock().expect("not poisoned").is_empty());
    assert_eq!((a.bus.dropped(), a.bus.status()), (0, Status::Connected));
}

#[tokio::test]
async fn an_entry_that_nats_does_not_take_is_told_by_its_place() {
    let nats = Nats::start().await;
    let [a, b] = ["1", "1"].map(|epoch| Node::new(&nats.url(), epoch));
    b.until_hears(&a).await;
    let channel = Channel::Thread(ThreadId::new());
    a.bus.deliver(&entry(channel, 7, &"x".repeat(2 << 20)));
    a.bus.deliver(&entry(channel, 8, "{}"));
    until("the one that fits", || b.heard.entries.lock().expect("not poisoned").len() == 1).await;
    assert_eq!(*b.heard.heads.lock().expect("not poisoned"), [(channel, 7)]);
}

#[tokio::test]
async fn a_bus_that_went_away_is_degraded_and_comes_back_by_itself() {
    let mut nats = Nats::start().await;
    let [a, b] = ["1", "1"].map(|epoch| Node::new(&nats.url(), epoch));
    b.until_hears(&a).await;
    nats.stop().await;
    a.until(Status::is_degraded).await;
    b.until(Status::is_degraded).await;
    let channel = Channel::Thread(ThreadId::new());
    a.bus.deliver(&entry(channel, 1, "{}"));
    assert_eq!(a.bus.dropped(), 1, "it does not wait: the log has it");
    let kept = NodeMessage::StopRun { run_id: RunId::new() };
    a.bus.send(kept.clone());
    let asked = b.bus.comparisons();

    nats.restart().await;
    a.until(|status| status == Status::Connected).await;
    until("that the heads are compared", || asked.has_changed().expect("goes on")).await;
    b.until_hears(&a).await;
    a.bus.deliver(&entry(channel, 2, "{}"));
    until("the next entry", || !b.heard.entries.lock().expect("not poisoned").is_empty()).await;
    assert_eq!(b.heard.entries.lock().expect("not poisoned")[0].1, 2);
}

#[tokio::test]
async fn a_node_starts_without_nats_and_what_it_is_told_meanwhile_is_said_later() {
    let mut nats = Nats::start().await;
    let b = Node::new(&nats.url(), "1");
    b.until(|status| status == Status::Connected).await;
    nats.stop().await;
    b.until(Status::is_degraded).await;
    let a = Node::new(&nats.url(), "1");
    assert!(a.bus.status().is_degraded());
    let stop = NodeMessage::StopRun { run_id: RunId::new() };
    nats.restart().await;
    // Said until it is heard: whether b listens again already, a cannot know.
    let heard = || {
        a.bus.send(stop.clone());
        b.heard.messages.lock().expect("not poisoned").contains(&stop)
    };
    until("the message", heard).await;
}

/// A NATS that answers the handshake and then reads nothing.
async fn stuck() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("nats://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        let info = r#"{"server_id":"x","version":"2.9.10","proto":1,"host":"127.0.0.1","port":1,"max_payload":1048576,"headers":true}"#;
        let mut kept = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let said = async {
                socket.write_all(format!("INFO {info}\r\n").as_bytes()).await?;
                let mut heard = [0; 4096];
                let _ = socket.read(&mut heard).await?;
                socket.write_all(b"PONG\r\n").await
            };
            if said.await.is_ok() {
                kept.push(socket);
            }
        }
    });
    url
}

#[tokio::test]
async fn a_bus_that_takes_nothing_holds_nobody_up() {
    let a = Node::new(&stuck().await, "1");
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
