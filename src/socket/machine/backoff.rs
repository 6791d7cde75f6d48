//! How long to wait before the next connection attempt: exponential backoff with full jitter, so that clients do not all
//! return at once after a restart.

/// The upper bound of the first wait, in milliseconds.
const INITIAL_MS: u64 = 500;
/// The upper bound of every wait, in milliseconds.
const MAX_MS: u64 = 20_000;

/// Counts failed attempts since the last stable connection.
#[derive(Debug)]
pub(super) struct Backoff {
    random: u64,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: seed, failures: 0 }
    }

    /// Counts a failure; returns how long to wait, in milliseconds: a random time up to the bound.
    pub(super) fn next_wait(&mut self) -> u64 {
        self.failures = self.failures.saturating_add(1);
        self.jitter(self.failures)
    }

    /// A connection became stable: the next failure counts as the first.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last stable connection.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// A random wait for the `nth` failure (from 1) of a caller that counts its own.
    pub(super) fn jitter(&mut self, nth: u32) -> u64 {
        let bound = (INITIAL_MS << nth.saturating_sub(1).min(16)).min(MAX_MS);
        self.next() % (bound + 1)
    }

    /// SplitMix64. It needs no cryptographic strength.
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
    fn waits_double_up_to_twenty_seconds_and_use_the_whole_range() {
        for (failures, bound) in [(1, 500), (2, 1000), (3, 2000), (6, 16_000), (7, 20_000), (60, 20_000)] {
            let waits: Vec<u64> = (0..2000).map(|seed| Backoff::new(seed).jitter(failures)).collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "failure {failures}");
            assert!(waits.iter().any(|wait| *wait < bound / 10) && waits.iter().any(|wait| *wait > bound * 9 / 10));
        }
    }

    #[test]
    fn a_thousand_clients_do_not_come_back_together() {
        let mut waits: Vec<u64> = (0..1000).map(|seed| Backoff::new(seed).next_wait()).collect();
        waits.sort_unstable();
        let busiest = waits.chunk_by(|a, b| a / 50 == b / 50).map(<[u64]>::len).max().unwrap_or_default();
        assert!(busiest < 150, "{busiest} of 1000 within the same 50 ms");
    }
}
