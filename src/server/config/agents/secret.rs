//! Secrets: texts that may refer to environment variables, `Bearer ${TOKEN}`.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Unexpected, Visitor},
};

use crate::protocol::http::agent_entry::MASK;

/// The beginning of a reference to a variable.
const VAR_PREFIX: &str = "${";

/// A secret, in full or with references to variables. `Debug` hides it; `Serialize` writes references, and a mask for anything
/// else.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(if self.is_reference() { &self.0 } else { MASK })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(text.into())
            }

            // The default error would repeat the number, which may be the secret.
            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::invalid_type(Unexpected::Other("a number"), &self))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                self.visit_i64(0)
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                self.visit_i64(0)
            }
        }

        // `deserialize_str` of serde_json would repeat a number in its error.
        from.deserialize_any(Text)
    }
}

/// An error of serde without the text that it found in place of another type: the text may be a secret.
pub(in crate::server::config) fn without_found_text(problem: &str) -> String {
    const STRING: &str = "invalid type: string ";
    let parts = problem.split_once(STRING).and_then(|(key, rest)| Some((key, rest.rsplit_once(", expected ")?.1)));
    match parts {
        Some((key, expected)) => format!("{key}invalid type: a text, expected {expected}"),
        None => problem.to_owned(),
    }
}

impl Secret {
    /// The secret in full, with its references replaced by the values that `variables` returns.
    ///
    /// # Errors
    /// Names a variable that is not set, or a reference without an end. Never contains a variable's value.
    pub fn resolve(&self, variables: impl Fn(&str) -> Option<String>) -> Result<String, String> {
        let (mut whole, mut rest) = (String::new(), self.0.as_str());
        while let Some((before, after)) = rest.split_once(VAR_PREFIX) {
            let (name, after) = after.split_once('}').ok_or("a reference `${` does not end with `}`")?;
            whole.push_str(before);
            whole.push_str(&variables(name).ok_or_else(|| format!("the variable {name} is not set"))?);
            rest = after;
        }
        whole.push_str(rest);
        Ok(whole)
    }

    /// Whether it consists of references alone, after a scheme at most: `Bearer ${TOKEN}`.
    #[must_use]
    pub fn is_reference(&self) -> bool {
        const SCHEMES: [&str; 6] = ["", "basic", "bearer", "token", "apikey", "key"];
        let (mut rest, mut left, mut refers) = (self.0.as_str(), String::new(), false);
        while let Some((before, (_, after))) =
            rest.split_once(VAR_PREFIX).and_then(|(before, after)| Some((before, after.split_once('}')?)))
        {
            left.push_str(before);
            (rest, refers) = (after, true);
        }
        left.push_str(rest);
        let (scheme, spaced) = (left.trim(), left.ends_with(' ') || left.is_empty());
        refers && spaced && SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme))
    }

    /// The names of the variables that it refers to.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.0.split(VAR_PREFIX).skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_secrets_are_not_printed() {
        let secret = Secret::from("Bearer ${TOKEN}-${PART}");
        let variables = |name: &str| (name == "TOKEN" || name == "PART").then(|| name.to_lowercase());
        assert_eq!(secret.resolve(variables), Ok("Bearer token-part".into()));
        assert_eq!(secret.references().collect::<Vec<_>>(), ["TOKEN", "PART"]);
        assert_eq!(secret.resolve(|_| None), Err("the variable TOKEN is not set".into()));
        assert!(Secret::from("a ${B").resolve(|_| None).expect_err("no end").contains("does not end"));
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(
            serde_json::to_value([secret, "${TOKEN}".into()]).expect("texts"),
            serde_json::json!([MASK, "${TOKEN}"])
        );
    }

    #[test]
    fn errors_do_not_repeat_the_value() {
        let read = |value| serde_json::from_value::<Secret>(value).expect_err("no text").to_string();
        assert_eq!(read(serde_json::json!(123_456)), "invalid type: a number, expected a text");
        assert_eq!(read(serde_json::json!(["hidden"])), "invalid type: sequence, expected a text");
        let error = "headers: invalid type: string \"Bearer hidden, expected x\", expected a map";
        assert_eq!(without_found_text(error), "headers: invalid type: a text, expected a map");
        assert_eq!(without_found_text("url: is no address"), "url: is no address");
    }

    #[test]
    fn a_reference_is_distinguished_from_a_secret() {
        for text in ["${A}", "Bearer ${A}", "token ${A}", "${A}${B}"] {
            assert!(Secret::from(text).is_reference(), "{text}");
        }
        for text in ["", "secret", "Bearer secret", "Bearer secret-${A}", "secret ${A}", "Bearer${A}", "${A", "Bearer "]
        {
            assert!(!Secret::from(text).is_reference(), "{text}");
        }
    }
}
