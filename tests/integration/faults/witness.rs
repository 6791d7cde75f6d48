//! A client that notes all it applies, over reloads and faults, and sends commands until they are answered.

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
use crate::support::PATIENCE;

/// How long after a refusal a command is sent again.
const AGAIN: Duration = Duration::from_millis(50);

/// What a client knew of a channel: states it began from, and the entries it applied to each.
#[derive(Default)]
pub(crate) struct Track {
    pub(crate) parts: Vec<Part>,
    pub(crate) cursor: Option<Cursor>,
    /// Who was last said to have the thread open.
    pub(crate) present: Vec<Present>,
}

impl Track {
    /// The last place that is known.
    pub(crate) fn place(&self) -> u64 {
        self.cursor.as_ref().map_or(0, |cursor| cursor.seq)
    }
}

/// From one state on.
#[derive(Default)]
pub(crate) struct Part {
    /// The place and the state; none: it was told to begin somewhere.
    pub(crate) from: Option<(u64, Snapshot)>,
    pub(crate) entries: Vec<(u64, i64, Entry)>,
}

/// All that a client knew.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) tracks: BTreeMap<ChannelName, Track>,
    /// Channels of which the server said that there is no such.
    pub(crate) gone: BTreeSet<ChannelName>,
    /// What should never have been.
    pub(crate) wrongs: Vec<String>,
}

impl Notes {
    /// Whether the feed says that a thread, which was there once, is gone.
    pub(crate) fn is_removed(&self, thread: ThreadId) -> bool {
        let Some(part) = self.tracks.get(&ChannelName::User).and_then(|feed| feed.parts.last()) else { return false };
        let adds =
            |entry: &Entry| matches!(entry, Entry::User(UserEntry::Thread { thread: info }) if info.id == thread);
        let removes = |entry: &Entry| matches!(entry, Entry::User(UserEntry::ThreadRemoved { thread_id }) if *thread_id == thread);
        let had = match &part.from {
            Some((_, Snapshot::User(feed))) => feed.threads.iter().any(|line| line.info.id == thread),
            _ => true,
        };
        let entries = || part.entries.iter().map(|(_, _, entry)| entry);
        entries().any(removes) || (!had && !entries().any(adds))
    }

    fn hear(&mut self, channel: ChannelName, update: Update) {
        let track = self.tracks.entry(channel).or_default();
        let known = track.place();
        match update {
            Update::Snapshot { cursor, snapshot } => {
                if cursor.seq < known {
                    self.wrongs.push(format!("{channel}: went back from {known} to {}", cursor.seq));
                }
                track.parts.push(Part { from: Some((cursor.seq, snapshot)), entries: Vec::new() });
                track.cursor = Some(cursor);
            }
            Update::Entry { seq: Some(seq), at, entry } => {
                if seq != known + 1 {
                    self.wrongs.push(format!("{channel}: {seq} came after {known}"));
                }
                let Some(cursor) = &mut track.cursor else {
                    return self.wrongs.push(format!("{channel}: {seq} came before any state"));
                };
                cursor.seq = seq;
                if track.parts.is_empty() {
                    track.parts.push(Part::default());
                }
                track.parts.last_mut().expect("there is one").entries.push((seq, at, entry));
            }
            Update::Entry { seq: None, entry: Entry::Signal(ThreadSignal::Presence { present }), .. } => {
                track.present = present;
            }
            Update::Entry { seq: None, .. } => {}
            // Whether it was deleted the audit knows.
            Update::Refused(error) if error.code == ErrorCode::NotFound => {
                self.gone.insert(channel);
            }
            Update::Refused(error) => self.wrongs.push(format!("{channel}: refused: {}", error.message)),
        }
    }
}

/// The client.
pub(crate) struct Witness {
    pub(crate) name: String,
    pub(crate) proxy: Proxy,
    pub(crate) token: String,
    client: watch::Sender<Client>,
    notes: watch::Sender<Notes>,
    /// While it is true, nothing is read.
    slow: watch::Sender<bool>,
    following: Mutex<BTreeMap<ChannelName, JoinHandle<()>>>,
}

impl Witness {
    /// Connects through a proxy of its own.
    pub(crate) fn new(name: String, proxy: Proxy, token: String) -> Arc<Self> {
        let client = Client::connect(config(&proxy, &token));
        Arc::new(Self {
            name,
            proxy,
            token,
            client: watch::Sender::new(client),
            notes: watch::Sender::new(Notes::default()),
            slow: watch::Sender::new(false),
            following: Mutex::default(),
        })
    }

    /// Follows a channel from where it is known to, or from `after`.
    pub(crate) async fn follow(&self, channel: ChannelName, after: Option<Cursor>) {
        if let Some(after) = after {
            self.notes.send_modify(|notes| notes.tracks.entry(channel).or_default().cursor = Some(after));
        }
        let known = self.notes.borrow().tracks.get(&channel).and_then(|track| track.cursor.clone());
        let client = self.client.borrow().clone();
        let updates = client.follow(channel, known).await;
        let task = tokio::spawn(note(channel, updates, self.notes.clone(), self.slow.subscribe()));
        self.following.lock().expect("not poisoned").insert(channel, task);
    }

    /// What it knows, as it changes.
    pub(crate) fn notes(&self) -> watch::Receiver<Notes> {
        self.notes.subscribe()
    }

    /// Whose client it is, once it is connected.
    pub(crate) async fn user(&self) -> UserId {
        let mut welcome = self.client.borrow().welcome();
        let welcome = timeout(PATIENCE, welcome.wait_for(Option::is_some)).await.expect("in time").expect("lives");
        welcome.as_ref().expect("is there").user.id
    }

    /// Its connection, as the server calls it.
    pub(crate) fn connection_id(&self) -> Option<ConnectionId> {
        let welcome = self.client.borrow().welcome();
        let welcome = welcome.borrow();
        welcome.as_ref().map(|welcome| welcome.connection_id)
    }

    /// Waits until it has come so far in a channel.
    pub(crate) async fn until_place(&self, channel: ChannelName, place: u64) {
        let mut notes = self.notes();
        let there = notes.wait_for(|notes| notes.tracks.get(&channel).is_some_and(|track| track.place() >= place));
        timeout(PATIENCE, there).await.expect("in time").expect("it lives");
    }

    /// Whether it is connected within a time; in a hurry it tries at once, as somebody who clicks "retry".
    pub(crate) async fn connected(&self, hurry: bool, within: Duration) -> bool {
        let waiting = async {
            loop {
                let client = self.client.borrow().clone();
                let mut status = client.status();
                if *status.borrow() == Status::Connected {
                    return;
                }
                if hurry {
                    client.reconnect().await;
                }
                let _ =
                    timeout(Duration::from_millis(500), status.wait_for(|status| *status == Status::Connected)).await;
            }
        };
        timeout(within, waiting).await.is_ok()
    }

    /// Sends a command until it is answered, with another client where this one is closed meanwhile.
    pub(crate) async fn send<R: Request + Clone>(&self, request: R) -> Result<R::Ok, ErrorBody> {
        let mut current = self.client.subscribe();
        let answering = async {
            loop {
                let client = current.borrow_and_update().clone();
                tokio::select! {
                    answer = client.send(request.clone()) => match answer {
                        Err(error) if error.code == ErrorCode::Unavailable => sleep(AGAIN).await,
                        answer => return answer,
                    },
                    _ = current.changed() => {}
                }
            }
        };
        let late = |_| Err(ErrorBody::new(ErrorCode::Unavailable, "no answer in two minutes"));
        timeout(Duration::from_secs(120), answering).await.unwrap_or_else(late)
    }

    /// Closes the client as a tab is, and opens another that goes on from what was known.
    pub(crate) async fn reload(&self) {
        self.client.send_replace(Client::connect(config(&self.proxy, &self.token)));
        let before = std::mem::take(&mut *self.following.lock().expect("not poisoned"));
        for (channel, task) in before {
            // What was applied before the end counts.
            if timeout(PATIENCE, task).await.is_err() {
                self.notes.send_modify(|notes| notes.wrongs.push(format!("{channel}: never ended after a close")));
            }
            self.follow(channel, None).await;
        }
    }

    /// Reads nothing for a while.
    pub(crate) fn set_slow(&self, slow: bool) {
        self.slow.send_replace(slow);
    }
}

fn config(proxy: &Proxy, token: &str) -> ClientConfig {
    ClientConfig::bearer(format!("ws://{}/ws", proxy.address()), token)
}

async fn note(
    channel: ChannelName,
    mut updates: mpsc::Receiver<Update>,
    notes: watch::Sender<Notes>,
    mut slow: watch::Receiver<bool>,
) {
    while slow.wait_for(|slow| !slow).await.is_ok() {
        let Some(update) = updates.recv().await else { break };
        notes.send_modify(|notes| notes.hear(channel, update));
    }
}
