//! Executes one run, from its first event to its last, in a task of its own.

mod ending;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::{JoinError, JoinHandle},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

pub(super) use self::ending::failed;
use self::ending::{check_interrupts, fits, from_run_error, panic_message};
use super::{
    AgentError, Done, Emitter, Outcome,
    agents::Agents,
    coalesce::Coalescer,
    condense::{self, CondenseError},
    failures::SERVER_RESTARTING,
    guard::{Guard, MAX_EVENT_BYTES, Violation},
    new_messages::{NewMessages, ReadRequest},
    prepare,
    run_log::{LogError, RunLog},
    runner::RunnerOptions,
    titles::Titles,
};
use crate::{
    json_size::extent,
    protocol::{agui::Event, limits::MAX_DEPTH},
    server::{channel::Channels, threads::NewRun},
    thread::{EndKind, RunEnd},
};

/// How many events may wait between an agent and its log.
const MAX_QUEUED_EVENTS: usize = 64;
/// The most events in one transaction.
const MAX_BATCH_EVENTS: usize = 256;
/// How long an agent may take to return after its run was cancelled.
const STOP_TIMEOUT: Duration = Duration::from_millis(700);
/// How long a stopped run waits for its agent to report usage.
const USAGE_TIMEOUT: Duration = Duration::from_millis(200);

/// Everything that executing a run needs.
pub(super) struct Run {
    pub(super) new: NewRun,
    pub(super) agents: Arc<Agents>,
    pub(super) channels: Channels,
    pub(super) options: Arc<RunnerOptions>,
    /// How long the run may take.
    pub(super) time_limit: Duration,
    /// Notified when runs of the thread left the queue.
    pub(super) may_unblock: Arc<Notify>,
    /// Titles of threads.
    pub(super) titles: Titles,
    /// Receives how to end the run before its agent returns.
    pub(super) stop: watch::Receiver<Option<RunEnd>>,
}

/// The task in which the agent runs.
struct AgentTask {
    task: JoinHandle<std::result::Result<Done, AgentError>>,
    /// Whether its result was taken; a task must not be polled again after that.
    is_finished: bool,
    /// Cancelled if a person stopped the run.
    stopped_by_person: CancellationToken,
    /// Its requests for messages that were sent during the run.
    reads: mpsc::Receiver<ReadRequest>,
}

type AgentResult = std::result::Result<std::result::Result<Done, AgentError>, JoinError>;

impl Run {
    /// Executes the run. Its log always gets an end; if the store fails for too long, the runner ends it later.
    pub(super) async fn execute(self) {
        let NewRun { run_id, thread_id, requested_by, ref agent, .. } = self.new;
        let began = Instant::now();
        let log = RunLog::new(&self.channels, &self.options, thread_id, run_id, (requested_by, agent));
        let mut log = log.resuming(self.new.resumes);
        tracing::info!(run = %run_id, thread = %thread_id, user = %requested_by, agent, "a run starts");
        let (new, agents) = (self.new.clone(), self.agents.clone());
        let (titles, channels) = (self.titles.clone(), self.channels.clone());
        let _counted = agents.allowance().count(requested_by, run_id);
        match self.run_agent(&mut log).await {
            Ok(ending) => {
                let ms = began.elapsed().as_millis();
                match ending.kind {
                    EndKind::Finished { .. } => {
                        tracing::info!(run = %run_id, ms, "a run finished");
                        titles.request(&new, &agents, &channels, &log.view);
                    }
                    EndKind::Interrupted(_) => tracing::info!(run = %run_id, ms, "a run waits for a person"),
                    EndKind::Cancelled => tracing::info!(run = %run_id, ms, "a run was stopped"),
                    EndKind::Failed { message, code } => {
                        tracing::warn!(run = %run_id, ms, code, message, "a run failed");
                    }
                }
            }
            Err(LogError::Closed) => {
                tracing::info!(run = %run_id, thread = %thread_id, "another node owns this run now")
            }
            Err(LogError::Store(error)) => {
                tracing::error!(run = %run_id, %error, "the log of a run cannot be written; the run is ended later");
            }
        }
    }

    async fn run_agent(mut self, log: &mut RunLog) -> Result<RunEnd, LogError> {
        log.start().await?;
        let cancel = CancellationToken::new();
        let mut stop = self.stop.clone();
        let prepared = tokio::select! {
            biased;
            // Stopped while it waited for its turn or for the store: its agent is not called.
            ending = stopped(&mut stop) => Err(ending),
            prepared = prepare::prepare(&self, cancel.clone()) => prepared,
        };
        let (agent, mut input) = match prepared {
            Ok(prepared) => prepared,
            Err(ending) => return log.end(&ending).await.map(|()| ending),
        };
        // From here on restated state and messages are compared with the thread.
        log.view = input.thread.clone();
        log.append(prepare::initial_events(&mut input)).await?;
        let (out, events) = Emitter::channel(MAX_QUEUED_EVENTS);
        let stopped_by_person = input.stopped_by_person.clone();
        let (messages, reads) = NewMessages::channel();
        input.messages = messages;
        let task = tokio::spawn(async move { agent.run(input, out).await });
        let mut task = AgentTask { task, is_finished: false, stopped_by_person, reads };
        let (ending, kept) = self.record_events(log, events, &mut task).await;
        let ended = match kept {
            Err(error @ LogError::Store(_)) => Err(error),
            // Even if the log accepts nothing more, the run's usage counts.
            Ok(()) | Err(LogError::Closed) => {
                let ending = collect_late_usage(ending, &mut task, &cancel).await;
                log.end(&ending).await.map(|()| ending)
            }
        };
        // After the log has its end, so that a slow agent cannot add to it.
        stop_agent(task.task, &cancel, &self.new).await;
        ended
    }

    /// Appends the agent's events until the agent returns, the run is stopped or the log fails. Returns how the run ends, and whether
    /// the log accepted all events.
    async fn record_events(
        &mut self,
        log: &mut RunLog,
        mut events: mpsc::Receiver<Event>,
        task: &mut AgentTask,
    ) -> (RunEnd, Result<(), LogError>) {
        let mut pipeline = EventPipeline { guard: Guard::default(), coalescer: Coalescer::new(self.options.coalesce) };
        let (mut received, mut out, mut is_open) = (Vec::with_capacity(MAX_BATCH_EVENTS), Vec::new(), true);
        let deadline = tokio::time::Instant::now() + self.time_limit;
        let ending = loop {
            let due = pipeline.coalescer.due();
            let due_at = due.unwrap_or_else(Instant::now).into();
            let (mut checked, mut request) = (Ok(Ok(())), None);
            tokio::select! {
                biased;
                ending = stopped(&mut self.stop) => {
                    // Before the run is cancelled.
                    if matches!(ending.kind, EndKind::Cancelled) {
                        task.stopped_by_person.cancel();
                    }
                    break ending;
                }
                () = sleep_until(deadline) => break self.out_of_time(),
                returned = &mut task.task => {
                    task.is_finished = true;
                    break self.end_from_result(returned);
                }
                () = sleep_until(due_at), if due.is_some() => pipeline.coalescer.take_due(Instant::now(), &mut out),
                count = events.recv_many(&mut received, MAX_BATCH_EVENTS), if is_open => {
                    is_open = count > 0;
                    checked = pipeline.process(&mut received, &mut out, log).await;
                }
                // After all events that the agent sent before.
                Some(new) = task.reads.recv() => {
                    request = Some(new);
                    pipeline.coalescer.flush(Instant::now(), &mut out);
                }
            }
            let kept = log.append(std::mem::take(&mut out)).await;
            match checked.and_then(|checked| kept.map(|()| checked)) {
                Ok(Ok(())) => self.answer(request, log).await,
                Ok(Err(error)) => break self.invalid_event(error),
                Err(error) => return (EndKind::Cancelled.into(), Err(error)),
            }
        };
        // Events sent before the end still count.
        events.close();
        let mut ending = ending;
        while events.recv_many(&mut received, MAX_BATCH_EVENTS).await > 0 {
            match pipeline.process(&mut received, &mut out, log).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    if matches!(ending.kind, EndKind::Finished { .. } | EndKind::Interrupted(_)) {
                        ending = self.invalid_event(error);
                    }
                    break;
                }
                Err(error) => return (ending, Err(error)),
            }
        }
        pipeline.coalescer.flush(Instant::now(), &mut out);
        let kept = log.append(out).await;
        (ending, kept)
    }

    /// Answers the agent's request for messages, if it made one.
    async fn answer(&self, request: Option<ReadRequest>, log: &mut RunLog) {
        let Some(request) = request else { return };
        let messages = log.read_messages().await;
        if !messages.is_empty() {
            // Their own runs have ended; the queue drops them.
            self.may_unblock.notify_one();
        }
        // An agent that was stopped meanwhile does not wait for them.
        let _ = request.send(messages);
    }

    fn end_from_result(&self, returned: AgentResult) -> RunEnd {
        let NewRun { run_id, agent, .. } = &self.new;
        match returned {
            Ok(Ok(done)) if !fits(&done) => {
                let most = format!("{MAX_EVENT_BYTES} bytes and {MAX_DEPTH} levels");
                failed("protocol_violation", format!("the agent's result exceeds the {most} that an event may have"))
            }
            Ok(Ok(Done { result, outcome, usage, metadata, base })) => {
                let how = match outcome {
                    Outcome::Success { pending_tool_call_ids: pending } => EndKind::Finished { result, pending },
                    Outcome::Interrupt(interrupts) if interrupts.is_empty() => {
                        return failed(
                            "protocol_violation",
                            "the agent ended with an interrupt outcome without interrupts",
                        );
                    }
                    Outcome::Interrupt(interrupts) => match check_interrupts(interrupts) {
                        Ok(interrupts) => EndKind::Interrupted(interrupts),
                        Err(id) => {
                            let problem = format!("the agent sent two interrupts with the same id: {id}");
                            return failed("protocol_violation", problem);
                        }
                    },
                    Outcome::Cancelled => EndKind::Cancelled,
                };
                RunEnd { kind: how, usage, metadata, base }
            }
            Ok(Err(AgentError::Stopped)) => EndKind::Cancelled.into(),
            Ok(Err(AgentError::Failed { code, message, usage, metadata })) => {
                RunEnd { usage, metadata, ..failed(&code, message) }
            }
            Ok(Err(AgentError::Reported(error))) => from_run_error(*error),
            Err(error) if error.is_panic() => {
                let panic = error.into_panic();
                tracing::error!(run = %run_id, agent, cause = panic_message(&*panic), "an agent panicked");
                failed("agent_panicked", "the agent failed because of an internal error; its output so far is kept")
            }
            Err(_) => failed(SERVER_RESTARTING, "the server is restarting; ask again in a moment"),
        }
    }

    fn out_of_time(&self) -> RunEnd {
        let seconds = self.time_limit.as_secs_f32();
        failed("time_limit", format!("the run exceeded its time limit of {seconds} s; ask for less at once"))
    }

    fn invalid_event(&self, error: EventError) -> RunEnd {
        let (run, agent) = (self.new.run_id, &self.new.agent);
        match error {
            EventError::Violation(violation) => {
                tracing::error!(%run, agent, %violation, "an agent violated AG-UI's rules");
                failed("protocol_violation", format!("the agent violated the AG-UI protocol: {violation}"))
            }
            EventError::Condense(problem) => {
                tracing::warn!(%run, agent, %problem, "an agent sent more than can be stored");
                failed(
                    "event_too_large",
                    format!("the agent sent too much at once: {problem}; its output before is kept"),
                )
            }
        }
    }
}

/// Why an agent's event cannot be stored.
enum EventError {
    /// It violates AG-UI's rules.
    Violation(Violation),
    /// It cannot be condensed to what can be stored.
    Condense(CondenseError),
}

impl EventError {
    fn new(violation: Violation, event: &Event) -> Self {
        match extent(event).bytes {
            bytes if bytes > MAX_EVENT_BYTES => Self::Condense(CondenseError::TooLong(event.kind().into(), bytes)),
            _ => Self::Violation(violation),
        }
    }
}

/// What every event goes through before it is appended.
struct EventPipeline {
    guard: Guard,
    coalescer: Coalescer,
}

impl EventPipeline {
    /// Moves `received` into `out`, checked and coalesced, up to the first invalid event. Before an event that restates the thread is
    /// compared with it, all earlier events are appended; only its changes are passed on.
    async fn process(
        &mut self,
        received: &mut Vec<Event>,
        out: &mut Vec<Event>,
        log: &mut RunLog,
    ) -> Result<Result<(), EventError>, LogError> {
        for mut event in received.drain(..) {
            condense::marks::remove(&mut event);
            let kept = if condense::restates(&event) && extent(&event).depth <= MAX_DEPTH {
                self.coalescer.flush(Instant::now(), out);
                log.append(std::mem::take(out)).await?;
                log.changes(event).await
            } else {
                Ok(condense::pieces(event))
            };
            let now = Instant::now();
            let checked = kept.map_err(EventError::Condense).and_then(|kept| {
                for event in kept {
                    self.guard.check(&event).map_err(|violation| EventError::new(violation, &event))?;
                    self.coalescer.push(now, event, out);
                }
                Ok(())
            });
            if checked.is_err() {
                self.coalescer.flush(now, out);
                return Ok(checked);
            }
        }
        Ok(Ok(()))
    }
}

/// Resolves when the run is to end before its agent returns; never, if the runner is gone.
async fn stopped(stop: &mut watch::Receiver<Option<RunEnd>>) -> RunEnd {
    let ending = stop.wait_for(Option::is_some).await.ok().and_then(|ending| ending.clone());
    match ending {
        Some(ending) => ending,
        None => std::future::pending().await,
    }
}

/// Adds the usage that the agent of a stopped run reports in time.
async fn collect_late_usage(ending: RunEnd, task: &mut AgentTask, cancel: &CancellationToken) -> RunEnd {
    if task.is_finished {
        return ending;
    }
    cancel.cancel();
    let returned = timeout(USAGE_TIMEOUT, &mut task.task).await;
    task.is_finished = returned.is_ok();
    match returned {
        Ok(Ok(Ok(Done { usage, metadata, .. }) | Err(AgentError::Failed { usage, metadata, .. }))) => {
            RunEnd { usage, metadata, ..ending }
        }
        Ok(Ok(Err(AgentError::Reported(error)))) => {
            RunEnd { usage: error.usage.unwrap_or_default(), metadata: error.base.metadata, ..ending }
        }
        _ => ending,
    }
}

/// Asks an agent to stop, and aborts its task after [`STOP_TIMEOUT`].
async fn stop_agent<T>(mut task: JoinHandle<T>, cancel: &CancellationToken, run: &NewRun) {
    cancel.cancel();
    if !task.is_finished() && timeout(STOP_TIMEOUT, &mut task).await.is_err() {
        tracing::warn!(run = %run.run_id, agent = run.agent, "an agent did not stop in time; its task is aborted");
        task.abort();
    }
}
