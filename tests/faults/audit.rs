//! What must hold after any run of faults: the store's log against what every client applied and every answer given.

use std::collections::{BTreeMap, HashMap, HashSet};

use netra::{
    protocol::{ChannelName, Entry, MessageId, RunId, Snapshot, ThreadEntry, ThreadId, UserId, agui::Event},
    thread::{Item, NodeState, ThreadView, UserFeed},
};
use sqlx::{AnyConnection, Connection, Row};

use super::witness::{Notes, Track};

/// A message whose command was answered with `ok`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Acknowledged {
    pub(crate) message: MessageId,
    pub(crate) thread: ThreadId,
    pub(crate) run: RunId,
    pub(crate) seq: u64,
}

/// One entry of the store: its place, when it was appended, and what it is.
pub(crate) type Stored = (u64, i64, Entry);

/// The store's logs, by channel (`thread/<id>`, `user/<id>`), and what it says about runs.
pub(crate) struct Log {
    pub(crate) channels: BTreeMap<String, Vec<Stored>>,
    heads: BTreeMap<String, u64>,
    open_runs: i64,
}

impl Log {
    /// Reads all of it, past the server.
    pub(crate) async fn read(url: &str) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let mut store = AnyConnection::connect(url).await?;
        let mut read = store.begin().await?;
        let mut channels = BTreeMap::<String, Vec<Stored>>::new();
        let rows = sqlx::query("SELECT channel, seq, at, entry FROM entries ORDER BY channel, seq");
        for row in rows.fetch_all(&mut *read).await? {
            let (channel, entry): (String, String) = (row.try_get(0)?, row.try_get(3)?);
            let name = match channel.parse() {
                Ok(name @ ChannelName::Thread(_)) => name,
                _ => ChannelName::User,
            };
            let entry = Entry::decode(name, serde_json::from_str(&entry).expect("the log holds JSON"));
            let entry = (row.try_get::<i64, _>(1)?.cast_unsigned(), row.try_get(2)?, entry);
            channels.entry(channel).or_default().push(entry);
        }
        let mut heads = BTreeMap::new();
        for row in sqlx::query("SELECT id, head FROM channels").fetch_all(&mut *read).await? {
            heads.insert(row.try_get(0)?, row.try_get::<i64, _>(1)?.cast_unsigned());
        }
        let open_runs = sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE ended_at IS NULL");
        let open_runs = open_runs.fetch_one(&mut *read).await?;
        read.rollback().await?;
        store.close().await?;
        Ok(Self { channels, heads, open_runs })
    }

    /// Where a channel ends.
    pub(crate) fn head(&self, channel: &str) -> u64 {
        self.heads.get(channel).copied().unwrap_or_default()
    }

    /// Whether every run is over.
    pub(crate) fn is_quiet(&self) -> bool {
        self.open_runs == 0
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> usize {
        self.channels.values().map(Vec::len).sum()
    }

    /// What is wrong with the log itself, and with it and what was acknowledged.
    pub(crate) fn audit(&self, acknowledged: &[Acknowledged]) -> Vec<String> {
        let mut wrongs = Vec::new();
        if !self.is_quiet() {
            wrongs.push(format!("{} runs never ended", self.open_runs));
        }
        let mut places = HashMap::<MessageId, Vec<(String, u64, RunId)>>::new();
        for (channel, entries) in &self.channels {
            let gapless = entries.iter().map(|entry| entry.0).eq(1..=self.head(channel));
            if !gapless {
                wrongs.push(format!("{channel}: the log is not 1 to {}", self.head(channel)));
            }
            for (seq, _, entry) in entries {
                if let Entry::Thread(ThreadEntry::Message { message }) = entry {
                    places.entry(message.id).or_default().push((channel.clone(), *seq, message.run_id));
                }
            }
            wrongs.extend(runs(entries).into_iter().map(|wrong| format!("{channel}: {wrong}")));
        }
        let twice = places.iter().filter(|(_, places)| places.len() > 1);
        wrongs.extend(twice.map(|(message, places)| format!("{message} stands at {places:?}")));
        for ack in acknowledged {
            let place = (ChannelName::Thread(ack.thread).to_string(), ack.seq, ack.run);
            if !places.get(&ack.message).is_some_and(|places| places.contains(&place)) {
                wrongs.push(format!("{ack:?} was acknowledged and is not there"));
            }
        }
        wrongs
    }

    /// What of a client's notes is not the log.
    pub(crate) fn compare(&self, user: UserId, notes: &Notes) -> Vec<String> {
        let mut wrongs = notes.wrongs.clone();
        for (name, track) in &notes.tracks {
            let channel = match name {
                ChannelName::User => format!("user/{user}"),
                ChannelName::Thread(_) => name.to_string(),
            };
            let entries = self.channels.get(&channel).map(Vec::as_slice).unwrap_or_default();
            let place = track.cursor.as_ref().map_or(0, |cursor| cursor.seq);
            if place != self.head(&channel) {
                wrongs.push(format!("{channel}: stands at {place} of {}", self.head(&channel)));
            }
            wrongs.extend(differences(entries, track).map(|wrong| format!("{channel}: {wrong}")));
        }
        wrongs
    }
}

/// What a client applied and the log does not have so.
fn differences<'a>(log: &'a [Stored], track: &'a Track) -> impl Iterator<Item = String> + 'a {
    track.parts.iter().flat_map(move |part| {
        let stored = |seq: u64| seq.checked_sub(1).and_then(|index| log.get(usize::try_from(index).ok()?));
        let other = part.entries.iter().filter(move |entry| stored(entry.0) != Some(*entry));
        let other = other.map(|(seq, at, entry)| format!("applied {entry:?} of {at} at {seq}, which the log has not"));
        let state = part.from.iter().filter(|(seq, state)| *state != fold(log, *seq, state));
        other.chain(state.map(|(seq, _)| format!("the state at {seq} is not what the log folds to")))
    })
}

/// The state that the log's first `seq` entries make, of the same kind as `like`.
fn fold(log: &[Stored], seq: u64, like: &Snapshot) -> Snapshot {
    let before = log.iter().filter(|entry| entry.0 <= seq).cloned();
    match like {
        Snapshot::Thread(_) => Snapshot::Thread(view(before)),
        Snapshot::User(_) => {
            let mut feed = UserFeed::default();
            for (_, at, entry) in before {
                if let Entry::User(entry) = entry {
                    feed.apply(at, entry);
                }
            }
            Snapshot::User(feed)
        }
    }
}

fn view(entries: impl Iterator<Item = Stored>) -> ThreadView {
    let mut view = ThreadView::default();
    for (_, at, entry) in entries {
        if let Entry::Thread(entry) = entry {
            view.apply(at, entry);
        }
    }
    view
}

/// Runs that did not end, ended twice, said something afterwards, or left something open.
fn runs(entries: &[Stored]) -> Vec<String> {
    let mut wrongs = Vec::new();
    let mut over = HashSet::new();
    for (seq, _, entry) in entries {
        if let Entry::Thread(ThreadEntry::Agent { run_id, event }) = entry {
            if over.contains(run_id) {
                wrongs.push(format!("{seq}: {} of a run that was over", event.kind()));
            }
            if matches!(**event, Event::RunFinished(_) | Event::RunError(_)) {
                over.insert(*run_id);
            }
        }
    }
    for item in view(entries.iter().cloned()).items {
        let Item::Run(run) = item else { continue };
        if !over.contains(&run.run_id) {
            wrongs.push(format!("{} has no end", run.run_id));
        }
        let open = run.nodes.iter().filter(|node| matches!(node.state, NodeState::Open | NodeState::Called));
        wrongs.extend(open.map(|node| format!("{} left {} open", run.run_id, node.id)));
    }
    wrongs
}
