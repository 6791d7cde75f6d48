//! Images of other hosts, which the server requests for users: so those hosts do not learn who reads, and pages need no access to them.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use reqwest::{Client, Response, Url, header, redirect::Policy};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address::{self, PublicOnly};
use crate::server::config::ImagesConfig;

/// The largest image, in MiB and in bytes.
const MAX_MIB: u64 = 10;
const MAX_BYTES: u64 = MAX_MIB * 1024 * 1024;
/// The longest address, in bytes.
const MAX_URL_BYTES: usize = 2_000;
const MAX_REDIRECTS: usize = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take in all.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most requests at a time; more are refused.
const MAX_REQUESTS: usize = 32;
/// As many bytes of an image as its kind can be told from.
const KIND_BYTES: usize = 16;

/// Why an image is not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("this server loads no images of other hosts; its operator turned this off (`images.load`)")]
    Off,
    #[error("url: an `http` or `https` address of at most {MAX_URL_BYTES} bytes, without a password")]
    Address,
    #[error(
        "images in private networks and on this host are not loaded; the operator can allow it (`images.allow_private_network`)"
    )]
    Private,
    #[error("many images are being loaded; try again in a moment")]
    Busy,
    #[error("the image's host could not be reached, or did not send the image")]
    Unreachable,
    #[error("this address has no image that can be shown: PNG, JPEG, GIF, WebP and AVIF can")]
    NoImage,
    #[error("images of more than {MAX_MIB} MiB are not loaded")]
    TooLarge,
}

/// An image that is being received.
pub(crate) struct RemoteImage {
    pub(crate) media_type: &'static str,
    /// Its bytes, at most [`MAX_BYTES`]; the stream fails beyond.
    pub(crate) bytes: Pin<Box<dyn Stream<Item = Result<Bytes, ImageError>> + Send>>,
}

/// Requests images.
#[derive(Debug, Clone)]
pub(crate) struct RemoteImages {
    /// Absent if images are not loaded.
    client: Option<Client>,
    allow_private_network: bool,
    permits: Arc<Semaphore>,
}

impl RemoteImages {
    /// As configured.
    pub(crate) fn new(config: &ImagesConfig) -> Self {
        let allow_private_network = config.allow_private_network;
        let client = config.load.then(|| client(allow_private_network)).flatten();
        Self { client, allow_private_network, permits: Arc::new(Semaphore::new(MAX_REQUESTS)) }
    }

    /// Whether images are loaded.
    pub(crate) fn are_loaded(&self) -> bool {
        self.client.is_some()
    }

    /// Requests an image, and reads its beginning.
    ///
    /// # Errors
    /// If it is not loaded; the caller can be told why.
    pub(crate) async fn load(&self, url: &str) -> Result<RemoteImage, ImageError> {
        let client = self.client.as_ref().ok_or(ImageError::Off)?;
        let url = parse(url)?;
        if !self.allow_private_network && address::check(&url).is_err() {
            return Err(ImageError::Private);
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| ImageError::Busy)?;
        let response =
            client.get(url).header(header::ACCEPT, "image/*").send().await.map_err(|error| failure(&error))?;
        if !response.status().is_success() {
            return Err(ImageError::Unreachable);
        }
        if response.content_length().is_some_and(|length| length > MAX_BYTES) {
            return Err(ImageError::TooLarge);
        }
        receive(response, permit).await
    }
}

/// A client that has no cookies and tells no referrer; `None` if the system has no usable TLS.
fn client(allow_private_network: bool) -> Option<Client> {
    let redirects = Policy::custom(move |attempt| {
        let is_allowed = matches!(attempt.url().scheme(), "http" | "https")
            && (allow_private_network || address::check(attempt.url()).is_ok());
        match is_allowed && attempt.previous().len() <= MAX_REDIRECTS {
            true => attempt.follow(),
            false => attempt.stop(),
        }
    });
    let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).redirect(redirects).referer(false);
    // A proxy would resolve names without checking what they resolve to.
    let client = if allow_private_network { client } else { client.no_proxy().dns_resolver(PublicOnly) };
    client.build().inspect_err(|error| tracing::warn!(%error, "images of other hosts are not loaded")).ok()
}

fn parse(url: &str) -> Result<Url, ImageError> {
    let parsed = (url.len() <= MAX_URL_BYTES).then(|| Url::parse(url).ok()).flatten().ok_or(ImageError::Address)?;
    let is_allowed = matches!(parsed.scheme(), "http" | "https") && parsed.password().is_none();
    if is_allowed { Ok(parsed) } else { Err(ImageError::Address) }
}

/// A name that has private addresses only is refused by the resolver, within the client.
fn failure(error: &reqwest::Error) -> ImageError {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<address::Refused>() {
            return ImageError::Private;
        }
        source = cause.source();
    }
    ImageError::Unreachable
}

/// Reads the beginning of an image, which says its kind. The permit is held until the stream ends.
async fn receive(mut response: Response, permit: OwnedSemaphorePermit) -> Result<RemoteImage, ImageError> {
    let mut beginning = BytesMut::new();
    while beginning.len() < KIND_BYTES {
        match response.chunk().await.map_err(|_| ImageError::Unreachable)? {
            Some(chunk) => beginning.extend_from_slice(&chunk),
            None => break,
        }
    }
    let media_type = media_type(&beginning).ok_or(ImageError::NoImage)?;
    let rest = response.bytes_stream().map(|chunk| chunk.map_err(|_| ImageError::Unreachable));
    let all = stream::once(async move { Ok(beginning.freeze()) }).chain(rest);
    let limited = all.scan((0_u64, Some(permit)), |(bytes, permit), chunk| {
        let chunk = chunk.and_then(|chunk| {
            *bytes += chunk.len() as u64;
            if *bytes <= MAX_BYTES { Ok(chunk) } else { Err(ImageError::TooLarge) }
        });
        // After an error, the stream ends.
        let ended = permit.is_none();
        if chunk.is_err() {
            *permit = None;
        }
        std::future::ready((!ended).then_some(chunk))
    });
    Ok(RemoteImage { media_type, bytes: Box::pin(limited) })
}

/// The kind of an image, by its first bytes: what a host says about it is not relied on. None of the kinds can run scripts.
fn media_type(beginning: &[u8]) -> Option<&'static str> {
    match beginning {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => Some("image/avif"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_told_from_the_first_bytes() {
        assert_eq!(media_type(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(media_type(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!((media_type(b"GIF89a.."), media_type(b"GIF88a..")), (Some("image/gif"), None));
        assert_eq!(media_type(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(media_type(b"\0\0\0\x20ftypavif"), Some("image/avif"));
        for other in [&b"<svg xmlns="[..], b"<!doctype html>", b"%PDF-1.7", b"", b"RIFF\0\0\0\0WAVE"] {
            assert_eq!(media_type(other), None);
        }
    }

    #[test]
    fn only_web_addresses_are_requested() {
        assert!(parse("https://e.org/a.png?b#c").is_ok() && parse("http://e.org").is_ok());
        for wrong in ["", "/a.png", "file:///etc/passwd", "ftp://e.org/a", "https://a:b@e.org", "data:image/png,x"] {
            assert_eq!(parse(wrong), Err(ImageError::Address), "{wrong}");
        }
        assert_eq!(parse(&format!("https://e.org/{}", "x".repeat(2_000))), Err(ImageError::Address));
    }
}
