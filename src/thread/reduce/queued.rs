//! Folds what people and agents do with messages whose run has not begun: they are changed, moved, or read by an active run.

use std::sync::Arc;

use crate::protocol::{Attachment, Item, MessageId, MessageItem, ReadMessage, RunId, ThreadView};

impl ThreadView {
    pub(super) fn edit_message(&mut self, message_id: MessageId, content: String, attachments: Vec<Attachment>) {
        if let Some(known) = self.message_mut(message_id) {
            known.message.content = content;
            known.message.attachments = attachments;
        }
    }

    /// Moves a message with its runs before another message, or to the end of its branch. No effect if the two are on different
    /// branches, since neither follows the other there.
    pub(super) fn move_message(&mut self, message_id: MessageId, before: Option<MessageId>) {
        let branch = self.branch(Some(message_id));
        if !branch.contains(&message_id) || before.is_some_and(|b| b == message_id || !branch.contains(&b)) {
            return;
        }
        let predecessor = self.message(message_id).and_then(|moved| moved.follows);
        self.replace_predecessor(message_id, predecessor);
        let new_predecessor = match before {
            Some(before) => {
                let follows = self.message(before).and_then(|known| known.follows);
                if let Some(known) = self.message_mut(before) {
                    known.follows = Some(message_id);
                }
                follows
            }
            None => branch.iter().rev().find(|id| **id != message_id).copied(),
        };
        if let Some(known) = self.message_mut(message_id) {
            known.follows = new_predecessor;
        }
        let is_moved = |item: &Item| match item {
            Item::Message(known) => known.message.id == message_id,
            Item::Run(run) => run.message_id == Some(message_id),
        };
        let (moved, mut others): (Vec<Item>, Vec<Item>) =
            std::mem::take(&mut self.items).into_iter().partition(is_moved);
        let is_before = |item: &Item| matches!(item, Item::Message(known) if Some(known.message.id) == before);
        let at = others.iter().position(is_before).unwrap_or(others.len());
        others.splice(at..at, moved);
        self.items = others;
    }

    /// Moves a message into the run whose agent read it. If that run was trimmed, the message is removed as well.
    pub(super) fn read_message(&mut self, message_id: MessageId, run_id: RunId) {
        let item = self.items.iter().find_map(|item| match item {
            Item::Message(known) if known.message.id == message_id => Some(known.clone()),
            _ => None,
        });
        let Some(item) = item else { return };
        self.remove_message(message_id);
        if let Some(run) = self.known_run_mut(run_id) {
            let nodes_before = run.nodes.len();
            run.read.push(ReadMessage { nodes_before, item });
        }
    }

    /// Makes the messages that follow `message` follow `predecessor`.
    pub(super) fn replace_predecessor(&mut self, message: MessageId, predecessor: Option<MessageId>) {
        for item in &mut self.items {
            if let Item::Message(known) = item
                && known.follows == Some(message)
            {
                Arc::make_mut(known).follows = predecessor;
            }
        }
    }

    fn message_mut(&mut self, id: MessageId) -> Option<&mut MessageItem> {
        self.items.iter_mut().rev().find_map(|item| match item {
            Item::Message(known) if known.message.id == id => Some(Arc::make_mut(known)),
            _ => None,
        })
    }
}
