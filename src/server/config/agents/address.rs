//! Where an endpoint is: an address in which variables may stand, `https://agents.example.com/run?key=${KEY}`.

use reqwest::Url;
use serde::{Deserialize, Deserializer, de};

use super::Secret;

/// An address, maybe with references to variables. It is never printed: what stands behind the `?` is often a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Secret);

impl Address {
    /// The address itself, its references replaced by what `variables` answers, as it is.
    ///
    /// # Errors
    /// Which variable is not set, or what is wrong with the address. Never the address, nor what a variable holds.
    pub fn resolve(&self, variables: impl Fn(&str) -> Option<String>) -> Result<Url, String> {
        checked(&self.0.resolve(variables)?)
    }

    /// The variables that it refers to.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.0.references()
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Secret::deserialize(from)?;
        // One with references is what it is only once they are replaced.
        if text.references().next().is_none() {
            text.resolve(|_| None).and_then(|text| checked(&text)).map_err(de::Error::custom)?;
        }
        Ok(Self(text))
    }
}

/// An address that requests can go to.
fn checked(text: &str) -> Result<Url, String> {
    let expected = "expected \"http://\" or \"https://\", a host, and maybe a port and a path";
    let url = Url::parse(text).map_err(|error| format!("is no address ({error}), {expected}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("is of a scheme that no agent speaks, {expected}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or a password; say those in `headers`".into());
    }
    if url.fragment().is_some() {
        return Err(format!("ends with a fragment, {expected}"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_may_stand_anywhere_and_what_they_make_is_held_to_the_same() {
        let variables = |name: &str| match name {
            "HOST" => Some("agents.example.com".to_owned()),
            "KEY" => Some("k1#2".to_owned()),
            _ => None,
        };
        let read = |text: &str| serde_json::from_value::<Address>(json!(text)).expect("is right").resolve(variables);
        assert_eq!(read("https://${HOST}/run").expect("resolves").as_str(), "https://agents.example.com/run");
        assert_eq!(read("https://a/?k=${NONE}"), Err("the variable NONE is not set".into()));
        let refused = read("https://a/?k=${KEY}").expect_err("a fragment");
        assert!(refused.contains("ends with a fragment") && !refused.contains("k1"), "{refused}");
    }
}
