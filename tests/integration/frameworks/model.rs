//! A model with OpenAI's chat completions API that answers by rules and requires messages in the order that OpenAI does.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

/// The start of an endless answer.
pub(crate) const BEGINNING: &str = "One, two, three";

/// Pause between the words of an endless answer. An application notices that the reader is gone when it sends the next word.
const WORD_INTERVAL: Duration = Duration::from_millis(50);

/// The model; it ends with the test.
pub(crate) struct Model {
    /// The base of its API.
    pub(crate) url: String,
    state: Arc<ModelState>,
}

/// The requests that it got, and how many it answered.
#[derive(Default)]
struct ModelState {
    requests: Mutex<Vec<Value>>,
    refusals: Mutex<Vec<String>>,
    answers: AtomicUsize,
    endless: AtomicUsize,
}

impl Model {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(ModelState::default());
        let app = Router::new().route("/v1/chat/completions", post(complete)).with_state(Arc::clone(&state));
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the port is free");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, state }
    }

    /// The requests since the last call of this.
    pub(crate) fn take_requests(&self) -> Vec<Value> {
        std::mem::take(&mut self.state.requests.lock().expect("not poisoned"))
    }

    /// The errors of refused requests.
    pub(crate) fn refusals(&self) -> Vec<String> {
        self.state.refusals.lock().expect("not poisoned").clone()
    }

    /// The number of endless answers that are still being read.
    pub(crate) fn endless_answers(&self) -> usize {
        self.state.endless.load(Ordering::Relaxed)
    }
}

/// An answer.
enum Reply {
    Text(String),
    /// A tool's name and its arguments.
    Call(String, Value),
    /// Text without an end.
    Endless,
}

async fn complete(State(state): State<Arc<ModelState>>, body: Bytes) -> Response {
    let request: Value = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return refusal(&error.to_string()),
    };
    state.requests.lock().expect("not poisoned").push(request.clone());
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    if let Err(why) = check_order(&messages) {
        state.refusals.lock().expect("not poisoned").push(why.clone());
        return refusal(&why);
    }
    let reply = reply(&messages, &tools(&request));
    let number = state.answers.fetch_add(1, Ordering::Relaxed);
    if request["stream"] == true { streamed(&state, reply, number) } else { whole(reply, number) }
}

/// The names of the tools that it may call.
fn tools(request: &Value) -> Vec<String> {
    let tools = request["tools"].as_array().into_iter().flatten();
    tools.filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned)).collect()
}

/// How much of a tool's result the model quotes.
const MAX_QUOTE_CHARS: usize = 500;

fn reply(messages: &[Value], tools: &[String]) -> Reply {
    let messages: Vec<&Value> =
        messages.iter().filter(|message| !matches!(message["role"].as_str(), Some("system" | "developer"))).collect();
    let Some(last) = messages.last() else { return Reply::Text("Nothing was said.".into()) };
    if last["role"] == "tool" {
        let results = messages.iter().rev().take_while(|message| message["role"] == "tool");
        // As a model does, it shortens what it read.
        let words = |result: &Value| text_of(&result["content"]).chars().take(MAX_QUOTE_CHARS).collect();
        let mut results: Vec<String> = results.map(|result| words(result)).collect();
        results.reverse();
        return Reply::Text(format!("The tool says: {}", results.join(" | ")));
    }
    let text = text_of(&last["content"]);
    let call = |name: &str, argument: &str, value: &str| {
        let known = tools.iter().find(|tool| tool.ends_with(name));
        known.map(|tool| Reply::Call(tool.clone(), json!({argument: value})))
    };
    let after = |words: &str| {
        let (_, rest) = text.rsplit_once(words)?;
        Some(rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned())
    };
    let called = after("weather in ")
        .and_then(|city| call("weather", "city", &city))
        .or_else(|| after("Remember ").and_then(|fact| call("remember", "fact", &fact)))
        .or_else(|| after("Mail ").and_then(|to| call("send_mail", "to", &to)))
        .or_else(|| after("Read ").and_then(|name| call("read_document", "name", &name)))
        .or_else(|| after("Research ").and_then(|subject| delegate(&subject, tools)));
    if let Some(called) = called {
        return called;
    }
    if text.contains("without an end") { Reply::Endless } else { Reply::Text(format!("You said: {text}")) }
}

/// Calls a sub-agent, which each framework offers to the model as a tool in its own way.
fn delegate(subject: &str, tools: &[String]) -> Option<Reply> {
    let task = format!("What is the weather in {subject}?");
    let arguments = |name: &str| match name {
        "task" => Some(json!({"description": task, "subagent_type": "researcher"})),
        "delegate_task_to_member" => Some(json!({"member_id": "researcher", "task": task})),
        "researcher" => Some(json!({"request": task})),
        "task_researcher" => Some(json!({"objective": task})),
        "ask_researcher" => Some(json!({"question": task})),
        "transfer_to_agent" => Some(json!({"agent_name": "researcher"})),
        _ => None,
    };
    tools.iter().find_map(|tool| arguments(tool).map(|arguments| Reply::Call(tool.clone(), arguments)))
}

/// The text of a message's content, which is text or parts.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// Checks the order of tool calls and results as OpenAI does, with its error messages.
fn check_order(messages: &[Value]) -> Result<(), String> {
    let mut seen = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(place) = open.iter().position(|call| call == id) else {
                return Err(format!(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with \
                     'tool_calls'. (messages[{at}], {id})"
                ));
            };
            open.remove(place);
            continue;
        }
        answered(&open)?;
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        for id in calls.filter_map(|call| call["id"].as_str()) {
            if seen.iter().any(|known| known == id) {
                return Err(format!("Duplicate value for 'tool_call_id' of '{id}' in messages[{at}]"));
            }
            seen.push(id.to_owned());
            open.push(id.to_owned());
        }
    }
    answered(&open)
}

fn answered(open: &[String]) -> Result<(), String> {
    if open.is_empty() {
        return Ok(());
    }
    Err(format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    ))
}

fn refusal(message: &str) -> Response {
    let error = json!({"message": message, "type": "invalid_request_error", "param": "messages", "code": null});
    (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response()
}

/// Unique ids of an answer and of the call in it.
fn ids(number: usize) -> (String, String) {
    (format!("chatcmpl-{number}"), format!("call_{number}"))
}

fn whole(reply: Reply, number: usize) -> Response {
    let (answer, id) = ids(number);
    let (message, reason) = match reply {
        Reply::Text(text) => (json!({"role": "assistant", "content": text}), "stop"),
        Reply::Endless => (json!({"role": "assistant", "content": BEGINNING}), "stop"),
        Reply::Call(name, arguments) => {
            let function = json!({"name": name, "arguments": arguments.to_string()});
            let call = json!({"id": id, "type": "function", "function": function});
            (json!({"role": "assistant", "content": null, "tool_calls": [call]}), "tool_calls")
        }
    };
    let choice = json!({"index": 0, "message": message, "finish_reason": reason, "logprobs": null});
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
    Json(json!({"id": answer, "object": "chat.completion", "created": 1, "model": "scripted", "choices": [choice],
        "usage": usage}))
    .into_response()
}

fn chunk(id: &str, delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    let chunk =
        json!({"id": id, "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": [choice]});
    format!("data: {chunk}\n\n")
}

fn streamed(state: &Arc<ModelState>, reply: Reply, number: usize) -> Response {
    let (answer, id) = ids(number);
    let chunk = |delta: &Value, finish: Option<&str>| chunk(&answer, delta, finish);
    let mut pieces = vec![chunk(&json!({"role": "assistant", "content": ""}), None)];
    let say = |text: &str| -> Vec<String> {
        text.split_inclusive(' ').map(|word| chunk(&json!({"content": word}), None)).collect()
    };
    let end = |reason: &str| {
        let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
        let usage = json!({"id": answer, "object": "chat.completion.chunk", "created": 1, "model": "scripted",
            "choices": [], "usage": usage});
        [chunk(&json!({}), Some(reason)), format!("data: {usage}\n\n"), "data: [DONE]\n\n".to_owned()]
    };
    match reply {
        Reply::Text(text) => {
            pieces.extend(say(&text));
            pieces.extend(end("stop"));
        }
        Reply::Call(name, arguments) => {
            let arguments = arguments.to_string();
            let (first, second) = arguments.split_at(arguments.len() / 2);
            let function = json!({"name": name, "arguments": ""});
            pieces.push(chunk(
                &json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": function}]}),
                None,
            ));
            for part in [first, second] {
                pieces.push(chunk(&json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}), None));
            }
            pieces.extend(end("tool_calls"));
        }
        Reply::Endless => {
            pieces.extend(say(BEGINNING));
            let reading = ReadingCount::new(state);
            let word = Bytes::from(chunk(&json!({"content": " more"}), None));
            let more = stream::unfold((reading, word), |(reading, word)| async move {
                sleep(WORD_INTERVAL).await;
                Some((Ok::<_, Infallible>(word.clone()), (reading, word)))
            });
            let pieces = stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece))));
            return events(Body::from_stream(pieces.chain(more)));
        }
    }
    events(Body::from(pieces.concat()))
}

fn events(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Counts an endless answer while it is being read.
struct ReadingCount(Arc<ModelState>);

impl ReadingCount {
    fn new(state: &Arc<ModelState>) -> Self {
        state.endless.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for ReadingCount {
    fn drop(&mut self) {
        self.0.endless.fetch_sub(1, Ordering::Relaxed);
    }
}
