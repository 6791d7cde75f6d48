//! Reading logs.

use std::collections::HashMap;

use super::{Channel, Channels, Delivery, Extent, queries};
use crate::{
    protocol::{Entry, RunId, ThreadEntry, ThreadId},
    server::error::Result,
};

/// The most entries of a page.
pub const PAGE: u32 = 256;

impl Channels {
    /// Where a channel's log begins and ends.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn extent(&self, channel: Channel) -> Result<Extent> {
        self.shared.extents.get(self.store(), channel).await
    }

    /// Where many logs begin and end, read from the store in a few queries. Channels without a log are left out.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn extents(&self, channels: &[Channel]) -> Result<HashMap<Channel, Extent>> {
        queries::extents(self.store().reader(), self.store().engine(), channels).await
    }

    /// The entries after a place as they go to the sockets, at most [`PAGE`] of them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn page(&self, channel: Channel, after: u64) -> Result<Vec<Delivery>> {
        let rows = queries::page(self.store().reader(), channel, after).await?;
        let delivery = |row: &queries::EntryRow| Delivery::new(self.epoch(), channel, row.seq(), row.at, &row.entry);
        Ok(rows.iter().map(delivery).collect())
    }

    /// The entries of a thread after a place with their `seq`, at most [`PAGE`] of them.
    ///
    /// # Errors
    /// If the store fails, or an entry cannot be decoded.
    pub async fn entries(&self, thread: ThreadId, after: u64) -> Result<Vec<(u64, ThreadEntry)>> {
        let rows = queries::page(self.store().reader(), Channel::Thread(thread), after).await?;
        rows.iter().map(|row| Ok((row.seq(), serde_json::from_str(&row.entry)?))).collect()
    }

    /// Whether a run has entries after a place of its thread's log.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_after(&self, thread: ThreadId, mut after: u64, run: RunId) -> Result<bool> {
        let channel = Channel::Thread(thread);
        let is_of_run = |row: &queries::EntryRow| {
            let entry = row.decode(channel);
            matches!(entry, Ok(Entry::Thread(ThreadEntry::Agent { run_id, .. })) if run_id == run)
        };
        loop {
            let rows = queries::page(self.store().reader(), channel, after).await?;
            let Some(last) = rows.last().map(queries::EntryRow::seq) else { return Ok(false) };
            if rows.iter().any(is_of_run) {
                return Ok(true);
            }
            after = last;
        }
    }
}
