//! A client over real TCP that reads frames in order.

use std::{collections::VecDeque, net::SocketAddr};

use futures_util::{SinkExt, StreamExt};
use netra::protocol::{
    ChannelName, Command, CreateThread, Cursor, ErrorBody, ErrorCode, EventPush, Mode, Push, SendMessage, ServerFrame,
    Subscribe, Subscribed, ThreadId, ThreadReply, ThreadSignal, encode_command,
};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async,
    tungstenite::{
        Error as WsError, Message,
        client::IntoClientRequest,
        handshake::client::Request,
        http::{HeaderName, HeaderValue, Response},
    },
};

use crate::{socket::server::Member, support::TEST_TIMEOUT};

/// A handshake request with these headers.
pub(crate) fn handshake(address: SocketAddr, headers: &[(&str, &str)]) -> Request {
    let mut request = format!("ws://{address}/ws").into_client_request().expect("a request");
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a name");
        request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"));
    }
    request
}

/// A client that reads what comes, in order.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) welcome: Value,
    pub(crate) response: Response<Option<Vec<u8>>>,
    next_id: i64,
    /// Pushes that arrived before an awaited reply.
    pub(crate) pushes: VecDeque<Push>,
}

impl Client {
    /// # Errors
    /// The response where the server refuses.
    pub(crate) async fn open(address: SocketAddr, headers: &[(&str, &str)]) -> Result<Self, Response<Option<Vec<u8>>>> {
        Self::open_on(TcpStream::connect(address).await.expect("the connection opens"), address, headers).await
    }

    /// Opens a socket with a small receive buffer, so that the server soon has to wait for it.
    pub(crate) async fn open_with_small_buffer(member: &Member) -> Self {
        let tcp = TcpSocket::new_v4().expect("a socket");
        tcp.set_recv_buffer_size(8 * 1024).expect("the buffer size is set");
        let stream = tcp.connect(member.address).await.expect("the connection opens");
        let authorization = format!("Bearer {}", member.token);
        let headers = [("sec-websocket-protocol", "netra.v1"), ("authorization", authorization.as_str())];
        Self::open_on(stream, member.address, &headers).await.expect("the socket opens")
    }

    async fn open_on(
        stream: TcpStream,
        address: SocketAddr,
        headers: &[(&str, &str)],
    ) -> Result<Self, Response<Option<Vec<u8>>>> {
        match client_async(handshake(address, headers), MaybeTlsStream::Plain(stream)).await {
            Ok((socket, response)) => {
                let welcome = Value::Null;
                let mut client = Self { socket, welcome, response, next_id: 0, pushes: VecDeque::new() };
                let Push::Welcome(welcome) = client.push().await else { panic!("the first push is `welcome`") };
                client.welcome = json!(welcome);
                Ok(client)
            }
            Err(WsError::Http(response)) => Err(*response),
            Err(other) => panic!("neither opened nor refused: {other}"),
        }
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.expect("the frame is sent");
    }

    /// Sends a command; returns its id.
    pub(crate) async fn send(&mut self, command: impl Into<Command>) -> i64 {
        self.next_id += 1;
        self.send_text(encode_command(self.next_id, &command.into())).await;
        self.next_id
    }

    /// The next WebSocket message.
    pub(crate) async fn message(&mut self) -> Option<Result<Message, WsError>> {
        let coming = tokio::time::timeout(TEST_TIMEOUT, self.socket.next());
        coming.await.expect("a frame in time")
    }

    /// The next frame of the protocol.
    pub(crate) async fn frame(&mut self) -> ServerFrame {
        loop {
            match self.message().await {
                Some(Ok(Message::Text(text))) => return ServerFrame::decode(&text).expect("a frame"),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no frame but {other:?}"),
            }
        }
    }

    /// The next push.
    pub(crate) async fn push(&mut self) -> Push {
        if let Some(push) = self.pushes.pop_front() {
            return push;
        }
        match self.frame().await {
            ServerFrame::Push(push) => push,
            reply => panic!("no push but {reply:?}"),
        }
    }

    /// The next entry; presence is skipped.
    pub(crate) async fn event(&mut self) -> EventPush {
        loop {
            match self.push().await {
                Push::Event(event) if event.seq.is_some() => return event,
                Push::Event(_) => {}
                other => panic!("no entry but {other:?}"),
            }
        }
    }

    /// Waits for a presence signal with this many connections of all users.
    pub(crate) async fn until_present(&mut self, connections: u32) {
        loop {
            let Push::Event(EventPush { seq: None, entry, .. }) = self.push().await else { continue };
            let Ok(ThreadSignal::Presence { present }) = serde_json::from_value(entry) else { continue };
            if present.iter().map(|who| who.connections).sum::<u32>() == connections {
                return;
            }
        }
    }

    /// The reply to a command; pushes before it are kept.
    pub(crate) async fn reply(&mut self, id: i64) -> Result<Value, ErrorBody> {
        loop {
            match self.frame().await {
                ServerFrame::Reply { id: answered, outcome } if answered == id => return outcome,
                ServerFrame::Push(push) => self.pushes.push_back(push),
                other => panic!("not the reply to {id} but {other:?}"),
            }
        }
    }

    /// Sends a command and waits for its reply.
    pub(crate) async fn ask(&mut self, command: impl Into<Command>) -> Result<Value, ErrorBody> {
        let id = self.send(command).await;
        self.reply(id).await
    }

    /// Sends a command that must be refused; returns the code.
    pub(crate) async fn refused(&mut self, command: impl Into<Command>) -> ErrorCode {
        self.ask(command).await.expect_err("a refusal").code
    }

    pub(crate) async fn subscribe(&mut self, channel: ChannelName, after: Option<Cursor>) -> Subscribed {
        let reply = self.ask(Subscribe { channel, after, newest: None }).await.expect("the channel is followed");
        serde_json::from_value(reply).expect("the JSON has this type")
    }

    /// Subscribes to a thread without a cursor, so that a snapshot comes first.
    pub(crate) async fn follow(&mut self, thread: ThreadId) -> Subscribed {
        let subscribed = self.subscribe(ChannelName::Thread(thread), None).await;
        assert_eq!(subscribed.mode, Mode::Snapshot);
        subscribed
    }

    pub(crate) async fn create_thread(&mut self) -> ThreadId {
        let thread_id = ThreadId::new();
        let reply =
            self.ask(CreateThread { thread_id, title: None, agent: None }).await.expect("the thread is created");
        let ThreadReply { thread } = serde_json::from_value(reply).expect("the JSON has this type");
        assert_eq!(thread.id, thread_id);
        thread_id
    }

    /// Whether a WebSocket ping comes back.
    pub(crate) async fn ping_is_answered(&mut self) -> bool {
        self.socket.send(Message::Ping("here?".into())).await.expect("the frame is sent");
        loop {
            match self.message().await {
                Some(Ok(Message::Pong(echo))) => return echo == "here?",
                Some(Ok(Message::Ping(_) | Message::Text(_))) => {}
                _ => return false,
            }
        }
    }

    /// Waits for the close; returns code and reason. Earlier pushes are kept.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.message().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(Message::Text(text))) => match ServerFrame::decode(&text).expect("a frame") {
                    ServerFrame::Push(push) => self.pushes.push_back(push),
                    ServerFrame::Reply { .. } | ServerFrame::Entry(_) => {}
                },
                Some(Ok(_)) => {}
                other => panic!("no close but {other:?}"),
            }
        }
    }
}

/// A `send_message` command.
pub(crate) fn message(thread_id: ThreadId, text: &str) -> SendMessage {
    SendMessage::new(thread_id, text)
}
