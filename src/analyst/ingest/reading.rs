//! Reads files one after the other into one dataset: finds out what each is, and passes its records to the source that knows it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    FileReport, IngestError, StopFn, UsageLog,
    choice::{ColumnChoice, ColumnQuestion, MAX_CHOICES, PREVIEW_ROWS},
    clip,
    collector::Collector,
    columns::Role,
    generic::{self, Generic},
    input::Input,
    json::{self, Shape},
    name_list, nested, peek_first_byte,
    record::Record,
    sink::Sink,
    sources::{REGISTRY, Reader, Source},
    table::Table,
};
use crate::analyst::ingest::values::{ColumnFormat, Decimal};

/// Records of a JSON file that are looked at before it is decided what the file is.
const SAMPLE_RECORDS: usize = 200;

/// Bytes of JSON that are kept for it.
const SAMPLE_BYTES: usize = 8 << 20;

/// The files of one analysis.
#[derive(Default)]
pub struct Reading {
    collector: Collector,
    several: bool,
}

impl Reading {
    /// Starts; with `several`, every row gets its file as a value to group by.
    pub fn new(several: bool) -> Self {
        Self { several, ..Self::default() }
    }

    /// Reads one file; `choice` says what a person named.
    ///
    /// # Errors
    /// When the file cannot be used, or a question has to be answered first.
    pub fn add(
        &mut self,
        name: &str,
        input: &Input,
        choice: &ColumnChoice,
        stop: StopFn<'_>,
    ) -> Result<(), IngestError> {
        self.collector.begin_file(self.several.then_some(name));
        let mut file = FileReport { name: name.to_owned(), ..FileReport::default() };
        match peek_first_byte(&mut *input.open()?)? {
            None => return Err(IngestError::Empty),
            Some(b'{' | b'[') => self.add_json(input, choice, stop, &mut file)?,
            Some(_) => self.add_table(input, choice, stop, &mut file)?,
        }
        if let Some(packed) = &input.packed {
            file.format = format!("{packed}: {}", file.format);
        }
        self.collector.end_file();
        self.collector.report.files.push(file);
        Ok(())
    }

    /// The log and its report.
    ///
    /// # Errors
    /// When no row can be used.
    pub fn finish(self) -> Result<UsageLog, IngestError> {
        let (data, report) = self.collector.finish()?;
        Ok(UsageLog { data, report })
    }

    fn add_table(
        &mut self,
        input: &Input,
        choice: &ColumnChoice,
        stop: StopFn<'_>,
        file: &mut FileReport,
    ) -> Result<(), IngestError> {
        let mut table = Table::open(input, stop)?;
        file.format = format!("CSV, separated by {}", table.delimiter_name());
        if let Some(source) = recognise_table(&table, stop)? {
            file.source = Some(source.name().to_owned());
            table.resolve_formats(None, choice);
            let mut reader = source.reader();
            table.read(stop, &mut |line, row| self.add_record(line, row, &mut *reader))?;
            reader.finish(&mut Sink { collector: &mut self.collector, line: 0 });
            return Ok(());
        }
        self.collector.file.infer_parts = true;
        let mut generic = Generic::for_table(&table.header, choice);
        if let Some(question) = table_question(&table, &generic, choice, stop)? {
            return Err(match generic.has_numbers(&table) {
                true => IngestError::NeedsColumns(Box::new(ColumnQuestion { file: file.name.clone(), ..question })),
                false => IngestError::NoTokens(name_list(&table.header.names)),
            });
        }
        table.resolve_formats(Some(&generic), choice);
        if let Some(name) = generic.ambiguous_costs(&table) {
            self.collector.state_unknown(&format!(
                "The numbers in {} have a separator before exactly three digits only: whether it is one of decimals or of thousands is not certain; {}.",
                crate::analyst::format::inline_code(name.0),
                if name.1 { "it is read as one of thousands" } else { "it is read as one of decimals" }
            ));
        }
        let collector = &mut self.collector;
        table.read(stop, &mut |line, row| {
            if collector.is_full() {
                return Err(IngestError::TooManyRows);
            }
            let read = row.and_then(|record| generic.read(record, collector));
            read.unwrap_or_else(|reason| collector.leave_out(line, reason));
            Ok(())
        })?;
        self.state_unknown_costs(&generic);
        report_columns(&generic, file);
        Ok(())
    }

    /// Says which fields may be costs that were not recognised.
    fn state_unknown_costs(&mut self, generic: &Generic<'_>) {
        let costs = generic.unknown_costs();
        if !costs.is_empty() {
            self.collector.state_unknown(&format!(
                "The log may have costs in {}, which are not read: the costs of this report do not come from them.",
                crate::analyst::format::list(&costs)
            ));
        }
    }

    /// Passes a record to the reader of a source.
    fn add_record(
        &mut self,
        line: u64,
        record: Result<Record<'_>, String>,
        reader: &mut dyn Reader,
    ) -> Result<(), IngestError> {
        if self.collector.is_full() {
            return Err(IngestError::TooManyRows);
        }
        let read = record.and_then(|record| reader.read(record, &mut Sink { collector: &mut self.collector, line }));
        read.unwrap_or_else(|reason| self.collector.leave_out(line, reason));
        Ok(())
    }

    fn add_json(
        &mut self,
        input: &Input,
        choice: &ColumnChoice,
        stop: StopFn<'_>,
        file: &mut FileReport,
    ) -> Result<(), IngestError> {
        let shape = json::shape(input)?;
        file.format = if shape == Shape::Lines { "JSON Lines".into() } else { "JSON".into() };
        let sample = sample(input, shape, stop)?;
        let nesting = nested::find(&sample);
        let unwrapped = |value: &Value| nesting.and_then(|nesting| nested::unwrap(value, nesting));
        let sources = sources_of(&sample, nesting);
        if sources.is_empty() {
            return self.add_generic_json(input, shape, &sample, nesting, choice, stop, file);
        }
        file.source = Some(sources.iter().map(|source| source.name()).collect::<Vec<_>>().join(", "));
        let mut readers: Vec<(&dyn Source, Box<dyn Reader>)> =
            sources.iter().map(|source| (*source, source.reader())).collect();
        json::read(input, shape, stop, &mut |line, value| {
            let inner = value.as_ref().ok().and_then(|value| unwrapped(value));
            let record = value.map(|value| Record::Object(inner.as_ref().unwrap_or(value)));
            let record = match record {
                Ok(record) => record,
                Err(reason) => {
                    self.collector.reject(line, reason);
                    return Ok(());
                }
            };
            match readers.iter_mut().find(|(source, _)| source.recognises(record)) {
                Some((_, reader)) => self.add_record(line, Ok(record), &mut **reader),
                None => {
                    self.collector.leave_unrecognised(record);
                    Ok(())
                }
            }
        })?;
        for (_, reader) in &mut readers {
            reader.finish(&mut Sink { collector: &mut self.collector, line: 0 });
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one file, used once")]
    fn add_generic_json(
        &mut self,
        input: &Input,
        shape: Shape,
        sample: &[Value],
        nesting: Option<&'static str>,
        choice: &ColumnChoice,
        stop: StopFn<'_>,
        file: &mut FileReport,
    ) -> Result<(), IngestError> {
        self.collector.file.infer_parts = true;
        let mut generic = Generic::for_objects(choice);
        let collector = &mut self.collector;
        json::read(input, shape, stop, &mut |line, value| {
            if collector.is_full() {
                return Err(IngestError::TooManyRows);
            }
            let inner = value.as_ref().ok().and_then(|value| nested::unwrap(value, nesting?));
            let read = value.and_then(|value| generic.read(Record::Object(inner.as_ref().unwrap_or(value)), collector));
            match read {
                Err(reason) if reason == generic::NO_REQUEST => collector.skip("records without token counts"),
                read => read.unwrap_or_else(|reason| collector.reject(line, reason)),
            }
            Ok(())
        })?;
        self.state_unknown_costs(&generic);
        report_columns(&generic, file);
        let missing = missing_roles(&generic, choice);
        if missing.len() == 2 || (!missing.is_empty() && generic.has(Role::Total)) {
            let (columns, rows) = nested::preview(sample, PREVIEW_ROWS, MAX_CHOICES);
            if columns.is_empty() {
                return Err(IngestError::NoTokens(name_list(&generic.found)));
            }
            let roles = missing.iter().map(|role| role.key().to_owned()).collect();
            let reasons = reasons_for(&missing);
            return Err(IngestError::NeedsColumns(Box::new(ColumnQuestion {
                file: file.name.clone(),
                reasons,
                roles,
                columns,
                rows,
            })));
        }
        Ok(())
    }
}

/// The sources that recognise records of the sample, in the order of the registry.
fn sources_of(sample: &[Value], nesting: Option<&'static str>) -> Vec<&'static dyn Source> {
    let first = |value: &Value| {
        let inner = nesting.and_then(|nesting| nested::unwrap(value, nesting));
        let record = Record::Object(inner.as_ref().unwrap_or(value));
        REGISTRY.iter().position(|source| source.recognises(record))
    };
    let found: BTreeSet<usize> = sample.iter().filter_map(first).collect();
    found.into_iter().map(|at| REGISTRY[at]).collect()
}

/// The source of a table, by its first rows.
fn recognise_table(table: &Table<'_>, stop: StopFn<'_>) -> Result<Option<&'static dyn Source>, IngestError> {
    let mut found = None;
    let mut looked_at = 0;
    let result = table.read(stop, &mut |_, row| {
        if let Ok(record) = row {
            found = found.or_else(|| REGISTRY.iter().copied().find(|source| source.recognises(record)));
            looked_at += 1;
        }
        if found.is_some() || looked_at >= 20 { Err(IngestError::Stopped) } else { Ok(()) }
    });
    match result {
        Ok(()) => Ok(found),
        Err(IngestError::Stopped) if found.is_some() || looked_at >= 20 => Ok(found),
        Err(error) => Err(error),
    }
}

/// The first records of a JSON file.
fn sample(input: &Input, shape: Shape, stop: StopFn<'_>) -> Result<Vec<Value>, IngestError> {
    let mut sample = Vec::new();
    let mut bytes = 0;
    let result = json::read(input, shape, stop, &mut |_, value| {
        if let Ok(value) = value {
            bytes += crate::json_size::extent(value).bytes;
            sample.push(value.clone());
        }
        if sample.len() >= SAMPLE_RECORDS || bytes >= SAMPLE_BYTES { Err(IngestError::Stopped) } else { Ok(()) }
    });
    match result {
        Err(IngestError::Stopped) if !stop() => Ok(sample),
        // An error after the first records is found again when the whole file is read.
        Err(_) if !sample.is_empty() => Ok(sample),
        Err(error) => Err(error),
        Ok(()) => Ok(sample),
    }
}

/// Input and output, as far as no column was found or denied.
fn missing_roles(generic: &Generic<'_>, choice: &ColumnChoice) -> Vec<Role> {
    [Role::Input, Role::Output].into_iter().filter(|role| !generic.has(*role) && !choice.denies(*role)).collect()
}

fn reasons_for(missing: &[Role]) -> Vec<String> {
    missing.iter().map(|role| format!("No column with {} was recognised.", role.label())).collect()
}

/// The question that has to be answered before a table can be read, if any.
fn table_question(
    table: &Table<'_>,
    generic: &Generic<'_>,
    choice: &ColumnChoice,
    stop: StopFn<'_>,
) -> Result<Option<ColumnQuestion>, IngestError> {
    let missing = missing_roles(generic, choice);
    let mut roles: Vec<String> = missing.iter().map(|role| role.key().to_owned()).collect();
    let mut reasons = reasons_for(&missing);
    if let Some(name) = generic.ambiguous_dates(table).filter(|_| choice.dates.is_none()) {
        roles.push("dates".into());
        reasons.push(format!("The dates in {name:?} can be read with the day first or the month first."));
    }
    if roles.is_empty() {
        return Ok(None);
    }
    let shown = table.header.names.len().min(MAX_CHOICES);
    let mut rows: Vec<Vec<String>> = Vec::new();
    let result = table.read(stop, &mut |_, row| {
        if let Ok(Record::Row(row)) = row {
            rows.push((0..shown).map(|at| clip(row.cell(at).unwrap_or_default())).collect());
        }
        if rows.len() >= PREVIEW_ROWS { Err(IngestError::Stopped) } else { Ok(()) }
    });
    match result {
        Err(IngestError::Stopped) if rows.len() < PREVIEW_ROWS => return Err(IngestError::Stopped),
        Err(error) if rows.is_empty() => return Err(error),
        _ => {}
    }
    let columns = table.header.names[..shown].to_vec();
    Ok(Some(ColumnQuestion { file: String::new(), reasons, roles, columns, rows }))
}

fn report_columns(generic: &Generic<'_>, file: &mut FileReport) {
    let mut used: Vec<_> = generic.used.iter().collect();
    used.sort_by_key(|(role, _)| **role as usize);
    file.columns = used.into_iter().map(|(role, name)| (role.label().to_owned(), clip(name))).collect();
    file.unused = generic.unused.iter().take(40).map(|name| clip(name)).collect();
}

impl Table<'_> {
    /// Decides the formats that the cells of a column leave open: by the other columns, by the delimiter, by `choice`.
    fn resolve_formats(&mut self, generic: Option<&Generic<'_>>, choice: &ColumnChoice) {
        let comma = self.evidence.iter().any(|evidence| evidence.format().decimal == Some(Decimal::Comma));
        let point = self.evidence.iter().any(|evidence| evidence.format().decimal == Some(Decimal::Point));
        let file_decimal = match (comma, point) {
            (true, false) => Some(Decimal::Comma),
            (false, true) => Some(Decimal::Point),
            // German and other tables with semicolons use the comma.
            _ if self.delimiter == b';' && !point => Some(Decimal::Comma),
            _ => None,
        };
        let is_shown = comma != point;
        for (at, format) in self.header.formats.iter_mut().enumerate() {
            let is_count = generic.is_some_and(|generic| generic.is_count(at));
            let ambiguous = self.evidence[at].numbers_are_ambiguous();
            *format = ColumnFormat {
                // Counts without evidence keep thousands: they have no decimals.
                decimal: format.decimal.or(match self.evidence[at].only_separator() {
                    // Counts such as `12.000` only, in a file that does not write decimals with a comma.
                    Some(Decimal::Point)
                        if is_count
                            && self.evidence[at].may_have_zero_decimals()
                            && file_decimal != Some(Decimal::Comma) =>
                    {
                        Some(Decimal::Point)
                    }
                    _ if is_count && ambiguous => None,
                    // Under semicolons `1.234` alone is a number with decimals: others would have a comma.
                    Some(Decimal::Point) if !is_shown && self.delimiter == b';' => Some(Decimal::Point),
                    _ => file_decimal,
                }),
                dates: choice.dates.or(format.dates),
                ..*format
            };
        }
    }
}
