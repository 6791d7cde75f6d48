//! How much of a conversation fits into a model's context, in bytes of text.

use super::provider::{ModelMessage, ModelTool};
use crate::{protocol::agui::Message, server::config::agents::ModelConfig};

/// Bytes of text per token, to estimate whether a text fits. English prose has four; code, tables and other languages have fewer.
const BYTES_PER_TOKEN: u64 = 3;
/// Tokens kept free for the answer if `max_output_tokens` is not set; at most a quarter of the context.
const ANSWER_TOKENS: u64 = 8_192;
/// The least bytes of a conversation, however long the instructions are.
const MIN_CONVERSATION_BYTES: u64 = 1_024;
/// The least that one call of `read_file` may read.
const MIN_READ_BYTES: u64 = 1_024;
/// The most that one call of `read_file` may read.
const MAX_READ_BYTES: u64 = 32 * 1024;

/// The bytes that a conversation may have, in addition to the instructions, the tools and the answer.
pub(super) fn conversation_bytes(config: &ModelConfig, instructions: &str, tools: &[ModelTool]) -> u64 {
    let context = config.context_tokens;
    let answer = config.max_output_tokens.map_or(ANSWER_TOKENS.min(context / 4), |max| u64::from(max.get()));
    let tools = tools.iter().map(|tool| tool.name.len() + tool.description.len() + tool.parameters.to_string().len());
    let other = instructions.len() + tools.sum::<usize>();
    let bytes = context.saturating_sub(answer).saturating_mul(BYTES_PER_TOKEN).saturating_sub(other as u64);
    bytes.max(MIN_CONVERSATION_BYTES).min(config.max_history_bytes)
}

/// How many of the conversation's bytes the text of files may have. The rest is for messages: the bytes of all messages, but at most a
/// quarter of the conversation's, or the bytes of the newest message if they are more.
pub(super) fn file_bytes(conversation_bytes: u64, history: &[Message]) -> u64 {
    let newest = history.iter().rev().find(|message| matches!(message, Message::User { .. })).map_or(0, text_bytes);
    let all: u64 = history.iter().map(text_bytes).sum();
    conversation_bytes.saturating_sub(newest.max(all.min(conversation_bytes / 4)))
}

/// The most bytes that one call of `read_file` reads, if all of a run's calls may take `budget`.
pub(super) fn read_bytes(budget: u64) -> usize {
    usize::try_from((budget / 8).clamp(MIN_READ_BYTES, MAX_READ_BYTES)).unwrap_or(usize::MAX)
}

/// The weighted bytes of a conversation's text; see [`weighted_bytes`].
pub(super) fn messages_weighted_bytes(messages: &[ModelMessage]) -> u64 {
    let bytes = |message: &ModelMessage| match message {
        ModelMessage::User { text, .. } | ModelMessage::Tool { text, .. } => weighted_bytes(text),
        ModelMessage::Assistant { text, calls, .. } => {
            let calls = calls.iter().map(|call| weighted_bytes(&call.name) + weighted_bytes(&call.arguments));
            weighted_bytes(text) + calls.sum::<u64>()
        }
    };
    messages.iter().map(bytes).sum()
}

/// The bytes of a text, or more for a text with more tokens than prose, such as a table of numbers.
///
/// Some tokenizers have a token for each digit. A letter counts as a quarter of a token, a digit as one, a space as a
/// twelfth, another ASCII character as two thirds, and a byte of a character beyond ASCII as a half.
pub(super) fn weighted_bytes(text: &str) -> u64 {
    const PARTS_PER_TOKEN: u64 = 12;
    let parts = |byte: u8| match byte {
        b'0'..=b'9' => PARTS_PER_TOKEN,
        b' ' => 1,
        _ if byte.is_ascii_alphabetic() => PARTS_PER_TOKEN / 4,
        _ if byte.is_ascii() => PARTS_PER_TOKEN * 2 / 3,
        _ => PARTS_PER_TOKEN / 2,
    };
    let tokens = text.bytes().map(parts).sum::<u64>() / PARTS_PER_TOKEN;
    (tokens * BYTES_PER_TOKEN).max(text.len() as u64)
}

/// The bytes of a message's text.
fn text_bytes(message: &Message) -> u64 {
    let bytes = match message {
        Message::User { content, .. } | Message::Tool { content, .. } => content.to_text().len(),
        Message::Assistant { content, .. } => content.as_ref().map_or(0, String::len),
        Message::System { content, .. } | Message::Developer { content, .. } => content.len(),
        Message::Reasoning { .. } | Message::Activity { .. } => 0,
    };
    bytes as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(more: serde_json::Value) -> ModelConfig {
        let mut entry = json!({"model": "m"});
        entry.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        serde_json::from_value(entry).expect("a configuration")
    }

    #[test]
    fn instructions_tools_and_the_answer_take_room_from_the_conversation() {
        let tools = [ModelTool { name: "look".into(), description: "Looks.".into(), parameters: json!({}) }];
        for (more, bytes) in [
            (json!({}), (65_536 - 8_192) * 3),
            (json!({"context_tokens": 4_096}), (4_096 - 1_024) * 3),
            (json!({"context_tokens": 4_096, "max_output_tokens": 96}), 4_000 * 3),
            (json!({"context_tokens": 4_096, "max_output_tokens": 9_000}), 1_024 + 112),
            (json!({"context_tokens": 1_000_000}), 262_144 + 112),
        ] {
            assert_eq!(conversation_bytes(&config(more), &"x".repeat(100), &tools), bytes - 112);
        }
    }

    #[test]
    fn a_table_of_numbers_takes_more_room_than_prose() {
        let prose = "It was the best of times, it was the worst of times.\n".repeat(100);
        assert_eq!(weighted_bytes(&prose), prose.len() as u64);
        let table = "2026-01-01T00:00:00Z,1234,567,0.00123\n".repeat(100);
        assert!(weighted_bytes(&table) > 2 * table.len() as u64, "{} of {}", weighted_bytes(&table), table.len());
        let chinese = "它是最好的时代".repeat(100);
        assert!(weighted_bytes(&chinese) > chinese.len() as u64);
        assert_eq!(weighted_bytes(""), 0);
    }

    #[test]
    fn files_have_the_room_that_messages_leave() {
        let history = |before: usize, newest: usize| -> Vec<Message> {
            let messages = json!([
                {"role": "user", "id": "1", "content": "x".repeat(before)},
                {"role": "user", "id": "2", "content": "x".repeat(newest)},
            ]);
            serde_json::from_value(messages).expect("messages")
        };
        assert_eq!(file_bytes(1_000, &history(100, 10)), 890);
        assert_eq!(file_bytes(1_000, &history(900, 10)), 750);
        assert_eq!(file_bytes(1_000, &history(0, 600)), 400);
        assert_eq!(file_bytes(1_000, &history(0, 2_000)), 0);
    }
}
