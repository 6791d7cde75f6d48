//! What an endpoint is asked with and nobody is told: kept out of every sentence about it.

use std::{fmt, iter::once};

use reqwest::Url;
use serde_json::Value;

use super::failure::CUT;

/// What is shorter stands in many a sentence and is no secret, in bytes.
const SHORTEST: usize = 4;
/// What is said instead.
const INSTEAD: &str = "...";

/// The secrets of an endpoint, in every way in which it may repeat them. They are never printed.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// What stands in these texts: each of them, and its words, save the first of several, which names a scheme.
    pub(crate) fn of(texts: impl IntoIterator<Item = String>) -> Self {
        let mut all = Vec::new();
        for text in texts {
            let words: Vec<&str> = text.split_whitespace().collect();
            let scheme = usize::from(words.len() > 1);
            for secret in once(text.trim()).chain(words.into_iter().skip(scheme)) {
                let quoted = Value::from(secret).to_string();
                all.extend([secret.to_owned(), quoted[1..quoted.len() - 1].to_owned()]);
            }
        }
        all.retain(|secret| secret.len() >= SHORTEST);
        // The longest first: one may be a part of another.
        all.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self(all)
    }

    /// A text without them. Where an excerpt was cut in the middle of one, its beginning goes too.
    pub(crate) fn redact(&self, text: &str) -> String {
        match text.rsplit_once(CUT) {
            None => self.without(text),
            Some((before, last)) => {
                let cut = before.split(CUT).map(|piece| self.redact_cut(piece));
                cut.chain(once(self.without(last))).collect::<Vec<_>>().join(CUT)
            }
        }
    }

    /// The same for a text that ends where it was cut.
    pub(crate) fn redact_cut(&self, text: &str) -> String {
        let mut text = self.without(text);
        let begun = |secret: &String| {
            let mut ends = (SHORTEST..secret.len()).rev().filter(|end| secret.is_char_boundary(*end));
            ends.find(|end| text.ends_with(&secret[..*end]))
        };
        if let Some(begun) = self.0.iter().filter_map(begun).max() {
            text.truncate(text.len() - begun);
            text.push_str(INSTEAD);
        }
        text
    }

    /// The same for all texts of a value.
    pub(crate) fn redact_all(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.without(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_all(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.redact_all(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn without(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, INSTEAD))
    }
}

/// What of an address nobody is told: all behind the `?`, as it is written and as it is meant.
pub(super) fn of_query(url: &Url) -> impl Iterator<Item = String> {
    let pieces = url.query().into_iter().flat_map(|query| once(query).chain(query.split('&')));
    let values =
        url.query().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| Some(pair.split_once('=')?.1));
    let meant = url.query_pairs().map(|(_, value)| value.into_owned());
    pieces.chain(values).map(str::to_owned).chain(meant)
}

/// What a variable holds, as it is and as it stands in an address.
pub(super) fn in_address(value: &str) -> [String; 2] {
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
        Secrets::of(["Bearer t0k\"en".to_owned(), "abcab".to_owned()].into_iter().chain(of_query(&url)))
    }

    #[test]
    fn a_secret_goes_however_it_is_repeated() {
        for said in ["Bearer t0k\"en", "t0k\"en", r#"t0k\"en"#, "se cret", "se%20cret", "key=se%20cret&v=1", "abcab"] {
            assert_eq!(secrets().redact(&format!("asked with {said}!")), "asked with ...!", "{said}");
        }
        assert_eq!(secrets().redact("the Bearer of v=1"), "the Bearer of v=1", "what is no secret stays");
        let mut value = json!({"a": ["abcab", {"b": "to t0k\"en"}], "n": 1});
        secrets().redact_all(&mut value);
        assert_eq!(value, json!({"a": ["...", {"b": "to ..."}], "n": 1}));
        assert_eq!(format!("{:?}", secrets()), "Secrets");
    }

    #[test]
    fn a_secret_that_a_cut_left_half_goes_too() {
        assert_eq!(secrets().redact_cut("asked with Bearer t0"), "asked with ...");
        assert_eq!(secrets().redact_cut("asked with abcab"), "asked with ...");
        let long = excerpt(&format!("{} se cret", "x".repeat(155)));
        assert_eq!(
            secrets().redact(&format!("it said: {long}, twice")),
            format!("it said: {} ... ..., twice", "x".repeat(155))
        );
    }
}
