//! A session with an MCP server, and the handler of the server's requests.

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

use super::{elicitation::OpenCalls, limits::Violation, tool_list::ToolList};

/// How long a list of tools is cached, unless the server reports a change.
const LIST_TTL: Duration = Duration::from_secs(60);
/// How long a server may take to end after its input is closed; then rmcp kills it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// A session.
pub(super) struct Session {
    pub(super) peer: Peer<RoleClient>,
    service: Mutex<RunningService<RoleClient, Handler>>,
    /// Whether the server responded to a request.
    pub(super) has_responded: AtomicBool,
    /// Whether it was dropped because of an error.
    pub(super) dropped: AtomicBool,
    pub(super) violation: Violation,
    /// Whether the server reported that its tools changed.
    pub(super) list_changed: Arc<AtomicBool>,
    /// The last list of tools, and when it was fetched.
    pub(super) tools: RwLock<Option<(Instant, Arc<ToolList>)>>,
    pub(super) calls: OpenCalls,
    /// Locked by a call that must be the session's only one.
    pub(super) call_lock: Arc<Mutex<()>>,
    /// Cancelled when new calls must use another session: a call that waits for a person keeps this one, or a call in
    /// it ended without a response.
    pub(super) retired: CancellationToken,
    /// Whether the server's questions do not name their call, as in protocol versions before 2026-07-28.
    has_unattributed_questions: bool,
}

/// Handles the server's messages: that its tools changed, and questions to a person.
#[derive(Debug, Clone, Default)]
pub(super) struct Handler {
    pub(super) list_changed: Arc<AtomicBool>,
    pub(super) violation: Violation,
    pub(super) calls: OpenCalls,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let netra = Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let mut capabilities = ClientCapabilities::default();
        capabilities.elicitation = Some(ElicitationCapability::new().with_form(FormElicitationCapability::new()));
        let mut extensions = ExtensionCapabilities::new();
        extensions.insert(TASKS_EXTENSION_ID.into(), Default::default());
        capabilities.extensions = Some(extensions);
        // The newest version with a handshake. Some servers accept any version that the client requests, but with a
        // version without a handshake, each question would have to name its call.
        ClientConfig::new(capabilities, netra).with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.list_changed.store(true, Ordering::Release);
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
    /// A session over a connected service; `handler` is a clone of the service's handler.
    pub(super) fn new(service: RunningService<RoleClient, Handler>, handler: Handler) -> Self {
        let info = service.peer().peer_info();
        Self {
            has_unattributed_questions: info.is_none_or(|info| info.protocol_version.has_initialize()),
            peer: service.peer().clone(),
            service: Mutex::new(service),
            has_responded: AtomicBool::default(),
            dropped: AtomicBool::default(),
            violation: handler.violation,
            list_changed: handler.list_changed,
            tools: RwLock::default(),
            calls: handler.calls,
            call_lock: Arc::default(),
            retired: CancellationToken::new(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.dropped.load(Ordering::Acquire) || self.peer.is_transport_closed()
    }

    /// Whether new calls must use another session, because a question in this one could belong to a call that was given
    /// up.
    pub(super) fn has_unanswered_call(&self) -> bool {
        self.has_unattributed_questions && self.calls.has_unanswered()
    }

    /// The cached list of tools, unless it is out of date.
    pub(super) fn cached_tools(&self) -> Option<Arc<ToolList>> {
        let tools = self.tools.read();
        let (fetched, tools) = tools.as_ref()?;
        (!self.list_changed.load(Ordering::Acquire) && fetched.elapsed() < LIST_TTL).then(|| Arc::clone(tools))
    }

    pub(super) async fn close(&self, id: &str) {
        if !matches!(self.service.lock().await.close_with_timeout(CLOSE_TIMEOUT).await, Ok(Some(_))) {
            tracing::warn!(tools = id, "a tool server did not end in time");
        }
    }
}

/// A session that is used by one call only. Dropping this closes it.
pub(super) struct CloseOnDrop {
    pub(super) session: Arc<Session>,
    pub(super) id: String,
    pub(super) closing: TaskTracker,
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let (session, id) = (Arc::clone(&self.session), std::mem::take(&mut self.id));
        // There is no runtime only while the process exits.
        if let Ok(runtime) = Handle::try_current() {
            self.closing.spawn_on(async move { session.close(&id).await }, &runtime);
        }
    }
}
