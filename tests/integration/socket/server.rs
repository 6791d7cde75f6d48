//! A server of sockets in this process, and members with access tokens.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Router, serve::ListenerExt};
use netra::{
    protocol::{
        RunId, ThreadId, UserId,
        http::{AgentInfo, Role, User},
    },
    server::{
        agents::{AgentBuilder, AgentRegistry},
        auth::{Auth, Identity, NewAccount, Via},
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
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{socket::client::Client, support::TEST_TIMEOUT};

/// The agent of the threads. It is never called, as no run starts here.
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
    let agents = AgentRegistry::new([Arc::new(Echo) as Arc<dyn Agent>], &[], AgentBuilder::default());
    let max_waiting_per_user = config.runs.max_waiting_per_user;
    let options = RunnerOptions { max_runs: 0, max_waiting_per_user, ..RunnerOptions::new(config.files_dir()) };
    Runner::new(channels.clone(), agents.agents().clone(), options)
}

/// The server.
pub(crate) struct SocketServer {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) runner: Runner,
    pub(crate) files: PathBuf,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    stopping: CancellationToken,
    folder: Arc<tempfile::TempDir>,
}

impl Drop for SocketServer {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// A user with an access token, at a node.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) user: User,
    pub(crate) token: String,
    pub(crate) address: SocketAddr,
}

impl SocketServer {
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
        let store = Store::open(folder.path()).await.expect("the store opens");
        let auth = Auth::new(store.clone(), &config).await.expect("the accounts open");
        let manager = ConnectionManager::new(&config.socket);
        let bus = Bus::new(&config.bus, Arc::new(manager.clone()));
        let channels = Channels::new(store.clone(), Arc::new(bus.clone())).await.expect("the log opens");
        let (runner, files) = (runner(&channels, &config), config.files_dir());
        let nodes = Nodes::new(&channels, manager.clone(), runner.clone(), bus.clone(), &auth);
        let stopping = CancellationToken::new();
        tokio::spawn(nodes.clone().run(channels.clone(), auth.clone(), stopping.clone()));
        let gateway = Arc::new(Gateway {
            manager,
            commands: Commands::new(channels.clone(), runner.clone(), nodes.clone(), files.clone()),
            nodes,
            channels,
            auth: auth.clone(),
            config: config.socket.clone(),
            node: "test-node".into(),
        });
        let router: Router = ws::routes(gateway.clone());
        let router = router.layer(auth.sessions().layer(&config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, gateway, runner, files, store, bus, stopping, folder }
    }

    pub(crate) fn manager(&self) -> &ConnectionManager {
        &self.gateway.manager
    }

    pub(crate) async fn member(&self, name: &str) -> Member {
        self.account(name, Role::Member).await
    }

    /// Creates an account.
    pub(crate) async fn account(&self, name: &str, role: Role) -> Member {
        let account = NewAccount {
            email: format!("{name}@example.org"),
            name: name.into(),
            role,
            password: "correct horse".into(),
        };
        let user = self.gateway.auth.add(account).await.expect("the user is added");
        let (token, _) = self.gateway.auth.mint_token(user.id).await.expect("the token is issued");
        Member { user, token, address: self.address }
    }

    /// Creates a session, as signing in does; returns its key.
    pub(crate) async fn session(&self, member: &Member, expires_at: i64) -> String {
        let key = format!("session of {}", member.user.id);
        let sql = "INSERT INTO sessions (id, user_id, data, expires_at) VALUES ($1, $2, '{}', $3)";
        let mut tx = self.store.begin().await.expect("the transaction begins");
        let query = sqlx::query(sql).bind(&key).bind(member.user.id.to_string()).bind(expires_at);
        query.execute(&mut *tx).await.expect("the statement succeeds");
        tx.commit().await.expect("the transaction commits");
        key
    }

    /// A ticket minted with a session.
    pub(crate) async fn ticket(&self, member: &Member, session: &str) -> String {
        let via = Via::Cookie { session: session.into() };
        let identity = Identity { user: member.user.clone(), via, expires_at: i64::MAX };
        self.gateway.auth.mint_ticket(&identity).await.expect("the ticket is issued").0
    }

    /// Appends this many entries to a thread's log, as a run does.
    pub(crate) async fn append(&self, thread: ThreadId, count: usize) -> u64 {
        let event = netra::protocol::agui::Custom::new("netra.note", json!({ "text": "noted" }));
        let entry = netra::protocol::ThreadEntry::Agent { run_id: RunId::new(), event: Box::new(event.into()) };
        let mut tx = self.gateway.channels.begin().await.expect("the transaction begins");
        let seq = tx.append_to_thread(thread, &vec![entry; count]).await.expect("the entries are appended");
        tx.commit().await.expect("the transaction commits");
        seq
    }

    /// Waits until this many connections are open.
    pub(crate) async fn until_connections(&self, count: usize) {
        until("the count of connections", || self.manager().counts().connections == count).await;
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

impl Member {
    /// The same member at another node.
    pub(crate) fn at(&self, server: &SocketServer) -> Self {
        Self { address: server.address, ..self.clone() }
    }

    /// Opens a socket.
    pub(crate) async fn connect(&self) -> Client {
        let authorization = format!("Bearer {}", self.token);
        let headers = [("sec-websocket-protocol", "netra.v1"), ("authorization", authorization.as_str())];
        Client::open(self.address, &headers).await.expect("the socket opens")
    }

    pub(crate) fn id(&self) -> UserId {
        self.user.id
    }
}
