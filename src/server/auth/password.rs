//! Passwords: argon2id, off the async threads, a few at a time, in memory that is used again.
//!
//! A hash fills 19 MiB. Allocated for each on whatever thread is free, such blocks leave gigabytes of fragments behind a
//! burst of sign-ins; so there are as many as hashes go on at once, and one stays.

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

/// Hashes that go on at once, where there are as many cores.
const MAX_AT_ONCE: usize = 4;
/// Calls that wait for their turn; one more is refused.
const MAX_WAITING: usize = 64;
/// How long a call waits for its turn before it is told to come back.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// When whoever is refused may try again, in milliseconds.
const RETRY_AFTER_MS: u64 = 2_000;

/// Hashes and verifies.
#[derive(Debug)]
pub(super) struct Passwords {
    /// Those at work and those that wait.
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    memory: Arc<Mutex<Vec<Memory>>>,
    /// Stands in for the hash of an account that does not exist.
    nobody: Arc<str>,
}

impl Passwords {
    pub(super) async fn new() -> Result<Self> {
        let at_once = thread::available_parallelism().map_or(1, usize::from).min(MAX_AT_ONCE);
        let mut passwords = Self::with_nobody(at_once, MAX_WAITING, "".into());
        passwords.nobody = passwords.hash(&super::secret()).await?.into();
        Ok(passwords)
    }

    fn with_nobody(at_once: usize, waiting: usize, nobody: Arc<str>) -> Self {
        let places = Arc::new(Semaphore::new(at_once + waiting));
        Self { places, turns: Arc::new(Semaphore::new(at_once)), memory: Arc::default(), nobody }
    }

    /// # Errors
    /// `rate_limited` where too many are being hashed.
    pub(super) async fn hash(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        let hash = self.work(move |memory| memory.hash(password.as_bytes()).map(|hash| hash.to_string()));
        hash.await?.map_err(|error| Error::Corrupt(format!("argon2: {error}")))
    }

    /// Whether the password is right. Without a hash the same work is done, and the answer is no.
    ///
    /// # Errors
    /// `rate_limited` where too many are being verified.
    pub(super) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let password = password.to_owned();
        let right = self.work(move |memory| memory.verify(password.as_bytes(), &PasswordHash::new(&hash)?));
        let right = right.await?.map_err(|error| Error::Corrupt(format!("a password's hash: {error}")))?;
        Ok(right && known)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce(&mut Memory) -> T + Send + 'static) -> Result<T> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| busy())?;
        let turn = timeout(TURN_TIMEOUT, self.turns.clone().acquire_owned()).await;
        let turn = turn.ok().and_then(std::result::Result::ok).ok_or_else(busy)?;
        let (turns, memory) = (self.turns.clone(), self.memory.clone());
        let done = spawn_blocking(move || {
            let mut mine = memory.lock().pop().unwrap_or_default();
            let done = work(&mut mine);
            give_back(mine, &memory, &turns);
            drop::<[OwnedSemaphorePermit; 2]>([turn, place]);
            done
        });
        done.await.map_err(|error| Error::Io(error.into()))
    }
}

/// Keeps memory for whoever comes next: for each while all turns are taken, else for one.
fn give_back(mine: Memory, memory: &Mutex<Vec<Memory>>, turns: &Semaphore) {
    let mut kept = memory.lock();
    if kept.is_empty() || turns.available_permits() == 0 {
        kept.push(mine);
    } else {
        // The rest of a burst.
        drop(mem::take(&mut *kept));
        kept.push(mine);
    }
}

fn busy() -> Error {
    let message = "too many people are signing in; try again in a moment";
    ErrorBody::new(ErrorCode::RateLimited, message).retry_after(RETRY_AFTER_MS).into()
}

/// What one hash is computed in.
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
    async fn hashes_are_those_of_the_library_both_ways() {
        let passwords = Passwords::with_nobody(2, 8, "".into());
        let ours = passwords.hash("correct horse").await.unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", ours.as_str()).is_ok());
        let theirs = Argon2::default().hash_password(b"correct horse").unwrap().to_string();
        assert!(passwords.verify("correct horse", Some(&theirs)).await.unwrap());
        assert!(!passwords.verify("correct house", Some(&theirs)).await.unwrap());
        assert!(!passwords.verify("correct horse", Some("$argon2id$v=19$m=8,t=1,p=1")).await.unwrap());
        assert!(passwords.verify("correct horse", Some("not a hash")).await.is_err());
    }

    #[tokio::test]
    async fn memory_is_used_again_and_one_piece_stays() {
        let passwords = Passwords::with_nobody(2, 64, "".into());
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
    async fn one_too_many_is_told_when_to_come_back() {
        let passwords = Passwords::with_nobody(1, 1, "".into());
        let hash = passwords.hash("correct horse").await.unwrap();
        let _all = passwords.places.clone().acquire_many_owned(2).await.unwrap();
        let refused = passwords.verify("correct horse", Some(&hash)).await.unwrap_err().into_body();
        assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::RateLimited, Some(RETRY_AFTER_MS)));
    }
}
