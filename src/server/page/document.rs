//! Renders the complete HTML document of a page.
//!
//! A page's reactive values are stored in the arena of its owner, and each thread uses only the arena that was set last. So all
//! code that reads the page's values runs while the page's owner is current, including the title, which is written into the
//! head last. The owner is cleaned up only after the whole document has been written.

use std::future::ready;

use futures_util::{StreamExt, stream::once};
use leptos::{nonce::Nonce, prelude::*, reactive::computed::ScopedFuture};
use leptos_axum::ResponseOptions;
use leptos_integration_utils::{PinnedStream, build_response};
use leptos_meta::ServerMetaContext;
use leptos_router::location::RequestUrl;

use axum::http::StatusCode;

use crate::ui::boot::Boot;

/// The input of a document.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The path and the query of the address.
    pub(super) address: String,
    /// The page's initial data.
    pub(super) boot: Boot,
    /// The nonce of the document's inline script.
    pub(super) nonce: Nonce,
}

/// A rendered document.
#[derive(Debug)]
pub(super) struct Document {
    /// The whole document.
    pub(super) html: String,
    /// The status that a component set.
    pub(super) status: Option<StatusCode>,
}

/// Renders a document. `view` returns the view of the whole document.
pub(super) async fn render_document<V: IntoView + 'static>(
    source: Source,
    view: impl FnOnce() -> V + Send + 'static,
) -> Document {
    let options = ResponseOptions::default();
    let (meta, head) = ServerMetaContext::new();
    let context = {
        let options = options.clone();
        move || {
            provide_context(RequestUrl::new(&source.address));
            provide_context(meta);
            provide_context(options);
            provide_context(source.nonce);
            provide_context(source.boot);
        }
    };
    let (owner, body) = build_response(view, context, render_at_once, false);
    // Sets the owner, and with it the arena, each time the future is polled, on whichever thread.
    let html = owner.with(|| {
        ScopedFuture::new_untracked(async move {
            let body = body.await.collect::<String>().await;
            let document = head.inject_meta_context(once(ready(body))).await;
            document.collect::<String>().await
        })
    });
    let html = html.await;
    owner.unset_with_forced_cleanup();
    let status = options.0.read().map(|parts| parts.status).ok().flatten();
    Document { html, status }
}

/// Renders a document without data and scripts for the browser.
pub(super) fn render_static<V: IntoView>(view: impl FnOnce() -> V) -> String {
    let owner = Owner::new();
    let html = owner.with(|| view().into_view().to_html());
    owner.unset_with_forced_cleanup();
    html
}

/// Renders the view as one chunk, followed by the scripts with the data for the browser.
fn render_at_once<V: IntoView + 'static>(
    view: V,
    scripts: Box<dyn FnOnce() -> PinnedStream<String> + Send>,
    _out_of_order: bool,
) -> leptos_integration_utils::PinnedFuture<PinnedStream<String>> {
    Box::pin(async move {
        let view = view.to_html_stream_in_order().collect::<String>().await;
        Box::pin(once(ready(view)).chain(scripts())) as PinnedStream<String>
    })
}

#[cfg(test)]
mod tests {
    use leptos_axum::generate_route_list;

    use super::*;
    use crate::{
        protocol::{
            Cursor, Epoch, ThreadEntry, ThreadId, ThreadInfo, UserId,
            http::{Role, User},
        },
        socket::context::{Seed, StateAt},
        thread::{ThreadView, UserFeed},
        ui::app::{App, shell},
    };

    /// The page of a thread whose owner has `others` more threads.
    fn source(title: &str, others: usize) -> Source {
        let info = |title: String| ThreadInfo::new(ThreadId::new(), title, "analyst", 1);
        let shown = info(title.to_owned());
        let (mut feed, mut view) = (UserFeed::default(), ThreadView::default());
        view.apply(1, ThreadEntry::Thread { thread: shown.clone() });
        for thread in (0..others).map(|n| info(format!("Other {n}"))).chain([shown.clone()]) {
            feed.apply(1, crate::protocol::UserEntry::Thread { thread });
        }
        let cursor = Cursor { epoch: Epoch("test".into()), seq: 1 };
        let user = User { id: UserId::new(), name: "Ada".into(), email: "ada@example.org".into(), role: Role::Member };
        let seed = Seed {
            user: Some(user),
            feed: Some(StateAt { cursor: cursor.clone(), state: feed }),
            thread: Some((shown.id, StateAt { cursor, state: view })),
        };
        let boot = Boot { seed, ..Boot::default() };
        Source { address: format!("/threads/{}", shown.id), boot, nonce: Nonce::new() }
    }

    async fn render(source: Source) -> String {
        let options = LeptosOptions::builder().output_name("netra").build();
        render_document(source, move || shell(options)).await.html
    }

    #[tokio::test]
    async fn pages_rendered_concurrently_on_one_thread_are_complete_and_do_not_mix() {
        // Initialises Leptos' task executor.
        let _ = generate_route_list(App);
        let titles: Vec<String> = (0..16).map(|n| format!("Thread of person {n}")).collect();
        // With different numbers of threads, the same arena index holds different values on different pages.
        let pages = titles.iter().enumerate().map(|(n, title)| render(source(title, n / 2)));
        let pages = futures_util::future::join_all(pages).await;
        for (page, title) in pages.iter().zip(&titles) {
            assert!(page.contains(&format!("<title>{title} · Netra</title>")), "the title in the head of:\n{page}");
            assert!(page.trim_end().ends_with("</html>") || page.trim_end().ends_with("</script>"), "{page}");
            let other = titles.iter().filter(|other| *other != title && page.contains(&format!("{other}<"))).count();
            assert_eq!(other, 0, "the page of {title} shows no other person's thread");
        }
    }
}
