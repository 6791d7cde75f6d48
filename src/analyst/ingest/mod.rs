//! Reads a usage log from CSV or JSON Lines into a [`Dataset`], row by row; columns are recognised by their names.
//!
//! Guarantees: only the recognised columns are kept in memory; a row that cannot be used is counted with its reason, and the
//! first few are reported; the error for a file that cannot be used says what was found and what to do.

mod collector;
pub mod columns;
mod csv;
mod jsonl;
mod synonyms;
mod values;

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use serde::Serialize;

use self::columns::EXAMPLE_NAMES;
use super::dataset::{Dataset, MAX_ROWS};

/// Largest file, in bytes.
pub const MAX_BYTES: u64 = 100 * 1024 * 1024;

/// Number of bad rows reported with their reason.
pub const SHOWN_BAD_ROWS: usize = 5;

/// Returns true to stop the work; called at short intervals.
pub type StopFn<'a> = &'a dyn Fn() -> bool;

/// A usage log: its requests, and the report of reading it.
#[derive(Debug)]
pub struct UsageLog {
    /// The requests.
    pub data: Dataset,
    /// Recognised columns, assumptions and rows that cannot be used.
    pub report: IngestReport,
}

/// The result of reading a log, shown to the person.
#[derive(Debug, Clone, Default, Serialize)]
pub struct IngestReport {
    /// Such as `CSV, separated by commas`.
    pub format: String,
    /// The number of rows used.
    pub rows: u64,
    /// Recognised columns: their role, and their name in the file.
    pub columns: Vec<(String, String)>,
    /// Columns not used (the first 40).
    pub unused: Vec<String>,
    /// The number of rows that cannot be used.
    pub bad_rows: u64,
    /// The number of rows that cannot be used, by reason.
    pub bad_by_reason: Vec<(String, u64)>,
    /// The first rows that cannot be used.
    pub first_bad: Vec<BadRow>,
    /// Assumptions about the columns.
    pub notes: Vec<String>,
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// Line in the file, counted from 1.
    pub line: u64,
    /// Why it cannot be used.
    pub reason: String,
}

/// Why a file cannot be analysed. Each message says what was found and what to do.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Reading failed.
    #[error("The file could not be read ({0}). Attach it again.")]
    Io(#[from] io::Error),
    /// More than [`MAX_BYTES`].
    #[error(
        "The file has {0} bytes; at most {MAX_BYTES} (100 MiB) are read. Attach a shorter period, or a sample of the rows."
    )]
    TooLarge(u64),
    /// More than [`MAX_ROWS`] rows.
    #[error("The file has more than {MAX_ROWS} rows. Attach a shorter period, or a sample of the rows.")]
    TooManyRows,
    /// More than 4096 columns.
    #[error(
        "The header has {0} columns; at most 4096 are read. Check the separator, or attach only the columns with times, models \
         and token counts."
    )]
    TooManyColumns(usize),
    /// The header or a row is too long.
    #[error(
        "The row that begins on line {0} is too long (a header has at most 256 KiB, a row 4 MiB). Look for a quotation mark that \
         is not closed, or leave out columns with long texts."
    )]
    RowTooLong(u64),
    /// No bytes, or only white space.
    #[error("The file is empty. Attach a usage log as CSV with a header line, or as JSON Lines.")]
    Empty,
    /// A header without rows.
    #[error("The file has a header ({0}) and no rows under it. Export a period with requests in it.")]
    HeaderOnly(String),
    /// Not UTF-8 text: what it is, and what to do.
    #[error("The file is {0}. {1}")]
    Binary(&'static str, &'static str),
    /// JSON, but not one object per line: what it is, and a command that converts it.
    #[error("The file is {0}, not JSON Lines. Put one object on each line: `{1}`.")]
    NotJsonLines(&'static str, &'static str),
    /// No column holds token counts.
    #[error(
        "No column with token counts was recognised. Found: {0}. Name the columns in a header line, for instance {names}.",
        names = EXAMPLE_NAMES
    )]
    NoTokens(String),
    /// The last row is cut off.
    #[error(
        "The file ends in the middle of line {line}, cut off after {rows} whole rows. Export or attach it again, or delete \
         that last line to analyse the others."
    )]
    Truncated {
        /// The line that is cut.
        line: u64,
        /// Rows before it.
        rows: u64,
    },
    /// No row can be used.
    #[error("None of the {rows} rows can be used. {first}")]
    NoUsableRows {
        /// Rows read.
        rows: u64,
        /// The reasons of the first rows.
        first: String,
    },
    /// The [`StopFn`] returned true.
    #[error("Reading was stopped.")]
    Stopped,
}

/// Reads the log at `path`; calls `stop` at least every 1,024 rows.
///
/// # Errors
/// When the file cannot be read or has no usable row, or when `stop` returns true.
pub fn load(path: &Path, stop: StopFn<'_>) -> Result<UsageLog, IngestError> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > MAX_BYTES {
        return Err(IngestError::TooLarge(bytes));
    }
    read(BufReader::with_capacity(1 << 18, file), stop)
}

/// Reads a log from any reader; see [`load`].
///
/// # Errors
/// As [`load`].
pub fn read(mut reader: impl BufRead, stop: StopFn<'_>) -> Result<UsageLog, IngestError> {
    let head = reader.fill_buf()?;
    if let Some((what, advice)) = detect_binary(head) {
        return Err(IngestError::Binary(what, advice));
    }
    if head.starts_with(b"\xEF\xBB\xBF") {
        reader.consume(3);
    }
    match peek_first_byte(&mut reader)? {
        None => Err(IngestError::Empty),
        Some(b'[') => Err(IngestError::NotJsonLines("a JSON array", "jq -c '.[]' log.json > log.jsonl")),
        Some(b'{') => jsonl::read(reader, stop),
        Some(_) => csv::read(reader, stop),
    }
}

/// Returns the first byte that is not a space or line end, without consuming it.
fn peek_first_byte(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        let blank = buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\r' | b'\n')).count();
        let found = buffer.get(blank).copied();
        if found.is_some() {
            return Ok(found);
        }
        reader.consume(blank);
    }
}

/// What the file is if it is not UTF-8 text, and what to do.
fn detect_binary(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const KNOWN: &[(&[u8], &str, &str)] = &[
        (
            b"\x1f\x8b",
            "compressed with gzip",
            "Unpack it first (`gunzip`), then attach the CSV or JSON Lines file inside.",
        ),
        (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "Unpack it, or save the sheet as CSV, and attach that."),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd", "Unpack it first (`unzstd`)."),
        (b"BZh", "compressed with bzip2", "Unpack it first (`bunzip2`)."),
        (b"\xfd7zXZ", "compressed with xz", "Unpack it first (`unxz`)."),
        (b"PAR1", "a Parquet file", "Export it as CSV or JSON Lines."),
        (b"SQLite format 3", "an SQLite database", "Export the table as CSV."),
        (b"%PDF", "a PDF document", "Attach the log itself, as CSV or JSON Lines."),
        (b"\xff\xfe", "text in UTF-16", "Save it as UTF-8 (`iconv -f UTF-16 -t UTF-8`)."),
        (b"\xfe\xff", "text in UTF-16", "Save it as UTF-8 (`iconv -f UTF-16 -t UTF-8`)."),
    ];
    if let Some((_, what, advice)) = KNOWN.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Some((what, advice));
    }
    let head = &head[..head.len().min(8192)];
    let control = head.iter().filter(|&&b| b < 32 && !matches!(b, b'\t' | b'\n' | b'\r')).count();
    (head.contains(&0) || control * 20 > head.len())
        .then_some(("binary", "Attach a usage log as CSV with a header line, or as JSON Lines."))
}

#[cfg(test)]
mod tests;
