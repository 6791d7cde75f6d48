//! Passwords: argon2id, off the async threads, few at once.

use std::{sync::Arc, thread, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::{
    protocol::{ErrorBody, ErrorCode},
    server::error::{Error, Result},
};

/// How long a call waits for its turn before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hashes and verifies. Each takes 19 MiB and some tens of milliseconds of one core: as many at once as there are cores.
#[derive(Debug)]
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    /// Stands in for the hash of an account that does not exist.
    nobody: Arc<str>,
}

impl Passwords {
    pub(super) async fn new() -> Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut passwords = Self { turns: Arc::new(Semaphore::new(cores)), nobody: "".into() };
        passwords.nobody = passwords.hash(&super::secret()).await?.into();
        Ok(passwords)
    }

    pub(super) async fn hash(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        let hash = self.work(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()));
        hash.await?.map_err(|error| Error::Corrupt(format!("argon2: {error}")))
    }

    /// Whether the password is right. Without a hash the same work is done, and the answer is no.
    pub(super) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let password = password.to_owned();
        let right = self.work(move || {
            let hash = PasswordHash::new(&hash)?;
            Ok::<_, argon2::password_hash::Error>(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        let right = right.await?.map_err(|error| Error::Corrupt(format!("a password's hash: {error}")))?;
        Ok(right && known)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let busy = || {
            let message = "too many people are signing in; try again in a moment";
            Error::from(ErrorBody::new(ErrorCode::Unavailable, message).retry_after(1_000))
        };
        let turn = timeout(PATIENCE, self.turns.clone().acquire_owned()).await;
        let turn = turn.ok().and_then(std::result::Result::ok).ok_or_else(busy)?;
        let done = spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| Error::Io(error.into()))
    }
}
