//! Opening a session with a server: a child process, or streamable HTTP.
//!
//! A child leads a process group of its own, which ends with it; its standard error goes to the log, bounded.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use reqwest::Url;
use rmcp::{
    RoleClient,
    model::ProtocolVersion,
    service::{ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService},
    transport::{
        StreamableHttpClientTransport,
        streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::ChildStderr,
    time::{Instant, timeout},
};

use super::{
    child_process::Program,
    http::{Http, is_before_call},
    limits::Watched,
    session::Handler,
};
use crate::server::{
    agents::tools::text::clip,
    config::{agents::Secret, tools::Endpoint},
    outbound::address,
};

/// The longest piece of a child's standard error that is one line of the log, in bytes.
const MAX_LINE: u64 = 2_048;
/// Lines of one child's standard error that are logged in a minute.
const LINES_A_MINUTE: u32 = 200;
/// The largest message of a server over HTTP, in bytes; over standard output rmcp has the same.
const MAX_MESSAGE: usize = 16 << 20;
/// Most characters of a reason.
const MAX_REASON: usize = 500;

/// Why there is no session.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// For the model too.
    pub(super) reason: String,
    /// For administrators only: the last words of a child.
    pub(super) said: Option<String>,
}

/// How long the last line of a child that ended is waited for.
const LAST_LINE_TIMEOUT: Duration = Duration::from_millis(500);

/// Where a server is, its secrets in clear: never printed.
pub(super) enum Place {
    Child(Box<Program>),
    Http { url: Url, headers: HeaderMap, allow_private_network: bool },
}

impl Place {
    /// A place with what its entry's variables hold; `folder` is a child's own.
    pub(super) fn of(
        endpoint: &Endpoint,
        folder: &Path,
        variables: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        Ok(match endpoint {
            Endpoint::Child { command, args, env, sandbox, limits } => {
                let resolved = |(name, value): (&String, &Secret)| Ok((name.clone(), value.resolve(&variables)?));
                let env = env.iter().map(resolved).collect::<Result<_, String>>()?;
                Self::Child(Box::new(Program {
                    command: command.clone(),
                    args: args.clone(),
                    env,
                    sandbox: sandbox.clone(),
                    limits: limits.clone(),
                    folder: folder.to_owned(),
                }))
            }
            Endpoint::Http { url, headers, allow_private_network } => {
                if !allow_private_network {
                    address::check(url).map_err(|refused| format!("url: {refused}"))?;
                }
                let mut carried = HeaderMap::new();
                for (name, value) in headers {
                    let value = HeaderValue::from_str(&value.resolve(&variables)?);
                    let mut value = value.map_err(|_| format!("headers: the value of `{name}` fits no header"))?;
                    value.set_sensitive(true);
                    carried.insert(name.clone(), value);
                }
                Self::Http { url: url.clone(), headers: carried, allow_private_network: *allow_private_network }
            }
        })
    }

    /// A reason without the address, which may hold a key.
    pub(super) fn without_address(&self, reason: &str) -> String {
        match self {
            Self::Http { url, .. } => reason.replace(url.as_str(), "the address"),
            Self::Child(_) => reason.to_owned(),
        }
    }
}

/// Opens a session, within `limit`.
pub(super) async fn connect(
    id: &str,
    place: &Place,
    limit: Duration,
    handler: Handler,
) -> Result<RunningService<RoleClient, Handler>, Refusal> {
    let opened = async {
        let first = match open(id, place, handler.clone(), ClientLifecycleMode::Initialize).await {
            Ok(service) => return Ok(service),
            Err((refusal, false)) => return Err(refusal),
            Err((refusal, true)) => refusal,
        };
        // It answered, and refused: a server of the newest version has another way to begin.
        let preferred_versions = vec![ProtocolVersion::NO_INITIALIZE];
        open(id, place, handler, ClientLifecycleMode::Discover { preferred_versions }).await.map_err(|_| first)
    };
    let late = || Refusal { reason: format!("it did not answer within {} s", limit.as_secs_f32()), said: None };
    timeout(limit, opened).await.unwrap_or_else(|_| Err(late()))
}

/// Opens a session in one way; says whether the server itself refused it.
async fn open(
    id: &str,
    place: &Place,
    handler: Handler,
    way: ClientLifecycleMode,
) -> Result<RunningService<RoleClient, Handler>, (Refusal, bool)> {
    let refused = |reason: &str| Refusal { reason: clip(&place.without_address(reason), MAX_REASON), said: None };
    let broken = Arc::clone(&handler.broken);
    let why = |error: &ClientInitializeError| broken.get().map_or_else(|| cause(error), |why| (*why).to_owned());
    match place {
        Place::Child(program) => {
            let command = program.sandbox.first().unwrap_or(&program.command);
            let (child, stderr) = program
                .spawn()
                .map_err(|error| (refused(&format!("`{command}` could not be started: {error}")), false))?;
            let last = Arc::new(Mutex::new(None));
            let logged = tokio::spawn(log(id.to_owned(), stderr, Arc::clone(&last)));
            let child = Watched::new(child, Arc::clone(&handler.broken));
            let error = match handler.serve_with_lifecycle(child, way).await {
                Ok(service) => return Ok(service),
                Err(error) => error,
            };
            // The child is ended by now. Its last line may still be on the way, and tells why.
            let _ = timeout(LAST_LINE_TIMEOUT, logged).await;
            let reason = format!("`{command}` is no MCP server, or ended: {}", why(&error));
            Err((Refusal { said: last.lock().take(), ..refused(&reason) }, is_answer(&error)))
        }
        Place::Http { url, headers, allow_private_network } => {
            let client = Http::new(*allow_private_network).map_err(|error| (refused(&cause(&error)), false))?;
            let options = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                .custom_headers(headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
                .max_sse_event_size(MAX_MESSAGE)
                .max_json_response_size(MAX_MESSAGE);
            let transport = StreamableHttpClientTransport::with_client(client, options);
            let transport = Watched::new(transport, Arc::clone(&handler.broken));
            let opened = handler.serve_with_lifecycle(transport, way).await;
            opened.map_err(|error| (refused(&why(&error)), is_answer(&error)))
        }
    }
}

fn is_answer(error: &ClientInitializeError) -> bool {
    matches!(error, ClientInitializeError::JsonRpcError(_))
}

/// Reads a child's standard error to its end, into the log as far as its bounds allow; `last` has the last line.
async fn log(id: String, stderr: Option<ChildStderr>, last: Arc<Mutex<Option<String>>>) {
    let Some(stderr) = stderr else { return };
    let (mut reader, mut line) = (BufReader::new(stderr), Vec::new());
    let (mut since, mut count) = (Instant::now(), 0u32);
    loop {
        line.clear();
        match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let text = clip(String::from_utf8_lossy(&line).trim_end(), MAX_LINE as usize);
        if text.is_empty() {
            continue;
        }
        if since.elapsed() > Duration::from_secs(60) {
            if count > LINES_A_MINUTE {
                tracing::warn!(tools = id, left_out = count - LINES_A_MINUTE, "a tool server said more than is logged");
            }
            (since, count) = (Instant::now(), 0);
        }
        count = count.saturating_add(1);
        if count <= LINES_A_MINUTE {
            tracing::info!(tools = id, "a tool server says: {text}");
        }
        *last.lock() = Some(text);
    }
}

/// The innermost reason, which names what happened; the outer ones repeat addresses.
pub(super) fn cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = inner(cause) {
        cause = inner;
    }
    clip(&cause.to_string(), MAX_REASON)
}

/// Whether a call did not leave this host: its server could not be connected to, or its session is gone.
pub(super) fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    let connecting = error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
    connecting || is_before_call(error) || inner(error).is_some_and(is_unsent)
}

/// What an error is of; some of rmcp's do not say it as their source.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(ClientInitializeError::TransportError { error, .. }) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(StreamableHttpError::<reqwest::Error>::Client(error)) = error.downcast_ref() {
        return Some(error);
    }
    error.source()
}
