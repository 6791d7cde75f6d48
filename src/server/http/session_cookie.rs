//! Passes the session's cookie, and no other, on to the session layer.
//!
//! With HTTPS its name begins with `__Host-`: browsers accept such a cookie only from this host, over HTTPS and for all paths, so no
//! other host of the domain can set it. Cookie parsers differ in which of two equal names they take, and some decode names; so the
//! name is compared here, byte for byte.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::server::problem::problem;

/// Removes all cookies but the session's from a request. Two of that name are refused with 400: one was set by somebody else.
pub(crate) async fn only_session_cookie(
    State(name): State<&'static str>,
    mut request: Request,
    next: Next,
) -> Response {
    match session_cookie(request.headers(), name) {
        Ok(cookie) => {
            request.headers_mut().remove(header::COOKIE);
            if let Some(cookie) = cookie {
                request.headers_mut().insert(header::COOKIE, cookie);
            }
            next.run(request).await
        }
        Err(Duplicate) => {
            tracing::info!(path = request.uri().path(), "a call with two session cookies was refused");
            let detail = format!(
                "the request has two cookies named `{name}`, and one of them is not this server's; delete this site's cookies and sign in again"
            );
            problem(StatusCode::BAD_REQUEST, "bad_request", detail).into_response()
        }
    }
}

/// There are two cookies of that name.
#[derive(Debug, PartialEq, Eq)]
struct Duplicate;

/// The `name=value` pair of this name among a request's cookies.
fn session_cookie(headers: &HeaderMap, name: &str) -> Result<Option<HeaderValue>, Duplicate> {
    let mut found = None;
    for header in headers.get_all(header::COOKIE) {
        for pair in header.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            let named = pair.split(|byte| *byte == b'=').next().is_some_and(|known| known == name.as_bytes());
            if named && found.replace(pair).is_some() {
                return Err(Duplicate);
            }
        }
    }
    Ok(found.and_then(|pair| HeaderValue::from_bytes(pair).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "__Host-netra_session";

    fn found(headers: &[&str]) -> Result<Option<String>, Duplicate> {
        let headers = headers.iter().map(|value| (header::COOKIE, value.parse().expect("a value"))).collect();
        let cookie = session_cookie(&headers, NAME)?;
        Ok(cookie.map(|cookie| cookie.to_str().expect("text").to_owned()))
    }

    #[test]
    fn only_the_cookie_of_the_exact_name_is_the_sessions() {
        let mine = "__Host-netra_session=abc";
        assert_eq!(found(&["theme=dark; __Host-netra_session=abc; x"]), Ok(Some(mine.into())));
        assert_eq!(found(&["a=b", mine]), Ok(Some(mine.into())));
        for other in ["netra_session=abc", "__Host-netra_sessio%6e=abc", "__host-netra_session=abc", "", "=;;"] {
            assert_eq!(found(&[other]), Ok(None), "{other}");
        }
    }

    #[test]
    fn two_cookies_of_that_name_are_refused() {
        for headers in [
            &["__Host-netra_session=a; __Host-netra_session=b"][..],
            &["__Host-netra_session=a; x=y", "__Host-netra_session=a"],
            &["__Host-netra_session;__Host-netra_session=a"],
        ] {
            assert_eq!(found(headers), Err(Duplicate));
        }
    }
}
