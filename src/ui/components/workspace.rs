//! What is around every page of somebody who is signed in: threads, header, notices.

use leptos::{html, prelude::*, task::spawn_local, wasm_bindgen::JsCast, web_sys};
use leptos_router::{
    NavigateOptions,
    components::Outlet,
    hooks::{use_location, use_navigate},
};

use super::{
    focus::{focus_on, to_fragment},
    icons::{Glyph, icon},
    indicator::Indicator,
    menu::Menu,
    notices::Notices,
    question::initials,
    sidebar::{Sidebar, title_of},
    theme::ThemeToggle,
};
use crate::{
    protocol::{
        UserId,
        http::{OwnUsage, Role, User},
    },
    socket::context::{Status, use_socket},
    text::visible,
    ui::{browser, context::AppContext, format, keys::is_escape, layout::track_keyboard_height, sign_out::SignOut},
};

/// The frame around the pages of somebody who is signed in.
#[component]
pub(crate) fn Workspace() -> impl IntoView {
    let socket = use_socket();
    let sign_out: SignOut = expect_context();
    let app: AppContext = expect_context();
    let location = use_location();
    let navigate = use_navigate();
    let known = Memo::new(move |_| {
        socket.user().with(Option::is_some) && socket.status().with(|status| *status != Status::SignedOut)
    });
    let drawer = RwSignal::new(false);
    let path = location.pathname;
    Effect::new(|_| track_keyboard_height());
    Effect::new(move |before: Option<Option<UserId>>| {
        let person = socket.user().with_untracked(|user| user.as_ref().map(|user| user.id));
        let before = before.flatten();
        if !known.get() && !sign_out.has_begun() {
            let to = match (app.needs_setup(), before) {
                (true, _) => "/setup".to_owned(),
                // The session ended: its person reads so, and finds what they wrote when they are back.
                (false, Some(_)) => format!("/sign-in?next={}&ended=1", path.get_untracked()),
                (false, None) => format!("/sign-in?next={}", path.get_untracked()),
            };
            navigate(&to, NavigateOptions { replace: true, ..NavigateOptions::default() });
        }
        person.or(before)
    });
    Effect::new(move |_| {
        path.track();
        if drawer.get_untracked() {
            drawer.set(false);
            // The link that was followed is out of sight with the drawer.
            focus_on("#main");
        }
    });
    // What opens takes the focus, and gives it back when it is closed by key.
    let (sidebar, opener) = (NodeRef::<html::Aside>::new(), NodeRef::<html::Button>::new());
    Effect::new(move |_| {
        if drawer.get() {
            request_animation_frame(move || {
                let sidebar = sidebar.try_get_untracked().flatten();
                let first = sidebar.and_then(|sidebar| sidebar.query_selector("a").ok().flatten());
                if let Some(first) = first.and_then(|first| first.dyn_into::<web_sys::HtmlElement>().ok()) {
                    let _ = first.focus();
                }
            });
        }
    });
    let close = move || {
        drawer.set(false);
        if let Some(opener) = opener.get_untracked() {
            let _ = opener.focus();
        }
    };
    let key = move |event: leptos::ev::KeyboardEvent| {
        if is_escape(&event) && drawer.get_untracked() {
            event.prevent_default();
            close();
        }
    };
    view! {
        <Show when=move || known.get() fallback=|| view! { <p class="quiet centred">"Taking you to the sign-in."</p> }>
            <a class="skip" href="#main" on:click=to_fragment>"Skip to content"</a>
            <Show when=move || path.with(|path| path == "/" || path.starts_with("/threads/"))>
                <a class="skip" href="#message" on:click=to_fragment>"Skip to the message"</a>
            </Show>
            <div class="workspace" class:drawer-open=move || drawer.get() on:keydown=key>
                <aside class="sidebar" id="sidebar" aria-label="Sidebar" node_ref=sidebar><Sidebar/></aside>
                <button
                    type="button"
                    class="scrim"
                    tabindex="-1"
                    aria-label="Close the list of threads"
                    on:click=move |_| close()
                ></button>
                <div class="stage">
                    <Header drawer opener/>
                    <Notices/>
                    <main id="main" tabindex="-1"><Outlet/></main>
                </div>
            </div>
        </Show>
    }
    .into_any()
}

/// The header.
#[component]
fn Header(drawer: RwSignal<bool>, opener: NodeRef<html::Button>) -> impl IntoView {
    let socket = use_socket();
    let path = use_location().pathname;
    let title = Memo::new(move |_| {
        let id = path.with(|path| path.strip_prefix("/threads/").and_then(|id| id.parse().ok()));
        id.and_then(|id| socket.feed().with(|feed| feed.thread(id).map(|thread| title_of(&thread.info.title))))
    });
    view! {
        <header class="header">
            <button
                type="button"
                class="icon-button drawer-button"
                node_ref=opener
                aria-label="Threads"
                aria-controls="sidebar"
                aria-expanded=move || if drawer.get() { "true" } else { "false" }
                on:click=move |_| drawer.update(|open| *open = !*open)
            >
                {icon(Glyph::Menu)}
            </button>
            <p class="header-title" dir="auto">{move || title.get()}</p>
            <Indicator/>
            <ThemeToggle/>
            {move || socket.user().get().map(|user| view! { <UserMenu user/> })}
        </header>
    }
    .into_any()
}

/// Who is signed in, and the way out.
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
    let is_admin = user.role == Role::Admin;
    let name = visible(&user.name);
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
            <Today/>
            {is_admin.then(|| view! {
                <a href="/admin/agents" on:click=move |_| open.set(false)>{icon(Glyph::Spark)} "Agents, tools, usage"</a>
            })}
            <a href="/account" on:click=move |_| open.set(false)>{icon(Glyph::Edit)} "Your account"</a>
            <button type="button" on:click=sign_out>{icon(Glyph::SignOut)} "Sign out"</button>
            <Show when=move || failed.get()>
                <p class="menu-about" role="alert">"That did not work. Try again."</p>
            </Show>
        </Menu>
    }
    .into_any()
}

/// What the person used today, where there is a budget.
#[component]
fn Today() -> impl IntoView {
    let usage = RwSignal::new(None::<OwnUsage>);
    Effect::new(move |_| {
        spawn_local(async move {
            // Where it is not known nothing is said: the server holds everyone to it in any case.
            if let Ok(known) = browser::get::<OwnUsage>("/api/usage").await {
                usage.try_set(Some(known));
            }
        });
    });
    let words = move || usage.with(|usage| usage.as_ref().and_then(budget));
    move || words().map(|words| view! { <p class="menu-about" role="status"><span>"Today"</span> {words}</p> })
}

/// What was used of a budget, in words; nothing where there is none.
fn budget(OwnUsage { today, budget }: &OwnUsage) -> Option<String> {
    let count = |tokens: u64| format::number(tokens as f64);
    let tokens = budget.tokens.map(|most| format!("{} of {} tokens", count(today.tokens), count(most)));
    let usd = budget.usd.map(|most| format!("{} of {}", format::dollars(today.usd), format::dollars(most)));
    let parts: Vec<String> = tokens.into_iter().chain(usd).collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::{Budget, Usage};

    #[test]
    fn a_budget_is_told_with_what_is_used_of_it() {
        let today = Usage { tokens: 1_204, usd: 0.03 };
        assert_eq!(budget(&OwnUsage { today, budget: Budget::default() }), None);
        let both = Budget { tokens: Some(50_000), usd: Some(1.0) };
        assert_eq!(
            budget(&OwnUsage { today, budget: both }).as_deref(),
            Some("1,204 of 50,000 tokens · $0.030 of $1.00")
        );
    }
}
