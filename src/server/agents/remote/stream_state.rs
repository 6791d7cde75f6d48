//! Checks a remote agent's stream against AG-UI's rules, without any I/O.
//!
//! Events that are passed on were parsed and checked by the rules of AG-UI's own verifier; a violation ends the stream
//! with a failure that names the rule. `RUN_*` events are not passed on: the run here starts before the request is sent, and ends
//! with the result of [`StreamState::end`].

use super::{
    custom_interrupts,
    failure::{Failure, excerpt},
    input::strip_file_bytes,
    observations::Observations,
    parse::{self, Parsed, UNKNOWN_EVENT_SOURCE},
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

/// The most interrupts that custom events of a run may add.
const MAX_INTERRUPTS: usize = 32;
/// The most values in a large event, since each takes memory once it is parsed, however short it is.
const MAX_VALUES: usize = 1024 * 1024;

/// The state of one run's stream.
#[derive(Debug)]
pub(crate) struct StreamState {
    thread_id: String,
    run_id: String,
    stage: Stage,
    guard: Guard,
    /// The usage of the stream's finished runs.
    usage: Vec<Usage>,
    events: usize,
    /// Whether an unknown event or outcome was logged.
    unknown_logged: bool,
    observations: Observations,
    rules: Rules,
    /// The interrupts of custom events.
    interrupts: Vec<Interrupt>,
    /// Calls without a result that may become interrupts.
    open_calls: Vec<OpenCall>,
}

#[derive(Debug)]
struct OpenCall {
    id: String,
    name: String,
    arguments: String,
}

/// What a remote agent may send in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The most events.
    pub(crate) max_events: usize,
    /// The largest event, in bytes. The bytes of restated files do not count; they are removed.
    pub(crate) max_event_bytes: usize,
    /// Whether `RAW` events are kept.
    pub(crate) keep_raw: bool,
    /// Whether each call without a result becomes an interrupt when the run ends.
    pub(crate) confirm_pending_calls: bool,
    /// Whether a repeated or missing end event fails the run.
    pub(crate) strict: bool,
}

impl Rules {
    pub(crate) fn from_config(config: &AgUiConfig) -> Self {
        let AgUiConfig { max_events, max_event_bytes, keep_raw, confirm_pending_calls, strict, .. } = *config;
        Self { max_events, max_event_bytes, keep_raw, confirm_pending_calls, strict }
    }
}

#[derive(Debug)]
enum Stage {
    /// No run has started.
    NotStarted,
    /// A run is in progress.
    Running,
    /// The run finished; it can still fail, or another can follow.
    Finished(Box<RunFinished>),
}

impl StreamState {
    pub(crate) fn new(thread_id: String, run_id: String, rules: Rules) -> Self {
        let (stage, guard) = (Stage::NotStarted, Guard::for_received(rules.max_event_bytes));
        let (usage, interrupts, open_calls) = Default::default();
        let (events, unknown_logged, observations) = Default::default();
        Self {
            thread_id,
            run_id,
            stage,
            guard,
            usage,
            events,
            unknown_logged,
            observations,
            rules,
            interrupts,
            open_calls,
        }
    }

    /// Moves the state out, for use on another thread.
    pub(super) fn take(&mut self) -> Self {
        let empty = Self::new(String::new(), String::new(), self.rules);
        std::mem::replace(self, empty)
    }

    /// Applies the next event, given as JSON; returns the event if it is to be passed on.
    ///
    /// # Errors
    /// If the run failed, or the event cannot be read or breaks a rule.
    pub(crate) fn on_event(&mut self, text: &str) -> Result<Option<Event>, Failure> {
        self.events += 1;
        let max_events = self.rules.max_events;
        if self.events > max_events {
            let message = format!("the remote agent sent more than the {max_events} events that a run may have");
            return Err(Failure::new("too_many_events", message));
        }
        let mut event = self.parse(text)?;
        let interrupt = match &event {
            Event::Custom(custom) => custom_interrupts::from_custom_event(custom, &self.run_id, self.interrupts.len()),
            _ => None,
        };
        // Only the server may set this mark.
        if let Some(metadata) = &mut event.base_mut().metadata {
            metadata.remove(AFTER_CANCELLATION);
        }
        self.observations.observe(&event, text.len(), interrupt.is_some());
        // The framework's own event, which may be hundreds of times as large as the AG-UI event.
        if !self.rules.keep_raw && !matches!(event, Event::RunFinished(_) | Event::RunError(_)) {
            event.base_mut().raw_event = None;
        }
        self.check_size(&event, text.len())?;
        let event = self.apply(event)?;
        event.iter().for_each(|event| self.track_call(event));
        self.interrupts.extend(interrupt.filter(|_| event.is_some()));
        if self.interrupts.len() > MAX_INTERRUPTS {
            let message = format!("the remote agent asked more than {MAX_INTERRUPTS} questions in one run");
            return Err(Failure::new("too_many_interrupts", message));
        }
        Ok(event)
    }

    /// Parses an event, without the bytes of restated files.
    fn parse(&mut self, text: &str) -> Result<Event, Failure> {
        if text.len() > SMALL_EVENT_BYTES && values(text.as_bytes()) > MAX_VALUES {
            return Err(too_large(format_args!("{MAX_VALUES} values")));
        }
        let Parsed { mut event, unknown } = parse::parse(text).map_err(|what| {
            Failure::new("malformed_event", format!("the remote agent sent an event that cannot be read: {what}"))
        })?;
        if let Some(what) = unknown
            && !std::mem::replace(&mut self.unknown_logged, true)
        {
            tracing::warn!(run = self.run_id, what, "a remote agent sent something that AG-UI 1.0 does not define");
        }
        if let Event::MessagesSnapshot(snapshot) = &mut event {
            strip_file_bytes(&mut snapshot.messages);
        }
        Ok(event)
    }

    /// Checks the size of an event that will be kept; `length` is that of its text.
    fn check_size(&self, event: &Event, length: usize) -> Result<(), Failure> {
        let max = self.rules.max_event_bytes;
        let is_kept = match event {
            Event::RunStarted(_) => false,
            Event::Raw(_) => self.rules.keep_raw,
            _ => true,
        };
        if is_kept && length > max && extent(event).bytes > max {
            return Err(too_large(format_args!("{max} bytes")));
        }
        Ok(())
    }

    /// Advances the stage, and checks that the event is allowed in it; returns the event if it is to be passed on.
    fn apply(&mut self, event: Event) -> Result<Option<Event>, Failure> {
        let kind = event.kind();
        let broken = |rule: &str| Err(violation(&Violation { event: kind, rule: rule.to_owned() }));
        match (&self.stage, event) {
            (_, Event::RunError(error)) => Err(Failure::from_run_error(error)),
            (Stage::NotStarted, Event::RunStarted(e)) => {
                // AG-UI allows other ids, and some frameworks send their own. The connection identifies the run.
                if (&e.thread_id, &e.run_id) != (&self.thread_id, &self.run_id) {
                    tracing::debug!(run = self.run_id, remote_run = e.run_id, "a remote agent uses its own run id");
                }
                self.stage = Stage::Running;
                self.guard.seed(e.input.as_ref());
                Ok(None)
            }
            // Events of unknown types may come at any time.
            (Stage::NotStarted | Stage::Finished(_), Event::Raw(raw))
                if raw.source.as_deref() == Some(UNKNOWN_EVENT_SOURCE) =>
            {
                Ok(None)
            }
            (Stage::NotStarted, _) => broken("the first event is RUN_STARTED or RUN_ERROR"),
            (Stage::Running, event) => self.apply_running(event),
            // A stream may have several runs. All their events belong to the run here, which ends as the last of them.
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

    /// The same for a run in progress.
    fn apply_running(&mut self, event: Event) -> Result<Option<Event>, Failure> {
        let kind = event.kind();
        let broken = |rule: &str| Err(violation(&Violation { event: kind, rule: rule.to_owned() }));
        match event {
            Event::RunStarted(_) => broken("a run does not begin again before it ended"),
            Event::RunFinished(mut e) => {
                match self.guard.finish() {
                    Err(rule) if self.rules.strict => return broken(&rule),
                    // The end of the run closes it.
                    Err(rule) => self.tolerate(kind, &rule),
                    Ok(()) => {}
                }
                self.add_interrupts(&mut e);
                self.usage.extend(e.usage.take().into_iter().flatten());
                e.usage = Some(self.usage.clone()).filter(|usage| !usage.is_empty());
                self.stage = Stage::Finished(Box::new(e));
                Ok(None)
            }
            Event::Raw(_) if !self.rules.keep_raw => Ok(None),
            // Later runs would continue the calls of such tasks without asking the user.
            event if activity_type(&event) == Some(TOOL_TASK) => {
                broken(&format!("activities of the type `{TOOL_TASK}` are reserved for Netra"))
            }
            event => {
                if !self.rules.strict
                    && let Some(rule) = self.guard.repeated_end(&event)
                {
                    self.tolerate(kind, &rule);
                    return Ok(None);
                }
                self.guard.check(&event).map_err(|broken| violation(&broken))?;
                Ok(Some(event))
            }
        }
    }

    /// Counts a harmless violation, and logs the first.
    fn tolerate(&mut self, event: &'static str, rule: &str) {
        if self.observations.add_tolerated(event, rule) == 1 {
            let (run, rule) = (&self.run_id, excerpt(rule));
            tracing::warn!(run, event, rule, "a remote agent broke a rule of AG-UI; the run continues");
        }
    }

    fn track_call(&mut self, event: &Event) {
        match event {
            Event::ToolCallStart(e)
                if self.rules.confirm_pending_calls || e.tool_call_name == custom_interrupts::REQUEST_CONFIRMATION =>
            {
                self.open_calls.push(OpenCall {
                    id: e.tool_call_id.clone(),
                    name: e.tool_call_name.clone(),
                    arguments: String::new(),
                });
            }
            Event::ToolCallArgs(e) => {
                let call = self.open_calls.iter_mut().find(|call| call.id == e.tool_call_id);
                call.into_iter().for_each(|call| call.arguments.push_str(&e.delta));
            }
            Event::ToolCallResult(e) => self.open_calls.retain(|call| call.id != e.tool_call_id),
            _ => {}
        }
    }

    /// Adds the interrupts of custom events and open calls to a run that finishes without an outcome.
    fn add_interrupts(&mut self, end: &mut RunFinished) {
        let mut added = std::mem::take(&mut self.interrupts);
        let calls = std::mem::take(&mut self.open_calls);
        added.extend(calls.iter().map(|OpenCall { id, name, arguments }| match name.as_str() {
            custom_interrupts::REQUEST_CONFIRMATION => custom_interrupts::from_confirmation_call(id, arguments),
            _ => custom_interrupts::from_open_call(id, name, arguments),
        }));
        match &mut end.outcome {
            None if !added.is_empty() => end.outcome = Some(RunOutcome::Interrupt { interrupts: added }),
            Some(RunOutcome::Interrupt { interrupts }) => interrupts.iter_mut().for_each(custom_interrupts::fill_in),
            _ => {}
        }
        if let Some(RunOutcome::Interrupt { interrupts }) = &mut end.outcome {
            // Only the server may say how a tool call is continued.
            interrupts.iter_mut().filter_map(|interrupt| interrupt.metadata.as_mut()).for_each(|metadata| {
                metadata.remove(CONTINUATION);
            });
        }
    }

    /// What was observed so far.
    pub(super) fn observations(&self) -> &Observations {
        &self.observations
    }

    /// Whether the remote agent finished the run.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Finished(_))
    }

    /// How the run finished, once its stream ended.
    ///
    /// # Errors
    /// `stream_cut` if it did not finish.
    pub(crate) fn end(self) -> Result<RunFinished, Failure> {
        let times = self.observations.tolerated();
        if times > 1 {
            tracing::warn!(run = self.run_id, times, "a remote agent broke rules of AG-UI");
        }
        match self.stage {
            Stage::Finished(end) => Ok(*end),
            Stage::NotStarted => Err(stream_cut("the remote agent's stream ended before a run started; ask again")),
            Stage::Running => Err(stream_cut(
                "the remote agent's stream ended before the run did; what it sent so far is kept; ask again",
            )),
        }
    }
}

/// The failure of a run whose stream ended too early.
pub(crate) fn stream_cut(message: &str) -> Failure {
    Failure::of_endpoint("stream_cut", message)
}

fn activity_type(event: &Event) -> Option<&str> {
    match event {
        Event::ActivitySnapshot(e) => Some(&e.activity_type),
        Event::ActivityDelta(e) => Some(&e.activity_type),
        _ => None,
    }
}

fn violation(violation: &Violation) -> Failure {
    Failure::new("protocol_violation", format!("the remote agent broke a rule of AG-UI: {violation}"))
}

fn too_large(max: std::fmt::Arguments<'_>) -> Failure {
    let message = format!("the remote agent sent an event that is too large: an event has at most {max}");
    Failure::new("event_too_large", message)
}

#[cfg(test)]
#[path = "stream_state_tests.rs"]
mod tests;
