//! What a remote agent is told: the conversation with its files, what it knows and what it may use.
//!
//! Promises: a message without files is a plain string. A file within the configured bounds is a part with its bytes; of any
//! other, a part of text says its name, its type, its size and why it is not sent.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::custom_interrupts;
use crate::server::{
    agents::attached::{Attached, Bounds, Budget, Head, base64, described},
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

/// What is asked in one request of a run.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) run_id: RunId,
    pub(super) messages: Vec<Message>,
    pub(super) resume: Vec<Resume>,
}

impl Question {
    /// All that a run asks.
    pub(super) fn of(input: &RunInput) -> Self {
        Self { run_id: input.run_id, messages: input.history(), resume: input.resume.clone() }
    }

    /// The end of what nobody answered because something else was said, before that is asked.
    pub(super) fn cancellation(input: &RunInput) -> Option<Self> {
        let is_answered = input.thread.run(input.run_id).is_none_or(|run| run.resumes.is_some());
        if input.resume.is_empty() || is_answered {
            return None;
        }
        let mut all = Self::of(input);
        all.messages.pop_if(|last| matches!(last, Message::User { .. }));
        Some(Self { run_id: RunId::new(), ..all })
    }

    /// What was said, after that. `thread`: with what the agent said to it.
    pub(super) fn after_cancellation(input: &RunInput, thread: &ThreadView) -> Self {
        let messages = thread.history_after_cancellation(input.run_id);
        Self { run_id: input.run_id, messages, resume: Vec::new() }
    }
}

/// A request, and how many of its bytes are those of files.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) input: RunAgentInput,
    pub(super) inline: usize,
}

/// What a run's agent is asked. What is absent is said to be empty, since older frameworks want each of it.
pub(super) async fn request(question: Question, input: &RunInput, config: &AgUiConfig) -> Request {
    let empty = || Value::Object(Map::new());
    let CallerInput { tools, context, forwarded_props, .. } = input.caller.clone();
    let Question { run_id, mut messages, mut resume } = question;
    let command = custom_interrupts::command(&mut resume, waited(input));
    messages.extend(custom_interrupts::results(&mut resume, waited(input)));
    let forwarded_props = match command {
        Some(answer) => with_command(forwarded_props, answer),
        None => forwarded_props.unwrap_or_else(empty),
    };
    let bounds = Bounds { each: config.max_file_bytes, all: config.max_request_file_bytes };
    let inline = attach(&mut messages, input, bounds).await;
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
    Request { input, inline }
}

/// What a caller passes on, with an answer as `command.resume`. Where that has no place, what is there makes room for it.
fn with_command(forwarded_props: Option<Value>, answer: Value) -> Value {
    let object = |value: Option<Value>| if let Some(Value::Object(fields)) = value { fields } else { Map::new() };
    let mut props = object(forwarded_props);
    let mut command = object(props.remove("command"));
    command.insert("resume".into(), answer);
    props.insert("command".into(), Value::Object(command));
    Value::Object(props)
}

/// What the run before waits for.
fn waited(input: &RunInput) -> &[Interrupt] {
    match input.parent_run_id.and_then(|run| input.thread.run(run)).map(|run| &run.state) {
        Some(RunState::Interrupted { interrupts }) => interrupts,
        _ => &[],
    }
}

/// Puts the files of messages behind their words; answers how many bytes those take in base64.
async fn attach(messages: &mut [Message], input: &RunInput, bounds: Bounds) -> usize {
    let (mut budget, mut inline) = (Budget::new(bounds), 0);
    let mut parts: HashMap<String, Vec<Value>> = HashMap::new();
    for attached in input.attached(messages) {
        let part = part(&attached, &mut budget, &mut inline).await;
        parts.entry(attached.message).or_default().push(json!(part));
    }
    for message in messages {
        if let Message::User { id, content, .. } = message
            && let Some(files) = parts.remove(id)
        {
            let words = std::mem::replace(content, ToolContent::Parts(Vec::new()));
            let words = match words {
                ToolContent::Text(text) => vec![json!(ContentPart::Text { text })],
                ToolContent::Parts(parts) => parts,
            };
            *content = ToolContent::Parts(words.into_iter().chain(files).collect());
        }
    }
    inline
}

async fn part(Attached { file, .. }: &Attached, budget: &mut Budget, inline: &mut usize) -> ContentPart {
    let mime_type = Head::of(file).await.mime_type;
    let bytes = match budget.take(file) {
        Ok(()) => base64(file).await,
        Err(why) => Err(why),
    };
    match bytes {
        Ok(bytes) => {
            *inline += bytes.len();
            ContentPart::data(&mime_type, bytes, &file.attachment.name)
        }
        Err(why) => ContentPart::Text {
            text: format!("[Attached file: {}. It is not sent, because {why}.]", described(file, &mime_type)),
        },
    }
}

/// A conversation that an agent restates, without the bytes of files that it was sent: they are with people's messages, and
/// are not kept a second time.
pub(super) fn without_bytes(messages: &mut [Value]) {
    let said = messages.iter_mut().filter(|message| message["role"] == "user");
    let parts = said.filter_map(|message| message.get_mut("content")?.as_array_mut());
    for part in parts.flatten().filter(|part| part["source"]["type"] == "data") {
        let (mime_type, name) = (&part["source"]["mimeType"], &part["metadata"]["filename"]);
        let [mime_type, name] =
            [(mime_type, "unknown"), (name, "a file")].map(|(said, else_)| said.as_str().unwrap_or(else_));
        *part = json!(ContentPart::Text { text: format!("[Attached file: {name}, {mime_type}.]") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_finds_its_place_in_whatever_a_caller_passes_on() {
        let with = |props: Value| with_command(Some(props), json!("yes"));
        let bare = json!({"command": {"resume": "yes"}});
        assert_eq!(
            [with(json!("x")), with(json!({"command": "go"})), with_command(None, json!("yes"))],
            [(); 3].map(|()| bare.clone())
        );
        let kept = with(json!({"theme": "dark", "command": {"goto": "a", "resume": "no"}}));
        assert_eq!(kept, json!({"theme": "dark", "command": {"goto": "a", "resume": "yes"}}));
    }

    #[test]
    fn a_restated_conversation_keeps_the_names_of_files_and_not_their_bytes() {
        let named = ContentPart::data("image/png", "aGk=".into(), "photo.png");
        let unnamed = json!({"type": "document", "source": {"type": "data", "value": "aGk=", "mimeType": "text/csv"}});
        let linked = json!({"type": "image", "source": {"type": "url", "value": "https://example.com/a.png"}});
        let mut messages = vec![
            json!({"role": "user", "id": "1", "content": [{"type": "text", "text": "look"}, named, unnamed, linked]}),
            json!({"role": "assistant", "id": "2", "content": "I see"}),
            json!({"role": "tool", "id": "3", "toolCallId": "a", "content": [named]}),
        ];
        let of_tool = messages[2].clone();
        without_bytes(&mut messages);
        let text = |text: &str| json!({"type": "text", "text": text});
        let told = [
            text("look"),
            text("[Attached file: photo.png, image/png.]"),
            text("[Attached file: a file, text/csv.]"),
            linked,
        ];
        assert_eq!(messages[0]["content"], json!(told));
        assert_eq!(messages[1]["content"], "I see");
        assert_eq!(messages[2], of_tool, "an agent's own images are its own");
    }
}
