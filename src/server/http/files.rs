//! Files of threads, and files that were not sent yet: uploads are streamed to the disk under a temporary name, and renamed once they are complete.

use std::path::{Path, PathBuf};

use axum::{
    Json as JsonResponse,
    body::Body,
    extract::{
        Path as UrlPath, Query, State,
        multipart::{Field, MultipartRejection},
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tokio::{
    fs,
    io::{AsyncWriteExt, BufWriter},
};
use tokio_util::io::ReaderStream;

use super::{
    Caller,
    form::{Form, malformed},
};
use crate::{
    protocol::{
        ErrorCode, FileId, ThreadId, UserId,
        file_types::shown_type,
        http::{Problem, Uploaded},
    },
    server::{
        access::Access,
        config::Config,
        error::{Error, Result},
        graphemes::cut,
        problem::problem,
        quotas::{self, Reservation, Upload, unsent},
        state::AppState,
        store::Store,
        threads,
    },
    text::normalize_input,
};

/// The form's field that holds the file.
const FIELD: &str = "file";
/// The most that a form has beside its file, in bytes. A request that exceeds the quota by more than this is refused before it is
/// read.
const MAX_FORM_BYTES: u64 = 64 * 1024;
/// The longest name, in characters; a longer one is cut.
const MAX_NAME_CHARS: usize = 200;
/// The longest extension, with its dot, that is kept when a name is cut, in characters.
const MAX_EXTENSION_CHARS: usize = 17;

/// The path of a file, below the folder `files`.
#[must_use]
pub fn path(files: &Path, thread: ThreadId, file: FileId) -> PathBuf {
    files.join(thread.to_string()).join(file.to_string())
}

/// How much of a body is read, in bytes: more than a file may have, so that a client which sends too much still gets the answer.
pub(super) fn max_body_bytes(config: &Config) -> u64 {
    config.analyst.max_file_bytes.saturating_mul(2).saturating_add(1 << 20)
}

/// `POST /api/threads/<thread_id>/files`.
pub(super) async fn upload(
    State(state): State<AppState>,
    Caller(identity): Caller,
    thread: std::result::Result<UrlPath<ThreadId>, PathRejection>,
    headers: HeaderMap,
    form: std::result::Result<Form, MultipartRejection>,
) -> std::result::Result<(StatusCode, JsonResponse<Uploaded>), Problem> {
    let UrlPath(thread) = thread.map_err(|_| Error::not_found("thread"))?;
    threads::authorise(&state.channels, identity.user.id, thread, Access::Write).await?;
    let upload = Upload { file: FileId::new(), thread: Some(thread), owner: identity.user.id };
    read_form(&state, upload, &headers, form).await
}

/// `POST /api/files`: uploads a file before its message is sent. A message makes it a file of its thread; one that is not sent can be
/// removed, and is deleted after a day.
pub(super) async fn upload_unsent(
    State(state): State<AppState>,
    Caller(identity): Caller,
    headers: HeaderMap,
    form: std::result::Result<Form, MultipartRejection>,
) -> std::result::Result<(StatusCode, JsonResponse<Uploaded>), Problem> {
    read_form(&state, Upload { file: FileId::new(), thread: None, owner: identity.user.id }, &headers, form).await
}

/// `DELETE /api/files/<file_id>`: removes a file that was not sent.
pub(super) async fn remove_unsent(
    State(state): State<AppState>,
    Caller(identity): Caller,
    file: std::result::Result<UrlPath<FileId>, PathRejection>,
) -> std::result::Result<StatusCode, Problem> {
    let UrlPath(file) = file.map_err(|_| Error::not_found("file"))?;
    match unsent::remove(state.channels.store(), &state.config.files_dir(), identity.user.id, file).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Error::not_found("file that was not sent").into()),
    }
}

/// Stores the file of an upload's form.
async fn read_form(
    state: &AppState,
    upload: Upload,
    headers: &HeaderMap,
    form: std::result::Result<Form, MultipartRejection>,
) -> std::result::Result<(StatusCode, JsonResponse<Uploaded>), Problem> {
    let mut form = form.map_err(|rejection| {
        let detail = format!("expected a multipart form with a field `{FIELD}`: {}", rejection.body_text());
        problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    })?;
    while let Some(field) = form.next_field().await? {
        if field.name() == Some(FIELD) {
            let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            let uploaded = receive(state, upload, length, field).await?;
            let thread = upload.thread.map(tracing::field::display);
            tracing::info!(user = %upload.owner, thread, file = %uploaded.file_id, bytes = uploaded.bytes, "file uploaded");
            return Ok((StatusCode::CREATED, JsonResponse(uploaded)));
        }
    }
    Err(problem(StatusCode::BAD_REQUEST, "bad_request", format!("the form has no field `{FIELD}`")))
}

/// The query of a request for a file.
#[derive(Debug, Deserialize)]
pub(super) struct FileQuery {
    /// Whether a browser is to show the file, if it can.
    #[serde(default)]
    show: bool,
}

/// What a shown file may do: nothing but be seen. The type that is sent cannot run scripts in any case; this holds if a browser errs.
pub(super) const SHOWN_FILE_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; sandbox");
/// The same for PDF: browsers show no PDF in a sandbox; their viewers have one of their own.
const SHOWN_PDF_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; object-src 'self'; style-src 'unsafe-inline'");

/// `GET /api/threads/<thread_id>/files/<file_id>`: the file as it was uploaded. A download, as a file that is shown could run scripts in
/// our origin; with `?show=true`, files of types that cannot are shown.
pub(super) async fn download(
    State(state): State<AppState>,
    Caller(identity): Caller,
    path: std::result::Result<UrlPath<(ThreadId, FileId)>, PathRejection>,
    query: std::result::Result<Query<FileQuery>, QueryRejection>,
) -> std::result::Result<Response, Problem> {
    let UrlPath((thread, file)) = path.map_err(|_| Error::not_found("file"))?;
    let Query(FileQuery { show }) = query
        .map_err(|rejection| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", rejection.body_text()))?;
    threads::authorise(&state.channels, identity.user.id, thread, Access::Read).await?;
    let uploaded = find(state.channels.store(), thread, file).await?.ok_or_else(|| Error::not_found("file"))?;
    let whole = self::path(&state.config.files_dir(), thread, file);
    let bytes = fs::File::open(whole).await.map_err(Error::from)?;
    let shown_type = shown_type(&uploaded.name).filter(|_| show);
    let headers = [
        (header::CONTENT_TYPE, shown_type.unwrap_or("application/octet-stream").to_owned()),
        (header::CONTENT_LENGTH, uploaded.bytes.to_string()),
        (header::CONTENT_DISPOSITION, disposition(&uploaded.name, shown_type.is_some())),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    let mut response = (headers, Body::from_stream(ReaderStream::new(bytes))).into_response();
    if let Some(shown_type) = shown_type {
        let policy = if shown_type == "application/pdf" { SHOWN_PDF_POLICY } else { SHOWN_FILE_POLICY };
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// Stores a file whose bytes came with a message. One that exists under this id stays as it is.
///
/// # Errors
/// `quota_exceeded`; `not_found` if the thread was deleted; the store or the disk fails.
pub(super) async fn store(
    state: &AppState,
    (owner, thread): (UserId, ThreadId),
    file_id: FileId,
    name: &str,
    bytes: &[u8],
) -> Result<()> {
    if find(state.channels.store(), thread, file_id).await?.is_some() {
        return Ok(());
    }
    let whole = path(&state.config.files_dir(), thread, file_id);
    let (length, upload) = (bytes.len() as u64, Upload { file: file_id, thread: Some(thread), owner });
    let reserved = state.channels.quotas().reserve(state.channels.store(), upload, length, length).await?;
    // A name of its own: the same message may be sent twice at the same time.
    let part = PartialFile::create(whole.with_extension(format!("{}.part", FileId::new()))).await?;
    let mut file = fs::File::create(&part.0).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    commit(reserved, (name, length), &part, &whole).await
}

/// Stores an uploaded file. `length` is the request's `Content-Length`, if it has one.
async fn receive(
    state: &AppState,
    upload: Upload,
    length: Option<u64>,
    field: Field<'_>,
) -> std::result::Result<Uploaded, Problem> {
    let (file_id, limit) = (upload.file, state.config.analyst.max_file_bytes);
    // The length includes the form around the file. More than the limit is not reserved: such a file is refused as too large.
    let likely = length.unwrap_or_default().min(limit);
    let least = likely.saturating_sub(MAX_FORM_BYTES);
    let mut reserved = state.channels.quotas().reserve(state.channels.store(), upload, least, likely).await?;
    let files = state.config.files_dir();
    let whole = match upload.thread {
        Some(thread) => path(&files, thread, file_id),
        None => unsent::path(&files, upload.owner, file_id),
    };
    let part = PartialFile::create(whole.with_extension("part")).await.map_err(Error::from)?;
    let name = file_name(field.file_name());
    let bytes = part.write(field, limit, &mut reserved).await?;
    commit(reserved, (&name, bytes), &part, &whole).await?;
    Ok(Uploaded { file_id, name, bytes })
}

/// Renames a complete file and records it in the store.
async fn commit(reserved: Reservation, (name, bytes): (&str, u64), part: &PartialFile, whole: &Path) -> Result<()> {
    // The folder is gone if the thread was deleted meanwhile.
    let not_found = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found("thread"),
        _ => error.into(),
    };
    fs::rename(&part.0, whole).await.map_err(not_found)?;
    let recorded = reserved.record(name, bytes).await;
    if recorded.is_err() {
        let _ = fs::remove_file(whole).await;
    }
    recorded
}

/// The record of a file of a thread.
async fn find(store: &Store, thread: ThreadId, file_id: FileId) -> Result<Option<Uploaded>> {
    let file = quotas::file(store.reader(), thread, file_id).await?;
    Ok(file.map(|(name, bytes)| Uploaded { file_id, name, bytes }))
}

/// A file that is being written; dropping it deletes it.
struct PartialFile(PathBuf);

impl PartialFile {
    async fn create(path: PathBuf) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).await?;
        }
        Ok(Self(path))
    }

    /// Writes the field's bytes, reserving each before it is written; returns how many there are.
    ///
    /// # Errors
    /// `too_large` beyond `limit`, `quota_exceeded`; the form is malformed, or the disk fails.
    async fn write(
        &self,
        mut field: Field<'_>,
        limit: u64,
        reserved: &mut Reservation,
    ) -> std::result::Result<u64, Problem> {
        let mut file = BufWriter::new(fs::File::create(&self.0).await.map_err(Error::from)?);
        let mut bytes = 0;
        while let Some(chunk) = field.chunk().await.map_err(|error| malformed(&error))? {
            bytes += chunk.len() as u64;
            if bytes <= limit {
                reserved.hold(bytes).await?;
                file.write_all(&chunk).await.map_err(Error::from)?;
            }
        }
        if bytes > limit {
            return Err(Error::refused(ErrorCode::TooLarge, format!("a file has at most {limit} bytes")).into());
        }
        file.flush().await.map_err(Error::from)?;
        file.get_ref().sync_all().await.map_err(Error::from)?;
        Ok(bytes)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // A complete file was renamed, so there is nothing to delete.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The name of a file: the last part of the path that the client gave, without control characters.
pub(super) fn file_name(given: Option<&str>) -> String {
    // Browsers encode these three characters (multipart/form-data in the HTML standard).
    let given = given.unwrap_or_default().replace("%22", "\"").replace("%0D", " ").replace("%0A", " ");
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control()).collect();
    let name = shortened(name.trim());
    if name.is_empty() { "file".to_owned() } else { name }
}

/// Cuts a name to [`MAX_NAME_CHARS`], but keeps its extension.
fn shortened(name: &str) -> String {
    if name.chars().nth(MAX_NAME_CHARS).is_none() {
        return name.to_owned();
    }
    let extension = name.rfind('.').map(|at| &name[at..]).unwrap_or_default();
    let extension = if extension.chars().count() <= MAX_EXTENSION_CHARS { extension } else { "" };
    let stem = &name[..name.len() - extension.len()];
    format!("{}{extension}", cut(stem, MAX_NAME_CHARS - extension.chars().count()).trim_end())
}

/// `Content-Disposition` (RFC 6266), with the name in UTF-8 as `filename*` and in ASCII as `filename`. Invisible characters are removed:
/// one that changes the direction of writing could disguise the extension.
pub(super) fn disposition(name: &str, is_shown: bool) -> String {
    let name = normalize_input(name).replace(['\n', '\t'], " ");
    let plain = |c: char| if c.is_ascii() && !matches!(c, '"' | '\\' | '%') { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let kind = if is_shown { "inline" } else { "attachment" };
    format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{}", escaped(&name))
}

/// Percent-encodes a name (RFC 8187).
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_keeps_no_path_and_no_control_characters() {
        assert_eq!(file_name(Some("../../etc/passwd")), "passwd");
        assert_eq!(file_name(Some("C:\\logs\\a\u{7}.csv")), "a.csv");
        assert_eq!(file_name(Some("/")), "file");
        assert_eq!(file_name(None), "file");
        assert_eq!(file_name(Some(&"x".repeat(500))).len(), MAX_NAME_CHARS);
        assert_eq!(file_name(Some("a%22b%22.csv")), "a\"b\".csv");
        let long = file_name(Some(&format!("{}.jsonl", "\u{1f469}\u{200d}\u{1f680}".repeat(100))));
        assert!(long.ends_with("\u{1f680}.jsonl") && long.chars().count() <= MAX_NAME_CHARS, "{long}");
        assert_eq!(file_name(Some(&format!("a.{}", "b".repeat(500)))).chars().count(), MAX_NAME_CHARS);
        let expected = "attachment; filename=\"_bung _1_.csv\"; filename*=UTF-8''%C3%9Cbung%20%221%22.csv";
        assert_eq!(disposition("Übung \"1\".csv", false), expected);
        assert_eq!(
            disposition("a\u{202e}b\\%.csv", true),
            "inline; filename=\"ab__.csv\"; filename*=UTF-8''ab%5C%25.csv"
        );
        assert_eq!(escaped("Übung \"1\".csv"), "%C3%9Cbung%20%221%22.csv");
    }
}
