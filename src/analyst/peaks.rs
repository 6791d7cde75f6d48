//! Spreading peaks: a queue in front of a rate limit, minute by minute.

use serde::Serialize;

use super::profile::Load;

/// Largest share of tokens that may wait for peaks to count as peaks.
const MOST_DELAYED: f64 = 0.2;

/// Spreading peaks: no money, but room under a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PeakShift {
    /// Most tokens a minute as it was.
    pub peak: u64,
    /// Most tokens a minute when those above wait: the 95th percentile of all minutes.
    pub limit: u64,
    /// Share of tokens that wait.
    pub delayed_share: f64,
    /// Minutes until the longest queue is worked off.
    pub longest_minutes: u64,
}

impl PeakShift {
    /// Lets what exceeds the 95th-percentile minute wait, first come first served; `None` where there are no peaks.
    pub fn of(load: &Load) -> Option<Self> {
        let (peak, limit) = (load.peak_tokens.0, load.p95_tokens);
        if limit == 0 || peak <= limit {
            return None;
        }
        let (mut backlog, mut delayed, mut longest, mut last) = (0u64, 0u64, 0u64, None);
        for &(minute, _, tokens) in &load.by_minute {
            if let Some(last) = last {
                // Empty minutes work the queue off.
                let idle = u64::try_from(minute - last - 1).unwrap_or(0);
                backlog = backlog.saturating_sub(idle.saturating_mul(limit));
            }
            backlog = (backlog + tokens).saturating_sub(limit);
            // First come, first served: what is left over at the end came last, in this minute if it fits there.
            delayed += backlog.min(tokens);
            longest = longest.max(backlog.div_ceil(limit));
            last = Some(minute);
        }
        let total: u64 = load.by_minute.iter().map(|minute| minute.2).sum();
        let delayed_share = delayed as f64 / total as f64;
        // In a sparse log most requests would wait: then there are no peaks, only single requests.
        (delayed_share <= MOST_DELAYED).then_some(Self { peak, limit, delayed_share, longest_minutes: longest })
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
    fn what_exceeds_the_limit_waits_for_the_next_minutes() {
        let mut tokens = [10; 40];
        tokens[5] = 50;
        // 30 wait at first, then 10 of each of the next two minutes behind them.
        let shift = PeakShift::of(&load(&tokens, 20)).expect("a peak");
        assert_eq!((shift.peak, shift.limit, shift.longest_minutes), (50, 20, 2));
        assert!((shift.delayed_share - 50.0 / 440.0).abs() < 1e-12);
    }

    #[test]
    fn empty_minutes_work_the_queue_off() {
        let mut tokens = [10; 40];
        (tokens[5], tokens[6], tokens[7]) = (50, 0, 0);
        let shift = PeakShift::of(&load(&tokens, 20)).expect("a peak");
        assert!((shift.delayed_share - 30.0 / 420.0).abs() < 1e-12);
    }

    #[test]
    fn single_requests_far_apart_are_no_peaks() {
        assert_eq!(PeakShift::of(&load(&[100, 0, 0, 0, 0, 0, 90], 10)), None);
        assert_eq!(PeakShift::of(&load(&[10; 5], 10)), None);
    }
}
