//! CSV with a header line: comma, semicolon, tab or bar; quoted or not.

use std::io::{BufRead, Read};

use ::csv::{ByteRecord, ReaderBuilder};

use super::{
    LoadError, Log, StopFn,
    columns::{self, Column, Role},
    sink::{Cells, Sink, clip, name_list},
};

pub(super) fn read(mut reader: impl BufRead, stop: StopFn<'_>) -> Result<Log, LoadError> {
    let delimiter = delimiter(reader.fill_buf()?);
    let mut tail = LastByte { inner: reader, last: b'\n' };
    let mut csv = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(&mut tail);
    let header: Vec<String> = csv
        .byte_headers()
        .map_err(io_error)?
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim().to_owned())
        .collect();
    let mut sink = Sink::default();
    sink.comma = delimiter == b';';
    let columns = choose(&header, &mut sink);
    if columns[Role::Input as usize].is_none() && columns[Role::Output as usize].is_none() {
        return Err(LoadError::NoTokens(name_list(&header)));
    }
    sink.report.format = format!("CSV, separated by {}", name_of(delimiter));

    let mut record = ByteRecord::new();
    let mut short_last = None;
    while csv.read_byte_record(&mut record).map_err(io_error)? {
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

fn io_error(error: ::csv::Error) -> LoadError {
    LoadError::Io(error.into())
}

/// Remembers the last byte read, which tells a file cut off in mid-line from one with a short row.
struct LastByte<R> {
    inner: R,
    last: u8,
}

impl<R: Read> Read for LastByte<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if let Some(&last) = buffer[..n].last() {
            self.last = last;
        }
        Ok(n)
    }
}
