//! What becomes of a model's tool calls: carried out, left to a person's consent, or handed to the caller's own page.
//!
//! Promises: nothing that asks first is carried out without a person's yes; every call that is settled has exactly one
//! result, in the log and for the model; results are bounded, and are data, whatever they say.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};

use super::{
    history::Results,
    provider::ModelCall,
    read_file::{FileReader, READ_FILE},
    turn::new_id,
};
use crate::{
    protocol::{
        AnswerStatus,
        agui::{Interrupt, ToolCallResult, ToolContent},
        limits::MAX_DEPTH,
    },
    server::{
        agents::{
            AgentError, Emitter, RunInput,
            guard::MAX_EVENT_BYTES,
            tools::{
                Consent, ToolBox, ToolOutput, ToolSpec,
                consent::{self, Answer},
            },
        },
        extent::{Extent, extent},
    },
    thread::RunState,
};

/// The most calls that run at once.
const PARALLEL: usize = 4;
/// The most that a person is asked at once, in bytes: the event that ends the run holds it, with room for the rest of it.
const MAX_ASKED_BYTES: usize = MAX_EVENT_BYTES * 3 / 4;
/// The most of a result that is kept.
const MAX_RESULT_BYTES: usize = 64 * 1024;

/// The tools of one run.
pub(super) struct Tools<'a> {
    pub(super) input: &'a RunInput,
    pub(super) out: &'a Emitter,
    pub(super) toolbox: Option<&'a dyn ToolBox>,
    pub(super) specs: Vec<ToolSpec>,
    /// Reads text files that do not fit, where there are any.
    pub(super) reader: Option<FileReader>,
    /// How long a person may take to answer.
    pub(super) consent_timeout: Option<Duration>,
}

/// What became of the calls of one answer.
pub(super) enum Settled {
    /// All have results: the model goes on.
    Done(Results),
    /// A person is asked.
    Asked(Vec<Interrupt>),
    /// The caller carries these out.
    Pending(Vec<String>),
}

/// A call to carry out.
struct Job {
    id: String,
    name: String,
    /// The arguments, or what the model is told of them.
    args: Result<Value, ToolOutput>,
    /// Whether a person changed them.
    edited: bool,
}

impl Tools<'_> {
    /// Carries out what may be carried out.
    pub(super) async fn settle(&self, calls: &[ModelCall]) -> Result<Settled, AgentError> {
        let (mut jobs, mut asks, mut callers) = (Vec::new(), Asks::default(), Vec::new());
        for call in calls {
            let Some(spec) = self.spec(&call.name) else {
                match (self.is_callers(&call.name), consent::measure(&call.arguments)) {
                    (true, Ok(())) => callers.push(call),
                    (true, Err(output)) => jobs.push(Job::new(call, Err(output))),
                    (false, _) => jobs.push(Job::new(call, Err(self.unknown(&call.name)))),
                }
                continue;
            };
            match (consent::arguments(spec, &call.arguments), spec.consent) {
                (Ok(args), Consent::Ask) => {
                    let ask = consent::ask(&call.id, spec, &args, self.consent_timeout);
                    asks.push(ask).unwrap_or_else(|output| jobs.push(Job::new(call, Err(output))));
                }
                (args, _) => jobs.push(Job::new(call, args)),
            }
        }
        let asks = asks.asks;
        let mut results = self.carry_out(jobs).await?;
        if asks.is_empty() && callers.is_empty() {
            return Ok(Settled::Done(results));
        }
        if asks.is_empty() {
            return Ok(Settled::Pending(callers.into_iter().map(|call| call.id.clone()).collect()));
        }
        for call in callers {
            let text =
                "Not carried out, for another call of the same answer waits for a person. Call it again if needed.";
            self.result(&call.id, ToolOutput::failed(text), &mut results).await?;
        }
        Ok(Settled::Asked(asks))
    }

    /// Acts on a person's answers to the calls that waited.
    pub(super) async fn resume(&self, open: &[ModelCall]) -> Result<Results, AgentError> {
        let (mut jobs, mut results) = (Vec::new(), Results::new());
        for call in open {
            let answer = self.answer(call);
            match (answer.output(), answer) {
                // By its name: what there is may have changed since the person was asked, and its source says how.
                (None, Answer::Approved { args, edited }) => jobs.push(Job { edited, ..Job::new(call, Ok(args)) }),
                (output, _) => {
                    let output = output.unwrap_or_else(|| ToolOutput::failed("This call was not made."));
                    self.result(&call.id, output, &mut results).await?;
                }
            }
        }
        results.extend(self.carry_out(jobs).await?);
        Ok(results)
    }

    /// What a person said to a call. What was asked stands in the run that waited.
    fn answer(&self, call: &ModelCall) -> Answer {
        let waited = self.input.parent_run_id.and_then(|run_id| self.input.thread.run(run_id));
        let asked = match waited.map(|run| &run.state) {
            Some(RunState::Interrupted { interrupts }) => interrupts.as_slice(),
            _ => &[],
        };
        let asked = asked.iter().find(|interrupt| interrupt.tool_call_id.as_deref() == Some(&call.id));
        let said = asked.and_then(|asked| self.input.resume.iter().find(|answer| answer.interrupt_id == asked.id));
        match (asked, said) {
            (Some(asked), Some(said)) => {
                let resolved = said.status == AnswerStatus::Resolved;
                consent::read(asked, resolved, said.payload.as_ref())
            }
            _ => Answer::Refused { reason: Some("nobody said that it may be made".into()) },
        }
    }

    /// Gives calls a result without carrying them out.
    pub(super) async fn decline(&self, calls: &[ModelCall], why: &str) -> Result<(), AgentError> {
        for call in calls {
            self.result(&call.id, ToolOutput::failed(why), &mut Results::new()).await?;
        }
        Ok(())
    }

    /// Offers `read_file`, in place of a namesake.
    pub(super) fn offer(&mut self, reader: FileReader) {
        self.specs.retain(|spec| spec.name != READ_FILE);
        self.specs.push(reader.spec());
        self.reader = Some(reader);
    }

    /// Offers `read_file` no more. Answers whether it was offered.
    pub(super) fn withdraw_reader(&mut self) -> bool {
        self.specs.retain(|spec| self.reader.is_none() || spec.name != READ_FILE);
        self.reader.take().is_some()
    }

    fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.specs.iter().find(|spec| spec.name == name)
    }

    fn is_callers(&self, name: &str) -> bool {
        self.input.caller.tools.iter().any(|tool| tool.name == name)
    }

    async fn carry_out(&self, jobs: Vec<Job>) -> Result<Results, AgentError> {
        let mut results = Results::new();
        let mut running = stream::iter(jobs).map(|job| self.call(job)).buffer_unordered(PARALLEL);
        loop {
            let done = tokio::select! {
                biased;
                () = self.input.cancel.cancelled() => return Err(AgentError::Stopped),
                done = running.next() => done,
            };
            let Some((id, output)) = done else { return Ok(results) };
            self.result(&id, output, &mut results).await?;
        }
    }

    async fn call(&self, job: Job) -> (String, ToolOutput) {
        let Job { id, name, args, edited } = job;
        if let (Ok(args), Some(reader)) = (&args, self.reader.as_ref().filter(|_| name == READ_FILE)) {
            let output = reader.call(args, &self.input.cancel).await;
            return (id, output);
        }
        let output = match (args, self.toolbox) {
            (Err(output), _) => output,
            (Ok(_), None) => self.unknown(&name),
            (Ok(args), Some(toolbox)) if edited => {
                let note = format!("(The person changed the arguments to {args} before allowing the call.)\n");
                let output = toolbox.call(&name, args, self.input).await;
                ToolOutput { text: note + &output.text, ..output }
            }
            (Ok(args), Some(toolbox)) => toolbox.call(&name, args, self.input).await,
        };
        (id, output)
    }

    fn unknown(&self, name: &str) -> ToolOutput {
        let names: Vec<&str> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
        let names = if names.is_empty() { "none".into() } else { names.join(", ") };
        ToolOutput::failed(format!("There is no tool `{name}` here. There is: {names}."))
    }

    async fn result(&self, id: &str, output: ToolOutput, results: &mut Results) -> Result<(), AgentError> {
        let text = bounded(output.text);
        let mut event = ToolCallResult::new(new_id(), id, ToolContent::Text(text.clone()));
        if output.failed {
            event.base.metadata = Some(Map::from_iter([("failed".to_owned(), json!(true))]));
        }
        self.out.emit(event).await?;
        results.insert(id.to_owned(), text);
        Ok(())
    }
}

/// What a person is asked, within what one event holds.
#[derive(Default)]
struct Asks {
    asks: Vec<Interrupt>,
    bytes: usize,
}

impl Asks {
    /// Asks this, too; where it does not fit, answers what the model is told of the call.
    fn push(&mut self, ask: Interrupt) -> Result<(), ToolOutput> {
        /// The levels that an event has around a question.
        const AROUND: usize = 4;
        let Extent { bytes, depth } = extent(&ask);
        if depth + AROUND > MAX_DEPTH {
            let text = "Not carried out: a person must allow it, and its arguments are nested too deeply to be shown. Make them flatter.";
            return Err(ToolOutput::failed(text));
        }
        if self.bytes + bytes > MAX_ASKED_BYTES {
            let text = "Not carried out: a person must allow it, and this answer had more to ask them than they can be asked at once. \
                Call it again when the other calls are settled.";
            return Err(ToolOutput::failed(text));
        }
        self.bytes += bytes;
        self.asks.push(ask);
        Ok(())
    }
}

impl Job {
    fn new(call: &ModelCall, args: Result<Value, ToolOutput>) -> Self {
        Self { id: call.id.clone(), name: call.name.clone(), args, edited: false }
    }
}

/// The last bound on a result, whatever the tools did.
fn bounded(mut text: String) -> String {
    if text.len() > MAX_RESULT_BYTES {
        let all = text.len();
        text.truncate(text.floor_char_boundary(MAX_RESULT_BYTES));
        text.push_str(&format!("\n[cut here: {MAX_RESULT_BYTES} of {all} bytes]"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_results_are_cut_and_say_so() {
        let text = bounded("é".repeat(MAX_RESULT_BYTES));
        assert!(
            text.len() < MAX_RESULT_BYTES + 64 && text.ends_with("of 131072 bytes]"),
            "{}",
            &text[text.len() - 60..]
        );
    }
}
