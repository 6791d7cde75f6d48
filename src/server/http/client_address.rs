//! The address of a caller, behind proxies or not.
//!
//! Each proxy appends the address that it saw to `X-Forwarded-For` (or `Forwarded`, RFC 7239). Whatever is left of the entry of a
//! trusted proxy may have been sent by the caller. So the list is read from the right: the first address that is not of a trusted
//! proxy is the caller's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName, header};

use crate::server::config::ServerConfig;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How many entries are read. No chain of proxies is longer.
const MAX_HOPS: usize = 32;

/// The caller's address. `peer` is the other end of the connection; the headers count only if that is a trusted proxy. If an entry
/// cannot be read, the caller counts as the proxy that wrote it. If both headers are there and disagree, one of them is the caller's
/// own, and the caller counts as `peer`.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, server: &ServerConfig) -> IpAddr {
    let peer = peer.to_canonical();
    if !server.trusts_peer(peer) {
        return peer;
    }
    let walk = |hops: Vec<Option<IpAddr>>| {
        let mut client = peer;
        for hop in hops.into_iter().rev().take(MAX_HOPS) {
            let Some(hop) = hop else { break };
            client = hop;
            if !server.is_proxy(hop) {
                break;
            }
        }
        client
    };
    let x_forwarded_for = lines(headers, &X_FORWARDED_FOR).map(|all| walk(x_forwarded_for(&all)));
    let forwarded = lines(headers, &header::FORWARDED).map(|all| walk(forwarded(&all)));
    match (x_forwarded_for, forwarded) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(client), _) | (None, Some(client)) => client,
        (None, None) => peer,
    }
}

/// Whether a header names a caller.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(header::FORWARDED)
}

/// A header's lines joined to one list; a line that is not ASCII counts as an entry that cannot be read.
fn lines(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("unknown"));
    let all = lines.collect::<Vec<_>>().join(",");
    (!all.is_empty()).then_some(all)
}

fn x_forwarded_for(list: &str) -> Vec<Option<IpAddr>> {
    list.split(',').map(address).collect()
}

/// The `for` of each element: `for=192.0.2.60;proto=http, for="[2001:db8::1]:4711"`.
fn forwarded(list: &str) -> Vec<Option<IpAddr>> {
    let hop = |element: String| {
        let named = split(&element, ';').into_iter().find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| unquoted(value.trim()))
        });
        address(&named?)
    };
    split(list, ',').into_iter().map(hop).collect()
}

/// Splits a text at separators outside of quotes.
fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        if c == separator && !quoted {
            parts.push(String::new());
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return text.to_owned() };
    let mut escaped = false;
    let keep = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    inner.chars().filter(keep).collect()
}

/// Parses an address with or without a port: `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`. Names (`unknown`, `_hidden`) are not
/// addresses.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, port) = rest.split_once(']')?;
        return (port.is_empty() || port.starts_with(':')).then(|| ipv6(inner)).flatten();
    }
    let ipv4 = |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    let with_port = || text.split_once(':').and_then(|(host, _)| ipv4(host));
    ipv4(text).or_else(with_port).or_else(|| ipv6(text))
}

/// Parses an IPv6 address; its zone, which has a meaning only on its own host, is dropped.
fn ipv6(text: &str) -> Option<IpAddr> {
    let bare = text.split_once('%').map_or(text, |(bare, _)| bare);
    bare.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(trusted: &str) -> ServerConfig {
        toml::from_str(&format!("trusted_proxies = [{trusted}]")).expect("a configuration")
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
        };
        lines.iter().map(line).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_entry_is_an_address_with_or_without_a_port() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            (" 192.0.2.1 ", Some("192.0.2.1")),
            ("192.0.2.1:4711", Some("192.0.2.1")),
            ("192.0.2.1:_secret", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:4711", Some("2001:db8::1")),
            ("[fe80::1%eth0]:80", Some("fe80::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("[::ffff:192.0.2.1]:80", Some("192.0.2.1")),
            ("", None),
            ("unknown", None),
            ("_hidden", None),
            ("192.0.2", None),
            ("192.0.2.1.evil.example", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]x", None),
            ("[192.0.2.1]:80", None),
            ("localhost:80", None),
        ] {
            assert_eq!(address(text), expected.map(ip), "{text}");
        }
    }

    #[test]
    fn the_caller_is_the_last_hop_that_is_no_trusted_proxy() {
        let xff = |value: &'static str| vec![("x-forwarded-for", value)];
        let fwd = |value: &'static str| vec![("forwarded", value)];
        let loopback = r#""127.0.0.1", "::1""#;
        let chain = r#""10.0.0.0/8", "2001:db8:1::/48""#;
        for (trusted, peer, lines, expected) in [
            // The peer is not a trusted proxy.
            ("", "127.0.0.1", xff("192.0.2.1"), "127.0.0.1"),
            (loopback, "198.51.100.7", xff("192.0.2.1"), "198.51.100.7"),
            (loopback, "198.51.100.7", fwd("for=192.0.2.1"), "198.51.100.7"),
            // One proxy: the entries that the caller sent precede the one that the proxy added.
            (loopback, "127.0.0.1", vec![], "127.0.0.1"),
            (loopback, "127.0.0.1", xff("192.0.2.1"), "192.0.2.1"),
            (loopback, "::ffff:127.0.0.1", xff("192.0.2.1:1234"), "192.0.2.1"),
            (loopback, "::1", xff("[2001:db8::7]:443"), "2001:db8::7"),
            (loopback, "127.0.0.1", xff("203.0.113.9, 192.0.2.1"), "192.0.2.1"),
            (
                loopback,
                "127.0.0.1",
                vec![("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.1")],
                "192.0.2.1",
            ),
            // Several proxies, each its own entry.
            (chain, "10.1.1.1", xff("203.0.113.9, 192.0.2.1, 10.2.2.2:99, [2001:db8:1::5]"), "192.0.2.1"),
            (chain, "10.1.1.1", xff("10.3.3.3, 10.2.2.2"), "10.3.3.3"),
            // What cannot be read ends the walk at the proxy that wrote it.
            (chain, "10.1.1.1", xff("192.0.2.1, unknown"), "10.1.1.1"),
            (chain, "10.1.1.1", xff("192.0.2.1, garbage, 10.2.2.2"), "10.2.2.2"),
            (chain, "10.1.1.1", xff(""), "10.1.1.1"),
            (chain, "10.1.1.1", xff("192.0.2.1,"), "10.1.1.1"),
            // Forwarded: parameters in any order, quotes, escapes, names in place of addresses.
            (loopback, "127.0.0.1", fwd("for=192.0.2.60;proto=http;by=203.0.113.43"), "192.0.2.60"),
            (loopback, "127.0.0.1", fwd(r#"proto=https; FOR="[2001:db8:cafe::17]:4711""#), "2001:db8:cafe::17"),
            (loopback, "127.0.0.1", fwd(r#"for="192.0.2.1:80""#), "192.0.2.1"),
            (loopback, "127.0.0.1", fwd(r#"for="192\.0.2.1""#), "192.0.2.1"),
            (loopback, "127.0.0.1", fwd(r#"for=203.0.113.9;by="a,b;for=198.51.100.1", for=192.0.2.1"#), "192.0.2.1"),
            (loopback, "127.0.0.1", fwd(r#"for=192.0.2.1, for=_hidden"#), "127.0.0.1"),
            (loopback, "127.0.0.1", fwd("proto=https"), "127.0.0.1"),
            (loopback, "127.0.0.1", fwd(r#"for="192.0.2.1"#), "127.0.0.1"),
            (chain, "10.1.1.1", fwd("for=203.0.113.9, for=192.0.2.1, for=10.2.2.2"), "192.0.2.1"),
            // Both: they agree, or one is the caller's own.
            (
                loopback,
                "127.0.0.1",
                vec![("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")],
                "192.0.2.1",
            ),
            (loopback, "127.0.0.1", vec![("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=1.1.1.1")], "127.0.0.1"),
        ] {
            assert_eq!(
                client_address(ip(peer), &headers(&lines), &server(trusted)),
                ip(expected),
                "[{trusted}] {peer} {lines:?}"
            );
        }
    }

    #[test]
    fn at_most_the_last_32_entries_are_read() {
        let list = vec!["10.0.0.9"; 10_000].join(",");
        let lines = headers(&[("x-forwarded-for", &format!("192.0.2.1,{list}"))]);
        assert_eq!(client_address(ip("10.0.0.1"), &lines, &server(r#""10.0.0.0/8""#)), ip("10.0.0.9"));
    }

    #[test]
    fn trust_proxy_trusts_the_peer_and_no_other_entry() {
        let server: ServerConfig = toml::from_str("trust_proxy = true").expect("a configuration");
        let lines = headers(&[("x-forwarded-for", "203.0.113.9, 192.0.2.1:80")]);
        assert_eq!(client_address(ip("198.51.100.7"), &lines, &server), ip("192.0.2.1"));
    }
}
