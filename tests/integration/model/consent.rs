//! Calls that need a person's consent.

use netra::{
    protocol::agui::Event,
    thread::{RunState, RunView},
};
use serde_json::{Value, json};

use crate::model::{
    Harness, Model, calls_of, open_interrupts,
    server::{Reply, call_reply, text_reply},
    texts,
};

/// A run with a call that needs consent and one that does not.
async fn interrupted_run(after: impl IntoIterator<Item = Reply>) -> (Model, Harness, RunView) {
    let first = call_reply(&[("send", "s1", json!({"at": "home"})), ("look", "l1", json!({"at": "a"}))]);
    let model = Model::with([first].into_iter().chain(after)).await;
    let harness = Harness::with(&model, json!({"consent_timeout_s": 60})).await;
    let run = harness.ask("send it").await;
    (model, harness, run)
}

#[tokio::test]
async fn only_a_call_that_needs_consent_waits_for_a_person() {
    let (model, harness, run) = interrupted_run([]).await;
    let interrupt = &open_interrupts(&run)[0];
    assert_eq!((interrupt.reason.as_str(), interrupt.tool_call_id.as_deref()), ("tool_call", Some("s1")));
    let metadata = interrupt.metadata.as_ref().expect("metadata");
    assert_eq!((&metadata["toolName"], &metadata["args"]), (&json!("send"), &json!({"at": "home"})));
    assert!(interrupt.expires_at.is_some() && interrupt.response_schema.is_some());
    assert_eq!(harness.executed_calls(), [("look".to_owned(), json!({"at": "a"}))]);
    assert_eq!(calls_of(&run).iter().map(|call| call.2.is_some()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn an_allowed_call_is_carried_out_in_the_resuming_run() {
    let (model, harness, run) = interrupted_run([text_reply("Sent.")]).await;
    let next = harness.answer_all(run.run_id, &[json!({"approved": true})]).await;
    assert_eq!((&next.state, texts(&next)), (&RunState::Finished, vec!["Sent."]));
    assert_eq!(harness.executed_calls()[1], ("send".to_owned(), json!({"at": "home"})));
    let sent = &model.requests()[1].body["messages"];
    let results: Vec<&Value> =
        sent.as_array().expect("messages").iter().filter(|message| message["role"] == "tool").collect();
    assert_eq!((results.len(), &results[0]["tool_call_id"]), (2, &json!("s1")));
    assert_eq!(results[0]["content"], "send {\"at\":\"home\"}");
    let result = harness.events(next.run_id).await.into_iter().find_map(|event| match event {
        Event::ToolCallResult(result) => Some(result.tool_call_id),
        _ => None,
    });
    assert_eq!(result.as_deref(), Some("s1"), "the result is in the resuming run");
    let first = harness.view().await.run(run.run_id).expect("the run").clone();
    assert!(calls_of(&first).iter().all(|call| call.2.is_some()), "and is seen at its call: {first:#?}");
}

#[tokio::test]
async fn edited_arguments_are_used_and_sent_to_the_model() {
    let (model, harness, run) = interrupted_run([text_reply("Sent.")]).await;
    harness.answer_all(run.run_id, &[json!({"approved": true, "editedArgs": {"at": "work"}})]).await;
    assert_eq!(harness.executed_calls()[1], ("send".to_owned(), json!({"at": "work"})));
    let sent = model.requests()[1].body["messages"].to_string();
    assert!(sent.contains("changed the arguments") && sent.contains("work"), "{sent}");
}

#[tokio::test]
async fn a_refused_call_is_not_carried_out_and_the_model_continues() {
    let (model, harness, run) = interrupted_run([text_reply("As you wish.")]).await;
    let next = harness.answer_all(run.run_id, &[json!({"approved": false, "reason": "too early"})]).await;
    assert_eq!((&next.state, texts(&next)), (&RunState::Finished, vec!["As you wish."]));
    assert_eq!(harness.executed_calls().len(), 1, "only the look");
    let sent = model.requests()[1].body["messages"].to_string();
    assert!(sent.contains("refused this call: too early"), "{sent}");
}

#[tokio::test]
async fn a_message_instead_of_an_answer_continues_without_the_call() {
    let (model, harness, _) = interrupted_run([text_reply("Fine.")]).await;
    let next = harness.ask("never mind").await;
    assert_eq!((&next.state, texts(&next)), (&RunState::Finished, vec!["Fine."]));
    assert_eq!(harness.executed_calls().len(), 1);
    let sent = model.requests()[1].body["messages"].clone();
    let result =
        sent.as_array().expect("messages").iter().find(|message| message["tool_call_id"] == "s1").expect("a result");
    assert!(result["content"].as_str().is_some_and(|text| text.contains("not carried out")), "{sent}");
}

#[tokio::test]
async fn a_resuming_run_may_be_interrupted_again() {
    let again = call_reply(&[("send", "s1", json!({"at": "work"}))]);
    let (model, harness, run) = interrupted_run([again, text_reply("Both sent.")]).await;
    let next = harness.answer_all(run.run_id, &[json!({"approved": true})]).await;
    let interrupt = &open_interrupts(&next)[0];
    assert_ne!(interrupt.tool_call_id.as_deref(), Some("s1"), "an id that was used is not used again");
    let last = harness.answer_all(next.run_id, &[json!({"approved": true})]).await;
    assert_eq!((&last.state, texts(&last)), (&RunState::Finished, vec!["Both sent."]));
    let sent: Vec<_> =
        harness.executed_calls().into_iter().filter(|(name, _)| name == "send").map(|(_, args)| args).collect();
    assert_eq!(sent, [json!({"at": "home"}), json!({"at": "work"})]);
    let sent = model.requests()[2].body["messages"].clone();
    let results = sent.as_array().expect("messages").iter().filter(|message| message["role"] == "tool").count();
    assert_eq!(results, 3, "{sent}");
}

#[tokio::test]
async fn two_calls_that_need_consent_are_interrupts_of_one_run() {
    let first = call_reply(&[("send", "s1", json!({"at": "a"})), ("send", "s2", json!({"at": "b"}))]);
    let model = Model::with([first, text_reply("One sent.")]).await;
    let harness = Harness::new(&model).await;
    let run = harness.ask("send both").await;
    assert_eq!(open_interrupts(&run).len(), 2);
    let next = harness.answer_all(run.run_id, &[json!({"approved": false}), json!({"approved": true})]).await;
    assert_eq!(
        (&next.state, harness.executed_calls()),
        (&RunState::Finished, vec![("send".to_owned(), json!({"at": "b"}))])
    );
}

#[tokio::test]
async fn as_many_calls_as_fit_become_interrupts_and_the_others_fail() {
    let ids: Vec<String> = (0..12).map(|at| format!("s{at}")).collect();
    let args = json!({"at": "x".repeat(20_000)});
    let many: Vec<_> = ids.iter().map(|id| ("send", id.as_str(), args.clone())).collect();
    let model = Model::with([call_reply(&many), text_reply("Some sent.")]).await;
    let harness = Harness::new(&model).await;
    let run = harness.ask("send all").await;
    let interrupts = open_interrupts(&run).len();
    assert!((8..10).contains(&interrupts), "{interrupts}");
    let results: Vec<_> = calls_of(&run).iter().filter_map(|call| call.2).collect();
    assert_eq!(results.len(), 12 - interrupts);
    assert!(results.iter().all(|result| result.contains("Not carried out") && result.contains("Call it again")));
    let next = harness.answer_all(run.run_id, &vec![json!({"approved": true}); interrupts]).await;
    assert_eq!((&next.state, texts(&next)), (&RunState::Finished, vec!["Some sent."]));
    assert_eq!(harness.executed_calls().len(), interrupts);
    let sent = model.requests()[1].body["messages"].to_string();
    assert_eq!(sent.matches("Not carried out").count(), 12 - interrupts);
}
