//! Sign-ins that fail are slowed down, and nobody can shut another person out.
//!
//! Three counts: of one account from one address, of one address over all accounts, of one account over all addresses. The
//! first two refuse for a while that grows with each failure. The third only makes an attempt take longer, for anybody may
//! cause it from anywhere. An address from which an account signed in lately is free of what others do: the last two do not
//! touch it, and its own failures cost it a few seconds at most. A minute without a failure halves a count.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::sleep};

use crate::server::backoff::Backoff;

/// How many keys each count remembers. One more forgets the one that failed, or succeeded, longest ago.
const MAX_KEYS: usize = 10_000;
/// A count is halved for each of these without a failure.
const HALVING_INTERVAL: Duration = Duration::from_secs(60);
/// The first wait; each further failure doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest waits: for an account from one address, where it succeeded lately, for one address, and for one account. Less
/// than a halving, so that waiting is not rewarded.
const MAX_PAIR_WAIT: Duration = Duration::from_secs(30);
const MAX_KNOWN_WAIT: Duration = Duration::from_secs(5);
const MAX_ADDRESS_WAIT: Duration = Duration::from_secs(10);
const MAX_ACCOUNT_WAIT: Duration = Duration::from_secs(3);
/// How many times the failures of one account from one address are free for one address, and for one account.
const ADDRESS_FACTOR: u32 = 4;
const ACCOUNT_FACTOR: u32 = 2;
/// How long a success counts.
const KNOWN_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many attempts wait at once. More are refused.
const MAX_WAITING: usize = 256;

/// An account as it is remembered: a digest, for whoever mistypes may write a password in the wrong field.
type Account = String;

/// Counts attempts that did not succeed.
#[derive(Debug)]
pub(super) struct Throttle {
    books: Mutex<Books>,
    waiting: Semaphore,
}

#[derive(Debug)]
struct Books {
    pairs: Counts<(IpAddr, Account)>,
    addresses: Counts<IpAddr>,
    accounts: Counts<Account>,
    /// When an account last signed in from an address.
    known: HashMap<(IpAddr, Account), Instant>,
}

/// Failures by key. Those above `free` have to wait.
#[derive(Debug)]
struct Counts<K> {
    free: u32,
    counts: HashMap<K, Count>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    last: Instant,
}

/// An attempt. It counts as a failure from its beginning, so that many at once count too, unless its end says otherwise.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    address: IpAddr,
    account: Account,
    /// How much longer it has to take.
    slower: Duration,
}

impl Throttle {
    /// `free` failures of one account from one address in a minute are answered at once.
    pub(super) fn new(free: u32) -> Self {
        let counts = |factor: u32| free.saturating_mul(factor);
        let books = Books {
            pairs: Counts { free, counts: HashMap::new() },
            addresses: Counts { free: counts(ADDRESS_FACTOR), counts: HashMap::new() },
            accounts: Counts { free: counts(ACCOUNT_FACTOR), counts: HashMap::new() },
            known: HashMap::new(),
        };
        Self { books: Mutex::new(books), waiting: Semaphore::new(MAX_WAITING) }
    }

    /// Begins an attempt. Refused with the time to wait; what is refused is not counted.
    pub(super) fn begin(&self, peer: IpAddr, account: &str) -> Result<Attempt<'_>, Duration> {
        self.begin_at(Instant::now(), peer, account)
    }

    fn begin_at(&self, now: Instant, peer: IpAddr, account: &str) -> Result<Attempt<'_>, Duration> {
        let (address, account) = (network(peer), super::digest(account));
        let pair = (address, account.clone());
        let mut books = self.books.lock();
        let known = books.known.get(&pair).is_some_and(|at| now.duration_since(*at) < KNOWN_TTL);
        let wait = if known {
            books.pairs.wait(&pair, now, MAX_KNOWN_WAIT)
        } else {
            let of_address = books.addresses.wait(&address, now, MAX_ADDRESS_WAIT);
            books.pairs.wait(&pair, now, MAX_PAIR_WAIT).max(of_address)
        };
        if !wait.is_zero() {
            return Err(wait);
        }
        let slower = if known { Duration::ZERO } else { books.accounts.delay(&account, now, MAX_ACCOUNT_WAIT) };
        books.pairs.add(pair, now);
        books.addresses.add(address, now);
        books.accounts.add(account.clone(), now);
        Ok(Attempt { throttle: self, address, account, slower })
    }
}

impl Attempt<'_> {
    /// Waits as long as the account is slowed down. Refused with the time to wait where too many wait already.
    pub(super) async fn slow_down(&self) -> Result<(), Duration> {
        if self.slower.is_zero() {
            return Ok(());
        }
        let Ok(_place) = self.throttle.waiting.try_acquire() else { return Err(self.slower) };
        sleep(self.slower).await;
        Ok(())
    }

    /// It was no failure: the address is known for the account from now on.
    pub(super) fn succeeded(self) {
        self.succeeded_at(Instant::now());
    }

    fn succeeded_at(self, now: Instant) {
        self.take_back();
        let mut books = self.throttle.books.lock();
        let pair = (self.address, self.account);
        books.pairs.counts.remove(&pair);
        if books.known.len() >= MAX_KEYS && !books.known.contains_key(&pair) {
            forget_oldest(&mut books.known, |at| *at);
        }
        books.known.insert(pair, now);
    }

    /// Nobody knows what it was, for the server failed: it does not count.
    pub(super) fn take_back(&self) {
        let mut books = self.throttle.books.lock();
        books.pairs.take_back(&(self.address, self.account.clone()));
        books.addresses.take_back(&self.address);
        books.accounts.take_back(&self.account);
    }
}

impl<K: Hash + Eq + Clone> Counts<K> {
    fn add(&mut self, key: K, now: Instant) {
        if self.counts.len() >= MAX_KEYS && !self.counts.contains_key(&key) {
            forget_oldest(&mut self.counts, |count| count.last);
        }
        let count = self.counts.entry(key).or_insert(Count { failures: 0, last: now });
        *count = Count { failures: count.failures_at(now).saturating_add(1), last: now };
    }

    fn take_back(&mut self, key: &K) {
        let Some(count) = self.counts.get_mut(key) else { return };
        count.failures = count.failures.saturating_sub(1);
        if count.failures == 0 {
            self.counts.remove(key);
        }
    }

    /// How long an attempt has to wait, by how many failed before.
    fn delay(&self, key: &K, now: Instant, longest: Duration) -> Duration {
        let failures = self.counts.get(key).map_or(0, |count| count.failures_at(now));
        match failures.checked_sub(self.free) {
            Some(above) => Backoff::new(FIRST_WAIT, longest).delay(above),
            None => Duration::ZERO,
        }
    }

    /// What is left of the delay since the last failure.
    fn wait(&self, key: &K, now: Instant, longest: Duration) -> Duration {
        let since = self.counts.get(key).map_or(Duration::MAX, |count| now.saturating_duration_since(count.last));
        self.delay(key, now, longest).saturating_sub(since)
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

/// One subscriber has a whole IPv6 /64.
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
            throttle.begin_at(now, peer, account).expect("not refused yet");
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
    fn what_is_refused_is_not_counted() {
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
            let attempt = throttle.begin_at(now, peer(n), ADA).expect("is never refused");
            let expected = [0, 1, 2, 3][usize::from((n + 1).saturating_sub(20).min(3))];
            assert_eq!(attempt.slower, seconds(expected), "the attempt number {n}");
        }
    }

    #[test]
    fn the_address_that_succeeded_lately_does_not_notice_what_others_do() {
        let throttle = Throttle::new(FREE);
        let now = Instant::now();
        throttle.begin_at(now, peer(1), ADA).expect("begins").succeeded_at(now);
        for n in 2..200 {
            fail(&throttle, now, peer(n), ADA, FREE);
        }
        // Neighbours behind the same address, with accounts of their own.
        for n in 0..4 {
            fail(&throttle, now, peer(1), &format!("neighbour {n}"), FREE);
        }
        assert!(throttle.begin_at(now, peer(1), "another").is_err(), "the address is slowed down");
        let attempt = throttle.begin_at(now, peer(1), ADA).expect("begins");
        assert!(attempt.slower.is_zero());
        attempt.take_back();
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
            throttle.begin_at(now, peer(1), ADA).expect("never refused").succeeded_at(now);
            throttle.begin_at(now, peer(2), ADA).expect("never refused").take_back();
        }
        let books = throttle.books.lock();
        assert!(books.pairs.counts.is_empty() && books.addresses.counts.is_empty() && books.accounts.counts.is_empty());
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
    fn what_is_remembered_is_bounded() {
        let throttle = Throttle::new(1);
        let now = Instant::now();
        for n in 0..MAX_KEYS + 10 {
            let peer = IpAddr::from(Ipv6Addr::from_bits((n as u128) << 64));
            let attempt = throttle.begin_at(now, peer, &n.to_string()).expect("begins");
            if n % 2 == 0 {
                attempt.succeeded_at(now);
            }
        }
        let books = throttle.books.lock();
        for remembered in [books.pairs.counts.len(), books.addresses.counts.len(), books.accounts.counts.len()] {
            assert!(remembered <= MAX_KEYS);
        }
        assert!(books.known.len() <= MAX_KEYS);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_wait_are_bounded_too() {
        let throttle = Throttle::new(1);
        let now = Instant::now();
        let peers = (0..u8::MAX).map(peer);
        let attempts: Vec<_> = peers.map(|peer| throttle.begin_at(now, peer, ADA).expect("begins")).collect();
        let slow: Vec<_> = attempts.iter().filter(|attempt| !attempt.slower.is_zero()).collect();
        let all = (0..2 * MAX_WAITING).map(|n| slow[n % slow.len()].slow_down());
        let ended = futures_util::future::join_all(all).await;
        assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), MAX_WAITING);
        assert!(slow[0].slow_down().await.is_ok(), "there is room again");
    }
}
