//! The calls that earlier runs left: those that a person was asked about, and those that their servers work on as tasks.
//!
//! Promises: only what this agent's own runs say is acted on, for other agents of the thread may say anything; a person's answer
//! goes to the call that they were asked about, in whichever run it was made; a call that asks first is carried out only after a
//! yes to that very call.

use std::{collections::HashSet, iter};

use serde_json::Value;

use super::{Act, Asks, Job, Settled, Tools};
use crate::{
    protocol::{
        AnswerStatus,
        agui::{Interrupt, Message},
        extensions::TOOL_TASK,
    },
    server::{
        agents::{
            model::{
                history::{self, Results},
                provider::ModelCall,
            },
            tools::{
                ToolOutput,
                consent::{self, Answer, TOOL_CALL},
                questions::{self, INPUT_REQUIRED, Resumption, task_of},
            },
        },
        runs::AgentError,
    },
    thread::{MAYBE_CARRIED_OUT, NodeBody, Resolution, RunState, RunView, ThreadView},
};

impl Tools<'_> {
    /// Acts on a person's answers to the calls that waited, and goes on with calls that became tasks and whose runs were cut
    /// off.
    pub(in super::super) async fn settle_earlier(&self, history: &[Message]) -> Result<Settled, AgentError> {
        if let Some(toolbox) = self.toolbox.filter(|_| !self.is_answered()) {
            // Something else was said: nobody answers what was asked before.
            toolbox.abandon(self.input.thread_id);
        }
        let tasks = tasks(&self.input.thread, &self.input.agent);
        let mut open = self.open_calls(history);
        if self.was_cut() {
            // Nobody was asked about them: their tasks are followed.
            open.retain(|call| tasks.iter().all(|job| job.id != call.id));
        }
        let (mut jobs, mut results, mut asks) = (Vec::new(), Results::new(), Asks::default());
        for call in &open {
            if let Some(resumption) = self.resumption(call) {
                jobs.push(Job::new(call, Ok(Act::Resume(resumption))));
                continue;
            }
            if self.was_cut() {
                self.result(&call.id, ToolOutput::failed(MAYBE_CARRIED_OUT), &mut results).await?;
                continue;
            }
            let answer = self.answer(call);
            match (answer.output(), answer) {
                // By its name: what there is may have changed since the person was asked, and its source says how.
                (None, Answer::Approved { args, edited }) => {
                    jobs.push(Job { edited, ..Job::new(call, Ok(Act::Make(args))) });
                }
                (output, _) => {
                    let output = output.unwrap_or_else(|| ToolOutput::failed("This call was not made."));
                    self.result(&call.id, output, &mut results).await?;
                }
            }
        }
        let on_branch: HashSet<String> = history::call_ids(history).collect();
        let is_to_follow = |job: &Job| on_branch.contains(&job.id) && open.iter().all(|call| call.id != job.id);
        jobs.extend(tasks.into_iter().filter(is_to_follow));
        results.extend(self.carry_out(jobs, &mut asks).await?);
        let asks = asks.into_interrupts();
        Ok(if asks.is_empty() { Settled::Done(results) } else { Settled::Asked(asks) })
    }

    /// The calls that a resumed run is about: those of the newest answer, and those that the run which waited asked about. They
    /// may stand before what the person said last: a task outlives its run. Where nobody answered, only tasks go on.
    fn open_calls(&self, history: &[Message]) -> Vec<ModelCall> {
        if self.input.resume.is_empty() {
            return Vec::new();
        }
        let mut open = history::open_calls(history);
        let goes_on = self.waited().iter().filter(|asked| self.is_answered() || asks_for_task(asked));
        for id in goes_on.filter_map(|asked| asked.tool_call_id.as_deref()) {
            if open.iter().all(|call| call.id != id) {
                open.extend(history::call(history, id));
            }
        }
        open
    }

    /// How a call goes on that asked a person in the run that waited; none where it did not.
    fn resumption(&self, call: &ModelCall) -> Option<Resumption> {
        let asked = self.waited().iter().filter(|asked| asks_of_tool(asked, call));
        let answered = asked.map(|asked| {
            let said = self.input.resume.iter().find(|answer| answer.interrupt_id == asked.id);
            let resolved = said.is_some_and(|said| said.status == AnswerStatus::Resolved);
            (asked, questions::read(resolved, said.and_then(|said| said.payload.as_ref())))
        });
        questions::resumption(answered, self.was_allowed(&call.id))
    }

    /// The run that this one goes on from, where it is this agent's.
    fn waited_run(&self) -> Option<&RunView> {
        let run = self.input.thread.run(self.input.parent_run_id?)?;
        Some(run).filter(|run| run.agent == self.input.agent)
    }

    /// Whether a person answered what that run asked; else something else was said.
    fn is_answered(&self) -> bool {
        self.waited_run().is_some_and(|run| matches!(run.answered, Some(Resolution::Answered { .. })))
    }

    /// Whether the end of its server cut the run that this one goes on from.
    fn was_cut(&self) -> bool {
        self.waited_run().is_some_and(RunView::was_cut_by_restart)
    }

    /// What the run asked that this one goes on from.
    fn waited(&self) -> &[Interrupt] {
        self.waited_run().map(RunView::interrupts).unwrap_or_default()
    }

    /// What a person said to a call. What was asked stands in the run that waited.
    fn answer(&self, call: &ModelCall) -> Answer {
        let asked = self.waited().iter().find(|asked| asks_consent(asked, &call.id));
        let said = asked.and_then(|asked| self.input.resume.iter().find(|answer| answer.interrupt_id == asked.id));
        match (asked, said) {
            (Some(asked), Some(said)) => {
                let resolved = said.status == AnswerStatus::Resolved;
                consent::read(asked, resolved, said.payload.as_ref())
            }
            _ => Answer::Refused { reason: Some("nobody said that it may be made".into()) },
        }
    }

    /// Whether a person allowed a call, in the run that this one goes on from or in those that it went on from.
    fn was_allowed(&self, call: &str) -> bool {
        let own = |run: &&RunView| run.agent == self.input.agent;
        let before = |run: &&RunView| self.input.thread.run(run.resumes?).filter(own);
        iter::successors(self.waited_run(), before).any(|run| allows(run, call))
    }
}

/// Whether an interrupt asks if a call may be made.
fn asks_consent(asked: &Interrupt, call: &str) -> bool {
    asked.reason == TOOL_CALL && asked.tool_call_id.as_deref() == Some(call)
}

/// Whether an interrupt asks what the tool of this very call wants to know.
fn asks_of_tool(asked: &Interrupt, call: &ModelCall) -> bool {
    let tool = asked.metadata.as_ref().and_then(|metadata| metadata.get("toolName"));
    let is_of_call =
        asked.tool_call_id.as_deref() == Some(&call.id) && tool.and_then(Value::as_str) == Some(&call.name);
    asked.reason == INPUT_REQUIRED && is_of_call
}

/// Whether an interrupt asks what a task wants to know.
fn asks_for_task(asked: &Interrupt) -> bool {
    let metadata = asked.metadata.as_ref().filter(|_| asked.reason == INPUT_REQUIRED);
    metadata.is_some_and(|metadata| task_of(metadata).is_some())
}

/// Whether a person was asked about a call in a run, and said yes.
fn allows(run: &RunView, call: &str) -> bool {
    let (RunState::Interrupted { interrupts }, Some(Resolution::Answered { answers, .. })) =
        (&run.state, &run.answered)
    else {
        return false;
    };
    interrupts.iter().filter(|asked| asks_consent(asked, call)).any(|asked| {
        let said = answers.iter().find(|answer| answer.interrupt_id == asked.id);
        said.is_some_and(|said| {
            let resolved = said.status == AnswerStatus::Resolved;
            matches!(consent::read(asked, resolved, said.payload.as_ref()), Answer::Approved { .. })
        })
    })
}

/// The calls of an agent in a thread that have no result, and that the agent's own runs keep a task of. Tasks of runs that a
/// person stopped were cancelled.
fn tasks(thread: &ThreadView, agent: &str) -> Vec<Job> {
    let runs = || thread.runs().filter(move |run| run.agent == agent);
    let open = |id: &str| {
        // The call may stand in an earlier run than its task: a person was asked about it.
        runs().flat_map(|run| &run.nodes).find_map(|node| match &node.body {
            NodeBody::Tool { name, args, result: None, .. } if node.id == id => Some((name.clone(), args.clone())),
            _ => None,
        })
    };
    let mut jobs: Vec<Job> = Vec::new();
    for node in runs().filter(|run| run.state != RunState::Cancelled).flat_map(|run| &run.nodes) {
        let content = match &node.body {
            NodeBody::Activity { activity_type, content } if activity_type == TOOL_TASK => content,
            _ => continue,
        };
        let id = content.get("toolCallId").and_then(Value::as_str);
        let (Some(id), Some(continuation)) = (id, task_of(content)) else { continue };
        let noted = content.get("toolName").and_then(Value::as_str);
        let Some((name, args)) = open(id).filter(|(name, _)| noted == Some(name)) else { continue };
        let args = serde_json::from_str(&args).unwrap_or_default();
        let resumption = Resumption { continuation, answers: Vec::new(), args, allowed: false };
        // Of several tasks of a call the last is the one that goes on.
        jobs.retain(|job| job.id != id);
        jobs.push(Job { id: id.to_owned(), name, what: Ok(Act::Resume(resumption)), edited: false });
    }
    jobs
}

#[cfg(test)]
mod tests;
