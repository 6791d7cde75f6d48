//! How long to wait before the next attempt: doubling, with full jitter, so that a restart is no stampede.

/// The first wait's upper bound, in milliseconds.
const FIRST_MS: u64 = 500;
/// Every wait's upper bound, in milliseconds.
const MOST_MS: u64 = 20_000;

/// Counts failures since the last connection that proved itself.
#[derive(Debug)]
pub(super) struct Backoff {
    random: u64,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: seed, failures: 0 }
    }

    /// One more failure: how long to wait now, in milliseconds, anywhere between nothing and the bound.
    pub(super) fn failed(&mut self) -> u64 {
        self.failures = self.failures.saturating_add(1);
        self.jitter(self.failures)
    }

    /// A connection proved itself: the next failure is the first again.
    pub(super) fn proved(&mut self) {
        self.failures = 0;
    }

    /// Failures since then.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// A wait for the `nth` failure (from 1) of something that counts its own.
    pub(super) fn jitter(&mut self, nth: u32) -> u64 {
        let bound = (FIRST_MS << nth.saturating_sub(1).min(16)).min(MOST_MS);
        self.next() % (bound + 1)
    }

    /// SplitMix64: statistically sound, and nothing here is secret.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_twenty_seconds_and_fill_the_whole_range() {
        for (failures, bound) in [(1, 500), (2, 1000), (3, 2000), (6, 16_000), (7, 20_000), (60, 20_000)] {
            let waits: Vec<u64> = (0..2000).map(|seed| Backoff::new(seed).jitter(failures)).collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "failure {failures}");
            assert!(waits.iter().any(|wait| *wait < bound / 10) && waits.iter().any(|wait| *wait > bound * 9 / 10));
        }
    }

    #[test]
    fn a_thousand_clients_do_not_come_back_together() {
        let mut waits: Vec<u64> = (0..1000).map(|seed| Backoff::new(seed).failed()).collect();
        waits.sort_unstable();
        let busiest = waits.chunk_by(|a, b| a / 50 == b / 50).map(<[u64]>::len).max().unwrap_or_default();
        assert!(busiest < 150, "{busiest} of 1000 within the same 50 ms");
    }
}
