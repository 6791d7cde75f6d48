//! Parses JSON from clients. Refuses objects with a duplicate key: one parser would take the first value and another the last, so
//! that the value that was checked might not be the one that is used.

use std::{collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, map::Entry};

/// The maximum number of characters of a duplicate key that the error quotes.
const MAX_QUOTED_CHARS: usize = 64;

/// Parses `bytes` as one JSON value.
///
/// # Errors
/// If `bytes` are not one JSON value, are nested deeper than 127 levels, or contain an object with a duplicate key.
pub fn from_slice(bytes: &[u8]) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = UniqueKeys.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Checks that [`from_slice`] would accept `bytes`, without building the value.
///
/// # Errors
/// As [`from_slice`].
pub fn check(bytes: &[u8]) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    CheckKeys.deserialize(&mut reader)?;
    reader.end()
}

fn duplicate_key<E: Error>(key: &str) -> E {
    let key: String = key.chars().take(MAX_QUOTED_CHARS).collect();
    E::custom(format_args!("duplicate key {key:?}"))
}

/// Checks a value's keys without building the value.
struct CheckKeys;

impl<'de> DeserializeSeed<'de> for CheckKeys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CheckKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        while from.next_element_seed(CheckKeys)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = from.next_key::<String>()? {
            from.next_value_seed(CheckKeys)?;
            if let Some(key) = keys.replace(key) {
                return Err(duplicate_key(&key));
            }
        }
        Ok(())
    }
}

/// Builds a [`Value`] whose objects have no duplicate keys.
struct UniqueKeys;

impl<'de> DeserializeSeed<'de> for UniqueKeys {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(UniqueKeys)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            match fields.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(from.next_value_seed(UniqueKeys)?);
                }
                Entry::Occupied(entry) => return Err(duplicate_key(entry.key())),
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_without_duplicate_keys_parses_as_serde_json_parses_it() {
        let texts = [
            "null",
            r#"{"b":1,"a":[-1,1.5,1e300,18446744073709551615,true,"x\u0000\ud83d\ude00",{}],"c":{"a":null,"b":{}}}"#,
            r#"[{"a":1},{"a":2}]"#,
            "-0.0",
            r#"{"$serde_json::private::Number":"1"}"#,
        ];
        for text in texts {
            let expected: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(from_slice(text.as_bytes()).expect("JSON"), expected, "{text}");
            check(text.as_bytes()).expect("JSON");
            assert_eq!(
                from_slice(text.as_bytes()).expect("JSON").to_string(),
                expected.to_string(),
                "the order is kept"
            );
        }
    }

    #[test]
    fn a_duplicate_key_is_refused_at_any_depth_and_in_any_spelling() {
        let texts =
            [r#"{"a":1,"a":1}"#, r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#, r#"{"a":1,"\u0061":2}"#, r#"{"":1,"":2}"#];
        for text in texts {
            let error = from_slice(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains("duplicate key") && error.contains("at line 1"), "{error}");
            let checked = check(text.as_bytes()).expect_err(text).to_string();
            assert!(checked.contains("duplicate key") && checked.contains("at line 1"), "{checked}");
        }
    }

    #[test]
    fn input_that_is_not_one_json_value_is_refused() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "nope", "1 2", r#"{"a":1}x"#, "\u{feff}{}", deep.as_str()] {
            assert!(from_slice(text.as_bytes()).is_err() && check(text.as_bytes()).is_err());
        }
        assert!(from_slice(b"\"\xff\"").is_err());
    }
}
