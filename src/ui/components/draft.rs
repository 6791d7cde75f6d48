//! The draft of one composer: its text, its files, and messages that were taken back.

use leptos::{html, prelude::*, task::spawn_local};

use super::paste::PastedText;
use crate::{
    protocol::{Attachment, FileId, RunId, StopRun, ThreadId, limits},
    socket::context::Socket,
    text::escape_invisible,
    ui::{
        browser::{self, LocalFile},
        drafts::{DraftContent, Drafts},
        format,
        storage::record::TakenBackMessage,
        uploads::{AttachedFile, UploadState},
    },
};

/// A draft. It is kept in application state and stored in the browser, so it survives navigation, reloads, crashes and the end of
/// the session. Every change must be followed by [`Self::save`].
#[derive(Clone, Copy)]
pub(crate) struct Draft {
    thread: Option<ThreadId>,
    drafts: Drafts,
    /// Whether the person typed here. If so, drafts left by closed pages are merged only while this one is empty.
    was_edited: StoredValue<bool>,
    pub(crate) text: RwSignal<String>,
    /// New files. Their uploads have begun.
    pub(crate) files: RwSignal<Vec<AttachedFile>>,
    /// Files that were uploaded to the thread before.
    pub(crate) uploaded: RwSignal<Vec<Attachment>>,
    /// Messages that were taken back while the composer was not empty.
    pub(crate) taken_back: RwSignal<Vec<TakenBackMessage>>,
    /// The text that was pasted last and attached as a file.
    pub(crate) pasted: RwSignal<Option<PastedText>>,
    /// Shown above the composer.
    pub(crate) error: RwSignal<Option<String>>,
    /// The composer's text field.
    pub(crate) area: NodeRef<html::Textarea>,
    /// The run for which a stop was requested.
    pub(crate) stopping: RwSignal<Option<RunId>>,
}

impl Draft {
    /// The draft of a thread; `None` for a new thread.
    pub(crate) fn new(thread: Option<ThreadId>) -> Self {
        let drafts: Drafts = expect_context();
        let DraftContent { text, files, uploaded, taken_back } = drafts.get(thread);
        let draft = Self {
            thread,
            drafts,
            was_edited: StoredValue::new(false),
            text: RwSignal::new(text),
            files: RwSignal::new(files),
            uploaded: RwSignal::new(uploaded),
            taken_back: RwSignal::new(taken_back),
            pasted: RwSignal::new(None),
            error: RwSignal::new(None),
            area: NodeRef::new(),
            stopping: RwSignal::new(None),
        };
        Effect::new(move |_| {
            drafts.has_leftovers(thread);
            draft.merge_leftovers();
        });
        draft
    }

    /// Merges drafts of this thread that closed pages left, unless the person has typed here.
    fn merge_leftovers(self) {
        let can_merge = !self.was_edited.get_value() || self.is_empty_untracked();
        if can_merge && untrack(|| self.drafts.has_leftovers(self.thread)) {
            self.drafts.claim_drafts(self.thread, move |missing| self.reload(&missing));
        }
    }

    /// Sets the text to what was typed before hydration.
    pub(crate) fn restore_typed(self, typed: String) {
        if !typed.is_empty() {
            self.text.set(typed);
            self.save();
        }
    }

    pub(crate) fn set_text(self, text: String) {
        self.was_edited.set_value(true);
        self.text.set(text);
        self.save();
    }

    /// Empties the text and the files; returns the files.
    pub(crate) fn clear(self) -> (Vec<AttachedFile>, Vec<Attachment>) {
        let files = (std::mem::take(&mut *self.files.write()), std::mem::take(&mut *self.uploaded.write()));
        self.set_text(String::new());
        self.merge_leftovers();
        files
    }

    fn is_empty(self) -> bool {
        self.text.with(String::is_empty)
            && self.files.with(Vec::is_empty)
            && self.uploaded.with(Vec::is_empty)
            && self.taken_back.with(Vec::is_empty)
    }

    /// Whether it has nothing that could be sent.
    pub(crate) fn is_empty_untracked(self) -> bool {
        untrack(|| self.is_empty())
    }

    /// Stores the current content.
    pub(crate) fn save(self) {
        let content = DraftContent {
            text: self.text.get_untracked(),
            files: self.files.get_untracked(),
            uploaded: self.uploaded.get_untracked(),
            taken_back: self.taken_back.get_untracked(),
        };
        self.drafts.save(self.thread, content);
    }

    /// Shows the stored content again after something was merged into it. `missing` names files that could not be restored.
    fn reload(self, missing: &[String]) {
        let DraftContent { text, files, uploaded, taken_back } = self.drafts.get(self.thread);
        // The signals may be disposed by now: the content stays stored.
        self.text.try_set(text);
        self.files.try_set(files);
        self.uploaded.try_set(uploaded);
        self.taken_back.try_set(taken_back);
        if !missing.is_empty() {
            let names = missing.join(", ");
            self.show_error(format!("{names} was not saved before the page closed. Attach it again."));
        }
    }

    /// Requests a stop of a run; shows the error if the server refuses.
    pub(crate) fn stop_run(self, socket: Socket, run_id: RunId) {
        if self.stopping.get_untracked() == Some(run_id) {
            return;
        }
        self.stopping.set(Some(run_id));
        spawn_local(async move {
            if let Err(error) = socket.send(StopRun { run_id }).await {
                self.show_error(format::error_message(&error));
                self.stopping.try_set(None);
            }
        });
    }

    pub(crate) fn show_error(self, message: String) {
        self.error.try_set(Some(message));
    }

    /// Puts a message that was taken back into the composer if that is empty, else into a list beside it.
    pub(crate) fn add_taken_back(self, text: String, uploaded: Vec<Attachment>) {
        let is_blank = self.text.with_untracked(|text| text.trim().is_empty())
            && self.files.with_untracked(Vec::is_empty)
            && self.uploaded.with_untracked(Vec::is_empty);
        if is_blank {
            self.uploaded.set(uploaded);
            self.fill(text);
        } else {
            self.taken_back.update(|messages| messages.push(TakenBackMessage { text, uploaded }));
            self.save();
        }
    }

    /// Appends a message that was taken back to the draft.
    pub(crate) fn insert_taken_back(self, index: usize) {
        let taken =
            self.taken_back.try_update(|messages| (index < messages.len()).then(|| messages.remove(index))).flatten();
        let Some(TakenBackMessage { text, uploaded }) = taken else { return };
        self.uploaded.update(|uploaded_before| uploaded_before.extend(uploaded));
        let text_before = self.text.with_untracked(|text| text.trim_end().to_owned());
        self.fill(if text_before.is_empty() { text } else { format!("{text_before}\n\n{text}") });
    }

    /// Removes a message that was taken back.
    pub(crate) fn discard_taken_back(self, index: usize) {
        self.taken_back.update(|messages| {
            if index < messages.len() {
                messages.remove(index);
            }
        });
        self.save();
    }

    /// Removes a file that was uploaded before.
    pub(crate) fn remove_uploaded(self, file_id: FileId) {
        self.uploaded.update(|uploaded| uploaded.retain(|other| other.file_id != file_id));
        self.save();
    }

    /// Removes a new file, also from the server.
    pub(crate) fn remove_file(self, file: &AttachedFile) {
        self.files.update(|files| files.retain(|other| other.key() != file.key()));
        self.drafts.remove_file(file);
        self.save();
    }

    /// Uploads a file that the server refused, or for which it could not be reached.
    pub(crate) fn upload_again(self, file: &AttachedFile) {
        self.drafts.upload(self.thread, file.clone());
    }

    /// The name of a file that the server refused. Reactive.
    pub(crate) fn refused_file(self) -> Option<String> {
        let is_refused = |file: &&AttachedFile| matches!(file.state(), UploadState::Refused(_));
        self.files.with(|files| files.iter().find(is_refused).map(|file| escape_invisible(&file.file.name())))
    }

    /// Whether some of its files are still being uploaded, or wait to be. Reactive.
    pub(crate) fn is_uploading(self) -> bool {
        let is_uploading = |file: &AttachedFile| matches!(file.state(), UploadState::Waiting | UploadState::Running);
        self.files.with(|files| files.iter().any(is_uploading))
    }

    /// How many files the draft has.
    pub(crate) fn file_count(self) -> usize {
        self.files.with(Vec::len) + self.uploaded.with(Vec::len)
    }

    /// Attaches new files, and begins to upload them. Shows the error of the last file that was refused.
    pub(crate) fn attach(self, files: Vec<LocalFile>) {
        self.error.set(None);
        for file in files {
            let count = untrack(|| self.file_count());
            match refusal(&file.name(), file.bytes(), count) {
                Some(reason) => self.error.set(Some(reason)),
                None => {
                    let file = AttachedFile::new(file, None);
                    self.drafts.put_file(&file);
                    self.files.update(|files| files.push(file.clone()));
                    self.drafts.upload(self.thread, file);
                }
            }
        }
        self.save();
    }

    /// Puts a text in the place of the draft's if that is blank or still `replaced`; else inserts it. No effect on a composer that is gone.
    pub(crate) fn replace(self, replaced: &str, text: &str) {
        let is_replaced = |before: &String| before.trim().is_empty() || before == replaced;
        match self.text.try_with_untracked(is_replaced) {
            Some(true) => self.fill(text.to_owned()),
            Some(false) => self.insert(text),
            None => {}
        }
    }

    /// Inserts a text where the cursor is, or else at the end, and focuses the composer.
    pub(crate) fn insert(self, text: &str) {
        let area = self.area.get_untracked();
        let has_focus = area.is_some_and(|area| area.focus().is_ok());
        if !(has_focus && browser::insert_text(text)) {
            self.fill(self.text.with_untracked(|before| format!("{before}{text}")));
        }
    }

    /// Sets the text and focuses the composer.
    pub(crate) fn fill(self, text: String) {
        self.set_text(text);
        if let Some(area) = self.area.get_untracked() {
            let _ = area.focus();
        }
    }
}

/// Why a file cannot be attached.
fn refusal(name: &str, bytes: u64, count: usize) -> Option<String> {
    let name = escape_invisible(name);
    if count >= limits::MAX_ATTACHMENTS {
        return Some(format!("You can attach up to {} files to a message.", limits::MAX_ATTACHMENTS));
    }
    if bytes > limits::MAX_FILE_BYTES {
        let max = limits::MAX_FILE_BYTES / 1024 / 1024;
        return Some(format!("{name} is too large ({}). The limit is {max} MiB.", format::size(bytes)));
    }
    (bytes == 0).then(|| format!("{name} is empty."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_refused_with_the_reason() {
        assert_eq!(refusal("a.csv", 10, 0), None);
        assert!(refusal("a.csv", 0, 0).is_some_and(|reason| reason.contains("empty")));
        assert!(refusal("a.csv", limits::MAX_FILE_BYTES + 1, 0).is_some_and(|reason| reason.contains("100 MiB")));
        assert!(refusal("a.csv", 10, limits::MAX_ATTACHMENTS).is_some());
    }
}
