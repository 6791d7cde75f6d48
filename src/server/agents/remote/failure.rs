//! Failures of requests to remote agents: a stable code, a message for people, and whether the endpoint is to blame.

use std::time::Duration;

use super::secrets::Secrets;
use crate::protocol::agui::{Base, RunError};

/// The longest excerpt of an endpoint's response in a message, in characters.
const MAX_EXCERPT_CHARS: usize = 160;
/// Appended to an excerpt that was truncated.
pub(super) const ELLIPSIS: &str = " ...";

/// Why a run failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// For programs, for example `stream_cut`.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
    /// The agent's `RUN_ERROR`, which then ends the run in place of this failure.
    pub(crate) run_error: Option<Box<RunError>>,
    /// Whether the circuit breaker counts it as a failure of the endpoint.
    pub(crate) blames_endpoint: bool,
    /// The minimum delay before a retry; `None` if a retry is useless.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that the circuit breaker does not count.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let (run_error, blames_endpoint, retry_after) = Default::default();
        Self { code, message: message.into(), run_error, blames_endpoint, retry_after }
    }

    /// A failure that the circuit breaker counts.
    pub(crate) fn of_endpoint(code: &'static str, message: impl Into<String>) -> Self {
        Self { blames_endpoint: true, ..Self::new(code, message) }
    }

    /// The failure that the agent reported.
    pub(crate) fn from_run_error(error: RunError) -> Self {
        Self { run_error: Some(Box::new(error.clone())), ..Self::new("agent_error", error.message) }
    }

    /// Removes the endpoint's secrets, which its response may have repeated.
    pub(crate) fn redacted(mut self, secrets: &Secrets) -> Self {
        self.message = secrets.redact(&self.message);
        if let Some(error) = &mut self.run_error {
            error.message = secrets.redact(&error.message);
            error.code = error.code.as_deref().map(|code| secrets.redact(code));
            let Base { raw_event, metadata, extra, timestamp: _ } = &mut error.base;
            let fields = [metadata.as_mut(), Some(extra)].into_iter().flatten().flat_map(|map| map.values_mut());
            raw_event.iter_mut().chain(fields).for_each(|value| secrets.redact_all(value));
        }
        self
    }

    /// Marks a failure that may be temporary, to be retried after at least this time.
    pub(crate) fn with_retry_after(self, min_delay: Duration) -> Self {
        Self { retry_after: Some(min_delay), ..self }
    }
}

/// The beginning of a text from an endpoint, on one line and without control characters.
pub(crate) fn excerpt(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "");
    if let Some((end, _)) = words.char_indices().nth(MAX_EXCERPT_CHARS) {
        words.truncate(end);
        words.push_str(ELLIPSIS);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt("  a\n\tb\u{7}  "), "a b");
        let long = excerpt(&"ä".repeat(1_000_000));
        assert_eq!((long.chars().count(), long.ends_with("ä ...")), (MAX_EXCERPT_CHARS + 4, true));
    }
}
