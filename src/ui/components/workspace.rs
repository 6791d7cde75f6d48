//! The frame around every page of a signed-in person: sidebar, header, notices.

use leptos::{ev::KeyboardEvent, html, prelude::*, task::spawn_local, wasm_bindgen::JsCast, web_sys};
use leptos_router::{
    NavigateOptions,
    components::Outlet,
    hooks::{use_location, use_navigate, use_query_map},
};

use super::{
    connection_status::ConnectionStatus,
    dialogs::{DialogKind, Dialogs, OpenDialog, handle_shortcuts},
    focus::{focus_on, follow_fragment_link},
    icons::{Glyph, icon},
    menu::Menu,
    notices::Notices,
    prompts::PromptView,
    sidebar::{Sidebar, UndoNotice, display_title},
    tags::HeaderTags,
    theme::ThemeToggle,
    user_message::initials,
};
use crate::{
    protocol::{
        UserId,
        http::{OwnUsage, Role, User},
    },
    socket::context::{Status, use_socket},
    text::escape_invisible,
    ui::{
        browser,
        context::AppContext,
        format,
        keys::is_escape,
        layout::track_keyboard_height,
        shortcuts::{Shortcut, binding},
        sign_out::SignOut,
    },
};

/// The frame.
#[component]
pub(crate) fn Workspace() -> impl IntoView {
    let path = use_location().pathname;
    let is_signed_in = redirect_if_signed_out(path);
    Effect::new(|_| track_keyboard_height());
    let drawer = Drawer::new(path);
    let dialogs = Dialogs::provide();
    handle_shortcuts(dialogs);
    let on_keydown = move |event: KeyboardEvent| {
        if is_escape(&event) && drawer.open.get_untracked() {
            event.prevent_default();
            drawer.close();
        }
    };
    let loads_images = expect_context::<AppContext>().loads_images();
    view! {
        <Show when=move || is_signed_in.get() fallback=|| view! { <p class="quiet centred">"Redirecting to the sign-in page."</p> }>
            <a class="skip" href="#main" on:click=follow_fragment_link>"Skip to content"</a>
            <Show when=move || path.with(|path| path == "/" || path.starts_with("/threads/"))>
                <a class="skip" href="#message" on:click=follow_fragment_link>"Skip to the message"</a>
            </Show>
            <div class="workspace" class:no-remote-images=!loads_images class:drawer-open=move || drawer.open.get() on:keydown=on_keydown>
                <aside class="sidebar" id="sidebar" aria-label="Sidebar" node_ref=drawer.sidebar><Sidebar/></aside>
                <UndoNotice/>
                <button
                    type="button"
                    class="scrim"
                    tabindex="-1"
                    aria-label="Close the sidebar"
                    on:click=move |_| drawer.close()
                ></button>
                <div class="workspace-body">
                    <Header drawer/>
                    <Notices/>
                    <main id="main" tabindex="-1"><Outlet/></main>
                </div>
            </div>
            <OpenDialog dialogs/>
        </Show>
    }
    .into_any()
}

/// Navigates to the sign-in page, or to setup, when nobody is signed in. Returns whether somebody is.
fn redirect_if_signed_out(path: Memo<String>) -> Memo<bool> {
    let socket = use_socket();
    let sign_out: SignOut = expect_context();
    let app: AppContext = expect_context();
    let navigate = use_navigate();
    let is_signed_in = Memo::new(move |_| {
        socket.user().with(Option::is_some) && socket.status().with(|status| *status != Status::SignedOut)
    });
    Effect::new(move |user_before: Option<Option<UserId>>| {
        let user = socket.user().with_untracked(|user| user.as_ref().map(|user| user.id));
        let user_before = user_before.flatten();
        if !is_signed_in.get() && !sign_out.has_started() {
            let target = match (app.needs_setup(), user_before) {
                (true, _) => "/setup".to_owned(),
                // The session ended: the sign-in page says so, and returns to this page.
                (false, Some(_)) => format!("/sign-in?next={}&ended=1", path.get_untracked()),
                (false, None) => format!("/sign-in?next={}", path.get_untracked()),
            };
            navigate(&target, NavigateOptions { replace: true, ..NavigateOptions::default() });
        }
        user.or(user_before)
    });
    is_signed_in
}

/// The sidebar on a narrow screen, which opens over the page.
#[derive(Clone, Copy)]
struct Drawer {
    open: RwSignal<bool>,
    sidebar: NodeRef<html::Aside>,
    /// The button that opens it.
    opener: NodeRef<html::Button>,
}

impl Drawer {
    /// A closed drawer. It focuses its first link when it opens, and closes on navigation.
    fn new(path: Memo<String>) -> Self {
        let drawer = Self { open: RwSignal::new(false), sidebar: NodeRef::new(), opener: NodeRef::new() };
        // The filter by tag is chosen in the sidebar itself.
        let query = use_query_map();
        let query = Memo::new(move |_| {
            let mut query = query.get();
            query.remove("tag");
            query.to_query_string()
        });
        Effect::new(move |_| {
            path.track();
            query.track();
            if drawer.open.get_untracked() {
                drawer.open.set(false);
                // The followed link, which has the focus, is hidden now.
                focus_on("#main");
            }
        });
        Effect::new(move |_| {
            if drawer.open.get() {
                request_animation_frame(move || drawer.focus_first_link());
            }
        });
        drawer
    }

    fn focus_first_link(self) {
        let sidebar = self.sidebar.try_get_untracked().flatten();
        let link = sidebar.and_then(|sidebar| sidebar.query_selector("a").ok().flatten());
        if let Some(link) = link.and_then(|link| link.dyn_into::<web_sys::HtmlElement>().ok()) {
            let _ = link.focus();
        }
    }

    /// Closes the drawer and focuses its opener.
    fn close(self) {
        self.open.set(false);
        if let Some(opener) = self.opener.get_untracked() {
            let _ = opener.focus();
        }
    }
}

/// The header.
#[component]
fn Header(drawer: Drawer) -> impl IntoView {
    let socket = use_socket();
    let path = use_location().pathname;
    let thread = Memo::new(move |_| path.with(|path| path.strip_prefix("/threads/").and_then(|id| id.parse().ok())));
    let title = Memo::new(move |_| {
        thread
            .get()
            .and_then(|id| socket.feed().with(|feed| feed.thread(id).map(|thread| display_title(&thread.info.title))))
    });
    view! {
        <header class="header">
            <button
                type="button"
                class="icon-button drawer-button"
                node_ref=drawer.opener
                aria-label="Threads"
                aria-controls="sidebar"
                aria-expanded=move || if drawer.open.get() { "true" } else { "false" }
                on:click=move |_| drawer.open.update(|open| *open = !*open)
            >
                {icon(Glyph::Menu)}
            </button>
            <p class="header-title" dir="auto">{move || title.get()}</p>
            <HeaderTags thread/>
            <PaletteButton/>
            <ConnectionStatus/>
            <ThemeToggle/>
            {move || socket.user().get().map(|user| view! { <UserMenu user/> })}
        </header>
    }
    .into_any()
}

/// The button that opens the command palette.
#[component]
fn PaletteButton() -> impl IntoView {
    let dialogs: Dialogs = expect_context();
    // The server cannot know the keyboard, and renders the keys of most.
    let is_apple = RwSignal::new(false);
    Effect::new(move |_| is_apple.set(browser::is_apple()));
    let keys = move || {
        let keys = binding(Shortcut::OpenPalette).map(|binding| binding.keys(is_apple.get())).unwrap_or_default();
        keys.join(" ")
    };
    view! {
        <button
            type="button"
            class="palette-button"
            aria-keyshortcuts=move || if is_apple.get() { "Meta+K" } else { "Control+K" }
            aria-haspopup="dialog"
            on:click=move |_| dialogs.open(DialogKind::Palette)
        >
            {icon(Glyph::Search)}
            <span class="palette-button-text">"Search or jump to"</span>
            <kbd aria-hidden="true">{keys}</kbd>
        </button>
    }
    .into_any()
}

/// The menu of the signed-in person.
#[component]
fn UserMenu(user: User) -> impl IntoView {
    let sign_out: SignOut = expect_context();
    let open = RwSignal::new(false);
    let failed = RwSignal::new(false);
    let sign_out = move |_| {
        spawn_local(async move {
            failed.try_set(sign_out.post("/api/auth/sign-out").await.is_err());
        });
    };
    let dialogs: Dialogs = expect_context();
    let list_shortcuts = move |_| {
        open.set(false);
        // Where the focus returns when the dialog is closed.
        focus_on(".user-menu .menu-trigger");
        dialogs.open(DialogKind::Shortcuts);
    };
    let list_prompts = move |_| {
        open.set(false);
        focus_on(".user-menu .menu-trigger");
        dialogs.open_prompts(PromptView::List);
    };
    let import = move |_| {
        open.set(false);
        focus_on(".user-menu .menu-trigger");
        dialogs.open(DialogKind::Import);
    };
    let is_admin = user.role == Role::Admin;
    let name = escape_invisible(&user.name);
    let letters = initials(&name);
    let label = format!("Account of {name}");
    view! {
        <Menu
            label=Signal::stored(label)
            button=move || view! { <span class="avatar" aria-hidden="true">{letters.clone()}</span> }
            class="user-menu"
            open
        >
            <p class="menu-about"><strong><bdi>{name.clone()}</bdi></strong><span>{user.email.clone()}</span></p>
            <TodaysUsage/>
            {is_admin.then(|| view! {
                <a href="/admin/agents" on:click=move |_| open.set(false)>{icon(Glyph::Spark)} "Agents, tools, usage"</a>
            })}
            <a href="/account" on:click=move |_| open.set(false)>{icon(Glyph::Edit)} "Your account"</a>
            <button type="button" on:click=list_prompts>{icon(Glyph::File)} "Prompts"</button>
            <button type="button" on:click=import>{icon(Glyph::Download)} "Import conversations"</button>
            <button type="button" on:click=list_shortcuts>{icon(Glyph::Keyboard)} "Keyboard shortcuts"</button>
            <button type="button" on:click=sign_out>{icon(Glyph::SignOut)} "Sign out"</button>
            <Show when=move || failed.get()>
                <p class="menu-about" role="alert">"Signing out failed. Try again."</p>
            </Show>
        </Menu>
    }
    .into_any()
}

/// What the person used today, if they have a budget.
#[component]
fn TodaysUsage() -> impl IntoView {
    let usage = RwSignal::new(None::<OwnUsage>);
    Effect::new(move |_| {
        spawn_local(async move {
            // On failure nothing is shown; the server enforces the budget in any case.
            if let Ok(loaded) = browser::get::<OwnUsage>("/api/usage").await {
                usage.try_set(Some(loaded));
            }
        });
    });
    let text = move || usage.with(|usage| usage.as_ref().and_then(budget_label));
    move || text().map(|text| view! { <p class="menu-about" role="status"><span>"Today"</span> {text}</p> })
}

/// Today's usage and the budget; `None` without a budget.
fn budget_label(OwnUsage { today, budget }: &OwnUsage) -> Option<String> {
    let count = |tokens: u64| format::number(tokens as f64);
    let tokens = budget.tokens.map(|limit| format!("{} of {} tokens", count(today.tokens), count(limit)));
    let usd = budget.usd.map(|limit| format!("{} of {}", format::dollars(today.usd), format::dollars(limit)));
    let parts: Vec<String> = tokens.into_iter().chain(usd).collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::{Budget, Usage};

    #[test]
    fn usage_is_shown_with_its_budget() {
        let today = Usage { tokens: 1_204, usd: 0.03 };
        assert_eq!(budget_label(&OwnUsage { today, budget: Budget::default() }), None);
        let both = Budget { tokens: Some(50_000), usd: Some(1.0) };
        assert_eq!(
            budget_label(&OwnUsage { today, budget: both }).as_deref(),
            Some("1,204 of 50,000 tokens · $0.030 of $1.00")
        );
    }
}
