//! A page of a channel's log on its way to one connection.
//!
//! Promise: a store that is out of reach is asked again, ever more slowly, for as long as the connection waits: what was to
//! be read is read once the store is back, and nothing is lost by its absence.

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

/// One that is asked for.
pub(super) struct Page {
    /// The channel.
    pub(super) channel: Channel,
    after: u64,
    entries: BoxFuture<'static, Result<Vec<Delivery>>>,
}

impl Page {
    /// Asks for what follows `after`.
    pub(super) fn ask(channels: Channels, channel: Channel, after: u64) -> Self {
        Self { channel, after, entries: async move { read(&channels, channel, after).await }.boxed() }
    }

    /// Waits for it, where one is asked for. Answers the channel, after which entry, and what follows it.
    pub(super) async fn next(page: &mut Option<Self>) -> (Channel, u64, Result<Vec<Delivery>>) {
        let Some(asked) = page else { return pending().await };
        let entries = asked.entries.as_mut().await;
        let done = (asked.channel, asked.after, entries);
        *page = None;
        done
    }
}

/// What follows `after`, as soon as the store can be reached. Fails only where asking again does not help.
pub(super) async fn read(channels: &Channels, channel: Channel, after: u64) -> Result<Vec<Delivery>> {
    let mut retries = 0;
    loop {
        match channels.page(channel, after).await {
            Err(error) if error.is_out_of_reach() => {
                // Whoever looks after all connections warns.
                tracing::debug!(%channel, %error, "the log cannot be read; trying again");
                sleep(RETRY.jittered(retries)).await;
                retries += 1;
            }
            done => return done,
        }
    }
}
