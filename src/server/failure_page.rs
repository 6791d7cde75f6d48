//! The page for whoever asked for one that could not be made: what is wrong and what to do, in place of an empty answer.
//!
//! It needs nothing that may have failed: no store, no scripts, no styles.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::protocol::{ErrorBody, http::Problem};

/// A page with the status and the sentence of an error; browsers ask again by themselves where the error says when.
pub(super) fn failure_page(error: ErrorBody) -> Response {
    let problem = Problem::from(error);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let seconds = problem.retry_after_ms.map(|ms| ms.div_ceil(1_000));
    let again = seconds.map_or_else(
        || "Try again; if it stays so, tell whoever runs this server.".to_owned(),
        |seconds| format!("This page tries again every {seconds} s."),
    );
    let refresh = seconds.map(|seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">"));
    let title =
        if status == StatusCode::SERVICE_UNAVAILABLE { "Not available at the moment" } else { "Something failed" };
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">{}<title>{title}</title></head>\
         <body><main><h1>{title}</h1><p>{}.</p><p>{again}</p></main></body></html>\n",
        refresh.unwrap_or_default(),
        escaped(problem.detail.trim_end_matches('.')),
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    ];
    let mut response = (status, headers, page).into_response();
    if let Some(seconds) = seconds {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Text as HTML has it; the first letter is made a capital.
fn escaped(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars).fold(String::new(), |mut html, c| {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
        html
    })
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;
    use crate::protocol::ErrorCode;

    #[tokio::test]
    async fn it_says_what_is_wrong_and_when_it_tries_again() {
        let error = ErrorBody::new(ErrorCode::Unavailable, "the disk <is> full; try later").retry_after(5_000);
        let response = failure_page(error);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        let body = to_bytes(response.into_body(), 10_000).await.expect("a body");
        let text = String::from_utf8(body.to_vec()).expect("text");
        assert!(text.contains("<p>The disk &lt;is&gt; full; try later.</p>"), "{text}");
        assert!(text.contains("content=\"5\""), "{text}");
    }
}
