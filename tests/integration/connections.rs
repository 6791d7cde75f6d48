//! TCP connections of the real program: slow ones are closed, too many are refused, and a refusal always reaches the client.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt, future::join_all};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::support::{ADMIN, Client, Setup, TEST_TIMEOUT, TestServer};

/// How often a slow client sends some bytes: more often than any timeout here.
const DRIP_INTERVAL: Duration = Duration::from_millis(20);

/// A TCP connection on which a test sends raw bytes.
struct RawConnection(TcpStream);

/// A response as it was received.
#[derive(Debug)]
struct Response {
    status: u16,
    header: String,
    body: Vec<u8>,
}

impl Response {
    /// `None` where the connection ended without a response.
    fn parse(mut bytes: Vec<u8>) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let body = bytes.split_off(end);
        let header = String::from_utf8_lossy(&bytes).to_lowercase();
        let status = header.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Some(Self { status, header, body })
    }

    /// Asserts that it is a problem with this status and code; returns it.
    fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.header.contains("content-type: application/problem+json"), "{}", self.header);
        let body: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!((body["code"].as_str(), body["status"].as_u64()), (Some(code), Some(u64::from(status))), "{body}");
        body
    }
}

impl RawConnection {
    async fn open(server: &TestServer) -> Self {
        Self(TcpStream::connect(server.address()).await.expect("the connection opens"))
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the bytes are sent");
    }

    /// Reads one response; `None` where the connection ends without one.
    async fn response(&mut self) -> Option<Response> {
        let read = async {
            let mut bytes = Vec::new();
            let end = loop {
                if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    break end + 4;
                }
                if self.0.read_buf(&mut bytes).await.expect("the connection is not reset") == 0 {
                    assert!(bytes.is_empty(), "half a response: {}", String::from_utf8_lossy(&bytes));
                    return None;
                }
            };
            let header = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length =
                header.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            let mut body = bytes.split_off(end);
            while body.len() < length {
                assert!(self.0.read_buf(&mut body).await.expect("the connection is not reset") > 0, "a whole body");
            }
            let status = header.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            Some(Response { status, header, body })
        };
        timeout(TEST_TIMEOUT, read).await.expect("a response or the end in time")
    }

    /// Waits until the server closes the connection.
    async fn until_closed(&mut self) {
        assert!(self.response().await.is_none(), "the connection ends without a further response");
    }

    /// Sends the same bytes repeatedly until a response arrives.
    async fn send_slowly(self, drop: &'static str) -> Option<Response> {
        let (mut read, mut write) = self.0.into_split();
        let dripping = tokio::spawn(async move {
            while write.write_all(drop.as_bytes()).await.is_ok() {
                sleep(DRIP_INTERVAL).await;
            }
        });
        let mut bytes = Vec::new();
        let whole = timeout(TEST_TIMEOUT, read.read_to_end(&mut bytes)).await.expect("it ends in time");
        dripping.abort();
        whole.expect("the connection is not reset");
        Response::parse(bytes)
    }
}

fn short_timeouts() -> Setup {
    Setup::default()
        .with("CONNECTIONS__FIRST_BYTE_TIMEOUT_MS", 300)
        .with("CONNECTIONS__HEADER_TIMEOUT_MS", 300)
        .with("CONNECTIONS__IDLE_TIMEOUT_MS", 300)
        .with("CONNECTIONS__STALL_TIMEOUT_MS", 300)
}

/// Settings with which idle connections stay open longer than a test takes.
fn long_timeouts() -> Setup {
    Setup::default().with("CONNECTIONS__FIRST_BYTE_TIMEOUT_MS", 600_000)
}

async fn metric(server: &TestServer, line: &str) -> f64 {
    let text = Client::new(server).get("/metrics").await.text().await.expect("text");
    let found = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    found.map_or(0.0, |number| number.parse().expect("a number"))
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_closed() {
    let server = short_timeouts().start_without_accounts().await;
    let mut silent = join_all((0..20).map(|_| RawConnection::open(&server))).await;
    for connection in &mut silent {
        connection.until_closed().await;
    }
    assert!(metric(&server, r#"netra_tcp_timeouts_total{limit="first_byte"}"#).await >= 20.0);
}

#[tokio::test]
async fn a_header_that_does_not_end_is_answered_408() {
    let server = short_timeouts().start_without_accounts().await;
    let mut half = RawConnection::open(&server).await;
    half.send("GET /healthz HT").await;
    half.response().await.expect("a response").problem(408, "request_timeout");
    half.until_closed().await;
    let mut slow = RawConnection::open(&server).await;
    slow.send("GET /healthz HTTP/1.1\r\nhost: a\r\n").await;
    slow.send_slowly("x-more: 1\r\n").await.expect("a response").problem(408, "request_timeout");
    assert!(metric(&server, r#"netra_tcp_timeouts_total{limit="header"}"#).await >= 2.0);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_answered_408() {
    let server = short_timeouts().with("CONNECTIONS__MIN_BYTES_PER_SECOND", 100_000).start_without_accounts().await;
    let header =
        "POST /api/auth/sign-in HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n";
    let mut stopped = RawConnection::open(&server).await;
    stopped.send(header).await;
    stopped.response().await.expect("a response").problem(408, "request_timeout");
    let mut slow = RawConnection::open(&server).await;
    slow.send(header).await;
    slow.send_slowly(" ").await.expect("a response").problem(408, "request_timeout");
    assert!(metric(&server, r#"netra_tcp_timeouts_total{limit="body"}"#).await >= 2.0);
}

#[tokio::test]
async fn a_connection_is_used_again_and_closed_when_idle() {
    let server = short_timeouts().start_without_accounts().await;
    let mut connection = RawConnection::open(&server).await;
    for _ in 0..3 {
        connection.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(connection.response().await.expect("a response").status, 200);
    }
    connection.until_closed().await;
    assert!(metric(&server, r#"netra_tcp_timeouts_total{limit="idle"}"#).await >= 1.0);
}

#[tokio::test]
async fn a_client_that_does_not_read_the_response_is_closed() {
    let server = short_timeouts().start().await;
    let token = server.token(ADMIN).await;
    // The largest response of an empty server, requested until the buffers between client and server are full.
    let (mut read, mut write) = RawConnection::open(&server).await.0.into_split();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    let asking = async { while write.write_all(request.as_bytes()).await.is_ok() {} };
    timeout(TEST_TIMEOUT, asking).await.expect("the server closes the connection");
    // The bytes that are left end, or the connection is reset.
    let mut rest = Vec::new();
    let _ = timeout(TEST_TIMEOUT, read.read_to_end(&mut rest)).await.expect("it ends in time");
    // A response that is buffered whole and not read counts as idle.
    let response = metric(&server, r#"netra_tcp_timeouts_total{limit="answer"}"#).await;
    let idle = metric(&server, r#"netra_tcp_timeouts_total{limit="idle"}"#).await;
    assert!(response + idle >= 1.0);
}

#[tokio::test]
async fn an_open_socket_outlives_all_of_these_limits() {
    let server = short_timeouts().start().await;
    let token = server.token(ADMIN).await;
    let mut request = server.socket_url().into_client_request().expect("a request");
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    request.headers_mut().insert("sec-websocket-protocol", "netra.v1".parse().expect("a header"));
    let (mut socket, _) = connect_async(request).await.expect("the socket opens");
    // Later connections run into each limit in turn.
    for _ in 0..3 {
        let mut idle = RawConnection::open(&server).await;
        idle.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(idle.response().await.expect("a response").status, 200);
        idle.until_closed().await;
    }
    socket.send(Message::Ping("still here".into())).await.expect("the frame is sent");
    let pong = async { while !matches!(socket.next().await, Some(Ok(Message::Pong(_)))) {} };
    timeout(TEST_TIMEOUT, pong).await.expect("answered in time");
}

#[tokio::test]
async fn a_header_that_is_too_large_is_answered_431() {
    let server = Setup::default().with("CONNECTIONS__MAX_HEADER_BYTES", 16_384).start_without_accounts().await;
    let mut large = RawConnection::open(&server).await;
    let _ =
        large.0.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\nx-large: {}", "x".repeat(400_000)).as_bytes()).await;
    large.response().await.expect("a response").problem(431, "header_too_large");
    large.until_closed().await;
    let mut many = RawConnection::open(&server).await;
    many.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: 1\r\n".repeat(200))).await;
    many.response().await.expect("a response").problem(431, "header_too_large");
    let mut wrong = RawConnection::open(&server).await;
    wrong.send("no HTTP at all\r\n\r\n").await;
    wrong.response().await.expect("a response").problem(400, "bad_request");
    let mut fitting = RawConnection::open(&server).await;
    fitting.send(format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx-large: {}\r\n\r\n", "x".repeat(12_000))).await;
    assert_eq!(fitting.response().await.expect("a response").status, 200);
}

/// Requests a path on a new connection; `None` where the server closes it at once because there are too many.
async fn get(server: &TestServer, path: &str) -> Option<Response> {
    let mut connection = RawConnection::open(server).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    connection.0.write_all(request.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    timeout(TEST_TIMEOUT, connection.0.read_to_end(&mut bytes)).await.expect("an end in time").ok()?;
    Response::parse(bytes)
}

/// Repeats a request until the response has this status.
async fn until(server: &TestServer, path: &str, status: u16) -> Response {
    let asking = async {
        loop {
            match get(server, path).await {
                Some(response) if response.status == status => return response,
                _ => {}
            }
        }
    };
    timeout(TEST_TIMEOUT, asking).await.unwrap_or_else(|_| panic!("{path} is never answered {status}"))
}

#[tokio::test]
async fn excess_connections_of_one_address_are_refused_except_for_health_checks() {
    let server = long_timeouts().with("CONNECTIONS__MAX_PER_ADDRESS", 5).start_without_accounts().await;
    let held = join_all((0..5).map(|_| RawConnection::open(&server))).await;
    let refused = until(&server, "/api/config", 429).await;
    refused.problem(429, "too_many_connections");
    assert!(refused.header.contains("retry-after: 5") && refused.header.contains("connection: close"), "{refused:?}");
    until(&server, "/healthz", 200).await;
    until(&server, "/readyz", 200).await;
    drop(held);
    until(&server, "/api/config", 200).await;
    assert!(metric(&server, r#"netra_tcp_refused_total{bound="address"}"#).await >= 1.0);
}

#[tokio::test]
async fn excess_connections_are_refused_except_for_health_checks() {
    let server =
        long_timeouts().with("CONNECTIONS__MAX", 16).with("SERVER__TRUST_PROXY", true).start_without_accounts().await;
    // More idle connections than the limit and than the reserve for health checks.
    let held = join_all((0..200).map(|_| RawConnection::open(&server))).await;
    until(&server, "/healthz", 200).await;
    let refused = until(&server, "/api/config", 503).await;
    refused.problem(503, "too_many_connections");
    assert!(refused.header.contains("retry-after: 5"), "{refused:?}");
    drop(held);
    until(&server, "/api/config", 200).await;
}

/// A multipart upload of this size: its header and its body.
fn upload(bytes: usize) -> (String, Vec<u8>) {
    let mut body = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n".to_vec();
    body.resize(body.len() + bytes, b'x');
    body.extend(b"\r\n--b--\r\n");
    let path = "/api/threads/0198c0de-0000-7000-8000-000000000000/files";
    let header = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (header, body)
}

#[tokio::test]
async fn a_refused_upload_gets_the_reason_though_its_body_is_late() {
    let server = TestServer::start().await;
    for bytes in [10, 100_000, 20_000_000] {
        let tries = if bytes > 1_000_000 { 2 } else { 50 };
        join_all((0..tries).map(|_| async {
            let (header, body) = upload(bytes);
            let mut connection = RawConnection::open(&server).await;
            connection.send(header).await;
            // The response arrives before the body is sent.
            connection.response().await.expect("a response").problem(401, "unauthorized");
            connection.send(body).await;
            // The connection stays usable.
            connection.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(connection.response().await.expect("a response").status, 200);
        }))
        .await;
    }
}

#[tokio::test]
async fn every_early_refusal_arrives_while_the_body_is_still_sent() {
    let server = TestServer::start().await;
    let token = server.token(ADMIN).await;
    let long = json!({"text": "x".repeat(1_000_000)}).to_string();
    let cases = [
        ("POST /api/auth/me", "", 405),
        ("POST /api/nowhere", "", 404),
        ("POST /api/agents/nobody/agui", "", 401),
        ("POST /api/auth/sign-in", "origin: https://elsewhere.example\r\n", 403),
        ("POST /api/auth/sign-in", "content-type: application/json\r\n", 413),
        ("POST /api/auth/sign-in", "content-type: text/plain\r\n", 415),
        ("POST /api/threads/none/files", "authorization: TOKEN\r\n", 404),
        ("POST /ws", "", 400),
        ("POST /", "", 405),
    ];
    for (request, headers, status) in cases {
        let headers = headers.replace("TOKEN", &format!("Bearer {token}"));
        let mut connection = RawConnection::open(&server).await;
        connection
            .send(format!("{request} HTTP/1.1\r\nhost: a\r\n{headers}content-length: {}\r\n\r\n", long.len()))
            .await;
        connection.send(&long).await;
        let response = connection.response().await.expect("a response");
        assert_eq!(response.status, status, "{request} {headers}: {response:?}");
    }
}

#[tokio::test]
async fn the_body_of_a_refused_upload_is_read_up_to_a_limit() {
    let server = Setup::default().with("CONNECTIONS__DISCARD_BYTES", 1_000_000).start().await;
    let (header, body) = upload(50_000_000);
    let mut connection = RawConnection::open(&server).await;
    connection.send(header).await;
    connection.response().await.expect("a response").problem(401, "unauthorized");
    let sent = timeout(TEST_TIMEOUT, connection.0.write_all(&body)).await.expect("an end in time");
    assert!(sent.is_err(), "the connection is closed before everything was sent");
}

#[tokio::test]
async fn a_body_after_a_refused_expect_continue_is_not_awaited() {
    let server = TestServer::start().await;
    let mut connection = RawConnection::open(&server).await;
    let (header, _) = upload(1_000);
    connection.send(header.replacen("host: a", "host: a\r\nexpect: 100-continue", 1)).await;
    connection.response().await.expect("a response").problem(401, "unauthorized");
    connection.until_closed().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_silent_connections() {
    let server = TestServer::start().await;
    let mut silent = join_all((0..10).map(|_| RawConnection::open(&server))).await;
    let mut half = RawConnection::open(&server).await;
    half.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(half.response().await.expect("a response").status, StatusCode::OK.as_u16());
    let (code, _) = server.stop().await;
    assert_eq!(code, Some(0));
    for connection in &mut silent {
        connection.until_closed().await;
    }
    half.until_closed().await;
}
