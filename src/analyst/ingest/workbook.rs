//! ZIP archives with one file, and Excel workbooks, whose sheet becomes CSV.

use std::io::{Read, Seek};

use calamine::{DataRef, Reader, Xlsx, XlsxError};
use zip::ZipArchive;

use super::{IngestError, columns};

/// What a ZIP file holds.
pub(super) enum Archive {
    /// A workbook: the name of its sheet, and the sheet as CSV.
    Workbook { sheet: String, csv: Vec<u8> },
    /// Any other file.
    File { name: String, bytes: Vec<u8> },
}

/// Most sheets that are searched for token counts.
const MAX_SHEETS: usize = 50;

/// Most columns of a sheet.
const MAX_COLUMNS: u32 = 4096;

/// Reads an archive; what it unpacks to has at most `max` bytes.
///
/// # Errors
/// If it is damaged, too large, or holds several files.
pub(super) fn read_archive(file: impl Read + Seek, max: u64) -> Result<Archive, IngestError> {
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    let names: Vec<String> = archive
        .file_names()
        .filter(|name| !name.ends_with('/') && !name.starts_with("__MACOSX/"))
        .map(str::to_owned)
        .collect();
    let unpacked: u64 =
        (0..archive.len()).filter_map(|at| Some(archive.by_index_raw(at).ok()?.size())).fold(0, u64::saturating_add);
    if unpacked > 4 * max {
        return Err(IngestError::TooLarge(unpacked));
    }
    if names.iter().any(|name| name == "xl/workbook.xml") {
        return read_workbook(archive.into_inner(), max);
    }
    match names.as_slice() {
        [name] => {
            let entry = archive.by_name(name).map_err(damaged)?;
            let mut bytes = Vec::new();
            entry.take(max + 1).read_to_end(&mut bytes).map_err(damaged)?;
            if bytes.len() as u64 > max {
                return Err(IngestError::TooLarge(bytes.len() as u64));
            }
            Ok(Archive::File { name: name.clone(), bytes })
        }
        _ => Err(IngestError::Binary(
            "a ZIP archive with several files",
            "Attach the files themselves: several are read together.",
        )),
    }
}

fn damaged(error: impl std::fmt::Display) -> IngestError {
    IngestError::Damaged(error.to_string())
}

/// Reads the first sheet that has a column with token counts in its first rows, else the first sheet with cells.
fn read_workbook(file: impl Read + Seek, max: u64) -> Result<Archive, IngestError> {
    let mut workbook = Xlsx::new(file).map_err(damaged)?;
    let mut first = None;
    for sheet in workbook.sheet_names().into_iter().take(MAX_SHEETS) {
        let csv = match sheet_as_csv(&mut workbook, &sheet, max) {
            Ok(csv) => csv,
            // A sheet with a chart alone.
            Err(SheetError::Xlsx(XlsxError::NotAWorksheet(_))) => continue,
            Err(SheetError::Xlsx(error)) => return Err(damaged(error)),
            Err(SheetError::TooLarge) => return Err(IngestError::TooLarge(max)),
        };
        let head = String::from_utf8_lossy(&csv[..csv.len().min(1 << 16)]).into_owned();
        let has_tokens = head
            .lines()
            .take(30)
            .flat_map(|line| line.split(','))
            .any(|name| columns::recognise(name.trim_matches('"')).is_some_and(|column| column.role.is_tokens()));
        if has_tokens {
            return Ok(Archive::Workbook { sheet, csv });
        }
        if first.is_none() && !csv.is_empty() {
            first = Some(Archive::Workbook { sheet, csv });
        }
    }
    first.ok_or(IngestError::Empty)
}

enum SheetError {
    Xlsx(XlsxError),
    TooLarge,
}

impl From<XlsxError> for SheetError {
    fn from(error: XlsxError) -> Self {
        Self::Xlsx(error)
    }
}

/// The cells of a sheet as CSV: numbers with a decimal point, times as text.
fn sheet_as_csv<R: Read + Seek>(workbook: &mut Xlsx<R>, sheet: &str, max: u64) -> Result<Vec<u8>, SheetError> {
    let mut cells = workbook.worksheet_cells_reader(sheet)?;
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let mut row: Vec<String> = Vec::new();
    let mut current = None;
    let mut bytes = 0u64;
    while let Some(cell) = cells.next_cell()? {
        let (at, column) = cell.get_position();
        if current.is_some_and(|current| current != at) {
            write(&mut writer, &mut row);
        }
        current = Some(at);
        if column >= MAX_COLUMNS {
            continue;
        }
        let text = cell_text(cell.get_value());
        bytes = bytes.saturating_add(text.len() as u64 + 1);
        if bytes > max {
            return Err(SheetError::TooLarge);
        }
        row.resize(row.len().max(column as usize), String::new());
        row.push(text);
    }
    write(&mut writer, &mut row);
    Ok(writer.into_inner().unwrap_or_default())
}

/// Writes a row to memory, which cannot fail.
fn write(writer: &mut csv::Writer<Vec<u8>>, row: &mut Vec<String>) {
    if row.iter().any(|cell| !cell.is_empty()) {
        let _ = writer.write_record(row.iter());
    }
    row.clear();
}

fn cell_text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Int(n) => n.to_string(),
        DataRef::Float(n) => n.to_string(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(truth) => truth.to_string(),
        DataRef::DateTime(time) if time.is_datetime() => {
            let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}")
        }
        // A duration, in days.
        DataRef::DateTime(time) => (time.as_f64() * 86_400.0).to_string(),
        DataRef::Error(_) | DataRef::Empty => String::new(),
    }
}
