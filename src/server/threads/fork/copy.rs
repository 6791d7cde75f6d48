//! Copies the entries of a branch, with new ids. Pure.

use std::collections::HashMap;

use serde_json::Value;

use crate::{
    protocol::{FileId, ForkThread, Item, MessageId, RunId, ThreadEntry, ThreadView, UserMessage},
    server::{
        error::{Error, Result},
        threads::RunOrder,
    },
    thread::Compactor,
};

/// A file to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedFile {
    /// The id of the file in the original thread.
    pub from: FileId,
    /// The id of the copy.
    pub id: FileId,
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// The ids of a branch, and those of its copy.
#[derive(Debug, Default)]
pub(super) struct NewIds {
    /// All of them, as text.
    texts: HashMap<String, String>,
    /// The messages of the branch in order, as they are now.
    messages: Vec<UserMessage>,
    /// The messages that agents read during their runs, as they are now.
    read: HashMap<MessageId, UserMessage>,
    runs: HashMap<RunId, RunId>,
    pub(super) files: Vec<CopiedFile>,
}

impl NewIds {
    /// New ids for the branch that ends with the command's message.
    pub(super) fn new(view: &ThreadView, command: &ForkThread) -> Self {
        let mut ids = Self::default();
        ids.texts.insert(command.from.to_string(), command.thread_id.to_string());
        for item in view.path_to(Some(command.message_id)) {
            match item {
                Item::Message(item) => {
                    ids.add_message(&item.message);
                    // It waited for its turn then; it does not in the copy.
                    ids.messages.push(UserMessage { steer: false, ..item.message.clone() });
                }
                Item::Run(run) => {
                    let id = RunId::new();
                    ids.runs.insert(run.run_id, id);
                    ids.texts.insert(run.run_id.to_string(), id.to_string());
                    for read in &run.read {
                        let message = &read.item.message;
                        ids.add_message(message);
                        // Its own run never began. It has no entries but its row, by which the message is found and deleted.
                        let id = RunId::new();
                        ids.runs.insert(message.run_id, id);
                        ids.texts.insert(message.run_id.to_string(), id.to_string());
                        ids.read.insert(message.id, message.clone());
                    }
                }
            }
        }
        ids
    }

    /// New ids for a message and its files.
    fn add_message(&mut self, message: &UserMessage) {
        self.texts.insert(message.id.to_string(), MessageId::new().to_string());
        for file in &message.attachments {
            // A message that was asked again has the files of the version before.
            if self.files.iter().all(|known| known.from != file.file_id) {
                let id = FileId::new();
                self.texts.insert(file.file_id.to_string(), id.to_string());
                let (name, bytes) = (file.name.clone(), file.bytes);
                self.files.push(CopiedFile { from: file.file_id, id, name, bytes });
            }
        }
    }

    /// The run's id in the copy; `None` if it is not of the branch.
    pub(super) fn run(&self, run: RunId) -> Option<RunId> {
        self.runs.get(&run).copied()
    }

    /// The entry to copy for an entry of the original log; `None` if it is not on the branch. Messages are copied with their present text and
    /// in the branch's present order: each message entry of the log is replaced by the next one of `messages`.
    fn entry_to_copy(
        &self,
        entry: ThreadEntry,
        messages: &mut std::slice::Iter<'_, UserMessage>,
    ) -> Option<ThreadEntry> {
        match entry {
            ThreadEntry::Message { message } => {
                let is_of_branch = |message: &UserMessage| self.messages.iter().any(|known| known.id == message.id);
                let read = self.read.get(&message.id);
                let message = read.or_else(|| is_of_branch(&message).then(|| messages.next()).flatten())?.clone();
                Some(ThreadEntry::Message { message })
            }
            ThreadEntry::Agent { run_id, .. } => self.runs.contains_key(&run_id).then_some(entry),
            ThreadEntry::Answer { ref answer } => self.runs.contains_key(&answer.resumed_by).then_some(entry),
            ThreadEntry::Read { message_id, .. } => self.read.contains_key(&message_id).then_some(entry),
            ThreadEntry::TakenBack { .. }
            | ThreadEntry::Edited { .. }
            | ThreadEntry::Moved { .. }
            | ThreadEntry::Feedback { .. }
            | ThreadEntry::Thread { .. }
            | ThreadEntry::Members { .. } => None,
        }
    }

    /// Replaces each string of a JSON value that is one of the ids.
    fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(new) = self.texts.get(text.as_str()) {
                    text.clone_from(new);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.replace(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.replace(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The copy of an entry of the branch.
    fn copy(&self, entry: ThreadEntry) -> Result<ThreadEntry> {
        let mut value = serde_json::to_value(entry)?;
        self.replace(&mut value);
        let mut entry: ThreadEntry = serde_json::from_value(value)?;
        match &mut entry {
            // The copy has one branch, so each message follows the one before it.
            ThreadEntry::Message { message } => (message.after, message.replaces) = (None, None),
            ThreadEntry::Answer { answer } => answer.id = MessageId::new(),
            _ => {}
        }
        Ok(entry)
    }
}

/// A message or answer of the copy, and the run that it requested.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct CopiedRequest {
    pub(in super::super) id: MessageId,
    pub(in super::super) run_id: RunId,
    pub(in super::super) order: RunOrder,
    /// The message of the run's turn.
    pub(in super::super) message_id: Option<MessageId>,
}

/// The entries of the copy in order, each with its time.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) entries: Vec<(i64, ThreadEntry)>,
}

impl Copied {
    /// Copies entries of the original thread, which are JSON, in order. Deltas are merged.
    pub(super) fn new(ids: &NewIds, log: Vec<(i64, String)>) -> Result<Self> {
        let (mut copied, mut compactor, mut messages) = (Vec::new(), Compactor::default(), ids.messages.iter());
        for (at, text) in log {
            let entry = serde_json::from_str(&text).map_err(|error| Error::Corrupt(format!("an entry: {error}")))?;
            if let Some(entry) = ids.entry_to_copy(entry, &mut messages) {
                let entry = ids.copy(entry)?;
                compactor.read(copied.len() as u64, entry.clone());
                copied.push(Some((at, entry)));
            }
        }
        let (merged, replaced) = compactor.finish();
        let index = |seq: u64| usize::try_from(seq).unwrap_or(usize::MAX);
        for (seq, entry) in replaced {
            if let Some(Some((_, old))) = copied.get_mut(index(seq)) {
                *old = entry;
            }
        }
        for seq in merged {
            if let Some(slot) = copied.get_mut(index(seq)) {
                *slot = None;
            }
        }
        Ok(Self { entries: copied.into_iter().flatten().collect() })
    }

    /// The messages and answers, whose places in the log begin with 1.
    pub(super) fn requests(&self) -> Vec<CopiedRequest> {
        let mut requests: Vec<CopiedRequest> = Vec::new();
        for (seq, (_, entry)) in (1..).zip(&self.entries) {
            match entry {
                ThreadEntry::Message { message } => requests.push(CopiedRequest {
                    id: message.id,
                    run_id: message.run_id,
                    order: RunOrder { turn: seq, seq },
                    message_id: Some(message.id),
                }),
                ThreadEntry::Answer { answer } => {
                    let resumed = requests.iter().find(|request| request.run_id == answer.run_id);
                    let (turn, message_id) =
                        resumed.map_or((seq, None), |resumed| (resumed.order.turn, resumed.message_id));
                    let order = RunOrder { turn, seq };
                    requests.push(CopiedRequest { id: answer.id, run_id: answer.resumed_by, order, message_id });
                }
                _ => {}
            }
        }
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        Attachment, Author, ThreadId, UserId,
        agui::{Event, RunFinished, RunStarted, TextMessageContent, TextMessageEnd, TextMessageStart},
    };

    /// A log under construction.
    #[derive(Default)]
    struct Log {
        view: ThreadView,
        entries: Vec<(i64, String)>,
    }

    impl Log {
        fn add(&mut self, entry: ThreadEntry) {
            let at = self.entries.len() as i64 * 10;
            self.entries.push((at, serde_json::to_string(&entry).expect("JSON")));
            self.view.apply(at, entry);
        }

        fn ask(&mut self, text: &str, replaces: Option<MessageId>, thread: ThreadId) -> UserMessage {
            let author = Author { id: UserId::new(), name: "Ada".into() };
            let attachments = vec![Attachment { file_id: FileId::new(), name: "log.csv".into(), bytes: 3 }];
            let message =
                UserMessage { replaces, attachments, ..UserMessage::new(author, text, RunId::new(), "analyst") };
            self.add(ThreadEntry::Message { message: message.clone() });
            let run_id = message.run_id;
            let events: [Event; 6] = [
                RunStarted::new(thread, run_id).into(),
                TextMessageStart::new(format!("m-{text}")).into(),
                TextMessageContent::new(format!("m-{text}"), "Answer to ").into(),
                TextMessageContent::new(format!("m-{text}"), text).into(),
                TextMessageEnd::new(format!("m-{text}")).into(),
                RunFinished::new(thread, run_id).into(),
            ];
            events.into_iter().for_each(|event| self.add(ThreadEntry::Agent { run_id, event: Box::new(event) }));
            message
        }
    }

    #[test]
    fn a_copy_has_the_branch_up_to_the_answer_with_new_ids_and_the_original_times() {
        let (mut log, from) = (Log::default(), ThreadId::new());
        let first = log.ask("first", None, from);
        let other = log.ask("other", Some(first.id), from);
        let second = log.ask("second", None, from);
        log.ask("third", None, from);
        let command = ForkThread { thread_id: ThreadId::new(), from, message_id: second.id };
        let ids = NewIds::new(&log.view, &command);
        let copied = Copied::new(&ids, log.entries.clone()).expect("it is copied");
        let texts = serde_json::to_string(&copied.entries).expect("JSON");
        for old in [from.to_string(), other.id.to_string(), other.run_id.to_string(), second.run_id.to_string()] {
            assert!(!texts.contains(&old), "{old}");
        }
        assert!(!texts.contains("first") && !texts.contains("third"), "{texts}");
        let mut view = ThreadView::default();
        copied.entries.iter().for_each(|(at, entry)| view.apply(*at, entry.clone()));
        let shown = |view: &ThreadView| {
            let items = view.items.iter().map(|item| match item {
                Item::Message(item) => {
                    format!("{} {} {}", item.at, item.message.content, item.message.attachments[0].name)
                }
                Item::Run(run) => format!("{} {:?} {:?}", run.started_at, run.ended_at, run.nodes),
            });
            items.collect::<Vec<_>>()
        };
        let original = ThreadView {
            items: log.view.path_to(Some(second.id)).into_iter().cloned().collect(),
            ..ThreadView::default()
        };
        assert_eq!(shown(&view), shown(&original));
        assert_eq!(view.branch(None).len(), 2);
        assert_eq!(ids.files.len(), 2);
        let requests = copied.requests();
        let orders: Vec<(u64, u64)> = requests.iter().map(|request| (request.order.turn, request.order.seq)).collect();
        assert_eq!(orders, [(1, 1), (7, 7)], "the two deltas of each answer are one entry");
        assert_eq!(ids.run(second.run_id), Some(requests[1].run_id));
    }

    #[test]
    fn messages_that_were_moved_changed_or_read_are_copied_as_they_are_now() {
        let (mut log, from) = (Log::default(), ThreadId::new());
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let message = |text: &str| UserMessage::new(author.clone(), text, RunId::new(), "analyst");
        let [first, read, second, other, third] = ["first", "read", "second", "other", "third"].map(message);
        let event = |run_id, event: Event| ThreadEntry::Agent { run_id, event: Box::new(event) };
        log.add(ThreadEntry::Message { message: first.clone() });
        log.add(event(first.run_id, RunStarted::new(from, first.run_id).into()));
        for message in [&read, &other, &second, &third] {
            log.add(ThreadEntry::Message { message: message.clone() });
        }
        let edited = |message: &UserMessage, content: &str| ThreadEntry::Edited {
            message_id: message.id,
            run_id: message.run_id,
            content: content.into(),
            attachments: Vec::new(),
        };
        log.add(edited(&read, "read 2"));
        log.add(ThreadEntry::Read { message_id: read.id, run_id: first.run_id });
        log.add(event(first.run_id, RunFinished::new(from, first.run_id).into()));
        // `third` is moved before a message that is not of the branch at the end.
        log.add(ThreadEntry::Moved { message_id: third.id, before: Some(other.id) });
        log.add(ThreadEntry::Moved { message_id: other.id, before: None });
        log.add(edited(&third, "third 2"));
        for message in [&third, &second] {
            log.add(event(message.run_id, RunStarted::new(from, message.run_id).into()));
            log.add(event(message.run_id, RunFinished::new(from, message.run_id).into()));
        }
        let command = ForkThread { thread_id: ThreadId::new(), from, message_id: second.id };
        let ids = NewIds::new(&log.view, &command);
        let copied = Copied::new(&ids, log.entries.clone()).expect("it is copied");
        let mut view = ThreadView::default();
        copied.entries.iter().for_each(|(at, entry)| view.apply(*at, entry.clone()));
        let texts = view.path(None).into_iter().flat_map(|item| match item {
            Item::Message(item) => vec![item.message.content.clone()],
            Item::Run(run) => run.read.iter().map(|read| format!("({})", read.item.message.content)).collect(),
        });
        assert_eq!(texts.collect::<Vec<_>>(), ["first", "(read 2)", "third 2", "second"]);
        let texts = serde_json::to_string(&copied.entries).expect("JSON");
        for old in [&first, &read, &second, &other, &third] {
            assert!(!texts.contains(&old.id.to_string()) && !texts.contains(&old.run_id.to_string()), "{texts}");
        }
    }
}
