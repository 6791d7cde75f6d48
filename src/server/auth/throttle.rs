//! How often one may fail: per address and per account, in a window that moves with time.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How many addresses and accounts are remembered. One more forgets the one that failed longest ago.
const MAX_KEYS: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Account(String),
}

/// Counts attempts that did not succeed.
#[derive(Debug)]
pub(super) struct Throttle {
    limit: usize,
    window: Duration,
    failures: Mutex<HashMap<Key, VecDeque<Instant>>>,
}

/// An attempt: it counts as a failure unless it is said to have succeeded, so that many at once count too.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    at: Instant,
    address: Key,
    account: Option<Key>,
}

impl Throttle {
    pub(super) fn new(limit: u32, window: Duration) -> Self {
        Self { limit: limit as usize, window, failures: Mutex::default() }
    }

    /// Begins an attempt; an empty account is none. Refused with the time to wait.
    pub(super) fn begin(&self, peer: IpAddr, account: &str) -> Result<Attempt<'_>, Duration> {
        self.begin_at(Instant::now(), peer, account)
    }

    fn begin_at(&self, now: Instant, peer: IpAddr, account: &str) -> Result<Attempt<'_>, Duration> {
        let address = Key::Address(network(peer));
        let account = (!account.is_empty()).then(|| Key::Account(super::digest(account)));
        let mut failures = self.failures.lock();
        let mut wait = None;
        for key in std::iter::once(&address).chain(&account) {
            let Some(times) = failures.get_mut(key) else { continue };
            while times.front().is_some_and(|first| now.duration_since(*first) >= self.window) {
                times.pop_front();
            }
            if times.len() >= self.limit {
                wait = wait.max(times.front().map(|first| self.window - now.duration_since(*first)));
            }
        }
        if let Some(wait) = wait {
            return Err(wait);
        }
        for key in std::iter::once(&address).chain(&account) {
            if failures.len() >= MAX_KEYS && !failures.contains_key(key) {
                self.forget(&mut failures, now);
            }
            failures.entry(key.clone()).or_default().push_back(now);
        }
        Ok(Attempt { throttle: self, at: now, address, account })
    }

    /// Makes room: what is over goes, else the one that failed longest ago.
    fn forget(&self, failures: &mut HashMap<Key, VecDeque<Instant>>, now: Instant) {
        failures.retain(|_, times| times.back().is_some_and(|last| now.duration_since(*last) < self.window));
        if failures.len() >= MAX_KEYS {
            let oldest = failures.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| key.clone());
            oldest.and_then(|key| failures.remove(&key));
        }
    }
}

impl Attempt<'_> {
    /// It was no failure: it is not counted, and the account's failures are forgotten.
    pub(super) fn succeeded(self) {
        let mut failures = self.throttle.failures.lock();
        if let Some(times) = failures.get_mut(&self.address) {
            if let Some(mine) = times.iter().rposition(|at| *at == self.at) {
                times.remove(mine);
            }
            if times.is_empty() {
                failures.remove(&self.address);
            }
        }
        if let Some(account) = &self.account {
            failures.remove(account);
        }
    }
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

    const WINDOW: Duration = Duration::from_secs(60);

    fn peer(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_eleventh_failure_of_an_address_waits_until_the_first_is_a_minute_old() {
        let throttle = Throttle::new(10, WINDOW);
        let start = Instant::now();
        for n in 0..10 {
            let account = format!("person{n}@example.com");
            assert!(throttle.begin_at(start + Duration::from_secs(n), peer(1), &account).is_ok());
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(throttle.begin_at(later, peer(1), "new@example.com").err(), Some(Duration::from_secs(40)));
        assert!(throttle.begin_at(later, peer(2), "new@example.com").is_ok(), "another address is free");
        assert!(throttle.begin_at(start + WINDOW, peer(1), "new@example.com").is_ok());
    }

    #[test]
    fn the_eleventh_failure_for_an_account_waits_whatever_the_address() {
        let throttle = Throttle::new(10, WINDOW);
        let now = Instant::now();
        for n in 0..10 {
            assert!(throttle.begin_at(now, peer(n), "a@example.com").is_ok());
        }
        assert!(throttle.begin_at(now, peer(99), "a@example.com").is_err());
    }

    #[test]
    fn success_is_not_counted_and_clears_the_account() {
        let throttle = Throttle::new(2, WINDOW);
        let now = Instant::now();
        for _ in 0..10 {
            throttle.begin_at(now, peer(1), "a@example.com").map(Attempt::succeeded).expect("never throttled");
        }
        assert!(throttle.failures.lock().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let throttle = Throttle::new(1, WINDOW);
        let now = Instant::now();
        for n in 0..MAX_KEYS + 10 {
            let peer = IpAddr::from(Ipv6Addr::from_bits((n as u128) << 64));
            assert!(throttle.begin_at(now, peer, "").is_ok());
        }
        assert_eq!(throttle.failures.lock().len(), MAX_KEYS);
    }
}
