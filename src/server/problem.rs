//! Error responses: RFC 9457 `application/problem+json`.

use axum::{
    body::to_bytes,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    protocol::{ErrorBody, ErrorCode, http::Problem},
    server::error::Error,
};

/// The content type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";
/// The most bytes of a plain-text error that become the `detail` of a problem.
const MAX_DETAIL_BYTES: usize = 2_000;

/// The `detail` of a 405.
pub const METHOD_NOT_ALLOWED: &str = "this route does not support the method; `Allow` lists those that it does";

/// A problem with a status, a code and a sentence for people.
pub fn problem(status: StatusCode, code: &str, detail: impl Into<String>) -> Problem {
    Problem {
        status: status.as_u16(),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        code: code.to_owned(),
        detail: detail.into(),
        retry_after_ms: None,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        if let Some(ms) = self.retry_after_ms {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Turns an error response without a body or with plain text into a problem, as axum's own are (a path or query that cannot be parsed, a
/// method that is not allowed). Its headers are kept, such as `Allow`. HTML pages and problems stay as they are.
pub async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let headers = response.headers();
    let is_plain = headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !is_error || !is_plain || headers.contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, MAX_DETAIL_BYTES).await.unwrap_or_default();
    let detail = match String::from_utf8_lossy(&text).trim() {
        "" if status == StatusCode::METHOD_NOT_ALLOWED => METHOD_NOT_ALLOWED.into(),
        "" => format!("the server answered {status}"),
        text => text.to_owned(),
    };
    let (problem, body) = problem(status, &default_code(status), detail).into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(problem.headers);
    Response::from_parts(parts, body)
}

/// The code of an error that has none of its own.
fn default_code(status: StatusCode) -> String {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "too_large".into(),
        StatusCode::UNPROCESSABLE_ENTITY => "invalid_payload".into(),
        StatusCode::TOO_MANY_REQUESTS => "rate_limited".into(),
        StatusCode::SERVICE_UNAVAILABLE => "unavailable".into(),
        StatusCode::INTERNAL_SERVER_ERROR => "internal".into(),
        status => status.canonical_reason().unwrap_or("error").to_lowercase().replace([' ', '-'], "_"),
    }
}

impl From<ErrorBody> for Problem {
    fn from(body: ErrorBody) -> Self {
        let (status, code) = match body.code {
            ErrorCode::BadFrame => (StatusCode::BAD_REQUEST, "bad_request"),
            ErrorCode::UnknownType => (StatusCode::BAD_REQUEST, "unknown_type"),
            ErrorCode::InvalidPayload => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload"),
            ErrorCode::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            ErrorCode::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            ErrorCode::Conflict => (StatusCode::CONFLICT, "conflict"),
            ErrorCode::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            ErrorCode::QuotaExceeded => (StatusCode::INSUFFICIENT_STORAGE, "quota_exceeded"),
            ErrorCode::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            ErrorCode::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ErrorCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self { retry_after_ms: body.retry_after_ms, ..problem(status, code, body.message) }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        error.into_body().into()
    }
}
