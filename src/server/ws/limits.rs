//! How often one connection may send what is no frame, and what it may send twice.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many ids back a repetition is noticed.
const REMEMBERED_IDS: usize = 1024;
/// How many bad frames within [`MINUTE`] close the connection.
const BAD_FRAMES: usize = 3;
/// The time that the limit counts in.
const MINUTE: Duration = Duration::from_secs(60);

/// The times of the last bad frames.
#[derive(Debug, Default)]
pub(crate) struct BadFrames([Option<Instant>; BAD_FRAMES - 1]);

impl BadFrames {
    /// One more, now. Answers whether it was one too many.
    pub(crate) fn strike(&mut self, now: Instant) -> bool {
        let oldest = self.0[0];
        self.0.rotate_left(1);
        self.0[BAD_FRAMES - 2] = Some(now);
        oldest.is_some_and(|oldest| now.duration_since(oldest) < MINUTE)
    }
}

/// The command ids seen last.
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
    /// Notes an id. Answers whether it is new.
    pub(crate) fn note(&mut self, id: i64) -> bool {
        // Clients count up: the search is for those who do not.
        if id <= self.highest && self.ids.contains(&id) {
            return false;
        }
        if self.ids.len() == REMEMBERED_IDS {
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
        let mut strike = |seconds| frames.strike(start + Duration::from_secs(seconds));
        assert!(!strike(0));
        assert!(!strike(30));
        assert!(!strike(60), "the first was a minute ago");
        assert!(!strike(100));
        assert!(strike(119));
    }

    #[test]
    fn an_id_is_new_once_until_it_is_long_forgotten() {
        let mut seen = SeenIds::default();
        for id in (0..500).chain([-7, 1_000_000]) {
            assert!(seen.note(id), "{id}");
            assert!(!seen.note(id), "{id}");
        }
        for id in 2_000_000..2_000_000 + 1_024 - 502 {
            assert!(seen.note(id));
        }
        assert!(!seen.note(0), "the 1,024th back is remembered");
        assert!(seen.note(3_000_000));
        assert!(seen.note(0), "the one before is forgotten");
    }
}
