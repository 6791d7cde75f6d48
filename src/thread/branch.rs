//! The thread as a tree of messages, and its branches.
//!
//! Every message follows another one or begins the thread. Messages that follow the same one are versions of each other. A branch
//! leads from a first message to a last one, each with the runs that answer it.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::protocol::{Item, MessageId, MessageItem, NodeBody, RunId, RunView, ThreadView, extensions::KNOWN_RESULT};

impl ThreadView {
    /// A message by id.
    #[must_use]
    pub fn message(&self, id: MessageId) -> Option<&MessageItem> {
        self.messages().rev().find(|known| known.message.id == id)
    }

    /// The id of the newest message.
    #[must_use]
    pub fn newest_message(&self) -> Option<MessageId> {
        self.messages().next_back().map(|newest| newest.message.id)
    }

    /// The versions of a message, including itself, oldest first.
    #[must_use]
    pub fn versions(&self, id: MessageId) -> Vec<MessageId> {
        let Some(follows) = self.message(id).map(|known| known.follows) else { return Vec::new() };
        self.messages().filter(|other| other.follows == follows).map(|other| other.message.id).collect()
    }

    /// The messages of the branch through `through`, first to last; after `through` it leads to the newest message. For `None` or an
    /// unknown message, the branch of the newest message.
    #[must_use]
    pub fn branch(&self, through: Option<MessageId>) -> Vec<MessageId> {
        let known: HashMap<MessageId, &MessageItem> =
            self.messages().map(|message| (message.message.id, message)).collect();
        let through = through.filter(|id| known.contains_key(id));
        // A message comes after the one that it follows, so one pass finds all messages after `through`.
        let mut after: HashSet<MessageId> = through.into_iter().collect();
        let mut last = through.or_else(|| self.newest_message());
        for message in self.messages() {
            if message.follows.is_some_and(|follows| after.contains(&follows)) {
                after.insert(message.message.id);
                last = Some(message.message.id);
            }
        }
        let predecessor =
            |id: &MessageId| known.get(id).and_then(|message| message.follows).filter(|id| known.contains_key(id));
        let mut branch: Vec<MessageId> = std::iter::successors(last, predecessor).take(known.len()).collect();
        branch.reverse();
        branch
    }

    /// The messages and runs of the branch through a message, in order. A run without a message belongs to every branch.
    #[must_use]
    pub fn path(&self, through: Option<MessageId>) -> Vec<&Item> {
        self.items_of(self.branch(through))
    }

    /// The earlier runs of a run's branch, oldest first.
    pub(super) fn runs_before(&self, run_id: RunId) -> Vec<&RunView> {
        let message = self.run(run_id).and_then(|run| run.message_id);
        let runs = self.path_to(message).into_iter().filter_map(|item| match item {
            Item::Run(run) => Some(&**run),
            Item::Message(_) => None,
        });
        runs.take_while(|run| run.run_id != run_id).collect()
    }

    /// The messages and runs of a message's branch, up to the runs that answer it.
    #[must_use]
    pub fn path_to(&self, message: Option<MessageId>) -> Vec<&Item> {
        let mut branch = self.branch(message);
        let end = branch.iter().position(|id| Some(*id) == message).map_or(branch.len(), |at| at + 1);
        branch.truncate(end);
        self.items_of(branch)
    }

    fn items_of(&self, branch: Vec<MessageId>) -> Vec<&Item> {
        let branch: HashSet<MessageId> = branch.into_iter().collect();
        let is_of_branch = |item: &&Item| match item {
            Item::Message(message) => branch.contains(&message.message.id),
            Item::Run(run) => run.message_id.is_none_or(|id| branch.contains(&id)),
        };
        self.items.iter().filter(is_of_branch).collect()
    }

    /// The runs, oldest first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &RunView> {
        self.items.iter().filter_map(|item| match item {
            Item::Run(run) => Some(&**run),
            Item::Message(_) => None,
        })
    }

    /// The newest result of a call with this id.
    #[must_use]
    pub fn result_of(&self, call: &str) -> Option<&str> {
        let mut nodes = self.runs().rev().flat_map(|run| run.nodes.iter().rev());
        nodes.find_map(|node| match &node.body {
            NodeBody::Tool { result: Some(text), .. } if node.id == call => Some(text.as_str()),
            _ => None,
        })
    }

    /// Fills in the results that a `MESSAGES_SNAPSHOT` leaves out because the thread has them ([`KNOWN_RESULT`]).
    pub fn fill_in_results(&self, messages: &mut [Value]) {
        // Each result once, so that no conversation becomes larger than the thread, whatever an agent marks.
        let mut filled = HashSet::new();
        for message in messages.iter_mut().filter_map(Value::as_object_mut) {
            let Some(call) = message.remove(KNOWN_RESULT).and(message.get("toolCallId")).and_then(Value::as_str) else {
                continue;
            };
            if filled.insert(call.to_owned())
                && let Some(text) = self.result_of(call)
            {
                message.insert("content".into(), text.into());
            }
        }
    }

    fn messages(&self) -> impl DoubleEndedIterator<Item = &MessageItem> {
        self.items.iter().filter_map(|item| match item {
            Item::Message(message) => Some(&**message),
            Item::Run(_) => None,
        })
    }
}
