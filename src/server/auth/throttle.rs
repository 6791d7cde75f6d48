//! Slows down failing sign-ins, so that passwords cannot be guessed and nobody can lock another person out.
//!
//! Failures are counted for an account from one address, for an address over all accounts, and for an account over all addresses. The
//! first two counts refuse attempts, for a time that doubles with each failure. The third only delays them, since anybody can raise it
//! from anywhere. If the account signed in from the address recently, the last two do not apply, and the longest wait of the first
//! is a few seconds. A minute without a failure halves a count. This is not a rate limit (see `rates.rs`): successes do not
//! count, and the wait grows.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::sleep};

use crate::server::backoff::Backoff;

/// The most keys of each map; one more replaces the oldest.
const MAX_KEYS: usize = 10_000;
/// A count is halved after each such interval without a failure.
const HALVING_INTERVAL: Duration = Duration::from_secs(60);
/// The first wait; each further failure doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait for an account from one address. Like the others it is less than [`HALVING_INTERVAL`], so that waiting does not
/// halve the count.
const MAX_PAIR_WAIT: Duration = Duration::from_secs(30);
/// The same after a recent success of the account from that address.
const MAX_KNOWN_WAIT: Duration = Duration::from_secs(5);
/// The longest wait for an address.
const MAX_ADDRESS_WAIT: Duration = Duration::from_secs(10);
/// The longest delay for an account.
const MAX_ACCOUNT_DELAY: Duration = Duration::from_secs(3);
/// How many times more failures are free for an address than for an account from one address.
const ADDRESS_FACTOR: u32 = 4;
/// The same for an account.
const ACCOUNT_FACTOR: u32 = 2;
/// How long a success is remembered.
const KNOWN_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most attempts that are delayed at the same time; more are refused.
const MAX_WAITING: usize = 256;

/// The digest of an account's e-mail address: somebody may type their password into the wrong field, and it must not be kept.
type Account = String;

/// The counts of failed sign-ins.
#[derive(Debug)]
pub(super) struct Throttle {
    state: Mutex<State>,
    waiting: Semaphore,
}

#[derive(Debug)]
struct State {
    pairs: Counts<(IpAddr, Account)>,
    addresses: Counts<IpAddr>,
    accounts: Counts<Account>,
    /// When an account last signed in successfully from an address.
    known: HashMap<(IpAddr, Account), Instant>,
}

/// Failures by key. From `free` of them on, the next attempt has to wait.
#[derive(Debug)]
struct Counts<K> {
    free: u32,
    by_key: HashMap<K, Count>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    last: Instant,
}

/// An attempt. It counts as a failure from its start, so that attempts at the same time count, too, until it succeeds.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    address: IpAddr,
    account: Account,
    /// How long it has to be delayed.
    delay: Duration,
}

impl Throttle {
    /// A throttle that lets `free` failures of an account from one address pass without a wait.
    pub(super) fn new(free: u32) -> Self {
        let free_times = |factor: u32| free.saturating_mul(factor);
        let state = State {
            pairs: Counts { free, by_key: HashMap::new() },
            addresses: Counts { free: free_times(ADDRESS_FACTOR), by_key: HashMap::new() },
            accounts: Counts { free: free_times(ACCOUNT_FACTOR), by_key: HashMap::new() },
            known: HashMap::new(),
        };
        Self { state: Mutex::new(state), waiting: Semaphore::new(MAX_WAITING) }
    }

    /// Starts an attempt.
    ///
    /// # Errors
    /// The time to wait. A refused attempt does not count.
    pub(super) fn begin(&self, peer: IpAddr, account: &str) -> Result<Attempt<'_>, Duration> {
        self.begin_at(Instant::now(), peer, account)
    }

    fn begin_at(&self, now: Instant, peer: IpAddr, account: &str) -> Result<Attempt<'_>, Duration> {
        let (address, account) = (network(peer), super::digest(account));
        let pair = (address, account.clone());
        let mut state = self.state.lock();
        let known = state.known.get(&pair).is_some_and(|at| now.duration_since(*at) < KNOWN_TTL);
        let wait = if known {
            state.pairs.remaining(&pair, now, MAX_KNOWN_WAIT)
        } else {
            let of_address = state.addresses.remaining(&address, now, MAX_ADDRESS_WAIT);
            state.pairs.remaining(&pair, now, MAX_PAIR_WAIT).max(of_address)
        };
        if !wait.is_zero() {
            return Err(wait);
        }
        let delay = if known { Duration::ZERO } else { state.accounts.penalty(&account, now, MAX_ACCOUNT_DELAY) };
        state.pairs.add(pair, now);
        state.addresses.add(address, now);
        state.accounts.add(account.clone(), now);
        Ok(Attempt { throttle: self, address, account, delay })
    }
}

impl Attempt<'_> {
    /// Waits as long as the account is slowed down.
    ///
    /// # Errors
    /// The time to wait, if too many attempts wait already.
    pub(super) async fn wait(&self) -> Result<(), Duration> {
        if self.delay.is_zero() {
            return Ok(());
        }
        let Ok(_place) = self.throttle.waiting.try_acquire() else { return Err(self.delay) };
        sleep(self.delay).await;
        Ok(())
    }

    /// The attempt succeeded: it does not count, and the address is known for the account from now on.
    pub(super) fn succeeded(self) {
        self.succeeded_at(Instant::now());
    }

    fn succeeded_at(self, now: Instant) {
        self.uncount();
        let mut state = self.throttle.state.lock();
        let pair = (self.address, self.account);
        state.pairs.by_key.remove(&pair);
        if state.known.len() >= MAX_KEYS && !state.known.contains_key(&pair) {
            forget_oldest(&mut state.known, |at| *at);
        }
        state.known.insert(pair, now);
    }

    /// Undoes the count of this attempt: it succeeded, or the server failed.
    pub(super) fn uncount(&self) {
        let mut state = self.throttle.state.lock();
        state.pairs.uncount(&(self.address, self.account.clone()));
        state.addresses.uncount(&self.address);
        state.accounts.uncount(&self.account);
    }
}

impl<K: Hash + Eq + Clone> Counts<K> {
    fn add(&mut self, key: K, now: Instant) {
        if self.by_key.len() >= MAX_KEYS && !self.by_key.contains_key(&key) {
            forget_oldest(&mut self.by_key, |count| count.last);
        }
        let count = self.by_key.entry(key).or_insert(Count { failures: 0, last: now });
        *count = Count { failures: count.failures_at(now).saturating_add(1), last: now };
    }

    fn uncount(&mut self, key: &K) {
        let Some(count) = self.by_key.get_mut(key) else { return };
        count.failures = count.failures.saturating_sub(1);
        if count.failures == 0 {
            self.by_key.remove(key);
        }
    }

    /// How long an attempt has to wait after the failures so far, at most `max`.
    fn penalty(&self, key: &K, now: Instant, max: Duration) -> Duration {
        let failures = self.by_key.get(key).map_or(0, |count| count.failures_at(now));
        match failures.checked_sub(self.free) {
            Some(above) => Backoff::new(FIRST_WAIT, max).delay(above),
            None => Duration::ZERO,
        }
    }

    /// What is left of that time since the last failure.
    fn remaining(&self, key: &K, now: Instant, max: Duration) -> Duration {
        let since = self.by_key.get(key).map_or(Duration::MAX, |count| now.saturating_duration_since(count.last));
        self.penalty(key, now, max).saturating_sub(since)
    }
}

impl Count {
    fn failures_at(self, now: Instant) -> u32 {
        let halvings = now.saturating_duration_since(self.last).as_secs() / HALVING_INTERVAL.as_secs();
        self.failures.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0)
    }
}

fn forget_oldest<K: Hash + Eq + Clone, V>(map: &mut HashMap<K, V>, at: impl Fn(&V) -> Instant) {
    let oldest = map.iter().min_by_key(|(_, value)| at(value)).map(|(key, _)| key.clone());
    oldest.and_then(|key| map.remove(&key));
}

/// The address, or for IPv6 the /64 network, which usually belongs to one subscriber.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: u32 = 10;
    const ADA: &str = "ada@example.com";

    fn peer(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Attempts that fail, one after the other, all at `now`.
    fn fail(throttle: &Throttle, now: Instant, peer: IpAddr, account: &str, times: u32) {
        for _ in 0..times {
            throttle.begin_at(now, peer, account).expect("the attempt is allowed");
        }
    }

    #[test]
    fn after_ten_failures_of_an_account_from_an_address_each_further_one_waits_twice_as_long() {
        let throttle = Throttle::new(FREE);
        let mut now = Instant::now();
        fail(&throttle, now, peer(1), ADA, FREE);
        for wait in [1, 2, 4, 8, 16, 30, 30, 30] {
            assert_eq!(throttle.begin_at(now, peer(1), ADA).err(), Some(seconds(wait)));
            now += seconds(wait);
            fail(&throttle, now, peer(1), ADA, 1);
        }
        assert!(throttle.begin_at(now, peer(1), "bob@example.com").is_ok(), "another account is free there");
        assert!(throttle.begin_at(now, peer(2), ADA).is_ok(), "the account is free elsewhere");
        assert!(throttle.begin_at(now + seconds(60), peer(1), ADA).is_ok(), "a quiet minute halves the count");
    }

    #[test]
    fn refused_attempts_are_not_counted() {
        let throttle = Throttle::new(FREE);
        let now = Instant::now();
        fail(&throttle, now, peer(1), ADA, FREE);
        for _ in 0..1_000 {
            assert_eq!(throttle.begin_at(now, peer(1), ADA).err(), Some(seconds(1)));
        }
    }

    #[test]
    fn failures_from_everywhere_make_an_account_slower_and_never_lock_it() {
        let throttle = Throttle::new(FREE);
        let now = Instant::now();
        for n in 0..200 {
            let attempt = throttle.begin_at(now, peer(n), ADA).expect("the attempt is allowed");
            let expected = [0, 1, 2, 3][usize::from((n + 1).saturating_sub(20).min(3))];
            assert_eq!(attempt.delay, seconds(expected), "the attempt number {n}");
        }
    }

    #[test]
    fn an_address_that_succeeded_lately_is_not_slowed_down_by_others() {
        let throttle = Throttle::new(FREE);
        let now = Instant::now();
        throttle.begin_at(now, peer(1), ADA).expect("the attempt is allowed").succeeded_at(now);
        for n in 2..200 {
            fail(&throttle, now, peer(n), ADA, FREE);
        }
        // Neighbours behind the same address, with accounts of their own.
        for n in 0..4 {
            fail(&throttle, now, peer(1), &format!("neighbour {n}"), FREE);
        }
        assert!(throttle.begin_at(now, peer(1), "another").is_err(), "the address is slowed down");
        let attempt = throttle.begin_at(now, peer(1), ADA).expect("the attempt is allowed");
        assert!(attempt.delay.is_zero());
        attempt.uncount();
        // Its own failures cost it seconds.
        let mut later = now;
        for _ in 0..100 {
            let wait = throttle.begin_at(later, peer(1), ADA).err().unwrap_or_default();
            assert!(wait <= MAX_KNOWN_WAIT, "{wait:?}");
            later += wait;
        }
    }

    #[test]
    fn an_address_that_tries_many_accounts_is_slowed_down() {
        let throttle = Throttle::new(FREE);
        let mut now = Instant::now();
        for n in 0..FREE * ADDRESS_FACTOR {
            fail(&throttle, now, peer(1), &format!("person{n}@example.com"), 1);
        }
        for wait in [1, 2, 4, 8, 10, 10] {
            assert_eq!(throttle.begin_at(now, peer(1), "new").err(), Some(seconds(wait)));
            now += seconds(wait);
            fail(&throttle, now, peer(1), "new", 1);
        }
        assert!(throttle.begin_at(now, peer(2), "new").is_ok(), "another address is free");
    }

    #[test]
    fn success_and_failures_of_the_server_are_not_counted() {
        let throttle = Throttle::new(2);
        let now = Instant::now();
        for _ in 0..100 {
            throttle.begin_at(now, peer(1), ADA).expect("the attempt is allowed").succeeded_at(now);
            throttle.begin_at(now, peer(2), ADA).expect("the attempt is allowed").uncount();
        }
        let state = throttle.state.lock();
        assert!(state.pairs.by_key.is_empty() && state.addresses.by_key.is_empty() && state.accounts.by_key.is_empty());
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let throttle = Throttle::new(FREE);
        let now = Instant::now();
        for n in 0..u128::from(FREE) {
            fail(&throttle, now, Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + n).into(), ADA, 1);
        }
        let last = Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + u128::from(u64::MAX));
        assert!(throttle.begin_at(now, last.into(), ADA).is_err());
    }

    #[test]
    fn the_number_of_counts_is_bounded() {
        let throttle = Throttle::new(1);
        let now = Instant::now();
        for n in 0..MAX_KEYS + 10 {
            let peer = IpAddr::from(Ipv6Addr::from_bits((n as u128) << 64));
            let attempt = throttle.begin_at(now, peer, &n.to_string()).expect("the attempt is allowed");
            if n % 2 == 0 {
                attempt.succeeded_at(now);
            }
        }
        let state = throttle.state.lock();
        for remembered in [state.pairs.by_key.len(), state.addresses.by_key.len(), state.accounts.by_key.len()] {
            assert!(remembered <= MAX_KEYS);
        }
        assert!(state.known.len() <= MAX_KEYS);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_wait_are_bounded_too() {
        let throttle = Throttle::new(1);
        let now = Instant::now();
        let peers = (0..u8::MAX).map(peer);
        let attempts: Vec<_> =
            peers.map(|peer| throttle.begin_at(now, peer, ADA).expect("the attempt is allowed")).collect();
        let slow: Vec<_> = attempts.iter().filter(|attempt| !attempt.delay.is_zero()).collect();
        let all = (0..2 * MAX_WAITING).map(|n| slow[n % slow.len()].wait());
        let ended = futures_util::future::join_all(all).await;
        assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), MAX_WAITING);
        assert!(slow[0].wait().await.is_ok(), "there is room again");
    }
}
