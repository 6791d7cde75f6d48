//! The `replay` kind: streams a recorded run at a steady rate, for demonstrations, work on the interface, and tests.
//!
//! A recording is JSON Lines, one AG-UI event a line, and read whole at start-up. Every run gets ids of its own, the same
//! one for the same recorded id. `RUN_STARTED` is left to the runner; a recorded `RUN_FINISHED` gives the result, a
//! recorded `RUN_ERROR` ends the replay with that failure.

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

use crate::protocol::{agui::Event, http::AgentInfo};
use crate::server::runs::{Agent, AgentError, Done, Emitter, Outcome, RunInput, guard::Guard};

/// The largest recording, in bytes: it is kept in memory.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The highest rate, in events a second.
const MAX_RATE: u32 = 1_000_000;
/// The fields whose values are ids of the run's own.
const IDS: [&str; 7] = [
    "messageId",
    "toolCallId",
    "subagentRunId",
    "parentSubagentRunId",
    "parentToolCallId",
    "parentMessageId",
    "entityId",
];

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The rate is none.
    #[error("{0} is no rate; allowed are 1 to {MAX_RATE} events a second")]
    Rate(u32),
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is too large.
    #[error("{}: a recording has at most {MAX_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    /// The file holds no events.
    #[error("{}: there is no event in it; a recording has one AG-UI event as JSON on each line", .0.display())]
    Empty(PathBuf),
    /// A line is no event, or not in order.
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
    /// The key of the configuration that it is about.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Rate(_) => "events_per_second",
            _ => "file",
        }
    }
}

/// A recorded run and how fast it is told.
#[derive(Debug)]
pub struct Replay {
    info: AgentInfo,
    /// The events as JSON objects: ids are renewed by name.
    events: Arc<[Map<String, Value>]>,
    ending: Result<Done, AgentError>,
    period: Duration,
}

impl Replay {
    /// Reads a recording.
    ///
    /// # Errors
    /// A bad rate, or the line of the file that is no event or out of order.
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
                recording.read(&line).map_err(wrong)?;
            }
        }
        if recording.events.is_empty() && recording.ending.is_none() {
            return Err(ReplayError::Empty(path.into()));
        }
        let ending = recording.ending.unwrap_or_else(|| Ok(Done::default()));
        let period = Duration::from_secs(1) / events_per_second;
        Ok(Self { info, events: recording.events.into(), ending, period })
    }
}

#[derive(Default)]
struct Recording {
    events: Vec<Map<String, Value>>,
    ending: Option<Result<Done, AgentError>>,
    guard: Guard,
    begun: bool,
}

impl Recording {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let mut reader = serde_json::Deserializer::from_str(line);
        let mut event: Event = serde_path_to_error::deserialize(&mut reader).map_err(|error| error.to_string())?;
        // What is told again happens again.
        event.base_mut().timestamp = None;
        reader.end().map_err(|error| error.to_string())?;
        if self.ending.is_some() {
            return Err("an event after the run's end; a recording is one run".into());
        }
        match event {
            Event::RunStarted(_) if self.begun || !self.events.is_empty() => {
                return Err("a second RUN_STARTED; a recording is one run".into());
            }
            Event::RunStarted(_) => self.begun = true,
            Event::RunFinished(end) => self.ending = Some(Ok(Done::from_event(end))),
            Event::RunError(end) => self.ending = Some(Err(AgentError::from_event(end))),
            event => {
                self.guard.check(&event).map_err(|violation| violation.to_string())?;
                match serde_json::to_value(event) {
                    Ok(Value::Object(event)) => self.events.push(event),
                    other => return Err(format!("cannot be kept: {other:?}")),
                }
            }
        }
        Ok(())
    }
}

/// The ids of one run for those of the recording.
#[derive(Default)]
struct Renewed(HashMap<String, String>);

impl Renewed {
    fn event(&mut self, mut event: Map<String, Value>) -> Result<Event, AgentError> {
        self.rename(&mut event, &IDS);
        // Restated messages have the ids of messages and calls within.
        let messages = event.get_mut("messages").and_then(Value::as_array_mut);
        for message in messages.into_iter().flatten().filter_map(Value::as_object_mut) {
            self.rename(message, &["id", "toolCallId", "subagentRunId"]);
            let calls = message.get_mut("toolCalls").and_then(Value::as_array_mut);
            for call in calls.into_iter().flatten().filter_map(Value::as_object_mut) {
                self.rename(call, &["id"]);
            }
        }
        serde_json::from_value(Value::Object(event))
            .map_err(|error| AgentError::failed("bad_recording", format!("the recording has no event here: {error}")))
    }

    /// The ending, which names calls and sub-agents as the events did.
    fn ending(&mut self, mut ending: Done) -> Done {
        let known = |id: &mut String| {
            if let Some(fresh) = self.0.get(id.as_str()) {
                id.clone_from(fresh);
            }
        };
        match &mut ending.outcome {
            Outcome::Success { pending_tool_call_ids } => pending_tool_call_ids.iter_mut().for_each(known),
            Outcome::Interrupt(interrupts) => {
                let ids = interrupts.iter_mut().flat_map(|asked| [&mut asked.tool_call_id, &mut asked.subagent_run_id]);
                ids.flatten().for_each(known);
            }
            Outcome::Cancelled => {}
        }
        ending
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
        let mut renewed = Renewed::default();
        let mut ticks = interval(self.period);
        // Burst: timers are coarser than high rates, and only catching up keeps the rate; the emitter bounds it.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for event in self.events.iter() {
            input.cancel.run_until_cancelled(ticks.tick()).await.ok_or(AgentError::Stopped)?;
            out.emit(renewed.event(event.clone())?).await?;
        }
        self.ending.clone().map(|ending| renewed.ending(ending))
    }
}
