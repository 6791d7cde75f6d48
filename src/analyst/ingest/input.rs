//! A file as text that can be read twice: unpacked, in UTF-8, without a byte order mark.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;

use super::{IngestError, MAX_BYTES, dump, workbook};

/// Most bytes of a file once it is unpacked.
pub(super) const MAX_UNPACKED_BYTES: u64 = 1024 * 1024 * 1024;

/// Most bytes of a file that has to be kept in memory to be unpacked.
const MAX_MEMORY_BYTES: u64 = 200 * 1024 * 1024;

/// How the bytes become text.
#[derive(Debug, Clone)]
enum Bytes {
    File(PathBuf),
    Gzip(PathBuf),
    Memory(Arc<[u8]>),
}

/// A file as text.
#[derive(Debug, Clone)]
pub struct Input {
    bytes: Bytes,
    encoding: Encoding,
    /// How the file was packed, for the report: `gzip`, `Excel workbook, sheet "Usage"`.
    pub packed: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16 { little: bool },
}

impl Input {
    /// Opens a file: text, gzip, a ZIP archive with one file, or an Excel workbook.
    ///
    /// # Errors
    /// If the file is too large, or of another format.
    pub fn from_path(path: &Path) -> Result<Self, IngestError> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        if bytes > MAX_BYTES {
            return Err(IngestError::TooLarge(bytes));
        }
        let mut head = [0; 4];
        let length = read_head(&mut file, &mut head)?;
        match &head[..length] {
            [0x1f, 0x8b, ..] => Self::detect(Bytes::Gzip(path.to_owned()), Some("gzip".into())),
            [b'P', b'K', 3, 4] => {
                file.rewind()?;
                Self::from_zip(file)
            }
            _ => Self::detect(Bytes::File(path.to_owned()), None),
        }
    }

    /// Text in memory, for tests and fuzzing.
    ///
    /// # Errors
    /// As [`Self::from_path`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IngestError> {
        match bytes {
            [b'P', b'K', 3, 4, ..] => Self::from_zip(Cursor::new(bytes)),
            [0x1f, 0x8b, ..] => {
                let mut text = Vec::new();
                MultiGzDecoder::new(bytes).take(MAX_MEMORY_BYTES + 1).read_to_end(&mut text).map_err(damaged)?;
                Self::from_memory(text, Some("gzip".into()))
            }
            _ => Self::from_memory(bytes.to_vec(), None),
        }
    }

    fn from_memory(bytes: Vec<u8>, packed: Option<String>) -> Result<Self, IngestError> {
        if bytes.len() as u64 > MAX_MEMORY_BYTES {
            return Err(IngestError::TooLarge(bytes.len() as u64));
        }
        Self::detect(Bytes::Memory(bytes.into()), packed)
    }

    /// An Excel workbook, or an archive with one file.
    fn from_zip(file: impl Read + Seek) -> Result<Self, IngestError> {
        match workbook::read_archive(file, MAX_MEMORY_BYTES)? {
            workbook::Archive::Workbook { sheet, csv } => {
                Self::from_memory(csv, Some(format!("Excel workbook, sheet {sheet:?}")))
            }
            workbook::Archive::File { name, bytes } => Self::from_memory(bytes, Some(format!("ZIP archive, {name:?}"))),
        }
    }

    fn detect(bytes: Bytes, packed: Option<String>) -> Result<Self, IngestError> {
        let mut input = Self { bytes, encoding: Encoding::Utf8, packed };
        let mut raw = input.raw()?;
        let mut head = [0; 8192];
        let length = read_head(&mut raw, &mut head).map_err(damaged)?;
        let head = &head[..length];
        let zeros = |parity: usize| head.iter().skip(parity).step_by(2).filter(|b| **b == 0).count() * 5;
        input.encoding = match head {
            [0xff, 0xfe, ..] => Encoding::Utf16 { little: true },
            [0xfe, 0xff, ..] => Encoding::Utf16 { little: false },
            // Without a mark: every second byte of Latin text is zero.
            _ if length > 3 && zeros(1) > 2 * length => Encoding::Utf16 { little: true },
            _ if length > 3 && zeros(0) > 2 * length => Encoding::Utf16 { little: false },
            _ => Encoding::Utf8,
        };
        if input.encoding == Encoding::Utf8
            && let Some((what, advice)) = super::detect_binary(head)
        {
            return Err(IngestError::Binary(what, advice));
        }
        if dump::is_dump(head) {
            let (table, csv) = dump::read(input.open()?)?;
            input.bytes = Bytes::Memory(csv.into());
            input.packed = Some(format!("PostgreSQL dump, table {table:?}"));
        }
        Ok(input)
    }

    fn raw(&self) -> Result<Box<dyn Read>, IngestError> {
        Ok(match &self.bytes {
            Bytes::File(path) => Box::new(File::open(path)?),
            Bytes::Gzip(path) => {
                let file = BufReader::with_capacity(1 << 16, File::open(path)?);
                Box::new(Limited { inner: MultiGzDecoder::new(file), left: MAX_UNPACKED_BYTES })
            }
            Bytes::Memory(bytes) => Box::new(Cursor::new(Arc::clone(bytes))),
        })
    }

    /// Starts reading the text from its beginning.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(&self) -> Result<Box<dyn BufRead>, IngestError> {
        let raw = self.raw()?;
        let mut reader: Box<dyn BufRead> = match self.encoding {
            Encoding::Utf8 => Box::new(BufReader::with_capacity(1 << 18, raw)),
            Encoding::Utf16 { little } => {
                let units =
                    Utf16 { inner: BufReader::with_capacity(1 << 16, raw), little, high: None, pending: Vec::new() };
                Box::new(BufReader::with_capacity(1 << 18, units))
            }
        };
        let head = reader.fill_buf().map_err(damaged)?;
        if head.starts_with(b"\xEF\xBB\xBF") {
            reader.consume(3);
        }
        Ok(reader)
    }
}

/// Reads as much of the beginning as there is room for.
fn read_head(reader: &mut impl Read, head: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < head.len() {
        match reader.read(&mut head[length..])? {
            0 => break,
            n => length += n,
        }
    }
    Ok(length)
}

/// The error of a packed file that cannot be unpacked.
fn damaged(error: io::Error) -> IngestError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            IngestError::Damaged(error.to_string())
        }
        _ => IngestError::Io(error),
    }
}

/// Fails when more is unpacked than allowed.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other(format!("it unpacks to more than {} MiB", MAX_UNPACKED_BYTES >> 20)))?;
        Ok(n)
    }
}

/// UTF-16 as UTF-8; unpaired surrogates become the replacement character.
struct Utf16<R> {
    inner: R,
    little: bool,
    /// A high surrogate that waits for its low one.
    high: Option<u16>,
    /// Bytes that did not fit.
    pending: Vec<u8>,
}

impl<R: Read> Utf16<R> {
    fn unit(&mut self) -> io::Result<Option<u16>> {
        let mut pair = [0; 2];
        if read_head(&mut self.inner, &mut pair)? < 2 {
            return Ok(None);
        }
        Ok(Some(if self.little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }))
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.pending.len() < buffer.len() {
            let Some(unit) = self.unit()? else {
                if self.high.take().is_some() {
                    self.pending.extend("\u{fffd}".bytes());
                }
                break;
            };
            let units = match (self.high.take(), unit) {
                (None, 0xd800..=0xdbff) => {
                    self.high = Some(unit);
                    continue;
                }
                (None, unit) => [Some(unit), None],
                (Some(high), unit) => [Some(high), Some(unit)],
            };
            for character in char::decode_utf16(units.into_iter().flatten()) {
                let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
                self.pending.extend(character.encode_utf8(&mut [0; 4]).bytes());
            }
        }
        let n = self.pending.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.pending[..n]);
        self.pending.drain(..n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        let mut text = String::new();
        Input::from_bytes(bytes).expect("an input").open().expect("it opens").read_to_string(&mut text).expect("text");
        text
    }

    #[test]
    fn text_is_read_in_utf_8_and_utf_16_with_and_without_a_mark() {
        let original = "a,ü\n1,😀 is here\n";
        let units: Vec<u16> = original.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        assert_eq!(text(original.as_bytes()), original);
        assert_eq!(text(&[b"\xEF\xBB\xBF", original.as_bytes()].concat()), original);
        assert_eq!(text(&[&[0xff, 0xfe], little.as_slice()].concat()).trim_start_matches('\u{feff}'), original);
        assert_eq!(text(&little), original);
        assert_eq!(text(&big), original);
    }

    #[test]
    fn gzip_is_unpacked() {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"a,b\n1,2\n").expect("it packs");
        assert_eq!(text(&packed.finish().expect("it packs")), "a,b\n1,2\n");
    }
}
