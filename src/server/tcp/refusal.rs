//! Problem documents for requests on excess connections and, as raw bytes, for requests that hyper cannot parse or that
//! time out.

use axum::http::StatusCode;

use super::counter::ExceededLimit;
use crate::{protocol::http::Problem, server::problem::problem};

/// After how long a client of an excess connection may try again, in milliseconds.
const RETRY_AFTER_MS: u64 = 5_000;

/// The answer to a request that was not received in time.
pub(super) fn timed_out() -> Vec<u8> {
    let detail = "the request did not arrive completely in time; send it again";
    to_bytes(&problem(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail))
}

/// The answer to a request on an excess connection.
pub(super) fn too_many_connections(exceeded: ExceededLimit) -> Problem {
    let refused = match exceeded {
        ExceededLimit::Total => {
            let detail = "the server has as many connections as it allows; try again in a moment";
            problem(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", detail)
        }
        ExceededLimit::PerAddress => {
            let detail = "too many connections from this address; close some, or try again in a moment";
            problem(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", detail)
        }
    };
    Problem { retry_after_ms: Some(RETRY_AFTER_MS), ..refused }
}

/// To a request that it cannot parse, hyper itself responds, without a body. Returns that response with a problem document as its body;
/// `None` if `answer` is anything else.
pub(super) fn with_problem(answer: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(answer).ok()?;
    let (status, header) =
        text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 "))?.split_at_checked(3)?;
    if !header.contains("content-length: 0\r\n") || !header.ends_with("\r\n\r\n") {
        return None;
    }
    let status = StatusCode::from_bytes(status.as_bytes()).ok().filter(StatusCode::is_client_error)?;
    let (code, detail) = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("header_too_large", "the header is too large or has too many fields; send fewer or shorter ones")
        }
        StatusCode::URI_TOO_LONG => ("uri_too_long", "the address is too long"),
        _ => ("bad_request", "the request is not valid HTTP/1.1"),
    };
    Some(to_bytes(&problem(status, code, detail)))
}

fn to_bytes(problem: &Problem) -> Vec<u8> {
    let body = serde_json::to_string(problem).unwrap_or_default();
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        problem.status,
        problem.title,
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_without_a_body_gets_a_problem() {
        let own = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let answer = String::from_utf8(with_problem(own).expect("a problem")).expect("text");
        assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains("\"header_too_large\""), "{answer}");
        let others: [&[u8]; 3] = [
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot there",
            b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            b"\xff\xfe",
        ];
        assert!(others.iter().all(|other| with_problem(other).is_none()));
    }
}
