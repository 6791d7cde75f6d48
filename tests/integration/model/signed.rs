//! A provider gets its signed thoughts back when a run resumes another.

use netra::{protocol::agui::Event, server::channel::Channel, thread::RunState};
use serde_json::{Value, json};

use crate::model::{
    Harness,
    apis::anthropic,
    calls_of, open_interrupts,
    server::{Model, Reply},
    texts,
};

fn start(index: usize, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: usize, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

/// An answer of Anthropic's API: thoughts with their signature, text if there is any, tool calls.
fn signed_answer(thought: &str, words: &str, tools: &[(&str, &str)]) -> Reply {
    let stop = |index: usize| json!({"type": "content_block_stop", "index": index});
    let mut events = vec![
        json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 20, "output_tokens": 1}}}),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": thought})),
        delta(0, json!({"type": "signature_delta", "signature": format!("signature of {}", thought.len())})),
        stop(0),
        start(1, json!({"type": "redacted_thinking", "data": "redacted"})),
        stop(1),
    ];
    if !words.is_empty() {
        events.extend([
            start(2, json!({"type": "text", "text": ""})),
            delta(2, json!({"type": "text_delta", "text": words})),
            stop(2),
        ]);
    }
    for (at, (name, id)) in tools.iter().enumerate() {
        let arguments = json!({"at": id}).to_string();
        events.extend([
            start(3 + at, json!({"type": "tool_use", "id": id, "name": name, "input": {}})),
            delta(3 + at, json!({"type": "input_json_delta", "partial_json": arguments})),
            stop(3 + at),
        ]);
    }
    let reason = if tools.is_empty() { "end_turn" } else { "tool_use" };
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 9}}));
    events.push(json!({"type": "message_stop"}));
    anthropic(&events)
}

async fn anthropic_harness(model: &Model) -> Harness {
    Harness::with(model, json!({"provider": "anthropic", "reasoning_effort": "low"})).await
}

fn thinking(thought: &str) -> [Value; 2] {
    let signature = format!("signature of {}", thought.len());
    [
        json!({"type": "thinking", "thinking": thought, "signature": signature}),
        json!({"type": "redacted_thinking", "data": "redacted"}),
    ]
}

/// The blocks of the messages of a request, by role; messages of one role in a row are one, as the API takes them.
fn blocks(body: &Value) -> Vec<(String, Vec<Value>)> {
    let mut sent: Vec<(String, Vec<Value>)> = Vec::new();
    for message in body["messages"].as_array().expect("messages") {
        let role = message["role"].as_str().expect("a role");
        let blocks = message["content"].as_array().cloned().unwrap_or_default();
        match sent.last_mut() {
            Some((last, known)) if last == role => known.extend(blocks),
            _ => sent.push((role.to_owned(), blocks)),
        }
    }
    sent
}

fn reasons(body: &Value) -> bool {
    body.get("thinking").is_some() || body.get("output_config").is_some()
}

#[tokio::test]
async fn signed_thoughts_come_before_their_calls_when_a_run_is_resumed() {
    let model = Model::with([
        signed_answer("one", "", &[("look", "l1")]),
        signed_answer("second", "I ask.", &[("send", "s1"), ("look", "l2")]),
        signed_answer("the third", "Sent.", &[]),
    ])
    .await;
    let harness = anthropic_harness(&model).await;
    let run = harness.ask("send it").await;
    assert_eq!(open_interrupts(&run).len(), 1);
    let kept: Vec<String> = harness
        .events(run.run_id)
        .await
        .into_iter()
        .filter_map(|event| match event {
            Event::ReasoningEncryptedValue(kept) => Some(kept.encrypted_value),
            _ => None,
        })
        .collect();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|kept| kept.contains("signature of")), "{kept:?}");
    assert!(
        !kept.iter().any(|kept| kept.contains("I ask.") || kept.contains("arguments")),
        "text and calls are not kept twice: {kept:?}"
    );
    let next = harness.answer_all(run.run_id, &[json!({"approved": true})]).await;
    assert_eq!((&next.state, texts(&next)), (&RunState::Finished, vec!["Sent."]));

    let requests = model.requests();
    assert!(reasons(&requests[2].body), "it thinks again: {}", requests[2].body);
    let sent = blocks(&requests[2].body);
    let (roles, sent): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
    assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"], "{sent:?}");
    assert_eq!(sent[1][..2], thinking("one"));
    assert_eq!((&sent[1][2]["type"], &sent[1][2]["id"]), (&json!("tool_use"), &json!("l1")));
    assert_eq!(sent[3][..2], thinking("second"));
    assert_eq!(sent[3][2]["text"], "I ask.");
    let used: Vec<&Value> = sent[3][3..].iter().map(|block| &block["id"]).collect();
    assert_eq!(used, ["s1", "l2"]);
    assert_eq!(sent[3][3]["input"], json!({"at": "s1"}));
    let results: Vec<&Value> = sent[4].iter().map(|block| &block["tool_use_id"]).collect();
    assert_eq!(results, ["s1", "l2"]);

    let (_, seen) =
        harness.channels.snapshot(Channel::Thread(harness.thread), None).await.expect("the snapshot is read");
    assert!(!json!(seen).to_string().contains("signature of"), "people do not get it");
    let view = harness.view().await;
    assert_eq!(view.run(run.run_id).expect("the run").encrypted.len(), 2, "the log keeps it");
}

#[tokio::test]
async fn calls_without_text_are_one_answer_when_the_run_is_resumed() {
    let model =
        Model::with([signed_answer("both", "", &[("send", "s1"), ("send", "s2")]), signed_answer("so", "Sent.", &[])])
            .await;
    let harness = anthropic_harness(&model).await;
    let run = harness.ask("send both").await;
    let next = harness.answer_all(run.run_id, &[json!({"approved": true}), json!({"approved": false})]).await;
    assert_eq!(next.state, RunState::Finished);
    let sent = blocks(&model.requests()[1].body);
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert_eq!(sent[1].1[..2], thinking("both"));
    assert_eq!(sent[1].1[2..].iter().map(|block| &block["id"]).collect::<Vec<_>>(), ["s1", "s2"]);
}

#[tokio::test]
async fn a_new_question_is_sent_without_the_thoughts_of_the_last() {
    let model = Model::with([
        signed_answer("hm", "", &[("look", "l1")]),
        signed_answer("so", "There.", &[]),
        signed_answer("again", "Yes.", &[]),
    ])
    .await;
    let harness = anthropic_harness(&model).await;
    harness.ask("look").await;
    let run = harness.ask("sure?").await;
    assert_eq!(texts(&run), ["Yes."]);
    let body = &model.requests()[2].body;
    assert!(!body["messages"].to_string().contains("signature of") && reasons(body), "{body}");
}

#[tokio::test]
async fn thoughts_too_large_for_an_event_are_lost_and_counted() {
    let model =
        Model::with([signed_answer(&"long ".repeat(60_000), "", &[("send", "s1")]), signed_answer("so", "Sent.", &[])])
            .await;
    let harness = anthropic_harness(&model).await;
    let run = harness.ask("send it").await;
    let Some(Event::RunFinished(end)) = harness.events(run.run_id).await.pop() else { panic!("no end") };
    assert_eq!(end.base.metadata.expect("metadata")["omittedThoughts"], 1);
    let next = harness.answer_all(run.run_id, &[json!({"approved": true})]).await;
    assert_eq!((&next.state, calls_of(&next).len()), (&RunState::Finished, 0));
    let body = &model.requests()[1].body;
    assert!(!reasons(body) && !body["messages"].to_string().contains("thinking"), "it answers without them");
}
