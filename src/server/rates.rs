//! Limits the rate of one person's commands and calls on this node, over all their connections and HTTP requests together.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use tokio_util::sync::CancellationToken;

use crate::protocol::{ErrorBody, ErrorCode, UserId};

/// The window of the quota.
const MINUTE: Duration = Duration::from_secs(60);
/// How often idle people are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What to do with a command or call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateDecision {
    /// Execute it.
    Allowed,
    /// Refuse it; the client may try again after so many milliseconds.
    Limited(u64),
    /// As many as the quota were refused: close the connection; the client may come back after so many milliseconds.
    Flooding(u64),
}

/// A rate limiter with a quota for each person, which refills evenly over a minute.
#[derive(Debug)]
pub struct UserRateLimiter {
    per_minute: u32,
    allowed: DefaultKeyedRateLimiter<UserId>,
    /// Counts refusals, to recognise a flood.
    refused: DefaultKeyedRateLimiter<UserId>,
}

impl UserRateLimiter {
    /// Allows each person so many commands and calls in a minute.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        let quota = Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN));
        Self { per_minute, allowed: RateLimiter::keyed(quota), refused: RateLimiter::keyed(quota) }
    }

    /// Counts a command or call of a person.
    pub fn check(&self, user: UserId) -> RateDecision {
        let Err(until) = self.allowed.check_key(&user) else { return RateDecision::Allowed };
        let wait = until.wait_time_from(DefaultClock::default().now()).as_millis();
        match self.refused.check_key(&user) {
            Ok(()) => RateDecision::Limited(u64::try_from(wait).unwrap_or(u64::MAX).max(1)),
            Err(_) => RateDecision::Flooding(u64::try_from(MINUTE.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Counts an HTTP call of a person.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub fn check_call(&self, user: UserId) -> Result<(), ErrorBody> {
        match self.check(user) {
            RateDecision::Allowed => Ok(()),
            RateDecision::Limited(wait) | RateDecision::Flooding(wait) => Err(self.refusal(wait)),
        }
    }

    /// The error for a command or call that may be sent again after `wait` milliseconds.
    #[must_use]
    pub fn refusal(&self, wait: u64) -> ErrorBody {
        let message =
            format!("more than {} commands and calls a minute, over all your connections; wait", self.per_minute);
        ErrorBody::new(ErrorCode::RateLimited, message).retry_after(wait)
    }

    /// Removes the people whose quota is full again, so that only recently active people use memory.
    pub fn remove_idle(&self) {
        for limiter in [&self.allowed, &self.refused] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// Removes idle people at intervals, until `stopping`.
pub async fn run(rates: Arc<UserRateLimiter>, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        rates.remove_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_person_has_a_quota_and_after_as_many_refusals_it_is_a_flood() {
        let (rates, ada, bob) = (UserRateLimiter::new(5), UserId::new(), UserId::new());
        let decisions: Vec<RateDecision> = (0..11).map(|_| rates.check(ada)).collect();
        assert!(decisions[..5].iter().all(|rate| *rate == RateDecision::Allowed), "{decisions:?}");
        assert!(decisions[5..10].iter().all(|rate| matches!(rate, RateDecision::Limited(1..=12_000))), "{decisions:?}");
        assert_eq!(decisions[10], RateDecision::Flooding(60_000));
        assert_eq!(rates.check_call(ada).expect_err("too many").code, ErrorCode::RateLimited);
        assert_eq!(rates.check(bob), RateDecision::Allowed, "another person has a quota of their own");
        rates.remove_idle();
        assert!(
            matches!(rates.check(ada), RateDecision::Limited(_) | RateDecision::Flooding(_)),
            "a person who was active lately is kept"
        );
    }
}
