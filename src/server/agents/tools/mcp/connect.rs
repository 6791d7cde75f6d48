//! Opening a session with a server: a child process, or streamable HTTP.
//!
//! A child sees `PATH`, `HOME` and what its entry gives it, no more; it leads a process group of its own, which ends with it;
//! its standard error goes to the log, bounded.

use std::{error::Error, process::Stdio, sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use process_wrap::tokio::{CommandWrap, KillOnDrop, ProcessGroup};
use rmcp::{
    RoleClient, ServiceExt,
    service::RunningService,
    transport::{
        StreamableHttpClientTransport, TokioChildProcess, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{ChildStderr, Command},
    time::{Instant, timeout},
};

use super::{super::text::clipped, Handler};
use crate::server::config::{agents::Secret, tools::Endpoint};

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

/// Where a server is, its secrets in clear: never printed.
pub(super) enum Place {
    Child { command: String, args: Vec<String>, env: Vec<(String, String)> },
    Http { url: String, headers: HeaderMap, allow_private_network: bool },
}

impl Place {
    /// A place with what its entry's variables hold.
    pub(super) fn of(endpoint: &Endpoint, variables: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        Ok(match endpoint {
            Endpoint::Child { command, args, env } => {
                let resolved = |(name, value): (&String, &Secret)| Ok((name.clone(), value.resolve(&variables)?));
                let env = env.iter().map(resolved).collect::<Result<_, String>>()?;
                Self::Child { command: command.clone(), args: args.clone(), env }
            }
            Endpoint::Http { url, headers, allow_private_network } => {
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
            Self::Http { url, .. } => reason.replace(url, "the address"),
            Self::Child { .. } => reason.to_owned(),
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
    let refused = |reason: &str| Refusal { reason: clipped(&place.without_address(reason), MAX_REASON), said: None };
    let late = || refused(&format!("it did not answer within {} s", limit.as_secs_f32()));
    match place {
        Place::Child { command, args, env } => {
            let (child, stderr) = spawn(command, args, env)
                .map_err(|error| refused(&format!("`{command}` could not be started: {error}")))?;
            let last = Arc::new(Mutex::new(None));
            tokio::spawn(log(id.to_owned(), stderr, Arc::clone(&last)));
            let ended = |error| refused(&format!("`{command}` is no MCP server, or ended: {}", cause(&error)));
            let opened = timeout(limit, handler.serve(child)).await;
            let opened = opened.map_or_else(|_| Err(late()), |opened| opened.map_err(ended));
            opened.map_err(|refusal| Refusal { said: last.lock().take(), ..refusal })
        }
        Place::Http { url, headers, allow_private_network } => {
            let client = client(limit, *allow_private_network).map_err(|error| refused(&cause(&error)))?;
            let options = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                .custom_headers(headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
                .max_sse_event_size(MAX_MESSAGE)
                .max_json_response_size(MAX_MESSAGE);
            let transport = StreamableHttpClientTransport::with_client(client, options);
            let opened = timeout(limit, handler.serve(transport)).await;
            opened.map_or_else(|_| Err(late()), |opened| opened.map_err(|error| refused(&cause(&error))))
        }
    }
}

fn spawn(
    command: &str,
    args: &[String],
    env: &[(String, String)],
) -> std::io::Result<(TokioChildProcess, Option<ChildStderr>)> {
    let mut program = Command::new(command);
    program.args(args).env_clear();
    program.envs(["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    program.envs(env.iter().map(|(name, value)| (name, value)));
    let mut program = CommandWrap::from(program);
    #[cfg(unix)]
    program.wrap(ProcessGroup::leader());
    program.wrap(KillOnDrop);
    TokioChildProcess::builder(program).stderr(Stdio::piped()).spawn()
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
        let text = clipped(String::from_utf8_lossy(&line).trim_end(), MAX_LINE as usize);
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

/// The client of one session. A redirect is not followed: the address is the configuration's to say.
fn client(connect: Duration, _allow_private_network: bool) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .connect_timeout(connect)
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
}

/// The innermost reason, which names what happened; the outer ones repeat addresses.
pub(super) fn cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    clipped(&cause.to_string(), MAX_REASON)
}
