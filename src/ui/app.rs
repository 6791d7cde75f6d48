//! The HTML document, and the application: its contexts and routes.

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
    components::{
        clock::Clock, focus::ComposerFocus, shown_thread::ShownThread, sidebar::Deletions, theme::Theme,
        workspace::Workspace,
    },
    context::{AppContext, RequestedAgent, with_visible_text},
    drafts::Drafts,
    outgoing::Outgoing,
    pages::{
        account::ACCOUNT_PAGE, admin::ADMIN_PAGE, archive::ARCHIVE_PAGE, home::Home, inbox::INBOX_PAGE,
        not_found::NotFound, setup::SETUP_PAGE, sign_in::SignInPage, thread::ThreadPage,
    },
    reading_positions::ReadingPositions,
    sign_out::SignOut,
    storage::{Storage, StoredRecord, record::Content},
    uploads::Uploads,
};
#[cfg(feature = "split")]
use super::{
    components::{interrupts::INTERRUPTS, run_nodes::FIGURE},
    part,
};
use crate::socket::context::provide_socket;

/// The HTML document around the application.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content"/>
                <meta name="color-scheme" content="light dark"/>
                <meta name="referrer" content="same-origin"/>
                // Runs before the first paint, so that the chosen theme does not flash. A file, because inline scripts are forbidden.
                <script src="/theme.js"></script>
                // Before the body, so that it catches every button press before hydration.
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

/// The document's title. It begins with the number of threads that wait for the user, so that a narrow tab shows it.
fn document_title(title: &str, waiting_count: usize) -> String {
    let count = if waiting_count > 0 { format!("({waiting_count}) ") } else { String::new() };
    if title.is_empty() { format!("{count}Netra") } else { format!("{count}{title} · Netra") }
}

/// Hydrates the page, when the parts that its HTML contains are loaded.
#[cfg(feature = "hydrate")]
pub(crate) fn hydrate() {
    let mount = || leptos::mount::hydrate_body(App);
    // All parts that the server may render.
    #[cfg(feature = "split")]
    part::after_loading(
        &[&ACCOUNT_PAGE, &ADMIN_PAGE, &ARCHIVE_PAGE, &FIGURE, &INBOX_PAGE, &INTERRUPTS, &SETUP_PAGE],
        mount,
    );
    #[cfg(not(feature = "split"))]
    mount();
}

/// The application. The server renders it from the [`Boot`] in context; the browser reads the same [`Boot`] from the HTML.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    let boot = SharedValue::new(|| use_context::<Boot>().unwrap_or_default()).into_inner();
    let context = AppContext {
        config: StoredValue::new(boot.config),
        agents: StoredValue::new(boot.agents.into_iter().map(with_visible_text).collect()),
        thread_refusal: StoredValue::new(boot.refused),
    };
    provide_context(context);
    let socket = provide_socket(boot.seed);
    Clock::provide(socket);
    Deletions::provide(socket);
    ComposerFocus::provide();
    ReadingPositions::provide();
    RequestedAgent::provide();
    ShownThread::provide();
    Theme::provide();
    let storage = Storage::provide();
    let uploads = Uploads::provide(socket);
    let outgoing = Outgoing::provide(socket, storage, uploads);
    let drafts = Drafts::provide(storage, uploads);
    SignOut::provide(socket, outgoing, storage);
    // Signing in as another user reloads the page.
    if let Some(user) = socket.user().with_untracked(|user| user.as_ref().map(|user| user.id)) {
        storage.start(user, move |key, StoredRecord { record, files, missing }| match record.content {
            Content::Message(message) => outgoing.send_stored(message, files, missing),
            Content::Answer(answer) => spawn_local(async move { drop(outgoing.send_answer(answer).await) }),
            other => drafts.add_leftover(key, &other),
        });
    }
    // Effects run after the first render, when every handler is attached.
    Effect::new(|_| browser::announce_hydrated());
    let waiting_count = Memo::new(move |_| {
        socket.feed().with(|feed| {
            feed.threads.iter().filter(|thread| !thread.asking.is_empty() && !thread.info.archived).count()
        })
    });
    view! {
        <Title formatter=move |title: String| document_title(&title, waiting_count.get())/>
        <Router>
            <Routes fallback=|| view! { <NotFound/> }.into_any()>
                <ParentRoute path=path!("") view=|| view! { <Workspace/> }.into_any()>
                    <Route path=path!("") view=|| view! { <Home/> }.into_any()/>
                    <Route path=path!("account") view=|| ACCOUNT_PAGE.show(())/>
                    <Route path=path!("admin/agents") view=|| ADMIN_PAGE.show(())/>
                    <Route path=path!("archive") view=|| ARCHIVE_PAGE.show(())/>
                    <Route path=path!("inbox") view=|| INBOX_PAGE.show(())/>
                    <Route path=path!("threads/:id") view=|| view! { <ThreadPage/> }.into_any()/>
                </ParentRoute>
                <Route path=path!("sign-in") view=|| view! { <SignInPage/> }.into_any()/>
                <Route path=path!("setup") view=|| SETUP_PAGE.show(())/>
            </Routes>
        </Router>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::document_title;

    #[test]
    fn the_title_begins_with_the_number_of_waiting_threads() {
        assert_eq!(document_title("", 0), "Netra");
        assert_eq!(document_title("Tokens", 2), "(2) Tokens · Netra");
    }
}
