//! The items of a draft besides its text: attached files, and messages that were taken back.

use leptos::prelude::*;

use super::{
    draft::Draft,
    focus::{focus_on, is_focus_lost},
    icons::{Glyph, icon},
};
use crate::{
    protocol::Attachment,
    text::escape_invisible,
    ui::{
        browser::{self, LocalFile},
        format,
        storage::record::TakenBackMessage,
        uploads::{AttachedFile, UploadState},
    },
};

/// Messages that were taken back while the composer was not empty.
#[component]
pub(super) fn TakenBackMessages(draft: Draft) -> impl IntoView {
    let row = move |(index, message): (usize, TakenBackMessage)| {
        view! {
            <li class="taken-back">
                <span class="taken-back-text">"Taken back: " {message.text}</span>
                <button type="button" class="small-button" on:click=move |_| draft.insert_taken_back(index)>"Add to message"</button>
                <button
                    type="button"
                    class="icon-button"
                    aria-label="Discard"
                    on:click=move |_| draft.discard_taken_back(index)
                >
                    {icon(Glyph::Close)}
                </button>
            </li>
        }
    };
    view! {
        <Show when=move || draft.taken_back.with(|messages| !messages.is_empty())>
            <ul class="taken-back-list" aria-label="Taken back">
                {move || draft.taken_back.get().into_iter().enumerate().map(row).collect_view()}
            </ul>
        </Show>
    }
    .into_any()
}

/// Focuses another button of the files, after one was removed with the focus.
fn keep_focus() {
    request_animation_frame(|| {
        if is_focus_lost() && !focus_on(".composer .chips button") {
            focus_on(".composer .attach-button");
        }
    });
}

/// A file of the thread, with a button that removes it from the draft.
fn uploaded_chip(draft: Draft, file: &Attachment) -> AnyView {
    let (name, file_id) = (escape_invisible(&file.name), file.file_id);
    let remove = move |_| {
        draft.remove_uploaded(file_id);
        keep_focus();
    };
    view! {
        <li class="chip">
            {icon(Glyph::File)}
            <bdi class="chip-name">{name.clone()}</bdi>
            <span class="chip-size">{format::size(file.bytes)}</span>
            <button type="button" class="icon-button" aria-label=format!("Remove {name}") on:click=remove>
                {icon(Glyph::Close)}
            </button>
        </li>
    }
    .into_any()
}

/// A file's type and size in words: the type is what its name ends with.
fn type_and_size(name: &str, bytes: u64) -> String {
    let size = format::size(bytes);
    let ending = name.rsplit_once('.').map(|(_, ending)| ending).filter(|ending| (1..=5).contains(&ending.len()));
    match ending.filter(|ending| ending.chars().all(|c| c.is_ascii_alphanumeric())) {
        Some(ending) => format!("{}, {size}", ending.to_uppercase()),
        None => size,
    }
}

/// A small picture of an image, or a symbol for other files.
fn preview(file: &LocalFile) -> AnyView {
    let url = RwSignal::new(None::<String>);
    if !file.is_image() {
        return icon(Glyph::File).into_any();
    }
    let file = file.clone();
    Effect::new(move |_| url.set(file.url()));
    on_cleanup(move || {
        if let Some(url) = url.try_get_untracked().flatten() {
            browser::revoke_url(&url);
        }
    });
    // A file that is no image in spite of its type has no picture.
    view! {
        {move || match url.get() {
            Some(address) => {
                view! { <img class="chip-picture" src=address alt="" on:error=move |_| url.set(None)/> }.into_any()
            }
            None => icon(Glyph::File).into_any(),
        }}
    }
    .into_any()
}

/// A file and its upload. `actions` are its buttons.
pub(super) fn upload_chip(file: &AttachedFile, actions: AnyView) -> AnyView {
    let (name, bytes) = (escape_invisible(&file.file.name()), file.file.bytes());
    let (for_text, for_bar) = (file.clone(), file.clone());
    let (kind, label) = (type_and_size(&name, bytes), format!("Uploading {name}"));
    let text = move || match for_text.state() {
        UploadState::Waiting => "Waiting to upload".to_owned(),
        UploadState::Running => {
            format!("{} of {}", format::size((for_text.progress() * bytes as f64) as u64), format::size(bytes))
        }
        UploadState::Unreachable => "Not uploaded yet. It is uploaded when the server can be reached.".to_owned(),
        UploadState::Refused(_) => "Not uploaded.".to_owned(),
        UploadState::Done(_) => kind.clone(),
    };
    let bar = move || {
        let progress = for_bar.clone();
        (for_bar.state() == UploadState::Running)
            .then(|| view! { <progress max="1" value=move || progress.progress() aria-label=label.clone()></progress> })
    };
    let reason = {
        let file = file.clone();
        move || match file.state() {
            UploadState::Refused(reason) => Some(view! { <span class="chip-error" role="alert">{reason}</span> }),
            _ => None,
        }
    };
    view! {
        <li class="chip upload">
            {preview(&file.file)}
            <span class="chip-about">
                <bdi class="chip-name">{name}</bdi>
                <span class="chip-size">{text}</span>
                {reason}
                {bar}
            </span>
            {actions}
        </li>
    }
    .into_any()
}

/// A new file of a draft, with its upload.
fn new_chip(draft: Draft, file: AttachedFile) -> AnyView {
    let name = escape_invisible(&file.file.name());
    let (shown, again, removed, state) = (file.clone(), file.clone(), file.clone(), file.clone());
    let has_failed = move || matches!(shown.state(), UploadState::Refused(_) | UploadState::Unreachable);
    let retry = move || {
        let again = again.clone();
        let upload_again = move |_| draft.upload_again(&again);
        has_failed()
            .then(|| view! { <button type="button" class="small-button" on:click=upload_again>"Try again"</button> })
    };
    let label = move || match state.state() {
        UploadState::Waiting | UploadState::Running => format!("Cancel upload of {name}"),
        _ => format!("Remove {name}"),
    };
    let remove = move |_| {
        draft.remove_file(&removed);
        keep_focus();
    };
    let actions = view! {
        {retry}
        <button type="button" class="icon-button" aria-label=label on:click=remove>{icon(Glyph::Close)}</button>
    };
    upload_chip(&file, actions.into_any())
}

/// What to tell screen readers about uploads: that they began, and that they ended. Never how far they are. Failures are alerts.
fn announcement(before: Option<&(usize, usize)>, now: (usize, usize)) -> Option<String> {
    let (uploading, all) = now;
    let files = |count: usize| if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    match before.map_or(0, |(uploading, _)| *uploading) {
        0 if uploading > 0 => Some(format!("Uploading {}.", files(uploading))),
        before if before > 0 && uploading == 0 && all > 0 => Some("Upload finished.".to_owned()),
        _ => None,
    }
}

/// Says to screen readers that uploads begin and end.
#[component]
fn UploadAnnouncer(draft: Draft) -> impl IntoView {
    let text = RwSignal::new(String::new());
    Effect::new(move |before: Option<(usize, usize)>| {
        let now = draft.files.with(|files| {
            let states: Vec<UploadState> = files.iter().map(AttachedFile::state).collect();
            let is_uploading = |state: &&UploadState| matches!(state, UploadState::Waiting | UploadState::Running);
            let is_done = |state: &&UploadState| matches!(state, UploadState::Done(_));
            (states.iter().filter(is_uploading).count(), states.iter().filter(is_done).count())
        });
        if let Some(announced) = announcement(before.as_ref(), now) {
            text.set(announced);
        }
        now
    });
    view! { <p class="sr-only" role="status">{text}</p> }
}

/// The files of a draft.
#[component]
pub(super) fn AttachedFiles(draft: Draft) -> impl IntoView {
    let Draft { files, uploaded, .. } = draft;
    view! {
        <UploadAnnouncer draft/>
        <Show when=move || { draft.file_count() > 0 }>
            <ul class="chips" aria-label="Attached files">
                {move || uploaded.with(|files| files.iter().map(|file| uploaded_chip(draft, file)).collect_view())}
                <For each=move || files.get() key=AttachedFile::key let:file>{new_chip(draft, file)}</For>
            </ul>
        </Show>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_file_is_the_ending_of_its_name() {
        assert_eq!(type_and_size("log.csv", 10), format!("CSV, {}", format::size(10)));
        assert_eq!(type_and_size("notes", 10), format::size(10));
        assert_eq!(type_and_size("a.b c", 10), format::size(10));
        assert_eq!(type_and_size("a.", 10), format::size(10));
    }

    #[test]
    fn uploads_are_announced_when_they_begin_and_when_all_have_ended() {
        assert_eq!(announcement(None, (0, 0)), None);
        assert_eq!(announcement(None, (2, 0)).as_deref(), Some("Uploading 2 files."));
        assert_eq!(announcement(Some(&(2, 0)), (1, 1)), None);
        assert_eq!(announcement(Some(&(1, 1)), (0, 2)).as_deref(), Some("Upload finished."));
        assert_eq!(announcement(Some(&(1, 0)), (0, 0)), None, "it was removed, sent or refused");
    }
}
