//! What a person said: to whom, with which files; in other words, and in its other versions.

use leptos::{ev::KeyboardEvent, html, prelude::*};

use super::{
    clock::Moment,
    composer::too_long,
    icons::{Glyph, icon},
    mention::addressed,
    paste::paste,
};
use crate::{
    protocol::{Attachment, MessageId, UserMessage, limits},
    text::visible,
    thread::Said,
    ui::{
        components::conversation::Conversation,
        context::AppContext,
        format,
        keys::{KeyAction, Lines, key_action},
    },
};

/// What a person said.
#[component]
pub(crate) fn Question(
    said: Said,
    /// Whether its run has not begun.
    waits: Memo<bool>,
) -> impl IntoView {
    let app: AppContext = expect_context();
    let Said { at, message, .. } = said;
    let conversation: Conversation = expect_context();
    let id = message.id;
    let editing = Memo::new(move |_| conversation.is_edited(id));
    // One that goes on from before does not take the focus.
    let focus = StoredValue::new(false);
    let to = (app.agents.with_value(Vec::len) > 1)
        .then(|| view! { <span class="addressee">{format!("to {}", app.agent_name(&message.agent))}</span> });
    let text = message.content.clone();
    let button = NodeRef::<html::Button>::new();
    let (opener, message) = (button, StoredValue::new(message));
    let close = move || {
        conversation.end_edit(id);
        request_animation_frame(move || {
            if let Some(button) = opener.try_get_untracked().flatten() {
                let _ = button.focus();
            }
        });
    };
    let author = message.with_value(|message| visible(&message.author.name));
    let attachments = message.with_value(|message| message.attachments.clone());
    view! {
        <article class="question" aria-label="Question" data-message-id=id.to_string()>
            <header class="byline">
                <span class="avatar" aria-hidden="true">{initials(&author)}</span>
                <bdi class="author">{author.clone()}</bdi>
                {to}
                <Moment at/>
            </header>
            <Show
                when=move || editing.get()
                fallback=move || view! { <p class="said">{text.clone()}</p> }
            >
                <Rewrite message=message.get_value() focus=focus.get_value() close=Callback::new(move |()| close())/>
            </Show>
            <Attachments attachments/>
            <footer class="question-actions">
                <Show when=move || !editing.get() && !waits.get()>
                    <button
                        type="button"
                        class="quiet-action"
                        node_ref=button
                        on:click=move |_| {
                            focus.set_value(true);
                            conversation.edit(id);
                        }
                    >
                        {icon(Glyph::Edit)} "Edit"
                    </button>
                </Show>
                <Versions id/>
            </footer>
        </article>
    }
    .into_any()
}

/// A message in other words: they stand in its place, and it stays reachable.
#[component]
fn Rewrite(message: UserMessage, focus: bool, close: Callback<()>) -> impl IntoView {
    let conversation: Conversation = expect_context();
    let app: AppContext = expect_context();
    let id = message.id;
    let text = RwSignal::new(conversation.drafts.edited_text(id).unwrap_or_else(|| message.content.clone()));
    let versions = Memo::new(move |_| {
        let of = |groups: &Vec<Vec<MessageId>>| groups.iter().find(|group| group.contains(&id)).map_or(1, Vec::len);
        conversation.versions.with(of)
    });
    let versions_before = versions.get_untracked();
    let hint = move || match versions.get() > versions_before {
        true => "Changed elsewhere meanwhile. What you send becomes another version.",
        false => "The question and its answer as they were stay reachable.",
    };
    let area = NodeRef::<html::Textarea>::new();
    let obstacle = Memo::new(move |_| {
        text.with(|text| match text.trim() {
            "" => Some("Say something.".to_owned()),
            text if text.len() > limits::MAX_MESSAGE_BYTES => Some(too_long(text)),
            _ => None,
        })
    });
    Effect::new(move |_| {
        if let Some(area) = area.get() {
            area.set_value(&text.get_untracked());
            if focus {
                let _ = area.focus();
            }
        }
    });
    let message = StoredValue::new(message);
    let send = move || {
        if obstacle.get_untracked().is_some() {
            return;
        }
        let said = text.get_untracked();
        let (agent, said) = app.agents.with_value(|agents| match addressed(&said, agents) {
            Some((agent, rest)) if agent.disabled.is_none() && !rest.trim().is_empty() => {
                (Some(agent.id.clone()), rest.trim().to_owned())
            }
            _ => (None, said.trim().to_owned()),
        });
        message.with_value(|message| conversation.replace_message(message, said, agent));
        close.run(());
    };
    let key = move |event: KeyboardEvent| {
        let Some(asked) = key_action(&event, Lines::Many) else { return };
        event.prevent_default();
        match asked {
            KeyAction::Send => send(),
            KeyAction::Cancel => close.run(()),
        }
    };
    let rows = move || text.with(|text| text.lines().count().clamp(2, 12).to_string());
    view! {
        <form
            class="rewrite"
            on:submit=move |event| {
                event.prevent_default();
                send();
            }
        >
            <textarea
                aria-label="Your question in other words"
                node_ref=area
                rows=rows
                enterkeyhint="enter"
                on:input:target=move |event| {
                    text.set(event.target().value());
                    conversation.save_edit(id, event.target().value());
                }
                on:keydown=key
                on:paste=move |event| paste(&event, None)
            ></textarea>
            <div class="rewrite-row">
                <span class="hint" role="status">{move || obstacle.get().unwrap_or_else(|| hint().into())}</span>
                <button type="button" class="small-button" on:click=move |_| close.run(())>"Cancel"</button>
                <button type="submit" class="button" disabled=move || obstacle.get().is_some()>{icon(Glyph::Send)} "Send"</button>
            </div>
        </form>
    }
    .into_any()
}

/// The way from one version of a message to the others.
#[component]
fn Versions(id: MessageId) -> impl IntoView {
    let conversation: Conversation = expect_context();
    let versions = Memo::new(move |_| {
        let of = |groups: &Vec<Vec<MessageId>>| groups.iter().find(|group| group.contains(&id)).cloned();
        conversation.versions.with(of).unwrap_or_default()
    });
    let at = move || versions.with(|versions| versions.iter().position(|version| *version == id).unwrap_or(0));
    let neighbour = move |back: bool| {
        let at = at();
        let index = if back { at.checked_sub(1) } else { Some(at + 1) };
        index.and_then(|index| versions.with(|versions| versions.get(index).copied()))
    };
    let go = move |back: bool| {
        if let Some(version) = untrack(|| neighbour(back)) {
            conversation.show_version(version, back);
        }
    };
    let (previous, next) = (NodeRef::<html::Button>::new(), NodeRef::<html::Button>::new());
    // Who went here by a button finds the same button, or the other one at the end of the row.
    Effect::new(move |_| {
        if let (Some(previous), Some(next)) = (previous.get(), next.get())
            && let Some(back) = conversation.take_focus(id)
        {
            let (first, second) = if back { (previous, next) } else { (next, previous) };
            let _ = if first.disabled() { second.focus() } else { first.focus() };
        }
    });
    let step = move |back: bool, label: &'static str, button: NodeRef<html::Button>| {
        view! {
            <button
                type="button"
                class="icon-button"
                class:back=back
                aria-label=label
                title=label
                node_ref=button
                disabled=move || neighbour(back).is_none()
                on:click=move |_| go(back)
            >
                {icon(Glyph::Chevron)}
            </button>
        }
    };
    view! {
        <Show when=move || { versions.with(Vec::len) > 1 }>
            <div class="versions" role="group" aria-label="Versions of this question">
                {step(true, "Previous version", previous)}
                <span class="version">{move || format!("{}/{}", at() + 1, versions.with(Vec::len))}</span>
                {step(false, "Next version", next)}
            </div>
        </Show>
    }
    .into_any()
}

/// The files of a message.
#[component]
pub(crate) fn Attachments(attachments: Vec<Attachment>) -> impl IntoView {
    let Conversation { id, .. } = expect_context();
    let file = move |file: Attachment| {
        // It is saved, never shown as a page of this server; the router leaves such links to the browser.
        let address = format!("/api/threads/{id}/files/{}", file.file_id);
        view! {
            <li class="chip">
                {icon(Glyph::File)}
                <a class="chip-name" href=address rel="external" download=visible(&file.name) title="Download">
                    <bdi>{visible(&file.name)}</bdi>
                </a>
                <span class="chip-size">{format::size(file.bytes)}</span>
            </li>
        }
    };
    (!attachments.is_empty())
        .then(|| view! { <ul class="chips" aria-label="Files">{attachments.into_iter().map(file).collect_view()}</ul> })
}

/// The first letters of a name's first and last word.
pub(crate) fn initials(name: &str) -> String {
    let mut words = name.split_whitespace().filter_map(|word| word.chars().next());
    let first = words.next();
    first.into_iter().chain(words.next_back()).flat_map(char::to_uppercase).collect()
}
