//! A server of the Model Context Protocol as a source of tools.
//!
//! Promises: it is connected to when it is first needed, once for all runs, and again after it died, within seconds of its
//! coming back; what it lists is bounded and asked for again when it says so, or after a minute; a call
//! that is stopped or takes too long is cancelled there too, and none is made twice; a server that floods this one loses its
//! session, and so does one that may still ask for a call that nobody waits for; every child has ended when
//! [`McpSource::close`] returns.

mod call;
mod child_process;
mod connect;
mod content;
mod elicitation;
mod http;
mod limits;
mod session;
mod structured;
mod task;
mod tool_list;

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use rmcp::ServiceError;
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{
    call::Held,
    connect::{Place, Refusal, cause, connect},
    elicitation::Calls,
    session::{Handler, Session},
    tool_list::Listed,
};
use super::{ToolSpec, sources::told};
use crate::{
    protocol::http::ToolSourceState,
    server::{backoff::Backoff, config::tools::McpConfig},
};

/// The wait before the second attempt to connect; it doubles with each failure.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait between attempts to reach a server: one that comes late is offered this much later at most.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// The longest wait before a server that misbehaved is begun again.
const MAX_MISBEHAVED_WAIT: Duration = Duration::from_secs(60);
/// How long a list waits for a server that was away when it was last asked; the attempt itself goes on.
const AWAY_TIMEOUT: Duration = Duration::from_millis(500);

/// One server.
pub(super) struct McpSource {
    id: String,
    config: McpConfig,
    place: Place,
    link: AsyncMutex<Link>,
    state: RwLock<ToolSourceState>,
    /// Sessions that are being closed.
    closing: TaskTracker,
    /// Calls that wait for a person.
    held: Mutex<HashMap<Uuid, Held>>,
    /// Whether it ever asked a person something.
    asks: Arc<AtomicBool>,
    /// Cancelled when there shall be no session any more.
    stopping: CancellationToken,
}

/// How it is connected.
#[derive(Default)]
struct Link {
    session: Option<Arc<Session>>,
    /// Attempts since a server last answered a request.
    attempts: u32,
    /// No attempt is made before.
    not_before: Option<Instant>,
    /// Whether the last session was ended here for what the server did in it.
    misbehaved: bool,
}

impl McpSource {
    /// A server that is not connected yet. A child gets `folder` as its own; `variables` are the environment's.
    ///
    /// # Errors
    /// Which variable its entry refers to and is not set.
    pub(super) fn new(
        id: String,
        config: McpConfig,
        folder: &Path,
        variables: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let place = Place::of(&config.endpoint, folder, variables)?;
        let state = RwLock::new(ToolSourceState::Idle);
        let (closing, stopping) = (TaskTracker::new(), CancellationToken::new());
        let (link, held, asks) = (AsyncMutex::default(), Mutex::default(), Arc::default());
        Ok(Self { id, config, place, link, state, closing, held, asks, stopping })
    }

    /// How it is, as far as is known without asking it.
    pub(super) fn state(&self) -> ToolSourceState {
        self.state.read().clone()
    }

    /// What it offers; nothing while it is away.
    pub(super) async fn list(self: &Arc<Self>) -> Vec<ToolSpec> {
        let is_away = matches!(*self.state.read(), ToolSourceState::Unavailable { .. });
        // Another list tries to reach it already.
        if is_away && timeout(AWAY_TIMEOUT, self.link.lock()).await.is_err() {
            return Vec::new();
        }
        // The attempt goes on when nobody waits for it any more: one that takes long would never be made else.
        let source = Arc::clone(self);
        let listed = self.closing.spawn(async move { source.listed().await });
        let limit = if is_away { AWAY_TIMEOUT } else { Duration::MAX };
        match timeout(limit, listed).await {
            Ok(Ok(Ok((_, listed)))) => listed.tools.iter().map(|tool| tool.spec.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Ends the session for good, and waits until a child is gone.
    pub(super) async fn close(&self) {
        self.stopping.cancel();
        self.held.lock().clear();
        let session = self.link.lock().await.session.take();
        if let Some(session) = session {
            session.close(&self.id).await;
        }
        self.closing.close();
        self.closing.wait().await;
    }

    /// A session, and what it offers. A list that fails on an older session is asked of a new one.
    async fn listed(&self) -> Result<(Arc<Session>, Arc<Listed>), Refusal> {
        let (session, new) = self.session().await?;
        if let Some(listed) = session.fresh() {
            return Ok((session, listed));
        }
        match self.fetch(&session).await {
            Ok(listed) => Ok((session, listed)),
            Err(refusal) if new => Err(refusal),
            Err(_) => {
                let (session, _) = self.session().await?;
                let listed = self.fetch(&session).await?;
                Ok((session, listed))
            }
        }
    }

    async fn fetch(&self, session: &Arc<Session>) -> Result<Arc<Listed>, Refusal> {
        session.stale.store(false, Ordering::Release);
        let error = match timeout(self.config.connect_timeout, self.pages(&session.peer)).await {
            Ok(Ok(listed)) => {
                let listed = Arc::new(listed);
                *session.listed.write() = Some((Instant::now(), Arc::clone(&listed)));
                *self.state.write() = ToolSourceState::Ready {
                    tools: listed.tools.iter().map(|tool| told(&tool.spec)).collect(),
                    left_out: listed.left_out as u64,
                };
                session.proven.store(true, Ordering::Relaxed);
                return Ok(listed);
            }
            Ok(Err(error)) => error,
            Err(_) => ServiceError::Timeout { timeout: self.config.connect_timeout },
        };
        Err(self.lost(session, &error))
    }

    /// The session that there is, or a new one; and whether it is new.
    async fn session(&self) -> Result<(Arc<Session>, bool), Refusal> {
        let refused = |reason: String| Refusal { reason, said: None };
        let mut link = self.link.lock().await;
        let stopped = || refused("Netra is stopping".into());
        if self.stopping.is_cancelled() {
            return Err(stopped());
        }
        if let Some(gone) = link.session.take_if(|session| session.is_gone()) {
            tracing::warn!(tools = self.id, reason = gone.broken.get(), "a tool server went away");
            match gone.broken.get() {
                // Such a one is begun again later each time, whatever it answered before.
                Some(reason) => {
                    link.misbehaved = true;
                    self.unavailable(&Refusal { reason: (*reason).into(), said: None });
                }
                None if gone.proven.load(Ordering::Relaxed) => {
                    (link.attempts, link.not_before, link.misbehaved) = (0, None, false);
                }
                None => {}
            }
        }
        if let Some(tainted) = link.session.take_if(|session| session.is_tainted()) {
            (link.attempts, link.not_before) = (0, None);
            self.close_when_idle(tainted);
        }
        if let Some(session) = &link.session {
            return Ok((Arc::clone(session), false));
        }
        let now = Instant::now();
        if let Some(at) = link.not_before.filter(|at| *at > now) {
            let reason = match &*self.state.read() {
                ToolSourceState::Unavailable { reason, .. } => reason.clone(),
                _ => "it ended soon after it began".into(),
            };
            let seconds = (at - now).as_secs() + 1;
            return Err(refused(format!("{reason} (tried again in {seconds} s at the earliest)")));
        }
        let wait = wait(link.attempts, link.misbehaved);
        link.attempts = link.attempts.saturating_add(1);
        // What ends before it answers anything is begun again at once, then with a wait.
        link.not_before = (link.attempts > 1).then(|| now + wait);
        let handler = Handler { calls: Calls::new(Arc::clone(&self.asks)), ..Handler::default() };
        let opened = tokio::select! {
            opened = connect(&self.id, &self.place, self.config.connect_timeout, handler.clone()) => opened,
            () = self.stopping.cancelled() => return Err(stopped()),
        };
        match opened {
            Ok(service) => {
                tracing::info!(tools = self.id, "a tool server is connected");
                let session = Arc::new(Session::new(service, handler));
                link.session = Some(Arc::clone(&session));
                Ok((session, true))
            }
            Err(refusal) => {
                link.not_before = Some(Instant::now() + wait);
                tracing::warn!(tools = self.id, reason = refusal.reason, "a tool server cannot be reached");
                self.unavailable(&refusal);
                Err(refusal)
            }
        }
    }

    /// Has others open another session; this one is closed once the calls in it have ended.
    fn close_when_idle(&self, session: Arc<Session>) {
        session.kept.cancel();
        let (id, stopping) = (self.id.clone(), self.stopping.clone());
        self.closing.spawn(async move {
            stopping.run_until_cancelled(session.calls.all_ended()).await;
            session.close(&id).await;
        });
    }

    /// Gives a session up: the next request opens another.
    fn lost(&self, session: &Arc<Session>, error: &ServiceError) -> Refusal {
        let reason = session.broken.get().map_or_else(|| cause(error), |reason| (*reason).to_owned());
        let refusal = Refusal { reason: self.place.without_address(&reason), said: None };
        if !session.lost.swap(true, Ordering::AcqRel) {
            tracing::warn!(tools = self.id, reason = refusal.reason, "the connection to a tool server is lost");
            self.unavailable(&refusal);
            let (id, session) = (self.id.clone(), Arc::clone(session));
            self.closing.spawn(async move { session.close(&id).await });
        }
        refusal
    }

    fn unavailable(&self, refusal: &Refusal) {
        let (reason, said) = (refusal.reason.clone(), refusal.said.clone());
        *self.state.write() = ToolSourceState::Unavailable { reason, last_output: said };
    }
}

/// The wait after that many attempts before.
fn wait(attempts: u32, misbehaved: bool) -> Duration {
    let longest = if misbehaved { MAX_MISBEHAVED_WAIT } else { MAX_WAIT };
    Backoff::new(FIRST_WAIT, longest).delay(attempts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_cannot_be_reached_is_tried_within_seconds_and_one_that_misbehaved_later_each_time() {
        let waits = |misbehaved| [0, 1, 2, 7, 1_000].map(|attempts| wait(attempts, misbehaved).as_millis());
        assert_eq!(waits(false), [500, 1_000, 2_000, 2_000, 2_000]);
        assert_eq!(waits(true), [500, 1_000, 2_000, 60_000, 60_000]);
    }
}
