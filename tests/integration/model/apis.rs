//! Providers with an API of their own: their answers become the same events, and what they signed goes back to them.

use futures_util::StreamExt;
use netra::server::{
    agents::model::{
        HttpProvider, ModelError, Target,
        provider::{EndReason, ModelCall, ModelEnd, ModelEvent, ModelMessage, ModelProvider, ModelRequest, ModelTool},
    },
    config::agents::{Provider, ReasoningEffort},
};
use serde_json::{Value, json};

use crate::model::{
    TEST_TIMEOUT,
    server::{Model, Piece, Reply},
};

fn provider_for(provider: Provider, model: &Model) -> HttpProvider {
    HttpProvider::new(Target {
        provider,
        model: "scripted".into(),
        base_url: Some(model.url.clone()),
        api_key: Some("key".into()),
        reasoning_effort: Some(ReasoningEffort::Low),
        starts_with_reasoning: false,
        allow_private_network: true,
    })
    .expect("a provider")
}

fn question() -> ModelRequest {
    ModelRequest {
        messages: vec![ModelMessage::user("look")],
        tools: vec![ModelTool {
            name: "look".into(),
            description: "Looks.".into(),
            parameters: json!({"type": "object", "properties": {}}),
        }],
        ..ModelRequest::default()
    }
}

/// The parts of an answer: reasoning, text, and calls with their whole arguments; and its end.
async fn read_answer(provider: &HttpProvider, request: ModelRequest) -> (Vec<String>, Result<ModelEnd, ModelError>) {
    let stream = provider.stream(request).await.expect("the stream begins");
    let events: Vec<_> = tokio::time::timeout(TEST_TIMEOUT, stream.collect()).await.expect("it ends in time");
    let (mut parts, mut calls) = (Vec::new(), Vec::<(String, String)>::new());
    let mut end = Err(ModelError::Cut);
    for event in events {
        match event {
            Ok(ModelEvent::Text(text)) => parts.push(format!("text {text}")),
            Ok(ModelEvent::Reasoning(text)) => parts.push(format!("reasoning {text}")),
            Ok(ModelEvent::Call { index, name, arguments, .. }) => {
                if index == calls.len() {
                    calls.push((name.expect("a name first"), String::new()));
                }
                calls[index].1.push_str(&arguments);
            }
            Ok(ModelEvent::End(ended)) => end = Ok(ended),
            Err(error) => end = Err(error),
        }
    }
    parts.extend(calls.into_iter().map(|(name, arguments)| format!("call {name} {arguments}")));
    (parts, end)
}

/// The conversation after a call got its result, with the provider state.
fn with_result(provider_state: Option<Value>) -> ModelRequest {
    let mut request = question();
    let call = ModelCall { id: "ours".into(), name: "look".into(), arguments: "{\"at\":\"it\"}".into() };
    request.messages.push(ModelMessage::Assistant { text: "Looking.".into(), calls: vec![call], provider_state });
    request.messages.push(ModelMessage::Tool { call_id: "ours".into(), name: "look".into(), text: "nothing".into() });
    request
}

pub(crate) fn anthropic(events: &[Value]) -> Reply {
    let piece =
        |event: &Value| Piece::Raw(format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a type")));
    Reply::Stream(events.iter().map(piece).collect())
}

pub(crate) fn anthropic_call() -> Vec<Value> {
    let delta = |index: u32, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let start =
        |index: u32, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let stop = |index: u32| json!({"type": "content_block_stop", "index": index});
    vec![
        json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 20, "cache_read_input_tokens": 30, "output_tokens": 1}}}),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        delta(0, json!({"type": "signature_delta", "signature": "signed"})),
        stop(0),
        start(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "Looking."})),
        stop(1),
        start(2, json!({"type": "tool_use", "id": "theirs", "name": "look", "input": {}})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "{\"at\""})),
        delta(2, json!({"type": "input_json_delta", "partial_json": ":\"it\"}"})),
        stop(2),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ]
}

#[tokio::test]
async fn anthropic_gets_its_signed_thoughts_back_with_our_ids() {
    let model = Model::with([anthropic(&anthropic_call()), anthropic(&[json!({"type": "message_stop"})])]).await;
    let provider = provider_for(Provider::Anthropic, &model);
    let (parts, end) = read_answer(&provider, question()).await;
    let end = end.expect("an end");
    assert_eq!(parts, ["reasoning hm", "text Looking.", "call look {\"at\":\"it\"}"]);
    assert_eq!(end.reason, EndReason::ToolCalls);
    let usage = end.usage.expect("usage");
    assert_eq!((usage.input_tokens, usage.cached_input_tokens, usage.output_tokens), (Some(50), Some(30), Some(9)));
    read_answer(&provider, with_result(end.provider_state)).await.1.expect("an end");
    let requests = model.requests();
    assert!(requests[0].path.ends_with("/messages"), "{}", requests[0].path);
    let sent = requests[1].body["messages"].to_string();
    for part in ["\"signature\":\"signed\"", "\"thinking\":\"hm\"", "\"id\":\"ours\"", "\"tool_use_id\":\"ours\""] {
        assert!(sent.contains(part), "{part} is not in {sent}");
    }
    assert!(!sent.contains("theirs"), "{sent}");
}

#[tokio::test]
async fn thinking_is_off_for_anthropic_when_its_signed_thoughts_are_lost() {
    let end = || anthropic(&[json!({"type": "message_stop"})]);
    let model = Model::with([end(), end()]).await;
    let provider = provider_for(Provider::Anthropic, &model);
    read_answer(&provider, question()).await.1.expect("an end");
    read_answer(&provider, with_result(None)).await.1.expect("an end");
    let reasons = |body: &Value| body.get("thinking").is_some() || body.to_string().contains("effort");
    let requests = model.requests();
    assert!(reasons(&requests[0].body) && !reasons(&requests[1].body), "{requests:#?}");
}

#[tokio::test]
async fn a_message_of_anthropic_with_a_stop_reason_is_complete() {
    let mut events = anthropic_call();
    events.pop();
    let model = Model::with([anthropic(&events)]).await;
    let end = read_answer(&provider_for(Provider::Anthropic, &model), question()).await.1.expect("an end");
    assert_eq!(end.reason, EndReason::ToolCalls);
}

#[tokio::test]
async fn a_message_of_anthropic_without_a_stop_reason_is_cut() {
    let mut events = anthropic_call();
    events.truncate(10);
    let model = Model::with([anthropic(&events)]).await;
    assert_eq!(read_answer(&provider_for(Provider::Anthropic, &model), question()).await.1, Err(ModelError::Cut));
}

fn gemini(parts: Value, reason: Option<&str>) -> Piece {
    let usage = json!({"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10});
    let candidate = json!({"content": {"role": "model", "parts": parts}, "finishReason": reason});
    Piece::Data(json!({"candidates": [candidate], "usageMetadata": usage}).to_string())
}

#[tokio::test]
async fn gemini_gets_its_signatures_back_and_a_stream_without_a_finish_reason_is_cut() {
    let call = json!([{"functionCall": {"name": "look", "args": {"at": "it"}}, "thoughtSignature": "c2lnbmVk"}]);
    let whole = Reply::Stream(vec![gemini(json!([{"text": "Looking."}]), None), gemini(call, Some("STOP"))]);
    let cut = Reply::Stream(vec![gemini(json!([{"text": "Looking."}]), None)]);
    let model = Model::with([whole, cut]).await;
    let provider = provider_for(Provider::Gemini, &model);
    let (parts, end) = read_answer(&provider, question()).await;
    assert_eq!(parts, ["text Looking.", "call look {\"at\":\"it\"}"]);
    let end = end.expect("an end");
    assert_eq!(end.usage.expect("usage").input_tokens, Some(7));
    assert_eq!(read_answer(&provider, with_result(end.provider_state)).await.1, Err(ModelError::Cut));
    let sent = model.requests()[1].body["contents"].to_string();
    assert!(sent.contains("c2lnbmVk") && sent.contains("functionResponse"), "{sent}");
}

#[tokio::test]
async fn the_lines_of_ollama_are_read() {
    let line = |message: Value, done: bool| {
        let line = json!({"model": "scripted", "message": message, "done": done, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 2});
        Piece::Raw(format!("{line}\n"))
    };
    let call = json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {"at": "it"}}}]});
    let pieces = vec![
        line(json!({"role": "assistant", "content": "", "thinking": "hm"}), false),
        line(json!({"role": "assistant", "content": "Looking."}), false),
        line(call, false),
        line(json!({"role": "assistant", "content": ""}), true),
    ];
    let model = Model::with([Reply::Stream(pieces)]).await;
    let (parts, end) = read_answer(&provider_for(Provider::Ollama, &model), question()).await;
    assert_eq!(parts, ["reasoning hm", "text Looking.", "call look {\"at\":\"it\"}"]);
    assert_eq!(end.expect("an end").usage.expect("usage").output_tokens, Some(2));
}

#[tokio::test]
async fn an_error_in_the_middle_of_ollamas_stream_keeps_its_message() {
    let begun = json!({"message": {"role": "assistant", "content": "Hel"}, "done": false});
    let words = "an error was encountered while running the model: unexpected EOF";
    let failed = [format!("{begun}\n"), format!("{}\n", json!({"error": words}))].map(Piece::Raw);
    let cut = Reply::Stream(vec![Piece::Raw(format!("{begun}\n"))]);
    let model = Model::with([Reply::Stream(failed.to_vec()), cut]).await;
    let provider = provider_for(Provider::Ollama, &model);
    let (parts, end) = read_answer(&provider, question()).await;
    assert_eq!(parts, ["text Hel"]);
    assert_eq!(end, Err(ModelError::Refused { status: None, excerpt: words.into() }));
    assert_eq!(read_answer(&provider, question()).await.1, Err(ModelError::Cut), "it has no last line");
}

#[tokio::test]
async fn ollama_may_write_thoughts_into_its_text() {
    let line = json!({"message": {"role": "assistant", "content": "<think>hm</think>\nIt is 42."}, "done": true, "done_reason": "stop"});
    let model = Model::with([Reply::Stream(vec![Piece::Raw(format!("{line}\n"))])]).await;
    let (parts, end) = read_answer(&provider_for(Provider::Ollama, &model), question()).await;
    assert_eq!(parts, ["reasoning hm", "text It is 42."]);
    end.expect("an end");
}

#[tokio::test]
async fn answers_that_are_not_streamed_are_read() {
    let gemini = json!({
        "candidates": [{
            "content": {"role": "model", "parts": [{"text": "Looking."}, {"functionCall": {"name": "look", "args": {"at": "it"}}}]},
            "finishReason": "STOP",
        }],
        "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10},
    });
    let response = json!({
        "id": "r", "object": "response", "status": "completed", "model": "scripted",
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]},
            {"type": "function_call", "id": "f", "call_id": "c", "name": "look", "arguments": "{\"at\":\"it\"}"},
        ],
        "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
    });
    let message = json!({
        "id": "m", "type": "message", "role": "assistant", "model": "scripted", "stop_reason": "tool_use",
        "content": [
            {"type": "text", "text": "Looking."},
            {"type": "tool_use", "id": "t", "name": "look", "input": {"at": "it"}},
        ],
        "usage": {"input_tokens": 7, "output_tokens": 3},
    });
    for (api, body) in [
        (Provider::Gemini, gemini.clone()),
        (Provider::Gemini, json!([gemini])),
        (Provider::OpenAiResponses, response),
        (Provider::Anthropic, message),
    ] {
        let reply = Reply::Status(200, vec![("content-type", "application/json".into())], body.to_string());
        let model = Model::with([reply]).await;
        let (parts, end) = read_answer(&provider_for(api, &model), question()).await;
        assert_eq!(parts, ["text Looking.", "call look {\"at\":\"it\"}"], "{api:?}");
        assert_eq!(end.expect("an end").usage.expect("usage").output_tokens, Some(3), "{api:?}");
    }
}

fn responses(events: &[Value]) -> Reply {
    Reply::Stream(events.iter().map(|event| Piece::Data(event.to_string())).collect())
}

#[tokio::test]
async fn a_refusal_of_the_responses_api_is_shown_and_a_failure_keeps_its_message() {
    let done = json!({"id": "r", "status": "completed", "model": "scripted", "output": []});
    let refused = responses(&[
        json!({"type": "response.refusal.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": "I cannot."}),
        json!({"type": "response.completed", "response": done}),
    ]);
    let words = "The model is overloaded.";
    let failed = json!({"code": "server_error", "message": words});
    let failed = json!({"id": "r", "status": "failed", "model": "scripted", "output": [], "error": failed});
    let failed = responses(&[json!({"type": "response.failed", "response": failed})]);
    let model = Model::with([refused, failed]).await;
    let provider = provider_for(Provider::OpenAiResponses, &model);
    let (parts, end) = read_answer(&provider, question()).await;
    assert_eq!(parts, ["text I cannot."]);
    end.expect("an end");
    let overloaded = ModelError::Unavailable { status: None, retry_after: None, message: Some(words.into()) };
    assert_eq!(read_answer(&provider, question()).await.1, Err(overloaded));
}
