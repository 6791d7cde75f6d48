//! Headers of every response.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};

use super::config::Config;

/// Sent with every response.
const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    // Windows of other origins get no reference to ours, and ours none to them.
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    // Features that the page does not use. Clipboard access stays: a button copies code.
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
/// Sent where the public URL is HTTPS: browsers use HTTPS alone for a year after each visit.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// Personal responses are cached nowhere: not by a proxy, and not in a browser after sign-out.
const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");

/// The headers of every response.
pub(super) fn common_headers(config: &Config) -> HeaderMap {
    let https = config.is_https().then_some((header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY));
    ALWAYS.into_iter().chain(https).collect()
}

/// Forbids caching of a response that sets no `Cache-Control` itself.
pub(super) async fn no_store(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    response
}
