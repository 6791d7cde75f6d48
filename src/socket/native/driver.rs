//! The task that owns the socket and carries out the machine's outputs.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue, Response, header},
        protocol::{CloseFrame, frame::coding::CloseCode as WireCode},
    },
};

use super::{ClientConfig, Credentials, Operation, Update};
use crate::{
    protocol::{ChannelName, CloseCode, Notice, OFFERED_PROTOCOLS, Outcome, PROTOCOL, Welcome},
    socket::machine::{CommandToken, Discovery, Event, Input, Machine, Output, Status},
};

/// How long a write to the socket may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the close handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Ws = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Opening = Pin<Box<dyn Future<Output = Result<Ws, Input>> + Send>>;

enum Link {
    None,
    Opening(Opening),
    Open(Box<Ws>),
}

impl Link {
    /// The socket's next input; pending forever without a socket. Cancel safe.
    async fn next(&mut self) -> Input {
        let lost = |reason: String| Input::Closed { code: 1006, reason };
        loop {
            match self {
                Self::None => std::future::pending().await,
                Self::Opening(opening) => match opening.await {
                    Ok(socket) => *self = Self::Open(Box::new(socket)),
                    Err(closed) => {
                        *self = Self::None;
                        return closed;
                    }
                },
                Self::Open(socket) => {
                    let closed = match socket.next().await {
                        Some(Ok(Message::Text(text))) => return Input::Frame(text.as_str().to_owned()),
                        Some(Ok(Message::Close(Some(frame)))) => {
                            Input::Closed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() }
                        }
                        Some(Ok(Message::Close(None))) => Input::Closed { code: 1005, reason: String::new() },
                        Some(Ok(_)) => continue,
                        Some(Err(error)) => lost(error.to_string()),
                        None => lost("the stream ended".to_owned()),
                    };
                    *self = Self::None;
                    return closed;
                }
            }
        }
    }
}

/// Where the driver publishes what [`super::Client`] shows.
pub(super) struct Watches {
    pub(super) status: watch::Sender<Status>,
    pub(super) welcome: watch::Sender<Option<Welcome>>,
    pub(super) notice: watch::Sender<Option<Notice>>,
}

pub(super) struct Driver {
    config: ClientConfig,
    machine: Machine,
    link: Link,
    followers: HashMap<ChannelName, mpsc::Sender<Update>>,
    replies: HashMap<CommandToken, oneshot::Sender<Outcome>>,
    /// Updates that wait for room in a follower's buffer. While there are any, the socket is not read.
    undelivered: VecDeque<(ChannelName, Update)>,
    next_token: u64,
    watches: Watches,
}

impl Driver {
    pub(super) fn new(config: ClientConfig, watches: Watches) -> Self {
        Self {
            config,
            machine: Machine::new(rand::random()),
            link: Link::None,
            followers: HashMap::new(),
            replies: HashMap::new(),
            undelivered: VecDeque::new(),
            next_token: 0,
            watches,
        }
    }

    pub(super) async fn run(mut self, mut operations: mpsc::Receiver<Operation>) {
        self.handle(Input::SignedIn).await;
        loop {
            let deadline = self.machine.next_deadline().map(|at| at.saturating_sub(now_ms()).max(0).unsigned_abs());
            let wake = Instant::now() + Duration::from_millis(deadline.unwrap_or(u64::from(u32::MAX)));
            let stalled = self.undelivered.front().and_then(|(channel, _)| self.followers.get(channel)).cloned();
            let is_stalled = stalled.is_some();
            let input = tokio::select! {
                operation = operations.recv() => match operation {
                    Some(operation) => Some(self.input_of(operation)),
                    None => break,
                },
                () = wait_for_room(stalled), if is_stalled => {
                    self.deliver_waiting();
                    continue;
                }
                input = self.link.next(), if !is_stalled => Some(input),
                () = sleep_until(wake) => Some(Input::Tick),
            };
            if let Some(input) = input {
                self.handle(input).await;
            }
        }
        self.handle(Input::SignedOut).await;
    }

    fn input_of(&mut self, operation: Operation) -> Input {
        match operation {
            Operation::Send(command, reply) => {
                self.next_token += 1;
                self.replies.insert(CommandToken(self.next_token), reply);
                Input::Send(CommandToken(self.next_token), command)
            }
            Operation::Follow(channel, after, updates) => {
                if self.followers.insert(channel, updates).is_some() {
                    self.undelivered.retain(|(waiting, _)| *waiting != channel);
                    self.machine.handle(now_ms(), Input::Unfollow(channel));
                }
                Input::Follow(channel, after)
            }
            Operation::Unfollow(channel) => {
                self.remove_follower(channel);
                Input::Unfollow(channel)
            }
            Operation::Reconnect => Input::Reconnect,
        }
    }

    fn remove_follower(&mut self, channel: ChannelName) {
        self.followers.remove(&channel);
        self.undelivered.retain(|(waiting, _)| *waiting != channel);
    }

    async fn handle(&mut self, input: Input) {
        self.machine.handle(now_ms(), input);
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Discover => {
                    let (url, protocol) = (self.config.url.clone(), PROTOCOL.to_owned());
                    let discovery = Discovery { url, protocol, signed_in: true };
                    self.machine.handle(now_ms(), Input::Discovered(Ok(discovery)));
                }
                Output::Open(url) => self.link = Link::Opening(Box::pin(open(url, self.config.clone()))),
                Output::Send(text) => self.write(text).await,
                Output::Close(code) => self.close(code).await,
                Output::Notify(event) => self.on_event(event),
            }
        }
        let status = self.machine.status();
        self.watches.status.send_if_modified(|known| (*known != status).then(|| *known = status.clone()).is_some());
        if status == Status::SignedOut {
            // This client cannot sign in again: fail the queued commands.
            self.machine.handle(now_ms(), Input::SignedOut);
            while let Some(output) = self.machine.poll() {
                if let Output::Notify(event) = output {
                    self.on_event(event);
                }
            }
        }
    }

    async fn write(&mut self, text: String) {
        let Link::Open(socket) = &mut self.link else { return };
        let failed = match timeout(WRITE_TIMEOUT, socket.send(Message::text(text))).await {
            // The server closed the connection; its close frame is still to be read.
            Ok(Ok(())) | Ok(Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::Protocol(_))) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a write took too long".to_owned(),
        };
        self.link = Link::None;
        self.machine.handle(now_ms(), Input::Closed { code: 1006, reason: failed });
    }

    async fn close(&mut self, code: CloseCode) {
        if let Link::Open(mut socket) = std::mem::replace(&mut self.link, Link::None) {
            let frame = CloseFrame { code: WireCode::from(code.code()), reason: "".into() };
            let _ = timeout(CLOSE_TIMEOUT, (*socket).close(Some(frame))).await;
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Welcome(welcome) => {
                self.watches.welcome.send_replace(Some(welcome));
            }
            Event::Notice(notice) => {
                self.watches.notice.send_replace(Some(notice));
            }
            Event::Reply { token, outcome } => {
                // The caller may have dropped its receiver.
                let _ = self.replies.remove(&token).map(|reply| reply.send(outcome));
            }
            Event::Snapshot { channel, cursor, snapshot } => {
                self.deliver(channel, Update::Snapshot { cursor, snapshot })
            }
            Event::Entry { channel, seq, at, entry } => self.deliver(channel, Update::Entry { seq, at, entry }),
            Event::Refused { channel, error } => self.deliver(channel, Update::Refused(error)),
            Event::Fault(why) => tracing::warn!(why, "unexpected frame or error from the server"),
        }
    }

    fn deliver(&mut self, channel: ChannelName, update: Update) {
        self.undelivered.push_back((channel, update));
        self.deliver_waiting();
    }

    /// Delivers waiting updates in order until a follower's buffer is full.
    fn deliver_waiting(&mut self) {
        while let Some((channel, update)) = self.undelivered.pop_front() {
            let Some(follower) = self.followers.get(&channel) else { continue };
            match follower.try_send(update) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(update)) => {
                    self.undelivered.push_front((channel, update));
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.remove_follower(channel);
                    self.machine.handle(now_ms(), Input::Unfollow(channel));
                }
            }
        }
    }
}

/// Waits until a follower's buffer has room or its receiver is dropped.
async fn wait_for_room(follower: Option<mpsc::Sender<Update>>) {
    if let Some(follower) = follower {
        let _ = follower.reserve().await;
    }
}

/// Opens a socket. A refused handshake is returned as the close that has the same meaning.
async fn open(url: String, config: ClientConfig) -> Result<Ws, Input> {
    let closed = |code: u16, reason: String| Input::Closed { code, reason };
    let mut request = url.into_client_request().map_err(|e| closed(CloseCode::NotProtocol.code(), e.to_string()))?;
    let mut header = |name: HeaderName, value: String| match HeaderValue::from_str(&value) {
        Ok(value) => drop(request.headers_mut().insert(name, value)),
        Err(_) => tracing::warn!("left out a handshake header that is not ASCII"),
    };
    header(header::SEC_WEBSOCKET_PROTOCOL, OFFERED_PROTOCOLS.join(", "));
    match config.credentials {
        Credentials::Bearer(token) => header(header::AUTHORIZATION, format!("Bearer {token}")),
        Credentials::Cookie(cookie) => header(header::COOKIE, cookie),
        Credentials::None => {}
    }
    config.origin.into_iter().for_each(|origin| header(header::ORIGIN, origin));
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(refusal(&response)),
        Err(error) => Err(closed(1006, error.to_string())),
    }
}

/// The close that corresponds to a refused handshake.
fn refusal<B>(response: &Response<B>) -> Input {
    let seconds =
        response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let reason = seconds.map(|s| serde_json::json!({ "retry_after_ms": s.saturating_mul(1000) }).to_string());
    let code = match response.status().as_u16() {
        400 => CloseCode::NotProtocol.code(),
        401 => CloseCode::SessionEnded.code(),
        403 => CloseCode::Disconnected.code(),
        _ => 1006,
    };
    Input::Closed { code, reason: reason.unwrap_or_else(|| response.status().to_string()) }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
