//! The menu of a thread: rename, pin, share, select, archive and delete; or leave, if another user shares it.

use leptos::{prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate},
};

use super::{
    super::{
        dialogs::{DialogKind, Dialogs},
        focus::ComposerFocus,
        icons::{Glyph, icon},
        menu::Menu,
    },
    Deletions, List,
    selection::focus_row,
};
use crate::{
    protocol::{ArchiveThread, LeaveThread, PinThread, Request, ThreadId},
    socket::context::{Socket, use_socket},
    thread::ThreadSummary,
    ui::format::sentence,
};

/// The menu.
#[component]
pub(super) fn RowMenu(
    id: ThreadId,
    thread: Memo<ThreadSummary>,
    title: Memo<String>,
    renaming: RwSignal<bool>,
    list: List,
) -> impl IntoView {
    let socket = use_socket();
    let open = RwSignal::new(false);
    let pinned = Memo::new(move |_| thread.with(|thread| thread.info.pinned));
    // A member can only leave what the owner can rename, share and delete.
    let is_member = Memo::new(move |_| {
        thread.with(|thread| thread.info.shared.as_ref().is_some_and(|shared| shared.role.is_some()))
    });
    let rename = move |_| {
        open.set(false);
        renaming.set(true);
    };
    let pin = move |_| {
        open.set(false);
        list.moving.set_value(Some(id));
        change(list, socket, PinThread { thread_id: id, pinned: !pinned.get_untracked() });
    };
    let leave_list = use_leave_list(list);
    let archive = move |_| {
        open.set(false);
        leave_list.leave(id);
        change(list, socket, ArchiveThread { thread_id: id, archived: true });
    };
    let select = move |_| {
        open.set(false);
        list.selection.toggle(id);
        focus_row(id);
    };
    let dialogs: Dialogs = expect_context();
    let share = move |_| {
        open.set(false);
        dialogs.open(DialogKind::Share(id));
    };
    let tag = move |_| {
        open.set(false);
        dialogs.tag(vec![id]);
    };
    view! {
        <Menu
            label=Signal::derive(move || format!("Actions for {}", title.get()))
            button=|| icon(Glyph::More)
            class="row-menu"
            open
            tabindex="-1"
        >
            <Show when=move || !is_member.get()><button type="button" on:click=rename>{icon(Glyph::Edit)} "Rename"</button></Show>
            <button type="button" on:click=pin>
                {icon(Glyph::Pin)} {move || if pinned.get() { "Unpin" } else { "Pin" }}
            </button>
            <Show when=move || !is_member.get()>
                <button type="button" on:click=tag>{icon(Glyph::Tag)} "Tags"</button>
                <button type="button" on:click=share>{icon(Glyph::Link)} "Share"</button>
            </Show>
            {exports(id, open)}
            <button type="button" on:click=select>{icon(Glyph::Check)} "Select"</button>
            <button type="button" on:click=archive>{icon(Glyph::Archive)} "Archive"</button>
            <Remove id title list open is_member/>
        </Menu>
    }
    .into_any()
}

/// The button that deletes a thread, or leaves it if another user shares it.
#[component]
fn Remove(id: ThreadId, title: Memo<String>, list: List, open: RwSignal<bool>, is_member: Memo<bool>) -> impl IntoView {
    let socket = use_socket();
    let leave_list = use_leave_list(list);
    let deletions: Deletions = expect_context();
    let remove = move |_| {
        open.set(false);
        let open_thread = leave_list.open_thread().filter(|open| *open == id);
        leave_list.leave(id);
        match is_member.get_untracked() {
            true => change(list, socket, LeaveThread { thread_id: id }),
            false => deletions.delete(vec![id], format!("“{}”", title.get_untracked()), open_thread),
        }
    };
    let content = move || match is_member.get() {
        true => view! { {icon(Glyph::SignOut)} "Leave" }.into_any(),
        false => view! { {icon(Glyph::Trash)} "Delete" }.into_any(),
    };
    view! { <button type="button" class="danger" on:click=remove>{content}</button> }.into_any()
}

/// Links to print and to download a thread. They close the menu.
fn exports(id: ThreadId, open: RwSignal<bool>) -> impl IntoView {
    let export = move |format: &'static str, label: &'static str| {
        let address = format!("/api/threads/{id}/export?format={format}");
        // `rel="external"` keeps the router from handling the link.
        view! { <a href=address rel="external" download on:click=move |_| open.set(false)>{icon(Glyph::Download)} {label}</a> }
    };
    view! {
        <a href=format!("/threads/{id}/print") rel="external" target="_blank" on:click=move |_| open.set(false)>
            {icon(Glyph::File)} "Print"
        </a>
        {export("markdown", "Export as Markdown")}
        {export("jsonl", "Export the log (JSON Lines)")}
    }
}

/// Sends a command about a thread, and shows its refusal.
fn change(list: List, socket: Socket, command: impl Request + 'static) {
    spawn_local(async move {
        let refusal = socket.send(command).await.err();
        list.error.try_set(refusal.map(|refusal| sentence(&refusal.message)));
    });
}

/// What happens before a thread leaves the list.
#[derive(Clone, Copy)]
pub(super) struct LeaveList {
    list: List,
    composer_focus: ComposerFocus,
    navigate: StoredValue<Box<dyn Fn() + Send + Sync>>,
    path: Memo<String>,
}

pub(super) fn use_leave_list(list: List) -> LeaveList {
    let navigate = use_navigate();
    LeaveList {
        list,
        composer_focus: expect_context(),
        navigate: StoredValue::new(Box::new(move || navigate("/", NavigateOptions::default()))),
        path: use_location().pathname,
    }
}

impl LeaveList {
    /// The open thread.
    pub(super) fn open_thread(self) -> Option<ThreadId> {
        self.path.with_untracked(|path| path.strip_prefix("/threads/").and_then(|id| id.parse().ok()))
    }

    /// If the thread is open, opens the page for a new one; else focuses its neighbour.
    pub(super) fn leave(self, id: ThreadId) {
        if self.open_thread() == Some(id) {
            self.composer_focus.request("/");
            self.navigate.with_value(|navigate| navigate());
        } else {
            self.list.focus_neighbour(id);
        }
    }
}
