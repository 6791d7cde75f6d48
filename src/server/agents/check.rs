//! Checks an agent with a short conversation in memory, and reports what would not work for users.
//!
//! Nothing is stored, and only the administrator who requested the check sees it. The agent's actions are real: its tools are
//! called, and its model costs money.

use std::time::{Duration, Instant};

use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    json_size::extent,
    protocol::{
        AnswerStatus, Author, RunId, ThreadEntry, ThreadId, UserMessage,
        agui::{Event, Interrupt, Resume, RunError, RunFinished, RunOutcome, RunStarted},
        http::{AgentCheck, Finding},
    },
    server::{
        clock::now_ms,
        runs::{Agent, AgentError, Done, Emitter, Outcome, RunInput},
    },
    thread::{NodeBody, RunView, ThreadView},
};

/// The second message, with which the agent receives the conversation so far.
const SECOND_MESSAGE: &str = "Thank you.";
/// The longest time of one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The most events of one answer.
const MAX_EVENTS: usize = 20_000;
/// The most bytes of one answer.
const MAX_BYTES: usize = 8 << 20;
/// The most interrupts, and the most calls, of one answer that findings list.
const MAX_LISTED: usize = 8;
/// The longest excerpt of a text from the agent in a finding, in characters.
const MAX_EXCERPT_CHARS: usize = 200;
/// The capacity of the channel of events.
const CHANNEL_CAPACITY: usize = 64;

/// One run of the agent.
struct CheckedRun {
    result: Result<Done, AgentError>,
    findings: Vec<Finding>,
    first_event: Option<Duration>,
    took: Duration,
    visible: VisibleAnswer,
}

/// What users see of an answer.
#[derive(Default)]
struct VisibleAnswer {
    is_empty: bool,
    /// The length of its text.
    characters: usize,
    /// The names of the tools of its calls that have no result.
    open_calls: Vec<String>,
}

impl VisibleAnswer {
    /// The visible part of a run, after the nodes that continue earlier runs.
    fn new(run: Option<&RunView>) -> Self {
        let nodes = run.map_or(&[][..], |run| &run.nodes[run.answer_start()..]);
        let bodies = || {
            nodes.iter().map(|node| &node.body).filter(|body| !matches!(body, NodeBody::Step | NodeBody::ReasoningSpan))
        };
        let characters = |body: &NodeBody| match body {
            NodeBody::Text { text, .. } => text.chars().count(),
            _ => 0,
        };
        let open_call = |body: &NodeBody| match body {
            NodeBody::Tool { name, result: None, .. } => Some(name.chars().take(MAX_EXCERPT_CHARS).collect()),
            _ => None,
        };
        Self {
            is_empty: bodies().next().is_none(),
            characters: bodies().map(characters).sum(),
            open_calls: bodies().filter_map(open_call).collect(),
        }
    }
}

/// Sends an agent two messages, and returns the findings in order.
pub async fn check(agent: &dyn Agent, author: &Author, text: &str) -> AgentCheck {
    let (thread_id, mut thread) = (ThreadId::new(), ThreadView::default());
    let mut findings = Vec::new();
    let (first, parent) = send(agent, author, thread_id, &mut thread, (text, None)).await;
    let interrupts = first.interrupts().to_vec();
    let is_ok = first.result.is_ok();
    first.add_findings(&mut findings);
    if is_ok {
        let interrupted = Some((parent, interrupts.as_slice())).filter(|(_, interrupts)| !interrupts.is_empty());
        let (second, _) = send(agent, author, thread_id, &mut thread, (SECOND_MESSAGE, interrupted)).await;
        second.add_findings_of_second(&interrupts, &mut findings);
    }
    AgentCheck { findings }
}

/// Sends a message, cancels the interrupts of the run before, and applies the answer to the thread.
async fn send(
    agent: &dyn Agent,
    author: &Author,
    thread_id: ThreadId,
    thread: &mut ThreadView,
    (text, interrupted): (&str, Option<(RunId, &[Interrupt])>),
) -> (CheckedRun, RunId) {
    let mut input = RunInput { thread_id, ..RunInput::alone(author.clone(), text) };
    let run_id = input.run_id;
    let id = agent.info().id;
    let message = UserMessage::new(author.clone(), text, run_id, id.clone());
    thread.apply(now_ms(), ThreadEntry::Message { message });
    input.agent = id;
    if let Some((parent, interrupts)) = interrupted {
        input.parent_run_id = Some(parent);
        let cancelled = |interrupt: &Interrupt| Resume {
            interrupt_id: interrupt.id.clone(),
            status: AnswerStatus::Cancelled,
            payload: None,
            metadata: None,
        };
        input.resume = interrupts.iter().map(cancelled).collect();
    }
    input.thread = thread.clone();
    let mut apply = |event: Event| thread.apply(now_ms(), ThreadEntry::Agent { run_id, event: Box::new(event) });
    apply(RunStarted::new(thread_id.to_string(), run_id.to_string()).into());
    let mut run = probe(agent, input, &mut apply).await;
    apply(terminal_event(&run.result, thread_id, run_id));
    run.visible = VisibleAnswer::new(thread.run(run_id));
    (run, run_id)
}

/// Runs the agent within the limits, and applies its events.
async fn probe(agent: &dyn Agent, input: RunInput, apply: &mut impl FnMut(Event)) -> CheckedRun {
    let (cancel, started) = (input.cancel.clone(), Instant::now());
    // Also stops what the agent started elsewhere, however this function ends.
    let _guards = [input.cancel.clone().drop_guard(), input.stopped_by_person.clone().drop_guard()];
    let mut run = CheckedRun {
        result: Err(AgentError::Stopped),
        findings: Vec::new(),
        first_event: None,
        took: Duration::ZERO,
        visible: VisibleAnswer::default(),
    };
    let (out, events) = Emitter::channel(CHANNEL_CAPACITY);
    let probe = agent.probe(input, out);
    let collect = collect(events, started, &cancel, &mut run, apply);
    let limited = async {
        let done = timeout(ANSWER_TIMEOUT, probe).await;
        done.unwrap_or_else(|_| {
            let message = format!("it did not end its answer within {} s", ANSWER_TIMEOUT.as_secs());
            (Err(AgentError::failed("time_limit", message)), Vec::new())
        })
    };
    let (done, collected) = tokio::join!(limited, collect);
    (run.result, run.findings) = done;
    if let Err(message) = collected {
        run.result = Err(AgentError::failed("too_many_events", message));
    }
    run.took = started.elapsed();
    run
}

/// Applies the events of an agent, until it ends or exceeds a limit.
async fn collect(
    mut events: mpsc::Receiver<Event>,
    started: Instant,
    cancel: &CancellationToken,
    run: &mut CheckedRun,
    apply: &mut impl FnMut(Event),
) -> Result<(), String> {
    let (mut count, mut bytes) = (0, 0);
    while let Some(event) = events.recv().await {
        count += 1;
        bytes += extent(&event).bytes;
        if count > MAX_EVENTS || bytes > MAX_BYTES {
            // Further events of the agent are refused, because the channel is closed.
            cancel.cancel();
            events.close();
            return Err(format!("it sent more than {MAX_EVENTS} events or {} MiB in one answer", MAX_BYTES >> 20));
        }
        run.first_event.get_or_insert_with(|| started.elapsed());
        apply(event);
    }
    Ok(())
}

/// The terminal event of a run.
fn terminal_event(result: &Result<Done, AgentError>, thread_id: ThreadId, run_id: RunId) -> Event {
    match result {
        Ok(done) => {
            let outcome = match &done.outcome {
                Outcome::Interrupt(interrupts) => Some(RunOutcome::Interrupt { interrupts: interrupts.clone() }),
                Outcome::Success { .. } | Outcome::Cancelled => None,
            };
            RunFinished { outcome, ..RunFinished::new(thread_id.to_string(), run_id.to_string()) }.into()
        }
        Err(error) => RunError::new(error.to_string()).into(),
    }
}

impl CheckedRun {
    fn interrupts(&self) -> &[Interrupt] {
        match &self.result {
            Ok(Done { outcome: Outcome::Interrupt(interrupts), .. }) => interrupts,
            _ => &[],
        }
    }

    /// Adds the findings of the first run.
    fn add_findings(self, findings: &mut Vec<Finding>) {
        let interrupts = self.interrupts().len();
        let end_findings = self.end_findings();
        match (&self.result, self.first_event) {
            (Err(error), _) => findings.push(Finding::problem(format!("It does not answer: {error}."))),
            (Ok(_), None) if interrupts == 0 => {
                findings.push(Finding::problem("It ended its run without an answer: users would see nothing."))
            }
            (Ok(_), first) => {
                let first = first.map(|first| format!(", the first event after {}", seconds(first)));
                let (took, first) = (seconds(self.took), first.unwrap_or_default());
                findings.push(Finding::good(format!(
                    "It answered in {took}{first}, with {} characters of text.",
                    self.visible.characters
                )));
            }
        }
        findings.extend(end_findings);
        findings.extend(self.findings);
    }

    /// Adds the findings of the second run; `interrupts` are those of the first.
    fn add_findings_of_second(self, interrupts: &[Interrupt], findings: &mut Vec<Finding>) {
        let when = match interrupts {
            [] => "when the conversation continues",
            _ => "when the user sends a message while it waits for an answer",
        };
        match &self.result {
            Err(error) => findings.push(Finding::problem(format!("It does not answer {when}: {error}."))),
            Ok(_) if self.visible.is_empty && self.interrupts().is_empty() => {
                findings.push(Finding::problem(format!("It sends no answer {when}: users would see nothing.")))
            }
            Ok(_) => findings.push(Finding::good(format!("It answers {when}."))),
        }
        let known: Vec<String> = findings.iter().map(|known| known.about.clone()).collect();
        let more = self.end_findings().into_iter().chain(self.findings);
        findings.extend(more.filter(|finding| !known.contains(&finding.about)));
    }

    /// Findings about how an answer ended.
    fn end_findings(&self) -> Vec<Finding> {
        let Ok(done) = &self.result else { return Vec::new() };
        let names = || {
            self.visible
                .open_calls
                .iter()
                .take(MAX_LISTED)
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match &done.outcome {
            Outcome::Interrupt(interrupts) => interrupts.iter().take(MAX_LISTED).map(interrupt_finding).collect(),
            Outcome::Success { .. } if !self.visible.open_calls.is_empty() => vec![Finding::problem(format!(
                "It ended its run with calls that have no result ({}), but without the outcome `interrupt`: no user is asked, and \
                 its next run starts without those results. If a user should allow such a call, let the agent end its run \
                 with the outcome `interrupt`; docs/frameworks has the option of each framework.",
                names()
            ))],
            Outcome::Success { .. } | Outcome::Cancelled => Vec::new(),
        }
    }
}

/// How users see and answer an interrupt of the agent.
fn interrupt_finding(interrupt: &Interrupt) -> Finding {
    let is_call = interrupt.reason == "tool_call";
    let answer = match &interrupt.response_schema {
        _ if is_call => "with yes, no or changed arguments",
        Some(_) => "with a form",
        None => "with a text field",
    };
    match interrupt.message.as_deref().filter(|message| !message.trim().is_empty()) {
        Some(message) => {
            let message: String = message.chars().take(MAX_EXCERPT_CHARS).collect();
            Finding::good(format!("It asks “{message}”; users answer {answer}."))
        }
        None if is_call => Finding::good(format!("It asks to allow a call; users answer {answer}.")),
        None => Finding::advice(format!(
            "It asks without a question: its interrupt has no `message`. Users see its reason, `{}`, and answer {answer}.",
            interrupt.reason.chars().take(MAX_EXCERPT_CHARS).collect::<String>()
        )),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f32())
}
