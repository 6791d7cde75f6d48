//! Headers that every answer has.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};

use super::config::Config;

/// Said with every answer.
const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    // A window of another origin has no handle on ours, and ours none on it.
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    // What the page uses none of, nothing in it may use. The clipboard stays: code is copied by a button.
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
/// Said where people come by https: from then on their browsers come by nothing else, for a year after each visit.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// What is somebody's own is kept nowhere: not by a proxy, not in a browser's cache after they signed out.
const PERSONAL: HeaderValue = HeaderValue::from_static("private, no-store");

/// The headers of every answer of this server.
pub(super) fn of_every_answer(config: &Config) -> HeaderMap {
    let https = config.is_https().then_some((header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY));
    ALWAYS.into_iter().chain(https).collect()
}

/// Says that an answer is kept nowhere, unless it says itself how long it may be.
pub(super) async fn personal(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(PERSONAL);
    response
}
