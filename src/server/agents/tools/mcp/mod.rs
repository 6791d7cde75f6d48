//! MCP servers (Model Context Protocol) as sources of tools.
//!
//! Guarantees: a server is connected to when it is first needed, with one connection for all runs; after it died, it is
//! used again within seconds of its return. Its list of tools is bounded, and fetched again after a minute or when the
//! server reports a change. A call that is stopped or times out is also cancelled at the server, and no call is made
//! twice. A session ends if its server exceeds the limits on messages, or may still ask questions for a call that was
//! given up. All child processes have ended when [`McpSource::close`] returns.

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
    call::HeldCall,
    connect::{ConnectError, ResolvedEndpoint, connect, root_cause},
    elicitation::OpenCalls,
    session::{Handler, Session},
    tool_list::ToolList,
};
use super::{ToolSpec, sources::tool_info};
use crate::{
    protocol::http::ToolSourceState,
    server::{backoff::Backoff, config::tools::McpConfig},
};

/// The delay before the second attempt to connect; it doubles with each failure.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
/// The longest delay between attempts to connect to a server, and so the longest time until a server that returned is
/// used.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);
/// The longest delay before a server that violated a limit is connected to again.
const MAX_VIOLATION_DELAY: Duration = Duration::from_secs(60);
/// How long a list waits for a server that was unavailable before; the attempt itself continues.
const UNAVAILABLE_LIST_TIMEOUT: Duration = Duration::from_millis(500);

/// An MCP server.
pub(super) struct McpSource {
    id: String,
    config: McpConfig,
    endpoint: ResolvedEndpoint,
    connection: AsyncMutex<Connection>,
    state: RwLock<ToolSourceState>,
    /// Tasks that [`Self::close`] waits for.
    background: TaskTracker,
    /// The calls that wait for a person.
    held: Mutex<HashMap<Uuid, HeldCall>>,
    /// Whether the server ever asked a person a question.
    has_asked: Arc<AtomicBool>,
    /// Cancelled when the source closes; no session is opened afterwards.
    stopping: CancellationToken,
}

/// The current session and the delays between attempts to connect.
#[derive(Default)]
struct Connection {
    session: Option<Arc<Session>>,
    /// Attempts since the server last responded to a request.
    attempts: u32,
    /// The earliest time of the next attempt.
    not_before: Option<Instant>,
    /// Whether the last session was ended because the server violated a limit.
    has_violated: bool,
}

impl Connection {
    /// Lets the next attempt start at once.
    fn reset_delay(&mut self) {
        (self.attempts, self.not_before) = (0, None);
    }
}

impl McpSource {
    /// A server that is not connected yet. A child process gets `folder` as its own; `variables` looks up environment
    /// variables.
    ///
    /// # Errors
    /// Why the configured endpoint cannot be used, such as an unset variable.
    pub(super) fn new(
        id: String,
        config: McpConfig,
        folder: &Path,
        variables: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let endpoint = ResolvedEndpoint::resolve(&config.endpoint, folder, variables)?;
        let state = RwLock::new(ToolSourceState::Idle);
        let (background, stopping) = (TaskTracker::new(), CancellationToken::new());
        let (connection, held, has_asked) = (AsyncMutex::default(), Mutex::default(), Arc::default());
        Ok(Self { id, config, endpoint, connection, state, background, held, has_asked, stopping })
    }

    /// The last known state.
    pub(super) fn state(&self) -> ToolSourceState {
        self.state.read().clone()
    }

    /// The server's tools; none while it is unavailable.
    pub(super) async fn list(self: &Arc<Self>) -> Vec<ToolSpec> {
        let is_unavailable = matches!(*self.state.read(), ToolSourceState::Unavailable { .. });
        // A held lock means that another caller is connecting.
        if is_unavailable && timeout(UNAVAILABLE_LIST_TIMEOUT, self.connection.lock()).await.is_err() {
            return Vec::new();
        }
        // In a task of its own, so that a slow attempt to connect can succeed after this caller gave up.
        let source = Arc::clone(self);
        let listing = self.background.spawn(async move { source.session_with_tools().await });
        let limit = if is_unavailable { UNAVAILABLE_LIST_TIMEOUT } else { Duration::MAX };
        match timeout(limit, listing).await {
            Ok(Ok(Ok((_, list)))) => list.tools.iter().map(|tool| tool.spec.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Ends the session and all held calls for good, and waits until the child process has ended.
    pub(super) async fn close(&self) {
        self.stopping.cancel();
        self.held.lock().clear();
        let session = self.connection.lock().await.session.take();
        if let Some(session) = session {
            session.close(&self.id).await;
        }
        self.background.close();
        self.background.wait().await;
    }

    /// A session and its list of tools. If an older session fails to list them, tries once more with a new one.
    async fn session_with_tools(&self) -> Result<(Arc<Session>, Arc<ToolList>), ConnectError> {
        let (session, is_new) = self.session().await?;
        if let Some(tools) = session.cached_tools() {
            return Ok((session, tools));
        }
        match self.fetch_tools(&session).await {
            Ok(tools) => Ok((session, tools)),
            Err(error) if is_new => Err(error),
            Err(_) => {
                let (session, _) = self.session().await?;
                let tools = self.fetch_tools(&session).await?;
                Ok((session, tools))
            }
        }
    }

    /// Fetches the list of tools. Drops the session if that fails.
    async fn fetch_tools(&self, session: &Arc<Session>) -> Result<Arc<ToolList>, ConnectError> {
        session.list_changed.store(false, Ordering::Release);
        let error = match timeout(self.config.connect_timeout, self.fetch_pages(&session.peer)).await {
            Ok(Ok(list)) => {
                let list = Arc::new(list);
                *session.tools.write() = Some((Instant::now(), Arc::clone(&list)));
                *self.state.write() = ToolSourceState::Ready {
                    tools: list.tools.iter().map(|tool| tool_info(&tool.spec)).collect(),
                    left_out: list.left_out as u64,
                };
                session.has_responded.store(true, Ordering::Relaxed);
                return Ok(list);
            }
            Ok(Err(error)) => error,
            Err(_) => ServiceError::Timeout { timeout: self.config.connect_timeout },
        };
        Err(self.drop_session(session, &error))
    }

    /// The current session or a new one, and whether it is new.
    async fn session(&self) -> Result<(Arc<Session>, bool), ConnectError> {
        let mut connection = self.connection.lock().await;
        if self.stopping.is_cancelled() {
            return Err(ConnectError::new("Netra is stopping"));
        }
        self.discard_unusable_session(&mut connection);
        if let Some(session) = &connection.session {
            return Ok((Arc::clone(session), false));
        }
        Ok((self.open_session(&mut connection).await?, true))
    }

    /// Removes the current session if it is closed, or if new calls must not use it.
    fn discard_unusable_session(&self, connection: &mut Connection) {
        if let Some(closed) = connection.session.take_if(|session| session.is_closed()) {
            let violation = closed.violation.get();
            tracing::warn!(tools = self.id, reason = violation, "a tool server disconnected");
            match violation {
                // The delay keeps growing even if the server responded to requests.
                Some(reason) => {
                    connection.has_violated = true;
                    self.set_unavailable(&ConnectError::new(*reason));
                }
                None if closed.has_responded.load(Ordering::Relaxed) => {
                    connection.reset_delay();
                    connection.has_violated = false;
                }
                None => {}
            }
        }
        if let Some(session) = connection.session.take_if(|session| session.has_unanswered_call()) {
            connection.reset_delay();
            self.close_when_idle(session);
        }
    }

    /// Opens a session, unless the last attempt was too recent.
    async fn open_session(&self, connection: &mut Connection) -> Result<Arc<Session>, ConnectError> {
        let now = Instant::now();
        if let Some(at) = connection.not_before.filter(|at| *at > now) {
            let reason = match &*self.state.read() {
                ToolSourceState::Unavailable { reason, .. } => reason.clone(),
                _ => "it ended soon after it started".into(),
            };
            let seconds = (at - now).as_secs() + 1;
            return Err(ConnectError::new(format!("{reason} (next attempt in {seconds} s at the earliest)")));
        }
        let delay = retry_delay(connection.attempts, connection.has_violated);
        connection.attempts = connection.attempts.saturating_add(1);
        // If the session ends before any response, the second attempt is immediate and later ones are delayed.
        connection.not_before = (connection.attempts > 1).then(|| now + delay);
        let handler = Handler { calls: OpenCalls::new(Arc::clone(&self.has_asked)), ..Handler::default() };
        let opened = tokio::select! {
            opened = connect(&self.id, &self.endpoint, self.config.connect_timeout, handler.clone()) => opened,
            () = self.stopping.cancelled() => return Err(ConnectError::new("Netra is stopping")),
        };
        match opened {
            Ok(service) => {
                tracing::info!(tools = self.id, "a tool server is connected");
                let session = Arc::new(Session::new(service, handler));
                connection.session = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(error) => {
                connection.not_before = Some(Instant::now() + delay);
                tracing::warn!(tools = self.id, reason = error.reason, "a tool server cannot be reached");
                self.set_unavailable(&error);
                Err(error)
            }
        }
    }

    /// Retires a session and closes it once its calls have ended.
    fn close_when_idle(&self, session: Arc<Session>) {
        session.retired.cancel();
        let (id, stopping) = (self.id.clone(), self.stopping.clone());
        self.background.spawn(async move {
            stopping.run_until_cancelled(session.calls.wait_until_idle()).await;
            session.close(&id).await;
        });
    }

    /// Closes a session after an error; the next request opens another.
    fn drop_session(&self, session: &Arc<Session>, error: &ServiceError) -> ConnectError {
        let reason = session.violation.get().map_or_else(|| root_cause(error), |reason| (*reason).to_owned());
        let error = ConnectError::new(self.endpoint.redact_url(&reason));
        if !session.dropped.swap(true, Ordering::AcqRel) {
            tracing::warn!(tools = self.id, reason = error.reason, "the connection to a tool server is lost");
            self.set_unavailable(&error);
            let (id, session) = (self.id.clone(), Arc::clone(session));
            self.background.spawn(async move { session.close(&id).await });
        }
        error
    }

    fn set_unavailable(&self, error: &ConnectError) {
        let ConnectError { reason, last_output } = error.clone();
        *self.state.write() = ToolSourceState::Unavailable { reason, last_output };
    }
}

/// The delay after so many earlier attempts.
fn retry_delay(attempts: u32, has_violated: bool) -> Duration {
    let max = if has_violated { MAX_VIOLATION_DELAY } else { MAX_RETRY_DELAY };
    Backoff::new(FIRST_RETRY_DELAY, max).delay(attempts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retry_delay_grows_to_seconds_and_after_a_violation_to_a_minute() {
        let delays = |has_violated| [0, 1, 2, 7, 1_000].map(|attempts| retry_delay(attempts, has_violated).as_millis());
        assert_eq!(delays(false), [500, 1_000, 2_000, 2_000, 2_000]);
        assert_eq!(delays(true), [500, 1_000, 2_000, 60_000, 60_000]);
    }
}
