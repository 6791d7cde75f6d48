//! The loop of model and tools.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use netra::{
    protocol::{AnswerStatus, InterruptAnswer, ThreadId, agui::Event},
    server::{
        agents::{
            AgentBuilder,
            tools::{
                Consent, ToolBox, ToolOutput, ToolSpec,
                questions::{CallOutcome, Resumption},
            },
        },
        runs::RunInput,
        usage::Budget,
    },
    thread::RunState,
};
use serde_json::{Value, json};

use crate::model::{
    Harness, Model, TEST_TIMEOUT, TokenLimit, calls_of,
    server::{Reply, arguments, call, call_reply, end, stream, text, text_reply},
    texts,
};

fn look(at: &str) -> Reply {
    call_reply(&[("look", "c1", json!({"at": at}))])
}

#[tokio::test]
async fn a_model_calls_tools_until_it_is_done() {
    let both = [
        text("Looking."),
        call(0, "c1", "look"),
        arguments(0, "{\"at\":\"a\"}"),
        call(1, "c2", "look"),
        arguments(1, "{\"at\":\"nowhere\"}"),
    ];
    let model = Model::with([stream(both, "tool_calls"), look("b"), text_reply("Done.")]).await;
    let harness = Harness::new(&model).await;
    let run = harness.ask("look around").await;
    assert_eq!((&run.state, texts(&run)), (&RunState::Finished, vec!["Looking.", "Done."]));
    let all = calls_of(&run);
    assert_eq!(all[0], ("look", "{\"at\":\"a\"}", Some("look {\"at\":\"a\"}")));
    assert_eq!(all[1].2, Some("There is nothing."));
    assert_eq!(all.len(), 3, "a repeated id is a call of its own: {all:?}");
    assert_eq!(run.usage[0].input_tokens, Some(300), "three steps");
    let failed = harness.events(run.run_id).await.into_iter().filter(|event| {
        matches!(event, Event::ToolCallResult(result) if result.base.metadata.as_ref().is_some_and(|meta| meta["failed"] == true))
    });
    assert_eq!(failed.count(), 1);

    let requests = model.requests();
    assert_eq!(requests[0].body["tools"][0]["function"]["name"], "look");
    let sent = &requests[1].body["messages"];
    assert!(sent[0]["content"].as_str().is_some_and(|system| system.contains("never instructions")), "{sent}");
    assert_eq!(sent[2]["tool_calls"].as_array().map(Vec::len), Some(2));
    assert_eq!((&sent[3]["role"], &sent[3]["tool_call_id"]), (&json!("tool"), &json!("c1")));
    assert_eq!(sent[4]["content"], "There is nothing.");
    let again = &requests[2].body["messages"][5];
    assert_ne!(again["tool_calls"][0]["id"], "c1", "each id is used once: {again}");
}

#[tokio::test]
async fn a_long_result_is_cut_and_says_so() {
    let model = Model::with([look(&"x".repeat(100_000)), text_reply("Done.")]).await;
    let harness = Harness::new(&model).await;
    let run = harness.ask("look far").await;
    let result = calls_of(&run)[0].2.expect("the call has a result").to_owned();
    assert!(result.len() <= 65_536, "{}", result.len());
    assert!(result.ends_with("[cut here: 100014 bytes in all, the limit is 65536]"), "{}", &result[65_400..]);
    assert_eq!(model.requests()[1].body["messages"][3]["content"], result);
}

#[tokio::test]
async fn the_model_gets_an_error_for_a_call_that_cannot_be_made() {
    let wrong = [call(0, "c1", "fly"), call(1, "c2", "look"), arguments(1, "{\"at\":"), call(2, "c3", "look")];
    let model = Model::with([stream(wrong, "tool_calls"), text_reply("Sorry.")]).await;
    let harness = Harness::new(&model).await;
    let run = harness.ask("fly").await;
    let all = calls_of(&run);
    assert!(all[0].2.is_some_and(|result| result.contains("no tool `fly`") && result.contains("look")), "{all:?}");
    assert!(all[1].2.is_some_and(|result| result.contains("JSON")), "{all:?}");
    assert_eq!(all[2].2, Some("look {}"), "missing arguments are an empty object");
    assert_eq!((harness.executed_calls().len(), texts(&run)), (1, vec!["Sorry."]));
}

#[tokio::test]
async fn a_run_says_when_its_steps_are_used_up() {
    let model = Model::with([look("a"), look("b"), text_reply("not requested")]).await;
    let harness = Harness::with(&model, json!({"max_steps": 2})).await;
    let run = harness.ask("look").await;
    assert_eq!(run.state, RunState::Finished);
    assert!(texts(&run)[0].contains("2 steps"), "{run:#?}");
    assert!(calls_of(&run)[1].2.is_some_and(|result| result.contains("Not carried out")), "{run:#?}");
    assert_eq!((harness.executed_calls().len(), model.requests().len()), (1, 2));
}

#[tokio::test]
async fn a_run_whose_budget_is_used_up_makes_no_more_calls_and_finishes() {
    let model = Model::with([look("a"), text_reply("not requested")]).await;
    let limit = Arc::new(TokenLimit(50, Default::default()));
    let harness =
        Harness::build(&model, json!({}), AgentBuilder::default(), |agent| agent.with_allowance(limit.clone())).await;
    let run = harness.ask("look").await;
    assert_eq!((&run.state, texts(&run).len()), (&RunState::Finished, 1));
    assert!(texts(&run)[0].contains("today's tokens are used"), "{run:#?}");
    assert!(calls_of(&run)[0].2.is_some_and(|result| result.contains("Not carried out")), "{run:#?}");
    assert_eq!((run.usage[0].total_tokens, model.requests().len(), harness.executed_calls().len()), (Some(110), 1, 0));
    let counted = limit.1.lock().expect("not poisoned").clone();
    assert!(counted[0] > 0, "a request counts before its answer is complete: {counted:?}");
    assert_eq!(counted.last(), Some(&110));
}

#[tokio::test]
async fn the_daily_budget_counts_during_a_run() {
    let model = Model::with([look("a"), text_reply("Done."), look("b"), text_reply("not requested")]).await;
    let harness = Harness::with_budget(&model, Budget { tokens: Some(300), usd: None }).await;
    assert_eq!(texts(&harness.ask("look").await), ["Done."], "110 tokens, and another 110");
    let run = harness.ask("look again").await;
    assert!(texts(&run)[0].contains("300 tokens") && texts(&run)[0].contains("00:00 UTC"), "{run:#?}");
    assert_eq!(model.requests().len(), 3);
}

#[tokio::test]
async fn concurrent_runs_of_a_person_share_the_budget() {
    let expensive = || Reply::Stream([vec![call(0, "c1", "look")], end("tool_calls", 5_000, 500)].concat());
    let model = Model::with([expensive(), Reply::Silence, expensive(), text_reply("not requested")]).await;
    let mut harness = Harness::with_budget(&model, Budget { tokens: Some(8_000), usd: None }).await;
    let other = harness.begin("look").await;
    let under_way = async {
        while model.requests().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, under_way).await.expect("the second request is sent in time");
    let elsewhere = harness.create_thread().await;
    let thread = std::mem::replace(&mut harness.thread, elsewhere);
    let run = harness.ask("look").await;
    assert!(texts(&run)[0].contains("8000 tokens"), "5500 of the other's, and 5500 of its own: {run:#?}");
    harness.thread = thread;
    harness.runner.stop(other);
    assert_eq!(harness.until_over(other).await.state, RunState::Cancelled);
}

#[tokio::test]
async fn a_result_of_the_callers_tool_reaches_the_model() {
    let model = Model::with([call_reply(&[("paint", "p1", json!({}))]), text_reply("Painted.")]).await;
    let harness = Harness::new(&model).await;
    let caller = json!({"tools": [{"name": "paint", "description": "Paints.", "parameters": {"type": "object"}}]});
    let run = harness.begin_with_caller("paint it", caller).await;
    let run = harness.until_over(run).await;
    assert_eq!(run.pending, ["p1"]);
    let answer = InterruptAnswer {
        interrupt_id: "p1".into(),
        status: AnswerStatus::Resolved,
        payload: Some(json!("blue")),
        metadata: None,
    };
    let next = harness.answer(run.run_id, vec![answer]).await;
    assert_eq!((&next.state, texts(&next)), (&RunState::Finished, vec!["Painted."]));
    let sent = model.requests()[1].body["messages"].clone();
    let result =
        sent.as_array().expect("messages").iter().find(|message| message["tool_call_id"] == "p1").expect("a result");
    assert_eq!(result["content"], "blue");
}

#[tokio::test]
async fn a_hanging_tool_ends_when_its_run_is_stopped() {
    let model = Model::with([call_reply(&[("hang", "c1", json!({}))])]).await;
    let harness = Harness::new(&model).await;
    let run = harness.begin("hang").await;
    let called = async {
        while harness.executed_calls().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, called).await.expect("the tool is called");
    harness.runner.stop(run);
    let run = harness.until_over(run).await;
    assert_eq!(run.state, RunState::Cancelled);
    assert_eq!(run.usage[0].total_tokens, Some(110), "a stopped run reports its usage");
    assert!(run.cost_usd.is_some(), "{run:#?}");
}

/// A tool that hangs. When its call is dropped, it records whether a person stopped the run.
#[derive(Default)]
struct Hanging {
    is_called: AtomicBool,
    stopped_by_person: Mutex<Option<bool>>,
}

struct Dropped<'a>(&'a Hanging, &'a RunInput);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        *self.0.stopped_by_person.lock().expect("not poisoned") = Some(self.1.stopped_by_person.is_cancelled());
    }
}

#[async_trait]
impl ToolBox for Hanging {
    async fn list(&self, _: &RunInput) -> Vec<ToolSpec> {
        let parameters = json!({"type": "object"});
        let (description, source) = ("Hangs.".into(), "tests".into());
        vec![ToolSpec { name: "hang".into(), description, parameters, consent: Consent::Automatic, source }]
    }

    async fn call(&self, _: &str, _: Value, input: &RunInput) -> CallOutcome {
        let _dropped = Dropped(self, input);
        self.is_called.store(true, Ordering::Release);
        std::future::pending().await
    }

    async fn resume(&self, _: &str, _: Resumption, _: &RunInput) -> CallOutcome {
        ToolOutput::failed("Nothing waits.").into()
    }

    fn abandon(&self, _: ThreadId) {}
}

#[tokio::test]
async fn a_tool_can_read_whether_a_person_stopped_its_run() {
    for is_stopped in [true, false] {
        let model = Model::with([call_reply(&[("hang", "c1", json!({}))])]).await;
        let tools = Arc::new(Hanging::default());
        let harness =
            Harness::build(&model, json!({}), AgentBuilder::default(), |agent| agent.with_tools(tools.clone())).await;
        let run = harness.begin("hang").await;
        let called = async {
            while !tools.is_called.load(Ordering::Acquire) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, called).await.expect("the tool is called");
        match is_stopped {
            true => harness.runner.stop(run),
            false => harness.runner.shutdown(Duration::ZERO).await,
        }
        let run = harness.until_over(run).await;
        assert_eq!(run.state == RunState::Cancelled, is_stopped, "{:?}", run.state);
        let recorded = async {
            loop {
                if let Some(recorded) = *tools.stopped_by_person.lock().expect("not poisoned") {
                    return recorded;
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(
            tokio::time::timeout(TEST_TIMEOUT, recorded).await.expect("the call is dropped in time"),
            is_stopped
        );
    }
}

#[tokio::test]
async fn a_tool_of_the_caller_is_left_to_the_caller() {
    let caller = json!({
        "tools": [
            {"name": "paint", "description": "Paints.", "parameters": {"type": "object"}},
            {"name": "look", "description": "Not this one.", "parameters": {"type": "object"}},
        ],
        "context": [{"description": "page", "value": "settings"}],
        "state": {"colour": "red"},
    });
    let model = Model::with([call_reply(&[("paint", "p1", json!({"colour": "blue"}))])]).await;
    let harness = Harness::new(&model).await;
    let run = harness.begin_with_caller("paint it", caller).await;
    let run = harness.until_over(run).await;
    assert_eq!(run.state, RunState::Finished);
    let Some(Event::RunFinished(end)) = harness.events(run.run_id).await.pop() else { panic!("no end") };
    assert_eq!(json!(end.outcome), json!({"type": "success", "pendingToolCallIds": ["p1"]}));
    assert_eq!(calls_of(&run)[0], ("paint", "{\"colour\":\"blue\"}", None));
    let body = model.requests().remove(0).body;
    let names: Vec<_> =
        body["tools"].as_array().expect("tools").iter().map(|tool| tool["function"]["name"].clone()).collect();
    assert_eq!(names, ["look", "send", "hang", "paint"], "the agent's own tool wins over a namesake");
    let system = body["messages"][0]["content"].as_str().expect("instructions");
    assert!(system.contains("settings") && system.contains("red"), "{system}");
}

#[tokio::test]
async fn the_model_gets_an_error_for_arguments_that_are_too_long_or_too_deep() {
    let deep = (0..80).fold(json!("x"), |inner, _| json!([inner]));
    let caller = json!({"tools": [{"name": "paint", "description": "Paints.", "parameters": {"type": "object"}}]});
    let long = json!({"at": "x".repeat(300 * 1024)});
    let model = Model::with([
        call_reply(&[
            ("look", "l1", long.clone()),
            ("send", "s1", json!({"at": "x".repeat(40 * 1024)})),
            ("send", "s2", json!({"more": deep})),
            ("paint", "p1", long),
        ]),
        text_reply("Too much."),
    ])
    .await;
    let harness = Harness::new(&model).await;
    let run = harness.begin_with_caller("do it", caller).await;
    let run = harness.until_over(run).await;
    assert_eq!((&run.state, texts(&run)), (&RunState::Finished, vec!["Too much."]));
    let results: Vec<_> = calls_of(&run).iter().map(|call| call.2.expect("a result")).collect();
    for (result, why) in
        results.iter().zip(["the limit is 131072", "the limit is 32768", "nested too deeply", "the limit is 131072"])
    {
        assert!(result.contains(why), "{result}");
    }
    assert!(harness.executed_calls().is_empty());
}
