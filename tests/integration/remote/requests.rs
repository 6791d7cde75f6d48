//! What a remote agent receives in a request: a caller's state and tools, the messages of earlier runs, and answers to interrupts.

use netra::{
    protocol::{AnswerStatus, InterruptAnswer, agui::Event},
    thread::{NodeBody, NodeState, RunState},
};
use serde_json::{Value, json};

use crate::remote::{
    harness::RemoteHarness,
    server::{Endpoint, Responder, message},
};

fn call(id: &str, args: &str) -> [Value; 3] {
    [
        json!({"type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": "pick"}),
        json!({"type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": args}),
        json!({"type": "TOOL_CALL_END", "toolCallId": id}),
    ]
}

/// Ends a run with an interrupt, of a tool call if one is given.
async fn interrupt(mut answer: Responder, call: Option<&str>) -> std::io::Result<()> {
    let mut end = answer.finished();
    let mut interrupt = json!({"id": "i1", "reason": "tool_call"});
    call.into_iter().for_each(|call| interrupt["toolCallId"] = json!(call));
    end["outcome"] = json!({"type": "interrupt", "interrupts": [interrupt]});
    answer.event(&end).await
}

/// The messages of this role in a request, counted from 0.
fn messages_in(server: &Endpoint, number: usize, role: &str) -> Vec<Value> {
    let messages = server.requests()[number].input["messages"].clone();
    messages.as_array().expect("messages").iter().filter(|message| message["role"] == role).cloned().collect()
}

#[tokio::test]
async fn the_state_that_a_caller_sends_replaces_the_threads_and_survives_interrupted_runs() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        let delta = json!({"type": "STATE_DELTA", "delta": [{"op": "replace", "path": "/count", "value": number + 2}]});
        answer.event(&delta).await?;
        if number == 1 { interrupt(answer, None).await } else { answer.finish().await }
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let run = harness.ask_with_caller("one", json!({"state": {"count": 1}, "tools": [], "context": []})).await;
    assert_eq!(run.shared.as_deref(), Some(&json!({"count": 2})));
    let first: Vec<_> = harness.events(run.run_id).await.iter().map(Event::kind).collect();
    assert_eq!(first, ["RUN_STARTED", "STATE_SNAPSHOT", "STATE_DELTA", "RUN_FINISHED"]);
    let tool = json!({"name": "pick", "description": "Picks.", "parameters": {"type": "object"}, "metadata": {"k": 1}});
    let given = json!({
        "state": {"count": 10}, "tools": [tool], "context": [{"description": "where", "value": "here"}],
        "forwarded_props": {"theme": "dark"},
    });
    let waiting = harness.ask_with_caller("two", given).await;
    assert_eq!(waiting.shared.as_deref(), Some(&json!({"count": 3})));
    harness.answer_one(waiting.run_id, "i1", AnswerStatus::Resolved, json!(true)).await;
    let same = harness.ask_with_caller("three", json!({"state": {"count": 4}})).await;
    assert!(
        !harness.events(same.run_id).await.iter().any(|event| matches!(event, Event::StateSnapshot(_))),
        "the state did not change"
    );
    let requests = server.requests();
    let states: Vec<_> = requests.iter().map(|request| request.input["state"]["count"].clone()).collect();
    assert_eq!(json!(states), json!([1, 10, 3, 4]));
    for number in [1, 2] {
        let input = &requests[number].input;
        assert_eq!((&input["tools"], &input["forwardedProps"]), (&json!([tool]), &json!({"theme": "dark"})));
        assert_eq!(input["context"], json!([{"description": "where", "value": "here"}]));
    }
    assert_eq!(requests[3].input["tools"], json!([]));
}

#[tokio::test]
async fn the_messages_of_a_request_keep_subagents_content_parts_ids_and_errors() {
    let parts = json!([{"type": "text", "text": "Blue."}, {"type": "image", "source": {"type": "url", "value": "https://example.com/b.png"}}]);
    let result = parts.clone();
    let server = Endpoint::start(move |number, mut answer| {
        let parts = result.clone();
        async move {
            answer.begin().await?;
            if number > 0 {
                return answer.finish().await;
            }
            answer.event(&json!({"type": "SUBAGENT_STARTED", "subagentRunId": "s", "name": "Data"})).await?;
            for mut event in message("of s", &["I looked."]).into_iter().chain(call("c1", "{}")) {
                event["subagentRunId"] = json!("s");
                answer.event(&event).await?;
            }
            let answered = json!({"type": "TOOL_CALL_RESULT", "toolCallId": "c1", "messageId": "r1", "content": parts, "subagentRunId": "s"});
            answer.events(&[answered, json!({"type": "SUBAGENT_FINISHED", "subagentRunId": "s"})]).await?;
            answer.events(&message("m", &["It is blue."])).await?;
            answer.events(&call("p1", "{}")).await?;
            let mut end = answer.finished();
            end["outcome"] = json!({"type": "success", "pendingToolCallIds": ["p1"]});
            answer.event(&end).await
        }
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let pending = harness.ask("Which?").await;
    let Value::Object(metadata) = json!({"messageId": "r2", "error": "no such colour"}) else { unreachable!() };
    let answer = InterruptAnswer {
        interrupt_id: "p1".into(),
        status: AnswerStatus::Resolved,
        payload: Some(json!("")),
        metadata: Some(metadata),
    };
    harness.answer(pending.run_id, vec![answer]).await;
    let failed = harness.view().await.run(pending.run_id).expect("the run").nodes.last().expect("the call").clone();
    assert!(
        matches!(&failed.body, NodeBody::Tool { result: Some(result), .. } if result == "no such colour"),
        "{failed:?}"
    );
    assert_eq!(failed.state, NodeState::Failed);
    let function = json!({"name": "pick", "arguments": "{}"});
    let one = json!({"id": "c1", "type": "function", "function": function});
    let messages = [
        json!({"role": "assistant", "id": "of s", "content": "I looked.", "subagentRunId": "s"}),
        json!({"role": "assistant", "id": "c1-call", "toolCalls": [one], "subagentRunId": "s"}),
        json!({"role": "assistant", "id": "m", "content": "It is blue."}),
    ];
    assert_eq!(messages_in(&server, 1, "assistant")[..3], messages);
    let results = [
        json!({"role": "tool", "id": "r1", "toolCallId": "c1", "content": parts, "subagentRunId": "s"}),
        json!({"role": "tool", "id": "r2", "toolCallId": "p1", "content": "no such colour", "error": "no such colour"}),
    ];
    assert_eq!(messages_in(&server, 1, "tool"), results);
}

#[tokio::test]
async fn an_answer_is_sent_with_its_metadata() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number == 0 { interrupt(answer, None).await } else { answer.finish().await }
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let waiting = harness.ask("May I?").await;
    let Value::Object(metadata) = json!({"by": "phone"}) else { unreachable!() };
    let (status, payload) = (AnswerStatus::Resolved, Some(json!(1)));
    let answer = InterruptAnswer { interrupt_id: "i1".into(), status, payload, metadata: Some(metadata) };
    harness.answer(waiting.run_id, vec![answer]).await;
    let entry = json!({"interruptId": "i1", "status": "resolved", "payload": 1, "metadata": {"by": "phone"}});
    assert_eq!(server.requests()[1].input["resume"], json!([entry]));
}

#[tokio::test]
async fn calls_of_a_stopped_run_are_sent_with_a_result_that_says_whether_they_were_carried_out() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number > 0 {
            return answer.finish().await;
        }
        answer.events(&call("whole", "{\"city\":\"Rome\"}")).await?;
        answer.events(&call("cut", "{\"cit")[..2]).await?;
        answer.events(&message("m", &["One moment."])).await?;
        answer.hold().await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let run = harness.begin("Pay").await;
    harness.until_text_is(run, "One moment.").await;
    harness.stop(run).await;
    harness.ask("And now?").await;
    let calls = messages_in(&server, 1, "assistant");
    let arguments: Vec<_> =
        calls.iter().filter_map(|message| message["toolCalls"][0]["function"]["arguments"].as_str()).collect();
    assert_eq!(arguments, ["{\"city\":\"Rome\"}", "{}"]);
    let results: Vec<_> =
        messages_in(&server, 1, "tool").iter().map(|message| message["content"].to_string()).collect();
    assert!(results.len() == 2 && results[0].contains("may or may not have been carried out"), "{results:?}");
    assert!(results[1].contains("was not carried out"), "{results:?}");
}

#[tokio::test]
async fn a_call_that_was_allowed_may_have_been_carried_out_and_one_that_was_refused_was_not() {
    for (approved, expected) in [(true, "may or may not"), (false, "was not carried out")] {
        let server = Endpoint::start(|number, mut answer| async move {
            answer.begin().await?;
            match number {
                0 => {
                    answer.events(&call("c1", "{}")).await?;
                    interrupt(answer, Some("c1")).await
                }
                1 => answer.event(&json!({"type": "RUN_ERROR", "message": "no luck"})).await,
                _ => answer.finish().await,
            }
        })
        .await;
        let harness = RemoteHarness::new(&server).await;
        let waiting = harness.ask("Pay").await;
        let run = harness.answer_one(waiting.run_id, "i1", AnswerStatus::Resolved, json!({"approved": approved})).await;
        assert!(matches!(run.state, RunState::Failed { .. }), "{:?}", run.state);
        assert!(messages_in(&server, 1, "tool").is_empty(), "the agent has the call itself");
        harness.ask("Paid?").await;
        let results = messages_in(&server, 2, "tool");
        assert!(results.len() == 1 && results[0]["content"].as_str().expect("text").contains(expected), "{results:?}");
    }
}

#[tokio::test]
async fn a_call_that_is_not_listed_as_pending_also_takes_the_callers_result() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number == 0 {
            answer.events(&call("p1", "{}")).await?;
            answer.events(&call("p2", "{}")).await?;
        }
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let pending = harness.ask("Paint it").await;
    harness.answer_one(pending.run_id, "p1", AnswerStatus::Resolved, json!("BLUE")).await;
    let results: Vec<_> =
        messages_in(&server, 1, "tool").iter().map(|message| message["content"].to_string()).collect();
    assert!(results[0] == "\"BLUE\"" && results[1].contains("No result of this call is known"), "{results:?}");
}
