//! Turns: what waits, who is asked, what is taken back, and which message follows which.

use netra::{
    protocol::{Answer, AnswerStatus, ErrorBody, InterruptAnswer, MessageId, TakeBack, http::UsageSum},
    server::{threads::CommandOutcome, usage::Budget},
    thread::{NodeState, Resolution},
};

use super::*;

fn answers(status: AnswerStatus) -> Vec<InterruptAnswer> {
    vec![InterruptAnswer { interrupt_id: "i".into(), status, payload: Some(json!({"approved": true})), metadata: None }]
}

impl House {
    pub(super) fn answer(&self, run_id: RunId) -> Answer {
        let (answer_id, thread_id) = (MessageId::new(), self.thread);
        Answer { answer_id, thread_id, run_id, answers: answers(AnswerStatus::Resolved) }
    }

    async fn try_answer(&self, answer: &Answer) -> Result<CommandOutcome, ErrorBody> {
        let asked = threads::answer(&self.channels, &self.user, answer, None, |_| Ok(())).await;
        asked.map_err(netra::server::error::Error::into_body)
    }

    /// Says something that waits for its turn, or not; answers its run.
    pub(super) async fn say(&self, command: &SendMessage) -> RunId {
        let run = self.ask("script", command).await;
        let id = run.run_id;
        self.runner.start(run);
        id
    }

    async fn take_back(&self, message_id: MessageId) -> Result<Option<RunId>, ErrorBody> {
        let command = TakeBack { thread_id: self.thread, message_id };
        let taken = threads::take_back(&self.channels, &self.user, &command).await;
        if let Ok(Some(run)) = &taken {
            self.runner.stop(*run);
        }
        taken.map_err(netra::server::error::Error::into_body)
    }

    async fn result(&self, run: RunId) -> Value {
        assert_eq!(self.until_over(run).await, RunState::Finished);
        self.view().await.run(run).and_then(|run| run.result.clone()).expect("a result")
    }
}

#[tokio::test]
async fn messages_wait_their_turn_in_order_and_can_be_taken_back() {
    let house = House::new().await;
    let first = house.begin("gate").await;
    house.until_open(first).await;
    let messages = ["tell", "gate", "answer"].map(|text| SendMessage::new(house.thread, text));
    let mut runs = Vec::new();
    for message in &messages {
        runs.push(house.say(message).await);
    }
    let line = house.runner.waiting(house.thread);
    assert_eq!(
        line.iter().map(|at| (at.waiting.run_id, at.waiting.position)).collect::<Vec<_>>(),
        [(runs[0], 1), (runs[1], 2), (runs[2], 3)]
    );
    assert!(line.iter().all(|at| at.waiting.waits_for == WaitsFor::Thread));
    assert_eq!(house.take_back(messages[1].message_id).await, Ok(Some(runs[1])));
    assert_eq!(house.take_back(messages[1].message_id).await, Ok(None), "again changes nothing");
    house.gate.add_permits(1);
    assert_eq!(house.until_over(runs[2]).await, RunState::Finished);
    let (view, events) = (house.view().await, house.events(runs[2]).await);
    assert!(view.run(runs[1]).is_none() && view.message(messages[1].message_id).is_none());
    assert!(house.unverified(runs[1]).await.is_empty(), "what was taken back never begins");
    assert_eq!(house.phases(runs[1]).await, [RunPhase::Running, RunPhase::TakenBack]);
    assert!(matches!(events[0], Event::RunStarted(_)));
    let order: Vec<RunId> = [first, runs[0], runs[2]].to_vec();
    let begun = |run| view.run(run).and_then(|run| run.ended_at).expect("ended");
    assert!(order.is_sorted_by_key(|run| begun(*run)));
    let error = house.take_back(messages[2].message_id).await.expect_err("begun");
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(house.runner.waiting(house.thread).is_empty());
}

#[tokio::test]
async fn a_waiting_run_that_is_stopped_ends_at_once_and_its_agent_is_not_asked() {
    let house = House::new().await;
    let going = house.begin("gate").await;
    house.until_open(going).await;
    let waiting = house.say(&SendMessage::new(house.thread, "answer")).await;
    house.runner.stop(waiting);
    assert_eq!(house.until_over(waiting).await, RunState::Cancelled);
    assert_eq!(house.events(waiting).await.len(), 2);
    assert!(!house.view().await.run(going).expect("the run").state.is_over());
}

#[tokio::test]
async fn a_run_that_asks_goes_on_from_the_answer_once_and_before_what_was_said_meanwhile() {
    let house = House::new().await;
    let gate = house.begin("gate").await;
    house.until_open(gate).await;
    let asking = house.say(&SendMessage::new(house.thread, "ask")).await;
    let later = house.say(&SendMessage::new(house.thread, "tell")).await;
    house.gate.add_permits(1);
    assert!(matches!(house.until_over(asking).await, RunState::Interrupted { .. }));
    house.events(asking).await;
    assert_eq!(house.phases(asking).await, [RunPhase::Running, RunPhase::Interrupted]);
    let view = house.view().await;
    assert_eq!(view.run(asking).expect("the run").open_interrupts(), [interrupt(None)]);
    let call = view.run(asking).and_then(|run| run.nodes.iter().find(|node| node.id == "call")).expect("the call");
    assert_eq!(call.state, NodeState::Called);
    assert_eq!(
        view.run(later).expect("the run").state,
        RunState::Waiting,
        "what was said before the question waits for the answer"
    );

    let answer = house.answer(asking);
    let asked = house.try_answer(&answer).await.expect("accepted");
    let again = house.try_answer(&answer).await.expect("accepted again");
    assert_eq!((again.accepted.clone(), again.run), (asked.accepted.clone(), None));
    let other = house.try_answer(&house.answer(asking)).await.expect_err("once");
    assert_eq!(other.code, ErrorCode::Conflict);
    let resumed = asked.accepted.run_id;
    house.runner.start(asked.run.expect("a run"));
    let result = house.result(resumed).await;
    assert_eq!(result["parent"], json!(asking));
    assert_eq!(result["resume"], json!([{"interruptId": "i", "status": "resolved", "payload": {"approved": true}}]));
    assert_eq!(result["state"], json!({"asked": 1}));
    house.events(resumed).await;
    let view = house.view().await;
    let call = view.run(asking).and_then(|run| run.nodes.iter().find(|node| node.id == "call")).expect("the call");
    assert!(matches!(&call.body, NodeBody::Tool { result: Some(result), .. } if result == "deleted"));
    assert_eq!(view.run(resumed).and_then(|run| run.shared.as_deref()), Some(&json!({"asked": 1, "answered": true})));
    assert_eq!(house.phases(asking).await.last(), Some(&RunPhase::Answered));
    let history = house.result(later).await["history"].clone();
    let roles: Vec<_> = history.as_array().expect("messages").iter().map(|message| message["role"].clone()).collect();
    assert_eq!(roles.last(), Some(&json!("user")));
    assert!(roles.contains(&json!("tool")), "{roles:?}");
}

#[tokio::test]
async fn saying_something_else_gives_the_question_up() {
    let house = House::new().await;
    let asking = house.begin("ask").await;
    house.until_over(asking).await;
    let told = house.say(&SendMessage::new(house.thread, "tell")).await;
    let result = house.result(told).await;
    assert_eq!(result["resume"], json!([{"interruptId": "i", "status": "cancelled"}]));
    assert_eq!(house.view().await.run(asking).and_then(|run| run.answered.clone()), Some(Resolution::Abandoned));
    assert_eq!(house.phases(asking).await, [RunPhase::Running, RunPhase::Interrupted, RunPhase::Answered]);
    let error = house.try_answer(&house.answer(asking)).await.expect_err("too late");
    assert_eq!(error.code, ErrorCode::Conflict);
}

#[tokio::test]
async fn an_answer_covers_every_interrupt_and_comes_in_time() {
    let house = House::new().await;
    let asking = house.begin("ask").await;
    house.until_over(asking).await;
    let none = Answer { answers: Vec::new(), ..house.answer(asking) };
    assert_eq!(house.try_answer(&none).await.expect_err("none").code, ErrorCode::InvalidPayload);
    let mut other = house.answer(asking);
    other.answers[0].interrupt_id = "j".into();
    assert!(house.try_answer(&other).await.expect_err("another").message.contains("`j`"));
    // Nobody gives it up in between.
    house.tended.0.abort();
    let late = house.begin("too late").await;
    house.until_over(late).await;
    assert!(
        house.try_answer(&house.answer(late)).await.expect_err("late").message.contains("the time to answer is over")
    );
    let refused = Answer { answers: answers(AnswerStatus::Cancelled), ..house.answer(late) };
    house.try_answer(&refused).await.expect("may be refused");
    let elsewhere = Answer { run_id: RunId::new(), ..house.answer(asking) };
    assert_eq!(house.try_answer(&elsewhere).await.expect_err("no such run").code, ErrorCode::NotFound);
}

#[tokio::test]
async fn what_waits_and_what_asks_survives_a_restart() {
    let house = House::new().await;
    let asking = house.begin("ask").await;
    house.until_over(asking).await;
    let asked = house.try_answer(&house.answer(asking)).await.expect("accepted");
    let later = house.accept("script", "answer").await.run_id;
    // Another runner on the same store, as after a crash: neither had begun.
    let options = RunnerOptions::new(house.folder.path().join("files"));
    let after = runner(&house.channels, &house.gate, &house.files, options);
    assert_eq!(after.recover().await.expect("recovers"), 0, "none is ended");
    let _tended = Tended::new(&after);
    assert_eq!(house.until_over(asked.accepted.run_id).await, RunState::Finished);
    assert_eq!(house.until_over(later).await, RunState::Finished);
    house.events(later).await;
}

#[tokio::test]
async fn who_may_not_use_an_agent_any_more_when_their_turn_comes_is_told_so() {
    let house = House::new().await;
    house.sql("UPDATE users SET role = 'admin'").await;
    let closed = json!({"id": "closed", "name": "Closed", "kind": "replay", "file": recording(),
                        "events_per_second": 5_000, "access": {"roles": ["admin"]}});
    let closed = serde_json::from_value(closed).expect("an entry");
    let script = Script { gate: house.gate.clone(), files: house.files.clone() };
    let agents = AgentRegistry::new([Arc::new(script) as Arc<dyn Agent>], &[closed], Kinds::default());
    let options = RunnerOptions::new(house.folder.path().join("files"));
    let runner = Runner::new(house.channels.clone(), agents.agents().clone(), options);
    let _tended = Tended::new(&runner);
    let ask = async |agent: &str, text: &str| {
        let run = house.accept(agent, text).await;
        let id = run.run_id;
        runner.start(run);
        id
    };
    let allowed = ask("closed", "Play.").await;
    assert_eq!(house.until_over(allowed).await, RunState::Finished);
    let going = ask("script", "gate").await;
    house.until_open(going).await;
    let waiting = ask("closed", "Play.").await;
    house.sql("UPDATE users SET role = 'member'").await;
    house.gate.add_permits(1);
    assert_eq!(code(&house.until_over(waiting).await), "unknown_agent");
    assert_eq!(house.until_over(going).await, RunState::Finished, "what went on then goes on");
    house.events(waiting).await;
}

#[tokio::test]
async fn the_versions_of_a_message_are_branches_that_stay() {
    let house = House::new().await;
    let first = SendMessage::new(house.thread, "tell");
    let follow_up = SendMessage::new(house.thread, "tell");
    let edited = SendMessage { replaces: Some(first.message_id), ..SendMessage::new(house.thread, "answer") };
    let on_the_old = SendMessage { after: Some(follow_up.message_id), ..SendMessage::new(house.thread, "tell") };
    let mut runs = Vec::new();
    for message in [&first, &follow_up, &edited, &on_the_old] {
        runs.push(house.say(message).await);
        house.until_over(*runs.last().expect("one")).await;
    }
    let view = house.view().await;
    assert_eq!(view.versions(first.message_id), [first.message_id, edited.message_id]);
    assert_eq!(view.branch(None), [first.message_id, follow_up.message_id, on_the_old.message_id]);
    assert_eq!(view.branch(Some(edited.message_id)), [edited.message_id]);
    assert_eq!(view.path(Some(edited.message_id)).len(), 2, "the message and its answer");
    let history = house.result(runs[3]).await["history"].clone();
    let users = history.as_array().expect("messages").iter().filter(|message| message["role"] == "user").count();
    assert_eq!(users, 3, "the agent is told of its own branch only: {history}");
    let unknown = SendMessage { after: Some(MessageId::new()), ..SendMessage::new(house.thread, "tell") };
    let sent = threads::send(&house.channels, &house.user, &unknown, None, |_| Ok("script".into())).await;
    assert_eq!(sent.expect_err("refused").into_body().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_days_budget_refuses_politely_and_says_until_when() {
    let budget = Budget { tokens: Some(1_500), usd: None };
    let house = House::with(|options| options.budget = budget).await;
    for _ in 0..2 {
        house.runner.admit_budget(house.user.id).await.expect("within the budget");
        let run = house.begin("spend").await;
        house.until_over(run).await;
    }
    let error = house.runner.admit_budget(house.user.id).await.expect_err("spent").into_body();
    assert_eq!(error.code, ErrorCode::RateLimited);
    assert!(error.message.contains("1500 tokens") && error.message.contains("00:00 UTC"), "{}", error.message);
    assert!(error.retry_after_ms.is_some_and(|ms| ms <= 24 * 3600 * 1000));
    let spent = netra::server::usage::today(&house.channels, house.user.id).await.expect("reads");
    assert_eq!((spent.tokens, spent.usd), (2_000, 0.5));
    let report = netra::server::usage::report(&house.channels, 1, 0).await.expect("reads");
    let amounts = |sum: &UsageSum| (sum.runs, sum.input_tokens, sum.output_tokens, sum.cost_usd);
    assert_eq!(report.rows.iter().map(|row| amounts(&row.sum)).collect::<Vec<_>>(), [(2, 1_800, 200, 0.5)]);
    assert_eq!((report.sums.iter().map(amounts).collect::<Vec<_>>(), report.next), (vec![(2, 1_800, 200, 0.5)], None));
}

#[tokio::test]
async fn what_everyone_used_comes_in_pages_and_is_summed_by_person_and_day() {
    let house = House::new().await;
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) \
               INSERT INTO usage SELECT date('now'), $1, 'agent', 'model ' || i, 1, 10, 5, 1000000 FROM n";
    let mut tx = house.channels.store().begin().await.expect("begins");
    sqlx::query(sql).bind(house.user.id.to_string()).execute(&mut *tx).await.expect("added");
    tx.commit().await.expect("stored");
    let (mut models, mut skip) = (std::collections::BTreeSet::new(), Some(0));
    while let Some(from) = skip {
        let report = netra::server::usage::report(&house.channels, 7, from).await.expect("reads");
        assert!(report.rows.len() <= 1_000);
        let summed = [(2_500, 25_000, 12_500, 2_500.0)];
        let sums: Vec<_> =
            report.sums.iter().map(|sum| (sum.runs, sum.input_tokens, sum.output_tokens, sum.cost_usd)).collect();
        assert_eq!(sums, summed[..usize::from(from == 0)], "the sums come once, whole");
        models.extend(report.rows.into_iter().map(|row| row.model));
        skip = report.next;
    }
    assert_eq!(models.len(), 2_500, "every row once");
}

#[tokio::test]
async fn a_question_is_given_up_wherever_the_next_message_stands() {
    let house = House::new().await;
    let first = SendMessage::new(house.thread, "ask");
    let asking = house.say(&first).await;
    house.until_over(asking).await;
    let again = SendMessage { replaces: Some(first.message_id), ..SendMessage::new(house.thread, "tell") };
    let told = house.say(&again).await;
    house.until_over(told).await;
    let view = house.view().await;
    assert_eq!(view.run(asking).and_then(|run| run.answered.clone()), Some(Resolution::Abandoned));
    assert!(view.run(asking).expect("the run").open_interrupts().is_empty());
}

#[tokio::test]
async fn an_answer_is_no_message_that_could_be_taken_back() {
    let house = House::new().await;
    let asking = house.begin("ask").await;
    house.until_over(asking).await;
    let answer = house.answer(asking);
    let asked = house.try_answer(&answer).await.expect("accepted");
    let refused = house.take_back(answer.answer_id).await.expect_err("is none");
    assert_eq!(refused.code, ErrorCode::NotFound);
    house.runner.start(asked.run.expect("a run"));
    assert_eq!(house.until_over(asked.accepted.run_id).await, RunState::Finished);
}

#[tokio::test]
async fn a_run_that_waited_while_the_budget_was_used_up_ends_and_says_so() {
    let budget = Budget { tokens: Some(1_000), usd: None };
    let house = House::with(|options| options.budget = budget).await;
    let spent = house.begin("spend").await;
    house.until_over(spent).await;
    // Accepted a moment before the budget was used up.
    let late = house.begin("answer").await;
    let RunState::Failed { message, code } = house.until_over(late).await else { panic!("fails") };
    assert_eq!(code.as_deref(), Some("budget_used"));
    assert!(message.contains("1000 tokens"), "{message}");
}

#[tokio::test]
async fn what_an_agent_says_is_bounded_in_depth_and_its_end_too() {
    let house = House::new().await;
    for text in ["deep event", "deep end"] {
        let run = house.begin(text).await;
        assert_eq!(code(&house.until_over(run).await), "protocol_violation", "{text}");
        house.events(run).await;
    }
    let mut answer = house.answer(RunId::new());
    answer.answers[0].payload = Some(json!("x".repeat(100_000)));
    let asking = house.begin("ask").await;
    house.until_over(asking).await;
    let large = Answer { run_id: asking, ..answer };
    assert_eq!(house.try_answer(&large).await.expect_err("too large").code, ErrorCode::TooLarge);
}
