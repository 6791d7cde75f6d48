//! A server of models that sends scripted replies over real sockets: OpenAI's chat completions, or the events of any API.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore};

/// The reply to one request.
pub(crate) enum Reply {
    /// A stream of server-sent events.
    Stream(Vec<Piece>),
    /// A status with headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Nothing at all, forever.
    Silence,
}

/// A part of a stream.
#[derive(Clone)]
pub(crate) enum Piece {
    /// `data:` with this.
    Data(String),
    /// This text as it is.
    Raw(String),
    /// Nothing more, and the connection stays open.
    Hang,
    /// Nothing, until there is a permit.
    Gate(Arc<Semaphore>),
    /// The connection breaks.
    Cut,
}

/// A request that the server received.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its path and query.
    pub(crate) path: String,
    /// Its header `Authorization`.
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
    /// How many streams were abandoned by their client.
    abandoned: Arc<Mutex<usize>>,
}

/// The server. It stops with the test.
pub(crate) struct Model {
    pub(crate) url: String,
    script: Arc<Script>,
}

impl Model {
    pub(crate) async fn with(replies: impl IntoIterator<Item = Reply>) -> Self {
        let script = Arc::new(Script { replies: Mutex::new(replies.into_iter().collect()), ..Script::default() });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the port is free");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, script }
    }

    /// Adds replies after the others.
    pub(crate) fn add_replies(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.replies.lock().expect("not poisoned").extend(replies);
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.script.requests.lock().expect("not poisoned").clone()
    }

    /// How many of its streams were abandoned by their client.
    pub(crate) fn abandoned(&self) -> usize {
        *self.script.abandoned.lock().expect("not poisoned")
    }
}

/// Counts its stream as abandoned when it is dropped before the end.
struct AbandonGuard(Option<Arc<Mutex<usize>>>);

impl Drop for AbandonGuard {
    fn drop(&mut self) {
        if let Some(abandoned) = &self.0 {
            *abandoned.lock().expect("not poisoned") += 1;
        }
    }
}

async fn answer(State(script): State<Arc<Script>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = serde_json::from_slice(&body).expect("JSON");
    script.requests.lock().expect("not poisoned").push(Request { path: uri.to_string(), authorization, body });
    let reply = script.replies.lock().expect("not poisoned").pop_front();
    match reply {
        None => response(StatusCode::IM_A_TEAPOT, Body::from("the script has ended")),
        Some(Reply::Silence) => std::future::pending().await,
        Some(Reply::Status(status, headers, body)) => {
            let mut response = response(StatusCode::from_u16(status).expect("a status"), Body::from(body));
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().expect("a header"));
            }
            response
        }
        Some(Reply::Stream(pieces)) => {
            let guard = AbandonGuard(Some(Arc::clone(&script.abandoned)));
            let pieces = stream::unfold((pieces.into_iter(), guard), |(mut pieces, mut guard)| async move {
                let Some(mut piece) = pieces.next() else {
                    guard.0.take();
                    return None;
                };
                if let Piece::Gate(gate) = &piece {
                    gate.acquire().await.expect("the gate is not closed").forget();
                    piece = Piece::Raw(String::new());
                }
                let bytes = match piece {
                    Piece::Data(data) => Ok(Bytes::from(format!("data: {data}\n\n"))),
                    Piece::Raw(text) => Ok(Bytes::from(text)),
                    Piece::Cut => Err(io::Error::other("cut")),
                    Piece::Hang | Piece::Gate(_) => std::future::pending().await,
                };
                // Each piece is sent on its own.
                tokio::task::yield_now().await;
                Some((bytes, (pieces, guard)))
            });
            let mut response = response(StatusCode::OK, Body::from_stream(pieces.boxed()));
            response.headers_mut().insert("content-type", "text/event-stream".parse().expect("a header"));
            response
        }
    }
}

fn response(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn chunk(delta: Value, finish: Option<&str>) -> Piece {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    Piece::Data(
        json!({"id": "c", "object": "chat.completion.chunk", "model": "scripted", "choices": [choice]}).to_string(),
    )
}

pub(crate) fn text(text: &str) -> Piece {
    chunk(json!({"content": text}), None)
}

pub(crate) fn reasoning(text: &str) -> Piece {
    chunk(json!({"reasoning_content": text}), None)
}

/// The first piece of a call.
pub(crate) fn call(index: usize, id: &str, name: &str) -> Piece {
    let function = json!({"name": name, "arguments": ""});
    chunk(json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}), None)
}

/// More of its arguments, without an id, as OpenAI sends them.
pub(crate) fn arguments(index: usize, text: &str) -> Piece {
    chunk(json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]}), None)
}

/// The end of a stream: the finish reason, the usage, and the last line.
pub(crate) fn end(reason: &str, input: u64, output: u64) -> Vec<Piece> {
    let usage = json!({
        "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": input / 2},
        "completion_tokens_details": {"reasoning_tokens": output / 2},
    });
    vec![
        chunk(json!({}), Some(reason)),
        Piece::Data(json!({"id": "c", "choices": [], "usage": usage}).to_string()),
        Piece::Data("[DONE]".into()),
    ]
}

/// A complete stream: pieces, then the end.
pub(crate) fn stream(pieces: impl IntoIterator<Item = Piece>, reason: &str) -> Reply {
    Reply::Stream(pieces.into_iter().chain(end(reason, 100, 10)).collect())
}

/// A complete answer of text.
pub(crate) fn text_reply(words: &str) -> Reply {
    stream([text(words)], "stop")
}

/// A complete answer with tool calls: name, id, arguments.
pub(crate) fn call_reply(calls: &[(&str, &str, Value)]) -> Reply {
    let pieces = calls.iter().enumerate().flat_map(|(index, (name, id, args))| {
        let args = args.to_string();
        let (one, two) = args.split_at(args.len() / 2);
        [call(index, id, name), arguments(index, one), arguments(index, two)]
    });
    stream(pieces, "tool_calls")
}

/// An error in OpenAI's format.
pub(crate) fn error_reply(status: u16, code: &str, message: &str) -> Reply {
    Reply::Status(status, Vec::new(), json!({"error": {"message": message, "code": code}}).to_string())
}
