//! Conversion of an agent's entry to the texts of the form's fields, and back. Keys without a field stay as they are.

use serde_json::{Map, Value};

use crate::protocol::http::agent_entry::is_common;

/// The format of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One line.
    Line,
    /// Text of several lines.
    Text,
    /// A list, one item per line.
    Lines,
    /// A table: `name: value`, one per line.
    Pairs,
    /// A whole number.
    Number,
    /// A choice. Each option has a value, which is a list of words, and a label.
    Choice(&'static [(&'static str, &'static str)]),
}

/// A field of the form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// The key of the entry; after a dot, a key of its table.
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) format: Format,
    /// The kind of agents that has it; empty: all kinds.
    pub(super) kind: &'static str,
}

const fn field(
    kind: &'static str,
    key: &'static str,
    format: Format,
    label: &'static str,
    hint: &'static str,
) -> Field {
    Field { key, label, hint, format, kind }
}

/// The kinds of agents that the page can add.
pub(super) const KINDS: &[(&str, &str)] = &[("ag-ui", "AG-UI endpoint"), ("model", "Model")];

const ROLES: &[(&str, &str)] = &[
    ("", "Everyone, unless people are named"),
    ("admin", "Administrators"),
    ("member", "Members"),
    ("admin member", "Administrators and members"),
];

/// The fields, in the order of the form.
pub(super) const FIELDS: &[Field] = &[
    field("", "id", Format::Line, "Id", "1 to 64 of a-z, 0-9, - and _. Used in @mentions; it cannot be changed later."),
    field("", "name", Format::Line, "Name", ""),
    field("", "description", Format::Line, "Description", "What the agent does, in one sentence."),
    field("", "examples", Format::Lines, "Example questions", "Up to 6, one per line, each of up to 200 characters."),
    field(
        "",
        "hint",
        Format::Line,
        "Hint",
        "Shown in the message field while it is empty, up to 120 characters. Empty: the page's own text.",
    ),
    field("ag-ui", "url", Format::Line, "URL", "The AG-UI endpoint: https://agents.example.com/run"),
    field(
        "ag-ui",
        "headers",
        Format::Pairs,
        "Headers",
        "One per line: Authorization: Bearer ${NETRA_AGENT_TOKEN}. Names of variables begin with NETRA_AGENT_. Other values are not shown again: (set) keeps the stored value as long as the host stays the same.",
    ),
    field("ag-ui", "connect_timeout_ms", Format::Number, "Connect timeout (ms)", "Empty: 5,000."),
    field("ag-ui", "first_event_timeout_ms", Format::Number, "Timeout for the first event (ms)", "Empty: 60,000."),
    field("ag-ui", "silence_timeout_ms", Format::Number, "Timeout between events (ms)", "Empty: 120,000."),
    field(
        "model",
        "provider",
        Format::Line,
        "Provider",
        "The API of the model's server. Empty: OpenAI's, which most servers offer.",
    ),
    field("model", "model", Format::Line, "Model", "Name of the model at the provider."),
    field(
        "model",
        "base_url",
        Format::Line,
        "URL",
        "Such as https://models.example.org/v1/. Addresses in private networks are only allowed in the configuration file. Empty: the provider's own.",
    ),
    field(
        "model",
        "api_key",
        Format::Line,
        "API key",
        "Best as a variable: ${NETRA_AGENT_KEY}. Other values are not shown again: (set) keeps the stored value as long as provider and host stay the same.",
    ),
    field("model", "system", Format::Text, "Instructions", ""),
    field("model", "max_steps", Format::Number, "Maximum model requests per run", "Empty: 8."),
    field("", "access.roles", Format::Choice(ROLES), "Who may use it", ""),
    field("", "access.people", Format::Lines, "People", "Email addresses that they sign in with, one per line."),
    field("", "limits.max_runs", Format::Number, "Concurrent runs", "Empty: as the server allows."),
    field("", "limits.max_runs_per_user", Format::Number, "Concurrent runs per user", "Empty: as the server allows."),
    field("", "limits.time_limit_ms", Format::Number, "Time limit of a run (ms)", "Empty: as the server allows."),
];

/// An error at a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldError {
    /// The field's key; empty: no field of the form.
    pub(super) key: &'static str,
    pub(super) message: String,
}

impl Field {
    /// Whether agents of this kind have it.
    pub(super) fn applies_to(&self, kind: &str) -> bool {
        self.kind.is_empty() || self.kind == kind
    }

    /// The field's text for an entry.
    pub(super) fn text(&self, entry: &Map<String, Value>) -> String {
        let mut keys = self.key.split('.');
        let first = keys.next().and_then(|key| entry.get(key));
        let Some(value) = keys.fold(first, |value, key| value.and_then(|value| value.get(key))) else {
            return String::new();
        };
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match (value, self.format) {
            (Value::Array(list), Format::Choice(_)) => list.iter().map(word).collect::<Vec<_>>().join(" "),
            (Value::Array(list), _) => list.iter().map(word).collect::<Vec<_>>().join("\n"),
            (Value::Object(pairs), _) => {
                pairs.iter().map(|(name, value)| format!("{name}: {}", word(value))).collect::<Vec<_>>().join("\n")
            }
            (value, _) => word(value),
        }
    }

    /// The value of the entry for this text; none if the text is empty.
    fn value(&self, text: &str) -> Result<Option<Value>, FieldError> {
        let wrong = |message: &str| Err(FieldError { key: self.key, message: message.to_owned() });
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(None);
        }
        let lines = || trimmed.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(Some(match self.format {
            Format::Line => trimmed.into(),
            Format::Text => text.trim_end().into(),
            Format::Lines => lines().collect::<Value>(),
            Format::Choice(_) => trimmed.split_whitespace().collect::<Value>(),
            Format::Number => match trimmed.replace([',', ' '], "").parse::<u64>() {
                Ok(number) => number.into(),
                Err(_) => return wrong("A whole number is needed."),
            },
            Format::Pairs => {
                let mut pairs = Map::new();
                for line in lines() {
                    let Some((name, value)) = line.split_once(':') else {
                        return wrong("Each line is a name, a colon and a value.");
                    };
                    pairs.insert(name.trim().to_owned(), value.trim().into());
                }
                pairs.into()
            }
        }))
    }
}

/// The entry `before` with the values of the form.
pub(super) fn updated_entry(
    before: &Map<String, Value>,
    kind: &str,
    texts: &[String],
) -> Result<Map<String, Value>, FieldError> {
    let mut entry = before.clone();
    // Keys of another kind would be refused.
    if before.get("kind").and_then(Value::as_str).is_some_and(|other| other != kind) {
        entry.retain(|key, _| is_common(key));
    }
    entry.insert("kind".into(), kind.into());
    for (field, text) in FIELDS.iter().zip(texts).filter(|(field, _)| field.applies_to(kind)) {
        let value = field.value(text)?;
        match field.key.split_once('.') {
            None => set(&mut entry, field.key, value),
            Some((outer, inner)) => {
                let mut object = entry.get(outer).and_then(Value::as_object).cloned().unwrap_or_default();
                set(&mut object, inner, value);
                set(&mut entry, outer, (!object.is_empty()).then_some(Value::Object(object)));
            }
        }
    }
    Ok(entry)
}

fn set(object: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(object.insert(key.to_owned(), value)),
        None => drop(object.remove(key)),
    }
}

/// The field that an error of the server belongs to: its detail is `key: message`.
pub(super) fn field_error(detail: &str) -> FieldError {
    let (key, message) = detail.split_once(": ").unwrap_or(("", detail));
    let belongs = |field: &&Field| {
        let rest = key.strip_prefix(field.key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    match FIELDS.iter().find(belongs) {
        Some(field) => FieldError { key: field.key, message: message.to_owned() },
        None => FieldError { key: "", message: detail.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::http::{
        AgentKind,
        agent_entry::{Holds, KEYS, MASK},
    };

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    fn texts(entry: &Map<String, Value>) -> Vec<String> {
        FIELDS.iter().map(|field| field.text(entry)).collect()
    }

    #[test]
    fn an_entry_comes_back_unchanged_with_keys_that_have_no_field() {
        let entry = map(json!({
            "id": "remote", "name": "Remote", "kind": "ag-ui", "url": "https://a.example/run", "retries": 1,
            "examples": ["One?", "Two?"], "headers": {"Authorization": "Bearer ${NETRA_AGENT_T}"},
            "allow_private_network": true, "access": {"roles": ["admin", "member"], "people": ["ada@example.org"]},
            "limits": {"max_runs": 3},
        }));
        assert_eq!(updated_entry(&entry, "ag-ui", &texts(&entry)), Ok(entry));
    }

    #[test]
    fn keys_of_another_kind_are_dropped() {
        let entry = map(json!({"id": "x", "name": "X", "kind": "ag-ui", "url": "https://a.example", "retries": 1}));
        let made = updated_entry(&entry, "model", &texts(&entry)).expect("is right");
        assert_eq!(made, map(json!({"id": "x", "name": "X", "kind": "model"})));
    }

    #[test]
    fn each_field_is_a_key_of_its_kind() {
        for field in FIELDS {
            let (name, inner) =
                field.key.split_once('.').map_or((field.key, None), |(name, inner)| (name, Some(inner)));
            let kind: Option<AgentKind> =
                (!field.kind.is_empty()).then(|| serde_json::from_value(json!(field.kind)).expect("a kind"));
            let key = KEYS.iter().find(|key| key.name == name && key.kind == kind).expect(field.key);
            let has_inner = match key.holds {
                Holds::Table(names) => inner.is_some_and(|inner| names.contains(&inner)),
                _ => inner.is_none(),
            };
            assert!(has_inner, "{}", field.key);
            let is_secret = matches!(key.holds, Holds::Secret | Holds::Secrets);
            assert_eq!(field.hint.contains(MASK), is_secret, "{}: the hint explains the mask", field.key);
        }
    }

    #[test]
    fn an_error_belongs_to_its_field() {
        let entry = map(json!({"id": "x", "kind": "model", "max_steps": "many"}));
        assert_eq!(updated_entry(&entry, "model", &texts(&entry)).map_err(|error| error.key), Err("max_steps"));
        assert_eq!(field_error("limits.max_runs: invalid value").key, "limits.max_runs");
        assert_eq!(field_error("access.people[0]: invalid type").key, "access.people");
        assert_eq!(field_error("url: this is required").key, "url");
        assert_eq!(field_error("there is an agent `x` already").key, "");
    }
}
