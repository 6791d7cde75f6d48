//! The exports of Open WebUI, LibreChat and ChatGPT: a list of conversations as JSON, or one.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Conversation, Export, MAX_CONVERSATIONS, MAX_MESSAGES,
    tree::{Node, Role, turns},
};
use crate::protocol::http::ImportFormat;

/// A conversation of any of the formats: which fields it has says which.
#[derive(Deserialize, Default)]
#[serde(default)]
struct AnyConversation {
    id: Option<String>,
    title: Option<String>,
    // ChatGPT.
    conversation_id: Option<String>,
    create_time: Option<f64>,
    mapping: Option<HashMap<String, ChatGptNode>>,
    current_node: Option<String>,
    // Open WebUI.
    chat: Option<OpenWebUiChat>,
    created_at: Option<Value>,
    // LibreChat.
    #[serde(rename = "conversationId")]
    librechat_id: Option<String>,
    #[serde(alias = "messagesTree")]
    messages: Option<Vec<LibreChatMessage>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ChatGptNode {
    parent: Option<String>,
    children: Vec<String>,
    message: Option<ChatGptMessage>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ChatGptMessage {
    author: ChatGptAuthor,
    create_time: Option<f64>,
    content: ChatGptContent,
    recipient: Option<String>,
    metadata: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ChatGptAuthor {
    role: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ChatGptContent {
    content_type: String,
    parts: Vec<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OpenWebUiChat {
    title: Option<String>,
    history: OpenWebUiHistory,
    timestamp: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OpenWebUiHistory {
    messages: HashMap<String, OpenWebUiMessage>,
    #[serde(rename = "currentId")]
    current_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OpenWebUiMessage {
    #[serde(rename = "parentId")]
    parent_id: Option<String>,
    #[serde(rename = "childrenIds")]
    children_ids: Vec<String>,
    role: String,
    content: Value,
    timestamp: Option<f64>,
    files: Vec<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct LibreChatMessage {
    message_id: String,
    parent_message_id: Option<String>,
    text: Option<String>,
    content: Vec<Value>,
    is_created_by_user: bool,
    created_at: Option<String>,
    files: Vec<Value>,
    children: Vec<LibreChatMessage>,
}

/// How many times as much text as the file has bytes its conversations may have.
const MAX_EXPANSION: usize = 4;

/// Reads a list of conversations, or one.
///
/// # Errors
/// Where the text is not as expected, and why.
pub(super) fn read(text: &str) -> Result<Export, String> {
    let wrong = |error: serde_json::Error| match error.to_string() {
        message if message.contains("recursion limit") => {
            format!(
                "the messages are nested too deeply; export them without nesting (in LibreChat, not recursively): {message}"
            )
        }
        message => format!("the file is not the JSON of an export: {message}"),
    };
    let conversations: Vec<AnyConversation> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text).map_err(wrong)?,
        false => vec![serde_json::from_str(text).map_err(wrong)?],
    };
    if conversations.len() > MAX_CONVERSATIONS {
        return Err(format!("the file has more than {MAX_CONVERSATIONS} conversations; split it"));
    }
    let mut export = Export { format: ImportFormat::ChatGpt, conversations: Vec::new(), empty: 0, omitted: 0 };
    // Each version of a question repeats its text, so a file can have more text than bytes.
    let (mut bytes, max_bytes) = (0, text.len().saturating_mul(MAX_EXPANSION));
    for (number, conversation) in (1_usize..).zip(conversations) {
        let read =
            read_one(conversation, &mut export).map_err(|problem| format!("conversation {number}: {problem}"))?;
        bytes += read.turns.iter().map(|turn| turn.question.len() + turn.answer.len()).sum::<usize>();
        if bytes > max_bytes {
            return Err(format!(
                "conversation {number}: the file has too many versions of long questions; leave it out"
            ));
        }
        if read.turns.is_empty() {
            export.empty += 1;
        } else {
            export.conversations.push(read);
        }
    }
    Ok(export)
}

fn read_one(one: AnyConversation, export: &mut Export) -> Result<Conversation, String> {
    let (nodes, current, created_at) = match (one.mapping, one.chat, one.messages) {
        (Some(mapping), _, _) => {
            export.format = ImportFormat::ChatGpt;
            (chatgpt(mapping, &mut export.omitted), one.current_node, seconds(one.create_time))
        }
        (None, Some(chat), _) => {
            export.format = ImportFormat::OpenWebUi;
            let created_at =
                one.created_at.as_ref().and_then(Value::as_f64).or(chat.timestamp.map(|at| at as f64 / 1e3));
            let OpenWebUiHistory { messages, current_id } = chat.history;
            let created_at = seconds(created_at);
            let nodes = open_webui(messages, &mut export.omitted);
            let title = one.title.or(chat.title);
            return finish((one.id, title, created_at), nodes, current_id, &mut export.omitted);
        }
        (None, None, Some(messages)) => {
            export.format = ImportFormat::LibreChat;
            let nodes = librechat(messages, &mut export.omitted)?;
            let created_at = nodes.iter().filter_map(|node| node.at).min();
            (nodes, None, created_at)
        }
        (None, None, None) => {
            let expected = "expected `mapping` (ChatGPT), `chat` (Open WebUI) or `messages` (LibreChat)";
            return Err(format!("it is of none of the known formats: {expected}"));
        }
    };
    let id = one.conversation_id.or(one.librechat_id).or(one.id);
    finish((id, one.title, created_at), nodes, current, &mut export.omitted)
}

fn finish(
    (id, title, created_at): (Option<String>, Option<String>, Option<i64>),
    nodes: Vec<Node>,
    current: Option<String>,
    omitted: &mut usize,
) -> Result<Conversation, String> {
    let (turns, more) = turns(nodes, current.as_deref())?;
    *omitted += more;
    // Without an id, the same conversation is recognised by its title and time.
    let source_id =
        id.unwrap_or_else(|| format!("{}/{}", created_at.unwrap_or_default(), title.as_deref().unwrap_or_default()));
    Ok(Conversation { source_id, title: title.unwrap_or_default(), created_at, turns })
}

/// Messages in the order of the lists of children, so that versions keep their order.
fn ordered<T>(
    messages: HashMap<String, T>,
    parent: impl Fn(&T) -> Option<&str>,
    children: impl Fn(&T) -> &[String],
) -> Vec<(String, T)> {
    let mut position: HashMap<String, usize> = HashMap::new();
    for message in messages.values() {
        for (index, child) in children(message).iter().enumerate() {
            position.entry(child.clone()).or_insert(index);
        }
    }
    let mut ordered: Vec<(String, T)> = messages.into_iter().collect();
    ordered.sort_by(|(a, x), (b, y)| {
        let key = |id: &str, message| (parent(message).map(str::to_owned), position.get(id).copied(), id.to_owned());
        key(a, x).cmp(&key(b, y))
    });
    ordered
}

fn chatgpt(mapping: HashMap<String, ChatGptNode>, omitted: &mut usize) -> Vec<Node> {
    let nodes = ordered(mapping, |node| node.parent.as_deref(), |node| &node.children);
    let node = |(id, ChatGptNode { parent, message, .. }): (String, ChatGptNode)| {
        let Some(message) = message else {
            return Node { id, parent, role: Role::Hidden, text: String::new(), at: None };
        };
        let is_text = matches!(message.content.content_type.as_str(), "text" | "multimodal_text");
        let is_hidden = message.metadata["is_visually_hidden_from_conversation"] == true
            || message.recipient.as_deref().is_some_and(|recipient| recipient != "all");
        let role = match message.author.role.as_str() {
            "user" if is_text && !is_hidden => Role::User,
            "assistant" if is_text && !is_hidden => Role::Assistant,
            _ => Role::Hidden,
        };
        if role == Role::Hidden {
            *omitted += usize::from(message.author.role != "system" && !is_hidden);
            return Node { id, parent, role, text: String::new(), at: None };
        }
        let text = texts(&message.content.parts, omitted);
        Node { id, parent, role, text, at: seconds(message.create_time) }
    };
    nodes.into_iter().map(node).collect()
}

fn open_webui(messages: HashMap<String, OpenWebUiMessage>, omitted: &mut usize) -> Vec<Node> {
    let messages = ordered(messages, |message| message.parent_id.as_deref(), |message| &message.children_ids);
    let node = |(id, message): (String, OpenWebUiMessage)| {
        *omitted += message.files.len();
        let text = match message.content {
            Value::String(text) => text,
            Value::Array(parts) => texts(&parts, omitted),
            _ => String::new(),
        };
        let at = seconds(message.timestamp);
        Node { id, parent: message.parent_id, role: role(&message.role), text, at }
    };
    messages.into_iter().map(node).collect()
}

/// Messages that name their parents, or contain their children.
fn librechat(messages: Vec<LibreChatMessage>, omitted: &mut usize) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    let mut waiting: Vec<(LibreChatMessage, Option<String>)> =
        messages.into_iter().rev().map(|message| (message, None)).collect();
    while let Some((message, inside)) = waiting.pop() {
        if nodes.len() >= MAX_MESSAGES {
            return Err(format!("it has more than {MAX_MESSAGES} messages"));
        }
        let id = message.message_id;
        *omitted += message.files.len();
        let text = match message.text.filter(|text| !text.is_empty()) {
            Some(text) => text,
            None => texts(&message.content, omitted),
        };
        let role = if message.is_created_by_user { Role::User } else { Role::Assistant };
        let at = message.created_at.and_then(|at| at.parse::<Timestamp>().ok()).map(|at| at.as_millisecond());
        waiting.extend(message.children.into_iter().rev().map(|child| (child, Some(id.clone()))));
        nodes.push(Node { id, parent: inside.or(message.parent_message_id), role, text, at });
    }
    Ok(nodes)
}

fn role(name: &str) -> Role {
    match name {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => Role::Hidden,
    }
}

/// The texts of a message's parts: strings, or objects with `text`. Others are counted as left out.
fn texts(parts: &[Value], omitted: &mut usize) -> String {
    let text = |part: &Value| match part {
        Value::String(text) => Some(text.clone()),
        part => {
            let text = &part["text"];
            let text = text.as_str().or_else(|| text["value"].as_str()).map(str::to_owned);
            *omitted += usize::from(text.is_none());
            text
        }
    };
    let texts: Vec<String> = parts.iter().filter_map(text).filter(|text| !text.is_empty()).collect();
    texts.join("\n\n")
}

/// Milliseconds since 1970, of a time in seconds; `None` for what is no time that people mean.
fn seconds(at: Option<f64>) -> Option<i64> {
    /// The year 2200.
    const MAX_SECONDS: f64 = 7_258_118_400.0;
    let at = at.filter(|at| (0.0..MAX_SECONDS).contains(at))?;
    #[expect(clippy::cast_possible_truncation, reason = "within bounds")]
    Some((at * 1e3) as i64)
}
