//! Reads pages of a channel's log for one connection.
//!
//! Guarantee: while the store cannot be reached, reading is retried with growing pauses for as long as the connection waits, so
//! an outage of the store loses no entry.

use std::{future::pending, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::sleep;

use crate::server::{
    backoff::Backoff,
    channel::{Channel, Channels, Delivery},
    error::Result,
};

/// Delays between attempts to read.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// A page that is being read.
pub(crate) struct PageRequest {
    /// The channel.
    pub(crate) channel: Channel,
    after: u64,
    entries: BoxFuture<'static, Result<Vec<Delivery>>>,
}

impl PageRequest {
    /// Reads the entries after `after`.
    pub(crate) fn new(channels: Channels, channel: Channel, after: u64) -> Self {
        Self { channel, after, entries: async move { read(&channels, channel, after).await }.boxed() }
    }

    /// Waits for the page and takes it, for ever if there is none. Returns the channel, the entry before the page, and its entries.
    pub(crate) async fn finished(page: &mut Option<Self>) -> (Channel, u64, Result<Vec<Delivery>>) {
        let Some(asked) = page else { return pending().await };
        let entries = asked.entries.as_mut().await;
        let done = (asked.channel, asked.after, entries);
        *page = None;
        done
    }
}

/// Reads the entries after `after` as soon as the store can be reached.
///
/// # Errors
/// If a retry would not help.
pub(super) async fn read(channels: &Channels, channel: Channel, after: u64) -> Result<Vec<Delivery>> {
    let mut retries = 0;
    loop {
        match channels.page(channel, after).await {
            Err(error) if error.is_out_of_reach() => {
                tracing::debug!(%channel, %error, "the log cannot be read; trying again");
                // Jittered: all connections wait for the same store.
                sleep(RETRY.jittered(retries)).await;
                retries += 1;
            }
            done => return done,
        }
    }
}
