//! The bus over NATS: one subject for each channel, one for messages to nodes, below a name that is the store's own.
//!
//! Core NATS, at most once: the log is what keeps. An entry's payload is its `seq`, a line feed, and the frame as it goes to
//! the sockets; without the frame where that is larger than NATS takes.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, Event, Message, ServerAddr, Subscriber};
use axum::extract::ws::Utf8Bytes;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Bus, Listener, NodeMessage, Waiting};
use crate::{
    protocol::Epoch,
    server::{
        backoff::Backoff,
        channel::{Channel, Delivery},
    },
};

/// After how much silence NATS is asked for a sign of life; the third that it owes ends the connection.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(2);
/// Delays between attempts to connect.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// How much waits within the client, beside our own queue.
const CLIENT_QUEUE: usize = 256;
/// How many messages wait to be heard, for each subscription.
const HEARD_QUEUE: usize = 65_536;
/// How long saying what waits may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Speaks and listens until `stopping`.
pub(super) async fn run(
    bus: &Bus,
    node: &str,
    epoch: &Epoch,
    listener: Arc<dyn Listener>,
    mut waiting: Waiting,
    stopping: CancellationToken,
) {
    let Some(queues) = &bus.0.nats else { return };
    let subjects = Subjects::new(epoch);
    let servers = queues.servers.iter().cloned().map(ServerAddr::from_url).collect::<Result<Vec<_>, _>>();
    let servers = servers.expect("the configuration takes nats:// and tls:// alone");
    let places: Vec<String> = servers.iter().map(|s| format!("{}:{}", s.host(), s.port())).collect();
    tracing::info!(servers = places.join(","), subjects = subjects.root, "the bus is NATS");
    let mut attempt = 0;
    while !stopping.is_cancelled() {
        let options = options(bus, node, &servers);
        match options.connect(&servers[..]).await {
            // It ends only with `stopping`, or where NATS refuses us: then we begin anew, for that may change.
            Ok(client) => talk(bus, &client, &subjects, &*listener, &mut waiting, &stopping).await,
            Err(error) => tracing::warn!(%error, "NATS cannot be used; check bus.url"),
        }
        bus.change(|health| health.connected = false);
        attempt += 1;
        stopping.run_until_cancelled(tokio::time::sleep(pause(attempt))).await;
    }
}

fn options(bus: &Bus, node: &str, servers: &[ServerAddr]) -> ConnectOptions {
    // Weak: the client must not keep alive what keeps it alive.
    let weak = Arc::downgrade(&bus.0);
    let options = ConnectOptions::new()
        .name(format!("netra {node}"))
        .no_echo()
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(pause)
        .connection_timeout(CONNECT)
        .ping_interval(PING_EVERY)
        .client_capacity(CLIENT_QUEUE)
        .subscription_capacity(HEARD_QUEUE)
        .event_callback(move |event| {
            let bus = weak.upgrade().map(Bus);
            async move {
                if let Some(bus) = bus {
                    happened(&bus, event);
                }
            }
        });
    // Said with the first address, they hold for all that say none.
    match servers.first().map(|first| (first.username(), first.password())) {
        Some((Some(user), password)) => options.user_and_password(user.into(), password.unwrap_or_default().into()),
        _ => options,
    }
}

fn happened(bus: &Bus, event: Event) {
    match event {
        Event::Connected => {
            bus.change(|health| health.connected = true);
            bus.ask();
        }
        Event::Disconnected | Event::Closed => bus.change(|health| health.connected = false),
        Event::SlowConsumer(_) => {
            tracing::warn!("the bus is faster than this node: some of it is lost, and read from the log");
            bus.ask();
        }
        Event::ServerError(error) => tracing::warn!(%error, "NATS complains"),
        Event::ClientError(error) => tracing::warn!(%error, "NATS cannot be reached"),
        Event::LameDuckMode | Event::Draining => {}
    }
}

/// The delay before the `attempt`th attempt to connect, counted from 1.
fn pause(attempt: usize) -> Duration {
    RETRY.jittered(u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX))
}

/// Speaks and listens through one client.
async fn talk(
    bus: &Bus,
    client: &Client,
    subjects: &Subjects,
    listener: &dyn Listener,
    waiting: &mut Waiting,
    stopping: &CancellationToken,
) {
    let heard = async {
        let control = client.subscribe(subjects.control.clone()).await?;
        let entries = client.subscribe(format!("{}>", subjects.entries)).await?;
        Ok::<_, async_nats::SubscribeError>((control, entries))
    };
    let (control, entries) = match stopping.run_until_cancelled(heard).await {
        Some(Ok(subscriptions)) => subscriptions,
        Some(Err(error)) => return tracing::warn!(%error, "NATS takes no subscriptions"),
        None => return,
    };
    tokio::select! {
        () = hear(entries, |message| hear_entry(&message, subjects, listener)) => {}
        () = hear(control, |message| hear_message(&message, listener)) => {}
        () = speak(bus, client, subjects, waiting) => {}
        () = stopping.cancelled() => {
            if timeout(FAREWELL, finish(client, subjects, waiting)).await.is_err() {
                tracing::warn!("the bus took too long to say what still waited");
            }
        }
    }
}

async fn hear(mut from: Subscriber, mut each: impl FnMut(Message)) {
    while let Some(message) = from.next().await {
        each(message);
    }
}

fn hear_entry(message: &Message, subjects: &Subjects, listener: &dyn Listener) {
    match (subjects.channel(&message.subject), Said::read(&message.payload)) {
        (Some(channel), Some(Said { seq, frame: Some(frame) })) => listener.entry(&Delivery { channel, seq, frame }),
        (Some(channel), Some(Said { seq, frame: None })) => listener.head(channel, seq),
        _ => tracing::debug!(subject = %message.subject, "the bus brought no entry"),
    }
}

fn hear_message(message: &Message, listener: &dyn Listener) {
    match serde_json::from_slice(&message.payload) {
        Ok(message) => listener.on_message(message),
        Err(error) => tracing::debug!(%error, "the bus brought a message of another version"),
    }
}

/// Says what is to be said, as it comes. Messages wait while NATS is away.
async fn speak(bus: &Bus, client: &Client, subjects: &Subjects, waiting: &mut Waiting) {
    let mut health = bus.0.health.subscribe();
    loop {
        let health_now = *health.borrow_and_update();
        if health_now.connected && health_now.overflowed && waiting.entries.is_empty() {
            match timeout(CONNECT, client.flush()).await {
                // All that was queued is said: what did not fit, the others read from the log.
                Ok(Ok(())) => {
                    bus.change(|health| health.overflowed = false);
                    bus.tell(NodeMessage::Compare {});
                }
                Ok(Err(error)) => return tracing::warn!(%error, "NATS takes nothing any more"),
                Err(_) => {}
            }
            continue;
        }
        let said = tokio::select! {
            biased;
            _ = health.changed() => continue,
            Some(message) = waiting.messages.recv(), if health_now.connected => {
                say(client, subjects, &message).await
            }
            Some(delivery) = waiting.entries.recv() => {
                bus.taken(&delivery);
                publish(client, subjects, &delivery).await
            }
            else => return,
        };
        if let Err(error) = said {
            return tracing::warn!(%error, "NATS takes nothing any more");
        }
    }
}

/// Says what waits, and that it is all.
async fn finish(client: &Client, subjects: &Subjects, Waiting { entries, messages }: &mut Waiting) {
    let done = async {
        while let Ok(delivery) = entries.try_recv() {
            publish(client, subjects, &delivery).await?;
        }
        while let Ok(message) = messages.try_recv() {
            say(client, subjects, &message).await?;
        }
        Ok::<_, async_nats::PublishError>(client.flush().await)
    };
    if let Err(error) = done.await {
        tracing::debug!(%error, "the bus ended before all was said");
    }
}

async fn say(client: &Client, subjects: &Subjects, message: &NodeMessage) -> Result<(), async_nats::PublishError> {
    let payload = serde_json::to_vec(message).expect("messages have string keys and no failing serializers");
    lenient(client.publish(subjects.control.clone(), payload.into()).await)
}

async fn publish(client: &Client, subjects: &Subjects, delivery: &Delivery) -> Result<(), async_nats::PublishError> {
    let subject = subjects.of(delivery.channel);
    let whole = Said { seq: delivery.seq, frame: Some(delivery.frame.clone()) };
    match client.publish(subject.clone(), whole.write()).await {
        Err(error) if error.kind() == async_nats::PublishErrorKind::MaxPayloadExceeded => {
            lenient(client.publish(subject, Said { frame: None, ..whole }.write()).await)
        }
        done => done,
    }
}

/// Only what ends the client is an error.
fn lenient(done: Result<(), async_nats::PublishError>) -> Result<(), async_nats::PublishError> {
    match done {
        Err(error) if error.kind() != async_nats::PublishErrorKind::Send => {
            tracing::error!(%error, "NATS does not take a message");
            Ok(())
        }
        done => done,
    }
}

/// Where what is said.
#[derive(Debug)]
struct Subjects {
    root: String,
    control: String,
    entries: String,
}

impl Subjects {
    fn new(epoch: &Epoch) -> Self {
        // An epoch is a word of ours; whatever else it holds must not become part of the hierarchy.
        let epoch: String = epoch.0.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let root = format!("netra.{epoch}");
        Self { control: format!("{root}.control"), entries: format!("{root}.entry."), root }
    }

    fn of(&self, channel: Channel) -> String {
        match channel {
            Channel::Thread(id) => format!("{}thread.{id}", self.entries),
            Channel::User(id) => format!("{}user.{id}", self.entries),
        }
    }

    fn channel(&self, subject: &str) -> Option<Channel> {
        match subject.strip_prefix(&self.entries)?.split_once('.')? {
            ("thread", id) => id.parse().ok().map(Channel::Thread),
            ("user", id) => id.parse().ok().map(Channel::User),
            _ => None,
        }
    }
}

/// An entry as it goes over the bus.
#[derive(Debug, PartialEq)]
struct Said {
    seq: u64,
    frame: Option<Utf8Bytes>,
}

impl Said {
    fn write(&self) -> Bytes {
        let (seq, frame) = (self.seq.to_string(), self.frame.as_deref());
        let mut bytes = BytesMut::with_capacity(seq.len() + 1 + frame.map_or(0, str::len));
        bytes.put_slice(seq.as_bytes());
        if let Some(frame) = frame {
            bytes.put_u8(b'\n');
            bytes.put_slice(frame.as_bytes());
        }
        bytes.freeze()
    }

    fn read(payload: &Bytes) -> Option<Self> {
        let end = payload.iter().position(|byte| *byte == b'\n');
        let seq = std::str::from_utf8(&payload[..end.unwrap_or(payload.len())]).ok()?.parse().ok()?;
        let frame = end.map(|end| Utf8Bytes::try_from(payload.slice(end + 1..))).transpose().ok()?;
        Some(Self { seq, frame })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ThreadId, UserId};

    #[test]
    fn an_entry_reads_back_as_it_was_said() {
        for frame in [Some(Utf8Bytes::from("{\"a\":\"\u{e9}\\n\"}")), None] {
            let said = Said { seq: 42, frame };
            assert_eq!(Said::read(&said.write()), Some(said));
        }
        for wrong in ["", "x", "1x\n{}", "-1\n{}"] {
            assert_eq!(Said::read(&Bytes::from(wrong)), None, "{wrong:?}");
        }
        assert_eq!(Said::read(&Bytes::from_static(b"1\n\xff")), None, "no UTF-8");
    }

    #[test]
    fn a_channel_has_a_subject_of_its_own_below_the_stores_name() {
        let (subjects, other) = (Subjects::new(&Epoch("1.a>".into())), Subjects::new(&Epoch("2".into())));
        for channel in [Channel::Thread(ThreadId::new()), Channel::User(UserId::new())] {
            let subject = subjects.of(channel);
            assert!(subject.starts_with("netra.1_a_.entry."), "{subject}");
            assert_eq!((subjects.channel(&subject), other.channel(&subject)), (Some(channel), None));
        }
    }

    #[test]
    fn attempts_come_ever_more_slowly_up_to_a_limit() {
        assert!((RETRY.delay(0) / 2..=RETRY.delay(0)).contains(&pause(1)));
        assert!((RETRY.delay(9) / 2..=RETRY.delay(9)).contains(&pause(usize::MAX)));
    }
}
