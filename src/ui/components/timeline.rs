//! A thread's items in order: what people said, what agents did.

use leptos::prelude::*;

use super::{
    clock::Moment,
    icons::{Glyph, icon},
    run::RunCard,
    tree::Shared,
};
use crate::{
    protocol::{Attachment, MessageId, RunId, ThreadId},
    socket::context::Loaded,
    thread::{Item, RunView, Said, ThreadView},
    ui::{format, outgoing::Outgoing},
};

/// Which item it is. Items are only ever added, so its place goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Message(MessageId),
    Run(RunId),
}

/// The state of a thread, where it is here.
pub(crate) fn ready(view: &Loaded<ThreadView>) -> Option<&ThreadView> {
    match view {
        Loaded::Ready(thread) => Some(thread),
        _ => None,
    }
}

/// A thread's items.
#[component]
pub(crate) fn Timeline(id: ThreadId, view: Signal<Loaded<ThreadView>>) -> impl IntoView {
    let outgoing: Outgoing = expect_context();
    let keys = Memo::new(move |_| {
        let key = |item: &Item| match item {
            Item::Message(said) => Key::Message(said.message.id),
            Item::Run(run) => Key::Run(run.run_id),
        };
        let keys = |thread: &ThreadView| thread.items.iter().map(key).enumerate().collect::<Vec<_>>();
        view.with(|view| ready(view).map(keys)).unwrap_or_default()
    });
    let item = move |(index, _)| {
        let now = move |view: &Loaded<ThreadView>| ready(view).and_then(|thread| thread.items.get(index).cloned());
        match view.with_untracked(now)? {
            Item::Message(said) => Some(view! { <Question said=said.as_ref().clone()/> }.into_any()),
            Item::Run(first) => {
                let first_id = first.run_id;
                let run = Memo::new(move |before: Option<&Shared<RunView>>| match view.with(now) {
                    Some(Item::Run(run)) => Shared(run),
                    _ => before.cloned().unwrap_or_else(|| Shared(first.clone())),
                });
                // The message that it answers: it came before, and never changes.
                let question = view.with_untracked(|view| {
                    ready(view)?.items[..index].iter().rev().find_map(|item| match item {
                        Item::Message(said) if said.message.run_id == first_id => Some(said.message.clone()),
                        _ => None,
                    })
                });
                let again = question.map(|message| Callback::new(move |()| outgoing.ask_again(id, message.clone())));
                Some(view! { <RunCard run again/> }.into_any())
            }
        }
    };
    view! { <For each=move || keys.get() key=|key| *key children=item/> }
}

/// What a person said.
#[component]
fn Question(said: Said) -> impl IntoView {
    let Said { at, message, .. } = said;
    view! {
        <article class="question" aria-label="Question" data-message-id=message.id.to_string()>
            <header class="byline">
                <span class="avatar" aria-hidden="true">{initials(&message.author.name)}</span>
                <span class="author">{message.author.name.clone()}</span>
                <Moment at/>
            </header>
            <p class="said">{message.content}</p>
            <Attachments attachments=message.attachments/>
        </article>
    }
    .into_any()
}

/// The files of a message.
#[component]
pub(crate) fn Attachments(attachments: Vec<Attachment>) -> impl IntoView {
    let file = |file: Attachment| {
        view! {
            <li class="chip">
                {icon(Glyph::File)}
                <span class="chip-name">{file.name}</span>
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
