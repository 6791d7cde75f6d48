//! CSV with a header line, separated by commas, semicolons, tabs or bars, with or without quotes.

use std::io::{self, BufRead, Read};

use ::csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::{
    IngestError, StopFn, UsageLog,
    collector::{Cells, RowCollector, clip, name_list},
    columns::{self, Column, Role},
};

/// Longest header, in bytes.
const MAX_HEADER_BYTES: usize = 1 << 18;
/// Longest row, in bytes: an unclosed quote would make the rest of the file one row.
const MAX_ROW_BYTES: usize = 1 << 22;

/// Most columns.
const MAX_COLUMNS: usize = 4096;

/// Reads a CSV log; see [`super::load`].
pub(super) fn read(mut reader: impl BufRead, stop: StopFn<'_>) -> Result<UsageLog, IngestError> {
    let delimiter = detect_delimiter(reader.fill_buf()?);
    let mut bounded = BoundedReader { inner: reader, last_byte: b'\n', remaining: MAX_HEADER_BYTES };
    let mut csv = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(&mut bounded);
    let header = csv.byte_headers().map_err(|error| row_error(error, 1))?;
    if header.len() > MAX_COLUMNS {
        return Err(IngestError::TooManyColumns(header.len()));
    }
    let header: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
    let mut collector = RowCollector::default();
    collector.decimal_comma = delimiter == b';';
    let columns = choose_columns(&header, &mut collector);
    if columns[Role::Input as usize].is_none() && columns[Role::Output as usize].is_none() {
        return Err(IngestError::NoTokens(name_list(&header)));
    }
    collector.report.format = format!("CSV, separated by {}", delimiter_name(delimiter));

    let mut record = ByteRecord::new();
    // The line of the last row read, if it has fewer fields than the header.
    let mut short_row = None;
    loop {
        csv.get_mut().remaining = MAX_ROW_BYTES;
        let first_line = csv.position().line();
        if !csv.read_byte_record(&mut record).map_err(|error| row_error(error, first_line))? {
            break;
        }
        let line = record.position().map_or(0, ::csv::Position::line);
        if collector.rows() % 1024 == 0 && stop() {
            return Err(IngestError::Stopped);
        }
        short_row = (record.len() < header.len()).then_some(line);
        if record.len() != header.len() {
            collector.reject_row(line, format!("has {} fields, the header {}", record.len(), header.len()));
            continue;
        }
        let cells: Cells<'_> = std::array::from_fn(|role| {
            let (at, column) = columns[role]?;
            Some((String::from_utf8_lossy(record.get(at)?), column))
        });
        collector.add_row(line, &cells)?;
    }
    drop(csv);
    if collector.rows() == 0 {
        return Err(IngestError::HeaderOnly(name_list(&header)));
    }
    match short_row.filter(|_| bounded.last_byte != b'\n' && bounded.last_byte != b'\r') {
        Some(line) => Err(IngestError::Truncated { line, rows: collector.rows() - 1 }),
        None => collector.finish(),
    }
}

/// Chooses the best column for each role; reports the others as unused.
fn choose_columns(header: &[String], collector: &mut RowCollector) -> [Option<(usize, Column)>; Role::COUNT] {
    let mut chosen: [Option<(usize, Column)>; Role::COUNT] = [None; Role::COUNT];
    for (at, column) in header.iter().enumerate().filter_map(|(at, name)| Some((at, columns::recognise(name)?))) {
        let slot = &mut chosen[column.role as usize];
        if slot.is_none_or(|(_, known)| column.rank < known.rank) {
            *slot = Some((at, column));
        }
    }
    for (at, column) in chosen.iter().flatten() {
        collector.report.columns.push((column.role.label().to_owned(), clip(&header[*at])));
    }
    let used = |at: usize| chosen.iter().flatten().any(|(used, _)| *used == at);
    collector.report.unused =
        header.iter().enumerate().filter(|(at, _)| !used(*at)).map(|(_, name)| clip(name)).take(40).collect();
    chosen
}

/// The separator that is most frequent in the first line, outside quotes.
fn detect_delimiter(head: &[u8]) -> u8 {
    let mut quoted = false;
    let first_line = head.iter().skip_while(|b| b.is_ascii_whitespace()).take_while(|&&b| b != b'\n' && b != b'\r');
    let mut counts = [(b',', 0u32), (b';', 0), (b'\t', 0), (b'|', 0)];
    for &byte in first_line {
        quoted ^= byte == b'"';
        if let Some((_, count)) = counts.iter_mut().find(|(separator, _)| !quoted && *separator == byte) {
            *count += 1;
        }
    }
    // `max_by_key` returns the last maximum; reversed, the comma wins a tie.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

fn delimiter_name(delimiter: u8) -> &'static str {
    match delimiter {
        b';' => "semicolons",
        b'\t' => "tabs",
        b'|' => "bars",
        _ => "commas",
    }
}

/// The error for the row that begins on this line.
fn row_error(error: ::csv::Error, line: u64) -> IngestError {
    match error.kind() {
        ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
            IngestError::RowTooLong(line)
        }
        _ => IngestError::Io(error.into()),
    }
}

/// A row exceeds its limit.
#[derive(Debug, thiserror::Error)]
#[error("the row is too long")]
struct TooLong;

/// Fails when a row exceeds its limit, at most one buffer late. Keeps the last byte read, which distinguishes a file cut off within
/// a line from one that ends with a short row.
struct BoundedReader<R> {
    inner: R,
    last_byte: u8,
    /// Bytes that may still be read for this row.
    remaining: usize,
}

impl<R: Read> Read for BoundedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.remaining == 0 {
            return Err(io::Error::other(TooLong));
        }
        let n = self.inner.read(buffer)?;
        self.remaining = self.remaining.saturating_sub(n);
        if let Some(&last) = buffer[..n].last() {
            self.last_byte = last;
        }
        Ok(n)
    }
}
