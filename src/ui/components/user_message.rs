//! A person's message: text, addressed agent and files; editing it, and its other versions.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
};

use super::{
    clock::Timestamp,
    composer::too_long,
    copy::CopyButton,
    icons::{Glyph, icon},
    mention::parse_mention,
    paste::paste,
    presence::AuthorPresence,
    queued_message::{MoveButtons, edit_queued},
    run_tree::PtrEq,
};
use crate::{
    protocol::{Attachment, MessageId, UserMessage, file_types::shown_type, limits},
    text::escape_invisible,
    thread::MessageItem,
    ui::{
        components::open_thread::OpenThread,
        context::AppContext,
        format,
        keys::{KeyAction, Lines, key_action},
    },
};

/// A person's message.
#[component]
pub(crate) fn UserMessageCard(
    item: Memo<PtrEq<MessageItem>>,
    /// Whether its run is queued.
    is_waiting: Memo<bool>,
) -> impl IntoView {
    let app: AppContext = expect_context();
    let open_thread: OpenThread = expect_context();
    let (at, message) = item.with_untracked(|item| (item.at, item.message.clone()));
    let id = message.id;
    let is_being_edited = Memo::new(move |_| open_thread.is_being_edited(id));
    let agent = (app.agents.with_value(Vec::len) > 1)
        .then(|| view! { <span class="message-agent">{format!("to {}", app.agent_name(&message.agent))}</span> });
    let author = escape_invisible(&message.author.name);
    let (author_id, label_author) = (message.author.id, author.clone());
    let is_own = Memo::new(move |_| open_thread.user_id().is_none_or(|user| user == author_id));
    let label = move || if is_own.get() { "Your message".to_owned() } else { format!("Message from {label_author}") };
    // While it waits, only its author may change it; later, an edit is a new version, of whoever makes it.
    let can_edit = Memo::new(move |_| open_thread.can_write() && (is_own.get() || !is_waiting.get()));
    // Both change if the message is changed while it waits.
    let text = Memo::new(move |_| item.with(|item| item.message.content.clone()));
    let attachments = Memo::new(move |_| item.with(|item| item.message.attachments.clone()));
    let copied_text = Callback::new(move |()| text.get_untracked());
    // An edit restored from storage does not take the focus.
    let takes_focus = StoredValue::new(false);
    let edit_button = NodeRef::<html::Button>::new();
    let close = Callback::new(move |()| {
        open_thread.end_edit(id);
        request_animation_frame(move || {
            if let Some(button) = edit_button.try_get_untracked().flatten() {
                let _ = button.focus();
            }
        });
    });
    let edit = move |_| {
        takes_focus.set_value(true);
        open_thread.edit(id);
    };
    view! {
        <article class="question" aria-label=label tabindex="-1" data-message-id=id.to_string()>
            <header class="byline">
                <span class="avatar" aria-hidden="true">{initials(&author)}</span>
                <bdi class="author">{author.clone()}</bdi>
                <AuthorPresence thread=open_thread.id author=author_id is_own/>
                {agent}
                <Timestamp at/>
            </header>
            <Show when=move || is_being_edited.get() fallback=move || view! { <p class="message-text">{text}</p> }>
                <EditForm message=item.get_untracked().message.clone() is_waiting focus=takes_focus.get_value() close/>
            </Show>
            {move || view! { <Attachments attachments=attachments.get()/> }}
            <footer class="question-actions">
                <CopyButton class="text-button" text=copied_text/>
                <Show when=move || can_edit.get() && !is_being_edited.get()>
                    <button type="button" class="text-button" node_ref=edit_button on:click=edit>
                        {icon(Glyph::Edit)} "Edit"
                    </button>
                </Show>
                <Show when=move || is_waiting.get() && open_thread.can_write()><MoveButtons id/></Show>
                <Versions id/>
            </footer>
        </article>
    }
    .into_any()
}

/// A form that edits a message. While the message waits, saving changes it; later, sending adds a new version, and the old one stays
/// reachable.
#[component]
fn EditForm(message: UserMessage, is_waiting: Memo<bool>, focus: bool, close: Callback<()>) -> impl IntoView {
    let open_thread: OpenThread = expect_context();
    let app: AppContext = expect_context();
    let id = message.id;
    let text = RwSignal::new(open_thread.drafts.edited_text(id).unwrap_or_else(|| message.content.clone()));
    let error = Memo::new(move |_| text.with(|text| edit_error(text)));
    let refusal = RwSignal::new(None::<String>);
    let hint = edit_hint(open_thread, id, is_waiting);
    let message = StoredValue::new(message);
    let send = move || {
        if error.get_untracked().is_some() {
            return;
        }
        if is_waiting.get_untracked() {
            let on_done = Callback::new(move |error: Option<String>| match error {
                Some(error) => drop(refusal.try_set(Some(error))),
                None => close.run(()),
            });
            return edit_queued(open_thread, id, text.get_untracked().trim().to_owned(), on_done);
        }
        message.with_value(|message| send_edit(open_thread, app, message, &text.get_untracked()));
        close.run(());
    };
    let on_keydown = Callback::new(move |event: KeyboardEvent| {
        let Some(action) = key_action(&event, Lines::Many) else { return };
        event.prevent_default();
        match action {
            KeyAction::Submit => send(),
            KeyAction::Cancel => close.run(()),
        }
    });
    let on_submit = move |event: SubmitEvent| {
        event.prevent_default();
        send();
    };
    view! {
        <form class="edit-form" on:submit=on_submit>
            <EditField id text focus on_keydown/>
            <div class="edit-form-row">
                <span class="hint" role="status">{move || error.get().or_else(|| refusal.get()).unwrap_or_else(|| hint().into())}</span>
                <button type="button" class="small-button" on:click=move |_| close.run(())>"Cancel"</button>
                <button type="submit" class="button" disabled=move || error.get().is_some()>
                    {icon(Glyph::Send)} {move || if is_waiting.get() { "Save" } else { "Send" }}
                </button>
            </div>
        </form>
    }
    .into_any()
}

/// The text field of an edit. Its text is stored as it changes.
#[component]
fn EditField(id: MessageId, text: RwSignal<String>, focus: bool, on_keydown: Callback<KeyboardEvent>) -> impl IntoView {
    let open_thread: OpenThread = expect_context();
    let area = NodeRef::<html::Textarea>::new();
    Effect::new(move |_| {
        if let Some(area) = area.get() {
            area.set_value(&text.get_untracked());
            if focus {
                let _ = area.focus();
            }
        }
    });
    let rows = move || text.with(|text| text.lines().count().clamp(2, 12).to_string());
    view! {
        <textarea
            aria-label="Edit your message"
            node_ref=area
            rows=rows
            enterkeyhint="enter"
            on:input:target=move |event| {
                text.set(event.target().value());
                open_thread.save_edit(id, event.target().value());
            }
            on:keydown=move |event| on_keydown.run(event)
            on:paste=move |event| paste(&event, None)
        ></textarea>
    }
    .into_any()
}

/// Sends an edited message. It goes to the same agent, unless the text mentions another one that is available.
fn send_edit(open_thread: OpenThread, app: AppContext, message: &UserMessage, text: &str) {
    let (agent, text) = app.agents.with_value(|agents| match parse_mention(text, agents) {
        Some((agent, rest)) if agent.disabled.is_none() && !rest.trim().is_empty() => {
            (Some(agent.id.clone()), rest.trim().to_owned())
        }
        _ => (None, text.trim().to_owned()),
    });
    open_thread.replace_message(message, text, agent);
}

/// Why an edited text cannot be sent.
fn edit_error(text: &str) -> Option<String> {
    match text.trim() {
        "" => Some("Write a message.".to_owned()),
        text if text.len() > limits::MAX_MESSAGE_BYTES => Some(too_long(text)),
        _ => None,
    }
}

/// What sending does, with a warning if the message got another version since the edit began.
fn edit_hint(
    open_thread: OpenThread,
    id: MessageId,
    is_waiting: Memo<bool>,
) -> impl Fn() -> &'static str + Copy + Send + Sync + 'static {
    let version_count = Memo::new(move |_| versions_of(open_thread, id).len().max(1));
    let count_before = version_count.get_untracked();
    move || match version_count.get() > count_before {
        _ if is_waiting.get() => "The agent will get the changed message.",
        true => "This message was edited elsewhere. Sending adds another version.",
        false => "The earlier version and its answer are kept.",
    }
}

/// The versions of a message, oldest first; empty if there is only one.
fn versions_of(open_thread: OpenThread, id: MessageId) -> Vec<MessageId> {
    open_thread.versions.with(|groups| groups.iter().find(|group| group.contains(&id)).cloned()).unwrap_or_default()
}

/// Buttons that show the previous and the next version of a message.
#[component]
fn Versions(id: MessageId) -> impl IntoView {
    let open_thread: OpenThread = expect_context();
    let versions = Memo::new(move |_| versions_of(open_thread, id));
    let index = move || versions.with(|versions| versions.iter().position(|version| *version == id).unwrap_or(0));
    let neighbour = move |back: bool| {
        let index = index();
        let index = if back { index.checked_sub(1) } else { Some(index + 1) };
        index.and_then(|index| versions.with(|versions| versions.get(index).copied()))
    };
    let show = move |back: bool| {
        if let Some(version) = untrack(|| neighbour(back)) {
            open_thread.show_version(version, back);
        }
    };
    let (previous, next) = (NodeRef::<html::Button>::new(), NodeRef::<html::Button>::new());
    // After a button showed this version, focus the same button here, or the other one if it is disabled.
    Effect::new(move |_| {
        if let (Some(previous), Some(next)) = (previous.get(), next.get())
            && let Some(back) = open_thread.take_focus(id)
        {
            let (first, second) = if back { (previous, next) } else { (next, previous) };
            let _ = if first.disabled() { second.focus() } else { first.focus() };
        }
    });
    let button = move |back: bool, label: &'static str, node_ref: NodeRef<html::Button>| {
        view! {
            <button
                type="button"
                class="icon-button"
                class:back=back
                aria-label=label
                title=label
                node_ref=node_ref
                disabled=move || neighbour(back).is_none()
                on:click=move |_| show(back)
            >
                {icon(Glyph::Chevron)}
            </button>
        }
    };
    view! {
        <Show when=move || { versions.with(Vec::len) > 1 }>
            <div class="versions" role="group" aria-label="Versions of this message">
                {button(true, "Previous version", previous)}
                <span class="version">{move || format!("{}/{}", index() + 1, versions.with(Vec::len))}</span>
                {button(false, "Next version", next)}
            </div>
        </Show>
    }
    .into_any()
}

/// The files of a message: their names open those that browsers can show, in a new tab, and download the others.
#[component]
pub(crate) fn Attachments(attachments: Vec<Attachment>) -> impl IntoView {
    let OpenThread { id, .. } = expect_context();
    let file = move |file: Attachment| {
        let name = escape_invisible(&file.name);
        let address = format!("/api/threads/{id}/files/{}", file.file_id);
        // `rel="external"` keeps the router from handling the links.
        let (open, download) = match shown_type(&file.name) {
            Some(_) => {
                let shown_name = name.clone();
                let open = view! {
                    <a
                        class="chip-name"
                        href=format!("{address}?show=true")
                        rel="external noopener"
                        target="_blank"
                        title="Open in a new tab"
                    >
                        <bdi>{shown_name}</bdi>
                    </a>
                };
                let label = format!("Download {name}");
                let download = view! {
                    <a class="icon-button" href=address rel="external" download=name title="Download" aria-label=label>
                        {icon(Glyph::Download)}
                    </a>
                };
                (open.into_any(), Some(download))
            }
            None => {
                let shown_name = name.clone();
                let open = view! {
                    <a class="chip-name" href=address rel="external" download=name title="Download">
                        <bdi>{shown_name}</bdi>
                    </a>
                };
                (open.into_any(), None)
            }
        };
        view! {
            <li class="chip">
                {icon(Glyph::File)}
                {open}
                <span class="chip-size">{format::size(file.bytes)}</span>
                {download}
            </li>
        }
    };
    (!attachments.is_empty())
        .then(|| view! { <ul class="chips" aria-label="Files">{attachments.into_iter().map(file).collect_view()}</ul> })
}

/// The initials of a name: of its first and its last word.
pub(crate) fn initials(name: &str) -> String {
    let mut words = name.split_whitespace().filter_map(|word| word.chars().next());
    let first = words.next();
    first.into_iter().chain(words.next_back()).flat_map(char::to_uppercase).collect()
}
