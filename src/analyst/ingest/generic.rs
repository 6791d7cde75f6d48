//! Reads logs of no known source: columns are recognised by their names, or named by the person who asks.

use std::{borrow::Cow, collections::HashMap};

use serde_json::Value;

use super::{
    cells::{self, Cells},
    choice::ColumnChoice,
    clip,
    collector::Collector,
    columns::{self, Column, Role},
    record::{Header, Record, TableRow},
    table::Table,
    values::{self, ColumnFormat, Decimal},
};
use crate::analyst::format::inline_code;

/// The reason for a record that has no field for tokens: it is no request.
pub(super) const NO_REQUEST: &str = "not a request";

/// Most names in [`Generic`]; a log with more uses data as names.
const MAX_NAMES: usize = 4096;

/// Deepest nesting of objects that is searched.
const MAX_DEPTH: usize = 8;

/// Most characters of a value to group by.
const MAX_GROUP_CHARS: usize = 100;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    Role(Column),
    Group(&'static str),
    Unknown,
}

/// The reader of one file.
pub(super) struct Generic<'c> {
    choice: &'c ColumnChoice,
    /// The columns of a table: best column of each role, and the columns to group by.
    roles: [Option<(usize, Column)>; Role::COUNT],
    groups: Vec<(usize, String)>,
    /// Other columns of a role, read in rows in which the best one says nothing.
    others: Vec<(usize, Column)>,
    /// The columns with the ids of a span and of the span above it.
    span: Option<(usize, usize)>,
    /// Whether the best column and another one of input or output were found to differ.
    differs: bool,
    /// The meaning of each name in JSON, cached because every record repeats the names.
    names: HashMap<String, Meaning>,
    /// The first name used for each role.
    pub(super) used: HashMap<Role, String>,
    /// All names, in order of appearance, and those without a meaning.
    pub(super) found: Vec<String>,
    pub(super) unused: Vec<String>,
}

impl<'c> Generic<'c> {
    /// Reads objects; `choice` says what a person named.
    pub(super) fn for_objects(choice: &'c ColumnChoice) -> Self {
        Self {
            choice,
            roles: [None; Role::COUNT],
            groups: Vec::new(),
            others: Vec::new(),
            span: None,
            differs: false,
            names: HashMap::new(),
            used: HashMap::new(),
            found: Vec::new(),
            unused: Vec::new(),
        }
    }

    /// Reads rows under this header.
    pub(super) fn for_table(header: &Header, choice: &'c ColumnChoice) -> Self {
        let mut reader = Self::for_objects(choice);
        for (at, name) in header.names.iter().enumerate() {
            match reader.meaning(name) {
                Meaning::Role(column) => {
                    let slot = &mut reader.roles[column.role as usize];
                    let other = match *slot {
                        Some(best) if column.rank >= best.1.rank => Some((at, column)),
                        best => {
                            *slot = Some((at, column));
                            best
                        }
                    };
                    let has_others = matches!(column.role, Role::Input | Role::Output | Role::Model);
                    reader.others.extend(other.filter(|(_, column)| has_others && !column.excludes_cache()));
                }
                Meaning::Group(group) => reader.groups.push((at, group.to_owned())),
                Meaning::Unknown => {}
            }
        }
        reader.pair_date_and_time(header);
        let find =
            |names: &[&str]| header.names.iter().position(|name| names.contains(&columns::normalize(name).as_str()));
        reader.span = find(&["spanid", "runid", "id"]).zip(find(&["parentspanid", "parentrunid", "parentid"]));
        let used: Vec<usize> = reader.roles.iter().flatten().map(|(at, _)| *at).collect();
        for (at, column) in reader.roles.into_iter().flatten() {
            reader.used.insert(column.role, header.names[at].clone());
        }
        let grouped: Vec<usize> = reader.groups.iter().map(|(at, _)| *at).collect();
        // A status can be grouped by, too.
        if let Some((at, _)) =
            reader.roles[Role::Status as usize].filter(|_| reader.roles[Role::Requests as usize].is_none())
        {
            reader.groups.push((at, "status".into()));
        }
        let free = |at: &usize| !used.contains(at) && !grouped.contains(at);
        reader.unused = (0..header.names.len()).filter(free).map(|at| header.names[at].clone()).collect();
        // Any other column may be one to group by, if its values turn out to repeat.
        for at in (0..header.names.len()).filter(free) {
            if !header.names[at].is_empty() {
                reader.groups.push((at, header.names[at].clone()));
            }
        }
        reader
    }

    /// A table with a column `date` and a column `time`: the second is the time of day.
    fn pair_date_and_time(&mut self, header: &Header) {
        let find =
            |names: &[&str]| header.names.iter().position(|name| names.contains(&columns::normalize(name).as_str()));
        let date = find(&["date", "day", "datum", "usagedate", "requestdate", "logdate"]);
        let clock = find(&["time", "timeofday", "clock", "zeit", "uhrzeit", "requesttime", "logtime"]);
        if self.choice.names(Role::Time) {
            return;
        }
        // A date and an hour: the beginning of a period.
        let hour = find(&["hour", "stunde"]).filter(|_| clock.is_none());
        if let (Some(hour), Some((at, column))) = (hour, self.roles[Role::Time as usize].as_mut())
            && Some(*at) == date
        {
            column.known = "hour";
            self.roles[Role::TimeOfDay as usize] = Some((hour, Column::named(Role::TimeOfDay, None)));
        }
        if let (Some(date), Some(clock)) = (date, clock) {
            self.roles[Role::Time as usize] = Some((date, Column::named(Role::Time, None)));
            self.roles[Role::TimeOfDay as usize] = Some((clock, Column::named(Role::TimeOfDay, None)));
        }
    }

    fn meaning(&self, name: &str) -> Meaning {
        if let Some(column) = self.choice.column(name) {
            return column.map_or(Meaning::Unknown, Meaning::Role);
        }
        match columns::recognise(name) {
            // A person named another column for this role.
            Some(column) if self.choice.names(column.role) => Meaning::Unknown,
            Some(column) => Meaning::Role(column),
            None => columns::group_name(name).map_or(Meaning::Unknown, Meaning::Group),
        }
    }

    /// Whether a column of this role was found.
    pub(super) fn has(&self, role: Role) -> bool {
        self.used.contains_key(&role)
    }

    /// Whether the column of a table holds counts.
    pub(super) fn is_count(&self, at: usize) -> bool {
        self.roles
            .iter()
            .flatten()
            .chain(&self.others)
            .any(|(column, known)| *column == at && (known.role.is_tokens() || known.role == Role::Requests))
    }

    /// Whether any column of a table without a role holds numbers, so that it is worth asking.
    pub(super) fn has_numbers(&self, table: &Table<'_>) -> bool {
        table.numeric.iter().enumerate().any(|(at, numeric)| {
            *numeric && self.roles.iter().flatten().all(|(column, known)| *column != at || known.role.is_tokens())
        })
    }

    /// The name of the column of times, if its dates can be read in two ways.
    pub(super) fn ambiguous_dates<'t>(&self, table: &'t Table<'_>) -> Option<&'t str> {
        let (at, _) = self.roles[Role::Time as usize]?;
        table.evidence[at].dates_are_ambiguous().then(|| table.header.names[at].as_str())
    }

    /// The name of the column of costs if its numbers can be read as decimals or as thousands and no column shows which; and
    /// whether they are read as thousands.
    pub(super) fn ambiguous_costs<'t>(&self, table: &'t Table<'_>) -> Option<(&'t str, bool)> {
        let (at, _) = self.roles[Role::Cost as usize]?;
        let (evidence, format) = (&table.evidence[at], table.header.formats[at]);
        let others = table.evidence.iter().filter_map(|evidence| evidence.format().decimal);
        let separator =
            evidence.only_separator().filter(|_| evidence.numbers_are_ambiguous() && others.count() == 0)?;
        Some((table.header.names[at].as_str(), format.decimal.unwrap_or(Decimal::Point) != separator))
    }

    /// The columns of a table that may hold costs, if none is recognised as such.
    pub(super) fn unknown_costs(&self) -> Vec<String> {
        let may_cost = |name: &&String| {
            let name = columns::normalize(name);
            ["cost", "spend", "kosten", "coût", "charge"].iter().any(|word| name.contains(word))
        };
        let unused: &[String] = if self.has(Role::Cost) || self.choice.names(Role::Cost) { &[] } else { &self.unused };
        unused.iter().filter(may_cost).take(4).map(|name| inline_code(&clip(name))).collect()
    }

    /// Says that two columns of input or output tokens differ.
    fn compare(&mut self, row: &TableRow<'_>, collector: &mut Collector) {
        if self.differs {
            return;
        }
        let header = row.header();
        let count = |at: usize| values::parse_count(row.cell(at)?, "", header.format(at)).ok()?.filter(|n| *n > 0);
        let differing = self.others.iter().find_map(|(other, column)| {
            let (best, _) = self.roles[column.role as usize]?;
            let differs = column.role.is_tokens() && count(best)? != count(*other)?;
            differs.then_some((best, *other, column.role.label()))
        });
        if let Some((best, other, what)) = differing {
            self.differs = true;
            collector.state_unknown(&format!(
                "Two columns name {what} and differ: {} is read, {} is not.",
                inline_code(&header.names[best]),
                inline_code(&header.names[other])
            ));
        }
    }

    /// Reads one record.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub(super) fn read(&mut self, record: Record<'_>, collector: &mut Collector) -> Result<(), String> {
        let cells = match record {
            Record::Row(row) => {
                self.compare(row, collector);
                self.row_cells(row)
            }
            Record::Object(value) => self.object_cells(value),
        };
        let has_tokens = [Role::Input, Role::Output, Role::Total].into_iter().any(|role| cells.get(role).is_some());
        // A request that failed may have no usage.
        if !has_tokens && !cells.states_failure() {
            let is_request = !matches!(record, Record::Object(value) if !has_empty_usage(value));
            return Err(if is_request { "no token counts" } else { NO_REQUEST }.into());
        }
        for (_, column, _) in cells.roles.iter().flatten() {
            if !self.used.contains_key(&column.role) {
                self.used.insert(column.role, self.name_of(column));
            }
        }
        let usage = cells::interpret(cells, collector)?;
        collector.push(&usage);
        Ok(())
    }

    fn row_cells<'a>(&self, row: &'a TableRow<'_>) -> Cells<'a> {
        let header = row.header();
        let roles = std::array::from_fn(|role| {
            let (at, column) = self.roles[role]?;
            let text = row.cell(at)?;
            let other = || {
                let mut others = self.others.iter().filter(|(_, other)| other.role == column.role);
                others.find_map(|(at, column)| {
                    let text = row.cell(*at).filter(|text| cells::says_something(text, column.role))?;
                    Some((text, *column, *at))
                })
            };
            let other = if cells::says_something(text, column.role) { None } else { other() };
            let (text, column, at) = other.unwrap_or((text, column, at));
            Some((Cow::Borrowed(text), column, header.format(at)))
        });
        let groups = self
            .groups
            .iter()
            .filter_map(|(at, name)| {
                let value = row.cell(*at)?.trim();
                (!values::is_empty(value)).then(|| (Cow::Owned(name.clone()), Cow::Borrowed(value)))
            })
            .collect();
        let text = |at: usize| row.cell(at).map(str::trim).filter(|text| !values::is_empty(text)).map(Cow::Borrowed);
        let span = self.span.and_then(|(id, parent)| Some((text(id)?, text(parent))));
        Cells { roles, groups, span }
    }

    fn object_cells<'a>(&mut self, value: &'a Value) -> Cells<'a> {
        let mut cells = Cells { roles: Default::default(), groups: Vec::new(), span: None };
        self.collect(value, &mut String::new(), 0, &mut cells);
        cells
    }

    /// Searches an object and keeps the best cell for each role. `path` is the name so far, joined with dots.
    fn collect<'a>(&mut self, value: &'a Value, path: &mut String, depth: usize, cells: &mut Cells<'a>) {
        match value {
            Value::Object(fields) if depth < MAX_DEPTH => {
                for (name, field) in fields {
                    with_path(name, path, |path| self.collect(field, path, depth + 1, cells));
                }
            }
            Value::Array(items) if path.ends_with("attributes") => {
                for item in items {
                    let (Some(key), Some(field)) = (item.get("key").and_then(Value::as_str), item.get("value")) else {
                        continue;
                    };
                    let inner =
                        ["intValue", "stringValue", "doubleValue", "boolValue"].iter().find_map(|kind| field.get(kind));
                    with_path(key, path, |path| self.collect(inner.unwrap_or(field), path, depth + 1, cells));
                }
            }
            Value::String(text) => self.keep(Cow::Borrowed(text.as_str()), path, cells),
            Value::Number(number) if self.known(path) != Meaning::Unknown => {
                self.keep(Cow::Owned(number.to_string()), path, cells);
            }
            Value::Bool(truth) => self.keep(Cow::Borrowed(if *truth { "true" } else { "false" }), path, cells),
            _ => {}
        }
    }

    fn keep<'a>(&mut self, text: Cow<'a, str>, path: &str, cells: &mut Cells<'a>) {
        // JSON writes numbers with a decimal point.
        let format = ColumnFormat { decimal: Some(Decimal::Point), ..ColumnFormat::default() };
        match self.known(path) {
            Meaning::Role(column) => {
                if column.role == Role::Status && !cells.groups.iter().any(|(known, _)| known == "status") {
                    cells.groups.push((Cow::Borrowed("status"), text.clone()));
                }
                cells.keep_best(text, column, format);
            }
            Meaning::Group(name)
                if !text.is_empty()
                    && text.chars().count() <= MAX_GROUP_CHARS
                    && !cells.groups.iter().any(|(known, _)| known == name) =>
            {
                cells.groups.push((Cow::Borrowed(name), text));
            }
            _ => {}
        }
    }

    fn known(&mut self, path: &str) -> Meaning {
        if let Some(meaning) = self.names.get(path) {
            return *meaning;
        }
        let meaning = self.meaning(path);
        if self.names.len() < MAX_NAMES {
            self.names.insert(path.to_owned(), meaning);
            self.found.push(clip(path));
            if meaning == Meaning::Unknown {
                self.unused.push(clip(path));
            }
        }
        meaning
    }

    /// The name of a column in the file.
    fn name_of(&self, column: &Column) -> String {
        self.names
            .iter()
            .filter(|(_, known)| **known == Meaning::Role(*column))
            .map(|(name, _)| name.clone())
            .min()
            .unwrap_or_default()
    }
}

/// Whether an object has a field for usage or tokens that is empty.
fn has_empty_usage(value: &Value) -> bool {
    let is_usage = |name: &str| ["usage", "token"].iter().any(|word| columns::normalize(name).contains(word));
    value.as_object().is_some_and(|fields| {
        fields.iter().any(|(name, field)| match field {
            Value::Null => is_usage(name),
            Value::Object(inner) => (inner.is_empty() && is_usage(name)) || has_empty_usage(field),
            _ => false,
        })
    })
}

/// Calls `visit` with `name` appended to the path.
fn with_path(name: &str, path: &mut String, visit: impl FnOnce(&mut String)) {
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(name);
    visit(path);
    path.truncate(length);
}
