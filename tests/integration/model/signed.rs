//! What a provider signed of an answer comes back to it when the run goes on after a pause.

use netra::{protocol::agui::Event, server::channel::Channel, thread::RunState};
use serde_json::{Value, json};

use crate::model::{
    House,
    apis::anthropic,
    asks, calls, said,
    server::{Model, Reply},
};

fn start(index: usize, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: usize, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

/// An answer of Anthropic's API: thoughts with their signature, words where there are any, calls of tools.
fn thinks(thought: &str, words: &str, tools: &[(&str, &str)]) -> Reply {
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

async fn house(model: &Model) -> House {
    House::with(model, json!({"provider": "anthropic", "reasoning_effort": "low"})).await
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
    let mut told: Vec<(String, Vec<Value>)> = Vec::new();
    for message in body["messages"].as_array().expect("messages") {
        let role = message["role"].as_str().expect("a role");
        let blocks = message["content"].as_array().cloned().unwrap_or_default();
        match told.last_mut() {
            Some((last, known)) if last == role => known.extend(blocks),
            _ => told.push((role.to_owned(), blocks)),
        }
    }
    told
}

fn reasons(body: &Value) -> bool {
    body.get("thinking").is_some() || body.get("output_config").is_some()
}

#[tokio::test]
async fn signed_thoughts_stand_before_their_calls_when_a_run_goes_on() {
    let model = Model::with([
        thinks("one", "", &[("look", "l1")]),
        thinks("second", "I ask.", &[("send", "s1"), ("look", "l2")]),
        thinks("the third", "Sent.", &[]),
    ])
    .await;
    let house = house(&model).await;
    let run = house.ask("send it").await;
    assert_eq!(asks(&run).len(), 1);
    let kept: Vec<String> = house
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
        "words and calls are not said twice: {kept:?}"
    );
    let next = house.answer(run.run_id, &[json!({"approved": true})]).await;
    assert_eq!((&next.state, said(&next)), (&RunState::Finished, vec!["Sent."]));

    let asked = model.asked();
    assert!(reasons(&asked[2].body), "it goes on thinking: {}", asked[2].body);
    let told = blocks(&asked[2].body);
    let (roles, told): (Vec<_>, Vec<_>) = told.into_iter().unzip();
    assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"], "{told:?}");
    assert_eq!(told[1][..2], thinking("one"));
    assert_eq!((&told[1][2]["type"], &told[1][2]["id"]), (&json!("tool_use"), &json!("l1")));
    assert_eq!(told[3][..2], thinking("second"));
    assert_eq!(told[3][2]["text"], "I ask.");
    let used: Vec<&Value> = told[3][3..].iter().map(|block| &block["id"]).collect();
    assert_eq!(used, ["s1", "l2"]);
    assert_eq!(told[3][3]["input"], json!({"at": "s1"}));
    let results: Vec<&Value> = told[4].iter().map(|block| &block["tool_use_id"]).collect();
    assert_eq!(results, ["s1", "l2"]);

    let (_, seen) = house.channels.snapshot(Channel::Thread(house.thread), None).await.expect("reads");
    assert!(!json!(seen).to_string().contains("signature of"), "people are not sent it");
    let view = house.view().await;
    assert_eq!(view.run(run.run_id).expect("the run").encrypted.len(), 2, "the log has it");
}

#[tokio::test]
async fn calls_without_a_word_are_one_answer_when_the_run_goes_on() {
    let model = Model::with([thinks("both", "", &[("send", "s1"), ("send", "s2")]), thinks("so", "Sent.", &[])]).await;
    let house = house(&model).await;
    let run = house.ask("send both").await;
    let next = house.answer(run.run_id, &[json!({"approved": true}), json!({"approved": false})]).await;
    assert_eq!(next.state, RunState::Finished);
    let told = blocks(&model.asked()[1].body);
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[1].1[..2], thinking("both"));
    assert_eq!(told[1].1[2..].iter().map(|block| &block["id"]).collect::<Vec<_>>(), ["s1", "s2"]);
}

#[tokio::test]
async fn a_new_question_goes_without_the_thoughts_of_the_last() {
    let model =
        Model::with([thinks("hm", "", &[("look", "l1")]), thinks("so", "There.", &[]), thinks("again", "Yes.", &[])])
            .await;
    let house = house(&model).await;
    house.ask("look").await;
    let run = house.ask("sure?").await;
    assert_eq!(said(&run), ["Yes."]);
    let body = &model.asked()[2].body;
    assert!(!body["messages"].to_string().contains("signature of") && reasons(body), "{body}");
}

#[tokio::test]
async fn thoughts_that_no_event_holds_are_gone_after_a_pause_and_the_run_says_so() {
    let model = Model::with([thinks(&"long ".repeat(60_000), "", &[("send", "s1")]), thinks("so", "Sent.", &[])]).await;
    let house = house(&model).await;
    let run = house.ask("send it").await;
    let Some(Event::RunFinished(end)) = house.events(run.run_id).await.pop() else { panic!("no end") };
    assert_eq!(end.base.metadata.expect("metadata")["omittedThoughts"], 1);
    let next = house.answer(run.run_id, &[json!({"approved": true})]).await;
    assert_eq!((&next.state, calls(&next).len()), (&RunState::Finished, 0));
    let body = &model.asked()[1].body;
    assert!(!reasons(body) && !body["messages"].to_string().contains("thinking"), "it answers without them");
}
