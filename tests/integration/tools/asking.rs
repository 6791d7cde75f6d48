//! Servers that ask a person in the middle of a call, and that come late.

use netra::{
    protocol::ThreadId,
    server::agents::tools::questions::{Called, Question, Response, Resumption},
};
use serde_json::json;

use super::{
    consent::Desk,
    misbehaving::{notes, process, scripted},
    *,
};
use crate::{
    model::server::{Model, calls, text_reply},
    support::Setup,
};

/// Calls a tool in a thread; answers what it asks.
async fn asked(house: &House, name: &str, args: Value, thread: ThreadId) -> Question {
    let run = RunInput { thread_id: thread, ..input(&[]) };
    only(timeout(PATIENCE, house.agent.call(name, args, &run)).await.expect("in time"))
}

/// The one question of a call.
pub(super) fn only(called: Called) -> Question {
    let Called::Asked(mut questions) = called else { panic!("it asks: {called:?}") };
    assert_eq!(questions.len(), 1, "{questions:?}");
    questions.remove(0)
}

/// Answers what a call of a thread asked; what becomes of the call. A person allowed it where `allowed`.
pub(super) async fn resumed(
    house: &House,
    name: &str,
    question: &Question,
    response: Response,
    (thread, allowed): (ThreadId, bool),
) -> Called {
    let Question { key, continuation, .. } = question.clone();
    let resumption = Resumption { continuation, answers: vec![(key, response)], args: json!({}), allowed };
    let run = RunInput { thread_id: thread, ..input(&[]) };
    timeout(PATIENCE, house.agent.resume(name, resumption, &run)).await.expect("in time")
}

async fn answer(house: &House, thread: ThreadId, question: &Question, response: Response) -> ToolOutput {
    resumed(house, "odd__ask", question, response, (thread, false)).await.output()
}

#[tokio::test]
async fn what_a_person_accepts_declines_or_leaves_goes_back_to_the_server_of_any_version() {
    for mode in ["plain", "modern"] {
        let (house, _folder, _) = scripted(mode, "");
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
            let question = asked(&house, "odd__ask", json!({}), thread).await;
            assert_eq!((question.message.as_str(), question.source.as_str()), ("Which table?", "odd"));
            assert_eq!(question.schema["properties"]["table"]["oneOf"][0]["const"], "window", "{}", question.schema);
            assert_eq!(question.expires_in.is_some(), mode == "plain", "a call that is made again waits for ever");
            // `allowed`: these tools ask a person before each call.
            let output = resumed(&house, "odd__ask", &question, response, (thread, true)).await.output();
            if mode == "modern" {
                expected["state"] = json!("s-7");
            }
            assert!(!output.failed, "{mode}: {output:?}");
            assert_eq!(serde_json::from_str::<Value>(&output.text).expect("JSON"), expected, "{mode}");
        }
        house.tools.close().await;
    }
}

#[tokio::test]
async fn calls_of_others_are_made_while_one_waits_for_a_person_and_its_session_ends_with_it() {
    let (house, _folder, file) = scripted("plain", "");
    let thread = ThreadId::new();
    let question = asked(&house, "odd__ask", json!({}), thread).await;
    let waiting = process(&file, "began");
    assert_eq!(house.call("odd__refuse", json!({})).await, ToolOutput::failed("the disk is full"));
    assert_ne!(process(&file, "began"), waiting, "the others have a session of their own");
    let output = answer(&house, thread, &question, Response::Declined).await;
    assert!(output.text.contains("decline"), "{output:?}");
    until("its server is gone", || !is_alive(waiting)).await;
    let again = answer(&house, thread, &question, Response::Declined).await;
    assert!(again.failed && again.text.contains("a session that is over"), "{again:?}");
    house.tools.close().await;
}

#[tokio::test]
async fn a_call_that_waits_ends_when_its_thread_says_something_else_or_the_house_closes() {
    let (house, _folder, file) = scripted("plain", "");
    let thread = ThreadId::new();
    let question = asked(&house, "odd__ask", json!({}), thread).await;
    let first = process(&file, "began");
    house.agent.abandon(ThreadId::new());
    assert!(is_alive(first));
    house.agent.abandon(thread);
    until("its server is gone", || !is_alive(first)).await;
    assert!(answer(&house, thread, &question, Response::Declined).await.failed);
    asked(&house, "odd__ask", json!({}), thread).await;
    let second = process(&file, "began");
    timeout(PATIENCE, house.tools.close()).await.expect("closed in time");
    until("the second is gone", || !is_alive(second)).await;
}

#[tokio::test]
async fn a_call_that_waits_goes_on_in_its_own_thread_and_as_what_it_is() {
    let (house, _folder, _) = scripted("plain", "");
    let thread = ThreadId::new();
    let question = asked(&house, "odd__ask", json!({}), thread).await;
    let elsewhere = answer(&house, ThreadId::new(), &question, Response::Declined).await;
    assert!(elsewhere.failed && elsewhere.text.contains("a session that is over"), "{elsewhere:?}");
    let another = resumed(&house, "odd__refuse", &question, Response::Declined, (thread, true)).await.output();
    assert!(another.failed && another.text.contains("a session that is over"), "{another:?}");
    let own = answer(&house, thread, &question, Response::Declined).await;
    assert!(!own.failed && own.text.contains("decline"), "it waits on: {own:?}");
    house.tools.close().await;
}

#[tokio::test]
async fn a_call_that_is_made_again_needs_the_yes_that_its_tool_asks_for() {
    let called = |file: &Path| notes(file).iter().filter(|line| *line == "called ask").count();
    for (consent, allowed, made) in [("ask", false, 1), ("ask", true, 2), ("automatic", false, 2)] {
        let (house, _folder, file) = scripted("modern", &format!("consent = {{ default = \"{consent}\" }}"));
        let thread = ThreadId::new();
        let question = asked(&house, "odd__ask", json!({}), thread).await;
        let again = resumed(&house, "odd__ask", &question, Response::Declined, (thread, allowed)).await.output();
        assert_eq!((called(file.as_path()), again.failed), (made, made == 1), "{consent}, {allowed}: {again:?}");
        assert_eq!(again.text.contains("nobody allowed this call"), made == 1, "{again:?}");
        house.tools.close().await;
    }
}

#[tokio::test]
async fn a_question_of_a_call_that_nobody_waits_for_reaches_nobody_else() {
    let (house, _folder, file) = scripted("plain", "");
    let begin = |name: &'static str| {
        let (run, agent) = (input(&[]), Arc::clone(&house.agent));
        let cancel = run.cancel.clone();
        (tokio::spawn(async move { agent.call(name, json!({}), &run).await }), cancel)
    };
    // Another person's call in the same session, from before the first one is stopped until after its server asks.
    let (other, _cancel) = begin("odd__slow");
    until("the other call arrived", || notes(&file).contains(&"called slow".into())).await;
    let (stopped, cancel) = begin("odd__ask-late");
    until("the call arrived", || notes(&file).contains(&"called ask-late".into())).await;
    cancel.cancel();
    assert!(stopped.await.expect("no panic").output().failed);
    let first = process(&file, "began");
    let other = timeout(PATIENCE, other).await.expect("in time").expect("no panic");
    assert_eq!(other, Called::Done(ToolOutput::done("at last")), "it asked nothing");
    until("the question was cancelled", || notes(&file).contains(&"answer cancel".into())).await;
    // A later call is made elsewhere, and asks for itself.
    asked(&house, "odd__ask", json!({}), ThreadId::new()).await;
    assert_ne!(process(&file, "began"), first, "later calls have another session");
    until("the first session is closed", || !is_alive(first)).await;
    house.tools.close().await;
}

#[tokio::test]
async fn a_call_that_took_too_long_leaves_its_session_to_nobody() {
    let (house, _folder, file) = scripted("plain", "call_timeout_ms = 300");
    assert!(house.call("odd__sleep", json!({})).await.failed);
    let first = process(&file, "began");
    assert!(house.call("odd__refuse", json!({})).await.text.contains("the disk is full"));
    assert_ne!(process(&file, "began"), first);
    until("the first session is closed", || !is_alive(first)).await;
    house.tools.close().await;
}

#[tokio::test]
async fn the_reference_server_asks_a_person() {
    let house = House::new(&node("all", &everything(), &["stdio"], ""));
    let tool = "all__trigger-elicitation-request";
    let thread = ThreadId::new();
    let question = asked(&house, tool, json!({}), thread).await;
    assert_eq!(question.schema["type"], "object", "{}", question.schema);
    let accepted = Response::Accepted(json!({"name": "Ada", "check": true}));
    let output = resumed(&house, tool, &question, accepted, (thread, true)).await.output();
    assert!(!output.failed && output.text.contains("Ada"), "{output:?}");
    house.tools.close().await;
}

/// An agent with the scripted server in a mode, and a model that calls a tool of it first.
async fn desk(mode: &str, tool: &str, then: &[&str]) -> (Desk, tempfile::TempDir, PathBuf) {
    desk_with(Setup::default(), mode, tool, then).await
}

pub(super) async fn desk_with(
    setup: Setup,
    mode: &str,
    tool: &str,
    then: &[&str],
) -> (Desk, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("notes");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/tools/scripted.mjs");
    let tools = node("odd", &program, &[mode, &file.display().to_string()], "consent = { default = \"automatic\" }");
    let name = format!("odd__{tool}");
    let first = calls(&[(name.as_str(), "c1", json!({}))]);
    let model = Model::with([first].into_iter().chain(then.iter().map(|words| text_reply(words)))).await;
    (Desk::over(setup, model, &["odd"], &tools).await, folder, file)
}

/// The result of a call as the model was told it in its last request.
pub(super) fn told(desk: &Desk) -> String {
    let asked = desk.model.requests();
    let messages = asked.last().expect("requests").body["messages"].clone();
    let messages = messages.as_array().expect("messages").clone();
    let result = messages.iter().find(|message| message["role"] == "tool").expect("a result");
    result["content"].to_string()
}

async fn question(desk: &Desk) -> Value {
    let told = desk.ask("m", None).await;
    let interrupt = told.last().expect("an end")["outcome"]["interrupts"][0].clone();
    assert_eq!(
        (&interrupt["reason"], &interrupt["toolCallId"], &interrupt["message"]),
        (&json!("input_required"), &json!("c1"), &json!("odd asks: Which table?")),
        "{told:#?}"
    );
    assert_eq!(interrupt["responseSchema"]["required"], json!(["table"]));
    interrupt
}

#[tokio::test]
async fn a_question_of_a_tool_is_answered_by_a_person_in_the_next_run() {
    let (desk, _folder, _) = desk("plain", "ask", &["Booked."]).await;
    let asks = question(&desk).await;
    let (status, _) = desk.post("desk", "m", Some((&asks, json!({"table": "roof"})))).await;
    assert_eq!(status.as_u16(), 422, "the answer must fit what was asked");
    let (_, stream) = desk.post("desk", "m", Some((&asks, json!({"table": "door"})))).await;
    assert!(stream.iter().any(|event| event["delta"] == "Booked."), "{stream:#?}");
    assert!(told(&desk).contains("accept") && told(&desk).contains("door"), "{}", told(&desk));
}

#[tokio::test]
async fn a_question_of_the_newest_version_is_answered_after_a_restart() {
    let (desk, _folder, _) = desk("modern", "ask", &["Booked."]).await;
    let asks = question(&desk).await;
    let desk = desk.killed().await;
    let (_, stream) = desk.post("desk", "m", Some((&asks, json!({"table": "door"})))).await;
    assert!(stream.iter().any(|event| event["delta"] == "Booked."), "{stream:#?}");
    assert!(told(&desk).contains("accept") && told(&desk).contains("s-7"), "{}", told(&desk));
}

#[tokio::test]
async fn a_question_whose_session_died_with_the_server_fails_its_call_and_says_why() {
    let (desk, _folder, file) = desk("plain", "ask", &["I see."]).await;
    let asks = question(&desk).await;
    let desk = desk.killed().await;
    let (_, stream) = desk.post("desk", "m", Some((&asks, json!({"table": "door"})))).await;
    assert!(stream.iter().any(|event| event["delta"] == "I see."), "{stream:#?}");
    assert!(told(&desk).contains("Netra was restarted"), "{}", told(&desk));
    assert_eq!(notes(&file).iter().filter(|line| *line == "called ask").count(), 1, "it is not made again");
}

#[tokio::test]
async fn a_server_that_comes_late_is_offered_in_the_same_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/tools/scripted.mjs");
    let file = folder.path().join("notes").display().to_string();
    let automatic = "consent = { default = \"automatic\" }";
    let tools = node("good", &program, &["plain"], automatic) + &node("odd", &program, &["late", &file], automatic);
    // Each takes longer than the wait before the next attempt.
    let slow = |id| calls(&[("good__slow", id, json!({}))]);
    let model = Model::with([slow("c1"), slow("c2"), slow("c3"), text_reply("Good.")]).await;
    let desk = Desk::over(Setup::default(), model, &["good", "odd"], &tools).await;
    desk.ask("m", None).await;
    let offers = |request: usize| desk.model.requests()[request].body["tools"].to_string().contains("odd__refuse");
    assert!(!offers(0), "it is too early");
    assert!(offers(3), "it came");
}
