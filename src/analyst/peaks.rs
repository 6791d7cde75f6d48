//! Spreading peaks: simulates a queue in front of a rate limit, minute by minute.

use serde::Serialize;

use super::profile::Load;

/// Largest share of tokens that may wait; above it, the log has single requests rather than peaks.
const MAX_DELAYED_SHARE: f64 = 0.2;

/// Least ratio of the busiest minute to the limit; below it, there is little to spread.
const MIN_RATIO: f64 = 1.2;

/// Least number of minutes with requests; fewer show no pattern.
const MIN_BUSY_MINUTES: usize = 20;

/// The effect of spreading peaks: a lower rate limit suffices; the cost stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PeakShift {
    /// Most tokens per minute in the log.
    pub peak: u64,
    /// Most tokens per minute with the queue: the 95th percentile of all minutes.
    pub limit: u64,
    /// Share of tokens that wait.
    pub delayed_share: f64,
    /// Minutes until the longest queue is empty.
    pub longest_minutes: u64,
}

impl PeakShift {
    /// Queues the tokens above the 95th-percentile minute, first in, first out; `None` when there are no peaks.
    pub fn from_load(load: &Load) -> Option<Self> {
        let (peak, limit) = (load.peak_tokens.0, load.p95_tokens);
        if limit == 0 || (peak as f64) < MIN_RATIO * limit as f64 || load.by_minute.len() < MIN_BUSY_MINUTES {
            return None;
        }
        let (mut backlog, mut delayed, mut longest, mut last) = (0u64, 0u64, 0u64, None);
        for &(minute, _, tokens) in &load.by_minute {
            if let Some(last) = last {
                // Empty minutes drain the queue.
                let idle = u64::try_from(minute - last - 1).unwrap_or(0);
                backlog = backlog.saturating_sub(idle.saturating_mul(limit));
            }
            backlog = (backlog + tokens).saturating_sub(limit);
            // First in, first out: the last tokens of the queue are this minute's, so `min(backlog, tokens)` of them
            // wait.
            delayed += backlog.min(tokens);
            longest = longest.max(backlog.div_ceil(limit));
            last = Some(minute);
        }
        let total: u64 = load.by_minute.iter().map(|minute| minute.2).sum();
        let delayed_share = delayed as f64 / total as f64;
        (delayed_share <= MAX_DELAYED_SHARE).then_some(Self { peak, limit, delayed_share, longest_minutes: longest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(tokens: &[u64], p95_tokens: u64) -> Load {
        let by_minute: Vec<_> = (0..).zip(tokens).filter(|(_, n)| **n > 0).map(|(minute, n)| (minute, 1, *n)).collect();
        let peak = tokens.iter().copied().max().unwrap_or(0);
        Load { peak_tokens: (peak, 0), p95_tokens, by_minute, ..Load::default() }
    }

    #[test]
    fn tokens_above_the_limit_wait_for_the_next_minutes() {
        let mut tokens = [10; 40];
        tokens[5] = 50;
        // 30 tokens wait in the first minute, then 10 of each of the next two.
        let shift = PeakShift::from_load(&load(&tokens, 20)).expect("a peak");
        assert_eq!((shift.peak, shift.limit, shift.longest_minutes), (50, 20, 2));
        assert!((shift.delayed_share - 50.0 / 440.0).abs() < 1e-12);
    }

    #[test]
    fn empty_minutes_drain_the_queue() {
        let mut tokens = [10; 40];
        (tokens[5], tokens[6], tokens[7]) = (50, 0, 0);
        let shift = PeakShift::from_load(&load(&tokens, 20)).expect("a peak");
        assert!((shift.delayed_share - 30.0 / 420.0).abs() < 1e-12);
    }

    #[test]
    fn slightly_busier_minutes_and_short_logs_are_not_peaks() {
        let mut tokens = [100; 40];
        tokens[5] = 119;
        assert_eq!(PeakShift::from_load(&load(&tokens, 100)), None);
        tokens[5] = 120;
        assert!(PeakShift::from_load(&load(&tokens, 100)).is_some());
        assert_eq!(PeakShift::from_load(&load(&tokens[..19], 100)), None);
    }

    #[test]
    fn single_requests_far_apart_are_not_peaks() {
        assert_eq!(PeakShift::from_load(&load(&[100, 0, 0, 0, 0, 0, 90], 10)), None);
        assert_eq!(PeakShift::from_load(&load(&[10; 5], 10)), None);
    }
}
