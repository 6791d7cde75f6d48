//! Servers that ask a person in the middle of a call, that make a task of it, and that come late.

use netra::{
    protocol::ThreadId,
    server::agents::tools::questions::{Called, Question, Response, Resumption},
};
use serde_json::json;

use super::{
    consent::Desk,
    misbehaving::{notes, process, scripted},
    model::{Model, calls, says},
    support::Setup,
    *,
};

/// Calls a tool in a thread; answers what it asks.
async fn asked(house: &House, name: &str, args: Value, thread: ThreadId) -> Question {
    let run = RunInput { thread_id: thread, ..input(&[]) };
    let called = timeout(PATIENCE, house.agent.call(name, args, &run)).await.expect("in time");
    let Called::Asked(mut questions) = called else { panic!("it asks: {called:?}") };
    assert_eq!(questions.len(), 1, "{questions:?}");
    questions.remove(0)
}

async fn answer(house: &House, name: &str, question: Question, response: Response) -> ToolOutput {
    let Question { key, continuation, .. } = question;
    let resumption = Resumption { continuation, answers: vec![(key, response)], args: json!({}) };
    timeout(PATIENCE, house.agent.resume(name, resumption, &input(&[]))).await.expect("in time").output()
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
            let question = asked(&house, "odd__ask", json!({}), ThreadId::new()).await;
            assert_eq!((question.message.as_str(), question.source.as_str()), ("Which table?", "odd"));
            assert_eq!(question.schema["properties"]["table"]["oneOf"][0]["const"], "window", "{}", question.schema);
            assert_eq!(question.expires_in.is_some(), mode == "plain", "a call that is made again waits for ever");
            let output = answer(&house, "odd__ask", question, response).await;
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
    let question = asked(&house, "odd__ask", json!({}), ThreadId::new()).await;
    let waiting = process(&file, "began");
    assert_eq!(house.call("odd__refuse", json!({})).await, ToolOutput::failed("the disk is full"));
    assert_ne!(process(&file, "began"), waiting, "the others have a session of their own");
    let output = answer(&house, "odd__ask", question.clone(), Response::Declined).await;
    assert!(output.text.contains("decline"), "{output:?}");
    until("its server is gone", || !is_alive(waiting)).await;
    let again = answer(&house, "odd__ask", question, Response::Declined).await;
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
    assert!(answer(&house, "odd__ask", question, Response::Declined).await.failed);
    asked(&house, "odd__ask", json!({}), thread).await;
    let second = process(&file, "began");
    timeout(PATIENCE, house.tools.close()).await.expect("closed in time");
    until("the second is gone", || !is_alive(second)).await;
}

#[tokio::test]
async fn the_reference_server_asks_a_person() {
    let house = House::new(&node("all", &everything(), &["stdio"], ""));
    let tool = "all__trigger-elicitation-request";
    let question = asked(&house, tool, json!({}), ThreadId::new()).await;
    assert_eq!(question.schema["type"], "object", "{}", question.schema);
    let output = answer(&house, tool, question, Response::Accepted(json!({"name": "Ada", "check": true}))).await;
    assert!(!output.failed && output.text.contains("Ada"), "{output:?}");
    house.tools.close().await;
}

/// An agent with the scripted server in a mode, and a model that calls a tool of it first.
async fn desk(mode: &str, tool: &str, then: &[&str]) -> (Desk, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("notes");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/scripted.mjs");
    let tools = node("odd", &program, &[mode, &file.display().to_string()], "consent = { default = \"automatic\" }");
    let name = format!("odd__{tool}");
    let first = calls(&[(name.as_str(), "c1", json!({}))]);
    let model = Model::with([first].into_iter().chain(then.iter().map(|words| says(words)))).await;
    (Desk::over(Setup::default(), model, &["odd"], &tools).await, folder, file)
}

/// The result of a call as the model was told it in its last request.
fn told(desk: &Desk) -> String {
    let asked = desk.model.asked();
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
async fn a_task_is_polled_on_after_a_restart() {
    let (desk, _folder, file) = desk("modern", "task", &["Good."]).await;
    let polled = || notes(&file).iter().filter(|line| *line == "polled").count();
    {
        let asking = desk.ask("m", None);
        tokio::select! {
            told = asking => panic!("it has no end yet: {told:#?}"),
            () = until("it is polled", || polled() > 1) => {}
        }
    }
    let desk = desk.killed().await;
    fs::write(file.with_extension("done"), "").expect("written");
    let stream = desk.ask("how is it?", None).await;
    assert!(stream.iter().any(|event| event["delta"] == "Good."), "{stream:#?}");
    assert!(told(&desk).contains("well rested"), "{}", told(&desk));
    assert_eq!(notes(&file).iter().filter(|line| *line == "called task").count(), 1, "it is not begun again");
}

#[tokio::test]
async fn a_task_of_a_stopped_run_is_cancelled_at_its_server() {
    let (house, _folder, file) = scripted("modern", "");
    let run = input(&[]);
    let Called::Begun(continuation) = house.agent.call("odd__task", json!({}), &run).await else {
        panic!("it is a task")
    };
    let (agent, cancel) = (Arc::clone(&house.agent), run.cancel.clone());
    let resumption = Resumption { continuation, answers: Vec::new(), args: json!({}) };
    let following = tokio::spawn(async move { agent.resume("odd__task", resumption, &run).await.output() });
    until("it is polled", || notes(&file).contains(&"polled".into())).await;
    cancel.cancel();
    assert!(following.await.expect("no panic").failed);
    until("it is cancelled there", || notes(&file).contains(&"cancelled the task".into())).await;
    house.tools.close().await;
}

#[tokio::test]
async fn a_server_that_comes_late_is_offered_in_the_same_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/scripted.mjs");
    let file = folder.path().join("notes").display().to_string();
    let automatic = "consent = { default = \"automatic\" }";
    let tools = node("good", &program, &["plain"], automatic) + &node("odd", &program, &["late", &file], automatic);
    // Each takes longer than the wait before the next attempt.
    let slow = |id| calls(&[("good__slow", id, json!({}))]);
    let model = Model::with([slow("c1"), slow("c2"), slow("c3"), says("Good.")]).await;
    let desk = Desk::over(Setup::default(), model, &["good", "odd"], &tools).await;
    desk.ask("m", None).await;
    let offers = |request: usize| desk.model.asked()[request].body["tools"].to_string().contains("odd__refuse");
    assert!(!offers(0), "it is too early");
    assert!(offers(3), "it came");
}
