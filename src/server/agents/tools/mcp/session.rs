//! A session with a server, and what answers the server in it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use rmcp::{
    ClientHandler, ErrorData, Peer, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationCapability,
        ExtensionCapabilities, FormElicitationCapability, Implementation, ProtocolVersion, TASKS_EXTENSION_ID,
    },
    service::{NotificationContext, RequestContext, RunningService},
};
use tokio::{runtime::Handle, sync::Mutex, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{elicitation::Calls, limits::Broken, tool_list::Listed};

/// How long a list is believed without a word from the server.
const FRESH: Duration = Duration::from_secs(60);
/// How long a server may take to end by itself once it is told to; rmcp then makes it.
const CLOSING: Duration = Duration::from_secs(8);

/// A session.
pub(super) struct Session {
    pub(super) peer: Peer<RoleClient>,
    service: Mutex<RunningService<RoleClient, Handler>>,
    /// Whether it answered a request.
    pub(super) proven: AtomicBool,
    /// Whether it was given up.
    pub(super) lost: AtomicBool,
    pub(super) broken: Broken,
    pub(super) stale: Arc<AtomicBool>,
    pub(super) listed: RwLock<Option<(Instant, Arc<Listed>)>>,
    pub(super) calls: Calls,
    /// Held by a call that has the session to itself.
    pub(super) turn: Arc<Mutex<()>>,
    /// Cancelled when others open another: a call that waits for a person keeps this one to itself, or a call in it ended
    /// without an answer.
    pub(super) kept: CancellationToken,
    /// Whether the protocol is one before 2026-07-28: the server's questions do not say which call they belong to.
    asks_without_call: bool,
}

/// What answers a server: it may say that its tools changed, and ask a person.
#[derive(Debug, Clone, Default)]
pub(super) struct Handler {
    pub(super) stale: Arc<AtomicBool>,
    pub(super) broken: Broken,
    pub(super) calls: Calls,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let netra = Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let mut offered = ClientCapabilities::default();
        offered.elicitation = Some(ElicitationCapability::new().with_form(FormElicitationCapability::new()));
        let mut extensions = ExtensionCapabilities::new();
        extensions.insert(TASKS_EXTENSION_ID.into(), Default::default());
        offered.extensions = Some(extensions);
        // The newest that is agreed on by a handshake: some servers repeat any version that they are asked for, and one without
        // a handshake says of each question which call it belongs to.
        ClientConfig::new(offered, netra).with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.stale.store(true, Ordering::Release);
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(self.calls.ask(request, context.ct).await)
    }
}

impl Session {
    /// The session of a connected service, whose handler was `handler`.
    pub(super) fn new(service: RunningService<RoleClient, Handler>, handler: Handler) -> Self {
        let info = service.peer().peer_info();
        Self {
            asks_without_call: info.is_none_or(|info| info.protocol_version.has_initialize()),
            peer: service.peer().clone(),
            service: Mutex::new(service),
            proven: AtomicBool::default(),
            lost: AtomicBool::default(),
            broken: handler.broken,
            stale: handler.stale,
            listed: RwLock::default(),
            calls: handler.calls,
            turn: Arc::default(),
            kept: CancellationToken::new(),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.lost.load(Ordering::Acquire) || self.peer.is_transport_closed()
    }

    /// Whether later calls must have another session: a question in this one could be of a call that nobody waits for.
    pub(super) fn is_tainted(&self) -> bool {
        self.asks_without_call && self.calls.has_unanswered()
    }

    pub(super) fn fresh(&self) -> Option<Arc<Listed>> {
        let listed = self.listed.read();
        let (at, listed) = listed.as_ref()?;
        (!self.stale.load(Ordering::Acquire) && at.elapsed() < FRESH).then(|| Arc::clone(listed))
    }

    pub(super) async fn close(&self, id: &str) {
        if !matches!(self.service.lock().await.close_with_timeout(CLOSING).await, Ok(Some(_))) {
            tracing::warn!(tools = id, "a tool server did not end in time");
        }
    }
}

/// A session that one call keeps to itself: it is closed when this is dropped.
pub(super) struct Kept {
    pub(super) session: Arc<Session>,
    pub(super) id: String,
    pub(super) closing: TaskTracker,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let (session, id) = (Arc::clone(&self.session), std::mem::take(&mut self.id));
        // Without a runtime everything ends anyway.
        if let Ok(runtime) = Handle::try_current() {
            self.closing.spawn_on(async move { session.close(&id).await }, &runtime);
        }
    }
}
