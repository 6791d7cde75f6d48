//! `GET /api/threads/<thread_id>/export`.

use netra::{
    protocol::{Item, ThreadEntry, ThreadId},
    thread::ThreadView,
};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};

use crate::support::{ADA, ADMIN, Client, Setup, problem, replay_agent};

/// Sends a message to the replay agent in a new thread, waits for the end of the run, and returns the path of the thread's export.
async fn answered_thread(client: &Client) -> String {
    let message = json!({"id": "question", "role": "user", "content": "What did it cost?"});
    let input = json!({
        "threadId": "export", "runId": "run", "messages": [message], "tools": [], "context": [], "state": {}, "forwardedProps": {}
    });
    let response = client.post("/api/agents/replay/agui", &input).await;
    assert_eq!(response.status(), StatusCode::OK);
    let thread = response.headers()["x-netra-thread-id"].to_str().expect("text").to_owned();
    assert!(response.text().await.expect("the events").contains("RUN_FINISHED"));
    format!("/api/threads/{thread}/export")
}

#[tokio::test]
async fn the_exported_log_folds_to_the_same_thread() {
    // Each delta is an entry of its own.
    let server = Setup::default().with("SOCKET__COALESCE_MS", 0).file(&replay_agent(100_000)).start().await;
    let client = server.signed_in(ADMIN).await;
    let path = answered_thread(&client).await;
    let response = client.get(&format!("{path}?format=jsonl")).await;
    let disposition = response.headers()[header::CONTENT_DISPOSITION].to_str().expect("text").to_owned();
    assert!(disposition.starts_with("attachment; filename=\"What did it cost?.jsonl\""), "{disposition}");
    let text = response.text().await.expect("the log");
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let head = lines.next().expect("a first line");
    assert_eq!(
        (head["format"].as_str(), head["thread"]["title"].as_str()),
        (Some("netra.thread.v1"), Some("What did it cost?"))
    );
    let (mut view, mut last) = (ThreadView::default(), 0);
    for line in lines {
        let seq = line["seq"].as_u64().expect("a number");
        assert_eq!(seq, last + 1, "no entry is missing or comes twice");
        last = seq;
        let entry: ThreadEntry = serde_json::from_value(line["entry"].clone()).expect("an entry");
        view.apply(line["at"].as_i64().expect("a time"), entry);
    }
    assert_eq!(head["seq"], last);
    assert!(last > 256, "more than one page");
    assert!(
        matches!(&view.items[..], [Item::Message(_), Item::Run(run)] if run.state.is_over()),
        "{:?}",
        view.items.len()
    );
}

#[tokio::test]
async fn a_thread_is_exported_as_markdown_to_its_owner_alone() {
    let server = Setup::default().file(&replay_agent(100_000)).start().await;
    let client = server.signed_in(ADMIN).await;
    let path = answered_thread(&client).await;
    let markdown = client.get(&format!("{path}?format=markdown")).await;
    assert_eq!(markdown.headers()[header::CONTENT_TYPE], "text/markdown; charset=utf-8");
    let text = markdown.text().await.expect("the document");
    assert!(text.starts_with("# What did it cost?\n\n## "), "{text}");
    assert!(text.contains("\n\nWhat did it cost?\n\n## "), "{text}");
    problem(client.get(&format!("{path}?format=pdf")).await, 422, "invalid_payload").await;
    problem(client.get(&path).await, 422, "invalid_payload").await;
    server.add_member(ADA).await;
    let ada = server.signed_in(ADA).await;
    problem(ada.get(&format!("{path}?format=jsonl")).await, 404, "not_found").await;
    problem(Client::new(&server).get(&format!("{path}?format=jsonl")).await, 401, "unauthorized").await;
    let other = format!("/api/threads/{}/export?format=jsonl", ThreadId::new());
    problem(client.get(&other).await, 404, "not_found").await;
}
