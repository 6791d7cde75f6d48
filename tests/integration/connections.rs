//! TCP connections of the real program: who is too slow is closed, who is too many is told so, and whoever is refused reads why.

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

use crate::support::{ADMIN, Client, PATIENCE, Setup, TestServer};

/// How often a slow client sends a little: much more often than any limit here.
const DRIP_INTERVAL: Duration = Duration::from_millis(20);

/// A connection that says what it is told to, byte by byte.
struct Raw(TcpStream);

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    header: String,
    body: Vec<u8>,
}

impl Answer {
    /// Nothing where the connection ended without one.
    fn parse(mut bytes: Vec<u8>) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let body = bytes.split_off(end);
        let header = String::from_utf8_lossy(&bytes).to_lowercase();
        let status = header.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Some(Self { status, header, body })
    }

    /// Holds that it is a problem; answers it.
    fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.header.contains("content-type: application/problem+json"), "{}", self.header);
        let body: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!((body["code"].as_str(), body["status"].as_u64()), (Some(code), Some(u64::from(status))), "{body}");
        body
    }
}

impl Raw {
    async fn open(server: &TestServer) -> Self {
        Self(TcpStream::connect(server.address()).await.expect("connects"))
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("sends");
    }

    /// Reads one answer; none where the connection ends without one.
    async fn answer(&mut self) -> Option<Answer> {
        let read = async {
            let mut bytes = Vec::new();
            let end = loop {
                if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    break end + 4;
                }
                if self.0.read_buf(&mut bytes).await.expect("the connection is not reset") == 0 {
                    assert!(bytes.is_empty(), "half an answer: {}", String::from_utf8_lossy(&bytes));
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
            Some(Answer { status, header, body })
        };
        timeout(PATIENCE, read).await.expect("an answer or the end in time")
    }

    /// Waits for the end of the connection.
    async fn ends(&mut self) {
        assert!(self.answer().await.is_none(), "the connection ends without a further answer");
    }

    /// Sends a little again and again until an answer comes.
    async fn drips(self, drop: &'static str) -> Option<Answer> {
        let (mut read, mut write) = self.0.into_split();
        let dripping = tokio::spawn(async move {
            while write.write_all(drop.as_bytes()).await.is_ok() {
                sleep(DRIP_INTERVAL).await;
            }
        });
        let mut bytes = Vec::new();
        let whole = timeout(PATIENCE, read.read_to_end(&mut bytes)).await.expect("it ends in time");
        dripping.abort();
        whole.expect("the connection is not reset");
        Answer::parse(bytes)
    }
}

fn impatient() -> Setup {
    Setup::default()
        .with("CONNECTIONS__FIRST_BYTE_TIMEOUT_MS", 300)
        .with("CONNECTIONS__HEADER_TIMEOUT_MS", 300)
        .with("CONNECTIONS__IDLE_TIMEOUT_MS", 300)
        .with("CONNECTIONS__STALL_TIMEOUT_MS", 300)
}

/// Silent connections stay for as long as any test takes.
fn patient() -> Setup {
    Setup::default().with("CONNECTIONS__FIRST_BYTE_TIMEOUT_MS", 600_000)
}

async fn metric(server: &TestServer, line: &str) -> f64 {
    let text = Client::new(server).get("/metrics").await.text().await.expect("text");
    let found = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    found.map_or(0.0, |number| number.parse().expect("a number"))
}

#[tokio::test]
async fn whoever_sends_nothing_is_closed() {
    let server = impatient().empty().await;
    let mut silent = join_all((0..20).map(|_| Raw::open(&server))).await;
    for connection in &mut silent {
        connection.ends().await;
    }
    assert!(metric(&server, r#"netra_tcp_timeouts_total{limit="first_byte"}"#).await >= 20.0);
}

#[tokio::test]
async fn a_header_that_does_not_end_is_answered_408() {
    let server = impatient().empty().await;
    let mut half = Raw::open(&server).await;
    half.send("GET /healthz HT").await;
    half.answer().await.expect("an answer").problem(408, "request_timeout");
    half.ends().await;
    let mut slow = Raw::open(&server).await;
    slow.send("GET /healthz HTTP/1.1\r\nhost: a\r\n").await;
    slow.drips("x-more: 1\r\n").await.expect("an answer").problem(408, "request_timeout");
    assert!(metric(&server, r#"netra_tcp_timeouts_total{limit="header"}"#).await >= 2.0);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_answered_408() {
    let server = impatient().with("CONNECTIONS__MIN_BYTES_PER_SECOND", 100_000).empty().await;
    let header =
        "POST /api/auth/sign-in HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n";
    let mut stopped = Raw::open(&server).await;
    stopped.send(header).await;
    stopped.answer().await.expect("an answer").problem(408, "request_timeout");
    let mut slow = Raw::open(&server).await;
    slow.send(header).await;
    slow.drips(" ").await.expect("an answer").problem(408, "request_timeout");
    assert!(metric(&server, r#"netra_tcp_timeouts_total{limit="body"}"#).await >= 2.0);
}

#[tokio::test]
async fn a_connection_is_used_again_and_closed_when_idle() {
    let server = impatient().empty().await;
    let mut connection = Raw::open(&server).await;
    for _ in 0..3 {
        connection.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(connection.answer().await.expect("an answer").status, 200);
    }
    connection.ends().await;
    assert!(metric(&server, r#"netra_tcp_timeouts_total{limit="idle"}"#).await >= 1.0);
}

#[tokio::test]
async fn whoever_does_not_read_the_answer_is_closed() {
    let server = impatient().start().await;
    let token = server.token(ADMIN).await;
    // The largest answer there is without anything stored: asked for until no more fits between the two.
    let (mut read, mut write) = Raw::open(&server).await.0.into_split();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    let asking = async { while write.write_all(request.as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, asking).await.expect("the server closes the connection");
    // What is read now ends, or is cut.
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, read.read_to_end(&mut rest)).await.expect("it ends in time");
    // An answer that is buffered whole and not read counts as idle.
    let answer = metric(&server, r#"netra_tcp_timeouts_total{limit="answer"}"#).await;
    let idle = metric(&server, r#"netra_tcp_timeouts_total{limit="idle"}"#).await;
    assert!(answer + idle >= 1.0);
}

#[tokio::test]
async fn an_open_socket_outlives_all_of_these_limits() {
    let server = impatient().start().await;
    let token = server.token(ADMIN).await;
    let mut request = server.socket_url().into_client_request().expect("a request");
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    request.headers_mut().insert("sec-websocket-protocol", "netra.v1".parse().expect("a header"));
    let (mut socket, _) = connect_async(request).await.expect("opens");
    // Connections that come later run out of every limit, one after the other.
    for _ in 0..3 {
        let mut idle = Raw::open(&server).await;
        idle.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(idle.answer().await.expect("an answer").status, 200);
        idle.ends().await;
    }
    socket.send(Message::Ping("still here".into())).await.expect("sends");
    let pong = async { while !matches!(socket.next().await, Some(Ok(Message::Pong(_)))) {} };
    timeout(PATIENCE, pong).await.expect("answered in time");
}

#[tokio::test]
async fn a_header_that_is_too_large_is_answered_431() {
    let server = Setup::default().with("CONNECTIONS__MAX_HEADER_BYTES", 16_384).empty().await;
    let mut large = Raw::open(&server).await;
    let _ =
        large.0.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\nx-large: {}", "x".repeat(400_000)).as_bytes()).await;
    large.answer().await.expect("an answer").problem(431, "header_too_large");
    large.ends().await;
    let mut many = Raw::open(&server).await;
    many.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: 1\r\n".repeat(200))).await;
    many.answer().await.expect("an answer").problem(431, "header_too_large");
    let mut wrong = Raw::open(&server).await;
    wrong.send("no HTTP at all\r\n\r\n").await;
    wrong.answer().await.expect("an answer").problem(400, "bad_request");
    let mut fitting = Raw::open(&server).await;
    fitting.send(format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx-large: {}\r\n\r\n", "x".repeat(12_000))).await;
    assert_eq!(fitting.answer().await.expect("an answer").status, 200);
}

/// Asks for a path on a connection of its own; nothing where it is closed at once, as one of far too many.
async fn get(server: &TestServer, path: &str) -> Option<Answer> {
    let mut connection = Raw::open(server).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    connection.0.write_all(request.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    timeout(PATIENCE, connection.0.read_to_end(&mut bytes)).await.expect("an end in time").ok()?;
    Answer::parse(bytes)
}

/// Asks again and again until the answer is of this status.
async fn until(server: &TestServer, path: &str, status: u16) -> Answer {
    let asking = async {
        loop {
            match get(server, path).await {
                Some(answer) if answer.status == status => return answer,
                _ => {}
            }
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{path} is never answered {status}"))
}

#[tokio::test]
async fn one_address_has_a_bound_and_health_is_answered_beyond_it() {
    let server = patient().with("CONNECTIONS__MAX_PER_ADDRESS", 5).empty().await;
    let held = join_all((0..5).map(|_| Raw::open(&server))).await;
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
async fn all_together_have_a_bound_and_health_is_answered_beyond_it() {
    let server = patient().with("CONNECTIONS__MAX", 16).with("SERVER__TRUST_PROXY", true).empty().await;
    // More than there are places, and more than there are beyond the bound, all silent.
    let held = join_all((0..200).map(|_| Raw::open(&server))).await;
    until(&server, "/healthz", 200).await;
    let refused = until(&server, "/api/config", 503).await;
    refused.problem(503, "too_many_connections");
    assert!(refused.header.contains("retry-after: 5"), "{refused:?}");
    drop(held);
    until(&server, "/api/config", 200).await;
}

/// A multipart upload of so many bytes: its header, and its body.
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
async fn a_refused_upload_reads_why_however_late_its_body_comes() {
    let server = TestServer::start().await;
    for bytes in [10, 100_000, 20_000_000] {
        let tries = if bytes > 1_000_000 { 2 } else { 50 };
        join_all((0..tries).map(|_| async {
            let (header, body) = upload(bytes);
            let mut connection = Raw::open(&server).await;
            connection.send(header).await;
            // The answer is there before the body is.
            connection.answer().await.expect("an answer").problem(401, "unauthorized");
            connection.send(body).await;
            // And the connection goes on.
            connection.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(connection.answer().await.expect("an answer").status, 200);
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
        let mut connection = Raw::open(&server).await;
        connection
            .send(format!("{request} HTTP/1.1\r\nhost: a\r\n{headers}content-length: {}\r\n\r\n", long.len()))
            .await;
        connection.send(&long).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!(answer.status, status, "{request} {headers}: {answer:?}");
    }
}

#[tokio::test]
async fn what_a_refused_upload_sends_is_read_up_to_a_bound() {
    let server = Setup::default().with("CONNECTIONS__DISCARD_BYTES", 1_000_000).start().await;
    let (header, body) = upload(50_000_000);
    let mut connection = Raw::open(&server).await;
    connection.send(header).await;
    connection.answer().await.expect("an answer").problem(401, "unauthorized");
    let sent = timeout(PATIENCE, connection.0.write_all(&body)).await.expect("an end in time");
    assert!(sent.is_err(), "the connection is closed before everything was sent");
}

#[tokio::test]
async fn a_body_that_was_not_asked_for_is_not_waited_for() {
    let server = TestServer::start().await;
    let mut connection = Raw::open(&server).await;
    let (header, _) = upload(1_000);
    connection.send(header.replacen("host: a", "host: a\r\nexpect: 100-continue", 1)).await;
    connection.answer().await.expect("an answer").problem(401, "unauthorized");
    connection.ends().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_silent_connections() {
    let server = TestServer::start().await;
    let mut silent = join_all((0..10).map(|_| Raw::open(&server))).await;
    let mut half = Raw::open(&server).await;
    half.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(half.answer().await.expect("an answer").status, StatusCode::OK.as_u16());
    let (code, _) = server.stop().await;
    assert_eq!(code, Some(0));
    for connection in &mut silent {
        connection.ends().await;
    }
    half.ends().await;
}
