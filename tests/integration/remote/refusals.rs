//! Endpoints that do not answer with a stream.

use std::time::{Duration, Instant};

use netra::thread::RunState;
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    remote::{
        harness::{RemoteHarness, SECRET, config, remote},
        server::Endpoint,
    },
    support::free_port,
};

/// An endpoint that refuses each request in the same way.
async fn refusing(line: &'static str, headers: &'static [&'static str], body: &'static str) -> Endpoint {
    Endpoint::start(move |_, answer| answer.status(line, headers, body)).await
}

#[tokio::test]
async fn each_refusal_has_its_code_and_is_not_retried() {
    let cases: [(&str, &[&str], &str, &str, &str); 9] = [
        ("401 Unauthorized", &[], "", "remote_unauthorized", "401"),
        ("403 Forbidden", &[], "", "remote_unauthorized", "an administrator has to check its headers"),
        ("404 Not Found", &[], "", "remote_refused", "404 Not Found"),
        (
            "422 Unprocessable Content",
            &[],
            "{\"why\":\n\"Bearer s3cr3t-of-the-tests s3cr3t-of-the-tests\"}",
            "remote_refused",
            ": {\"why\": \"... ...\"}",
        ),
        ("500 Internal Server Error", &[], "a trace", "remote_failed", "500 Internal Server Error"),
        ("200 OK", &["Content-Type: text/html"], "<p>", "remote_not_sse", "`text/html` instead of `text/event-stream`"),
        ("200 OK", &[], "", "remote_not_sse", "`nothing` instead of"),
        (
            "307 Temporary Redirect",
            &["Location: http://169.254.169.254/latest?token=1"],
            "",
            "remote_redirected",
            "redirects to `169.254.169.254`, and redirects are not followed",
        ),
        ("429 Too Many Requests", &["Retry-After: 3600"], "", "remote_busy", "ask again in 3600 s"),
    ];
    for (line, headers, body, code, expected) in cases {
        let server = refusing(line, headers, body).await;
        let message = RemoteHarness::new(&server).await.failure(code).await;
        assert!(message.contains(expected), "`{message}` should say `{expected}`");
        assert_eq!(server.requests().len(), 1, "{line}");
    }
}

#[tokio::test]
async fn temporary_failures_are_retried_until_an_answer() {
    let server = Endpoint::start(|number, mut answer| async move {
        match number {
            0 => answer.status("503 Service Unavailable", &[], "").await,
            1 => answer.status("429 Too Many Requests", &["Retry-After: 1"], "").await,
            _ => {
                answer.begin().await?;
                answer.finish().await
            }
        }
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    let began = Instant::now();
    assert_eq!(harness.ask("hello").await.state, RunState::Finished);
    assert!(began.elapsed() >= Duration::from_secs(1), "it waits as long as requested");
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|each| each.input == requests[0].input), "the retry is the same request");
}

#[tokio::test]
async fn lasting_failures_are_retried_as_often_as_configured() {
    for (line, code) in [
        ("502 Bad Gateway", "remote_failed"),
        ("504 Gateway Timeout", "remote_failed"),
        ("429 Too Many Requests", "remote_busy"),
    ] {
        let server = refusing(line, &[], "").await;
        RemoteHarness::with(&server, json!({"retries": 1})).await.failure(code).await;
        assert_eq!(server.requests().len(), 2, "{line}");
    }
}

#[tokio::test]
async fn no_request_is_repeated_once_an_event_arrived() {
    let server = Endpoint::start(|_, mut answer| async move {
        answer.chunked().await?;
        answer.event(&answer.started()).await?;
        answer.cut()
    })
    .await;
    RemoteHarness::new(&server).await.failure("stream_cut").await;
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_endpoint_that_does_not_listen_fails_at_once() {
    let port = free_port();
    let config = config(&format!("http://127.0.0.1:{port}/secret-path"), &json!({}));
    let message = RemoteHarness::with_config(&config).await.failure("remote_unreachable").await;
    assert!(message.contains("cannot be reached") && !message.contains("secret-path"), "{message}");
}

#[tokio::test]
async fn a_connection_that_is_never_established_times_out() {
    // A listener that accepts nothing and whose backlog is full.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("the port is free");
    let listener = socket.listen(1).expect("the socket listens");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(connection) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(connection);
        assert!(waiting.len() < 100, "the backlog is never full");
    }
    let config = config(&format!("http://{address}/"), &json!({"connect_timeout_ms": 200, "retries": 0}));
    let message = RemoteHarness::with_config(&config).await.failure("connect_timeout").await;
    assert!(message.contains("within 200ms"), "{message}");
}

#[tokio::test]
async fn addresses_of_private_networks_are_refused_unless_allowed() {
    let server = refusing("200 OK", &[], "").await;
    let named = server.url.replace("127.0.0.1", "localhost");
    let private = json!({"allow_private_network": false});
    // A name is checked when a connection is made, by the address it resolves to.
    let message = RemoteHarness::with_config(&config(&named, &private)).await.failure("address_refused").await;
    assert!(message.contains("`localhost` lies in a private network"), "{message}");
    assert!(server.requests().is_empty());
    // An address in the URL is checked in the configuration.
    for url in [server.url.clone(), server.url.replace("127.0.0.1", "[::ffff:127.0.0.1]"), "http://2130706433/".into()]
    {
        let refused = remote_error(&config(&url, &private));
        assert!(refused.starts_with("url: ") && refused.contains("allow_private_network = true"), "{refused}");
    }
}

fn remote_error(config: &netra::server::config::agents::AgUiConfig) -> String {
    let info = netra::protocol::http::AgentInfo::new("remote", "Remote", "");
    let variables = |name: &str| (name == "TOKEN").then(|| "a\nb".to_owned());
    netra::server::agents::remote::Remote::new(info, config, variables, Default::default())
        .expect_err("the configuration is invalid")
        .to_string()
}

#[tokio::test]
async fn headers_are_sent_and_never_shown() {
    let server = Endpoint::start(|_, mut answer| async move {
        answer.begin().await?;
        answer.finish().await
    })
    .await;
    let config =
        config(&server.url, &json!({"headers": {"X-Api-Key": "${TOKEN}", "Authorization": "Bearer ${TOKEN}"}}));
    let harness = RemoteHarness::with_config(&config).await;
    assert_eq!(harness.ask("hello").await.state, RunState::Finished);
    let head = server.requests()[0].head.to_ascii_lowercase();
    for line in [
        format!("x-api-key: {SECRET}"),
        format!("authorization: bearer {SECRET}"),
        "accept: text/event-stream".into(),
        "content-type: application/json".into(),
        "accept-encoding: identity".into(),
    ] {
        assert!(head.lines().any(|own| own.trim() == line), "{line} in {head}");
    }
    let shown = format!("{:?} {config:?}", remote(&config));
    assert!(!shown.contains(SECRET), "{shown}");
}

#[tokio::test]
async fn secrets_that_an_endpoint_repeats_are_not_shown() {
    let server = Endpoint::start(|number, mut answer| async move {
        match number {
            // A line that is not an event and repeats the request's header; also cut in the middle of the secret.
            0 => {
                answer.begin().await?;
                answer.raw(format!("data: upstream failed, the headers were Authorization: Bearer {SECRET}\n\n")).await
            }
            1 => {
                answer.begin().await?;
                answer.raw(format!("data: [\"{}\", \"Bearer {SECRET}\"]\n\n", "x".repeat(134))).await
            }
            2 => {
                answer.begin().await?;
                answer.event(&json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": format!("Bearer {SECRET}")})).await
            }
            3 => {
                answer.begin().await?;
                answer.event(&json!({"type": "TEXT_MESSAGE_END", "messageId": SECRET})).await
            }
            4 => {
                answer.begin().await?;
                let raw = json!({"headers": [["authorization", format!("Bearer {SECRET}")]]});
                answer.event(&json!({"type": "RUN_ERROR", "message": format!("401 for {SECRET}"), "code": "agent_error", "rawEvent": raw, "sent": SECRET})).await
            }
            // The limit of what is read of a refusal is in the middle of the secret.
            5 => answer.status("400 Bad Request", &[], &format!("{}Bearer {SECRET}", " ".repeat(2_048 - 15))).await,
            _ => {
                let body = format!("cannot POST /agent?key={SECRET}&other=literal-secret or {SECRET} or literal-secret");
                answer.status("400 Bad Request", &[], &body).await
            }
        }
    })
    .await;
    let config = config(&format!("{}?key=${{TOKEN}}&other=literal-secret", server.url), &json!({"retries": 0}));
    let harness = RemoteHarness::with_config(&config).await;
    let codes = [
        ("malformed_event", "the headers were Authorization: ..."),
        ("malformed_event", "\"xxx"),
        ("malformed_event", "unknown variant `...`"),
        ("protocol_violation", "the text message `...` has not started or has ended"),
        ("agent_error", "401 for ..."),
        ("remote_refused", "(400 Bad Request): ..."),
        ("remote_refused", "cannot POST /agent?... or ... or ..."),
    ];
    for (code, expected) in codes {
        let message = harness.failure(code).await;
        assert!(
            message.contains(expected) && !message.contains("literal-secret"),
            "`{message}` should say `{expected}`"
        );
    }
    let requests = server.requests();
    assert!(
        requests[0].head.starts_with(&format!("POST /agent?key={SECRET}&other=literal-secret ")),
        "{}",
        requests[0].head
    );
}

#[tokio::test]
async fn a_compressed_stream_is_refused() {
    let server = refusing("200 OK", &["Content-Type: text/event-stream", "Content-Encoding: gzip"], "\u{1f}").await;
    let message = RemoteHarness::new(&server).await.failure("remote_not_sse").await;
    assert!(message.contains("compressed (`gzip`)"), "{message}");
}

#[test]
fn a_header_that_cannot_be_sent_names_its_key() {
    let cases = [
        (json!({"A b": "x"}), "headers.A b: is not a valid name of an HTTP header"),
        (json!({"Host": "x"}), "headers.Host: is set by the server"),
        (json!({"X-Key": "${TOKEN}"}), "headers.X-Key: its value has characters that are not allowed in headers"),
        (json!({"X-Key": "${MISSING}"}), "headers.X-Key: the variable MISSING is not set"),
    ];
    for (headers, expected) in cases {
        let message = remote_error(&config("http://127.0.0.1/", &json!({"headers": headers})));
        assert!(message.contains(expected), "`{message}` should say `{expected}`");
    }
}
