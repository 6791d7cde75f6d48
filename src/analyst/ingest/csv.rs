//! CSV with a header line: comma, semicolon, tab or bar; quoted or not.

use std::io::{self, BufRead, Read};

use ::csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::{
    LoadError, Log, StopFn,
    columns::{self, Column, Role},
    sink::{Cells, Sink, clip, name_list},
};

/// Longest header, and longest row, in bytes: an unclosed quote makes the rest of a file one row.
const MAX_HEADER_BYTES: usize = 1 << 18;
const MAX_ROW_BYTES: usize = 1 << 22;

/// Most columns.
const MAX_COLUMNS: usize = 4096;

pub(super) fn read(mut reader: impl BufRead, stop: StopFn<'_>) -> Result<Log, LoadError> {
    let delimiter = delimiter(reader.fill_buf()?);
    let mut tail = Bounded { inner: reader, last: b'\n', left: MAX_HEADER_BYTES };
    let mut csv = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(&mut tail);
    let header = csv.byte_headers().map_err(|error| broken(error, 1))?;
    if header.len() > MAX_COLUMNS {
        return Err(LoadError::TooManyColumns(header.len()));
    }
    let header: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
    let mut sink = Sink::default();
    sink.comma = delimiter == b';';
    let columns = choose(&header, &mut sink);
    if columns[Role::Input as usize].is_none() && columns[Role::Output as usize].is_none() {
        return Err(LoadError::NoTokens(name_list(&header)));
    }
    sink.report.format = format!("CSV, separated by {}", name_of(delimiter));

    let mut record = ByteRecord::new();
    let mut short_last = None;
    loop {
        csv.get_mut().left = MAX_ROW_BYTES;
        let begins = csv.position().line();
        if !csv.read_byte_record(&mut record).map_err(|error| broken(error, begins))? {
            break;
        }
        let line = record.position().map_or(0, ::csv::Position::line);
        if sink.rows() % 1024 == 0 && stop() {
            return Err(LoadError::Stopped);
        }
        short_last = (record.len() < header.len()).then_some(line);
        if record.len() != header.len() {
            sink.bad(line, format!("has {} fields, the header {}", record.len(), header.len()));
            continue;
        }
        let cells: Cells<'_> = std::array::from_fn(|role| {
            let (at, column) = columns[role]?;
            Some((String::from_utf8_lossy(record.get(at)?), column))
        });
        sink.row(line, &cells)?;
    }
    drop(csv);
    if sink.rows() == 0 {
        return Err(LoadError::HeaderOnly(name_list(&header)));
    }
    match short_last.filter(|_| tail.last != b'\n' && tail.last != b'\r') {
        Some(line) => Err(LoadError::Truncated { line, rows: sink.rows() - 1 }),
        None => sink.finish(),
    }
}

/// The best column for each role; the rest is listed as unused.
fn choose(header: &[String], sink: &mut Sink) -> [Option<(usize, Column)>; Role::COUNT] {
    let mut chosen: [Option<(usize, Column)>; Role::COUNT] = [None; Role::COUNT];
    for (at, column) in header.iter().enumerate().filter_map(|(at, name)| Some((at, columns::recognise(name)?))) {
        let slot = &mut chosen[column.role as usize];
        if slot.is_none_or(|(_, known)| column.rank < known.rank) {
            *slot = Some((at, column));
        }
    }
    for (at, column) in chosen.iter().flatten() {
        sink.report.columns.push((column.role.label().to_owned(), clip(&header[*at])));
    }
    let used = |at: usize| chosen.iter().flatten().any(|(used, _)| *used == at);
    sink.report.unused =
        header.iter().enumerate().filter(|(at, _)| !used(*at)).map(|(_, name)| clip(name)).take(40).collect();
    chosen
}

/// The separator that stands most often in the first line, outside quotes.
fn delimiter(head: &[u8]) -> u8 {
    let mut quoted = false;
    let first_line = head.iter().skip_while(|b| b.is_ascii_whitespace()).take_while(|&&b| b != b'\n' && b != b'\r');
    let mut counts = [(b',', 0u32), (b';', 0), (b'\t', 0), (b'|', 0)];
    for &byte in first_line {
        quoted ^= byte == b'"';
        if let Some((_, count)) = counts.iter_mut().find(|(separator, _)| !quoted && *separator == byte) {
            *count += 1;
        }
    }
    // `max_by_key` keeps the last of equals; the comma is to win.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

fn name_of(delimiter: u8) -> &'static str {
    match delimiter {
        b';' => "semicolons",
        b'\t' => "tabs",
        b'|' => "bars",
        _ => "commas",
    }
}

/// What is wrong with the row that begins on this line.
fn broken(error: ::csv::Error, line: u64) -> LoadError {
    match error.kind() {
        ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
            LoadError::RowTooLong(line)
        }
        _ => LoadError::Io(error.into()),
    }
}

/// More bytes than a row may have.
#[derive(Debug, thiserror::Error)]
#[error("the row is too long")]
struct TooLong;

/// Reads no further than a row may be long, about. Remembers the last byte read, which tells a file cut off in mid-line from
/// one with a short row.
struct Bounded<R> {
    inner: R,
    last: u8,
    /// Bytes that may still be read of this row.
    left: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(TooLong));
        }
        let n = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(n);
        if let Some(&last) = buffer[..n].last() {
            self.last = last;
        }
        Ok(n)
    }
}
