//! Exports a thread: its log as JSON Lines, or its newest branch as Markdown.

use axum::{
    body::{Body, Bytes},
    extract::{Path as UrlPath, Query, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Caller, files::disposition};
use crate::{
    protocol::{ThreadId, ThreadInfo, http::Problem},
    server::{
        access::Access,
        channel::{Channel, Channels, Delivery, PAGE},
        error::{Error, Result},
        offload,
        problem::problem,
        state::AppState,
        threads,
    },
};

/// What the first line of a JSON Lines export names as its format.
const FORMAT: &str = "netra.thread.v1";

/// The query of `GET /api/threads/<thread_id>/export`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    format: ExportFormat,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExportFormat {
    /// The log: a line about the thread, then one for each entry, in order.
    Jsonl,
    /// The messages and answers of the newest branch.
    Markdown,
}

/// The first line of a JSON Lines export.
#[derive(Serialize)]
struct Head<'a> {
    format: &'static str,
    thread: &'a ThreadInfo,
    /// The `seq` of the last entry when the export began.
    seq: u64,
}

/// A line of a JSON Lines export.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    at: i64,
    entry: &'a RawValue,
}

/// `GET /api/threads/<thread_id>/export?format=jsonl|markdown`: a download.
pub(super) async fn export(
    State(state): State<AppState>,
    Caller(identity): Caller,
    thread: std::result::Result<UrlPath<ThreadId>, PathRejection>,
    query: std::result::Result<Query<ExportQuery>, axum::extract::rejection::QueryRejection>,
) -> std::result::Result<Response, Problem> {
    let UrlPath(thread) = thread.map_err(|_| Error::not_found("thread"))?;
    let Query(ExportQuery { format }) = query.map_err(|_| {
        let detail = "format: `jsonl` for the log, or `markdown` for the messages and answers";
        problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail)
    })?;
    threads::authorise(&state.channels, identity.user.id, thread, Access::Read).await?;
    let (cursor, view) = state.channels.thread_for_people(thread).await?;
    let info = view.info.clone().ok_or_else(|| Error::not_found("thread"))?;
    let (body, content_type, extension) = match format {
        ExportFormat::Markdown => {
            let agents = state.agents(&identity.user);
            let name = move |id: &str| {
                agents.iter().find(|agent| agent.id == id).map_or_else(|| id.to_owned(), |agent| agent.name.clone())
            };
            let text = offload::run(move || threads::to_markdown(&view, name)).await.map_err(Error::from)?;
            (Body::from(text), "text/markdown; charset=utf-8", "md")
        }
        ExportFormat::Jsonl => {
            let head = Head { format: FORMAT, thread: &info, seq: cursor.seq };
            let head = line(&head)?;
            (
                Body::from_stream(log_lines(state.channels.clone(), thread, head, cursor.seq)),
                "application/jsonl",
                "jsonl",
            )
        }
    };
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_DISPOSITION, disposition(&format!("{}.{extension}", info.title), false)),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    Ok((headers, body).into_response())
}

/// `head`, then a line for each entry up to `end`. One page of the log is in memory at a time. If the store fails, the body ends with
/// an error, so the download is not taken for complete.
fn log_lines(channels: Channels, thread: ThreadId, head: Bytes, end: u64) -> impl Stream<Item = Result<Bytes>> {
    let pages = stream::try_unfold(Some(0), move |after: Option<u64>| {
        let channels = channels.clone();
        async move {
            let Some(after) = after.filter(|after| *after < end) else { return Ok(None) };
            let page = channels.page(Channel::Thread(thread), after).await?;
            let next = page.last().map(|last| last.seq).filter(|_| page.len() >= PAGE as usize);
            let mut lines = Vec::new();
            for entry in page.iter().filter(|entry| entry.seq <= end) {
                lines.extend_from_slice(&entry_line(entry)?);
            }
            Ok(Some((Bytes::from(lines), next)))
        }
    });
    futures_util::StreamExt::chain(stream::once(std::future::ready(Ok(head))), pages)
}

fn entry_line(entry: &Delivery) -> Result<Bytes> {
    line(&Line { seq: entry.seq, at: entry.at, entry: serde_json::from_str(entry.entry())? })
}

fn line(value: &impl Serialize) -> Result<Bytes> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line.into())
}
