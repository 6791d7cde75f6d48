//! JSON over several lines: arrays, pages and objects, read record by record.

use std::{
    cell::{Cell, RefCell},
    fmt,
    io::{self, BufRead, Read},
    rc::Rc,
};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{MAX_RECORD_BYTES, RecordFn, each_value};
use crate::analyst::ingest::{IngestError, StopFn};

/// Fields of a page whose items are records.
const LISTS: &[&str] = &[
    "data",
    "results",
    "items",
    "records",
    "rows",
    "logs",
    "events",
    "observations",
    "traces",
    "runs",
    "generations",
    "requests",
    "usage",
    "usageEvents",
    "usage_events",
    "usageEventsDisplay",
    "value",
    "hits",
    "entries",
    "spans",
    "resourceSpans",
    "resourceLogs",
    "resourceMetrics",
    "messages",
    "conversations",
    "sessions",
];

/// Reads arrays and objects one after the other; the items of a page are read one by one.
pub(super) fn read(reader: impl BufRead, stop: StopFn<'_>, each: RecordFn<'_>) -> Result<(), IngestError> {
    let left = Rc::new(Cell::new(MAX_RECORD_BYTES));
    let mut values = serde_json::Deserializer::from_reader(Bounded { inner: reader, left: Rc::clone(&left) });
    let state = RefCell::new(State { each, stop, left, count: 0, columns: None, failure: None });
    loop {
        match Document(&state).deserialize(&mut values) {
            Ok(()) => {}
            Err(error) => {
                let state = state.into_inner();
                return match state.failure {
                    Some(failure) => Err(failure),
                    None if error.is_eof() && error.column() == 0 && state.count > 0 => Ok(()),
                    None if error.is_io() && state_exhausted(&error) => {
                        Err(IngestError::RecordTooLong(state.count + 1))
                    }
                    None if error.is_io() => Err(IngestError::Io(error.into())),
                    None if error.is_eof() => {
                        Err(IngestError::Truncated { line: error.line() as u64, rows: state.count })
                    }
                    None => Err(IngestError::NotJson(error.to_string())),
                };
            }
        }
        state.borrow().left.set(MAX_RECORD_BYTES);
        state.borrow_mut().columns = None;
        match values.end() {
            Ok(()) => return Ok(()),
            Err(error) if error.is_io() => return Err(IngestError::Io(error.into())),
            // More follows.
            Err(_) => {}
        }
    }
}

fn state_exhausted(error: &serde_json::Error) -> bool {
    error.to_string().contains(RECORD_TOO_LONG)
}

const RECORD_TOO_LONG: &str = "the record is too long";

/// What the visitors share.
struct State<'f, 's> {
    each: RecordFn<'f>,
    stop: StopFn<'s>,
    /// Bytes that may still be read for this record.
    left: Rc<Cell<u64>>,
    count: u64,
    /// The names of the cells, if records are lists of cells.
    columns: Option<Vec<String>>,
    /// The error of `each`, which serde cannot carry.
    failure: Option<IngestError>,
}

impl State<'_, '_> {
    /// Adds a record. Lists of cells are rows of a table, whose columns are named before them or by the first list.
    fn add(&mut self, value: &Value) -> Result<(), Failed> {
        let Value::Array(cells) = value else { return self.add_record(value) };
        match &self.columns {
            Some(names) if names.len() == cells.len() => {
                let row = names.iter().cloned().zip(cells.iter().cloned()).collect();
                self.add_record(&Value::Object(row))
            }
            Some(_) => self.add_record(value),
            None => match column_names(value) {
                Some(names) => {
                    self.columns = Some(names);
                    Ok(())
                }
                None => self.add_record(value),
            },
        }
    }

    fn add_record(&mut self, value: &Value) -> Result<(), Failed> {
        self.count += 1;
        self.left.set(MAX_RECORD_BYTES);
        if self.count.is_multiple_of(256) && (self.stop)() {
            self.failure = Some(IngestError::Stopped);
            return Err(Failed);
        }
        each_value(self.count, value, self.each).map_err(|failure| {
            self.failure = Some(failure);
            Failed
        })
    }
}

/// The names of columns: a list of texts, or of objects with a `name`.
fn column_names(value: &Value) -> Option<Vec<String>> {
    let name = |column: &Value| column.as_str().or_else(|| column.get("name")?.as_str()).map(str::to_owned);
    let names: Vec<String> = value.as_array()?.iter().map(name).collect::<Option<_>>()?;
    (!names.is_empty()).then_some(names)
}

#[derive(Debug, thiserror::Error)]
#[error("reading was stopped")]
struct Failed;

/// A value at the top of the document: an array of records, a page of records, or a record.
struct Document<'a, 'f, 's>(&'a RefCell<State<'f, 's>>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Item(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut object = Map::new();
        let mut lists = 0;
        while let Some(name) = fields.next_key::<String>()? {
            if !LISTS.contains(&name.as_str()) {
                let value: Value = fields.next_value()?;
                if matches!(name.as_str(), "columns" | "fields") {
                    self.0.borrow_mut().columns = column_names(&value);
                }
                object.insert(name, value);
                continue;
            }
            // The results of a bucket (of a usage API) belong to its times.
            if name == "results"
                && ["start_time", "end_time", "starting_at", "ending_at"].iter().any(|time| object.contains_key(*time))
            {
                object.insert(name, fields.next_value()?);
                continue;
            }
            match fields.next_value_seed(List { state: self.0, name: &name })? {
                Listed::Items => lists += 1,
                Listed::Parts => {}
                Listed::Value(value) => drop(object.insert(name, value)),
            }
        }
        if lists == 0 {
            self.0.borrow_mut().add(&Value::Object(object)).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

/// An item of an array.
struct Item<'a, 'f, 's>(&'a RefCell<State<'f, 's>>);

impl<'de> DeserializeSeed<'de> for Item<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let value = <Value as serde::Deserialize>::deserialize(deserializer)?;
        self.0.borrow_mut().add(&value).map_err(serde::de::Error::custom)
    }
}

/// Fields of a message in a request or answer: one with others (usage, a model) may be a record.
const MESSAGE_FIELDS: &[&str] = &[
    "role",
    "content",
    "name",
    "refusal",
    "annotations",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "reasoning_content",
];

/// Whether an item of a list is a part of the record around it: a message of a chat, a vector or an image of an answer.
fn is_part(item: &Value) -> bool {
    let Some(fields) = item.as_object() else { return false };
    let has = |name: &str| fields.contains_key(name);
    let is_message = has("role") && fields.keys().all(|name| MESSAGE_FIELDS.contains(&name.as_str()));
    let is_answer = (has("embedding") && has("index")) || has("b64_json") || has("revised_prompt");
    is_message || (is_answer && !has("usage"))
}

/// The value of a field that may hold records.
struct List<'a, 'n, 'f, 's> {
    state: &'a RefCell<State<'f, 's>>,
    name: &'n str,
}

enum Listed {
    /// Its items were records.
    Items,
    /// Its items were parts of the record around them.
    Parts,
    /// It is something else.
    Value(Value),
}

impl<'de> DeserializeSeed<'de> for List<'_, '_, '_, '_> {
    type Value = Listed;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Listed, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_, '_, '_> {
    type Value = Listed;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the value of {}", self.name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Listed, A::Error> {
        // `resourceSpans` and `resourceLogs` are read by the source of OpenTelemetry, one resource at a time.
        let wrap = matches!(self.name, "resourceSpans" | "resourceLogs" | "resourceMetrics").then_some(self.name);
        let (mut parts, mut records) = (0, 0);
        while let Some(item) = items.next_element::<Value>()? {
            if is_part(&item) {
                parts += 1;
                continue;
            }
            let item = match wrap {
                Some(name) => Value::Object(Map::from_iter([(name.to_owned(), Value::Array(vec![item]))])),
                None => item,
            };
            self.state.borrow_mut().add(&item).map_err(serde::de::Error::custom)?;
            records += 1;
        }
        Ok(if parts > 0 && records == 0 { Listed::Parts } else { Listed::Items })
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Listed, A::Error> {
        let value = <Value as serde::Deserialize>::deserialize(serde::de::value::MapAccessDeserializer::new(fields))?;
        // `hits.hits` of a search engine, `data.items` of an API.
        if let Some((_, Value::Array(items))) = value
            .as_object()
            .and_then(|fields| fields.iter().find(|(name, value)| LISTS.contains(&name.as_str()) && value.is_array()))
        {
            items.iter().try_for_each(|item| self.state.borrow_mut().add(item)).map_err(serde::de::Error::custom)?;
            return Ok(Listed::Items);
        }
        Ok(Listed::Value(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Listed, E> {
        Ok(Listed::Value(Value::String(text.to_owned())))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Listed, E> {
        Ok(Listed::Value(Value::Bool(truth)))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Listed, E> {
        Ok(Listed::Value(n.into()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Listed, E> {
        Ok(Listed::Value(n.into()))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Listed, E> {
        Ok(Listed::Value(n.into()))
    }

    fn visit_unit<E>(self) -> Result<Listed, E> {
        Ok(Listed::Value(Value::Null))
    }
}

/// Fails when one record has more bytes than allowed.
struct Bounded<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::other(RECORD_TOO_LONG));
        }
        let n = self.inner.read(buffer)?;
        self.left.set(self.left.get().saturating_sub(n as u64));
        Ok(n)
    }
}
