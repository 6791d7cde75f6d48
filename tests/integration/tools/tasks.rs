//! Calls that a server makes tasks of: they outlive runs, ask, and end.

use netra::{
    protocol::ThreadId,
    server::agents::tools::questions::{Called, Continuation, Response, Resumption},
};
use serde_json::json;

use super::{
    asking::{desk_with, only, resumed, told},
    consent::Desk,
    misbehaving::{notes, scripted},
    *,
};
use crate::support::Setup;

/// The arguments of nothing, in no thread.
fn task(continuation: Continuation) -> Resumption {
    Resumption { continuation, answers: Vec::new(), args: json!({}), allowed: false }
}

/// Begins a task.
async fn begun(house: &House) -> Continuation {
    let called = timeout(PATIENCE, house.agent.call("odd__task", json!({}), &input(&[]))).await.expect("in time");
    let Called::Begun(continuation) = called else { panic!("it is a task: {called:?}") };
    continuation
}

/// Waits for what becomes of a task.
async fn followed(house: &House, continuation: Continuation) -> Called {
    timeout(PATIENCE, house.agent.resume("odd__task", task(continuation), &input(&[]))).await.expect("in time")
}

fn count(file: &Path, line: &str) -> usize {
    notes(file).iter().filter(|noted| *noted == line).count()
}

/// An agent whose model calls a tool that becomes a task, asked until the task is at work; what it says when its run is over.
async fn at_work(desk: &Desk, file: &Path, then: impl FnOnce()) -> Vec<Value> {
    let asking = desk.ask("m", None);
    tokio::pin!(asking);
    tokio::select! {
        told = &mut asking => panic!("it has no end yet: {told:#?}"),
        () = until("it is polled", || count(file, "polled") > 1) => {}
    }
    then();
    timeout(PATIENCE, asking).await.expect("it ends")
}

/// The task ends, and its result reaches the model without a word from anybody.
async fn goes_on_by_itself(desk: &Desk, file: &Path) {
    assert_eq!(count(file, "cancelled the task"), 0, "it goes on");
    fs::write(file.with_extension("done"), "").expect("written");
    let has_result =
        || desk.model.requests().last().is_some_and(|asked| asked.body.to_string().contains("well rested"));
    until("the model has the result", has_result).await;
    assert_eq!(count(file, "called task"), 1, "it is not begun again");
    assert_eq!(count(file, "cancelled the task"), 0);
    // The run that went on is over: another says how the conversation stands.
    let stream = desk.ask("how is it?", None).await;
    assert!(stream.iter().any(|event| event["delta"] == "Good."), "{stream:#?}");
    let messages = desk.model.requests().last().expect("requests").body["messages"].clone();
    let roles: Vec<&str> =
        messages.as_array().expect("messages").iter().filter_map(|message| message["role"].as_str()).collect();
    assert!(roles.ends_with(&["user", "assistant", "tool", "assistant", "user"]), "{roles:?}");
}

/// Asks once more, when the task is over.
async fn is_polled_on(desk: &Desk, file: &Path) {
    assert_eq!(count(file, "cancelled the task"), 0, "it goes on");
    fs::write(file.with_extension("done"), "").expect("written");
    let stream = desk.ask("how is it?", None).await;
    assert!(stream.iter().any(|event| event["delta"] == "Good."), "{stream:#?}");
    assert!(told(desk).contains("well rested"), "{}", told(desk));
    assert_eq!(count(file, "called task"), 1, "it is not begun again");
    assert_eq!(count(file, "cancelled the task"), 0);
}

async fn desk(setup: Setup) -> (Desk, tempfile::TempDir, PathBuf) {
    desk_with(setup, "modern", "task", &["Good.", "Good."]).await
}

#[tokio::test]
async fn a_task_is_polled_on_after_a_restart() {
    let (desk, _folder, file) = desk(Setup::default()).await;
    {
        let asking = desk.ask("m", None);
        tokio::select! {
            told = asking => panic!("it has no end yet: {told:#?}"),
            () = until("it is polled", || count(&file, "polled") > 1) => {}
        }
    }
    let desk = desk.killed().await.killed().await;
    goes_on_by_itself(&desk, &file).await;
}

#[tokio::test]
async fn a_task_is_polled_on_after_its_server_was_told_to_end() {
    let (desk, _folder, file) = desk(Setup::default().with("SERVER__DRAIN_MS", 200)).await;
    let told = at_work(&desk, &file, || desk.terminate()).await;
    let asks = &told.last().expect("an end")["outcome"]["interrupts"];
    assert_eq!(asks[0]["reason"], "server_restarted", "{told:#?}");
    let desk = desk.restarted().await;
    goes_on_by_itself(&desk, &file).await;
}

#[tokio::test]
async fn a_task_goes_on_when_its_run_is_out_of_time_and_is_polled_by_the_next_run() {
    let (desk, _folder, file) = desk(Setup::default().with("RUNS__TIME_LIMIT_MS", 5_000)).await;
    let told = at_work(&desk, &file, || {}).await;
    assert_eq!(told.last().expect("an end")["code"], "time_limit", "{told:#?}");
    // Long enough for a cancellation to arrive.
    sleep(Duration::from_secs(1)).await;
    is_polled_on(&desk, &file).await;
}

#[tokio::test]
async fn a_question_of_a_task_is_answered_after_a_restart_and_what_was_said_since_too() {
    let (desk, _folder, file) = desk(Setup::default().with("RUNS__TIME_LIMIT_MS", 5_000)).await;
    let cut = at_work(&desk, &file, || {}).await;
    assert_eq!(cut.last().expect("an end")["code"], "time_limit", "{cut:#?}");
    let desk = desk.killed().await;
    fs::write(file.with_extension("asks"), "1").expect("written");
    let stream = desk.ask("how is it?", None).await;
    let asks = stream.last().expect("an end")["outcome"]["interrupts"][0].clone();
    assert_eq!((&asks["reason"], &asks["toolCallId"]), (&json!("input_required"), &json!("c1")), "{stream:#?}");
    let (_, stream) = desk.post("desk", "how is it?", Some((&asks, json!({"table": "door"})))).await;
    assert!(stream.iter().any(|event| event["delta"] == "Good."), "{stream:#?}");
    assert!(told(&desk).contains("accept") && told(&desk).contains("door"), "{}", told(&desk));
    let asked = desk.model.requests();
    let messages = asked.last().expect("requests").body["messages"].clone();
    let roles: Vec<&str> =
        messages.as_array().expect("messages").iter().filter_map(|message| message["role"].as_str()).collect();
    assert!(roles.ends_with(&["user", "assistant", "tool", "user"]), "what was said since comes last: {roles:?}");
}

#[tokio::test]
async fn a_task_is_cancelled_at_its_server_only_where_a_person_stopped_the_run() {
    for is_stopped in [false, true] {
        let (house, _folder, file) = scripted("modern", "");
        let (continuation, run) = (begun(&house).await, input(&[]));
        let (agent, cancel, stopped_by_person) =
            (Arc::clone(&house.agent), run.cancel.clone(), run.stopped_by_person.clone());
        let following = async move { agent.resume("odd__task", task(continuation), &run).await.output() };
        let following = tokio::spawn(following);
        until("it is polled", || count(&file, "polled") > 0).await;
        if is_stopped {
            stopped_by_person.cancel();
        }
        cancel.cancel();
        assert!(following.await.expect("no panic").failed);
        if is_stopped {
            until("it is cancelled there", || count(&file, "cancelled the task") > 0).await;
        }
        // Whatever was begun is done when this returns.
        house.tools.close().await;
        assert_eq!(count(&file, "cancelled the task"), usize::from(is_stopped));
    }
}

#[tokio::test]
async fn a_task_that_takes_too_long_is_cancelled() {
    let (house, _folder, file) = scripted("modern", "task_timeout_ms = 300");
    let continuation = begun(&house).await;
    let output = followed(&house, continuation).await.output();
    assert!(output.failed && output.text.contains("was not over in time, and was cancelled"), "{output:?}");
    until("it is cancelled there", || count(&file, "cancelled the task") > 0).await;
    house.tools.close().await;
}

#[tokio::test]
async fn a_task_may_ask_again_under_the_same_key() {
    let (house, _folder, file) = scripted("modern", "");
    fs::write(file.with_extension("asks"), "2").expect("written");
    let continuation = begun(&house).await;
    let first = only(followed(&house, continuation).await);
    let thread = (ThreadId::new(), false);
    let accepted = |table: &str| Response::Accepted(json!({"table": table}));
    let second = only(resumed(&house, "odd__task", &first, accepted("door"), thread).await);
    assert_eq!((second.key.as_str(), &second.continuation), ("table", &first.continuation));
    let output = resumed(&house, "odd__task", &second, accepted("window"), thread).await.output();
    assert!(!output.failed && output.text.contains("door") && output.text.contains("window"), "{output:?}");
    house.tools.close().await;
}

#[tokio::test]
async fn a_task_whose_server_stays_away_is_said_to_be_of_an_unknown_end() {
    let (house, _folder, file) = scripted("modern", "task_timeout_ms = 2500");
    let continuation = begun(&house).await;
    fs::write(file.with_extension("dies"), "").expect("written");
    let output = followed(&house, continuation).await.output();
    assert!(output.failed && output.text.contains("its server has been away"), "{output:?}");
    assert!(!output.text.contains("was cancelled"), "nobody could: {output:?}");
    house.tools.close().await;
}
