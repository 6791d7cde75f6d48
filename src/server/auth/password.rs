//! Hashes and verifies passwords: argon2id, on blocking threads, a few at a time, in reused memory.
//!
//! A hash needs 19 MiB. Allocated on any thread for each hash, a burst of sign-ins would leave gigabytes of fragmented heap; so there
//! are only as many such blocks as hashes at the same time, and one is kept.

use std::{mem, sync::Arc, thread, time::Duration};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        self,
        phc::{Output, ParamsString, PasswordHash, Salt},
        try_generate_salt,
    },
};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

use crate::{
    protocol::{ErrorBody, ErrorCode},
    server::error::{Error, Result},
};

/// The most hashes at the same time, and no more than there are cores.
const MAX_CONCURRENT: usize = 4;
/// The most calls that wait; one more is refused.
const MAX_WAITING: usize = 64;
/// How long a call waits before it is refused.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// When a refused call may be tried again, in milliseconds.
const RETRY_AFTER_MS: u64 = 2_000;

/// Hashes and verifies passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    /// A permit for each call, waiting or not.
    places: Arc<Semaphore>,
    /// A permit for each hash that is computed.
    turns: Arc<Semaphore>,
    memory: Arc<Mutex<Vec<Memory>>>,
    /// The hash to verify against if there is no account.
    dummy_hash: Arc<str>,
}

impl Passwords {
    pub(super) async fn new() -> Result<Self> {
        let at_once = thread::available_parallelism().map_or(1, usize::from).min(MAX_CONCURRENT);
        let mut passwords = Self::with_dummy_hash(at_once, MAX_WAITING, "".into());
        passwords.dummy_hash = passwords.hash(&super::secret()).await?.into();
        Ok(passwords)
    }

    fn with_dummy_hash(at_once: usize, waiting: usize, dummy_hash: Arc<str>) -> Self {
        let places = Arc::new(Semaphore::new(at_once + waiting));
        Self { places, turns: Arc::new(Semaphore::new(at_once)), memory: Arc::default(), dummy_hash }
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// `rate_limited` if too many calls wait.
    pub(super) async fn hash(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        let hash = self.work(move |memory| memory.hash(password.as_bytes()).map(|hash| hash.to_string()));
        hash.await?.map_err(|error| Error::Corrupt(format!("argon2: {error}")))
    }

    /// Whether a password matches a hash. Without a hash this takes the same time and returns false.
    ///
    /// # Errors
    /// `rate_limited` if too many calls wait.
    pub(super) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.dummy_hash).to_owned();
        let password = password.to_owned();
        let right = self.work(move |memory| memory.verify(password.as_bytes(), &PasswordHash::new(&hash)?));
        let right = right.await?.map_err(|error| Error::Corrupt(format!("a password's hash: {error}")))?;
        Ok(right && known)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce(&mut Memory) -> T + Send + 'static) -> Result<T> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| busy())?;
        let turn = timeout(WAIT_TIMEOUT, self.turns.clone().acquire_owned()).await;
        let turn = turn.ok().and_then(std::result::Result::ok).ok_or_else(busy)?;
        let (turns, memory) = (self.turns.clone(), self.memory.clone());
        let done = spawn_blocking(move || {
            let mut mine = memory.lock().pop().unwrap_or_default();
            let done = work(&mut mine);
            return_memory(mine, &memory, &turns);
            drop::<[OwnedSemaphorePermit; 2]>([turn, place]);
            done
        });
        done.await.map_err(|error| Error::Io(error.into()))
    }
}

/// Keeps memory for the next hash: each block while calls wait, otherwise one.
fn return_memory(mine: Memory, memory: &Mutex<Vec<Memory>>, turns: &Semaphore) {
    let mut kept = memory.lock();
    if kept.is_empty() || turns.available_permits() == 0 {
        kept.push(mine);
    } else {
        // The blocks that a burst of calls left.
        drop(mem::take(&mut *kept));
        kept.push(mine);
    }
}

fn busy() -> Error {
    let message = "too many people are signing in; try again in a moment";
    ErrorBody::new(ErrorCode::RateLimited, message).retry_after(RETRY_AFTER_MS).into()
}

/// The memory that a hash is computed in.
#[derive(Debug, Default)]
struct Memory(Vec<Block>);

impl Memory {
    fn hash(&mut self, password: &[u8]) -> password_hash::Result<PasswordHash> {
        let params = Params::default();
        let salt = try_generate_salt().map_err(|_| password_hash::Error::Crypto)?;
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let argon = Argon2::new(Algorithm::default(), Version::default(), params);
        let output = self.compute(&argon, password, &salt, length)?;
        Ok(PasswordHash {
            algorithm: Algorithm::default().ident(),
            version: Some(Version::default().into()),
            params: ParamsString::try_from(argon.params())?,
            salt: Some(Salt::new(&salt)?),
            hash: Some(output),
        })
    }

    fn verify(&mut self, password: &[u8], hash: &PasswordHash) -> password_hash::Result<bool> {
        let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return Ok(false) };
        let algorithm = Algorithm::try_from(hash.algorithm.as_str())?;
        let version = hash.version.map(Version::try_from).transpose()?.unwrap_or_default();
        let argon = Argon2::new(algorithm, version, Params::try_from(hash)?);
        // Outputs are compared in constant time.
        Ok(self.compute(&argon, password, salt, expected.len())? == *expected)
    }

    fn compute(
        &mut self,
        argon: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        length: usize,
    ) -> password_hash::Result<Output> {
        let blocks = argon.params().block_count();
        if self.0.len() < blocks {
            self.0.resize(blocks, Block::new());
        }
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..length).ok_or(password_hash::Error::OutputSize)?;
        argon.hash_password_into_with_memory(password, salt, output, &mut self.0[..blocks])?;
        Ok(Output::new(output)?)
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    use super::*;

    #[tokio::test]
    async fn hashes_and_checks_agree_with_the_library() {
        let passwords = Passwords::with_dummy_hash(2, 8, "".into());
        let ours = passwords.hash("correct horse").await.unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", ours.as_str()).is_ok());
        let theirs = Argon2::default().hash_password(b"correct horse").unwrap().to_string();
        assert!(passwords.verify("correct horse", Some(&theirs)).await.unwrap());
        assert!(!passwords.verify("correct house", Some(&theirs)).await.unwrap());
        assert!(!passwords.verify("correct horse", Some("$argon2id$v=19$m=8,t=1,p=1")).await.unwrap());
        assert!(passwords.verify("correct horse", Some("not a hash")).await.is_err());
    }

    #[tokio::test]
    async fn memory_is_reused_and_one_block_is_kept() {
        let passwords = Passwords::with_dummy_hash(2, 64, "".into());
        let hash = passwords.hash("correct horse").await.unwrap();
        let address =
            |passwords: &Passwords| passwords.memory.lock().iter().map(|m| m.0.as_ptr() as usize).collect::<Vec<_>>();
        let first = address(&passwords);
        assert_eq!(first.len(), 1);
        assert!(passwords.verify("correct horse", Some(&hash)).await.unwrap());
        assert_eq!(address(&passwords), first);
        let many = (0..16).map(|_| passwords.verify("correct horse", Some(&hash)));
        assert!(futures_util::future::join_all(many).await.into_iter().all(Result::unwrap));
        assert!(address(&passwords).len() <= 2);
        assert!(passwords.verify("correct horse", Some(&hash)).await.unwrap());
        assert_eq!(address(&passwords).len(), 1);
    }

    #[tokio::test]
    async fn one_call_too_many_is_refused_with_the_time_to_wait() {
        let passwords = Passwords::with_dummy_hash(1, 1, "".into());
        let hash = passwords.hash("correct horse").await.unwrap();
        let _all = passwords.places.clone().acquire_many_owned(2).await.unwrap();
        let refused = passwords.verify("correct horse", Some(&hash)).await.unwrap_err().into_body();
        assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::RateLimited, Some(RETRY_AFTER_MS)));
    }
}
