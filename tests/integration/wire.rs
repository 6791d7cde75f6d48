//! What the handshake refuses and how sockets are closed, on the real server.

use futures_util::{SinkExt, StreamExt};
use netra::protocol::{PROTOCOL, Ping, Push, ServerFrame, encode_command};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue, Response},
    },
};

use crate::support::{ADMIN, Client, Setup, TEST_TIMEOUT, TestServer, cookie};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

type Headers<'a> = &'a [(&'static str, &'a str)];

/// Opens a socket with only these headers.
async fn open(server: &TestServer, headers: Headers<'_>) -> Result<Socket, Response<Option<Vec<u8>>>> {
    let mut request = server.socket_url().into_client_request().expect("an address");
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("plain text");
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    match timeout(TEST_TIMEOUT, connect_async(request)).await.expect("in time") {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(*answer),
        Err(other) => panic!("neither opened nor refused: {other}"),
    }
}

/// A signed-in client, and the cookie for its sockets.
async fn browser(server: &TestServer) -> (Client, String) {
    let client = Client::new(server);
    let cookie = cookie(&client.sign_in(ADMIN).await);
    (client, cookie)
}

/// A socket with this session cookie.
async fn tab(server: &TestServer, cookie: &str) -> Socket {
    let headers = [("sec-websocket-protocol", PROTOCOL), ("cookie", cookie), ("origin", &server.url)];
    let mut socket = open(server, &headers).await.expect("the socket opens");
    let Some(ServerFrame::Push(Push::Welcome(_))) = frame(&mut socket).await else { panic!("`welcome` comes first") };
    socket
}

async fn message(socket: &mut Socket) -> Option<Result<Message, Error>> {
    timeout(TEST_TIMEOUT, socket.next()).await.expect("in time")
}

/// The next frame; `None` when the socket closes.
async fn frame(socket: &mut Socket) -> Option<ServerFrame> {
    loop {
        match message(socket).await {
            Some(Ok(Message::Text(text))) => return Some(ServerFrame::decode(&text).expect("a frame")),
            Some(Ok(Message::Ping(_))) => {}
            _ => return None,
        }
    }
}

/// The close code and reason, after any other frames.
async fn closed(socket: &mut Socket) -> (u16, String) {
    loop {
        match message(socket).await {
            Some(Ok(Message::Close(Some(close)))) => return (close.code.into(), close.reason.as_str().to_owned()),
            Some(Ok(Message::Text(_) | Message::Ping(_))) => {}
            other => panic!("no close frame but {other:?}"),
        }
    }
}

async fn ping(socket: &mut Socket) -> Option<ServerFrame> {
    socket.send(Message::text(encode_command(1, &Ping {}.into()))).await.expect("the frame is sent");
    frame(socket).await
}

#[tokio::test]
async fn a_refused_handshake_gives_the_reason_and_when_to_retry() {
    let server = Setup::default().with("SOCKET__MAX_CONNECTIONS", 1).start().await;
    let (_, cookie) = browser(&server).await;
    let _only = tab(&server, &cookie).await;
    let protocol = ("sec-websocket-protocol", PROTOCOL);
    let (session, same_origin) = (("cookie", cookie.as_str()), ("origin", server.url.as_str()));
    let cases: [(Headers<'_>, u16, &str); 4] = [
        (&[session, same_origin], 400, "no_common_protocol"),
        (&[protocol], 401, "unauthorized"),
        (&[protocol, session, ("origin", "https://elsewhere.example")], 403, "forbidden"),
        (&[protocol, session, same_origin], 429, "too_many_connections"),
    ];
    for (headers, status, code) in cases {
        let answer = open(&server, headers).await.expect_err(code);
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{code}");
        assert_eq!(
            answer.headers().get("retry-after").map(HeaderValue::as_bytes),
            (status == 429).then_some(b"5".as_slice())
        );
        let body: Value = serde_json::from_slice(answer.body().as_deref().expect("a body")).expect("JSON");
        assert_eq!((body["code"].as_str(), body["retry_after_ms"].is_u64()), (Some(code), status == 429), "{body}");
    }
}

#[tokio::test]
async fn signing_out_closes_every_tab_of_the_session_and_no_other() {
    let server = TestServer::start().await;
    let ((here, cookie), (_, elsewhere)) = (browser(&server).await, browser(&server).await);
    let mut tabs = [tab(&server, &cookie).await, tab(&server, &cookie).await];
    let mut other = tab(&server, &elsewhere).await;
    assert_eq!(here.call("/api/auth/sign-out").await.status(), 204);
    for tab in &mut tabs {
        assert_eq!(closed(tab).await.0, 4401);
    }
    assert!(matches!(ping(&mut other).await, Some(ServerFrame::Reply { outcome: Ok(_), .. })));
    let headers = [("sec-websocket-protocol", PROTOCOL), ("cookie", cookie.as_str()), ("origin", &server.url)];
    assert_eq!(open(&server, &headers).await.expect_err("the session is over").status(), 401);
}

#[tokio::test]
async fn a_stopping_server_sends_a_time_to_reconnect_and_closes_the_sockets() {
    let server = TestServer::start().await;
    let (_, cookie) = browser(&server).await;
    let mut tabs = [tab(&server, &cookie).await, tab(&server, &cookie).await];
    server.signal("TERM");
    for tab in &mut tabs {
        let Some(ServerFrame::Push(Push::Draining(draining))) = frame(tab).await else {
            panic!("`draining` comes first")
        };
        assert!((1..=60_000).contains(&draining.reconnect_in_ms), "{draining:?}");
        assert_eq!(closed(tab).await.0, 1012);
    }
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_protocol_error_closes_the_socket_with_its_code() {
    let server = Setup::default().with("SOCKET__COMMANDS_PER_MINUTE", 10).start().await;
    let (_, cookie) = browser(&server).await;

    let mut large = tab(&server, &cookie).await;
    large.send(Message::text("x".repeat(65_537))).await.expect("the frame is sent");
    assert_eq!(closed(&mut large).await.0, 1009);

    let mut garbage = tab(&server, &cookie).await;
    for _ in 0..3 {
        garbage.send(Message::text("no JSON")).await.expect("the frame is sent");
    }
    assert_eq!(closed(&mut garbage).await.0, 4400);

    let mut flood = tab(&server, &cookie).await;
    for id in 1..=30 {
        // The server may close before it has read everything.
        let _ = flood.send(Message::text(encode_command(id, &Ping {}.into()))).await;
    }
    let (code, reason) = closed(&mut flood).await;
    let reason: Value = serde_json::from_str(&reason).expect("JSON");
    assert_eq!((code, reason["retry_after_ms"].is_u64()), (4002, true), "{reason}");
}

#[tokio::test]
async fn one_connection_too_many_closes_the_oldest() {
    let server = Setup::default().with("SOCKET__MAX_CONNECTIONS_PER_USER", 2).start().await;
    let (_, cookie) = browser(&server).await;
    let mut tabs = [tab(&server, &cookie).await, tab(&server, &cookie).await, tab(&server, &cookie).await];
    assert_eq!(closed(&mut tabs[0]).await.0, 4409);
    for tab in &mut tabs[1..] {
        assert!(ping(tab).await.is_some());
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_closed() {
    let server =
        Setup::default().with("SOCKET__HEARTBEAT_MS", 200).with("SOCKET__HEARTBEAT_TIMEOUT_MS", 200).start().await;
    let (client, cookie) = browser(&server).await;
    // It is not read, so its library answers nothing.
    let mut silent = tab(&server, &cookie).await;
    let gone = async {
        loop {
            let me: Value = client.get("/api/auth/me").await.json().await.expect("JSON");
            if me["connections"] == 0 {
                return;
            }
        }
    };
    timeout(TEST_TIMEOUT, gone).await.expect("in time");
    assert_eq!(closed(&mut silent).await.0, 4000);
}
