//! A streamable HTTP client over rmcp's, for servers that deviate from the specification.
//!
//! Guarantees: a tool call is sent once, whatever the response, because a server may send an error after the work was
//! done. A ping before each call checks whether the session is still valid; if not, a new session is opened
//! first. Requests that only read (lists) are sent again in the new session. An error without an id counts as the
//! response to the request that it was sent for.

use std::{collections::HashMap, error::Error, io, sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue};
use futures_util::stream::BoxStream;
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest, PingRequest, RequestId, ServerJsonRpcMessage},
    transport::streamable_http_client::{
        StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse, StreamableHttpResponseLimits,
    },
};
use sse_stream::{Error as SseError, Sse};
use tokio::time::timeout;
use uuid::Uuid;

use crate::server::outbound::address::PublicOnly;

type HttpError = StreamableHttpError<reqwest::Error>;
type Headers = HashMap<HeaderName, HeaderValue>;
type Stream = BoxStream<'static, Result<Sse, SseError>>;

/// How long a TCP and TLS connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Added to the error of a call whose server sent an error without an id.
const UNKNOWN_OUTCOME: &str = "the call may or may not have been carried out";

/// The ping before a call failed, so the call was not sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct PingFailed(#[source] HttpError);

/// Whether an error occurred before its call was sent.
pub(super) fn is_before_call(error: &(dyn Error + 'static)) -> bool {
    // For a call, only the ping before it returns this error.
    let is_expired = matches!(error.downcast_ref::<HttpError>(), Some(HttpError::SessionExpired));
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    is_expired || inner.is_some_and(|inner| inner.is::<PingFailed>())
}

/// The client of one session.
#[derive(Clone)]
pub(super) struct HttpClient(reqwest::Client);

impl HttpClient {
    /// A client that uses the configured URL only: it follows no redirects and ignores proxy settings of the
    /// environment.
    pub(super) fn new(allow_private_network: bool) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("netra/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // rmcp's client stalls on an idle connection whose last response was not read completely.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy();
        let client = if allow_private_network { client } else { client.dns_resolver(PublicOnly) };
        client.build().map(Self)
    }

    /// Checks that a session is still valid. Any response other than an error without an id counts as yes.
    async fn ping(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<(), HttpError> {
        let id = RequestId::String(format!("ping-{}", Uuid::now_v7()).into());
        let ping = ClientJsonRpcMessage::request(ClientRequest::PingRequest(PingRequest::default()), id);
        let exchange = async {
            let response =
                self.0.post_message_with_response_limits(uri, ping, Some(session), auth, headers, limits).await?;
            match response {
                StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(error), _) if error.id.is_none() => {
                    Err(HttpError::SessionExpired)
                }
                response @ StreamableHttpPostResponse::Sse(..) => {
                    response.expect_initialized::<reqwest::Error>().await.map(drop)
                }
                _ => Ok(()),
            }
        };
        let late = || Err(HttpError::UnexpectedServerResponse("it did not answer a ping in time".into()));
        match timeout(PING_TIMEOUT, exchange).await.unwrap_or_else(|_| late()) {
            Ok(()) => Ok(()),
            Err(HttpError::SessionExpired) => Err(HttpError::SessionExpired),
            Err(error) => Err(io::Error::other(PingFailed(error)).into()),
        }
    }
}

impl StreamableHttpClient for HttpClient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session, auth, headers, limits).await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let (id, is_call) = match &message {
            ClientJsonRpcMessage::Request(request) => {
                (Some(request.id.clone()), matches!(request.request, ClientRequest::CallToolRequest(_)))
            }
            _ => (None, false),
        };
        let within_session = session.is_some();
        if let Some(session) = session.clone().filter(|_| is_call) {
            self.ping(Arc::clone(&uri), session, auth.clone(), headers.clone(), limits).await?;
        }
        match self.0.post_message_with_response_limits(uri, message, session, auth, headers, limits).await {
            Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(mut error), session))
                if error.id.is_none() && id.is_some() =>
            {
                if within_session && !is_call {
                    return Err(HttpError::SessionExpired);
                }
                error.id = id;
                if is_call {
                    error.error.message = format!("{} ({UNKNOWN_OUTCOME})", error.error.message).into();
                }
                Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(error), session))
            }
            Err(HttpError::SessionExpired) if is_call => {
                Err(HttpError::UnexpectedServerResponse("HTTP 404, although the session was valid before".into()))
            }
            response => response,
        }
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<(), HttpError> {
        self.0.delete_session(uri, session, auth, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<Stream, HttpError> {
        self.0.get_stream(uri, session, last_event, auth, headers).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: Headers,
        max: usize,
    ) -> Result<Stream, HttpError> {
        self.0.get_stream_with_max_sse_event_size(uri, session, last_event, auth, headers, max).await
    }
}
