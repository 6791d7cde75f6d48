//! AG-UI out: runs over HTTP, as any front end or framework asks for them, and the judgement of others on what we say.

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
    model::server::{Model, call, calls, reasoning, stream, text as word, text_reply},
    remote::server as remote,
    support::{ADMIN, Client, PATIENCE, Person, Setup, TestServer, blocking, netra, problem, python, recorded},
};

const ADA: Person = Person { email: "ada@example.com", name: "Ada", password: "correct horse" };

/// What a caller says to have a question answered.
fn input(thread: &str, message: &str, text: &str) -> Value {
    let messages = json!([
        {"id": "earlier", "role": "user", "content": "what the log knows better"},
        {"id": "answer", "role": "assistant", "content": "so this is not looked at"},
        {"id": message, "role": "user", "content": text},
    ]);
    json!({"threadId": thread, "runId": "the caller's run", "messages": messages, "tools": [], "context": [],
        "state": {}, "forwardedProps": {}})
}

/// Somebody with an access token, and nothing else.
struct Asker {
    client: Client,
    token: String,
}

impl Asker {
    async fn new(server: &TestServer, person: Person) -> Self {
        Self { client: Client::new(server), token: server.token(person).await }
    }

    async fn post(&self, agent: &str, body: &Value) -> Response {
        let request = self.client.request(Method::POST, &format!("/api/agents/{agent}/agui"));
        request.bearer_auth(&self.token).json(body).send().await.expect("it answers")
    }

    async fn ask(&self, agent: &str, body: &Value) -> Vec<Value> {
        events(&text(self.post(agent, body).await).await)
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.client.request(Method::GET, path);
        request.bearer_auth(&self.token).send().await.expect("it answers")
    }

    async fn stop(&self, run: &str) -> StatusCode {
        let request = self.client.request(Method::DELETE, &format!("/api/runs/{run}"));
        request.bearer_auth(&self.token).send().await.expect("it answers").status()
    }
}

async fn text(answer: Response) -> String {
    let status = answer.status();
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let text = timeout(PATIENCE, answer.text()).await.expect("it ends").expect("text");
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}

/// What server-sent events hold, which are held to the framing that AG-UI's clients read.
fn events(text: &str) -> Vec<Value> {
    assert!(!text.contains('\r') && text.ends_with("\n\n"), "LF alone, and every event ends");
    let frames = text.split_terminator("\n\n").filter(|frame| !frame.starts_with(':'));
    let data = frames.map(|frame| {
        let data = frame.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {frame}"));
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))
    });
    data.collect()
}

/// Reads until so many events came.
async fn first(answer: Response, most: usize) -> Vec<Value> {
    let (mut stream, mut text) = (answer.bytes_stream(), String::new());
    while text.matches("data: ").count() <= most {
        let chunk = timeout(PATIENCE, stream.next()).await.expect("in time").expect("more").expect("a chunk");
        text.push_str(std::str::from_utf8(&chunk).expect("whole characters"));
    }
    events(&text[..text.rfind("data: ").expect("there is one")])
}

fn own<'a>(events: &'a [Value], id: &str) -> &'a str {
    events[0]["metadata"]["netra"][id].as_str().expect("Netra's own id")
}

fn kind(event: &Value) -> &str {
    event["type"].as_str().expect("a type")
}

#[tokio::test]
async fn a_run_is_told_to_its_end_and_stands_in_the_thread_of_its_owner() {
    let server = Setup::default().file(&recorded(5_000)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let body = input("support desk", "m1", "Where do my tokens go?");
    let told = asker.ask("replay", &body).await;
    let (start, end) = (&told[0], told.last().expect("an end"));
    assert_eq!((kind(start), kind(end)), ("RUN_STARTED", "RUN_FINISHED"));
    for named in [start, end] {
        assert_eq!((&named["threadId"], &named["runId"]), (&json!("support desk"), &json!("the caller's run")));
        assert_eq!(named["metadata"]["netra"], start["metadata"]["netra"]);
    }

    let again = asker.ask("replay", &body).await;
    assert_eq!(again, told, "the same message is the same run");
    let next = asker.ask("replay", &input("support desk", "m2", "And now?")).await;
    assert_eq!(own(&next, "threadId"), own(&told, "threadId"));
    assert_ne!(own(&next, "runId"), own(&told, "runId"));

    let browser = server.signed_in(ADMIN).await;
    let page = browser.get(&format!("/threads/{}", own(&told, "threadId"))).await.text().await.expect("a page");
    assert!(page.contains("Where do my tokens go?") && page.contains("And now?"));
    assert!(!page.contains("what the log knows better"), "what a caller says about the past is not taken");
}

#[tokio::test]
async fn what_was_asked_before_is_told_again_though_its_agent_is_gone() {
    let server = Setup::default().file(&recorded(5_000)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let body = input("a thread", "m1", "Where do my tokens go?");
    let told = asker.ask("replay", &body).await;
    let server = server.without_agents().await;
    let asker = Asker::new(&server, ADMIN).await;
    assert_eq!(asker.ask("replay", &body).await, told, "the answer that it got");
    problem(asker.post("replay", &input("a thread", "m2", "And now?")).await, 404, "not_found").await;
    problem(asker.post("replay", &input("another", "m1", "And here?")).await, 404, "not_found").await;
    let other = input("a thread", "m1", "Something else.");
    problem(asker.post("replay", &other).await, 409, "conflict").await;
}

#[tokio::test]
async fn ids_of_netra_are_taken_as_they_are_and_a_cookie_is_as_good_as_a_token() {
    let server = Setup::default().file(&recorded(5_000)).start().await;
    let (thread, message) = (ThreadId::new().to_string(), MessageId::new().to_string());
    let browser = server.signed_in(ADMIN).await;
    let request = browser.request(Method::POST, "/api/agents/replay/agui").header(header::ORIGIN, &server.url);
    let told = request.json(&input(&thread, &message, "Go on")).send().await.expect("it answers");
    let told = events(&text(told).await);
    assert_eq!((own(&told, "threadId"), told[0]["threadId"].as_str()), (&*thread, Some(&*thread)));
    let elsewhere =
        browser.request(Method::POST, "/api/agents/replay/agui").header(header::ORIGIN, "https://x.example");
    problem(elsewhere.json(&input(&thread, &message, "Go on")).send().await.expect("it answers"), 403, "forbidden")
        .await;
}

#[tokio::test]
async fn what_is_wrong_is_said_before_the_stream_opens() {
    let server = Setup::default().file(&recorded(5_000)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let good = input("t", "m", "Hello");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    problem(asker.post("nobody", &good).await, 404, "not_found").await;
    let body = problem(asker.post("replay", &json!({"threadId": "t"})).await, 422, "invalid_payload").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("runId")), "{body}");
    let message = json!([{"id": "m", "role": "wizard", "content": "x"}]);
    let body = problem(asker.post("replay", &with("messages", message)).await, 422, "invalid_payload").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("wizard")), "{body}");
    for messages in [json!([]), json!([{"id": "a", "role": "assistant", "content": "I am done"}])] {
        problem(asker.post("replay", &with("messages", messages)).await, 422, "invalid_payload").await;
    }
    let image = json!([{"id": "m", "role": "user", "content": [{"type": "image", "source": {}}]}]);
    problem(asker.post("replay", &with("messages", image)).await, 422, "invalid_payload").await;
    problem(asker.post("replay", &with("threadId", json!(""))).await, 422, "invalid_payload").await;
    problem(asker.post("replay", &with("threadId", json!("x".repeat(300)))).await, 422, "invalid_payload").await;
    problem(asker.post("replay", &input("t", "m", "  ")).await, 422, "invalid_payload").await;
    let resume = json!([{"interruptId": "i", "status": "resolved", "payload": {"approved": true}}]);
    problem(asker.post("replay", &with("resume", resume.clone())).await, 404, "not_found").await;
    let nobody = Client::new(&server);
    problem(nobody.post("/api/agents/replay/agui", &good).await, 401, "unauthorized").await;

    let browser = server.signed_in(ADMIN).await;
    assert!(!browser.get("/").await.text().await.expect("a page").contains("/threads/"), "nothing was made of these");

    asker.ask("replay", &good).await;
    problem(asker.post("replay", &with("resume", resume)).await, 409, "conflict").await;
    let other = input("t", "m", "Something else under the same id");
    problem(asker.post("replay", &other).await, 409, "conflict").await;
}

#[tokio::test]
async fn an_input_is_bounded_in_what_it_becomes() {
    let server = Setup::default().file(&recorded(5_000)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    // A value in every other byte: parsed, it would be fifty times as large.
    let mut body = input("t", "m", "Hello");
    body["forwardedProps"] = json!(vec![0; 300_000]);
    let refused = problem(asker.post("replay", &body).await, 413, "too_large").await;
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("values")), "{refused}");
    body["forwardedProps"] = json!({"text": "x".repeat(2_000_000)});
    let refused = problem(asker.post("replay", &body).await, 413, "too_large").await;
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("forwardedProps")), "{refused}");
    body["forwardedProps"] = json!({"text": "x".repeat(13_000_000)});
    problem(asker.post("replay", &body).await, 413, "too_large").await;
    // A long conversation is fine.
    let mut long = input("t", "m", "Hello");
    let said = |n: usize| json!({"id": format!("e{n}"), "role": "user", "content": "x".repeat(500)});
    let mut messages: Vec<Value> = (0..10_000).map(said).collect();
    messages.push(long["messages"][2].take());
    long["messages"] = json!(messages);
    assert_eq!(kind(asker.ask("replay", &long).await.last().expect("an end")), "RUN_FINISHED");
}

#[tokio::test]
async fn a_thread_is_its_owners_alone_whatever_others_call_theirs() {
    let server = Setup::default().file(&recorded(5_000)).start().await;
    server.add(ADA).await;
    let (admin, ada) = tokio::join!(Asker::new(&server, ADMIN), Asker::new(&server, ADA));
    let mine = admin.ask("replay", &input("shared name", "m", "Mine")).await;
    let hers = ada.ask("replay", &input("shared name", "m", "Hers")).await;
    assert_ne!(own(&mine, "threadId"), own(&hers, "threadId"));
    problem(ada.post("replay", &input(own(&mine, "threadId"), "m", "Let me in")).await, 409, "conflict").await;
    assert_eq!(ada.stop(own(&mine, "runId")).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_nothing_and_hears_all_of_it_later() {
    let server = Setup::default().file(&recorded(300)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let body = input("left", "m", "Go on without me");
    let heard = first(asker.post("replay", &body).await, 20).await;
    let told = asker.ask("replay", &body).await;
    assert_eq!(told[..heard.len()], heard[..], "the same, from the beginning");
    assert_eq!(kind(told.last().expect("an end")), "RUN_FINISHED");
    assert_eq!(told.last().expect("an end").get("outcome"), None, "nobody stopped it");
}

#[tokio::test]
async fn a_run_is_stopped_by_its_id() {
    let server = Setup::default().file(&recorded(50)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let body = input("stopped", "m", "Take your time");
    let run = own(&first(asker.post("replay", &body).await, 5).await, "runId").to_owned();
    let (told, stopped) = tokio::join!(asker.ask("replay", &body), asker.stop(&run));
    assert_eq!(stopped, StatusCode::NO_CONTENT);
    assert_eq!(told.last().expect("an end")["outcome"], json!({"type": "cancelled"}));
    assert_eq!(asker.stop(&run).await, StatusCode::NO_CONTENT, "again is as good");
}

#[tokio::test]
async fn what_a_caller_gives_along_reaches_a_remote_agent() {
    let remote = remote::Server::start(|_, mut answer| async move {
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
    let asker = Asker::new(&server, ADMIN).await;
    let mut body = input("t", "m1", "Count");
    let tool = json!({"name": "pick", "description": "Picks.", "parameters": {"type": "object"}, "metadata": {"k": 1}});
    body["tools"] = json!([tool]);
    body["context"] = json!([{"description": "where", "value": "here"}]);
    body["forwardedProps"] = json!({"theme": "dark"});
    body["state"] = json!({"count": 1});
    let told = asker.ask("remote", &body).await;
    let states: Vec<_> = told.iter().filter(|event| kind(event).starts_with("STATE")).map(kind).collect();
    assert_eq!(states, ["STATE_DELTA"], "it is not told of its own");
    asker.ask("remote", &input("t", "m2", "Go on")).await;
    let asked: Vec<Value> = remote.asked().into_iter().map(|asked| asked.input).collect();
    for field in ["tools", "context", "forwardedProps", "state"] {
        assert_eq!(asked[0][field], body[field], "{field}");
    }
    assert_eq!((&asked[1]["state"], &asked[1]["tools"]), (&json!({"count": 2}), &json!([])));

    let mut large = input("t", "m3", "Take this");
    large["state"] = json!({"text": "x".repeat(8 * 1024 * 1024)});
    problem(asker.post("remote", &large).await, 413, "too_large").await;
    large["state"] = json!({"texts": ["x".repeat(200_000), "y".repeat(200_000)]});
    asker.ask("remote", &large).await;
    assert_eq!(remote.asked()[2].input["state"], large["state"]);
}

#[tokio::test]
async fn a_stream_that_ends_before_its_run_says_why() {
    let server = Setup::default().with("SERVER__DRAIN_MS", 0).file(&recorded(50)).start().await;
    let browser = server.signed_in(ADMIN).await;
    let body = input("t", "m", "Take your time");
    let request = browser.request(Method::POST, "/api/agents/replay/agui").header(header::ORIGIN, &server.url);
    let signed_in = request.json(&body).send().await.expect("it answers");
    let asker = Asker::new(&server, ADMIN).await;
    let by_token = asker.post("replay", &body).await;
    assert_eq!(browser.call("/api/auth/sign-out").await.status(), StatusCode::NO_CONTENT);
    let told = events(&text(signed_in).await);
    assert_eq!(told.last().expect("an end")["code"], "disconnected");

    let (told, _) = tokio::join!(text(by_token), server.stop());
    assert_eq!(events(&told).last().expect("an end")["code"], "server_restarting");
}

#[tokio::test]
async fn callers_have_as_many_places_as_sockets_and_push_nobody_out() {
    let server = Setup::default().with("SOCKET__MAX_CONNECTIONS_PER_USER", 1).file(&recorded(50)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let held = asker.post("replay", &input("a", "m", "One")).await;
    problem(asker.post("replay", &input("b", "m", "Two")).await, 429, "too_many_connections").await;
    assert_eq!(first(held, 3).await.len(), 3, "the first goes on");
}

#[tokio::test]
async fn the_log_is_verified_and_a_broken_one_is_named() {
    let server = Setup::default().file(&recorded(5_000)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let told = asker.ask("replay", &input("t", "m", "Go on")).await;
    let verify = |data: std::path::PathBuf| async move {
        let mut command = netra();
        command.args(["store", "verify", "--data"]).arg(&data).current_dir(data);
        blocking(move || command.output()).await.expect("it ran")
    };
    let good = verify(server.data()).await;
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert_eq!((good.status.code(), said.trim()), (Some(0), "1 runs in 1 threads: every event is in order"));

    server.spoil();
    let (data, _stopped) = (server.data(), server.stop().await);
    let pool =
        sqlx::SqlitePool::connect(&format!("sqlite:{}", data.join("netra.db").display())).await.expect("a store");
    let deleted = sqlx::query("DELETE FROM entries WHERE entry LIKE '%TEXT_MESSAGE_END%'").execute(&pool).await;
    assert!(deleted.expect("it is deleted").rows_affected() > 0);
    pool.close().await;
    let broken = verify(data).await;
    let said = String::from_utf8_lossy(&broken.stdout).into_owned();
    assert_eq!(broken.status.code(), Some(1), "{said}");
    assert!(said.contains(own(&told, "runId")) && said.contains("still open"), "{said}");
}
