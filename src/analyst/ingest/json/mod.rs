//! JSON: one object per line, an array, pages of an API (`data`, `results`, `items`), or objects over several lines.

mod document;

use std::io::{self, BufRead, Read};

use serde_json::Value;

use super::{IngestError, StopFn, input::Input, values};
use crate::json_size;

/// Longest record, in bytes; a longer line is a bad row.
const MAX_RECORD_BYTES: u64 = 8 * 1024 * 1024;

/// Most values in one record; each takes some hundred bytes once parsed.
const MAX_VALUES: usize = 1_000_000;

/// What to do with a record, or with the reason why it cannot be used; with its line, or its position in an array.
pub(super) type RecordFn<'f> = &'f mut dyn FnMut(u64, Result<&Value, String>) -> Result<(), IngestError>;

/// Whether the file is JSON Lines, or a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One object per line.
    Lines,
    /// Arrays or objects over several lines.
    Document,
}

/// Finds out the shape of a file that begins with `{` or `[`.
///
/// # Errors
/// If it cannot be read.
pub(super) fn shape(input: &Input) -> Result<Shape, IngestError> {
    let mut reader = input.open()?;
    let mut line = Vec::new();
    // The first lines may be blank.
    for _ in 0..64 {
        line.clear();
        if (&mut reader).take(MAX_RECORD_BYTES).read_until(b'\n', &mut line)? == 0 || !line.trim_ascii().is_empty() {
            break;
        }
    }
    if line.len() as u64 == MAX_RECORD_BYTES && !line.ends_with(b"\n") && line.starts_with(b"{") {
        return Ok(Shape::Lines);
    }
    let first = line.trim_ascii();
    if first.starts_with(b"[") {
        return Ok(Shape::Document);
    }
    let is_whole = match serde_json::from_slice::<serde::de::IgnoredAny>(first) {
        Ok(_) => true,
        // A bad line, but one that ends in the middle of an object is a document, unless it is the only one.
        Err(error) => !error.is_eof(),
    };
    let mut rest = [0; 1];
    let is_only = reader.read(&mut rest)? == 0;
    match (is_whole, is_only) {
        // One object on one line may be a page.
        (true, true) if first.first() == Some(&b'{') => Ok(Shape::Document),
        (true, _) => Ok(Shape::Lines),
        (false, true) => Ok(Shape::Lines),
        (false, false) => Ok(Shape::Document),
    }
}

/// Reads every record.
///
/// # Errors
/// If the file cannot be read, its last record is cut off, or `each` fails.
pub(super) fn read(input: &Input, shape: Shape, stop: StopFn<'_>, each: RecordFn<'_>) -> Result<(), IngestError> {
    match shape {
        Shape::Lines => read_lines(input.open()?, stop, each),
        Shape::Document => document::read(input.open()?, stop, each),
    }
}

fn read_lines(mut reader: impl BufRead, stop: StopFn<'_>, each: RecordFn<'_>) -> Result<(), IngestError> {
    let mut line = Vec::new();
    let mut rows = 0;
    for number in 1u64.. {
        if number % 256 == 0 && stop() {
            return Err(IngestError::Stopped);
        }
        line.clear();
        if (&mut reader).take(MAX_RECORD_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let ended = line.ends_with(b"\n");
        if !ended && line.len() as u64 == MAX_RECORD_BYTES {
            skip_line(&mut reader)?;
            each(number, Err(format!("the line is longer than {MAX_RECORD_BYTES} bytes")))?;
            continue;
        }
        let text = line.trim_ascii();
        // Lines of an array without its brackets end with a comma.
        let text = text.strip_suffix(b",").unwrap_or(text);
        if text.is_empty() {
            continue;
        }
        if json_size::values(text) > MAX_VALUES {
            each(number, Err(format!("the line has more than {MAX_VALUES} values")))?;
            continue;
        }
        rows += 1;
        match serde_json::from_slice::<Value>(text) {
            Ok(Value::Array(items)) => items.iter().try_for_each(|item| each_value(number, item, each))?,
            Ok(value) => each_value(number, &value, each)?,
            Err(error) if error.is_eof() && !ended => {
                return Err(IngestError::Truncated { line: number, rows: rows - 1 });
            }
            Err(error) => each(number, Err(format!("not valid JSON: {error}")))?,
        }
    }
    Ok(())
}

fn each_value(line: u64, value: &Value, each: RecordFn<'_>) -> Result<(), IngestError> {
    match value {
        Value::Object(_) => each(line, Ok(value)),
        other => each(line, Err(format!("not an object: {}", values::quote_cell(&other.to_string())))),
    }
}

/// Skips the rest of a line.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
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
