//! The `replay` kind: streams a recorded run at a constant rate, for demonstrations, development and tests.
//!
//! A recording is a file of JSON Lines with one AG-UI event per line, and is read completely at start-up. In each run, every recorded id
//! is replaced by a new one. A recorded `RUN_STARTED` is skipped, because the runner sends its own; `RUN_FINISHED` gives
//! the result, `RUN_ERROR` the failure.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::protocol::{agui::Event, http::AgentInfo, untrusted};
use crate::server::runs::{Agent, AgentError, Done, Emitter, Outcome, RunInput, guard::Guard};

/// The largest recording, in bytes: it is kept in memory.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The highest rate, in events a second.
const MAX_RATE: u32 = 1_000_000;
/// The fields with ids to replace.
const ID_FIELDS: [&str; 7] = [
    "messageId",
    "toolCallId",
    "subagentRunId",
    "parentSubagentRunId",
    "parentToolCallId",
    "parentMessageId",
    "entityId",
];

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The rate is out of range.
    #[error("the rate {0} is out of range; 1 to {MAX_RATE} events per second are allowed")]
    Rate(u32),
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The file is too large.
    #[error("{}: a recording has at most {MAX_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    /// The file has no events.
    #[error("{}: the file has no events; a recording has one AG-UI event as JSON on each line", .0.display())]
    Empty(PathBuf),
    /// A line is not a valid event, or not allowed at its place.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl ReplayError {
    /// The wrong key of the configuration.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Rate(_) => "events_per_second",
            _ => "file",
        }
    }
}

/// A recorded run and its rate.
#[derive(Debug)]
pub struct Replay {
    info: AgentInfo,
    /// The events as JSON objects, so that ids can be replaced by field name.
    events: Arc<[Map<String, Value>]>,
    end: Result<Done, AgentError>,
    period: Duration,
}

impl Replay {
    /// Reads a recording.
    ///
    /// # Errors
    /// If the rate is out of range, or the file is invalid; names the line.
    pub fn open(info: AgentInfo, path: &Path, events_per_second: u32) -> Result<Self, ReplayError> {
        if !(1..=MAX_RATE).contains(&events_per_second) {
            return Err(ReplayError::Rate(events_per_second));
        }
        let failed = |error| ReplayError::File { path: path.into(), error };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > MAX_BYTES {
            return Err(ReplayError::TooLarge(path.into()));
        }
        let mut recording = Recording::default();
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(failed)?;
            let wrong = |message| ReplayError::Line { path: path.into(), line: index + 1, message };
            if !line.trim().is_empty() {
                recording.add_line(&line).map_err(wrong)?;
            }
        }
        if recording.events.is_empty() && recording.end.is_none() {
            return Err(ReplayError::Empty(path.into()));
        }
        let end = recording.end.unwrap_or_else(|| Ok(Done::default()));
        let period = Duration::from_secs(1) / events_per_second;
        Ok(Self { info, events: recording.events.into(), end, period })
    }
}

/// A recording while it is read.
#[derive(Default)]
struct Recording {
    events: Vec<Map<String, Value>>,
    end: Option<Result<Done, AgentError>>,
    guard: Guard,
    started: bool,
}

impl Recording {
    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let value = untrusted::from_slice(line.as_bytes()).map_err(|error| error.to_string())?;
        let mut event: Event = serde_path_to_error::deserialize(value).map_err(|error| error.to_string())?;
        // A replayed event happens at another time.
        event.base_mut().timestamp = None;
        if self.end.is_some() {
            return Err("an event after the run's end; a recording is one run".into());
        }
        match event {
            Event::RunStarted(_) if self.started || !self.events.is_empty() => {
                return Err("a second RUN_STARTED; a recording is one run".into());
            }
            Event::RunStarted(_) => self.started = true,
            Event::RunFinished(end) => self.end = Some(Ok(Done::from_event(end))),
            Event::RunError(end) => self.end = Some(Err(AgentError::from_event(end))),
            event => {
                self.guard.check(&event).map_err(|violation| violation.to_string())?;
                match serde_json::to_value(event) {
                    Ok(Value::Object(event)) => self.events.push(event),
                    other => return Err(format!("cannot be encoded: {other:?}")),
                }
            }
        }
        Ok(())
    }
}

/// Maps the ids of the recording to those of one run.
#[derive(Default)]
struct NewIds(HashMap<String, String>);

impl NewIds {
    /// Replaces the ids in an event.
    fn event(&mut self, mut event: Map<String, Value>) -> Result<Event, AgentError> {
        self.rename(&mut event, &ID_FIELDS);
        // Restated messages have ids at these places.
        let messages = event.get_mut("messages").and_then(Value::as_array_mut);
        for message in messages.into_iter().flatten().filter_map(Value::as_object_mut) {
            self.rename(message, &["id", "toolCallId", "subagentRunId"]);
            let calls = message.get_mut("toolCalls").and_then(Value::as_array_mut);
            for call in calls.into_iter().flatten().filter_map(Value::as_object_mut) {
                self.rename(call, &["id"]);
            }
        }
        serde_json::from_value(Value::Object(event)).map_err(|error| {
            AgentError::failed("bad_recording", format!("an event of the recording is invalid: {error}"))
        })
    }

    /// Replaces the ids of calls and sub-agents in the end of the run.
    fn end(&mut self, mut end: Done) -> Done {
        let replace = |id: &mut String| {
            if let Some(fresh) = self.0.get(id.as_str()) {
                id.clone_from(fresh);
            }
        };
        match &mut end.outcome {
            Outcome::Success { pending_tool_call_ids } => pending_tool_call_ids.iter_mut().for_each(replace),
            Outcome::Interrupt(interrupts) => {
                let ids = interrupts
                    .iter_mut()
                    .flat_map(|interrupt| [&mut interrupt.tool_call_id, &mut interrupt.subagent_run_id]);
                ids.flatten().for_each(replace);
            }
            Outcome::Cancelled => {}
        }
        end
    }

    fn rename(&mut self, object: &mut Map<String, Value>, keys: &[&str]) {
        for key in keys {
            if let Some(Value::String(id)) = object.get_mut(*key) {
                let fresh = || Uuid::now_v7().to_string();
                id.clone_from(self.0.entry(id.clone()).or_insert_with(fresh));
            }
        }
    }
}

#[async_trait]
impl Agent for Replay {
    fn info(&self) -> AgentInfo {
        self.info.clone()
    }

    async fn run(&self, input: RunInput, out: Emitter) -> Result<Done, AgentError> {
        let mut ids = NewIds::default();
        let mut ticks = interval(self.period);
        // Timers are coarser than high rates, so the rate is kept only by catching up. The emitter's channel limits bursts.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for event in self.events.iter() {
            input.cancel.run_until_cancelled(ticks.tick()).await.ok_or(AgentError::Stopped)?;
            out.emit(ids.event(event.clone())?).await?;
        }
        self.end.clone().map(|end| ids.end(end))
    }
}
