//! The bus over NATS: a subject for each channel and one for messages, below a name of the store.
//!
//! Core NATS, which delivers at most once; the log is what is durable. The payload of an entry is its `seq`, a line feed, and its
//! frame as it goes to the sockets. An entry that is too large for NATS is sent without its frame. The header [`AT`] has the time of
//! the entry.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, Event, HeaderMap, Message, ServerAddr, Subscriber};
use axum::extract::ws::Utf8Bytes;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Bus, Listener, NodeMessage, Receivers};
use crate::{
    protocol::Epoch,
    server::{
        backoff::Backoff,
        channel::{Channel, Delivery},
    },
};

/// Between two pings to NATS; the third without an answer ends the connection.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// For connecting, and for a flush.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Delays between attempts to connect.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// Messages to send that wait in the client, beside our own queue.
const CLIENT_QUEUE: usize = 256;
/// Received messages that wait, for each subscription.
const SUBSCRIPTION_QUEUE: usize = 65_536;
/// For sending what is still queued at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The header with the time at which an entry was appended, in milliseconds since 1970.
const AT: &str = "Netra-At";

/// Sends and receives until `stopping`.
pub(super) async fn run(
    bus: &Bus,
    node: &str,
    epoch: &Epoch,
    listener: Arc<dyn Listener>,
    mut receivers: Receivers,
    stopping: CancellationToken,
) {
    let Some(queues) = &bus.0.nats else { return };
    let subjects = Subjects::new(epoch);
    let servers = queues.servers.iter().cloned().map(ServerAddr::from_url).collect::<Result<Vec<_>, _>>();
    let servers = servers.expect("the configuration takes nats:// and tls:// alone");
    let addresses: Vec<String> = servers.iter().map(|s| format!("{}:{}", s.host(), s.port())).collect();
    tracing::info!(servers = addresses.join(","), subjects = subjects.root, "the bus is NATS");
    let mut attempt = 0;
    while !stopping.is_cancelled() {
        let options = options(bus, node, &servers);
        match options.connect(&servers[..]).await {
            // It returns on `stopping`, and if the client fails for good; then try again with a new one.
            Ok(client) => exchange(bus, &client, &subjects, &*listener, &mut receivers, &stopping).await,
            Err(error) => tracing::warn!(%error, "NATS cannot be used; check bus.url"),
        }
        bus.update_health(|health| health.connected = false);
        attempt += 1;
        stopping.run_until_cancelled(tokio::time::sleep(retry_delay(attempt))).await;
    }
}

fn options(bus: &Bus, node: &str, servers: &[ServerAddr]) -> ConnectOptions {
    // Weak, because the tasks of the client keep this callback, and may outlive the bus.
    let weak = Arc::downgrade(&bus.0);
    let options = ConnectOptions::new()
        .name(format!("netra {node}"))
        .no_echo()
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(retry_delay)
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .client_capacity(CLIENT_QUEUE)
        .subscription_capacity(SUBSCRIPTION_QUEUE)
        .event_callback(move |event| {
            let bus = weak.upgrade().map(Bus);
            async move {
                if let Some(bus) = bus {
                    on_event(&bus, event);
                }
            }
        });
    // The credentials of the first address are used for all addresses without any.
    match servers.first().map(|first| (first.username(), first.password())) {
        Some((Some(user), password)) => options.user_and_password(user.into(), password.unwrap_or_default().into()),
        _ => options,
    }
}

fn on_event(bus: &Bus, event: Event) {
    match event {
        Event::Connected => {
            bus.update_health(|health| health.connected = true);
            bus.request_comparison();
        }
        Event::Disconnected | Event::Closed => bus.update_health(|health| health.connected = false),
        Event::SlowConsumer(_) => {
            tracing::warn!("this node receives too slowly: some entries were dropped, and are read from the store");
            bus.request_comparison();
        }
        Event::ServerError(error) => tracing::warn!(%error, "NATS reports an error"),
        Event::ClientError(error) => tracing::warn!(%error, "NATS cannot be reached"),
        Event::LameDuckMode | Event::Draining => {}
    }
}

/// The delay before the `attempt`th attempt to connect, counted from 1.
fn retry_delay(attempt: usize) -> Duration {
    RETRY.jittered(u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX))
}

/// Sends and receives through one client.
async fn exchange(
    bus: &Bus,
    client: &Client,
    subjects: &Subjects,
    listener: &dyn Listener,
    receivers: &mut Receivers,
    stopping: &CancellationToken,
) {
    let subscriptions = async {
        let control = client.subscribe(subjects.control.clone()).await?;
        let entries = client.subscribe(format!("{}>", subjects.entries)).await?;
        Ok::<_, async_nats::SubscribeError>((control, entries))
    };
    let (control, entries) = match stopping.run_until_cancelled(subscriptions).await {
        Some(Ok(subscriptions)) => subscriptions,
        Some(Err(error)) => return tracing::warn!(%error, "NATS refuses the subscriptions"),
        None => return,
    };
    tokio::select! {
        () = for_each(entries, |message| on_entry(&message, subjects, listener)) => {}
        () = for_each(control, |message| on_message(&message, listener)) => {}
        () = send_queued(bus, client, subjects, receivers) => {}
        () = stopping.cancelled() => {
            if timeout(CLOSE_TIMEOUT, send_rest(client, subjects, receivers)).await.is_err() {
                tracing::warn!("the bus took too long to send what was still queued");
            }
        }
    }
}

async fn for_each(mut subscriber: Subscriber, mut handle: impl FnMut(Message)) {
    while let Some(message) = subscriber.next().await {
        handle(message);
    }
}

fn on_entry(message: &Message, subjects: &Subjects, listener: &dyn Listener) {
    let (Some(channel), Some(Payload { seq, frame })) =
        (subjects.channel(&message.subject), Payload::decode(&message.payload))
    else {
        return tracing::debug!(subject = %message.subject, "a message of the bus is not an entry");
    };
    let at = message.headers.as_ref().and_then(|headers| headers.get(AT)?.as_str().parse().ok());
    // A node of an older version sends no time: then the entry is read from the store.
    match (frame, at) {
        (Some(frame), Some(at)) => match Delivery::from_frame(&subjects.epoch, channel, seq, at, frame) {
            Some(delivery) => listener.on_entry(&delivery),
            None => listener.on_head(channel, seq),
        },
        _ => listener.on_head(channel, seq),
    }
}

fn on_message(message: &Message, listener: &dyn Listener) {
    match serde_json::from_slice(&message.payload) {
        Ok(message) => listener.on_message(message),
        Err(error) => tracing::debug!(%error, "a message of another node cannot be read; it may be of another version"),
    }
}

/// Sends queued messages and entries, each in order, messages first. Messages stay in the queue while NATS is down.
async fn send_queued(bus: &Bus, client: &Client, subjects: &Subjects, receivers: &mut Receivers) {
    let mut health = bus.0.health.subscribe();
    loop {
        let health_now = *health.borrow_and_update();
        if health_now.connected && health_now.entries_missed && receivers.entries.is_empty() {
            match timeout(CONNECT_TIMEOUT, client.flush()).await {
                // All queued entries are sent; the other nodes read those that did not fit from the store.
                Ok(Ok(())) => {
                    bus.update_health(|health| health.entries_missed = false);
                    bus.send(NodeMessage::Compare {});
                }
                Ok(Err(error)) => return tracing::warn!(%error, "NATS accepts no more messages"),
                Err(_) => {}
            }
            continue;
        }
        let sent = tokio::select! {
            biased;
            _ = health.changed() => continue,
            Some(message) = receivers.messages.recv(), if health_now.connected => {
                send_message(client, subjects, &message).await
            }
            Some(delivery) = receivers.entries.recv() => {
                bus.dequeued(&delivery);
                send_entry(client, subjects, &delivery).await
            }
            else => return,
        };
        if let Err(error) = sent {
            return tracing::warn!(%error, "NATS accepts no more messages");
        }
    }
}

/// Sends what is still queued, and waits until it is on its way.
async fn send_rest(client: &Client, subjects: &Subjects, Receivers { entries, messages }: &mut Receivers) {
    let done = async {
        while let Ok(delivery) = entries.try_recv() {
            send_entry(client, subjects, &delivery).await?;
        }
        while let Ok(message) = messages.try_recv() {
            send_message(client, subjects, &message).await?;
        }
        Ok::<_, async_nats::PublishError>(client.flush().await)
    };
    if let Err(error) = done.await {
        tracing::debug!(%error, "the bus ended before everything queued was sent");
    }
}

async fn send_message(
    client: &Client,
    subjects: &Subjects,
    message: &NodeMessage,
) -> Result<(), async_nats::PublishError> {
    let payload = serde_json::to_vec(message).expect("messages have string keys and no failing serializers");
    lenient(client.publish(subjects.control.clone(), payload.into()).await)
}

async fn send_entry(client: &Client, subjects: &Subjects, delivery: &Delivery) -> Result<(), async_nats::PublishError> {
    let subject = subjects.of_channel(delivery.channel);
    let mut headers = HeaderMap::new();
    headers.insert(AT, delivery.at.to_string());
    let whole = Payload { seq: delivery.seq, frame: Some(delivery.frame.clone()) };
    match client.publish_with_headers(subject.clone(), headers, whole.encode()).await {
        Err(error) if error.kind() == async_nats::PublishErrorKind::MaxPayloadExceeded => {
            lenient(client.publish(subject, Payload { frame: None, ..whole }.encode()).await)
        }
        done => done,
    }
}

/// Logs errors that concern one message; only an error that ends the client is returned.
fn lenient(done: Result<(), async_nats::PublishError>) -> Result<(), async_nats::PublishError> {
    match done {
        Err(error) if error.kind() != async_nats::PublishErrorKind::Send => {
            tracing::error!(%error, "NATS refuses a message");
            Ok(())
        }
        done => done,
    }
}

/// The subjects of a store.
#[derive(Debug)]
struct Subjects {
    epoch: Epoch,
    root: String,
    control: String,
    entries: String,
}

impl Subjects {
    fn new(epoch: &Epoch) -> Self {
        // In a subject, `.`, `*` and `>` have a meaning.
        let name: String = epoch.0.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let root = format!("netra.{name}");
        Self { epoch: epoch.clone(), control: format!("{root}.control"), entries: format!("{root}.entry."), root }
    }

    fn of_channel(&self, channel: Channel) -> String {
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

/// The payload of an entry.
#[derive(Debug, PartialEq)]
struct Payload {
    seq: u64,
    frame: Option<Utf8Bytes>,
}

impl Payload {
    fn encode(&self) -> Bytes {
        let (seq, frame) = (self.seq.to_string(), self.frame.as_deref());
        let mut bytes = BytesMut::with_capacity(seq.len() + 1 + frame.map_or(0, str::len));
        bytes.put_slice(seq.as_bytes());
        if let Some(frame) = frame {
            bytes.put_u8(b'\n');
            bytes.put_slice(frame.as_bytes());
        }
        bytes.freeze()
    }

    fn decode(payload: &Bytes) -> Option<Self> {
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
    fn an_entry_is_decoded_as_it_was_encoded() {
        for frame in [Some(Utf8Bytes::from("{\"a\":\"\u{e9}\\n\"}")), None] {
            let payload = Payload { seq: 42, frame };
            assert_eq!(Payload::decode(&payload.encode()), Some(payload));
        }
        for wrong in ["", "x", "1x\n{}", "-1\n{}"] {
            assert_eq!(Payload::decode(&Bytes::from(wrong)), None, "{wrong:?}");
        }
        assert_eq!(Payload::decode(&Bytes::from_static(b"1\n\xff")), None, "no UTF-8");
    }

    #[test]
    fn a_channel_has_a_subject_of_its_own_below_the_stores_name() {
        let (subjects, other) = (Subjects::new(&Epoch("1.a>".into())), Subjects::new(&Epoch("2".into())));
        for channel in [Channel::Thread(ThreadId::new()), Channel::User(UserId::new())] {
            let subject = subjects.of_channel(channel);
            assert!(subject.starts_with("netra.1_a_.entry."), "{subject}");
            assert_eq!((subjects.channel(&subject), other.channel(&subject)), (Some(channel), None));
        }
    }

    #[test]
    fn delays_between_attempts_grow_up_to_a_limit() {
        assert!((RETRY.delay(0) / 2..=RETRY.delay(0)).contains(&retry_delay(1)));
        assert!((RETRY.delay(9) / 2..=RETRY.delay(9)).contains(&retry_delay(usize::MAX)));
    }
}
