//! JSON Lines: one object a line. Understands nested usage objects, flat and nested `gen_ai.*` attributes, and OTLP
//! exports (`resourceSpans`, attributes as key and value), where one line holds many spans.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::{BufRead, Read},
};

use serde_json::Value;

use super::{
    LoadError, Log, StopFn,
    columns::{self, Column, Role},
    sink::{Cells, Sink, clip, name_list},
};
use crate::json_size;

/// Longest line that is parsed; a longer one is a bad row.
const MAX_LINE: u64 = 8 * 1024 * 1024;

/// Most values in one line: each takes some hundred bytes once it is parsed.
const MAX_VALUES: usize = 1_000_000;

/// Distinct names that are remembered; a log with more has names made of data.
const MAX_NAMES: usize = 4096;

/// Deepest object that is looked into.
const MAX_DEPTH: usize = 8;

pub(super) fn read(mut reader: impl BufRead, stop: StopFn<'_>) -> Result<Log, LoadError> {
    let mut sink = Sink::default();
    sink.report.format = "JSON Lines".into();
    let mut names = Names::default();
    let mut line = Vec::new();
    for number in 1u64.. {
        if number % 256 == 0 && stop() {
            return Err(LoadError::Stopped);
        }
        line.clear();
        if (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let ended = line.ends_with(b"\n");
        if !ended && line.len() as u64 == MAX_LINE {
            skip_line(&mut reader)?;
            sink.bad(number, format!("the line is longer than {MAX_LINE} bytes"));
            continue;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if json_size::values(&line) > MAX_VALUES {
            sink.bad(number, format!("the line has more than {MAX_VALUES} values"));
            continue;
        }
        match serde_json::from_slice::<Value>(&line) {
            Ok(Value::Object(object)) => rows(&Value::Object(object), number, &mut names, &mut sink)?,
            Ok(other) => sink.bad(number, format!("not an object: {}", super::values::shown(&other.to_string()))),
            Err(error) if error.is_eof() && !ended => {
                return Err(LoadError::Truncated { line: number, rows: sink.rows() });
            }
            Err(error) if error.is_eof() && sink.rows() == 0 => {
                return Err(LoadError::NotJsonLines("JSON spread over several lines", "jq -c . log.json > log.jsonl"));
            }
            Err(error) => sink.bad(number, format!("not valid JSON: {error}")),
        }
    }
    names.report(&mut sink);
    if !names.used.contains_key(&Role::Input) && !names.used.contains_key(&Role::Output) {
        return Err(LoadError::NoTokens(name_list(&names.unused)));
    }
    sink.finish()
}

fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (used, done) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(used);
        if done {
            return Ok(());
        }
    }
}

/// The rows of one line: the spans of an OTLP export, or the object itself.
fn rows(object: &Value, line: u64, names: &mut Names, sink: &mut Sink) -> Result<(), LoadError> {
    let Some(resources) = object.get("resourceSpans").and_then(Value::as_array) else {
        return row(object, line, names, sink);
    };
    let scopes = resources.iter().filter_map(|resource| resource.get("scopeSpans")?.as_array()).flatten();
    for span in scopes.filter_map(|scope| scope.get("spans")?.as_array()).flatten() {
        row(span, line, names, sink)?;
    }
    Ok(())
}

fn row(object: &Value, line: u64, names: &mut Names, sink: &mut Sink) -> Result<(), LoadError> {
    let mut cells: Cells<'_> = Default::default();
    collect(object, &mut String::new(), 0, names, &mut cells);
    if cells[Role::Input as usize].is_none() && cells[Role::Output as usize].is_none() {
        sink.bad(line, "no token counts".into());
        return Ok(());
    }
    for (_, column) in cells.iter().flatten() {
        if !names.used.contains_key(&column.role) {
            names.used.insert(column.role, names.name_of(column));
        }
    }
    sink.row(line, &cells)
}

/// Walks an object and keeps the best cell for each role.
fn collect<'a>(value: &'a Value, path: &mut String, depth: usize, names: &mut Names, cells: &mut Cells<'a>) {
    match value {
        Value::Object(fields) if depth < MAX_DEPTH => {
            for (name, field) in fields {
                under(name, path, |path| collect(field, path, depth + 1, names, cells));
            }
        }
        Value::Array(items) if path.ends_with("attributes") => {
            for item in items {
                let (Some(key), Some(field)) = (item.get("key").and_then(Value::as_str), item.get("value")) else {
                    continue;
                };
                let inner = ["intValue", "stringValue", "doubleValue"].iter().find_map(|kind| field.get(kind));
                under(key, path, |path| collect(inner.unwrap_or(field), path, depth + 1, names, cells));
            }
        }
        Value::String(text) => keep(Cow::Borrowed(text.as_str()), path, names, cells),
        Value::Number(number) if names.recognise(path).is_some() => {
            keep(Cow::Owned(number.to_string()), path, names, cells);
        }
        _ => {}
    }
}

fn under(name: &str, path: &mut String, visit: impl FnOnce(&mut String)) {
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(name);
    visit(path);
    path.truncate(length);
}

fn keep<'a>(text: Cow<'a, str>, path: &str, names: &mut Names, cells: &mut Cells<'a>) {
    let Some(column) = names.recognise(path) else { return };
    let slot = &mut cells[column.role as usize];
    if slot.as_ref().is_none_or(|(_, known)| column.rank < known.rank) {
        *slot = Some((text, column));
    }
}

/// What each name means, remembered: a log repeats its names on every line.
#[derive(Default)]
struct Names {
    known: HashMap<String, Option<Column>>,
    used: HashMap<Role, String>,
    unused: Vec<String>,
}

impl Names {
    fn recognise(&mut self, path: &str) -> Option<Column> {
        if let Some(known) = self.known.get(path) {
            return *known;
        }
        let column = columns::recognise(path);
        if self.known.len() < MAX_NAMES {
            self.known.insert(path.to_owned(), column);
            if column.is_none() {
                self.unused.push(clip(path));
            }
        }
        column
    }

    fn name_of(&self, column: &Column) -> String {
        self.known
            .iter()
            .filter(|(_, known)| known.as_ref() == Some(column))
            .map(|(name, _)| name.clone())
            .min()
            .unwrap_or_default()
    }

    fn report(&self, sink: &mut Sink) {
        let mut columns: Vec<_> = self.used.iter().collect();
        columns.sort_by_key(|(role, _)| **role as usize);
        sink.report.columns = columns.into_iter().map(|(role, name)| (role.label().to_owned(), clip(name))).collect();
        sink.report.unused = self.unused.iter().take(40).cloned().collect();
    }
}
