//! A real NATS for tests: the system's `nats-server`, on a free port.

use std::{
    io::ErrorKind,
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{KillOnDrop, TEST_TIMEOUT, blocking, free_port};

/// A running server. Killed when dropped.
pub struct Nats {
    port: u16,
    server: Option<KillOnDrop>,
}

impl Nats {
    /// Starts a server.
    pub async fn start() -> Self {
        let mut nats = Self { port: free_port(), server: None };
        nats.restart().await;
        nats
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a crash does.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            blocking(move || drop(server)).await;
        }
    }

    /// Restarts it on the same port and waits until it listens.
    pub async fn restart(&mut self) {
        self.stop().await;
        let started = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let server = match started {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("NATS is not installed: `scripts/databases` installs it, or `apt-get install nats-server`")
            }
            started => started.expect("nats-server starts"),
        };
        self.server = Some(KillOnDrop(server));
        let port = self.port;
        blocking(move || {
            let started_at = Instant::now();
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(started_at.elapsed() < TEST_TIMEOUT, "NATS does not listen");
                std::thread::sleep(Duration::from_millis(10));
            }
        })
        .await;
    }
}
