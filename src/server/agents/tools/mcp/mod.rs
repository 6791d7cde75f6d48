//! A server of the Model Context Protocol as a source of tools.
//!
//! Promises: it is connected to when it is first needed, once for all runs, and again after it died, each time a little
//! later while it keeps failing; what it lists is bounded and asked for again when it says so, or after a minute; a call
//! that is stopped or takes too long is cancelled there too, and none is made twice; a server that floods this one loses its
//! session; every child has ended when [`McpSource::close`] returns.

mod child;
mod connect;
mod content;
mod http;
mod structured;
mod watched;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use rmcp::{
    ClientHandler, Peer, RoleClient, ServiceError,
    model::{
        CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation, JsonObject,
        PaginatedRequestParams,
    },
    service::{NotificationContext, RunningService},
};
use serde_json::Value;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    connect::{Place, Refusal, cause, connect, is_unsent},
    watched::Broken,
};
use super::{
    Consent, ToolOutput, ToolSpec,
    sources::{exposed, told},
    text::{bounded, clipped},
};
use crate::{
    protocol::http::ToolSourceState,
    server::{config::tools::McpConfig, json_schema},
};

/// Pages of a list that are read.
const MAX_PAGES: usize = 32;
/// How long a list is believed without a word from the server.
const FRESH: Duration = Duration::from_secs(60);
/// The largest schema of a tool's arguments, in bytes; a tool with a larger one is left out.
const MAX_SCHEMA: usize = 16 << 10;
/// Most bytes of a tool's description.
const MAX_DESCRIPTION: usize = 4 << 10;
/// Most characters of an error that a server answers with.
const MAX_ERROR: usize = 2_000;
/// The wait before the second attempt to connect; it doubles with each failure.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long a server may take to end by itself once it is told to; rmcp then makes it.
const CLOSING: Duration = Duration::from_secs(8);

/// One server.
pub(super) struct McpSource {
    id: String,
    config: McpConfig,
    place: Place,
    link: Mutex<Link>,
    state: RwLock<ToolSourceState>,
    /// Sessions that are being closed.
    closing: TaskTracker,
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
}

struct Session {
    peer: Peer<RoleClient>,
    service: Mutex<RunningService<RoleClient, Handler>>,
    /// Whether it answered a request.
    proven: AtomicBool,
    /// Whether it was given up.
    lost: AtomicBool,
    broken: Broken,
    stale: Arc<AtomicBool>,
    listed: RwLock<Option<(Instant, Arc<Listed>)>>,
}

/// What a server offers.
#[derive(Default)]
struct Listed {
    tools: Vec<Offered>,
    left_out: usize,
}

struct Offered {
    spec: ToolSpec,
    /// What the server calls it.
    name: String,
}

/// What answers a server: nothing is offered to it, and it may say that its tools changed.
#[derive(Debug, Clone, Default)]
struct Handler {
    stale: Arc<AtomicBool>,
    broken: Broken,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let netra = Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), netra)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.stale.store(true, Ordering::Release);
    }
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
        Ok(Self { id, config, place, link: Mutex::default(), state, closing, stopping })
    }

    /// How it is, as far as is known without asking it.
    pub(super) fn state(&self) -> ToolSourceState {
        self.state.read().clone()
    }

    /// What it offers; nothing while it is away.
    pub(super) async fn list(&self) -> Vec<ToolSpec> {
        match self.listed().await {
            Ok((_, listed)) => listed.tools.iter().map(|tool| tool.spec.clone()).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Calls a tool by the name that [`Self::list`] gave it. Dropping the future cancels the call.
    pub(super) async fn call(&self, name: &str, args: Value) -> ToolOutput {
        let (session, listed) = match self.listed().await {
            Ok(found) => found,
            Err(refusal) => {
                let away = format!(
                    "The tools of `{}` are away: {}. The call was not made; go on without them, or call again later.",
                    self.id, refusal.reason
                );
                return ToolOutput::failed(away);
            }
        };
        let Some(tool) = listed.tools.iter().find(|tool| tool.spec.name == name) else {
            return ToolOutput::failed(format!("There is no tool `{}` (any more).", clipped(name, 100)));
        };
        if tool.spec.consent == Consent::Off {
            return ToolOutput::failed(format!("The tool `{name}` is switched off here."));
        }
        if let Err(problem) = json_schema::check(&tool.spec.parameters, &args) {
            return ToolOutput::failed(problem);
        }
        let args: JsonObject = match args {
            Value::Object(args) => args,
            _ => JsonObject::new(),
        };
        let limit = self.config.call_timeout;
        let call = CallToolRequestParams::new(tool.name.clone()).with_arguments(args);
        let Ok(answered) = timeout(limit, session.peer.call_tool_once(call)).await else {
            let seconds = limit.as_secs_f32();
            return ToolOutput::failed(format!(
                "`{name}` did not answer within {seconds} s, and was cancelled; it may have done part of its work."
            ));
        };
        match answered {
            Ok(CallToolResponse::Complete(result)) => {
                session.proven.store(true, Ordering::Relaxed);
                content::output(result, self.config.max_output_bytes)
            }
            Ok(_) => {
                ToolOutput::failed(format!("`{name}` asked for what is not given to tools here (more input, or time)."))
            }
            Err(ServiceError::McpError(error)) => {
                session.proven.store(true, Ordering::Relaxed);
                ToolOutput::failed(format!("`{name}` failed: {}", clipped(&error.message, MAX_ERROR)))
            }
            Err(error) => {
                self.lost(&session, &error);
                let what = if is_unsent(&error) {
                    "cannot be reached; the call was not made"
                } else {
                    "ended during the call; it may or may not have been carried out"
                };
                ToolOutput::failed(format!("The server of `{}` {what}.", self.id))
            }
        }
    }

    /// Ends the session for good, and waits until a child is gone.
    pub(super) async fn close(&self) {
        self.stopping.cancel();
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

    async fn pages(&self, peer: &Peer<RoleClient>) -> Result<Listed, ServiceError> {
        let (mut listed, mut cursor) = (Listed::default(), None);
        for _ in 0..MAX_PAGES {
            let page = peer.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await?;
            for tool in page.tools {
                let taken = |name: &str| listed.tools.iter().any(|known| known.spec.name == name);
                match self.offered(tool) {
                    Some(tool) if listed.tools.len() < self.config.max_tools && !taken(&tool.spec.name) => {
                        listed.tools.push(tool);
                    }
                    _ => listed.left_out += 1,
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() || listed.tools.len() >= self.config.max_tools {
                break;
            }
        }
        // What is left on further pages is not counted, only that there is something.
        listed.left_out += usize::from(cursor.is_some());
        if listed.left_out > 0 {
            tracing::warn!(tools = self.id, left_out = listed.left_out, "a tool server has more than is taken of it");
        }
        Ok(listed)
    }

    /// A server's tool as a model is offered it; none where its schema is too large.
    fn offered(&self, tool: rmcp::model::Tool) -> Option<Offered> {
        let mut parameters = JsonObject::clone(&tool.input_schema);
        parameters.remove("$schema");
        parameters.insert("type".into(), "object".into());
        // Some models' interfaces take no object without them.
        parameters.entry("properties").or_insert_with(|| JsonObject::new().into());
        let parameters = Value::Object(parameters);
        if parameters.to_string().len() > MAX_SCHEMA {
            return None;
        }
        let name = tool.name.into_owned();
        let about = tool.description.map(std::borrow::Cow::into_owned).or(tool.title).unwrap_or_default();
        let spec = ToolSpec {
            name: exposed(&self.id, &name),
            description: bounded(about, MAX_DESCRIPTION),
            parameters,
            consent: self.config.consent.of(&name, Consent::Ask),
            source: self.id.clone(),
        };
        Some(Offered { spec, name })
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
                Some(reason) => self.unavailable(&Refusal { reason: (*reason).into(), said: None }),
                None if gone.proven.load(Ordering::Relaxed) => (link.attempts, link.not_before) = (0, None),
                None => {}
            }
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
        let wait = FIRST_WAIT.saturating_mul(1 << link.attempts.min(10)).min(LONGEST_WAIT);
        link.attempts = link.attempts.saturating_add(1);
        // What ends before it answers anything is begun again at once, then with a wait.
        link.not_before = (link.attempts > 1).then(|| now + wait);
        let handler = Handler::default();
        let (stale, broken) = (Arc::clone(&handler.stale), Arc::clone(&handler.broken));
        let opened = tokio::select! {
            opened = connect(&self.id, &self.place, self.config.connect_timeout, handler) => opened,
            () = self.stopping.cancelled() => return Err(stopped()),
        };
        match opened {
            Ok(service) => {
                tracing::info!(tools = self.id, "a tool server is connected");
                let peer = service.peer().clone();
                let session = Arc::new(Session {
                    peer,
                    service: Mutex::new(service),
                    proven: AtomicBool::default(),
                    lost: AtomicBool::default(),
                    broken,
                    stale,
                    listed: RwLock::default(),
                });
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
        *self.state.write() = ToolSourceState::Unavailable { reason, said };
    }
}

impl Session {
    fn is_gone(&self) -> bool {
        self.lost.load(Ordering::Acquire) || self.peer.is_transport_closed()
    }

    fn fresh(&self) -> Option<Arc<Listed>> {
        let listed = self.listed.read();
        let (at, listed) = listed.as_ref()?;
        (!self.stale.load(Ordering::Acquire) && at.elapsed() < FRESH).then(|| Arc::clone(listed))
    }

    async fn close(&self, id: &str) {
        if !matches!(self.service.lock().await.close_with_timeout(CLOSING).await, Ok(Some(_))) {
            tracing::warn!(tools = id, "a tool server did not end in time");
        }
    }
}
