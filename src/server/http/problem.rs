//! Errors as RFC 9457 `application/problem+json`.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    protocol::{ErrorBody, ErrorCode, http::Problem},
    server::{auth::Refusal, error::Error},
};

/// A problem with a status, a code and a sentence.
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
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(ms) = self.retry_after_ms {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
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

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthorized(_) => problem(StatusCode::UNAUTHORIZED, "unauthorized", refusal.to_string()),
            Refusal::Origin(_) => problem(StatusCode::FORBIDDEN, "forbidden", refusal.to_string()),
            Refusal::Failed(error) => error.into(),
        }
    }
}
