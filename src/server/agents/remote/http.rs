//! Asks a remote agent over HTTP.
//!
//! Promises: no redirect is followed, no proxy of the environment is used, nothing private is connected to without leave, and
//! no header's value nor the URL's query ever stands in a message or a log, whatever the remote repeats of them.

use std::{cell::RefCell, error::Error, io, time::Duration};

use bytes::Bytes;
use futures_util::{TryStreamExt, stream::BoxStream};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
        RETRY_AFTER,
    },
};
use tokio::time::timeout;
use tokio_util::io::StreamReader;

use super::{
    RemoteError,
    failure::{Failure, excerpt},
    secrets::{Secrets, in_address, of_query},
};
use crate::server::config::agents::AgUiConfig;
use crate::server::outbound::address::{self, PublicOnly, Refused};

/// The longest that a remote may ask us to wait before the next try; whoever wants longer is not tried again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);
/// How much of a refusal's body is read, and for how long.
const REFUSAL: (usize, Duration) = (2 * 1024, Duration::from_secs(1));
/// Headers that are the request's own.
const OWN: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The bytes of an answer.
pub(crate) type Body = StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>;

/// Where a remote agent is, and how it is asked.
#[derive(Debug)]
pub(crate) struct Endpoint {
    client: Client,
    url: Url,
    headers: HeaderMap,
    connect_timeout: Duration,
    secrets: Secrets,
}

impl Endpoint {
    /// Prepares an endpoint; connects to nothing.
    ///
    /// # Errors
    /// Which key of the configuration is wrong and why.
    pub(crate) fn new(config: &AgUiConfig, variables: impl Fn(&str) -> Option<String>) -> Result<Self, RemoteError> {
        // What variables hold is secret, wherever it stands.
        let held = RefCell::new(Vec::new());
        let noted = |name: &str| variables(name).inspect(|value| held.borrow_mut().extend(in_address(value)));
        let url = config.url.resolve(noted).map_err(|problem| RemoteError::new("url", problem))?;
        if !config.allow_private_network {
            address::check(&url).map_err(|refused| RemoteError::new("url", refused.to_string()))?;
        }
        let headers = headers(config, noted)?;
        let carried = headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let secrets = Secrets::of(held.take().into_iter().chain(carried).chain(of_query(&url)));
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let client = Client::builder()
            .user_agent(concat!("netra/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            // Compressed, what is said now would be read later.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            // A run has its own connection: closing it is how the remote hears of a stop.
            .pool_max_idle_per_host(0)
            .connect_timeout(connect_timeout);
        let client = if config.allow_private_network { client } else { client.dns_resolver(PublicOnly) };
        let client = client.build().map_err(|error| RemoteError::new("url", error.without_url().to_string()))?;
        Ok(Self { client, url, headers, connect_timeout, secrets })
    }

    /// Which endpoint it is, whoever asks it: origin and path.
    pub(crate) fn place(&self) -> String {
        let mut place = self.url.clone();
        place.set_query(None);
        place.into()
    }

    /// What nobody is told.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Posts a run's input; answers the stream of its events.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) async fn post(&self, input: Bytes) -> Result<Body, Failure> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let request = request.header(ACCEPT, "text/event-stream").header(ACCEPT_ENCODING, "identity");
        let request = request.header(CONTENT_TYPE, "application/json").body(input);
        let response = request.send().await.map_err(|error| self.unreachable(error.without_url()))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(redirected(&response));
        }
        if !status.is_success() {
            return Err(self.refused(response).await);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing");
        if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")) {
            let message = format!(
                "the remote agent answered with `{}` in place of `text/event-stream`; is its url right?",
                excerpt(kind)
            );
            return Err(Failure::new("remote_not_sse", message));
        }
        let coding =
            response.headers().get(CONTENT_ENCODING).map_or("identity", |coding| coding.to_str().unwrap_or("?"));
        if !coding.eq_ignore_ascii_case("identity") {
            let message =
                format!("the remote agent's stream is compressed (`{}`), which was not asked for", excerpt(coding));
            return Err(Failure::new("remote_not_sse", message));
        }
        let bytes = response.bytes_stream().map_err(|error| io::Error::other(error.without_url()));
        Ok(StreamReader::new(Box::pin(bytes)))
    }

    /// No connection, or one that died before an answer came.
    fn unreachable(&self, error: reqwest::Error) -> Failure {
        if let Some(refused) = causes(&error).find_map(|error| error.downcast_ref::<Refused>()) {
            return Failure::new("address_refused", format!("the remote agent's address is refused: {refused}"));
        }
        if error.is_connect() && error.is_timeout() {
            let message =
                format!("the remote agent could not be connected to within {:?}; ask again", self.connect_timeout);
            return Failure::of_endpoint("connect_timeout", message).passing(Duration::ZERO);
        }
        let cause = causes(&error).last().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(host = self.url.host_str(), %error, cause, "a remote agent cannot be reached");
        if error.is_connect() {
            let message = "the remote agent cannot be reached; ask again, or tell an administrator";
            return Failure::of_endpoint("remote_unreachable", message).passing(Duration::ZERO);
        }
        Failure::of_endpoint("stream_cut", "the remote agent closed the connection before it answered; ask again")
    }

    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let after = retry_after(response.headers());
        let wait = after.unwrap_or_default();
        let failure = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let message = format!(
                    "the remote agent refuses this server ({status}); an administrator has to check its headers"
                );
                return Failure::new("remote_unauthorized", message);
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let when = after.map_or("in a moment".into(), |after| format!("in {} s", after.as_secs()));
                Failure::of_endpoint(
                    "remote_busy",
                    format!("the remote agent has too much to do ({status}); ask again {when}"),
                )
            }
            status if status.is_client_error() => {
                let said = self.said(response).await;
                return Failure::new(
                    "remote_refused",
                    format!("the remote agent refused the request ({status}){said}"),
                );
            }
            status => {
                Failure::of_endpoint("remote_failed", format!("the remote agent failed ({status}); ask again later"))
            }
        };
        let passing = matches!(status.as_u16(), 429 | 502..=504) && wait <= MAX_RETRY_AFTER;
        if passing { failure.passing(wait) } else { failure }
    }

    /// What a refusal says, without the secrets it was asked with.
    async fn said(&self, mut response: Response) -> String {
        let mut body = Vec::new();
        let read = async {
            while body.len() < REFUSAL.0
                && let Ok(Some(piece)) = response.chunk().await
            {
                body.extend_from_slice(&piece);
            }
        };
        // Whatever came until then will do.
        let _ = timeout(REFUSAL.1, read).await;
        body.truncate(REFUSAL.0);
        // The cut may have left half a character, and half a secret.
        let text = self.secrets.redact_cut(String::from_utf8_lossy(&body).trim_end_matches('\u{fffd}'));
        let text = excerpt(&text);
        if text.is_empty() { String::new() } else { format!(": {text}") }
    }
}

/// An error and what it came of.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |error| (*error).source())
}

fn redirected(response: &Response) -> Failure {
    let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
    let target = target.and_then(|target| response.url().join(target).ok());
    let target =
        target.and_then(|url| url.host_str().map(|host| format!(" to `{}`", excerpt(host)))).unwrap_or_default();
    let message = format!(
        "the remote agent redirects{target}, and redirects are not followed; configure the address it names, if it is right"
    );
    Failure::new("remote_redirected", message)
}

/// How long a remote asks us to wait: seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(date.duration_since(jiff::Timestamp::now()).try_into().unwrap_or_default())
}

fn headers(config: &AgUiConfig, variables: impl Fn(&str) -> Option<String>) -> Result<HeaderMap, RemoteError> {
    let mut headers = HeaderMap::new();
    for (name, secret) in &config.headers {
        let wrong = |message: &str| RemoteError::new(format!("headers.{name}"), message);
        let header: HeaderName = name.parse().map_err(|_| wrong("is no name of an HTTP header"))?;
        if OWN.contains(&header.as_str()) {
            return Err(wrong("is set by the request itself; leave it out"));
        }
        let value = secret.resolve(&variables).map_err(|problem| wrong(&problem))?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong("its value holds what no header may hold"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_seconds_or_as_a_date() {
        let wait = |text: &str| {
            let value = HeaderValue::from_str(text).expect("a value");
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(wait("3"), Some(Duration::from_secs(3)));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(wait("Sat, 01 Jan 2089 00:00:00 GMT").expect("a date") > Duration::from_secs(86_400));
    }
}
