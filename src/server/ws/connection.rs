//! One connection: the one task that reads and writes its socket.
//!
//! It takes turns. In each, something happens (a frame, a delivery, an answer, a page of the store, a deadline), and then
//! everything that waits leaves in one write. Promises: a command gets exactly one reply, and commands that wait for the
//! store hold up no deliveries; a socket that takes nothing, or from which nothing is heard, is closed in time.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant as Moment},
};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    close::{End, TOO_LARGE, farewell, unreadable},
    follow::Follows,
    gateway::Peer,
    heartbeat::{Beat, Pulse},
    inbox::{Done, Inbox, Received, pong},
    subscribe,
};
use crate::{
    protocol::{CloseCode, Command, ErrorBody, ErrorCode, Push, Welcome, WelcomeUser, encode_push, encode_reply},
    server::{
        channel::{Channel, Delivery},
        clock::now_ms,
        connections::{Handle, Item, Outbound, Page},
        error::Result,
        metrics,
    },
};

/// How long one write may take.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a socket that cannot be read any more is kept, so that what the other side still sends does not reset the
/// connection before it has read why.
const LINGER: Duration = Duration::from_secs(1);
/// Queues that grew beyond this many places in a burst give them back.
const KEPT_PLACES: usize = 64;
/// Credentials that hold longer than this are not looked at by the clock.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Serves a socket until it ends.
pub(super) async fn serve(mut socket: WebSocket, handle: Handle, peer: Peer) {
    let (user, connection) = (peer.identity.user.id, peer.id);
    tracing::info!(%user, %connection, "socket opened");
    let mut counted = metrics::Connection::open();
    let mut state = Connection::new(peer, handle.outbound().clone());
    let end = state.live(&mut socket).await;
    counted.closes(end.code());
    let (close, linger) = match end {
        End::Gone(how) => return tracing::info!(%user, %connection, reason = how, "socket gone"),
        End::Close(close) => (close, Duration::ZERO),
        End::Unreadable(close) => (close, LINGER),
    };
    tracing::info!(%user, %connection, code = close.code.code(), reason = %close.reason, "socket closed");
    // Out of the books at once, for the farewell may take a while; only a restart waits for what is written here.
    let handle = (close.code == CloseCode::Restarting).then_some(handle);
    // Boxed: what only an end needs is not held by every open socket.
    if !Box::pin(farewell(socket, state.unsent, close, linger, handle)).await {
        tracing::debug!(%user, %connection, "the other side did not answer the close");
    }
}

/// What can happen in a turn.
enum Event {
    Message(Option<Result<Message, axum::Error>>),
    Done(i64, Option<Channel>, Done),
    Page(Channel, u64, Result<Vec<Delivery>>),
    Deadline,
    Outbound,
}

struct Connection {
    peer: Arc<Peer>,
    outbound: Arc<Outbound>,
    /// What leaves at the end of this turn.
    unsent: VecDeque<Message>,
    /// When an entry among them was appended, where its way is measured.
    sampled: Option<i64>,
    batch: VecDeque<Item>,
    inbox: Inbox,
    follows: Follows,
    page: Option<Page>,
    /// The channel that was read last: others come first.
    last_read: Option<Channel>,
    pulse: Pulse,
    expires: Instant,
}

impl Connection {
    fn new(peer: Peer, outbound: Arc<Outbound>) -> Self {
        let (config, now) = (&peer.gateway.config, Instant::now());
        let every = Duration::from_millis(config.heartbeat_ms);
        let left = peer.identity.expires_at.saturating_sub(now_ms());
        let left = Duration::from_millis(u64::try_from(left).unwrap_or_default()).min(FOREVER);
        Self {
            pulse: Pulse::new(every, Duration::from_millis(config.heartbeat_timeout_ms), now),
            inbox: Inbox::new(peer.identity.user.id, peer.gateway.manager.rates().clone()),
            unsent: VecDeque::from([text(&welcome(&peer))]),
            sampled: None,
            batch: VecDeque::new(),
            follows: Follows::default(),
            page: None,
            last_read: None,
            expires: now + left,
            peer: Arc::new(peer),
            outbound,
        }
    }

    async fn live(&mut self, socket: &mut WebSocket) -> End {
        let mut deadline = pin!(sleep_until(self.due()));
        loop {
            self.begin_next();
            self.read_on();
            if let Err(end) = self.write(socket).await {
                return end;
            }
            let Self { inbox, page, outbound, .. } = self;
            let open = inbox.has_room();
            // In this order: what is received counts before a deadline that it meets; and since every turn ends in
            // writing what waits, deliveries starve nothing and are not starved.
            let event = tokio::select! {
                biased;
                message = socket.recv(), if open => Event::Message(message),
                (id, channel, done) = inbox.done() => Event::Done(id, channel, done),
                (channel, after, entries) = Page::next(page) => Event::Page(channel, after, entries),
                () = &mut deadline => Event::Deadline,
                () = outbound.ready() => Event::Outbound,
            };
            let met = matches!(event, Event::Deadline);
            if let Err(end) = self.happen(event).and_then(|()| self.take()) {
                return end;
            }
            if met {
                deadline.as_mut().reset(self.due());
            }
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Message(message) => self.received(message),
            Event::Done(id, channel, done) => self.answered(id, channel, done),
            Event::Page(channel, after, entries) => self.caught_up(channel, after, entries),
            Event::Deadline => self.deadline(),
            Event::Outbound => Ok(()),
        }
    }

    /// When something is to be done though nothing happens.
    fn due(&self) -> Instant {
        self.pulse.due().min(self.expires)
    }

    fn deadline(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if now >= self.expires {
            return Err(End::close(CloseCode::SessionEnded, "the credentials have run out: sign in again"));
        }
        if !self.inbox.has_room() {
            // What the client sends waits for us, not we for it.
            self.pulse.heard(now);
        }
        match self.pulse.beat(now) {
            Beat::Quiet => {}
            Beat::Ask => self.unsent.push_back(Message::Ping(Bytes::new())),
            Beat::Missed => return Err(End::close(CloseCode::HeartbeatMissed, "no sign of life in time")),
        }
        Ok(())
    }

    fn received(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(unreadable(error)),
            None => return Err(End::Gone("the connection was lost".into())),
        };
        self.pulse.heard(Instant::now());
        let received = match message {
            Message::Text(text) if text.len() > self.peer.gateway.config.max_frame_bytes => {
                return Err(End::close(CloseCode::TooLarge, TOO_LARGE));
            }
            Message::Text(text) => self.inbox.receive(&text, Moment::now()),
            Message::Binary(_) => self.inbox.binary(Moment::now()),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(frame) => {
                let how = frame.map_or_else(String::new, |frame| format!(": {} {}", frame.code, frame.reason));
                return Err(End::Gone(format!("closed by the client{how}")));
            }
        };
        match received {
            Received::Waits => {}
            Received::Ping(id) => self.unsent.push_back(frame(encode_reply(id, &Ok(pong())))),
            Received::Refused(id, error) => self.refuse(id, error),
            Received::BadFrame(error) => self.bad_frame(error),
            Received::End(close) => return Err(End::Close(close)),
        }
        Ok(())
    }

    fn bad_frame(&mut self, error: ErrorBody) {
        let Peer { identity, id, .. } = &*self.peer;
        tracing::info!(user = %identity.user.id, connection = %id, reason = error.message, "bad frame");
        self.unsent.push_back(text(&Push::Error(error)));
    }

    fn refuse(&mut self, id: i64, error: ErrorBody) {
        let Peer { identity, id: connection, .. } = &*self.peer;
        tracing::info!(
            user = %identity.user.id, %connection, command = id, code = ?error.code, reason = error.message,
            "command refused"
        );
        self.unsent.push_back(frame(encode_reply(id, &Err(error))));
    }

    /// Begins the command that waits longest, if none is under way.
    fn begin_next(&mut self) {
        while let Some((id, command)) = self.inbox.next() {
            let channel = match &command {
                Command::Subscribe(subscribe) => {
                    let channel = subscribe::channel(&self.peer.identity.user, subscribe.channel);
                    self.follows.begin(channel);
                    Some(channel)
                }
                Command::Unsubscribe(unsubscribe) => {
                    self.leave(subscribe::channel(&self.peer.identity.user, unsubscribe.channel));
                    self.unsent.push_back(frame(encode_reply(id, &Ok(serde_json::json!({})))));
                    metrics::command(Some(command.kind()), None, Duration::ZERO);
                    continue;
                }
                _ => None,
            };
            let (kind, Peer { identity, id: connection, .. }) = (command.kind(), &*self.peer);
            let span =
                tracing::info_span!(parent: None, "command", "type" = kind, %connection, user = %identity.user.id);
            self.inbox.begin(id, kind, channel, span, super::inbox::work(self.peer.clone(), id, command));
        }
    }

    fn leave(&mut self, channel: Channel) {
        self.follows.stop(channel);
        self.page.take_if(|page| page.channel == channel);
        self.peer.follower.unfollow(channel);
    }

    fn answered(&mut self, id: i64, channel: Option<Channel>, done: Done) -> Result<(), End> {
        match (done, channel) {
            (Done::Granted { seq, head, reply }, Some(channel)) => {
                self.page.take_if(|page| page.channel == channel);
                if self.follows.start(channel, seq, head) {
                    self.unsent.push_back(frame(reply));
                } else {
                    self.leave(channel);
                    self.refuse(id, ErrorBody::new(ErrorCode::NotFound, "there is no such channel any more"));
                }
            }
            (Done::Reply(reply) | Done::Granted { reply, .. }, _) => self.unsent.push_back(frame(reply)),
            (Done::Refused(error), channel) => {
                channel.into_iter().for_each(|channel| self.leave(channel));
                self.refuse(id, error);
            }
            (Done::SignedOut, _) => {
                self.refuse(id, ErrorBody::new(ErrorCode::Forbidden, "the session ended; sign in again"));
                return Err(End::close(CloseCode::SessionEnded, "the session ended: sign in again"));
            }
        }
        Ok(())
    }

    /// Asks the store for what a channel lacks, if nothing is asked yet.
    fn read_on(&mut self) {
        if self.page.is_some() {
            return;
        }
        let Some((channel, after)) = self.follows.behind(self.last_read) else { return };
        self.page = Some(Page::ask(self.peer.gateway.channels.clone(), channel, after));
        self.last_read = Some(channel);
    }

    fn caught_up(&mut self, channel: Channel, after: u64, page: Result<Vec<Delivery>>) -> Result<(), End> {
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(connection = %self.peer.id, %channel, %error, "the log cannot be read");
                return Err(End::close(CloseCode::GoingAway, "the log cannot be read: reconnect and resume"));
            }
        };
        if page.is_empty() {
            // The log is gone, and with it the right to follow it: its owner's feed says so.
            self.leave(channel);
            return Ok(());
        }
        let entries = self.follows.page(channel, after, page);
        let entries = entries.map_err(|_| End::close(CloseCode::TooSlow, "the log moved on: reconnect and resume"))?;
        self.unsent.extend(entries.into_iter().map(|entry| Message::Text(entry.frame)));
        Ok(())
    }

    /// Takes what was pushed by others, to be written in this turn.
    fn take(&mut self) -> Result<(), End> {
        let close = self.outbound.take(&mut self.batch);
        for item in self.batch.drain(..) {
            match item {
                Item::Entry(entry) if self.follows.delivered(entry.channel, entry.seq) => {
                    if metrics::is_sampled(entry.seq) {
                        self.sampled = entry.at();
                    }
                    self.unsent.push_back(Message::Text(entry.frame));
                }
                Item::Entry(_) => {}
                Item::Head(channel, head) => self.follows.reached(channel, head),
                Item::Frame(frame) => self.unsent.push_back(Message::Text(frame)),
                Item::Revoked(channel) => {
                    self.follows.stop(channel);
                    self.page.take_if(|page| page.channel == channel);
                }
            }
        }
        if self.batch.capacity() > KEPT_PLACES {
            self.batch.shrink_to(KEPT_PLACES);
        }
        close.map_or(Ok(()), |close| Err(End::Close(close)))
    }

    /// Writes what this turn brought, all in one.
    async fn write(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let Self { unsent, outbound, batch, .. } = self;
        let writing = async {
            while let Some(message) = unsent.pop_front() {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        tokio::select! {
            biased;
            written = timeout(WRITE_PATIENCE, writing) => match written {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(End::Gone(format!("writing failed: {error}"))),
                Err(_) => return Err(End::close(CloseCode::TooSlow, "reads too slowly: reconnect and resume")),
            },
            () = outbound.closed() => {
                let close = outbound.take(batch);
                return Err(close.map_or_else(|| End::Gone("closed".into()), End::Close));
            }
        }
        self.sampled.take().into_iter().for_each(metrics::delivered);
        if self.unsent.capacity() > KEPT_PLACES {
            self.unsent.shrink_to(KEPT_PLACES);
        }
        Ok(())
    }
}

fn welcome(peer: &Peer) -> Push {
    let (gateway, user) = (&peer.gateway, &peer.identity.user);
    Push::Welcome(Welcome {
        connection_id: peer.id,
        user: WelcomeUser { id: user.id, name: user.name.clone(), role: user.role },
        node: gateway.node.clone(),
        server_time: now_ms(),
        heartbeat_ms: gateway.config.heartbeat_ms,
        max_frame_bytes: gateway.config.max_frame_bytes,
        expires_at: peer.identity.expires_at,
    })
}

fn text(push: &Push) -> Message {
    frame(encode_push(push))
}

fn frame(text: String) -> Message {
    Message::Text(Utf8Bytes::from(text))
}
