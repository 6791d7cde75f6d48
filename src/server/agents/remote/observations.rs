//! What is observed about a remote agent's streams besides its answers, for an administrator's check.

use super::failure::excerpt;
use crate::{
    protocol::{agui::Event, http::Finding},
    server::config::agents::AgUiConfig,
};

/// The most broken rules that a finding names.
const MAX_RULES: usize = 3;
/// `RAW` events are reported when they have more than this many times the bytes of all others.
const RAW_RATIO: usize = 2;

/// What was observed in one or more streams.
#[derive(Debug, Clone, Default)]
pub(super) struct Observations {
    /// The number of harmless violations, and the first rules that were broken.
    tolerated: usize,
    rules: Vec<String>,
    /// Bytes of all events, and of the `RAW` ones.
    bytes: usize,
    raw_bytes: usize,
    /// Whether an interrupt was sent as a custom event.
    has_custom_interrupt: bool,
}

impl Observations {
    /// Adds an event; `bytes` is its size as received.
    pub(super) fn observe(&mut self, event: &Event, bytes: usize, is_interrupt: bool) {
        self.bytes += bytes;
        self.raw_bytes += if matches!(event, Event::Raw(_)) { bytes } else { 0 };
        self.has_custom_interrupt |= is_interrupt;
    }

    /// Adds a harmless violation; returns the number of them.
    pub(super) fn add_tolerated(&mut self, event: &str, rule: &str) -> usize {
        self.tolerated += 1;
        if self.rules.len() < MAX_RULES {
            self.rules.push(format!("{event}: {}", excerpt(rule)));
        }
        self.tolerated
    }

    pub(super) fn tolerated(&self) -> usize {
        self.tolerated
    }

    /// Adds the observations of another stream.
    pub(super) fn add(&mut self, other: &Self) {
        self.tolerated += other.tolerated;
        let left = MAX_RULES.saturating_sub(self.rules.len());
        self.rules.extend(other.rules.iter().take(left).cloned());
        self.bytes += other.bytes;
        self.raw_bytes += other.raw_bytes;
        self.has_custom_interrupt |= other.has_custom_interrupt;
    }

    /// The findings for an administrator.
    pub(super) fn findings(&self, AgUiConfig { strict, keep_raw, .. }: &AgUiConfig) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.tolerated > 0 && !strict {
            findings.push(Finding::advice(format!(
                "It broke rules of AG-UI {} times, in harmless ways: {}. The run continues; with `strict = true` it fails.",
                self.tolerated,
                self.rules.join("; ")
            )));
        }
        let kept = self.bytes - self.raw_bytes;
        if !keep_raw && self.raw_bytes > RAW_RATIO * kept {
            findings.push(Finding::advice(format!(
                "{} of the {} bytes that it sent are `RAW` events, which repeat the others and are not kept. Its adapter may \
                 have an option to leave them out; answers then arrive sooner.",
                self.raw_bytes, self.bytes
            )));
        }
        if self.has_custom_interrupt {
            findings.push(Finding::good(
                "It asks users with a `CUSTOM` event, `on_interrupt`, and ends its run without an outcome. This is supported: the \
                 answer is sent as `forwardedProps.command.resume`.",
            ));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::http::FindingLevel;

    #[test]
    fn each_kind_of_observation_becomes_one_finding() {
        let config = |strict: bool| {
            let entry = json!({"url": "https://a.example/", "strict": strict});
            serde_json::from_value::<AgUiConfig>(entry).expect("a configuration")
        };
        let mut observations = Observations::default();
        assert!(observations.findings(&config(false)).is_empty());
        let raw = serde_json::from_value(json!({"type": "RAW", "event": {}})).expect("an event");
        observations.observe(&raw, 1_000, false);
        for _ in 0..5 {
            observations.add_tolerated("TEXT_MESSAGE_END", "the text message `m` has ended");
        }
        let mut all = Observations::default();
        all.add(&observations);
        let custom =
            serde_json::from_value(json!({"type": "CUSTOM", "name": "on_interrupt", "value": 1})).expect("one");
        all.observe(&custom, 10, true);
        let findings = all.findings(&config(false));
        let levels: Vec<FindingLevel> = findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [FindingLevel::Advice, FindingLevel::Advice, FindingLevel::Good], "{findings:?}");
        assert!(
            findings[0].about.contains("5 times, in harmless ways: TEXT_MESSAGE_END: the text message `m` has ended; "),
            "{findings:?}"
        );
        assert!(findings[1].about.starts_with("1000 of the 1010 bytes"), "{findings:?}");
        assert_eq!(all.findings(&config(true)).len(), 2, "with `strict` the run fails instead");
    }
}
