//! A real server for tests: the `netra` program, on a free port, with its own data folder.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use netra::socket::native::{Client as Socket, ClientConfig};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::{
    ADMIN, Account, Client, KillOnDrop, SETUP_TOKEN, blocking, disk::SmallDisk, free_port, nats::Nats, netra,
    postgres::Postgres, signal,
};

/// Which store and bus a server uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    /// SQLite, and no bus.
    Embedded,
    /// PostgreSQL and NATS.
    Distributed,
}

/// What the nodes of one installation share.
pub struct Backends {
    pub postgres: Mutex<Postgres>,
    pub nats: Mutex<Nats>,
    store_url: String,
    bus_url: String,
    files: TempDir,
}

impl Backends {
    /// Starts PostgreSQL, with an empty database (on `disk`, if given), and NATS.
    pub async fn start(disk: Option<&SmallDisk>) -> Arc<Self> {
        let (postgres, nats) = tokio::join!(Postgres::start(), Nats::start());
        let store_url = match disk {
            Some(disk) => postgres.database_on(disk.path()).await,
            None => postgres.url(),
        };
        let bus_url = nats.url();
        let files = tempfile::tempdir().expect("a folder");
        Arc::new(Self { postgres: Mutex::new(postgres), nats: Mutex::new(nats), store_url, bus_url, files })
    }

    /// The folder of the nodes' uploaded files.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// The address of the nodes' database.
    pub fn store_url(&self) -> &str {
        &self.store_url
    }
}

/// A running server. When it is dropped, the process is killed and the log in its SQLite database is verified.
pub struct TestServer {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The link that it printed at start.
    pub link: String,
    // Dropped before the folder: the server has ended when the log is verified.
    child: KillOnDrop,
    folder: Arc<ServerFolder>,
    variables: Vec<(String, String)>,
    backends: Option<Arc<Backends>>,
}

/// A server's folder, which outlives restarts. When it is dropped, `netra store verify` must accept the log.
struct ServerFolder {
    folder: TempDir,
    skip_verification: AtomicBool,
    // Unmounted after the verification.
    _disk: Option<Arc<SmallDisk>>,
}

impl Drop for ServerFolder {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let skip = self.skip_verification.load(Ordering::Relaxed) || !data.join("netra.db").exists();
        if skip || std::thread::panicking() {
            return;
        }
        let mut verify = netra();
        verify.args(["store", "verify", "--data"]).arg(&data).current_dir(self.folder.path());
        let output = verify.output().expect("the program runs");
        assert!(output.status.success(), "the log of this test: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// The settings of a server that is to be started.
#[derive(Default)]
pub struct Setup {
    variables: Vec<(String, String)>,
    file: String,
    deployment: Option<Deployment>,
    backends: Option<Arc<Backends>>,
    disk: Option<Arc<SmallDisk>>,
}

impl Setup {
    /// Sets the environment variable `NETRA_<name>`, for example `SOCKET__HEARTBEAT_MS`.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((format!("NETRA_{name}"), value.to_string()));
        self
    }

    /// Appends to the configuration file, `[[agents]]` for example.
    pub fn file(mut self, text: &str) -> Self {
        self.file.push_str(text);
        self
    }

    /// Chooses the deployment; [`Deployment::Distributed`] starts PostgreSQL and NATS.
    pub fn deployment(mut self, deployment: Deployment) -> Self {
        self.deployment = Some(deployment);
        self
    }

    /// Puts the server's data on this disk.
    pub fn disk(mut self, disk: Option<Arc<SmallDisk>>) -> Self {
        self.disk = disk;
        self
    }

    /// Makes it one of several nodes on the same PostgreSQL and NATS.
    pub fn on(mut self, backends: &Arc<Backends>) -> Self {
        self.backends = Some(backends.clone());
        self
    }

    /// Starts a server without accounts.
    pub async fn start_without_accounts(mut self) -> TestServer {
        if self.deployment == Some(Deployment::Distributed) && self.backends.is_none() {
            self.backends = Some(Backends::start(self.disk.as_deref()).await);
        }
        if let Some(backends) = &self.backends {
            let shared = [
                ("NETRA_STORE__URL", backends.store_url.clone()),
                ("NETRA_BUS__URL", backends.bus_url.clone()),
                ("NETRA_SERVER__FILES", backends.files.path().display().to_string()),
            ];
            self.variables.extend(shared.map(|(name, value)| (name.to_owned(), value)));
        }
        let disk = self.disk.filter(|_| self.backends.is_none());
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(disk) = &disk {
            std::os::unix::fs::symlink(disk.path().join("data"), folder.path().join("data")).expect("a link");
            std::fs::create_dir(disk.path().join("data")).expect("a folder");
        }
        let folder = Arc::new(ServerFolder { folder, skip_verification: AtomicBool::new(false), _disk: disk });
        std::fs::write(folder.folder.path().join("netra.toml"), &self.file).expect("the configuration is written");
        let listen = format!("127.0.0.1:{}", free_port());
        Stopped { folder, variables: self.variables, listen, backends: self.backends }.restart().await
    }

    /// Starts a server and creates [`ADMIN`].
    pub async fn start(self) -> TestServer {
        let server = self.start_without_accounts().await;
        server.set_up().await;
        server
    }
}

impl TestServer {
    /// A server with default settings and [`ADMIN`].
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    async fn spawn(stopped: Stopped) -> Self {
        let Stopped { folder, variables, listen, backends } = stopped;
        let mut child = netra()
            .args(["serve", "--listen", &listen, "--data"])
            .arg(folder.folder.path().join("data"))
            .arg("--config")
            .arg(folder.folder.path().join("netra.toml"))
            .env("NETRA_SETUP_TOKEN", SETUP_TOKEN)
            .env("NETRA_SERVER__METRICS", "public")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let out = BufReader::new(child.stdout.take().expect("standard output"));
        let child = KillOnDrop(child);
        let link = blocking(|| out.lines().next()).await.expect("it prints a link before it ends").expect("text");
        Self { url: format!("http://{listen}"), link, folder, variables, child, backends }
    }

    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.folder.path().join("data")
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.folder.path()
    }

    /// Skips the verification of the log at the end, for a test that breaks it or writes it with another program.
    pub fn skip_log_verification(&self) {
        self.folder.skip_verification.store(true, Ordering::Relaxed);
    }

    /// Creates [`ADMIN`].
    pub async fn set_up(&self) {
        let body =
            json!({"setup_token": SETUP_TOKEN, "email": ADMIN.email, "name": ADMIN.name, "password": ADMIN.password});
        let answer = Client::new(self).post("/api/auth/setup", &body).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap_or_default());
    }

    /// Creates a member with `netra user add`.
    pub async fn add_member(&self, account: Account) {
        let mut child = netra()
            .args(["user", "add", "--password-stdin", "--email", account.email, "--name", account.name, "--data"])
            .arg(self.data())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the command starts");
        let mut stdin = child.stdin.take().expect("standard input");
        stdin.write_all(account.password.as_bytes()).expect("the process reads the password");
        drop(stdin);
        assert!(blocking(move || child.wait()).await.expect("the program runs").success());
    }

    /// A client that is signed in to an account.
    pub async fn signed_in(&self, account: Account) -> Client {
        let client = Client::new(self);
        let answer = client.sign_in(account).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap_or_default());
        client
    }

    /// An access token of an account.
    pub async fn token(&self, account: Account) -> String {
        let body = json!({"email": account.email, "password": account.password});
        let answer = Client::new(self).post("/api/auth/token", &body).await;
        let answer: Value = answer.json().await.expect("JSON");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("an address")
    }

    /// The socket's address.
    pub fn socket_url(&self) -> String {
        format!("{}/ws", self.url.replacen("http", "ws", 1))
    }

    /// A socket of an account.
    pub async fn socket(&self, account: Account) -> Socket {
        Socket::connect(ClientConfig::bearer(self.socket_url(), self.token(account).await))
    }

    /// Sends SIGTERM and waits for the end; returns the exit code.
    pub async fn stop(self) -> (Option<i32>, Stopped) {
        self.signal("TERM");
        self.wait().await
    }

    /// Waits for the end; returns the exit code.
    pub async fn wait(self) -> (Option<i32>, Stopped) {
        let (mut child, stopped) = self.into_parts();
        (blocking(move || child.0.wait()).await.expect("the program runs").code(), stopped)
    }

    /// Waits for the end of a server that is not restarted; returns the exit code.
    pub async fn exit_code(self) -> Option<i32> {
        self.wait().await.0
    }

    /// Restarts the server with an empty configuration file.
    pub async fn without_agents(self) -> Self {
        let stopped = self.kill().await;
        std::fs::write(stopped.folder.folder.path().join("netra.toml"), "").expect("the configuration is written");
        stopped.restart().await
    }

    /// Kills the process, as a power cut does.
    pub async fn kill(self) -> Stopped {
        let (child, stopped) = self.into_parts();
        blocking(move || drop(child)).await;
        stopped
    }

    /// Sends the process a signal: `TERM`, `INT`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Its PostgreSQL and NATS.
    pub fn backends(&self) -> Option<&Arc<Backends>> {
        self.backends.as_ref()
    }

    fn into_parts(self) -> (KillOnDrop, Stopped) {
        let listen = self.url.trim_start_matches("http://").to_owned();
        (self.child, Stopped { folder: self.folder, variables: self.variables, listen, backends: self.backends })
    }
}

/// A stopped server that can be started again.
pub struct Stopped {
    folder: Arc<ServerFolder>,
    variables: Vec<(String, String)>,
    listen: String,
    backends: Option<Arc<Backends>>,
}

impl Stopped {
    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.folder.path().join("data")
    }

    /// Starts it again, with the same data and port.
    pub async fn restart(self) -> TestServer {
        TestServer::spawn(self).await
    }
}
