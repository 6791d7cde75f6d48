//! A real PostgreSQL for tests: the system's programs, on a free port, with a folder of its own.
//!
//! A cluster is a copy of one that `initdb` made once for this build, so it starts in a fraction of a second. Commits are durable, as in
//! production. A cluster ends with its test, also when the test panics.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{KillOnDrop, TEST_TIMEOUT, blocking, free_port, signal};

/// A running cluster. When dropped, it stops and its folder is removed.
pub struct Postgres {
    bin: PathBuf,
    folder: TempDir,
    port: u16,
    server: Option<KillOnDrop>,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a cluster.
    pub async fn start() -> Self {
        let mut cluster = blocking(|| {
            let bin = programs();
            let folder = tempfile::Builder::new().prefix("netra-postgres-").tempdir().expect("a folder");
            run(Command::new("cp").arg("-a").arg(template(&bin)).arg(folder.path().join("data")));
            hand_over(folder.path());
            Self { bin, folder, port: free_port(), server: None, databases: AtomicU32::new(0) }
        })
        .await;
        cluster.restart().await;
        cluster
    }

    /// The URL of the cluster's first database.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Creates another database and returns its URL.
    pub async fn database(&self) -> String {
        let name = format!("netra_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut create = self.client("createdb");
        create.arg(&name);
        blocking(move || run(&mut create)).await;
        self.url_of(&name)
    }

    /// Creates a database with its tables on this disk and returns its URL. The write-ahead log stays in the cluster's folder.
    pub async fn database_on(&self, disk: &Path) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let (name, place) = (format!("netra_{number}"), disk.join("tables"));
        fs::create_dir(&place).expect("a folder");
        hand_over(&place);
        let mut space = self.client("psql");
        space.args(["-q", "-d", "postgres", "-c"]);
        space.arg(format!("CREATE TABLESPACE space_{number} LOCATION '{}'", place.display()));
        let mut create = self.client("createdb");
        create.args(["--tablespace", &format!("space_{number}"), &name]);
        blocking(move || {
            run(&mut space);
            run(&mut create);
        })
        .await;
        self.url_of(&name)
    }

    /// Stops it without a checkpoint, as a crash does. Commits survive [`Self::restart`].
    pub async fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            signal(&server, "QUIT");
            blocking(move || server.0.wait()).await.expect("the program runs");
        }
    }

    /// Restarts it on the same port and waits until it answers.
    pub async fn restart(&mut self) {
        self.stop().await;
        let mut server = as_postgres(&self.bin.join("postgres"));
        let data = self.folder.path().join("data");
        server.arg("-D").arg(data).arg("-k").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        // `syncfs`: after a crash it syncs the file system once instead of every file.
        let settings = [
            "listen_addresses=127.0.0.1",
            "max_connections=200",
            "shared_buffers=64MB",
            "recovery_init_sync_method=syncfs",
        ];
        server.args(settings.iter().flat_map(|setting| ["-c", setting]));
        let log = || Stdio::from(File::options().create(true).append(true).open(self.log()).expect("a log"));
        server.stdin(Stdio::null()).stdout(log()).stderr(log());
        self.server = Some(KillOnDrop(server.spawn().expect("postgres starts")));
        let (mut ready, log) = (self.client("pg_isready"), self.log());
        blocking(move || {
            let begun = Instant::now();
            while !ready.output().expect("pg_isready runs").status.success() {
                let log_text = || fs::read_to_string(&log).unwrap_or_default();
                assert!(begun.elapsed() < TEST_TIMEOUT, "PostgreSQL does not answer: {}", log_text());
                std::thread::sleep(Duration::from_millis(20));
            }
        })
        .await;
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// A client program of PostgreSQL, with the options to connect to this cluster.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // SIGQUIT, as SIGKILL would leave its shared memory behind.
            signal(server, "QUIT");
            let _ = server.0.wait();
        }
    }
}

/// The folder of PostgreSQL's programs, found through links on the PATH or where Debian installs it.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    std::env::split_paths(&path)
        .chain(packaged)
        .filter_map(|folder| Some(folder.join("initdb").canonicalize().ok()?.parent()?.to_owned()))
        .find(|bin| ["postgres", "pg_isready", "createdb"].iter().all(|program| bin.join(program).exists()))
        .expect("PostgreSQL is not installed: `scripts/databases` installs it, or `apt-get install postgresql`")
}

/// The cluster that the others are copies of; the first test creates it.
fn template(bin: &Path) -> PathBuf {
    let root = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let version = Command::new(bin.join("initdb")).arg("--version").output().expect("initdb runs").stdout;
    let version = String::from_utf8_lossy(&version).split_whitespace().nth(2).unwrap_or_default().to_owned();
    fs::create_dir_all(&root).expect("a folder");
    let template = root.join(format!("postgres-{version}"));
    let lock = File::create(root.join("postgres.lock")).expect("a lock");
    lock.lock().expect("the file is locked");
    if !template.exists() {
        let folder = tempfile::Builder::new().prefix("netra-initdb-").tempdir().expect("a folder");
        hand_over(folder.path());
        let made = folder.path().join("data");
        let options = ["-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=trust", "--wal-segsize=1", "--no-sync"];
        run(as_postgres(&bin.join("initdb")).arg("-D").arg(&made).args(options));
        // Renamed only when it is complete.
        let whole = root.join("postgres-new");
        let _ = fs::remove_dir_all(&whole);
        run(Command::new("cp").arg("-a").arg(&made).arg(&whole));
        fs::rename(whole, &template).expect("the file is renamed");
    }
    template
}

/// Whether the tests run as root. PostgreSQL refuses to.
fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// A command that runs as the user `postgres` if the tests run as root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program).current_dir("/");
    command
}

/// Makes `postgres` the owner of a folder if the tests run as root.
fn hand_over(folder: &Path) {
    if is_root() {
        run(Command::new("chown").args(["-R", "postgres:"]).arg(folder));
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
