//! Settles a model's tool calls: carries them out, asks a person first, or leaves them to the caller.
//!
//! `interrupts` collects the interrupts of a run; `earlier` settles the calls that earlier runs left open.
//!
//! Guarantees: a call that needs consent is carried out only after a person approved it; every settled call has exactly one result, in the log
//! and for the model; results are bounded.

mod earlier;
mod interrupts;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};

use self::interrupts::InterruptBatch;
use super::{
    answer::new_id,
    history::Results,
    provider::ModelCall,
    read_file::{FileReader, READ_FILE},
};
use crate::{
    protocol::{
        agui::{ActivitySnapshot, Interrupt, ToolCallResult, ToolContent},
        extensions::TOOL_TASK,
    },
    server::{
        agents::tools::{
            Consent, ToolBox, ToolOutput, ToolSpec, consent,
            questions::{self, CONTINUATION, CallOutcome, Continuation, Resumption},
        },
        runs::{AgentError, Emitter, RunInput},
    },
    text::truncate_bytes,
};

/// The most calls that run at once.
const MAX_PARALLEL_CALLS: usize = 4;
/// The most bytes of a result.
const MAX_RESULT_BYTES: usize = 64 * 1024;

/// The tools of one run.
pub(super) struct Tools<'a> {
    pub(super) input: &'a RunInput,
    pub(super) out: &'a Emitter,
    pub(super) toolbox: Option<&'a dyn ToolBox>,
    pub(super) specs: Vec<ToolSpec>,
    /// The tool `read_file`, if there are text files that do not fit.
    pub(super) reader: Option<FileReader>,
    /// How long a person may take to answer; `None`: as long as they like.
    pub(super) consent_timeout: Option<Duration>,
}

/// The outcome of settling the calls of one answer.
pub(super) enum Settled {
    /// All have results.
    Done(Results),
    /// Some wait for a person.
    Interrupted(Vec<Interrupt>),
    /// The ids of calls that the caller carries out.
    Pending(Vec<String>),
}

/// A call to carry out.
struct Job {
    id: String,
    name: String,
    /// What to do, or the result if nothing is done.
    action: Result<Action, ToolOutput>,
    /// Whether a person changed the arguments.
    edited: bool,
}

/// How a call is carried out.
enum Action {
    /// It is made with these arguments.
    Call(Value),
    /// A call that was made before is resumed.
    Resume(Resumption),
}

impl Tools<'_> {
    /// Lists the tools again, with those of sources that were not there before. Tools of a source that became unavailable stay, since the
    /// conversation may mention them.
    pub(super) async fn refresh(&mut self) -> Result<(), AgentError> {
        let Some(toolbox) = self.toolbox else { return Ok(()) };
        let listed = self.input.cancel.run_until_cancelled(toolbox.list(self.input)).await;
        let mut specs = listed.ok_or(AgentError::Stopped)?;
        // `read_file` takes precedence over a source's tool with its name.
        let has_reader = self.reader.is_some();
        specs.retain(|spec| !has_reader || spec.name != READ_FILE);
        let is_reader = |old: &ToolSpec| has_reader && old.name == READ_FILE;
        let is_missing = |old: &ToolSpec| specs.iter().all(|spec| spec.source != old.source);
        let kept: Vec<ToolSpec> = self.specs.drain(..).filter(|old| is_reader(old) || is_missing(old)).collect();
        specs.extend(kept);
        self.specs = specs;
        Ok(())
    }

    /// Carries out the calls that need no consent. Returns what is left for a person or the caller.
    pub(super) async fn settle(&self, calls: &[ModelCall]) -> Result<Settled, AgentError> {
        let (mut jobs, mut interrupts, mut of_caller) = (Vec::new(), InterruptBatch::default(), Vec::new());
        for call in calls {
            let Some(spec) = self.spec(&call.name) else {
                match (self.is_of_caller(&call.name), consent::check_length(&call.arguments)) {
                    (true, Ok(())) => of_caller.push(call),
                    (true, Err(output)) => jobs.push(Job::new(call, Err(output))),
                    (false, _) => jobs.push(Job::new(call, Err(self.unknown(&call.name)))),
                }
                continue;
            };
            match (consent::parse_arguments(spec, &call.arguments), spec.consent) {
                (Ok(args), Consent::Ask) => {
                    let interrupt = consent::new_interrupt(&call.id, spec, &args, self.consent_timeout);
                    interrupts.push(interrupt).unwrap_or_else(|output| jobs.push(Job::new(call, Err(output))));
                }
                (args, _) => jobs.push(Job::new(call, args.map(Action::Call))),
            }
        }
        let mut results = self.carry_out(jobs, &mut interrupts).await?;
        let interrupts = interrupts.into_vec();
        if interrupts.is_empty() && of_caller.is_empty() {
            return Ok(Settled::Done(results));
        }
        if interrupts.is_empty() {
            return Ok(Settled::Pending(of_caller.into_iter().map(|call| call.id.clone()).collect()));
        }
        for call in of_caller {
            let text =
                "Not carried out, because another call of the same answer waits for a person. Call it again if needed.";
            self.result(&call.id, ToolOutput::failed(text), &mut results).await?;
        }
        Ok(Settled::Interrupted(interrupts))
    }

    /// Gives calls a result that says why they are not carried out.
    pub(super) async fn decline(&self, calls: &[ModelCall], why: &str) -> Result<(), AgentError> {
        for call in calls {
            self.result(&call.id, ToolOutput::failed(why), &mut Results::new()).await?;
        }
        Ok(())
    }

    /// Offers `read_file`, in place of any tool with its name.
    pub(super) fn offer(&mut self, reader: FileReader) {
        self.specs.retain(|spec| spec.name != READ_FILE);
        self.specs.push(reader.spec());
        self.reader = Some(reader);
    }

    /// Stops offering `read_file`. Returns whether it was offered.
    pub(super) fn withdraw_reader(&mut self) -> bool {
        self.specs.retain(|spec| self.reader.is_none() || spec.name != READ_FILE);
        self.reader.take().is_some()
    }

    fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.specs.iter().find(|spec| spec.name == name)
    }

    fn is_of_caller(&self, name: &str) -> bool {
        self.input.caller.tools.iter().any(|tool| tool.name == name)
    }

    /// Carries out `jobs`, and adds their questions to `interrupts`.
    async fn carry_out(&self, jobs: Vec<Job>, interrupts: &mut InterruptBatch) -> Result<Results, AgentError> {
        let mut results = Results::new();
        let mut running = stream::iter(jobs).map(|job| self.call(job)).buffer_unordered(MAX_PARALLEL_CALLS);
        loop {
            let done = tokio::select! {
                biased;
                () = self.input.cancel.cancelled() => return Err(AgentError::Stopped),
                done = running.next() => done,
            };
            let Some(done) = done else { return Ok(results) };
            let (id, outcome) = done?;
            let output = match outcome {
                Ok(output) => output,
                Err(new) => match interrupts.push_all(new) {
                    Ok(()) => continue,
                    Err(output) => output,
                },
            };
            self.result(&id, output, &mut results).await?;
        }
    }

    /// Carries out a job. Returns its output, or the interrupts with its questions.
    async fn call(&self, job: Job) -> Result<(String, Result<ToolOutput, Vec<Interrupt>>), AgentError> {
        let Job { id, name, action, edited } = job;
        if let (Ok(Action::Call(args)), Some(reader)) = (&action, self.reader.as_ref().filter(|_| name == READ_FILE)) {
            let output = reader.call(args, &self.input.cancel).await;
            return Ok((id, Ok(output)));
        }
        let (action, toolbox) = match (action, self.toolbox) {
            (Err(output), _) => return Ok((id, Ok(output))),
            (Ok(_), None) => return Ok((id, Ok(self.unknown(&name)))),
            (Ok(action), Some(toolbox)) => (action, toolbox),
        };
        let (args, mut called) = match action {
            Action::Call(args) => (args.clone(), toolbox.call(&name, args, self.input).await),
            Action::Resume(resumption) => {
                (resumption.args.clone(), toolbox.resume(&name, resumption, self.input).await)
            }
        };
        let note = |output: ToolOutput| match edited {
            true => {
                let note = format!("(The person changed the arguments to {args} before allowing the call.)\n");
                ToolOutput { text: note + &output.text, ..output }
            }
            false => output,
        };
        loop {
            called = match called {
                CallOutcome::Done(output) => return Ok((id, Ok(note(output)))),
                CallOutcome::InputRequired(questions) => {
                    let interrupt =
                        |question| questions::new_interrupt(&id, &name, &args, question, self.consent_timeout);
                    let interrupts = questions.iter().map(interrupt).collect();
                    return Ok((id, Err(interrupts)));
                }
                CallOutcome::TaskStarted(continuation) => {
                    self.keep_task(&id, &name, &continuation).await?;
                    let resumption =
                        Resumption { continuation, answers: Vec::new(), args: args.clone(), allowed: false };
                    toolbox.resume(&name, resumption, self.input).await
                }
            };
        }
    }

    /// Keeps a task in the log, so that another run can poll it.
    async fn keep_task(&self, id: &str, name: &str, continuation: &Continuation) -> Result<(), AgentError> {
        let content = [("toolCallId", json!(id)), ("toolName", json!(name)), (CONTINUATION, json!(continuation))];
        let content: Map<_, _> = content.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        self.out.emit(ActivitySnapshot::new(new_id(), TOOL_TASK, content)).await
    }

    fn unknown(&self, name: &str) -> ToolOutput {
        let names: Vec<&str> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
        let names = if names.is_empty() { "none".into() } else { names.join(", ") };
        ToolOutput::failed(format!("There is no tool `{name}` here. There is: {names}."))
    }

    async fn result(&self, id: &str, output: ToolOutput, results: &mut Results) -> Result<(), AgentError> {
        let text = truncate_bytes(output.text, MAX_RESULT_BYTES);
        let mut event = ToolCallResult::new(new_id(), id, ToolContent::Text(text.clone()));
        if output.failed {
            event.base.metadata = Some(Map::from_iter([("failed".to_owned(), json!(true))]));
        }
        self.out.emit(event).await?;
        results.insert(id.to_owned(), text);
        Ok(())
    }
}

impl Job {
    fn new(call: &ModelCall, action: Result<Action, ToolOutput>) -> Self {
        Self { id: call.id.clone(), name: call.name.clone(), action, edited: false }
    }
}
