//! Reading JSON text in clients.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Result, Value};

/// Reads a JSON text by way of a [`Value`]. The code that reads a type from text is larger than that which reads it from a value, and
/// the page needs the latter for the socket's frames in any case.
///
/// # Errors
/// If the text is not JSON, with the position, or does not match the type.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_value(serde_json::from_str(text)?)
}

/// Deserializes a field or a type by way of a [`Value`], like [`from_str`].
///
/// # Errors
/// As those of the deserializer, or if the value does not match the type.
pub fn by_value<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<T, D::Error> {
    serde_json::from_value(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ErrorCode, http::Problem};

    #[test]
    fn a_text_reads_as_serde_json_reads_it() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Whole(#[serde(deserialize_with = "by_value")] Option<ErrorCode>);

        for text in [r#""conflict""#, r#""a newer code""#, "null", "1", "{"] {
            let expected = serde_json::from_str::<Option<ErrorCode>>(text).ok();
            assert_eq!(from_str::<Option<ErrorCode>>(text).ok(), expected, "{text}");
            assert_eq!(serde_json::from_str::<Whole>(text).ok(), expected.map(Whole), "{text}");
        }
        assert_eq!(from_str::<Problem>("{\n\"").expect_err("incomplete").line(), 2);
    }
}
