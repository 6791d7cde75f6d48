//! Reads logs of no known source: columns are recognised by their names, or named by the person who asks.

use std::{borrow::Cow, collections::HashMap};

use serde_json::Value;

use super::{
    choice::ColumnChoice,
    clip,
    collector::Collector,
    columns::{self, Column, Role},
    record::{Header, Record, TableRow},
    table::Table,
    usage::Usage,
    values::{self, ColumnFormat, Decimal},
};

/// Most names in [`Generic`]; a log with more uses data as names.
const MAX_NAMES: usize = 4096;

/// Deepest nesting of objects that is searched.
const MAX_DEPTH: usize = 8;

/// Most characters of a value to group by.
const MAX_GROUP_CHARS: usize = 100;

/// A cell, its column, and how the column writes values.
type Cell<'a> = Option<(Cow<'a, str>, Column, ColumnFormat)>;

/// The cells of one record, by role, and its values to group by.
struct Cells<'a> {
    roles: [Cell<'a>; Role::COUNT],
    groups: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Cells<'a> {
    fn get(&self, role: Role) -> Option<&(Cow<'a, str>, Column, ColumnFormat)> {
        self.roles[role as usize].as_ref()
    }

    /// Stores the cell if its column is a better match for its role than the one stored.
    fn keep_best(&mut self, text: Cow<'a, str>, column: Column, format: ColumnFormat) {
        let slot = &mut self.roles[column.role as usize];
        if slot.as_ref().is_none_or(|(_, known, _)| column.rank < known.rank) {
            *slot = Some((text, column, format));
        }
    }
}

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
                    if slot.is_none_or(|(_, known)| column.rank < known.rank) {
                        *slot = Some((at, column));
                    }
                }
                Meaning::Group(group) => reader.groups.push((at, group.to_owned())),
                Meaning::Unknown => {}
            }
        }
        reader.pair_date_and_time(header);
        let used: Vec<usize> = reader.roles.iter().flatten().map(|(at, _)| *at).collect();
        for (at, column) in reader.roles.into_iter().flatten() {
            reader.used.insert(column.role, header.names[at].clone());
        }
        let grouped: Vec<usize> = reader.groups.iter().map(|(at, _)| *at).collect();
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
        if let (Some(date), Some(clock)) = (date, clock)
            && !self.choice.names(Role::Time)
        {
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

    /// Reads one record.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub(super) fn read(&mut self, record: Record<'_>, collector: &mut Collector) -> Result<(), String> {
        let cells = match record {
            Record::Row(row) => self.row_cells(row),
            Record::Object(value) => self.object_cells(value),
        };
        if cells.get(Role::Input).is_none() && cells.get(Role::Output).is_none() && cells.get(Role::Total).is_none() {
            return Err("no token counts".into());
        }
        for (_, column, _) in cells.roles.iter().flatten() {
            if !self.used.contains_key(&column.role) {
                self.used.insert(column.role, self.name_of(column));
            }
        }
        let usage = interpret(cells, collector)?;
        collector.push(&usage);
        Ok(())
    }

    fn row_cells<'a>(&self, row: &'a TableRow<'_>) -> Cells<'a> {
        let header = row.header();
        let roles = std::array::from_fn(|role| {
            let (at, column) = self.roles[role]?;
            Some((Cow::Borrowed(row.cell(at)?), column, header.format(at)))
        });
        let groups = self
            .groups
            .iter()
            .filter_map(|(at, name)| {
                let value = row.cell(*at)?.trim();
                (!values::is_empty(value)).then(|| (Cow::Owned(name.clone()), Cow::Borrowed(value)))
            })
            .collect();
        Cells { roles, groups }
    }

    fn object_cells<'a>(&mut self, value: &'a Value) -> Cells<'a> {
        let mut cells = Cells { roles: Default::default(), groups: Vec::new() };
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
        let format = ColumnFormat { decimal: Some(Decimal::Point), dates: None };
        match self.known(path) {
            Meaning::Role(column) => cells.keep_best(text, column, format),
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

/// The usage that the cells state.
fn interpret<'a>(mut cells: Cells<'a>, collector: &mut Collector) -> Result<Usage<'a>, String> {
    let groups = std::mem::take(&mut cells.groups);
    let count = |role: Role| match cells.get(role) {
        Some((cell, _, format)) => values::parse_count(cell, role.label(), *format),
        None => Ok(None),
    };
    let mut usage = Usage {
        input: count(Role::Input)?,
        output: count(Role::Output)?,
        total: count(Role::Total)?,
        cached: count(Role::Cached)?,
        cache_write: count(Role::CacheWrite)?,
        reasoning: count(Role::Reasoning)?,
        requests: count(Role::Requests)?,
        groups,
        ..Usage::default()
    };
    usage.failed = cells.get(Role::Status).and_then(|(cell, ..)| values::is_failure(cell));
    // A request that failed may have no counts.
    let expects_input = cells.get(Role::Input).is_some() || usage.output.is_none();
    if usage.input.is_none() && expects_input && usage.failed != Some(true) {
        return Err("input tokens are missing".into());
    }
    let is_anthropic = |role: Role| cells.get(role).is_some_and(|(_, column, _)| column.anthropic);
    if is_anthropic(Role::Input) && (is_anthropic(Role::Cached) || is_anthropic(Role::CacheWrite)) {
        usage.add_cache_to_input();
        collector.file.input_excludes_cache = true;
    }
    read_times(&cells, &mut usage, collector);
    read_text_and_money(&cells, &mut usage, collector);
    usage.set_kind_by_name();
    Ok(usage)
}

/// Reads times and durations; one that cannot be read is counted and left out.
fn read_times(cells: &Cells<'_>, usage: &mut Usage<'_>, collector: &mut Collector) {
    let zone = cells.get(Role::Zone).and_then(|(cell, ..)| values::parse_zone(cell));
    let mut time = |role: Role| {
        let (cell, column, format) = cells.get(role)?;
        let day = cells.get(Role::TimeOfDay).filter(|_| role == Role::Time);
        let text = day.map_or(Cow::Borrowed(cell.as_ref()), |(clock, ..)| Cow::Owned(format!("{cell} {clock}")));
        values::parse_time_ms(&text, column.unit, *format, zone.as_ref()).unwrap_or_else(|reason| {
            collector.unreadable(role.label(), reason);
            None
        })
    };
    (usage.start_ms, usage.end_ms) = (time(Role::Time), time(Role::End));
    let mut duration = |role: Role| {
        let (cell, column, format) = cells.get(role)?;
        match values::parse_number(cell, role.label(), *format) {
            Ok(value) => value.map(|value| (value, column.unit)),
            Err(reason) => {
                collector.unreadable(role.label(), reason);
                None
            }
        }
    };
    (usage.latency, usage.first_token) = (duration(Role::Latency), duration(Role::FirstToken));
}

fn read_text_and_money<'a>(cells: &Cells<'a>, usage: &mut Usage<'a>, collector: &mut Collector) {
    let text =
        |role: Role| cells.get(role).map(|(cell, ..)| cell.clone()).filter(|text| !values::is_empty(text.trim()));
    usage.model = text(Role::Model);
    usage.request_id = text(Role::RequestId);
    let Some((cell, column, format)) = cells.get(Role::Cost) else { return };
    match values::parse_money(cell, Role::Cost.label(), *format) {
        Ok(Some(mut money)) => {
            money.amount *= column.scale;
            let named = cells.get(Role::Currency).and_then(|(cell, ..)| values::currency_code(cell));
            money.currency = money.currency.or(named).or(column.currency);
            usage.cost = Some(money);
        }
        Ok(None) => {}
        Err(reason) => collector.unreadable(Role::Cost.label(), reason),
    }
}
