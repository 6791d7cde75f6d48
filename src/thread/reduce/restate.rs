//! `MESSAGES_SNAPSHOT`: a conversation, restated.

use serde_json::Value;

use super::{Kind, NodeBody, NodeState, RunView};
use crate::protocol::agui::{EncryptedSubtype, Message, TextRole};

impl RunView {
    /// Takes over what a restated conversation says after the person's last message: that is this run. What came before is
    /// in the thread already, and what cannot be read is left out.
    pub(super) fn restate(&mut self, at: i64, messages: Vec<Value>) {
        let said: Vec<Message> = messages.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
        let from = said.iter().rposition(|message| matches!(message, Message::User { .. })).map_or(0, |at| at + 1);
        for message in said.into_iter().skip(from) {
            match message {
                Message::Assistant { id, content, tool_calls, encrypted_value, .. } => {
                    if let Some(value) = encrypted_value {
                        self.keep_encrypted(EncryptedSubtype::Message, id.clone(), value);
                    }
                    if let Some(text) = content.filter(|text| !text.is_empty()) {
                        self.upsert(at, Kind::Text, id.clone(), NodeBody::Text { role: TextRole::Assistant, text });
                    }
                    for call in tool_calls.into_iter().flatten() {
                        let (name, args) = (call.function.name, call.function.arguments);
                        if let Some(value) = call.encrypted_value {
                            self.keep_encrypted(EncryptedSubtype::ToolCall, call.id.clone(), value);
                        }
                        let (result, result_id) = self.result_of(&call.id);
                        let done = result.is_some();
                        let body = NodeBody::Tool { name, args, message: Some(id.clone()), result, result_id };
                        let index = self.upsert(at, Kind::Tool, call.id, body);
                        self.edit(Some(index), |node| {
                            node.state = if done { NodeState::Done } else { NodeState::Called }
                        });
                    }
                }
                Message::Tool { id, content, tool_call_id, error, encrypted_value } => {
                    if let Some(value) = encrypted_value {
                        self.keep_encrypted(EncryptedSubtype::Message, id.clone(), value);
                    }
                    let state = if error.is_some() { NodeState::Failed } else { NodeState::Done };
                    self.answer_call(at, &tool_call_id, (id, error.unwrap_or_else(|| content.to_text())), state);
                }
                Message::Reasoning { id, content, encrypted_value } => {
                    if let Some(value) = encrypted_value {
                        self.keep_encrypted(EncryptedSubtype::Message, id.clone(), value);
                    }
                    self.upsert(at, Kind::Reasoning, id, NodeBody::Reasoning { text: content });
                }
                _ => {}
            }
        }
    }

    /// The node of that kind and id as it is said now: a new one where there was none. Answers its index.
    fn upsert(&mut self, at: i64, kind: Kind, id: String, body: NodeBody) -> usize {
        match self.last(kind, |node| node.id == id) {
            Some(index) => {
                self.edit(Some(index), |node| node.body = body);
                index
            }
            None => {
                self.whole(at, None, id, body);
                self.nodes.len() - 1
            }
        }
    }

    /// What a call was answered, and by which message.
    fn result_of(&self, call: &str) -> (Option<String>, Option<String>) {
        let known = self.nodes.iter().rev().find_map(|node| match &node.body {
            NodeBody::Tool { result: Some(result), result_id, .. } if node.id == call => {
                Some((Some(result.clone()), result_id.clone()))
            }
            _ => None,
        });
        known.unwrap_or_default()
    }
}
