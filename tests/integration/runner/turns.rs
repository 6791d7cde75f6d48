//! Turns: queued messages, interrupts, messages that are taken back, and branches.

use netra::{
    protocol::{Answer, AnswerStatus, ErrorBody, InterruptAnswer, MessageId, TakeBack, http::UsageSum},
    server::{threads::RequestedRun, usage::Budget},
    thread::{NodeState, Resolution},
};

use super::*;

fn answers(status: AnswerStatus) -> Vec<InterruptAnswer> {
    vec![InterruptAnswer { interrupt_id: "i".into(), status, payload: Some(json!({"approved": true})), metadata: None }]
}

impl RunnerHarness {
    pub(super) fn answer_command(&self, run_id: RunId) -> Answer {
        let (answer_id, thread_id) = (MessageId::new(), self.thread);
        Answer { answer_id, thread_id, run_id, answers: answers(AnswerStatus::Resolved) }
    }

    async fn try_answer(&self, answer: &Answer) -> Result<RequestedRun, ErrorBody> {
        let requested = threads::answer(&self.channels, &self.user, answer, None, |_| Ok(())).await;
        requested.map_err(netra::server::error::Error::into_body)
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
        assert_eq!(self.final_state(run).await, RunState::Finished);
        self.view().await.run(run).and_then(|run| run.result.clone()).expect("a result")
    }
}

#[tokio::test]
async fn messages_wait_their_turn_in_order_and_can_be_taken_back() {
    let harness = RunnerHarness::new().await;
    let first = harness.begin("gate").await;
    harness.until_open(first).await;
    let messages = ["tell", "gate", "answer"].map(|text| SendMessage::new(harness.thread, text));
    let mut runs = Vec::new();
    for message in &messages {
        runs.push(harness.send(message).await);
    }
    let line = harness.runner.waiting(harness.thread);
    assert_eq!(
        line.iter().map(|at| (at.waiting.run_id, at.waiting.position)).collect::<Vec<_>>(),
        [(runs[0], 1), (runs[1], 2), (runs[2], 3)]
    );
    assert!(line.iter().all(|at| at.waiting.waits_for == WaitsFor::Thread));
    assert_eq!(harness.take_back(messages[1].message_id).await, Ok(Some(runs[1])));
    assert_eq!(harness.take_back(messages[1].message_id).await, Ok(None), "again changes nothing");
    harness.agent.gate.add_permits(1);
    assert_eq!(harness.final_state(runs[2]).await, RunState::Finished);
    let (view, events) = (harness.view().await, harness.events(runs[2]).await);
    assert!(view.run(runs[1]).is_none() && view.message(messages[1].message_id).is_none());
    assert!(harness.unverified_events(runs[1]).await.is_empty(), "what was taken back never begins");
    assert_eq!(harness.phases(runs[1]).await, [RunPhase::Running, RunPhase::TakenBack]);
    assert!(matches!(events[0], Event::RunStarted(_)));
    let order: Vec<RunId> = [first, runs[0], runs[2]].to_vec();
    let begun = |run| view.run(run).and_then(|run| run.ended_at).expect("an end time");
    assert!(order.is_sorted_by_key(|run| begun(*run)));
    let error = harness.take_back(messages[2].message_id).await.expect_err("the run has started");
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(harness.runner.waiting(harness.thread).is_empty());
}

#[tokio::test]
async fn a_waiting_run_that_is_stopped_ends_at_once_and_its_agent_is_not_called() {
    let harness = RunnerHarness::new().await;
    let going = harness.begin("gate").await;
    harness.until_open(going).await;
    let waiting = harness.begin("answer").await;
    harness.runner.stop(waiting);
    assert_eq!(harness.final_state(waiting).await, RunState::Cancelled);
    assert_eq!(harness.events(waiting).await.len(), 2);
    assert!(!harness.view().await.run(going).expect("the run").state.is_over());
}

#[tokio::test]
async fn an_answered_run_continues_once_and_before_messages_sent_meanwhile() {
    let harness = RunnerHarness::new().await;
    let gate = harness.begin("gate").await;
    harness.until_open(gate).await;
    let asking = harness.begin("ask").await;
    let later = harness.begin("tell").await;
    harness.agent.gate.add_permits(1);
    assert!(matches!(harness.final_state(asking).await, RunState::Interrupted { .. }));
    harness.events(asking).await;
    assert_eq!(harness.phases(asking).await, [RunPhase::Running, RunPhase::Interrupted]);
    let view = harness.view().await;
    assert_eq!(view.run(asking).expect("the run").open_interrupts(), [interrupt(None)]);
    let call = view.run(asking).and_then(|run| run.nodes.iter().find(|node| node.id == "call")).expect("the call");
    assert_eq!(call.state, NodeState::Called);
    assert_eq!(view.run(later).expect("the run").state, RunState::Waiting, "earlier messages wait for the answer");

    let answer = harness.answer_command(asking);
    let outcome = harness.try_answer(&answer).await.expect("the answer is accepted");
    let again = harness.try_answer(&answer).await.expect("the answer is accepted");
    assert_eq!((again.accepted.clone(), again.run), (outcome.accepted.clone(), None));
    let other =
        harness.try_answer(&harness.answer_command(asking)).await.expect_err("the interrupt is answered already");
    assert_eq!(other.code, ErrorCode::Conflict);
    let resumed = outcome.accepted.run_id;
    harness.runner.start(outcome.run.expect("a run"));
    let result = harness.result(resumed).await;
    assert_eq!(result["parent"], json!(asking));
    assert_eq!(result["resume"], json!([{"interruptId": "i", "status": "resolved", "payload": {"approved": true}}]));
    assert_eq!(result["state"], json!({"asked": 1}));
    harness.events(resumed).await;
    let view = harness.view().await;
    let call = view.run(asking).and_then(|run| run.nodes.iter().find(|node| node.id == "call")).expect("the call");
    assert!(matches!(&call.body, NodeBody::Tool { result: Some(result), .. } if result == "deleted"));
    assert_eq!(view.run(resumed).and_then(|run| run.shared.as_deref()), Some(&json!({"asked": 1, "answered": true})));
    assert_eq!(harness.phases(asking).await.last(), Some(&RunPhase::Answered));
    let history = harness.result(later).await["history"].clone();
    let roles: Vec<_> = history.as_array().expect("messages").iter().map(|message| message["role"].clone()).collect();
    assert_eq!(roles.last(), Some(&json!("user")));
    assert!(roles.contains(&json!("tool")), "{roles:?}");
}

#[tokio::test]
async fn another_message_abandons_the_interrupt() {
    let harness = RunnerHarness::new().await;
    let asking = harness.begin("ask").await;
    harness.final_state(asking).await;
    let second = harness.begin("tell").await;
    let result = harness.result(second).await;
    assert_eq!(result["resume"], json!([{"interruptId": "i", "status": "cancelled"}]));
    assert_eq!(harness.view().await.run(asking).and_then(|run| run.answered.clone()), Some(Resolution::Abandoned));
    assert_eq!(harness.phases(asking).await, [RunPhase::Running, RunPhase::Interrupted, RunPhase::Answered]);
    let error = harness.try_answer(&harness.answer_command(asking)).await.expect_err("too late");
    assert_eq!(error.code, ErrorCode::Conflict);
}

#[tokio::test]
async fn an_answer_must_cover_every_interrupt_and_be_in_time() {
    let harness = RunnerHarness::new().await;
    let asking = harness.begin("ask").await;
    harness.final_state(asking).await;
    let none = Answer { answers: Vec::new(), ..harness.answer_command(asking) };
    assert_eq!(harness.try_answer(&none).await.expect_err("an answer is missing").code, ErrorCode::InvalidPayload);
    let mut other = harness.answer_command(asking);
    other.answers[0].interrupt_id = "j".into();
    assert!(harness.try_answer(&other).await.expect_err("the run has no such interrupt").message.contains("`j`"));
    // Nothing abandons it in between.
    harness.agent.upkeep.abort();
    let late = harness.begin("too late").await;
    harness.final_state(late).await;
    assert!(
        harness
            .try_answer(&harness.answer_command(late))
            .await
            .expect_err("the interrupt has expired")
            .message
            .contains("the time to answer is over")
    );
    let refused = Answer { answers: answers(AnswerStatus::Cancelled), ..harness.answer_command(late) };
    harness.try_answer(&refused).await.expect("the answer is accepted");
    let elsewhere = Answer { run_id: RunId::new(), ..harness.answer_command(asking) };
    assert_eq!(harness.try_answer(&elsewhere).await.expect_err("no such run").code, ErrorCode::NotFound);
}

#[tokio::test]
async fn queued_and_interrupted_runs_survive_a_restart() {
    let harness = RunnerHarness::new().await;
    let asking = harness.begin("ask").await;
    harness.final_state(asking).await;
    let outcome = harness.try_answer(&harness.answer_command(asking)).await.expect("the answer is accepted");
    let later = harness.accept("script", &SendMessage::new(harness.thread, "answer"), None).await.run_id;
    // Another runner on the same store, as after a crash; neither run had started.
    let options = RunnerOptions::new(harness.files());
    let after = runner(&harness.channels, &harness.agent.gate, &harness.agent.files, options);
    assert_eq!(after.recover().await.expect("the runs are recovered"), 0, "none is ended");
    let _upkeep = Upkeep::spawn(&after);
    assert_eq!(harness.final_state(outcome.accepted.run_id).await, RunState::Finished);
    assert_eq!(harness.final_state(later).await, RunState::Finished);
    harness.events(later).await;
}

#[tokio::test]
async fn a_queued_run_fails_if_its_user_has_lost_access_to_the_agent() {
    let harness = RunnerHarness::new().await;
    harness.sql("UPDATE users SET role = 'admin'").await;
    let closed = json!({"id": "closed", "name": "Closed", "kind": "replay", "file": recording(),
                        "events_per_second": 5_000, "access": {"roles": ["admin"]}});
    let closed = serde_json::from_value(closed).expect("an entry");
    let script = Script { gate: harness.agent.gate.clone(), files: harness.agent.files.clone() };
    let agents = AgentRegistry::new([Arc::new(script) as Arc<dyn Agent>], &[closed], AgentBuilder::default());
    let options = RunnerOptions::new(harness.files());
    let runner = Runner::new(harness.channels.clone(), agents.agents().clone(), options);
    let _upkeep = Upkeep::spawn(&runner);
    let ask = async |agent: &str, text: &str| {
        let run = harness.accept(agent, &SendMessage::new(harness.thread, text), None).await;
        let id = run.run_id;
        runner.start(run);
        id
    };
    let allowed = ask("closed", "Play.").await;
    assert_eq!(harness.final_state(allowed).await, RunState::Finished);
    let going = ask("script", "gate").await;
    harness.until_open(going).await;
    let waiting = ask("closed", "Play.").await;
    harness.sql("UPDATE users SET role = 'member'").await;
    harness.agent.gate.add_permits(1);
    assert_eq!(code(&harness.final_state(waiting).await), "unknown_agent");
    assert_eq!(harness.final_state(going).await, RunState::Finished, "a running run continues");
    harness.events(waiting).await;
}

#[tokio::test]
async fn the_versions_of_a_message_are_branches_that_stay() {
    let harness = RunnerHarness::new().await;
    let first = SendMessage::new(harness.thread, "tell");
    let follow_up = SendMessage::new(harness.thread, "tell");
    let edited = SendMessage { replaces: Some(first.message_id), ..SendMessage::new(harness.thread, "answer") };
    let on_the_old = SendMessage { after: Some(follow_up.message_id), ..SendMessage::new(harness.thread, "tell") };
    let mut runs = Vec::new();
    for message in [&first, &follow_up, &edited, &on_the_old] {
        runs.push(harness.send(message).await);
        harness.final_state(*runs.last().expect("one")).await;
    }
    let view = harness.view().await;
    assert_eq!(view.versions(first.message_id), [first.message_id, edited.message_id]);
    assert_eq!(view.branch(None), [first.message_id, follow_up.message_id, on_the_old.message_id]);
    assert_eq!(view.branch(Some(edited.message_id)), [edited.message_id]);
    assert_eq!(view.path(Some(edited.message_id)).len(), 2, "the message and its answer");
    let history = harness.result(runs[3]).await["history"].clone();
    let users = history.as_array().expect("messages").iter().filter(|message| message["role"] == "user").count();
    assert_eq!(users, 3, "the agent gets only its own branch: {history}");
    let unknown = SendMessage { after: Some(MessageId::new()), ..SendMessage::new(harness.thread, "tell") };
    let sent = threads::send(&harness.channels, &harness.user, &unknown, None, |_| Ok("script".into())).await;
    assert_eq!(sent.expect_err("a refusal").into_body().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_used_up_daily_budget_refuses_a_message_and_gives_the_time_to_wait() {
    let budget = Budget { tokens: Some(1_500), usd: None };
    let harness = RunnerHarness::with(|options| options.budget = budget).await;
    for _ in 0..2 {
        harness.runner.admit_budget(harness.user.id).await.expect("within the budget");
        let run = harness.begin("spend").await;
        harness.final_state(run).await;
    }
    let error = harness.runner.admit_budget(harness.user.id).await.expect_err("the budget is used up").into_body();
    assert_eq!(error.code, ErrorCode::RateLimited);
    assert!(error.message.contains("1500 tokens") && error.message.contains("00:00 UTC"), "{}", error.message);
    assert!(error.retry_after_ms.is_some_and(|ms| ms <= 24 * 3600 * 1000));
    let spent = netra::server::usage::today(&harness.channels, harness.user.id).await.expect("the usage is read");
    assert_eq!((spent.tokens, spent.usd), (2_000, 0.5));
    let report = netra::server::usage::report(&harness.channels, 1, 0).await.expect("the usage is read");
    let amounts = |sum: &UsageSum| (sum.runs, sum.input_tokens, sum.output_tokens, sum.cost_usd);
    assert_eq!(report.rows.iter().map(|row| amounts(&row.sum)).collect::<Vec<_>>(), [(2, 1_800, 200, 0.5)]);
    assert_eq!((report.sums.iter().map(amounts).collect::<Vec<_>>(), report.next), (vec![(2, 1_800, 200, 0.5)], None));
}

#[tokio::test]
async fn usage_is_listed_in_pages_and_summed_by_user_and_day() {
    let harness = RunnerHarness::new().await;
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) \
               INSERT INTO usage SELECT date('now'), $1, 'agent', 'model ' || i, 1, 10, 5, 1000000 FROM n";
    let mut tx = harness.channels.store().begin().await.expect("the transaction begins");
    sqlx::query(sql).bind(harness.user.id.to_string()).execute(&mut *tx).await.expect("the statement succeeds");
    tx.commit().await.expect("the transaction commits");
    let (mut models, mut skip) = (std::collections::BTreeSet::new(), Some(0));
    while let Some(from) = skip {
        let report = netra::server::usage::report(&harness.channels, 7, from).await.expect("the usage is read");
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
async fn an_interrupt_is_abandoned_by_a_message_on_any_branch() {
    let harness = RunnerHarness::new().await;
    let first = SendMessage::new(harness.thread, "ask");
    let asking = harness.send(&first).await;
    harness.final_state(asking).await;
    let again = SendMessage { replaces: Some(first.message_id), ..SendMessage::new(harness.thread, "tell") };
    let second = harness.send(&again).await;
    harness.final_state(second).await;
    let view = harness.view().await;
    assert_eq!(view.run(asking).and_then(|run| run.answered.clone()), Some(Resolution::Abandoned));
    assert!(view.run(asking).expect("the run").open_interrupts().is_empty());
}

#[tokio::test]
async fn an_answer_cannot_be_taken_back() {
    let harness = RunnerHarness::new().await;
    let asking = harness.begin("ask").await;
    harness.final_state(asking).await;
    let answer = harness.answer_command(asking);
    let outcome = harness.try_answer(&answer).await.expect("the answer is accepted");
    let refused = harness.take_back(answer.answer_id).await.expect_err("an answer is not a message");
    assert_eq!(refused.code, ErrorCode::NotFound);
    harness.runner.start(outcome.run.expect("a run"));
    assert_eq!(harness.final_state(outcome.accepted.run_id).await, RunState::Finished);
}

#[tokio::test]
async fn a_queued_run_fails_when_the_budget_is_used_up_before_it_starts() {
    let budget = Budget { tokens: Some(1_000), usd: None };
    let harness = RunnerHarness::with(|options| options.budget = budget).await;
    let spent = harness.begin("spend").await;
    harness.final_state(spent).await;
    // Accepted just before the budget was used up.
    let late = harness.begin("answer").await;
    let RunState::Failed { message, code } = harness.final_state(late).await else { panic!("fails") };
    assert_eq!(code.as_deref(), Some("budget_used"));
    assert!(message.contains("1000 tokens"), "{message}");
}

#[tokio::test]
async fn events_and_results_of_an_agent_are_bounded_in_depth() {
    let harness = RunnerHarness::new().await;
    for text in ["deep event", "deep end"] {
        let run = harness.begin(text).await;
        assert_eq!(code(&harness.final_state(run).await), "protocol_violation", "{text}");
        harness.events(run).await;
    }
    let mut answer = harness.answer_command(RunId::new());
    answer.answers[0].payload = Some(json!("x".repeat(100_000)));
    let asking = harness.begin("ask").await;
    harness.final_state(asking).await;
    let large = Answer { run_id: asking, ..answer };
    assert_eq!(harness.try_answer(&large).await.expect_err("too large").code, ErrorCode::TooLarge);
}
