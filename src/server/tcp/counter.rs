//! Counts connections and limits their number: in all, and from one address.
//!
//! An excess connection (over a limit) is still answered: `/healthz` and `/readyz` as usual, every other request with an error that
//! names the limit. At most [`MAX_EXCESS`] are open, [`MAX_EXCESS_PER_ADDRESS`] of one address: a new one then closes the oldest, so
//! that health checks are answered even while other clients hold connections open.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::server::metrics;

/// The most excess connections.
pub(super) const MAX_EXCESS: usize = 64;
/// The most excess connections from one address.
const MAX_EXCESS_PER_ADDRESS: usize = 8;

/// A limit that a new connection exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExceededLimit {
    /// The limit for all connections.
    Total,
    /// The limit for one address.
    PerAddress,
}

/// What to do with a new connection.
#[derive(Debug)]
pub(super) enum Admission {
    /// Serve it.
    Open(Permit),
    /// Refuse its requests. Close it when the token is cancelled.
    Excess(ExceededLimit, Permit, CancellationToken),
}

/// Counts connections; clones share the count.
#[derive(Debug, Clone)]
pub(super) struct ConnectionCounter {
    max: usize,
    /// `None` for no limit.
    max_per_address: Option<usize>,
    /// Networks of proxies: many people's connections come from there, so their addresses have no limit of their own.
    proxies: Arc<[IpNet]>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    by_address: HashMap<IpAddr, usize>,
    /// The excess connections, oldest first.
    excess: VecDeque<ExcessConnection>,
    next_id: u64,
}

#[derive(Debug)]
struct ExcessConnection {
    id: u64,
    address: IpAddr,
    close: CancellationToken,
}

impl Counts {
    /// If there are too many excess connections, closes the oldest: of this address, or else of all.
    fn make_room(&mut self, address: IpAddr) {
        let mut same = self.excess.iter().enumerate().filter(|(_, excess)| excess.address == address).map(|(at, _)| at);
        let (oldest, count) = (same.next(), same.count() + 1);
        let to_close = match oldest {
            Some(at) if count >= MAX_EXCESS_PER_ADDRESS => at,
            _ if self.excess.len() >= MAX_EXCESS => 0,
            _ => return,
        };
        if let Some(excess) = self.excess.remove(to_close) {
            excess.close.cancel();
        }
    }
}

impl ConnectionCounter {
    pub(super) fn new(max: usize, max_per_address: Option<usize>) -> Self {
        Self { max, max_per_address, proxies: Arc::default(), counts: Arc::default() }
    }

    /// Removes the limit per address for these networks of proxies.
    pub(super) fn with_proxies(self, proxies: &[IpNet]) -> Self {
        Self { proxies: proxies.into(), ..self }
    }

    /// Counts a new connection from this address, and decides whether to serve it.
    pub(super) fn admit(&self, peer: IpAddr) -> Admission {
        let address = counted_address(peer);
        let mut counts = self.counts.lock();
        let from_address = counts.by_address.get(&address).copied().unwrap_or(0);
        let canonical = peer.to_canonical();
        let is_proxy = self.proxies.iter().any(|network| network.contains(&canonical));
        let exceeded = if !is_proxy && self.max_per_address.is_some_and(|max| from_address >= max) {
            ExceededLimit::PerAddress
        } else if counts.open >= self.max {
            ExceededLimit::Total
        } else {
            counts.open += 1;
            *counts.by_address.entry(address).or_default() += 1;
            metrics::tcp_opened();
            return Admission::Open(Permit { counter: self.clone(), address, excess: None });
        };
        metrics::tcp_refused(match exceeded {
            ExceededLimit::Total => "all",
            ExceededLimit::PerAddress => "address",
        });
        counts.make_room(address);
        let (id, close) = (counts.next_id, CancellationToken::new());
        counts.next_id += 1;
        counts.excess.push_back(ExcessConnection { id, address, close: close.clone() });
        Admission::Excess(exceeded, Permit { counter: self.clone(), address, excess: Some(id) }, close)
    }
}

/// Held by a counted connection; dropping it subtracts the connection from the count.
#[derive(Debug)]
pub(super) struct Permit {
    counter: ConnectionCounter,
    address: IpAddr,
    /// The id of an excess connection.
    excess: Option<u64>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.counter.counts.lock();
        if let Some(id) = self.excess {
            counts.excess.retain(|excess| excess.id != id);
            return;
        }
        counts.open = counts.open.saturating_sub(1);
        let left = counts.by_address.get_mut(&self.address).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            counts.by_address.remove(&self.address);
        }
        metrics::tcp_closed();
    }
}

/// What counts as one address: for IPv6 the /64 network, which usually belongs to one subscriber.
fn counted_address(peer: IpAddr) -> IpAddr {
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
        let counter = ConnectionCounter::new(10, Some(2));
        let admitted = [counter.admit(from(1)), counter.admit(from(1))];
        assert!(admitted.iter().all(|one| matches!(one, Admission::Open(_))));
        assert!(matches!(counter.admit(from(1)), Admission::Excess(ExceededLimit::PerAddress, ..)));
        assert!(matches!(counter.admit(from(2)), Admission::Open(_)));
        drop(admitted);
        assert!(matches!(counter.admit(from(1)), Admission::Open(_)));
    }

    #[test]
    fn a_proxy_has_no_limit_of_its_own() {
        let proxies = ["192.0.2.7/32".parse().expect("a network")];
        let counter = ConnectionCounter::new(3, Some(1)).with_proxies(&proxies);
        let _held = [counter.admit(from(7)), counter.admit(from(7)), counter.admit(from(8))];
        assert!(matches!(counter.admit(from(7)), Admission::Excess(ExceededLimit::Total, ..)));
        assert!(matches!(counter.admit(from(8)), Admission::Excess(ExceededLimit::PerAddress, ..)));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let counter = ConnectionCounter::new(10, Some(1));
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let _held = counter.admit(address("2001:db8:1:2::1"));
        assert!(matches!(
            counter.admit(address("2001:db8:1:2:ffff::9")),
            Admission::Excess(ExceededLimit::PerAddress, ..)
        ));
        assert!(matches!(counter.admit(address("2001:db8:1:3::1")), Admission::Open(_)));
        let _mapped = counter.admit(address("::ffff:192.0.2.1"));
        assert!(matches!(counter.admit(from(1)), Admission::Excess(ExceededLimit::PerAddress, ..)));
    }

    #[test]
    fn too_many_excess_connections_close_the_oldest() {
        let counter = ConnectionCounter::new(1, None);
        let _open = counter.admit(from(0));
        let mut excess: Vec<_> =
            (0..MAX_EXCESS).map(|n| counter.admit(from(u8::try_from(n / 4).expect("the number fits")))).collect();
        let closed = |admitted: &Admission| matches!(admitted, Admission::Excess(_, _, close) if close.is_cancelled());
        assert!(!excess.iter().any(closed));
        excess.push(counter.admit(from(200)));
        assert!(closed(&excess[0]) && !closed(&excess[1]) && !closed(&excess[MAX_EXCESS]));
    }

    #[test]
    fn too_many_excess_connections_of_an_address_close_its_oldest() {
        let counter = ConnectionCounter::new(1, None);
        let _open = counter.admit(from(0));
        let closed = |admitted: &Admission| matches!(admitted, Admission::Excess(_, _, close) if close.is_cancelled());
        let other = counter.admit(from(2));
        let held: Vec<_> = (0..=MAX_EXCESS_PER_ADDRESS).map(|_| counter.admit(from(1))).collect();
        assert!(closed(&held[0]) && !held[1..].iter().any(closed) && !closed(&other));
        drop(held);
        assert!(!closed(&counter.admit(from(1))));
    }
}
