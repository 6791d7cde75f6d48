//! The document around the page, and the application: contexts, then routes.

use leptos::{
    hydration::{AutoReload, HydrationScripts},
    prelude::*,
    task::spawn_local,
};
use leptos_meta::{HashedStylesheet, MetaTags, Title, provide_meta_context};
use leptos_router::{
    components::{ParentRoute, Route, Router, Routes},
    path,
};

use super::{
    boot::Boot,
    browser,
    components::{clock::Clock, focus::WritesNext, workspace::Workspace},
    context::AppContext,
    drafts::Drafts,
    outgoing::Outgoing,
    pages::{
        account::AccountPage, admin::AdminAgentsPage, home::Home, not_found::NotFound, setup::SetupPage,
        sign_in::SignInPage, thread::ThreadPage,
    },
    sign_out::SignOut,
    storage::{Found, Storage, record::Content},
};
use crate::{protocol::http::AgentInfo, socket::context::provide_socket, text::visible};

/// The document around the page: what the server sends before and after the application.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content"/>
                <meta name="color-scheme" content="light dark"/>
                <meta name="referrer" content="same-origin"/>
                // Before the first paint, so that a chosen theme never flashes; a file of its own, so no inline script.
                <script src="/theme.js"></script>
                // Before the body, so that no button can be pressed without it.
                <script src="/early-presses.js"></script>
                <link rel="icon" type="image/svg+xml" href="/favicon.svg"/>
                <HashedStylesheet options=options.clone() id="style"/>
                <AutoReload options=options.clone()/>
                <HydrationScripts options/>
                <MetaTags/>
            </head>
            <body>
                <App/>
            </body>
        </html>
    }
}

/// An agent as people are shown it.
fn shown(agent: AgentInfo) -> AgentInfo {
    AgentInfo { name: visible(&agent.name), description: visible(&agent.description), ..agent }
}

/// The title of the document: first how many threads wait for the person, so that it is read in a row of tabs.
fn document_title(title: &str, asking: usize) -> String {
    let waiting = if asking > 0 { format!("({asking}) ") } else { String::new() };
    if title.is_empty() { format!("{waiting}Netra") } else { format!("{waiting}{title} · Netra") }
}

/// The application. On the server it renders the [`Boot`] found in context; the browser reads the same one from the HTML.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    let boot = SharedValue::new(|| use_context::<Boot>().unwrap_or_default()).into_inner();
    let context = AppContext {
        config: StoredValue::new(boot.config),
        agents: StoredValue::new(boot.agents.into_iter().map(shown).collect()),
        refused: StoredValue::new(boot.refused),
    };
    provide_context(context);
    let socket = provide_socket(boot.seed);
    Clock::provide(socket);
    WritesNext::provide();
    let storage = Storage::provide();
    let outgoing = Outgoing::provide(socket, storage);
    let drafts = Drafts::provide(storage);
    SignOut::provide(socket, outgoing, storage);
    // The page is loaded anew for another person.
    if let Some(user) = socket.user().with_untracked(|user| user.as_ref().map(|user| user.id)) {
        storage.start(user, move |key, Found { record, files, missing }| match record.content {
            Content::Message(message) => outgoing.resume(message, files, missing),
            Content::Answer(answer) => spawn_local(async move { drop(outgoing.send_answer(answer).await) }),
            other => drafts.add_leftover(key, &other),
        });
    }
    // After the first render: every handler is attached.
    Effect::new(|_| browser::announce_hydrated());
    let asking = Memo::new(move |_| {
        socket.feed().with(|feed| feed.threads.iter().filter(|thread| !thread.asking.is_empty()).count())
    });
    view! {
        <Title formatter=move |title: String| document_title(&title, asking.get())/>
        <Router>
            <Routes fallback=|| view! { <NotFound/> }.into_any()>
                <ParentRoute path=path!("") view=|| view! { <Workspace/> }.into_any()>
                    <Route path=path!("") view=|| view! { <Home/> }.into_any()/>
                    <Route path=path!("account") view=|| view! { <AccountPage/> }.into_any()/>
                    <Route path=path!("admin/agents") view=|| view! { <AdminAgentsPage/> }.into_any()/>
                    <Route path=path!("threads/:id") view=|| view! { <ThreadPage/> }.into_any()/>
                </ParentRoute>
                <Route path=path!("sign-in") view=|| view! { <SignInPage/> }.into_any()/>
                <Route path=path!("setup") view=|| view! { <SetupPage/> }.into_any()/>
            </Routes>
        </Router>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::document_title;

    #[test]
    fn the_title_says_how_many_threads_wait() {
        assert_eq!(document_title("", 0), "Netra");
        assert_eq!(document_title("Tokens", 2), "(2) Tokens · Netra");
    }
}
