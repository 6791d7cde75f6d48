//! The dialog that shares a thread: with other users, and by links with which anybody can read it.

use leptos::{ev::SubmitEvent, html, prelude::*, task::spawn_local};

use super::{
    clock::Timestamp,
    command_state::CommandState,
    copy::CopyButton,
    dialogs::Dialogs,
    error_message::error_message,
    focus::{focus_on, focus_when_shown, is_focus_lost},
    icons::{Glyph, icon},
    members::MembersSection,
};
use crate::{
    protocol::{Request, ShareId, ShareLink, ShareLinks, ShareThread, ThreadId, WithdrawLink},
    socket::context::use_socket,
    ui::{browser, part::part},
};

/// The lifetimes that are offered, in days; 0: no end.
const LIFETIMES: [(i64, &str); 4] = [(1, "1 day"), (7, "7 days"), (30, "30 days"), (0, "Never")];
/// The lifetime that is chosen at first, in days.
const DEFAULT_DAYS: i64 = 7;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

part!(
    /// The content of the dialog.
    pub(crate) SHARE_DIALOG, share, |thread: ThreadId| view! { <ShareDialog thread/> }.into_any()
);

/// What the dialog shows.
#[derive(Clone, Copy)]
struct Links {
    thread: ThreadId,
    /// `None`: loading.
    links: RwSignal<Option<Vec<ShareLink>>>,
    command: CommandState,
}

impl Links {
    /// Reads the thread's links.
    fn load(self) {
        spawn_local(async move {
            match browser::get::<ShareLinks>(&format!("/api/threads/{}/links", self.thread)).await {
                Ok(ShareLinks { links }) => {
                    self.links.try_set(Some(links));
                    // The row whose button was pressed may be gone.
                    request_animation_frame(|| {
                        if is_focus_lost() {
                            focus_on(".share-form button");
                        }
                    });
                }
                Err(error) => drop(self.command.error.try_set(Some(error.message()))),
            }
        });
    }

    /// Sends a command about the links, and reads them again.
    fn change(self, command: impl Request + 'static) {
        self.command.send(command, move || self.load());
    }
}

#[component]
fn ShareDialog(thread: ThreadId) -> impl IntoView {
    let dialogs: Dialogs = expect_context();
    let (links, command) = (RwSignal::new(None), CommandState::new(use_socket()));
    let all = Links { thread, links, command };
    all.load();
    let days = RwSignal::new(DEFAULT_DAYS);
    let button = NodeRef::<html::Button>::new();
    focus_when_shown(button);
    let create = move |event: SubmitEvent| {
        event.prevent_default();
        let expires_at = (days.get_untracked() > 0).then(|| browser::now_ms() + days.get_untracked() * DAY_MS);
        all.change(ShareThread { share_id: ShareId::new(), thread_id: thread, expires_at });
    };
    let lifetime = |(days, label): &(i64, &'static str)| {
        view! { <option value=days.to_string() selected=*days == DEFAULT_DAYS>{*label}</option> }
    };
    let is_empty = move || links.with(|links| links.as_ref().is_some_and(Vec::is_empty));
    view! {
        <div class="dialog-head">
            <h2>"Share this thread"</h2>
            <button type="button" class="icon-button" aria-label="Close" on:click=move |_| dialogs.close()>{icon(Glyph::Close)}</button>
        </div>
        <MembersSection thread/>
        <h3>"Links"</h3>
        <p class="quiet">
            "Anyone with a link can read this thread, including later messages. They cannot reply or open its files."
        </p>
        <form class="share-form" on:submit=create>
            <label>
                "Expires after "
                <select on:change:target=move |event| days.set(event.target().value().parse().unwrap_or(DEFAULT_DAYS))>
                    {LIFETIMES.iter().map(lifetime).collect_view()}
                </select>
            </label>
            <button type="submit" class="button" node_ref=button aria-disabled=move || command.aria_disabled()>{icon(Glyph::Link)} "Create link"</button>
        </form>
        {move || command.error.get().map(error_message)}
        <ul class="share-links" aria-label="Links">
            <For each=move || links.get().unwrap_or_default() key=|link| link.share_id children=move |link| view! { <LinkRow link all/> }/>
        </ul>
        <Show when=is_empty><p class="quiet">"No links yet."</p></Show>
    }
    .into_any()
}

/// A link: its address, when it expires, and buttons that copy and withdraw it.
#[component]
fn LinkRow(link: ShareLink, all: Links) -> impl IntoView {
    let ShareLink { share_id, path, expires_at, .. } = link;
    let address = format!("{}{path}", browser::origin().unwrap_or_default());
    let text = {
        let address = address.clone();
        Callback::new(move |()| address.clone())
    };
    let expiry = match expires_at {
        Some(at) => view! { "Expires " <Timestamp at/> }.into_any(),
        None => "Never expires".into_any(),
    };
    let withdraw = move |_| all.change(WithdrawLink { share_id, thread_id: all.thread });
    view! {
        <li class="share-link">
            <a href=path rel="external" target="_blank">{address}</a>
            <span class="quiet">{expiry}</span>
            <span class="share-actions">
                <CopyButton class="small-button" text/>
                <button type="button" class="small-button" aria-disabled=move || all.command.aria_disabled() on:click=withdraw>"Withdraw"</button>
            </span>
        </li>
    }
    .into_any()
}
