//! Our requests as genai's, and what of an answer goes back to its provider with them.

use genai::chat::{ChatMessage, ChatRequest, ContentPart, CustomPart, MessageContent, Tool, ToolCall, ToolResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::server::agents::model::provider::{Media, ModelMessage, ModelRequest};

/// What a provider wants back of its answer beside the words and the calls, which are ours to say.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Thoughts {
    /// Signed or encrypted thoughts, which stand before all else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<ContentPart>,
    /// What is signed of each call, where that is not the thoughts' own signatures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<Option<Vec<String>>>,
}

/// See [`ModelMessage::Assistant::native`]. Nothing where there is nothing to give back; `always`: also then.
pub(super) fn native(answer: MessageContent, always: bool) -> Option<Value> {
    let mut thoughts = Thoughts::default();
    for part in answer.into_parts() {
        match part {
            ContentPart::Text(_) => {}
            ContentPart::ToolCall(call) => thoughts.calls.push(call.thought_signatures),
            // genai cannot read back which model it came from, and asks nobody to say so.
            ContentPart::Custom(part) => thoughts.parts.push(CustomPart { model_iden: None, ..part }.into()),
            part => thoughts.parts.push(part),
        }
    }
    // genai repeats the thoughts' signatures at the first call.
    let repeated = signatures(&thoughts.parts);
    thoughts.calls.iter_mut().take(1).filter(|call| **call == repeated).for_each(|call| *call = None);
    if thoughts.calls.iter().all(Option::is_none) {
        thoughts.calls.clear();
    }
    let something = always || !thoughts.parts.is_empty() || !thoughts.calls.is_empty();
    something.then(|| serde_json::to_value(thoughts).ok()).flatten()
}

fn signatures(parts: &[ContentPart]) -> Option<Vec<String>> {
    let signatures: Vec<_> = parts.iter().filter_map(ContentPart::as_thought_signature).map(str::to_owned).collect();
    Some(signatures).filter(|signatures| !signatures.is_empty())
}

/// Whether the last calls still have what their provider signed: Anthropic takes reasoning only then.
pub(super) fn is_signed(messages: &[ModelMessage]) -> bool {
    messages
        .iter()
        .rev()
        .take_while(|message| !matches!(message, ModelMessage::User { .. }))
        .all(|message| !matches!(message, ModelMessage::Assistant { calls, native: None, .. } if !calls.is_empty()))
}

pub(super) fn chat(request: ModelRequest) -> ChatRequest {
    let tools: Vec<Tool> = request
        .tools
        .into_iter()
        .map(|tool| Tool::new(tool.name).with_description(tool.description).with_schema(tool.parameters))
        .collect();
    let mut chat = ChatRequest::new(request.messages.into_iter().map(message).collect());
    chat.system = Some(request.system).filter(|system| !system.is_empty());
    chat.tools = Some(tools).filter(|tools| !tools.is_empty());
    chat
}

fn message(message: ModelMessage) -> ChatMessage {
    match message {
        ModelMessage::User { text, media } => {
            let binary = |file: Media| ContentPart::from_binary_base64(file.mime_type, file.data, Some(file.name));
            let parts = std::iter::once(ContentPart::Text(text)).chain(media.into_iter().map(binary));
            ChatMessage::user(MessageContent::from_parts(parts.collect::<Vec<_>>()))
        }
        ModelMessage::Tool { call_id, name, text } => ToolResponse::new(call_id, text).with_fn_name(name).into(),
        ModelMessage::Assistant { text, calls, native } => {
            let Thoughts { mut parts, calls: signed } =
                native.and_then(|native| serde_json::from_value(native).ok()).unwrap_or_default();
            let mut signed = signed.into_iter().chain(std::iter::repeat(None));
            let mut repeated = signatures(&parts);
            parts.extend((!text.is_empty()).then_some(ContentPart::Text(text)));
            parts.extend(calls.into_iter().map(|call| {
                ContentPart::ToolCall(ToolCall {
                    call_id: call.id,
                    fn_name: call.name,
                    fn_arguments: serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({})),
                    thought_signatures: signed.next().flatten().or(repeated.take()),
                })
            }));
            ChatMessage::assistant(MessageContent::from_parts(parts))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::agents::model::provider::ModelCall;

    fn call(id: &str, signatures: Option<&[&str]>) -> ToolCall {
        let thought_signatures = signatures.map(|all| all.iter().map(ToString::to_string).collect());
        let (call_id, fn_name, fn_arguments) = (id.to_owned(), "look".to_owned(), json!({"at": id}));
        ToolCall { call_id, fn_name, fn_arguments, thought_signatures }
    }

    /// An answer as its provider gave it, kept and given back.
    fn again(parts: &[ContentPart]) -> (Value, Value) {
        let kept = native(MessageContent::from_parts(parts.to_vec()), true).expect("kept");
        let calls = parts.iter().filter_map(|part| match part {
            ContentPart::ToolCall(call) => Some(ModelCall {
                id: call.call_id.clone(),
                name: call.fn_name.clone(),
                arguments: call.fn_arguments.to_string(),
            }),
            _ => None,
        });
        let said =
            ModelMessage::Assistant { text: "Looking.".into(), calls: calls.collect(), native: Some(kept.clone()) };
        (kept, json!(message(said).content))
    }

    #[test]
    fn what_was_signed_comes_back_where_it_was() {
        let text = || ContentPart::Text("Looking.".into());
        let signature = |text: &str| ContentPart::ThoughtSignature(text.into());
        let anthropic = [
            signature("one"),
            ContentPart::ReasoningContent("hm".into()),
            signature("two"),
            ContentPart::ReasoningContent("so".into()),
            ContentPart::Custom(CustomPart {
                model_iden: None,
                data: json!({"type": "redacted_thinking", "data": "x"}),
            }),
            text(),
            ContentPart::ToolCall(call("a", Some(&["one", "two"]))),
            ContentPart::ToolCall(call("b", None)),
        ];
        let gemini =
            [text(), call("a", Some(&["one"])).into(), call("b", None).into(), call("c", Some(&["two"])).into()];
        let openai = [signature("blob"), text(), call("a", Some(&["blob"])).into()];
        for answer in [&anthropic[..], &gemini[..], &openai[..]] {
            let (kept, back) = again(answer);
            assert_eq!(back, json!(MessageContent::from_parts(answer.to_vec())));
            let kept = kept.to_string();
            assert!(!kept.contains("Looking") && !kept.contains("look"), "{kept}");
            assert!(kept.matches("one").count() + kept.matches("blob").count() <= 1, "once: {kept}");
        }
    }

    #[test]
    fn an_answer_without_thoughts_keeps_nothing_unless_asked_to() {
        let parts = vec![ContentPart::Text("Hm.".into()), call("a", None).into()];
        assert_eq!(native(MessageContent::from_parts(parts.clone()), false), None);
        assert_eq!(native(MessageContent::from_parts(parts), true), Some(json!({})));
    }
}
