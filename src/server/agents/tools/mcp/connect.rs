//! Opening a session with an MCP server: a child process, or streamable HTTP.
//!
//! A child leads a process group of its own, which ends with it. Its standard error is logged, within limits.

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
    child_process::ChildProgram,
    http::{HttpClient, is_before_call},
    limits::LimitedTransport,
    session::Handler,
};
use crate::{
    server::{
        config::{agents::Secret, tools::Endpoint},
        outbound::address,
    },
    text::clip,
};

/// The longest logged line of a child's standard error, in bytes; a longer one is split.
const MAX_LINE_BYTES: u64 = 2_048;
/// The most logged lines of a child's standard error per minute.
const MAX_LINES_PER_MINUTE: u32 = 200;
/// The largest message that a server may send over HTTP, in bytes. rmcp applies the same limit to standard output.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// The longest reason, in characters.
const MAX_REASON_CHARS: usize = 500;
/// How long to wait for the last line of a child that ended.
const LAST_LINE_TIMEOUT: Duration = Duration::from_millis(500);

/// Why there is no session.
#[derive(Debug, Clone)]
pub(super) struct ConnectError {
    /// Shown to models and administrators.
    pub(super) reason: String,
    /// The last line of a child's standard error, shown to administrators only.
    pub(super) last_output: Option<String>,
}

impl ConnectError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), last_output: None }
    }
}

/// How a server is reached, with its secrets in plain text: must not be logged.
pub(super) enum ResolvedEndpoint {
    Child(Box<ChildProgram>),
    Http { url: Url, headers: HeaderMap, allow_private_network: bool },
}

impl ResolvedEndpoint {
    /// Resolves the secrets of a configured endpoint; `folder` is the child's own folder.
    ///
    /// # Errors
    /// Which part of the endpoint cannot be used, and why.
    pub(super) fn resolve(
        endpoint: &Endpoint,
        folder: &Path,
        variables: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        Ok(match endpoint {
            Endpoint::Child { command, args, env, sandbox, limits } => {
                let resolve = |(name, value): (&String, &Secret)| Ok((name.clone(), value.resolve(&variables)?));
                let env = env.iter().map(resolve).collect::<Result<_, String>>()?;
                Self::Child(Box::new(ChildProgram {
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
                let mut resolved = HeaderMap::new();
                for (name, value) in headers {
                    let value = HeaderValue::from_str(&value.resolve(&variables)?);
                    let mut value =
                        value.map_err(|_| format!("headers: the value of `{name}` is not a valid header value"))?;
                    value.set_sensitive(true);
                    resolved.insert(name.clone(), value);
                }
                Self::Http { url: url.clone(), headers: resolved, allow_private_network: *allow_private_network }
            }
        })
    }

    /// Removes the URL, which may contain a key, from a reason.
    pub(super) fn redact_url(&self, reason: &str) -> String {
        match self {
            Self::Http { url, .. } => reason.replace(url.as_str(), "the URL"),
            Self::Child(_) => reason.to_owned(),
        }
    }
}

/// Opens a session within `limit`.
pub(super) async fn connect(
    id: &str,
    endpoint: &ResolvedEndpoint,
    limit: Duration,
    handler: Handler,
) -> Result<RunningService<RoleClient, Handler>, ConnectError> {
    let opening = async {
        let first_error = match open(id, endpoint, handler.clone(), ClientLifecycleMode::Initialize).await {
            Ok(service) => return Ok(service),
            Err((error, false)) => return Err(error),
            Err((error, true)) => error,
        };
        // The server refused `initialize`; one of version 2026-07-28 expects `server/discover` instead.
        let preferred_versions = vec![ProtocolVersion::NO_INITIALIZE];
        open(id, endpoint, handler, ClientLifecycleMode::Discover { preferred_versions }).await.map_err(|_| first_error)
    };
    let late = || ConnectError::new(format!("it did not answer within {} s", limit.as_secs_f32()));
    timeout(limit, opening).await.unwrap_or_else(|_| Err(late()))
}

/// Opens a session with one lifecycle.
///
/// # Errors
/// Why it failed, and whether the server itself refused it in a response.
async fn open(
    id: &str,
    endpoint: &ResolvedEndpoint,
    handler: Handler,
    lifecycle: ClientLifecycleMode,
) -> Result<RunningService<RoleClient, Handler>, (ConnectError, bool)> {
    let failed = |reason: &str| ConnectError::new(clip(&endpoint.redact_url(reason), MAX_REASON_CHARS));
    let violation = Arc::clone(&handler.violation);
    let why =
        |error: &ClientInitializeError| violation.get().map_or_else(|| root_cause(error), |why| (*why).to_owned());
    match endpoint {
        ResolvedEndpoint::Child(program) => {
            let command = program.sandbox.first().unwrap_or(&program.command);
            let (child, stderr) = program
                .spawn()
                .map_err(|error| (failed(&format!("`{command}` could not be started: {error}")), false))?;
            let last_line = Arc::new(Mutex::new(None));
            let logging = tokio::spawn(log_stderr(id.to_owned(), stderr, Arc::clone(&last_line)));
            let child = LimitedTransport::new(child, Arc::clone(&handler.violation));
            let error = match handler.serve_with_lifecycle(child, lifecycle).await {
                Ok(service) => return Ok(service),
                Err(error) => error,
            };
            // The child has ended. Its last line, which often has the reason, may not have been read yet.
            let _ = timeout(LAST_LINE_TIMEOUT, logging).await;
            let reason = format!("`{command}` is not an MCP server, or ended: {}", why(&error));
            Err((ConnectError { last_output: last_line.lock().take(), ..failed(&reason) }, is_error_response(&error)))
        }
        ResolvedEndpoint::Http { url, headers, allow_private_network } => {
            let client =
                HttpClient::new(*allow_private_network).map_err(|error| (failed(&root_cause(&error)), false))?;
            let options = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                .custom_headers(headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
                .max_sse_event_size(MAX_MESSAGE_BYTES)
                .max_json_response_size(MAX_MESSAGE_BYTES);
            let transport = StreamableHttpClientTransport::with_client(client, options);
            let transport = LimitedTransport::new(transport, Arc::clone(&handler.violation));
            let opened = handler.serve_with_lifecycle(transport, lifecycle).await;
            opened.map_err(|error| (failed(&why(&error)), is_error_response(&error)))
        }
    }
}

/// Whether the server refused the session in a response.
fn is_error_response(error: &ClientInitializeError) -> bool {
    matches!(error, ClientInitializeError::JsonRpcError(_))
}

/// Logs a child's standard error until it ends, within limits, and keeps the last line in `last_line`.
async fn log_stderr(id: String, stderr: Option<ChildStderr>, last_line: Arc<Mutex<Option<String>>>) {
    let Some(stderr) = stderr else { return };
    let (mut reader, mut line) = (BufReader::new(stderr), Vec::new());
    let (mut minute_start, mut count) = (Instant::now(), 0u32);
    loop {
        line.clear();
        match (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let text = clip(String::from_utf8_lossy(&line).trim_end(), MAX_LINE_BYTES as usize);
        if text.is_empty() {
            continue;
        }
        if minute_start.elapsed() > Duration::from_secs(60) {
            if count > MAX_LINES_PER_MINUTE {
                tracing::warn!(
                    tools = id,
                    left_out = count - MAX_LINES_PER_MINUTE,
                    "lines of a tool server were not logged: too many in a minute"
                );
            }
            (minute_start, count) = (Instant::now(), 0);
        }
        count = count.saturating_add(1);
        if count <= MAX_LINES_PER_MINUTE {
            tracing::info!(tools = id, "a tool server wrote: {text}");
        }
        *last_line.lock() = Some(text);
    }
}

/// The innermost error, which says what happened; the outer ones repeat URLs.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = source_of(cause) {
        cause = inner;
    }
    clip(&cause.to_string(), MAX_REASON_CHARS)
}

/// Whether a call was certainly not sent, because its server could not be connected to or its session is gone.
pub(super) fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    let is_connect = error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
    is_connect || is_before_call(error) || source_of(error).is_some_and(is_unsent)
}

/// An error's source, including those that rmcp's errors do not return from `source()`.
fn source_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(ClientInitializeError::TransportError { error, .. }) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(StreamableHttpError::<reqwest::Error>::Client(error)) = error.downcast_ref() {
        return Some(error);
    }
    error.source()
}
