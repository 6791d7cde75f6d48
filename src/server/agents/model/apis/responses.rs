//! OpenAI's Responses API: `POST responses`, answered in server-sent events, each with its type in its data.
//!
//! Nothing is stored at OpenAI: encrypted thoughts come with an answer and go back before it.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{
    AnswerDecoder, ApiRequest, DecodeError, Settings, arguments, bearer, chat_completions::effort_name, data_url,
    detail, end_reason, endpoint, is_image, non_empty, set, text,
};
use crate::{
    protocol::agui::Usage,
    server::agents::model::{
        provider::{EndReason, Media, ModelEnd, ModelEvent, ModelMessage, ModelRequest},
        provider_state::{ProviderState, StatePart},
    },
};

/// Writes a request.
pub(super) fn request(settings: Settings<'_>, request: &ModelRequest) -> ApiRequest {
    let model = settings.model;
    let mut body = json!({"store": false, "model": model, "stream": true});
    let explicit = settings.base_url.host_str() == Some("api.openai.com") && super::needs_explicit_cache(model);
    set(&mut body, "prompt_cache_options", explicit.then(|| json!({"mode": "explicit"})));
    set(&mut body, "instructions", Some(request.system.as_str()).filter(|system| !system.is_empty()));
    let mut reasoning = json!({"summary": "detailed"});
    set(&mut reasoning, "effort", settings.reasoning_effort.map(effort_name));
    body["reasoning"] = reasoning;
    body["include"] = json!(["reasoning.encrypted_content"]);
    let tools = request.tools.iter().map(|tool| {
        let (name, description, parameters) = (&tool.name, &tool.description, &tool.parameters);
        json!({"type": "function", "name": name, "parameters": parameters, "description": description})
    });
    set(&mut body, "tools", (!request.tools.is_empty()).then(|| tools.collect::<Vec<_>>()));
    body["input"] = request.messages.iter().flat_map(items).collect();
    set(&mut body, "text", request.options.json.then(|| json!({"format": {"type": "json_object"}})));
    set(&mut body, "temperature", request.options.temperature);
    set(&mut body, "max_output_tokens", request.options.max_output_tokens);
    ApiRequest { url: endpoint(settings.base_url, "responses"), headers: bearer(settings.api_key), body }
}

/// The items of a message.
fn items(message: &ModelMessage) -> Vec<Value> {
    match message {
        ModelMessage::User { text, media } if media.is_empty() => vec![json!({"role": "user", "content": text})],
        ModelMessage::User { text, media } => {
            let text = json!({"type": "input_text", "text": text});
            let parts: Vec<Value> = std::iter::once(text).chain(media.iter().map(file)).collect();
            vec![json!({"role": "user", "content": parts})]
        }
        ModelMessage::Assistant { text, calls, provider_state } => {
            let state = ProviderState::from_value(provider_state.as_ref());
            let thought = |thought: &str| json!({"type": "reasoning", "encrypted_content": thought, "summary": []});
            let mut items: Vec<Value> = state.signatures().map(thought).collect();
            if !text.is_empty() {
                let content = json!([{"type": "output_text", "text": text}]);
                items.push(json!({"type": "message", "role": "assistant", "content": content}));
            }
            items.extend(calls.iter().map(|call| {
                let arguments = arguments(call).to_string();
                json!({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments})
            }));
            items
        }
        ModelMessage::Tool { call_id, text, .. } => {
            vec![json!({"type": "function_call_output", "call_id": call_id, "output": text})]
        }
    }
}

fn file(file: &Media) -> Value {
    if is_image(file) {
        return json!({"type": "input_image", "detail": "auto", "image_url": data_url(file)});
    }
    json!({"type": "input_file", "filename": file.name, "file_data": data_url(file)})
}

/// Decodes the events of an answer.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    calls: Vec<Call>,
    thoughts: Vec<String>,
}

/// A tool call of this answer.
#[derive(Debug)]
struct Call {
    /// Its place among the answer's items.
    output_index: u64,
    /// How many bytes of its arguments were handed on.
    bytes: usize,
}

impl AnswerDecoder for Decoder {
    fn decode(&mut self, mut event: Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        let index = event["output_index"].as_u64().unwrap_or(0);
        match event["type"].as_str() {
            Some("response.output_text.delta" | "response.refusal.delta") => {
                events.extend(text(&event, "delta").map(|text| ModelEvent::Text(text.to_owned())));
            }
            Some("response.reasoning_text.delta" | "response.reasoning_summary_text.delta") => {
                events.extend(text(&event, "delta").map(|text| ModelEvent::Reasoning(text.to_owned())));
            }
            Some("response.output_item.added") if event["item"]["type"] == "function_call" => {
                self.begin_call(index, &event["item"], events)?;
            }
            Some("response.function_call_arguments.delta") => {
                let delta = event["delta"].as_str().unwrap_or_default();
                events.extend(self.more_arguments(index, delta));
            }
            Some("response.output_item.done") => self.finish_item(index, &event["item"], events)?,
            Some("response.completed" | "response.incomplete") => self.finish(&event["response"], events)?,
            Some("response.failed") if event["response"]["error"].is_object() => {
                return Err(DecodeError::Reported(event["response"]["error"].take()));
            }
            Some("response.failed") => return Err(DecodeError::Malformed("a response that failed without an error")),
            Some("error") => return Err(DecodeError::Reported(event)),
            // The whole response, if the server does not stream.
            None if event["object"] == "response" => self.body(&event, events)?,
            None if event["error"].is_object() => return Err(DecodeError::Reported(event["error"].take())),
            _ => {}
        }
        Ok(())
    }
}

impl Decoder {
    fn begin_call(&mut self, at: u64, item: &Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        if self.calls.len() == super::MAX_CALLS {
            return Err(DecodeError::Malformed("more tool calls than an answer may have"));
        }
        let name = item["name"].as_str().unwrap_or_default().to_owned();
        let id = text(item, "call_id").map(str::to_owned);
        let index = self.calls.len();
        events.push_back(ModelEvent::Call { index, id, name: Some(name), arguments: String::new() });
        self.calls.push(Call { output_index: at, bytes: 0 });
        Ok(())
    }

    fn more_arguments(&mut self, at: u64, arguments: &str) -> Option<ModelEvent> {
        let index = self.calls.iter().position(|call| call.output_index == at)?;
        self.calls[index].bytes += arguments.len();
        Some(ModelEvent::Call { index, id: None, name: None, arguments: arguments.to_owned() })
    }

    /// Emits the parts of a complete item that did not arrive in deltas.
    fn finish_item(&mut self, at: u64, item: &Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        match item["type"].as_str() {
            Some("reasoning") => self.thoughts.extend(text(item, "encrypted_content").map(str::to_owned)),
            Some("function_call") => {
                if !self.calls.iter().any(|call| call.output_index == at) {
                    self.begin_call(at, item, events)?;
                }
                let known = self.calls.iter().find(|call| call.output_index == at).map_or(0, |call| call.bytes);
                let whole = match &item["arguments"] {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    arguments => arguments.to_string(),
                };
                let rest = whole.get(known..).filter(|rest| !rest.is_empty());
                events.extend(rest.and_then(|rest| self.more_arguments(at, rest)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Handles the last event. Items of its response count unless they arrived before.
    fn finish(&mut self, response: &Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        let (no_calls, no_thoughts) = (self.calls.is_empty(), self.thoughts.is_empty());
        for (at, item) in (0..).zip(response["output"].as_array().into_iter().flatten()) {
            let is_new = match item["type"].as_str() {
                Some("function_call") => no_calls,
                Some("reasoning") => no_thoughts,
                _ => false,
            };
            if is_new {
                self.finish_item(at, item, events)?;
            }
        }
        let reason = response["status"].as_str().map_or(EndReason::Stop, end_reason);
        let parts = std::mem::take(&mut self.thoughts).into_iter().map(StatePart::ThoughtSignature).collect();
        // Thoughts of an answer that was cut short are not complete.
        let state = Some(ProviderState { parts, calls: Vec::new() }).filter(|_| reason == EndReason::Stop);
        let provider_state = state.and_then(|state| state.to_value_unless_empty());
        events.push_back(ModelEvent::End(ModelEnd { reason, usage: usage(&response["usage"]), provider_state }));
        Ok(())
    }

    fn body(&mut self, response: &Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        if response["error"].is_object() {
            return Err(DecodeError::Reported(response["error"].clone()));
        }
        for item in response["output"].as_array().into_iter().flatten() {
            let parts = |field: &str| item[field].as_array().cloned().unwrap_or_default();
            let of = |part: &Value, field| text(part, field).map(str::to_owned);
            match item["type"].as_str() {
                Some("message") => {
                    let texts = parts("content").into_iter();
                    events.extend(
                        texts.filter_map(|part| of(&part, "text").or(of(&part, "refusal"))).map(ModelEvent::Text),
                    );
                }
                Some("reasoning") => {
                    let texts = parts("summary").into_iter();
                    events.extend(texts.filter_map(|part| of(&part, "text")).map(ModelEvent::Reasoning));
                }
                _ => {}
            }
        }
        self.finish(response, events)
    }
}

fn usage(usage: &Value) -> Option<Usage> {
    let (input, output) = (&usage["input_tokens_details"], &usage["output_tokens_details"]);
    non_empty(Usage {
        input_tokens: usage["input_tokens"].as_u64(),
        output_tokens: usage["output_tokens"].as_u64(),
        total_tokens: usage["total_tokens"].as_u64(),
        reasoning_tokens: detail(output, "reasoning_tokens"),
        cached_input_tokens: detail(input, "cached_tokens"),
        cache_write_input_tokens: detail(input, "cache_write_tokens"),
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What all events of an answer contain.
    fn decode(events: &[Value]) -> Vec<ModelEvent> {
        let (mut decoder, mut decoded) = (Decoder::default(), VecDeque::new());
        events.iter().for_each(|event| decoder.decode(event.clone(), &mut decoded).expect("an event"));
        decoded.into()
    }

    fn item(arguments: &str) -> Value {
        json!({"type": "function_call", "call_id": "c", "name": "look", "arguments": arguments})
    }

    #[test]
    fn a_call_is_complete_however_its_arguments_come() {
        let added = json!({"type": "response.output_item.added", "output_index": 1, "item": item("")});
        let delta = json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{\"at\""});
        let done = json!({"type": "response.output_item.done", "output_index": 1, "item": item("{\"at\":1}")});
        let response = json!({"status": "completed", "output": [{"type": "message"}, item("{\"at\":1}")]});
        let completed = json!({"type": "response.completed", "response": response});
        for events in [
            vec![&added, &delta, &done, &completed],
            vec![&added, &done, &completed],
            vec![&done, &completed],
            vec![&completed],
        ] {
            let decoded = decode(&events.into_iter().cloned().collect::<Vec<_>>());
            let (mut ids, mut whole) = (Vec::new(), String::new());
            for event in &decoded {
                if let ModelEvent::Call { index: 0, id, arguments, .. } = event {
                    ids.extend(id.clone());
                    whole.push_str(arguments);
                }
            }
            assert_eq!((ids.as_slice(), whole.as_str()), (&["c".to_owned()][..], "{\"at\":1}"), "{decoded:?}");
            assert!(matches!(decoded.last(), Some(ModelEvent::End(_))), "{decoded:?}");
        }
    }

    #[test]
    fn encrypted_thoughts_go_back_before_their_answer() {
        let thought = json!({"type": "reasoning", "encrypted_content": "blob"});
        let done = json!({"type": "response.output_item.done", "output_index": 0, "item": thought});
        let completed = json!({"type": "response.completed", "response": {"status": "completed", "output": [thought]}});
        let Some(ModelEvent::End(end)) = decode(&[done, completed]).pop() else { panic!("no end") };
        assert_eq!(end.provider_state, Some(json!({"parts": [{"ThoughtSignature": "blob"}]})), "once");
        let answer =
            ModelMessage::Assistant { text: "Hm.".into(), calls: Vec::new(), provider_state: end.provider_state };
        let items = items(&answer);
        assert_eq!((&items[0]["encrypted_content"], &items[1]["type"]), (&json!("blob"), &json!("message")));
    }
}
