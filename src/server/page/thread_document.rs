//! Threads as documents: for whoever has a link to one, and for its owner and members to print.

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};

use super::{anonymous_client, busy, document::render_static, failure::problem_response};
use crate::{
    protocol::{ThreadId, http::Problem},
    server::{
        access::Access, admission::Client, error::Error, http::Caller, metrics, offload, problem::problem,
        state::AppState, threads,
    },
    ui::document::{ThreadDocument, thread_document},
};

/// A document loads the page's style and theme, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// `GET /shared/<token>`: a thread, for whoever has a link that works.
pub(super) async fn shared(
    State(state): State<AppState>,
    token: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    let client = anonymous_client(&state, &mut parts).await;
    let answer = async {
        let _admitted = state.pages.admit(client).await.map_err(busy)?;
        let share = token.ok().and_then(|Path(token)| state.auth.read_share_token(&token));
        let thread = match share {
            Some(share) => threads::shared_thread(&state.channels, share).await?,
            None => None,
        };
        let thread = thread.ok_or_else(|| {
            let detail = "this link does not work: it has expired, or its owner withdrew it";
            problem(StatusCode::NOT_FOUND, "not_found", detail)
        })?;
        render(&state, thread, "A shared thread, as it is now. You can read it, but not reply.").await
    };
    answer.await.unwrap_or_else(|problem: Problem| problem_response(&parts.headers, problem))
}

/// `GET /threads/<thread_id>/print`: a thread, for its owner and members to print.
pub(super) async fn print(
    State(state): State<AppState>,
    Caller(identity): Caller,
    thread: Result<Path<ThreadId>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(thread) = thread.map_err(|_| Error::not_found("thread"))?;
    threads::authorise(&state.channels, identity.user.id, thread, Access::Read).await?;
    let _admitted = state.pages.admit(Client::Person(identity.user.id)).await.map_err(busy)?;
    render(&state, thread, "The messages and answers of the newest version of this thread.").await
}

/// Renders a document with `offload`, so that it does not delay sockets.
async fn render(state: &AppState, thread: ThreadId, note: &str) -> Result<Response, Problem> {
    let (_, view) = state.channels.thread_for_people(thread).await?;
    let document = ThreadDocument { thread: view, agents: state.agent_names(), note: note.to_owned() };
    let options = state.site.options.clone();
    let rendered = offload::run(move || render_static(|| thread_document(options, document))).await;
    let html = rendered.map_err(|panicked| {
        metrics::page(metrics::Page::Failed);
        tracing::error!(%thread, error = %panicked, "rendering a thread as a document failed");
        let detail = "the server failed to render this thread; its log has the cause";
        problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    })?;
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex")),
    ];
    Ok((headers, Html(html)).into_response())
}
