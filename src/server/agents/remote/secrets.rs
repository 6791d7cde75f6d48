//! The secrets of an endpoint, which are removed from every message about it.

use std::{fmt, iter::once};

use reqwest::Url;
use serde_json::Value;

use super::failure::ELLIPSIS;

/// The minimum length of a secret, in bytes. Shorter texts would match ordinary words.
const MIN_SECRET_BYTES: usize = 4;
/// Replaces a secret.
const REDACTED: &str = "...";

/// The secrets of an endpoint, in every form in which it may repeat them. `Debug` does not print them.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// The secrets in these texts: each text, and its words. The first of several words is not secret, because it names a scheme.
    pub(crate) fn from_texts(texts: impl IntoIterator<Item = String>) -> Self {
        let mut all = Vec::new();
        for text in texts {
            let words: Vec<&str> = text.split_whitespace().collect();
            let scheme = usize::from(words.len() > 1);
            for secret in once(text.trim()).chain(words.into_iter().skip(scheme)) {
                let quoted = Value::from(secret).to_string();
                all.extend([secret.to_owned(), quoted[1..quoted.len() - 1].to_owned()]);
            }
        }
        all.retain(|secret| secret.len() >= MIN_SECRET_BYTES);
        // The longest first, because one may be part of another.
        all.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self(all)
    }

    /// Removes the secrets from a text, and the beginning of one that an excerpt truncated.
    pub(crate) fn redact(&self, text: &str) -> String {
        match text.rsplit_once(ELLIPSIS) {
            None => self.replace(text),
            Some((before, last)) => {
                let truncated = before.split(ELLIPSIS).map(|piece| self.redact_truncated(piece));
                truncated.chain(once(self.replace(last))).collect::<Vec<_>>().join(ELLIPSIS)
            }
        }
    }

    /// The same for a truncated text, which may end with the beginning of a secret.
    pub(crate) fn redact_truncated(&self, text: &str) -> String {
        let mut text = self.replace(text);
        let partial_len = |secret: &String| {
            let mut ends = (MIN_SECRET_BYTES..secret.len()).rev().filter(|end| secret.is_char_boundary(*end));
            ends.find(|end| text.ends_with(&secret[..*end]))
        };
        if let Some(len) = self.0.iter().filter_map(partial_len).max() {
            text.truncate(text.len() - len);
            text.push_str(REDACTED);
        }
        text
    }

    /// Removes the secrets from all strings of a value.
    pub(crate) fn redact_all(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.replace(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_all(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.redact_all(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn replace(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }
}

/// The secrets of a URL: its query, its parameters and their values, encoded and decoded.
pub(super) fn query_secrets(url: &Url) -> impl Iterator<Item = String> {
    let pieces = url.query().into_iter().flat_map(|query| once(query).chain(query.split('&')));
    let values =
        url.query().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| Some(pair.split_once('=')?.1));
    let decoded = url.query_pairs().map(|(_, value)| value.into_owned());
    pieces.chain(values).map(str::to_owned).chain(decoded)
}

/// The value of a variable, as it is and as it is encoded in a URL.
pub(super) fn variable_forms(value: &str) -> [String; 2] {
    let encoded = Url::parse("http://a/").map(|mut url| {
        url.set_path(value);
        url.path().trim_start_matches('/').to_owned()
    });
    [value.to_owned(), encoded.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::failure::excerpt, *};

    fn secrets() -> Secrets {
        let url: Url = "https://a/run?key=se%20cret&v=1".parse().expect("an address");
        Secrets::from_texts(["Bearer t0k\"en".to_owned(), "abcab".to_owned()].into_iter().chain(query_secrets(&url)))
    }

    #[test]
    fn a_secret_is_removed_in_every_form() {
        for form in ["Bearer t0k\"en", "t0k\"en", r#"t0k\"en"#, "se cret", "se%20cret", "key=se%20cret&v=1", "abcab"] {
            assert_eq!(secrets().redact(&format!("asked with {form}!")), "asked with ...!", "{form}");
        }
        assert_eq!(secrets().redact("the Bearer of v=1"), "the Bearer of v=1", "other text stays");
        let mut value = json!({"a": ["abcab", {"b": "to t0k\"en"}], "n": 1});
        secrets().redact_all(&mut value);
        assert_eq!(value, json!({"a": ["...", {"b": "to ..."}], "n": 1}));
        assert_eq!(format!("{:?}", secrets()), "Secrets");
    }

    #[test]
    fn a_truncated_secret_is_removed() {
        assert_eq!(secrets().redact_truncated("asked with Bearer t0"), "asked with ...");
        assert_eq!(secrets().redact_truncated("asked with abcab"), "asked with ...");
        let long = excerpt(&format!("{} se cret", "x".repeat(155)));
        assert_eq!(
            secrets().redact(&format!("it said: {long}, twice")),
            format!("it said: {} ... ..., twice", "x".repeat(155))
        );
    }
}
