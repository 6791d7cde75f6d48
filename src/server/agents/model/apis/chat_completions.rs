//! OpenAI's chat completions, and the servers that offer the same: `POST chat/completions`, answered in server-sent events.
//!
//! Servers deviate from it: a `message` in place of a `delta`, a `refusal` beside the content, content in parts,
//! reasoning under several names, errors without the key `error`, tool calls in every shape ([`ToolCallDeltas`]).

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::{
    AnswerDecoder, ApiRequest, DecodeError, InputEnd, Settings, arguments, bearer, data_url, detail, end_reason,
    endpoint, is_image, non_empty, set, text,
};
use crate::{
    protocol::agui::Usage,
    server::{
        agents::model::{
            provider::{EndReason, Media, ModelEnd, ModelEvent, ModelMessage, ModelRequest},
            tool_call_deltas::{BadDelta, ToolCallDeltas},
        },
        config::agents::{Provider, ReasoningEffort},
    },
};

/// The limit that is sent to Fireworks where none is set: its own default is too short, and it lowers this to what the model can.
const FIREWORKS_MAX_TOKENS: u32 = 512_000;
/// The same for a model whose limit counts the prompt too, and is enforced.
const MUSE_GLIMMER_MAX_TOKENS: u32 = 68_000;

/// Writes a request.
pub(super) fn request(settings: Settings<'_>, request: &ModelRequest) -> ApiRequest {
    let Settings { provider, model, base_url, api_key, reasoning_effort } = settings;
    let system = (!request.system.is_empty()).then(|| json!({"role": "system", "content": request.system}));
    let messages: Vec<Value> = system.into_iter().chain(request.messages.iter().map(message)).collect();
    let tools = request.tools.iter().map(|tool| {
        let (name, description, parameters) = (&tool.name, &tool.description, &tool.parameters);
        json!({
            "type": "function",
            "function": {"name": name, "description": description, "parameters": parameters, "strict": false},
        })
    });
    let mut body = json!({"model": model, "stream": true, "stream_options": {"include_usage": true}});
    if provider == Provider::Fireworks && !model.contains('/') {
        body["model"] = format!("accounts/fireworks/models/{model}").into();
    }
    let explicit = provider == Provider::OpenAi && super::needs_explicit_cache(model);
    set(&mut body, "prompt_cache_options", explicit.then(|| json!({"mode": "explicit"})));
    let is_off = reasoning_effort == Some(ReasoningEffort::None);
    if provider == Provider::DeepSeek && reasoning_effort.is_some() {
        body["thinking"] = json!({"type": if is_off { "disabled" } else { "enabled" }});
    }
    let effort = reasoning_effort.filter(|_| !(provider == Provider::DeepSeek && is_off));
    set(&mut body, "reasoning_effort", effort.map(effort_name));
    // What stays the same from request to request comes first.
    set(&mut body, "tools", (!request.tools.is_empty()).then(|| tools.collect::<Vec<_>>()));
    body["messages"] = messages.into();
    set(&mut body, "response_format", request.options.json.then(|| json!({"type": "json_object"})));
    set(&mut body, "temperature", request.options.temperature);
    let default_max = (provider == Provider::Fireworks).then(|| match model.contains("muse-glimmer-30b") {
        true => MUSE_GLIMMER_MAX_TOKENS,
        false => FIREWORKS_MAX_TOKENS,
    });
    set(&mut body, max_tokens_field(model), request.options.max_output_tokens.or(default_max));
    ApiRequest { url: endpoint(base_url, "chat/completions"), headers: bearer(api_key), body }
}

/// The name of an effort in OpenAI's APIs.
pub(super) const fn effort_name(effort: ReasoningEffort) -> &'static str {
    match effort {
        ReasoningEffort::None => "none",
        ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
    }
}

/// OpenAI's reasoning models refuse `max_tokens`.
fn max_tokens_field(model: &str) -> &'static str {
    let reasons = ["gpt-5", "gpt-6", "o1", "o3", "o4"].iter().any(|name| model.starts_with(name));
    if reasons { "max_completion_tokens" } else { "max_tokens" }
}

fn message(message: &ModelMessage) -> Value {
    match message {
        ModelMessage::User { text, media } if media.is_empty() => json!({"role": "user", "content": text}),
        ModelMessage::User { text, media } => {
            let text = json!({"type": "text", "text": text});
            let parts: Vec<Value> = std::iter::once(text).chain(media.iter().map(file)).collect();
            json!({"role": "user", "content": parts})
        }
        ModelMessage::Assistant { text, calls, .. } => {
            let mut message = json!({"role": "assistant", "content": text});
            let calls = calls.iter().map(|call| {
                let function = json!({"name": call.name, "arguments": arguments(call).to_string()});
                json!({"type": "function", "id": call.id, "function": function})
            });
            let calls: Vec<Value> = calls.collect();
            set(&mut message, "tool_calls", (!calls.is_empty()).then_some(calls));
            message
        }
        ModelMessage::Tool { call_id, text, .. } => json!({"role": "tool", "content": text, "tool_call_id": call_id}),
    }
}

fn file(file: &Media) -> Value {
    if is_image(file) {
        return json!({"type": "image_url", "image_url": {"url": data_url(file)}});
    }
    json!({"type": "file", "file": {"filename": file.name, "file_data": data_url(file)}})
}

/// Decodes the chunks of an answer.
#[derive(Debug)]
pub(super) struct Decoder {
    provider: Provider,
    calls: ToolCallDeltas,
    /// How many chunks had a part of the answer.
    choices: usize,
    finish_reason: Option<EndReason>,
    usage: Option<Usage>,
}

impl Decoder {
    pub(super) fn new(provider: Provider) -> Self {
        Self { provider, calls: ToolCallDeltas::default(), choices: 0, finish_reason: None, usage: None }
    }

    fn choice(&mut self, choice: &Map<String, Value>, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        self.choices += 1;
        if let Some(reason) = finish_reason(choice) {
            self.finish_reason = Some(end_reason(reason));
        }
        // An answer that is not streamed has all of it in a message.
        let delta = choice.get("delta").filter(|delta| delta.is_object()).or(choice.get("message"));
        let Some(delta) = delta.filter(|delta| delta.is_object()) else { return Ok(()) };
        let (answer, thinking) = content(delta);
        let fields = || text(delta, "reasoning_content").or(text(delta, "reasoning")).map(str::to_owned);
        let reasoning = Some(thinking).filter(|text| !text.is_empty()).or_else(fields);
        events.extend(reasoning.map(ModelEvent::Reasoning));
        events.extend(Some(answer).filter(|text| !text.is_empty()).map(ModelEvent::Text));
        let calls = match &delta["tool_calls"] {
            Value::Array(calls) => calls.as_slice(),
            call @ Value::Object(_) => std::slice::from_ref(call),
            _ => &[],
        };
        for call in calls {
            events.extend(self.calls.read(call).map_err(|error| {
                DecodeError::Malformed(match error {
                    BadDelta::NoName => "a piece of a tool call that no piece began",
                    BadDelta::TooManyCalls => "more tool calls than an answer may have",
                })
            })?);
        }
        Ok(())
    }
}

impl AnswerDecoder for Decoder {
    fn decode(&mut self, chunk: Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        if let Some(error) = reported_error(&chunk) {
            return Err(DecodeError::Reported(error));
        }
        let reported = [chunk.get("usage"), chunk.pointer("/x_groq/usage")];
        self.usage = reported.into_iter().flatten().find_map(|usage| self.usage(usage)).or(self.usage.take());
        match chunk.pointer("/choices/0").and_then(Value::as_object) {
            Some(choice) => self.choice(choice, events),
            None => Ok(()),
        }
    }

    fn end(&mut self, input: InputEnd) -> Option<ModelEnd> {
        let is_complete = match input {
            InputEnd::Done => true,
            InputEnd::Stream => self.finish_reason.is_some(),
            // A body that is JSON to its end is complete, with or without a finish reason.
            InputEnd::Body => self.finish_reason.is_some() || self.choices > 0,
        };
        let reason = self.finish_reason.unwrap_or_default();
        is_complete.then(|| ModelEnd { reason, usage: self.usage.take(), provider_state: None })
    }

    fn finished_parts(&self) -> Option<usize> {
        self.finish_reason.map(|_| self.choices)
    }

    fn is_complete_body(&self, body: &Value) -> bool {
        body.pointer("/choices/0").and_then(Value::as_object).is_some_and(|choice| finish_reason(choice).is_some())
    }
}

impl Decoder {
    fn usage(&self, usage: &Value) -> Option<Usage> {
        let (prompt, completion) = (&usage["prompt_tokens_details"], &usage["completion_tokens_details"]);
        let reasoning = detail(completion, "reasoning_tokens");
        let output = usage["completion_tokens"].as_u64();
        non_empty(Usage {
            input_tokens: usage["prompt_tokens"].as_u64(),
            // xAI does not count reasoning as output.
            output_tokens: match reasoning {
                Some(reasoning) if self.provider == Provider::Xai => Some(output.unwrap_or(0) + reasoning),
                _ => output,
            },
            total_tokens: usage["total_tokens"].as_u64(),
            reasoning_tokens: reasoning,
            cached_input_tokens: detail(prompt, "cached_tokens"),
            cache_write_input_tokens: detail(prompt, "cache_creation_tokens").or(detail(prompt, "cache_write_tokens")),
            ..Usage::default()
        })
    }
}

/// Why an answer ended. Servers that write a text in every chunk write `""` or `"null"` until then.
fn finish_reason(choice: &Map<String, Value>) -> Option<&str> {
    choice.get("finish_reason")?.as_str().filter(|reason| !matches!(*reason, "" | "null"))
}

/// The text and the reasoning of a delta's content, which is a text or a list of parts. A refusal is the answer.
fn content(delta: &Value) -> (String, String) {
    let (mut answer, mut thinking) = (String::new(), String::new());
    match &delta["content"] {
        Value::String(text) => answer.push_str(text),
        Value::Array(parts) => {
            for part in parts {
                match part["type"].as_str() {
                    Some("text") => answer.push_str(part["text"].as_str().unwrap_or_default()),
                    Some("refusal") => answer.push_str(part["refusal"].as_str().unwrap_or_default()),
                    // Mistral's.
                    Some("thinking") => match &part["thinking"] {
                        Value::String(text) => thinking.push_str(text),
                        Value::Array(parts) => thinking.extend(parts.iter().filter_map(|part| part["text"].as_str())),
                        _ => {}
                    },
                    _ => {}
                }
            }
        }
        _ => {}
    }
    if let Some(refusal) = text(delta, "refusal") {
        if !answer.is_empty() {
            answer.push_str("\n\n");
        }
        answer.push_str(refusal);
    }
    (answer, thinking)
}

/// The error in a chunk: under `error`, under a choice, or in place of a chunk (`{"object": "error", "message": …}`,
/// `{"detail": …}`).
fn reported_error(chunk: &Value) -> Option<Value> {
    let fields = chunk.as_object()?;
    if let Some(error) = fields.get("error").filter(|error| !error.is_null()) {
        return Some(error.clone());
    }
    let of_choice = chunk.pointer("/choices/0/error").filter(|error| error.is_object() || error.is_string());
    if let Some(error) = of_choice {
        return Some(error.clone());
    }
    let is_said = |key: &str| fields.get(key).is_some_and(|value| value.is_string() || value.is_array());
    let is_chunk = ["error", "choices", "usage"].iter().any(|key| fields.contains_key(*key));
    let is_error =
        fields.get("object").is_some_and(|object| object == "error") || is_said("message") || is_said("detail");
    (!is_chunk && is_error).then(|| chunk.clone())
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::*;

    #[test]
    fn a_refusal_is_content() {
        let content = |delta: Value| content(&delta).0;
        assert_eq!(content(json!({"refusal": "I cannot."})), "I cannot.");
        assert_eq!(content(json!({"content": null, "refusal": "I cannot."})), "I cannot.");
        assert_eq!(content(json!({"content": "Well.", "refusal": "I cannot."})), "Well.\n\nI cannot.");
        assert_eq!(content(json!({"content": "Fine.", "refusal": null})), "Fine.");
        assert_eq!(content(json!({"content": [{"type": "refusal", "refusal": "I cannot."}]})), "I cannot.");
    }

    #[test]
    fn content_may_have_parts_with_thoughts() {
        let thinking = json!({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]});
        let parts = json!({"content": [thinking, {"type": "text", "text": "It is 42."}]});
        assert_eq!(content(&parts), ("It is 42.".into(), "hm".into()));
    }

    #[test]
    fn only_a_reason_ends_an_answer() {
        for (reason, is_end) in [
            (json!("stop"), true),
            (json!("length"), true),
            (json!(""), false),
            (json!("null"), false),
            (json!(null), false),
        ] {
            let mut decoder = Decoder::new(Provider::OpenAi);
            let chunk = json!({"choices": [{"delta": {"content": "x"}, "finish_reason": reason}]});
            decoder.decode(chunk, &mut VecDeque::new()).expect("a chunk");
            assert_eq!(decoder.finished_parts().is_some(), is_end, "{reason}");
        }
    }

    #[test]
    fn errors_are_found_in_every_place() {
        for (chunk, message) in [
            (json!({"error": {"message": "Overloaded"}}), json!("Overloaded")),
            (json!({"object": "error", "message": "Overloaded", "code": 503}), json!("Overloaded")),
            (json!({"detail": "Not Found"}), Value::Null),
            (json!({"choices": [{"delta": {}, "error": {"message": "Overloaded"}}]}), json!("Overloaded")),
        ] {
            assert_eq!(reported_error(&chunk).expect("an error")["message"], message, "{chunk}");
        }
        for chunk in [
            json!({"choices": [{"delta": {"content": "x"}}], "error": null}),
            json!({"choices": [], "usage": {"prompt_tokens": 1}}),
        ] {
            assert_eq!(reported_error(&chunk), None, "{chunk}");
        }
    }

    #[test]
    fn fields_of_one_provider_are_sent_only_to_it() {
        let base_url = Url::parse("https://host/v1").expect("a URL");
        let body = |provider, model, reasoning_effort| {
            let settings = Settings { provider, model, base_url: &base_url, api_key: None, reasoning_effort };
            request(settings, &ModelRequest::default()).body
        };
        let fireworks = body(Provider::Fireworks, "qwen3", None);
        assert_eq!(
            (&fireworks["model"], &fireworks["max_tokens"]),
            (&json!("accounts/fireworks/models/qwen3"), &json!(512_000))
        );
        let off = body(Provider::DeepSeek, "deepseek-chat", Some(ReasoningEffort::None));
        assert_eq!((&off["thinking"], off.get("reasoning_effort")), (&json!({"type": "disabled"}), None));
        let on = body(Provider::DeepSeek, "deepseek-chat", Some(ReasoningEffort::High));
        assert_eq!((&on["thinking"], &on["reasoning_effort"]), (&json!({"type": "enabled"}), &json!("high")));
        let new = body(Provider::OpenAi, "gpt-5.6", Some(ReasoningEffort::None));
        assert_eq!(
            (&new["prompt_cache_options"], &new["reasoning_effort"]),
            (&json!({"mode": "explicit"}), &json!("none"))
        );
        let plain = body(Provider::Groq, "gpt-5.6", None);
        for field in ["thinking", "reasoning_effort", "prompt_cache_options", "max_tokens", "tools"] {
            assert_eq!(plain.get(field), None, "{field}");
        }
    }

    #[test]
    fn xai_counts_no_reasoning_as_output() {
        let usage =
            json!({"prompt_tokens": 5, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 4}});
        let output = |provider| Decoder::new(provider).usage(&usage).expect("usage").output_tokens;
        assert_eq!((output(Provider::Xai), output(Provider::OpenAi)), (Some(7), Some(3)));
        assert_eq!(Decoder::new(Provider::OpenAi).usage(&json!({})), None);
    }
}
