//! Secrets of agents that stand in their entries as they are: shown as a mark, and kept where the mark comes back.
//!
//! Promises: no secret leaves the server this way, and none is moved. A mark stands for the secret at the same key of the same
//! agent, and only while that secret goes where it went: to the same kind of agent at the same origin. Anything else is
//! refused with the key's name, and the secret has to be written again.

use reqwest::Url;
use serde_json::Value;

use crate::server::{
    agents::PAGE_VARIABLES,
    config::agents::{AgentEntry, Secret},
};

/// What stands where a secret is.
const MASK: &str = "(set)";

/// The entry without secrets that stand there as they are. References to variables stay: they are no secret.
pub(super) fn masked(mut entry: AgentEntry) -> AgentEntry {
    for (_, value) in secrets(&mut entry) {
        let refers = value.as_str().is_some_and(|text| Secret::from(text).references().next().is_some());
        if !refers {
            *value = MASK.into();
        }
    }
    entry
}

/// The entry with what `before` has in place of each mark.
///
/// # Errors
/// The key of a mark that stands for nothing, or for what must not go there.
pub(super) fn unmasked(mut entry: AgentEntry, before: Option<&AgentEntry>) -> Result<AgentEntry, String> {
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

/// The places where entries hold secrets, by key.
fn secrets(entry: &mut AgentEntry) -> Vec<(String, &mut Value)> {
    let mut all = Vec::new();
    for (key, value) in &mut entry.0 {
        match (key.as_str(), value) {
            ("headers", Value::Object(headers)) => {
                all.extend(headers.iter_mut().map(|(name, value)| (format!("headers.{name}"), value)));
            }
            ("api_key" | "headers", value) => all.push((key.clone(), value)),
            _ => {}
        }
    }
    all
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
