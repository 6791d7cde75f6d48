//! Encrypted reasoning: what only the agent that gave it can read, kept so that it gets it back.
//!
//! Promises: of several values of one message or call the last counts; a run keeps its newest within [`MAX_ENCRYPTED_BYTES`],
//! and once something new is said, all runs of a thread together; what is over that goes, oldest first, and its message or
//! call is told without. What people are sent has none.

use std::sync::Arc;

use crate::protocol::{Encrypted, Item, RunView, ThreadView, agui::EncryptedSubtype};

/// The most of encrypted values that a run keeps, in bytes.
pub const MAX_ENCRYPTED_BYTES: usize = 1024 * 1024;
/// The most of them, in number.
const MAX_VALUES: usize = 1024;

impl RunView {
    pub(super) fn keep_encrypted(&mut self, subtype: EncryptedSubtype, entity_id: String, value: String) {
        self.encrypted.retain(|known| known.subtype != subtype || known.entity_id != entity_id);
        self.encrypted.push(Arc::new(Encrypted { subtype, entity_id, value }));
        let (mut bytes, mut over) = (self.encrypted_bytes(), self.encrypted.len().saturating_sub(MAX_VALUES));
        bytes -= self.encrypted[..over].iter().map(size).sum::<usize>();
        while bytes > MAX_ENCRYPTED_BYTES {
            bytes -= size(&self.encrypted[over]);
            over += 1;
        }
        self.encrypted.drain(..over);
    }

    fn encrypted_bytes(&self) -> usize {
        self.encrypted.iter().map(size).sum()
    }
}

impl ThreadView {
    /// A new turn begins: agents want back what they thought in the last ones at most.
    pub(super) fn forget_old_thoughts(&mut self) {
        let mut left = MAX_ENCRYPTED_BYTES;
        for run in self.thinking_runs().rev() {
            match left.checked_sub(run.encrypted_bytes()) {
                Some(rest) => left = rest,
                None => {
                    left = 0;
                    Arc::make_mut(run).encrypted.clear();
                }
            }
        }
    }

    /// The thread as people are shown it: nobody but an agent can read its encrypted values. What is folded into it from here
    /// on looks the same.
    #[must_use]
    pub fn without_encrypted_values(mut self) -> Self {
        self.thinking_runs().for_each(|run| Arc::make_mut(run).encrypted.clear());
        self
    }

    fn thinking_runs(&mut self) -> impl DoubleEndedIterator<Item = &mut Arc<RunView>> {
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

    /// A person's message that an agent is to answer.
    fn asks(view: &mut ThreadView, agent: &str) -> RunId {
        let (id, run_id) = (MessageId::new(), RunId::new());
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let message = UserMessage { id, ..UserMessage::new(author, "?", run_id, agent) };
        view.apply(0, ThreadEntry::Message { message });
        run_id
    }

    fn hear(view: &mut ThreadView, run_id: RunId, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| view.apply(0, ThreadEntry::Agent { run_id, event: Box::new(event) }));
    }

    fn kept(view: &ThreadView, run: RunId) -> Vec<&str> {
        view.run(run).expect("the run").encrypted.iter().map(|known| known.value.as_str()).collect()
    }

    /// What an agent is told of what was thought: the message's or call's id, and the value.
    fn told(view: &ThreadView, run: RunId) -> Vec<(String, Option<String>)> {
        let mut told = Vec::new();
        for message in view.history(run) {
            match message {
                Message::Reasoning { id, content, encrypted_value, .. } => {
                    told.push((format!("{id}:{content}"), encrypted_value));
                }
                Message::Tool { id, encrypted_value, .. } => told.push((id, encrypted_value)),
                Message::Assistant { id, encrypted_value, tool_calls, .. } => {
                    told.push((id, encrypted_value));
                    told.extend(tool_calls.into_iter().flatten().map(|call| (call.id, call.encrypted_value)));
                }
                _ => {}
            }
        }
        told
    }

    #[test]
    fn an_agent_is_told_its_own_thoughts_and_no_other_agent_is() {
        let (mut view, message, call) = (ThreadView::default(), EncryptedSubtype::Message, EncryptedSubtype::ToolCall);
        let run = asks(&mut view, "thinker");
        hear(
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
        let own = asks(&mut view, "thinker");
        let thoughts =
            [("r:hm", some("R")), ("hidden:", some("H")), ("t", some("T")), ("c", some("C")), ("a", some("A"))];
        assert_eq!(told(&view, own), thoughts.map(|(id, value)| (id.to_owned(), value)));
        let other = asks(&mut view, "other");
        assert_eq!(told(&view, other), ["t", "c", "a"].map(|id| (id.to_owned(), None)));
        let people = told(&view.without_encrypted_values(), own);
        assert!(people.iter().all(|(_, value)| value.is_none()), "{people:?}");
    }

    #[test]
    fn a_value_belongs_to_the_first_message_of_its_id() {
        let mut view = ThreadView::default();
        let run = asks(&mut view, "thinker");
        let events: [Event; 5] = [
            ReasoningStart::new("1").into(),
            ReasoningMessageStart::new("1", ReasoningRole::Reasoning).into(),
            TextMessageStart::new("1").into(),
            TextMessageContent::new("1", "Well.").into(),
            value(EncryptedSubtype::Message, "1", "V"),
        ];
        hear(&mut view, run, events);
        let next = asks(&mut view, "thinker");
        assert_eq!(told(&view, next), [("1:".to_owned(), Some("V".to_owned())), ("1".to_owned(), None)]);
    }

    #[test]
    fn restated_messages_carry_their_values() {
        let mut view = ThreadView::default();
        let run = asks(&mut view, "thinker");
        let call =
            serde_json::json!({"id": "c", "function": {"name": "look", "arguments": "{}"}, "encryptedValue": "C"});
        let messages = serde_json::json!([
            {"role": "reasoning", "id": "r", "content": "hm", "encryptedValue": "R"},
            {"role": "assistant", "id": "a", "content": "Well.", "toolCalls": [call], "encryptedValue": "A"},
        ]);
        let messages: Vec<serde_json::Value> = serde_json::from_value(messages).expect("messages");
        hear(&mut view, run, [crate::protocol::agui::MessagesSnapshot::new(messages).into()]);
        let next = asks(&mut view, "thinker");
        let thoughts = [("r:hm", "R"), ("a", "A"), ("c", "C")];
        assert_eq!(told(&view, next), thoughts.map(|(id, value)| (id.to_owned(), Some(value.to_owned()))));
    }

    #[test]
    fn a_run_keeps_its_newest_values_within_the_bound() {
        let mut view = ThreadView::default();
        let run = asks(&mut view, "thinker");
        let half = "x".repeat(MAX_ENCRYPTED_BYTES / 2);
        for (id, text) in [("1", half.as_str()), ("2", "small"), ("3", half.as_str())] {
            hear(&mut view, run, [value(EncryptedSubtype::Message, id, text)]);
        }
        assert_eq!(kept(&view, run), ["small", &half], "the oldest went");
        hear(&mut view, run, [value(EncryptedSubtype::Message, "4", "x".repeat(MAX_ENCRYPTED_BYTES))]);
        assert_eq!(kept(&view, run), [""; 0], "one that is too large itself goes, too");
        let many = (0..MAX_VALUES + 10).map(|at| value(EncryptedSubtype::ToolCall, &at.to_string(), at.to_string()));
        hear(&mut view, run, many);
        assert_eq!((kept(&view, run).len(), kept(&view, run)[0]), (MAX_VALUES, "10"));
        assert_eq!(view.run(run).expect("the run").state, RunState::Waiting);
    }

    #[test]
    fn a_new_message_lets_go_what_older_runs_kept_beyond_the_bound() {
        let mut view = ThreadView::default();
        let most = "x".repeat(MAX_ENCRYPTED_BYTES * 2 / 3);
        let runs: Vec<RunId> = (0..3)
            .map(|_| {
                let run = asks(&mut view, "thinker");
                hear(&mut view, run, [value(EncryptedSubtype::Message, "r", most.as_str())]);
                run
            })
            .collect();
        let counts = |view: &ThreadView| runs.iter().map(|run| kept(view, *run).len()).collect::<Vec<_>>();
        assert_eq!(counts(&view), [0, 1, 1], "while a turn goes on, it has all its own");
        asks(&mut view, "thinker");
        assert_eq!(counts(&view), [0, 0, 1]);
    }
}
