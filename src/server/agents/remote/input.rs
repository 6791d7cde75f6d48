//! Builds the input of a remote agent: the conversation with its files, the state, context and tools.
//!
//! The content of a message without files is a string. A file within the configured limits becomes a part with its bytes; any other
//! becomes a text part with its name, type and size, and the reason why it is not sent.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::custom_interrupts;
use crate::server::{
    agents::attached::{AttachedFile, Bounds, Budget, Head, base64, describe},
    runs::{CallerInput, RunInput},
};
use crate::{
    protocol::{
        RunId,
        agui::{ContentPart, Interrupt, Message, Resume, RunAgentInput, ToolContent},
    },
    server::config::agents::AgUiConfig,
    thread::{RunState, ThreadView},
};

/// What one request of a run sends.
#[derive(Debug)]
pub(super) struct Prompt {
    pub(super) run_id: RunId,
    pub(super) messages: Vec<Message>,
    pub(super) resume: Vec<Resume>,
}

impl Prompt {
    /// The history and answers of a run.
    pub(super) fn for_run(input: &RunInput) -> Self {
        Self { run_id: input.run_id, messages: input.history(), resume: input.resume.clone() }
    }

    /// The cancellation of the interrupts that the user ignored by sending a message; `None` if there are none. It is sent before
    /// the message.
    pub(super) fn cancellation(input: &RunInput) -> Option<Self> {
        let is_answered = input.thread.run(input.run_id).is_none_or(|run| run.resumes.is_some());
        if input.resume.is_empty() || is_answered {
            return None;
        }
        let mut all = Self::for_run(input);
        all.messages.pop_if(|last| matches!(last, Message::User { .. }));
        Some(Self { run_id: RunId::new(), ..all })
    }

    /// The message, after the cancellation; `thread` includes the events with which the agent responded to the cancellation.
    pub(super) fn after_cancellation(input: &RunInput, thread: &ThreadView) -> Self {
        let messages = thread.history_after_cancellation(input.run_id);
        Self { run_id: input.run_id, messages, resume: Vec::new() }
    }
}

/// The input of a request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) input: RunAgentInput,
    /// The bytes of its files, in base64.
    pub(super) file_bytes: usize,
}

/// Builds a request. Absent fields are sent as empty ones, because older frameworks require them.
pub(super) async fn request(prompt: Prompt, input: &RunInput, config: &AgUiConfig) -> Request {
    let empty = || Value::Object(Map::new());
    let CallerInput { tools, context, forwarded_props, .. } = input.caller.clone();
    let Prompt { run_id, mut messages, mut resume } = prompt;
    let command = custom_interrupts::take_command(&mut resume, open_interrupts(input));
    messages.extend(custom_interrupts::take_results(&mut resume, open_interrupts(input)));
    let forwarded_props = match command {
        Some(answer) => with_command(forwarded_props, answer),
        None => forwarded_props.unwrap_or_else(empty),
    };
    let bounds = Bounds { per_file: config.max_file_bytes, total: config.max_request_file_bytes };
    let file_bytes = attach(&mut messages, input, bounds).await;
    let input = RunAgentInput {
        thread_id: input.thread_id.to_string(),
        run_id: run_id.to_string(),
        protocol_version: Some("1.0".into()),
        parent_run_id: input.parent_run_id.map(|id| id.to_string()),
        messages,
        state: input.state().map_or_else(empty, Arc::unwrap_or_clone),
        tools,
        context,
        forwarded_props,
        resume: Some(resume).filter(|resume| !resume.is_empty()),
    };
    Request { input, file_bytes }
}

/// Adds an answer as `command.resume` to forwarded props. Values that are not objects are replaced by objects.
fn with_command(forwarded_props: Option<Value>, answer: Value) -> Value {
    let object = |value: Option<Value>| if let Some(Value::Object(fields)) = value { fields } else { Map::new() };
    let mut props = object(forwarded_props);
    let mut command = object(props.remove("command"));
    command.insert("resume".into(), answer);
    props.insert("command".into(), Value::Object(command));
    Value::Object(props)
}

/// The interrupts of the previous run.
fn open_interrupts(input: &RunInput) -> &[Interrupt] {
    match input.parent_run_id.and_then(|run| input.thread.run(run)).map(|run| &run.state) {
        Some(RunState::Interrupted { interrupts }) => interrupts,
        _ => &[],
    }
}

/// Adds the files of messages after their text; returns the number of their bytes in base64.
async fn attach(messages: &mut [Message], input: &RunInput, bounds: Bounds) -> usize {
    let (mut budget, mut file_bytes) = (Budget::new(bounds), 0);
    let mut parts: HashMap<String, Vec<Value>> = HashMap::new();
    for attached in input.attached_files(messages) {
        let part = file_part(&attached, &mut budget, &mut file_bytes).await;
        parts.entry(attached.message).or_default().push(json!(part));
    }
    for message in messages {
        if let Message::User { id, content, .. } = message
            && let Some(files) = parts.remove(id)
        {
            let text = std::mem::replace(content, ToolContent::Parts(Vec::new()));
            let text_parts = match text {
                ToolContent::Text(text) => vec![json!(ContentPart::Text { text })],
                ToolContent::Parts(parts) => parts,
            };
            *content = ToolContent::Parts(text_parts.into_iter().chain(files).collect());
        }
    }
    file_bytes
}

async fn file_part(
    AttachedFile { file, .. }: &AttachedFile,
    budget: &mut Budget,
    file_bytes: &mut usize,
) -> ContentPart {
    let mime_type = Head::read(file).await.mime_type;
    let bytes = match budget.take(file) {
        Ok(()) => base64(file).await,
        Err(reason) => Err(reason),
    };
    match bytes {
        Ok(bytes) => {
            *file_bytes += bytes.len();
            ContentPart::data(&mime_type, bytes, &file.attachment.name)
        }
        Err(reason) => ContentPart::Text {
            text: format!("[Attached file: {}. It is not sent, because {reason}.]", describe(file, &mime_type)),
        },
    }
}

/// Replaces the files of users' messages in a restated conversation by their names, because they are stored already.
pub(super) fn strip_file_bytes(messages: &mut [Value]) {
    let from_users = messages.iter_mut().filter(|message| message["role"] == "user");
    let parts = from_users.filter_map(|message| message.get_mut("content")?.as_array_mut());
    for part in parts.flatten().filter(|part| part["source"]["type"] == "data") {
        let (mime_type, name) = (&part["source"]["mimeType"], &part["metadata"]["filename"]);
        let [mime_type, name] =
            [(mime_type, "unknown"), (name, "a file")].map(|(value, default)| value.as_str().unwrap_or(default));
        *part = json!(ContentPart::Text { text: format!("[Attached file: {name}, {mime_type}.]") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_added_to_any_forwarded_props() {
        let with = |props: Value| with_command(Some(props), json!("yes"));
        let only_answer = json!({"command": {"resume": "yes"}});
        assert_eq!(
            [with(json!("x")), with(json!({"command": "go"})), with_command(None, json!("yes"))],
            [(); 3].map(|()| only_answer.clone())
        );
        let merged = with(json!({"theme": "dark", "command": {"goto": "a", "resume": "no"}}));
        assert_eq!(merged, json!({"theme": "dark", "command": {"goto": "a", "resume": "yes"}}));
    }

    #[test]
    fn restated_files_of_users_are_replaced_by_their_names() {
        let named = ContentPart::data("image/png", "aGk=".into(), "photo.png");
        let unnamed = json!({"type": "document", "source": {"type": "data", "value": "aGk=", "mimeType": "text/csv"}});
        let linked = json!({"type": "image", "source": {"type": "url", "value": "https://example.com/a.png"}});
        let mut messages = vec![
            json!({"role": "user", "id": "1", "content": [{"type": "text", "text": "look"}, named, unnamed, linked]}),
            json!({"role": "assistant", "id": "2", "content": "I see"}),
            json!({"role": "tool", "id": "3", "toolCallId": "a", "content": [named]}),
        ];
        let tool_message = messages[2].clone();
        strip_file_bytes(&mut messages);
        let text = |text: &str| json!({"type": "text", "text": text});
        let expected = [
            text("look"),
            text("[Attached file: photo.png, image/png.]"),
            text("[Attached file: a file, text/csv.]"),
            linked,
        ];
        assert_eq!(messages[0]["content"], json!(expected));
        assert_eq!(messages[1]["content"], "I see");
        assert_eq!(messages[2], tool_message, "images of the agent are kept");
    }
}
