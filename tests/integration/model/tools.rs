//! The loop: model, tools, model; and a person's consent.

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
            Kinds,
            tools::{
                Consent, ToolBox, ToolOutput, ToolSpec,
                questions::{Called, Resumption},
            },
        },
        runs::RunInput,
        usage::Budget,
    },
    thread::RunState,
};
use serde_json::{Value, json};

use crate::model::{
    House, Limit, Model, PATIENCE, asks, calls as called, said,
    server::{Reply, arguments, call, calls, end, says, stream, text},
};

fn look(at: &str) -> Reply {
    calls(&[("look", "c1", json!({"at": at}))])
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
    let model = Model::with([stream(both, "tool_calls"), look("b"), says("Done.")]).await;
    let house = House::new(&model).await;
    let run = house.ask("look around").await;
    assert_eq!((&run.state, said(&run)), (&RunState::Finished, vec!["Looking.", "Done."]));
    let all = called(&run);
    assert_eq!(all[0], ("look", "{\"at\":\"a\"}", Some("look {\"at\":\"a\"}")));
    assert_eq!(all[1].2, Some("There is nothing."));
    assert_eq!(all.len(), 3, "an id that came again is another call: {all:?}");
    assert_eq!(run.usage[0].input_tokens, Some(300), "three steps");
    let failed = house.events(run.run_id).await.into_iter().filter(|event| {
        matches!(event, Event::ToolCallResult(result) if result.base.metadata.as_ref().is_some_and(|meta| meta["failed"] == true))
    });
    assert_eq!(failed.count(), 1);

    let asked = model.asked();
    assert_eq!(asked[0].body["tools"][0]["function"]["name"], "look");
    let told = &asked[1].body["messages"];
    assert!(told[0]["content"].as_str().is_some_and(|system| system.contains("never instructions")), "{told}");
    assert_eq!(told[2]["tool_calls"].as_array().map(Vec::len), Some(2));
    assert_eq!((&told[3]["role"], &told[3]["tool_call_id"]), (&json!("tool"), &json!("c1")));
    assert_eq!(told[4]["content"], "There is nothing.");
    let again = &asked[2].body["messages"][5];
    assert_ne!(again["tool_calls"][0]["id"], "c1", "every id once: {again}");
}

#[tokio::test]
async fn what_cannot_be_called_is_told_to_the_model() {
    let wrong = [call(0, "c1", "fly"), call(1, "c2", "look"), arguments(1, "{\"at\":"), call(2, "c3", "look")];
    let model = Model::with([stream(wrong, "tool_calls"), says("Sorry.")]).await;
    let house = House::new(&model).await;
    let run = house.ask("fly").await;
    let all = called(&run);
    assert!(all[0].2.is_some_and(|result| result.contains("no tool `fly`") && result.contains("look")), "{all:?}");
    assert!(all[1].2.is_some_and(|result| result.contains("JSON")), "{all:?}");
    assert_eq!(all[2].2, Some("look {}"), "no arguments are none");
    assert_eq!((house.called().len(), said(&run)), (1, vec!["Sorry."]));
}

#[tokio::test]
async fn the_last_step_says_that_it_is_the_last() {
    let model = Model::with([look("a"), look("b"), says("never asked")]).await;
    let house = House::with(&model, json!({"max_steps": 2})).await;
    let run = house.ask("look").await;
    assert_eq!(run.state, RunState::Finished);
    assert!(said(&run)[0].contains("2 steps"), "{run:#?}");
    assert!(called(&run)[1].2.is_some_and(|result| result.contains("Not carried out")), "{run:#?}");
    assert_eq!((house.called().len(), model.asked().len()), (1, 2));
}

#[tokio::test]
async fn a_run_whose_budget_ends_calls_nothing_more_and_finishes() {
    let model = Model::with([look("a"), says("never asked")]).await;
    let limit = Arc::new(Limit(50, Default::default()));
    let house = House::made(&model, json!({}), Kinds::default(), |agent| agent.with_allowance(limit.clone())).await;
    let run = house.ask("look").await;
    assert_eq!((&run.state, said(&run).len()), (&RunState::Finished, 1));
    assert!(said(&run)[0].contains("today's tokens are used"), "{run:#?}");
    assert!(called(&run)[0].2.is_some_and(|result| result.contains("Not carried out")), "{run:#?}");
    assert_eq!((run.usage[0].total_tokens, model.asked().len(), house.called().len()), (Some(110), 1, 0));
    let told = limit.1.lock().expect("not poisoned").clone();
    assert!(told[0] > 0, "the question counts while it is under way: {told:?}");
    assert_eq!(told.last(), Some(&110));
}

#[tokio::test]
async fn the_budget_of_the_day_counts_while_a_run_goes_on() {
    let model = Model::with([look("a"), says("Done."), look("b"), says("never asked")]).await;
    let house = House::within(&model, Budget { tokens: Some(300), usd: None }).await;
    assert_eq!(said(&house.ask("look").await), ["Done."], "110 tokens, and another 110");
    let run = house.ask("look again").await;
    assert!(said(&run)[0].contains("300 tokens") && said(&run)[0].contains("00:00 UTC"), "{run:#?}");
    assert_eq!(model.asked().len(), 3);
}

#[tokio::test]
async fn runs_of_a_person_that_go_on_at_once_know_of_each_other() {
    let dear = || Reply::Stream([vec![call(0, "c1", "look")], end("tool_calls", 5_000, 500)].concat());
    let model = Model::with([dear(), Reply::Silence, dear(), says("never asked")]).await;
    let mut house = House::within(&model, Budget { tokens: Some(8_000), usd: None }).await;
    let other = house.begin("look").await;
    let under_way = async {
        while model.asked().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, under_way).await.expect("its second step");
    let elsewhere = house.new_thread().await;
    let thread = std::mem::replace(&mut house.thread, elsewhere);
    let run = house.ask("look").await;
    assert!(said(&run)[0].contains("8000 tokens"), "5500 of the other's, and 5500 of its own: {run:#?}");
    house.thread = thread;
    house.runner.stop(other);
    assert_eq!(house.over(other).await.state, RunState::Cancelled);
}

#[tokio::test]
async fn a_result_of_the_callers_tool_reaches_the_model() {
    let model = Model::with([calls(&[("paint", "p1", json!({}))]), says("Painted.")]).await;
    let house = House::new(&model).await;
    let caller = json!({"tools": [{"name": "paint", "description": "Paints.", "parameters": {"type": "object"}}]});
    let run = house.begin_with("paint it", Some(caller)).await;
    let run = house.over(run).await;
    assert_eq!(run.pending, ["p1"]);
    let answer = InterruptAnswer {
        interrupt_id: "p1".into(),
        status: AnswerStatus::Resolved,
        payload: Some(json!("blue")),
        metadata: None,
    };
    let next = house.answer_with(run.run_id, vec![answer]).await;
    assert_eq!((&next.state, said(&next)), (&RunState::Finished, vec!["Painted."]));
    let told = model.asked()[1].body["messages"].clone();
    let result =
        told.as_array().expect("messages").iter().find(|message| message["tool_call_id"] == "p1").expect("a result");
    assert_eq!(result["content"], "blue");
}

#[tokio::test]
async fn a_tool_that_hangs_ends_with_the_stop() {
    let model = Model::with([calls(&[("hang", "c1", json!({}))])]).await;
    let house = House::new(&model).await;
    let run = house.begin("hang").await;
    let called = async {
        while house.called().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, called).await.expect("it is called");
    house.runner.stop(run);
    let run = house.over(run).await;
    assert_eq!(run.state, RunState::Cancelled);
    assert_eq!(run.usage[0].total_tokens, Some(110), "what it used is told all the same");
    assert!(run.cost_usd.is_some(), "{run:#?}");
}

/// A tool that hangs, and notes when it is given up whether a person stopped its run.
#[derive(Default)]
struct Hanging {
    is_called: AtomicBool,
    stopped_by_person: Mutex<Option<bool>>,
}

struct GivenUp<'a>(&'a Hanging, &'a RunInput);

impl Drop for GivenUp<'_> {
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

    async fn call(&self, _: &str, _: Value, input: &RunInput) -> Called {
        let _given_up = GivenUp(self, input);
        self.is_called.store(true, Ordering::Release);
        std::future::pending().await
    }

    async fn resume(&self, _: &str, _: Resumption, _: &RunInput) -> Called {
        ToolOutput::failed("Nothing waits.").into()
    }

    fn abandon(&self, _: ThreadId) {}
}

#[tokio::test]
async fn a_tool_learns_whether_a_person_stopped_its_run_or_it_ends_for_another_reason() {
    for is_stopped in [true, false] {
        let model = Model::with([calls(&[("hang", "c1", json!({}))])]).await;
        let tools = Arc::new(Hanging::default());
        let house = House::made(&model, json!({}), Kinds::default(), |agent| agent.with_tools(tools.clone())).await;
        let run = house.begin("hang").await;
        let called = async {
            while !tools.is_called.load(Ordering::Acquire) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, called).await.expect("it is called");
        match is_stopped {
            true => house.runner.stop(run),
            false => house.runner.shutdown(Duration::ZERO).await,
        }
        let run = house.over(run).await;
        assert_eq!(run.state == RunState::Cancelled, is_stopped, "{:?}", run.state);
        let noted = async {
            loop {
                if let Some(noted) = *tools.stopped_by_person.lock().expect("not poisoned") {
                    return noted;
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(tokio::time::timeout(PATIENCE, noted).await.expect("it is given up"), is_stopped);
    }
}

/// A run that asks whether it may send; a second call runs at once.
async fn asking(after: impl IntoIterator<Item = Reply>) -> (Model, House, netra::thread::RunView) {
    let first = calls(&[("send", "s1", json!({"at": "home"})), ("look", "l1", json!({"at": "a"}))]);
    let model = Model::with([first].into_iter().chain(after)).await;
    let house = House::with(&model, json!({"consent_timeout_s": 60})).await;
    let run = house.ask("send it").await;
    (model, house, run)
}

#[tokio::test]
async fn a_call_that_asks_first_waits_for_a_person_and_the_others_do_not() {
    let (model, house, run) = asking([]).await;
    let asked = &asks(&run)[0];
    assert_eq!((asked.reason.as_str(), asked.tool_call_id.as_deref()), ("tool_call", Some("s1")));
    let metadata = asked.metadata.as_ref().expect("metadata");
    assert_eq!((&metadata["toolName"], &metadata["args"]), (&json!("send"), &json!({"at": "home"})));
    assert!(asked.expires_at.is_some() && asked.response_schema.is_some());
    assert_eq!(house.called(), [("look".to_owned(), json!({"at": "a"}))]);
    assert_eq!(called(&run).iter().map(|call| call.2.is_some()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(model.asked().len(), 1);
}

#[tokio::test]
async fn an_allowed_call_is_carried_out_in_the_run_that_goes_on() {
    let (model, house, run) = asking([says("Sent.")]).await;
    let next = house.answer(run.run_id, &[json!({"approved": true})]).await;
    assert_eq!((&next.state, said(&next)), (&RunState::Finished, vec!["Sent."]));
    assert_eq!(house.called()[1], ("send".to_owned(), json!({"at": "home"})));
    let told = &model.asked()[1].body["messages"];
    let results: Vec<&Value> =
        told.as_array().expect("messages").iter().filter(|message| message["role"] == "tool").collect();
    assert_eq!((results.len(), &results[0]["tool_call_id"]), (2, &json!("s1")));
    assert_eq!(results[0]["content"], "send {\"at\":\"home\"}");
    let result = house.events(next.run_id).await.into_iter().find_map(|event| match event {
        Event::ToolCallResult(result) => Some(result.tool_call_id),
        _ => None,
    });
    assert_eq!(result.as_deref(), Some("s1"), "the result stands in the run that goes on");
    let first = house.view().await.run(run.run_id).expect("the run").clone();
    assert!(called(&first).iter().all(|call| call.2.is_some()), "and is seen at its call: {first:#?}");
}

#[tokio::test]
async fn edited_arguments_are_the_ones_that_count_and_the_model_knows() {
    let (model, house, run) = asking([says("Sent.")]).await;
    house.answer(run.run_id, &[json!({"approved": true, "editedArgs": {"at": "work"}})]).await;
    assert_eq!(house.called()[1], ("send".to_owned(), json!({"at": "work"})));
    let told = model.asked()[1].body["messages"].to_string();
    assert!(told.contains("changed the arguments") && told.contains("work"), "{told}");
}

#[tokio::test]
async fn a_refused_call_is_not_carried_out_and_the_model_goes_on() {
    let (model, house, run) = asking([says("As you wish.")]).await;
    let next = house.answer(run.run_id, &[json!({"approved": false, "reason": "too early"})]).await;
    assert_eq!((&next.state, said(&next)), (&RunState::Finished, vec!["As you wish."]));
    assert_eq!(house.called().len(), 1, "only the look");
    let told = model.asked()[1].body["messages"].to_string();
    assert!(told.contains("refused this call: too early"), "{told}");
}

#[tokio::test]
async fn what_is_said_instead_of_an_answer_goes_on_without_the_call() {
    let (model, house, _) = asking([says("Fine.")]).await;
    let next = house.ask("never mind").await;
    assert_eq!((&next.state, said(&next)), (&RunState::Finished, vec!["Fine."]));
    assert_eq!(house.called().len(), 1);
    let told = model.asked()[1].body["messages"].clone();
    let result =
        told.as_array().expect("messages").iter().find(|message| message["tool_call_id"] == "s1").expect("a result");
    assert!(result["content"].as_str().is_some_and(|text| text.contains("not carried out")), "{told}");
}

#[tokio::test]
async fn a_run_that_goes_on_may_ask_again() {
    let again = calls(&[("send", "s1", json!({"at": "work"}))]);
    let (model, house, run) = asking([again, says("Both sent.")]).await;
    let next = house.answer(run.run_id, &[json!({"approved": true})]).await;
    let asked = &asks(&next)[0];
    assert_ne!(asked.tool_call_id.as_deref(), Some("s1"), "an id that was used is not used again");
    let last = house.answer(next.run_id, &[json!({"approved": true})]).await;
    assert_eq!((&last.state, said(&last)), (&RunState::Finished, vec!["Both sent."]));
    let sent: Vec<_> = house.called().into_iter().filter(|(name, _)| name == "send").map(|(_, args)| args).collect();
    assert_eq!(sent, [json!({"at": "home"}), json!({"at": "work"})]);
    let told = model.asked()[2].body["messages"].clone();
    let results = told.as_array().expect("messages").iter().filter(|message| message["role"] == "tool").count();
    assert_eq!(results, 3, "{told}");
}

#[tokio::test]
async fn two_calls_that_ask_are_asked_together() {
    let first = calls(&[("send", "s1", json!({"at": "a"})), ("send", "s2", json!({"at": "b"}))]);
    let model = Model::with([first, says("One sent.")]).await;
    let house = House::new(&model).await;
    let run = house.ask("send both").await;
    assert_eq!(asks(&run).len(), 2);
    let next = house.answer(run.run_id, &[json!({"approved": false}), json!({"approved": true})]).await;
    assert_eq!((&next.state, house.called()), (&RunState::Finished, vec![("send".to_owned(), json!({"at": "b"}))]));
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
    let model = Model::with([calls(&[("paint", "p1", json!({"colour": "blue"}))])]).await;
    let house = House::new(&model).await;
    let run = house.begin_with("paint it", Some(caller)).await;
    let run = house.over(run).await;
    assert_eq!(run.state, RunState::Finished);
    let Some(Event::RunFinished(end)) = house.events(run.run_id).await.pop() else { panic!("no end") };
    assert_eq!(json!(end.outcome), json!({"type": "success", "pendingToolCallIds": ["p1"]}));
    assert_eq!(called(&run)[0], ("paint", "{\"colour\":\"blue\"}", None));
    let asked = model.asked().remove(0).body;
    let names: Vec<_> =
        asked["tools"].as_array().expect("tools").iter().map(|tool| tool["function"]["name"].clone()).collect();
    assert_eq!(names, ["look", "send", "hang", "paint"], "the agent's own tool wins over a namesake");
    let system = asked["messages"][0]["content"].as_str().expect("instructions");
    assert!(system.contains("settings") && system.contains("red"), "{system}");
}

#[tokio::test]
async fn a_person_is_asked_about_as_much_as_one_question_holds_and_the_model_is_told_of_the_rest() {
    let ids: Vec<String> = (0..12).map(|at| format!("s{at}")).collect();
    let args = json!({"at": "x".repeat(20_000)});
    let many: Vec<_> = ids.iter().map(|id| ("send", id.as_str(), args.clone())).collect();
    let model = Model::with([calls(&many), says("Some sent.")]).await;
    let house = House::new(&model).await;
    let run = house.ask("send all").await;
    let asked = asks(&run).len();
    assert!((8..10).contains(&asked), "{asked}");
    let results: Vec<_> = called(&run).iter().filter_map(|call| call.2).collect();
    assert_eq!(results.len(), 12 - asked);
    assert!(results.iter().all(|result| result.contains("Not carried out") && result.contains("Call it again")));
    let next = house.answer(run.run_id, &vec![json!({"approved": true}); asked]).await;
    assert_eq!((&next.state, said(&next)), (&RunState::Finished, vec!["Some sent."]));
    assert_eq!(house.called().len(), asked);
    let told = model.asked()[1].body["messages"].to_string();
    assert_eq!(told.matches("Not carried out").count(), 12 - asked);
}

#[tokio::test]
async fn arguments_that_are_too_long_or_too_deep_are_told_to_the_model() {
    let deep = (0..80).fold(json!("x"), |inner, _| json!([inner]));
    let caller = json!({"tools": [{"name": "paint", "description": "Paints.", "parameters": {"type": "object"}}]});
    let long = json!({"at": "x".repeat(300 * 1024)});
    let model = Model::with([
        calls(&[
            ("look", "l1", long.clone()),
            ("send", "s1", json!({"at": "x".repeat(40 * 1024)})),
            ("send", "s2", json!({"more": deep})),
            ("paint", "p1", long),
        ]),
        says("Too much."),
    ])
    .await;
    let house = House::new(&model).await;
    let run = house.begin_with("do it", Some(caller)).await;
    let run = house.over(run).await;
    assert_eq!((&run.state, said(&run)), (&RunState::Finished, vec!["Too much."]));
    let results: Vec<_> = called(&run).iter().map(|call| call.2.expect("a result")).collect();
    for (result, why) in results.iter().zip(["at most 131072", "at most 32768", "nested too deeply", "at most 131072"])
    {
        assert!(result.contains(why), "{result}");
    }
    assert!(house.called().is_empty());
}
