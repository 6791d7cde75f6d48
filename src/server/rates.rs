//! How much one person may ask of this node in a minute, over all their sockets and HTTP calls together: opening another
//! connection gives nobody more.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use tokio_util::sync::CancellationToken;

use crate::protocol::{ErrorBody, ErrorCode, UserId};

/// The time that the quota counts in.
const MINUTE: Duration = Duration::from_secs(60);
/// How often people whose quota is full again are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What the rate says to a command or a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// It may be done.
    Fine,
    /// Not now; again after so many milliseconds.
    Limited(u64),
    /// As many again were refused: the connection ends, and may come back after so many milliseconds.
    Flood(u64),
}

/// Commands and calls of each person in a minute: the quota at once, then as it refills.
#[derive(Debug)]
pub struct Rates {
    per_minute: u32,
    allowed: DefaultKeyedRateLimiter<UserId>,
    refused: DefaultKeyedRateLimiter<UserId>,
}

impl Rates {
    /// At most so many a minute of each person.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        let quota = Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN));
        Self { per_minute, allowed: RateLimiter::keyed(quota), refused: RateLimiter::keyed(quota) }
    }

    /// One more command or call of a person.
    pub fn check(&self, user: UserId) -> Rate {
        let Err(until) = self.allowed.check_key(&user) else { return Rate::Fine };
        let wait = until.wait_time_from(DefaultClock::default().now()).as_millis();
        match self.refused.check_key(&user) {
            Ok(()) => Rate::Limited(u64::try_from(wait).unwrap_or(u64::MAX).max(1)),
            Err(_) => Rate::Flood(u64::try_from(MINUTE.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// One more call of a person over HTTP, where a flood ends no connection.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub fn check_call(&self, user: UserId) -> Result<(), ErrorBody> {
        match self.check(user) {
            Rate::Fine => Ok(()),
            Rate::Limited(wait) | Rate::Flood(wait) => Err(self.refusal(wait)),
        }
    }

    /// What is answered to one too many, which may be sent again after so many milliseconds.
    #[must_use]
    pub fn refusal(&self, wait: u64) -> ErrorBody {
        let message =
            format!("more than {} commands and calls a minute, over all your connections; wait", self.per_minute);
        ErrorBody::new(ErrorCode::RateLimited, message).retry_after(wait)
    }

    /// Forgets the people whose quota is full again. Called now and then, it bounds what is kept to who was there lately.
    pub fn forget_idle(&self) {
        for limiter in [&self.allowed, &self.refused] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// Forgets idle people at intervals, until `stopping`.
pub async fn run(rates: Arc<Rates>, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        rates.forget_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_passes_then_as_many_are_refused_then_it_is_a_flood_for_each_person_alone() {
        let (rates, ada, bob) = (Rates::new(5), UserId::new(), UserId::new());
        let verdicts: Vec<Rate> = (0..11).map(|_| rates.check(ada)).collect();
        assert!(verdicts[..5].iter().all(|rate| *rate == Rate::Fine), "{verdicts:?}");
        assert!(verdicts[5..10].iter().all(|rate| matches!(rate, Rate::Limited(1..=12_000))), "{verdicts:?}");
        assert_eq!(verdicts[10], Rate::Flood(60_000));
        assert_eq!(rates.check_call(ada).expect_err("too many").code, ErrorCode::RateLimited);
        assert_eq!(rates.check(bob), Rate::Fine, "another has a quota of their own");
        rates.forget_idle();
        assert!(matches!(rates.check(ada), Rate::Limited(_) | Rate::Flood(_)), "who was there lately is not forgotten");
    }
}
