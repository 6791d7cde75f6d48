//! A conversation that an agent restates: what the thread shows, and what the next request has.

use netra::{
    protocol::AnswerStatus,
    thread::{NodeBody, RunView},
};
use serde_json::{Value, json};

use crate::remote::{
    harness::{RemoteHarness, text_of},
    server::{Endpoint, Responder, message},
};

/// The same message, restated.
fn restated(id: &str, text: &str) -> Value {
    json!({"role": "assistant", "id": id, "content": text})
}

fn call(id: &str) -> [Value; 3] {
    [
        json!({"type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": "send"}),
        json!({"type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": "{}"}),
        json!({"type": "TOOL_CALL_END", "toolCallId": id}),
    ]
}

/// A `MESSAGES_SNAPSHOT` of the request's messages and these.
fn snapshot(answer: &Responder, more: &[Value]) -> Value {
    let mut messages = answer.input["messages"].as_array().expect("messages").clone();
    messages.extend_from_slice(more);
    json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})
}

/// Role, id and content of the messages in a request.
fn messages_in(input: &Value) -> Vec<String> {
    let messages = input["messages"].as_array().expect("messages").iter().filter(|message| message["role"] != "user");
    let text = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
    let sent_messages = messages.map(|message| {
        let calls = message["toolCalls"].as_array().into_iter().flatten();
        let calls: String = calls.map(|call| format!(" <{}>", text(call, "id"))).collect();
        format!("{} {} {}{calls}", text(message, "role"), text(message, "id"), text(message, "content"))
    });
    sent_messages.collect()
}

fn calls(run: &RunView) -> Vec<&str> {
    let calls = run.nodes.iter().filter(|node| matches!(node.body, NodeBody::Tool { .. }));
    calls.map(|node| node.id.as_str()).collect()
}

#[tokio::test]
async fn a_message_under_another_id_is_the_same_and_one_that_is_left_out_is_gone() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number == 0 {
            answer.events(&message("draft", &["Let me think."])).await?;
            answer.events(&message("run-1-1", &["It is ", "four."])).await?;
            answer.events(&call("gone")).await?;
            let snapshot = snapshot(&answer, &[restated("canon-1", "It is four."), restated("canon-2", "Or five.")]);
            answer.event(&snapshot).await?;
            answer.events(&message("run-1-2", &["Ask me again."])).await?;
        }
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let run = harness.ask("How many?").await;
    assert_eq!(text_of(&run), "It is four.Or five.Ask me again.");
    assert!(calls(&run).is_empty(), "{:?}", run.nodes);
    harness.ask("Sure?").await;
    let expected = ["assistant canon-1 It is four.", "assistant canon-2 Or five.", "assistant run-1-2 Ask me again."];
    assert_eq!(messages_in(&server.requests()[1].input), expected);
}

#[tokio::test]
async fn messages_of_an_earlier_run_are_not_repeated_when_the_continued_run_restates_them() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        match number {
            0 => {
                answer.events(&message("m1", &["I will send it."])).await?;
                answer.events(&call("c1")).await?;
                let mut end = answer.finished();
                let interrupt = json!({"id": "i1", "reason": "tool_call", "toolCallId": "c1"});
                end["outcome"] = json!({"type": "interrupt", "interrupts": [interrupt]});
                return answer.event(&end).await;
            }
            1 => {
                let snapshot = snapshot(&answer, &[]);
                answer.event(&snapshot).await?;
                let result =
                    json!({"type": "TOOL_CALL_RESULT", "toolCallId": "c1", "messageId": "r1", "content": "sent"});
                answer.event(&result).await?;
                answer.events(&message("m2", &["Done."])).await?;
                let call = json!({"id": "c1", "type": "function", "function": {"name": "send", "arguments": "{}"}});
                let mut first = restated("canon-1", "I will send it.");
                first["toolCalls"] = json!([call]);
                let result = json!({"role": "tool", "id": "canon-r", "toolCallId": "c1", "content": "sent"});
                let user = answer.input["messages"][0].clone();
                let messages = [user, first, result, restated("canon-2", "Done.")];
                answer.event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})).await?;
            }
            // It has nothing of this turn yet.
            _ => {
                let earlier = json!([answer.input["messages"][0], restated("canon-2", "Done.")]);
                answer.events(&message("m3", &["You are welcome."])).await?;
                answer.event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": earlier})).await?;
            }
        }
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let waiting = harness.ask("Send it").await;
    let run = harness.answer_one(waiting.run_id, "i1", AnswerStatus::Resolved, json!({"approved": true})).await;
    assert_eq!((text_of(&run).as_str(), calls(&run)), ("Done.", vec![]));
    assert_eq!(text_of(&harness.ask("Thanks").await), "You are welcome.");
    harness.ask("Bye").await;
    let requests = server.requests();
    let turn =
        ["assistant m1 I will send it.", "assistant c1-call  <c1>", "tool canon-r sent", "assistant canon-2 Done."];
    assert_eq!(messages_in(&requests[2].input), turn);
    assert_eq!(messages_in(&requests[3].input), [&turn[..], &["assistant m3 You are welcome."]].concat());
}

#[tokio::test]
async fn a_call_that_is_restated_before_the_question_stays_where_it_was_made() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        let (own, text) = (format!("own-{number}"), format!("said-{number}"));
        answer.events(&call(&own)).await?;
        answer.events(&message(&text, &["Well."])).await?;
        let function = json!({"name": "send", "arguments": "{}"});
        let calls = json!([{"id": own, "type": "function", "function": function}]);
        let mut messages = vec![json!({"role": "assistant", "id": format!("calls-{number}"), "toolCalls": calls})];
        messages.extend(answer.input["messages"].as_array().expect("messages").iter().cloned());
        messages.push(restated(&text, "Well."));
        answer.event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})).await?;
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    for number in 0..2 {
        let run = harness.ask("go on").await;
        assert_eq!((calls(&run), text_of(&run).as_str()), (vec![format!("own-{number}").as_str()], "Well."));
    }
}

#[tokio::test]
async fn interrupts_need_unique_ids_and_cannot_use_the_servers_reasons() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        let interrupt = |id: &str| json!({"id": id, "reason": "server_restarted", "message": "Why?"});
        let interrupts = if number == 0 { vec![interrupt("a")] } else { vec![interrupt("b"), interrupt("b")] };
        let mut end = answer.finished();
        end["outcome"] = json!({"type": "interrupt", "interrupts": interrupts});
        answer.event(&end).await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let run = harness.ask("hello").await;
    assert_eq!(run.interrupts()[0].reason, "agent_restarted", "an agent cannot use the server's own reason");
    assert!(!run.was_cut_by_restart());
    assert!(harness.failure("protocol_violation").await.contains("the same id: b"));
}

#[tokio::test]
async fn thoughts_stay_where_none_are_restated_and_are_replaced_where_some_are() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        let thought = |id: &str, text: &str| {
            [
                json!({"type": "REASONING_START", "messageId": id}),
                json!({"type": "REASONING_MESSAGE_START", "messageId": id, "role": "reasoning"}),
                json!({"type": "REASONING_MESSAGE_CONTENT", "messageId": id, "delta": text}),
                json!({"type": "REASONING_MESSAGE_END", "messageId": id}),
                json!({"type": "REASONING_END", "messageId": id}),
            ]
        };
        answer.events(&thought("t1", "Hm.")).await?;
        answer.events(&thought("t2", "Well.")).await?;
        answer.events(&message("m", &["Four."])).await?;
        let thought = json!({"role": "reasoning", "id": "canon-t1", "content": "Hm."});
        let more = [thought, restated("m", "Four.")];
        let snapshot = snapshot(&answer, &more[usize::from(number == 0)..]);
        answer.event(&snapshot).await?;
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    for _ in 0..3 {
        harness.ask("How many?").await;
    }
    let requests = server.requests();
    let first = ["reasoning t1 Hm.", "reasoning t2 Well.", "assistant m Four."];
    assert_eq!(messages_in(&requests[1].input), first);
    let all = [&first[..], &["reasoning canon-t1 Hm.", "assistant m Four."]].concat();
    assert_eq!(messages_in(&requests[2].input), all);
}
