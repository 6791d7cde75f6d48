//! Unsent text: the composers' drafts and the edits of messages. They are kept while the user visits other pages, and stored
//! in the browser.

use std::collections::HashMap;

use leptos::{
    ev::{EventDescriptor as _, visibilitychange},
    prelude::*,
    task::spawn_local,
};

use super::{
    browser::{self, LocalFile},
    storage::{
        Storage, StoredRecord,
        record::{Content, DraftRecord, EditRecord, FileRecord, RecordKey, Slot, TakenBackMessage},
    },
    uploads::{AttachedFile, Uploads},
};
use crate::protocol::{Attachment, MessageId, ThreadId};

/// The content of a composer.
#[derive(Debug, Clone, Default)]
pub(crate) struct DraftContent {
    pub(crate) text: String,
    pub(crate) files: Vec<AttachedFile>,
    /// Files that were uploaded to the thread before.
    pub(crate) uploaded: Vec<Attachment>,
    /// Messages that the user took back while the composer was in use.
    pub(crate) taken_back: Vec<TakenBackMessage>,
}

impl DraftContent {
    fn record(&self) -> DraftRecord {
        DraftRecord {
            text: self.text.clone(),
            files: self.files.iter().map(file_record).collect(),
            uploaded: self.uploaded.clone(),
            taken_back: self.taken_back.clone(),
        }
    }
}

/// A file as it is stored in a record.
pub(super) fn file_record(file: &AttachedFile) -> FileRecord {
    FileRecord { key: file.key(), name: file.file.name(), id: file.id() }
}

/// The files of a record, whose uploads may be complete.
pub(super) fn attached_files(files: Vec<LocalFile>, records: &[FileRecord]) -> Vec<AttachedFile> {
    let uploaded = |key| records.iter().find(|record| record.key == key).and_then(|record| record.id);
    files.into_iter().map(|file| AttachedFile::new(file.clone(), uploaded(file.key()))).collect()
}

/// All drafts and edits of this tab, from context. The key `None` is the draft of a new thread.
#[derive(Clone, Copy)]
pub(crate) struct Drafts {
    storage: Storage,
    uploads: Uploads,
    drafts: StoredValue<HashMap<Option<ThreadId>, DraftContent>>,
    edits: StoredValue<HashMap<MessageId, EditRecord>>,
    /// Stored drafts and edits of closed tabs, each with its thread.
    leftovers: RwSignal<Vec<(RecordKey, Option<ThreadId>)>>,
}

impl Drafts {
    /// Provides them as context.
    pub(crate) fn provide(storage: Storage, uploads: Uploads) -> Self {
        let (drafts, edits) = (StoredValue::new(HashMap::new()), StoredValue::new(HashMap::new()));
        let all = Self { storage, uploads, drafts, edits, leftovers: RwSignal::new(Vec::new()) };
        provide_context(all);
        // A hidden tab claims nothing: the tab that left the draft may be reloading.
        Effect::new(move |_| {
            let listener =
                window_event_listener_untyped(&visibilitychange.name(), move |_| all.leftovers.update(|_| {}));
            on_cleanup(move || listener.remove());
        });
        all
    }

    /// Adds a draft or an edit that a closed tab left in storage.
    pub(crate) fn add_leftover(self, key: RecordKey, content: &Content) {
        let thread = match content {
            Content::Edit(edit) => Some(edit.thread_id),
            _ => match key.slot {
                Slot::Draft(thread) => thread,
                _ => return,
            },
        };
        self.leftovers.update(|leftovers| {
            if !leftovers.contains(&(key, thread)) {
                leftovers.push((key, thread));
            }
        });
    }

    /// The content of a thread's composer.
    pub(crate) fn get(self, thread: Option<ThreadId>) -> DraftContent {
        self.drafts.with_value(|drafts| drafts.get(&thread).cloned()).unwrap_or_default()
    }

    /// Keeps and stores the content of a composer.
    pub(crate) fn save(self, thread: Option<ThreadId>, content: DraftContent) {
        let record = content.record();
        let is_empty = record.is_empty();
        self.storage.write(Slot::Draft(thread), (!is_empty).then_some(Content::Draft(record)));
        self.drafts.update_value(|drafts| match is_empty {
            true => drop(drafts.remove(&thread)),
            false => drop(drafts.insert(thread, content)),
        });
    }

    /// Appends a message that could not be sent, or was taken back, to a draft.
    pub(crate) fn restore(self, thread: Option<ThreadId>, text: &str, uploaded: Vec<Attachment>) {
        let mut content = self.get(thread);
        content.text = super::storage::record::join(&content.text, text);
        content.uploaded.extend(uploaded);
        self.save(thread, content);
    }

    /// Whether the tab is visible and a closed tab left a draft or an edit in the thread. Reactive.
    pub(crate) fn has_leftovers(self, thread: Option<ThreadId>) -> bool {
        self.leftovers.with(|leftovers| leftovers.iter().any(|(_, in_thread)| *in_thread == thread))
            && browser::is_visible()
    }

    /// Claims the drafts that closed tabs left for a composer. Calls `done` after each, with the names of its missing files.
    pub(crate) fn claim_drafts(self, thread: Option<ThreadId>, done: impl Fn(Vec<String>) + Copy + 'static) {
        for key in self.take_leftovers(thread, |slot| matches!(slot, Slot::Draft(_))) {
            self.storage.claim(key, move |StoredRecord { record, files, missing }| {
                if let Content::Draft(draft) = record.content {
                    self.prepend(thread, draft, files);
                    done(missing);
                }
            });
        }
    }

    /// Puts a claimed draft before what the composer holds.
    fn prepend(self, thread: Option<ThreadId>, draft: DraftRecord, files: Vec<LocalFile>) {
        let now = self.get(thread);
        let files = attached_files(files, &draft.files);
        let restored = files.clone();
        let mut joined = DraftRecord { files: Vec::new(), ..draft };
        joined.append(DraftRecord { files: Vec::new(), ..now.record() });
        let files = files.into_iter().chain(now.files).collect();
        let DraftRecord { text, uploaded, taken_back, .. } = joined;
        self.save(thread, DraftContent { text, files, uploaded, taken_back });
        restored.into_iter().for_each(|file| self.upload(thread, file));
    }

    /// Claims the edits that closed tabs left in a thread. Calls `done` after each.
    pub(crate) fn claim_edits(self, thread: ThreadId, done: impl Fn(MessageId) + Copy + 'static) {
        for key in self.take_leftovers(Some(thread), |slot| matches!(slot, Slot::Edit(_))) {
            self.storage.claim(key, move |StoredRecord { record, .. }| {
                if let (Slot::Edit(message), Content::Edit(edit)) = (key.slot, record.content)
                    && self.edited_text(message).is_none()
                {
                    self.save_edit(message, Some(edit));
                    done(message);
                }
            });
        }
    }

    /// Removes from the list the leftovers of a thread for which `matches` is true, and returns them.
    fn take_leftovers(self, thread: Option<ThreadId>, matches: fn(Slot) -> bool) -> Vec<RecordKey> {
        let mut taken = Vec::new();
        self.leftovers.update_untracked(|leftovers| {
            leftovers.retain(|(key, in_thread)| {
                let take = *in_thread == thread && matches(key.slot);
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
        let in_thread = |(id, edit): (&MessageId, &EditRecord)| (edit.thread_id == thread).then_some(*id);
        self.edits.with_value(|edits| edits.iter().filter_map(in_thread).collect())
    }

    /// The text of the edit of a message.
    pub(crate) fn edited_text(self, message: MessageId) -> Option<String> {
        self.edits.with_value(|edits| edits.get(&message).map(|edit| edit.text.clone()))
    }

    /// Keeps and stores the edit of a message; `None` ends it.
    pub(crate) fn save_edit(self, message: MessageId, edit: Option<EditRecord>) {
        self.storage.write(Slot::Edit(message), edit.clone().map(Content::Edit));
        self.edits.update_value(|edits| match edit {
            Some(edit) => drop(edits.insert(message, edit)),
            None => drop(edits.remove(&message)),
        });
    }

    /// Stores a file that was attached.
    pub(crate) fn put_file(self, file: &AttachedFile) {
        self.storage.put_file(&file.file);
    }

    /// Uploads a file of a composer in the background. When that is done, the stored draft has its id.
    pub(crate) fn upload(self, thread: Option<ThreadId>, file: AttachedFile) {
        self.uploads.start(&file);
        spawn_local(async move {
            let is_here = |content: &DraftContent| content.files.iter().any(|other| other.key() == file.key());
            while file.id().is_none() {
                file.changed().await;
                // It was removed or sent.
                if !is_here(&self.get(thread)) {
                    return;
                }
            }
            let content = self.get(thread);
            if is_here(&content) {
                self.save(thread, content);
            }
        });
    }

    /// Removes a file that was detached, also from the server.
    pub(crate) fn remove_file(self, file: &AttachedFile) {
        self.uploads.cancel(file);
        self.storage.remove_files([file.key()]);
    }
}
