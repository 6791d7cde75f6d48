//! How a column of a table writes numbers and dates, decided by all of its cells, never by one.

use super::{ColumnFormat, DateOrder, Decimal, numbers::groups_of_three, times::split_clock};

/// The days of 2000 to 2100 as spreadsheets count them.
const SERIAL_DAYS: std::ops::Range<u32> = 36_526..73_051;

/// What the cells of one column show of its format.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FormatEvidence {
    /// Cells that can only have a decimal point, or only a decimal comma.
    point: u32,
    comma: u32,
    /// Cells whose only separator may be either, such as `1,234` or `1.234`.
    ambiguous: u32,
    /// Those of them with a point.
    ambiguous_points: u32,
    /// Those of them with zeros after it, as in `12.000`.
    ambiguous_zeros: u32,
    /// Numbers, and those that can be dates of this century as spreadsheets count them.
    numbers: u32,
    serial: u32,
    /// Dates that can only have the day first, or only the month first.
    day_first: u32,
    month_first: u32,
    /// Dates that may have either.
    either: u32,
    /// For each order, the last date in days, and how often a date was before the one above it.
    last: [i64; 2],
    backwards: [u32; 2],
}

impl FormatEvidence {
    /// Adds a cell.
    pub(crate) fn add(&mut self, cell: &str) {
        let cell = cell.trim();
        if !cell.bytes().any(|b| b.is_ascii_digit()) || cell.len() > 40 {
            return;
        }
        let number = cell.trim_matches(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | '-'));
        if number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'-' | b'\'' | b' ')) {
            self.add_number(number);
        }
        if cell.contains('/') || cell.bytes().filter(|b| matches!(b, b'-' | b'.')).count() >= 2 {
            self.add_date(cell);
        }
    }

    fn add_number(&mut self, number: &str) {
        self.numbers += 1;
        let days = number.split(['.', ',']).next().unwrap_or_default().parse::<u32>();
        self.serial += u32::from(days.is_ok_and(|days| SERIAL_DAYS.contains(&days)));
        let (points, commas) = (number.matches('.').count(), number.matches(',').count());
        match (points, commas) {
            (0, 0) => {}
            (1, 0) | (0, 1) if groups_of_three(number) => {
                self.ambiguous += 1;
                self.ambiguous_points += points as u32;
                self.ambiguous_zeros += u32::from(number.ends_with("000"));
            }
            (1, 0) => self.point += 1,
            (0, 1) => self.comma += 1,
            // Several of one separator separate thousands; of two separators, the last is the decimal one.
            (0, _) => self.point += 1,
            (_, 0) => self.comma += 1,
            _ if number.rfind('.') > number.rfind(',') => self.point += 1,
            _ => self.comma += 1,
        }
    }

    fn add_date(&mut self, cell: &str) {
        let (date, _) = split_clock(cell);
        let mut parts = date.split(['/', '-', '.']).map(|part| part.trim().parse::<i64>().ok());
        let (Some(Some(a)), Some(Some(b)), Some(Some(year)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        if a > 31 || b > 31 || a == 0 || b == 0 {
            return;
        }
        match (a > 12, b > 12) {
            (true, false) => self.day_first += 1,
            (false, true) => self.month_first += 1,
            (false, false) => self.either += 1,
            (true, true) => return,
        }
        for (order, (day, month)) in [(a, b), (b, a)].into_iter().enumerate() {
            let days = year * 372 + month * 31 + day;
            self.backwards[order] += u32::from(days < self.last[order]);
            self.last[order] = days;
        }
    }

    /// The column's own format.
    pub(crate) fn format(&self) -> ColumnFormat {
        let decimal = match (self.point, self.comma) {
            (0, 0) => None,
            (point, comma) if point >= comma => Some(Decimal::Point),
            _ => Some(Decimal::Comma),
        };
        let dates = match (self.day_first, self.month_first, self.either) {
            (0, 0, 0) => None,
            (day, month, _) if day > month => Some(DateOrder::DayFirst),
            (day, month, _) if month > day => Some(DateOrder::MonthFirst),
            // A log is in order of time: the order under which dates go back less often.
            _ if self.backwards[0] < self.backwards[1] => Some(DateOrder::DayFirst),
            _ if self.backwards[1] < self.backwards[0] => Some(DateOrder::MonthFirst),
            _ => None,
        };
        ColumnFormat { decimal, dates, serial_days: self.numbers > 0 && self.serial == self.numbers }
    }

    /// Whether the numbers that can be read in two ways are whole ones with three decimals, if they are decimals.
    pub(crate) fn may_have_zero_decimals(&self) -> bool {
        self.ambiguous > 0 && self.ambiguous_zeros == self.ambiguous
    }

    /// The separator of numbers that can be read in two ways, if all have the same one.
    pub(crate) fn only_separator(&self) -> Option<Decimal> {
        match (self.ambiguous, self.ambiguous_points) {
            (0, _) => None,
            (_, 0) => Some(Decimal::Comma),
            (all, points) if all == points => Some(Decimal::Point),
            _ => None,
        }
    }

    /// Whether the dates can be read in two ways.
    pub(crate) fn dates_are_ambiguous(&self) -> bool {
        self.either > 0 && self.format().dates.is_none()
    }

    /// Whether numbers can be read in two ways: as decimals or as thousands.
    pub(crate) fn numbers_are_ambiguous(&self) -> bool {
        self.point + self.comma == 0 && self.ambiguous > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::ingest::values::parse_time_ms;

    fn format(cells: &[&str]) -> ColumnFormat {
        let mut evidence = FormatEvidence::default();
        cells.iter().for_each(|cell| evidence.add(cell));
        evidence.format()
    }

    #[test]
    fn the_order_of_day_and_month_follows_from_all_dates_of_a_column() {
        assert_eq!(format(&["01/02/2026", "14/02/2026"]).dates, Some(DateOrder::DayFirst));
        assert_eq!(format(&["01/02/2026", "02/14/2026"]).dates, Some(DateOrder::MonthFirst));
        // In order of time only with the day first.
        assert_eq!(format(&["11/02/2026", "12/02/2026", "01/03/2026"]).dates, Some(DateOrder::DayFirst));
        assert_eq!(format(&["01/02/2026"]).dates, None);
        let day_first = ColumnFormat { dates: Some(DateOrder::DayFirst), ..ColumnFormat::default() };
        assert_eq!(
            parse_time_ms("03/04/2026", None, day_first, None),
            parse_time_ms("2026-04-03", None, ColumnFormat::default(), None)
        );
    }

    #[test]
    fn the_decimal_separator_follows_from_all_cells_of_a_column() {
        for (cells, decimal) in [
            (&["0,25", "1.234"][..], Some(Decimal::Comma)),
            (&["1.234", "12,5"], Some(Decimal::Comma)),
            (&["1.234,50"], Some(Decimal::Comma)),
            (&["1,234.50", "2,000"], Some(Decimal::Point)),
            (&["1.234.567"], Some(Decimal::Comma)),
            (&["1,234", "2,000"], None),
            (&["0.123"], Some(Decimal::Point)),
        ] {
            assert_eq!(format(cells).decimal, decimal, "{cells:?}");
        }
    }
}
