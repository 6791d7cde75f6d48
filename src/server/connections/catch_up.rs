//! The bus is a hint: what it lost is found by comparing where the logs end with what the connections here were told.
//!
//! Compared at once when something may have been lost (the bus came back, a commit's outcome is not known) and again a
//! little later, every second while the bus is degraded, and every ten seconds otherwise, for a node may die between a
//! commit and its telling. With no bus on a store that others may share, every second, too. Connections that are behind
//! read the store by the road that they have for gaps.

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

/// While the bus is degraded, and after the store failed.
const OFTEN: Duration = Duration::from_secs(1);
/// While all is well.
const SELDOM: Duration = Duration::from_secs(10);
/// After it was asked for: the subscriptions stand by then, and a commit that was under way is there or not.
const AGAIN: [Duration; 2] = [OFTEN, SELDOM];

/// Compares until `stopping`.
pub(super) async fn run(node: &Inner, channels: &Channels, stopping: &CancellationToken) {
    let mut asked = node.bus.asked();
    let mut again = AGAIN.iter();
    loop {
        let status = node.bus.status();
        let wait = match compare(node, channels).await {
            Ok(()) => match (status, again.next()) {
                (Status::Degraded { .. }, _) => Some(OFTEN),
                (_, Some(wait)) => Some(*wait),
                (Status::Connected, None) => Some(SELDOM),
                (Status::Local, None) => (channels.store().engine() == Engine::Postgres).then_some(OFTEN),
            },
            Err(error) => {
                tracing::warn!(%error, "the logs cannot be compared; trying again");
                Some(OFTEN)
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
            _ = asked.changed() => again = AGAIN.iter(),
            _ = node.bus.changed(status) => {}
        }
    }
}

/// Tells every connection that is behind; a thread whose log is gone was deleted.
async fn compare(node: &Inner, channels: &Channels) -> Result<()> {
    let followed = node.manager.followed();
    if followed.is_empty() {
        return Ok(());
    }
    let heads: std::collections::HashMap<Channel, u64> = channels.heads(&followed).await?.into_iter().collect();
    for channel in followed {
        match heads.get(&channel) {
            Some(head) => node.manager.head(channel, *head),
            // Who may follow a thread follows one that has entries: its first is stored with it.
            None if matches!(channel, Channel::Thread(_)) => node.manager.forget(channel),
            None => {}
        }
    }
    Ok(())
}
