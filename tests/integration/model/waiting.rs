//! Interrupted runs: valid and invalid answers, answers in time and late, and no answer.

use netra::{
    protocol::{ErrorCode, RunPhase, UserEntry},
    server::error::Error,
    thread::Resolution,
};

use super::*;
use crate::model::server::{Reply, call_reply, text_reply};

/// A run with a call that waits for consent for this many seconds, and the model's replies after it.
async fn interrupted_run(seconds: u32, replies: impl IntoIterator<Item = Reply>) -> (Model, Harness, RunView) {
    let first = call_reply(&[("send", "s1", json!({"at": "home"}))]);
    let model = Model::with([first].into_iter().chain(replies)).await;
    let harness = Harness::with(&model, json!({"consent_timeout_s": seconds})).await;
    let run = harness.ask("send it").await;
    (model, harness, run)
}

fn answer_to(harness: &Harness, run: &RunView, payload: Value) -> Answer {
    let answer = |interrupt: &Interrupt| InterruptAnswer {
        interrupt_id: interrupt.id.clone(),
        status: AnswerStatus::Resolved,
        payload: Some(payload.clone()),
        metadata: None,
    };
    let answers = open_interrupts(run).iter().map(answer).collect();
    Answer { answer_id: MessageId::new(), thread_id: harness.thread, run_id: run.run_id, answers }
}

async fn wait_for_expiry(run: &RunView) {
    let until = open_interrupts(run).iter().filter_map(threads::expires_at).max().expect("an expiry");
    while jiff::Timestamp::now().as_millisecond() <= until {
        // Nothing is notified when it expires.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_answer_that_does_not_match_its_schema_is_refused_and_may_be_corrected() {
    let (_model, harness, run) = interrupted_run(60, [text_reply("Sent.")]).await;
    let wrong = [
        (json!({"approved": true, "editedArgs": {"at": 5}}), "`editedArgs.at` must be string"),
        (json!({"approved": true, "editedArgs": "all"}), "`editedArgs` must be object"),
        (json!({"approved": "yes"}), "`approved` must be boolean"),
        (json!({}), "`approved` is missing"),
        (json!(true), "the answer must be object"),
    ];
    for (payload, field) in wrong {
        let command = answer_to(&harness, &run, payload);
        match threads::answer(&harness.channels, &harness.user, &command, None, |_| Ok(())).await {
            Err(Error::Refused(body)) if body.code == ErrorCode::InvalidPayload => {
                assert!(body.message.contains(field), "{}", body.message);
            }
            other => panic!("{field}: {other:?}"),
        }
    }
    let next = harness.answer_all(run.run_id, &[json!({"approved": true, "editedArgs": {"at": "work"}})]).await;
    assert_eq!(next.state, RunState::Finished);
    assert_eq!(harness.executed_calls(), [("send".to_owned(), json!({"at": "work"}))], "the person could correct it");
}

#[tokio::test]
async fn an_answer_given_in_time_counts_however_late_its_run_begins() {
    let (_model, harness, run) = interrupted_run(4, [text_reply("Sent.")]).await;
    let command = answer_to(&harness, &run, json!({"approved": true}));
    let outcome = threads::answer(&harness.channels, &harness.user, &command, None, |_| Ok(())).await.expect("in time");
    wait_for_expiry(&run).await;
    let next = harness.start_run(outcome.run.expect("a run"));
    assert_eq!(harness.until_over(next).await.state, RunState::Finished);
    assert_eq!(harness.executed_calls(), [("send".to_owned(), json!({"at": "home"}))]);
}

#[tokio::test]
async fn one_node_answers_an_expired_interrupt_and_the_agent_continues() {
    let (model, harness, run) = interrupted_run(1, [text_reply("Then not.")]).await;
    assert_eq!(threads::unanswered(&harness.channels).await.expect("the unanswered runs are read").len(), 0, "not yet");
    wait_for_expiry(&run).await;
    let unanswered = threads::unanswered(&harness.channels).await.expect("the unanswered runs are read");
    assert_eq!(unanswered.iter().map(|run| run.run_id).collect::<Vec<_>>(), [run.run_id]);
    let expire = || threads::expire(&harness.channels, &harness.user, unanswered[0]);
    let (one, other) = tokio::join!(expire(), expire());
    let runs: Vec<_> = [one, other].into_iter().filter_map(|one| one.expect("the store can be written")).collect();
    assert_eq!(runs.len(), 1, "it is resumed once");
    let yes = answer_to(&harness, &run, json!({"approved": true}));
    let late = threads::answer(&harness.channels, &harness.user, &yes, None, |_| Ok(()));
    assert!(matches!(late.await, Err(Error::Refused(body)) if body.code == ErrorCode::Conflict));
    assert!(!runs[0].repeated);
    let next = harness.start_run(runs[0].run.clone());
    let next = harness.until_over(next).await;
    assert_eq!((&next.state, texts(&next)), (&RunState::Finished, vec!["Then not."]));
    assert!(harness.executed_calls().is_empty());
    let sent = model.requests()[1].body["messages"].to_string();
    assert!(sent.contains("Nobody answered in time"), "{sent}");
    assert!(threads::unanswered(&harness.channels).await.expect("the unanswered runs are read").is_empty());
}

#[tokio::test]
async fn a_restarted_server_answers_interrupts_that_expired_meanwhile_but_not_forever() {
    let again = call_reply(&[("send", "s2", json!({"at": "home"}))]);
    let (model, harness, run) = interrupted_run(1, [again, text_reply("not requested")]).await;
    wait_for_expiry(&run).await;
    let runner = harness.runner.clone();
    runner.recover().await.expect("the runs are recovered");
    let background = tokio::spawn(async move { runner.run_background_tasks().await });
    fn next(view: &ThreadView, run: RunId) -> Option<&RunView> {
        match view.run(run)?.answered.as_ref()? {
            Resolution::Answered { resumed_by, .. } => view.run(*resumed_by),
            Resolution::Abandoned => None,
        }
    }
    let last = |view: &ThreadView| next(view, next(view, run.run_id)?.run_id).cloned();
    harness.until(|view| last(view).is_some_and(|last| last.state.is_over())).await;
    background.abort();
    assert_eq!(failure(&last(&harness.view().await).expect("the last")).0, "unanswered");
    assert_eq!((model.requests().len(), harness.executed_calls().len()), (2, 0), "the model is not called again");
    let mut phases = Vec::new();
    for delivery in harness.channels.page(Channel::User(harness.user.id), 0).await.expect("the page is read") {
        let frame: Value = serde_json::from_str(delivery.frame.as_str()).expect("JSON");
        if let Entry::User(UserEntry::Run { run_id, phase, .. }) =
            Entry::decode(Channel::User(harness.user.id).name(), frame["payload"]["entry"].clone())
            && run_id == run.run_id
        {
            phases.push(phase);
        }
    }
    assert_eq!(phases.last(), Some(&RunPhase::Answered), "the feed shows no open interrupt: {phases:?}");
}

/// Tools that are unavailable when they are called.
pub(super) struct UnavailableTools;

#[async_trait]
impl ToolBox for UnavailableTools {
    async fn list(&self, _: &RunInput) -> Vec<ToolSpec> {
        Vec::new()
    }

    async fn call(&self, name: &str, _: Value, _: &RunInput) -> CallOutcome {
        ToolOutput::failed(format!("The tools of `{name}` are unavailable.")).into()
    }

    async fn resume(&self, name: &str, _: Resumption, _: &RunInput) -> CallOutcome {
        ToolOutput::failed(format!("The tools of `{name}` are unavailable.")).into()
    }

    fn abandon(&self, _: ThreadId) {}
}

#[tokio::test]
async fn an_allowed_call_of_an_unavailable_tool_fails_with_the_reason() {
    let (model, harness, run) = interrupted_run(60, [text_reply("Later, then.")]).await;
    let config = json!({"model": "scripted", "base_url": model.url, "api_key": "sk-of-the-tests"});
    let config = serde_json::from_value(config).expect("a configuration");
    let agent = ModelAgent::new(AgentInfo::new("model", "Model", ""), config, |_| None, &PriceTable::shipped());
    let agent: Arc<dyn Agent> = Arc::new(agent.expect("an agent").with_tools(Arc::new(UnavailableTools)));
    let agents = AgentRegistry::new([agent], &[], AgentBuilder::default()).agents().clone();
    let runner = Runner::new(harness.channels.clone(), agents, RunnerOptions::new(harness.files()));
    let command = answer_to(&harness, &run, json!({"approved": true}));
    let outcome = threads::answer(&harness.channels, &harness.user, &command, None, |_| Ok(()))
        .await
        .expect("the answer is accepted");
    let next = outcome.run.expect("a run");
    runner.start(next.clone());
    let next = harness.until_over(next.run_id).await;
    assert_eq!((&next.state, texts(&next)), (&RunState::Finished, vec!["Later, then."]));
    let sent = model.requests()[1].body["messages"].to_string();
    assert!(sent.contains("are unavailable") && !sent.contains("no tool"), "{sent}");
}
