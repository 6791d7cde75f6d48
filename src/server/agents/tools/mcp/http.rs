//! Streamable HTTP as it is met in practice, over rmcp's own client.
//!
//! Promises: a call of a tool is sent once, whatever is answered: a refusal may come after the work, so it is never a reason to
//! send it again. That a server forgot its session is found before, by a ping within it; then another is asked for. What
//! reads only (lists) is sent again in the new session. A refusal without an id is the answer of the request it refuses, not
//! something to wait for.

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

type Failed = StreamableHttpError<reqwest::Error>;
type Headers = HashMap<HeaderName, HeaderValue>;
type Stream = BoxStream<'static, Result<Sse, SseError>>;

/// How long a connection may take to open, for a request of a session that there is.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may take to say that it knows a session.
const PING: Duration = Duration::from_secs(15);

/// What is known of a call that its server refused without naming it.
const UNKNOWN: &str = "the call may or may not have been carried out";

/// Why a call was not sent: its session could not be asked first.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unsent(#[source] Failed);

/// Whether what went wrong did so before a call was sent.
pub(super) fn is_before_call(error: &(dyn Error + 'static)) -> bool {
    // A call itself never ends so, only the ping before it.
    let forgotten = matches!(error.downcast_ref::<Failed>(), Some(Failed::SessionExpired));
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    forgotten || inner.is_some_and(|inner| inner.is::<Unsent>())
}

/// The client of one session.
#[derive(Clone)]
pub(super) struct Http(reqwest::Client);

impl Http {
    /// A client. A redirect is not followed, nor a proxy of the environment used: the address is the configuration's to say.
    pub(super) fn new(allow_private_network: bool) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("netra/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            // A kept connection of rmcp's client stalls where an answer was not read to its end.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy();
        let client = if allow_private_network { client } else { client.dns_resolver(PublicOnly) };
        client.build().map(Self)
    }

    /// Asks a server whether it knows a session still. Whatever else it says to a ping, it does.
    async fn ping(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<(), Failed> {
        let id = RequestId::String(format!("ping-{}", Uuid::now_v7()).into());
        let ping = ClientJsonRpcMessage::request(ClientRequest::PingRequest(PingRequest::default()), id);
        let asked = async {
            let answer =
                self.0.post_message_with_response_limits(uri, ping, Some(session), auth, headers, limits).await?;
            match answer {
                StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(error), _) if error.id.is_none() => {
                    Err(Failed::SessionExpired)
                }
                answer @ StreamableHttpPostResponse::Sse(..) => {
                    answer.expect_initialized::<reqwest::Error>().await.map(drop)
                }
                _ => Ok(()),
            }
        };
        let late = || Err(Failed::UnexpectedServerResponse("it did not answer a ping in time".into()));
        match timeout(PING, asked).await.unwrap_or_else(|_| late()) {
            Ok(()) => Ok(()),
            Err(Failed::SessionExpired) => Err(Failed::SessionExpired),
            Err(error) => Err(io::Error::other(Unsent(error)).into()),
        }
    }
}

impl StreamableHttpClient for Http {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failed> {
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
    ) -> Result<StreamableHttpPostResponse, Failed> {
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
                    return Err(Failed::SessionExpired);
                }
                error.id = id;
                if is_call {
                    error.error.message = format!("{} ({UNKNOWN})", error.error.message).into();
                }
                Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(error), session))
            }
            Err(Failed::SessionExpired) if is_call => {
                Err(Failed::UnexpectedServerResponse("HTTP 404, after it knew the session".into()))
            }
            answer => answer,
        }
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<(), Failed> {
        self.0.delete_session(uri, session, auth, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<Stream, Failed> {
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
    ) -> Result<Stream, Failed> {
        self.0.get_stream_with_max_sse_event_size(uri, session, last_event, auth, headers, max).await
    }
}
