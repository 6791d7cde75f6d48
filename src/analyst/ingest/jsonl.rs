//! JSON Lines: one object per line. Reads nested usage objects, flat and nested `gen_ai.*` attributes, and OTLP exports
//! (`resourceSpans`, attributes as key and value), where one line has many spans.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::{BufRead, Read},
};

use serde_json::Value;

use super::{
    IngestError, StopFn, UsageLog,
    collector::{Cells, RowCollector, clip, name_list},
    columns::{self, Column, Role},
};
use crate::json_size;

/// Longest line, in bytes; a longer one is a bad row.
const MAX_LINE_BYTES: u64 = 8 * 1024 * 1024;

/// Most values in one line; each takes some hundred bytes once parsed.
const MAX_VALUES: usize = 1_000_000;

/// Most names in [`ColumnNames`]; a log with more uses data as names.
const MAX_NAMES: usize = 4096;

/// Deepest nesting of objects that is searched.
const MAX_DEPTH: usize = 8;

/// Reads a JSON Lines log; see [`super::load`].
pub(super) fn read(mut reader: impl BufRead, stop: StopFn<'_>) -> Result<UsageLog, IngestError> {
    let mut collector = RowCollector::default();
    collector.report.format = "JSON Lines".into();
    let mut names = ColumnNames::default();
    let mut line = Vec::new();
    for number in 1u64.. {
        if number % 256 == 0 && stop() {
            return Err(IngestError::Stopped);
        }
        line.clear();
        if (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let ended = line.ends_with(b"\n");
        if !ended && line.len() as u64 == MAX_LINE_BYTES {
            skip_line(&mut reader)?;
            collector.reject_row(number, format!("the line is longer than {MAX_LINE_BYTES} bytes"));
            continue;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if json_size::values(&line) > MAX_VALUES {
            collector.reject_row(number, format!("the line has more than {MAX_VALUES} values"));
            continue;
        }
        match serde_json::from_slice::<Value>(&line) {
            Ok(Value::Object(object)) => add_rows(&Value::Object(object), number, &mut names, &mut collector)?,
            Ok(other) => collector
                .reject_row(number, format!("not an object: {}", super::values::quote_cell(&other.to_string()))),
            Err(error) if error.is_eof() && !ended => {
                return Err(IngestError::Truncated { line: number, rows: collector.rows() });
            }
            Err(error) if error.is_eof() && collector.rows() == 0 => {
                return Err(IngestError::NotJsonLines(
                    "JSON spread over several lines",
                    "jq -c . log.json > log.jsonl",
                ));
            }
            Err(error) => collector.reject_row(number, format!("not valid JSON: {error}")),
        }
    }
    names.write_report(&mut collector);
    if !names.used.contains_key(&Role::Input) && !names.used.contains_key(&Role::Output) {
        return Err(IngestError::NoTokens(name_list(&names.unused)));
    }
    collector.finish()
}

/// Skips the rest of a line.
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

/// Adds the rows of one line: the spans of an OTLP export, or the object itself.
fn add_rows(
    object: &Value,
    line: u64,
    names: &mut ColumnNames,
    collector: &mut RowCollector,
) -> Result<(), IngestError> {
    let Some(resources) = object.get("resourceSpans").and_then(Value::as_array) else {
        return add_row(object, line, names, collector);
    };
    let scopes = resources.iter().filter_map(|resource| resource.get("scopeSpans")?.as_array()).flatten();
    for span in scopes.filter_map(|scope| scope.get("spans")?.as_array()).flatten() {
        add_row(span, line, names, collector)?;
    }
    Ok(())
}

fn add_row(
    object: &Value,
    line: u64,
    names: &mut ColumnNames,
    collector: &mut RowCollector,
) -> Result<(), IngestError> {
    let mut cells: Cells<'_> = Default::default();
    collect_cells(object, &mut String::new(), 0, names, &mut cells);
    if cells[Role::Input as usize].is_none() && cells[Role::Output as usize].is_none() {
        collector.reject_row(line, "no token counts".into());
        return Ok(());
    }
    for (_, column) in cells.iter().flatten() {
        if !names.used.contains_key(&column.role) {
            names.used.insert(column.role, names.name_of(column));
        }
    }
    collector.add_row(line, &cells)
}

/// Searches an object and keeps the best cell for each role. `path` is the name so far, joined with dots.
fn collect_cells<'a>(
    value: &'a Value,
    path: &mut String,
    depth: usize,
    names: &mut ColumnNames,
    cells: &mut Cells<'a>,
) {
    match value {
        Value::Object(fields) if depth < MAX_DEPTH => {
            for (name, field) in fields {
                with_path(name, path, |path| collect_cells(field, path, depth + 1, names, cells));
            }
        }
        Value::Array(items) if path.ends_with("attributes") => {
            for item in items {
                let (Some(key), Some(field)) = (item.get("key").and_then(Value::as_str), item.get("value")) else {
                    continue;
                };
                let inner = ["intValue", "stringValue", "doubleValue"].iter().find_map(|kind| field.get(kind));
                with_path(key, path, |path| collect_cells(inner.unwrap_or(field), path, depth + 1, names, cells));
            }
        }
        Value::String(text) => keep_best(Cow::Borrowed(text.as_str()), path, names, cells),
        Value::Number(number) if names.recognise(path).is_some() => {
            keep_best(Cow::Owned(number.to_string()), path, names, cells);
        }
        _ => {}
    }
}

/// Calls `visit` with `name` appended to the path.
fn with_path(name: &str, path: &mut String, visit: impl FnOnce(&mut String)) {
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(name);
    visit(path);
    path.truncate(length);
}

/// Stores the cell if its column is a better match for its role than the one stored.
fn keep_best<'a>(text: Cow<'a, str>, path: &str, names: &mut ColumnNames, cells: &mut Cells<'a>) {
    let Some(column) = names.recognise(path) else { return };
    let slot = &mut cells[column.role as usize];
    if slot.as_ref().is_none_or(|(_, known)| column.rank < known.rank) {
        *slot = Some((text, column));
    }
}

/// The columns by name, cached because every line repeats the names.
#[derive(Default)]
struct ColumnNames {
    /// `None` for a name without a role.
    known: HashMap<String, Option<Column>>,
    /// The first column used for each role.
    used: HashMap<Role, String>,
    unused: Vec<String>,
}

impl ColumnNames {
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

    /// The name of a column in the file.
    fn name_of(&self, column: &Column) -> String {
        self.known
            .iter()
            .filter(|(_, known)| known.as_ref() == Some(column))
            .map(|(name, _)| name.clone())
            .min()
            .unwrap_or_default()
    }

    fn write_report(&self, collector: &mut RowCollector) {
        let mut columns: Vec<_> = self.used.iter().collect();
        columns.sort_by_key(|(role, _)| **role as usize);
        collector.report.columns =
            columns.into_iter().map(|(role, name)| (role.label().to_owned(), clip(name))).collect();
        collector.report.unused = self.unused.iter().take(40).cloned().collect();
    }
}
