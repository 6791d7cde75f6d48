//! Answers in every API's format, whole or broken, over connections that end, break off or stay open.

use serde_json::json;

use super::*;
use crate::server::{
    agents::model::{apis, provider::ModelEnd},
    config::agents::Provider,
};

const TEXT: &str = r#"{"choices":[{"delta":{"content":"Whole."}}]}"#;
const END: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":7}}"#;

/// What comes after these pieces.
#[derive(Clone, Copy)]
enum Then {
    Ended,
    Cut,
    StaysOpen,
    /// It stays open, with a comment each second.
    Comments,
}

type Events = Vec<Result<ModelEvent, ModelError>>;

fn options(provider: Provider) -> ReadOptions {
    let too_long = ModelError::TooLong { what: "1 KiB".into() };
    ReadOptions { decoder: apis::decoder(provider), secret: Some("sk-of-the-tests".into()), max_bytes: 1024, too_long }
}

/// The events of a chat completion, and how long they took.
async fn read_chat(pieces: Vec<String>, then: Then) -> (Events, Duration) {
    read_as(Provider::OpenAi, pieces, then).await
}

async fn read_as(provider: Provider, pieces: Vec<String>, then: Then) -> (Events, Duration) {
    let pieces = stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece))));
    let pieces = match then {
        Then::Ended => pieces.boxed(),
        Then::Cut => pieces.chain(stream::iter([Err(io::Error::other("reset"))])).boxed(),
        Then::StaysOpen => pieces.chain(stream::pending()).boxed(),
        Then::Comments => {
            let comment = || async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((Ok(Bytes::from_static(b": ping\n\n")), ()))
            };
            pieces.chain(stream::unfold((), move |()| comment())).boxed()
        }
    };
    let begun = Instant::now();
    let events =
        timeout(Duration::from_secs(60), read(options(provider), pieces).collect()).await.expect("it ends in time");
    (events, begun.elapsed())
}

fn stream_of(events: &[&str]) -> Vec<String> {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

fn text(text: &str) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::Text(text.into()))
}

/// The last event, which must be an end.
fn end(events: &mut Events) -> ModelEnd {
    match events.pop() {
        Some(Ok(ModelEvent::End(end))) => end,
        other => panic!("no end: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_gave_its_finish_reason_is_complete_whatever_the_connection_does() {
    for then in [Then::Cut, Then::StaysOpen, Then::Comments] {
        for (events, input_tokens) in [(&[TEXT, END][..], None), (&[TEXT, END, USAGE], Some(7))] {
            let (mut read, took) = read_chat(stream_of(events), then).await;
            assert_eq!(end(&mut read).usage.and_then(|usage| usage.input_tokens), input_tokens);
            assert_eq!(read, [text("Whole.")]);
            assert!(took < USAGE_TIMEOUT * 2, "{took:?}");
        }
    }
    let (read, _) = read_chat(stream_of(&[TEXT]), Then::Cut).await;
    assert_eq!(read.last(), Some(&Err(ModelError::Cut)), "it gave no finish reason");
}

#[tokio::test(start_paused = true)]
async fn a_finish_reason_in_every_chunk_does_not_end_an_answer_early() {
    let part = r#"{"choices":[{"delta":{"content":"More."},"finish_reason":"stop"}]}"#;
    let parts = stream::iter(stream_of(&[part; 5])).then(|piece| async {
        tokio::time::sleep(USAGE_TIMEOUT * 3 / 4).await;
        Ok(Bytes::from(piece))
    });
    let mut read: Events = read(options(Provider::OpenAi), parts.chain(stream::pending())).collect().await;
    end(&mut read);
    assert_eq!(read, vec![text("More."); 5]);
}

#[tokio::test(start_paused = true)]
async fn a_complete_body_is_accepted_whatever_the_connection_does() {
    let message = json!({"choices": [{"message": {"content": "Whole."}, "finish_reason": "stop"}]}).to_string();
    let (one, two) = message.split_at(20);
    for then in [Then::Cut, Then::StaysOpen] {
        let (mut read, took) = read_chat(vec![one.into(), two.into()], then).await;
        end(&mut read);
        assert_eq!(read, [text("Whole.")]);
        assert!(took < USAGE_TIMEOUT * 2, "{took:?}");
    }
    let (read, _) = read_chat(vec![one.into()], Then::Cut).await;
    assert_eq!(read, [Err(ModelError::Cut)]);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_anthropic_that_is_not_streamed_is_accepted() {
    let message = json!({
        "id": "m", "type": "message", "role": "assistant", "stop_reason": "tool_use",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "signed"},
            {"type": "redacted_thinking", "data": "secret"},
            {"type": "text", "text": "Looking."},
            {"type": "tool_use", "id": "t", "name": "look", "input": {"at": "it"}},
        ],
        "usage": {"input_tokens": 20, "output_tokens": 9},
    });
    for then in [Then::Ended, Then::Cut, Then::StaysOpen] {
        let (mut read, _) = read_as(Provider::Anthropic, vec![message.to_string()], then).await;
        let end = end(&mut read);
        let usage = end.usage.expect("usage");
        assert_eq!((end.reason, usage.input_tokens, usage.output_tokens), (EndReason::ToolCalls, Some(20), Some(9)));
        let state = end.provider_state.expect("a state").to_string();
        for part in ["signed", "hm", "redacted_thinking", "secret"] {
            assert!(state.contains(part), "{part} is not in {state}");
        }
        let call = |id: Option<&str>, name: Option<&str>, arguments: &str| {
            let (id, name) = (id.map(str::to_owned), name.map(str::to_owned));
            Ok(ModelEvent::Call { index: 0, id, name, arguments: arguments.into() })
        };
        let thought = Ok(ModelEvent::Reasoning("hm".into()));
        let calls = [call(Some("t"), Some("look"), ""), call(None, None, "{\"at\":\"it\"}")];
        assert_eq!(read, [vec![thought, text("Looking.")], calls.to_vec()].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_of_anthropic_that_gave_its_stop_reason_is_complete() {
    const REASON: &str = r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"}}"#;
    const STOP: &str = r#"{"type":"message_stop"}"#;
    for then in [Then::Ended, Then::Cut, Then::StaysOpen] {
        for events in [&[REASON][..], &[REASON, STOP]] {
            let (mut read, _) = read_as(Provider::Anthropic, stream_of(events), then).await;
            assert_eq!(end(&mut read).reason, EndReason::Length);
            assert_eq!(read, [], "it ends once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_of_openai_without_its_last_event_is_cut() {
    let delta = r#"{"type":"response.output_text.delta","delta":"Hel"}"#;
    for then in [Then::Ended, Then::Cut] {
        let (read, _) = read_as(Provider::OpenAiResponses, stream_of(&[delta]), then).await;
        assert_eq!(read, [text("Hel"), Err(ModelError::Cut)]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_line_of_ollama_is_reported_with_its_message() {
    const LINE: &str = r#"{"message":{"content":"Hel"},"done":false}"#;
    const DONE_LINE: &str = r#"{"message":{"content":"lo"},"done":true}"#;
    let lines = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>();
    let error = r#"{"error":"model runner has stopped, sk-of-the-tests"}"#;
    let (read, _) = read_as(Provider::Ollama, lines(&[LINE, error]), Then::StaysOpen).await;
    let excerpt = "model runner has stopped, …".to_owned();
    assert_eq!(read, [text("Hel"), Err(ModelError::Refused { status: None, excerpt })]);
    let (mut read, _) = read_as(Provider::Ollama, lines(&[LINE, DONE_LINE]), Then::Ended).await;
    end(&mut read);
    assert_eq!(read, [text("Hel"), text("lo")]);
    let (read, _) = read_as(Provider::Ollama, lines(&[LINE]), Then::Ended).await;
    assert_eq!(read, [text("Hel"), Err(ModelError::Cut)], "it never said that it was done");
}

#[tokio::test(start_paused = true)]
async fn what_is_longer_than_its_bound_is_not_read_to_its_end() {
    let long = "x".repeat(2048);
    for (provider, piece) in [
        (Provider::OpenAi, format!("data: {long}")),
        (Provider::OpenAi, format!("{{\"{long}")),
        (Provider::Ollama, long),
    ] {
        let (read, _) = read_as(provider, vec![piece], Then::StaysOpen).await;
        assert_eq!(read, [Err(ModelError::TooLong { what: "1 KiB".into() })]);
    }
}
