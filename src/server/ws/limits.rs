//! How many malformed frames one connection may send, and which command ids it has used.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many command ids are remembered; a repetition of an older one is not noticed.
const MAX_REMEMBERED_IDS: usize = 1024;
/// This many malformed frames within [`BAD_FRAME_WINDOW`] close the connection.
const MAX_BAD_FRAMES: usize = 3;
const BAD_FRAME_WINDOW: Duration = Duration::from_secs(60);

/// The times of the last malformed frames.
#[derive(Debug, Default)]
pub(crate) struct BadFrames([Option<Instant>; MAX_BAD_FRAMES - 1]);

impl BadFrames {
    /// Counts a malformed frame; returns whether it is one too many.
    pub(crate) fn record(&mut self, now: Instant) -> bool {
        let oldest = self.0[0];
        self.0.rotate_left(1);
        self.0[MAX_BAD_FRAMES - 2] = Some(now);
        oldest.is_some_and(|oldest| now.duration_since(oldest) < BAD_FRAME_WINDOW)
    }
}

/// The command ids of a connection that were used last.
#[derive(Debug)]
pub(crate) struct SeenIds {
    ids: VecDeque<i64>,
    highest: i64,
}

impl Default for SeenIds {
    fn default() -> Self {
        Self { ids: VecDeque::new(), highest: i64::MIN }
    }
}

impl SeenIds {
    /// Records an id; returns whether it is new.
    pub(crate) fn insert(&mut self, id: i64) -> bool {
        // Most clients count up; only for the others the list is searched.
        if id <= self.highest && self.ids.contains(&id) {
            return false;
        }
        if self.ids.len() == MAX_REMEMBERED_IDS {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
        self.highest = self.highest.max(id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_bad_frame_within_a_minute_is_one_too_many() {
        let (mut frames, start) = (BadFrames::default(), Instant::now());
        let mut record = |seconds| frames.record(start + Duration::from_secs(seconds));
        assert!(!record(0));
        assert!(!record(30));
        assert!(!record(60), "the first was a minute ago");
        assert!(!record(100));
        assert!(record(119));
    }

    #[test]
    fn an_id_is_new_once_until_it_is_forgotten() {
        let mut seen = SeenIds::default();
        for id in (0..500).chain([-7, 1_000_000]) {
            assert!(seen.insert(id), "{id}");
            assert!(!seen.insert(id), "{id}");
        }
        for id in 2_000_000..2_000_000 + 1_024 - 502 {
            assert!(seen.insert(id));
        }
        assert!(!seen.insert(0), "the 1,024th back is remembered");
        assert!(seen.insert(3_000_000));
        assert!(seen.insert(0), "the one before is forgotten");
    }
}
