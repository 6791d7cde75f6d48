//! What a remote agent may say and when: AG-UI's rules over a whole stream, without any I/O.
//!
//! Promises: whatever comes out between the beginning and the end has been read and held to the rules of the protocol's own
//! verifier; what breaks one ends the conversation by naming it. `RUN_*` events never come out: the remote's run is ours, which
//! begins before the remote is asked and ends by what [`Conversation::end`] answers.

use super::{
    failure::Failure,
    input::without_bytes,
    parse::{self, Read, UNKNOWN},
};
use crate::{
    protocol::agui::{Event, RunFinished, Usage},
    server::{
        agents::guard::{Guard, Violation},
        extent::extent,
    },
};

/// One run's conversation with a remote agent.
#[derive(Debug)]
pub(crate) struct Conversation {
    thread_id: String,
    run_id: String,
    stage: Stage,
    guard: Guard,
    /// What the runs of the stream that have ended used.
    usage: Vec<Usage>,
    events: usize,
    /// Whether it was said that something is unknown: once is enough.
    warned: bool,
    max_events: usize,
    max_event_bytes: usize,
}

#[derive(Debug)]
enum Stage {
    /// Nothing was said.
    Silent,
    /// The run goes on.
    Running,
    /// It finished; it can still fail, or another follow it.
    Finished(Box<RunFinished>),
}

impl Conversation {
    /// One about this run, of at most `max_events` events of `max_event_bytes` each. The bytes of files that an event
    /// restates do not count, and are left away.
    pub(crate) fn new(thread_id: String, run_id: String, max_events: usize, max_event_bytes: usize) -> Self {
        let (stage, guard, usage) = (Stage::Silent, Guard::default(), Vec::new());
        Self { thread_id, run_id, stage, guard, usage, events: 0, warned: false, max_events, max_event_bytes }
    }

    /// Takes the next event's text; answers the event, where it is one of those between beginning and end.
    ///
    /// # Errors
    /// Why the run cannot go on: the remote says so, or what it says cannot be read or breaks a rule.
    pub(crate) fn hear(&mut self, text: &str) -> Result<Option<Event>, Failure> {
        self.events += 1;
        if self.events > self.max_events {
            let message = format!("the remote agent said more than the {} events that a run may have", self.max_events);
            return Err(Failure::new("too_many_events", message));
        }
        let Read { mut event, unknown } = parse::event(text).map_err(|what| {
            Failure::new("malformed_event", format!("the remote agent sent an event that cannot be read: {what}"))
        })?;
        if let Some(what) = unknown
            && !std::mem::replace(&mut self.warned, true)
        {
            tracing::warn!(run = self.run_id, what, "a remote agent says what AG-UI 1.0 does not know");
        }
        if let Event::MessagesSnapshot(snapshot) = &mut event {
            without_bytes(&mut snapshot.messages);
        }
        // What a run began with is not kept at all.
        let kept = !matches!(event, Event::RunStarted(_));
        if kept && text.len() > self.max_event_bytes && extent(&event).bytes > self.max_event_bytes {
            let message =
                format!("the remote agent said too much at once: an event has at most {} bytes", self.max_event_bytes);
            return Err(Failure::new("event_too_large", message));
        }
        self.take(event)
    }

    fn take(&mut self, event: Event) -> Result<Option<Event>, Failure> {
        let kind = event.kind();
        let broken = |rule: &str| Err(violated(&Violation { event: kind, rule: rule.to_owned() }));
        match (&self.stage, event) {
            (_, Event::RunError(error)) => Err(Failure::told(error)),
            (Stage::Silent, Event::RunStarted(e)) => {
                // No rule of the protocol's, and some frameworks name ids of their own: the connection says whose run it is.
                if (&e.thread_id, &e.run_id) != (&self.thread_id, &self.run_id) {
                    tracing::debug!(run = self.run_id, theirs = e.run_id, "a remote agent names the run otherwise");
                }
                self.stage = Stage::Running;
                self.guard.seed(e.input.as_ref());
                Ok(None)
            }
            // What the protocol does not know is outside its order.
            (Stage::Silent | Stage::Finished(_), Event::Raw(raw)) if raw.source.as_deref() == Some(UNKNOWN) => Ok(None),
            (Stage::Silent, _) => broken("the first event is RUN_STARTED or RUN_ERROR"),
            (Stage::Running, Event::RunStarted(_)) => broken("a run does not begin again before it ended"),
            (Stage::Running, Event::RunFinished(mut e)) => {
                self.guard.finish().or_else(|rule| broken(&rule).map(drop))?;
                self.usage.extend(e.usage.take().into_iter().flatten());
                e.usage = Some(self.usage.clone()).filter(|usage| !usage.is_empty());
                self.stage = Stage::Finished(Box::new(e));
                Ok(None)
            }
            (Stage::Running, event) => match self.guard.check(&event) {
                Ok(()) => Ok(Some(event)),
                Err(violation) => Err(violated(&violation)),
            },
            // A stream may carry several runs. All of them are ours, and the last one's end is our end.
            (Stage::Finished(_), Event::RunStarted(e)) => {
                (self.stage, self.guard) = (Stage::Running, Guard::default());
                self.guard.seed(e.input.as_ref());
                Ok(None)
            }
            (Stage::Finished(_), _) => {
                broken("after RUN_FINISHED comes a new RUN_STARTED, a late RUN_ERROR, or nothing")
            }
        }
    }

    /// Whether the remote finished the run.
    pub(crate) fn finished(&self) -> bool {
        matches!(self.stage, Stage::Finished(_))
    }

    /// The stream is over: how the run finished.
    ///
    /// # Errors
    /// `stream_cut` where it did not.
    pub(crate) fn end(self) -> Result<RunFinished, Failure> {
        match self.stage {
            Stage::Finished(end) => Ok(*end),
            Stage::Silent => Err(cut("the remote agent ended its stream without a word; ask again")),
            Stage::Running => {
                Err(cut("the remote agent's stream ended before the run did; what it said so far is kept, ask again"))
            }
        }
    }
}

/// A stream that ended too soon.
pub(crate) fn cut(message: &str) -> Failure {
    Failure::of_endpoint("stream_cut", message)
}

fn violated(violation: &Violation) -> Failure {
    Failure::new("protocol_violation", format!("the remote agent broke a rule of its protocol: {violation}"))
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
