//! Many nodes over one store: what they tell each other over a real NATS, and what happens while it is away.
#![cfg(feature = "ssr")]

#[path = "socket/bench.rs"]
mod bench;
mod support;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use netra::{
    protocol::{
        ChannelName, DeleteThread, Epoch, ErrorCode, Notice, NoticeId, Ping, Push, RunId, StopRun, ThreadId, UserId,
        http::Role,
    },
    server::{
        bus::{Bus, Listener, NodeMessage, Status},
        channel::{Channel, Channels, Delivery, Hub},
        config::{BusConfig, Config},
        store::now_ms,
    },
};
use support::nats::Nats;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use bench::{Bench, Client, Person, message, until};

/// What a node heard, in the order in which it did.
#[derive(Debug, Default)]
struct Heard {
    entries: Mutex<Vec<(Channel, u64, String)>>,
    heads: Mutex<Vec<(Channel, u64)>>,
    messages: Mutex<Vec<NodeMessage>>,
}

impl Listener for Heard {
    fn entry(&self, Delivery { channel, seq, frame }: &Delivery) {
        self.entries.lock().expect("not poisoned").push((*channel, *seq, frame.to_string()));
    }

    fn head(&self, channel: Channel, seq: u64) {
        self.heads.lock().expect("not poisoned").push((channel, seq));
    }

    fn told(&self, message: NodeMessage) {
        self.messages.lock().expect("not poisoned").push(message);
    }
}

impl Hub for Heard {
    fn deliver(&self, delivery: &Delivery) {
        self.entry(delivery);
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
            other.bus.tell(marker.clone());
            self.heard.messages.lock().expect("not poisoned").contains(&marker)
        };
        until("that nodes hear each other", heard).await;
        // All that was said is heard.
        let last = NodeMessage::StopRun { run_id: RunId::new() };
        other.bus.tell(last.clone());
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
    Delivery { channel, seq, frame: text.to_owned().into() }
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
    messages.iter().for_each(|message| a.bus.tell(message.clone()));
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
    a.bus.tell(kept.clone());
    let asked = b.bus.asked();

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
        a.bus.tell(stop.clone());
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

/// Two nodes over one store and one NATS, and one person with a thread and a connection to each.
struct Two {
    nats: Nats,
    a: Bench,
    b: Bench,
    ada: Person,
    at_a: Client,
    at_b: Client,
    thread: ThreadId,
}

impl Two {
    async fn start() -> Self {
        let nats = Nats::start().await;
        let on_nats = |config: &mut Config| config.bus.url = nats.url();
        let a = Bench::with(on_nats).await;
        let b = a.another(on_nats).await;
        for bench in [&a, &b] {
            until("the bus", || bench.bus.status() == Status::Connected).await;
        }
        let ada = a.person("ada").await;
        let (mut at_a, mut at_b) = (ada.connect().await, ada.at(&b).connect().await);
        let thread = at_a.create_thread().await;
        at_a.follow(thread).await;
        at_b.follow(thread).await;
        // Each hears the other.
        at_a.until_present(2).await;
        at_b.until_present(2).await;
        Self { nats, a, b, ada, at_a, at_b, thread }
    }
}

#[tokio::test]
async fn clients_of_two_nodes_see_the_same() {
    let mut two = Two::start().await;
    for (bench, count) in [(&two.a, 300), (&two.b, 300), (&two.a, 1)] {
        bench.append(two.thread, count).await;
    }
    let mut expected = two.at_a.subscribe(ChannelName::User, None).await.seq;
    assert!(expected > 0);
    expected = 2;
    while expected <= 602 {
        let (a, b) = (two.at_a.event().await, two.at_b.event().await);
        assert_eq!((a.seq, b.seq, &a.entry), (Some(expected), Some(expected), &b.entry));
        expected += 1;
    }
}

#[tokio::test]
async fn what_is_asked_of_one_node_is_done_on_all() {
    let mut two = Two::start().await;
    let accepted = two.at_a.ask(message(two.thread, "Hello")).await.expect("accepted");
    let run_id: RunId = serde_json::from_value(accepted["run_id"].clone()).expect("a run");
    two.at_b.ask(StopRun { run_id }).await.expect("stops");
    until("the stop", || two.a.runs.stopped.lock().expect("not poisoned").contains(&run_id)).await;

    let notice = Notice { id: NoticeId::new(), text: "Noon.".into(), at: now_ms() };
    two.a.gateway.nodes.notice(notice.clone());
    loop {
        if let Push::Notice(heard) = two.at_b.push().await {
            assert_eq!(heard, notice);
            break;
        }
    }
    two.at_a.ask(DeleteThread { thread_id: two.thread }).await.expect("deletes");
    until("that nobody follows it", || two.b.manager().counts().channels == 0).await;

    let session = two.a.session(&two.ada, i64::MAX).await;
    let ticket = two.a.ticket(&two.ada, &session).await;
    let protocols = format!("netra.v1, ticket.{ticket}");
    let mut third = Client::open(two.b.address, &[("sec-websocket-protocol", &protocols)]).await.expect("opens");
    two.a.gateway.nodes.end_session(&session);
    assert_eq!(third.closed().await.0, 4401);
    assert_eq!(two.a.gateway.nodes.disconnect(two.ada.id()), 1);
    assert_eq!((two.at_a.closed().await.0, two.at_b.closed().await.0), (4403, 4403));
}

#[tokio::test]
async fn without_nats_the_log_is_polled_and_afterwards_nothing_is_missing() {
    let mut two = Two::start().await;
    two.nats.stop().await;
    until("that it is noticed", || two.b.bus.status().is_degraded()).await;
    let begun = Instant::now();
    two.a.append(two.thread, 3).await;
    for seq in 2..=4 {
        assert_eq!(two.at_b.event().await.seq, Some(seq));
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "polled every second: {:?}", begun.elapsed());
    assert!(two.at_b.ask(Ping {}).await.is_ok(), "the socket stayed open");
    two.nats.restart().await;
    two.a.append(two.thread, 2).await;
    for seq in 5..=6 {
        assert_eq!(two.at_b.event().await.seq, Some(seq));
    }
    until("that it is well again", || two.b.bus.status() == Status::Connected).await;
}

#[tokio::test]
async fn presence_adds_up_over_nodes_and_tabs_and_goes_with_them() {
    let Two { a, b, ada, mut at_a, at_b, thread, nats: _nats } = Two::start().await;
    let mut third = ada.at(&b).connect().await;
    third.follow(thread).await;
    at_a.until_present(3).await;
    third.until_present(3).await;
    drop(third);
    at_a.until_present(2).await;
    b.gateway.nodes.leave();
    at_a.until_present(1).await;
    drop((at_b, a, b));
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_found_without_a_bus() {
    struct Nobody;
    impl Hub for Nobody {
        fn deliver(&self, _: &Delivery) {}
    }
    let bench = Bench::start().await;
    let mut client = bench.person("ada").await.connect().await;
    let thread = client.create_thread().await;
    client.follow(thread).await;
    // Stored, and nobody told.
    let silent = Channels::new(bench.store.clone(), Arc::new(Nobody)).await.expect("begins");
    let event = netra::protocol::agui::Custom::new("netra.note", serde_json::json!({}));
    let entry = netra::protocol::ThreadEntry::Agent { run_id: RunId::new(), event: Box::new(event.into()) };
    let mut tx = silent.begin().await.expect("begins");
    tx.thread(thread, &[entry]).await.expect("appends");
    tx.commit().await.expect("commits");
    bench.bus.uncertain(Channel::Thread(thread));
    assert_eq!(client.event().await.seq, Some(2));
}

#[tokio::test]
async fn a_store_that_is_away_closes_no_socket_and_loses_nothing() {
    let bench = Bench::start().await;
    let ada = bench.person("ada").await;
    let (mut client, mut other) = (ada.connect().await, ada.connect().await);
    let thread = client.create_thread().await;
    client.follow(thread).await;
    bench.append(thread, 3).await;
    // All connections that read are taken: the store is out of reach for whoever asks for one.
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(bench.store.reader().acquire().await.expect("is there"));
    }
    let refused = other.ask(StopRun { run_id: RunId::new() });
    let refused = refused.await.expect_err("cannot be done");
    assert_eq!((refused.code, refused.retry_after_ms.is_some()), (ErrorCode::Unavailable, true));
    bench.append(thread, 2).await;
    drop(taken);
    for seq in 2..=6 {
        assert_eq!(client.event().await.seq, Some(seq));
    }
    assert!(client.ask(Ping {}).await.is_ok() && other.ask(Ping {}).await.is_ok());
}

#[tokio::test]
async fn authority_that_was_taken_away_closes_sockets_within_a_second_or_so() {
    let bench = Bench::start().await;
    let admin = bench.person("admin").await;
    bench.gateway.auth.set_role("admin@example.org", Role::Admin).await.expect("changes");
    let [ada, bob, eve] = [bench.person("ada").await, bench.person("bob").await, bench.person("eve").await];
    let session = bench.session(&ada, i64::MAX).await;
    let protocols = format!("netra.v1, ticket.{}", bench.ticket(&ada, &session).await);
    let mut by_session = Client::open(bench.address, &[("sec-websocket-protocol", &protocols)]).await.expect("opens");
    let (mut bobs, mut eves) = (bob.connect().await, eve.connect().await);
    let mut stays = admin.connect().await;
    let begun = Instant::now();
    // As other processes do it: nobody tells this one.
    bench.gateway.auth.set_role("ada@example.org", Role::Admin).await.expect("changes");
    bench.gateway.auth.set_role("bob@example.org", Role::Admin).await.expect("changes");
    bench.gateway.auth.remove("eve@example.org").await.expect("removes");
    for client in [&mut by_session, &mut bobs, &mut eves] {
        assert_eq!(client.closed().await.0, 4401);
    }
    assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
    assert!(stays.ask(Ping {}).await.is_ok(), "whoever still may stays");
    let last = bench.gateway.auth.remove("nobody@example.org").await.expect_err("is nobody").into_body();
    assert_eq!(last.code, ErrorCode::NotFound);
    for email in ["ada@example.org", "bob@example.org"] {
        bench.gateway.auth.remove(email).await.expect("removes");
    }
    let last = bench.gateway.auth.set_role("admin@example.org", Role::Member).await.expect_err("the last").into_body();
    assert_eq!(last.code, ErrorCode::Conflict);
}
