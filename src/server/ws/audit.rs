//! Authority that was taken away closes live sockets, also where nobody told this node.
//!
//! The store is asked, over and over, whether the sessions and accounts behind the open sockets still hold, with the roles
//! that they were let in with; sockets that do not are closed (4401). At most a hundredth of the time is spent on it: every
//! second while asking is quick, more seldom where it is not, at least every 30 s.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{nodes::Inner, outbound::Close, registry::Holder};
use crate::{
    protocol::{CloseCode, UserId, http::Role},
    server::{auth::Auth, error::Result},
};

/// The shortest and the longest time between two rounds.
const EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How much longer than a round took is waited for the next.
const REST: u32 = 100;

/// Audits until `stopping`.
pub(super) async fn run(node: &Inner, auth: &Auth, stopping: &CancellationToken) {
    loop {
        let begun = Instant::now();
        let wait = match round(node, auth).await {
            Ok(0) => (begun.elapsed() * REST).clamp(EVERY.0, EVERY.1),
            Ok(closed) => {
                tracing::info!(closed, "closed sockets whose authority was taken away");
                EVERY.0
            }
            Err(error) => {
                tracing::warn!(%error, "who is connected cannot be checked; trying again");
                EVERY.0
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = sleep(wait) => {}
            () = node.recheck.notified() => {}
        }
    }
}

/// Closes what does not hold; answers how many.
async fn round(node: &Inner, auth: &Auth) -> Result<usize> {
    let holders = node.manager.holders();
    let mut asked = Asked::default();
    for (holder, _) in &holders {
        match &holder.session {
            Some(session) => drop(asked.sessions.insert(session.clone())),
            None => drop(asked.users.insert(holder.user)),
        }
    }
    let (sessions, users): (Vec<_>, Vec<_>) = (asked.sessions.into_iter().collect(), asked.users.into_iter().collect());
    let held = Held { sessions: auth.sessions_held(&sessions).await?, users: auth.users_held(&users).await? };
    let fallen = holders.iter().filter(|(holder, _)| !held.holds(holder));
    let mut closed = 0;
    for (_, outbound) in fallen {
        outbound
            .close(Close::new(CloseCode::SessionEnded, "this session may not be connected any more: sign in again"));
        closed += 1;
    }
    Ok(closed)
}

/// Everyone is asked of once.
#[derive(Default)]
struct Asked {
    sessions: HashSet<Arc<str>>,
    users: HashSet<UserId>,
}

/// What the store still has.
struct Held {
    sessions: HashMap<String, (UserId, Role)>,
    users: HashMap<UserId, Role>,
}

impl Held {
    fn holds(&self, holder: &Holder) -> bool {
        match &holder.session {
            Some(session) => self.sessions.get(&**session) == Some(&(holder.user, holder.role)),
            None => self.users.get(&holder.user) == Some(&holder.role),
        }
    }
}
