//! What is being written: text and files, and beside it what was taken back.

use leptos::{html, prelude::*, task::spawn_local};

use super::icons::{Glyph, icon};
use crate::{
    protocol::{Attachment, RunId, StopRun, ThreadId, limits},
    socket::context::Socket,
    text::visible,
    ui::{
        browser::LocalFile,
        drafts::{DraftContent, Drafts},
        format,
        storage::record::TakenBackMessage,
    },
};

/// What is being written. It is kept in the application and stored in the browser, so that neither a look at another thread
/// nor a reload, a crash or the end of the session loses it. Whatever changes it calls [`Self::keep`].
#[derive(Clone, Copy)]
pub(crate) struct Draft {
    thread: Option<ThreadId>,
    drafts: Drafts,
    /// Whether the person wrote here: what other pages left waits until the draft is empty then.
    touched: StoredValue<bool>,
    pub(super) text: RwSignal<String>,
    pub(super) files: RwSignal<Vec<LocalFile>>,
    /// Files that the thread has already.
    pub(super) attached: RwSignal<Vec<Attachment>>,
    returned: RwSignal<Vec<TakenBackMessage>>,
    pub(super) error: RwSignal<Option<String>>,
    pub(super) area: NodeRef<html::Textarea>,
    pub(super) stopping: RwSignal<Option<RunId>>,
}

impl Draft {
    /// The draft for a thread, or for a new one.
    pub(crate) fn new(thread: Option<ThreadId>) -> Self {
        let drafts: Drafts = expect_context();
        let DraftContent { text, files, attached, returned } = drafts.get(thread);
        let draft = Self {
            thread,
            drafts,
            touched: StoredValue::new(false),
            text: RwSignal::new(text),
            files: RwSignal::new(files),
            attached: RwSignal::new(attached),
            returned: RwSignal::new(returned),
            error: RwSignal::new(None),
            area: NodeRef::new(),
            stopping: RwSignal::new(None),
        };
        Effect::new(move |_| {
            drafts.has_leftovers(thread);
            draft.take_up_left();
        });
        draft
    }

    /// Takes up what pages before this one left, unless that would come in between what the person writes.
    fn take_up_left(self) {
        let is_free = !self.touched.get_value() || untrack(|| self.is_empty());
        if is_free && untrack(|| self.drafts.has_leftovers(self.thread)) {
            self.drafts.claim_drafts(self.thread, move |missing| self.show(&missing));
        }
    }

    /// Begins with what was typed before the page came alive.
    pub(super) fn begin(self, typed: String) {
        if !typed.is_empty() {
            self.text.set(typed);
            self.keep();
        }
    }

    pub(super) fn write(self, text: String) {
        self.touched.set_value(true);
        self.text.set(text);
        self.keep();
    }

    /// Empties it; answers the files that were in it.
    pub(super) fn clear(self) -> (Vec<LocalFile>, Vec<Attachment>) {
        let files = (std::mem::take(&mut *self.files.write()), std::mem::take(&mut *self.attached.write()));
        self.write(String::new());
        self.take_up_left();
        files
    }

    fn is_empty(self) -> bool {
        self.text.with(String::is_empty)
            && self.files.with(Vec::is_empty)
            && self.attached.with(Vec::is_empty)
            && self.returned.with(Vec::is_empty)
    }

    /// Stores what it is now.
    fn keep(self) {
        let kept = DraftContent {
            text: self.text.get_untracked(),
            files: self.files.get_untracked(),
            attached: self.attached.get_untracked(),
            returned: self.returned.get_untracked(),
        };
        self.drafts.save(self.thread, kept);
    }

    /// Shows what is kept of it: something was taken up. `missing` names files that could not be.
    fn show(self, missing: &[String]) {
        let DraftContent { text, files, attached, returned } = self.drafts.get(self.thread);
        // It may be out of sight by now, where it is kept.
        self.text.try_set(text);
        self.files.try_set(files);
        self.attached.try_set(attached);
        self.returned.try_set(returned);
        if !missing.is_empty() {
            let names = missing.join(", ");
            self.refuse(format!("{names} was not stored before the page was closed. Attach it again."));
        }
    }

    /// Asks for the end of a run; says why not, if it is refused.
    pub(crate) fn stop(self, socket: Socket, run_id: RunId) {
        if self.stopping.get_untracked() == Some(run_id) {
            return;
        }
        self.stopping.set(Some(run_id));
        spawn_local(async move {
            if let Err(refused) = socket.send(StopRun { run_id }).await {
                self.refuse(format::error_message(&refused));
                self.stopping.try_set(None);
            }
        });
    }

    /// Says why something did not work.
    pub(crate) fn refuse(self, why: String) {
        self.error.try_set(Some(why));
    }

    /// Takes a message back: into the composer, or beside what is being written there.
    pub(crate) fn take_back(self, text: String, attached: Vec<Attachment>) {
        let is_free = self.text.with_untracked(|text| text.trim().is_empty())
            && self.files.with_untracked(Vec::is_empty)
            && self.attached.with_untracked(Vec::is_empty);
        if is_free {
            self.attached.set(attached);
            self.suggest(text);
        } else {
            self.returned.update(|returned| returned.push(TakenBackMessage { text, attached }));
            self.keep();
        }
    }

    /// Takes up what was taken back, after what is being written.
    fn take_up(self, index: usize) {
        let taken =
            self.returned.try_update(|returned| (index < returned.len()).then(|| returned.remove(index))).flatten();
        let Some(TakenBackMessage { text, attached }) = taken else { return };
        self.attached.update(|known| known.extend(attached));
        let begun = self.text.with_untracked(|text| text.trim_end().to_owned());
        self.suggest(if begun.is_empty() { text } else { format!("{begun}\n\n{text}") });
    }

    pub(super) fn count(self) -> usize {
        self.files.with(Vec::len) + self.attached.with(Vec::len)
    }

    /// Adds files, as far as they may be added; says why where not.
    pub(crate) fn attach(self, files: Vec<LocalFile>) {
        self.error.set(None);
        for file in files {
            let count = untrack(|| self.count());
            match refusal(&file.name(), file.bytes(), count) {
                Some(reason) => self.error.set(Some(reason)),
                None => {
                    self.drafts.put_file(&file);
                    self.files.update(|files| files.push(file));
                }
            }
        }
        self.keep();
    }

    /// Begins with a text, ready to be changed.
    pub(crate) fn suggest(self, text: String) {
        self.write(text);
        if let Some(area) = self.area.get_untracked() {
            let _ = area.focus();
        }
    }
}

/// Why a file cannot be attached.
fn refusal(name: &str, bytes: u64, attached: usize) -> Option<String> {
    let name = visible(name);
    if attached >= limits::MAX_ATTACHMENTS {
        return Some(format!("A message takes at most {} files.", limits::MAX_ATTACHMENTS));
    }
    if bytes > limits::MAX_FILE_BYTES {
        let most = limits::MAX_FILE_BYTES / 1024 / 1024;
        return Some(format!("{name} has {}; at most {most} MiB are possible.", format::size(bytes)));
    }
    (bytes == 0).then(|| format!("{name} is empty."))
}

/// Messages that were taken back and wait until the composer is free for them.
#[component]
pub(super) fn Taken(draft: Draft) -> impl IntoView {
    let row = move |(index, returned): (usize, TakenBackMessage)| {
        view! {
            <li class="returned">
                <span class="returned-text">"Taken back: " {returned.text}</span>
                <button type="button" class="small-button" on:click=move |_| draft.take_up(index)>"Add to what you write"</button>
                <button
                    type="button"
                    class="icon-button"
                    aria-label="Discard what was taken back"
                    on:click=move |_| {
                        draft.returned.update(|returned| {
                            if index < returned.len() {
                                returned.remove(index);
                            }
                        });
                        draft.keep();
                    }
                >
                    {icon(Glyph::Close)}
                </button>
            </li>
        }
    };
    view! {
        <Show when=move || draft.returned.with(|returned| !returned.is_empty())>
            <ul class="returned-list" aria-label="Taken back">
                {move || draft.returned.get().into_iter().enumerate().map(row).collect_view()}
            </ul>
        </Show>
    }
    .into_any()
}

/// A file beside a button that leaves it out.
fn chip(name: String, bytes: u64, remove: impl Fn() + 'static) -> impl IntoView {
    view! {
        <li class="chip">
            {icon(Glyph::File)}
            <bdi class="chip-name">{name.clone()}</bdi>
            <span class="chip-size">{format::size(bytes)}</span>
            <button type="button" class="icon-button" aria-label=format!("Remove {name}") on:click=move |_| remove()>
                {icon(Glyph::Close)}
            </button>
        </li>
    }
}

/// The files that go with the message.
#[component]
pub(super) fn Chips(draft: Draft) -> impl IntoView {
    let Draft { files, attached, .. } = draft;
    let known = move |file: Attachment| {
        let remove = move || {
            attached.update(|attached| attached.retain(|other| other.file_id != file.file_id));
            draft.keep();
        };
        chip(visible(&file.name), file.bytes, remove)
    };
    let new = move |(index, file): (usize, LocalFile)| {
        let (name, bytes) = (file.name(), file.bytes());
        let remove = move || {
            draft.drafts.remove_file(&file);
            files.update(|files| {
                if index < files.len() {
                    files.remove(index);
                }
            });
            draft.keep();
        };
        chip(visible(&name), bytes, remove)
    };
    view! {
        <Show when=move || { draft.count() > 0 }>
            <ul class="chips" aria-label="Attached files">
                {move || attached.get().into_iter().map(known).collect_view()}
                {move || files.get().into_iter().enumerate().map(new).collect_view()}
            </ul>
        </Show>
    }
    .into_any()
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
