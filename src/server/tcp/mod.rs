//! TCP connections: accepted, counted, served as HTTP/1.1 and closed.
//!
//! Guarantees: unused connections are closed ([`deadlines`]), and their number is limited ([`counter`]); a refusal is answered
//! with its reason; before a connection is closed, what the peer still sends is read, up to a limit, because with unread bytes the
//! kernel would reset the connection and the answer would be lost. Upgraded connections have heartbeats of their own and are only
//! counted here.

mod body;
mod counter;
mod deadlines;
mod refusal;
mod stream;

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;
use tracing::{debug, info, warn};

use self::{
    body::{AnswerBody, DISCARD_IDLE_TIMEOUT, Discard, RequestBody},
    counter::{Admission, ConnectionCounter, ExceededLimit, MAX_EXCESS, Permit},
    deadlines::{Deadlines, Timeout, Timeouts},
    stream::{Returned, Shared, Stream},
};
use super::{
    config::{Config, ConnectionsConfig},
    metrics,
};

/// How long an excess connection may take to send its request.
const EXCESS_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after accepting failed, as when the system has no file descriptors left.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// The most that hyper buffers for one connection in each direction, in bytes.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// A quarter of the file descriptors is kept for the store, files, agents and tools, within these limits.
const MIN_OTHER_DESCRIPTORS: usize = 64;
const MAX_OTHER_DESCRIPTORS: usize = 4_096;
/// The number of file descriptors to assume if the system does not report it.
const ASSUMED_DESCRIPTORS: u64 = 1_024;

/// The limits for the connections of one listener. Clones share the count of connections.
#[derive(Debug, Clone)]
pub struct Limits {
    counter: ConnectionCounter,
    timeouts: Timeouts,
    discard: Discard,
    max_header_bytes: usize,
}

impl Limits {
    /// The limits of a server; raises the number of file descriptors that this process may open to its hard maximum.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let connections = &config.connections;
        let descriptors = raise_descriptors();
        let other = (descriptors / 4).clamp(MIN_OTHER_DESCRIPTORS, MAX_OTHER_DESCRIPTORS) + MAX_EXCESS;
        let max = connections.max.min(descriptors.saturating_sub(other)).max(1);
        // Behind a trusted proxy all connections come from its address. Otherwise one address leaves an eighth to others.
        let per_address = (!config.server.trust_proxy).then(|| connections.max_per_address.min(max - max / 8));
        info!(descriptors, max_connections = max, max_per_address = per_address, "limits of connections");
        let counter = ConnectionCounter::new(max, per_address).with_proxies(&config.server.trusted_proxies);
        Self::with(connections, counter)
    }

    /// The limits of a listener that only monitors use.
    #[must_use]
    pub fn for_monitors(config: &Config) -> Self {
        Self::with(&config.connections, ConnectionCounter::new(MAX_EXCESS, None))
    }

    fn with(connections: &ConnectionsConfig, counter: ConnectionCounter) -> Self {
        Self {
            counter,
            timeouts: connections.into(),
            discard: Discard { bytes: connections.discard_bytes, timeout: connections.discard_timeout() },
            max_header_bytes: connections.max_header_bytes,
        }
    }

    /// The limits of an excess connection.
    fn for_excess(&self) -> Self {
        let mut limits = self.clone();
        let timeouts = &mut limits.timeouts;
        timeouts.first_byte = timeouts.first_byte.min(EXCESS_TIMEOUT);
        timeouts.header = timeouts.header.min(EXCESS_TIMEOUT);
        limits
    }
}

/// Raises this process's limit of file descriptors to the hard maximum; returns it.
fn raise_descriptors() -> usize {
    let raised = rlimit::increase_nofile_limit(u64::MAX).or_else(|error| {
        warn!(%error, "the limit of file descriptors could not be raised");
        rlimit::getrlimit(rlimit::Resource::NOFILE).map(|(soft, _)| soft)
    });
    usize::try_from(raised.unwrap_or(ASSUMED_DESCRIPTORS)).unwrap_or(usize::MAX)
}

/// Serves connections until `stopping`; then waits for the requests that are being answered.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stopping: CancellationToken) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((tcp, peer)) => accept(tcp, peer, &router, &limits, &stopping, &tasks),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                warn!(%error, "connections cannot be accepted");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Whether an error of `accept` concerns one connection only.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(error.kind(), E::ConnectionRefused | E::ConnectionAborted | E::ConnectionReset)
}

fn accept(
    tcp: TcpStream,
    peer: SocketAddr,
    router: &Router,
    limits: &Limits,
    stopping: &CancellationToken,
    tasks: &TaskTracker,
) {
    // Small frames are sent at once.
    let _ = tcp.set_nodelay(true);
    let (router, stopping) = (router.clone(), stopping.clone());
    match limits.counter.admit(peer.ip()) {
        Admission::Open(permit) => {
            let connection = Connection { peer, router, limits: limits.clone(), exceeded: None };
            tasks.spawn(connection.run(tcp, permit, stopping));
        }
        Admission::Excess(exceeded, permit, close) => {
            debug!(%peer, ?exceeded, "excess connection: its requests are refused");
            let connection = Connection { peer, router, limits: limits.for_excess(), exceeded: Some(exceeded) };
            let served = connection.run(tcp, permit, stopping);
            tasks.spawn(async move { close.run_until_cancelled(served).await });
        }
    }
}

/// One connection.
struct Connection {
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    /// The limit that it exceeds, if any.
    exceeded: Option<ExceededLimit>,
}

/// How serving a connection ended.
enum End {
    /// Hyper closed it.
    Closed,
    /// The peer was too slow.
    TimedOut(Timeout),
}

impl Connection {
    async fn run(self, tcp: TcpStream, permit: Permit, stopping: CancellationToken) {
        let shared = Arc::new(Shared::new(self.peer, Deadlines::new(self.limits.timeouts, Instant::now())));
        let stream = Stream::new(tcp, permit, shared.clone());
        let discard = self.limits.discard;
        let end = self.serve(stream, &shared, &stopping).await;
        // An upgraded connection is not returned.
        let Some(Returned { mut tcp, peer_closed, .. }) = shared.take_returned() else { return };
        let (refuse, sends) = {
            let deadlines = shared.deadlines.lock();
            (deadlines.can_refuse(), deadlines.may_send_more())
        };
        match end {
            End::TimedOut(limit) => {
                metrics::tcp_timed_out(limit.name());
                debug!(peer = %shared.peer, limit = limit.name(), "connection closed: too slow");
                if refuse && tcp.try_write(&refusal::timed_out()).is_ok() {
                    drain(&mut tcp, discard).await;
                }
            }
            End::Closed if !peer_closed && (sends || !stopping.is_cancelled()) => drain(&mut tcp, discard).await,
            End::Closed => {}
        }
    }

    /// Serves requests until hyper closes the connection or the peer is too slow.
    async fn serve(self, stream: Stream, shared: &Arc<Shared>, stopping: &CancellationToken) -> End {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // Longer than our own deadlines. Without a timeout hyper would not poll again once an answer is written, and a changed
            // deadline would not be noticed.
            .header_read_timeout(self.limits.timeouts.idle + 2 * self.limits.timeouts.header)
            .max_header_size(self.limits.max_header_bytes)
            .max_buf_size(MAX_BUFFER_BYTES.max(self.limits.max_header_bytes))
            .keep_alive(self.exceeded.is_none());
        let service = service_fn(|request| self.call(request, shared.clone()));
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let mut stop = pin!(stopping.cancelled());
        let mut stopped = false;
        let mut timer = pin!(sleep_until(Instant::now().into()));
        poll_fn(|cx| {
            if !stopped && stop.as_mut().poll(cx).is_ready() {
                stopped = true;
                connection.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                if let Err(error) = result {
                    debug!(peer = %shared.peer, %error, "connection failed");
                }
                return Poll::Ready(End::Closed);
            }
            poll_deadline(shared, timer.as_mut(), cx).map(End::TimedOut)
        })
        .await
    }

    fn call(
        &self,
        request: Request<Incoming>,
        shared: Arc<Shared>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + use<> {
        let has_body = !hyper::body::Body::is_end_stream(request.body());
        shared.deadlines.lock().request(has_body, Instant::now());
        let expects = expects_continue(request.headers());
        let discard = self.limits.discard;
        let mut request = request.map(|body| Body::new(RequestBody::new(body, expects, shared.clone(), discard)));
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let refused = self.exceeded.filter(|_| !matches!(request.uri().path(), "/healthz" | "/readyz"));
        let mut router = self.router.clone();
        let close = self.exceeded.is_some();
        async move {
            let mut response = match refused {
                Some(exceeded) => refusal::too_many_connections(exceeded).into_response(),
                None => match router.call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
            };
            if close {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            let upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            shared.deadlines.lock().answer_begins(upgrade, Instant::now());
            Ok(response.map(|body| AnswerBody::new(body, shared)))
        }
    }
}

/// Ready when a deadline has passed.
fn poll_deadline(shared: &Shared, mut timer: Pin<&mut Sleep>, cx: &mut std::task::Context<'_>) -> Poll<Timeout> {
    let deadline = shared.deadlines.lock().deadline();
    let Some((at, limit)) = deadline else { return Poll::Pending };
    let at = tokio::time::Instant::from(at);
    if timer.deadline() != at {
        timer.as_mut().reset(at);
    }
    timer.poll(cx).map(|()| limit)
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Closes our side and reads what the peer still sends, up to the limits. Closed with unread bytes, the connection would be reset, and
/// an answer that is being sent would be lost.
async fn drain(tcp: &mut TcpStream, limits: Discard) {
    let rest = async {
        tcp.shutdown().await?;
        let mut buffer = [0; 4096];
        let mut bytes = 0;
        while bytes < limits.bytes {
            match timeout(DISCARD_IDLE_TIMEOUT, tcp.read(&mut buffer)).await {
                Ok(Ok(read @ 1..)) => bytes += read as u64,
                _ => break,
            }
        }
        io::Result::Ok(())
    };
    // Errors do not matter: the connection is closed anyway.
    let _ = timeout(limits.timeout, rest).await;
}
