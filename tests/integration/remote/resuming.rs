//! Interrupts of a remote agent and the runs that continue them: the conversation, the state and the answers that it gets.

use netra::{
    protocol::{AnswerStatus, agui::Event},
    server::channel::Channel,
    thread::RunState,
};
use serde_json::{Value, json};

use crate::remote::{
    harness::{RemoteHarness, text_of},
    server::{Endpoint, message},
};

/// An endpoint whose first run calls a tool and sets a state, and whose later runs send a text.
async fn endpoint_with_tool() -> Endpoint {
    Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number == 0 {
            answer.events(&message("m1", &["Let me look."])).await?;
            answer
                .events(&[
                    json!({"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "look", "parentMessageId": "m1"}),
                    json!({"type": "TOOL_CALL_ARGS", "toolCallId": "c1", "delta": "{\"at\":1}"}),
                    json!({"type": "TOOL_CALL_END", "toolCallId": "c1"}),
                    json!({"type": "TOOL_CALL_RESULT", "toolCallId": "c1", "messageId": "r1", "content": "4"}),
                    json!({"type": "STATE_SNAPSHOT", "snapshot": {"looked": 1}}),
                    json!({"type": "STATE_DELTA", "delta": [{"op": "replace", "path": "/looked", "value": 2}]}),
                ])
                .await?;
        }
        answer.events(&message("m2", &["Four."])).await?;
        answer.finish().await
    })
    .await
}

/// Messages without their ids.
fn without_ids(messages: &Value) -> Vec<Value> {
    let without_id = |message: &Value| {
        let mut message = message.clone();
        assert!(message["id"].as_str().is_some_and(|id| !id.is_empty()), "{message}");
        message.as_object_mut().expect("an object").remove("id");
        message
    };
    messages.as_array().expect("messages").iter().map(without_id).collect()
}

#[tokio::test]
async fn the_conversation_and_the_state_are_sent_with_each_message() {
    let server = endpoint_with_tool().await;
    let harness = RemoteHarness::new(&server).await;
    let first = harness.ask("How many?").await;
    let second = harness.ask("Sure?").await;
    let inputs: Vec<Value> = server.requests().into_iter().map(|request| request.input).collect();
    assert_eq!(inputs.len(), 2);
    for (input, run) in inputs.iter().zip([&first, &second]) {
        assert_eq!(input["threadId"], json!(harness.thread.to_string()));
        assert_eq!(input["runId"], json!(run.run_id.to_string()));
        assert_eq!(input["protocolVersion"], "1.0");
        assert_eq!(
            (&input["tools"], &input["context"], &input["forwardedProps"]),
            (&json!([]), &json!([]), &json!({}))
        );
        assert!(input.get("resume").is_none() && input.get("parentRunId").is_none(), "{input}");
    }
    assert_eq!(
        (&inputs[0]["state"], without_ids(&inputs[0]["messages"])),
        (&json!({}), vec![json!({"role": "user", "content": "How many?"})])
    );
    let call = json!({"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}});
    let conversation = vec![
        json!({"role": "user", "content": "How many?"}),
        json!({"role": "assistant", "content": "Let me look.", "toolCalls": [call]}),
        json!({"role": "tool", "toolCallId": "c1", "content": "4"}),
        json!({"role": "assistant", "content": "Four."}),
        json!({"role": "user", "content": "Sure?"}),
    ];
    assert_eq!((&inputs[1]["state"], without_ids(&inputs[1]["messages"])), (&json!({"looked": 2}), conversation));
}

#[tokio::test]
async fn an_interrupt_waits_for_a_user_and_the_answer_continues_in_a_new_run() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number == 0 {
            answer
                .events(&[
                    json!({"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "send"}),
                    json!({"type": "TOOL_CALL_ARGS", "toolCallId": "c1", "delta": "{}"}),
                    json!({"type": "TOOL_CALL_END", "toolCallId": "c1"}),
                ])
                .await?;
            let mut end = answer.finished();
            let interrupt = json!({"id": "i1", "reason": "tool_call", "message": "Send it?", "toolCallId": "c1"});
            end["outcome"] = json!({"type": "interrupt", "interrupts": [interrupt]});
            return answer.event(&end).await;
        }
        answer
            .event(&json!({"type": "TOOL_CALL_RESULT", "toolCallId": "c1", "messageId": "r1", "content": "sent"}))
            .await?;
        answer.events(&message("m", &["Done."])).await?;
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let waiting = harness.ask("Send it").await;
    let RunState::Interrupted { interrupts } = &waiting.state else {
        panic!("the run waits for no answer: {:?}", waiting.state)
    };
    assert_eq!((interrupts[0].id.as_str(), interrupts[0].message.as_deref()), ("i1", Some("Send it?")));
    let run = harness.answer_one(waiting.run_id, "i1", AnswerStatus::Resolved, json!({"approved": true})).await;
    assert_eq!((run.state.clone(), text_of(&run).as_str()), (RunState::Finished, "Done."));
    let events = harness.events(run.run_id).await;
    assert!(events.iter().any(|event| matches!(event, Event::ToolCallResult(_))));
    let parent = waiting.run_id.to_string();
    assert!(matches!(&events[0], Event::RunStarted(e) if e.parent_run_id.as_ref() == Some(&parent)), "{events:?}");
    let input = &server.requests()[1].input;
    assert_eq!(input["parentRunId"], json!(waiting.run_id.to_string()));
    assert_eq!(input["runId"], json!(run.run_id.to_string()));
    assert_eq!(input["resume"], json!([{"interruptId": "i1", "status": "resolved", "payload": {"approved": true}}]));
    let messages = without_ids(&input["messages"]);
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap_or_default()).collect();
    assert_eq!(roles, ["user", "assistant"], "the call that waits has no answer yet: {messages:?}");
    assert_eq!(messages[1]["toolCalls"][0]["id"], "c1");
}

#[tokio::test]
async fn an_agent_gets_its_encrypted_thoughts_back_with_the_answer_and_in_the_next_turn() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number > 0 {
            answer.events(&message("m2", &["Done."])).await?;
            return answer.finish().await;
        }
        let value = |subtype: &str, id: &str, value: &str| json!({"type": "REASONING_ENCRYPTED_VALUE", "subtype": subtype, "entityId": id, "encryptedValue": value});
        answer
            .events(&[
                json!({"type": "REASONING_START", "messageId": "r1"}),
                json!({"type": "REASONING_MESSAGE_START", "messageId": "r1", "role": "reasoning"}),
                json!({"type": "REASONING_MESSAGE_CONTENT", "messageId": "r1", "delta": "Risky."}),
                value("message", "r1", "signature of r1"),
                json!({"type": "REASONING_MESSAGE_END", "messageId": "r1"}),
                json!({"type": "REASONING_END", "messageId": "r1"}),
                json!({"type": "REASONING_START", "messageId": "r2"}),
                value("message", "r2", "all of r2"),
                json!({"type": "REASONING_END", "messageId": "r2"}),
                json!({"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "send", "parentMessageId": "m1"}),
                json!({"type": "TOOL_CALL_ARGS", "toolCallId": "c1", "delta": "{}"}),
                json!({"type": "TOOL_CALL_END", "toolCallId": "c1"}),
                value("tool-call", "c1", "signature of c1"),
            ])
            .await?;
        let mut end = answer.finished();
        let interrupt = json!({"id": "i1", "reason": "tool_call", "toolCallId": "c1"});
        end["outcome"] = json!({"type": "interrupt", "interrupts": [interrupt]});
        answer.event(&end).await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let waiting = harness.ask("Send it").await;
    harness.answer_one(waiting.run_id, "i1", AnswerStatus::Resolved, json!({"approved": true})).await;
    harness.ask("Thanks").await;
    let call = json!({"id": "c1", "type": "function", "function": {"name": "send", "arguments": "{}"}, "encryptedValue": "signature of c1"});
    let thoughts = [
        json!({"role": "reasoning", "id": "r1", "content": "Risky.", "encryptedValue": "signature of r1"}),
        json!({"role": "reasoning", "id": "r2", "content": "", "encryptedValue": "all of r2"}),
        json!({"role": "assistant", "id": "m1", "toolCalls": [call]}),
    ];
    for request in &server.requests()[1..] {
        assert_eq!(request.input["messages"].as_array().expect("messages")[1..4], thoughts);
    }
    let (_, seen) =
        harness.channels.snapshot(Channel::Thread(harness.thread), None).await.expect("the snapshot is read");
    assert!(!json!(seen).to_string().contains("signature of"), "clients do not get it");
}

/// An endpoint whose first run asks about a call, whose second run is cancelled and restates the call's result, and whose third
/// answers a message.
async fn endpoint_that_asks() -> Endpoint {
    Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        match number {
            0 => {
                let call = [
                    json!({"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "send"}),
                    json!({"type": "TOOL_CALL_END", "toolCallId": "c1"}),
                ];
                answer.events(&call).await?;
                let mut end = answer.finished();
                let interrupt = json!({"id": "i1", "reason": "tool_call", "toolCallId": "c1"});
                end["outcome"] = json!({"type": "interrupt", "interrupts": [interrupt]});
                return answer.event(&end).await;
            }
            // LangGraph's interrupts name no call: it announces the call again and restates its result under another id.
            1 => {
                let call = [
                    json!({"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "send"}),
                    json!({"type": "TOOL_CALL_END", "toolCallId": "c1"}),
                    json!({"type": "TOOL_CALL_RESULT", "toolCallId": "c1", "messageId": "r1", "content": "denied"}),
                ];
                answer.events(&call).await?;
                answer.events(&message("m1", &["Not sent."])).await?;
                let call = json!({"id": "c1", "type": "function", "function": {"name": "send", "arguments": ""}});
                let messages = json!([
                    answer.input["messages"][0],
                    {"id": "a1", "role": "assistant", "toolCalls": [call]},
                    {"id": "canon-r", "role": "tool", "toolCallId": "c1", "content": "denied"},
                    {"id": "m1", "role": "assistant", "content": "Not sent."},
                ]);
                answer.event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})).await?;
            }
            2 => {
                answer.events(&message("m2", &["It rains."])).await?;
                let mut messages = answer.input["messages"].as_array().expect("messages").clone();
                messages.push(json!({"id": "m2", "role": "assistant", "content": "It rains."}));
                answer.event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})).await?;
            }
            _ => {}
        }
        let mut end = answer.finished();
        end["usage"] = json!([{"inputTokens": number}]);
        answer.event(&end).await
    })
    .await
}

#[tokio::test]
async fn a_message_in_place_of_an_answer_is_sent_after_the_interrupt_is_cancelled() {
    let server = endpoint_that_asks().await;
    let harness = RemoteHarness::new(&server).await;
    harness.ask("Send it").await;
    let run = harness.ask("What is the weather?").await;
    assert_eq!((run.state.clone(), text_of(&run).as_str()), (RunState::Finished, "Not sent.It rains."));
    let used: Vec<_> = run.usage.iter().filter_map(|usage| usage.input_tokens).collect();
    assert_eq!(used, [2, 1], "both requests count");

    let inputs: Vec<Value> = server.requests().into_iter().map(|request| request.input).collect();
    assert_eq!(inputs.len(), 3);
    let roles = |input: &Value| -> Vec<String> {
        let messages = input["messages"].as_array().expect("messages").iter();
        messages.map(|message| message["role"].as_str().expect("a role").to_owned()).collect()
    };
    assert_eq!(inputs[1]["resume"], json!([{"interruptId": "i1", "status": "cancelled"}]));
    assert_eq!(
        roles(&inputs[1]),
        ["user", "assistant"],
        "the new message is not sent yet, so the call may get its result"
    );
    assert!(inputs[2].get("resume").is_none() && inputs[2]["runId"] != inputs[1]["runId"]);
    assert_eq!(roles(&inputs[2]), ["user", "assistant", "tool", "assistant", "user"]);
    assert_eq!(inputs[2]["messages"][3]["content"], "Not sent.");
    assert_eq!(inputs[2]["messages"][2]["id"], "canon-r");
    assert_eq!(inputs[2]["messages"][4]["content"], "What is the weather?");

    harness.ask("Thanks").await;
    let last = &server.requests()[3].input;
    assert_eq!(roles(last), ["user", "assistant", "tool", "assistant", "user", "assistant", "user"]);
    let sent_messages = last["messages"].as_array().expect("messages").iter().map(|message| &message["content"]);
    let sent_messages: Vec<&str> = sent_messages.filter_map(Value::as_str).collect();
    assert_eq!(sent_messages, ["Send it", "denied", "Not sent.", "What is the weather?", "It rains.", "Thanks"]);
}

#[tokio::test]
async fn a_message_is_sent_even_if_the_cancellation_before_it_fails() {
    for failure in ["500 Internal Server Error", "silence"] {
        let server = Endpoint::start(move |number, mut answer| async move {
            if number == 1 {
                return match failure {
                    "silence" => answer.stream().await,
                    status => answer.status(status, &[], "no").await,
                };
            }
            answer.begin().await?;
            if number == 0 {
                let mut end = answer.finished();
                end["outcome"] = json!({"type": "interrupt", "interrupts": [{"id": "i1", "reason": "confirm"}]});
                return answer.event(&end).await;
            }
            answer.events(&message("m", &["It rains."])).await?;
            answer.finish().await
        })
        .await;
        let harness = RemoteHarness::new(&server).await;
        harness.ask("Send it").await;
        let run = harness.ask("What is the weather?").await;
        assert_eq!((run.state.clone(), text_of(&run).as_str()), (RunState::Finished, "It rains."), "{failure}");
    }
}
