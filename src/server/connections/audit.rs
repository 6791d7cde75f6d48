//! Authority that was taken away closes live sockets, also where nobody told this node.
//!
//! The store is asked, over and over, whether the sessions behind the open sockets (cookies' and tokens' alike) still hold, with
//! the roles that they were let in with; sockets that do not are closed (4401). Twice a second it is asked whether any session
//! ended before its time; then all of them are looked at. They are in any case, at least every 30 s and for at most a
//! fiftieth of the time.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{nodes::Inner, outbound::Close, registry::Holder};
use crate::{
    protocol::CloseCode,
    server::{auth::Auth, error::Result},
};

/// How often it is asked whether sessions ended, and the longest time between two rounds.
const EVERY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How much longer than a round took is waited for the next, where no session ended.
const REST: u32 = 50;

/// Audits until `stopping`.
pub(super) async fn run(node: &Inner, auth: &Auth, stopping: &CancellationToken) {
    let (mut seen, mut due) = (None, Instant::now());
    loop {
        match turn(node, auth, &mut seen, due).await {
            Ok(Some(next)) => due = next,
            Ok(None) => {}
            Err(error) => {
                due = Instant::now();
                tracing::warn!(%error, "who is connected cannot be checked; trying again");
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = sleep(EVERY.0) => {}
            () = node.recheck.notified() => due = Instant::now(),
        }
    }
}

/// A round, where one is due or sessions ended since the one before. Answers when the next is due.
async fn turn(node: &Inner, auth: &Auth, seen: &mut Option<String>, due: Instant) -> Result<Option<Instant>> {
    let begun = Instant::now();
    // First: what ends during the round is seen by the next.
    let ended = auth.last_ended().await?;
    if begun < due && ended == *seen {
        return Ok(None);
    }
    let closed = round(node, auth).await?;
    *seen = ended;
    if closed > 0 {
        tracing::info!(closed, "closed sockets whose authority was taken away");
    }
    Ok(Some(Instant::now() + (begun.elapsed() * REST).clamp(EVERY.0, EVERY.1)))
}

/// Closes what does not hold; answers how many.
async fn round(node: &Inner, auth: &Auth) -> Result<usize> {
    let holders = node.manager.holders();
    // Each session is asked of once, however many sockets it has.
    let sessions: HashSet<Arc<str>> = holders.iter().map(|(holder, _)| holder.session.clone()).collect();
    let held = auth.sessions_held(&sessions.into_iter().collect::<Vec<_>>()).await?;
    let holds = |holder: &Holder| held.get(&*holder.session) == Some(&(holder.user, holder.role));
    let fallen = holders.iter().filter(|(holder, _)| !holds(holder));
    let mut closed = 0;
    for (_, outbound) in fallen {
        outbound
            .close(Close::new(CloseCode::SessionEnded, "this session may not be connected any more: sign in again"));
        closed += 1;
    }
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{
            UserId,
            http::{Role, User},
        },
        server::{
            agents::{AgentRegistry, Kinds},
            auth::{Identity, Via},
            bus::Bus,
            channel::Channels,
            config::Config,
            connections::{ConnectionManager, Nodes},
            runs::{Runner, RunnerOptions},
            store::Store,
        },
    };

    #[tokio::test]
    async fn exactly_what_does_not_hold_any_more_is_closed() {
        const SOCKETS: usize = 600;
        let (folder, config) = (tempfile::tempdir().expect("a folder"), Config::default());
        let store = Store::open(folder.path()).await.expect("opens");
        let auth = Auth::new(store.clone(), &config).await.expect("begins");
        let manager = ConnectionManager::new(&config.socket);
        let bus = Bus::new(&config.bus, Arc::new(manager.clone()));
        let channels = Channels::new(store.clone(), Arc::new(bus.clone())).await.expect("begins");
        let agents = AgentRegistry::new([], &[], Kinds::default()).agents().clone();
        let runner = Runner::new(channels.clone(), agents, RunnerOptions::new(folder.path()));
        let nodes = Nodes::new(&channels, manager.clone(), runner, bus.clone());
        let mut handles = Vec::new();
        let mut tx = store.begin().await.expect("begins");
        for number in 0..SOCKETS {
            let (id, session) = (UserId::new(), format!("session {number}"));
            let sql = "INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ($1, $2, 'Ada', 'member', '', 0)";
            let query = sqlx::query(sql).bind(id.to_string()).bind(format!("{number}@example.org"));
            query.execute(&mut *tx).await.expect("inserts");
            let sql = "INSERT INTO sessions (id, user_id, data, expires_at) VALUES ($1, $2, '{}', $3)";
            let query = sqlx::query(sql).bind(&session).bind(id.to_string()).bind(i64::MAX);
            query.execute(&mut *tx).await.expect("inserts");
            let user = User { id, name: "Ada".into(), email: String::new(), role: Role::Member };
            // Every third shows a token.
            let via = if number % 3 == 0 { Via::Bearer { session } } else { Via::Cookie { session } };
            handles.push(manager.connect(&Identity { user, via, expires_at: i64::MAX }).expect("fits"));
        }
        tx.commit().await.expect("commits");
        assert_eq!(round(&nodes.0, &auth).await.expect("asks"), 0, "all hold");
        let (mut seen, later) = (auth.last_ended().await.expect("asks"), Instant::now() + EVERY.1);
        assert!(
            turn(&nodes.0, &auth, &mut seen, later).await.expect("asks").is_none(),
            "nothing is due and nothing ended"
        );
        auth.end_session("nobody's").await.expect("ends");
        assert!(turn(&nodes.0, &auth, &mut seen, later).await.expect("asks").is_some(), "a session ended");
        assert!(turn(&nodes.0, &auth, &mut seen, later).await.expect("asks").is_none());
        let begun = Instant::now();
        for _ in 0..20 {
            round(&nodes.0, &auth).await.expect("asks");
        }
        println!("{SOCKETS} sockets are audited in {:?}", begun.elapsed() / 20);

        let mut tx = store.begin().await.expect("begins");
        for sql in [
            "DELETE FROM sessions WHERE id = 'session 1'",
            "DELETE FROM users WHERE email = '2@example.org' OR email = '3@example.org'",
            "UPDATE users SET role = 'admin' WHERE email = '4@example.org' OR email = '6@example.org'",
            "UPDATE sessions SET expires_at = 1 WHERE id = 'session 5'",
        ] {
            sqlx::query(sql).execute(&mut *tx).await.expect("changes");
        }
        tx.commit().await.expect("commits");
        assert_eq!(round(&nodes.0, &auth).await.expect("asks"), 6);
        let closed = |number: &usize| {
            let close = handles[*number].outbound().take(&mut std::collections::VecDeque::new());
            close.is_some_and(|close| close.code == CloseCode::SessionEnded)
        };
        assert_eq!((0..SOCKETS).filter(closed).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    }
}
