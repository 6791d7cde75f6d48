//! What a remote agent may say and when: AG-UI's rules over a whole stream, without any I/O.
//!
//! Promises: whatever comes out between the beginning and the end has been read and held to the rules of the protocol's own
//! verifier; what breaks one ends the conversation by naming it. `RUN_*` events never come out: the remote's run is ours, which
//! begins before the remote is asked and ends by what [`Conversation::end`] answers.

use super::{
    custom_interrupts,
    failure::{Failure, excerpt},
    input::without_bytes,
    parse::{self, Read, UNKNOWN},
    remarks::Remarks,
};
use crate::{
    json_size::{extent, values},
    protocol::{
        agui::{Event, Interrupt, RunFinished, RunOutcome, Usage},
        extensions::{AFTER_CANCELLATION, TOOL_TASK},
    },
    server::{
        agents::tools::questions::CONTINUATION,
        config::agents::AgUiConfig,
        outbound::memory::SMALL_EVENT_BYTES,
        runs::guard::{Guard, Violation},
    },
};

/// The most questions that custom events of a run may ask.
const MAX_INTERRUPTS: usize = 32;
/// The most values in a large event: each takes some bytes once it is parsed, however short it is.
const MAX_VALUES: usize = 1024 * 1024;

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
    remarks: Remarks,
    rules: Rules,
    /// What custom events said that the run waits for.
    interrupts: Vec<Interrupt>,
    /// Calls that may wait for a person, until they have a result: id, name, arguments.
    calls: Vec<(String, String, String)>,
}

/// What a remote agent may say in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The most events.
    pub(crate) max_events: usize,
    /// The largest event, in bytes. The bytes of files that an event restates do not count, and are left away.
    pub(crate) max_event_bytes: usize,
    /// Whether `RAW` events are kept.
    pub(crate) keep_raw: bool,
    /// Whether each call that a run ends with and that has no result waits for a person.
    pub(crate) confirm_pending_calls: bool,
    /// Whether an end that comes twice, or never, fails the run.
    pub(crate) strict: bool,
}

impl Rules {
    pub(crate) fn of(config: &AgUiConfig) -> Self {
        let AgUiConfig { max_events, max_event_bytes, keep_raw, confirm_pending_calls, strict, .. } = *config;
        Self { max_events, max_event_bytes, keep_raw, confirm_pending_calls, strict }
    }
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
    /// One about this run.
    pub(crate) fn new(thread_id: String, run_id: String, rules: Rules) -> Self {
        let (stage, guard) = (Stage::Silent, Guard::for_received(rules.max_event_bytes));
        let (usage, interrupts, calls) = Default::default();
        let (events, warned, remarks) = Default::default();
        Self { thread_id, run_id, stage, guard, usage, events, warned, remarks, rules, interrupts, calls }
    }

    /// Moves the conversation out, to be read on elsewhere and put back.
    pub(super) fn lend(&mut self) -> Self {
        let empty = Self::new(String::new(), String::new(), self.rules);
        std::mem::replace(self, empty)
    }

    /// Takes the next event's text; answers the event, where it is one of those between beginning and end.
    ///
    /// # Errors
    /// Why the run cannot go on: the remote says so, or what it says cannot be read or breaks a rule.
    pub(crate) fn hear(&mut self, text: &str) -> Result<Option<Event>, Failure> {
        self.events += 1;
        let Rules { max_events, max_event_bytes, .. } = self.rules;
        if self.events > max_events {
            let message = format!("the remote agent said more than the {max_events} events that a run may have");
            return Err(Failure::new("too_many_events", message));
        }
        if text.len() > SMALL_EVENT_BYTES && values(text.as_bytes()) > MAX_VALUES {
            let message = format!("the remote agent said too much at once: an event has at most {MAX_VALUES} values");
            return Err(Failure::new("event_too_large", message));
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
        let asked = match &event {
            Event::Custom(custom) => custom_interrupts::read(custom, &self.run_id, self.interrupts.len()),
            _ => None,
        };
        // Says where the server's own cancellation ended.
        if let Some(metadata) = &mut event.base_mut().metadata {
            metadata.remove(AFTER_CANCELLATION);
        }
        self.remarks.hear(&event, text.len(), asked.is_some());
        // What a framework says it made the event of: hundreds of times the event.
        if !self.rules.keep_raw && !matches!(event, Event::RunFinished(_) | Event::RunError(_)) {
            event.base_mut().raw_event = None;
        }
        // What a run began with is not kept at all, and raw events only on demand.
        let kept = match &event {
            Event::RunStarted(_) => false,
            Event::Raw(_) => self.rules.keep_raw,
            _ => true,
        };
        if kept && text.len() > max_event_bytes && extent(&event).bytes > max_event_bytes {
            let message =
                format!("the remote agent said too much at once: an event has at most {max_event_bytes} bytes");
            return Err(Failure::new("event_too_large", message));
        }
        let event = self.take(event)?;
        event.iter().for_each(|event| self.note_call(event));
        self.interrupts.extend(asked.filter(|_| event.is_some()));
        if self.interrupts.len() > MAX_INTERRUPTS {
            let message = format!("the remote agent asked a person more than {MAX_INTERRUPTS} questions at once");
            return Err(Failure::new("too_many_interrupts", message));
        }
        Ok(event)
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
                match self.guard.finish() {
                    Err(rule) if self.rules.strict => return broken(&rule),
                    // It is closed with the run.
                    Err(rule) => self.tolerate(kind, &rule),
                    Ok(()) => {}
                }
                self.interrupt(&mut e);
                self.usage.extend(e.usage.take().into_iter().flatten());
                e.usage = Some(self.usage.clone()).filter(|usage| !usage.is_empty());
                self.stage = Stage::Finished(Box::new(e));
                Ok(None)
            }
            (Stage::Running, Event::Raw(_)) if !self.rules.keep_raw => Ok(None),
            // What is kept of tasks makes calls go on without asking again.
            (Stage::Running, event) if activity_type(&event) == Some(TOOL_TASK) => {
                broken(&format!("activities of the type `{TOOL_TASK}` are Netra's own"))
            }
            (Stage::Running, event) => {
                if !self.rules.strict
                    && let Some(rule) = self.guard.repeated_end(&event)
                {
                    self.tolerate(kind, &rule);
                    return Ok(None);
                }
                self.guard.check(&event).map_err(|violation| violated(&violation))?;
                Ok(Some(event))
            }
            // A stream may carry several runs. All of them are ours, and the last one's end is our end.
            (Stage::Finished(_), Event::RunStarted(e)) => {
                (self.stage, self.guard) = (Stage::Running, Guard::for_received(self.rules.max_event_bytes));
                self.guard.seed(e.input.as_ref());
                Ok(None)
            }
            (Stage::Finished(_), _) => {
                broken("after RUN_FINISHED comes a new RUN_STARTED, a late RUN_ERROR, or nothing")
            }
        }
    }

    /// Says in the log what the agent does wrong and nobody is misled by: the first time, and how often at the end.
    fn tolerate(&mut self, event: &'static str, rule: &str) {
        if self.remarks.tolerate(event, rule) == 1 {
            let (run, rule) = (&self.run_id, excerpt(rule));
            tracing::warn!(run, event, rule, "a remote agent broke a rule of its protocol; the run goes on");
        }
    }

    fn note_call(&mut self, event: &Event) {
        match event {
            Event::ToolCallStart(e)
                if self.rules.confirm_pending_calls || e.tool_call_name == custom_interrupts::REQUEST_CONFIRMATION =>
            {
                self.calls.push((e.tool_call_id.clone(), e.tool_call_name.clone(), String::new()));
            }
            Event::ToolCallArgs(e) => {
                let call = self.calls.iter_mut().find(|(id, ..)| *id == e.tool_call_id);
                call.into_iter().for_each(|(.., arguments)| arguments.push_str(&e.delta));
            }
            Event::ToolCallResult(e) => self.calls.retain(|(id, ..)| *id != e.tool_call_id),
            _ => {}
        }
    }

    /// A run that finishes without an outcome waits for what its custom events and its calls of a person asked.
    fn interrupt(&mut self, end: &mut RunFinished) {
        let mut asked = std::mem::take(&mut self.interrupts);
        let calls = std::mem::take(&mut self.calls);
        asked.extend(calls.iter().map(|(id, name, arguments)| match name.as_str() {
            custom_interrupts::REQUEST_CONFIRMATION => custom_interrupts::confirmation(id, arguments),
            _ => custom_interrupts::pending_call(id, name, arguments),
        }));
        match &mut end.outcome {
            None if !asked.is_empty() => end.outcome = Some(RunOutcome::Interrupt { interrupts: asked }),
            Some(RunOutcome::Interrupt { interrupts }) => interrupts.iter_mut().for_each(custom_interrupts::complete),
            _ => {}
        }
        if let Some(RunOutcome::Interrupt { interrupts }) = &mut end.outcome {
            // Says of Netra's own tools how their calls go on.
            interrupts.iter_mut().filter_map(|asked| asked.metadata.as_mut()).for_each(|metadata| {
                metadata.remove(CONTINUATION);
            });
        }
    }

    /// What was noticed so far.
    pub(super) fn remarks(&self) -> &Remarks {
        &self.remarks
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
        let times = self.remarks.tolerated();
        if times > 1 {
            tracing::warn!(run = self.run_id, times, "a remote agent broke rules of its protocol");
        }
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

fn activity_type(event: &Event) -> Option<&str> {
    match event {
        Event::ActivitySnapshot(e) => Some(&e.activity_type),
        Event::ActivityDelta(e) => Some(&e.activity_type),
        _ => None,
    }
}

fn violated(violation: &Violation) -> Failure {
    Failure::new("protocol_violation", format!("the remote agent broke a rule of its protocol: {violation}"))
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
