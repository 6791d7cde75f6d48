//! Results of tools that the caller runs itself.

use super::*;

/// The configuration of an agent whose recorded run leaves a tool call to the caller.
fn agent_with_pending_call(folder: &Path) -> String {
    let file = folder.join("calls.jsonl");
    let events = [
        json!({"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "pick_colour"}),
        json!({"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": "{}"}),
        json!({"type": "TOOL_CALL_END", "toolCallId": "c"}),
        json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r",
            "outcome": {"type": "success", "pendingToolCallIds": ["c"]}}),
    ];
    std::fs::write(&file, events.map(|event| format!("{event}\n")).concat()).expect("the file is written");
    let file = file.display();
    format!(
        "[[agents]]\nid = \"calls\"\nname = \"Calls\"\nkind = \"replay\"\nfile = \"{file}\"\nevents_per_second = 1000\n"
    )
}

#[tokio::test]
async fn results_of_a_callers_own_tools_are_accepted_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Setup::default().file(&agent_with_pending_call(folder.path())).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let mut body = input("t", "m", "Paint it");
    let received = caller.ask("calls", &body).await;
    let call = received.last().expect("an end")["outcome"]["pendingToolCallIds"][0].clone();
    let result = |id: &str, call: &Value, content: &str| json!({"id": id, "role": "tool", "toolCallId": call, "content": content});
    let messages = body["messages"].as_array().expect("messages").clone();
    let mut body_with = |results: &[Value]| {
        body["messages"] = [messages.as_slice(), results].concat().into();
        body.clone()
    };
    let other = body_with(&[result("r", &json!("another"), "red")]);
    problem(caller.post("calls", &other).await, 409, "conflict").await;
    let large = body_with(&[result("r", &call, &"x".repeat(70_000))]);
    problem(caller.post("calls", &large).await, 413, "too_large").await;
    let given = body_with(&[result("r", &call, "blue")]);
    let next = caller.ask("calls", &given).await;
    assert_ne!(netra_id(&next, "runId"), netra_id(&received, "runId"));
    assert!(next.iter().all(|event| event_type(event) != "TOOL_CALL_RESULT"), "the caller has the result already");
    assert_eq!(caller.ask("calls", &given).await, next, "the same results are the same run");
    let again = body_with(&[result("another", &call, "green")]);
    problem(caller.post("calls", &again).await, 409, "conflict").await;
}

#[tokio::test]
async fn results_before_a_message_are_accepted_and_go_to_the_agent_of_their_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let both = agent_with_pending_call(folder.path()) + &replay_agent(5_000);
    let server = Setup::default().file(&both).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let received = caller.ask("calls", &input("t", "m1", "Paint it")).await;
    let call = received.last().expect("an end")["outcome"]["pendingToolCallIds"][0].clone();
    let result = json!({"id": "r", "role": "tool", "toolCallId": call, "content": "BLUE"});
    let body_with_result = |message: &str, text: &str| {
        let mut body = input("t", message, text);
        body["messages"].as_array_mut().expect("messages").insert(2, result.clone());
        body
    };
    let mut alone = input("t", "m2", "");
    alone["messages"][2] = result.clone();
    let refused = problem(caller.post("replay", &alone).await, 409, "conflict").await;
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("of the agent `calls`")), "{refused}");
    let next = caller.ask("replay", &body_with_result("m2", "Thanks")).await;
    assert!(next.iter().all(|event| event["toolCallId"] != call), "the caller has the result already");
    let browser = server.signed_in(ADMIN).await;
    let page =
        browser.get(&format!("/threads/{}", netra_id(&received, "threadId"))).await.text().await.expect("a page");
    assert!(page.contains("BLUE"), "the call has its result");
    problem(caller.post("calls", &alone).await, 409, "conflict").await;
    let again = caller.ask("replay", &body_with_result("m3", "Thanks again")).await;
    assert_eq!(event_type(again.last().expect("an end")), "RUN_FINISHED", "a repeated result is ignored");
}
