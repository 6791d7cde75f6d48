//! A page of a channel's log on its way to one connection.
//!
//! Promise: a store that is out of reach is asked again, ever more slowly, for as long as the connection waits: what was to
//! be read is read once the store is back, and nothing is lost by its absence.

use std::{future::pending, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::sleep;

use crate::server::{
    channel::{Channel, Channels, Delivery},
    error::Result,
};

/// Between two tries: about so long at first, so long at most.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// One that is asked for.
pub(crate) struct Page {
    /// The channel.
    pub(crate) channel: Channel,
    after: u64,
    entries: BoxFuture<'static, Result<Vec<Delivery>>>,
}

impl Page {
    /// Asks for what follows `after`.
    pub(crate) fn ask(channels: Channels, channel: Channel, after: u64) -> Self {
        Self { channel, after, entries: async move { read(&channels, channel, after).await }.boxed() }
    }

    /// Waits for it, where one is asked for. Answers the channel, after which entry, and what follows it.
    pub(crate) async fn next(page: &mut Option<Self>) -> (Channel, u64, Result<Vec<Delivery>>) {
        let Some(asked) = page else { return pending().await };
        let entries = asked.entries.as_mut().await;
        let done = (asked.channel, asked.after, entries);
        *page = None;
        done
    }
}

/// What follows `after`, as soon as the store can be reached. Fails only where asking again does not help.
pub(super) async fn read(channels: &Channels, channel: Channel, after: u64) -> Result<Vec<Delivery>> {
    let mut wait = RETRY;
    loop {
        match channels.page(channel, after).await {
            Err(error) if error.is_out_of_reach() => {
                // Whoever looks after all connections warns.
                tracing::debug!(%channel, %error, "the log cannot be read; trying again");
                // Not in step with the others who wait.
                sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
                wait = (wait * 2).min(RETRY_MOST);
            }
            done => return done,
        }
    }
}
