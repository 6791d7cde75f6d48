//! Log lines that hold the record inside: as JSON in a text (`message`, `log`), or as an object (`jsonPayload`, `_source`).

use serde_json::{Map, Value};

use super::{columns, record::Record, sources::REGISTRY};

/// Fields that may hold the record.
const FIELDS: &[&str] = &[
    "message",
    "@message",
    "log",
    "line",
    "msg",
    "body",
    "textPayload",
    "_raw",
    "jsonPayload",
    "protoPayload",
    "_source",
    "fields",
    "record",
    "event",
    "detail",
    "properties",
    "payload",
    "data",
    "attributes",
    "metadata",
];

/// Fields of the outer record with its time.
const TIMES: &[&str] = &["timestamp", "@timestamp", "time", "ts", "receiveTimestamp", "date", "created_at"];

/// The field that holds the records of a log whose outer objects have no usage themselves.
pub(super) fn find(sample: &[Value]) -> Option<&'static str> {
    if sample.is_empty() || sample.iter().any(has_usage) {
        return None;
    }
    FIELDS
        .iter()
        .copied()
        .find(|field| sample.iter().any(|value| unwrap(value, field).is_some_and(|inner| has_usage(&inner))))
}

/// The record inside, with the time of the outer one if it has none.
pub(super) fn unwrap(value: &Value, field: &str) -> Option<Value> {
    let mut inner: Map<String, Value> = match value.get(field)? {
        Value::Object(inner) => inner.clone(),
        // Some loggers write words before the JSON.
        Value::String(text) => serde_json::from_str(text.get(text.find('{')?..)?).ok()?,
        _ => return None,
    };
    let outer_time = TIMES.iter().find_map(|name| Some((*name, value.get(*name)?)));
    if let Some((name, time)) = outer_time
        && !TIMES.iter().any(|name| inner.contains_key(*name))
    {
        inner.insert(name.to_owned(), time.clone());
    }
    Some(Value::Object(inner))
}

/// Whether a source recognises an object, or one of its fields counts tokens.
pub(super) fn has_usage(value: &Value) -> bool {
    REGISTRY.iter().any(|source| source.recognises(Record::Object(value))) || {
        let mut found = false;
        visit(value, &mut String::new(), 0, &mut |path, _| {
            found |= columns::recognise(path).is_some_and(|column| column.role.is_tokens());
        });
        found
    }
}

/// Calls `each` with the path and value of each number, text and truth value.
fn visit(value: &Value, path: &mut String, depth: usize, each: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) if depth < 8 => {
            for (name, field) in fields {
                let length = path.len();
                if length > 0 {
                    path.push('.');
                }
                path.push_str(name);
                visit(field, path, depth + 1, each);
                path.truncate(length);
            }
        }
        Value::Object(_) | Value::Array(_) | Value::Null => {}
        _ => each(path, value),
    }
}

/// The names of the numbers in the first records, and their values, as a table.
pub(super) fn preview(sample: &[Value], rows: usize, most: usize) -> (Vec<String>, Vec<Vec<String>>) {
    let mut columns: Vec<String> = Vec::new();
    let sample = &sample[..sample.len().min(rows)];
    for value in sample {
        visit(value, &mut String::new(), 0, &mut |path, value| {
            let is_number = value.is_number() || value.as_str().is_some_and(|text| text.parse::<f64>().is_ok());
            if is_number && columns.len() < most && !columns.iter().any(|known| known == path) {
                columns.push(path.to_owned());
            }
        });
    }
    let cells = |value: &Value| {
        let record = Record::Object(value);
        columns.iter().map(|name| record.text(name).map(|text| super::clip(&text)).unwrap_or_default()).collect()
    };
    let table = sample.iter().map(cells).collect();
    (columns, table)
}
