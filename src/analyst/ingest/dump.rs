//! Dumps of PostgreSQL (`pg_dump` as text): the rows of the table with token counts become CSV.
//!
//! Source: PostgreSQL's documentation of `COPY`, text format: a line for each row, tabs between cells, `\N` for no
//! value, backslashes before tabs, line ends and backslashes within cells, `\.` after the last row.

use std::io::BufRead;

use super::{IngestError, columns};

/// One table of a dump.
struct Table {
    name: String,
    /// Whether it has a column with ids of requests, so that its rows are no sums.
    has_requests: bool,
    rows: u64,
    csv: csv::Writer<Vec<u8>>,
}

/// Whether a file that begins like this is a dump.
pub(super) fn is_dump(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&head[..head.len().min(4096)]);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && *line != "--").unwrap_or_default();
    first.starts_with("-- PostgreSQL database") || copied_table(first).is_some()
}

/// The name and the columns of the table whose rows follow this line.
fn copied_table(line: &str) -> Option<(String, Vec<String>)> {
    let rest = line.strip_prefix("COPY ")?;
    let (name, rest) = rest.split_once(" (")?;
    let (columns, rest) = rest.rsplit_once(") FROM ")?;
    rest.trim_end_matches(';').eq_ignore_ascii_case("stdin").then(|| {
        let plain = |name: &str| name.trim().trim_matches('"').to_owned();
        let name = name.rsplit('.').next().map(plain).unwrap_or_default();
        (name, columns.split(',').map(plain).collect())
    })
}

/// The name of the table with token counts, preferably one of requests, then the longest one; and its rows as CSV.
///
/// # Errors
/// If the dump cannot be read, is cut off, or has no such table.
pub(super) fn read(mut dump: impl BufRead) -> Result<(String, Vec<u8>), IngestError> {
    let mut best: Option<Table> = None;
    let mut line = Vec::new();
    let mut number = 0;
    while next_line(&mut dump, &mut line, &mut number)? {
        let Some((name, columns)) = copied_table(&String::from_utf8_lossy(&line)) else { continue };
        let has_tokens =
            columns.iter().any(|name| columns::recognise(name).is_some_and(|column| column.role.is_tokens()));
        let mut table = Table {
            name,
            has_requests: columns.iter().any(|name| name == "request_id"),
            rows: 0,
            csv: csv::Writer::from_writer(Vec::new()),
        };
        table.csv.write_record(&columns).map_err(std::io::Error::other)?;
        loop {
            if !next_line(&mut dump, &mut line, &mut number)? {
                return Err(IngestError::Truncated { line: number, rows: table.rows });
            }
            if line == b"\\." {
                break;
            }
            table.rows += 1;
            if has_tokens {
                table
                    .csv
                    .write_record(line.split(|byte| *byte == b'\t').map(unescape))
                    .map_err(std::io::Error::other)?;
            }
        }
        let rank = |table: &Table| (table.has_requests, table.rows);
        if has_tokens && table.rows > 0 && best.as_ref().is_none_or(|best| rank(best) < rank(&table)) {
            best = Some(table);
        }
    }
    let table = best.ok_or(IngestError::Binary(
        "a database dump without rows that count tokens",
        "Dump the table of the requests with its rows (pg_dump --table), or export it as CSV.",
    ))?;
    let csv = table.csv.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok((table.name, csv))
}

/// Reads a line without its end; returns whether there is one.
fn next_line(dump: &mut impl BufRead, line: &mut Vec<u8>, number: &mut u64) -> Result<bool, IngestError> {
    line.clear();
    if dump.read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    *number += 1;
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(true)
}

/// A cell without its backslashes; empty if it has no value.
fn unescape(cell: &[u8]) -> Vec<u8> {
    if cell == b"\\N" {
        return Vec::new();
    }
    let mut plain = Vec::with_capacity(cell.len());
    let mut bytes = cell.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'r') => b'\r',
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'v') => 11,
                Some(other) => *other,
                None => b'\\',
            },
            byte => *byte,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_requests_is_read_from_a_dump() {
        let dump = "--\n-- PostgreSQL database dump\n--\nSET x = 1;\n\
            COPY public.\"Daily\" (date, prompt_tokens) FROM stdin;\n2026-01-01\t1\n2026-01-02\t2\n\\.\n\
            COPY public.\"Logs\" (request_id, prompt_tokens, \"note\") FROM stdin;\n\
            r1\t5\ta\\tb\\\\\nr2\t\\N\t\"q\"\n\\.\n";
        assert!(is_dump(dump.as_bytes()));
        let (name, csv) = read(dump.as_bytes()).expect("a table");
        let csv = String::from_utf8(csv).expect("text");
        assert_eq!(
            (name.as_str(), csv.as_str()),
            ("Logs", "request_id,prompt_tokens,note\nr1,5,a\tb\\\nr2,,\"\"\"q\"\"\"\n")
        );
        assert!(matches!(read(&dump.as_bytes()[..dump.len() - 3]), Err(IngestError::Truncated { .. })));
        assert!(!is_dump(b"request_id,prompt_tokens\n"));
    }
}
