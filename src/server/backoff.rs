//! Exponential backoff.

use std::time::Duration;

/// Delays between retries: `first`, then twice as long each time, up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    /// The delay before a retry; `retry` counts from 0.
    pub(crate) fn delay(self, retry: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(retry)).min(self.max)
    }

    /// The same, shortened at random by up to a half, so that many clients do not retry at the same moment.
    pub(crate) fn jittered(self, retry: u32) -> Duration {
        self.delay(retry).mul_f64(rand::random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        assert_eq!(
            [0, 1, 4, 5, u32::MAX].map(|retry| backoff.delay(retry).as_millis()),
            [100, 200, 1_600, 2_000, 2_000]
        );
        let jittered = backoff.jittered(3);
        assert!((Duration::from_millis(400)..=Duration::from_millis(800)).contains(&jittered), "{jittered:?}");
    }
}
