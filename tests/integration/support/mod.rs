//! What the tests share: servers, databases, clients and harnesses.

pub mod attach;
pub mod disk;
pub mod harness;
pub mod nats;
pub mod npm;
pub mod postgres;
pub mod python;
pub mod store;
pub mod threads;

mod http_client;
mod server;

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

pub use self::{
    http_client::{Client, cookie, problem},
    server::{Backends, Deployment, Setup, TestServer},
};

/// The setup token of every test server.
pub const SETUP_TOKEN: &str = "setup-token-of-the-tests";
/// The first administrator, created by [`TestServer::start`].
pub const ADMIN: Account = Account { email: "admin@example.com", name: "Admin", password: "a password for tests" };
/// What takes longer than this counts as hung, even on a busy machine.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The time between two calls of [`poll`].
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A second account, which a test adds with [`TestServer::add_member`].
pub const ADA: Account = Account { email: "ada@example.com", name: "Ada", password: "correct horse" };

/// A user account of a test server.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    pub email: &'static str,
    pub name: &'static str,
    pub password: &'static str,
}

/// The program under test; `NETRA_TEST_PROGRAM` names another build of it.
pub fn netra() -> Command {
    let program = std::env::var_os("NETRA_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_netra").into());
    let mut command = Command::new(program);
    // A test does not depend on the environment's variables.
    command.env_clear().env("NETRA_LOG", "netra=debug,warn").stdin(Stdio::null());
    command
}

/// Repeats a question until it has an answer, for at most [`TEST_TIMEOUT`]. Nothing is notified when the answer to an HTTP call or the value of
/// a counter changes, so it waits a little in between.
pub async fn poll<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answer = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(POLL_INTERVAL).await;
        }
    };
    timeout(TEST_TIMEOUT, answer).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Runs blocking work on another thread, for at most [`TEST_TIMEOUT`].
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    timeout(TEST_TIMEOUT, spawn_blocking(work))
        .await
        .expect("the work is done in time")
        .expect("the task does not panic")
}

/// A child process that is killed when this is dropped.
pub struct KillOnDrop(pub Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a process a signal: `TERM`, `INT`, `STOP`, `CONT`.
fn signal(process: &KillOnDrop, name: &str) {
    let id = process.0.id().to_string();
    let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill(1) is installed");
    assert!(sent.success());
}

/// The configuration of the agent `replay`, which replays a recorded run of about 550 events at this rate.
pub fn replay_agent(events_per_second: u32) -> String {
    let file = format!("{}/tests/data/replay.jsonl", env!("CARGO_MANIFEST_DIR"));
    format!(
        "[[agents]]\nid = \"replay\"\nname = \"Recorded run\"\nkind = \"replay\"\nfile = \"{file}\"\nevents_per_second = {events_per_second}\n"
    )
}

/// A local port that nothing listens on, for a server that may be stopped and started again. It is below the ports that systems give
/// to outgoing connections (from 32768 on Linux, from 49152 elsewhere), so that no connection takes it while the server is stopped.
pub fn free_port() -> u16 {
    let random = || 12_000 + u16::try_from(uuid::Uuid::now_v7().as_u128() % 20_000).expect("it is below 20,000");
    std::iter::repeat_with(random).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
