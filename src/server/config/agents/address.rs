//! URLs of endpoints, which may refer to variables: `https://agents.example.com/run?key=${KEY}`.

use reqwest::Url;
use serde::{Deserialize, Deserializer, de};

use super::Secret;
use crate::protocol::http::agent_entry::MASK;

/// A URL, which may refer to variables. It is never printed: its query often holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Secret);

impl Address {
    /// The URL with its references replaced by the values that `variables` returns.
    ///
    /// # Errors
    /// Names a variable that is not set, or what is wrong with the URL. Never contains the URL or a variable's value.
    pub fn resolve(&self, variables: impl Fn(&str) -> Option<String>) -> Result<Url, String> {
        parse(&self.0.resolve(variables)?)
    }

    /// The names of the variables that it refers to.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.0.references()
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Secret::deserialize(from)?;
        // With references, it can be checked only once they are replaced.
        if text.references().next().is_none() {
            text.resolve(|_| None).and_then(|text| parse(&text)).map_err(de::Error::custom)?;
        }
        Ok(Self(text))
    }
}

/// Parses a URL that requests can be sent to.
fn parse(text: &str) -> Result<Url, String> {
    let expected = "expected \"http://\" or \"https://\", a host, and maybe a port and a path";
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error}), {expected}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has another scheme, {expected}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user or a password; send those in `headers`".into());
    }
    if url.fragment().is_some() {
        return Err(format!("ends with a fragment, {expected}"));
    }
    Ok(url)
}

/// A URL without its user info, and without the query unless that only refers to variables.
pub(super) fn masked_url(text: &str) -> String {
    let is_reference = |text: &str| Secret::from(text).is_reference();
    let Some(url) = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        // With references it may not be a URL yet.
        let is_template = ["http://", "https://", "${"].iter().any(|start| text.starts_with(start));
        return if is_template && !text.contains(['@', '?', '#']) { text.to_owned() } else { MASK.into() };
    };
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let (mut base, rest) = (text[..end].to_owned(), &text[end..]);
    if (!url.username().is_empty() || url.password().is_some())
        && let Some((scheme, after)) = base.split_once("://")
    {
        let host = after.rsplit_once('@').map_or("", |(_, host)| host);
        base = format!("{scheme}://{MASK}@{host}");
    }
    let mut values =
        rest.trim_start_matches('?').split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    let is_public = rest.is_empty() || (rest.starts_with('?') && values.all(is_reference));
    if is_public { base + rest } else { format!("{base}{}{MASK}", &rest[..1]) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_replaced_anywhere_and_the_result_is_checked() {
        let variables = |name: &str| match name {
            "HOST" => Some("agents.example.com".to_owned()),
            "KEY" => Some("k1#2".to_owned()),
            _ => None,
        };
        let read = |text: &str| {
            serde_json::from_value::<Address>(json!(text)).expect("the JSON has this type").resolve(variables)
        };
        assert_eq!(
            read("https://${HOST}/run").expect("the variables are resolved").as_str(),
            "https://agents.example.com/run"
        );
        assert_eq!(read("https://a/?k=${NONE}"), Err("the variable NONE is not set".into()));
        let refused = read("https://a/?k=${KEY}").expect_err("a fragment");
        assert!(refused.contains("ends with a fragment") && !refused.contains("k1"), "{refused}");
    }
}
