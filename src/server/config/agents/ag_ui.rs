//! `[[agents]]` of kind `ag-ui`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{super::bounds::within, Address, Secret};

/// An AG-UI endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgUiConfig {
    /// The endpoint's URL.
    pub url: Address,
    /// Additional headers of each request: `Authorization = "Bearer ${TOKEN}"`.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Milliseconds to connect in.
    #[serde(default = "connect_timeout", deserialize_with = "within::<1, 60_000, _, _>")]
    pub connect_timeout_ms: u64,
    /// Milliseconds from the request to the first event.
    #[serde(default = "first_event_timeout", deserialize_with = "within::<1, 600_000, _, _>")]
    pub first_event_timeout_ms: u64,
    /// Milliseconds without an event or a comment after the first event.
    #[serde(default = "silence_timeout", deserialize_with = "within::<1, 3_600_000, _, _>")]
    pub silence_timeout_ms: u64,
    /// Whether it may be on this host or in a private network.
    #[serde(default)]
    pub allow_private_network: bool,
    /// Largest event, in bytes. Of restated state or messages only what is new is stored.
    #[serde(default = "max_event_bytes", deserialize_with = "within::<1_024, 33_554_432, _, _>")]
    pub max_event_bytes: usize,
    /// Most events of one run.
    #[serde(default = "max_events", deserialize_with = "within::<1, 1_000_000, _, _>")]
    pub max_events: usize,
    /// Largest attached file that is sent to the agent, in bytes; 0: none is sent.
    #[serde(default = "max_file_bytes", deserialize_with = "within::<0, 16_777_216, _, _>")]
    pub max_file_bytes: u64,
    /// Most bytes of all files of one request together.
    #[serde(default = "max_request_file_bytes", deserialize_with = "within::<0, 33_554_432, _, _>")]
    pub max_request_file_bytes: u64,
    /// Whether `RAW` events, in which frameworks repeat the content of other events, are stored.
    #[serde(default)]
    pub keep_raw: bool,
    /// Whether the user is asked to allow each tool call that a run ends with and that has no result; the answer becomes its result.
    #[serde(default)]
    pub confirm_pending_calls: bool,
    /// Whether any violation of the protocol fails the run, even if its meaning is clear.
    #[serde(default)]
    pub strict: bool,
    /// How many times a request is retried that fails for a transient reason before its first event.
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
    fn a_url_is_enough() {
        let config = read(&json!({})).expect("the entry is valid");
        assert_eq!(
            config.url.resolve(|_| None).expect("the URL is resolved").as_str(),
            "https://agents.example.com/run"
        );
        let times = (config.connect_timeout_ms, config.first_event_timeout_ms, config.silence_timeout_ms);
        assert_eq!(times, (5_000, 60_000, 120_000));
        assert_eq!((config.max_event_bytes, config.max_events, config.retries), (16_777_216, 100_000, 2));
        assert!(!config.allow_private_network && !config.keep_raw && !config.strict && config.headers.is_empty());
    }

    #[test]
    fn errors_name_the_key_and_repeat_no_secret() {
        let cases = [
            (json!({"url": "agents.example.com"}), "url: is not a URL (relative URL without a base), expected"),
            (json!({"url": "ftp://a/"}), "url: has another scheme, expected \"http://\" or \"https://\""),
            (json!({"url": "file:///etc/passwd"}), "url: has another scheme"),
            (json!({"url": "https://me:hidden@a/"}), "url: contains a user or a password; send those in `headers`"),
            (json!({"url": "https://hidden@a/"}), "url: contains a user or a password"),
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
            let error = read(&changes).expect_err(expected);
            assert!(error.contains(expected) && !error.contains("hidden"), "`{error}` should contain `{expected}`");
        }
    }
}
