//! The thread as a tree: which messages follow which, and the branch that a person looks at.
//!
//! Every message follows another or begins the thread; those that follow the same one are versions of each other. A branch
//! leads from a first message to a last one, each with the runs that answered it.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::protocol::{Item, MessageId, MessageItem, NodeBody, RunId, RunView, ThreadView, extensions::KNOWN_RESULT};

impl ThreadView {
    /// A message by id.
    #[must_use]
    pub fn message(&self, id: MessageId) -> Option<&MessageItem> {
        self.messages().rev().find(|said| said.message.id == id)
    }

    /// The newest message.
    #[must_use]
    pub fn newest_message(&self) -> Option<MessageId> {
        self.messages().next_back().map(|said| said.message.id)
    }

    /// The versions of a message, oldest first, itself among them.
    #[must_use]
    pub fn versions(&self, id: MessageId) -> Vec<MessageId> {
        let Some(said) = self.message(id) else { return Vec::new() };
        let follows = said.follows;
        self.messages().filter(|other| other.follows == follows).map(|other| other.message.id).collect()
    }

    /// The messages of the branch through `through`, first to last: below it the newest of all. `None`, or one that is not
    /// there: the branch of the newest message.
    #[must_use]
    pub fn branch(&self, through: Option<MessageId>) -> Vec<MessageId> {
        let known: HashMap<MessageId, &MessageItem> = self.messages().map(|said| (said.message.id, said)).collect();
        let through = through.filter(|id| known.contains_key(id));
        // A message comes after what it follows, so one pass over the log finds all that lead on from it.
        let mut below: HashSet<MessageId> = through.into_iter().collect();
        let mut last = through.or_else(|| self.newest_message());
        for said in self.messages() {
            if said.follows.is_some_and(|follows| below.contains(&follows)) {
                below.insert(said.message.id);
                last = Some(said.message.id);
            }
        }
        let step = |id: &MessageId| known.get(id).and_then(|said| said.follows).filter(|id| known.contains_key(id));
        let mut branch: Vec<MessageId> = std::iter::successors(last, step).take(known.len()).collect();
        branch.reverse();
        branch
    }

    /// What the branch through a message shows, in order. Runs that no message announced belong to every branch.
    #[must_use]
    pub fn path(&self, through: Option<MessageId>) -> Vec<&Item> {
        self.on(self.branch(through))
    }

    /// The runs of a run's branch that were accepted before it, oldest first.
    pub(super) fn runs_before(&self, run_id: RunId) -> Vec<&RunView> {
        let message = self.run(run_id).and_then(|run| run.message_id);
        let runs = self.until(message).into_iter().filter_map(|item| match item {
            Item::Run(run) => Some(&**run),
            Item::Message(_) => None,
        });
        runs.take_while(|run| run.run_id != run_id).collect()
    }

    /// The branch that leads to a message, and not beyond it.
    pub(super) fn until(&self, message: Option<MessageId>) -> Vec<&Item> {
        let mut branch = self.branch(message);
        let end = branch.iter().position(|id| Some(*id) == message).map_or(branch.len(), |at| at + 1);
        branch.truncate(end);
        self.on(branch)
    }

    fn on(&self, branch: Vec<MessageId>) -> Vec<&Item> {
        let branch: HashSet<MessageId> = branch.into_iter().collect();
        let is_on = |item: &&Item| match item {
            Item::Message(said) => branch.contains(&said.message.id),
            Item::Run(run) => run.message_id.is_none_or(|id| branch.contains(&id)),
        };
        self.items.iter().filter(is_on).collect()
    }

    /// The runs, in the order in which they were accepted.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &RunView> {
        self.items.iter().filter_map(|item| match item {
            Item::Run(run) => Some(&**run),
            Item::Message(_) => None,
        })
    }

    /// The newest result of the calls with this id.
    #[must_use]
    pub fn result_of(&self, call: &str) -> Option<&str> {
        let mut nodes = self.runs().rev().flat_map(|run| run.nodes.iter().rev());
        nodes.find_map(|node| match &node.body {
            NodeBody::Tool { result: Some(text), .. } if node.id == call => Some(text.as_str()),
            _ => None,
        })
    }

    /// Puts into a restated conversation the results that it leaves out because the thread has them.
    pub fn fill_in_results(&self, messages: &mut [Value]) {
        // Each once: whoever wrote the marks, no conversation gets larger than the thread.
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
            Item::Message(said) => Some(&**said),
            Item::Run(_) => None,
        })
    }
}
