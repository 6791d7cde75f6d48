//! Sends requests to a remote agent over HTTP.
//!
//! Redirects are not followed, proxies of the environment are not used, and private networks are connected to only if
//! configured. Values of headers and the URL's query appear in no message and no log, even if the endpoint repeats them.

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
    secrets::{Secrets, query_secrets, variable_forms},
};
use crate::server::config::agents::AgUiConfig;
use crate::server::outbound::address::{self, PublicOnly, Refused};

/// The longest `Retry-After` with which a request is retried.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);
/// How much of an error response's body is read.
const MAX_ERROR_BODY_BYTES: usize = 2 * 1024;
/// How long an error response's body is read.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Headers that cannot be configured, because the request sets them.
const RESERVED_HEADERS: &[&str] = &[
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

/// The body of a response.
pub(crate) type Body = StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>;

/// The endpoint of a remote agent.
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
    /// Names the wrong key of the configuration.
    pub(crate) fn new(config: &AgUiConfig, variables: impl Fn(&str) -> Option<String>) -> Result<Self, RemoteError> {
        // The values of variables are secret wherever they are used.
        let values = RefCell::new(Vec::new());
        let lookup = |name: &str| variables(name).inspect(|value| values.borrow_mut().extend(variable_forms(value)));
        let url = config.url.resolve(lookup).map_err(|problem| RemoteError::new("url", problem))?;
        if !config.allow_private_network {
            address::check(&url).map_err(|refused| RemoteError::new("url", refused.to_string()))?;
        }
        let headers = headers(config, lookup)?;
        let header_values = headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let secrets = Secrets::from_texts(values.take().into_iter().chain(header_values).chain(query_secrets(&url)));
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let client = Client::builder()
            .user_agent(concat!("netra/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            // Compression would delay events.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            // Each request has its own connection, so that an endpoint can detect a stopped run by the closed connection.
            .pool_max_idle_per_host(0)
            .connect_timeout(connect_timeout);
        let client = if config.allow_private_network { client } else { client.dns_resolver(PublicOnly) };
        let client = client.build().map_err(|error| RemoteError::new("url", error.without_url().to_string()))?;
        Ok(Self { client, url, headers, connect_timeout, secrets })
    }

    /// The URL without its query.
    pub(crate) fn origin_and_path(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.into()
    }

    /// The secrets that must not appear in messages or logs.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Posts a run's input; returns the response's body, a stream of events.
    ///
    /// # Errors
    /// If the request fails, or the response is not a stream of events.
    pub(crate) async fn post(&self, input: Bytes) -> Result<Body, Failure> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let request = request.header(ACCEPT, "text/event-stream").header(ACCEPT_ENCODING, "identity");
        let request = request.header(CONTENT_TYPE, "application/json").body(input);
        let response = request.send().await.map_err(|error| self.unreachable(error.without_url()))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(redirect(&response));
        }
        if !status.is_success() {
            return Err(self.error_response(response).await);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing");
        if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")) {
            let message = format!(
                "the remote agent answered with `{}` instead of `text/event-stream`; check its `url`",
                excerpt(kind)
            );
            return Err(Failure::new("remote_not_sse", message));
        }
        let coding =
            response.headers().get(CONTENT_ENCODING).map_or("identity", |coding| coding.to_str().unwrap_or("?"));
        if !coding.eq_ignore_ascii_case("identity") {
            let message = format!(
                "the remote agent's stream is compressed (`{}`), which the request did not allow",
                excerpt(coding)
            );
            return Err(Failure::new("remote_not_sse", message));
        }
        let bytes = response.bytes_stream().map_err(|error| io::Error::other(error.without_url()));
        Ok(StreamReader::new(Box::pin(bytes)))
    }

    /// The failure of a request without a response.
    fn unreachable(&self, error: reqwest::Error) -> Failure {
        if let Some(refused) = causes(&error).find_map(|error| error.downcast_ref::<Refused>()) {
            return Failure::new("address_refused", format!("the remote agent's address is refused: {refused}"));
        }
        if error.is_connect() && error.is_timeout() {
            let message = format!("no connection to the remote agent within {:?}; ask again", self.connect_timeout);
            return Failure::of_endpoint("connect_timeout", message).with_retry_after(Duration::ZERO);
        }
        let cause = causes(&error).last().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(host = self.url.host_str(), %error, cause, "a remote agent cannot be reached");
        if error.is_connect() {
            let message = "the remote agent cannot be reached; ask again, or tell an administrator";
            return Failure::of_endpoint("remote_unreachable", message).with_retry_after(Duration::ZERO);
        }
        Failure::of_endpoint("stream_cut", "the remote agent closed the connection before it answered; ask again")
    }

    /// The failure of a response with an error status.
    async fn error_response(&self, response: Response) -> Failure {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let min_delay = retry_after.unwrap_or_default();
        let failure = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let message = format!(
                    "the remote agent refuses this server ({status}); an administrator has to check its headers"
                );
                return Failure::new("remote_unauthorized", message);
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let when = retry_after.map_or("in a moment".into(), |delay| format!("in {} s", delay.as_secs()));
                Failure::of_endpoint("remote_busy", format!("the remote agent is busy ({status}); ask again {when}"))
            }
            status if status.is_client_error() => {
                let excerpt = self.error_excerpt(response).await;
                return Failure::new(
                    "remote_refused",
                    format!("the remote agent refused the request ({status}){excerpt}"),
                );
            }
            status => {
                Failure::of_endpoint("remote_failed", format!("the remote agent failed ({status}); ask again later"))
            }
        };
        let is_temporary = matches!(status.as_u16(), 429 | 502..=504) && min_delay <= MAX_RETRY_AFTER;
        if is_temporary { failure.with_retry_after(min_delay) } else { failure }
    }

    /// An excerpt of an error response's body, without secrets.
    async fn error_excerpt(&self, mut response: Response) -> String {
        let mut body = Vec::new();
        let read = async {
            while body.len() < MAX_ERROR_BODY_BYTES
                && let Ok(Some(piece)) = response.chunk().await
            {
                body.extend_from_slice(&piece);
            }
        };
        // An incomplete body is enough.
        let _ = timeout(ERROR_BODY_TIMEOUT, read).await;
        body.truncate(MAX_ERROR_BODY_BYTES);
        // The end may be half a character, or half a secret.
        let text = self.secrets.redact_truncated(String::from_utf8_lossy(&body).trim_end_matches('\u{fffd}'));
        let text = excerpt(&text);
        if text.is_empty() { String::new() } else { format!(": {text}") }
    }
}

/// An error and its causes.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |error| (*error).source())
}

fn redirect(response: &Response) -> Failure {
    let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
    let target = target.and_then(|target| response.url().join(target).ok());
    let target =
        target.and_then(|url| url.host_str().map(|host| format!(" to `{}`", excerpt(host)))).unwrap_or_default();
    let message = format!(
        "the remote agent redirects{target}, and redirects are not followed; configure the target as `url` if it is right"
    );
    Failure::new("remote_redirected", message)
}

/// The delay of a `Retry-After` header, which is given in seconds or as a date.
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
        let header: HeaderName = name.parse().map_err(|_| wrong("is not a valid name of an HTTP header"))?;
        if RESERVED_HEADERS.contains(&header.as_str()) {
            return Err(wrong("is set by the server; leave it out"));
        }
        let value = secret.resolve(&variables).map_err(|problem| wrong(&problem))?;
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| wrong("its value has characters that are not allowed in headers"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_parsed_as_seconds_or_as_a_date() {
        let parse = |text: &str| {
            let value = HeaderValue::from_str(text).expect("a value");
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(parse("3"), Some(Duration::from_secs(3)));
        assert_eq!(parse("soon"), None);
        assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(parse("Sat, 01 Jan 2089 00:00:00 GMT").expect("a date") > Duration::from_secs(86_400));
    }
}
