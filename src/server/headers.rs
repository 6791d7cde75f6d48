//! Headers of every response.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};

use super::config::Config;

/// Headers of every response.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    // Windows of other origins cannot access ours, nor ours them.
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    // Features that the page does not use are off for everything in it. Not the clipboard: a button copies code.
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), encrypted-media=(), \
             fullscreen=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), \
             picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), \
             xr-spatial-tracking=()",
        ),
    ),
];
/// With HTTPS: for a year after each response, browsers use HTTPS only.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// For a person's own data: not to be stored by a proxy, nor in a browser's cache after they signed out.
const PERSONAL: HeaderValue = HeaderValue::from_static("private, no-store");

/// The headers of every response with this configuration.
pub(super) fn security_headers(config: &Config) -> HeaderMap {
    let https = config.is_https().then_some((header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY));
    SECURITY_HEADERS.into_iter().chain(https).collect()
}

/// Forbids caching a response, unless it has a `Cache-Control` already.
pub(super) async fn forbid_caching(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(PERSONAL);
    response
}
