//! A circuit breaker: while an endpoint fails again and again, nobody waits for it.
//!
//! Closed, all pass. After [`Pace::failures`] failures in a row it opens, and all are refused at once with the time of the
//! next try. That try is one alone (half open): where the endpoint speaks again the breaker closes, on trial, one more failure
//! opening it again; else it opens for twice as long. It has no clock of its own: each call is given the time.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it is open at first.
    pub first: Duration,
    /// How long it is open at most.
    pub longest: Duration,
}

impl Default for Pace {
    /// 5 failures; 5 seconds, then twice as long each time, at most 5 minutes.
    fn default() -> Self {
        Self { failures: 5, first: Duration::from_secs(5), longest: Duration::from_secs(5 * 60) }
    }
}

/// Whether an endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Circuit {
    /// It is asked.
    Closed,
    /// It is not asked for a while.
    Open,
    /// One run tries whether it answers again.
    HalfOpen,
}

/// How an endpoint fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether it is asked.
    pub(crate) circuit: Circuit,
    /// How many runs in a row failed by its fault.
    pub(crate) failures: u32,
    /// How long until it is asked again, where it is not asked now.
    pub(crate) wait: Option<Duration>,
    /// What the last run said that failed, by whoever's fault, since one did well.
    pub(crate) last_error: Option<String>,
    /// Whether it ever spoke.
    pub(crate) spoke: bool,
}

impl Standing {
    /// Whether a run that began now would be asked.
    pub(crate) fn usable(&self) -> bool {
        match self.circuit {
            Circuit::Closed => true,
            Circuit::Open => self.wait.is_some_and(|wait| wait.is_zero()),
            Circuit::HalfOpen => false,
        }
    }

    /// The same in a sentence.
    pub(crate) fn about(&self) -> String {
        let error = self.last_error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
        let failed = format!("it failed {} times in a row{error}", self.failures);
        match (self.circuit, self.wait.map(|wait| wait.as_secs_f64().ceil())) {
            (Circuit::HalfOpen, _) => format!("{failed}; one run tries it now"),
            (Circuit::Open, Some(seconds)) if seconds > 0.0 => format!("{failed}; it is asked again in {seconds} s"),
            (Circuit::Open, _) => format!("{failed}; the next run tries it again"),
            (Circuit::Closed, _) if !error.is_empty() => format!("the last run failed{error}"),
            (Circuit::Closed, _) if self.spoke => "it answers".into(),
            (Circuit::Closed, _) => "it was not asked yet".into(),
        }
    }
}

/// The breaker of one endpoint; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Breaker(Arc<Mutex<State>>);

/// The breakers of all endpoints that agents are at: one for each, however many agents share it and however often their
/// entries change.
#[derive(Debug, Clone, Default)]
pub struct Breakers(Arc<Mutex<HashMap<String, Weak<Mutex<State>>>>>);

impl Breakers {
    /// The breaker of a place: the one that others use, else this.
    pub(crate) fn of(&self, place: String, own: Breaker) -> Breaker {
        let mut known = self.0.lock();
        known.retain(|_, state| state.strong_count() > 0);
        let shared = known.get(&place).and_then(Weak::upgrade).map(Breaker);
        shared.unwrap_or_else(|| {
            known.insert(place, Arc::downgrade(&own.0));
            own
        })
    }
}

#[derive(Debug)]
struct State {
    pace: Pace,
    failures: u32,
    /// How often it opened since the endpoint last did well.
    opened: u32,
    open_until: Option<Instant>,
    probing: bool,
    spoke: bool,
    last_error: Option<String>,
}

impl Breaker {
    /// A closed one.
    pub(crate) fn new(pace: Pace) -> Self {
        let (failures, opened, open_until, probing, spoke, last_error) = Default::default();
        Self(Arc::new(Mutex::new(State { pace, failures, opened, open_until, probing, spoke, last_error })))
    }

    /// Asks for leave to use the endpoint.
    ///
    /// # Errors
    /// How long it is not to be used; for as long as one run tries it, a moment.
    pub(crate) fn enter(&self, now: Instant) -> Result<Pass, Duration> {
        let mut state = self.0.lock();
        let probe = match state.open_until {
            None => false,
            Some(until) if now < until => return Err(until - now),
            Some(_) if state.probing => return Err(Duration::from_secs(1)),
            Some(_) => true,
        };
        state.probing = probe;
        Ok(Pass { breaker: self.clone(), probe, told: false })
    }

    /// How the endpoint fares.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let state = self.0.lock();
        let left = state.open_until.map(|until| until.saturating_duration_since(now));
        let circuit = match left {
            None => Circuit::Closed,
            Some(_) if state.probing => Circuit::HalfOpen,
            Some(_) => Circuit::Open,
        };
        let State { failures, spoke, ref last_error, .. } = *state;
        Standing { circuit, failures, wait: left, last_error: last_error.clone(), spoke }
    }
}

/// Leave to use the endpoint once. Dropped without a word it changes nothing: a stopped run says nothing of the endpoint.
#[derive(Debug)]
pub(crate) struct Pass {
    breaker: Breaker,
    probe: bool,
    told: bool,
}

impl Pass {
    /// The endpoint speaks: others may use it too, though it is not yet known to do well.
    pub(crate) fn answered(&mut self) {
        let mut state = self.breaker.0.lock();
        state.spoke = true;
        if std::mem::take(&mut self.probe) {
            state.probing = false;
            state.open_until = None;
            state.failures = state.pace.failures.saturating_sub(1);
        }
    }

    /// The endpoint does what it should, whatever came of the run: an error may be the request's fault, or the agent's.
    pub(crate) fn well(mut self, error: Option<&str>) {
        self.answered();
        self.told = true;
        let mut state = self.breaker.0.lock();
        // One that was asked before the breaker opened does not close it.
        if state.open_until.is_none() {
            (state.failures, state.opened, state.last_error) = (0, 0, error.map(str::to_owned));
        }
    }

    /// The endpoint failed, in a sentence.
    pub(crate) fn failed(mut self, now: Instant, error: &str) {
        self.told = true;
        let mut state = self.breaker.0.lock();
        state.last_error = Some(error.to_owned());
        state.failures = state.failures.saturating_add(1);
        if self.probe {
            state.probing = false;
        } else if state.open_until.is_some() || state.failures < state.pace.failures {
            return;
        }
        let pause = state.pace.first.saturating_mul(1 << state.opened.min(16)).min(state.pace.longest);
        state.opened = state.opened.saturating_add(1);
        state.open_until = Some(now + pause);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.probe && !self.told {
            self.breaker.0.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { failures: 3, first: Duration::from_secs(5), longest: Duration::from_secs(15) };

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.enter(now).expect("has leave").failed(now, "it is away");
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new(PACE);
        (0..3).for_each(|_| fail(&breaker, now));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_says_when_to_try_again() {
        let (breaker, now) = (Breaker::new(PACE), Instant::now());
        fail(&breaker, now);
        fail(&breaker, now);
        breaker.enter(now).expect("closed").well(None);
        (0..3).for_each(|_| fail(&breaker, now));
        let left = breaker.enter(now + Duration::from_secs(2)).expect_err("open");
        assert_eq!(left, Duration::from_secs(3));
        let standing = breaker.standing(now + Duration::from_secs(2));
        assert_eq!(
            (standing.circuit, standing.failures, standing.wait),
            (Circuit::Open, 3, Some(Duration::from_secs(3)))
        );
        assert_eq!(standing.about(), "it failed 3 times in a row (it is away); it is asked again in 3 s");
    }

    #[test]
    fn an_endpoint_has_one_breaker_for_as_long_as_anybody_uses_it() {
        let (breakers, now) = (Breakers::default(), Instant::now());
        let mine = breakers.of("https://a/run".into(), Breaker::new(PACE));
        let same = breakers.of("https://a/run".into(), Breaker::new(PACE));
        let other = breakers.of("https://a/else".into(), Breaker::new(PACE));
        (0..3).for_each(|_| fail(&mine, now));
        assert!(same.enter(now).is_err() && other.enter(now).is_ok());
        drop(mine);
        let renewed = breakers.of("https://a/run".into(), Breaker::new(PACE));
        assert!(renewed.enter(now).is_err(), "an entry that changed is at the same endpoint");
        drop((same, renewed, other));
        assert!(breakers.of("https://a/run".into(), Breaker::new(PACE)).enter(now).is_ok());
        assert_eq!(breakers.0.lock().len(), 1, "what nobody uses is forgotten");
    }

    #[test]
    fn one_run_alone_tries_and_failing_opens_it_for_longer_up_to_a_bound() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for pause in [5, 10, 15, 15] {
            assert!(breaker.enter(now).is_err());
            now += Duration::from_secs(pause);
            let probe = breaker.enter(now).expect("the time is over");
            assert_eq!(breaker.standing(now).circuit, Circuit::HalfOpen);
            breaker.enter(now).expect_err("one alone");
            probe.failed(now, "still away");
        }
    }

    #[test]
    fn it_closes_on_trial_when_the_endpoint_speaks_and_wholly_when_it_does_well() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let breaker = opened(now);
        let mut probe = breaker.enter(later).expect("the time is over");
        probe.answered();
        assert_eq!(breaker.standing(later).circuit, Circuit::Closed, "others need not wait for the run's end");
        breaker.enter(later).expect("closed").failed(later, "cut");
        assert_eq!(breaker.standing(later).circuit, Circuit::Open, "one failure on trial opens it again");
        probe.well(None);
        assert_eq!(breaker.standing(later).circuit, Circuit::Open, "an older run's end closes nothing");

        let breaker = opened(now);
        breaker.enter(later).expect("the time is over").well(None);
        let standing = breaker.standing(later);
        assert_eq!((standing.circuit, standing.failures, standing.last_error), (Circuit::Closed, 0, None));
    }

    #[test]
    fn a_stopped_run_says_nothing_and_leaves_the_try_to_the_next() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let breaker = opened(now);
        drop(breaker.enter(later).expect("the time is over"));
        assert_eq!(breaker.standing(later).circuit, Circuit::Open);
        breaker.enter(later).expect("the next may try").well(None);
        assert_eq!(breaker.standing(later).circuit, Circuit::Closed);
    }
}
