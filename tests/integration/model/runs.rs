//! Answers without tools: text, reasoning, usage, history, limits, and stops.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use netra::{
    protocol::agui::Event,
    server::agents::{AgentRegistry, Kinds},
    thread::{NodeBody, RunState},
};
use serde_json::json;

use crate::model::{
    House, Model, failure, said,
    server::{Piece, Reply, call, calls, end, reasoning, says, stream, text},
};

#[tokio::test]
async fn text_and_reasoning_stream_into_the_log() {
    let model =
        Model::with([stream([reasoning("Let me "), reasoning("think."), text("Hel"), text("lo")], "stop")]).await;
    let house = House::with(&model, json!({"system": "Be brief."})).await;
    let run = house.ask("hello").await;
    assert_eq!((&run.state, said(&run)), (&RunState::Finished, vec!["Hello"]));
    let kinds: Vec<_> = house.events(run.run_id).await.iter().map(Event::kind).collect();
    let expected = ["RUN_STARTED", "REASONING_START", "REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT"];
    assert_eq!(kinds[..4], expected);
    assert!(
        run.nodes.iter().any(|node| matches!(&node.body, NodeBody::Reasoning { text, .. } if text == "Let me think.")),
        "{run:#?}"
    );
    let asked = model.asked().remove(0);
    assert_eq!(asked.key.as_deref(), Some("Bearer sk-of-the-tests"));
    let told = &asked.body["messages"];
    assert!(told[0]["content"].as_str().is_some_and(|system| system.starts_with("Be brief.")), "{told}");
    assert_eq!((told.as_array().map(Vec::len), &told[1]), (Some(2), &json!({"role": "user", "content": "hello"})));
}

#[tokio::test]
async fn a_run_says_its_tokens_and_its_cost() {
    let model = Model::with([says("Hello")]).await;
    let run = House::new(&model).await.ask("hello").await;
    let usage = &run.usage[0];
    assert_eq!((usage.provider.as_deref(), usage.model.as_deref()), (Some("openai"), Some("scripted")));
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cached_input_tokens), (Some(100), Some(10), Some(50)));
    // 50 fresh at 1, 50 cached at 0.5 and 10 out at 10 dollars a million.
    let cost = run.cost_usd.expect("a cost");
    assert!((cost - 175e-6).abs() < 1e-12, "{cost}");
}

#[tokio::test]
async fn the_model_is_told_what_was_said_before() {
    let model = Model::with([says("One."), says("Two.")]).await;
    let house = House::new(&model).await;
    house.ask("first").await;
    house.ask("second").await;
    let told = &model.asked()[1].body["messages"];
    let said: Vec<_> = told.as_array().expect("messages").iter().skip(1).map(|message| &message["content"]).collect();
    assert_eq!(said, [&json!("first"), &json!("One."), &json!("second")]);
}

#[tokio::test]
async fn what_does_not_fit_is_left_out_and_said() {
    let model = Model::with([says(&"x".repeat(900)), says("Two.")]).await;
    let house = House::with(&model, json!({"max_history_bytes": 1024})).await;
    house.ask(&"a".repeat(200)).await;
    let run = house.ask("second").await;
    let told = &model.asked()[1].body["messages"];
    assert!(told[0]["content"].as_str().is_some_and(|system| system.contains("left out")), "{told}");
    assert_eq!(told[1]["content"], "second");
    let last = house.events(run.run_id).await.pop().expect("an end");
    assert_eq!(last.base().metadata.as_ref().expect("metadata")["omittedMessages"], 2);
}

#[tokio::test]
async fn an_answer_that_ends_early_says_so() {
    for (reason, words) in [("length", "limit of its length"), ("content_filter", "content filter")] {
        let model = Model::with([stream([text("Once upon")], reason)]).await;
        let run = House::new(&model).await.ask("a story").await;
        assert_eq!(run.state, RunState::Finished);
        assert!(said(&run)[0] == "Once upon" && said(&run)[1].contains(words), "{run:#?}");
    }
    let model = Model::with([stream([], "stop")]).await;
    let run = House::new(&model).await.ask("hello").await;
    assert!(said(&run)[0].contains("nothing to say"), "{run:#?}");
}

#[tokio::test]
async fn a_giant_answer_in_one_piece_is_split_and_one_without_end_is_ended() {
    let model = Model::with([says(&"word ".repeat(100_000))]).await;
    let run = House::new(&model).await.ask("much").await;
    assert_eq!((said(&run)[0].len(), &run.state), (500_000, &RunState::Finished));
    let flood = std::iter::repeat_n(text(&"x".repeat(100_000)), 60).collect();
    let model = Model::with([Reply::Stream(flood)]).await;
    let run = House::new(&model).await.ask("more").await;
    assert_eq!(failure(&run).0, "model_too_long");
}

#[tokio::test]
async fn a_stop_ends_the_stream_within_a_second() {
    let model = Model::with([Reply::Stream(vec![text("Once"), call(0, "a", "look"), Piece::Hang])]).await;
    let house = House::new(&model).await;
    let run = house.begin("a story").await;
    house.until(|view| view.run(run).is_some_and(|run| said(run) == ["Once"])).await;
    let began = Instant::now();
    house.runner.stop(run);
    let run = house.over(run).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((&run.state, said(&run)), (&RunState::Cancelled, vec!["Once"]));
    let gone = async {
        while model.left() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the model's connection is closed");
}

#[tokio::test]
async fn usage_that_comes_before_a_cut_is_kept_as_far_as_it_is_known() {
    let whole = calls(&[("look", "a", json!({}))]);
    let model = Model::with([whole, Reply::Stream(vec![text("So"), Piece::Cut])]).await;
    let run = House::new(&model).await.ask("look").await;
    assert_eq!(failure(&run).0, "model_cut");
    assert!(
        run.usage[0].input_tokens > Some(100) && run.usage[0].output_tokens == Some(11),
        "and what was cut: {run:#?}"
    );
    assert!(run.cost_usd.is_some(), "{run:#?}");
}

#[tokio::test]
async fn an_answer_that_is_stopped_is_estimated_and_said_to_be() {
    let model = Model::with([Reply::Stream(vec![text(&"word ".repeat(80)), Piece::Hang])]).await;
    let house = House::new(&model).await;
    let run = house.begin("hello").await;
    house.until(|view| view.run(run).is_some_and(|run| !said(run).is_empty())).await;
    house.runner.stop(run);
    let run = house.over(run).await;
    let (used, events) = (&run.usage[0], house.events(run.run_id).await);
    assert_eq!((&run.state, used.output_tokens), (&RunState::Cancelled, Some(100)));
    let estimated =
        events.last().expect("an end").base().metadata.as_ref().expect("metadata")["estimatedTokens"].as_u64();
    assert_eq!(estimated, used.total_tokens);
    assert!(used.input_tokens.is_some_and(|tokens| tokens > 0) && run.cost_usd > Some(0.0), "{run:#?}");
}

#[tokio::test]
async fn an_answer_that_was_refused_took_nothing() {
    let model = Model::with([Reply::Status(500, Vec::new(), "oops".into())]).await;
    let run = House::new(&model).await.ask("hello").await;
    assert!(run.usage.is_empty() && run.cost_usd.is_none(), "{run:#?}");
}

#[tokio::test]
async fn an_end_without_usage_is_no_fault() {
    let pieces = [
        vec![text("Hi")],
        end("stop", 0, 0)
            .into_iter()
            .filter(|piece| !matches!(piece, Piece::Data(data) if data.contains("usage")))
            .collect(),
    ]
    .concat();
    let model = Model::with([Reply::Stream(pieces)]).await;
    let run = House::new(&model).await.ask("hello").await;
    assert_eq!((&run.state, run.usage[0].output_tokens), (&RunState::Finished, Some(1)), "estimated");
    assert!(run.usage[0].input_tokens > Some(0) && run.cost_usd > Some(0.0), "{run:#?}");
}

#[test]
fn an_entry_of_the_configuration_is_an_agent_or_says_what_is_wrong() {
    let entries = json!([
        {"id": "good", "name": "Good", "kind": "model", "model": "m", "api_key": "${KEY}", "tools": ["data"]},
        {"id": "tools", "name": "Tools", "kind": "model", "model": "m", "tools": ["nowhere"]},
        {"id": "key", "name": "Key", "kind": "model", "model": "m", "api_key": "${OTHER}"},
        {"id": "steps", "name": "Steps", "kind": "model", "model": "m", "max_steps": 0},
    ]);
    let entries: Vec<_> = serde_json::from_value(entries).expect("entries");
    let kinds = Kinds { variables: Arc::new(|name| (name == "KEY").then(|| "secret".into())), ..Kinds::default() };
    let agents = AgentRegistry::new([], &entries, kinds).agents().clone();
    let disabled: Vec<_> = agents.all().iter().map(|agent| agent.info.disabled.clone().unwrap_or_default()).collect();
    assert_eq!(disabled[0], "");
    for (reason, words) in disabled[1..].iter().zip(["`nowhere`", "the variable OTHER is not set", "max_steps"]) {
        assert!(reason.contains(words), "{reason}");
    }
    let health = agents.all()[0].health().expect("it depends on its model");
    assert!(health.ok, "{health:?}");
}
