//! What is noticed about a remote agent's streams and does not show in what it says: for an administrator's check.

use super::failure::excerpt;
use crate::{
    protocol::{agui::Event, http::Finding},
    server::config::agents::AgUiConfig,
};

/// The most rules that are told by name.
const MAX_RULES: usize = 3;
/// `RAW` events are reported when they have more than this many times the bytes of all others.
const RAW_RATIO: usize = 2;

/// What was noticed in one stream, or in several.
#[derive(Debug, Clone, Default)]
pub(super) struct Remarks {
    /// How often a rule was broken that nobody was misled by, and the first of those rules.
    tolerated: usize,
    rules: Vec<String>,
    /// Bytes of all events, and of those that only repeat others.
    bytes: usize,
    raw_bytes: usize,
    /// Whether it asked a person by a custom event.
    asked_by_custom: bool,
}

impl Remarks {
    /// Takes an event of a stream, as long as it came, in bytes.
    pub(super) fn hear(&mut self, event: &Event, bytes: usize, asks: bool) {
        self.bytes += bytes;
        self.raw_bytes += if matches!(event, Event::Raw(_)) { bytes } else { 0 };
        self.asked_by_custom |= asks;
    }

    /// Takes a rule that was broken and passed over; answers how often that happened.
    pub(super) fn tolerate(&mut self, event: &str, rule: &str) -> usize {
        self.tolerated += 1;
        if self.rules.len() < MAX_RULES {
            self.rules.push(format!("{event}: {}", excerpt(rule)));
        }
        self.tolerated
    }

    pub(super) fn tolerated(&self) -> usize {
        self.tolerated
    }

    /// Takes those of another stream.
    pub(super) fn add(&mut self, other: &Self) {
        self.tolerated += other.tolerated;
        let left = MAX_RULES.saturating_sub(self.rules.len());
        self.rules.extend(other.rules.iter().take(left).cloned());
        self.bytes += other.bytes;
        self.raw_bytes += other.raw_bytes;
        self.asked_by_custom |= other.asked_by_custom;
    }

    /// For an administrator.
    pub(super) fn findings(&self, AgUiConfig { strict, keep_raw, .. }: &AgUiConfig) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.tolerated > 0 && !strict {
            findings.push(Finding::advice(format!(
                "It breaks rules of AG-UI in harmless ways, {} times: {}. The run goes on; with `strict = true` it fails.",
                self.tolerated,
                self.rules.join("; ")
            )));
        }
        let kept = self.bytes - self.raw_bytes;
        if !keep_raw && self.raw_bytes > RAW_RATIO * kept {
            findings.push(Finding::advice(format!(
                "{} of the {} bytes that it sends are `RAW` events, which repeat the others and are not kept. Its adapter may \
                 have a switch that leaves them out; answers then come quicker.",
                self.raw_bytes, self.bytes
            )));
        }
        if self.asked_by_custom {
            findings.push(Finding::good(
                "It asks people by a `CUSTOM` event, `on_interrupt`, and ends without an outcome. That is understood here: the \
                 answer goes back as `forwardedProps.command.resume`.",
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
    fn what_was_noticed_is_told_once_with_what_it_means() {
        let config = |strict: bool| {
            let entry = json!({"url": "https://a.example/", "strict": strict});
            serde_json::from_value::<AgUiConfig>(entry).expect("a configuration")
        };
        let mut remarks = Remarks::default();
        assert!(remarks.findings(&config(false)).is_empty());
        let raw = serde_json::from_value(json!({"type": "RAW", "event": {}})).expect("an event");
        remarks.hear(&raw, 1_000, false);
        for _ in 0..5 {
            remarks.tolerate("TEXT_MESSAGE_END", "no text message `m` goes on");
        }
        let mut all = Remarks::default();
        all.add(&remarks);
        let custom =
            serde_json::from_value(json!({"type": "CUSTOM", "name": "on_interrupt", "value": 1})).expect("one");
        all.hear(&custom, 10, true);
        let told = all.findings(&config(false));
        let levels: Vec<FindingLevel> = told.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [FindingLevel::Advice, FindingLevel::Advice, FindingLevel::Good], "{told:?}");
        assert!(told[0].about.contains("5 times: TEXT_MESSAGE_END: no text message `m` goes on; "), "{told:?}");
        assert!(told[1].about.starts_with("1000 of the 1010 bytes"), "{told:?}");
        assert_eq!(all.findings(&config(true)).len(), 2, "with `strict` the run has failed by itself");
    }
}
