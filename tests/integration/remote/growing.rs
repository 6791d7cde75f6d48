//! Agents that restate everything in each turn, as most frameworks do: a thread grows only by what is new.

use netra::{
    server::channel::Channel,
    thread::{NodeBody, RunState},
};
use serde_json::{Value, json};

use crate::remote::{
    harness::{RemoteHarness, text_of},
    server::{Endpoint, Responder, message},
};

/// The stored size of the thread in bytes.
async fn kept_bytes(harness: &RemoteHarness) -> usize {
    let query = sqlx::query_scalar::<_, i64>("SELECT bytes FROM channels WHERE id = $1");
    let query = query.bind(Channel::Thread(harness.thread).to_string());
    let bytes = query.fetch_one(harness.channels.store().reader()).await.expect("the row is read");
    usize::try_from(bytes).expect("not negative")
}

fn state_snapshot(state: &Value) -> Value {
    json!({"type": "STATE_SNAPSHOT", "snapshot": state})
}

/// A text that is unique to a turn.
fn unique_text(turn: usize, bytes: usize) -> String {
    format!("{turn} ").chars().cycle().take(bytes).collect()
}

/// Sends a message and a tool call, then restates the state and the conversation.
async fn turn(number: usize, mut answer: Responder) -> std::io::Result<()> {
    answer.begin().await?;
    let (id, text) = (format!("m{number}"), unique_text(number, 20_000));
    answer.events(&message(&id, &[&text])).await?;
    let call = format!("c{number}");
    answer
        .events(&[
            json!({"type": "TOOL_CALL_START", "toolCallId": call, "toolCallName": "look", "parentMessageId": id}),
            json!({"type": "TOOL_CALL_ARGS", "toolCallId": call, "delta": "{}"}),
            json!({"type": "TOOL_CALL_END", "toolCallId": call}),
            json!({"type": "TOOL_CALL_RESULT", "toolCallId": call, "messageId": format!("r{number}"), "content": "seen"}),
        ])
        .await?;
    let mut messages = answer.input["messages"].as_array().expect("messages").clone();
    let function = json!({"name": "look", "arguments": "{}"});
    messages.extend([
        json!({"role": "assistant", "id": id, "content": text, "toolCalls": [{"id": call, "type": "function", "function": function}]}),
        json!({"role": "tool", "id": format!("r{number}"), "toolCallId": call, "content": "seen"}),
    ]);
    let mut state = answer.input["state"].clone();
    state["messages"] = json!(messages);
    state["turns"] = json!(number);
    if state["notes"].is_null() {
        state["notes"] = json!([]);
    }
    state["notes"].as_array_mut().expect("notes").push(json!(unique_text(number, 100_000)));
    for _ in 0..2 {
        answer.event(&state_snapshot(&state)).await?;
    }
    answer.event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})).await?;
    answer.finish().await
}

#[tokio::test]
async fn a_thread_grows_by_what_is_new_however_much_its_agent_restates() {
    const TURNS: usize = 12;
    let server = Endpoint::start(turn).await;
    let harness = RemoteHarness::new(&server).await;
    let mut held = kept_bytes(&harness).await;
    for number in 0..TURNS {
        let run = harness.ask("More").await;
        assert_eq!((&run.state, text_of(&run)), (&RunState::Finished, unique_text(number, 20_000)));
        let now = kept_bytes(&harness).await;
        // The messages, their copies in the state, and the note: 140 KB, and some overhead.
        assert!(now - held < 150_000, "{} bytes in turn {number}", now - held);
        held = now;
    }
    let requests = server.requests();
    let last = &requests[TURNS - 1].input;
    assert!(last["state"].to_string().len() > 1_300_000, "{}", last["state"].to_string().len());
    let notes: Vec<String> = (0..TURNS - 1).map(|number| unique_text(number, 100_000)).collect();
    assert_eq!((&last["state"]["notes"], &last["state"]["turns"]), (&json!(notes), &json!(TURNS - 2)));
    let messages = last["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 3 * (TURNS - 1) + 1);
    for (number, turn) in messages.chunks_exact(3).enumerate() {
        assert_eq!(turn[1]["content"], unique_text(number, 20_000));
        assert_eq!(
            (&turn[1]["toolCalls"][0]["id"], &turn[2]["content"]),
            (&json!(format!("c{number}")), &json!("seen"))
        );
    }
    // The snapshot for a page has the same bound.
    let (_, view) = harness.channels.thread_for_people(harness.thread).await.expect("the thread is read");
    let page = serde_json::to_string(&view).expect("the value is serialized").len();
    assert!(page < 3 * held, "{page} bytes for a log of {held}");
}

#[tokio::test]
async fn a_large_state_is_kept_and_given_back_whole() {
    let rows: Vec<Value> = (0..4_000).map(|n| json!({"n": n, "text": "x".repeat(500)})).collect();
    let state = json!({"rows": rows});
    let large = state.clone();
    let server = Endpoint::start(move |number, mut answer| {
        let state = large.clone();
        async move {
            answer.begin().await?;
            if number == 0 {
                answer.event(&state_snapshot(&state)).await?;
            }
            answer.finish().await
        }
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    assert_eq!(harness.ask("Load it").await.state, RunState::Finished);
    let longest = harness.thread_frames().await.iter().map(String::len).max();
    assert!(longest < Some(257 * 1024), "{longest:?}");
    harness.ask("What is in it?").await;
    assert_eq!(server.requests()[1].input["state"], state);
}

#[tokio::test]
async fn a_run_whose_state_is_too_large_fails_and_the_thread_continues() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        answer.event(&state_snapshot(&json!({"turn": number}))).await?;
        answer.events(&message("m", &["Well."])).await?;
        if number == 1 {
            answer.event(&state_snapshot(&json!({"rows": vec!["x".repeat(1_000); 1_100]}))).await?;
        }
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::with(&server, json!({"max_event_bytes": 1024 * 1024})).await;
    assert_eq!(harness.ask("One").await.state, RunState::Finished);
    let message = harness.failure("event_too_large").await;
    assert!(message.contains("at most 1048576 bytes"), "{message}");
    assert_eq!(harness.ask("Three").await.state, RunState::Finished);
    let requests = server.requests();
    assert_eq!(requests[2].input["state"], json!({"turn": 1}), "the entries before the limit are kept");
    let sent_messages = requests[2].input["messages"].as_array().expect("messages").iter();
    assert_eq!(sent_messages.filter(|message| message["content"] == "Well.").count(), 2);
}

#[tokio::test]
async fn a_value_that_no_event_can_hold_fails_only_its_run() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        answer.events(&message("m", &["I looked."])).await?;
        if number == 0 {
            answer.event(&json!({"type": "CUSTOM", "name": "chart", "value": "x".repeat(300_000)})).await?;
        }
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let run = harness.ask("Look").await;
    assert!(
        matches!(&run.state, RunState::Failed { code: Some(code), .. } if code == "event_too_large"),
        "{:?}",
        run.state
    );
    assert!(run.nodes.iter().any(|node| matches!(&node.body, NodeBody::Text { text, .. } if text == "I looked.")));
    assert_eq!(harness.ask("Again").await.state, RunState::Finished);
}
