//! How much of a conversation fits into a model's context, in bytes of text.

use super::provider::{ModelMessage, ModelTool};
use crate::{protocol::agui::Message, server::config::agents::ModelConfig};

/// Bytes of text that are taken for one token where a text has to fit. Fewer than the four of English prose: code, tables and
/// other languages have more tokens.
const BYTES_PER_TOKEN: u64 = 3;
/// Tokens that are kept free for the answer where `max_output_tokens` does not say, or a quarter of a smaller context.
const ANSWER_TOKENS: u64 = 8_192;
/// What a conversation has at least, however long the instructions are.
const MIN_BYTES: u64 = 1_024;
/// What one reading of a file has at least and at most.
const MIN_READ_BYTES: u64 = 1_024;
const MAX_READ_BYTES: u64 = 32 * 1024;

/// The bytes that a conversation may have beside the instructions, the tools and the answer.
pub(super) fn conversation_bytes(config: &ModelConfig, instructions: &str, tools: &[ModelTool]) -> u64 {
    let context = config.context_tokens;
    let answer = config.max_output_tokens.map_or(ANSWER_TOKENS.min(context / 4), |most| u64::from(most.get()));
    let tools = tools.iter().map(|tool| tool.name.len() + tool.description.len() + tool.parameters.to_string().len());
    let beside = instructions.len() + tools.sum::<usize>();
    let bytes = context.saturating_sub(answer).saturating_mul(BYTES_PER_TOKEN).saturating_sub(beside as u64);
    bytes.max(MIN_BYTES).min(config.max_history_bytes)
}

/// The bytes of these that the text of files may have: all but the newest question, and a quarter for what was said before.
pub(super) fn file_bytes(conversation_bytes: u64, history: &[Message]) -> u64 {
    let newest = history.iter().rev().find(|message| matches!(message, Message::User { .. })).map_or(0, words);
    let all: u64 = history.iter().map(words).sum();
    conversation_bytes.saturating_sub(newest.max(all.min(conversation_bytes / 4)))
}

/// The most bytes of a file that `read_file` reads at once, where all that it reads in a run may take `budget`.
pub(super) fn read_bytes(budget: u64) -> usize {
    usize::try_from((budget / 8).clamp(MIN_READ_BYTES, MAX_READ_BYTES)).unwrap_or(usize::MAX)
}

/// What the text of a conversation takes of the room.
pub(super) fn messages_cost(messages: &[ModelMessage]) -> u64 {
    let cost = |message: &ModelMessage| match message {
        ModelMessage::User { text, .. } | ModelMessage::Tool { text, .. } => text_cost(text),
        ModelMessage::Assistant { text, calls, .. } => {
            let calls = calls.iter().map(|call| text_cost(&call.name) + text_cost(&call.arguments));
            text_cost(text) + calls.sum::<u64>()
        }
    };
    messages.iter().map(cost).sum()
}

/// What a text takes of the room: its bytes, or more where it has more tokens than prose has, as a table of numbers does.
///
/// Tokenizers differ most there: some have a token for each digit. A letter counts for a quarter of a token, a digit for one, other
/// signs for two thirds, and a byte of a letter beyond ASCII for a half.
pub(super) fn text_cost(text: &str) -> u64 {
    const PARTS: u64 = 12;
    let parts = |byte: u8| match byte {
        b'0'..=b'9' => PARTS,
        b' ' => 1,
        _ if byte.is_ascii_alphabetic() => PARTS / 4,
        _ if byte.is_ascii() => PARTS * 2 / 3,
        _ => PARTS / 2,
    };
    let tokens = text.bytes().map(parts).sum::<u64>() / PARTS;
    (tokens * BYTES_PER_TOKEN).max(text.len() as u64)
}

fn words(message: &Message) -> u64 {
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
    fn instructions_tools_and_the_answer_take_their_part_of_the_context() {
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
        assert_eq!(text_cost(&prose), prose.len() as u64);
        let table = "2026-01-01T00:00:00Z,1234,567,0.00123\n".repeat(100);
        assert!(text_cost(&table) > 2 * table.len() as u64, "{} of {}", text_cost(&table), table.len());
        let chinese = "它是最好的时代".repeat(100);
        assert!(text_cost(&chinese) > chinese.len() as u64);
        assert_eq!(text_cost(""), 0);
    }

    #[test]
    fn files_have_what_the_words_leave() {
        let history = |before: usize, newest: usize| -> Vec<Message> {
            let said = json!([
                {"role": "user", "id": "1", "content": "x".repeat(before)},
                {"role": "user", "id": "2", "content": "x".repeat(newest)},
            ]);
            serde_json::from_value(said).expect("messages")
        };
        assert_eq!(file_bytes(1_000, &history(100, 10)), 890);
        assert_eq!(file_bytes(1_000, &history(900, 10)), 750);
        assert_eq!(file_bytes(1_000, &history(0, 600)), 400);
        assert_eq!(file_bytes(1_000, &history(0, 2_000)), 0);
    }
}
