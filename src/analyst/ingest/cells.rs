//! The cells of one record of a log of no known source, by what they mean; and the usage that they state.

use std::borrow::Cow;

use super::{
    collector::Collector,
    columns::{Column, Role},
    usage::Usage,
    values::{self, ColumnFormat},
};

/// A cell, its column, and how the column writes values.
pub(super) type Cell<'a> = Option<(Cow<'a, str>, Column, ColumnFormat)>;

/// The cells of one record, by role, and its values to group by.
pub(super) struct Cells<'a> {
    pub(super) roles: [Cell<'a>; Role::COUNT],
    pub(super) groups: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The id of the span, and of the span above it.
    pub(super) span: Option<(Cow<'a, str>, Option<Cow<'a, str>>)>,
}

impl<'a> Cells<'a> {
    /// The cell of a role.
    pub(super) fn get(&self, role: Role) -> Option<&(Cow<'a, str>, Column, ColumnFormat)> {
        self.roles[role as usize].as_ref()
    }

    /// Stores the cell if its column is a better match for its role than the one stored.
    pub(super) fn keep_best(&mut self, text: Cow<'a, str>, column: Column, format: ColumnFormat) {
        let slot = &mut self.roles[column.role as usize];
        if slot.as_ref().is_none_or(|(kept, known, _)| {
            let (kept, new) = (says_something(kept, column.role), says_something(&text, column.role));
            (new, known.rank) > (kept, column.rank)
        }) {
            *slot = Some((text, column, format));
        }
    }
}

impl Cells<'_> {
    /// Whether the record says that its request failed.
    pub(super) fn states_failure(&self) -> bool {
        failure(self) == Some(true)
    }
}

/// Names of columns with a period; a number in them is one of a calendar, not a time.
const PERIODS: [&str; 9] =
    ["hour", "day", "week", "month", "period", "periodstart", "bucket", "bucketstart", "windowstart"];

/// Whether a cell has a value; a count of input or output tokens that is zero says less than another one.
pub(super) fn says_something(cell: &str, role: Role) -> bool {
    let cell = cell.trim();
    let is_zero = matches!(role, Role::Input | Role::Output) && cell.parse() == Ok(0.0);
    !is_zero && !values::is_empty(cell)
}

/// Whether a request failed, by what its column states: a status, success or errors.
fn failure(cells: &Cells<'_>) -> Option<bool> {
    let (cell, column, _) = cells.get(Role::Status)?;
    let starts = |words: &[&str]| words.iter().any(|word| column.known.starts_with(word));
    match () {
        () if starts(&["error", "iserror", "haserror", "failed", "isfailed", "exception"]) => values::is_error(cell),
        () if starts(&["success", "issuccess", "succeeded"]) => values::is_no_success(cell),
        () => values::is_failure(cell),
    }
}

/// The usage that the cells state.
pub(super) fn interpret<'a>(mut cells: Cells<'a>, collector: &mut Collector) -> Result<Usage<'a>, String> {
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
        span: cells.span.take(),
        ..Usage::default()
    };
    // Of a row for many requests, the column may count the failed ones.
    usage.failed = failure(&cells).filter(|_| usage.requests.is_none_or(|requests| requests == 1));
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
    if cells.get(Role::Input).is_some_and(|(_, column, _)| column.excludes_cache()) {
        usage.add_cache_to_input();
        collector.file.input_excludes_cache = true;
    }
    let named = |role: Role, word: &str| cells.get(role).is_some_and(|(_, column, _)| column.known.starts_with(word));
    if named(Role::Output, "candidates") && named(Role::Reasoning, "thoughts") {
        usage.add_reasoning_to_output();
        collector.file.output_excludes_reasoning = true;
    }
    // Tools that follow Anthropic name what was read and written, and may count it beside the input.
    let may_be_beside = |role: Role| {
        cells
            .get(role)
            .is_some_and(|(_, column, _)| column.known.starts_with("cache") && !column.known.starts_with("cached"))
    };
    collector.file.cache_may_be_beside |= usage.cached.or(usage.cache_write).is_some_and(|tokens| tokens > 0)
        && (may_be_beside(Role::Cached) || may_be_beside(Role::CacheWrite));
    collector.file.by_period |= cells.get(Role::Time).is_some_and(|(_, column, _)| PERIODS.contains(&column.known));
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
        if PERIODS.contains(&column.known) && cell.trim().len() <= 4 {
            return None;
        }
        let day = cells.get(Role::TimeOfDay).filter(|_| role == Role::Time);
        let text = match day.map(|(clock, ..)| clock.trim()) {
            None => Cow::Borrowed(cell.as_ref()),
            // An hour alone.
            Some(clock) if clock.len() <= 2 => Cow::Owned(format!("{cell} {clock}:00")),
            // The column has the date, too.
            Some(clock) if clock.len() > 10 && clock.contains(['-', '/', '.']) && clock.contains([' ', 'T']) => {
                Cow::Borrowed(clock)
            }
            Some(clock) => Cow::Owned(format!("{cell} {clock}")),
        };
        values::parse_time_ms(&text, column.unit, *format, zone.as_ref()).unwrap_or_else(|reason| {
            collector.unreadable(role.label(), reason);
            None
        })
    };
    (usage.start_ms, usage.end_ms) = (time(Role::Time), time(Role::End));
    let mut duration = |role: Role| {
        let (cell, column, format) = cells.get(role)?;
        match values::parse_duration(cell, role.label(), *format) {
            Ok(value) => value.map(|(value, unit)| (value, unit.or(column.unit))),
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
    let stands_for_none =
        |id: &Cow<'_, str>| ["0", "unknown", "default", "test"].contains(&id.trim().to_lowercase().as_str());
    usage.request_id = text(Role::RequestId).filter(|id| !stands_for_none(id));
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
