//! Parses parts of the configuration into their types, always from JSON values: each type is compiled for one kind of input.

use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::Table;

/// A value that does not have the form that is expected.
pub(super) struct Misfit {
    /// Its key, with dots; none if it is the whole.
    pub(super) key: Option<String>,
    /// What is wrong, on one line.
    pub(super) problem: String,
}

impl Misfit {
    /// The problem, after the key if there is one.
    pub(super) fn message(&self) -> String {
        match &self.key {
            Some(key) => format!("{key}: {}", self.problem),
            None => self.problem.clone(),
        }
    }
}

/// Parses a value.
pub(super) fn parse<T: DeserializeOwned>(value: Value) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let key = Some(error.path().to_string()).filter(|key| key != ".");
        Misfit { key, problem: error.inner().to_string().replace('\n', "; ") }
    })
}

/// A table of TOML as JSON: dates become texts, as no setting is one.
pub(super) fn to_json(table: Table) -> Value {
    fn one(value: toml::Value) -> Value {
        match value {
            toml::Value::String(text) => text.into(),
            toml::Value::Integer(number) => number.into(),
            toml::Value::Float(number) => number.into(),
            toml::Value::Boolean(truth) => truth.into(),
            toml::Value::Datetime(date) => date.to_string().into(),
            toml::Value::Array(items) => items.into_iter().map(one).collect(),
            toml::Value::Table(table) => to_json(table),
        }
    }
    Value::Object(table.into_iter().map(|(key, item)| (key, one(item))).collect())
}
