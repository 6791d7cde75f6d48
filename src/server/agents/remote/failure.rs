//! Why a run at a remote agent could not go on: a stable code, a sentence for a person, and what it says of the endpoint.

use std::time::Duration;

use super::secrets::Secrets;
use crate::protocol::agui::{Base, RunError};

/// The longest piece of what a remote said that a sentence repeats, in characters.
const MAX_EXCERPT: usize = 160;
/// What stands where such a piece was cut.
pub(super) const CUT: &str = " ...";

/// Why a run could not go on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// For programs: `stream_cut`, say.
    pub(crate) code: &'static str,
    /// For a person.
    pub(crate) message: String,
    /// The remote's own word, where it failed by itself: then this counts.
    pub(crate) told: Option<Box<RunError>>,
    /// Whether the endpoint is to blame, so that the breaker counts it.
    pub(crate) blames_endpoint: bool,
    /// Where the same request may do better: after how long at least.
    pub(crate) retry: Option<Duration>,
}

impl Failure {
    /// One that says nothing of the endpoint's health.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let (told, blames_endpoint, retry) = Default::default();
        Self { code, message: message.into(), told, blames_endpoint, retry }
    }

    /// The same, by the endpoint's fault.
    pub(crate) fn of_endpoint(code: &'static str, message: impl Into<String>) -> Self {
        Self { blames_endpoint: true, ..Self::new(code, message) }
    }

    /// What the remote says of itself.
    pub(crate) fn told(error: RunError) -> Self {
        Self { told: Some(Box::new(error.clone())), ..Self::new("agent_error", error.message) }
    }

    /// The same without the secrets of the endpoint, which may have repeated them.
    pub(crate) fn redacted(mut self, secrets: &Secrets) -> Self {
        self.message = secrets.redact(&self.message);
        if let Some(told) = &mut self.told {
            told.message = secrets.redact(&told.message);
            told.code = told.code.as_deref().map(|code| secrets.redact(code));
            let Base { raw_event, metadata, extra, timestamp: _ } = &mut told.base;
            let fields = [metadata.as_mut(), Some(extra)].into_iter().flatten().flat_map(|map| map.values_mut());
            raw_event.iter_mut().chain(fields).for_each(|value| secrets.redact_all(value));
        }
        self
    }

    /// The same, which may not happen again after that time.
    pub(crate) fn passing(self, after: Duration) -> Self {
        Self { retry: Some(after), ..self }
    }
}

/// The beginning of what a remote said, on one line: enough to find the mistake, too little to carry a secret far.
pub(crate) fn excerpt(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "");
    if let Some((end, _)) = words.char_indices().nth(MAX_EXCERPT) {
        words.truncate(end);
        words.push_str(CUT);
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
        assert_eq!((long.chars().count(), long.ends_with("ä ...")), (MAX_EXCERPT + 4, true));
    }
}
