//! AG-UI over HTTP: runs as a front end or framework requests them, and independent validation of the events.

mod files;
mod frameworks;
mod results;
mod validator;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::StreamExt;
use netra::protocol::{MessageId, ThreadId};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    model::server::{Model, call, call_reply, reasoning, stream, text as word, text_reply},
    remote::server as remote,
    support::{
        ADA, ADMIN, Account, Client, Setup, TEST_TIMEOUT, TestServer, blocking, netra, problem, python, replay_agent,
    },
};

/// A `RunAgentInput` with an earlier conversation and a new message.
fn input(thread: &str, message: &str, text: &str) -> Value {
    let messages = json!([
        {"id": "earlier", "role": "user", "content": "not what the log has"},
        {"id": "answer", "role": "assistant", "content": "so the server ignores this"},
        {"id": message, "role": "user", "content": text},
    ]);
    json!({"threadId": thread, "runId": "the caller's run", "messages": messages, "tools": [], "context": [],
        "state": {}, "forwardedProps": {}})
}

/// A program that calls with an access token.
struct Caller {
    client: Client,
    token: String,
}

impl Caller {
    async fn new(server: &TestServer, account: Account) -> Self {
        Self { client: Client::new(server), token: server.token(account).await }
    }

    async fn post(&self, agent: &str, body: &Value) -> Response {
        let request = self.client.request(Method::POST, &format!("/api/agents/{agent}/agui"));
        request.bearer_auth(&self.token).json(body).send().await.expect("the server answers")
    }

    async fn ask(&self, agent: &str, body: &Value) -> Vec<Value> {
        events(&text(self.post(agent, body).await).await)
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.client.request(Method::GET, path);
        request.bearer_auth(&self.token).send().await.expect("the server answers")
    }

    async fn stop(&self, run: &str) -> StatusCode {
        let request = self.client.request(Method::DELETE, &format!("/api/runs/{run}"));
        request.bearer_auth(&self.token).send().await.expect("the server answers").status()
    }
}

async fn text(answer: Response) -> String {
    let status = answer.status();
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let text = timeout(TEST_TIMEOUT, answer.text()).await.expect("it ends in time").expect("text");
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}

/// The events of a stream of server-sent events, whose framing AG-UI's clients must be able to read.
fn events(text: &str) -> Vec<Value> {
    assert!(!text.contains('\r') && text.ends_with("\n\n"), "only LF, and every event ends with an empty line");
    let frames = text.split_terminator("\n\n").filter(|frame| !frame.starts_with(':'));
    let data = frames.map(|frame| {
        let data = frame.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {frame}"));
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))
    });
    data.collect()
}

/// Reads the first `count` events.
async fn first_events(answer: Response, count: usize) -> Vec<Value> {
    let (mut stream, mut text) = (answer.bytes_stream(), String::new());
    while text.matches("data: ").count() <= count {
        let chunk =
            timeout(TEST_TIMEOUT, stream.next()).await.expect("in time").expect("another chunk").expect("a chunk");
        text.push_str(std::str::from_utf8(&chunk).expect("whole characters"));
    }
    events(&text[..text.rfind("data: ").expect("an event")])
}

/// The id that Netra gave, `threadId` or `runId`.
fn netra_id<'a>(events: &'a [Value], id: &str) -> &'a str {
    events[0]["metadata"]["netra"][id].as_str().expect("Netra's own id")
}

fn event_type(event: &Value) -> &str {
    event["type"].as_str().expect("a type")
}

#[tokio::test]
async fn a_run_is_streamed_to_its_end_and_appears_in_its_owners_thread() {
    let server = Setup::default().file(&replay_agent(5_000)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let body = input("support desk", "m1", "Where do my tokens go?");
    let received = caller.ask("replay", &body).await;
    let (start, end) = (&received[0], received.last().expect("an end"));
    assert_eq!((event_type(start), event_type(end)), ("RUN_STARTED", "RUN_FINISHED"));
    for named in [start, end] {
        assert_eq!((&named["threadId"], &named["runId"]), (&json!("support desk"), &json!("the caller's run")));
        assert_eq!(named["metadata"]["netra"], start["metadata"]["netra"]);
    }

    let again = caller.ask("replay", &body).await;
    assert_eq!(again, received, "the same message is the same run");
    let next = caller.ask("replay", &input("support desk", "m2", "And now?")).await;
    assert_eq!(netra_id(&next, "threadId"), netra_id(&received, "threadId"));
    assert_ne!(netra_id(&next, "runId"), netra_id(&received, "runId"));

    let browser = server.signed_in(ADMIN).await;
    let page =
        browser.get(&format!("/threads/{}", netra_id(&received, "threadId"))).await.text().await.expect("a page");
    assert!(page.contains("Where do my tokens go?") && page.contains("And now?"));
    assert!(!page.contains("not what the log has"), "the caller's version of earlier messages is ignored");
}

#[tokio::test]
async fn an_answered_message_is_streamed_again_though_its_agent_was_removed() {
    let server = Setup::default().file(&replay_agent(5_000)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let body = input("a thread", "m1", "Where do my tokens go?");
    let received = caller.ask("replay", &body).await;
    let server = server.without_agents().await;
    let caller = Caller::new(&server, ADMIN).await;
    assert_eq!(caller.ask("replay", &body).await, received, "the same events as before");
    problem(caller.post("replay", &input("a thread", "m2", "And now?")).await, 404, "not_found").await;
    problem(caller.post("replay", &input("another", "m1", "And here?")).await, 404, "not_found").await;
    let other = input("a thread", "m1", "Something else.");
    problem(caller.post("replay", &other).await, 409, "conflict").await;
}

#[tokio::test]
async fn ids_of_netra_are_kept_and_a_cookie_works_like_a_token() {
    let server = Setup::default().file(&replay_agent(5_000)).start().await;
    let (thread, message) = (ThreadId::new().to_string(), MessageId::new().to_string());
    let browser = server.signed_in(ADMIN).await;
    let request = browser.request(Method::POST, "/api/agents/replay/agui").header(header::ORIGIN, &server.url);
    let received = request.json(&input(&thread, &message, "Go on")).send().await.expect("the server answers");
    let received = events(&text(received).await);
    assert_eq!((netra_id(&received, "threadId"), received[0]["threadId"].as_str()), (&*thread, Some(&*thread)));
    let elsewhere =
        browser.request(Method::POST, "/api/agents/replay/agui").header(header::ORIGIN, "https://x.example");
    problem(
        elsewhere.json(&input(&thread, &message, "Go on")).send().await.expect("the server answers"),
        403,
        "forbidden",
    )
    .await;
}

#[tokio::test]
async fn an_invalid_request_is_refused_before_the_stream_opens() {
    let server = Setup::default().file(&replay_agent(5_000)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let good = input("t", "m", "Hello");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    problem(caller.post("nobody", &good).await, 404, "not_found").await;
    let body = problem(caller.post("replay", &json!({"threadId": "t"})).await, 422, "invalid_payload").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("runId")), "{body}");
    let message = json!([{"id": "m", "role": "wizard", "content": "x"}]);
    let body = problem(caller.post("replay", &with("messages", message)).await, 422, "invalid_payload").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("wizard")), "{body}");
    for messages in [json!([]), json!([{"id": "a", "role": "assistant", "content": "I am done"}])] {
        problem(caller.post("replay", &with("messages", messages)).await, 422, "invalid_payload").await;
    }
    let image = json!([{"id": "m", "role": "user", "content": [{"type": "image", "source": {}}]}]);
    problem(caller.post("replay", &with("messages", image)).await, 422, "invalid_payload").await;
    problem(caller.post("replay", &with("threadId", json!(""))).await, 422, "invalid_payload").await;
    problem(caller.post("replay", &with("threadId", json!("x".repeat(300)))).await, 422, "invalid_payload").await;
    problem(caller.post("replay", &input("t", "m", "  ")).await, 422, "invalid_payload").await;
    let resume = json!([{"interruptId": "i", "status": "resolved", "payload": {"approved": true}}]);
    problem(caller.post("replay", &with("resume", resume.clone())).await, 404, "not_found").await;
    let nobody = Client::new(&server);
    problem(nobody.post("/api/agents/replay/agui", &good).await, 401, "unauthorized").await;

    let browser = server.signed_in(ADMIN).await;
    assert!(
        !browser.get("/").await.text().await.expect("a page").contains("/threads/"),
        "a refused request creates no thread"
    );

    caller.ask("replay", &good).await;
    problem(caller.post("replay", &with("resume", resume)).await, 409, "conflict").await;
    let other = input("t", "m", "Something else under the same id");
    problem(caller.post("replay", &other).await, 409, "conflict").await;
}

#[tokio::test]
async fn an_input_is_bounded_by_its_size_in_memory() {
    let server = Setup::default().file(&replay_agent(5_000)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    // A value in every second byte: parsed, it would take fifty times the memory.
    let mut body = input("t", "m", "Hello");
    body["forwardedProps"] = json!(vec![0; 300_000]);
    let refused = problem(caller.post("replay", &body).await, 413, "too_large").await;
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("values")), "{refused}");
    body["forwardedProps"] = json!({"text": "x".repeat(2_000_000)});
    let refused = problem(caller.post("replay", &body).await, 413, "too_large").await;
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("forwardedProps")), "{refused}");
    body["forwardedProps"] = json!({"text": "x".repeat(13_000_000)});
    problem(caller.post("replay", &body).await, 413, "too_large").await;
    // A long conversation is accepted.
    let mut long = input("t", "m", "Hello");
    let message = |n: usize| json!({"id": format!("e{n}"), "role": "user", "content": "x".repeat(500)});
    let mut messages: Vec<Value> = (0..10_000).map(message).collect();
    messages.push(long["messages"][2].take());
    long["messages"] = json!(messages);
    assert_eq!(event_type(caller.ask("replay", &long).await.last().expect("an end")), "RUN_FINISHED");
}

#[tokio::test]
async fn a_thread_belongs_to_its_owner_though_another_caller_uses_the_same_name() {
    let server = Setup::default().file(&replay_agent(5_000)).start().await;
    server.add_member(ADA).await;
    let (admin, ada) = tokio::join!(Caller::new(&server, ADMIN), Caller::new(&server, ADA));
    let mine = admin.ask("replay", &input("shared name", "m", "Mine")).await;
    let hers = ada.ask("replay", &input("shared name", "m", "Hers")).await;
    assert_ne!(netra_id(&mine, "threadId"), netra_id(&hers, "threadId"));
    problem(ada.post("replay", &input(netra_id(&mine, "threadId"), "m", "Let me in")).await, 409, "conflict").await;
    assert_eq!(ada.stop(netra_id(&mine, "runId")).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_caller_that_disconnects_does_not_stop_the_run_and_can_read_all_of_it_later() {
    let server = Setup::default().file(&replay_agent(300)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let body = input("left", "m", "Go on without me");
    let partial = first_events(caller.post("replay", &body).await, 20).await;
    let received = caller.ask("replay", &body).await;
    assert_eq!(received[..partial.len()], partial[..], "the same, from the beginning");
    assert_eq!(event_type(received.last().expect("an end")), "RUN_FINISHED");
    assert_eq!(received.last().expect("an end").get("outcome"), None, "the run was not stopped");
}

#[tokio::test]
async fn a_run_is_stopped_by_its_id() {
    let server = Setup::default().file(&replay_agent(50)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let body = input("stopped", "m", "Take your time");
    let run = netra_id(&first_events(caller.post("replay", &body).await, 5).await, "runId").to_owned();
    let (received, stopped) = tokio::join!(caller.ask("replay", &body), caller.stop(&run));
    assert_eq!(stopped, StatusCode::NO_CONTENT);
    assert_eq!(received.last().expect("an end")["outcome"], json!({"type": "cancelled"}));
    assert_eq!(caller.stop(&run).await, StatusCode::NO_CONTENT, "a repeated stop succeeds");
}

#[tokio::test]
async fn a_callers_tools_context_and_state_reach_a_remote_agent() {
    let remote = remote::Endpoint::start(|_, mut answer| async move {
        answer.begin().await?;
        let delta = json!({"type": "STATE_DELTA", "delta": [{"op": "replace", "path": "/count", "value": 2}]});
        answer.event(&delta).await?;
        answer.finish().await
    })
    .await;
    let agent = format!(
        "[[agents]]\nid = \"remote\"\nname = \"Remote\"\nkind = \"ag-ui\"\nurl = \"{}\"\nallow_private_network = true\n",
        remote.url
    );
    let server = Setup::default().file(&agent).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let mut body = input("t", "m1", "Count");
    let tool = json!({"name": "pick", "description": "Picks.", "parameters": {"type": "object"}, "metadata": {"k": 1}});
    body["tools"] = json!([tool]);
    body["context"] = json!([{"description": "where", "value": "here"}]);
    body["forwardedProps"] = json!({"theme": "dark"});
    body["state"] = json!({"count": 1});
    let received = caller.ask("remote", &body).await;
    let states: Vec<_> =
        received.iter().filter(|event| event_type(event).starts_with("STATE")).map(event_type).collect();
    assert_eq!(states, ["STATE_DELTA"], "the caller's own state is not sent back");
    caller.ask("remote", &input("t", "m2", "Go on")).await;
    let inputs: Vec<Value> = remote.requests().into_iter().map(|request| request.input).collect();
    for field in ["tools", "context", "forwardedProps", "state"] {
        assert_eq!(inputs[0][field], body[field], "{field}");
    }
    assert_eq!((&inputs[1]["state"], &inputs[1]["tools"]), (&json!({"count": 2}), &json!([])));

    let mut large = input("t", "m3", "Take this");
    large["state"] = json!({"text": "x".repeat(8 * 1024 * 1024)});
    problem(caller.post("remote", &large).await, 413, "too_large").await;
    large["state"] = json!({"texts": ["x".repeat(200_000), "y".repeat(200_000)]});
    caller.ask("remote", &large).await;
    assert_eq!(remote.requests()[2].input["state"], large["state"]);
}

#[tokio::test]
async fn a_stream_that_ends_before_its_run_gives_the_reason() {
    let server = Setup::default().with("SERVER__DRAIN_MS", 0).file(&replay_agent(50)).start().await;
    let browser = server.signed_in(ADMIN).await;
    let body = input("t", "m", "Take your time");
    let request = browser.request(Method::POST, "/api/agents/replay/agui").header(header::ORIGIN, &server.url);
    let signed_in = request.json(&body).send().await.expect("the server answers");
    let caller = Caller::new(&server, ADMIN).await;
    let by_token = caller.post("replay", &body).await;
    assert_eq!(browser.call("/api/auth/sign-out").await.status(), StatusCode::NO_CONTENT);
    let received = events(&text(signed_in).await);
    assert_eq!(received.last().expect("an end")["code"], "disconnected");

    let (received, _) = tokio::join!(text(by_token), server.stop());
    assert_eq!(events(&received).last().expect("an end")["code"], "server_restarting");
}

#[tokio::test]
async fn callers_share_the_connection_limit_with_sockets_and_close_none() {
    let server = Setup::default().with("SOCKET__MAX_CONNECTIONS_PER_USER", 1).file(&replay_agent(50)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let held = caller.post("replay", &input("a", "m", "One")).await;
    problem(caller.post("replay", &input("b", "m", "Two")).await, 429, "too_many_connections").await;
    assert_eq!(first_events(held, 3).await.len(), 3, "the first stream stays open");
}

#[tokio::test]
async fn the_log_is_verified_and_a_broken_one_is_named() {
    let server = Setup::default().file(&replay_agent(5_000)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let received = caller.ask("replay", &input("t", "m", "Go on")).await;
    let verify = |data: std::path::PathBuf| async move {
        let mut command = netra();
        command.args(["store", "verify", "--data"]).arg(&data).current_dir(data);
        blocking(move || command.output()).await.expect("the program runs")
    };
    let good = verify(server.data()).await;
    let output = String::from_utf8_lossy(&good.stdout).into_owned();
    assert_eq!((good.status.code(), output.trim()), (Some(0), "1 runs in 1 threads checked: all follow AG-UI's rules"));

    server.skip_log_verification();
    let (data, _stopped) = (server.data(), server.stop().await);
    let pool =
        sqlx::SqlitePool::connect(&format!("sqlite:{}", data.join("netra.db").display())).await.expect("a store");
    let deleted = sqlx::query("DELETE FROM entries WHERE entry LIKE '%TEXT_MESSAGE_END%'").execute(&pool).await;
    assert!(deleted.expect("the entries are deleted").rows_affected() > 0);
    pool.close().await;
    let broken = verify(data).await;
    let output = String::from_utf8_lossy(&broken.stdout).into_owned();
    assert_eq!(broken.status.code(), Some(1), "{output}");
    assert!(output.contains(netra_id(&received, "runId")) && output.contains("still open"), "{output}");
}
