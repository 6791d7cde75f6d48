//! AG-UI out: runs over HTTP, as any front end or framework asks for them, and the judgement of others on what we say.
#![cfg(feature = "ssr")]

#[path = "agui/frameworks.rs"]
mod frameworks;
#[path = "model/server.rs"]
#[allow(dead_code, reason = "the model's own tests use more of it")]
mod model;
#[path = "remote/server.rs"]
#[allow(dead_code, unreachable_pub, reason = "the remote agents' own tests use more of it")]
mod remote;
mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::StreamExt;
use model::{Model, call, calls, reasoning, says, stream, text as word};
use netra::protocol::{MessageId, ThreadId};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use support::{ADMIN, Client, PATIENCE, Person, Setup, TestServer, blocking, netra, problem, python, recorded};
use tokio::{task::spawn_blocking, time::timeout};

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

/// An input whose last message has these parts.
fn carrying(thread: &str, message: &str, parts: Value) -> Value {
    let mut body = input(thread, message, "");
    body["messages"][2]["content"] = parts;
    body
}

fn file(mime_type: &str, value: &str) -> Value {
    json!({"type": "document", "source": {"type": "data", "value": value, "mimeType": mime_type}, "metadata": {"filename": "a log.csv"}})
}

#[tokio::test]
async fn files_in_parts_are_files_of_the_message_and_can_be_downloaded_by_its_owner_alone() {
    let server = Setup::default().start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let log = "timestamp,model,input_tokens,output_tokens\n2026-01-31T12:00:00Z,gpt-4.1,1200,150\n";
    let value = BASE64_STANDARD.encode(log);
    let parts = json!([{"type": "text", "text": "Where do"}, file("text/csv", &value), {"type": "text", "text": "my tokens go?"}]);
    let body = carrying("with a log", "m", parts);
    let told = asker.ask("analyst", &body).await;
    assert!(json!(told).to_string().contains("gpt-4.1"), "the analyst read it: {told:#?}");
    assert_eq!(asker.ask("analyst", &body).await, told, "the same message with the same files is the same run");

    let folder = server.data().join("files").join(own(&told, "threadId"));
    let kept: Vec<_> =
        std::fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(kept.len(), 1, "once: {kept:?}");
    let place = format!("/api/threads/{}/files/{}", own(&told, "threadId"), kept[0].display());
    let browser = server.signed_in(ADMIN).await;
    let answer = browser.get(&place).await;
    let header = |name: header::HeaderName| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header(header::CONTENT_DISPOSITION), "attachment; filename=\"a log.csv\"; filename*=UTF-8''a%20log.csv");
    assert_eq!(header(header::CONTENT_TYPE), "application/octet-stream");
    assert_eq!(answer.text().await.expect("a file"), log);
    let page = browser.get(&format!("/threads/{}", own(&told, "threadId"))).await.text().await.expect("a page");
    assert!(page.contains("a log.csv"), "it stands with its message");

    server.add(ADA).await;
    let ada = server.signed_in(ADA).await;
    problem(ada.get(&place).await, 404, "not_found").await;
    let nothing = format!("/api/threads/{}/files/{}", own(&told, "threadId"), MessageId::new());
    problem(browser.get(&nothing).await, 404, "not_found").await;
    let other = json!([{"type": "text", "text": "Where do\nmy tokens go?"}, file("text/csv", "b3RoZXI=")]);
    problem(asker.post("analyst", &carrying("with a log", "m", other)).await, 409, "conflict").await;
}

#[tokio::test]
async fn what_is_wrong_with_a_part_is_said_before_anything_is_kept() {
    let server =
        Setup::default().with("ANALYST__MAX_FILE_BYTES", 8).with("ANALYST__MAX_THREAD_BYTES", 12).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let words = json!({"type": "text", "text": "Look"});
    let elsewhere = json!({"type": "image", "source": {"type": "url", "value": "http://127.0.0.1:1/secret.png"}});
    let (large, many) = (file("text/csv", "MTIzNDU2Nzg5"), vec![file("text/csv", ""); 9]);
    let cases = [
        (
            json!([words, elsewhere]),
            422,
            "invalid_payload",
            "`content[1]` of the last message points to a file elsewhere",
        ),
        (json!([words, file("text/csv", "?")]), 422, "invalid_payload", "is no base64"),
        (json!([words, large]), 413, "too_large", "`content[1]` of the last message is too large"),
        (
            json!([[words.clone()].as_slice(), &many].concat()),
            422,
            "invalid_payload",
            "`content[9]` of the last message is one file too many",
        ),
        (json!([file("text/csv", "aGk=")]), 422, "invalid_payload", "the text is empty"),
    ];
    for (parts, status, code, why) in cases {
        let body = problem(asker.post("analyst", &carrying("t", "m", parts)).await, status, code).await;
        assert!(body["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{body}");
    }
    assert_eq!(std::fs::read_dir(server.data().join("files")).expect("a folder").count(), 0, "nothing was kept");
    let both = json!([words, file("text/csv", "MTIzNDU2Nzg="), file("text/csv", "MTIzNDU2Nzg=")]);
    let body = problem(asker.post("analyst", &carrying("t", "m", both)).await, 413, "too_large").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("of a thread")), "{body}");
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

/// A recording in the server's folder to be: an agent that leaves a call to whoever asked.
fn calling(folder: &Path) -> String {
    let file = folder.join("calls.jsonl");
    let events = [
        json!({"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "pick_colour"}),
        json!({"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": "{}"}),
        json!({"type": "TOOL_CALL_END", "toolCallId": "c"}),
        json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r",
            "outcome": {"type": "success", "pendingToolCallIds": ["c"]}}),
    ];
    std::fs::write(&file, events.map(|event| format!("{event}\n")).concat()).expect("it is written");
    let file = file.display();
    format!(
        "[[agents]]\nid = \"calls\"\nname = \"Calls\"\nkind = \"replay\"\nfile = \"{file}\"\nevents_per_second = 1000\n"
    )
}

#[tokio::test]
async fn the_results_of_a_callers_own_tools_are_taken_once_and_all_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Setup::default().file(&calling(folder.path())).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let mut body = input("t", "m", "Paint it");
    let told = asker.ask("calls", &body).await;
    let call = told.last().expect("an end")["outcome"]["pendingToolCallIds"][0].clone();
    let result = |id: &str, call: &Value, content: &str| json!({"id": id, "role": "tool", "toolCallId": call, "content": content});
    let messages = body["messages"].as_array().expect("messages").clone();
    let mut ask = |results: &[Value]| {
        body["messages"] = [messages.as_slice(), results].concat().into();
        body.clone()
    };
    let other = ask(&[result("r", &json!("another"), "red")]);
    problem(asker.post("calls", &other).await, 409, "conflict").await;
    let large = ask(&[result("r", &call, &"x".repeat(70_000))]);
    problem(asker.post("calls", &large).await, 413, "too_large").await;
    let given = ask(&[result("r", &call, "blue")]);
    let next = asker.ask("calls", &given).await;
    assert_ne!(own(&next, "runId"), own(&told, "runId"));
    assert!(next.iter().all(|event| kind(event) != "TOOL_CALL_RESULT"), "the caller has it");
    assert_eq!(asker.ask("calls", &given).await, next, "the same again is the same run");
    let again = ask(&[result("another", &call, "green")]);
    problem(asker.post("calls", &again).await, 409, "conflict").await;
}

#[tokio::test]
async fn results_before_a_persons_words_are_taken_along_and_a_run_is_answered_at_its_own_agent() {
    let folder = tempfile::tempdir().expect("a folder");
    let both = calling(folder.path()) + &recorded(5_000);
    let server = Setup::default().file(&both).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let told = asker.ask("calls", &input("t", "m1", "Paint it")).await;
    let call = told.last().expect("an end")["outcome"]["pendingToolCallIds"][0].clone();
    let result = json!({"id": "r", "role": "tool", "toolCallId": call, "content": "BLUE"});
    let with = |message: &str, text: &str| {
        let mut body = input("t", message, text);
        body["messages"].as_array_mut().expect("messages").insert(2, result.clone());
        body
    };
    let mut alone = input("t", "m2", "");
    alone["messages"][2] = result.clone();
    let refused = problem(asker.post("replay", &alone).await, 409, "conflict").await;
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("of the agent `calls`")), "{refused}");
    let next = asker.ask("replay", &with("m2", "Thanks")).await;
    assert!(next.iter().all(|event| event["toolCallId"] != call), "the caller has it");
    let browser = server.signed_in(ADMIN).await;
    let page = browser.get(&format!("/threads/{}", own(&told, "threadId"))).await.text().await.expect("a page");
    assert!(page.contains("BLUE"), "it stands with the call");
    problem(asker.post("calls", &alone).await, 409, "conflict").await;
    let again = asker.ask("replay", &with("m3", "Thanks again")).await;
    assert_eq!(kind(again.last().expect("an end")), "RUN_FINISHED", "a second time it is not looked at");
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
    assert_eq!(states, ["STATE_SNAPSHOT", "STATE_DELTA"]);
    asker.ask("remote", &input("t", "m2", "Go on")).await;
    let asked: Vec<Value> = remote.asked().into_iter().map(|asked| asked.input).collect();
    for field in ["tools", "context", "forwardedProps", "state"] {
        assert_eq!(asked[0][field], body[field], "{field}");
    }
    assert_eq!((&asked[1]["state"], &asked[1]["tools"]), (&json!({"count": 2}), &json!([])));

    let mut large = input("t", "m3", "Take this");
    large["state"] = json!({"text": "x".repeat(300_000)});
    problem(asker.post("remote", &large).await, 413, "too_large").await;
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

/// The independent validator. Installing it may take longer than anything else here.
async fn validator() -> PathBuf {
    let install = || python::environment("ag-ui-validate", "ag-ui-validate==0.4.0\n").join("ag-ui-validate");
    spawn_blocking(install).await.expect("no panic")
}

/// Judges a stream as somebody else's program does.
async fn judge(program: &Path, folder: &Path, name: &str, stream: &str) {
    let capture = folder.join("capture.sse");
    std::fs::write(&capture, stream).expect("it is written");
    let mut command = Command::new(program);
    command.arg(&capture).args(["--max-warnings", "0", "--no-color"]);
    let judged = blocking(move || command.output()).await.expect("it ran");
    assert!(judged.status.success(), "{name}: {}", String::from_utf8_lossy(&judged.stdout));
}

#[tokio::test]
async fn an_independent_validator_has_not_one_warning() {
    let program = validator().await;
    let server = Setup::default().file(&recorded(5_000)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/samples/support-assistant.csv");
    let thread = ThreadId::new().to_string();
    asker.ask("analyst", &input(&thread, "no file yet", "Where do my tokens go?")).await;
    let browser = server.signed_in(ADMIN).await;
    let uploaded = browser.upload(&thread, "log.csv", std::fs::read(sample).expect("the sample")).await;
    assert_eq!(uploaded.status(), StatusCode::CREATED);
    let question = "Cut cost, compare gpt-4.1 with gpt-4.1-mini, make it faster, forecast next month";
    for (name, agent, message, text) in [
        ("without a file", "analyst", "no file yet", "Where do my tokens go?"),
        ("the whole analysis", "analyst", "with a file", question),
        ("a recorded run", "replay", "recorded", "Play it"),
    ] {
        let told = self::text(asker.post(agent, &input(&thread, message, text)).await).await;
        judge(&program, server.folder(), name, &told).await;
    }
}

#[tokio::test]
async fn a_model_passes_too_with_tools_of_its_own_a_persons_consent_and_the_callers_tools() {
    let program = validator().await;
    let scripted = Model::with([
        stream(
            [reasoning("Which "), reasoning("files?"), word("I will look. "), call(0, "c1", "list_files")],
            "tool_calls",
        ),
        calls(&[("describe_log", "c2", json!({}))]),
        calls(&[("pick_colour", "c3", json!({"of": "the chart"}))]),
        says("Blue it is."),
    ])
    .await;
    let agent = format!(
        "[[agents]]\nid = \"model\"\nname = \"Model\"\nkind = \"model\"\nmodel = \"scripted\"\nbase_url = \"{}\"\n\
         tools = [\"data\"]\n[[tools]]\nid = \"data\"\nkind = \"builtin\"\n\
         consent = {{ default = \"automatic\", describe_log = \"ask\" }}\n",
        scripted.url
    );
    let server = Setup::default().file(&agent).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let mut body = input("modelled", "m", "What is there?");
    body["tools"] = json!([{"name": "pick_colour", "description": "Picks.", "parameters": {"type": "object"}}]);

    let first = text(asker.post("model", &body).await).await;
    judge(&program, server.folder(), "until it asks", &first).await;
    let told = events(&first);
    let interrupt = told.last().expect("an end")["outcome"]["interrupts"][0].clone();
    assert_eq!(interrupt["reason"], "tool_call", "{told:#?}");

    let mut answer = body.clone();
    answer["resume"] = json!([{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": true}}]);
    let second = text(asker.post("model", &answer).await).await;
    judge(&program, server.folder(), "after consent", &second).await;
    let told = events(&second);
    let pending = told.last().expect("an end")["outcome"]["pendingToolCallIds"].clone();
    assert_eq!(pending.as_array().map(Vec::len), Some(1), "{told:#?}");

    let result = json!({"id": "r", "role": "tool", "toolCallId": pending[0], "content": "blue, said the caller"});
    body["messages"].as_array_mut().expect("messages").push(result);
    let third = text(asker.post("model", &body).await).await;
    judge(&program, server.folder(), "with the caller's result", &third).await;
    assert!(third.contains("Blue it is."), "{third}");
    let asked = scripted.asked();
    let known = asked.last().expect("four requests").body["messages"].to_string();
    assert!(asked.len() == 4 && known.contains("blue, said the caller"), "{known}");
}
