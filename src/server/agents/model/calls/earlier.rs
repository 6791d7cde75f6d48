//! Settles the calls that earlier runs left open: those with an interrupt, and those that became tasks of their servers.
//!
//! Guarantees: only calls and tasks of this agent's own runs count, since the events of other agents are not trusted; a person's answer
//! belongs to the call of its interrupt, in whichever run it was made; a call that needs consent is carried out only after a person
//! approved this call.

use std::{collections::HashSet, iter};

use serde_json::Value;

use super::{Action, InterruptBatch, Job, Settled, Tools};
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
    /// Carries out or refuses the calls that a person answered, and polls the tasks of runs that ended before their tasks.
    pub(in super::super) async fn settle_earlier(&self, history: &[Message]) -> Result<Settled, AgentError> {
        if let Some(toolbox) = self.toolbox.filter(|_| !self.is_answered()) {
            // The person sent a message instead of an answer.
            toolbox.abandon(self.input.thread_id);
        }
        let tasks = tasks(&self.input.thread, &self.input.agent);
        let mut open = self.open_calls(history);
        if self.was_cut() {
            // Nobody was asked about these calls; their tasks are polled below.
            open.retain(|call| tasks.iter().all(|job| job.id != call.id));
        }
        let (mut jobs, mut results, mut interrupts) = (Vec::new(), Results::new(), InterruptBatch::default());
        for call in &open {
            if let Some(resumption) = self.resumption(call) {
                jobs.push(Job::new(call, Ok(Action::Resume(resumption))));
                continue;
            }
            if self.was_cut() {
                self.result(&call.id, ToolOutput::failed(MAYBE_CARRIED_OUT), &mut results).await?;
                continue;
            }
            let answer = self.answer(call);
            match (answer.output(), answer) {
                // The tool may have changed since the person was asked: the call fails if it is gone or refuses these
                // arguments.
                (None, Answer::Approved { args, edited }) => {
                    jobs.push(Job { edited, ..Job::new(call, Ok(Action::Call(args))) });
                }
                (output, _) => {
                    let output = output.unwrap_or_else(|| ToolOutput::failed("This call was not made."));
                    self.result(&call.id, output, &mut results).await?;
                }
            }
        }
        let on_branch: HashSet<String> = history::call_ids(history).collect();
        let is_to_poll = |job: &Job| on_branch.contains(&job.id) && open.iter().all(|call| call.id != job.id);
        jobs.extend(tasks.into_iter().filter(is_to_poll));
        results.extend(self.carry_out(jobs, &mut interrupts).await?);
        let interrupts = interrupts.into_vec();
        Ok(if interrupts.is_empty() { Settled::Done(results) } else { Settled::Interrupted(interrupts) })
    }

    /// The open calls of a run that resumes another: those of the newest turn, and those with an interrupt of the
    /// resumed run, which may be of an earlier turn, since a task outlives its run. If the interrupts were abandoned,
    /// only those of tasks count.
    fn open_calls(&self, history: &[Message]) -> Vec<ModelCall> {
        if self.input.resume.is_empty() {
            return Vec::new();
        }
        let mut open = history::open_calls(history);
        let interrupts = self.interrupts().iter().filter(|interrupt| self.is_answered() || is_task_question(interrupt));
        for id in interrupts.filter_map(|interrupt| interrupt.tool_call_id.as_deref()) {
            if open.iter().all(|call| call.id != id) {
                open.extend(history::call(history, id));
            }
        }
        open
    }

    /// How to resume a call whose tool asked a person a question; `None` if it asked none.
    fn resumption(&self, call: &ModelCall) -> Option<Resumption> {
        let interrupts = self.interrupts().iter().filter(|interrupt| is_tool_question(interrupt, call));
        let answered = interrupts.map(|interrupt| {
            let answer = self.input.resume.iter().find(|answer| answer.interrupt_id == interrupt.id);
            let resolved = answer.is_some_and(|answer| answer.status == AnswerStatus::Resolved);
            (interrupt, questions::parse_response(resolved, answer.and_then(|answer| answer.payload.as_ref())))
        });
        Resumption::from_answers(answered, self.was_allowed(&call.id))
    }

    /// The run that this one resumes, if it is this agent's.
    fn resumed_run(&self) -> Option<&RunView> {
        let run = self.input.thread.run(self.input.parent_run_id?)?;
        Some(run).filter(|run| run.agent == self.input.agent)
    }

    /// Whether that run's interrupts were answered (by a person, or as cancelled on expiry), and not abandoned.
    fn is_answered(&self) -> bool {
        self.resumed_run().is_some_and(|run| matches!(run.answered, Some(Resolution::Answered { .. })))
    }

    /// Whether that run was cut off when its server stopped.
    fn was_cut(&self) -> bool {
        self.resumed_run().is_some_and(RunView::was_cut_by_restart)
    }

    /// That run's interrupts.
    fn interrupts(&self) -> &[Interrupt] {
        self.resumed_run().map(RunView::interrupts).unwrap_or_default()
    }

    /// A person's answer to the consent request of a call.
    fn answer(&self, call: &ModelCall) -> Answer {
        let interrupt = self.interrupts().iter().find(|interrupt| is_consent_question(interrupt, &call.id));
        let answer =
            interrupt.and_then(|interrupt| self.input.resume.iter().find(|answer| answer.interrupt_id == interrupt.id));
        match (interrupt, answer) {
            (Some(interrupt), Some(answer)) => {
                let resolved = answer.status == AnswerStatus::Resolved;
                consent::parse_answer(interrupt, resolved, answer.payload.as_ref())
            }
            _ => Answer::Refused { reason: Some("no person allowed it".into()) },
        }
    }

    /// Whether a person allowed a call, in the run that this one resumes or in those that it resumed in turn.
    fn was_allowed(&self, call: &str) -> bool {
        let own = |run: &&RunView| run.agent == self.input.agent;
        let before = |run: &&RunView| self.input.thread.run(run.resumes?).filter(own);
        iter::successors(self.resumed_run(), before).any(|run| allows(run, call))
    }
}

/// Whether an interrupt asks for consent to a call.
fn is_consent_question(interrupt: &Interrupt, call: &str) -> bool {
    interrupt.reason == TOOL_CALL && interrupt.tool_call_id.as_deref() == Some(call)
}

/// Whether an interrupt has a question of the tool of this call.
fn is_tool_question(interrupt: &Interrupt, call: &ModelCall) -> bool {
    let tool = interrupt.metadata.as_ref().and_then(|metadata| metadata.get("toolName"));
    let is_of_call =
        interrupt.tool_call_id.as_deref() == Some(&call.id) && tool.and_then(Value::as_str) == Some(&call.name);
    interrupt.reason == INPUT_REQUIRED && is_of_call
}

/// Whether an interrupt has a question of a task.
fn is_task_question(interrupt: &Interrupt) -> bool {
    let metadata = interrupt.metadata.as_ref().filter(|_| interrupt.reason == INPUT_REQUIRED);
    metadata.is_some_and(|metadata| task_of(metadata).is_some())
}

/// Whether a person allowed a call in a run.
fn allows(run: &RunView, call: &str) -> bool {
    let (RunState::Interrupted { interrupts }, Some(Resolution::Answered { answers, .. })) =
        (&run.state, &run.answered)
    else {
        return false;
    };
    interrupts.iter().filter(|interrupt| is_consent_question(interrupt, call)).any(|interrupt| {
        let answer = answers.iter().find(|answer| answer.interrupt_id == interrupt.id);
        answer.is_some_and(|answer| {
            let resolved = answer.status == AnswerStatus::Resolved;
            matches!(consent::parse_answer(interrupt, resolved, answer.payload.as_ref()), Answer::Approved { .. })
        })
    })
}

/// The calls of an agent in a thread that have no result and whose task is recorded in the agent's own runs. Tasks of
/// runs that a person stopped are left out, since they were cancelled.
fn tasks(thread: &ThreadView, agent: &str) -> Vec<Job> {
    let runs = || thread.runs().filter(move |run| run.agent == agent);
    let open = |id: &str| {
        // The call may be in an earlier run than its task, if a person was asked about it.
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
        let tool_name = content.get("toolName").and_then(Value::as_str);
        let Some((name, args)) = open(id).filter(|(name, _)| tool_name == Some(name)) else { continue };
        let args = serde_json::from_str(&args).unwrap_or_default();
        let resumption = Resumption { continuation, answers: Vec::new(), args, allowed: false };
        // Of several tasks of a call, the last one counts.
        jobs.retain(|job| job.id != id);
        jobs.push(Job { id: id.to_owned(), name, action: Ok(Action::Resume(resumption)), edited: false });
    }
    jobs
}

#[cfg(test)]
mod tests;
