//! Servers whose chat completions differ from OpenAI's: recorded answers, sent in pieces of several lengths.

use netra::server::agents::model::{
    ModelError,
    provider::{EndReason, ModelEvent},
};
use serde_json::json;

use crate::model::{
    Harness, Model, failure,
    provider::{error, provider, question, read_answer, reasoning_and_text, recorded},
    server::{Piece, Reply, end, stream, text, text_reply},
    texts,
};

/// The calls of an answer, each with its id, name and arguments, and the last event.
async fn calls(reply: Reply) -> (Vec<(String, String, String)>, Result<ModelEvent, ModelError>) {
    let model = Model::with([reply]).await;
    let mut events = read_answer(&provider(&model, "scripted"), question()).await;
    let last = events.pop().expect("an event");
    let mut calls: Vec<(String, String, String)> = Vec::new();
    for event in events {
        match event {
            Ok(ModelEvent::Call { index, id, name, arguments }) if index == calls.len() => {
                calls.push((id.unwrap_or_default(), name.unwrap_or_default(), arguments));
            }
            Ok(ModelEvent::Call { index, arguments, .. }) => calls[index].2.push_str(&arguments),
            Ok(ModelEvent::Text(_) | ModelEvent::Reasoning(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    (calls, last)
}

fn call(id: &str, at: &str) -> (String, String, String) {
    (id.into(), "look".into(), json!({"at": at}).to_string())
}

fn body(status: u16, content_type: &str, body: &str) -> Reply {
    Reply::Status(status, vec![("content-type", content_type.into())], body.into())
}

#[tokio::test]
async fn calls_without_an_index_are_all_read() {
    let recording = include_str!("../../data/models/gemini-calls.sse");
    for length in [1, 64, recording.len()] {
        let (calls, last) = calls(recorded(recording, length)).await;
        assert_eq!(calls, [call("function-call-7", "Paris"), call("function-call-8", "Rome")]);
        let Ok(ModelEvent::End(end)) = last else { panic!("{last:?}") };
        assert_eq!((end.reason, end.usage.expect("usage").output_tokens), (EndReason::ToolCalls, Some(9)));
    }
    let by_index_0 = recording.replace("{\"function\"", "{\"index\":0,\"function\"");
    assert_eq!(calls(recorded(&by_index_0, 64)).await.0.len(), 2, "two calls under one index");
}

#[tokio::test]
async fn arguments_that_are_an_object_are_read() {
    let recording = include_str!("../../data/models/object-arguments.sse");
    for length in [1, 64, recording.len()] {
        let (calls, last) = calls(recorded(recording, length)).await;
        assert_eq!(calls, [call("call_a", "Paris")]);
        assert!(matches!(last, Ok(ModelEvent::End(_))), "{last:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_shown_to_the_person() {
    let recording = include_str!("../../data/models/refusal.sse");
    let words = "I'm sorry, I can't help with that.";
    for length in [1, 64, recording.len()] {
        let (thoughts, answer, last) = reasoning_and_text(recorded(recording, length)).await;
        assert_eq!((thoughts.as_str(), answer.as_str()), ("", words));
        assert!(matches!(last, Ok(ModelEvent::End(_))), "{last:?}");
    }
    let model = Model::with([recorded(recording, recording.len())]).await;
    assert_eq!(texts(&Harness::new(&model).await.ask("Say it").await), [words], "and nothing else");
}

#[tokio::test]
async fn an_answer_that_is_not_streamed_is_read() {
    let recording = include_str!("../../data/models/not-streamed.json");
    for content_type in ["application/json", "text/event-stream", "text/plain"] {
        let (calls, last) = calls(body(200, content_type, recording)).await;
        assert_eq!(calls, [call("call_a", "Paris"), call("call_b", "Rome")]);
        let Ok(ModelEvent::End(end)) = last else { panic!("{last:?}") };
        assert_eq!((end.reason, end.usage.expect("usage").input_tokens), (EndReason::ToolCalls, Some(7)));
    }
    for after in [Piece::Cut, Piece::Hang] {
        let (calls, last) = calls(Reply::Stream(vec![Piece::Raw(recording.into()), after])).await;
        assert_eq!(calls, [call("call_a", "Paris"), call("call_b", "Rome")]);
        assert!(matches!(last, Ok(ModelEvent::End(_))), "{last:?}");
    }
    let answer = json!({"choices": [{"message": {"role": "assistant", "content": "<think>hm</think>It is 42."}}]});
    let (thoughts, answer, last) = reasoning_and_text(body(200, "application/json", &format!("\n \n{answer}\n"))).await;
    assert_eq!((thoughts.as_str(), answer.as_str()), ("hm", "It is 42."));
    assert!(matches!(last, Ok(ModelEvent::End(_))), "{last:?}");
    for nothing in ["{}", "{\"choices\":[", "[]", "{\"choices\":[]}", ""] {
        assert_eq!(error(body(200, "application/json", nothing)).await.code(), "model_malformed", "{nothing}");
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_at_its_bound() {
    let mut pieces = vec![Piece::Raw("{\"choices\": \"".into())];
    pieces.extend(std::iter::repeat_n(Piece::Raw("x".repeat(256 * 1024)), 64));
    let error = error(Reply::Stream(pieces.into_iter().chain([Piece::Hang]).collect())).await;
    assert_eq!(error, ModelError::TooLong { what: "8 MiB in one piece".into() });
}

#[tokio::test]
async fn channels_of_an_answer_are_separated() {
    let recording = include_str!("../../data/models/harmony.sse");
    for length in [1, 64, recording.len()] {
        let (thoughts, answer, last) = reasoning_and_text(recorded(recording, length)).await;
        assert_eq!((thoughts.as_str(), answer.as_str()), ("The person wants a sum.", "It is 42."));
        assert!(matches!(last, Ok(ModelEvent::End(_))), "{last:?}");
    }
}

#[tokio::test]
async fn a_thought_that_the_chat_template_opens_is_reasoning_if_the_agent_is_configured_so() {
    let answer = || stream([text("First I look.\n</thi"), text("nk>\n\nIt is 42.")], "stop");
    let model = Model::with([answer()]).await;
    let harness = Harness::with(&model, json!({"starts_with_reasoning": true})).await;
    assert_eq!(texts(&harness.ask("How much?").await), ["It is 42."]);
}

#[tokio::test]
async fn an_error_without_its_key_keeps_its_message() {
    let recording = include_str!("../../data/models/overloaded.sse");
    let words = "Service tier capacity exceeded for this model: overloaded.";
    let overloaded = ModelError::Unavailable { status: None, retry_after: None, message: Some(words.into()) };
    for length in [1, 64, recording.len()] {
        let (_, answer, last) = reasoning_and_text(recorded(recording, length)).await;
        assert_eq!((answer.as_str(), last), ("Half", Err(overloaded.clone())));
    }
    let bare = json!({"object": "error", "message": words}).to_string();
    assert_eq!(error(body(200, "application/json", &bare)).await, overloaded, "as a body of its own");
}

#[tokio::test]
async fn an_error_of_null_is_no_error() {
    let chunk = json!({"error": null, "choices": [{"delta": {"content": "Fine."}}]}).to_string();
    let (_, answer, last) =
        reasoning_and_text(Reply::Stream([vec![Piece::Data(chunk)], end("stop", 1, 1)].concat())).await;
    assert_eq!(answer, "Fine.");
    assert!(matches!(last, Ok(ModelEvent::End(_))), "{last:?}");
}

#[tokio::test]
async fn a_web_page_in_place_of_an_answer_is_one_plain_sentence() {
    let page = include_str!("../../data/models/bad-gateway.html");
    for (status, sentence) in [
        (502, "The model's provider has a fault (HTTP 502). Try again in a while."),
        (
            403,
            "The model's provider refused the request (HTTP 403): it sent a web page (“502 Bad Gateway”) in place of an answer. \
             An administrator has to check `base_url` in the agent's configuration. \
             (If the question is not the reason, an administrator has to check what `api_key` may do.)",
        ),
        (
            200,
            "The model's provider sent an answer that cannot be read. Ask again; if that does not help, an administrator has to check \
             `provider` and `base_url` in the agent's configuration.",
        ),
    ] {
        let model = Model::with([body(status, "text/html", page)]).await;
        let run = Harness::new(&model).await.ask("hello").await;
        assert_eq!(failure(&run).1, sentence);
    }
}

#[tokio::test]
async fn the_message_of_a_busy_provider_reaches_the_person() {
    let words = "The model is overloaded. Please try again later.";
    let busy = json!([{"error": {"code": 503, "message": words, "status": "UNAVAILABLE"}}]).to_string();
    let model = Model::with([body(503, "application/json", &busy), text_reply("never")]).await;
    let run = Harness::with(&model, json!({"max_retry_wait_ms": 0})).await.ask("hello").await;
    let sentence = format!("The model's provider has a fault (HTTP 503). Try again in a while. It says: “{words}”");
    assert_eq!(failure(&run), ("model_unavailable", sentence.as_str()));
}

#[tokio::test]
async fn a_last_event_without_a_blank_line_is_read() {
    let last = "data: {\"choices\":[{\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}";
    let (_, answer, last) = reasoning_and_text(Reply::Stream(vec![text("Hel"), Piece::Raw(last.into())])).await;
    assert_eq!(answer, "Hello");
    assert!(matches!(last, Ok(ModelEvent::End(_))), "{last:?}");
}
