//! What the user may do in the open thread, if its owner shared it.

use leptos::prelude::*;

use super::{
    icons::{Glyph, icon},
    open_thread::OpenThread,
    rendered_items::ready_thread,
};
use crate::{
    protocol::{MemberRole, Person, UserId},
    text::escape_invisible,
};

impl OpenThread {
    /// The thread's owner, if the user is a member who may only read it. Reactive.
    fn read_only(self) -> Option<Person> {
        let me = self.user_id()?;
        self.view.with(|view| {
            let members = ready_thread(view)?.members.as_ref()?;
            (members.role(me) == Some(MemberRole::Read)).then(|| members.owner.clone())
        })
    }

    /// Whether the user may send messages and answer in the thread. Reactive; the server decides.
    pub(crate) fn can_write(self) -> bool {
        self.read_only().is_none()
    }

    /// The user who is signed in. Reactive.
    pub(crate) fn user_id(self) -> Option<UserId> {
        self.socket.user().with(|user| user.as_ref().map(|user| user.id))
    }
}

/// Its children for who may write in the open thread; for others, who may.
#[component]
pub(crate) fn ForWriters(open_thread: OpenThread, children: ChildrenFn) -> impl IntoView {
    let owner = Memo::new(move |_| open_thread.read_only());
    move || match owner.get() {
        None => children().into_any(),
        Some(owner) => {
            let name = escape_invisible(&owner.name);
            view! {
                <div class="reader-note" role="note">
                    {icon(Glyph::People)}
                    <p><strong>"You can read this thread. "</strong> <bdi>{name}</bdi> " shared it with you; only those who may write in it can send messages."</p>
                </div>
            }
            .into_any()
        }
    }
}
