//! Deserialisers that check values, so that serde's error messages say what is allowed.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use reqwest::Url;
use serde::{Deserializer, de};

use super::MetricsAccess;

/// An integer from `MIN` to `MAX`.
pub(super) fn within<'de, const MIN: u64, const MAX: u64, T, D>(from: D) -> Result<T, D::Error>
where
    T: TryFrom<u64>,
    D: Deserializer<'de>,
{
    struct Within<const MIN: u64, const MAX: u64>;

    impl<const MIN: u64, const MAX: u64> de::Visitor<'_> for Within<MIN, MAX> {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an integer from {MIN} to {MAX}")
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
            if (MIN..=MAX).contains(&value) {
                Ok(value)
            } else {
                Err(E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
            match u64::try_from(value) {
                Ok(value) => self.visit_u64(value),
                Err(_) => Err(E::invalid_value(de::Unexpected::Signed(value), &self)),
            }
        }
    }

    let value = from.deserialize_u64(Within::<MIN, MAX>)?;
    T::try_from(value).map_err(|_| de::Error::custom("too large for this machine"))
}

/// An amount of money, 0 to a million.
pub(super) fn dollars<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    struct Amount;
    impl de::Visitor<'_> for Amount {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an amount from 0 to 1000000")
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
            let fits = (0.0..=1e6).contains(&value);
            if fits { Ok(value) } else { Err(E::invalid_value(de::Unexpected::Float(value), &self)) }
        }

        #[expect(clippy::cast_precision_loss, reason = "an integer too large to be exact is out of bounds")]
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
            self.visit_f64(value as f64)
        }

        #[expect(clippy::cast_precision_loss, reason = "an integer too large to be exact is out of bounds")]
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
            self.visit_f64(value as f64)
        }
    }
    from.deserialize_any(Amount)
}

/// An address and port to listen on.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<std::net::SocketAddr, D::Error> {
    parse_text(from, "an address and port such as \"127.0.0.1:3000\"", |text| text.parse().ok())
}

/// `sqlite:` and a path, or `postgres://` and a database.
pub(super) fn store_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let allowed = "\"sqlite:\" and a path, or \"postgres://USER:PASSWORD@HOST/DATABASE\"";
    parse_url(from, allowed, |text| is_sqlite(text) || is_postgres(text)).map(Some)
}

/// Whether the store's URL names an SQLite file.
pub(super) fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// `local`, or the URLs of NATS servers.
pub(super) fn bus_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    parse_url(from, ALLOWED_BUS_URLS, |text| text == "local" || nats_servers(text).is_some())
}

/// A URL that passes a check. An error repeats it without its password.
fn parse_url<'de, D: Deserializer<'de>>(
    from: D,
    allowed: &str,
    fits: impl FnOnce(&str) -> bool,
) -> Result<String, D::Error> {
    let text: String = de::Deserialize::deserialize(from)?;
    if fits(&text) {
        return Ok(text);
    }
    Err(de::Error::custom(format!("invalid value `{}`, expected {allowed}", redacted(&text))))
}

const ALLOWED_BUS_URLS: &str = "\"local\", or \"nats://\" or \"tls://\", then [user:password@]host:port, or several such addresses \
                        with commas between";

/// The servers of `nats://[user:password@]host:port[,...]`, or `tls://` for TLS; none if the text is something else.
pub(super) fn nats_servers(text: &str) -> Option<Vec<Url>> {
    let (scheme, _) = text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "nats" | "tls"))?;
    let server = |part: &str| {
        let part = if part.contains("://") { part.to_owned() } else { format!("{scheme}://{part}") };
        let url: Url = part.parse().ok()?;
        let bare = url.query().is_none() && matches!(url.path(), "" | "/");
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        (matches!(url.scheme(), "nats" | "tls") && has_host && bare).then_some(url)
    };
    text.split(',').map(|part| server(part.trim())).collect()
}

/// A URL, or several with commas between, without user and password.
pub(super) fn redacted(text: &str) -> String {
    let part = |part: &str| {
        let (scheme, rest) = part.split_once("://").map_or(("", part), |(scheme, rest)| (scheme, rest));
        let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
        rest.rsplit_once('@').map_or_else(|| part.to_owned(), |(_, host)| format!("{scheme}...@{host}"))
    };
    text.split(',').map(part).collect::<Vec<_>>().join(",")
}

/// Access to the metrics.
pub(super) fn metrics_access<'de, D: Deserializer<'de>>(from: D) -> Result<MetricsAccess, D::Error> {
    let allowed = "\"off\", \"public\", or an address and port of their own such as \"127.0.0.1:9464\"";
    parse_text(from, allowed, |text| match text {
        "off" => Some(MetricsAccess::Off),
        "public" => Some(MetricsAccess::Public),
        address => address.parse().ok().map(MetricsAccess::Listen),
    })
}

/// A filter of the log.
pub(super) fn log_filter<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let allowed = "levels by module such as \"info\" or \"info,netra=debug\"";
    parse_text(from, allowed, |text| tracing_subscriber::EnvFilter::try_new(text).is_ok().then(|| text.to_owned()))
}

/// The URL of an OTLP receiver.
pub(super) fn telemetry_endpoint<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let allowed = "\"http://\" or \"https://\", a host, a port and maybe a path such as \"http://localhost:4318\"";
    let read = |text: &str| {
        let uri: axum::http::Uri = text.parse().ok()?;
        let known = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
        known.then(|| text.trim_end_matches('/').to_owned())
    };
    parse_text(from, allowed, read).map(Some)
}

/// A number from 0 to 1.
pub(super) fn unit_interval<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let value: f64 = de::Deserialize::deserialize(from)?;
    let fits = (0.0..=1.0).contains(&value);
    fits.then_some(value).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Float(value), &"a number from 0 to 1"))
}

/// The origin of a URL that has no path, query or user info.
pub(super) fn origin(text: &str) -> Option<String> {
    let uri: axum::http::Uri = text.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = uri.authority()?;
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
    bare.then(|| format!("{scheme}://{authority}").to_ascii_lowercase())
}

/// The server's URL for users.
pub(super) fn public_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    parse_text(from, "\"http://\" or \"https://\", a host and maybe a port, without a path", origin).map(Some)
}

/// Networks (`10.0.0.0/8`) and IP addresses.
pub(super) fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let list: Vec<String> = de::Deserialize::deserialize(from)?;
    list.iter()
        .map(|text| {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| {
                let allowed = "an address or a network such as \"127.0.0.1\" or \"10.0.0.0/8\"";
                de::Error::invalid_value(de::Unexpected::Str(text), &allowed)
            })
        })
        .collect()
}

/// A list of origins.
pub(super) fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let list: Vec<String> = de::Deserialize::deserialize(from)?;
    list.iter()
        .map(|text| {
            origin(text).ok_or_else(|| {
                de::Error::invalid_value(de::Unexpected::Str(text), &"an origin such as \"https://app.example.com\"")
            })
        })
        .collect()
}

/// Parses a text. Its error repeats the text without the part before an `@`.
fn parse_text<'de, D: Deserializer<'de>, T>(
    from: D,
    allowed: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text: String = de::Deserialize::deserialize(from)?;
    parse(&text).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&redacted(&text)), &allowed))
}
