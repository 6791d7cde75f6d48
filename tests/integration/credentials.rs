//! Tokens and tickets end with the session or token that they came from, on every node, and grant no more than it did.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use netra::socket::{
    machine::Status,
    native::{Client as Socket, ClientConfig},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error as WsError, Message,
        client::IntoClientRequest,
        http::{HeaderValue, StatusCode},
    },
};

use crate::support::{ADA, ADMIN, Account, Client, Deployment, Setup, TEST_TIMEOUT, TestServer, problem};

/// Upper bound for a revocation, which nodes check for twice a second.
const REVOCATION_TIMEOUT: Duration = Duration::from_secs(5);

/// An access token minted with a session.
async fn session_token(browser: &Client) -> String {
    let answer: Value = browser.call("/api/auth/token").await.json().await.expect("JSON");
    answer["access_token"].as_str().expect("a token").to_owned()
}

/// A ticket minted with a token.
async fn ticket(server: &TestServer, token: &str) -> String {
    let request = Client::new(server).request(Method::POST, "/api/auth/ticket").bearer_auth(token);
    let answer: Value = request.send().await.expect("the server answers").json().await.expect("JSON");
    answer["ticket"].as_str().expect("a ticket").to_owned()
}

/// The status of a request with a token.
async fn status_of(server: &TestServer, token: &str) -> u16 {
    let request = Client::new(server).request(Method::GET, "/api/auth/me").bearer_auth(token);
    request.send().await.expect("the server answers").status().as_u16()
}

async fn open(server: &TestServer, token: &str) -> Socket {
    let socket = Socket::connect(ClientConfig::bearer(server.socket_url(), token));
    until(&socket, Status::Connected).await;
    socket
}

async fn until(socket: &Socket, is: Status) {
    let mut status = socket.status();
    timeout(TEST_TIMEOUT, status.wait_for(|status| *status == is))
        .await
        .expect("in time")
        .expect("the sender is not dropped");
}

type TicketSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a socket with a ticket; an error has the status of the refusal.
async fn open_by_ticket(server: &TestServer, ticket: &str) -> Result<TicketSocket, StatusCode> {
    let mut request = server.socket_url().into_client_request().expect("a request");
    let offered = HeaderValue::try_from(format!("netra.v1, ticket.{ticket}")).expect("text");
    request.headers_mut().insert("sec-websocket-protocol", offered);
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => Err(response.status()),
        Err(other) => panic!("neither opened nor refused: {other}"),
    }
}

/// Waits until a socket is closed; returns the code.
async fn closed(mut socket: TicketSocket) -> u16 {
    let closing = async {
        loop {
            if let Message::Close(Some(frame)) =
                socket.next().await.expect("a close frame arrives").expect("a frame can be read")
            {
                return frame.code.into();
            }
        }
    };
    timeout(TEST_TIMEOUT, closing).await.expect("in time")
}

#[tokio::test]
async fn tokens_and_tickets_of_a_session_end_with_it_on_every_node() {
    let a = Setup::default().deployment(Deployment::Distributed).start().await;
    let on = || Setup::default().on(a.backends().expect("shared backends")).start_without_accounts();
    let (b, c) = tokio::join!(on(), on());
    a.add_member(ADA).await;
    for path in ["/api/auth/sign-out", "/api/auth/sign-out-everywhere"] {
        let browser = a.signed_in(ADA).await;
        let (token, other) = (session_token(&browser).await, a.token(ADA).await);
        let unused = ticket(&b, &token).await;
        let by_ticket = open_by_ticket(&c, &ticket(&b, &token).await).await.expect("the socket opens");
        let sockets = [open(&a, &token).await, open(&b, &token).await];
        let others = open(&c, &other).await;
        let begun = Instant::now();
        assert_eq!(browser.call(path).await.status(), 204);
        for server in [&a, &b, &c] {
            assert_eq!(status_of(server, &token).await, 401, "at once");
        }
        for socket in &sockets {
            until(socket, Status::SignedOut).await;
        }
        assert_eq!(closed(by_ticket).await, 4401);
        let took = begun.elapsed();
        println!("{path}: the last socket was closed after {} ms", took.as_millis());
        assert!(took < REVOCATION_TIMEOUT, "{took:?}");
        assert_eq!(open_by_ticket(&b, &unused).await.err(), Some(StatusCode::UNAUTHORIZED));
        if path.ends_with("everywhere") {
            until(&others, Status::SignedOut).await;
            assert_eq!(status_of(&b, &other).await, 401);
        } else {
            assert_eq!(status_of(&b, &other).await, 200, "another session stays valid");
            assert_eq!(*others.status().borrow(), Status::Connected);
        }
    }
}

#[tokio::test]
async fn a_person_changes_their_password_and_stays_signed_in_only_there() {
    let server = TestServer::start().await;
    server.add_member(ADA).await;
    let (browser, other) = (server.signed_in(ADA).await, server.signed_in(ADA).await);
    let token = session_token(&browser).await;
    let socket = open(&server, &token).await;
    let change = |password: &str, new: &str| json!({"password": password, "new_password": new});
    let path = "/api/auth/password";
    problem(Client::new(&server).post(path, &change(ADA.password, "another horse")).await, 401, "unauthorized").await;
    problem(browser.post(path, &change("wrong horse", "another horse")).await, 403, "forbidden").await;
    problem(browser.post(path, &change(ADA.password, "qwertyuiop")).await, 422, "invalid_payload").await;
    assert_eq!(browser.post(path, &change(ADA.password, "another horse")).await.status(), 204);
    until(&socket, Status::SignedOut).await;
    assert_eq!(status_of(&server, &token).await, 401);
    problem(other.get("/api/auth/me").await, 401, "unauthorized").await;
    assert_eq!(browser.get("/api/auth/me").await.status(), 200);
    problem(Client::new(&server).sign_in(ADA).await, 401, "unauthorized").await;
    assert_eq!(Client::new(&server).sign_in(Account { password: "another horse", ..ADA }).await.status(), 200);
}

#[tokio::test]
async fn a_token_cannot_mint_tokens_and_a_ticket_only_opens_a_socket() {
    let server = TestServer::start().await;
    let browser = server.signed_in(ADMIN).await;
    for token in [session_token(&browser).await, server.token(ADMIN).await] {
        let post = |path: &str| Client::new(&server).request(Method::POST, path);
        let answer = post("/api/auth/token").bearer_auth(&token).send().await.expect("the server answers");
        problem(answer, 403, "forbidden").await;
        let ticket = ticket(&server, &token).await;
        for path in ["/api/auth/token", "/api/auth/ticket", "/api/auth/sign-out-everywhere"] {
            let by_protocol = post(path).header("sec-websocket-protocol", format!("netra.v1, ticket.{ticket}"));
            problem(by_protocol.send().await.expect("the server answers"), 401, "unauthorized").await;
            let as_bearer = post(path).bearer_auth(&ticket);
            problem(as_bearer.send().await.expect("the server answers"), 401, "unauthorized").await;
        }
        drop(open_by_ticket(&server, &ticket).await.expect("the ticket is still unused"));
        let answer = post("/api/auth/sign-out").bearer_auth(&token).send().await.expect("the server answers");
        assert_eq!(answer.status(), 204);
        assert_eq!(status_of(&server, &token).await, 401, "a token can sign itself out");
        assert_eq!(browser.get("/api/auth/me").await.status(), 200, "the session itself is still valid");
    }
}
