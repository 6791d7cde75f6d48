//! Where else a thread is open, and which authors of its messages have it open.

use leptos::prelude::*;

use crate::{
    protocol::{Present, ThreadId, UserId},
    socket::context::use_socket,
    text::escape_invisible,
};

/// In how many places the thread is open, if more than one.
#[component]
pub(crate) fn Presence(id: ThreadId) -> impl IntoView {
    let present = use_socket().present(id);
    let text = Memo::new(move |_| present.with(|present| open_in(present)));
    view! {
        <p class="presence quiet" role="status" hidden=move || text.with(String::is_empty)>{text}</p>
    }
    .into_any()
}

/// Beside the name of a message's author: whether they, another user, have the thread open now.
#[component]
pub(crate) fn AuthorPresence(thread: ThreadId, author: UserId, is_own: Memo<bool>) -> impl IntoView {
    let present = use_socket().present(thread);
    let is_here =
        Memo::new(move |_| !is_own.get() && present.with(|present| present.iter().any(|who| who.user.id == author)));
    view! {
        <Show when=move || is_here.get()>
            <span class="author-present" role="img" aria-label="Has this thread open" title="Has this thread open"></span>
        </Show>
    }
    .into_any()
}

/// In words, where a thread is open; empty if only here.
fn open_in(present: &[Present]) -> String {
    let places: u32 = present.iter().map(|who| who.connections).sum();
    let names: Vec<String> = present.iter().map(|who| escape_invisible(&who.user.name)).collect();
    match (places, &names[..]) {
        (0 | 1, _) => String::new(),
        (_, [_]) => format!("Open in {places} places"),
        _ => format!("Open in {places} places: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Person;

    #[test]
    fn places_are_counted_and_other_people_are_named() {
        let who =
            |name: &str, connections| Present { user: Person { id: UserId::new(), name: name.into() }, connections };
        assert_eq!(open_in(&[]), "");
        assert_eq!(open_in(&[who("Ada", 1)]), "");
        assert_eq!(open_in(&[who("Ada", 3)]), "Open in 3 places");
        assert_eq!(open_in(&[who("Ada", 1), who("Bob", 1)]), "Open in 2 places: Ada, Bob");
    }
}
