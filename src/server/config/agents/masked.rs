//! Entries of agents without their secrets, and back.
//!
//! [`masked`] shows only what is known not to be secret: public keys, references to variables, and URLs without user info and
//! query. [`unmasked`] puts a secret back where its mask is returned: at the same key of the same agent, and only while the
//! secret goes to the same kind of agent at the same origin, so that it cannot be sent elsewhere.

use reqwest::Url;
use serde_json::{Map, Value, json};

use super::{AgentEntry, PAGE_VAR_PREFIX, Secret, address::masked_url};
use crate::protocol::http::agent_entry::{self, Holds, MASK};

/// The entry without its secrets. References to variables stay.
#[must_use]
pub fn masked(mut entry: AgentEntry) -> AgentEntry {
    for (key, value) in &mut entry.0 {
        if agent_entry::holds(key) == Some(Holds::Url) {
            *value = value.as_str().map_or_else(|| MASK.into(), |text| masked_url(text).into());
        }
    }
    for (_, value) in secrets(&mut entry) {
        *value = value.as_str().map_or_else(|| MASK.into(), |text| json!(Secret::from(text)));
    }
    entry
}

/// The entry with the secrets of `before` in place of their masks.
///
/// # Errors
/// The key of a mask without a secret, or of a secret that would go elsewhere.
pub fn unmasked(mut entry: AgentEntry, before: Option<&AgentEntry>) -> Result<AgentEntry, String> {
    for (key, value) in &mut entry.0 {
        let is_url = agent_entry::holds(key) == Some(Holds::Url);
        let Some(text) = value.as_str().filter(|text| is_url && text.contains(MASK)) else { continue };
        let known = before.and_then(|before| before.0.get(key));
        let known = known.filter(|known| known.as_str().is_some_and(|known| masked_url(known) == text)).cloned();
        let Some(known) = known else {
            return Err(format!("{key}: `{MASK}` stands for what is stored; write another URL in full"));
        };
        *value = known;
    }
    let same_destination =
        before.is_some_and(|before| destination(before).is_some_and(|known| destination(&entry) == Some(known)));
    let mut before = before.cloned().unwrap_or_default();
    let mut stored = secrets(&mut before);
    for (key, value) in secrets(&mut entry) {
        if value.as_str().is_none_or(|text| !text.contains(MASK)) {
            continue;
        }
        let known = stored.iter_mut().find(|(name, _)| *name == key).map(|(_, value)| value.take());
        *value = match known {
            Some(known) if same_destination && *value == MASK => known,
            Some(_) if *value == MASK => {
                return Err(format!(
                    "{key}: the stored value was set for another address; write it again for this one"
                ));
            }
            _ => {
                return Err(format!(
                    "{key}: `{MASK}` alone keeps the stored value; write another one in full, or as the variable that \
                     holds it, `${{{PAGE_VAR_PREFIX}…}}`"
                ));
            }
        };
    }
    Ok(entry)
}

/// The values that may be secrets, by key: all that are not known to be public.
fn secrets(entry: &mut AgentEntry) -> Vec<(String, &mut Value)> {
    let mut found = Vec::new();
    for (key, value) in &mut entry.0 {
        match (agent_entry::holds(key), value) {
            (Some(Holds::Url), _) => {}
            (Some(Holds::Public), value) if is_flat(value) => {}
            (Some(Holds::Secrets), Value::Object(fields)) => found.extend(secret_fields(key, fields, &[])),
            (Some(Holds::Table(public)), Value::Object(fields)) => found.extend(secret_fields(key, fields, public)),
            (_, value) => found.push((key.clone(), value)),
        }
    }
    found
}

/// The fields of a table that may be secrets: all but the public ones.
fn secret_fields<'a>(
    key: &str,
    fields: &'a mut Map<String, Value>,
    public: &[&str],
) -> impl Iterator<Item = (String, &'a mut Value)> {
    let secret = fields.iter_mut().filter(move |(name, value)| !(public.contains(&name.as_str()) && is_flat(value)));
    secret.map(move |(name, value)| (format!("{key}.{name}"), value))
}

/// Whether a value has no objects or nested lists. These could contain secrets, and no key accepts them.
fn is_flat(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        value => !value.is_object(),
    }
}

/// Where an entry's secrets are sent: kind, provider, and the origin if the entry names one.
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
    fn secrets_are_masked_and_references_are_shown() {
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
    fn what_is_not_known_to_be_public_is_masked() {
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
    fn urls_are_shown_without_user_info_and_query() {
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
            assert_eq!(masked_url(written), shown, "{written}");
        }
        let before = remote("https://a.example/run?key=secret", &json!({"x-key": "secret"}));
        assert_eq!(unmasked(masked(before.clone()), Some(&before)), Ok(before.clone()));
        for url in ["https://b.example/run?(set)", "https://a.example/other?(set)", "https://a.example/run?key=(set)"] {
            let refused = unmasked(remote(url, &json!({})), Some(&before)).expect_err(url);
            assert!(refused.starts_with("url: ") && !refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn a_returned_mask_keeps_the_stored_secret() {
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
    fn a_secret_is_never_sent_to_another_destination() {
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
        assert!(unmasked(swapped, Some(&model(&key))).is_err(), "another kind of agent");
    }

    #[test]
    fn a_mask_without_a_stored_secret_is_refused() {
        let before = remote("https://a.example/run", &json!({"x-key": "secret"}));
        for headers in [json!({"y": "(set)"}), json!({"x-key": "Bearer (set)"}), json!("(set)")] {
            let refused = unmasked(remote("https://a.example/run", &headers), Some(&before)).expect_err("a refusal");
            assert!(refused.starts_with("headers") && !refused.contains("secret"), "{refused}");
        }
        assert!(unmasked(masked(before), None).is_err_and(|refused| refused.contains("NETRA_AGENT_")));
    }
}
