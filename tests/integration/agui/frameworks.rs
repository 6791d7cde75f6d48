//! What front ends and agents of other frameworks say, and get back as they said it.

use super::*;

/// An agent at that address.
fn remote_agent(remote: &remote::Server) -> String {
    let url = &remote.url;
    format!(
        "[[agents]]\nid = \"remote\"\nname = \"Remote\"\nkind = \"ag-ui\"\nurl = \"{url}\"\nallow_private_network = true\n"
    )
}

#[tokio::test]
async fn a_caller_gets_its_own_message_ids_back_in_whatever_an_agent_restates() {
    let remote = remote::Server::start(|_, mut answer| async move {
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
    let asker = Asker::new(&server, ADMIN).await;
    let mut body = input("t", "first", "Say it");
    body["messages"] = json!([{"id": "first", "role": "user", "content": "Say it"}]);
    asker.ask("remote", &body).await;
    let upper = MessageId::new().to_string().to_uppercase();
    body["messages"] = json!([
        {"id": "first", "role": "user", "content": "Say it"},
        {"id": "said", "role": "assistant", "content": "Well"},
        {"id": upper, "role": "user", "content": "Again"},
    ]);
    let told = asker.ask("remote", &body).await;
    let ids = |messages: &Value| -> Vec<String> {
        let messages = messages.as_array().expect("messages").iter();
        messages.map(|message| message["id"].as_str().expect("an id").to_owned()).collect()
    };
    let of = |wanted: &str| told.iter().find(|event| kind(event) == wanted).expect("it is told").clone();
    let expected = ["first", "said", &upper, "said"];
    assert_eq!(ids(&of("MESSAGES_SNAPSHOT")["messages"]), expected);
    assert_eq!(ids(&state_of(&told)["messages"]), expected);

    // What was said before is the thread's: a caller need not say it again to have its ids back.
    let long = "x".repeat(300);
    body["messages"] = json!([{"id": long, "role": "user", "content": "And again"}]);
    let told = asker.ask("remote", &body).await;
    let restated = state_of(&told)["messages"].clone();
    assert_eq!(ids(&restated), ["first", "said", &upper, "said", &long, "said"]);
}

/// The state as a caller has it that gave none and was told this.
fn state_of(told: &[Value]) -> Value {
    let mut state = json!({});
    told.iter().for_each(|event| apply(&mut state, event));
    state
}

/// Does to a caller's state what an event says.
fn apply(state: &mut Value, event: &Value) {
    match kind(event) {
        "STATE_SNAPSHOT" => *state = event["snapshot"].clone(),
        "STATE_DELTA" => {
            let patch: json_patch::Patch = serde_json::from_value(event["delta"].clone()).expect("a patch");
            json_patch::patch(state, &patch).expect("fits");
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_caller_has_the_state_and_the_conversation_that_the_agent_restates_though_only_changes_are_kept() {
    let remote = remote::Server::start(|number, mut answer| async move {
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
    let asker = Asker::new(&server, ADMIN).await;
    let notes = |count: usize| -> Vec<String> { (0..count).map(|n| format!("{n}").repeat(300_000)).collect() };
    for number in 0..4 {
        // With no state, as one that was just opened, and the last one without what was said before.
        let told = asker.ask("remote", &input("t", &format!("u{number}"), "Go on")).await;
        assert_eq!(state_of(&told), json!({"notes": notes(3.min(number + 1))}), "turn {number}");
        let results: Vec<&Value> = told.iter().filter(|event| kind(event) == "TOOL_CALL_RESULT").collect();
        assert_eq!((results.len(), &results[0]["content"]), (1, &json!("x".repeat(400_000))));
        assert_eq!(results[0].get("metadata"), None);
        let restated = told.iter().find(|event| kind(event) == "MESSAGES_SNAPSHOT").expect("it is told");
        assert_eq!(restated.get("metadata"), None);
        let ids = restated["messages"].as_array().expect("messages").iter().map(|message| message["id"].clone());
        let expected = (0..=number).flat_map(|n| {
            // People's earlier messages are not the caller's in this request.
            let asked = if n == number { json!(format!("u{n}")) } else { Value::Null };
            let said = [asked, json!(format!("canon-{n}"))];
            said.into_iter().chain((n < number).then(|| json!("r")))
        });
        let ids: Vec<Value> = ids.collect();
        for (id, expected) in ids.iter().zip(expected.clone()) {
            assert!(expected.is_null() || *id == expected, "{ids:?}");
        }
        assert_eq!(ids.len(), expected.count());
    }
    // A state that the caller holds and gives back is not told again, however large.
    let mut body = input("t", "u4", "Again");
    body["state"] = json!({"notes": notes(3)});
    let told = asker.ask("remote", &body).await;
    assert!(told.iter().all(|event| !kind(event).starts_with("STATE")), "{}", told.len());
}

#[tokio::test]
async fn a_caller_that_gives_another_state_is_told_what_the_agent_makes_of_that() {
    let remote = remote::Server::start(|number, mut answer| async move {
        answer.begin().await?;
        let mut state = answer.input["state"].clone();
        state["turns"] = json!(number + 1);
        answer.event(&json!({"type": "STATE_SNAPSHOT", "snapshot": state})).await?;
        answer.finish().await
    })
    .await;
    let server = Setup::default().file(&remote_agent(&remote)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let long = "a long note ".repeat(20);
    let given = [json!([long]), json!([long, "another"]), json!(["another"])];
    for (number, notes) in given.iter().enumerate() {
        let mut body = input("t", &format!("u{number}"), "Go on");
        body["state"] = json!({"notes": notes, "turns": number});
        let told = asker.ask("remote", &body).await;
        let mut state = body["state"].clone();
        for event in &told {
            assert!(!event.to_string().contains("netraGiven"), "{event}");
            apply(&mut state, event);
        }
        assert_eq!(state, json!({"notes": notes, "turns": number + 1}), "{told:#?}");
    }
    let told = asker.ask("remote", &input("t", "last", "Go on")).await;
    assert_eq!(state_of(&told), json!({"notes": ["another"], "turns": 4}), "who gives none has the thread's");
}

#[tokio::test]
async fn raw_events_are_read_in_pages_by_the_owner_alone() {
    let remote = remote::Server::start(|_, mut answer| async move {
        answer.begin().await?;
        for number in 0..20 {
            let event = json!({"number": number, "text": "x".repeat(100_000)});
            answer.event(&json!({"type": "RAW", "event": event, "source": "it"})).await?;
        }
        answer.finish().await
    })
    .await;
    let server = Setup::default().file(&(remote_agent(&remote) + "keep_raw = true\n")).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let told = asker.ask("remote", &input("t", "first", "Say it")).await;
    assert!(told.iter().all(|event| kind(event) != "RAW"), "they are not told");
    let ids = &told[0]["metadata"]["netra"];
    let run = ids["runId"].as_str().expect("an id");
    let mut numbers = Vec::new();
    let mut path = format!("/api/runs/{run}/raw");
    loop {
        let page: Value = asker.get(&path).await.json().await.expect("JSON");
        let events = page["events"].as_array().expect("events");
        assert!((1..20).contains(&events.len()), "a part of them: {}", events.len());
        numbers.extend(events.iter().map(|kept| kept["event"]["event"]["number"].as_u64().expect("a number")));
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/api/runs/{run}/raw?after={next}");
    }
    assert_eq!(numbers, (0..20).collect::<Vec<u64>>());
    let path = format!("/api/runs/{run}/raw");
    assert_eq!(asker.get(&format!("{path}?after=x")).await.status(), 422);
    server.add(ADA).await;
    let other = Asker::new(&server, ADA).await;
    assert_eq!(other.get(&path).await.status(), 404);
}

#[tokio::test]
async fn a_caller_has_a_long_result_whole_that_an_agent_restates_under_another_id() {
    let text = "long ".repeat(120_000);
    let result = text.clone();
    let remote = remote::Server::start(move |_, mut answer| {
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
    let told = Asker::new(&server, ADMIN).await.ask("remote", &input("t", "first", "Read it")).await;
    let of = |wanted: &str| told.iter().find(|event| kind(event) == wanted).expect("it is told").clone();
    assert_eq!(of("TOOL_CALL_RESULT")["content"], result);
    let restated = of("MESSAGES_SNAPSHOT")["messages"].as_array().expect("messages").last().cloned();
    assert_eq!(restated, Some(json!({"id": "other", "role": "tool", "toolCallId": "c", "content": result})));
    assert_eq!(kind(told.last().expect("an end")), "RUN_FINISHED");
}

#[tokio::test]
async fn an_interrupt_that_comes_as_a_custom_event_is_answered_as_its_adapter_takes_it() {
    let remote = remote::Server::start(|number, mut answer| async move {
        answer.begin().await?;
        if number % 2 == 0 {
            let asks = json!({"type": "CUSTOM", "name": "on_interrupt", "value": "Send it?", "rawEvent": {"id": "i"}});
            answer.event(&asks).await?;
        }
        answer.finish().await
    })
    .await;
    let server = Setup::default().file(&remote_agent(&remote)).start().await;
    let asker = Asker::new(&server, ADMIN).await;
    let mut body = input("t", "m1", "Send a mail");
    let told = asker.ask("remote", &body).await;
    let outcome = &told.last().expect("an end")["outcome"];
    assert_eq!((&outcome["type"], &outcome["interrupts"][0]["message"]), (&json!("interrupt"), &json!("Send it?")));
    assert!(told.iter().any(|event| event["name"] == "on_interrupt"), "front ends of that framework wait for it");

    body["resume"] = json!([{"interruptId": "i", "status": "resolved", "payload": "yes"}]);
    body["runId"] = json!("the second run");
    let told = asker.ask("remote", &body).await;
    assert_eq!(told.last().expect("an end").get("outcome"), None);

    // As a front end of that framework answers: the conversation as it was, and the answer beside it.
    asker.ask("remote", &input("t", "m2", "Another one")).await;
    let mut answer = input("t", "m2", "Another one");
    answer["runId"] = json!("the fourth run");
    answer["forwardedProps"] = json!({"command": {"resume": {"to": "eve"}}, "theme": "dark"});
    let told = asker.ask("remote", &answer).await;
    assert_eq!(told.last().expect("an end").get("outcome"), None);

    let asked: Vec<Value> = remote.asked().into_iter().map(|asked| asked.input).collect();
    assert_eq!(asked.len(), 4);
    assert_eq!(asked[1]["forwardedProps"], json!({"command": {"resume": "yes"}}));
    assert_eq!(asked[3]["forwardedProps"], json!({"command": {"resume": {"to": "eve"}}, "theme": "dark"}));
    assert!([1, 3].iter().all(|at: &usize| asked[*at].get("resume").is_none()));
}

#[tokio::test]
async fn a_call_that_is_announced_again_stands_once_in_what_the_agent_is_told_next() {
    let remote = remote::Server::start(|number, mut answer| async move {
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
    let asker = Asker::new(&server, ADMIN).await;
    let mut body = input("t", "m1", "Send a mail");
    asker.ask("remote", &body).await;
    body["resume"] = json!([{"interruptId": "i", "status": "resolved", "payload": {"approved": true}}]);
    asker.ask("remote", &body).await;
    asker.ask("remote", &input("t", "m2", "And now?")).await;
    let asked = remote.asked().pop().expect("three").input;
    let said: Vec<&str> =
        asked["messages"].as_array().expect("messages").iter().filter_map(|message| message["role"].as_str()).collect();
    assert_eq!(said, ["user", "assistant", "tool", "user"]);
    assert_eq!(asked["messages"][2]["content"], "sent");
}
