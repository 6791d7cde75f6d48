//! One connection: the one task that reads and writes its socket.
//!
//! A loop: each iteration handles one event (a frame, a delivery, the outcome of a command, a page of a log, a deadline) and then
//! writes everything that is queued with one flush. Guarantees: a command gets exactly one reply; commands that wait for the store
//! hold up no deliveries; a peer that does not read, or sends nothing and answers no ping, is closed in time.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    time::{self, Duration},
};

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    close::{End, TOO_LARGE, close_gracefully, unreadable},
    command_queue::{CommandOutcome, CommandQueue, FrameAction},
    execute::{execute, pong},
    gateway::ConnectionContext,
    heartbeat::{Heartbeat, HeartbeatAction},
    outgoing::{MAX_IDLE_CAPACITY, Outgoing},
    subscribe,
    subscriptions::Subscriptions,
};
use crate::{
    protocol::{CloseCode, Command, ErrorBody, ErrorCode, Push, encode_ok, encode_push, encode_reply},
    server::{
        channel::{Channel, Delivery},
        clock::now_ms,
        connections::{ConnectionGuard, Item, PageRequest, SendQueue},
        error::Result,
        metrics,
    },
};

/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a socket that cannot be read any more is kept open: closed with unread bytes, TCP would reset the connection before
/// the peer has read the close frame.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Credentials that expire later than this are treated as if they expired then: `Instant` cannot hold every time.
const MAX_EXPIRY: Duration = Duration::from_secs(365 * 24 * 3600);

/// Serves a socket until it ends.
///
/// Not an `async fn`: that would keep its arguments beside what it makes of them, in the memory of every open socket.
pub(super) fn serve(
    mut socket: WebSocket,
    guard: ConnectionGuard,
    context: ConnectionContext,
) -> impl Future<Output = ()> + Send {
    let mut connection = Connection::new(context, guard.send_queue().clone());
    async move {
        let (user, id) = (connection.context.identity.user.id, connection.context.id);
        tracing::info!(%user, connection = %id, "socket opened");
        let mut counted = metrics::Connection::open();
        let end = connection.run(&mut socket).await;
        counted.closing(end.code());
        let (close, linger) = match end {
            End::Gone(how) => {
                return tracing::info!(%user, connection = %id, reason = how, "socket closed by the client or lost");
            }
            End::Close(close) => (close, Duration::ZERO),
            End::Unreadable(close) => (close, LINGER_TIMEOUT),
        };
        tracing::info!(%user, connection = %id, code = close.code.code(), reason = %close.reason, "socket closed");
        // Unregistered at once, as closing may take a while; only a drain waits until everything is written.
        let guard = (close.code == CloseCode::Restarting).then_some(guard);
        // Boxed, so that the task of an open socket does not reserve the memory of this future.
        if !Box::pin(close_gracefully(socket, connection.outgoing.into_messages(), close, linger, guard)).await {
            tracing::debug!(%user, connection = %id, "the peer did not answer the close");
        }
    }
}

/// What an iteration handles.
enum Event {
    /// A WebSocket message was read.
    Message(Option<Result<Message, axum::Error>>),
    /// A command has an outcome: its id, the channel of a subscription, the outcome.
    Finished(i64, Option<Channel>, CommandOutcome),
    /// A page was read: the channel, the entry before it, the entries.
    Page(Channel, u64, Result<Vec<Delivery>>),
    /// A ping, a timeout or the end of the credentials is due.
    Deadline,
    /// Other tasks queued items.
    Queued,
}

struct Connection {
    context: Arc<ConnectionContext>,
    send_queue: Arc<SendQueue>,
    /// Written at the end of each iteration.
    outgoing: Outgoing,
    batch: VecDeque<Item>,
    commands: CommandQueue,
    subscriptions: Subscriptions,
    page: Option<PageRequest>,
    /// The channel whose log was read last.
    last_read: Option<Channel>,
    heartbeat: Heartbeat,
    expires: Instant,
}

impl Connection {
    fn new(context: ConnectionContext, send_queue: Arc<SendQueue>) -> Self {
        let (config, now) = (&context.gateway.config, Instant::now());
        let interval = Duration::from_millis(config.heartbeat_ms);
        let mut outgoing = Outgoing::new(context.is_compact);
        outgoing.push_frame(encode_push(&context.welcome()));
        let left = context.identity.expires_at.saturating_sub(now_ms());
        let left = Duration::from_millis(u64::try_from(left).unwrap_or_default()).min(MAX_EXPIRY);
        Self {
            heartbeat: Heartbeat::new(interval, Duration::from_millis(config.heartbeat_timeout_ms), now),
            commands: CommandQueue::new(context.identity.user.id, context.gateway.manager.rates().clone()),
            outgoing,
            batch: VecDeque::new(),
            subscriptions: Subscriptions::default(),
            page: None,
            last_read: None,
            expires: now + left,
            context: Arc::new(context),
            send_queue,
        }
    }

    async fn run(&mut self, socket: &mut WebSocket) -> End {
        let mut deadline = pin!(sleep_until(self.deadline()));
        loop {
            self.start_next_command();
            self.request_page();
            if let Err(end) = self.write(socket).await {
                return end;
            }
            let Self { commands, page, send_queue, .. } = self;
            let may_read = commands.has_room();
            // The order matters: a frame that was received counts before a deadline that it extends. Every iteration writes what
            // is queued, so deliveries are not starved by frames, nor frames by deliveries.
            let event = tokio::select! {
                biased;
                message = socket.recv(), if may_read => Event::Message(message),
                (id, channel, outcome) = commands.finished() => Event::Finished(id, channel, outcome),
                (channel, after, entries) = PageRequest::finished(page) => Event::Page(channel, after, entries),
                () = &mut deadline => Event::Deadline,
                () = send_queue.ready() => Event::Queued,
            };
            let is_deadline = matches!(event, Event::Deadline);
            if let Err(end) = self.handle(event).and_then(|()| self.take_queued()) {
                return end;
            }
            if is_deadline {
                deadline.as_mut().reset(self.deadline());
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Message(message) => self.on_message(message),
            Event::Finished(id, channel, outcome) => self.on_outcome(id, channel, outcome),
            Event::Page(channel, after, entries) => self.on_page(channel, after, entries),
            Event::Deadline => self.on_deadline(),
            Event::Queued => Ok(()),
        }
    }

    /// When the heartbeat or the end of the credentials is due.
    fn deadline(&self) -> Instant {
        self.heartbeat.deadline().min(self.expires)
    }

    fn on_deadline(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if now >= self.expires {
            return Err(End::close(CloseCode::SessionEnded, "the credentials have expired: sign in again"));
        }
        if !self.commands.has_room() {
            // We are not reading, so the client's silence means nothing.
            self.heartbeat.on_receive(now);
        }
        match self.heartbeat.poll(now) {
            HeartbeatAction::Idle => {}
            HeartbeatAction::SendPing => self.outgoing.push(Message::Ping(Bytes::new())),
            HeartbeatAction::TimedOut => {
                return Err(End::close(CloseCode::HeartbeatMissed, "no frame arrived in time"));
            }
        }
        Ok(())
    }

    fn on_message(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(unreadable(error)),
            None => return Err(End::Gone("the connection was lost".into())),
        };
        self.heartbeat.on_receive(Instant::now());
        let received = match message {
            Message::Text(text) if text.len() > self.context.gateway.config.max_frame_bytes => {
                return Err(End::close(CloseCode::TooLarge, TOO_LARGE));
            }
            Message::Text(text) => self.commands.receive(&text, time::Instant::now()),
            Message::Binary(_) => self.commands.receive_binary(time::Instant::now()),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(frame) => {
                let how = frame.map_or_else(String::new, |frame| format!(": {} {}", frame.code, frame.reason));
                return Err(End::Gone(format!("closed by the client{how}")));
            }
        };
        match received {
            FrameAction::Queued => {}
            FrameAction::Ping(id) => self.outgoing.push_frame(encode_ok(id, &pong())),
            FrameAction::Refused(id, error) => self.refuse(id, error),
            FrameAction::BadFrame(error) => self.bad_frame(error),
            FrameAction::Close(close) => return Err(End::Close(close)),
        }
        Ok(())
    }

    fn bad_frame(&mut self, error: ErrorBody) {
        let ConnectionContext { identity, id, .. } = &*self.context;
        tracing::info!(user = %identity.user.id, connection = %id, reason = error.message, "bad frame");
        self.outgoing.push_frame(encode_push(&Push::Error(error)));
    }

    fn refuse(&mut self, id: i64, error: ErrorBody) {
        let ConnectionContext { identity, id: connection, .. } = &*self.context;
        tracing::info!(
            user = %identity.user.id, %connection, command = id, code = ?error.code, reason = error.message,
            "command refused"
        );
        self.outgoing.push_frame(encode_reply(id, &Err(error)));
    }

    /// Starts the oldest queued command, unless one is being executed. `unsubscribe` is done at once.
    fn start_next_command(&mut self) {
        while let Some((id, command)) = self.commands.next() {
            let mut channel_number = None;
            let channel = match &command {
                Command::Subscribe(subscribe) => {
                    let channel = subscribe::channel(&self.context.identity.user, subscribe.channel);
                    self.subscriptions.begin(channel);
                    channel_number = self.outgoing.begin_channel(channel);
                    Some(channel)
                }
                Command::Unsubscribe(unsubscribe) => {
                    self.unfollow(subscribe::channel(&self.context.identity.user, unsubscribe.channel));
                    self.outgoing.push_frame(encode_ok(id, &serde_json::json!({})));
                    metrics::command(Some(command.kind()), None, Duration::ZERO);
                    continue;
                }
                _ => None,
            };
            let (kind, ConnectionContext { identity, id: connection, .. }) = (command.kind(), &*self.context);
            let span =
                tracing::info_span!(parent: None, "command", "type" = kind, %connection, user = %identity.user.id);
            let executed = execute(self.context.clone(), id, command, channel_number);
            self.commands.start(id, kind, channel, span, executed);
        }
    }

    fn unfollow(&mut self, channel: Channel) {
        self.end_subscription(channel);
        self.context.follower.unfollow(channel);
    }

    fn end_subscription(&mut self, channel: Channel) {
        self.subscriptions.remove(channel);
        self.page.take_if(|page| page.channel == channel);
        self.outgoing.end_channel(channel);
    }

    fn on_outcome(&mut self, id: i64, channel: Option<Channel>, outcome: CommandOutcome) -> Result<(), End> {
        match (outcome, channel) {
            (CommandOutcome::Subscribed { seq, head, reply }, Some(channel)) => {
                self.page.take_if(|page| page.channel == channel);
                if self.subscriptions.activate(channel, seq, head) {
                    self.outgoing.push_frame(reply);
                } else {
                    self.unfollow(channel);
                    self.refuse(id, ErrorBody::new(ErrorCode::NotFound, "there is no such channel any more"));
                }
            }
            (CommandOutcome::Reply(reply) | CommandOutcome::Subscribed { reply, .. }, _) => {
                self.outgoing.push_frame(reply)
            }
            (CommandOutcome::Refused(error), channel) => {
                channel.into_iter().for_each(|channel| self.unfollow(channel));
                self.refuse(id, error);
            }
            (CommandOutcome::SignedOut, _) => {
                self.refuse(id, ErrorBody::new(ErrorCode::Forbidden, "the session ended; sign in again"));
                return Err(End::close(CloseCode::SessionEnded, "the session ended: sign in again"));
            }
        }
        Ok(())
    }

    /// Reads the log of a channel of which entries are missing, unless a page is being read.
    fn request_page(&mut self) {
        if self.page.is_some() {
            return;
        }
        let Some((channel, after)) = self.subscriptions.next_behind(self.last_read) else { return };
        self.page = Some(PageRequest::new(self.context.gateway.channels.clone(), channel, after));
        self.last_read = Some(channel);
    }

    fn on_page(&mut self, channel: Channel, after: u64, page: Result<Vec<Delivery>>) -> Result<(), End> {
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(connection = %self.context.id, %channel, %error, "the log cannot be read");
                return Err(End::close(CloseCode::GoingAway, "the log cannot be read: reconnect and resume"));
            }
        };
        if page.is_empty() {
            // The thread was deleted; its owner's feed has an entry about that.
            self.unfollow(channel);
            return Ok(());
        }
        let entries = self.subscriptions.on_page(channel, after, page);
        let entries = entries.map_err(|_| End::close(CloseCode::TooSlow, "the log moved on: reconnect and resume"))?;
        entries.into_iter().for_each(|entry| self.outgoing.push_entry(entry));
        Ok(())
    }

    /// Takes the items that other tasks queued, to be written in this iteration.
    fn take_queued(&mut self) -> Result<(), End> {
        let close = self.send_queue.take(&mut self.batch);
        // Taken out, as the loop borrows all of `self`; put back with its capacity.
        let mut batch = std::mem::take(&mut self.batch);
        for item in batch.drain(..) {
            match item {
                Item::Entry(entry) if self.subscriptions.on_delivery(entry.channel, entry.seq) => {
                    self.outgoing.push_entry(entry);
                }
                Item::Entry(_) => {}
                Item::Head(channel, head) => self.subscriptions.on_head(channel, head),
                Item::Frame(frame) => self.outgoing.push_frame(frame),
                Item::Revoked(channel) => self.end_subscription(channel),
            }
        }
        self.batch = batch;
        if self.batch.capacity() > MAX_IDLE_CAPACITY {
            self.batch.shrink_to(MAX_IDLE_CAPACITY);
        }
        close.map_or(Ok(()), |close| Err(End::Close(close)))
    }

    /// Writes all queued messages with one flush.
    async fn write(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        let Self { outgoing, send_queue, batch, .. } = self;
        tokio::select! {
            biased;
            written = timeout(WRITE_TIMEOUT, outgoing.write(socket)) => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(End::Gone(format!("writing failed: {error}"))),
                Err(_) => Err(End::close(CloseCode::TooSlow, "reads too slowly: reconnect and resume")),
            },
            () = send_queue.closed() => {
                let close = send_queue.take(batch);
                Err(close.map_or_else(|| End::Gone("closed".into()), End::Close))
            }
        }
    }
}
