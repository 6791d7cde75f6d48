//! Files of messages in requests to a remote agent.

use netra::thread::RunState;
use serde_json::{Value, json};

use crate::{
    remote::{
        harness::{RemoteHarness, text_of},
        server::{Endpoint, message},
    },
    support::attach::{PNG, user_contents},
};

/// An endpoint that answers each time with one word.
async fn endpoint() -> Endpoint {
    Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        answer.events(&message(&format!("m{number}"), &["Well."])).await?;
        answer.finish().await
    })
    .await
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// The contents of the user messages in the newest request.
fn user_messages(server: &Endpoint) -> Vec<Value> {
    user_contents(&server.requests().pop().expect("a request").input)
}

#[tokio::test]
async fn files_of_messages_are_parts_with_their_bytes_in_every_turn() {
    let server = endpoint().await;
    let harness = RemoteHarness::new(&server).await;
    harness.ask("hello").await;
    assert_eq!(user_messages(&server), [json!("hello")], "a message without files is a plain string");

    let files: [(&str, &[u8]); 3] = [("photo.png", PNG), ("log.csv", b"a,b\n"), ("song.mp3", b"ID3\x04\xff")];
    let run = harness.begin_with_files("look", &files).await;
    assert_eq!(harness.until_over(run).await.state, RunState::Finished);
    let part = |kind: &str, value: &str, mime_type: &str, name: &str| json!({"type": kind, "source": {"type": "data", "value": value, "mimeType": mime_type}, "metadata": {"filename": name}});
    let parts = json!([
        text("look"),
        part("image", "iVBORw0KGgoAAAANSUhEUg==", "image/png", "photo.png"),
        part("document", "YSxiCg==", "text/csv", "log.csv"),
        part("audio", "SUQzBP8=", "audio/mpeg", "song.mp3"),
    ]);
    assert_eq!(user_messages(&server), [json!("hello"), parts.clone()]);

    harness.ask("and now?").await;
    assert_eq!(user_messages(&server), [json!("hello"), parts, json!("and now?")]);
}

#[tokio::test]
async fn files_that_are_too_large_or_missing_are_named_and_newer_ones_come_first() {
    let server = endpoint().await;
    let harness = RemoteHarness::with(&server, json!({"max_file_bytes": 100, "max_request_file_bytes": 130})).await;
    let run = harness.begin_with_files("old", &[("old.txt", &[b'o'; 60])]).await;
    harness.until_over(run).await;
    let run = harness.begin_with_files("new", &[("large.txt", &[b'l'; 101]), ("new.txt", &[b'n'; 90])]).await;
    harness.until_over(run).await;
    let [old, new] = user_messages(&server).try_into().expect("two messages");
    let why = "[Attached file: old.txt, text/plain, 60 bytes. It is not sent, because the files of one request have at most 130 \
               bytes together, and the newest come first.]";
    assert_eq!(old, json!([text("old"), text(why)]));
    let why = "[Attached file: large.txt, text/plain, 101 bytes. It is not sent, because it has more than the 100 bytes that one \
               file may have.]";
    assert_eq!((&new[0], &new[1], &new[2]["type"]), (&text("new"), &text(why), &json!("document")));

    std::fs::remove_dir_all(harness.files()).expect("it is removed");
    harness.ask("gone?").await;
    let gone = "[Attached file: new.txt, text/plain, 90 bytes. It is not sent, because it is not there any more.]";
    assert_eq!(user_messages(&server)[1][2], text(gone));
}

#[tokio::test]
async fn a_file_that_no_message_names_is_sent_with_the_question() {
    let server = endpoint().await;
    let harness = RemoteHarness::new(&server).await;
    harness.attach("notes.txt", b"hi").await;
    harness.ask("look").await;
    harness.ask("again").await;
    let contents = user_messages(&server);
    assert_eq!(contents[0], "look");
    assert_eq!(contents[1][1]["source"], json!({"type": "data", "value": "aGk=", "mimeType": "text/plain"}));
}

#[tokio::test]
async fn an_agent_may_restate_files_and_their_bytes_are_not_kept_again() {
    let server = Endpoint::start(|_, mut answer| async move {
        let mut started = answer.started();
        started["input"] = answer.input.clone();
        answer.stream().await?;
        answer.event(&started).await?;
        let mut messages = answer.input["messages"].as_array().cloned().unwrap_or_default();
        messages.push(json!({"id": "answer", "role": "assistant", "content": "I see."}));
        answer.event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})).await?;
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let large = [PNG, &[7; 500_000]].concat();
    let run = harness.begin_with_files("look", &[("large.png", &large)]).await;
    let run = harness.until_over(run).await;
    assert_eq!((&run.state, text_of(&run).as_str()), (&RunState::Finished, "I see."));
    let events = harness.events(run.run_id).await;
    let bytes = serde_json::to_string(&events).expect("JSON").len();
    assert!(bytes < 10_000, "the log has what is new alone, not {bytes} bytes: {events:?}");
}

#[tokio::test]
async fn room_for_restated_files_is_for_nothing_else() {
    let server = Endpoint::start(|_, mut answer| async move {
        answer.begin().await?;
        answer.event(&json!({"type": "RAW", "event": "x".repeat(5_000)})).await?;
        answer.hold().await
    })
    .await;
    let harness = RemoteHarness::with(&server, json!({"max_event_bytes": 4096, "keep_raw": true})).await;
    let run = harness.begin_with_files("look", &[("large.png", &[PNG, &[7; 50_000]].concat())]).await;
    let run = harness.until_over(run).await;
    let RunState::Failed { code: Some(code), message } = run.state else { panic!("fails, not {:?}", run.state) };
    assert!(code == "event_too_large" && message.contains("at most 4096 bytes"), "{code}: {message}");
}
