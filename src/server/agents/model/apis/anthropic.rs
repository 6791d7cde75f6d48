//! Anthropic's Messages API: `POST messages`, answered in server-sent events, each with its type in its data.
//!
//! The model's thoughts are signed. After a tool's result, it thinks again only if they are sent back unchanged, before the text and
//! the calls.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{
    AnswerDecoder, ApiRequest, DecodeError, InputEnd, Settings, anthropic_models::capabilities, arguments,
    chat_completions::effort_name, end_reason, endpoint, is_image, non_empty, set, text,
};
use crate::{
    protocol::agui::Usage,
    server::{
        agents::model::{
            provider::{EndReason, Media, ModelCall, ModelEnd, ModelEvent, ModelMessage, ModelRequest},
            provider_state::{ProviderState, StatePart},
        },
        config::agents::ReasoningEffort,
    },
};

const API_VERSION: &str = "2023-06-01";

/// Writes a request.
pub(super) fn request(settings: Settings<'_>, request: &ModelRequest) -> ApiRequest {
    let capabilities = capabilities(settings.model);
    let tools = request
        .tools
        .iter()
        .map(|tool| json!({"name": tool.name, "input_schema": tool.parameters, "description": tool.description}));
    let mut body = json!({"model": settings.model, "stream": true});
    set(&mut body, "system", Some(request.system.as_str()).filter(|system| !system.is_empty()));
    set(&mut body, "tools", (!request.tools.is_empty()).then(|| tools.collect::<Vec<_>>()));
    body["messages"] = request.messages.iter().map(message).collect();
    match settings.reasoning_effort {
        None => {}
        Some(ReasoningEffort::None) if capabilities.thinks_by_default => {
            body["thinking"] = json!({"type": "disabled"});
        }
        Some(ReasoningEffort::None) => {}
        Some(effort) => {
            if capabilities.takes_effort {
                body["output_config"] = json!({"effort": effort_name(effort)});
            } else {
                body["thinking"] = json!({"type": "enabled", "budget_tokens": thinking_budget(effort)});
            }
            if capabilities.adaptive_thinking {
                body["thinking"] = json!({"type": "adaptive", "display": "summarized"});
            }
        }
    }
    set(&mut body, "temperature", request.options.temperature);
    body["max_tokens"] = request.options.max_output_tokens.unwrap_or(capabilities.max_tokens).into();
    let key = settings.api_key.unwrap_or("none").to_owned();
    let headers = vec![("x-api-key", key), ("anthropic-version", API_VERSION.to_owned())];
    ApiRequest { url: endpoint(settings.base_url, "messages"), headers, body }
}

/// The most tokens that a model may use to think, if it takes a budget instead of an effort.
const fn thinking_budget(effort: ReasoningEffort) -> u32 {
    match effort {
        ReasoningEffort::None | ReasoningEffort::Low => 1_024,
        ReasoningEffort::Medium => 8_000,
        ReasoningEffort::High => 24_000,
    }
}

fn message(message: &ModelMessage) -> Value {
    match message {
        ModelMessage::User { text, media } if media.is_empty() => json!({"role": "user", "content": text}),
        ModelMessage::User { text, media } => {
            let text = json!({"type": "text", "text": text});
            let blocks: Vec<Value> = std::iter::once(text).chain(media.iter().map(file)).collect();
            json!({"role": "user", "content": blocks})
        }
        ModelMessage::Assistant { text, calls, provider_state } => {
            let mut blocks = thoughts(ProviderState::from_value(provider_state.as_ref()));
            if blocks.is_empty() && calls.is_empty() {
                return json!({"role": "assistant", "content": text});
            }
            blocks.extend((!text.is_empty()).then(|| json!({"type": "text", "text": text})));
            blocks.extend(calls.iter().map(tool_use));
            json!({"role": "assistant", "content": blocks})
        }
        ModelMessage::Tool { call_id, text, .. } => {
            json!({"role": "user", "content": [{"type": "tool_result", "content": text, "tool_use_id": call_id}]})
        }
    }
}

fn tool_use(call: &ModelCall) -> Value {
    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments(call)})
}

fn file(file: &Media) -> Value {
    let kind = if is_image(file) { "image" } else { "document" };
    json!({"type": kind, "source": {"type": "base64", "media_type": file.mime_type, "data": file.data}})
}

/// The thoughts of an answer as their blocks. A signature without its thought is left out: the API would refuse it.
fn thoughts(state: ProviderState) -> Vec<Value> {
    let (mut blocks, mut signature) = (Vec::new(), None);
    for part in state.parts {
        match part {
            StatePart::ThoughtSignature(next) => signature = Some(next),
            StatePart::ReasoningContent(thinking) => blocks
                .extend(signature.take().map(|it| json!({"type": "thinking", "thinking": thinking, "signature": it}))),
            StatePart::Custom { data } => blocks.push(data),
        }
    }
    blocks
}

/// Decodes the events of an answer.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    block: Block,
    calls: usize,
    state: ProviderState,
    usage: Usage,
    stop_reason: Option<EndReason>,
}

/// The block of the answer that is being read.
#[derive(Debug, Default)]
enum Block {
    /// None, a text, or one that is complete with its first event.
    #[default]
    Other,
    Thinking {
        thinking: String,
        signature: String,
    },
    ToolUse {
        index: usize,
        /// What the block began with, which counts if no arguments follow.
        input: Value,
    },
}

impl AnswerDecoder for Decoder {
    fn decode(&mut self, mut event: Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        match event["type"].as_str() {
            // The whole message, if the server does not stream.
            Some("message") => {
                self.count(&event["usage"]);
                for block in event["content"].as_array_mut().into_iter().flatten() {
                    self.begin(block.take(), events)?;
                    self.finish_block(events);
                }
                self.stop_reason = event["stop_reason"].as_str().map(end_reason);
            }
            Some("message_start") => self.count(&event["message"]["usage"]),
            Some("message_delta") => {
                self.count(&event["usage"]);
                if let Some(reason) = event["delta"]["stop_reason"].as_str() {
                    self.stop_reason = Some(end_reason(reason));
                }
            }
            Some("content_block_start") => self.begin(event["content_block"].take(), events)?,
            Some("content_block_delta") => self.delta(&event["delta"], events),
            Some("content_block_stop") => self.finish_block(events),
            Some("message_stop") => {
                self.finish_block(events);
                events.push_back(ModelEvent::End(self.take_end()));
            }
            Some("error") => return Err(DecodeError::Reported(event)),
            None if event["error"].is_object() => return Err(DecodeError::Reported(event)),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, input: InputEnd) -> Option<ModelEnd> {
        (input != InputEnd::Done && self.stop_reason.is_some()).then(|| self.take_end())
    }

    fn finished_parts(&self) -> Option<usize> {
        self.stop_reason.map(|_| 1)
    }

    fn is_complete_body(&self, body: &Value) -> bool {
        body["stop_reason"].is_string()
    }
}

impl Decoder {
    fn begin(&mut self, mut block: Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        self.block = Block::Other;
        match block["type"].as_str() {
            Some("text") => events.extend(text(&block, "text").map(|text| ModelEvent::Text(text.to_owned()))),
            Some("thinking") => {
                let of = |field| block[field].as_str().unwrap_or_default().to_owned();
                let (thinking, signature) = (of("thinking"), of("signature"));
                events.extend(text(&block, "thinking").map(|text| ModelEvent::Reasoning(text.to_owned())));
                self.block = Block::Thinking { thinking, signature };
            }
            Some("redacted_thinking") => self.state.parts.push(StatePart::Custom { data: block }),
            Some("tool_use") => {
                if self.calls == super::MAX_CALLS {
                    return Err(DecodeError::Malformed("more tool calls than an answer may have"));
                }
                let index = self.calls;
                self.calls += 1;
                let (id, name) = (text(&block, "id").map(str::to_owned), text(&block, "name").map(str::to_owned));
                let name = Some(name.unwrap_or_default());
                events.push_back(ModelEvent::Call { index, id, name, arguments: String::new() });
                self.block = Block::ToolUse { index, input: block["input"].take() };
            }
            _ => {}
        }
        Ok(())
    }

    fn delta(&mut self, delta: &Value, events: &mut VecDeque<ModelEvent>) {
        match &mut self.block {
            Block::Other => events.extend(text(delta, "text").map(|text| ModelEvent::Text(text.to_owned()))),
            Block::Thinking { thinking, signature } => {
                signature.push_str(delta["signature"].as_str().unwrap_or_default());
                if let Some(more) = text(delta, "thinking") {
                    thinking.push_str(more);
                    events.push_back(ModelEvent::Reasoning(more.to_owned()));
                }
            }
            Block::ToolUse { index, input } => {
                if let Some(more) = text(delta, "partial_json") {
                    *input = Value::Null;
                    let (index, arguments) = (*index, more.to_owned());
                    events.push_back(ModelEvent::Call { index, id: None, name: None, arguments });
                }
            }
        }
    }

    fn finish_block(&mut self, events: &mut VecDeque<ModelEvent>) {
        match std::mem::take(&mut self.block) {
            Block::Thinking { thinking, signature } if !signature.is_empty() => {
                let parts = [StatePart::ThoughtSignature(signature), StatePart::ReasoningContent(thinking)];
                self.state.parts.extend(parts);
            }
            Block::ToolUse { index, input: Value::Object(input) } if !input.is_empty() => {
                let arguments = Value::Object(input).to_string();
                events.push_back(ModelEvent::Call { index, id: None, name: None, arguments });
            }
            Block::Other | Block::Thinking { .. } | Block::ToolUse { .. } => {}
        }
    }

    /// Anthropic's `input_tokens` leave out those that were read from the cache or written to it; ours are all.
    fn count(&mut self, usage: &Value) {
        let tokens = |field: &str| usage[field].as_u64();
        let written = tokens("cache_creation_input_tokens").unwrap_or(0);
        let cached = tokens("cache_read_input_tokens").unwrap_or(0);
        if let Some(input) = tokens("input_tokens") {
            self.usage.input_tokens = Some(input + written + cached);
        }
        if let Some(output) = tokens("output_tokens") {
            self.usage.output_tokens = Some(output);
        }
        if written > 0 || cached > 0 {
            self.usage.cached_input_tokens = Some(cached);
            self.usage.cache_write_input_tokens = Some(written);
        }
    }

    fn take_end(&mut self) -> ModelEnd {
        let mut usage = std::mem::take(&mut self.usage);
        if usage.input_tokens.is_some() || usage.output_tokens.is_some() {
            usage.total_tokens = Some(usage.input_tokens.unwrap_or(0) + usage.output_tokens.unwrap_or(0));
        }
        // Also an answer without thoughts has a state: without one, the next request would not enable thinking.
        let provider_state = std::mem::take(&mut self.state).to_value();
        ModelEnd { reason: self.stop_reason.unwrap_or_default(), usage: non_empty(usage), provider_state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_sent_back_unchanged() {
        let blocks = [
            json!({"type": "thinking", "thinking": "hm", "signature": "one"}),
            json!({"type": "thinking", "thinking": "so", "signature": "two"}),
            json!({"type": "redacted_thinking", "data": "x"}),
            json!({"type": "text", "text": "Looking."}),
            json!({"type": "tool_use", "id": "a", "name": "look", "input": {"at": "it"}}),
        ];
        let mut events = VecDeque::new();
        let body = json!({"type": "message", "content": blocks, "stop_reason": "tool_use"});
        let mut decoder = Decoder::default();
        decoder.decode(body, &mut events).expect("a message");
        let state = decoder.end(InputEnd::Body).expect("an end").provider_state;
        let kept = state.as_ref().expect("a state").to_string();
        assert!(!kept.contains("Looking") && !kept.contains("look"), "text and calls are kept elsewhere: {kept}");
        let call = ModelCall { id: "a".into(), name: "look".into(), arguments: "{\"at\":\"it\"}".into() };
        let sent = ModelMessage::Assistant { text: "Looking.".into(), calls: vec![call], provider_state: state };
        assert_eq!(message(&sent)["content"], json!(blocks));
    }

    #[test]
    fn an_answer_without_thoughts_has_a_state_too() {
        let mut decoder = Decoder::default();
        let end = decoder.decode(json!({"type": "message_stop"}), &mut VecDeque::new()).map(|()| decoder.take_end());
        assert_eq!(end.expect("an end").provider_state, Some(json!({})));
    }
}
