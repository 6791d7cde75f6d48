//! A client that records every update it applies, across reloads and faults, and repeats commands until they are answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use netra::{
    protocol::{
        ChannelName, ConnectionId, Cursor, Entry, ErrorBody, ErrorCode, Present, Request, Snapshot, ThreadId,
        ThreadSignal, UserEntry, UserId,
    },
    socket::{
        machine::Status,
        native::{Client, ClientConfig, Update},
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::proxy::Proxy;
use crate::support::TEST_TIMEOUT;

/// How long after `unavailable` a command is sent again.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// What a client applied of a channel: snapshots, and the entries after each.
#[derive(Default)]
pub(crate) struct ChannelRecord {
    pub(crate) segments: Vec<Segment>,
    pub(crate) cursor: Option<Cursor>,
    /// Who has the thread open, by the last presence signal.
    pub(crate) present: Vec<Present>,
}

impl ChannelRecord {
    /// The seq of the last update.
    pub(crate) fn seq(&self) -> u64 {
        self.cursor.as_ref().map_or(0, |cursor| cursor.seq)
    }
}

/// A snapshot and the entries applied to it.
#[derive(Default)]
pub(crate) struct Segment {
    /// The snapshot and its seq; `None` where the client requested entries after a cursor.
    pub(crate) from: Option<(u64, Snapshot)>,
    pub(crate) entries: Vec<(u64, i64, Entry)>,
}

/// All that a client applied.
#[derive(Default)]
pub(crate) struct ClientRecord {
    pub(crate) channels: BTreeMap<ChannelName, ChannelRecord>,
    /// Channels that the server refused with `not_found`.
    pub(crate) not_found: BTreeSet<ChannelName>,
    /// Updates that break the protocol.
    pub(crate) violations: Vec<String>,
}

impl ClientRecord {
    /// Whether the feed shows that a thread was removed.
    pub(crate) fn is_removed(&self, thread: ThreadId) -> bool {
        let Some(segment) = self.channels.get(&ChannelName::User).and_then(|feed| feed.segments.last()) else {
            return false;
        };
        let adds =
            |entry: &Entry| matches!(entry, Entry::User(UserEntry::Thread { thread: info }) if info.id == thread);
        let removes = |entry: &Entry| matches!(entry, Entry::User(UserEntry::ThreadRemoved { thread_id }) if *thread_id == thread);
        let had = match &segment.from {
            Some((_, Snapshot::User(feed))) => feed.threads.iter().any(|line| line.info.id == thread),
            _ => true,
        };
        let entries = || segment.entries.iter().map(|(_, _, entry)| entry);
        entries().any(removes) || (!had && !entries().any(adds))
    }

    fn apply(&mut self, channel: ChannelName, update: Update) {
        let channel_record = self.channels.entry(channel).or_default();
        let known = channel_record.seq();
        match update {
            Update::Snapshot { cursor, snapshot } => {
                if cursor.seq < known {
                    self.violations.push(format!("{channel}: snapshot went back from {known} to {}", cursor.seq));
                }
                channel_record.segments.push(Segment { from: Some((cursor.seq, snapshot)), entries: Vec::new() });
                channel_record.cursor = Some(cursor);
            }
            Update::Entry { seq: Some(seq), at, entry } => {
                if seq != known + 1 {
                    self.violations.push(format!("{channel}: {seq} came after {known}"));
                }
                let Some(cursor) = &mut channel_record.cursor else {
                    return self.violations.push(format!("{channel}: {seq} came before any snapshot"));
                };
                cursor.seq = seq;
                if channel_record.segments.is_empty() {
                    channel_record.segments.push(Segment::default());
                }
                channel_record.segments.last_mut().expect("a segment").entries.push((seq, at, entry));
            }
            Update::Entry { seq: None, entry: Entry::Signal(ThreadSignal::Presence { present }), .. } => {
                channel_record.present = present;
            }
            Update::Entry { seq: None, .. } => {}
            // The audit checks that it was deleted.
            Update::Refused(error) if error.code == ErrorCode::NotFound => {
                self.not_found.insert(channel);
            }
            Update::Refused(error) => self.violations.push(format!("{channel}: refused: {}", error.message)),
        }
    }
}

/// A client that records what it applies.
pub(crate) struct ClientRecorder {
    pub(crate) name: String,
    pub(crate) proxy: Proxy,
    pub(crate) token: String,
    client: watch::Sender<Client>,
    record: watch::Sender<ClientRecord>,
    /// While true, updates are not read.
    slow: watch::Sender<bool>,
    following: Mutex<BTreeMap<ChannelName, JoinHandle<()>>>,
}

impl ClientRecorder {
    /// Connects through a proxy of its own.
    pub(crate) fn new(name: String, proxy: Proxy, token: String) -> Arc<Self> {
        let client = Client::connect(config(&proxy, &token));
        Arc::new(Self {
            name,
            proxy,
            token,
            client: watch::Sender::new(client),
            record: watch::Sender::new(ClientRecord::default()),
            slow: watch::Sender::new(false),
            following: Mutex::default(),
        })
    }

    /// Follows a channel from its last recorded cursor, or from `after`.
    pub(crate) async fn follow(&self, channel: ChannelName, after: Option<Cursor>) {
        if let Some(after) = after {
            self.record.send_modify(|record| record.channels.entry(channel).or_default().cursor = Some(after));
        }
        let known =
            self.record.borrow().channels.get(&channel).and_then(|channel_record| channel_record.cursor.clone());
        let client = self.client.borrow().clone();
        let updates = client.follow(channel, known).await;
        let task = tokio::spawn(record_updates(channel, updates, self.record.clone(), self.slow.subscribe()));
        self.following.lock().expect("not poisoned").insert(channel, task);
    }

    /// The record, as it changes.
    pub(crate) fn record(&self) -> watch::Receiver<ClientRecord> {
        self.record.subscribe()
    }

    /// Waits until it is connected; returns its user.
    pub(crate) async fn user(&self) -> UserId {
        let mut welcome = self.client.borrow().welcome();
        let welcome =
            timeout(TEST_TIMEOUT, welcome.wait_for(Option::is_some)).await.expect("in time").expect("the client runs");
        welcome.as_ref().expect("the server sent welcome").user.id
    }

    /// The id of its last connection.
    pub(crate) fn connection_id(&self) -> Option<ConnectionId> {
        let welcome = self.client.borrow().welcome();
        let welcome = welcome.borrow();
        welcome.as_ref().map(|welcome| welcome.connection_id)
    }

    /// Waits until it has applied a channel up to this seq.
    pub(crate) async fn until_seq(&self, channel: ChannelName, seq: u64) {
        let mut record = self.record();
        let there = record
            .wait_for(|record| record.channels.get(&channel).is_some_and(|channel_record| channel_record.seq() >= seq));
        timeout(TEST_TIMEOUT, there).await.expect("in time").expect("the client runs");
    }

    /// Whether it connects within a time. `retry_now`: it retries at once, as a click on "Reconnect" does.
    pub(crate) async fn connected(&self, retry_now: bool, within: Duration) -> bool {
        let waiting = async {
            loop {
                let client = self.client.borrow().clone();
                let mut status = client.status();
                if *status.borrow() == Status::Connected {
                    return;
                }
                if retry_now {
                    client.reconnect().await;
                }
                let _ =
                    timeout(Duration::from_millis(500), status.wait_for(|status| *status == Status::Connected)).await;
            }
        };
        timeout(within, waiting).await.is_ok()
    }

    /// Repeats a command until it is answered; after a reload, over the new connection.
    pub(crate) async fn send<R: Request + Clone>(&self, request: R) -> Result<R::Ok, ErrorBody> {
        let mut current = self.client.subscribe();
        let answering = async {
            loop {
                let client = current.borrow_and_update().clone();
                tokio::select! {
                    answer = client.send(request.clone()) => match answer {
                        Err(error) if error.code == ErrorCode::Unavailable => sleep(RETRY_INTERVAL).await,
                        answer => return answer,
                    },
                    _ = current.changed() => {}
                }
            }
        };
        let late = |_| Err(ErrorBody::new(ErrorCode::Unavailable, "no answer in two minutes"));
        timeout(Duration::from_secs(120), answering).await.unwrap_or_else(late)
    }

    /// Closes the client, as a closed tab does, and opens another that continues from the last cursors.
    pub(crate) async fn reload(&self) {
        self.client.send_replace(Client::connect(config(&self.proxy, &self.token)));
        let before = std::mem::take(&mut *self.following.lock().expect("not poisoned"));
        for (channel, task) in before {
            // Updates that the old client still applies are recorded before the new one follows.
            if timeout(TEST_TIMEOUT, task).await.is_err() {
                self.record.send_modify(|record| {
                    record.violations.push(format!("{channel}: the stream did not end after the client was closed"))
                });
            }
            self.follow(channel, None).await;
        }
    }

    /// Stops reading updates, or reads them again.
    pub(crate) fn set_slow(&self, slow: bool) {
        self.slow.send_replace(slow);
    }
}

fn config(proxy: &Proxy, token: &str) -> ClientConfig {
    ClientConfig::bearer(format!("ws://{}/ws", proxy.address()), token)
}

async fn record_updates(
    channel: ChannelName,
    mut updates: mpsc::Receiver<Update>,
    record: watch::Sender<ClientRecord>,
    mut slow: watch::Receiver<bool>,
) {
    while slow.wait_for(|slow| !slow).await.is_ok() {
        let Some(update) = updates.recv().await else { break };
        record.send_modify(|record| record.apply(channel, update));
    }
}
