//! What waits for a person: answers that fit or do not, in time or not, and silence.

use netra::{
    protocol::{ErrorCode, RunPhase, UserEntry},
    server::error::Error,
    thread::Resolution,
};

use super::*;
use crate::model::server::{Reply, calls as calling, says};

/// A run that asks whether it may send, and for how long it waits.
async fn asking(seconds: u32, after: impl IntoIterator<Item = Reply>) -> (Model, House, RunView) {
    let first = calling(&[("send", "s1", json!({"at": "home"}))]);
    let model = Model::with([first].into_iter().chain(after)).await;
    let house = House::with(&model, json!({"consent_timeout_s": seconds})).await;
    let run = house.ask("send it").await;
    (model, house, run)
}

fn answer_to(house: &House, run: &RunView, payload: Value) -> Answer {
    let answer = |asked: &Interrupt| InterruptAnswer {
        interrupt_id: asked.id.clone(),
        status: AnswerStatus::Resolved,
        payload: Some(payload.clone()),
        metadata: None,
    };
    let answers = asks(run).iter().map(answer).collect();
    Answer { answer_id: MessageId::new(), thread_id: house.thread, run_id: run.run_id, answers }
}

async fn expires(run: &RunView) {
    let until = asks(run).iter().filter_map(threads::expires_at).max().expect("it expires");
    while jiff::Timestamp::now().as_millisecond() <= until {
        // The condition is the clock's: nothing else tells that the time has come.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_refused_with_its_field_and_may_be_corrected() {
    let (_model, house, run) = asking(60, [says("Sent.")]).await;
    let wrong = [
        (json!({"approved": true, "editedArgs": {"at": 5}}), "`editedArgs.at` must be string"),
        (json!({"approved": true, "editedArgs": "all"}), "`editedArgs` must be object"),
        (json!({"approved": "yes"}), "`approved` must be boolean"),
        (json!({}), "`approved` is missing"),
        (json!(true), "the answer must be object"),
    ];
    for (payload, field) in wrong {
        let command = answer_to(&house, &run, payload);
        match threads::answer(&house.channels, &house.user, &command, None, |_| Ok(())).await {
            Err(Error::Refused(body)) if body.code == ErrorCode::InvalidPayload => {
                assert!(body.message.contains(field), "{}", body.message);
            }
            other => panic!("{field}: {other:?}"),
        }
    }
    let next = house.answer(run.run_id, &[json!({"approved": true, "editedArgs": {"at": "work"}})]).await;
    assert_eq!(next.state, RunState::Finished);
    assert_eq!(house.called(), [("send".to_owned(), json!({"at": "work"}))], "the person could correct it");
}

#[tokio::test]
async fn an_answer_given_in_time_counts_however_late_its_run_begins() {
    let (_model, house, run) = asking(4, [says("Sent.")]).await;
    let command = answer_to(&house, &run, json!({"approved": true}));
    let asked = threads::answer(&house.channels, &house.user, &command, None, |_| Ok(())).await.expect("in time");
    expires(&run).await;
    let next = house.start(asked.run.expect("a run"));
    assert_eq!(house.over(next).await.state, RunState::Finished);
    assert_eq!(house.called(), [("send".to_owned(), json!({"at": "home"}))]);
}

#[tokio::test]
async fn what_nobody_answers_in_time_is_given_up_by_one_of_all_nodes_and_the_agent_goes_on() {
    let (model, house, run) = asking(1, [says("Then not.")]).await;
    assert_eq!(threads::unanswered(&house.channels).await.expect("asks").len(), 0, "there is time");
    expires(&run).await;
    let silent = threads::unanswered(&house.channels).await.expect("asks");
    assert_eq!(silent.iter().map(|silent| silent.run_id).collect::<Vec<_>>(), [run.run_id]);
    let expire = || threads::expire(&house.channels, &house.user, silent[0]);
    let (one, other) = tokio::join!(expire(), expire());
    let runs: Vec<_> = [one, other].into_iter().filter_map(|one| one.expect("asks")).collect();
    assert_eq!(runs.len(), 1, "one goes on, once");
    let yes = answer_to(&house, &run, json!({"approved": true}));
    let late = threads::answer(&house.channels, &house.user, &yes, None, |_| Ok(()));
    assert!(matches!(late.await, Err(Error::Refused(body)) if body.code == ErrorCode::Conflict));
    assert!(!runs[0].again);
    let next = house.start(runs[0].run.clone());
    let next = house.over(next).await;
    assert_eq!((&next.state, said(&next)), (&RunState::Finished, vec!["Then not."]));
    assert!(house.called().is_empty());
    let told = model.asked()[1].body["messages"].to_string();
    assert!(told.contains("Nobody answered in time"), "{told}");
    assert!(threads::unanswered(&house.channels).await.expect("asks").is_empty());
}

#[tokio::test]
async fn a_server_that_begins_again_goes_on_with_what_expired_while_it_was_away_and_not_for_ever() {
    let again = calling(&[("send", "s2", json!({"at": "home"}))]);
    let (model, house, run) = asking(1, [again, says("never asked")]).await;
    expires(&run).await;
    let runner = house.runner.clone();
    runner.recover().await.expect("recovers");
    let tending = tokio::spawn(async move { runner.tend().await });
    fn next(view: &ThreadView, run: RunId) -> Option<&RunView> {
        match view.run(run)?.answered.as_ref()? {
            Resolution::Answered { resumed_by, .. } => view.run(*resumed_by),
            Resolution::Abandoned => None,
        }
    }
    let last = |view: &ThreadView| next(view, next(view, run.run_id)?.run_id).cloned();
    house.until(|view| last(view).is_some_and(|last| last.state.is_over())).await;
    tending.abort();
    assert_eq!(failure(&last(&house.view().await).expect("the last")).0, "unanswered");
    assert_eq!((model.asked().len(), house.called().len()), (2, 0), "an empty room is not asked for ever");
    let mut phases = Vec::new();
    for delivery in house.channels.page(Channel::User(house.user.id), 0).await.expect("reads") {
        let frame: Value = serde_json::from_str(delivery.frame.as_str()).expect("JSON");
        if let Entry::User(UserEntry::Run { run_id, phase, .. }) =
            Entry::decode(Channel::User(house.user.id).name(), frame["payload"]["entry"].clone())
            && run_id == run.run_id
        {
            phases.push(phase);
        }
    }
    assert_eq!(phases.last(), Some(&RunPhase::Answered), "nobody is waited for any more: {phases:?}");
}

/// Tools that are away when they are called.
pub(super) struct Away;

#[async_trait]
impl ToolBox for Away {
    async fn list(&self, _: &RunInput) -> Vec<ToolSpec> {
        Vec::new()
    }

    async fn call(&self, name: &str, _: Value, _: &RunInput) -> Called {
        ToolOutput::failed(format!("The tools of `{name}` are away.")).into()
    }

    async fn resume(&self, name: &str, _: Resumption, _: &RunInput) -> Called {
        ToolOutput::failed(format!("The tools of `{name}` are away.")).into()
    }

    fn abandon(&self, _: ThreadId) {}
}

#[tokio::test]
async fn an_allowed_call_whose_tools_are_away_says_so() {
    let (model, house, run) = asking(60, [says("Later, then.")]).await;
    let config = json!({"model": "scripted", "base_url": model.url, "api_key": "sk-of-the-tests"});
    let config = serde_json::from_value(config).expect("a configuration");
    let agent = ModelAgent::new(AgentInfo::new("model", "Model", ""), config, |_| None, &PriceTable::shipped());
    let agent: Arc<dyn Agent> = Arc::new(agent.expect("an agent").with_tools(Arc::new(Away)));
    let agents = AgentRegistry::new([agent], &[], Kinds::default()).agents().clone();
    let runner = Runner::new(house.channels.clone(), agents, RunnerOptions::new(house.folder.path().join("files")));
    let command = answer_to(&house, &run, json!({"approved": true}));
    let asked = threads::answer(&house.channels, &house.user, &command, None, |_| Ok(())).await.expect("accepted");
    let next = asked.run.expect("a run");
    runner.start(next.clone());
    let next = house.over(next.run_id).await;
    assert_eq!((&next.state, said(&next)), (&RunState::Finished, vec!["Later, then."]));
    let told = model.asked()[1].body["messages"].to_string();
    assert!(told.contains("are away") && !told.contains("no tool"), "{told}");
}
