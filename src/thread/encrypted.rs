//! Encrypted reasoning, which only the agent that sent it can read. It is kept to be returned to that agent.
//!
//! Guarantees: the last value of a message or call counts. A run keeps its newest values up to [`MAX_ENCRYPTED_BYTES`]; when a new
//! message is sent, this limit holds for all runs of the thread together. Beyond it, the oldest values are dropped, and their
//! messages and calls are given to the agent without them. People are never sent these values.

use std::sync::Arc;

use crate::protocol::{Encrypted, Item, RunView, ThreadView, agui::EncryptedSubtype};

/// The maximum size of the encrypted values of a run, in bytes.
pub const MAX_ENCRYPTED_BYTES: usize = 1024 * 1024;
/// The maximum number of encrypted values of a run.
const MAX_VALUES: usize = 1024;

impl RunView {
    /// Stores a value, replaces the one before of the same call or message, and drops the oldest beyond the limits.
    pub(super) fn keep_encrypted(&mut self, subtype: EncryptedSubtype, entity_id: String, value: String) {
        self.encrypted.retain(|known| known.subtype != subtype || known.entity_id != entity_id);
        self.encrypted.push(Arc::new(Encrypted { subtype, entity_id, value }));
        let (mut bytes, mut surplus) = (self.encrypted_bytes(), self.encrypted.len().saturating_sub(MAX_VALUES));
        bytes -= self.encrypted[..surplus].iter().map(size).sum::<usize>();
        while bytes > MAX_ENCRYPTED_BYTES {
            bytes -= size(&self.encrypted[surplus]);
            surplus += 1;
        }
        self.encrypted.drain(..surplus);
    }

    fn encrypted_bytes(&self) -> usize {
        self.encrypted.iter().map(size).sum()
    }
}

impl ThreadView {
    /// A new turn begins: keeps the newest values of all runs together up to [`MAX_ENCRYPTED_BYTES`].
    pub(super) fn trim_encrypted(&mut self) {
        let mut left = MAX_ENCRYPTED_BYTES;
        for run in self.runs_with_encrypted().rev() {
            match left.checked_sub(run.encrypted_bytes()) {
                Some(rest) => left = rest,
                None => {
                    left = 0;
                    Arc::make_mut(run).encrypted.clear();
                }
            }
        }
    }

    /// The thread as it is sent to people, who cannot read the encrypted values. Later entries fold into it as into the full view.
    #[must_use]
    pub fn without_encrypted_values(mut self) -> Self {
        self.runs_with_encrypted().for_each(|run| Arc::make_mut(run).encrypted.clear());
        self
    }

    fn runs_with_encrypted(&mut self) -> impl DoubleEndedIterator<Item = &mut Arc<RunView>> {
        self.items.iter_mut().filter_map(|item| match item {
            Item::Run(run) if !run.encrypted.is_empty() => Some(run),
            _ => None,
        })
    }
}

fn size(value: &Arc<Encrypted>) -> usize {
    value.entity_id.len() + value.value.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{
            Author, MessageId, RunId, ThreadEntry, UserId, UserMessage,
            agui::{
                Event, Message, ReasoningEncryptedValue, ReasoningEnd, ReasoningMessageContent, ReasoningMessageEnd,
                ReasoningMessageStart, ReasoningRole, ReasoningStart, TextMessageContent, TextMessageStart,
                ToolCallResult, ToolCallStart, ToolContent,
            },
        },
        thread::RunState,
    };

    fn value(subtype: EncryptedSubtype, id: &str, value: impl Into<String>) -> Event {
        ReasoningEncryptedValue::new(subtype, id, value).into()
    }

    /// Sends a message to an agent; returns the run that answers.
    fn send_message(view: &mut ThreadView, agent: &str) -> RunId {
        let (id, run_id) = (MessageId::new(), RunId::new());
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let message = UserMessage { id, ..UserMessage::new(author, "?", run_id, agent) };
        view.apply(0, ThreadEntry::Message { message });
        run_id
    }

    fn apply(view: &mut ThreadView, run_id: RunId, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| view.apply(0, ThreadEntry::Agent { run_id, event: Box::new(event) }));
    }

    fn kept(view: &ThreadView, run: RunId) -> Vec<&str> {
        view.run(run).expect("the run").encrypted.iter().map(|known| known.value.as_str()).collect()
    }

    /// The messages and calls of the history that a run's agent receives, with their encrypted values.
    fn values_in_history(view: &ThreadView, run: RunId) -> Vec<(String, Option<String>)> {
        let mut values = Vec::new();
        for message in view.history(run) {
            match message {
                Message::Reasoning { id, content, encrypted_value, .. } => {
                    values.push((format!("{id}:{content}"), encrypted_value));
                }
                Message::Tool { id, encrypted_value, .. } => values.push((id, encrypted_value)),
                Message::Assistant { id, encrypted_value, tool_calls, .. } => {
                    values.push((id, encrypted_value));
                    values.extend(tool_calls.into_iter().flatten().map(|call| (call.id, call.encrypted_value)));
                }
                _ => {}
            }
        }
        values
    }

    #[test]
    fn only_the_agent_itself_gets_its_reasoning_back() {
        let (mut view, message, call) = (ThreadView::default(), EncryptedSubtype::Message, EncryptedSubtype::ToolCall);
        let run = send_message(&mut view, "thinker");
        apply(
            &mut view,
            run,
            [
                ReasoningStart::new("r").into(),
                ReasoningMessageStart::new("r", ReasoningRole::Reasoning).into(),
                ReasoningMessageContent::new("r", "hm").into(),
                ReasoningMessageEnd::new("r").into(),
                value(message, "r", "first"),
                value(message, "r", "R"),
                ReasoningEnd::new("r").into(),
                ReasoningStart::new("hidden").into(),
                value(message, "hidden", "H"),
                ReasoningEnd::new("hidden").into(),
                TextMessageStart::new("t").into(),
                TextMessageContent::new("t", "Well.").into(),
                value(message, "t", "T"),
                ToolCallStart { parent_message_id: Some("t".into()), ..ToolCallStart::new("c", "look") }.into(),
                value(call, "c", "C"),
                ToolCallResult::new("a", "c", ToolContent::Text("nothing".into())).into(),
                value(message, "a", "A"),
                value(message, "nothing", "N"),
            ],
        );
        let some = |text: &str| Some(text.to_owned());
        let own = send_message(&mut view, "thinker");
        let expected =
            [("r:hm", some("R")), ("hidden:", some("H")), ("t", some("T")), ("c", some("C")), ("a", some("A"))];
        assert_eq!(values_in_history(&view, own), expected.map(|(id, value)| (id.to_owned(), value)));
        let other = send_message(&mut view, "other");
        assert_eq!(values_in_history(&view, other), ["t", "c", "a"].map(|id| (id.to_owned(), None)));
        let sent_to_people = values_in_history(&view.without_encrypted_values(), own);
        assert!(sent_to_people.iter().all(|(_, value)| value.is_none()), "{sent_to_people:?}");
    }

    #[test]
    fn a_value_belongs_to_the_first_message_of_its_id() {
        let mut view = ThreadView::default();
        let run = send_message(&mut view, "thinker");
        let events: [Event; 5] = [
            ReasoningStart::new("1").into(),
            ReasoningMessageStart::new("1", ReasoningRole::Reasoning).into(),
            TextMessageStart::new("1").into(),
            TextMessageContent::new("1", "Well.").into(),
            value(EncryptedSubtype::Message, "1", "V"),
        ];
        apply(&mut view, run, events);
        let next = send_message(&mut view, "thinker");
        assert_eq!(values_in_history(&view, next), [("1:".to_owned(), Some("V".to_owned())), ("1".to_owned(), None)]);
    }

    #[test]
    fn restated_messages_keep_their_values() {
        let mut view = ThreadView::default();
        let run = send_message(&mut view, "thinker");
        let call =
            serde_json::json!({"id": "c", "function": {"name": "look", "arguments": "{}"}, "encryptedValue": "C"});
        let messages = serde_json::json!([
            {"role": "reasoning", "id": "r", "content": "hm", "encryptedValue": "R"},
            {"role": "assistant", "id": "a", "content": "Well.", "toolCalls": [call], "encryptedValue": "A"},
        ]);
        let messages: Vec<serde_json::Value> = serde_json::from_value(messages).expect("messages");
        apply(&mut view, run, [crate::protocol::agui::MessagesSnapshot::new(messages).into()]);
        let next = send_message(&mut view, "thinker");
        let expected = [("r:hm", "R"), ("a", "A"), ("c", "C")];
        assert_eq!(values_in_history(&view, next), expected.map(|(id, value)| (id.to_owned(), Some(value.to_owned()))));
    }

    #[test]
    fn a_run_keeps_its_newest_values_within_the_limit() {
        let mut view = ThreadView::default();
        let run = send_message(&mut view, "thinker");
        let half = "x".repeat(MAX_ENCRYPTED_BYTES / 2);
        for (id, text) in [("1", half.as_str()), ("2", "small"), ("3", half.as_str())] {
            apply(&mut view, run, [value(EncryptedSubtype::Message, id, text)]);
        }
        assert_eq!(kept(&view, run), ["small", &half], "the oldest was dropped");
        apply(&mut view, run, [value(EncryptedSubtype::Message, "4", "x".repeat(MAX_ENCRYPTED_BYTES))]);
        assert_eq!(kept(&view, run), [""; 0], "a value that alone is too large is dropped, too");
        let many = (0..MAX_VALUES + 10).map(|at| value(EncryptedSubtype::ToolCall, &at.to_string(), at.to_string()));
        apply(&mut view, run, many);
        assert_eq!((kept(&view, run).len(), kept(&view, run)[0]), (MAX_VALUES, "10"));
        assert_eq!(view.run(run).expect("the run").state, RunState::Waiting);
    }

    #[test]
    fn a_new_message_drops_the_values_of_older_runs_beyond_the_limit() {
        let mut view = ThreadView::default();
        let most = "x".repeat(MAX_ENCRYPTED_BYTES * 2 / 3);
        let runs: Vec<RunId> = (0..3)
            .map(|_| {
                let run = send_message(&mut view, "thinker");
                apply(&mut view, run, [value(EncryptedSubtype::Message, "r", most.as_str())]);
                run
            })
            .collect();
        let counts = |view: &ThreadView| runs.iter().map(|run| kept(view, *run).len()).collect::<Vec<_>>();
        assert_eq!(counts(&view), [0, 1, 1], "a new message trims earlier runs only");
        send_message(&mut view, "thinker");
        assert_eq!(counts(&view), [0, 0, 1]);
    }
}
