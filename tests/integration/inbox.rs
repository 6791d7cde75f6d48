//! The inbox: the questions of all threads that wait for a person.

use std::{fmt::Write as _, path::Path};

use netra::{
    protocol::{
        Answer, AnswerStatus, ArchiveThread, CreateThread, DeleteThread, InterruptAnswer, MessageId, NodeBody, RunId,
        SendMessage, ThreadId, http::InboxPage,
    },
    socket::native::Client as Socket,
};
use serde_json::json;

use crate::support::{ADA, ADMIN, Client, Deployment, Setup, TestServer, poll, problem};

/// An agent whose runs write a long text, call two tools, and end with a question about the second call.
fn asking_agent(folder: &Path) -> String {
    let file = folder.join("asks.jsonl");
    let events = [
        json!({"type": "RUN_STARTED", "threadId": "t", "runId": "r"}),
        json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"}),
        json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "I will delete a file."}),
        json!({"type": "TEXT_MESSAGE_END", "messageId": "m"}),
        json!({"type": "TOOL_CALL_START", "toolCallId": "b", "toolCallName": "list_files"}),
        json!({"type": "TOOL_CALL_END", "toolCallId": "b"}),
        json!({"type": "TOOL_CALL_RESULT", "messageId": "r", "toolCallId": "b", "content": "notes.txt"}),
        json!({"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "delete_file"}),
        json!({"type": "TOOL_CALL_END", "toolCallId": "c"}),
        json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "interrupt",
               "interrupts": [{"id": "i", "reason": "tool_call", "message": "Delete it?", "toolCallId": "c"}]}}),
    ];
    let lines = events.iter().fold(String::new(), |mut text, event| {
        let _ = writeln!(text, "{event}");
        text
    });
    std::fs::write(&file, lines).expect("the file is written");
    format!("[[agents]]\nid = \"asks\"\nname = \"Asks\"\nkind = \"replay\"\nfile = \"{}\"\n", file.display())
}

async fn page(client: &Client, query: &str) -> InboxPage {
    client.get(&format!("/api/inbox{query}")).await.json().await.expect("a page")
}

fn runs(page: &InboxPage) -> Vec<RunId> {
    page.items.iter().map(|item| item.run.run_id).collect()
}

/// Waits until the inbox has this many runs.
async fn until_waiting(client: &Client, count: usize) -> InboxPage {
    poll("the runs in the inbox", async || Some(page(client, "").await).filter(|page| page.items.len() == count)).await
}

/// Sends a message in a new thread; the agent answers with a question.
async fn ask(socket: &Socket) -> (ThreadId, RunId) {
    let thread_id = ThreadId::new();
    let create = CreateThread { thread_id, title: None, agent: Some("asks".into()) };
    socket.send(create).await.expect("the thread is created");
    let sent = socket.send(SendMessage::new(thread_id, "Delete it.")).await.expect("the message is accepted");
    (thread_id, sent.run_id)
}

/// An answer that refuses what is asked.
fn refusal(thread_id: ThreadId, run_id: RunId) -> Answer {
    let refused = InterruptAnswer {
        interrupt_id: "i".into(),
        status: AnswerStatus::Resolved,
        payload: Some(json!({"approved": false})),
        metadata: None,
    };
    Answer { answer_id: MessageId::new(), thread_id, run_id, answers: vec![refused] }
}

/// Others see nothing of the inbox, and wrong queries are refused.
async fn expect_refusals(server: &TestServer, client: &Client) {
    let ada = server.signed_in(ADA).await;
    assert!(page(&ada, "").await.items.is_empty(), "others see nothing of it");
    problem(Client::new(server).get("/api/inbox").await, 401, "unauthorized").await;
    for wrong in ["before=yesterday", "limit=0", "limit=51", "limit=x"] {
        problem(client.get(&format!("/api/inbox?{wrong}")).await, 422, "invalid_payload").await;
    }
}

async fn questions_wait_in_the_inbox_until_they_are_answered(deployment: Deployment) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Setup::default().deployment(deployment).file(&asking_agent(folder.path())).start().await;
    server.add_member(ADA).await;
    let (client, socket) = (server.signed_in(ADMIN).await, server.socket(ADMIN).await);
    assert_eq!(page(&client, "").await, InboxPage { items: Vec::new(), older: None });
    let mut asked = Vec::new();
    for count in 1..=5 {
        asked.push(ask(&socket).await);
        until_waiting(&client, count).await;
    }
    let all = page(&client, "").await;
    let latest_first: Vec<RunId> = asked.iter().rev().map(|(_, run)| *run).collect();
    assert_eq!((runs(&all), &all.older), (latest_first.clone(), &None));
    let nodes = &all.items[0].run.nodes;
    assert!(
        matches!(&nodes[..], [node] if matches!(&node.body, NodeBody::Tool { name, .. } if name == "delete_file")),
        "only the call that is asked about: {nodes:?}"
    );
    assert_eq!(all.items[0].run.interrupts()[0].message.as_deref(), Some("Delete it?"));

    let first = page(&client, "?limit=2").await;
    let second = page(&client, &format!("?limit=2&before={}", first.older.as_deref().expect("another page"))).await;
    let last = page(&client, &format!("?limit=2&before={}", second.older.as_deref().expect("another page"))).await;
    assert_eq!([runs(&first), runs(&second), runs(&last)].concat(), latest_first);
    assert_eq!(last.older, None);

    // One is answered, one abandoned by a message whose run asks again, one deleted, one archived.
    let [
        (answered_thread, answered),
        (continued_thread, continued),
        (deleted, deleted_run),
        (archived, archived_run),
        _,
    ] = asked[..]
    else {
        panic!("five runs")
    };
    let answer = refusal(answered_thread, answered);
    // The recording asks again.
    let resumed = socket.send(answer).await.expect("the answer is accepted").run_id;
    let again = socket.send(SendMessage::new(continued_thread, "Well?")).await.expect("the message is accepted").run_id;
    socket.send(DeleteThread { thread_id: deleted }).await.expect("the thread is deleted");
    socket.send(ArchiveThread { thread_id: archived, archived: true }).await.expect("the thread is archived");
    let now = until_waiting(&client, 4).await;
    assert!(runs(&now).contains(&resumed) && runs(&now).contains(&again));
    assert!(![answered, continued, deleted_run].iter().any(|run| runs(&now).contains(run)));
    let item = now.items.iter().find(|item| item.run.run_id == archived_run).expect("archived threads wait, too");
    assert!(item.thread.archived);
    expect_refusals(&server, &client).await;
}

#[tokio::test]
async fn questions_wait_in_the_inbox_until_they_are_answered_on_sqlite() {
    questions_wait_in_the_inbox_until_they_are_answered(Deployment::Embedded).await;
}

#[tokio::test]
async fn questions_wait_in_the_inbox_until_they_are_answered_on_postgresql() {
    questions_wait_in_the_inbox_until_they_are_answered(Deployment::Distributed).await;
}
