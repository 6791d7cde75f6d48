//! Closes connections whose session ended or whose person's role changed, even if no other node reported it.
//!
//! Twice a second it reads from the store whether any session ended before it expired. If one did, it checks the sessions (of
//! cookies and tokens) of all open connections, and closes (4401) the connections whose session is not valid any more, or has
//! another role than at the handshake. Without such an end it checks them at least every 30 s, in at most a fiftieth of the time.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{nodes::Inner, registry::Owner, send_queue::Close};
use crate::{
    protocol::CloseCode,
    server::{auth::Auth, error::Result},
};

/// The time between two reads of whether a session ended.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The longest time between two checks.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// The time between two checks if no session ended, in multiples of the duration of the first.
const REST_FACTOR: u32 = 50;

/// Checks until `stopping`.
pub(super) async fn run(node: &Inner, auth: &Auth, stopping: &CancellationToken) {
    let (mut last_ended, mut due) = (None, Instant::now());
    loop {
        match check_if_due(node, auth, &mut last_ended, due).await {
            Ok(Some(next)) => due = next,
            Ok(None) => {}
            Err(error) => {
                due = Instant::now();
                tracing::warn!(%error, "the sessions of open connections cannot be checked; trying again");
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = sleep(POLL_INTERVAL) => {}
            () = node.recheck.notified() => due = Instant::now(),
        }
    }
}

/// Checks if that is due or a session ended since the last check, and then returns when the next is due.
async fn check_if_due(
    node: &Inner,
    auth: &Auth,
    last_ended: &mut Option<String>,
    due: Instant,
) -> Result<Option<Instant>> {
    let started = Instant::now();
    // Read first, so that a session which ends during the check causes another.
    let ended = auth.last_ended().await?;
    if started < due && ended == *last_ended {
        return Ok(None);
    }
    let closed = check_sessions(node, auth).await?;
    *last_ended = ended;
    if closed > 0 {
        tracing::info!(closed, "closed connections whose session ended");
    }
    Ok(Some(Instant::now() + (started.elapsed() * REST_FACTOR).clamp(POLL_INTERVAL, MAX_CHECK_INTERVAL)))
}

/// Closes the connections whose session is not valid any more; returns how many.
async fn check_sessions(node: &Inner, auth: &Auth) -> Result<usize> {
    let owners = node.manager.owners();
    // One lookup a session, however many connections it has.
    let sessions: HashSet<Arc<str>> = owners.iter().map(|(owner, _)| owner.session.clone()).collect();
    let live = auth.live_sessions(sessions.into_iter().collect()).await?;
    let is_live = |owner: &Owner| {
        live.get(&owner.session).is_some_and(|(user, _)| (user.id, user.role) == (owner.user, owner.role))
    };
    let ended: Vec<_> = owners.iter().filter(|(owner, _)| !is_live(owner)).collect();
    if !ended.is_empty() {
        // They may have ended after `last_ended` was read: who is disconnected must not connect again with what is cached.
        auth.session_cache().clear();
    }
    for (_, queue) in &ended {
        queue.close(Close::new(CloseCode::SessionEnded, "this session may not be connected any more: sign in again"));
    }
    Ok(ended.len())
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
            agents::{AgentBuilder, AgentRegistry},
            auth::{Identity, Via},
            bus::Bus,
            channel::Channels,
            config::Config,
            connections::{ConnectionGuard, ConnectionManager, Nodes},
            runs::{Runner, RunnerOptions},
            store::Store,
        },
    };

    /// Connects people with a session each, the first of whom has the number 0.
    async fn connect(store: &Store, manager: &ConnectionManager, count: usize) -> Vec<ConnectionGuard> {
        let mut guards = Vec::new();
        let mut tx = store.begin().await.expect("the transaction begins");
        for number in 0..count {
            let (id, session) = (UserId::new(), format!("session {number}"));
            let sql = "INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ($1, $2, 'Ada', 'member', '', 0)";
            let query = sqlx::query(sql).bind(id.to_string()).bind(format!("{number}@example.org"));
            query.execute(&mut *tx).await.expect("the statement succeeds");
            let sql = "INSERT INTO sessions (id, user_id, data, expires_at) VALUES ($1, $2, '{}', $3)";
            let query = sqlx::query(sql).bind(&session).bind(id.to_string()).bind(i64::MAX);
            query.execute(&mut *tx).await.expect("the statement succeeds");
            let user = User { id, name: "Ada".into(), email: String::new(), role: Role::Member };
            // Every third has a token.
            let via = if number % 3 == 0 { Via::Bearer { session } } else { Via::Cookie { session } };
            guards.push(
                manager.connect(&Identity { user, via, expires_at: i64::MAX }).expect("the connection is admitted"),
            );
        }
        tx.commit().await.expect("the transaction commits");
        guards
    }

    #[tokio::test]
    async fn exactly_the_connections_of_invalid_sessions_are_closed() {
        const SOCKETS: usize = 600;
        let (folder, config) = (tempfile::tempdir().expect("a folder"), Config::default());
        let store = Store::open(folder.path()).await.expect("the store opens");
        let auth = Auth::new(store.clone(), &config).await.expect("the accounts open");
        let manager = ConnectionManager::new(&config.socket);
        let bus = Bus::new(&config.bus, Arc::new(manager.clone()));
        let channels = Channels::new(store.clone(), Arc::new(bus.clone())).await.expect("the log opens");
        let agents = AgentRegistry::new([], &[], AgentBuilder::default()).agents().clone();
        let runner = Runner::new(channels.clone(), agents, RunnerOptions::new(folder.path()));
        let nodes = Nodes::new(&channels, manager.clone(), runner, bus.clone(), &auth);
        let guards = connect(&store, &manager, SOCKETS).await;
        assert_eq!(check_sessions(&nodes.0, &auth).await.expect("the sessions are checked"), 0, "all are valid");
        let (mut last_ended, later) =
            (auth.last_ended().await.expect("the store is read"), Instant::now() + MAX_CHECK_INTERVAL);
        assert!(
            check_if_due(&nodes.0, &auth, &mut last_ended, later).await.expect("the sessions are checked").is_none(),
            "nothing is due and nothing ended"
        );
        auth.end_session("nobody's").await.expect("the session ends");
        assert!(
            check_if_due(&nodes.0, &auth, &mut last_ended, later).await.expect("the sessions are checked").is_some(),
            "a session ended"
        );
        assert!(
            check_if_due(&nodes.0, &auth, &mut last_ended, later).await.expect("the sessions are checked").is_none()
        );
        let begun = Instant::now();
        for _ in 0..20 {
            check_sessions(&nodes.0, &auth).await.expect("the sessions are checked");
        }
        println!("{SOCKETS} sockets are checked in {:?}", begun.elapsed() / 20);

        let key: Arc<str> = "session 1".into();
        let live = auth.live_sessions(vec![key.clone()]).await.expect("the session is read");
        let via = Via::Cookie { session: key.to_string() };
        let identity = Identity { user: live[&key].0.clone(), via, expires_at: i64::MAX };
        auth.revalidate(&identity).await.expect("it is valid, and cached from here");
        let mut tx = store.begin().await.expect("the transaction begins");
        for sql in [
            "DELETE FROM sessions WHERE id = 'session 1'",
            "DELETE FROM users WHERE email = '2@example.org' OR email = '3@example.org'",
            "UPDATE users SET role = 'admin' WHERE email = '4@example.org' OR email = '6@example.org'",
            "UPDATE sessions SET expires_at = 1 WHERE id = 'session 5'",
        ] {
            sqlx::query(sql).execute(&mut *tx).await.expect("the statement succeeds");
        }
        tx.commit().await.expect("the transaction commits");
        // As if these had ended after it was read.
        auth.last_ended().await.expect("the store is read");
        assert!(auth.revalidate(&identity).await.is_ok(), "it is cached");
        assert_eq!(check_sessions(&nodes.0, &auth).await.expect("the sessions are checked"), 6);
        assert!(auth.revalidate(&identity).await.is_err(), "and not any more");
        let closed = |number: &usize| {
            let close = guards[*number].send_queue().take(&mut std::collections::VecDeque::new());
            close.is_some_and(|close| close.code == CloseCode::SessionEnded)
        };
        assert_eq!((0..SOCKETS).filter(closed).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    }
}
