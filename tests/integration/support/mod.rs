//! A real server for tests: the binary itself, on a free port, with a data folder of its own.

pub mod attach;
pub mod disk;
pub mod nats;
pub mod npm;
pub mod owner;
pub mod postgres;
pub mod python;

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};

use self::{disk::SmallDisk, nats::Nats, postgres::Postgres};

/// The token that every test server is set up with.
pub const SETUP_TOKEN: &str = "setup-token-of-the-tests";
/// The first administrator, made by [`TestServer::start`].
pub const ADMIN: Person = Person { email: "admin@example.com", name: "Admin", password: "a password for tests" };
/// How long anything may take here.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody with an account.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    pub email: &'static str,
    pub name: &'static str,
    pub password: &'static str,
}

/// The program under test; `NETRA_TEST_PROGRAM` names another build of it.
pub fn netra() -> Command {
    let program = std::env::var_os("NETRA_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_netra").into());
    let mut command = Command::new(program);
    // Nothing of the surroundings decides a test: no file of the working directory, no variable.
    command.env_clear().env("NETRA_LOG", "netra=debug,warn").stdin(Stdio::null());
    command
}

/// What blocks, off the test's own thread and not for ever.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    timeout(PATIENCE, spawn_blocking(work)).await.expect("done in time").expect("no panic")
}

/// A child process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a process a signal: `TERM`, `INT`, `STOP`, `CONT`.
fn signal(process: &Running, name: &str) {
    let id = process.0.id().to_string();
    let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill(1) is there");
    assert!(sent.success());
}

/// The configuration of the agent `replay`, which plays a recorded run of some 550 events at a rate.
pub fn recorded(events_per_second: u32) -> String {
    let file = format!("{}/tests/data/replay.jsonl", env!("CARGO_MANIFEST_DIR"));
    format!(
        "[[agents]]\nid = \"replay\"\nname = \"Recorded run\"\nkind = \"replay\"\nfile = \"{file}\"\nevents_per_second = {events_per_second}\n"
    )
}

/// A port of this machine that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port()
}

/// What a server keeps its data in and talks with other nodes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// SQLite and one process.
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
    /// Starts both, with an empty database: on a disk, where one is given.
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

/// A running server. Dropped, it is killed, and its log is held to AG-UI's rules.
pub struct TestServer {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The link that it printed.
    pub link: String,
    // Before the folder: it is gone when the log is read.
    child: Running,
    folder: Folder,
    variables: Vec<(String, String)>,
    backends: Option<Arc<Backends>>,
}

/// Kept by whoever restarts the server.
type Folder = Arc<Kept>;

/// What a server keeps. When nobody needs it any more, every run in its embedded store must be in order.
struct Kept {
    folder: TempDir,
    spoilt: AtomicBool,
    // After what is on it was looked at.
    _disk: Option<Arc<SmallDisk>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let spoilt = self.spoilt.load(Ordering::Relaxed) || !data.join("netra.db").exists();
        if spoilt || std::thread::panicking() {
            return;
        }
        let mut verify = netra();
        verify.args(["store", "verify", "--data"]).arg(&data).current_dir(self.folder.path());
        let verdict = verify.output().expect("it ran");
        assert!(verdict.status.success(), "the log of this test: {}", String::from_utf8_lossy(&verdict.stdout));
    }
}

/// How a server begins.
#[derive(Default)]
pub struct Setup {
    variables: Vec<(String, String)>,
    file: String,
    engine: Option<Engine>,
    backends: Option<Arc<Backends>>,
    disk: Option<Arc<SmallDisk>>,
}

impl Setup {
    /// Sets `NETRA_<name>`: `SOCKET__HEARTBEAT_MS`, say.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((format!("NETRA_{name}"), value.to_string()));
        self
    }

    /// Adds lines to the configuration file (for `[[agents]]`).
    pub fn file(mut self, text: &str) -> Self {
        self.file.push_str(text);
        self
    }

    /// Chooses the engine; [`Engine::Distributed`] comes with a PostgreSQL and a NATS of its own.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Has the store, and what else a single server keeps, on this disk.
    pub fn disk(mut self, disk: Option<Arc<SmallDisk>>) -> Self {
        self.disk = disk;
        self
    }

    /// Makes it a node beside others on the same PostgreSQL and NATS.
    pub fn on(mut self, backends: &Arc<Backends>) -> Self {
        self.backends = Some(backends.clone());
        self
    }

    /// Starts a server that nobody has an account on yet.
    pub async fn empty(mut self) -> TestServer {
        if self.engine == Some(Engine::Distributed) && self.backends.is_none() {
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
        let folder = Folder::new(Kept { folder, spoilt: AtomicBool::new(false), _disk: disk });
        std::fs::write(folder.folder.path().join("netra.toml"), &self.file).expect("the configuration is written");
        let listen = format!("127.0.0.1:{}", free_port());
        Stopped { folder, variables: self.variables, listen, backends: self.backends }.restart().await
    }

    /// Starts a server with [`ADMIN`] on it.
    pub async fn start(self) -> TestServer {
        let server = self.empty().await;
        server.set_up().await;
        server
    }
}

impl TestServer {
    /// A server with [`ADMIN`] on it and the settings by default.
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
        let child = Running(child);
        let link = blocking(|| out.lines().next()).await.expect("it prints a link before it ends").expect("text");
        Self { url: format!("http://{listen}"), link, folder, variables, child, backends }
    }

    /// The folder that the server keeps everything in.
    pub fn data(&self) -> PathBuf {
        self.folder.folder.path().join("data")
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.folder.path()
    }

    /// Says that the test breaks the log, or that it is another program's: it is not held to the rules in the end.
    pub fn spoil(&self) {
        self.folder.spoilt.store(true, Ordering::Relaxed);
    }

    /// Makes [`ADMIN`].
    pub async fn set_up(&self) {
        let body =
            json!({"setup_token": SETUP_TOKEN, "email": ADMIN.email, "name": ADMIN.name, "password": ADMIN.password});
        let answer = Client::new(self).post("/api/auth/setup", &body).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap_or_default());
    }

    /// Makes a member, through the command line.
    pub async fn add(&self, person: Person) {
        let mut child = netra()
            .args(["user", "add", "--password-stdin", "--email", person.email, "--name", person.name, "--data"])
            .arg(self.data())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the command starts");
        let mut stdin = child.stdin.take().expect("standard input");
        stdin.write_all(person.password.as_bytes()).expect("it reads the password");
        drop(stdin);
        assert!(blocking(move || child.wait()).await.expect("it ran").success());
    }

    /// A browser in which somebody is signed in.
    pub async fn signed_in(&self, person: Person) -> Client {
        let client = Client::new(self);
        let answer = client.sign_in(person).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap_or_default());
        client
    }

    /// An access token of somebody.
    pub async fn token(&self, person: Person) -> String {
        let body = json!({"email": person.email, "password": person.password});
        let answer = Client::new(self).post("/api/auth/token", &body).await;
        let answer: Value = answer.json().await.expect("JSON");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("an address")
    }

    /// The socket's address.
    pub fn socket_url(&self) -> String {
        format!("{}/ws", self.url.replacen("http", "ws", 1))
    }

    /// Asks the server to stop, as a supervisor would; answers its exit code.
    pub async fn stop(self) -> (Option<i32>, Stopped) {
        self.signal("TERM");
        self.wait().await
    }

    /// Waits until the server ended by itself; answers its exit code.
    pub async fn wait(self) -> (Option<i32>, Stopped) {
        let (mut child, stopped) = self.parts();
        (blocking(move || child.0.wait()).await.expect("it ran").code(), stopped)
    }

    /// Waits until the server ended by itself, for good; answers its exit code.
    pub async fn ended(self) -> Option<i32> {
        self.wait().await.0
    }

    /// Starts it again with an empty configuration file.
    pub async fn without_agents(self) -> Self {
        let stopped = self.kill().await;
        std::fs::write(stopped.folder.folder.path().join("netra.toml"), "").expect("the configuration is written");
        stopped.restart().await
    }

    /// Ends the server as a power cut would.
    pub async fn kill(self) -> Stopped {
        let (child, stopped) = self.parts();
        blocking(move || drop(child)).await;
        stopped
    }

    /// Sends the process a signal: `TERM`, `INT`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// The PostgreSQL and the NATS that it runs on.
    pub fn backends(&self) -> Option<&Arc<Backends>> {
        self.backends.as_ref()
    }

    fn parts(self) -> (Running, Stopped) {
        let listen = self.url.trim_start_matches("http://").to_owned();
        (self.child, Stopped { folder: self.folder, variables: self.variables, listen, backends: self.backends })
    }
}

/// A server that is down; its data and its port wait.
pub struct Stopped {
    folder: Folder,
    variables: Vec<(String, String)>,
    listen: String,
    backends: Option<Arc<Backends>>,
}

impl Stopped {
    /// The folder that the server keeps everything in.
    pub fn data(&self) -> PathBuf {
        self.folder.folder.path().join("data")
    }

    /// Starts it again, on the same data and the same port.
    pub async fn restart(self) -> TestServer {
        TestServer::spawn(self).await
    }
}

/// Something that speaks HTTP with the server and keeps its cookies.
#[derive(Clone)]
pub struct Client {
    pub url: String,
    http: reqwest::Client,
}

impl Client {
    /// One without cookies yet. It does not follow redirects.
    pub fn new(server: &TestServer) -> Self {
        let http = reqwest::Client::builder()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .expect("a client");
        Self { url: server.url.clone(), http }
    }

    /// A request to be completed and sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("it answers")
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.expect("it answers")
    }

    pub async fn put(&self, path: &str, body: &Value) -> Response {
        self.request(Method::PUT, path).json(body).send().await.expect("it answers")
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.expect("it answers")
    }

    /// Posts nothing.
    pub async fn call(&self, path: &str) -> Response {
        self.request(Method::POST, path).send().await.expect("it answers")
    }

    pub async fn sign_in(&self, person: Person) -> Response {
        self.post("/api/auth/sign-in", &json!({"email": person.email, "password": person.password})).await
    }

    /// A file for a thread.
    pub async fn upload(&self, thread: &str, name: &str, content: impl Into<Vec<u8>>) -> Response {
        let part = reqwest::multipart::Part::bytes(content.into()).file_name(name.to_owned());
        let form = reqwest::multipart::Form::new().part("file", part);
        let path = format!("/api/threads/{thread}/files");
        self.request(Method::POST, &path).multipart(form).send().await.expect("it answers")
    }
}

/// The `name=value` of the cookie that an answer sets.
pub fn cookie(answer: &Response) -> String {
    let set = answer.headers().get(header::SET_COOKIE).expect("a cookie is set").to_str().expect("text");
    set.split(';').next().unwrap_or_default().to_owned()
}

/// Holds that an answer is a problem with a status and a code; answers its body.
pub async fn problem(answer: Response, status: u16, code: &str) -> Value {
    let (got, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
    let text = answer.text().await.expect("a body");
    assert_eq!(got.as_u16(), status, "{text}");
    assert_eq!(kind.expect("a type"), "application/problem+json", "{text}");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((body["code"].as_str(), body["status"].as_u64()), (Some(code), Some(u64::from(status))), "{text}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{text}");
    body
}
