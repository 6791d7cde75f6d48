//! Events of OpenAI's Responses API, where the reader behind this passes over what they say: refusals, failures with their
//! words, and a response that is not streamed.

use serde_json::{Value, json};

/// An event, as the events that the reader understands.
pub(super) fn rewrite(mut event: Value) -> Vec<Value> {
    match event["type"].as_str() {
        Some("response.refusal.delta") => {
            event["type"] = "response.output_text.delta".into();
            vec![event]
        }
        Some("response.failed") if event["response"]["error"].is_object() => {
            vec![error(event["response"]["error"].take())]
        }
        Some(_) => vec![event],
        None if event["object"] == "response" => whole(event),
        None if event["error"].is_object() => vec![error(event["error"].take())],
        None => vec![event],
    }
}

fn error(mut error: Value) -> Value {
    error["type"] = "error".into();
    error
}

/// A response that came as one body.
fn whole(mut response: Value) -> Vec<Value> {
    if response["error"].is_object() {
        return vec![error(response["error"].take())];
    }
    let mut events = Vec::new();
    for (at, item) in response["output"].as_array().into_iter().flatten().enumerate() {
        let parts = |key: &str| item[key].as_array().cloned().unwrap_or_default();
        match item["type"].as_str() {
            Some("message") => events.extend(parts("content").into_iter().filter_map(|part| {
                let text = part["text"].as_str().or(part["refusal"].as_str())?;
                Some(json!({"type": "response.output_text.delta", "delta": text}))
            })),
            Some("reasoning") => events.extend(parts("summary").into_iter().filter_map(|part| {
                Some(json!({"type": "response.reasoning_summary_text.delta", "delta": part["text"].as_str()?}))
            })),
            Some("function_call") => {
                let mut begun = item.clone();
                begun["arguments"] = "".into();
                events.push(json!({"type": "response.output_item.added", "output_index": at, "item": begun}));
                let arguments = &item["arguments"];
                let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
                events.push(json!({
                    "type": "response.function_call_arguments.delta", "output_index": at, "delta": arguments,
                }));
            }
            _ => {}
        }
    }
    let last = if response["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
    events.push(json!({"type": last, "response": response}));
    events
}
