//! Checks after the faults that the log in the store agrees with what every client applied and with every reply.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use netra::{
    protocol::{ChannelName, Entry, MessageId, RunId, Snapshot, ThreadEntry, ThreadId, UserId, agui::Event},
    thread::{Item, NodeState, ThreadView, UserFeed},
};
use sqlx::{AnyConnection, Connection, Row};

use super::client_recorder::{ChannelRecord, ClientRecord};

/// A message whose command was answered with `ok`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Acknowledged {
    pub(crate) message: MessageId,
    pub(crate) thread: ThreadId,
    pub(crate) run: RunId,
    pub(crate) seq: u64,
}

/// One entry of the store: its seq, when it was appended in ms since 1970, and the entry.
pub(crate) type StoredEntry = (u64, i64, Entry);

/// The last seq of each channel (`thread/<id>`, `user/<id>`), and the number of open runs.
pub(crate) struct LogHeads {
    by_channel: BTreeMap<String, u64>,
    pub(crate) open_runs: i64,
}

/// The logs of all channels in the store.
pub(crate) struct Log {
    pub(crate) channels: BTreeMap<String, Vec<StoredEntry>>,
    heads: LogHeads,
}

impl LogHeads {
    /// Reads the heads from the database.
    pub(crate) async fn read(url: &str) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let mut store = AnyConnection::connect(url).await?;
        let heads = Self::read_from(&mut store).await;
        store.close().await?;
        heads
    }

    async fn read_from(store: &mut AnyConnection) -> Result<Self, sqlx::Error> {
        let mut by_channel = BTreeMap::new();
        for row in sqlx::query("SELECT id, head FROM channels").fetch_all(&mut *store).await? {
            by_channel.insert(row.try_get(0)?, row.try_get::<i64, _>(1)?.cast_unsigned());
        }
        let open_runs = sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE ended_at IS NULL");
        Ok(Self { by_channel, open_runs: open_runs.fetch_one(&mut *store).await? })
    }

    /// The last seq of a user's channel.
    pub(crate) fn head(&self, user: UserId, channel: ChannelName) -> u64 {
        self.by_channel.get(&key(user, channel)).copied().unwrap_or_default()
    }
}

fn key(user: UserId, channel: ChannelName) -> String {
    match channel {
        ChannelName::User => format!("user/{user}"),
        ChannelName::Thread(_) => channel.to_string(),
    }
}

impl Log {
    /// Reads the whole log from the database.
    pub(crate) async fn read(url: &str) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let mut store = AnyConnection::connect(url).await?;
        let mut read = store.begin().await?;
        let mut channels = BTreeMap::<String, Vec<StoredEntry>>::new();
        let rows = sqlx::query("SELECT channel, seq, at, entry FROM entries ORDER BY channel, seq");
        for row in rows.fetch_all(&mut *read).await? {
            let (channel, entry): (String, String) = (row.try_get(0)?, row.try_get(3)?);
            let name = match channel.parse() {
                Ok(name @ ChannelName::Thread(_)) => name,
                _ => ChannelName::User,
            };
            let entry = Entry::decode(name, serde_json::from_str(&entry).expect("the log has JSON"));
            let entry = (row.try_get::<i64, _>(1)?.cast_unsigned(), row.try_get(2)?, entry);
            channels.entry(channel).or_default().push(entry);
        }
        let heads = LogHeads::read_from(&mut read).await?;
        read.rollback().await?;
        store.close().await?;
        Ok(Self { channels, heads })
    }

    /// The number of entries of all channels.
    pub(crate) fn entry_count(&self) -> usize {
        self.channels.values().map(Vec::len).sum()
    }

    /// Checks the log itself, and that it has every acknowledged message.
    pub(crate) fn audit(&self, acknowledged: &[Acknowledged], deleted: &BTreeSet<ChannelName>) -> Vec<String> {
        let mut violations = Vec::new();
        // A deleted thread leaves nothing, even if it was deleted during a run.
        let remains =
            |channel: &String| self.channels.contains_key(channel) || self.heads.by_channel.contains_key(channel);
        let names = deleted.iter().map(ToString::to_string);
        violations.extend(names.filter(remains).map(|channel| format!("{channel} was deleted, but has entries")));
        if self.heads.open_runs > 0 {
            violations.push(format!("{} runs never ended", self.heads.open_runs));
        }
        let mut positions = HashMap::<MessageId, Vec<(String, u64, RunId)>>::new();
        for (channel, entries) in &self.channels {
            let head = self.heads.by_channel.get(channel).copied().unwrap_or_default();
            if !entries.iter().map(|entry| entry.0).eq(1..=head) {
                violations.push(format!("{channel}: the seqs of the log are not 1 to {head}"));
            }
            for (seq, _, entry) in entries {
                if let Entry::Thread(ThreadEntry::Message { message }) = entry {
                    positions.entry(message.id).or_default().push((channel.clone(), *seq, message.run_id));
                }
            }
            violations.extend(run_violations(entries).into_iter().map(|violation| format!("{channel}: {violation}")));
        }
        let twice = positions.iter().filter(|(_, positions)| positions.len() > 1);
        violations
            .extend(twice.map(|(message, positions)| format!("{message} is in the log more than once: {positions:?}")));
        for ack in acknowledged.iter().filter(|ack| !deleted.contains(&ChannelName::Thread(ack.thread))) {
            let position = (ChannelName::Thread(ack.thread).to_string(), ack.seq, ack.run);
            if !positions.get(&ack.message).is_some_and(|positions| positions.contains(&position)) {
                violations.push(format!("{ack:?} was acknowledged, but is not in the log"));
            }
        }
        violations
    }

    /// Compares what a user's clients applied with the log.
    pub(crate) fn compare(
        &self,
        user: UserId,
        clients: &[(&str, &ClientRecord)],
        deleted: &BTreeSet<ChannelName>,
    ) -> Vec<String> {
        let mut violations = Vec::new();
        let mut snapshots = BTreeMap::<ChannelName, Vec<(u64, &Snapshot, &str)>>::new();
        for (client, record) in clients {
            violations.extend(record.violations.iter().map(|violation| format!("{client}: {violation}")));
            let not_found = record.not_found.iter().filter(|name| !deleted.contains(name));
            violations.extend(not_found.map(|name| format!("{client}: {name} was refused as not found")));
            for (name, channel_record) in record.channels.iter().filter(|(name, _)| !deleted.contains(name)) {
                let entries = self.channels.get(&key(user, *name)).map(Vec::as_slice).unwrap_or_default();
                let (seq, head) = (channel_record.seq(), self.heads.head(user, *name));
                if seq != head {
                    violations.push(format!("{client}: is at {seq} of {head} in {name}"));
                }
                violations.extend(
                    unknown_entries(entries, channel_record)
                        .map(|entry| format!("{client}: the log of {name} has no {entry:?}")),
                );
                let segments = channel_record.segments.iter().filter_map(|segment| segment.from.as_ref());
                snapshots.entry(*name).or_default().extend(segments.map(|(seq, snapshot)| (*seq, snapshot, *client)));
            }
        }
        for (name, mut snapshots) in snapshots {
            snapshots.sort_by_key(|(seq, ..)| *seq);
            let entries = self.channels.get(&key(user, name)).map(Vec::as_slice).unwrap_or_default();
            let wrong = wrong_snapshots(entries, &snapshots).into_iter();
            violations.extend(
                wrong.map(|(seq, client)| format!("{client}: the snapshot of {name} at {seq} differs from the log")),
            );
        }
        violations
    }
}

/// Entries that a client applied, but that the log does not have at their seq.
fn unknown_entries<'a>(
    log: &'a [StoredEntry],
    channel_record: &'a ChannelRecord,
) -> impl Iterator<Item = &'a StoredEntry> {
    let stored = |seq: u64| seq.checked_sub(1).and_then(|index| log.get(usize::try_from(index).ok()?));
    channel_record
        .segments
        .iter()
        .flat_map(|segment| &segment.entries)
        .filter(move |entry| stored(entry.0) != Some(*entry))
}

/// The snapshots that differ from the state that the log folds to. `snapshots` are in order of seq.
fn wrong_snapshots<'a>(log: &[StoredEntry], snapshots: &[(u64, &Snapshot, &'a str)]) -> Vec<(u64, &'a str)> {
    let (mut thread, mut feed) = (ThreadView::default(), UserFeed::default());
    let (mut rest, mut wrong) = (log.iter().peekable(), Vec::new());
    for (seq, snapshot, client) in snapshots {
        while let Some((_, at, entry)) = rest.next_if(|entry| entry.0 <= *seq) {
            match entry.clone() {
                Entry::Thread(entry) => thread.apply(*at, entry),
                Entry::User(entry) => feed.apply(*at, entry),
                Entry::Signal(_) | Entry::Unknown(_) => {}
            }
        }
        let same = match snapshot {
            Snapshot::Thread(state) => *state == thread,
            Snapshot::User(state) => *state == feed,
        };
        if !same {
            wrong.push((*seq, *client));
        }
    }
    wrong
}

fn view(entries: impl Iterator<Item = StoredEntry>) -> ThreadView {
    let mut view = ThreadView::default();
    for (_, at, entry) in entries {
        if let Entry::Thread(entry) = entry {
            view.apply(at, entry);
        }
    }
    view
}

/// Runs that did not end, ended twice, have events after their end, or left a node open.
fn run_violations(entries: &[StoredEntry]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut ended = HashSet::new();
    for (seq, _, entry) in entries {
        if let Entry::Thread(ThreadEntry::Agent { run_id, event }) = entry {
            if ended.contains(run_id) {
                violations.push(format!("{seq}: {} of a run that has ended", event.kind()));
            }
            if matches!(**event, Event::RunFinished(_) | Event::RunError(_)) {
                ended.insert(*run_id);
            }
        }
    }
    for item in view(entries.iter().cloned()).items {
        let Item::Run(run) = item else { continue };
        if !ended.contains(&run.run_id) {
            violations.push(format!("{} has no end", run.run_id));
        }
        let open = run.nodes.iter().filter(|node| matches!(node.state, NodeState::Open | NodeState::Called));
        violations.extend(open.map(|node| format!("{} left {} open", run.run_id, node.id)));
    }
    violations
}
