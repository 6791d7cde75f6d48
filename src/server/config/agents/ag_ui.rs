//! An AG-UI endpoint, as configured.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{super::bounds::within, Address, Secret};

/// An AG-UI endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgUiConfig {
    /// Where it is.
    pub url: Address,
    /// Headers of each request, beside its own: `Authorization = "Bearer ${TOKEN}"`.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Milliseconds within which a connection stands.
    #[serde(default = "connect_timeout", deserialize_with = "within::<1, 60_000, _, _>")]
    pub connect_timeout_ms: u64,
    /// Milliseconds from the request to the first event.
    #[serde(default = "first_event_timeout", deserialize_with = "within::<1, 600_000, _, _>")]
    pub first_event_timeout_ms: u64,
    /// Milliseconds without a word, even a comment, after the first event.
    #[serde(default = "silence_timeout", deserialize_with = "within::<1, 3_600_000, _, _>")]
    pub silence_timeout_ms: u64,
    /// Whether it may be on this host or in a private network.
    #[serde(default)]
    pub allow_private_network: bool,
    /// The largest event, in bytes; of what it restates only what is new is kept.
    #[serde(default = "max_event_bytes", deserialize_with = "within::<1_024, 33_554_432, _, _>")]
    pub max_event_bytes: usize,
    /// The most events of one run.
    #[serde(default = "max_events", deserialize_with = "within::<1, 1_000_000, _, _>")]
    pub max_events: usize,
    /// The largest of a message's files that is sent along, in bytes; 0: none is.
    #[serde(default = "max_file_bytes", deserialize_with = "within::<0, 16_777_216, _, _>")]
    pub max_file_bytes: u64,
    /// The most that the files of one request have together, in bytes.
    #[serde(default = "max_request_file_bytes", deserialize_with = "within::<0, 33_554_432, _, _>")]
    pub max_request_file_bytes: u64,
    /// Whether `RAW` events, in which frameworks repeat what they told in other events, are kept in the thread's log.
    #[serde(default)]
    pub keep_raw: bool,
    /// Whether a person is asked to allow each call that a run ends with and that has no result; the answer is sent as its result.
    #[serde(default)]
    pub confirm_pending_calls: bool,
    /// Whether a stream that breaks a rule of the protocol fails the run even where nothing is ambiguous.
    #[serde(default)]
    pub strict: bool,
    /// How often a request is made again that did not come to its first event, for reasons that pass.
    #[serde(default = "retries", deserialize_with = "within::<0, 5, _, _>")]
    pub retries: u32,
}

const fn connect_timeout() -> u64 {
    5_000
}

const fn first_event_timeout() -> u64 {
    60_000
}

const fn silence_timeout() -> u64 {
    120_000
}

const fn max_event_bytes() -> usize {
    16 * 1024 * 1024
}

const fn max_events() -> usize {
    100_000
}

const fn max_file_bytes() -> u64 {
    4 * 1024 * 1024
}

const fn max_request_file_bytes() -> u64 {
    8 * 1024 * 1024
}

const fn retries() -> u32 {
    2
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(changes: &Value) -> Result<AgUiConfig, String> {
        let mut entry = json!({"url": "https://agents.example.com/run"});
        let fields = entry.as_object_mut().expect("an object");
        fields.extend(changes.as_object().expect("an object").clone());
        serde_path_to_error::deserialize(entry).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_is_enough() {
        let config = read(&json!({})).expect("is right");
        assert_eq!(config.url.resolve(|_| None).expect("resolves").as_str(), "https://agents.example.com/run");
        let times = (config.connect_timeout_ms, config.first_event_timeout_ms, config.silence_timeout_ms);
        assert_eq!(times, (5_000, 60_000, 120_000));
        assert_eq!((config.max_event_bytes, config.max_events, config.retries), (16_777_216, 100_000, 2));
        assert!(!config.allow_private_network && !config.keep_raw && !config.strict && config.headers.is_empty());
    }

    #[test]
    fn what_is_wrong_names_its_key_and_repeats_no_secret() {
        let cases = [
            (json!({"url": "agents.example.com"}), "url: is no address (relative URL without a base), expected"),
            (
                json!({"url": "ftp://a/"}),
                "url: is of a scheme that no agent speaks, expected \"http://\" or \"https://\"",
            ),
            (json!({"url": "file:///etc/passwd"}), "url: is of a scheme that no agent speaks"),
            (json!({"url": "https://me:hidden@a/"}), "url: holds a user or a password; say those in `headers`"),
            (json!({"url": "https://hidden@a/"}), "url: holds a user or a password"),
            (json!({"url": "https://a/#b"}), "url: ends with a fragment"),
            (json!({"url": 7}), "url: invalid type: a number, expected a text"),
            (json!({"headers": {"X-Key": 7}}), "headers.X-Key: invalid type: a number, expected a text"),
            (json!({"headers": {"X-Key": ["hidden"]}}), "headers.X-Key: invalid type: sequence, expected a text"),
            (
                json!({"connect_timeout_ms": 0}),
                "connect_timeout_ms: invalid value: integer `0`, expected an integer from 1 to 60000",
            ),
            (json!({"first_event_timeout_ms": 600_001}), "first_event_timeout_ms: invalid value"),
            (json!({"silence_timeout_ms": -1}), "silence_timeout_ms: invalid value"),
            (
                json!({"max_event_bytes": 33_554_433}),
                "max_event_bytes: invalid value: integer `33554433`, expected an integer from 1024 to 33554432",
            ),
            (json!({"max_file_bytes": 16_777_217}), "max_file_bytes: invalid value"),
            (json!({"max_request_file_bytes": -1}), "max_request_file_bytes: invalid value"),
            (json!({"max_events": 0}), "max_events: invalid value"),
            (json!({"retries": 6}), "retries: invalid value: integer `6`, expected an integer from 0 to 5"),
            (json!({"allow_private_network": "yes"}), "allow_private_network: invalid type: string"),
            (json!({"token": "hidden"}), "token: unknown field `token`"),
        ];
        for (changes, expected) in cases {
            let said = read(&changes).expect_err(expected);
            assert!(said.contains(expected) && !said.contains("hidden"), "`{said}` should say `{expected}`");
        }
    }
}
