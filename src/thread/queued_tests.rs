//! Tests of messages that wait: changed, moved, or read by an active run.

use super::*;
use crate::protocol::{
    Author, MessageId, RunId, ThreadEntry, UserId, UserMessage,
    agui::{Event, Message, RunStarted, TextMessageContent, TextMessageEnd, TextMessageStart},
};

/// An entry about a message that waits.
pub(super) fn entry(message_id: MessageId, other: Option<MessageId>, (run_id, index): (RunId, usize)) -> ThreadEntry {
    match index % 3 {
        0 => ThreadEntry::Moved { message_id, before: other },
        1 => ThreadEntry::Read { message_id, run_id },
        _ => ThreadEntry::Edited { message_id, run_id, content: "!".into(), attachments: Vec::new() },
    }
}

#[derive(Default)]
struct Thread {
    view: ThreadView,
    at: i64,
}

impl Thread {
    fn apply(&mut self, entry: ThreadEntry) {
        self.at += 1;
        self.view.apply(self.at, entry);
    }

    fn send(&mut self, text: &str, replaces: Option<MessageId>) -> (MessageId, RunId) {
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let message = UserMessage { replaces, ..UserMessage::new(author, text, RunId::new(), "a") };
        let ids = (message.id, message.run_id);
        self.apply(ThreadEntry::Message { message });
        ids
    }

    fn emit(&mut self, run_id: RunId, event: impl Into<Event>) {
        self.apply(ThreadEntry::Agent { run_id, event: Box::new(event.into()) });
    }

    fn say(&mut self, run_id: RunId, id: &str) {
        self.emit(run_id, TextMessageStart::new(id));
        self.emit(run_id, TextMessageContent::new(id, id));
        self.emit(run_id, TextMessageEnd::new(id));
    }

    fn put(&mut self, message_id: MessageId, before: Option<MessageId>) {
        self.apply(ThreadEntry::Moved { message_id, before });
    }

    /// The messages in the order of the items, each directly before its run.
    fn order(&self) -> Vec<MessageId> {
        let messages = self.view.items.chunks(2).map(|pair| match pair {
            [Item::Message(message), Item::Run(run)] => {
                assert_eq!(run.message_id, Some(message.message.id));
                message.message.id
            }
            other => panic!("no message with its run: {other:?}"),
        });
        messages.collect()
    }
}

#[test]
fn a_moved_message_is_elsewhere_in_the_items_and_in_its_branch() {
    let mut thread = Thread::default();
    let [(a, _), (b, _), (c, _), (d, _)] = ["A", "B", "C", "D"].map(|text| thread.send(text, None));
    for (moved, before, expected) in [
        (d, Some(b), [a, d, b, c]),
        (d, None, [a, b, c, d]),
        (b, Some(d), [a, c, b, d]),
        (a, Some(c), [a, c, b, d]),
        (c, None, [a, b, d, c]),
        (b, Some(a), [b, a, d, c]),
        (c, Some(c), [b, a, d, c]),
        (c, Some(MessageId::new()), [b, a, d, c]),
    ] {
        thread.put(moved, before);
        assert_eq!(thread.order(), expected);
        assert_eq!(thread.view.branch(None), expected);
    }
}

#[test]
fn a_message_does_not_move_to_another_branch() {
    let mut thread = Thread::default();
    let (a, _) = thread.send("A", None);
    let (b, _) = thread.send("B", None);
    let (other, _) = thread.send("Other", Some(b));
    let before = thread.view.clone();
    thread.put(other, Some(b));
    assert_eq!(thread.view, before);
    assert_eq!(thread.view.branch(None), [a, other]);
}

#[test]
fn a_message_that_was_changed_before_its_run_has_the_new_content() {
    let mut thread = Thread::default();
    let (message_id, run_id) = thread.send("A", None);
    thread.apply(ThreadEntry::Edited { message_id, run_id, content: "B".into(), attachments: Vec::new() });
    let text = |thread: &Thread| thread.view.message(message_id).map(|item| item.message.content.clone());
    assert_eq!(text(&thread).as_deref(), Some("B"));
    let unknown = MessageId::new();
    thread.apply(ThreadEntry::Edited { message_id: unknown, run_id, content: "C".into(), attachments: Vec::new() });
    assert_eq!(text(&thread).as_deref(), Some("B"));
}

#[test]
fn a_message_that_was_read_is_in_the_run_and_at_its_place_in_the_history() {
    let mut thread = Thread::default();
    let (first, run_id) = thread.send("First", None);
    thread.emit(run_id, RunStarted::new("t", "r"));
    thread.say(run_id, "one");
    let (read, own_run) = thread.send("Read", None);
    let (last, last_run) = thread.send("Last", None);
    thread.apply(ThreadEntry::Read { message_id: read, run_id });
    thread.apply(ThreadEntry::Read { message_id: read, run_id });
    thread.say(run_id, "two");
    assert_eq!(thread.order(), [first, last]);
    assert_eq!(thread.view.branch(None), [first, last], "what followed the message follows the one before");
    assert!(thread.view.run(own_run).is_none());
    let run = thread.view.run_that_read(read).expect("the run");
    assert_eq!((run.run_id, run.read.len(), run.read[0].nodes_before), (run_id, 1, 1));
    let texts = thread.view.history(last_run).into_iter().map(|message| match message {
        Message::User { content, .. } => content.to_text(),
        Message::Assistant { content, .. } => content.unwrap_or_default(),
        other => panic!("{other:?}"),
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["First", "one", "Read", "two", "Last"]);
}

#[test]
fn a_message_read_by_a_run_that_was_trimmed_is_removed() {
    let mut thread = Thread::default();
    let (read, _) = thread.send("Read", None);
    thread.apply(ThreadEntry::Read { message_id: read, run_id: RunId::new() });
    assert!(thread.view.items.is_empty());
}
