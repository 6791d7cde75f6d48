//! The answer when a page cannot be rendered: HTML for browsers, problem+json for programs.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use pulldown_cmark_escape::escape_html;

use crate::protocol::http::Problem;

/// Answers with a problem as HTML if the request accepts that, or else as problem+json.
pub(super) fn problem_response(headers: &HeaderMap, problem: Problem) -> Response {
    if !accepts_html(headers) {
        return problem.into_response();
    }
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Html(html(&problem))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    if let Some(ms) = problem.retry_after_ms {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
    }
    response
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.flat_map(|value| value.split(',')).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
    })
}

/// A page without styles and scripts, which may be what failed.
fn html(problem: &Problem) -> String {
    let escaped = |text: &str| {
        let mut html = String::new();
        // Writing to a string does not fail.
        let _ = escape_html(&mut html, text);
        html
    };
    let (title, detail) = (escaped(&problem.title), escaped(&problem.detail));
    // If there is a retry time, the browser reloads by itself.
    let seconds = problem.retry_after_ms.map(|ms| ms.div_ceil(1_000));
    let refresh =
        seconds.map(|seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">")).unwrap_or_default();
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">{refresh}<title>{title} · Netra</title></head>\
         <body><main><h1>This page cannot be shown</h1><p>{status} {title}: {detail}</p>\
         <p><a href=\"\">Try again</a> or go to <a href=\"/\">your threads</a>.</p></main></body></html>\n",
        status = problem.status
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        let detail = "the <server> failed".to_owned();
        let (title, code) = ("Service Unavailable".to_owned(), "unavailable".to_owned());
        Problem { status: 503, title, code, detail, retry_after_ms: Some(1_500) }
    }

    #[test]
    fn browsers_get_html_and_programs_get_problem_json() {
        let kind = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            let response = problem_response(&headers, problem());
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "2");
            response.headers()[header::CONTENT_TYPE].to_str().expect("text").to_owned()
        };
        assert_eq!(kind("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), "text/html; charset=utf-8");
        assert_eq!(kind("application/json, text/HTML;q=0.1"), "text/html; charset=utf-8");
        assert_eq!(kind("*/*"), "application/problem+json");
        assert_eq!(kind("application/json"), "application/problem+json");
    }

    #[test]
    fn the_problem_is_escaped() {
        assert!(html(&problem()).contains("503 Service Unavailable: the &lt;server&gt; failed"));
        assert!(html(&problem()).contains("http-equiv=\"refresh\" content=\"2\""));
    }
}
