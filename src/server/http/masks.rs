//! Secrets of agents that stand in their entries as they are: shown as a mark, and kept where the mark comes back.
//!
//! Promises: no secret leaves the server this way, and none is moved. What is shown is what is known to be none: the keys that
//! hold no secret, references to variables, and of addresses what stands before the `?`. A mark stands for the secret at the same key of the same
//! agent, and only while that secret goes where it went: to the same kind of agent at the same origin. Anything else is
//! refused with the key's name, and the secret has to be written again.

use reqwest::Url;
use serde_json::{Map, Value};

use crate::server::{
    agents::PAGE_VARIABLES,
    config::agents::{AgentEntry, Secret},
};

/// What stands where a secret is.
const MASK: &str = "(set)";
/// The keys that hold addresses.
const ADDRESSES: &[&str] = &["url", "base_url"];
/// The keys that hold no secret, of all kinds of agents.
const OPEN: &[&str] = &[
    "id",
    "name",
    "description",
    "examples",
    "kind",
    "file",
    "events_per_second",
    "connect_timeout_ms",
    "first_event_timeout_ms",
    "silence_timeout_ms",
    "allow_private_network",
    "max_event_bytes",
    "max_events",
    "max_file_bytes",
    "max_request_file_bytes",
    "keep_raw",
    "confirm_pending_calls",
    "strict",
    "retries",
    "provider",
    "model",
    "system",
    "max_steps",
    "temperature",
    "max_output_tokens",
    "reasoning_effort",
    "starts_with_reasoning",
    "tools",
    "first_token_timeout_ms",
    "max_retry_wait_ms",
    "max_history_bytes",
    "context_tokens",
    "attachments",
    "file_tool",
    "consent_timeout_s",
];
/// The tables, and which of their keys hold no secret.
const TABLES: &[(&str, &[&str])] = &[
    ("headers", &[]),
    ("access", &["roles", "people"]),
    ("limits", &["max_runs", "max_runs_per_user", "time_limit_ms"]),
    ("prices", &["input", "output", "cached_input"]),
];

/// The entry without secrets that stand there as they are. References to variables stay: they are no secret.
pub(super) fn masked(mut entry: AgentEntry) -> AgentEntry {
    for (key, value) in &mut entry.0 {
        if ADDRESSES.contains(&key.as_str()) {
            *value = value.as_str().map_or_else(|| MASK.into(), |text| address(text).into());
        }
    }
    for (_, value) in secrets(&mut entry) {
        if !value.as_str().is_some_and(|text| Secret::from(text).is_reference()) {
            *value = MASK.into();
        }
    }
    entry
}

/// An address without who signs in and what stands behind the `?`, which is often a key.
fn address(text: &str) -> String {
    let refers = |text: &str| Secret::from(text).is_reference();
    let Some(url) = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        // Without the values of its variables it may be none yet.
        let place = ["http://", "https://", "${"].iter().any(|begins| text.starts_with(begins));
        return if place && !text.contains(['@', '?', '#']) { text.to_owned() } else { MASK.into() };
    };
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let (mut place, rest) = (text[..end].to_owned(), &text[end..]);
    if (!url.username().is_empty() || url.password().is_some())
        && let Some((scheme, after)) = place.split_once("://")
    {
        let host = after.rsplit_once('@').map_or("", |(_, host)| host);
        place = format!("{scheme}://{MASK}@{host}");
    }
    let mut values =
        rest.trim_start_matches('?').split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    let open = rest.is_empty() || (rest.starts_with('?') && values.all(refers));
    if open { place + rest } else { format!("{place}{}{MASK}", &rest[..1]) }
}

/// The entry with what `before` has in place of each mark.
///
/// # Errors
/// The key of a mark that stands for nothing, or for what must not go there.
pub(super) fn unmasked(mut entry: AgentEntry, before: Option<&AgentEntry>) -> Result<AgentEntry, String> {
    for key in ADDRESSES {
        let Some(text) = entry.0.get(*key).and_then(Value::as_str).filter(|text| text.contains(MASK)) else { continue };
        let known = before.and_then(|before| before.0.get(*key));
        let Some(known) = known.filter(|known| known.as_str().is_some_and(|known| address(known) == text)).cloned()
        else {
            return Err(format!("{key}: `{MASK}` stands for what is set there; another address is written whole"));
        };
        entry.0.insert((*key).into(), known);
    }
    let stays =
        before.is_some_and(|before| destination(before).is_some_and(|place| destination(&entry) == Some(place)));
    let mut before = before.cloned().unwrap_or_default();
    let mut kept = secrets(&mut before);
    for (key, value) in secrets(&mut entry) {
        if value.as_str().is_none_or(|text| !text.contains(MASK)) {
            continue;
        }
        let known = kept.iter_mut().find(|(name, _)| *name == key).map(|(_, value)| value.take());
        *value = match known {
            Some(known) if stays && *value == MASK => known,
            Some(_) if *value == MASK => {
                return Err(format!(
                    "{key}: what is set was for another address and does not go to this one; write it again"
                ));
            }
            _ => {
                return Err(format!(
                    "{key}: `{MASK}` alone keeps what is set there; anything else is written whole, or as the variable \
                     that holds it, `${{{PAGE_VARIABLES}…}}`"
                ));
            }
        };
    }
    Ok(entry)
}

/// The places where entries may hold secrets, by key: all but those that are known to hold none.
fn secrets(entry: &mut AgentEntry) -> Vec<(String, &mut Value)> {
    let mut all = Vec::new();
    for (key, value) in &mut entry.0 {
        let table = TABLES.iter().find(|(table, _)| table == key).map(|(_, open)| *open);
        match (key.as_str(), table, value) {
            (key, ..) if ADDRESSES.contains(&key) => {}
            (_, Some(open), Value::Object(fields)) => all.extend(within(key, fields, open)),
            (key, None, value) if OPEN.contains(&key) && is_plain(value) => {}
            (_, _, value) => all.push((key.clone(), value)),
        }
    }
    all
}

/// Those of a table.
fn within<'a>(
    key: &str,
    fields: &'a mut Map<String, Value>,
    open: &[&str],
) -> impl Iterator<Item = (String, &'a mut Value)> {
    let secret = fields.iter_mut().filter(move |(name, value)| !(open.contains(&name.as_str()) && is_plain(value)));
    secret.map(move |(name, value)| (format!("{key}.{name}"), value))
}

/// Whether a value is one word, or a list of words: what is deeper is read by nobody, and may be anything.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        value => !value.is_object(),
    }
}

/// Where the secrets of an entry go: what it is, whose API it speaks, and the origin, where it names one.
fn destination(entry: &AgentEntry) -> Option<(String, String, Option<String>)> {
    let text = |key: &str| entry.0.get(key).and_then(Value::as_str);
    let origin = |address: &str| Url::parse(address).ok().map(|url| url.origin().ascii_serialization());
    let kind = text("kind")?;
    let address = match kind {
        "ag-ui" => Some(origin(text("url")?)?),
        // Without an address it is the provider's own.
        "model" => text("base_url").map(origin).map_or(Some(None), |origin| origin.map(Some))?,
        _ => return None,
    };
    Some((kind.to_owned(), text("provider").unwrap_or_default().to_owned(), address))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: &Value) -> AgentEntry {
        serde_json::from_value(value.clone()).expect("a table")
    }

    fn remote(url: &str, headers: &Value) -> AgentEntry {
        entry(&json!({"id": "far", "kind": "ag-ui", "url": url, "headers": headers}))
    }

    fn model(more: &Value) -> AgentEntry {
        let mut entry = entry(&json!({"id": "near", "kind": "model", "model": "m"}));
        entry.0.extend(more.as_object().expect("an object").clone());
        entry
    }

    #[test]
    fn secrets_are_not_shown_and_references_are() {
        let shown = masked(entry(&json!({
            "url": "https://agent.example.org", "api_key": "sk-secret",
            "headers": {"authorization": "Bearer ${NETRA_AGENT_TOKEN}", "x-key": "secret"},
        })));
        let expected = json!({
            "url": "https://agent.example.org", "api_key": "(set)",
            "headers": {"authorization": "Bearer ${NETRA_AGENT_TOKEN}", "x-key": "(set)"},
        });
        assert_eq!(Value::Object(shown.0), expected);
    }

    #[test]
    fn what_is_not_known_to_be_no_secret_is_not_shown() {
        let shown = masked(entry(&json!({
            "id": "a", "retries": 2, "examples": ["Ask"], "access": {"roles": ["admin"], "key": "secret"},
            "Headers": {"Authorization": "secret"}, "token": "secret", "api_key": ["secret"], "name": {"x": "secret"},
            "headers": {"a": "Bearer secret-${NETRA_AGENT_A}", "b": ["secret"], "c": null, "d": "Basic ${NETRA_AGENT_D}"},
        })));
        let expected = json!({
            "id": "a", "retries": 2, "examples": ["Ask"], "access": {"roles": ["admin"], "key": "(set)"},
            "Headers": "(set)", "token": "(set)", "api_key": "(set)", "name": "(set)",
            "headers": {"a": "(set)", "b": "(set)", "c": "(set)", "d": "Basic ${NETRA_AGENT_D}"},
        });
        assert_eq!(Value::Object(shown.0), expected);
        let wrong = masked(remote("https://a/", &json!("Bearer secret")));
        assert_eq!(wrong.0["headers"], "(set)");
    }

    #[test]
    fn addresses_are_shown_without_who_signs_in_and_what_is_asked_for() {
        for (written, shown) in [
            ("https://a.example:8443/run/@me", "https://a.example:8443/run/@me"),
            ("https://me:secret@a.example/run", "https://(set)@a.example/run"),
            ("https://secret@a.example", "https://(set)@a.example"),
            ("https://a.example/run?key=secret", "https://a.example/run?(set)"),
            ("https://a.example/run?secret@b", "https://a.example/run?(set)"),
            ("https://a.example/#secret", "https://a.example/#(set)"),
            (
                "https://a.example/?k=${NETRA_AGENT_K}&l=${NETRA_AGENT_L}",
                "https://a.example/?k=${NETRA_AGENT_K}&l=${NETRA_AGENT_L}",
            ),
            ("https://a.example/?k=${NETRA_AGENT_K}&l=secret", "https://a.example/?(set)"),
            ("https://${NETRA_AGENT_HOST}/run", "https://${NETRA_AGENT_HOST}/run"),
            ("https://me:sec/ret@a.example/", "(set)"),
            ("me:secret@a.example", "(set)"),
            ("secret", "(set)"),
            ("${NETRA_AGENT_URL}", "${NETRA_AGENT_URL}"),
        ] {
            assert_eq!(address(written), shown, "{written}");
        }
        let before = remote("https://a.example/run?key=secret", &json!({"x-key": "secret"}));
        assert_eq!(unmasked(masked(before.clone()), Some(&before)), Ok(before.clone()));
        for url in ["https://b.example/run?(set)", "https://a.example/other?(set)", "https://a.example/run?key=(set)"] {
            let refused = unmasked(remote(url, &json!({})), Some(&before)).expect_err(url);
            assert!(refused.starts_with("url: ") && !refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn what_was_shown_comes_back_as_what_it_stands_for() {
        let before = remote("https://a.example/run", &json!({"x-key": "secret", "y": "${NETRA_AGENT_Y}"}));
        assert_eq!(unmasked(masked(before.clone()), Some(&before)), Ok(before.clone()));
        let elsewhere = remote("https://a.example:443/other", &json!({"x-key": "(set)"}));
        let kept = unmasked(elsewhere, Some(&before)).expect("the same origin");
        assert_eq!(kept.0["headers"], json!({"x-key": "secret"}));
        let provider = model(&json!({"provider": "anthropic", "api_key": "sk"}));
        let renamed = model(&json!({"provider": "anthropic", "api_key": "(set)", "model": "other"}));
        assert_eq!(unmasked(renamed, Some(&provider)).expect("the same provider").0["api_key"], "sk");
    }

    #[test]
    fn a_secret_is_never_moved() {
        let secret = json!({"x-key": "secret"});
        let (before, shown) = (remote("https://a.example/run", &secret), json!({"x-key": "(set)"}));
        let others = [
            "http://a.example/run",
            "https://a.example:8443/run",
            "https://b.example/run",
            "https://a.example.b.example/",
            "https://a.example@b.example/run",
            "nowhere",
        ];
        for url in others {
            let refused = unmasked(remote(url, &shown), Some(&before)).expect_err(url);
            assert!(refused.starts_with("headers.x-key: ") && refused.contains("write it again"), "{refused}");
        }
        let key = json!({"api_key": "sk", "base_url": "https://m.example/v1/"});
        let moves = [
            json!({"api_key": "(set)"}),
            json!({"api_key": "(set)", "base_url": "https://n.example/v1/"}),
            json!({"api_key": "(set)", "base_url": "https://m.example/v1/", "provider": "anthropic"}),
        ];
        for moved in moves {
            assert!(unmasked(model(&moved), Some(&model(&key))).is_err_and(|refused| refused.starts_with("api_key: ")));
        }
        let own = model(&json!({"api_key": "sk"}));
        assert!(unmasked(model(&json!({"api_key": "(set)", "base_url": "https://n.example/"})), Some(&own)).is_err());
        let swapped = entry(&json!({"kind": "ag-ui", "url": "https://m.example/v1/", "headers": {"api_key": "(set)"}}));
        assert!(unmasked(swapped, Some(&model(&key))).is_err(), "another kind sends it otherwise");
    }

    #[test]
    fn a_mark_that_stands_for_nothing_is_refused() {
        let before = remote("https://a.example/run", &json!({"x-key": "secret"}));
        for headers in [json!({"y": "(set)"}), json!({"x-key": "Bearer (set)"}), json!("(set)")] {
            let refused = unmasked(remote("https://a.example/run", &headers), Some(&before)).expect_err("refused");
            assert!(refused.starts_with("headers") && !refused.contains("secret"), "{refused}");
        }
        assert!(unmasked(masked(before), None).is_err_and(|refused| refused.contains("NETRA_AGENT_")));
    }
}
