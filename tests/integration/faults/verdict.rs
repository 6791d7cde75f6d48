//! Whether a run of faults ended well: everything settles, and then the audit finds nothing.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use netra::protocol::{ChannelName, Cursor, Present};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    audit::{Ends, Log},
    chaos::{Chaos, Outcome},
    people::Someone,
    proxy::Proxy,
    witness::{Track, Witness},
};
use crate::support::Person;

impl Chaos {
    /// Waits until everything is as it should be, or for as long as patience lasts; answers what is not.
    pub(crate) async fn settle(&self) -> Vec<String> {
        let begun = Instant::now();
        loop {
            self.all_back().await;
            let unsettled = self.unsettled().await;
            if unsettled.is_empty() || begun.elapsed() > self.plan.patience {
                return unsettled;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What is not over, not in step, or only seems to be there.
    async fn unsettled(&self) -> Vec<String> {
        let ends = match Ends::read(&self.store_url).await {
            Ok(ends) => ends,
            Err(error) => return vec![format!("the store cannot be read: {error}")],
        };
        let mut wrongs = Vec::new();
        if ends.open_runs > 0 {
            wrongs.push(format!("{} runs go on", ends.open_runs));
        }
        let deleted = self.deleted();
        for client in self.clients() {
            let user = client.user().await;
            let notes = client.notes();
            let notes = notes.borrow();
            for (channel, track) in notes.tracks.iter().filter(|(channel, _)| !deleted.contains(channel)) {
                let (place, head) = (track.place(), ends.of(user, *channel));
                if place != head {
                    wrongs.push(format!("{} stands at {place} of {head} in {channel}", client.name));
                }
                let alone = |who: &Present| who.user.id == user && who.connections as usize == self.plan.clients;
                if matches!(channel, ChannelName::Thread(_)) && !matches!(&track.present[..], [who] if alone(who)) {
                    wrongs.push(format!("{} believes in ghosts: {:?}", client.name, track.present));
                }
            }
        }
        let open = self.connections().await;
        if open != self.clients().len() {
            wrongs.push(format!("{open} connections in the books, and {} clients", self.clients().len()));
        }
        wrongs
    }

    /// How many connections the servers have in their books.
    async fn connections(&self) -> usize {
        let urls: Vec<String> = self.addresses.iter().map(|address| format!("http://{address}/metrics")).collect();
        let mut open = 0;
        for url in urls {
            let Ok(answer) = reqwest::get(url).await else { continue };
            let text = answer.text().await.unwrap_or_default();
            let lines = text.lines().filter_map(|line| line.strip_prefix("netra_connections{")?.split_once("} "));
            open += lines.filter_map(|(_, count)| count.parse::<f64>().ok()).sum::<f64>() as usize;
        }
        open
    }

    /// The channels of threads that were deleted.
    fn deleted(&self) -> BTreeSet<ChannelName> {
        self.ledger.deleted().into_iter().map(ChannelName::Thread).collect()
    }

    pub(crate) async fn audit(&self, log: &Log) -> Outcome {
        let acknowledged = self.ledger.acknowledged.lock().expect("not poisoned").clone();
        let mut wrongs = self.ledger.wrongs.lock().expect("not poisoned").clone();
        let deleted = self.deleted();
        wrongs.extend(log.audit(&acknowledged, &deleted));
        for (person, someone) in &self.people {
            let fresh = self.fresh(*person, someone, &deleted).await;
            let clients: Vec<_> = someone.clients.iter().chain([&fresh]).collect();
            let notes: Vec<_> = clients.iter().map(|client| client.notes()).collect();
            let notes: Vec<_> = notes.iter().map(watch::Receiver::borrow).collect();
            let named: Vec<_> = clients.iter().zip(&notes).map(|(client, notes)| (&*client.name, &**notes)).collect();
            wrongs.extend(log.compare(someone.user, &named, &deleted));
        }
        Outcome { wrongs, faults: *self.faults.borrow(), acknowledged: acknowledged.len() }
    }

    /// A client that begins at the beginning of every log.
    async fn fresh(&self, person: Person, someone: &Someone, deleted: &BTreeSet<ChannelName>) -> Arc<Witness> {
        let proxy = Proxy::to(self.addresses[0]).await;
        let client = Witness::new(format!("{}'s fresh client", person.name), proxy, someone.clients[0].token.clone());
        let known: Vec<(ChannelName, Cursor)> = {
            let notes = someone.clients[0].notes();
            let notes = notes.borrow();
            let cursor = |(name, track): (&ChannelName, &Track)| Some((*name, track.cursor.clone()?));
            notes.tracks.iter().filter(|(name, _)| !deleted.contains(name)).filter_map(cursor).collect()
        };
        for (channel, cursor) in &known {
            client.follow(*channel, Some(Cursor { seq: 0, ..cursor.clone() })).await;
        }
        let mut notes = client.notes();
        let there = notes.wait_for(|notes| {
            let place = |name| notes.tracks.get(name).map_or(0, Track::place);
            known.iter().all(|(name, cursor)| place(name) >= cursor.seq)
        });
        let _ = timeout(self.plan.patience, there).await;
        client
    }
}
