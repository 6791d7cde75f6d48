//! One record of a log: a row of a table, or a JSON object; and how sources read its fields.

use std::{borrow::Cow, cell::OnceCell, collections::HashMap};

use serde_json::Value;

use super::values::{self, ColumnFormat, Money, Unit};

/// Deepest nesting of objects that is searched.
const MAX_DEPTH: usize = 8;

/// The header of a table: its column names, and how each column writes numbers and dates.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// The names, trimmed, in the order of the file.
    pub names: Vec<String>,
    /// How each column writes its values.
    pub formats: Vec<ColumnFormat>,
    index: HashMap<String, usize>,
}

impl Header {
    /// Creates a header; of equal names, the first one counts.
    pub fn new(names: Vec<String>) -> Self {
        let mut index = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            index.entry(name.clone()).or_insert(at);
        }
        Self { formats: vec![ColumnFormat::default(); names.len()], names, index }
    }

    /// The column of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Whether the table has all of these columns.
    pub fn has_all(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.index.contains_key(*name))
    }

    /// How the column writes its values.
    pub fn format(&self, column: usize) -> ColumnFormat {
        self.formats.get(column).copied().unwrap_or_default()
    }
}

/// A row of a table.
#[derive(Debug)]
pub struct TableRow<'a> {
    header: &'a Header,
    cells: &'a csv::StringRecord,
    /// The cells that hold JSON, parsed when first asked for.
    json: Vec<OnceCell<Option<Value>>>,
}

impl<'a> TableRow<'a> {
    /// A row under a header.
    pub fn new(header: &'a Header, cells: &'a csv::StringRecord) -> Self {
        Self { header, cells, json: Vec::new() }
    }

    /// As [`Self::new`], for a table some of whose cells hold JSON.
    pub fn with_json(header: &'a Header, cells: &'a csv::StringRecord) -> Self {
        Self { json: vec![OnceCell::new(); header.names.len()], ..Self::new(header, cells) }
    }

    /// The cell of a column.
    pub fn cell(&self, column: usize) -> Option<&str> {
        self.cells.get(column)
    }

    /// The header above the row.
    pub fn header(&self) -> &'a Header {
        self.header
    }

    fn json(&self, column: usize) -> Option<&Value> {
        let cell = self.json.get(column)?;
        cell.get_or_init(|| {
            let text = self.cells.get(column)?.trim();
            text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
        })
        .as_ref()
    }
}

/// A record of a log.
#[derive(Debug, Clone, Copy)]
pub enum Record<'a> {
    /// A row of a table.
    Row(&'a TableRow<'a>),
    /// A JSON object.
    Object(&'a Value),
}

/// A value of a record.
#[derive(Debug, Clone, Copy)]
pub enum Field<'a> {
    /// A cell of a table, and how its column writes values.
    Cell(&'a str, ColumnFormat),
    /// A value of a JSON object.
    Json(&'a Value),
}

impl<'a> Field<'a> {
    /// The text of the field: of a text as it is, of a number or truth value as JSON; `None` for null, lists and objects.
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Cell(text, _) => Some(Cow::Borrowed(text.trim())).filter(|text| !values::is_empty(text)),
            Self::Json(Value::String(text)) => Some(Cow::Borrowed(text.trim())).filter(|text| !text.is_empty()),
            Self::Json(Value::Number(number)) => Some(Cow::Owned(number.to_string())),
            Self::Json(Value::Bool(truth)) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
            Self::Json(_) => None,
        }
    }

    fn format(self) -> ColumnFormat {
        match self {
            Self::Cell(_, format) => format,
            // JSON writes numbers with a decimal point, also those in texts.
            Self::Json(_) => ColumnFormat { decimal: Some(values::Decimal::Point), ..ColumnFormat::default() },
        }
    }
}

impl<'a> Record<'a> {
    /// The field at a path of nested names, such as `usage.input_tokens`. A name may contain dots itself (`gen_ai.usage.cost`).
    /// In a table, the path is the name of a column, or begins with the name of a column that holds JSON.
    pub fn get(self, path: &str) -> Option<Field<'a>> {
        match self {
            Self::Object(value) => find(value, path, 0).map(Field::Json),
            Self::Row(row) => {
                if let Some(at) = row.header.find(path) {
                    return row.cells.get(at).map(|cell| Field::Cell(cell, row.header.format(at)));
                }
                if row.json.is_empty() {
                    return None;
                }
                path.match_indices('.').find_map(|(dot, _)| {
                    let value = row.json(row.header.find(&path[..dot])?)?;
                    find(value, &path[dot + 1..], 0).map(Field::Json)
                })
            }
        }
    }

    /// Whether the record has this field, also if it is null or empty.
    pub fn has(self, path: &str) -> bool {
        self.get(path).is_some()
    }

    /// Whether the record has all of these fields.
    pub fn has_all(self, paths: &[&str]) -> bool {
        paths.iter().all(|path| self.has(path))
    }

    /// The JSON value at a path; `None` in a table, except in a cell that holds JSON.
    pub fn json(self, path: &str) -> Option<&'a Value> {
        match self {
            Self::Object(value) => find(value, path, 0),
            Self::Row(row) => match row.header.find(path) {
                Some(at) => row.json(at),
                None => match self.get(path)? {
                    Field::Json(value) => Some(value),
                    Field::Cell(..) => None,
                },
            },
        }
    }

    /// The object at a path as a record; the record itself for an empty path.
    pub fn inside(self, path: &str) -> Option<Self> {
        if path.is_empty() {
            return Some(self);
        }
        self.json(path).filter(|value| value.is_object()).map(Self::Object)
    }

    /// The objects of the list at a path, as records.
    pub fn items(self, path: &str) -> impl Iterator<Item = Self> {
        let items = self.json(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter(|item| item.is_object()).map(Self::Object)
    }

    /// The text at a path; `None` if it is missing or empty.
    pub fn text(self, path: &str) -> Option<Cow<'a, str>> {
        self.get(path)?.text()
    }

    /// Whether the text at a path is `expected`, regardless of case.
    pub fn is(self, path: &str, expected: &str) -> bool {
        self.text(path).is_some_and(|text| text.eq_ignore_ascii_case(expected))
    }

    /// The first of these texts that is there.
    pub fn first_text(self, paths: &[&str]) -> Option<Cow<'a, str>> {
        paths.iter().find_map(|path| self.text(path))
    }

    /// The count at a path, a whole number of at least 0; `None` if it is missing, null or empty.
    ///
    /// # Errors
    /// The reason why it cannot be read, as a clause.
    pub fn count(self, path: &str) -> Result<Option<u64>, String> {
        let Some(field) = self.get(path) else { return Ok(None) };
        if let Field::Json(Value::Number(number)) = field
            && let Some(n) = number.as_u64()
        {
            return Ok(Some(n));
        }
        match field.text() {
            Some(text) => values::parse_count(&text, path, field.format()),
            None => Ok(None),
        }
    }

    /// The first of these counts that is there.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn first_count(self, paths: &[&str]) -> Result<Option<u64>, String> {
        for path in paths {
            if let Some(n) = self.count(path)? {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// The sum of these counts; `None` if none is there.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn sum(self, paths: &[&str]) -> Result<Option<u64>, String> {
        let mut sum = None;
        for path in paths {
            if let Some(n) = self.count(path)? {
                sum = Some(sum.unwrap_or(0u64).saturating_add(n));
            }
        }
        Ok(sum)
    }

    /// The number at a path, at least 0.
    ///
    /// # Errors
    /// The reason why it cannot be read, as a clause.
    pub fn number(self, path: &str) -> Result<Option<f64>, String> {
        let Some(field) = self.get(path) else { return Ok(None) };
        match field.text() {
            Some(text) => values::parse_number(&text, path, field.format()),
            None => Ok(None),
        }
    }

    /// The amount of money at a path.
    ///
    /// # Errors
    /// The reason why it cannot be read, as a clause.
    pub fn money(self, path: &str) -> Result<Option<Money>, String> {
        let Some(field) = self.get(path) else { return Ok(None) };
        match field.text() {
            Some(text) => values::parse_money(&text, path, field.format()),
            None => Ok(None),
        }
    }

    /// The time at a path, in milliseconds since 1970. A number below 10^8 counts
    /// from the start of the log, in `unit`.
    ///
    /// # Errors
    /// The reason why it cannot be read, as a clause.
    pub fn time(self, path: &str, unit: Option<Unit>) -> Result<Option<i64>, String> {
        let Some(field) = self.get(path) else { return Ok(None) };
        match field.text() {
            Some(text) => values::parse_time_ms(&text, unit, field.format(), None),
            None => Ok(None),
        }
    }

    /// The first of these times that is there.
    ///
    /// # Errors
    /// As [`Self::time`].
    pub fn first_time(self, paths: &[&str]) -> Result<Option<i64>, String> {
        for path in paths {
            if let Some(ms) = self.time(path, None)? {
                return Ok(Some(ms));
            }
        }
        Ok(None)
    }

    /// The truth value at a path: `true`, `yes`, `1` and their opposites.
    pub fn truth(self, path: &str) -> Option<bool> {
        let text = self.text(path)?;
        let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        match () {
            () if is(&["true", "yes", "1", "t"]) => Some(true),
            () if is(&["false", "no", "0", "f"]) => Some(false),
            () => None,
        }
    }
}

/// The value at a path of nested names. The longest name that is there counts; names may contain dots.
fn find<'a>(value: &'a Value, path: &str, depth: usize) -> Option<&'a Value> {
    let fields = value.as_object()?;
    if let Some(found) = fields.get(path) {
        return Some(found);
    }
    if depth >= MAX_DEPTH {
        return None;
    }
    path.match_indices('.').rev().find_map(|(dot, _)| find(fields.get(&path[..dot])?, &path[dot + 1..], depth + 1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_finds_nested_names_and_names_with_dots() {
        let value = json!({"a": {"b": {"c": 1}}, "x.y": 2, "p.q": {"r": "3"}, "n": null});
        let record = Record::Object(&value);
        assert_eq!(record.count("a.b.c"), Ok(Some(1)));
        assert_eq!(record.count("x.y"), Ok(Some(2)));
        assert_eq!(record.count("p.q.r"), Ok(Some(3)));
        assert_eq!((record.count("n"), record.count("a.z")), (Ok(None), Ok(None)));
        assert!(record.count("a.b").is_ok_and(|n| n.is_none()) && record.has("n"));
    }

    #[test]
    fn a_cell_that_holds_json_is_read_like_an_object() {
        let header = Header::new(vec!["model".into(), "metadata".into()]);
        let cells = csv::StringRecord::from(vec!["m", r#"{"usage":{"prompt_tokens":5}}"#]);
        let row = TableRow::with_json(&header, &cells);
        let record = Record::Row(&row);
        assert_eq!(record.count("metadata.usage.prompt_tokens"), Ok(Some(5)));
        assert_eq!(record.text("model").as_deref(), Some("m"));
        assert!(record.json("metadata").is_some_and(Value::is_object));
    }
}
