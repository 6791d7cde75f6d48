//! Servers that ask the user a question during a call, and servers that start late.

use netra::{
    protocol::ThreadId,
    server::agents::tools::questions::{CallOutcome, Question, Response, Resumption},
};
use serde_json::json;

use super::{
    consent::ToolAgent,
    misbehaving::{notes, process, scripted},
    *,
};
use crate::{
    model::server::{Model, call_reply, text_reply},
    support::Setup,
};

/// Calls a tool in a thread; returns its question.
async fn question_of(harness: &ToolHarness, name: &str, args: Value, thread: ThreadId) -> Question {
    let run = RunInput { thread_id: thread, ..input(&[]) };
    only_question(timeout(TEST_TIMEOUT, harness.toolbox.call(name, args, &run)).await.expect("in time"))
}

/// The only question of a call.
pub(super) fn only_question(outcome: CallOutcome) -> Question {
    let CallOutcome::InputRequired(mut questions) = outcome else { panic!("it asks: {outcome:?}") };
    assert_eq!(questions.len(), 1, "{questions:?}");
    questions.remove(0)
}

/// Answers a call's question; returns how the call continues. `allowed`: a user allowed the call.
pub(super) async fn resume(
    harness: &ToolHarness,
    name: &str,
    question: &Question,
    response: Response,
    (thread, allowed): (ThreadId, bool),
) -> CallOutcome {
    let Question { key, continuation, .. } = question.clone();
    let resumption = Resumption { continuation, answers: vec![(key, response)], args: json!({}), allowed };
    let run = RunInput { thread_id: thread, ..input(&[]) };
    timeout(TEST_TIMEOUT, harness.toolbox.resume(name, resumption, &run)).await.expect("in time")
}

async fn answer(harness: &ToolHarness, thread: ThreadId, question: &Question, response: Response) -> ToolOutput {
    resume(harness, "odd__ask", question, response, (thread, false)).await.output()
}

#[tokio::test]
async fn accepted_declined_and_cancelled_answers_reach_a_server_of_any_version() {
    for mode in ["plain", "modern"] {
        let (harness, _folder, _) = scripted(mode, "");
        let responses = [
            (
                Response::Accepted(json!({"table": "window"})),
                json!({"action": "accept", "content": {"table": "window"}}),
            ),
            (Response::Declined, json!({"action": "decline"})),
            (Response::Cancelled, json!({"action": "cancel"})),
        ];
        for (response, mut expected) in responses {
            let thread = ThreadId::new();
            let question = question_of(&harness, "odd__ask", json!({}), thread).await;
            assert_eq!((question.message.as_str(), question.source.as_str()), ("Which table?", "odd"));
            assert_eq!(question.schema["properties"]["table"]["oneOf"][0]["const"], "window", "{}", question.schema);
            assert_eq!(question.expires_in.is_some(), mode == "plain", "only an open call has a time limit");
            // `allowed`: these tools ask the user before each call.
            let output = resume(&harness, "odd__ask", &question, response, (thread, true)).await.output();
            if mode == "modern" {
                expected["state"] = json!("s-7");
            }
            assert!(!output.failed, "{mode}: {output:?}");
            assert_eq!(serde_json::from_str::<Value>(&output.text).expect("JSON"), expected, "{mode}");
        }
        harness.tools.close().await;
    }
}

#[tokio::test]
async fn other_calls_run_while_one_waits_for_a_user_and_the_session_ends_with_that_call() {
    let (harness, _folder, file) = scripted("plain", "");
    let thread = ThreadId::new();
    let question = question_of(&harness, "odd__ask", json!({}), thread).await;
    let waiting = process(&file, "began");
    assert_eq!(harness.call("odd__refuse", json!({})).await, ToolOutput::failed("the disk is full"));
    assert_ne!(process(&file, "began"), waiting, "other calls have another session");
    let output = answer(&harness, thread, &question, Response::Declined).await;
    assert!(output.text.contains("decline"), "{output:?}");
    until("its server is gone", || !is_alive(waiting)).await;
    let again = answer(&harness, thread, &question, Response::Declined).await;
    assert!(again.failed && again.text.contains("a session that is over"), "{again:?}");
    harness.tools.close().await;
}

#[tokio::test]
async fn a_waiting_call_ends_when_its_thread_continues_or_the_tools_are_closed() {
    let (harness, _folder, file) = scripted("plain", "");
    let thread = ThreadId::new();
    let question = question_of(&harness, "odd__ask", json!({}), thread).await;
    let first = process(&file, "began");
    harness.toolbox.abandon(ThreadId::new());
    assert!(is_alive(first));
    harness.toolbox.abandon(thread);
    until("its server is gone", || !is_alive(first)).await;
    assert!(answer(&harness, thread, &question, Response::Declined).await.failed);
    question_of(&harness, "odd__ask", json!({}), thread).await;
    let second = process(&file, "began");
    timeout(TEST_TIMEOUT, harness.tools.close()).await.expect("the connection closes in time");
    until("the second is gone", || !is_alive(second)).await;
}

#[tokio::test]
async fn a_waiting_call_continues_only_in_its_own_thread_and_with_its_own_tool() {
    let (harness, _folder, _) = scripted("plain", "");
    let thread = ThreadId::new();
    let question = question_of(&harness, "odd__ask", json!({}), thread).await;
    let elsewhere = answer(&harness, ThreadId::new(), &question, Response::Declined).await;
    assert!(elsewhere.failed && elsewhere.text.contains("a session that is over"), "{elsewhere:?}");
    let another = resume(&harness, "odd__refuse", &question, Response::Declined, (thread, true)).await.output();
    assert!(another.failed && another.text.contains("a session that is over"), "{another:?}");
    let own = answer(&harness, thread, &question, Response::Declined).await;
    assert!(!own.failed && own.text.contains("decline"), "it is still waiting: {own:?}");
    harness.tools.close().await;
}

#[tokio::test]
async fn a_repeated_call_needs_the_consent_that_its_tool_requires() {
    let called = |file: &Path| notes(file).iter().filter(|line| *line == "called ask").count();
    for (consent, allowed, made) in [("ask", false, 1), ("ask", true, 2), ("automatic", false, 2)] {
        let (harness, _folder, file) = scripted("modern", &format!("consent = {{ default = \"{consent}\" }}"));
        let thread = ThreadId::new();
        let question = question_of(&harness, "odd__ask", json!({}), thread).await;
        let again = resume(&harness, "odd__ask", &question, Response::Declined, (thread, allowed)).await.output();
        assert_eq!((called(file.as_path()), again.failed), (made, made == 1), "{consent}, {allowed}: {again:?}");
        assert_eq!(again.text.contains("nobody allowed this call"), made == 1, "{again:?}");
        harness.tools.close().await;
    }
}

#[tokio::test]
async fn a_question_of_a_stopped_call_reaches_no_other_call() {
    let (harness, _folder, file) = scripted("plain", "");
    let begin = |name: &'static str| {
        let (run, agent) = (input(&[]), Arc::clone(&harness.toolbox));
        let cancel = run.cancel.clone();
        (tokio::spawn(async move { agent.call(name, json!({}), &run).await }), cancel)
    };
    // Another user's call in the same session. It begins before the stopped call and ends after the server has asked for that one.
    let (other, _cancel) = begin("odd__slow");
    until("the other call arrived", || notes(&file).contains(&"called slow".into())).await;
    let (stopped, cancel) = begin("odd__ask-late");
    until("the call arrived", || notes(&file).contains(&"called ask-late".into())).await;
    cancel.cancel();
    assert!(stopped.await.expect("the task does not panic").output().failed);
    let first = process(&file, "began");
    let other = timeout(TEST_TIMEOUT, other).await.expect("in time").expect("the task does not panic");
    assert_eq!(other, CallOutcome::Done(ToolOutput::done("at last")), "the tool asked no question");
    until("the question was cancelled", || notes(&file).contains(&"answer cancel".into())).await;
    // A later call uses another session and asks its own question.
    question_of(&harness, "odd__ask", json!({}), ThreadId::new()).await;
    assert_ne!(process(&file, "began"), first, "later calls have another session");
    until("the first session is closed", || !is_alive(first)).await;
    harness.tools.close().await;
}

#[tokio::test]
async fn the_session_of_a_timed_out_call_is_not_used_again() {
    let (harness, _folder, file) = scripted("plain", "call_timeout_ms = 300");
    assert!(harness.call("odd__sleep", json!({})).await.failed);
    let first = process(&file, "began");
    assert!(harness.call("odd__refuse", json!({})).await.text.contains("the disk is full"));
    assert_ne!(process(&file, "began"), first);
    until("the first session is closed", || !is_alive(first)).await;
    harness.tools.close().await;
}

#[tokio::test]
async fn the_reference_server_asks_a_person() {
    let harness = ToolHarness::new(&node("all", &everything(), &["stdio"], ""));
    let tool = "all__trigger-elicitation-request";
    let thread = ThreadId::new();
    let question = question_of(&harness, tool, json!({}), thread).await;
    assert_eq!(question.schema["type"], "object", "{}", question.schema);
    let accepted = Response::Accepted(json!({"name": "Ada", "check": true}));
    let output = resume(&harness, tool, &question, accepted, (thread, true)).await.output();
    assert!(!output.failed && output.text.contains("Ada"), "{output:?}");
    harness.tools.close().await;
}

/// A server with an agent that uses the scripted MCP server in a mode, and a model that first calls a tool of it.
async fn tool_agent(mode: &str, tool: &str, then: &[&str]) -> (ToolAgent, tempfile::TempDir, PathBuf) {
    tool_agent_with(Setup::default(), mode, tool, then).await
}

pub(super) async fn tool_agent_with(
    setup: Setup,
    mode: &str,
    tool: &str,
    then: &[&str],
) -> (ToolAgent, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("notes");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/tools/scripted.mjs");
    let tools = node("odd", &program, &[mode, &file.display().to_string()], "consent = { default = \"automatic\" }");
    let name = format!("odd__{tool}");
    let first = call_reply(&[(name.as_str(), "c1", json!({}))]);
    let model = Model::with([first].into_iter().chain(then.iter().map(|words| text_reply(words)))).await;
    (ToolAgent::with_model(setup, model, &["odd"], &tools).await, folder, file)
}

/// The result of a call in the last request to the model.
pub(super) fn last_result(tool_agent: &ToolAgent) -> String {
    let requests = tool_agent.model.requests();
    let messages = requests.last().expect("a request").body["messages"].clone();
    let messages = messages.as_array().expect("messages").clone();
    let result = messages.iter().find(|message| message["role"] == "tool").expect("a result");
    result["content"].to_string()
}

async fn question(tool_agent: &ToolAgent) -> Value {
    let events = tool_agent.ask("m", None).await;
    let interrupt = events.last().expect("an end")["outcome"]["interrupts"][0].clone();
    assert_eq!(
        (&interrupt["reason"], &interrupt["toolCallId"], &interrupt["message"]),
        (&json!("input_required"), &json!("c1"), &json!("odd asks: Which table?")),
        "{events:#?}"
    );
    assert_eq!(interrupt["responseSchema"]["required"], json!(["table"]));
    interrupt
}

#[tokio::test]
async fn a_question_of_a_tool_is_answered_by_a_person_in_the_next_run() {
    let (tool_agent, _folder, _) = tool_agent("plain", "ask", &["Booked."]).await;
    let interrupt = question(&tool_agent).await;
    let (status, _) = tool_agent.post("desk", "m", Some((&interrupt, json!({"table": "roof"})))).await;
    assert_eq!(status.as_u16(), 422, "the answer must match the question");
    let (_, stream) = tool_agent.post("desk", "m", Some((&interrupt, json!({"table": "door"})))).await;
    assert!(stream.iter().any(|event| event["delta"] == "Booked."), "{stream:#?}");
    assert!(
        last_result(&tool_agent).contains("accept") && last_result(&tool_agent).contains("door"),
        "{}",
        last_result(&tool_agent)
    );
}

#[tokio::test]
async fn a_question_of_the_newest_version_is_answered_after_a_restart() {
    let (tool_agent, _folder, _) = tool_agent("modern", "ask", &["Booked."]).await;
    let interrupt = question(&tool_agent).await;
    let tool_agent = tool_agent.kill_and_restart().await;
    let (_, stream) = tool_agent.post("desk", "m", Some((&interrupt, json!({"table": "door"})))).await;
    assert!(stream.iter().any(|event| event["delta"] == "Booked."), "{stream:#?}");
    assert!(
        last_result(&tool_agent).contains("accept") && last_result(&tool_agent).contains("s-7"),
        "{}",
        last_result(&tool_agent)
    );
}

#[tokio::test]
async fn a_question_whose_session_ended_with_the_server_fails_its_call_with_the_reason() {
    let (tool_agent, _folder, file) = tool_agent("plain", "ask", &["I see."]).await;
    let interrupt = question(&tool_agent).await;
    let tool_agent = tool_agent.kill_and_restart().await;
    let (_, stream) = tool_agent.post("desk", "m", Some((&interrupt, json!({"table": "door"})))).await;
    assert!(stream.iter().any(|event| event["delta"] == "I see."), "{stream:#?}");
    assert!(last_result(&tool_agent).contains("Netra was restarted"), "{}", last_result(&tool_agent));
    assert_eq!(notes(&file).iter().filter(|line| *line == "called ask").count(), 1, "it is not made again");
}

#[tokio::test]
async fn a_server_that_starts_late_is_used_in_the_same_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/tools/scripted.mjs");
    let file = folder.path().join("notes").display().to_string();
    let automatic = "consent = { default = \"automatic\" }";
    let tools = node("good", &program, &["plain"], automatic) + &node("odd", &program, &["late", &file], automatic);
    // Each call takes longer than the delay before the second attempt to connect to `odd`.
    let slow = |id| call_reply(&[("good__slow", id, json!({}))]);
    let model = Model::with([slow("c1"), slow("c2"), slow("c3"), text_reply("Good.")]).await;
    let tool_agent = ToolAgent::with_model(Setup::default(), model, &["good", "odd"], &tools).await;
    tool_agent.ask("m", None).await;
    let offers =
        |request: usize| tool_agent.model.requests()[request].body["tools"].to_string().contains("odd__refuse");
    assert!(!offers(0), "the server has not started yet");
    assert!(offers(3), "the server has started");
}
