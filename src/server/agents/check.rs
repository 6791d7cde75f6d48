//! A check of an agent: a short conversation with it, held in memory, and what of it would not work for people.
//!
//! Nothing is stored, and nobody but the administrator who asks sees it. What the agent does is real: its tools are called, and
//! its model is paid.

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

/// The second message: the agent is told the conversation again.
const SECOND_TEXT: &str = "Thank you.";
/// How long one answer may take.
const TURN_TIMEOUT: Duration = Duration::from_secs(60);
/// The most events of one answer.
const MAX_EVENTS: usize = 20_000;
/// The most bytes of one answer.
const MAX_BYTES: usize = 8 << 20;
/// The most questions, and the most calls, of one answer that findings name.
const MAX_QUESTIONS: usize = 8;
/// The longest name or reason of the agent's that a finding repeats, in characters.
const MAX_WORDS: usize = 200;
/// Events that wait between the agent and the check.
const CAPACITY: usize = 64;

/// One answer.
struct Turn {
    ended: Result<Done, AgentError>,
    findings: Vec<Finding>,
    first_event: Option<Duration>,
    took: Duration,
    shown: Shown,
}

/// What people see of an answer.
#[derive(Default)]
struct Shown {
    is_empty: bool,
    /// Of its text.
    characters: usize,
    /// The names of the tools of its calls that have no result.
    open_calls: Vec<String>,
}

impl Shown {
    /// Of a run: what answers its message.
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
            NodeBody::Tool { name, result: None, .. } => Some(name.chars().take(MAX_WORDS).collect()),
            _ => None,
        };
        Self {
            is_empty: bodies().next().is_none(),
            characters: bodies().map(characters).sum(),
            open_calls: bodies().filter_map(open_call).collect(),
        }
    }
}

/// Holds a conversation of two messages with an agent, and returns what it found, in the order in which it happened.
pub async fn check(agent: &dyn Agent, author: &Author, text: &str) -> AgentCheck {
    let (thread_id, mut thread) = (ThreadId::new(), ThreadView::default());
    let mut findings = Vec::new();
    let (first, parent) = ask(agent, author, thread_id, &mut thread, (text, None)).await;
    let asked = first.asked().to_vec();
    let goes_on = first.ended.is_ok();
    first.tell(&mut findings);
    if goes_on {
        let answered = Some((parent, asked.as_slice())).filter(|(_, asked)| !asked.is_empty());
        let (second, _) = ask(agent, author, thread_id, &mut thread, (SECOND_TEXT, answered)).await;
        second.tell_of_second(&asked, &mut findings);
    }
    AgentCheck { findings }
}

/// Asks once, and takes the answer into the thread.
async fn ask(
    agent: &dyn Agent,
    author: &Author,
    thread_id: ThreadId,
    thread: &mut ThreadView,
    (text, before): (&str, Option<(RunId, &[Interrupt])>),
) -> (Turn, RunId) {
    let mut input = RunInput { thread_id, ..RunInput::alone(author.clone(), text) };
    let run_id = input.run_id;
    let id = agent.info().id;
    let message = UserMessage::new(author.clone(), text, run_id, id.clone());
    thread.apply(now_ms(), ThreadEntry::Message { message });
    input.agent = id;
    if let Some((parent, asked)) = before {
        input.parent_run_id = Some(parent);
        let cancelled = |asked: &Interrupt| Resume {
            interrupt_id: asked.id.clone(),
            status: AnswerStatus::Cancelled,
            payload: None,
            metadata: None,
        };
        input.resume = asked.iter().map(cancelled).collect();
    }
    input.thread = thread.clone();
    let mut hear = |event: Event| thread.apply(now_ms(), ThreadEntry::Agent { run_id, event: Box::new(event) });
    hear(RunStarted::new(thread_id.to_string(), run_id.to_string()).into());
    let mut turn = answer(agent, input, &mut hear).await;
    hear(end(&turn.ended, thread_id, run_id));
    turn.shown = Shown::new(thread.run(run_id));
    (turn, run_id)
}

async fn answer(agent: &dyn Agent, input: RunInput, hear: &mut impl FnMut(Event)) -> Turn {
    let (cancel, began) = (input.cancel.clone(), Instant::now());
    // However this ends, what the agent has begun elsewhere ends, too.
    let _ends = [input.cancel.clone().drop_guard(), input.stopped_by_person.clone().drop_guard()];
    let mut turn = Turn {
        ended: Err(AgentError::Stopped),
        findings: Vec::new(),
        first_event: None,
        took: Duration::ZERO,
        shown: Shown::default(),
    };
    let (out, events) = Emitter::channel(CAPACITY);
    let probe = agent.probe(input, out);
    let listen = listen(events, began, &cancel, &mut turn, hear);
    let limited = async {
        let ended = timeout(TURN_TIMEOUT, probe).await;
        ended.unwrap_or_else(|_| {
            let message = format!("it did not end its answer within {} s", TURN_TIMEOUT.as_secs());
            (Err(AgentError::failed("time_limit", message)), Vec::new())
        })
    };
    let (ended, listened) = tokio::join!(limited, listen);
    (turn.ended, turn.findings) = ended;
    if let Err(message) = listened {
        turn.ended = Err(AgentError::failed("too_many_events", message));
    }
    turn.took = began.elapsed();
    turn
}

/// Takes what an agent says until it ends, or says too much.
async fn listen(
    mut events: mpsc::Receiver<Event>,
    began: Instant,
    cancel: &CancellationToken,
    turn: &mut Turn,
    hear: &mut impl FnMut(Event),
) -> Result<(), String> {
    let (mut count, mut bytes) = (0, 0);
    while let Some(event) = events.recv().await {
        count += 1;
        bytes += extent(&event).bytes;
        if count > MAX_EVENTS || bytes > MAX_BYTES {
            // Whoever emits finds the channel closed.
            cancel.cancel();
            events.close();
            return Err(format!("it said more than {MAX_EVENTS} events or {} MiB in one answer", MAX_BYTES >> 20));
        }
        turn.first_event.get_or_insert_with(|| began.elapsed());
        hear(event);
    }
    Ok(())
}

/// How a turn ended, as its log would say.
fn end(ended: &Result<Done, AgentError>, thread_id: ThreadId, run_id: RunId) -> Event {
    match ended {
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

impl Turn {
    fn asked(&self) -> &[Interrupt] {
        match &self.ended {
            Ok(Done { outcome: Outcome::Interrupt(interrupts), .. }) => interrupts,
            _ => &[],
        }
    }

    fn tell(self, findings: &mut Vec<Finding>) {
        let asked = self.asked().len();
        let ended = self.ended_with();
        match (&self.ended, self.first_event) {
            (Err(error), _) => findings.push(Finding::problem(format!("It does not answer: {error}."))),
            (Ok(_), None) if asked == 0 => {
                findings.push(Finding::problem("It ended its run and said nothing: people would see an empty answer."))
            }
            (Ok(_), first) => {
                let first = first.map(|first| format!(", the first event after {}", seconds(first)));
                let (took, first) = (seconds(self.took), first.unwrap_or_default());
                findings.push(Finding::good(format!(
                    "It answered in {took}{first}, with {} characters of text.",
                    self.shown.characters
                )));
            }
        }
        findings.extend(ended);
        findings.extend(self.findings);
    }

    fn tell_of_second(self, asked: &[Interrupt], findings: &mut Vec<Finding>) {
        let what = match asked {
            [] => "when the conversation goes on",
            _ => "when something else is said while it waits for a person",
        };
        match &self.ended {
            Err(error) => findings.push(Finding::problem(format!("It does not answer {what}: {error}."))),
            Ok(_) if self.shown.is_empty && self.asked().is_empty() => {
                findings.push(Finding::problem(format!("It says nothing {what}: people would see an empty answer.")))
            }
            Ok(_) => findings.push(Finding::good(format!("It answers {what}."))),
        }
        let known: Vec<String> = findings.iter().map(|known| known.about.clone()).collect();
        let more = self.ended_with().into_iter().chain(self.findings);
        findings.extend(more.filter(|finding| !known.contains(&finding.about)));
    }

    /// What the end of an answer means for people.
    fn ended_with(&self) -> Vec<Finding> {
        let Ok(done) = &self.ended else { return Vec::new() };
        let names = || {
            self.shown
                .open_calls
                .iter()
                .take(MAX_QUESTIONS)
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match &done.outcome {
            Outcome::Interrupt(interrupts) => interrupts.iter().take(MAX_QUESTIONS).map(asks).collect(),
            Outcome::Success { .. } if !self.shown.open_calls.is_empty() => vec![Finding::problem(format!(
                "It ended its run with calls that have no result ({}), and did not say that it waits for a person: nobody is \
                 asked, and its next answer begins without those results. Where a person is to allow such a call, let the \
                 agent end its run with the outcome `interrupt`; docs/frameworks has the switch for each framework.",
                names()
            ))],
            Outcome::Success { .. } | Outcome::Cancelled => Vec::new(),
        }
    }
}

/// How a question of the agent is put to people.
fn asks(interrupt: &Interrupt) -> Finding {
    let is_call = interrupt.reason == "tool_call";
    let how = match &interrupt.response_schema {
        _ if is_call => "with yes, no or changed arguments",
        Some(_) => "with a form",
        None => "with a field of text",
    };
    match interrupt.message.as_deref().filter(|message| !message.trim().is_empty()) {
        Some(message) => {
            let message: String = message.chars().take(MAX_WORDS).collect();
            Finding::good(format!("It asks a person “{message}”, who answers {how}."))
        }
        None if is_call => Finding::good(format!("It asks a person to allow a call, {how}.")),
        None => Finding::advice(format!(
            "It asks a person and does not say what: its interrupt has no `message`. People answer {how} to the reason, `{}`.",
            interrupt.reason.chars().take(MAX_WORDS).collect::<String>()
        )),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f32())
}
