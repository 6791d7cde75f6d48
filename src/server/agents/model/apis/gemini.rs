//! Google's Gemini API: `POST models/<model>:streamGenerateContent`, answered in server-sent events.
//!
//! Parts of an answer carry signatures of the model's thoughts, which go back with the parts.

use std::collections::{HashSet, VecDeque};

use serde_json::{Value, json};

use super::{AnswerDecoder, ApiRequest, DecodeError, Settings, arguments, end_reason, endpoint, non_empty, set, text};
use crate::{
    protocol::agui::Usage,
    server::{
        agents::model::{
            provider::{EndReason, ModelCall, ModelEnd, ModelEvent, ModelMessage, ModelRequest},
            provider_state::{ProviderState, StatePart},
        },
        config::agents::ReasoningEffort,
    },
};

/// What Gemini 3 takes in place of the signature of an answer's first call, if there is none.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Writes a request.
pub(super) fn request(settings: Settings<'_>, request: &ModelRequest) -> ApiRequest {
    let model = settings.model;
    let mut generation = json!({"thinkingConfig": {"includeThoughts": true}});
    if let Some(effort) = settings.reasoning_effort {
        let thinking = &mut generation["thinkingConfig"];
        match ["gemini-3", "gemma-4"].iter().any(|name| model.contains(name)) {
            true => set(thinking, "thinkingLevel", thinking_level(effort)),
            false => set(thinking, "thinkingBudget", thinking_budget(effort)),
        }
    }
    set(&mut generation, "temperature", request.options.temperature);
    set(&mut generation, "maxOutputTokens", request.options.max_output_tokens);
    let mut body = json!({"generationConfig": generation});
    let system = (!request.system.is_empty()).then(|| json!({"parts": [{"text": request.system}]}));
    set(&mut body, "systemInstruction", system);
    let tools = request.tools.iter().map(
        |tool| json!({"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}),
    );
    let declarations = || json!([{"functionDeclarations": tools.collect::<Vec<_>>()}]);
    set(&mut body, "tools", (!request.tools.is_empty()).then(declarations));
    body["contents"] = contents(&request.messages, model.contains("gemini-3")).into();
    let mut url = endpoint(settings.base_url, &format!("models/{model}:streamGenerateContent"));
    url.query_pairs_mut().append_pair("alt", "sse");
    let headers = vec![("x-goog-api-key", settings.api_key.unwrap_or("none").to_owned())];
    ApiRequest { url, headers, body }
}

const fn thinking_level(effort: ReasoningEffort) -> Option<&'static str> {
    match effort {
        ReasoningEffort::None => None,
        ReasoningEffort::Low => Some("LOW"),
        ReasoningEffort::Medium => Some("MEDIUM"),
        ReasoningEffort::High => Some("HIGH"),
    }
}

/// The tokens that models before Gemini 3 may think.
const fn thinking_budget(effort: ReasoningEffort) -> Option<u32> {
    match effort {
        ReasoningEffort::None => None,
        ReasoningEffort::Low => Some(1_000),
        ReasoningEffort::Medium => Some(8_000),
        ReasoningEffort::High => Some(24_000),
    }
}

/// The conversation. All results of an answer's calls are in one message.
fn contents(messages: &[ModelMessage], wants_signature: bool) -> Vec<Value> {
    let mut call_ids = HashSet::new();
    let mut contents: Vec<Value> = Vec::new();
    let mut is_after_result = false;
    for message in messages {
        let is_result = matches!(message, ModelMessage::Tool { .. });
        match message {
            ModelMessage::User { text, media } => {
                let file =
                    media.iter().map(|file| json!({"inline_data": {"mime_type": file.mime_type, "data": file.data}}));
                let parts: Vec<Value> = std::iter::once(json!({"text": text})).chain(file).collect();
                contents.push(json!({"role": "user", "parts": parts}));
            }
            ModelMessage::Assistant { text, calls, provider_state } => {
                call_ids.extend(calls.iter().map(|call| call.id.as_str()));
                let state = ProviderState::from_value(provider_state.as_ref());
                let parts = model_parts(text, calls, state, wants_signature);
                if !parts.is_empty() {
                    contents.push(json!({"role": "model", "parts": parts}));
                }
            }
            ModelMessage::Tool { call_id, name, text } => {
                let mut response = json!({"name": name, "response": {"name": name, "content": text}});
                set(&mut response, "id", given_id(call_id).filter(|id| call_ids.contains(id)));
                let part = json!({"functionResponse": response});
                let last = contents.last_mut().filter(|_| is_after_result);
                match last.and_then(|last| last["parts"].as_array_mut()) {
                    Some(parts) => parts.push(part),
                    None => contents.push(json!({"role": "user", "parts": [part]})),
                }
            }
        }
        is_after_result = is_result;
    }
    contents
}

/// The parts of an answer, with their signatures.
fn model_parts(text: &str, calls: &[ModelCall], state: ProviderState, wants_signature: bool) -> Vec<Value> {
    let mut of_calls = state.calls.iter().map(|signatures| signatures.as_ref().and_then(|all| all.first()).cloned());
    let mut signatures: Vec<Option<String>> = calls.iter().map(|_| of_calls.next().flatten()).collect();
    // The first call has the first signature of the answer, unless it has one of its own.
    if let Some(first) = signatures.first_mut().filter(|first| first.is_none()) {
        *first = state.signatures().next().map(str::to_owned);
    }
    let of_text = state.signatures().filter(|it| !signatures.iter().flatten().any(|of_call| of_call == it)).last();
    let of_text = of_text.map(str::to_owned);
    let mut parts = Vec::new();
    if !text.is_empty() {
        let mut part = json!({"text": text});
        set(&mut part, "thoughtSignature", of_text);
        parts.push(part);
    }
    for (at, (call, signature)) in calls.iter().zip(signatures).enumerate() {
        let mut function = json!({"name": call.name, "args": arguments(call)});
        set(&mut function, "id", given_id(&call.id));
        let mut part = json!({"functionCall": function});
        let placeholder = (at == 0 && wants_signature).then(|| NO_SIGNATURE.to_owned());
        set(&mut part, "thoughtSignature", signature.or(placeholder));
        parts.push(part);
    }
    parts
}

/// The id of a call that came without one.
fn generated_id(name: &str, index: usize) -> String {
    format!("call#{name}#{index}")
}

/// The id of a call, unless it was generated here: Gemini matches calls without ids to their results by order.
fn given_id(id: &str) -> Option<&str> {
    let is_made_up = id
        .strip_prefix("call#")
        .and_then(|rest| rest.rsplit_once('#'))
        .is_some_and(|(name, index)| !name.is_empty() && index.parse::<usize>().is_ok());
    (!id.is_empty() && !is_made_up).then_some(id)
}

/// Decodes the chunks of an answer.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The signatures of each call.
    calls: Vec<Option<Vec<String>>>,
    /// The signatures of other parts.
    signatures: Vec<String>,
    usage: Option<Usage>,
}

impl AnswerDecoder for Decoder {
    fn decode(&mut self, chunk: Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        if chunk.get("error").is_some() {
            return Err(DecodeError::Reported(chunk));
        }
        if let Some(usage) = chunk.get("usageMetadata") {
            self.usage = usage_of(usage).or(self.usage.take());
        }
        let candidate = chunk.pointer("/candidates/0").unwrap_or(&Value::Null);
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            self.part(part, events)?;
        }
        let blocked = chunk.pointer("/promptFeedback/blockReason").filter(|_| candidate.is_null());
        let reason = match (text(candidate, "finishReason"), blocked) {
            (Some(reason), _) => end_reason(reason),
            (None, Some(Value::String(_))) => EndReason::Filtered,
            (None, _) => return Ok(()),
        };
        let provider_state = self.take_state().to_value_unless_empty();
        events.push_back(ModelEvent::End(ModelEnd { reason, usage: self.usage.take(), provider_state }));
        Ok(())
    }
}

impl Decoder {
    fn part(&mut self, part: &Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError> {
        let signature = text(part, "thoughtSignature").map(str::to_owned);
        if let Some(call) = part.get("functionCall") {
            if self.calls.len() == super::MAX_CALLS {
                return Err(DecodeError::Malformed("more tool calls than an answer may have"));
            }
            let (index, name) = (self.calls.len(), call["name"].as_str().unwrap_or_default());
            self.calls.push(signature.map(|signature| vec![signature]));
            let id = text(call, "id").map_or_else(|| generated_id(name, index), str::to_owned);
            let arguments = call.get("args").filter(|args| !args.is_null()).map_or(String::new(), Value::to_string);
            events.push_back(ModelEvent::Call { index, id: Some(id), name: Some(name.to_owned()), arguments });
            return Ok(());
        }
        self.signatures.extend(signature);
        let is_thought = part["thought"] == true;
        let event = if is_thought { ModelEvent::Reasoning } else { ModelEvent::Text };
        events.extend(text(part, "text").map(|text| event(text.to_owned())));
        Ok(())
    }

    fn take_state(&mut self) -> ProviderState {
        let mut calls = std::mem::take(&mut self.calls);
        if calls.iter().all(Option::is_none) {
            calls.clear();
        }
        let parts = std::mem::take(&mut self.signatures).into_iter().map(StatePart::ThoughtSignature).collect();
        ProviderState { parts, calls }
    }
}

/// Gemini does not count thoughts as output; we do. What its own tools read counts as input.
fn usage_of(usage: &Value) -> Option<Usage> {
    let tokens = |field: &str| usage[field].as_u64();
    let sum = |one: Option<u64>, other: Option<u64>| one.map(|one| one + other.unwrap_or(0)).or(other);
    let (answer, thoughts) = (tokens("candidatesTokenCount"), tokens("thoughtsTokenCount"));
    non_empty(Usage {
        input_tokens: sum(tokens("promptTokenCount"), tokens("toolUsePromptTokenCount")),
        output_tokens: answer.map(|answer| answer + thoughts.unwrap_or(0)),
        total_tokens: tokens("totalTokenCount"),
        reasoning_tokens: thoughts,
        cached_input_tokens: tokens("cachedContentTokenCount"),
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> ModelCall {
        ModelCall { id: id.into(), name: "look".into(), arguments: json!({"at": id}).to_string() }
    }

    #[test]
    fn signatures_are_sent_back_with_their_calls() {
        let function = |id: &str| json!({"id": id, "name": "look", "args": {"at": id}});
        let parts = json!([
            {"text": "Looking."},
            {"functionCall": function("a"), "thoughtSignature": "one"},
            {"functionCall": function("b")},
            {"functionCall": function("c"), "thoughtSignature": "two"},
        ]);
        let mut events = VecDeque::new();
        let chunk = json!({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]});
        Decoder::default().decode(chunk, &mut events).expect("a chunk");
        let Some(ModelEvent::End(end)) = events.pop_back() else { panic!("no end") };
        let kept = end.provider_state.expect("a state");
        assert_eq!(kept, json!({"calls": [["one"], null, ["two"]]}), "text and calls are kept elsewhere");
        let calls = ["a", "b", "c"].map(call);
        let back = model_parts("Looking.", &calls, ProviderState::from_value(Some(&kept)), false);
        assert_eq!(json!(back), parts);
    }

    #[test]
    fn the_first_call_has_the_signature_of_the_answer_or_a_placeholder() {
        let state = || ProviderState { parts: vec![StatePart::ThoughtSignature("one".into())], calls: Vec::new() };
        let signature = |text: &str, state, wants: bool| {
            let parts = model_parts(text, &[call("a"), call("b")], state, wants);
            parts.iter().map(|part| part["thoughtSignature"].as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(signature("", state(), false), [some("one"), None]);
        assert_eq!(signature("", ProviderState::default(), true), [some(NO_SIGNATURE), None]);
        assert_eq!(signature("", ProviderState::default(), false), [None, None]);
        assert_eq!(json!(model_parts("Hm.", &[], state(), true)), json!([{"text": "Hm.", "thoughtSignature": "one"}]));
    }

    #[test]
    fn a_call_without_an_id_is_sent_back_without_one() {
        let calls = [ModelCall { id: generated_id("look", 0), ..call("a") }];
        let result = |id: &str| ModelMessage::Tool { call_id: id.into(), name: "look".into(), text: "nothing".into() };
        let answer = ModelMessage::Assistant { text: String::new(), calls: calls.to_vec(), provider_state: None };
        let contents = contents(&[answer, result(&calls[0].id), result("other")], false);
        assert_eq!(contents.len(), 2, "results of one answer are one message: {contents:?}");
        assert!(!json!(contents).to_string().contains("\"id\""), "{contents:?}");
    }

    #[test]
    fn a_blocked_prompt_is_filtered() {
        let mut events = VecDeque::new();
        let chunk = json!({"promptFeedback": {"blockReason": "SAFETY"}});
        Decoder::default().decode(chunk, &mut events).expect("a chunk");
        assert!(matches!(&events[0], ModelEvent::End(end) if end.reason == EndReason::Filtered), "{events:?}");
    }
}
