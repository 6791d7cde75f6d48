//! The sessions that were read last, so that not every handshake and command reads the store.
//!
//! A session that ends is refused at once on the node that ends it ([`SessionCache::clear`]), on the others when their bus reports
//! it, and in any case within [`CONFIRMATION_TTL`]: twice a second the session check reads from the store whether any session ended
//! before it expired. Without a confirmation that is so recent the cache is not used. Only sessions that exist are cached.

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
const MAX_CACHED_SESSIONS: usize = 50_000;
/// How long a confirmation that no session ended holds, counted from the moment at which the session check began to read it.
const CONFIRMATION_TTL: Duration = Duration::from_secs(1);
/// How long a cached session is used. It bounds how long changes go unnoticed that do not count as the end of a session, such as those
/// made by hand in the database.
const SESSION_TTL: Duration = Duration::from_secs(10);

/// The cache of one node.
#[derive(Debug)]
pub(crate) struct SessionCache(Mutex<State>);

#[derive(Debug)]
struct State {
    sessions: BoundedCache<Arc<str>, CachedSession>,
    /// The number of times that the cache was cleared. A session whose read began before the last time is not cached: it may have ended.
    generation: u64,
    /// The newest value of the store's setting that changes whenever a session ends early, and when its read began. `None` until the
    /// session check has read it once.
    confirmed: Option<(Option<String>, Instant)>,
}

#[derive(Debug)]
struct CachedSession {
    user: User,
    expires_at: i64,
    read_at: Instant,
}

/// When a read of a session began, by the clock and by the count of clears.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadBegun {
    generation: u64,
    at: Instant,
}

impl Default for SessionCache {
    fn default() -> Self {
        Self(Mutex::new(State { sessions: BoundedCache::new(MAX_CACHED_SESSIONS), generation: 0, confirmed: None }))
    }
}

impl SessionCache {
    /// The user of a session and when it expires; `None` if it is not cached, or the session check has not confirmed recently that no
    /// session ended.
    pub(super) fn get(&self, key: &str) -> Option<(User, i64)> {
        let now = Instant::now();
        let mut state = self.0.lock();
        let is_confirmed = state.confirmed.as_ref().is_some_and(|(_, at)| now.duration_since(*at) < CONFIRMATION_TTL);
        let session = state.sessions.get(key).filter(|_| is_confirmed)?;
        let is_valid = now.duration_since(session.read_at) < SESSION_TTL && session.expires_at > now_ms();
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

    /// Removes all sessions. Call this after the commit of a transaction that ended sessions or changed people.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Records what the session check read: the value of the setting that changes whenever a session ends early. The read began `at`
    /// that time. Clears the cache if the value has changed.
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
        let before = Instant::now().checked_sub(CONFIRMATION_TTL).expect("the clock began earlier");
        cache.confirm(Some("2"), before);
        assert!(!is_cached(), "the session check is late");
        cache.confirm(Some("2"), Instant::now());
        assert!(is_cached());

        cache.put(cache.begin_read(), "b".into(), ada.clone(), now_ms());
        assert!(cache.get("b").is_none(), "it has expired");
        let at = Instant::now().checked_sub(SESSION_TTL).expect("the clock began earlier");
        put(ReadBegun { at, ..cache.begin_read() });
        assert!(!is_cached(), "it was read too long ago");
    }
}
