//! Tables: CSV with any delimiter, with or without titles above the header.
//!
//! A table is read twice: first its columns' formats of numbers and dates are found from all cells, then its rows are read.

use std::{
    cmp::Reverse,
    io::{self, BufRead, Read},
};

use csv::{ByteRecord, ErrorKind, ReaderBuilder, StringRecord};

use super::{
    IngestError, StopFn,
    input::Input,
    is_total_label,
    record::{Header, Record, TableRow},
    values::{self, FormatEvidence},
};

/// Longest header, in bytes.
const MAX_HEADER_BYTES: usize = 1 << 18;
/// Longest row, in bytes: an unclosed quote would make the rest of the file one row.
const MAX_ROW_BYTES: usize = 1 << 22;
/// Most columns.
const MAX_COLUMNS: usize = 4096;
/// Most lines above the header.
const MAX_TITLE_LINES: usize = 20;

/// A table whose header is known.
pub(super) struct Table<'i> {
    input: &'i Input,
    pub(super) header: Header,
    pub(super) delimiter: u8,
    /// What the cells of each column show.
    pub(super) evidence: Vec<FormatEvidence>,
    /// Whether every cell of a column is a number or empty, and one is a number.
    pub(super) numeric: Vec<bool>,
    /// Whether at most half of the cells of a column label rows of totals, and one does.
    labels_totals: Vec<bool>,
    /// Whether cells hold JSON.
    has_json: bool,
    /// Rows above the header, the header included.
    header_rows: usize,
    rows: u64,
}

/// What to do with a row.
pub(super) type RowFn<'f> = &'f mut dyn FnMut(u64, RowResult<'_>) -> Result<(), IngestError>;

/// A row, or the reason why it cannot be used.
pub(super) type RowResult<'a> = Result<Record<'a>, String>;

impl<'i> Table<'i> {
    /// Finds the header, and the format of each column.
    ///
    /// # Errors
    /// If there is no header with rows under it.
    pub(super) fn open(input: &'i Input, stop: StopFn<'_>) -> Result<Self, IngestError> {
        let (delimiter, header_rows) = find_header(input)?;
        let mut table = Self {
            input,
            header: Header::default(),
            delimiter,
            evidence: Vec::new(),
            numeric: Vec::new(),
            labels_totals: Vec::new(),
            has_json: false,
            header_rows,
            rows: 0,
        };
        table.scan(stop)?;
        Ok(table)
    }

    /// The first pass: the header's names, and what the cells show.
    fn scan(&mut self, stop: StopFn<'_>) -> Result<(), IngestError> {
        let mut names = Vec::new();
        let mut evidence: Vec<FormatEvidence> = Vec::new();
        // Cells that are numbers, and cells that are something else.
        let mut kinds: Vec<(u64, u64)> = Vec::new();
        let mut labels: Vec<u64> = Vec::new();
        let (mut has_json, mut rows) = (false, 0u64);
        self.each_record(stop, &mut |index, _, record| {
            if index == 0 {
                names = record.iter().map(|name| name.trim().to_owned()).collect();
                if names.len() > MAX_COLUMNS {
                    return Err(IngestError::TooManyColumns(names.len()));
                }
                evidence = vec![FormatEvidence::default(); names.len()];
                kinds = vec![(0, 0); names.len()];
                labels = vec![0; names.len()];
                return Ok(());
            }
            rows += 1;
            for (evidence, cell) in evidence.iter_mut().zip(record) {
                has_json |= cell.starts_with('{');
                evidence.add(cell);
            }
            for (labels, cell) in labels.iter_mut().zip(record) {
                *labels += u64::from(is_total_label(cell));
            }
            for ((numbers, others), cell) in kinds.iter_mut().zip(record) {
                let is_number = cell.bytes().any(|b| b.is_ascii_digit())
                    && cell.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b' '));
                *numbers += u64::from(is_number);
                *others += u64::from(!is_number && !values::is_empty(cell.trim()));
            }
            Ok(())
        })?;
        let mut header = Header::new(names);
        header.formats = evidence.iter().map(FormatEvidence::format).collect();
        if rows == 0 {
            return Err(IngestError::HeaderOnly(super::name_list(&header.names)));
        }
        self.numeric = kinds.iter().map(|(numbers, others)| *numbers > 0 && *others == 0).collect();
        self.labels_totals = labels.iter().map(|labels| *labels > 0 && *labels * 2 <= rows).collect();
        (self.header, self.evidence, self.has_json, self.rows) = (header, evidence, has_json, rows);
        Ok(())
    }

    /// The second pass: calls `each` with the line and the row, for every row.
    ///
    /// # Errors
    /// If the file cannot be read, its last row is cut off, or `each` fails.
    pub(super) fn read(&self, stop: StopFn<'_>, each: RowFn<'_>) -> Result<(), IngestError> {
        let width = self.header.names.len();
        let mut short_row = None;
        let ends_with_newline = self.each_record(stop, &mut |index, line, record| {
            if index == 0 {
                return Ok(());
            }
            short_row = (record.len() < width).then_some(line);
            if record.iter().all(|cell| cell.trim().is_empty()) {
                return Ok(());
            }
            // Rows of exports often leave out trailing empty cells, or end with a separator.
            let extra = record.iter().skip(width).any(|cell| !cell.trim().is_empty());
            let repeats_header = record.iter().map(str::trim).eq(self.header.names.iter().map(String::as_str));
            if repeats_header || is_remark(record, width) {
                return each(line, Err(REMARK.into()));
            }
            if record.len() < width || extra {
                return each(line, Err(format!("has {} fields, the header {width}", record.len())));
            }
            if self.is_total(record) {
                return each(line, Err(TOTAL_ROW.into()));
            }
            let row = match self.has_json {
                true => TableRow::with_json(&self.header, record),
                false => TableRow::new(&self.header, record),
            };
            each(line, Ok(Record::Row(&row)))
        })?;
        match short_row.filter(|_| !ends_with_newline) {
            Some(line) => Err(IngestError::Truncated { line, rows: self.rows - 1 }),
            None => Ok(()),
        }
    }

    /// Calls `each` with the index (0: the header), the line and the cells of each record; returns whether the file ends with a
    /// line end.
    fn each_record(
        &self,
        stop: StopFn<'_>,
        each: &mut dyn FnMut(u64, u64, &StringRecord) -> Result<(), IngestError>,
    ) -> Result<bool, IngestError> {
        let bounded = BoundedReader {
            inner: skip_lines(self.input.open()?, self.header_rows)?,
            last: b'\n',
            remaining: MAX_HEADER_BYTES,
        };
        let mut csv =
            ReaderBuilder::new().delimiter(self.delimiter).flexible(true).has_headers(false).from_reader(bounded);
        let mut record = ByteRecord::new();
        let above = self.header_rows as u64;
        for index in 0u64.. {
            let first_line = csv.position().line() + above;
            if !csv.read_byte_record(&mut record).map_err(|error| row_error(error, first_line))? {
                break;
            }
            csv.get_mut().remaining = MAX_ROW_BYTES;
            if index % 1024 == 0 && stop() {
                return Err(IngestError::Stopped);
            }
            let line = record.position().map_or(0, csv::Position::line) + above;
            let text = StringRecord::from_byte_record(record)
                .unwrap_or_else(|error| error.into_byte_record().iter().map(windows_text).collect());
            each(index, line, &text)?;
            record = text.into_byte_record();
        }
        Ok(matches!(csv.get_ref().last, b'\n' | b'\r'))
    }

    /// Whether a row is labelled as one of totals, before its first number.
    fn is_total(&self, record: &StringRecord) -> bool {
        let before = record.iter().take_while(|cell| !cell.bytes().any(|b| b.is_ascii_digit()));
        before.zip(&self.labels_totals).any(|(cell, labels)| *labels && is_total_label(cell))
    }

    /// The name of the delimiter, for reports.
    pub(super) fn delimiter_name(&self) -> &'static str {
        match self.delimiter {
            b';' => "semicolons",
            b'\t' => "tabs",
            b'|' => "bars",
            _ => "commas",
        }
    }
}

/// The reason with which a row of totals is left out.
pub(super) const TOTAL_ROW: &str = "a row with totals";

/// The reason with which a line of words, or one that separates, is left out.
pub(super) const REMARK: &str = "a remark";

/// Whether a line under the header is no row: one text instead of cells, or only dashes.
fn is_remark(record: &StringRecord, width: usize) -> bool {
    let mut cells = record.iter().map(str::trim).filter(|cell| !cell.is_empty());
    let is_dashes = |cell: &str| cell.len() > 1 && cell.bytes().all(|b| matches!(b, b'-' | b'=' | b':'));
    match (cells.next(), cells.next()) {
        (Some(text), None) if width > 2 && record.len() < width => !text.starts_with(|c: char| c.is_ascii_digit()),
        (Some(first), _) => is_dashes(first) && cells.all(is_dashes),
        _ => false,
    }
}

/// A text that is not UTF-8, as Windows-1252: the encoding in which Excel saves in Western languages.
fn windows_text(bytes: &[u8]) -> String {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    let character = |byte: &u8| match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        byte => char::from(*byte),
    };
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(character).collect(), str::to_owned)
}

/// The delimiter, and the number of lines above the header. The header is the first line that has as many fields as the lines
/// under it, and at least two; lines above it are titles, or `sep=;`.
fn find_header(input: &Input) -> Result<(u8, usize), IngestError> {
    let mut reader = input.open()?;
    let mut head = vec![0; MAX_HEADER_BYTES];
    let mut length = 0;
    while length < head.len() {
        match reader.read(&mut head[length..])? {
            0 => break,
            n => length += n,
        }
    }
    let text = String::from_utf8_lossy(&head[..length]);
    let lines: Vec<&str> = text.lines().take(MAX_TITLE_LINES + 30).collect();
    if let Some(delimiter) = lines.first().and_then(|line| line.trim_start_matches('\u{feff}').strip_prefix("sep=")) {
        return Ok((delimiter.bytes().next().unwrap_or(b','), 1));
    }
    let best = [b',', b';', b'\t', b'|'].map(|delimiter| (delimiter, first_regular_line(&lines, delimiter)));
    // Of several delimiters, the one with the most fields in its header; the comma wins a tie.
    let (delimiter, (line, _)) = best
        .into_iter()
        .rev()
        .max_by_key(|(delimiter, (line, fields))| {
            let names = lines.get(*line).map_or("", |line| line);
            (names_columns(names, *delimiter), *fields, Reverse(*line))
        })
        .unwrap_or((b',', (0, 1)));
    Ok((delimiter, line))
}

/// The first line with as many fields as the lines under it, and their number.
fn first_regular_line(lines: &[&str], delimiter: u8) -> (usize, usize) {
    let counts: Vec<usize> = lines.iter().map(|line| fields(line, delimiter)).collect();
    // The number of fields that most lines have.
    let same = |fields: &usize| counts.iter().filter(|count| *count == fields).count();
    let most = counts.iter().copied().filter(|count| *count > 1).max_by_key(|count| (same(count), *count)).unwrap_or(1);
    // A quoted cell may contain line ends, so lines under the header may have fewer fields.
    let first = counts.iter().take(MAX_TITLE_LINES).position(|count| *count * 4 >= most * 3 && *count > 1);
    match first {
        Some(at) => (at, counts[at]),
        None => (counts.iter().position(|_| true).unwrap_or(0), 1),
    }
}

/// Whether no field of a line is a number: decimal commas do not separate the names of columns.
fn names_columns(line: &str, delimiter: u8) -> bool {
    line.split(char::from(delimiter)).all(|field| field.trim().parse::<f64>().is_err())
}

/// Fields of a line, separated outside quotes.
fn fields(line: &str, delimiter: u8) -> usize {
    let mut quoted = false;
    let mut fields = 1;
    for byte in line.bytes() {
        quoted ^= byte == b'"';
        fields += usize::from(byte == delimiter && !quoted);
    }
    fields
}

fn skip_lines(mut reader: Box<dyn BufRead>, lines: usize) -> Result<Box<dyn BufRead>, IngestError> {
    let mut line = Vec::new();
    for _ in 0..lines {
        line.clear();
        (&mut reader).take(MAX_HEADER_BYTES as u64).read_until(b'\n', &mut line)?;
    }
    Ok(reader)
}

/// The error for the row that begins on this line.
fn row_error(error: csv::Error, line: u64) -> IngestError {
    match error.into_kind() {
        ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
            IngestError::RowTooLong(line)
        }
        ErrorKind::Io(error) => IngestError::Io(error),
        kind => IngestError::Io(io::Error::other(format!("{kind:?}"))),
    }
}

/// A row exceeds its limit.
#[derive(Debug, thiserror::Error)]
#[error("the row is too long")]
struct TooLong;

/// Fails when a row exceeds its limit, at most one buffer late. Keeps the last byte read, which distinguishes a file cut off
/// within a line from one that ends with a short row.
struct BoundedReader<R> {
    inner: R,
    last: u8,
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
            self.last = last;
        }
        Ok(n)
    }
}
