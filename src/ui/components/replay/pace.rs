//! How the times of a run's entries become times of its replay, in which long waits can be shortened.

/// What a longer time between two entries is shortened to, in milliseconds.
pub(super) const SHORTENED_WAIT_MS: i64 = 1_500;

/// Maps times (milliseconds since 1970) to times of a replay (milliseconds since its beginning).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pace {
    /// Times with their times of the replay, in order. Between two of them, the replay runs evenly.
    points: Vec<(i64, f64)>,
}

impl Pace {
    /// The pace of entries that were appended at these times, in order. `skips_waits`: whether to shorten long waits.
    pub(super) fn new(times: impl IntoIterator<Item = i64>, skips_waits: bool) -> Self {
        let mut points: Vec<(i64, f64)> = Vec::new();
        for at in times {
            let point = match points.last() {
                None => (at, 0.0),
                Some((before, offset)) => {
                    // The clock of a node that took the run over may be behind.
                    let wait = at.saturating_sub(*before).max(0);
                    let wait = if skips_waits { wait.min(SHORTENED_WAIT_MS) } else { wait };
                    (at.max(*before), offset + wait as f64)
                }
            };
            points.push(point);
        }
        Self { points }
    }

    /// The replay's whole time.
    pub(super) fn total(&self) -> f64 {
        self.points.last().map_or(0.0, |(_, offset)| *offset)
    }

    /// The time of the replay at a time.
    pub(super) fn offset(&self, at: i64) -> f64 {
        let next = self.points.partition_point(|(point, _)| *point < at);
        let (Some(after), Some(before)) = (self.points.get(next), next.checked_sub(1).map(|index| self.points[index]))
        else {
            return if next == 0 { 0.0 } else { self.total() };
        };
        let share = (at - before.0) as f64 / (after.0 - before.0).max(1) as f64;
        before.1 + (after.1 - before.1) * share
    }

    /// The share of the replay's time at a time: 0 at the beginning, 1 at the end.
    pub(super) fn share(&self, at: i64) -> f64 {
        let total = self.total();
        if total > 0.0 { (self.offset(at) / total).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The time of the replay of the entry at an index.
    pub(super) fn offset_of(&self, index: usize) -> f64 {
        self.points.get(index).map_or_else(|| self.total(), |(_, offset)| *offset)
    }

    /// How many entries there are up to a time of the replay.
    pub(super) fn count_until(&self, offset: f64) -> usize {
        self.points.partition_point(|(_, point)| *point <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_waits_are_shortened_and_short_ones_kept() {
        let times = [1_000, 1_200, 61_200, 61_300];
        let whole = Pace::new(times, false);
        assert_eq!((whole.total(), whole.offset(31_200)), (60_300.0, 30_200.0));
        let short = Pace::new(times, true);
        assert_eq!(short.total(), 1_800.0);
        assert_eq!((short.offset(1_100), short.offset(31_200), short.offset(61_300)), (100.0, 950.0, 1_800.0));
        assert_eq!((short.offset(0), short.offset(99_000), short.share(1_100)), (0.0, 1_800.0, 100.0 / 1_800.0));
    }

    #[test]
    fn a_time_of_the_replay_has_all_entries_up_to_it() {
        let pace = Pace::new([10, 10, 20, 50], false);
        assert_eq!([-1.0, 0.0, 9.9, 10.0, 40.0].map(|offset| pace.count_until(offset)), [0, 2, 2, 3, 4]);
        assert_eq!([0, 1, 2, 3, 9].map(|index| pace.offset_of(index)), [0.0, 0.0, 10.0, 40.0, 40.0]);
    }

    #[test]
    fn times_that_go_back_stand_still_and_no_times_are_no_replay() {
        let pace = Pace::new([50, 20, 60], false);
        assert_eq!((pace.offset(20), pace.total()), (0.0, 10.0));
        let empty = Pace::new([], true);
        assert_eq!((empty.total(), empty.offset(5), empty.share(5), empty.count_until(0.0)), (0.0, 0.0, 0.0, 0));
    }
}
