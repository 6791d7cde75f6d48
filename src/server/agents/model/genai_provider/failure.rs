//! What goes wrong with a request through genai, as our own errors.

use std::{error::Error as StdError, time::Duration};

use genai::Error as GenaiError;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::server::{agents::model::error::ModelError, outbound::address::Refused};

/// What genai's error means to us. genai wraps what the transport said, more than once.
pub(super) fn failure(error: &GenaiError, secret: Option<&str>) -> ModelError {
    if let GenaiError::HttpError { status, body, headers, .. } = error {
        return ModelError::of_status(status.as_u16(), body, retry_after(headers), secret);
    }
    match error {
        GenaiError::WebStream { error, .. } => transport(&**error, secret),
        GenaiError::WebModelCall { webc_error: genai::webc::Error::Reqwest(error), .. } => transport(error, secret),
        GenaiError::ChatResponse { body, .. } => ModelError::of_event(body, secret),
        GenaiError::Internal(cause) => ModelError::Refused { status: None, excerpt: cause.chars().take(200).collect() },
        other => {
            let what: String = other.to_string().chars().take(200).collect();
            ModelError::Malformed { what: secret.map_or_else(|| what.clone(), |secret| what.replace(secret, "…")) }
        }
    }
}

fn transport(error: &(dyn StdError + Send + Sync + 'static), secret: Option<&str>) -> ModelError {
    if let Some(error) = error.downcast_ref::<GenaiError>() {
        return failure(error, secret);
    }
    match error.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_body() || error.is_decode() => ModelError::Cut,
        Some(error) => unreachable(error),
        None => malformed(&error.to_string()),
    }
}

/// No answer at all.
pub(in super::super) fn unreachable(error: &reqwest::Error) -> ModelError {
    match causes(error).find_map(|cause| cause.downcast_ref::<Refused>()) {
        Some(refused) => ModelError::Address { refused: refused.to_string() },
        None => ModelError::Connect,
    }
}

/// An error and what it came of.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| (*error).source())
}

/// `Retry-After` in seconds or as a date, or `retry-after-ms`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    let said = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = said.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::parse(said).ok()?;
    Duration::try_from(at.timestamp() - jiff::Timestamp::now()).ok()
}

pub(super) fn malformed(what: &str) -> ModelError {
    ModelError::Malformed { what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_come_back_is_read_in_each_form() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(of("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(of("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert!(of("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT") > Some(Duration::from_secs(3600)));
        assert_eq!(of("retry-after", "soon"), None);
        assert_eq!(of("retry-after", "-5"), None);
    }
}
