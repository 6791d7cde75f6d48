//! A circuit breaker: requests to an endpoint that keeps failing are refused at once.
//!
//! While closed, all requests are allowed. After [`BreakerConfig::failures`] failures in a row it opens, and requests are refused with the
//! time until the next attempt. Then one request alone is allowed (half open). If the endpoint answers, the breaker closes, but one more
//! failure opens it again; if not, it opens for twice as long. It has no clock; each call passes the time.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it is open the first time.
    pub first_pause: Duration,
    /// The longest time that it is open.
    pub max_pause: Duration,
}

impl Default for BreakerConfig {
    /// 5 failures; 5 seconds, then twice as long each time, at most 5 minutes.
    fn default() -> Self {
        Self { failures: 5, first_pause: Duration::from_secs(5), max_pause: Duration::from_secs(5 * 60) }
    }
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Circuit {
    /// Requests are allowed.
    Closed,
    /// Requests are refused.
    Open,
    /// One request tests whether the endpoint answers again.
    HalfOpen,
}

/// The state of an endpoint at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The state of the breaker.
    pub(crate) circuit: Circuit,
    /// Failures of the endpoint in a row.
    pub(crate) failures: u32,
    /// The time until the next attempt, if the breaker is not closed.
    pub(crate) wait: Option<Duration>,
    /// The last error since the last success, whatever caused it.
    pub(crate) last_error: Option<String>,
    /// Whether it ever answered.
    pub(crate) has_answered: bool,
}

impl Snapshot {
    /// Whether a request would be allowed now.
    pub(crate) fn is_usable(&self) -> bool {
        match self.circuit {
            Circuit::Closed => true,
            Circuit::Open => self.wait.is_some_and(|wait| wait.is_zero()),
            Circuit::HalfOpen => false,
        }
    }

    /// A description for people.
    pub(crate) fn describe(&self) -> String {
        let error = self.last_error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
        let failed = format!("it failed {} times in a row{error}", self.failures);
        match (self.circuit, self.wait.map(|wait| wait.as_secs_f64().ceil())) {
            (Circuit::HalfOpen, _) => format!("{failed}; one run is testing it now"),
            (Circuit::Open, Some(seconds)) if seconds > 0.0 => format!("{failed}; the next attempt is in {seconds} s"),
            (Circuit::Open, _) => format!("{failed}; the next run tries again"),
            (Circuit::Closed, _) if !error.is_empty() => format!("the last run failed{error}"),
            (Circuit::Closed, _) if self.has_answered => "it answers".into(),
            (Circuit::Closed, _) => "it has not been used yet".into(),
        }
    }
}

/// The breaker of one endpoint; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Breaker(Arc<Mutex<State>>);

/// The breakers of all endpoints of agents. Agents with the same endpoint share its breaker, which survives changes of their
/// entries.
#[derive(Debug, Clone, Default)]
pub struct Breakers(Arc<Mutex<HashMap<String, Weak<Mutex<State>>>>>);

impl Breakers {
    /// The breaker that others use for this endpoint, or `own` if there is none.
    pub(crate) fn shared(&self, endpoint: String, own: Breaker) -> Breaker {
        let mut known = self.0.lock();
        known.retain(|_, state| state.strong_count() > 0);
        let shared = known.get(&endpoint).and_then(Weak::upgrade).map(Breaker);
        shared.unwrap_or_else(|| {
            known.insert(endpoint, Arc::downgrade(&own.0));
            own
        })
    }
}

#[derive(Debug)]
struct State {
    config: BreakerConfig,
    failures: u32,
    /// How many times it opened since the last success.
    opened: u32,
    open_until: Option<Instant>,
    probing: bool,
    has_answered: bool,
    last_error: Option<String>,
}

impl Breaker {
    /// A closed breaker.
    pub(crate) fn new(config: BreakerConfig) -> Self {
        let (failures, opened, open_until, probing, has_answered, last_error) = Default::default();
        Self(Arc::new(Mutex::new(State { config, failures, opened, open_until, probing, has_answered, last_error })))
    }

    /// Requests a permit to use the endpoint once.
    ///
    /// # Errors
    /// The time until the next attempt.
    pub(crate) fn acquire(&self, now: Instant) -> Result<Permit, Duration> {
        let mut state = self.0.lock();
        let probe = match state.open_until {
            None => false,
            Some(until) if now < until => return Err(until - now),
            Some(_) if state.probing => return Err(Duration::from_secs(1)),
            Some(_) => true,
        };
        state.probing = probe;
        Ok(Permit { breaker: self.clone(), probe, is_reported: false })
    }

    /// The state of the endpoint.
    pub(crate) fn snapshot(&self, now: Instant) -> Snapshot {
        let state = self.0.lock();
        let left = state.open_until.map(|until| until.saturating_duration_since(now));
        let circuit = match left {
            None => Circuit::Closed,
            Some(_) if state.probing => Circuit::HalfOpen,
            Some(_) => Circuit::Open,
        };
        let State { failures, has_answered, ref last_error, .. } = *state;
        Snapshot { circuit, failures, wait: left, last_error: last_error.clone(), has_answered }
    }
}

/// A permit to use the endpoint once. Dropping it without reporting changes nothing: a stopped run is no evidence about the endpoint.
#[derive(Debug)]
pub(crate) struct Permit {
    breaker: Breaker,
    probe: bool,
    is_reported: bool,
}

impl Permit {
    /// Reports that the endpoint answers: others may use it, although success is not certain yet.
    pub(crate) fn answered(&mut self) {
        let mut state = self.breaker.0.lock();
        state.has_answered = true;
        if std::mem::take(&mut self.probe) {
            state.probing = false;
            state.open_until = None;
            state.failures = state.config.failures.saturating_sub(1);
        }
    }

    /// Reports that the endpoint works. `error` is a failure of the run that is not the endpoint's fault.
    pub(crate) fn success(mut self, error: Option<&str>) {
        self.answered();
        self.is_reported = true;
        let mut state = self.breaker.0.lock();
        // A request from before the breaker opened does not close it.
        if state.open_until.is_none() {
            (state.failures, state.opened, state.last_error) = (0, 0, error.map(str::to_owned));
        }
    }

    /// Reports that the endpoint failed.
    pub(crate) fn failure(mut self, now: Instant, error: &str) {
        self.is_reported = true;
        let mut state = self.breaker.0.lock();
        state.last_error = Some(error.to_owned());
        state.failures = state.failures.saturating_add(1);
        if self.probe {
            state.probing = false;
        } else if state.open_until.is_some() || state.failures < state.config.failures {
            return;
        }
        let pause = state.config.first_pause.saturating_mul(1 << state.opened.min(16)).min(state.config.max_pause);
        state.opened = state.opened.saturating_add(1);
        state.open_until = Some(now + pause);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.probe && !self.is_reported {
            self.breaker.0.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BreakerConfig =
        BreakerConfig { failures: 3, first_pause: Duration::from_secs(5), max_pause: Duration::from_secs(15) };

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.acquire(now).expect("a permit").failure(now, "it is down");
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new(CONFIG);
        (0..3).for_each(|_| fail(&breaker, now));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_returns_when_to_try_again() {
        let (breaker, now) = (Breaker::new(CONFIG), Instant::now());
        fail(&breaker, now);
        fail(&breaker, now);
        breaker.acquire(now).expect("the circuit is closed").success(None);
        (0..3).for_each(|_| fail(&breaker, now));
        let left = breaker.acquire(now + Duration::from_secs(2)).expect_err("the circuit is open");
        assert_eq!(left, Duration::from_secs(3));
        let snapshot = breaker.snapshot(now + Duration::from_secs(2));
        assert_eq!(
            (snapshot.circuit, snapshot.failures, snapshot.wait),
            (Circuit::Open, 3, Some(Duration::from_secs(3)))
        );
        assert_eq!(snapshot.describe(), "it failed 3 times in a row (it is down); the next attempt is in 3 s");
    }

    #[test]
    fn an_endpoint_has_one_breaker_for_as_long_as_it_is_used() {
        let (breakers, now) = (Breakers::default(), Instant::now());
        let mine = breakers.shared("https://a/run".into(), Breaker::new(CONFIG));
        let same = breakers.shared("https://a/run".into(), Breaker::new(CONFIG));
        let other = breakers.shared("https://a/else".into(), Breaker::new(CONFIG));
        (0..3).for_each(|_| fail(&mine, now));
        assert!(same.acquire(now).is_err() && other.acquire(now).is_ok());
        drop(mine);
        let renewed = breakers.shared("https://a/run".into(), Breaker::new(CONFIG));
        assert!(renewed.acquire(now).is_err(), "a changed entry has the same endpoint");
        drop((same, renewed, other));
        assert!(breakers.shared("https://a/run".into(), Breaker::new(CONFIG)).acquire(now).is_ok());
        assert_eq!(breakers.0.lock().len(), 1, "unused breakers are dropped");
    }

    #[test]
    fn one_request_alone_is_allowed_and_its_failure_opens_it_for_longer_up_to_a_limit() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for pause in [5, 10, 15, 15] {
            assert!(breaker.acquire(now).is_err());
            now += Duration::from_secs(pause);
            let probe = breaker.acquire(now).expect("the pause is over");
            assert_eq!(breaker.snapshot(now).circuit, Circuit::HalfOpen);
            breaker.acquire(now).expect_err("one trial request is allowed");
            probe.failure(now, "still down");
        }
    }

    #[test]
    fn it_closes_on_trial_when_the_endpoint_answers_and_completely_on_success() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let breaker = opened(now);
        let mut probe = breaker.acquire(later).expect("the pause is over");
        probe.answered();
        assert_eq!(breaker.snapshot(later).circuit, Circuit::Closed, "others need not wait for the end of the run");
        breaker.acquire(later).expect("the circuit is closed").failure(later, "cut");
        assert_eq!(breaker.snapshot(later).circuit, Circuit::Open, "one failure on trial opens it again");
        probe.success(None);
        assert_eq!(breaker.snapshot(later).circuit, Circuit::Open, "the end of an older run does not close it");

        let breaker = opened(now);
        breaker.acquire(later).expect("the pause is over").success(None);
        let snapshot = breaker.snapshot(later);
        assert_eq!((snapshot.circuit, snapshot.failures, snapshot.last_error), (Circuit::Closed, 0, None));
    }

    #[test]
    fn a_stopped_run_reports_nothing_and_the_next_one_may_try() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let breaker = opened(now);
        drop(breaker.acquire(later).expect("the pause is over"));
        assert_eq!(breaker.snapshot(later).circuit, Circuit::Open);
        breaker.acquire(later).expect("the next may try").success(None);
        assert_eq!(breaker.snapshot(later).circuit, Circuit::Closed);
    }
}
