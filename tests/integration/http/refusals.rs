//! Every route of the API with every kind of invalid request.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{ADMIN, Client, TestServer, problem};

/// The API's routes, read from the source, so that new ones are tested.
fn routes() -> Vec<String> {
    let source = include_str!("../../../src/server/http/mod.rs");
    let source = source.split("#[cfg(test)]").next().unwrap_or(source);
    let routes: Vec<String> =
        source.split(".route(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect();
    assert!(routes.len() > 15 && routes.iter().any(|route| route == "/auth/sign-in"), "{routes:?}");
    routes
}

/// Paths of a route: with parameters that do not exist, that are not UTF-8, and with an unknown query.
fn addresses(route: &str) -> BTreeSet<String> {
    let filled = |value: &str| {
        let part = |part: &str| if part.starts_with('{') { value.to_owned() } else { part.to_owned() };
        format!("/api{}", route.split('/').map(part).collect::<Vec<_>>().join("/"))
    };
    let mut all: BTreeSet<String> =
        ["nothing", "%FF", "%00", "01890a5d-ac96-774b-bcce-b302099a8057"].map(filled).into();
    all.insert(format!("{}?days=many&unknown=1", filled("nothing")));
    all
}

/// A request with an invalid body of this kind; `None` where there is no such kind.
fn with_invalid_body(request: RequestBuilder, kind: usize) -> Option<RequestBuilder> {
    let typed =
        |kind: &str, body: &'static str| request.try_clone().map(|known| known.header("content-type", kind).body(body));
    match kind {
        0 => Some(request),
        1 => typed("text/plain", "{}"),
        2 => typed("application/json", "{"),
        3 => typed("application/json", "[1]"),
        4 => typed("application/json", r#"{"text":"a","text":"b"}"#),
        5 => typed("multipart/form-data", "no boundary"),
        6 => typed("multipart/form-data; boundary=x", "--x\r\nnonsense"),
        7 => typed("application/json", "\u{feff}{}"),
        _ => None,
    }
}

#[tokio::test]
async fn every_error_of_every_route_is_a_problem_that_is_not_cached() {
    // Far more calls than one person makes.
    let server = super::Setup::default().with("SOCKET__COMMANDS_PER_MINUTE", "1000000").start().await;
    let mut token = server.token(ADMIN).await;
    let client = Client::new(&server);
    let mut errors = 0;
    for address in routes().iter().flat_map(|route| addresses(route)) {
        // Some calls sign the caller out.
        let me =
            client.request(Method::GET, "/api/auth/me").bearer_auth(&token).send().await.expect("the server answers");
        if me.status() == StatusCode::UNAUTHORIZED {
            token = server.token(ADMIN).await;
        }
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            for kind in 0.. {
                let request = client.request(method.clone(), &address).bearer_auth(&token);
                let Some(request) = with_invalid_body(request, kind) else { break };
                let what = format!("{method} {address} with body {kind}");
                let response = request.send().await.unwrap_or_else(|error| panic!("{what}: {error}"));
                let (status, headers) = (response.status(), response.headers().clone());
                assert!(headers.contains_key(header::CACHE_CONTROL), "{what}: {headers:?}");
                if !status.is_client_error() && !status.is_server_error() {
                    continue;
                }
                errors += 1;
                assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{what}");
                let text = response.text().await.expect("a body");
                assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json", "{what}: {status} {text}");
                let body: Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!(body["status"], status.as_u16(), "{what}: {text}");
                for key in ["title", "code", "detail"] {
                    assert!(body[key].as_str().is_some_and(|word| !word.is_empty()), "{what}: {text}");
                }
                assert_eq!(headers.contains_key(header::ALLOW), status == StatusCode::METHOD_NOT_ALLOWED, "{what}");
            }
        }
    }
    assert!(errors > 1_000, "{errors}");
}

#[tokio::test]
async fn an_unsupported_method_is_a_problem_outside_the_api_too() {
    let server = TestServer::start().await;
    let client = Client::new(&server);
    for path in ["/", "/threads/x", "/sign-in", "/healthz", "/readyz", "/no/such/page", "/pkg/none.js", "/favicon.svg"]
    {
        problem(client.post(path, &json!({})).await, 405, "method_not_allowed").await;
    }
    problem(client.get("/ws").await, 400, "not_websocket").await;
}

#[tokio::test]
async fn a_body_with_a_key_twice_is_refused_also_where_any_key_is_allowed() {
    let server = TestServer::start().await;
    let admin = server.signed_in(ADMIN).await;
    let send = |method: Method, path: &str, body: &str| {
        let request = admin.request(method, path).header(header::CONTENT_TYPE, "application/json");
        request.body(body.to_owned()).send()
    };
    let agent = r#"{"id":"a","name":"A","kind":"ag-ui","url":"https://a.example/","url":"http://127.0.0.1/"}"#;
    let asked =
        r#"{"threadId":"t","runId":"r","messages":[],"tools":[],"context":[],"forwardedProps":{"a":{"b":1,"b":2}}}"#;
    let sign_in = format!(r#"{{"email":"{0}","email":"{0}","password":"x"}}"#, ADMIN.email);
    for (method, path, body) in [
        (Method::PUT, "/api/admin/agents/a", agent),
        (Method::POST, "/api/agents/analyst/agui", asked),
        (Method::POST, "/api/auth/token", &sign_in),
        (Method::POST, "/api/auth/sign-in", &sign_in),
    ] {
        let response = send(method, path, body).await.expect("the server answers");
        let refused = problem(response, 400, "bad_request").await;
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("duplicate key")), "{path}: {refused}");
    }
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let server = TestServer::start().await;
    let client = Client::new(&server);
    for path in ["/sign-in", "/", "/api/config", "/api/auth/me", "/healthz", "/no/such/page", "/ws", "/api/nothing"] {
        let response = client.get(path).await;
        let headers = response.headers();
        let named = ["x-content-type-options", "x-frame-options", "referrer-policy", "permissions-policy"];
        assert!(named.iter().all(|name| headers.contains_key(*name)), "{path}: {headers:?}");
        assert_eq!(headers["cross-origin-opener-policy"], "same-origin", "{path}");
        assert!(!headers.contains_key("strict-transport-security"), "{path}: over plain HTTP it means nothing");
        if path.starts_with("/api") {
            let kept = headers[header::CACHE_CONTROL].to_str().expect("text");
            assert!(kept.contains("no-store"), "{path}: {kept}");
        }
    }
}

#[tokio::test]
async fn https_responses_have_strict_transport_security_and_a_host_cookie() {
    let server = super::Setup::default().with("SERVER__PUBLIC_URL", "https://netra.example.com").start().await;
    let client = Client::new(&server);
    for path in ["/sign-in", "/api/config", "/healthz", "/no/such/page"] {
        let response = client.get(path).await;
        assert_eq!(response.headers()["strict-transport-security"], "max-age=31536000", "{path}");
    }
    let response = client.sign_in(ADMIN).await;
    let set = response.headers()[header::SET_COOKIE].to_str().expect("text").to_owned();
    assert!(set.starts_with("__Host-netra_session=") && set.contains("; Path=/"), "{set}");
    assert!(set.contains("; Secure") && !set.to_lowercase().contains("domain"), "{set}");

    let mine = super::cookie(&response);
    let value = mine.split_once('=').expect("a value").1.to_owned();
    let with = |cookies: String| {
        Client::new(&server).request(Method::GET, "/api/auth/me").header(header::COOKIE, cookies).send()
    };
    assert_eq!(with(format!("theme=dark; {mine}")).await.expect("the server answers").status(), StatusCode::OK);
    for other in ["netra_session", "__Host-netra_sessio%6e", "__host-netra_session"] {
        problem(with(format!("{other}={value}")).await.expect("the server answers"), 401, "unauthorized").await;
    }
    for two in [format!("{mine}; __Host-netra_session=x"), format!("__Host-netra_session=x; {mine}")] {
        problem(with(two).await.expect("the server answers"), 400, "bad_request").await;
    }
}
