//! The log on both databases: seqs without gaps under concurrent writers, run leases, and trimming.

mod begun;
mod commands;
mod failing;
mod leases;
mod migrating;
mod trimming;
mod writing;

use netra::{
    protocol::{
        RunId, ThreadEntry,
        agui::{Event, TextMessageContent},
    },
    server::channel::{Channel, Channels},
};

/// The entry of a run's event.
fn entry(run_id: RunId, event: impl Into<Event>) -> ThreadEntry {
    ThreadEntry::Agent { run_id, event: Box::new(event.into()) }
}

/// The entry of a piece of a run's text.
fn delta(run_id: RunId, text: impl Into<String>) -> ThreadEntry {
    entry(run_id, TextMessageContent::new("m", text))
}

/// The seqs and frames of a channel's whole log, read page by page.
async fn log(channels: &Channels, channel: Channel) -> Vec<(u64, String)> {
    let mut log: Vec<(u64, String)> = Vec::new();
    loop {
        let after = log.last().map_or(0, |(seq, _)| *seq);
        let page = channels.page(channel, after).await.expect("the page is read");
        if page.is_empty() {
            return log;
        }
        log.extend(page.into_iter().map(|delivery| (delivery.seq, delivery.frame.to_string())));
    }
}
