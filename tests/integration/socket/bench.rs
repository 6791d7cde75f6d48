//! A server of sockets in this process, people with credentials, and clients over real TCP.

use std::{collections::VecDeque, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Router, serve::ListenerExt};
use futures_util::{SinkExt, StreamExt};
use netra::{
    protocol::{
        ChannelName, Command, CreateThread, Cursor, ErrorBody, ErrorCode, EventPush, Mode, Push, RunId, SendMessage,
        ServerFrame, Subscribe, Subscribed, ThreadId, ThreadReply, ThreadSignal, UserId, encode_command,
        http::{AgentInfo, Role, User},
    },
    server::{
        agents::{AgentRegistry, Kinds},
        auth::{Auth, Identity, NewAccount, Sessions, Via},
        bus::Bus,
        channel::Channels,
        commands::Commands,
        config::Config,
        connections::{ConnectionManager, Nodes},
        runs::{Agent, AgentError, Done, Emitter, RunInput, Runner, RunnerOptions},
        store::Store,
        ws::{self, Gateway},
    },
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async,
    tungstenite::{
        Error as WsError, Message,
        client::IntoClientRequest,
        handshake::client::Request,
        http::{HeaderName, HeaderValue, Response},
    },
};
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The agent of the threads; no run gets as far as asking it.
struct Echo;

#[async_trait]
impl Agent for Echo {
    fn info(&self) -> AgentInfo {
        AgentInfo::new("echo", "Echo", "")
    }

    async fn run(&self, _: RunInput, _: Emitter) -> Result<Done, AgentError> {
        unreachable!("runs only wait here")
    }
}

/// A runner whose runs wait until they are stopped.
fn runner(channels: &Channels, config: &Config) -> Runner {
    let agents = AgentRegistry::new([Arc::new(Echo) as Arc<dyn Agent>], &[], Kinds::default());
    let max_waiting_per_user = config.runs.max_waiting_per_user;
    let options = RunnerOptions { max_runs: 0, max_waiting_per_user, ..RunnerOptions::new(config.files_dir()) };
    Runner::new(channels.clone(), agents.agents().clone(), options)
}

/// The server.
pub(crate) struct Bench {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) runner: Runner,
    pub(crate) files: PathBuf,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    stopping: CancellationToken,
    folder: Arc<tempfile::TempDir>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// A person and a token of theirs.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) user: User,
    pub(crate) token: String,
    address: SocketAddr,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(edit: impl FnOnce(&mut Config)) -> Self {
        Self::on(Arc::new(tempfile::tempdir().expect("a folder")), edit).await
    }

    /// Another node over the same store.
    pub(crate) async fn another(&self, edit: impl FnOnce(&mut Config)) -> Self {
        Self::on(self.folder.clone(), edit).await
    }

    async fn on(folder: Arc<tempfile::TempDir>, edit: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.server.data = folder.path().to_owned();
        edit(&mut config);
        let store = Store::open(folder.path()).await.expect("opens");
        let auth = Auth::new(store.clone(), &config).await.expect("begins");
        let manager = ConnectionManager::new(&config.socket);
        let bus = Bus::new(&config.bus, Arc::new(manager.clone()));
        let channels = Channels::new(store.clone(), Arc::new(bus.clone())).await.expect("begins");
        let (runner, files) = (runner(&channels, &config), config.files_dir());
        let nodes = Nodes::new(&channels, manager.clone(), runner.clone(), bus.clone());
        let stopping = CancellationToken::new();
        tokio::spawn(nodes.clone().run(channels.clone(), auth.clone(), stopping.clone()));
        let gateway = Arc::new(Gateway {
            manager,
            commands: Commands::new(channels.clone(), runner.clone(), nodes.clone(), files.clone()),
            nodes,
            channels,
            auth,
            config: config.socket.clone(),
            node: "bench".into(),
        });
        let router: Router = ws::routes(gateway.clone());
        let router = router.layer(Sessions::new(store.clone()).layer(&config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, gateway, runner, files, store, bus, stopping, folder }
    }

    pub(crate) fn manager(&self) -> &ConnectionManager {
        &self.gateway.manager
    }

    pub(crate) async fn person(&self, name: &str) -> Person {
        let account = NewAccount {
            email: format!("{name}@example.org"),
            name: name.into(),
            role: Role::Member,
            password: "correct horse".into(),
        };
        let user = self.gateway.auth.add(account).await.expect("made");
        let (token, _) = self.gateway.auth.mint_token(user.id).await.expect("minted");
        Person { user, token, address: self.address }
    }

    /// A session of this person, as signing in makes it; its key.
    pub(crate) async fn session(&self, person: &Person, expires_at: i64) -> String {
        let key = format!("session of {}", person.user.id);
        let sql = "INSERT INTO sessions (id, user_id, data, expires_at) VALUES ($1, $2, '{}', $3)";
        let mut tx = self.store.begin().await.expect("begins");
        let query = sqlx::query(sql).bind(&key).bind(person.user.id.to_string()).bind(expires_at);
        query.execute(&mut *tx).await.expect("inserts");
        tx.commit().await.expect("commits");
        key
    }

    /// A ticket that a session asked for.
    pub(crate) async fn ticket(&self, person: &Person, session: &str) -> String {
        let via = Via::Cookie { session: session.into() };
        let identity = Identity { user: person.user.clone(), via, expires_at: i64::MAX };
        self.gateway.auth.mint_ticket(&identity).await.expect("minted").0
    }

    /// Appends so many entries to a thread's log, as a run would.
    pub(crate) async fn append(&self, thread: ThreadId, count: usize) -> u64 {
        let event = netra::protocol::agui::Custom::new("netra.note", json!({ "text": "noted" }));
        let entry = netra::protocol::ThreadEntry::Agent { run_id: RunId::new(), event: Box::new(event.into()) };
        let mut tx = self.gateway.channels.begin().await.expect("begins");
        let seq = tx.append_to_thread(thread, &vec![entry; count]).await.expect("appends");
        tx.commit().await.expect("commits");
        seq
    }

    /// Waits until so many connections are open.
    pub(crate) async fn until_connections(&self, count: usize) {
        until("the count of connections", || self.manager().counts().connections == count).await;
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never came: {what}"));
}

impl Person {
    /// The same person, at another node.
    pub(crate) fn at(&self, bench: &Bench) -> Self {
        Self { address: bench.address, ..self.clone() }
    }

    /// Opens a socket.
    pub(crate) async fn connect(&self) -> Client {
        let authorization = format!("Bearer {}", self.token);
        let headers = [("sec-websocket-protocol", "netra.v1"), ("authorization", authorization.as_str())];
        Client::open(self.address, &headers).await.expect("opens")
    }

    pub(crate) fn id(&self) -> UserId {
        self.user.id
    }
}

/// A handshake with these headers.
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
    /// What came while something else was waited for.
    pub(crate) pushes: VecDeque<Push>,
}

impl Client {
    /// # Errors
    /// What the server answered instead of opening.
    pub(crate) async fn open(address: SocketAddr, headers: &[(&str, &str)]) -> Result<Self, Response<Option<Vec<u8>>>> {
        Self::open_on(TcpStream::connect(address).await.expect("connects"), address, headers).await
    }

    /// One whose kernel takes little before the server has to wait.
    pub(crate) async fn open_narrow(person: &Person) -> Self {
        let tcp = TcpSocket::new_v4().expect("a socket");
        tcp.set_recv_buffer_size(8 * 1024).expect("set");
        let stream = tcp.connect(person.address).await.expect("connects");
        let authorization = format!("Bearer {}", person.token);
        let headers = [("sec-websocket-protocol", "netra.v1"), ("authorization", authorization.as_str())];
        Self::open_on(stream, person.address, &headers).await.expect("opens")
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
        self.socket.send(Message::text(text.into())).await.expect("sends");
    }

    /// Sends a command; answers its id.
    pub(crate) async fn send(&mut self, command: impl Into<Command>) -> i64 {
        self.next_id += 1;
        self.send_text(encode_command(self.next_id, &command.into())).await;
        self.next_id
    }

    /// The next frame, as it comes.
    pub(crate) async fn message(&mut self) -> Option<Result<Message, WsError>> {
        let coming = tokio::time::timeout(PATIENCE, self.socket.next());
        coming.await.expect("a frame in time")
    }

    /// The next frame that is no ping.
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

    /// The next entry; who is there meanwhile is passed over.
    pub(crate) async fn event(&mut self) -> EventPush {
        loop {
            match self.push().await {
                Push::Event(event) if event.seq.is_some() => return event,
                Push::Event(_) => {}
                other => panic!("no entry but {other:?}"),
            }
        }
    }

    /// Waits until so many connections, of all people, are said to have the thread open.
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

    /// Sends a command that is refused; answers the code.
    pub(crate) async fn refused(&mut self, command: impl Into<Command>) -> ErrorCode {
        self.ask(command).await.expect_err("is refused").code
    }

    pub(crate) async fn subscribe(&mut self, channel: ChannelName, after: Option<Cursor>) -> Subscribed {
        let reply = self.ask(Subscribe { channel, after, newest: None }).await.expect("follows");
        serde_json::from_value(reply).expect("fits")
    }

    /// Follows a thread from its snapshot on.
    pub(crate) async fn follow(&mut self, thread: ThreadId) -> Subscribed {
        let subscribed = self.subscribe(ChannelName::Thread(thread), None).await;
        assert_eq!(subscribed.mode, Mode::Snapshot);
        subscribed
    }

    pub(crate) async fn create_thread(&mut self) -> ThreadId {
        let thread_id = ThreadId::new();
        let reply = self.ask(CreateThread { thread_id, title: None, agent: None }).await.expect("makes it");
        let ThreadReply { thread } = serde_json::from_value(reply).expect("fits");
        assert_eq!(thread.id, thread_id);
        thread_id
    }

    /// Whether a WebSocket ping comes back.
    pub(crate) async fn ping_is_answered(&mut self) -> bool {
        self.socket.send(Message::Ping("here?".into())).await.expect("sends");
        loop {
            match self.message().await {
                Some(Ok(Message::Pong(echo))) => return echo == "here?",
                Some(Ok(Message::Ping(_) | Message::Text(_))) => {}
                _ => return false,
            }
        }
    }

    /// How the server closed it; what came before is kept.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.message().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(Message::Text(text))) => match ServerFrame::decode(&text).expect("a frame") {
                    ServerFrame::Push(push) => self.pushes.push_back(push),
                    ServerFrame::Reply { .. } => {}
                },
                Some(Ok(_)) => {}
                other => panic!("no close but {other:?}"),
            }
        }
    }
}

/// A message as a client says it.
pub(crate) fn message(thread_id: ThreadId, text: &str) -> SendMessage {
    SendMessage::new(thread_id, text)
}
