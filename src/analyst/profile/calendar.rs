//! Days, hours and steps of time, in a time zone.

use std::{cell::Cell, collections::BTreeMap};

use jiff::{Timestamp, tz::TimeZone};

use super::{DAY, HOUR, MINUTE, Segment, money::Costs};
use crate::analyst::dataset::Dataset;

/// Most points of a time series.
pub(super) const MAX_BUCKETS: i64 = 120;

/// Most days from the first to the last that are counted one by one: eleven years.
pub(super) const MAX_DAYS: i64 = 4018;

/// Offsets from UTC change at quarters of an hour at most.
const QUARTER: i64 = 15 * MINUTE;

/// Steps of a time series.
const STEPS: [i64; 8] = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 28 * DAY];

/// Times below are relative to the start of the log, not to 1970.
const FIRST_DATE_MS: u64 = 100_000_000_000;

/// A clock in a time zone.
pub(super) struct Clock {
    zone: TimeZone,
    is_utc: bool,
    /// The last quarter of an hour asked for, and its offset in ms: times in a log are mostly in order.
    last: Cell<(i64, i64)>,
}

impl Clock {
    pub(super) fn new(zone: TimeZone) -> Self {
        let is_utc = zone == TimeZone::UTC;
        Self { zone, is_utc, last: Cell::new((i64::MIN, 0)) }
    }

    /// The offset from UTC at a time, in ms.
    fn offset(&self, ms: i64) -> i64 {
        if self.is_utc {
            return 0;
        }
        let quarter = ms.div_euclid(QUARTER);
        let (last, known) = self.last.get();
        if last == quarter {
            return known;
        }
        let offset =
            Timestamp::from_millisecond(ms).map_or(0, |time| i64::from(self.zone.to_offset(time).seconds()) * 1000);
        self.last.set((quarter, offset));
        offset
    }

    /// The reading of the clock at a time, as ms since 1970.
    fn local(&self, ms: i64) -> i64 {
        ms.saturating_add(self.offset(ms))
    }

    /// The time at which the clock reads this.
    fn time_of(&self, local: i64) -> i64 {
        local - self.offset(local - self.offset(local))
    }
}

/// Whether times are relative to the start of the log, so that it has no dates.
pub(super) fn is_relative(to_ms: i64) -> bool {
    to_ms.unsigned_abs() < FIRST_DATE_MS
}

/// The parts by day, in order; `None` if there are too many days.
pub(super) fn by_day(data: &Dataset, clock: &Clock, costs: &Costs, span: (i64, i64)) -> Option<Vec<Segment>> {
    if (span.1 - span.0) / DAY > MAX_DAYS {
        return None;
    }
    let mut days: BTreeMap<i64, Segment> = BTreeMap::new();
    for i in 0..data.len() {
        if let Some(time) = data.time(i) {
            days.entry(clock.local(time).div_euclid(DAY)).or_default().add(data, i, costs);
        }
    }
    let relative = is_relative(span.1);
    let name = |day: i64| match Timestamp::from_millisecond(day * DAY) {
        Ok(time) if !relative => time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string(),
        _ => format!("day {}", day + 1),
    };
    Some(days.into_iter().map(|(day, segment)| Segment { name: name(day), ..segment }).collect())
}

/// The parts by hour of the day.
pub(super) fn by_hour(data: &Dataset, clock: &Clock, costs: &Costs) -> Vec<Segment> {
    let mut hours: Vec<Segment> =
        (0..24).map(|hour| Segment { name: format!("{hour:02}:00"), ..Segment::default() }).collect();
    for i in 0..data.len() {
        if let Some(time) = data.time(i) {
            hours[clock.local(time).div_euclid(HOUR).rem_euclid(24) as usize].add(data, i, costs);
        }
    }
    hours
}

/// The parts over time with the smallest step that gives at most [`MAX_BUCKETS`] points and is not below `least` ms:
/// the step in ms, and the parts, whose names are their starts in ms.
pub(super) fn over_time(
    data: &Dataset,
    clock: &Clock,
    costs: &Costs,
    span: (i64, i64),
    least: i64,
) -> (i64, Vec<Segment>) {
    let (from, to) = (clock.local(span.0), clock.local(span.1));
    // Weeks begin on Monday; 1 January 1970 was a Thursday.
    let start = |step: i64| if step >= 7 * DAY { 4 * DAY } else { 0 };
    let at = |step: i64, local: i64| (local - start(step)).div_euclid(step);
    let count = |step: i64| at(step, to) - at(step, from) + 1;
    let fits = |step: &i64| *step >= least && count(*step) <= MAX_BUCKETS;
    let step = STEPS.into_iter().find(fits).unwrap_or(((to - from) / (MAX_BUCKETS - 1) + 1).max(least));
    let first = at(step, from);
    let name = |n: i64| clock.time_of((first + n) * step + start(step)).to_string();
    let mut buckets: Vec<Segment> = (0..count(step)).map(|n| Segment { name: name(n), ..Segment::default() }).collect();
    for i in 0..data.len() {
        let Some(time) = data.time(i) else { continue };
        if let Some(bucket) = usize::try_from(at(step, clock.local(time)) - first).ok().and_then(|n| buckets.get_mut(n))
        {
            bucket.add(data, i, costs);
        }
    }
    (step, buckets)
}
