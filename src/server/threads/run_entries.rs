//! Reads the entries of one run from its thread's log, in pages that are bounded in entries, bytes and work.

use super::{authorise_run, queries};
use crate::{
    protocol::{
        RunId, ThreadEntry, UserId,
        agui::Event,
        http::{RunEntries, RunEntry},
    },
    server::{
        access::Access,
        channel::{Channel, Channels, PAGE},
        error::Result,
    },
};

/// A page with more bytes than this takes no further entry.
const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// The most pages of the log that are read for one page of a run: other runs may have many entries between those of this one.
const MAX_LOG_PAGES: usize = 16;

/// A page of the entries of a run, for whoever may read its thread: at most `limit` of those after `after` in the log of its thread.
///
/// # Errors
/// `not_found`; if the store fails.
pub async fn run_entries(
    channels: &Channels,
    user: UserId,
    run: RunId,
    after: u64,
    limit: usize,
) -> Result<RunEntries> {
    authorise_run(channels, user, run, Access::Read).await?;
    let place = queries::place_of_run(channels.store().reader(), run).await?;
    let mut after = after.max(place.seq.cast_unsigned().saturating_sub(1));
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for _ in 0..MAX_LOG_PAGES {
        let log = channels.page(Channel::Thread(place.thread_id), after).await?;
        for delivery in &log {
            after = delivery.seq;
            // An entry of an unknown kind belongs to no run.
            let Ok(entry) = serde_json::from_str::<ThreadEntry>(delivery.entry()) else { continue };
            if entry.run_id() != Some(run) && !was_read_by(&entry, run) {
                continue;
            }
            let is_end = is_end(&entry);
            bytes += delivery.entry().len();
            entries.push(RunEntry { seq: delivery.seq, at: delivery.at, entry });
            if is_end {
                return Ok(RunEntries { entries, next: None });
            }
            if entries.len() >= limit || bytes > MAX_PAGE_BYTES {
                return Ok(RunEntries { entries, next: Some(after) });
            }
        }
        if log.len() < PAGE as usize {
            return Ok(RunEntries { entries, next: None });
        }
    }
    Ok(RunEntries { entries, next: Some(after) })
}

/// Whether an entry says that a run's agent read a message of another run.
fn was_read_by(entry: &ThreadEntry, run: RunId) -> bool {
    matches!(entry, ThreadEntry::Read { run_id, .. } if *run_id == run)
}

/// Whether an entry is a run's last event.
fn is_end(entry: &ThreadEntry) -> bool {
    matches!(entry, ThreadEntry::Agent { event, .. } if matches!(**event, Event::RunFinished(_) | Event::RunError(_)))
}
