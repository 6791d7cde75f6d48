//! Reads usage logs into a [`Dataset`]: text or packed, tables or JSON, of a known source or with columns recognised by name.
//!
//! Layers, low to high: `input` (a file as text that can be read twice); `table` and `json` (records); `record` and `values`
//! (fields, numbers, times, money); `sources` (one file for each known source) and `generic` (all other logs); `collector`
//! (counts each request once); `reading` (the files of one analysis).
//!
//! Guarantees: a figure is right, or the report says what it could not know ([`IngestReport::unknown`]); only recognised values
//! are kept in memory; a row that cannot be used is counted with its reason, and the first few are reported; the error for a file
//! that cannot be used says what was found and what to do.

mod cells;
mod choice;
mod collector;
pub mod columns;
mod dump;
mod file_evidence;
mod generic;
mod input;
mod json;
mod nested;
mod reading;
mod record;
mod sink;
pub mod sources;
mod span_tree;
mod suffix;
mod synonyms;
mod table;
mod units;
mod usage;
mod values;
mod workbook;

use std::{
    io::{self, BufRead},
    path::Path,
};

use serde::Serialize;

use self::columns::{EXAMPLE_NAMES, Role};
pub use self::{
    choice::{COLUMNS_LINE, ColumnChoice, ColumnQuestion, MAX_CHOICES},
    input::Input,
    reading::Reading,
    values::DateOrder,
};
use super::{
    dataset::{Dataset, MAX_ROWS},
    format::{inline_code, list},
};

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
    /// The files read.
    pub files: Vec<FileReport>,
    /// The number of rows used.
    pub rows: u64,
    /// The number of rows that cannot be used.
    pub bad_rows: u64,
    /// The number of rows that cannot be used, by reason.
    pub bad_by_reason: Vec<(String, u64)>,
    /// The first rows that cannot be used.
    pub first_bad: Vec<BadRow>,
    /// What the log could not show, and what its figures therefore lack; stated before all figures.
    pub unknown: Vec<String>,
    /// What was assumed or left out.
    pub notes: Vec<String>,
}

impl IngestReport {
    /// What was read, a phrase for each file: `a.csv: LiteLLM spend logs (CSV, separated by commas)`.
    pub fn sources(&self) -> Vec<String> {
        self.files.iter().map(FileReport::describe).collect()
    }
}

impl FileReport {
    /// Whether the column of this name was read for this role.
    pub fn uses(&self, role: Role, column: &str) -> bool {
        let column = clip(column);
        self.columns.iter().any(|(label, name)| *label == role.label() && *name == column)
    }

    /// What was read: the file, its source or the columns that were recognised, and its format.
    pub fn describe(&self) -> String {
        match &self.source {
            Some(source) => format!("{}: {source} ({})", self.name, self.format),
            None => {
                let columns: Vec<String> =
                    self.columns.iter().map(|(role, name)| format!("{role} from {}", inline_code(name))).collect();
                format!("{}: {} with {}", self.name, self.format, list(&columns))
            }
        }
    }
}

/// How one file was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its name.
    pub name: String,
    /// The source that it was recognised as; `None` if its columns were recognised by name.
    pub source: Option<String>,
    /// Such as `CSV, separated by commas`.
    pub format: String,
    /// Columns recognised by name: their role, and their name in the file.
    pub columns: Vec<(String, String)>,
    /// Columns not used (the first 40).
    pub unused: Vec<String>,
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
    /// Begins like JSON, but is none.
    #[error("The file begins like JSON, but is not valid JSON: {0}. Export it again.")]
    NotJson(String),
    /// One object of a JSON file is too long.
    #[error(
        "Record {0} of the file is longer than 8 MiB. Leave out fields with long texts, such as prompts and answers."
    )]
    RecordTooLong(u64),
    /// A packed file is damaged.
    #[error("The file cannot be unpacked ({0}). Attach it again, or unpack it first.")]
    Damaged(String),
    /// What the columns mean has to be asked.
    #[error("{}", .0.text())]
    NeedsColumns(Box<ColumnQuestion>),
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
/// When the file cannot be read or has no usable row, when a question about its columns has to be answered, or when `stop`
/// returns true.
pub fn load(path: &Path, stop: StopFn<'_>) -> Result<UsageLog, IngestError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut reading = Reading::new(false);
    reading.add(&name, &Input::from_path(path)?, &ColumnChoice::default(), stop)?;
    reading.finish()
}

/// Reads a log in memory; see [`load`].
///
/// # Errors
/// As [`load`].
pub fn read(bytes: &[u8], stop: StopFn<'_>) -> Result<UsageLog, IngestError> {
    let mut reading = Reading::new(false);
    reading.add("log", &Input::from_bytes(bytes)?, &ColumnChoice::default(), stop)?;
    reading.finish()
}

/// Returns the first byte that is not a space or line end, without consuming it.
fn peek_first_byte(reader: &mut dyn BufRead) -> io::Result<Option<u8>> {
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
        (b"\x28\xb5\x2f\xfd", "compressed with zstd", "Unpack it first (`unzstd`)."),
        (b"BZh", "compressed with bzip2", "Unpack it first (`bunzip2`)."),
        (b"\xfd7zXZ", "compressed with xz", "Unpack it first (`unxz`)."),
        (b"PAR1", "a Parquet file", "Export it as CSV or JSON Lines."),
        (b"SQLite format 3", "an SQLite database", "Export the table as CSV."),
        (b"%PDF", "a PDF document", "Attach the log itself, as CSV or JSON Lines."),
        (b"\xd0\xcf\x11\xe0", "an Excel workbook of the old format", "Save it as .xlsx or CSV, and attach that."),
    ];
    if let Some((_, what, advice)) = KNOWN.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Some((what, advice));
    }
    let head = &head[..head.len().min(8192)];
    let control = head.iter().filter(|&&b| b < 32 && !matches!(b, b'\t' | b'\n' | b'\r')).count();
    (head.contains(&0) || control * 20 > head.len())
        .then_some(("binary", "Attach a usage log as CSV with a header line, or as JSON Lines."))
}

/// Whether a cell labels a row with totals, or with means of the others.
fn is_total_label(cell: &str) -> bool {
    // Most cells are numbers or texts.
    if cell.is_empty() || cell.len() > 24 || cell.bytes().any(|b| b.is_ascii_digit()) {
        return false;
    }
    let word = cell.trim().trim_end_matches(':').to_lowercase();
    [
        "total",
        "totals",
        "grand total",
        "sum",
        "subtotal",
        "summe",
        "gesamt",
        "gesamtsumme",
        "insgesamt",
        "sub-total",
        "zwischensumme",
        "all models",
        "all users",
        "overall",
        "average",
        "mean",
        "avg",
        "durchschnitt",
        "mittelwert",
        "moyenne",
    ]
    .contains(&word.as_str())
}

/// The first 40 names, and the number of the rest, for an error or report.
fn name_list(names: &[String]) -> String {
    const SHOWN: usize = 40;
    let shown = names.iter().take(SHOWN).map(|name| clip(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A name for a report: without control characters, cut to 60 characters.
fn clip(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod generic_tests;
#[cfg(test)]
mod tests;
