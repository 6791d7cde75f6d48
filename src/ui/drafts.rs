//! What is being written and was not sent: the composers' drafts and the edits of messages, kept while the person is
//! elsewhere and stored in their browser.

use std::collections::HashMap;

use leptos::{
    ev::{EventDescriptor as _, visibilitychange},
    prelude::*,
};

use super::{
    browser::{self, LocalFile},
    storage::{
        Found, Storage,
        record::{Content, DraftRecord, EditRecord, FileRecord, RecordKey, Slot, TakenBackMessage},
    },
};
use crate::protocol::{Attachment, MessageId, ThreadId};

/// What is in a composer.
#[derive(Debug, Clone, Default)]
pub(crate) struct DraftContent {
    pub(crate) text: String,
    pub(crate) files: Vec<LocalFile>,
    /// Files that the thread has already.
    pub(crate) attached: Vec<Attachment>,
    /// Messages that were taken back and wait until the composer is free for them.
    pub(crate) returned: Vec<TakenBackMessage>,
}

impl DraftContent {
    fn record(&self) -> DraftRecord {
        let file = |file: &LocalFile| FileRecord { key: file.key(), name: file.name(), id: None };
        DraftRecord {
            text: self.text.clone(),
            files: self.files.iter().map(file).collect(),
            attached: self.attached.clone(),
            returned: self.returned.clone(),
        }
    }
}

/// All drafts and edits of this page, from context.
#[derive(Clone, Copy)]
pub(crate) struct Drafts {
    storage: Storage,
    drafts: StoredValue<HashMap<Option<ThreadId>, DraftContent>>,
    edits: StoredValue<HashMap<MessageId, EditRecord>>,
    /// What pages before this one left, and in which thread.
    left: RwSignal<Vec<(RecordKey, Option<ThreadId>)>>,
}

impl Drafts {
    /// Puts them into context.
    pub(crate) fn provide(storage: Storage) -> Self {
        let (drafts, edits) = (StoredValue::new(HashMap::new()), StoredValue::new(HashMap::new()));
        let all = Self { storage, drafts, edits, left: RwSignal::new(Vec::new()) };
        provide_context(all);
        // A page that nobody sees takes up nothing: the one that left it may be on its way back.
        Effect::new(move |_| {
            let seen = window_event_listener_untyped(&visibilitychange.name(), move |_| all.left.update(|_| {}));
            on_cleanup(move || seen.remove());
        });
        all
    }

    /// A draft or an edit was left by a page that is gone.
    pub(crate) fn add_leftover(self, key: RecordKey, content: &Content) {
        let thread = match content {
            Content::Edit(edit) => Some(edit.thread_id),
            _ => match key.slot {
                Slot::Draft(thread) => thread,
                _ => return,
            },
        };
        self.left.update(|left| {
            if !left.contains(&(key, thread)) {
                left.push((key, thread));
            }
        });
    }

    /// What is in the composer of a thread, or of a new one.
    pub(crate) fn get(self, thread: Option<ThreadId>) -> DraftContent {
        self.drafts.with_value(|drafts| drafts.get(&thread).cloned()).unwrap_or_default()
    }

    /// Keeps what is in a composer.
    pub(crate) fn save(self, thread: Option<ThreadId>, kept: DraftContent) {
        let record = kept.record();
        let is_empty = record.is_empty();
        self.storage.write(Slot::Draft(thread), (!is_empty).then_some(Content::Draft(record)));
        self.drafts.update_value(|drafts| match is_empty {
            true => drop(drafts.remove(&thread)),
            false => drop(drafts.insert(thread, kept)),
        });
    }

    /// Makes what could not be sent, or was taken back, part of a draft, after what was begun.
    pub(crate) fn restore(self, thread: Option<ThreadId>, text: &str, attached: Vec<Attachment>) {
        let mut kept = self.get(thread);
        kept.text = super::storage::record::join(&kept.text, text);
        kept.attached.extend(attached);
        self.save(thread, kept);
    }

    /// Whether there is something that was left in a thread and can be taken up now. Tracks.
    pub(crate) fn has_leftovers(self, thread: Option<ThreadId>) -> bool {
        self.left.with(|left| left.iter().any(|(_, of)| *of == thread)) && browser::is_visible()
    }

    /// Takes up the drafts that were left for a composer; `done` hears of each.
    pub(crate) fn claim_drafts(self, thread: Option<ThreadId>, done: impl Fn(Vec<String>) + Copy + 'static) {
        for key in self.take_leftovers(thread, |slot| matches!(slot, Slot::Draft(_))) {
            self.storage.claim(key, move |Found { record, files, missing }| {
                if let Content::Draft(draft) = record.content {
                    self.prepend(thread, draft, files);
                    done(missing);
                }
            });
        }
    }

    fn prepend(self, thread: Option<ThreadId>, draft: DraftRecord, files: Vec<LocalFile>) {
        let now = self.get(thread);
        let mut joined = DraftRecord { files: Vec::new(), ..draft };
        joined.append(DraftRecord { files: Vec::new(), ..now.record() });
        let files = files.into_iter().chain(now.files).collect();
        let DraftRecord { text, attached, returned, .. } = joined;
        self.save(thread, DraftContent { text, files, attached, returned });
    }

    /// Takes up the edits that were left in a thread; `done` hears of each.
    pub(crate) fn claim_edits(self, thread: ThreadId, done: impl Fn(MessageId) + Copy + 'static) {
        for key in self.take_leftovers(Some(thread), |slot| matches!(slot, Slot::Edit(_))) {
            self.storage.claim(key, move |Found { record, .. }| {
                if let (Slot::Edit(message), Content::Edit(edit)) = (key.slot, record.content)
                    && self.edited_text(message).is_none()
                {
                    self.save_edit(message, Some(edit));
                    done(message);
                }
            });
        }
    }

    fn take_leftovers(self, thread: Option<ThreadId>, is_it: fn(Slot) -> bool) -> Vec<RecordKey> {
        let mut taken = Vec::new();
        self.left.update_untracked(|left| {
            left.retain(|(key, of)| {
                let take = *of == thread && is_it(key.slot);
                if take {
                    taken.push(*key);
                }
                !take
            });
        });
        taken
    }

    /// The messages of a thread that are being edited.
    pub(crate) fn edits_in(self, thread: ThreadId) -> Vec<MessageId> {
        let of_thread = |(id, edit): (&MessageId, &EditRecord)| (edit.thread_id == thread).then_some(*id);
        self.edits.with_value(|edits| edits.iter().filter_map(of_thread).collect())
    }

    /// What a message is being edited to.
    pub(crate) fn edited_text(self, message: MessageId) -> Option<String> {
        self.edits.with_value(|edits| edits.get(&message).map(|edit| edit.text.clone()))
    }

    /// Keeps what a message is being edited to; absent: it is edited no more.
    pub(crate) fn save_edit(self, message: MessageId, edit: Option<EditRecord>) {
        self.storage.write(Slot::Edit(message), edit.clone().map(Content::Edit));
        self.edits.update_value(|edits| match edit {
            Some(edit) => drop(edits.insert(message, edit)),
            None => drop(edits.remove(&message)),
        });
    }

    /// Stores a file that was attached.
    pub(crate) fn put_file(self, file: &LocalFile) {
        self.storage.put_file(file);
    }

    /// Removes a file that was left out.
    pub(crate) fn remove_file(self, file: &LocalFile) {
        self.storage.remove_files([file.key()]);
    }
}
