//! Which addresses the server may connect to on behalf of agents (protection against SSRF).
//!
//! Unless allowed by configuration, the server never connects to this host or its private networks. Names are checked when connecting, and
//! the connection uses the checked addresses, so a name that changes its address between two look-ups (DNS rebinding) has no
//! effect. Addresses in the URL itself, in any notation, are checked by the same rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// An address that the server must not connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{host}` lies in a private network or on this host, which is reached only with `allow_private_network = true`"
)]
pub(crate) struct Refused {
    /// The host as written.
    pub(crate) host: String,
}

/// Whether an address is on the public internet: not this host, a private network, or a cloud's metadata service.
#[must_use]
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match (a, b, c) {
        // This network, and reserved addresses.
        (0 | 240.., ..) => true,
        // Carrier-grade NAT; metadata services of some clouds.
        (100, 64..=127, _) => true,
        // Protocol assignments, metadata services of some clouds; 6to4 relay anycast.
        (192, 0, 0) | (192, 88, 99) => true,
        // Benchmarks.
        (198, 18 | 19, _) => true,
        _ => false,
    };
    // Azure's internal service, on a public address.
    let wire_server = address == Ipv4Addr::new(168, 63, 129, 16);
    !(reserved
        || wire_server
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = embedded(address) {
        return is_public_v4(v4);
    }
    // Global unicast is 2000::/3; everything else is local, reserved or multicast.
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    // Teredo and other protocol assignments, ORCHID among them; documentation.
    let special = (first == 0x2001 && (second < 0x0200 || second == 0x0db8)) || (first == 0x3fff && second < 0x1000);
    global && !special
}

/// The IPv4 address embedded in an IPv6 one: mapped, compatible, NAT64 or 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x0064, 0xff9b, 0, 0, 0, 0) => v4(high, low),
        (0x2002, ..) => v4(b, c),
        _ => None,
    }
}

/// Checks an address in a URL; names are accepted here and checked when they are resolved.
pub(crate) fn check(url: &Url) -> Result<(), Refused> {
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) if !is_public(address) => Err(Refused { host: host.to_owned() }),
        _ => Ok(()),
    }
}

/// Resolves names with the system's resolver and returns public addresses only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            let public: Vec<SocketAddr> = found.iter().copied().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() && !found.is_empty() {
                return Err(Refused { host: host.to_owned() }.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of addresses")]
    fn addresses_of_this_host_and_of_private_networks_are_not_public() {
        let private = [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.8.8.8",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "192.0.0.192",
            "198.18.0.1",
            "198.19.9.9",
            "168.63.129.16",
            "192.0.2.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:a00:1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "3fff::1",
            "100::1",
        ];
        for address in private {
            assert!(!is_public(address.parse().expect(address)), "{address} is not public");
        }
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.169.0.1",
            "198.20.0.1",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ];
        for address in public {
            assert!(is_public(address.parse().expect(address)), "{address} is public");
        }
    }

    #[test]
    fn an_address_in_a_url_is_checked_in_every_notation() {
        let refused = [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1:80/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]:8000/a",
            "https://169.254.169.254/latest",
            "http://0/",
            "http://[fd00:ec2::254]/",
        ];
        for url in refused {
            assert!(check(&url.parse().expect(url)).is_err(), "{url}");
        }
        for url in ["http://1.1.1.1/", "https://agents.example.com/", "http://[2606:4700:4700::1111]/"] {
            assert_eq!(check(&url.parse().expect(url)), Ok(()), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_only_to_this_host_is_refused() {
        let Err(error) = PublicOnly.resolve("localhost".parse().expect("a name")).await else { panic!("refused") };
        let refused = error.downcast_ref::<Refused>().expect("an address refusal");
        assert!(refused.to_string().contains("`localhost` lies in a private network"), "{refused}");
    }
}
