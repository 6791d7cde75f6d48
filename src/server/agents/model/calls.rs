//! What becomes of a model's tool calls: carried out, left to a person's consent, or handed to the caller's own page.
//!
//! `asks` is what a person is asked; `earlier` settles what earlier runs left.
//!
//! Promises: nothing that asks first is carried out without a person's yes; every call that is settled has exactly one
//! result, in the log and for the model; results are bounded, and are data, whatever they say.

mod asks;
mod earlier;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};

use self::asks::Asks;
use super::{
    history::Results,
    provider::ModelCall,
    read_file::{FileReader, READ_FILE},
    turn::new_id,
};
use crate::{
    protocol::{
        agui::{ActivitySnapshot, Interrupt, ToolCallResult, ToolContent},
        extensions::TOOL_TASK,
    },
    server::{
        agents::tools::{
            Consent, ToolBox, ToolOutput, ToolSpec, consent,
            questions::{self, CONTINUATION, Called, Continuation, Resumption},
        },
        runs::{AgentError, Emitter, RunInput},
    },
};

/// The most calls that run at once.
const PARALLEL: usize = 4;
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
    /// What to do, or what the model is told in place of it.
    what: Result<Act, ToolOutput>,
    /// Whether a person changed the arguments.
    edited: bool,
}

/// What is done of a call.
enum Act {
    /// It is made, with these arguments.
    Make(Value),
    /// It goes on.
    Resume(Resumption),
}

impl Tools<'_> {
    /// Asks again what there is: a source that came late is offered from now on. What a source that went away offered stays,
    /// since the conversation speaks of it.
    pub(super) async fn refresh(&mut self) -> Result<(), AgentError> {
        let Some(toolbox) = self.toolbox else { return Ok(()) };
        let listed = self.input.cancel.run_until_cancelled(toolbox.list(self.input)).await;
        let mut specs = listed.ok_or(AgentError::Stopped)?;
        // The reader takes the name, also of a source's tool.
        let has_reader = self.reader.is_some();
        specs.retain(|spec| !has_reader || spec.name != READ_FILE);
        let is_reader = |old: &ToolSpec| has_reader && old.name == READ_FILE;
        let is_away = |old: &ToolSpec| specs.iter().all(|spec| spec.source != old.source);
        let kept: Vec<ToolSpec> = self.specs.drain(..).filter(|old| is_reader(old) || is_away(old)).collect();
        specs.extend(kept);
        self.specs = specs;
        Ok(())
    }

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
                (args, _) => jobs.push(Job::new(call, args.map(Act::Make))),
            }
        }
        let mut results = self.carry_out(jobs, &mut asks).await?;
        let asks = asks.into_interrupts();
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

    /// Carries out `jobs`; what they ask a person is put to `asks`.
    async fn carry_out(&self, jobs: Vec<Job>, asks: &mut Asks) -> Result<Results, AgentError> {
        let mut results = Results::new();
        let mut running = stream::iter(jobs).map(|job| self.call(job)).buffer_unordered(PARALLEL);
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
                Err(interrupts) => match asks.push_all(interrupts) {
                    Ok(()) => continue,
                    Err(output) => output,
                },
            };
            self.result(&id, output, &mut results).await?;
        }
    }

    /// Does what a job says, up to its output or what it asks a person.
    async fn call(&self, job: Job) -> Result<(String, Result<ToolOutput, Vec<Interrupt>>), AgentError> {
        let Job { id, name, what, edited } = job;
        if let (Ok(Act::Make(args)), Some(reader)) = (&what, self.reader.as_ref().filter(|_| name == READ_FILE)) {
            let output = reader.call(args, &self.input.cancel).await;
            return Ok((id, Ok(output)));
        }
        let (act, toolbox) = match (what, self.toolbox) {
            (Err(output), _) => return Ok((id, Ok(output))),
            (Ok(_), None) => return Ok((id, Ok(self.unknown(&name)))),
            (Ok(act), Some(toolbox)) => (act, toolbox),
        };
        let (args, mut called) = match act {
            Act::Make(args) => (args.clone(), toolbox.call(&name, args, self.input).await),
            Act::Resume(resumption) => (resumption.args.clone(), toolbox.resume(&name, resumption, self.input).await),
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
                Called::Done(output) => return Ok((id, Ok(note(output)))),
                Called::Asked(asked) => {
                    let ask = |question| questions::ask(&id, &name, &args, question, self.consent_timeout);
                    let asked = asked.iter().map(ask).collect();
                    return Ok((id, Err(asked)));
                }
                Called::Begun(continuation) => {
                    self.keep_task(&id, &name, &continuation).await?;
                    let resumption =
                        Resumption { continuation, answers: Vec::new(), args: args.clone(), allowed: false };
                    toolbox.resume(&name, resumption, self.input).await
                }
            };
        }
    }

    /// Has the log keep a task, so that another run can go on with it.
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

impl Job {
    fn new(call: &ModelCall, what: Result<Act, ToolOutput>) -> Self {
        Self { id: call.id.clone(), name: call.name.clone(), what, edited: false }
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
