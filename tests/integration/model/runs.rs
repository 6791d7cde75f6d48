//! Answers without tools: text, reasoning, usage, history, limits, stops.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use netra::{
    protocol::agui::Event,
    server::agents::{AgentBuilder, AgentRegistry},
    thread::{NodeBody, RunState},
};
use serde_json::json;

use crate::model::{
    Harness, Model, failure,
    server::{Piece, Reply, call, call_reply, end, reasoning, stream, text, text_reply},
    texts,
};

#[tokio::test]
async fn text_and_reasoning_stream_into_the_log() {
    let model =
        Model::with([stream([reasoning("Let me "), reasoning("think."), text("Hel"), text("lo")], "stop")]).await;
    let harness = Harness::with(&model, json!({"system": "Be brief."})).await;
    let run = harness.ask("hello").await;
    assert_eq!((&run.state, texts(&run)), (&RunState::Finished, vec!["Hello"]));
    let kinds: Vec<_> = harness.events(run.run_id).await.iter().map(Event::kind).collect();
    let expected = ["RUN_STARTED", "REASONING_START", "REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT"];
    assert_eq!(kinds[..4], expected);
    assert!(
        run.nodes.iter().any(|node| matches!(&node.body, NodeBody::Reasoning { text, .. } if text == "Let me think.")),
        "{run:#?}"
    );
    let request = model.requests().remove(0);
    assert_eq!(request.authorization.as_deref(), Some("Bearer sk-of-the-tests"));
    let sent = &request.body["messages"];
    assert!(sent[0]["content"].as_str().is_some_and(|system| system.starts_with("Be brief.")), "{sent}");
    assert_eq!((sent.as_array().map(Vec::len), &sent[1]), (Some(2), &json!({"role": "user", "content": "hello"})));
}

#[tokio::test]
async fn a_run_reports_its_tokens_and_its_cost() {
    let model = Model::with([text_reply("Hello")]).await;
    let run = Harness::new(&model).await.ask("hello").await;
    let usage = &run.usage[0];
    assert_eq!((usage.provider.as_deref(), usage.model.as_deref()), (Some("openai"), Some("scripted")));
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cached_input_tokens), (Some(100), Some(10), Some(50)));
    // 50 fresh at 1, 50 cached at 0.5 and 10 out at 10 dollars a million.
    let cost = run.cost_usd.expect("a cost");
    assert!((cost - 175e-6).abs() < 1e-12, "{cost}");
}

#[tokio::test]
async fn the_model_gets_the_earlier_messages() {
    let model = Model::with([text_reply("One."), text_reply("Two.")]).await;
    let harness = Harness::new(&model).await;
    harness.ask("first").await;
    harness.ask("second").await;
    let sent = &model.requests()[1].body["messages"];
    let texts: Vec<_> = sent.as_array().expect("messages").iter().skip(1).map(|message| &message["content"]).collect();
    assert_eq!(texts, [&json!("first"), &json!("One."), &json!("second")]);
}

#[tokio::test]
async fn messages_that_do_not_fit_are_left_out_and_counted() {
    let model = Model::with([text_reply(&"x".repeat(900)), text_reply("Two.")]).await;
    let harness = Harness::with(&model, json!({"max_history_bytes": 1024})).await;
    harness.ask(&"a".repeat(200)).await;
    let run = harness.ask("second").await;
    let sent = &model.requests()[1].body["messages"];
    assert!(sent[0]["content"].as_str().is_some_and(|system| system.contains("left out")), "{sent}");
    assert_eq!(sent[1]["content"], "second");
    let last = harness.events(run.run_id).await.pop().expect("an end");
    assert_eq!(last.base().metadata.as_ref().expect("metadata")["omittedMessages"], 2);
}

#[tokio::test]
async fn a_text_says_why_an_answer_ended_early() {
    for (reason, words) in [("length", "limit of its length"), ("content_filter", "content filter")] {
        let model = Model::with([stream([text("Once upon")], reason)]).await;
        let run = Harness::new(&model).await.ask("a story").await;
        assert_eq!(run.state, RunState::Finished);
        assert!(texts(&run)[0] == "Once upon" && texts(&run)[1].contains(words), "{run:#?}");
    }
    let model = Model::with([stream([], "stop")]).await;
    let run = Harness::new(&model).await.ask("hello").await;
    assert!(texts(&run)[0].contains("empty answer"), "{run:#?}");
}

#[tokio::test]
async fn a_giant_answer_in_one_piece_is_split_and_one_without_end_is_ended() {
    let model = Model::with([text_reply(&"word ".repeat(100_000))]).await;
    let run = Harness::new(&model).await.ask("much").await;
    assert_eq!((texts(&run)[0].len(), &run.state), (500_000, &RunState::Finished));
    let flood = std::iter::repeat_n(text(&"x".repeat(100_000)), 60).collect();
    let model = Model::with([Reply::Stream(flood)]).await;
    let run = Harness::new(&model).await.ask("more").await;
    assert_eq!(failure(&run).0, "model_too_long");
}

#[tokio::test]
async fn a_stop_ends_the_stream_within_a_second() {
    let model = Model::with([Reply::Stream(vec![text("Once"), call(0, "a", "look"), Piece::Hang])]).await;
    let harness = Harness::new(&model).await;
    let run = harness.begin("a story").await;
    harness.until(|view| view.run(run).is_some_and(|run| texts(run) == ["Once"])).await;
    let began = Instant::now();
    harness.runner.stop(run);
    let run = harness.until_over(run).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((&run.state, texts(&run)), (&RunState::Cancelled, vec!["Once"]));
    let gone = async {
        while model.abandoned() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the model's connection is closed");
}

#[tokio::test]
async fn usage_before_a_cut_is_kept() {
    let whole = call_reply(&[("look", "a", json!({}))]);
    let model = Model::with([whole, Reply::Stream(vec![text("So"), Piece::Cut])]).await;
    let run = Harness::new(&model).await.ask("look").await;
    assert_eq!(failure(&run).0, "model_cut");
    assert!(
        run.usage[0].input_tokens > Some(100) && run.usage[0].output_tokens == Some(11),
        "and what was cut: {run:#?}"
    );
    assert!(run.cost_usd.is_some(), "{run:#?}");
}

#[tokio::test]
async fn the_usage_of_a_stopped_answer_is_estimated_and_reported_as_such() {
    let model = Model::with([Reply::Stream(vec![text(&"word ".repeat(80)), Piece::Hang])]).await;
    let harness = Harness::new(&model).await;
    let run = harness.begin("hello").await;
    harness.until(|view| view.run(run).is_some_and(|run| !texts(run).is_empty())).await;
    harness.runner.stop(run);
    let run = harness.until_over(run).await;
    let (used, events) = (&run.usage[0], harness.events(run.run_id).await);
    assert_eq!((&run.state, used.output_tokens), (&RunState::Cancelled, Some(100)));
    let estimated =
        events.last().expect("an end").base().metadata.as_ref().expect("metadata")["estimatedTokens"].as_u64();
    assert_eq!(estimated, used.total_tokens);
    assert!(used.input_tokens.is_some_and(|tokens| tokens > 0) && run.cost_usd > Some(0.0), "{run:#?}");
}

#[tokio::test]
async fn a_refused_request_has_no_usage() {
    let model = Model::with([Reply::Status(500, Vec::new(), "oops".into())]).await;
    let run = Harness::new(&model).await.ask("hello").await;
    assert!(run.usage.is_empty() && run.cost_usd.is_none(), "{run:#?}");
}

#[tokio::test]
async fn an_end_without_usage_is_no_error() {
    let pieces = [
        vec![text("Hi")],
        end("stop", 0, 0)
            .into_iter()
            .filter(|piece| !matches!(piece, Piece::Data(data) if data.contains("usage")))
            .collect(),
    ]
    .concat();
    let model = Model::with([Reply::Stream(pieces)]).await;
    let run = Harness::new(&model).await.ask("hello").await;
    assert_eq!((&run.state, run.usage[0].output_tokens), (&RunState::Finished, Some(1)), "estimated");
    assert!(run.usage[0].input_tokens > Some(0) && run.cost_usd > Some(0.0), "{run:#?}");
}

#[test]
fn an_entry_of_the_configuration_is_an_agent_or_reports_what_is_wrong() {
    let entries = json!([
        {"id": "good", "name": "Good", "kind": "model", "model": "m", "api_key": "${KEY}", "tools": ["data"]},
        {"id": "tools", "name": "Tools", "kind": "model", "model": "m", "tools": ["nowhere"]},
        {"id": "key", "name": "Key", "kind": "model", "model": "m", "api_key": "${OTHER}"},
        {"id": "steps", "name": "Steps", "kind": "model", "model": "m", "max_steps": 0},
    ]);
    let entries: Vec<_> = serde_json::from_value(entries).expect("entries");
    let builder = AgentBuilder {
        variables: Arc::new(|name| (name == "KEY").then(|| "secret".into())),
        ..AgentBuilder::default()
    };
    let agents = AgentRegistry::new([], &entries, builder).agents().clone();
    let disabled: Vec<_> = agents.all().iter().map(|agent| agent.info.disabled.clone().unwrap_or_default()).collect();
    assert_eq!(disabled[0], "");
    for (reason, words) in disabled[1..].iter().zip(["`nowhere`", "the variable OTHER is not set", "max_steps"]) {
        assert!(reason.contains(words), "{reason}");
    }
    let health = agents.all()[0].health().expect("the agent has an endpoint");
    assert!(health.ok, "{health:?}");
}
