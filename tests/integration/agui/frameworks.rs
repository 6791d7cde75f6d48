//! Front ends and agents of other frameworks: their ids, states and answers come back unchanged.

use super::*;

/// The configuration of an agent at this endpoint.
fn remote_agent(remote: &remote::Endpoint) -> String {
    let url = &remote.url;
    format!(
        "[[agents]]\nid = \"remote\"\nname = \"Remote\"\nkind = \"ag-ui\"\nurl = \"{url}\"\nallow_private_network = true\n"
    )
}

#[tokio::test]
async fn a_caller_gets_its_own_message_ids_back_in_restated_messages() {
    let remote = remote::Endpoint::start(|_, mut answer| async move {
        answer.begin().await?;
        let mut messages = answer.input["messages"].as_array().expect("messages").clone();
        messages.push(json!({"id": "said", "role": "assistant", "content": "Well"}));
        let state = json!({"type": "STATE_SNAPSHOT", "snapshot": {"messages": messages}});
        answer.event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})).await?;
        answer.event(&state).await?;
        answer.finish().await
    })
    .await;
    let server = Setup::default().file(&remote_agent(&remote)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let mut body = input("t", "first", "Say it");
    body["messages"] = json!([{"id": "first", "role": "user", "content": "Say it"}]);
    caller.ask("remote", &body).await;
    let upper = MessageId::new().to_string().to_uppercase();
    body["messages"] = json!([
        {"id": "first", "role": "user", "content": "Say it"},
        {"id": "said", "role": "assistant", "content": "Well"},
        {"id": upper, "role": "user", "content": "Again"},
    ]);
    let received = caller.ask("remote", &body).await;
    let ids = |messages: &Value| -> Vec<String> {
        let messages = messages.as_array().expect("messages").iter();
        messages.map(|message| message["id"].as_str().expect("an id").to_owned()).collect()
    };
    let of =
        |wanted: &str| received.iter().find(|event| event_type(event) == wanted).expect("the event is sent").clone();
    let expected = ["first", "said", &upper, "said"];
    assert_eq!(ids(&of("MESSAGES_SNAPSHOT")["messages"]), expected);
    assert_eq!(ids(&state_of(&received)["messages"]), expected);

    // The log has the earlier messages: a caller gets its ids back without repeating them.
    let long = "x".repeat(300);
    body["messages"] = json!([{"id": long, "role": "user", "content": "And again"}]);
    let received = caller.ask("remote", &body).await;
    let restated = state_of(&received)["messages"].clone();
    assert_eq!(ids(&restated), ["first", "said", &upper, "said", &long, "said"]);
}

/// The state of a caller that gave none and received these events.
fn state_of(received: &[Value]) -> Value {
    let mut state = json!({});
    received.iter().for_each(|event| apply(&mut state, event));
    state
}

/// Applies an event to a caller's state.
fn apply(state: &mut Value, event: &Value) {
    match event_type(event) {
        "STATE_SNAPSHOT" => *state = event["snapshot"].clone(),
        "STATE_DELTA" => {
            let patch: json_patch::Patch = serde_json::from_value(event["delta"].clone()).expect("a patch");
            json_patch::patch(state, &patch).expect("fits");
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_caller_gets_the_restated_state_and_conversation_though_only_changes_are_stored() {
    let remote = remote::Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        answer.events(&remote::message(&format!("draft-{number}"), &["Well."])).await?;
        let mut messages = answer.input["messages"].as_array().expect("messages").clone();
        let function = json!({"name": "look", "arguments": ""});
        let calls = json!([{"id": format!("c{number}"), "type": "function", "function": function}]);
        let canon = format!("canon-{number}");
        messages.push(json!({"id": canon, "role": "assistant", "content": "Well.", "toolCalls": calls}));
        let notes: Vec<String> = (0..=number.min(2)).map(|n| format!("{n}").repeat(300_000)).collect();
        let call = format!("c{number}");
        answer
            .events(&[
                json!({"type": "TOOL_CALL_START", "toolCallId": call, "toolCallName": "look"}),
                json!({"type": "TOOL_CALL_END", "toolCallId": call}),
                json!({"type": "TOOL_CALL_RESULT", "toolCallId": call, "messageId": "r", "content": "x".repeat(400_000)}),
            ])
            .await?;
        answer.event(&json!({"type": "STATE_SNAPSHOT", "snapshot": {"notes": notes}})).await?;
        answer.event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})).await?;
        answer.finish().await
    })
    .await;
    let server = Setup::default().file(&remote_agent(&remote)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let notes = |count: usize| -> Vec<String> { (0..count).map(|n| format!("{n}").repeat(300_000)).collect() };
    for number in 0..4 {
        // Without a state, as a page that was just opened; the last one without the earlier messages.
        let received = caller.ask("remote", &input("t", &format!("u{number}"), "Go on")).await;
        assert_eq!(state_of(&received), json!({"notes": notes(3.min(number + 1))}), "turn {number}");
        let results: Vec<&Value> = received.iter().filter(|event| event_type(event) == "TOOL_CALL_RESULT").collect();
        assert_eq!((results.len(), &results[0]["content"]), (1, &json!("x".repeat(400_000))));
        assert_eq!(results[0].get("metadata"), None);
        let restated =
            received.iter().find(|event| event_type(event) == "MESSAGES_SNAPSHOT").expect("the event is sent");
        assert_eq!(restated.get("metadata"), None);
        let ids = restated["messages"].as_array().expect("messages").iter().map(|message| message["id"].clone());
        let expected = (0..=number).flat_map(|n| {
            // The users' earlier messages are not in this request.
            let user_id = if n == number { json!(format!("u{n}")) } else { Value::Null };
            let turn_ids = [user_id, json!(format!("canon-{n}"))];
            turn_ids.into_iter().chain((n < number).then(|| json!("r")))
        });
        let ids: Vec<Value> = ids.collect();
        for (id, expected) in ids.iter().zip(expected.clone()) {
            assert!(expected.is_null() || *id == expected, "{ids:?}");
        }
        assert_eq!(ids.len(), expected.count());
    }
    // A state that the caller sends back is not sent to it again, however large.
    let mut body = input("t", "u4", "Again");
    body["state"] = json!({"notes": notes(3)});
    let received = caller.ask("remote", &body).await;
    assert!(received.iter().all(|event| !event_type(event).starts_with("STATE")), "{}", received.len());
}

#[tokio::test]
async fn a_caller_that_sends_another_state_gets_the_agents_changes_to_it() {
    let remote = remote::Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        let mut state = answer.input["state"].clone();
        state["turns"] = json!(number + 1);
        answer.event(&json!({"type": "STATE_SNAPSHOT", "snapshot": state})).await?;
        answer.finish().await
    })
    .await;
    let server = Setup::default().file(&remote_agent(&remote)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let long = "a long note ".repeat(20);
    let given = [json!([long]), json!([long, "another"]), json!(["another"])];
    for (number, notes) in given.iter().enumerate() {
        let mut body = input("t", &format!("u{number}"), "Go on");
        body["state"] = json!({"notes": notes, "turns": number});
        let received = caller.ask("remote", &body).await;
        let mut state = body["state"].clone();
        for event in &received {
            assert!(!event.to_string().contains("netraGiven"), "{event}");
            apply(&mut state, event);
        }
        assert_eq!(state, json!({"notes": notes, "turns": number + 1}), "{received:#?}");
    }
    let received = caller.ask("remote", &input("t", "last", "Go on")).await;
    assert_eq!(
        state_of(&received),
        json!({"notes": ["another"], "turns": 4}),
        "a caller without a state gets the thread's"
    );
}

#[tokio::test]
async fn raw_events_are_read_in_pages_by_the_owner_alone() {
    let remote = remote::Endpoint::start(|_, mut answer| async move {
        answer.begin().await?;
        for number in 0..20 {
            let event = json!({"number": number, "text": "x".repeat(100_000)});
            answer.event(&json!({"type": "RAW", "event": event, "source": "it"})).await?;
        }
        answer.finish().await
    })
    .await;
    let server = Setup::default().file(&(remote_agent(&remote) + "keep_raw = true\n")).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let received = caller.ask("remote", &input("t", "first", "Say it")).await;
    assert!(received.iter().all(|event| event_type(event) != "RAW"), "no event has them");
    let ids = &received[0]["metadata"]["netra"];
    let run = ids["runId"].as_str().expect("an id");
    let mut numbers = Vec::new();
    let mut path = format!("/api/runs/{run}/raw");
    loop {
        let page: Value = caller.get(&path).await.json().await.expect("JSON");
        let events = page["events"].as_array().expect("events");
        assert!((1..20).contains(&events.len()), "a part of them: {}", events.len());
        numbers.extend(events.iter().map(|kept| kept["event"]["event"]["number"].as_u64().expect("a number")));
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/api/runs/{run}/raw?after={next}");
    }
    assert_eq!(numbers, (0..20).collect::<Vec<u64>>());
    let path = format!("/api/runs/{run}/raw");
    assert_eq!(caller.get(&format!("{path}?after=x")).await.status(), 422);
    server.add_member(ADA).await;
    let other = Caller::new(&server, ADA).await;
    assert_eq!(other.get(&path).await.status(), 404);
}

#[tokio::test]
async fn a_caller_gets_a_long_result_complete_when_an_agent_restates_it_under_another_id() {
    let text = "long ".repeat(120_000);
    let result = text.clone();
    let remote = remote::Endpoint::start(move |_, mut answer| {
        let text = text.clone();
        async move {
            answer.begin().await?;
            let mut messages = answer.input["messages"].as_array().expect("messages").clone();
            let function = json!({"name": "read", "arguments": "{}"});
            let call = json!({"id": "c", "type": "function", "function": function});
            messages.push(json!({"id": "m", "role": "assistant", "content": "", "toolCalls": [call]}));
            messages.push(json!({"id": "other", "role": "tool", "toolCallId": "c", "content": text}));
            for event in [
                json!({"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "read"}),
                json!({"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": "{}"}),
                json!({"type": "TOOL_CALL_END", "toolCallId": "c"}),
                json!({"type": "TOOL_CALL_RESULT", "toolCallId": "c", "messageId": "c", "content": text}),
                json!({"type": "MESSAGES_SNAPSHOT", "messages": messages}),
            ] {
                answer.event(&event).await?;
            }
            answer.finish().await
        }
    })
    .await;
    let server = Setup::default().file(&remote_agent(&remote)).start().await;
    let received = Caller::new(&server, ADMIN).await.ask("remote", &input("t", "first", "Read it")).await;
    let of =
        |wanted: &str| received.iter().find(|event| event_type(event) == wanted).expect("the event is sent").clone();
    assert_eq!(of("TOOL_CALL_RESULT")["content"], result);
    let restated = of("MESSAGES_SNAPSHOT")["messages"].as_array().expect("messages").last().cloned();
    assert_eq!(restated, Some(json!({"id": "other", "role": "tool", "toolCallId": "c", "content": result})));
    assert_eq!(event_type(received.last().expect("an end")), "RUN_FINISHED");
}

#[tokio::test]
async fn an_interrupt_in_a_custom_event_is_answered_in_its_adapters_format() {
    let remote = remote::Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number % 2 == 0 {
            let question =
                json!({"type": "CUSTOM", "name": "on_interrupt", "value": "Send it?", "rawEvent": {"id": "i"}});
            answer.event(&question).await?;
        }
        answer.finish().await
    })
    .await;
    let server = Setup::default().file(&remote_agent(&remote)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let mut body = input("t", "m1", "Send a mail");
    let received = caller.ask("remote", &body).await;
    let outcome = &received.last().expect("an end")["outcome"];
    assert_eq!((&outcome["type"], &outcome["interrupts"][0]["message"]), (&json!("interrupt"), &json!("Send it?")));
    assert!(received.iter().any(|event| event["name"] == "on_interrupt"), "front ends of that framework need it");

    body["resume"] = json!([{"interruptId": "i", "status": "resolved", "payload": "yes"}]);
    body["runId"] = json!("the second run");
    let received = caller.ask("remote", &body).await;
    assert_eq!(received.last().expect("an end").get("outcome"), None);

    // As a front end of that framework answers: the unchanged conversation, and the answer beside it.
    caller.ask("remote", &input("t", "m2", "Another one")).await;
    let mut answer = input("t", "m2", "Another one");
    answer["runId"] = json!("the fourth run");
    answer["forwardedProps"] = json!({"command": {"resume": {"to": "eve"}}, "theme": "dark"});
    let received = caller.ask("remote", &answer).await;
    assert_eq!(received.last().expect("an end").get("outcome"), None);

    let inputs: Vec<Value> = remote.requests().into_iter().map(|request| request.input).collect();
    assert_eq!(inputs.len(), 4);
    assert_eq!(inputs[1]["forwardedProps"], json!({"command": {"resume": "yes"}}));
    assert_eq!(inputs[3]["forwardedProps"], json!({"command": {"resume": {"to": "eve"}}, "theme": "dark"}));
    assert!([1, 3].iter().all(|at: &usize| inputs[*at].get("resume").is_none()));
}

#[tokio::test]
async fn a_call_that_is_announced_again_appears_once_in_the_next_request() {
    let remote = remote::Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        let call = [
            json!({"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "send"}),
            json!({"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": "{}"}),
            json!({"type": "TOOL_CALL_END", "toolCallId": "c"}),
        ];
        if number < 2 {
            answer.events(&call).await?;
        }
        if number == 0 {
            let interrupt = json!({"id": "i", "reason": "tool_call", "toolCallId": "c"});
            let mut end = answer.finished();
            end["outcome"] = json!({"type": "interrupt", "interrupts": [interrupt]});
            return answer.event(&end).await;
        }
        if number == 1 {
            let result = json!({"type": "TOOL_CALL_RESULT", "messageId": "r", "toolCallId": "c", "content": "sent"});
            answer.event(&result).await?;
        }
        answer.finish().await
    })
    .await;
    let server = Setup::default().file(&remote_agent(&remote)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let mut body = input("t", "m1", "Send a mail");
    caller.ask("remote", &body).await;
    body["resume"] = json!([{"interruptId": "i", "status": "resolved", "payload": {"approved": true}}]);
    caller.ask("remote", &body).await;
    caller.ask("remote", &input("t", "m2", "And now?")).await;
    let input = remote.requests().pop().expect("a request").input;
    let roles: Vec<&str> =
        input["messages"].as_array().expect("messages").iter().filter_map(|message| message["role"].as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "user"]);
    assert_eq!(input["messages"][2]["content"], "sent");
}
