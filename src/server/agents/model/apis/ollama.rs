//! Ollama's own API: `POST api/chat`, answered in lines of JSON.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{
    ApiRequest, DecodeError, Framing, Settings, arguments, end_reason, endpoint, is_image, non_empty, set, text,
};
use crate::{
    protocol::agui::Usage,
    server::{
        agents::model::provider::{EndReason, ModelEnd, ModelEvent, ModelMessage, ModelRequest},
        config::agents::ReasoningEffort,
    },
};

/// Writes a request.
pub(super) fn request(settings: Settings<'_>, request: &ModelRequest) -> ApiRequest {
    let tools = request.tools.iter().map(|tool| {
        json!({
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        })
    });
    let system = (!request.system.is_empty()).then(|| json!({"role": "system", "content": request.system}));
    let messages: Vec<Value> = system.into_iter().chain(request.messages.iter().map(message)).collect();
    let mut options = json!({});
    set(&mut options, "temperature", request.options.temperature);
    set(&mut options, "num_predict", request.options.max_output_tokens);
    let mut body = json!({"model": settings.model, "stream": true, "messages": messages});
    set(&mut body, "options", (options != json!({})).then_some(options));
    set(&mut body, "tools", (!request.tools.is_empty()).then(|| tools.collect::<Vec<_>>()));
    set(&mut body, "format", request.options.json.then_some("json"));
    set(&mut body, "think", settings.reasoning_effort.map(think));
    ApiRequest { url: endpoint(settings.base_url, "api/chat"), headers: Vec::new(), body }
}

fn think(effort: ReasoningEffort) -> Value {
    match effort {
        ReasoningEffort::None => json!(false),
        ReasoningEffort::Low => json!("low"),
        ReasoningEffort::Medium => json!("medium"),
        ReasoningEffort::High => json!("high"),
    }
}

fn message(message: &ModelMessage) -> Value {
    match message {
        ModelMessage::User { text, media } => {
            let mut message = json!({"role": "user", "content": text});
            let images: Vec<Value> = media.iter().filter(|file| is_image(file)).map(|file| json!(file.data)).collect();
            set(&mut message, "images", (!images.is_empty()).then_some(images));
            message
        }
        ModelMessage::Assistant { text, calls, .. } => {
            let mut message = json!({"role": "assistant", "content": text});
            let calls = calls.iter().map(|call| json!({"function": {"name": call.name, "arguments": arguments(call)}}));
            let calls: Vec<Value> = calls.collect();
            set(&mut message, "tool_calls", (!calls.is_empty()).then_some(calls));
            message
        }
        ModelMessage::Tool { text, .. } => json!({"role": "tool", "content": text}),
    }
}

/// Decodes the lines of an answer.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    calls: usize,
}

impl super::AnswerDecoder for Decoder {
    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn decode(&mut self, line: Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        if line["error"].is_string() || line["error"].is_object() {
            return Err(DecodeError::Reported(line));
        }
        let message = &line["message"];
        let reasoning = text(message, "thinking").or(text(message, "reasoning_content"));
        events.extend(reasoning.map(|text| ModelEvent::Reasoning(text.to_owned())));
        events.extend(text(message, "content").map(|text| ModelEvent::Text(text.to_owned())));
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let Some(name) = function["name"].as_str() else {
                return Err(DecodeError::Malformed("a tool call without a name"));
            };
            if self.calls == super::MAX_CALLS {
                return Err(DecodeError::Malformed("more tool calls than an answer may have"));
            }
            events.push_back(ModelEvent::Call {
                index: self.calls,
                id: text(call, "id").map(str::to_owned),
                name: Some(name.to_owned()),
                arguments: match &function["arguments"] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    arguments => arguments.to_string(),
                },
            });
            self.calls += 1;
        }
        if line["done"] == true {
            let reason = line["done_reason"].as_str().map_or(EndReason::Stop, end_reason);
            events.push_back(ModelEvent::End(ModelEnd { reason, usage: usage(&line), provider_state: None }));
        }
        Ok(())
    }
}

fn usage(line: &Value) -> Option<Usage> {
    let (input, output) = (line["prompt_eval_count"].as_u64(), line["eval_count"].as_u64());
    non_empty(Usage {
        input_tokens: input,
        output_tokens: output,
        total_tokens: input.zip(output).map(|(input, output)| input + output),
        cached_input_tokens: super::detail(line, "prompt_eval_cached_count"),
        ..Usage::default()
    })
}
