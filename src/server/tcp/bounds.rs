//! Limits the number of connections: in all, and from one address.
//!
//! A connection beyond a limit is still answered: `/healthz` and `/readyz` as usual, everything else with the reason. There are
//! [`MAX_EXCESS`] places for these; if all are taken the oldest is closed (of the same address, if that has many), so that a monitor
//! gets an answer while others hold connections open.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::server::metrics;

/// The most connections beyond the limits, in all and from one address.
pub(super) const MAX_EXCESS: usize = 64;
const MAX_EXCESS_PER_ADDRESS: usize = 8;

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// The limit of all connections.
    All,
    /// The limit of one address.
    Address,
}

/// What to do with a new connection.
#[derive(Debug)]
pub(super) enum Admission {
    /// Serve it. It counts until the place is dropped.
    Open(Place),
    /// Refuse its requests. Close it when the token is cancelled.
    Beyond(Reached, Place, CancellationToken),
}

/// Counts connections; clones share the count.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    max: usize,
    /// None for no limit.
    max_per_address: Option<usize>,
    /// Networks of proxies: many people's connections come from there, so their addresses have no limit of their own.
    proxies: Arc<[IpNet]>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    by_address: HashMap<IpAddr, usize>,
    excess: VecDeque<Excess>,
    next: u64,
}

#[derive(Debug)]
struct Excess {
    id: u64,
    address: IpAddr,
    end: CancellationToken,
}

impl Counts {
    /// If there are too many connections beyond the limits, closes the oldest: of this address, or else of all.
    fn make_room(&mut self, address: IpAddr) {
        let mut same = self.excess.iter().enumerate().filter(|(_, excess)| excess.address == address).map(|(at, _)| at);
        let (oldest, count) = (same.next(), same.count() + 1);
        let to_close = match oldest {
            Some(at) if count >= MAX_EXCESS_PER_ADDRESS => at,
            _ if self.excess.len() >= MAX_EXCESS => 0,
            _ => return,
        };
        if let Some(excess) = self.excess.remove(to_close) {
            excess.end.cancel();
        }
    }
}

impl Bounds {
    pub(super) fn new(max: usize, max_per_address: Option<usize>) -> Self {
        Self { max, max_per_address, proxies: Arc::default(), counts: Arc::default() }
    }

    /// The same, without a limit per address for these networks of proxies.
    pub(super) fn with_proxies(self, proxies: &[IpNet]) -> Self {
        Self { proxies: proxies.into(), ..self }
    }

    /// Counts a new connection from this address.
    pub(super) fn admit(&self, peer: IpAddr) -> Admission {
        let address = network(peer);
        let mut counts = self.counts.lock();
        let here = counts.by_address.get(&address).copied().unwrap_or(0);
        let canonical = peer.to_canonical();
        let is_proxy = self.proxies.iter().any(|network| network.contains(&canonical));
        let reached = if !is_proxy && self.max_per_address.is_some_and(|max| here >= max) {
            Reached::Address
        } else if counts.open >= self.max {
            Reached::All
        } else {
            counts.open += 1;
            *counts.by_address.entry(address).or_default() += 1;
            metrics::tcp_opened();
            return Admission::Open(Place { bounds: self.clone(), address, excess: None });
        };
        metrics::tcp_refused(match reached {
            Reached::All => "all",
            Reached::Address => "address",
        });
        counts.make_room(address);
        let (id, end) = (counts.next, CancellationToken::new());
        counts.next += 1;
        counts.excess.push_back(Excess { id, address, end: end.clone() });
        Admission::Beyond(reached, Place { bounds: self.clone(), address, excess: Some(id) }, end)
    }
}

/// A counted connection; dropping it ends the count.
#[derive(Debug)]
pub(super) struct Place {
    bounds: Bounds,
    address: IpAddr,
    excess: Option<u64>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.bounds.counts.lock();
        if let Some(id) = self.excess {
            counts.excess.retain(|excess| excess.id != id);
            return;
        }
        counts.open = counts.open.saturating_sub(1);
        let left = counts.by_address.get_mut(&self.address).map(|here| {
            *here = here.saturating_sub(1);
            *here
        });
        if left == Some(0) {
            counts.by_address.remove(&self.address);
        }
        metrics::tcp_closed();
    }
}

/// What counts as one address: for IPv6 the /64 network, which usually belongs to one subscriber.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_address_reaches_its_limit_and_another_is_served() {
        let bounds = Bounds::new(10, Some(2));
        let held = [bounds.admit(from(1)), bounds.admit(from(1))];
        assert!(held.iter().all(|admitted| matches!(admitted, Admission::Open(_))));
        assert!(matches!(bounds.admit(from(1)), Admission::Beyond(Reached::Address, ..)));
        assert!(matches!(bounds.admit(from(2)), Admission::Open(_)));
        drop(held);
        assert!(matches!(bounds.admit(from(1)), Admission::Open(_)));
    }

    #[test]
    fn a_proxy_has_no_limit_of_its_own() {
        let proxies = ["192.0.2.7/32".parse().expect("a network")];
        let bounds = Bounds::new(3, Some(1)).with_proxies(&proxies);
        let _held = [bounds.admit(from(7)), bounds.admit(from(7)), bounds.admit(from(8))];
        assert!(matches!(bounds.admit(from(7)), Admission::Beyond(Reached::All, ..)));
        assert!(matches!(bounds.admit(from(8)), Admission::Beyond(Reached::Address, ..)));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let bounds = Bounds::new(10, Some(1));
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let _held = bounds.admit(address("2001:db8:1:2::1"));
        assert!(matches!(bounds.admit(address("2001:db8:1:2:ffff::9")), Admission::Beyond(Reached::Address, ..)));
        assert!(matches!(bounds.admit(address("2001:db8:1:3::1")), Admission::Open(_)));
        let _mapped = bounds.admit(address("::ffff:192.0.2.1"));
        assert!(matches!(bounds.admit(from(1)), Admission::Beyond(Reached::Address, ..)));
    }

    #[test]
    fn beyond_the_limits_the_oldest_is_closed() {
        let bounds = Bounds::new(1, None);
        let _open = bounds.admit(from(0));
        let mut beyond: Vec<_> =
            (0..MAX_EXCESS).map(|n| bounds.admit(from(u8::try_from(n / 4).expect("small")))).collect();
        let ended = |admitted: &Admission| matches!(admitted, Admission::Beyond(_, _, end) if end.is_cancelled());
        assert!(!beyond.iter().any(ended));
        beyond.push(bounds.admit(from(200)));
        assert!(ended(&beyond[0]) && !ended(&beyond[1]) && !ended(&beyond[MAX_EXCESS]));
    }

    #[test]
    fn an_address_with_many_has_its_own_oldest_closed() {
        let bounds = Bounds::new(1, None);
        let _open = bounds.admit(from(0));
        let ended = |admitted: &Admission| matches!(admitted, Admission::Beyond(_, _, end) if end.is_cancelled());
        let other = bounds.admit(from(2));
        let held: Vec<_> = (0..=MAX_EXCESS_PER_ADDRESS).map(|_| bounds.admit(from(1))).collect();
        assert!(ended(&held[0]) && !held[1..].iter().any(ended) && !ended(&other));
        drop(held);
        assert!(!ended(&bounds.admit(from(1))));
    }
}
