//! Calls that a server turns into tasks: they outlive runs, ask questions, and end.

use netra::{
    protocol::ThreadId,
    server::agents::tools::questions::{CallOutcome, Continuation, Response, Resumption},
};
use serde_json::json;

use super::{
    asking::{last_result, only_question, resume, tool_agent_with},
    consent::ToolAgent,
    misbehaving::{notes, scripted},
    *,
};
use crate::support::Setup;

/// A resumption without an answer.
fn resumption_of(continuation: Continuation) -> Resumption {
    Resumption { continuation, answers: Vec::new(), args: json!({}), allowed: false }
}

/// Starts a task.
async fn start_task(harness: &ToolHarness) -> Continuation {
    let outcome =
        timeout(TEST_TIMEOUT, harness.toolbox.call("odd__task", json!({}), &input(&[]))).await.expect("in time");
    let CallOutcome::TaskStarted(continuation) = outcome else { panic!("it is a task: {outcome:?}") };
    continuation
}

/// Waits for a task's next outcome.
async fn follow_task(harness: &ToolHarness, continuation: Continuation) -> CallOutcome {
    timeout(TEST_TIMEOUT, harness.toolbox.resume("odd__task", resumption_of(continuation), &input(&[])))
        .await
        .expect("in time")
}

fn count(file: &Path, line: &str) -> usize {
    notes(file).iter().filter(|noted| *noted == line).count()
}

/// Asks an agent whose model calls a tool that becomes a task, calls `then` once the task runs, and returns the run's events.
async fn ask_until_polled(tool_agent: &ToolAgent, file: &Path, then: impl FnOnce()) -> Vec<Value> {
    let asking = tool_agent.ask("m", None);
    tokio::pin!(asking);
    tokio::select! {
        events = &mut asking => panic!("it has no end yet: {events:#?}"),
        () = until("it is polled", || count(file, "polled") > 1) => {}
    }
    then();
    timeout(TEST_TIMEOUT, asking).await.expect("it ends in time")
}

/// Asserts that the task's result reaches the model without another message.
async fn assert_continues_without_a_message(tool_agent: &ToolAgent, file: &Path) {
    assert_eq!(count(file, "cancelled the task"), 0, "the task continues");
    fs::write(file.with_extension("done"), "").expect("the file is written");
    let has_result =
        || tool_agent.model.requests().last().is_some_and(|request| request.body.to_string().contains("well rested"));
    until("the model has the result", has_result).await;
    assert_eq!(count(file, "called task"), 1, "it is not started again");
    assert_eq!(count(file, "cancelled the task"), 0);
    // The continued run is over; another shows the conversation.
    let stream = tool_agent.ask("how is it?", None).await;
    assert!(stream.iter().any(|event| event["delta"] == "Good."), "{stream:#?}");
    let messages = tool_agent.model.requests().last().expect("a request").body["messages"].clone();
    let roles: Vec<&str> =
        messages.as_array().expect("messages").iter().filter_map(|message| message["role"].as_str()).collect();
    assert!(roles.ends_with(&["user", "assistant", "tool", "assistant", "user"]), "{roles:?}");
}

/// Sends another message once the task is over.
async fn assert_next_run_gets_the_result(tool_agent: &ToolAgent, file: &Path) {
    assert_eq!(count(file, "cancelled the task"), 0, "the task continues");
    fs::write(file.with_extension("done"), "").expect("the file is written");
    let stream = tool_agent.ask("how is it?", None).await;
    assert!(stream.iter().any(|event| event["delta"] == "Good."), "{stream:#?}");
    assert!(last_result(tool_agent).contains("well rested"), "{}", last_result(tool_agent));
    assert_eq!(count(file, "called task"), 1, "it is not started again");
    assert_eq!(count(file, "cancelled the task"), 0);
}

async fn tool_agent(setup: Setup) -> (ToolAgent, tempfile::TempDir, PathBuf) {
    tool_agent_with(setup, "modern", "task", &["Good.", "Good."]).await
}

#[tokio::test]
async fn a_task_is_polled_after_a_restart() {
    let (tool_agent, _folder, file) = tool_agent(Setup::default()).await;
    {
        let asking = tool_agent.ask("m", None);
        tokio::select! {
            events = asking => panic!("it has no end yet: {events:#?}"),
            () = until("it is polled", || count(&file, "polled") > 1) => {}
        }
    }
    let tool_agent = tool_agent.kill_and_restart().await.kill_and_restart().await;
    assert_continues_without_a_message(&tool_agent, &file).await;
}

#[tokio::test]
async fn a_task_is_polled_after_the_server_was_terminated() {
    let (tool_agent, _folder, file) = tool_agent(Setup::default().with("SERVER__DRAIN_MS", 200)).await;
    let events = ask_until_polled(&tool_agent, &file, || tool_agent.terminate()).await;
    let interrupts = &events.last().expect("an end")["outcome"]["interrupts"];
    assert_eq!(interrupts[0]["reason"], "server_restarted", "{events:#?}");
    let tool_agent = tool_agent.wait_and_restart().await;
    assert_continues_without_a_message(&tool_agent, &file).await;
}

#[tokio::test]
async fn a_task_outlives_a_run_that_times_out_and_is_polled_by_the_next_run() {
    let (tool_agent, _folder, file) = tool_agent(Setup::default().with("RUNS__TIME_LIMIT_MS", 5_000)).await;
    let events = ask_until_polled(&tool_agent, &file, || {}).await;
    assert_eq!(events.last().expect("an end")["code"], "time_limit", "{events:#?}");
    // Enough time for a cancellation to arrive.
    sleep(Duration::from_secs(1)).await;
    assert_next_run_gets_the_result(&tool_agent, &file).await;
}

#[tokio::test]
async fn a_tasks_question_and_a_later_message_are_answered_after_a_restart() {
    let (tool_agent, _folder, file) = tool_agent(Setup::default().with("RUNS__TIME_LIMIT_MS", 5_000)).await;
    let cut = ask_until_polled(&tool_agent, &file, || {}).await;
    assert_eq!(cut.last().expect("an end")["code"], "time_limit", "{cut:#?}");
    let tool_agent = tool_agent.kill_and_restart().await;
    fs::write(file.with_extension("asks"), "1").expect("the file is written");
    let stream = tool_agent.ask("how is it?", None).await;
    let interrupt = stream.last().expect("an end")["outcome"]["interrupts"][0].clone();
    assert_eq!(
        (&interrupt["reason"], &interrupt["toolCallId"]),
        (&json!("input_required"), &json!("c1")),
        "{stream:#?}"
    );
    let (_, stream) = tool_agent.post("desk", "how is it?", Some((&interrupt, json!({"table": "door"})))).await;
    assert!(stream.iter().any(|event| event["delta"] == "Good."), "{stream:#?}");
    assert!(
        last_result(&tool_agent).contains("accept") && last_result(&tool_agent).contains("door"),
        "{}",
        last_result(&tool_agent)
    );
    let requests = tool_agent.model.requests();
    let messages = requests.last().expect("a request").body["messages"].clone();
    let roles: Vec<&str> =
        messages.as_array().expect("messages").iter().filter_map(|message| message["role"].as_str()).collect();
    assert!(roles.ends_with(&["user", "assistant", "tool", "user"]), "the later message comes last: {roles:?}");
}

#[tokio::test]
async fn a_task_is_cancelled_at_its_server_only_where_a_person_stopped_the_run() {
    for is_stopped in [false, true] {
        let (harness, _folder, file) = scripted("modern", "");
        let (continuation, run) = (start_task(&harness).await, input(&[]));
        let (agent, cancel, stopped_by_person) =
            (Arc::clone(&harness.toolbox), run.cancel.clone(), run.stopped_by_person.clone());
        let following = async move { agent.resume("odd__task", resumption_of(continuation), &run).await.output() };
        let following = tokio::spawn(following);
        until("it is polled", || count(&file, "polled") > 0).await;
        if is_stopped {
            stopped_by_person.cancel();
        }
        cancel.cancel();
        assert!(following.await.expect("the task does not panic").failed);
        if is_stopped {
            until("it is cancelled there", || count(&file, "cancelled the task") > 0).await;
        }
        // Everything that was started is done when this returns.
        harness.tools.close().await;
        assert_eq!(count(&file, "cancelled the task"), usize::from(is_stopped));
    }
}

#[tokio::test]
async fn a_task_that_takes_too_long_is_cancelled() {
    let (harness, _folder, file) = scripted("modern", "task_timeout_ms = 300");
    let continuation = start_task(&harness).await;
    let output = follow_task(&harness, continuation).await.output();
    assert!(output.failed && output.text.contains("did not end in time and was cancelled"), "{output:?}");
    until("it is cancelled there", || count(&file, "cancelled the task") > 0).await;
    harness.tools.close().await;
}

#[tokio::test]
async fn a_task_may_ask_again_under_the_same_key() {
    let (harness, _folder, file) = scripted("modern", "");
    fs::write(file.with_extension("asks"), "2").expect("the file is written");
    let continuation = start_task(&harness).await;
    let first = only_question(follow_task(&harness, continuation).await);
    let thread = (ThreadId::new(), false);
    let accepted = |table: &str| Response::Accepted(json!({"table": table}));
    let second = only_question(resume(&harness, "odd__task", &first, accepted("door"), thread).await);
    assert_eq!((second.key.as_str(), &second.continuation), ("table", &first.continuation));
    let output = resume(&harness, "odd__task", &second, accepted("window"), thread).await.output();
    assert!(!output.failed && output.text.contains("door") && output.text.contains("window"), "{output:?}");
    harness.tools.close().await;
}

#[tokio::test]
async fn a_task_whose_server_stays_unavailable_ends_as_unknown() {
    let (harness, _folder, file) = scripted("modern", "task_timeout_ms = 2500");
    let continuation = start_task(&harness).await;
    fs::write(file.with_extension("dies"), "").expect("the file is written");
    let output = follow_task(&harness, continuation).await.output();
    assert!(output.failed && output.text.contains("its server has been unavailable"), "{output:?}");
    assert!(!output.text.contains("was cancelled"), "its end is unknown: {output:?}");
    harness.tools.close().await;
}
