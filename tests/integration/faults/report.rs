//! After the faults: waits until everything has settled, then audits it.

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
    audit::{Log, LogHeads},
    chaos::{Chaos, Report},
    client_recorder::{ChannelRecord, ClientRecorder},
    proxy::Proxy,
    users::SimulatedUser,
};
use crate::support::Account;

impl Chaos {
    /// Waits until everything has settled, at most for the plan's `settle_timeout`; returns what has not.
    pub(crate) async fn settle(&self) -> Vec<String> {
        let begun = Instant::now();
        loop {
            self.reconnect_all().await;
            let unsettled = self.unsettled().await;
            if unsettled.is_empty() || begun.elapsed() > self.plan.settle_timeout {
                return unsettled;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs that are not over, clients that are behind, and connections that should not be there.
    async fn unsettled(&self) -> Vec<String> {
        let heads = match LogHeads::read(&self.store_url).await {
            Ok(heads) => heads,
            Err(error) => return vec![format!("the store cannot be read: {error}")],
        };
        let mut violations = Vec::new();
        if heads.open_runs > 0 {
            violations.push(format!("{} runs are open", heads.open_runs));
        }
        let deleted = self.deleted();
        for client in self.clients() {
            let user = client.user().await;
            let record = client.record();
            let record = record.borrow();
            for (channel, channel_record) in record.channels.iter().filter(|(channel, _)| !deleted.contains(channel)) {
                let (seq, head) = (channel_record.seq(), heads.head(user, *channel));
                if seq != head {
                    violations.push(format!("{} is at {seq} of {head} in {channel}", client.name));
                }
                let alone = |who: &Present| who.user.id == user && who.connections as usize == self.plan.clients;
                if matches!(channel, ChannelName::Thread(_))
                    && !matches!(&channel_record.present[..], [who] if alone(who))
                {
                    violations.push(format!("{} sees a wrong presence: {:?}", client.name, channel_record.present));
                }
            }
        }
        let open = self.connections().await;
        if open != self.clients().len() {
            violations.push(format!("{open} connections on the servers, and {} clients", self.clients().len()));
        }
        violations
    }

    /// The number of connections in the servers' metrics.
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

    pub(crate) async fn audit(&self, log: &Log) -> Report {
        let acknowledged = self.ledger.acknowledged.lock().expect("not poisoned").clone();
        let mut violations = self.ledger.violations.lock().expect("not poisoned").clone();
        let deleted = self.deleted();
        violations.extend(log.audit(&acknowledged, &deleted));
        for (account, user) in &self.users {
            let fresh = self.fresh_client(*account, user, &deleted).await;
            let clients: Vec<_> = user.clients.iter().chain([&fresh]).collect();
            let record: Vec<_> = clients.iter().map(|client| client.record()).collect();
            let record: Vec<_> = record.iter().map(watch::Receiver::borrow).collect();
            let named: Vec<_> =
                clients.iter().zip(&record).map(|(client, record)| (&*client.name, &**record)).collect();
            violations.extend(log.compare(user.user, &named, &deleted));
        }
        Report { violations, faults: *self.faults.borrow(), acknowledged: acknowledged.len() }
    }

    /// A client that reads every log from its beginning.
    async fn fresh_client(
        &self,
        account: Account,
        user: &SimulatedUser,
        deleted: &BTreeSet<ChannelName>,
    ) -> Arc<ClientRecorder> {
        let proxy = Proxy::new(self.addresses[0]).await;
        let client =
            ClientRecorder::new(format!("{}'s new client", account.name), proxy, user.clients[0].token.clone());
        let known: Vec<(ChannelName, Cursor)> = {
            let record = user.clients[0].record();
            let record = record.borrow();
            let cursor =
                |(name, channel_record): (&ChannelName, &ChannelRecord)| Some((*name, channel_record.cursor.clone()?));
            record.channels.iter().filter(|(name, _)| !deleted.contains(name)).filter_map(cursor).collect()
        };
        for (channel, cursor) in &known {
            client.follow(*channel, Some(Cursor { seq: 0, ..cursor.clone() })).await;
        }
        let mut record = client.record();
        let there = record.wait_for(|record| {
            let seq = |name| record.channels.get(name).map_or(0, ChannelRecord::seq);
            known.iter().all(|(name, cursor)| seq(name) >= cursor.seq)
        });
        let _ = timeout(self.plan.settle_timeout, there).await;
        client
    }
}
