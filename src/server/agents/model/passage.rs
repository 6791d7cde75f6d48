//! One request of genai's to a provider and the answer back, every buffer bounded.
//!
//! genai keeps what arrives until an event of it is whole, however long that is, and reqwest lets nobody look at what it
//! reads. So genai asks a listener on the loopback address that lives as long as the request, answers only who knows its
//! token, and passes everything on to the one server it was made for. Events are rewritten on their way where servers differ, so
//! that genai reads them all. Promises: an event that does not end and a refusal without end are cut at their bounds, also
//! where they come compressed; nothing is kept but the piece or the event on its way.

use std::{io, net::Ipv4Addr, sync::Arc, sync::OnceLock};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::{Client, Url};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::{
    answer_reader::{self, Dialect},
    chat_chunks::ChatChunks,
    error::ModelError,
};

/// The header that a passage is opened with.
pub(super) const TOKEN: &str = "x-netra-passage";
/// The most bytes of one event; one of OpenAI's Responses API repeats the whole answer.
const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;
/// The most bytes of a refusal that are looked at.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// The most bytes of a request; conversations have bounds of their own far below.
const MAX_REQUEST_BYTES: usize = 256 * 1024 * 1024;
/// Headers that belong to one connection.
const OF_CONNECTION: [HeaderName; 5] = [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, ACCEPT_ENCODING];

/// A way to a provider; it closes when it is dropped.
pub(super) struct Passage {
    /// The provider's address, by way of this.
    pub(super) url: Url,
    /// What opens it.
    pub(super) token: String,
    told: Arc<OnceLock<ModelError>>,
    _serving: AbortOnDropHandle<()>,
}

impl Passage {
    /// A way to the server of `provider`, asked through `client`.
    pub(super) async fn open(client: Client, provider: Url, format: Format) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut url = provider.clone();
        let changed = url.set_scheme("http").and_then(|()| url.set_ip_host(address.ip()));
        changed.and_then(|()| url.set_port(Some(address.port()))).map_err(|()| io::Error::other("no web address"))?;
        let (token, told) = (format!("{:032x}", rand::random::<u128>()), Arc::<OnceLock<ModelError>>::default());
        let way = Way { client, provider, format, token: token.clone(), told: Arc::clone(&told) };
        let app = Router::new().fallback(pass).with_state(Arc::new(way));
        let serving = tokio::spawn(async move {
            // It ends with the task alone.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { url, token, told, _serving: AbortOnDropHandle::new(serving) })
    }

    /// What went wrong on the way, where genai sees no more than a connection that broke.
    pub(super) fn told(&self) -> Option<ModelError> {
        self.told.get().cloned()
    }
}

/// What a provider's answers look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Events of OpenAI's chat completions.
    ChatCompletions,
    /// Events of OpenAI's Responses API.
    Responses,
    /// Events of Google's own API.
    Gemini,
    /// Events of Anthropic's own API, each with a name.
    Events,
    /// Lines, each a JSON value.
    Lines,
}

impl Format {
    /// How its events are read; `key` is kept out of errors.
    fn dialect(self, key: Option<String>) -> Dialect {
        match self {
            Self::ChatCompletions => Dialect::Chat(ChatChunks::default()),
            Self::Responses => Dialect::Responses,
            Self::Gemini => Dialect::Gemini,
            Self::Events => Dialect::Anthropic { has_stop_reason: false, is_stopped: false },
            Self::Lines => Dialect::Ollama { key, is_done: false },
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            _ => "text/event-stream",
        }
    }

    /// An event with this data, as genai reads it.
    fn event(self, data: &str) -> String {
        match self {
            Self::Lines => format!("{data}\n"),
            Self::Events => {
                let event: Value = serde_json::from_str(data).unwrap_or_default();
                format!("event: {}\ndata: {data}\n\n", event["type"].as_str().unwrap_or("message"))
            }
            _ => format!("data: {data}\n\n"),
        }
    }
}

struct Way {
    client: Client,
    provider: Url,
    format: Format,
    token: String,
    told: Arc<OnceLock<ModelError>>,
}

async fn pass(State(way): State<Arc<Way>>, request: Request) -> Response {
    let (asked, body) = request.into_parts();
    if asked.headers.get(TOKEN).is_none_or(|token| token.as_bytes() != way.token.as_bytes()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Ok(body) = to_bytes(body, MAX_REQUEST_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let mut url = way.provider.clone();
    url.set_path(asked.uri.path());
    url.set_query(asked.uri.query());
    let mut headers = end_to_end(asked.headers);
    headers.remove(TOKEN);
    let key = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let key = key.filter(|key| *key != "none").map(str::to_owned);
    let answer = way.client.request(asked.method, url).headers(headers).body(body).send().await;
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            // Whoever asks reads this in place of the status.
            let _ = way.told.set(super::genai_provider::unreachable(&error));
            return StatusCode::BAD_GATEWAY.into_response();
        }
    };
    let (status, mut headers) = (answer.status(), end_to_end(answer.headers().clone()));
    let body = if status.is_success() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(way.format.content_type()));
        Body::from_stream(rewritten(answer, way.format.dialect(key), way))
    } else {
        let mut said = Vec::new();
        while said.len() < MAX_REFUSAL_BYTES
            && let Ok(Some(piece)) = answer.chunk().await
        {
            said.extend_from_slice(&piece);
        }
        said.truncate(MAX_REFUSAL_BYTES);
        said.into()
    };
    (status, headers, body).into_response()
}

/// The events of an answer, in the one shape that genai reads.
fn rewritten(answer: reqwest::Response, dialect: Dialect, way: Arc<Way>) -> impl Stream<Item = io::Result<Bytes>> {
    let pieces = answer.bytes_stream().map(|piece| piece.map_err(io::Error::other));
    answer_reader::events(dialect, pieces, MAX_EVENT_BYTES, too_long())
        .map(move |data| data.map(|data| way.format.event(&data).into()).map_err(|error| way.closed(error)))
}

impl Way {
    /// Notes why the answer ends here, and ends it.
    fn closed(&self, error: ModelError) -> io::Error {
        let _ = self.told.set(error);
        io::Error::other("the passage is closed")
    }
}

fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    OF_CONNECTION.iter().for_each(|name| {
        headers.remove(name);
    });
    headers
}

fn too_long() -> ModelError {
    ModelError::TooLong { what: "8 MiB in one piece".into() }
}
