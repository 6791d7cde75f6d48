//! An agent's entry as the form shows it: each key a text, and back. What the form does not know stays as it is.

use serde_json::{Map, Value};

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// One line.
    Line,
    /// Some lines.
    Text,
    /// A list: one a line.
    Lines,
    /// An object: `name: value`, one a line.
    Pairs,
    /// A whole number.
    Number,
    /// A list of some of these, spaced.
    Words(&'static [(&'static str, &'static str)]),
}

/// A key of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// Dots lead into objects.
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) takes: Takes,
    /// The kind that has it; empty: each.
    pub(super) kind: &'static str,
}

const fn field(kind: &'static str, key: &'static str, takes: Takes, label: &'static str, hint: &'static str) -> Field {
    Field { key, label, hint, takes, kind }
}

/// What the page can add.
pub(super) const KINDS: &[(&str, &str)] = &[("ag-ui", "AG-UI endpoint"), ("model", "Model")];

const ROLES: &[(&str, &str)] = &[
    ("", "Everyone, unless people are named"),
    ("admin", "Administrators"),
    ("member", "Members"),
    ("admin member", "Administrators and members"),
];

/// The fields, in the order of the form.
pub(super) const FIELDS: &[Field] = &[
    field("", "id", Takes::Line, "Id", "1 to 64 of a-z, 0-9, - and _: what @ names it by. It stays."),
    field("", "name", Takes::Line, "Name", ""),
    field("", "description", Takes::Line, "Description", "What it does, in a sentence."),
    field("", "examples", Takes::Lines, "Questions to begin with", "One a line."),
    field("ag-ui", "url", Takes::Line, "Address", "The AG-UI endpoint: https://agents.example.com/run"),
    field(
        "ag-ui",
        "headers",
        Takes::Pairs,
        "Headers",
        "One a line: Authorization: Bearer ${NETRA_AGENT_TOKEN}. Variables begin with NETRA_AGENT_. Anything else is never shown again: (set) keeps it while the address stays at its host.",
    ),
    field("ag-ui", "connect_timeout_ms", Takes::Number, "Time to connect (ms)", "Empty: 5,000."),
    field("ag-ui", "first_event_timeout_ms", Takes::Number, "Time to the first event (ms)", "Empty: 60,000."),
    field("ag-ui", "silence_timeout_ms", Takes::Number, "Longest silence (ms)", "Empty: 120,000."),
    field(
        "model",
        "provider",
        Takes::Line,
        "Provider",
        "The API that it speaks. Empty: OpenAI's, which most servers speak.",
    ),
    field("model", "model", Takes::Line, "Model", "Its name there."),
    field(
        "model",
        "base_url",
        Takes::Line,
        "Address",
        "Such as https://models.example.org/v1/; one in a private network is for the file. Empty: the provider's own.",
    ),
    field(
        "model",
        "api_key",
        Takes::Line,
        "Key",
        "Best as a variable: ${NETRA_AGENT_KEY}. Anything else is never shown again: (set) keeps it while provider and host stay.",
    ),
    field("model", "system", Takes::Text, "Instructions", ""),
    field("model", "max_steps", Takes::Number, "Most requests to the model in a run", "Empty: 8."),
    field("", "access.roles", Takes::Words(ROLES), "Who may use it", ""),
    field("", "access.people", Takes::Lines, "People", "By the address that they sign in with, one a line."),
    field("", "limits.max_runs", Takes::Number, "Runs at once", "Empty: as the server allows."),
    field("", "limits.max_runs_per_user", Takes::Number, "Runs at once of one person", "Empty: as the server allows."),
    field("", "limits.time_limit_ms", Takes::Number, "Longest run (ms)", "Empty: as the server allows."),
];

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Its key; empty: none of the form's.
    pub(super) key: &'static str,
    pub(super) what: String,
}

impl Field {
    /// Whether agents of a kind have it.
    pub(super) fn is_of(&self, kind: &str) -> bool {
        self.kind.is_empty() || self.kind == kind
    }

    /// The field as an entry has it.
    pub(super) fn text(&self, entry: &Map<String, Value>) -> String {
        let mut keys = self.key.split('.');
        let first = keys.next().and_then(|key| entry.get(key));
        let Some(value) = keys.fold(first, |value, key| value.and_then(|value| value.get(key))) else {
            return String::new();
        };
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match (value, self.takes) {
            (Value::Array(list), Takes::Words(_)) => list.iter().map(word).collect::<Vec<_>>().join(" "),
            (Value::Array(list), _) => list.iter().map(word).collect::<Vec<_>>().join("\n"),
            (Value::Object(pairs), _) => {
                pairs.iter().map(|(name, value)| format!("{name}: {}", word(value))).collect::<Vec<_>>().join("\n")
            }
            (value, _) => word(value),
        }
    }

    /// What was written; nothing where that is nothing.
    fn value(&self, text: &str) -> Result<Option<Value>, Problem> {
        let wrong = |what: &str| Err(Problem { key: self.key, what: what.to_owned() });
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(None);
        }
        let lines = || trimmed.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(Some(match self.takes {
            Takes::Line => trimmed.into(),
            Takes::Text => text.trim_end().into(),
            Takes::Lines => lines().collect::<Value>(),
            Takes::Words(_) => trimmed.split_whitespace().collect::<Value>(),
            Takes::Number => match trimmed.replace([',', ' '], "").parse::<u64>() {
                Ok(number) => number.into(),
                Err(_) => return wrong("A whole number is needed."),
            },
            Takes::Pairs => {
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

/// The entry that the form makes of `before`.
pub(super) fn entry_of(
    before: &Map<String, Value>,
    kind: &str,
    texts: &[String],
) -> Result<Map<String, Value>, Problem> {
    let mut entry = before.clone();
    // What another kind has of its own does not fit this one.
    if before.get("kind").and_then(Value::as_str).is_some_and(|other| other != kind) {
        entry.retain(|key, _| {
            FIELDS.iter().any(|field| field.kind.is_empty() && field.key.split('.').next() == Some(key))
        });
    }
    entry.insert("kind".into(), kind.into());
    for (field, text) in FIELDS.iter().zip(texts).filter(|(field, _)| field.is_of(kind)) {
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

/// Which field a refusal of the server is about: it says `key: what is wrong`, or which key is missing.
pub(super) fn problem_of(detail: &str) -> Problem {
    let missing = detail.split_once("missing field `").and_then(|(_, rest)| rest.split_once('`')).map(|(key, _)| key);
    let (key, what) = match (missing, detail.split_once(": ")) {
        (Some(key), _) => (key, "This is needed."),
        (None, Some((key, what))) => (key, what),
        (None, None) => ("", detail),
    };
    let is_it = |field: &&Field| {
        let rest = key.strip_prefix(field.key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    match FIELDS.iter().find(is_it) {
        Some(field) => Problem { key: field.key, what: what.to_owned() },
        None => Problem { key: "", what: detail.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    fn texts(entry: &Map<String, Value>) -> Vec<String> {
        FIELDS.iter().map(|field| field.text(entry)).collect()
    }

    #[test]
    fn an_entry_comes_back_as_it_was_with_what_the_form_does_not_know() {
        let entry = map(json!({
            "id": "remote", "name": "Remote", "kind": "ag-ui", "url": "https://a.example/run", "retries": 1,
            "examples": ["One?", "Two?"], "headers": {"Authorization": "Bearer ${NETRA_AGENT_T}"},
            "allow_private_network": true, "access": {"roles": ["admin", "member"], "people": ["ada@example.org"]},
            "limits": {"max_runs": 3},
        }));
        assert_eq!(entry_of(&entry, "ag-ui", &texts(&entry)), Ok(entry));
    }

    #[test]
    fn another_kind_drops_what_only_the_first_had() {
        let entry = map(json!({"id": "x", "name": "X", "kind": "ag-ui", "url": "https://a.example", "retries": 1}));
        let made = entry_of(&entry, "model", &texts(&entry)).expect("is right");
        assert_eq!(made, map(json!({"id": "x", "name": "X", "kind": "model"})));
    }

    #[test]
    fn a_wrong_field_is_named() {
        let entry = map(json!({"id": "x", "kind": "model", "max_steps": "many"}));
        assert_eq!(entry_of(&entry, "model", &texts(&entry)).map_err(|problem| problem.key), Err("max_steps"));
        assert_eq!(problem_of("limits.max_runs: invalid value").key, "limits.max_runs");
        assert_eq!(problem_of("access.people[0]: invalid type").key, "access.people");
        assert_eq!(problem_of("entry: missing field `url`").key, "url");
        assert_eq!(problem_of("there is an agent `x` already").key, "");
    }
}
