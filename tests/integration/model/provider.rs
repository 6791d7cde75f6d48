//! Chat completions over a real socket: the events of each kind of answer, complete or broken.

use std::time::Duration;

use futures_util::StreamExt;
use netra::{
    protocol::http::AgentSource,
    server::{
        agents::{
            AgentBuilder,
            model::{
                HttpProvider, ModelError, Target,
                provider::{
                    EndReason, ModelCall, ModelEvent, ModelMessage, ModelOptions, ModelProvider, ModelRequest,
                    ModelTool,
                },
            },
        },
        config::agents::{AgentConfig, Provider},
    },
};
use serde_json::json;

use crate::model::server::{
    Model, Piece, Reply, arguments, call, call_reply, end, error_reply, reasoning, stream, text, text_reply,
};

fn target(name: &str, url: &str) -> Target {
    Target {
        provider: Provider::OpenAi,
        model: name.into(),
        base_url: Some(url.into()),
        api_key: Some("sk-of-the-tests".into()),
        reasoning_effort: None,
        starts_with_reasoning: false,
        allow_private_network: true,
    }
}

pub(crate) fn provider(model: &Model, name: &str) -> HttpProvider {
    HttpProvider::new(target(name, &model.url)).expect("a provider")
}

pub(crate) fn question() -> ModelRequest {
    ModelRequest { messages: vec![ModelMessage::user("hello")], ..ModelRequest::default() }
}

pub(crate) async fn read_answer(provider: &HttpProvider, request: ModelRequest) -> Vec<Result<ModelEvent, ModelError>> {
    let stream = provider.stream(request).await.expect("the stream begins");
    tokio::time::timeout(Duration::from_secs(20), stream.collect()).await.expect("it ends in time")
}

/// The last event of a reply.
async fn last(reply: Reply) -> Result<ModelEvent, ModelError> {
    let model = Model::with([reply]).await;
    read_answer(&provider(&model, "scripted"), question()).await.pop().expect("an event")
}

pub(crate) async fn error(reply: Reply) -> ModelError {
    last(reply).await.expect_err("an error")
}

#[tokio::test]
async fn text_reasoning_and_usage_are_read_as_they_are_sent() {
    let model = Model::with([stream([reasoning("hm"), text("Hel"), text("lo")], "stop")]).await;
    let mut events: Vec<_> =
        read_answer(&provider(&model, "scripted"), question()).await.into_iter().map(Result::unwrap).collect();
    let Some(ModelEvent::End(end)) = events.pop() else { panic!("no end") };
    assert_eq!(
        events,
        [ModelEvent::Reasoning("hm".into()), ModelEvent::Text("Hel".into()), ModelEvent::Text("lo".into())]
    );
    let usage = end.usage.expect("usage");
    assert_eq!(
        (end.reason, usage.provider.as_deref(), usage.model.as_deref()),
        (EndReason::Stop, Some("openai"), Some("scripted"))
    );
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.total_tokens), (Some(100), Some(10), Some(110)));
    assert_eq!((usage.cached_input_tokens, usage.reasoning_tokens), (Some(50), Some(5)));
}

/// A recorded stream, sent in pieces of `length` characters.
pub(crate) fn recorded(body: &str, length: usize) -> Reply {
    let chars: Vec<_> = body.chars().collect();
    Reply::Stream(chars.chunks(length).map(|piece| Piece::Raw(piece.iter().collect())).collect())
}

/// The reasoning, the text and the last event of a reply.
pub(crate) async fn reasoning_and_text(reply: Reply) -> (String, String, Result<ModelEvent, ModelError>) {
    let model = Model::with([reply]).await;
    let mut events = read_answer(&provider(&model, "scripted"), question()).await;
    let last = events.pop().expect("an event");
    let (mut thoughts, mut answer) = (String::new(), String::new());
    for event in events {
        match event {
            Ok(ModelEvent::Reasoning(more)) => thoughts.push_str(&more),
            Ok(ModelEvent::Text(more)) => answer.push_str(&more),
            other => panic!("{other:?}"),
        }
    }
    (thoughts, answer, last)
}

#[tokio::test]
async fn thoughts_in_the_answer_are_reasoning_however_they_are_cut() {
    let whole = "<think>\nFirst I look at the **numbers**.\n</think>\n\nThe answer is 42.";
    let right = ("First I look at the **numbers**.\n".to_owned(), "The answer is 42.".to_owned());
    for length in [1, 2, 3, 5, 7, 11, whole.len()] {
        let letters: Vec<_> = whole.chars().collect();
        let pieces: Vec<_> = letters.chunks(length).map(|piece| text(&piece.iter().collect::<String>())).collect();
        let (thoughts, answer, last) = reasoning_and_text(stream(pieces, "stop")).await;
        assert_eq!((thoughts, answer), right, "{length} letters at a time");
        assert!(matches!(last, Ok(ModelEvent::End(_))), "{last:?}");
    }
    let body = include_str!("../../data/models/think-tags.sse");
    for length in [1, 64, body.len()] {
        let (thoughts, answer, last) = reasoning_and_text(recorded(body, length)).await;
        assert_eq!((thoughts, answer), right, "{length} bytes at a time");
        assert!(matches!(last, Ok(ModelEvent::End(_))), "{last:?}");
    }
}

#[tokio::test]
async fn an_answer_is_complete_once_it_has_a_finish_reason() {
    let body = include_str!("../../data/models/no-done.sse");
    for length in [1, 64, body.len()] {
        let (thoughts, answer, last) = reasoning_and_text(recorded(body, length)).await;
        assert_eq!((thoughts.as_str(), answer.as_str()), ("", "This answer is whole."));
        assert!(matches!(last, Ok(ModelEvent::End(end)) if end.reason == EndReason::Stop), "{length} bytes at a time");
    }
    let quoted = text("\"finish_reason\": \"stop\"");
    assert_eq!(error(Reply::Stream(vec![quoted])).await, ModelError::Cut, "only the key itself counts");
}

#[tokio::test]
async fn an_answer_with_a_finish_reason_is_complete_though_the_connection_breaks_or_stays_open() {
    let [reason, usage, _] = <[Piece; 3]>::try_from(end("stop", 100, 10)).ok().expect("three pieces");
    for after in [Piece::Cut, Piece::Hang] {
        for (pieces, input_tokens) in [(vec![reason.clone()], None), (vec![reason.clone(), usage.clone()], Some(100))] {
            let pieces = [vec![text("Whole.")], pieces, vec![after.clone()]].concat();
            let (_, answer, last) = reasoning_and_text(Reply::Stream(pieces)).await;
            assert_eq!(answer, "Whole.");
            let Ok(ModelEvent::End(ended)) = last else { panic!("{last:?}") };
            let used = ended.usage.and_then(|usage| usage.input_tokens);
            assert_eq!((ended.reason, used), (EndReason::Stop, input_tokens));
        }
    }
}

#[tokio::test]
async fn a_request_contains_all_that_it_was_given() {
    let model = Model::with([text_reply("fine")]).await;
    let outgoing = ModelRequest {
        system: "Be brief.".into(),
        messages: vec![
            ModelMessage::user("look"),
            ModelMessage::Assistant {
                text: "Looking.".into(),
                calls: vec![ModelCall { id: "a1".into(), name: "look".into(), arguments: "{\"at\":\"it\"}".into() }],
                provider_state: None,
            },
            ModelMessage::Tool { call_id: "a1".into(), name: "look".into(), text: "nothing".into() },
        ],
        tools: vec![ModelTool {
            name: "look".into(),
            description: "Looks.".into(),
            parameters: json!({"type": "object"}),
        }],
        options: ModelOptions { temperature: Some(0.5), max_output_tokens: Some(64), json: false },
    };
    // A name that ends like a reasoning effort is sent as it is.
    read_answer(&provider(&model, "qwen-max"), outgoing).await;
    let request = model.requests().remove(0);
    assert_eq!(request.authorization.as_deref(), Some("Bearer sk-of-the-tests"));
    let body = request.body;
    assert_eq!(
        (&body["model"], &body["temperature"], &body["max_tokens"], &body["stream"]),
        (&json!("qwen-max"), &json!(0.5), &json!(64), &json!(true))
    );
    assert!(body["reasoning_effort"].is_null(), "{body}");
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    assert_eq!(body["messages"][0], json!({"role": "system", "content": "Be brief."}));
    assert_eq!(body["messages"][1], json!({"role": "user", "content": "look"}));
    assert_eq!(
        body["messages"][2]["tool_calls"][0]["function"],
        json!({"name": "look", "arguments": "{\"at\":\"it\"}"})
    );
    assert_eq!(body["messages"][3]["tool_call_id"], "a1");
    assert_eq!(body["messages"][3]["content"], "nothing");
    assert_eq!(body["tools"][0]["function"]["name"], "look");
}

#[tokio::test]
async fn calls_come_in_pieces_by_index() {
    let pieces = [
        text("Let me see."),
        call(0, "a1", "first"),
        arguments(0, "{\"x\""),
        call(1, "b2", "second"),
        arguments(1, "{}"),
        arguments(0, ":1}"),
    ];
    let model = Model::with([stream(pieces, "tool_calls")]).await;
    let (mut names, mut args) = (Vec::new(), [String::new(), String::new()]);
    let events = read_answer(&provider(&model, "scripted"), question()).await;
    for event in &events {
        if let Ok(ModelEvent::Call { index, name, arguments, id }) = event {
            args[*index].push_str(arguments);
            names.extend(name.clone().zip(id.clone()));
        }
    }
    assert_eq!(names, [("first".to_owned(), "a1".to_owned()), ("second".to_owned(), "b2".to_owned())]);
    assert_eq!(args, ["{\"x\":1}", "{}"]);
    assert!(
        matches!(events.last(), Some(Ok(ModelEvent::End(end))) if end.reason == EndReason::ToolCalls),
        "{events:?}"
    );
}

#[tokio::test]
async fn each_status_has_its_error() {
    assert_eq!(error(error_reply(401, "invalid_api_key", "Incorrect key")).await, ModelError::Unauthorized);
    let busy = Reply::Status(429, vec![("retry-after", "7".into())], "{}".into());
    assert_eq!(error(busy).await, ModelError::RateLimited { retry_after: Some(Duration::from_secs(7)), message: None });
    let down = Reply::Status(503, Vec::new(), "<html>down</html>".into());
    assert_eq!(error(down).await, ModelError::Unavailable { status: Some(503), retry_after: None, message: None });
    let long = error_reply(400, "context_length_exceeded", "This model's maximum context length is 8192 tokens");
    assert_eq!(error(long).await, ModelError::ContextTooLong);
    let missing = error(error_reply(404, "model_not_found", "No model sk-of-the-tests here")).await;
    assert_eq!(missing, ModelError::Refused { status: Some(404), excerpt: "No model … here".into() });
    let elsewhere = Reply::Status(307, vec![("location", "http://127.0.0.1:1/".into())], String::new());
    assert!(matches!(error(elsewhere).await, ModelError::Refused { status: Some(307), .. }));
}

#[tokio::test]
async fn a_stream_that_breaks_is_cut_however_it_breaks() {
    assert_eq!(error(Reply::Stream(vec![text("Hel"), Piece::Cut])).await, ModelError::Cut);
    assert_eq!(error(Reply::Stream(vec![text("Hel")])).await, ModelError::Cut, "the end without the last line");
    assert_eq!(error(Reply::Stream(Vec::new())).await.code(), "model_malformed", "nothing at all");
}

#[tokio::test]
async fn what_cannot_be_read_is_malformed() {
    let broken = error(Reply::Stream(vec![text("Hel"), Piece::Data("{\"choices\":[{".into())])).await;
    assert_eq!(broken.code(), "model_malformed");
    let nameless =
        Piece::Data(json!({"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "{}"}}]}}]}).to_string());
    let lost = error(Reply::Stream([vec![nameless], end("tool_calls", 1, 1)].concat())).await;
    assert_eq!(lost.code(), "model_malformed", "a call that cannot be read is an error");
}

#[tokio::test]
async fn an_error_within_a_stream_is_recognised_by_its_message() {
    let reported =
        |body: serde_json::Value| Reply::Stream(vec![text("Hel"), Piece::Data(json!({"error": body}).to_string())]);
    let overloaded = error(reported(json!({"type": "overloaded_error", "message": "Overloaded"}))).await;
    let words = Some("Overloaded".into());
    assert_eq!(overloaded, ModelError::Unavailable { status: None, retry_after: None, message: words });
    let long = error(reported(json!({"message": "the request exceeds the available context size"}))).await;
    assert_eq!(long, ModelError::ContextTooLong);
}

#[tokio::test]
async fn a_provider_that_does_not_listen_is_unreachable() {
    let mut model = Model::with([]).await;
    model.url = "http://127.0.0.1:1/v1".into();
    let error =
        read_answer(&provider(&model, "scripted"), question()).await.pop().expect("an event").expect_err("an error");
    assert_eq!(error, ModelError::Connect);
}

#[tokio::test]
async fn an_end_has_its_reason() {
    for (reason, expected) in
        [("length", EndReason::Length), ("content_filter", EndReason::Filtered), ("stop", EndReason::Stop)]
    {
        let Ok(ModelEvent::End(end)) = last(stream([text("x")], reason)).await else { panic!("no end") };
        assert_eq!(end.reason, expected);
    }
    let Ok(ModelEvent::End(end)) = last(call_reply(&[("f", "a", json!({}))])).await else { panic!("no end") };
    assert_eq!(end.reason, EndReason::ToolCalls);
}

#[tokio::test]
async fn comments_carriage_returns_and_split_lines_change_nothing() {
    let whole = ": keep-alive\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"é\"}}]}\r\n\r\ndata: [DONE]\r\n\r\n";
    let at = whole.find('é').expect("the character");
    let (one, two) = whole.split_at(at);
    let model = Model::with([Reply::Stream(vec![Piece::Raw(one.into()), Piece::Raw(two.into())])]).await;
    let events = read_answer(&provider(&model, "scripted"), question()).await;
    assert_eq!(events[0], Ok(ModelEvent::Text("é".into())));
    assert!(matches!(events[1], Ok(ModelEvent::End(_))), "{events:?}");
}

/// Whether an entry from this source is an agent, or what is wrong with it.
fn entry(source: AgentSource, address: &str, more: serde_json::Value) -> Result<(), String> {
    let mut entry = json!({"id": "m", "name": "M", "kind": "model", "model": "m", "base_url": address});
    super::merge(&mut entry, more);
    let entry = serde_json::from_value(entry).expect("an entry");
    let config = AgentConfig::parse(&entry).expect("a configuration");
    AgentBuilder::default().build(&config, source).map(|_| ())
}

#[tokio::test]
async fn only_the_configuration_file_may_allow_private_networks() {
    for address in ["http://127.0.0.1:11434/v1/", "http://[::1]/v1", "http://169.254.169.254/", "http://2130706433/"] {
        let refused = entry(AgentSource::Page, address, json!({})).expect_err("a refusal");
        assert!(refused.starts_with("base_url: `") && refused.contains("`allow_private_network = true`"), "{refused}");
        let own = entry(AgentSource::Page, address, json!({"allow_private_network": true})).expect_err("a refusal");
        assert!(own.contains("only the configuration file"), "{own}");
        assert_eq!(entry(AgentSource::File, address, json!({})), Ok(()), "who writes the file administers the machine");
        assert!(entry(AgentSource::File, address, json!({"allow_private_network": false})).is_err());
    }
    assert_eq!(entry(AgentSource::Page, "https://models.example.com/v1/", json!({})), Ok(()));
}

#[tokio::test]
async fn a_name_of_this_host_is_refused_when_it_is_connected_to() {
    let model = Model::with([text_reply("never")]).await;
    let target =
        Target { allow_private_network: false, ..target("scripted", &model.url.replace("127.0.0.1", "localhost")) };
    let provider = HttpProvider::new(target).expect("a provider");
    let error = read_answer(&provider, question()).await.pop().expect("an event").expect_err("an error");
    assert!(error.code() == "address_refused" && error.to_string().contains("`localhost` lies in"), "{error}");
    assert!(model.requests().is_empty());
}

#[tokio::test]
async fn an_event_without_an_end_is_cut_at_its_bound() {
    let mut pieces = vec![text("Hel"), Piece::Raw("data: ".into())];
    pieces.extend(std::iter::repeat_n(Piece::Raw("x".repeat(256 * 1024)), 64));
    let model = Model::with([Reply::Stream(pieces.into_iter().chain([Piece::Hang]).collect())]).await;
    let mut events = read_answer(&provider(&model, "scripted"), question()).await;
    let error = events.pop().expect("an event").expect_err("an error");
    assert_eq!(error, ModelError::TooLong { what: "8 MiB in one piece".into() });
    assert_eq!(events, [Ok(ModelEvent::Text("Hel".into()))]);
}

#[tokio::test]
async fn only_the_start_of_a_refusal_is_read() {
    let long = error_reply(404, "model_not_found", &"no ".repeat(1024 * 1024));
    let ModelError::Refused { status: Some(404), excerpt } = error(long).await else { panic!("another error") };
    assert!(excerpt.len() < 1000, "{}", excerpt.len());
}
