//! What must hold after any run of faults: the store's log agrees with what every client applied and with every answer.

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
pub(crate) type Stored = (u64, i64, Entry);

/// The last seq of each channel (`thread/<id>`, `user/<id>`), and the number of open runs.
pub(crate) struct Ends {
    heads: BTreeMap<String, u64>,
    pub(crate) open_runs: i64,
}

/// The store's logs.
pub(crate) struct Log {
    pub(crate) channels: BTreeMap<String, Vec<Stored>>,
    ends: Ends,
}

impl Ends {
    /// Reads them from the database.
    pub(crate) async fn read(url: &str) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let mut store = AnyConnection::connect(url).await?;
        let ends = Self::read_from(&mut store).await;
        store.close().await?;
        ends
    }

    async fn read_from(store: &mut AnyConnection) -> Result<Self, sqlx::Error> {
        let mut heads = BTreeMap::new();
        for row in sqlx::query("SELECT id, head FROM channels").fetch_all(&mut *store).await? {
            heads.insert(row.try_get(0)?, row.try_get::<i64, _>(1)?.cast_unsigned());
        }
        let open_runs = sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE ended_at IS NULL");
        Ok(Self { heads, open_runs: open_runs.fetch_one(&mut *store).await? })
    }

    /// The last seq of a user's channel.
    pub(crate) fn of(&self, user: UserId, channel: ChannelName) -> u64 {
        self.heads.get(&key(user, channel)).copied().unwrap_or_default()
    }
}

fn key(user: UserId, channel: ChannelName) -> String {
    match channel {
        ChannelName::User => format!("user/{user}"),
        ChannelName::Thread(_) => channel.to_string(),
    }
}

impl Log {
    /// Reads all of it from the database.
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
            let entry = Entry::decode(name, serde_json::from_str(&entry).expect("the log assert_ok JSON"));
            let entry = (row.try_get::<i64, _>(1)?.cast_unsigned(), row.try_get(2)?, entry);
            channels.entry(channel).or_default().push(entry);
        }
        let ends = Ends::read_from(&mut read).await?;
        read.rollback().await?;
        store.close().await?;
        Ok(Self { channels, ends })
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> usize {
        self.channels.values().map(Vec::len).sum()
    }

    /// Checks the log itself, and that it has every acknowledged message.
    pub(crate) fn audit(&self, acknowledged: &[Acknowledged], deleted: &BTreeSet<ChannelName>) -> Vec<String> {
        let mut violations = Vec::new();
        // A deleted thread leaves nothing, even if it was deleted during a run.
        let left = |channel: &String| self.channels.contains_key(channel) || self.ends.heads.contains_key(channel);
        let names = deleted.iter().map(ToString::to_string);
        violations.extend(names.filter(left).map(|channel| format!("{channel} was deleted and has entries")));
        if self.ends.open_runs > 0 {
            violations.push(format!("{} runs never ended", self.ends.open_runs));
        }
        let mut places = HashMap::<MessageId, Vec<(String, u64, RunId)>>::new();
        for (channel, entries) in &self.channels {
            let head = self.ends.heads.get(channel).copied().unwrap_or_default();
            if !entries.iter().map(|entry| entry.0).eq(1..=head) {
                violations.push(format!("{channel}: the log is not 1 to {head}"));
            }
            for (seq, _, entry) in entries {
                if let Entry::Thread(ThreadEntry::Message { message }) = entry {
                    places.entry(message.id).or_default().push((channel.clone(), *seq, message.run_id));
                }
            }
            violations.extend(run_violations(entries).into_iter().map(|violation| format!("{channel}: {violation}")));
        }
        let twice = places.iter().filter(|(_, places)| places.len() > 1);
        violations.extend(twice.map(|(message, places)| format!("{message} is in the log at {places:?}")));
        for ack in acknowledged.iter().filter(|ack| !deleted.contains(&ChannelName::Thread(ack.thread))) {
            let place = (ChannelName::Thread(ack.thread).to_string(), ack.seq, ack.run);
            if !places.get(&ack.message).is_some_and(|places| places.contains(&place)) {
                violations.push(format!("{ack:?} was acknowledged and is not there"));
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
        let mut states = BTreeMap::<ChannelName, Vec<(u64, &Snapshot, &str)>>::new();
        for (client, record) in clients {
            violations.extend(record.violations.iter().map(|violation| format!("{client}: {violation}")));
            let gone = record.not_found.iter().filter(|name| !deleted.contains(name));
            violations.extend(gone.map(|name| format!("{client}: was refused {name} as not found")));
            for (name, channel_record) in record.channels.iter().filter(|(name, _)| !deleted.contains(name)) {
                let entries = self.channels.get(&key(user, *name)).map(Vec::as_slice).unwrap_or_default();
                let (seq, head) = (channel_record.seq(), self.ends.of(user, *name));
                if seq != head {
                    violations.push(format!("{client}: is at {seq} of {head} in {name}"));
                }
                violations.extend(
                    unknown_entries(entries, channel_record)
                        .map(|entry| format!("{client}: the log of {name} has no {entry:?}")),
                );
                let segments = channel_record.segments.iter().filter_map(|segment| segment.from.as_ref());
                states.entry(*name).or_default().extend(segments.map(|(seq, state)| (*seq, state, *client)));
            }
        }
        for (name, mut states) in states {
            states.sort_by_key(|(seq, ..)| *seq);
            let entries = self.channels.get(&key(user, name)).map(Vec::as_slice).unwrap_or_default();
            let other = wrong_snapshots(entries, &states).into_iter();
            violations.extend(
                other.map(|(seq, client)| format!("{client}: the snapshot of {name} at {seq} differs from the log")),
            );
        }
        violations
    }
}

/// Entries that a client applied and that the log does not have at their seq.
fn unknown_entries<'a>(log: &'a [Stored], channel_record: &'a ChannelRecord) -> impl Iterator<Item = &'a Stored> {
    let stored = |seq: u64| seq.checked_sub(1).and_then(|index| log.get(usize::try_from(index).ok()?));
    channel_record
        .segments
        .iter()
        .flat_map(|segment| &segment.entries)
        .filter(move |entry| stored(entry.0) != Some(*entry))
}

/// The snapshots, in order of seq, that differ from what the log folds to.
fn wrong_snapshots<'a>(log: &[Stored], states: &[(u64, &Snapshot, &'a str)]) -> Vec<(u64, &'a str)> {
    let (mut thread, mut feed) = (ThreadView::default(), UserFeed::default());
    let (mut rest, mut others) = (log.iter().peekable(), Vec::new());
    for (seq, state, client) in states {
        while let Some((_, at, entry)) = rest.next_if(|entry| entry.0 <= *seq) {
            match entry.clone() {
                Entry::Thread(entry) => thread.apply(*at, entry),
                Entry::User(entry) => feed.apply(*at, entry),
                Entry::Signal(_) | Entry::Unknown(_) => {}
            }
        }
        let same = match state {
            Snapshot::Thread(state) => *state == thread,
            Snapshot::User(state) => *state == feed,
        };
        if !same {
            others.push((*seq, *client));
        }
    }
    others
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

/// Runs that did not end, ended twice, have events after their end, or left a node open.
fn run_violations(entries: &[Stored]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut over = HashSet::new();
    for (seq, _, entry) in entries {
        if let Entry::Thread(ThreadEntry::Agent { run_id, event }) = entry {
            if over.contains(run_id) {
                violations.push(format!("{seq}: {} of a run that was over", event.kind()));
            }
            if matches!(**event, Event::RunFinished(_) | Event::RunError(_)) {
                over.insert(*run_id);
            }
        }
    }
    for item in view(entries.iter().cloned()).items {
        let Item::Run(run) = item else { continue };
        if !over.contains(&run.run_id) {
            violations.push(format!("{} has no end", run.run_id));
        }
        let open = run.nodes.iter().filter(|node| matches!(node.state, NodeState::Open | NodeState::Called));
        violations.extend(open.map(|node| format!("{} left {} open", run.run_id, node.id)));
    }
    violations
}
