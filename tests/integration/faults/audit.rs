//! What must hold after any run of faults: the store's log against what every client applied and every answer given.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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

/// Where the store's logs end, by channel (`thread/<id>`, `user/<id>`), and how many runs go on.
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
    /// Reads them, past the server.
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

    /// Where a channel ends, which a person calls so.
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
        let ends = Ends::read_from(&mut read).await?;
        read.rollback().await?;
        store.close().await?;
        Ok(Self { channels, ends })
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> usize {
        self.channels.values().map(Vec::len).sum()
    }

    /// What is wrong with the log itself, and with it and what was acknowledged.
    pub(crate) fn audit(&self, acknowledged: &[Acknowledged], deleted: &BTreeSet<ChannelName>) -> Vec<String> {
        let mut wrongs = Vec::new();
        // Of what was deleted nothing is left, whatever was going on.
        let left = |channel: &String| self.channels.contains_key(channel) || self.ends.heads.contains_key(channel);
        let names = deleted.iter().map(ToString::to_string);
        wrongs.extend(names.filter(left).map(|channel| format!("{channel} was deleted and has entries")));
        if self.ends.open_runs > 0 {
            wrongs.push(format!("{} runs never ended", self.ends.open_runs));
        }
        let mut places = HashMap::<MessageId, Vec<(String, u64, RunId)>>::new();
        for (channel, entries) in &self.channels {
            let head = self.ends.heads.get(channel).copied().unwrap_or_default();
            if !entries.iter().map(|entry| entry.0).eq(1..=head) {
                wrongs.push(format!("{channel}: the log is not 1 to {head}"));
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
        for ack in acknowledged.iter().filter(|ack| !deleted.contains(&ChannelName::Thread(ack.thread))) {
            let place = (ChannelName::Thread(ack.thread).to_string(), ack.seq, ack.run);
            if !places.get(&ack.message).is_some_and(|places| places.contains(&place)) {
                wrongs.push(format!("{ack:?} was acknowledged and is not there"));
            }
        }
        wrongs
    }

    /// What of the notes of a person's clients is not the log.
    pub(crate) fn compare(
        &self,
        user: UserId,
        clients: &[(&str, &Notes)],
        deleted: &BTreeSet<ChannelName>,
    ) -> Vec<String> {
        let mut wrongs = Vec::new();
        let mut states = BTreeMap::<ChannelName, Vec<(u64, &Snapshot, &str)>>::new();
        for (client, notes) in clients {
            wrongs.extend(notes.wrongs.iter().map(|wrong| format!("{client}: {wrong}")));
            let gone = notes.gone.iter().filter(|name| !deleted.contains(name));
            wrongs.extend(gone.map(|name| format!("{client}: was told that there is no {name}")));
            for (name, track) in notes.tracks.iter().filter(|(name, _)| !deleted.contains(name)) {
                let entries = self.channels.get(&key(user, *name)).map(Vec::as_slice).unwrap_or_default();
                let (place, head) = (track.place(), self.ends.of(user, *name));
                if place != head {
                    wrongs.push(format!("{client}: stands at {place} of {head} in {name}"));
                }
                wrongs.extend(
                    strange(entries, track).map(|entry| format!("{client}: the log of {name} has no {entry:?}")),
                );
                let parts = track.parts.iter().filter_map(|part| part.from.as_ref());
                states.entry(*name).or_default().extend(parts.map(|(seq, state)| (*seq, state, *client)));
            }
        }
        for (name, mut states) in states {
            states.sort_by_key(|(seq, ..)| *seq);
            let entries = self.channels.get(&key(user, name)).map(Vec::as_slice).unwrap_or_default();
            let other = other_states(entries, &states).into_iter();
            wrongs.extend(other.map(|(seq, client)| format!("{client}: the state of {name} at {seq} is another")));
        }
        wrongs
    }
}

/// What a client applied and the log does not have at that place.
fn strange<'a>(log: &'a [Stored], track: &'a Track) -> impl Iterator<Item = &'a Stored> {
    let stored = |seq: u64| seq.checked_sub(1).and_then(|index| log.get(usize::try_from(index).ok()?));
    track.parts.iter().flat_map(|part| &part.entries).filter(move |entry| stored(entry.0) != Some(*entry))
}

/// The states, in order of their places, that are not what the log folds to.
fn other_states<'a>(log: &[Stored], states: &[(u64, &Snapshot, &'a str)]) -> Vec<(u64, &'a str)> {
    let (mut thread, mut feed) = (ThreadView::default(), UserFeed::default());
    let (mut rest, mut others) = (log.iter().peekable(), Vec::new());
    for (place, state, client) in states {
        while let Some((_, at, entry)) = rest.next_if(|entry| entry.0 <= *place) {
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
            others.push((*place, *client));
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
