//! The sessions that were read last, so that not every handshake and command reads the store.
//!
//! A session that ends is refused at once on the node that ends it ([`SessionCache::clear`]), on the others when their bus reports
//! it, and in any case within [`MAX_UNCONFIRMED`]: the session check reads twice a second whether any session ended before it
//! expired, and what it has not confirmed for so long is read from the store again. Only sessions that exist are cached.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    protocol::http::User,
    server::{bounded_cache::BoundedCache, clock::now_ms},
};

/// The most cached sessions; each takes about 300 bytes.
const CAPACITY: usize = 50_000;
/// The longest time since the session check began to read that no session ended.
const MAX_UNCONFIRMED: Duration = Duration::from_secs(1);
/// The longest time since a session was read, for changes that do not count as its end, such as those made by hand in the database.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The cache of one node.
#[derive(Debug)]
pub(crate) struct SessionCache(Mutex<State>);

#[derive(Debug)]
struct State {
    sessions: BoundedCache<Arc<str>, CachedSession>,
    /// The number of calls of `clear`: what was read before the last one is not cached.
    generation: u64,
    /// The last value that changes whenever a session ends, and when it was requested.
    confirmed: Option<(Option<String>, Instant)>,
}

#[derive(Debug)]
struct CachedSession {
    user: User,
    expires_at: i64,
    read_at: Instant,
}

/// The beginning of a read of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadBegun {
    generation: u64,
    at: Instant,
}

impl Default for SessionCache {
    fn default() -> Self {
        Self(Mutex::new(State { sessions: BoundedCache::new(CAPACITY), generation: 0, confirmed: None }))
    }
}

impl SessionCache {
    /// The user of a session and when it expires, if that is cached and certain.
    pub(super) fn get(&self, key: &str) -> Option<(User, i64)> {
        let now = Instant::now();
        let mut state = self.0.lock();
        let is_confirmed = state.confirmed.as_ref().is_some_and(|(_, at)| now.duration_since(*at) < MAX_UNCONFIRMED);
        let session = state.sessions.get(key).filter(|_| is_confirmed)?;
        let is_valid = now.duration_since(session.read_at) < MAX_AGE && session.expires_at > now_ms();
        is_valid.then(|| (session.user.clone(), session.expires_at))
    }

    /// Call this before reading a session from the store.
    pub(super) fn begin_read(&self) -> ReadBegun {
        ReadBegun { generation: self.0.lock().generation, at: Instant::now() }
    }

    /// Caches a session that was read, unless sessions ended meanwhile.
    pub(super) fn put(&self, begun: ReadBegun, key: Arc<str>, user: User, expires_at: i64) {
        let mut state = self.0.lock();
        if state.generation == begun.generation {
            state.sessions.insert(key, CachedSession { user, expires_at, read_at: begun.at }, 1);
        }
    }

    /// Forgets all sessions. Call this after a transaction that ended sessions or changed people is committed.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }

    /// The session check read a value that changes whenever a session ends, which it requested `at` that time.
    pub(super) fn confirm(&self, last_ended: Option<&str>, at: Instant) {
        let mut state = self.0.lock();
        if state.confirmed.as_ref().is_none_or(|(known, _)| known.as_deref() != last_ended) {
            state.clear();
        }
        state.confirmed = Some((last_ended.map(str::to_owned), at));
    }
}

impl State {
    fn clear(&mut self) {
        self.generation += 1;
        self.sessions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{UserId, http::Role};

    fn user() -> User {
        User { id: UserId::new(), name: "Ada".into(), email: "ada@example.org".into(), role: Role::Member }
    }

    #[test]
    fn a_session_is_cached_only_while_it_is_certain_that_it_has_not_ended() {
        let (cache, ada) = (SessionCache::default(), user());
        let put = |begun| cache.put(begun, "a".into(), ada.clone(), i64::MAX);
        let is_cached = || cache.get("a").is_some();
        put(cache.begin_read());
        assert!(!is_cached(), "nobody has confirmed that it has not ended");
        cache.confirm(Some("1"), Instant::now());
        assert!(!is_cached(), "it may have been read before a session ended");
        put(cache.begin_read());
        assert_eq!(cache.get("a"), Some((ada.clone(), i64::MAX)));
        cache.confirm(Some("1"), Instant::now());
        assert!(is_cached());
        cache.confirm(Some("2"), Instant::now());
        assert!(!is_cached(), "a session ended");

        let begun = cache.begin_read();
        cache.clear();
        put(begun);
        assert!(!is_cached(), "sessions ended while it was read");
        put(cache.begin_read());
        assert!(is_cached());
        let before = Instant::now().checked_sub(MAX_UNCONFIRMED).expect("the clock began earlier");
        cache.confirm(Some("2"), before);
        assert!(!is_cached(), "the session check is late");
        cache.confirm(Some("2"), Instant::now());
        assert!(is_cached());

        cache.put(cache.begin_read(), "b".into(), ada.clone(), now_ms());
        assert!(cache.get("b").is_none(), "it has expired");
        let at = Instant::now().checked_sub(MAX_AGE).expect("the clock began earlier");
        put(ReadBegun { at, ..cache.begin_read() });
        assert!(!is_cached(), "it was read too long ago");
    }
}
