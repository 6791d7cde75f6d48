//! Finds entries that the bus lost: compares the ends of the followed logs in the store with what was delivered here.
//!
//! It compares at once when something may have been lost (the bus reconnected, the outcome of a commit is unknown) and again a
//! little later; every second while the bus is degraded, or if there is no bus and the store is PostgreSQL, which other nodes may
//! use; otherwise every ten seconds, as a node may die between a commit and its publication. Connections that are behind read the
//! store, as they do for any missed delivery.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::nodes::Inner;
use crate::server::{
    bus::Status,
    channel::{Channel, Channels},
    error::Result,
    store::Engine,
};

/// The interval while the bus is degraded, and after the store failed.
const SHORT_INTERVAL: Duration = Duration::from_secs(1);
/// The interval otherwise.
const LONG_INTERVAL: Duration = Duration::from_secs(10);
/// The pauses after a comparison was requested: by then the bus subscriptions are made, and a pending commit is done or failed.
const REPEAT_DELAYS: [Duration; 2] = [SHORT_INTERVAL, LONG_INTERVAL];

/// Compares until `stopping`.
pub(super) async fn run(node: &Inner, channels: &Channels, stopping: &CancellationToken) {
    let mut requests = node.bus.comparisons();
    let mut repeats = REPEAT_DELAYS.iter();
    loop {
        let status = node.bus.status();
        let wait = match compare(node, channels).await {
            Ok(()) => match (status, repeats.next()) {
                (Status::Degraded { .. }, _) => Some(SHORT_INTERVAL),
                (_, Some(wait)) => Some(*wait),
                (Status::Connected, None) => Some(LONG_INTERVAL),
                (Status::Local, None) => (channels.store().engine() == Engine::Postgres).then_some(SHORT_INTERVAL),
            },
            Err(error) => {
                tracing::warn!(%error, "the logs cannot be compared; trying again");
                Some(SHORT_INTERVAL)
            }
        };
        let pause = async {
            match wait {
                Some(wait) => sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = pause => {}
            _ = requests.changed() => repeats = REPEAT_DELAYS.iter(),
            _ = node.bus.changed(status) => {}
        }
    }
}

/// Reports the heads of the followed logs to the connections that are behind. A thread without a log was deleted.
async fn compare(node: &Inner, channels: &Channels) -> Result<()> {
    let followed = node.manager.followed();
    if followed.is_empty() {
        return Ok(());
    }
    let extents = channels.extents(&followed).await?;
    for channel in followed {
        match extents.get(&channel) {
            Some(extent) => node.manager.head(channel, extent.head),
            // A thread is created with its first entry, so one that is followed had entries.
            None if matches!(channel, Channel::Thread(_)) => node.manager.end_subscriptions(channel),
            None => {}
        }
    }
    Ok(())
}
