//! Streamable HTTP as it is met in practice, over rmcp's own client.
//!
//! Promises: a server that forgot its session, by whatever refusal it says so, is asked for another, and the request is sent
//! once more (it was refused, so nothing was done twice); a refusal without an id is the answer of the request it refuses,
//! not something to wait for.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue};
use futures_util::stream::BoxStream;
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_client::{
        StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse, StreamableHttpResponseLimits,
    },
};
use sse_stream::{Error as SseError, Sse};

use crate::server::agents::remote::address::PublicOnly;

type Failed = StreamableHttpError<reqwest::Error>;
type Headers = HashMap<HeaderName, HeaderValue>;
type Stream = BoxStream<'static, Result<Sse, SseError>>;

/// How long a connection may take to open, for a request of a session that there is.
const CONNECT: Duration = Duration::from_secs(10);

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
            .no_proxy();
        let client = if allow_private_network { client } else { client.dns_resolver(PublicOnly) };
        client.build().map(Self)
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
        let id = match &message {
            ClientJsonRpcMessage::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let within_session = session.is_some();
        let answer = self.0.post_message_with_response_limits(uri, message, session, auth, headers, limits).await?;
        match answer {
            StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(mut error), session)
                if error.id.is_none() && id.is_some() =>
            {
                if within_session {
                    return Err(StreamableHttpError::SessionExpired);
                }
                error.id = id;
                Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(error), session))
            }
            answer => Ok(answer),
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
