//! One run, from its first event to its last: the life that the runner gives each in a task of its own.

mod ending;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

pub(super) use self::ending::failed;
use self::ending::{cause, fits, own_interrupts, told};
use super::{
    AgentError, Done, Emitter, Outcome,
    agents::Agents,
    coalesce::Coalescer,
    condense::{self, TooLong},
    failures::SERVER_RESTARTING,
    guard::{Guard, MAX_EVENT_BYTES, Violation},
    prepare,
    run_log::{Lost, RunLog},
    runner::RunnerOptions,
};
use crate::{
    json_size::extent,
    protocol::{agui::Event, limits::MAX_DEPTH},
    server::{channel::Channels, threads::NewRun},
    thread::{EndKind, RunEnd},
};

/// How many events wait between an agent and its log.
const CAPACITY: usize = 64;
/// How many events go into one transaction.
const BATCH: usize = 256;
/// How long an agent may take to return once it was told to stop.
const GRACE: Duration = Duration::from_millis(700);
/// How long the end of a run that was stopped waits for what it used.
const LAST_WORD: Duration = Duration::from_millis(200);

/// What a run needs to live.
pub(super) struct Run {
    pub(super) new: NewRun,
    pub(super) agents: Arc<Agents>,
    pub(super) channels: Channels,
    pub(super) options: Arc<RunnerOptions>,
    /// How long it may take.
    pub(super) time_limit: Duration,
    /// Told how to end before the agent does.
    pub(super) stop: watch::Receiver<Option<RunEnd>>,
}

/// An agent at work.
struct Asked {
    task: JoinHandle<std::result::Result<Done, AgentError>>,
    /// What it returned was taken: it is not asked for again.
    is_answered: bool,
    /// Cancelled where a person stopped the run.
    stopped_by_person: CancellationToken,
}

type Returned = std::result::Result<std::result::Result<Done, AgentError>, JoinError>;

impl Run {
    /// Lives the run. Whatever happens, its log ends, unless the store is gone: then the runner ends it later.
    pub(super) async fn live(self) {
        let NewRun { run_id, thread_id, owner, ref agent, .. } = self.new;
        let began = Instant::now();
        let log = RunLog::new(&self.channels, &self.options, thread_id, run_id, (owner, agent));
        let mut log = log.resuming(self.new.resumes);
        tracing::info!(run = %run_id, thread = %thread_id, user = %owner, agent, "a run begins");
        let agents = self.agents.clone();
        let _counted = agents.allowance().count(owner, run_id);
        match self.answer(&mut log).await {
            Ok(ending) => {
                let ms = began.elapsed().as_millis();
                match ending.kind {
                    EndKind::Finished { .. } => tracing::info!(run = %run_id, ms, "a run finished"),
                    EndKind::Interrupted(_) => tracing::info!(run = %run_id, ms, "a run waits for a person"),
                    EndKind::Cancelled => tracing::info!(run = %run_id, ms, "a run was stopped"),
                    EndKind::Failed { message, code } => {
                        tracing::warn!(run = %run_id, ms, code, message, "a run failed");
                    }
                }
            }
            Err(Lost::Over) => tracing::info!(run = %run_id, thread = %thread_id, "a run is not this node's any more"),
            Err(Lost::Store(error)) => {
                tracing::error!(run = %run_id, %error, "a run is lost: its log cannot be written; it is ended later");
            }
        }
    }

    async fn answer(mut self, log: &mut RunLog) -> Result<RunEnd, Lost> {
        log.begin().await?;
        let cancel = CancellationToken::new();
        let mut stop = self.stop.clone();
        let prepared = tokio::select! {
            biased;
            // While it waited its turn, or the store is slow: its agent is not asked at all.
            ending = stopped(&mut stop) => Err(ending),
            prepared = prepare::prepare(&self, cancel.clone()) => prepared,
        };
        let (agent, mut input) = match prepared {
            Ok(prepared) => prepared,
            Err(ending) => return log.end(&ending).await.map(|()| ending),
        };
        // From here on it is known what an agent that restates the thread changes in it.
        log.view = input.thread.clone();
        log.append(prepare::brought(&mut input)).await?;
        let (out, events) = Emitter::channel(CAPACITY);
        let stopped_by_person = input.stopped_by_person.clone();
        let task = tokio::spawn(async move { agent.run(input, out).await });
        let mut task = Asked { task, is_answered: false, stopped_by_person };
        let (ending, kept) = self.listen(log, events, &mut task).await;
        let ended = match kept {
            Err(lost @ Lost::Store(_)) => Err(lost),
            // Also where the log takes nothing more: what the run used still counts.
            Ok(()) | Err(Lost::Over) => {
                let ending = told_late(ending, &mut task, &cancel).await;
                log.end(&ending).await.map(|()| ending)
            }
        };
        // The log is closed first: however slow the agent is to notice, it can say nothing more.
        halt(task.task, &cancel, &self.new).await;
        ended
    }

    /// Takes what the agent says to the log until one of them ends; answers how the run ends, and whether the log took it all.
    async fn listen(
        &mut self,
        log: &mut RunLog,
        mut events: mpsc::Receiver<Event>,
        task: &mut Asked,
    ) -> (RunEnd, Result<(), Lost>) {
        let mut order = Order { guard: Guard::default(), coalescer: Coalescer::new(self.options.coalesce) };
        let (mut heard, mut out, mut speaks) = (Vec::with_capacity(BATCH), Vec::new(), true);
        let deadline = tokio::time::Instant::now() + self.time_limit;
        let ending = loop {
            let due = order.coalescer.due();
            let due_at = due.unwrap_or_else(Instant::now).into();
            let mut checked = Ok(Ok(()));
            tokio::select! {
                biased;
                ending = stopped(&mut self.stop) => {
                    // Before the agent learns that it shall stop.
                    if matches!(ending.kind, EndKind::Cancelled) {
                        task.stopped_by_person.cancel();
                    }
                    break ending;
                }
                () = sleep_until(deadline) => break self.out_of_time(),
                returned = &mut task.task => {
                    task.is_answered = true;
                    break self.returned(returned);
                }
                () = sleep_until(due_at), if due.is_some() => order.coalescer.take_due(Instant::now(), &mut out),
                count = events.recv_many(&mut heard, BATCH), if speaks => {
                    speaks = count > 0;
                    checked = order.take(&mut heard, &mut out, log).await;
                }
            }
            let kept = log.append(std::mem::take(&mut out)).await;
            match checked.and_then(|checked| kept.map(|()| checked)) {
                Ok(Ok(())) => {}
                Ok(Err(broken)) => break self.broken(broken),
                Err(lost) => return (EndKind::Cancelled.into(), Err(lost)),
            }
        };
        // What was said before the end still counts.
        events.close();
        let mut ending = ending;
        while events.recv_many(&mut heard, BATCH).await > 0 {
            match order.take(&mut heard, &mut out, log).await {
                Ok(Ok(())) => {}
                Ok(Err(broken)) => {
                    if matches!(ending.kind, EndKind::Finished { .. } | EndKind::Interrupted(_)) {
                        ending = self.broken(broken);
                    }
                    break;
                }
                Err(lost) => return (ending, Err(lost)),
            }
        }
        order.coalescer.flush(Instant::now(), &mut out);
        let kept = log.append(out).await;
        (ending, kept)
    }

    fn returned(&self, returned: Returned) -> RunEnd {
        let NewRun { run_id, agent, .. } = &self.new;
        match returned {
            Ok(Ok(done)) if !fits(&done) => {
                let most = format!("{MAX_EVENT_BYTES} bytes and {MAX_DEPTH} levels");
                failed(
                    "protocol_violation",
                    format!("what the agent ends with is larger than the {most} that an event may have"),
                )
            }
            Ok(Ok(Done { result, outcome, usage, metadata, base })) => {
                let how = match outcome {
                    Outcome::Success { pending_tool_call_ids: pending } => EndKind::Finished { result, pending },
                    Outcome::Interrupt(interrupts) if interrupts.is_empty() => {
                        return failed("protocol_violation", "the agent waits for a person and does not say for what");
                    }
                    Outcome::Interrupt(interrupts) => match own_interrupts(interrupts) {
                        Ok(interrupts) => EndKind::Interrupted(interrupts),
                        Err(id) => {
                            let problem = format!("the agent asks two questions with the same id: {id}");
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
            Ok(Err(AgentError::Told(error))) => told(*error),
            Err(error) if error.is_panic() => {
                let panic = error.into_panic();
                tracing::error!(run = %run_id, agent, cause = cause(&*panic), "an agent panicked");
                failed("agent_panicked", "the agent met a fault of its own and had to end; what it said so far is kept")
            }
            Err(_) => failed(SERVER_RESTARTING, "the server restarts; ask again in a moment"),
        }
    }

    fn out_of_time(&self) -> RunEnd {
        let seconds = self.time_limit.as_secs_f32();
        failed("time_limit", format!("the run took longer than the {seconds} s that runs have; ask for less at once"))
    }

    fn broken(&self, broken: Broken) -> RunEnd {
        let (run, agent) = (self.new.run_id, &self.new.agent);
        match broken {
            Broken::Rule(violation) => {
                tracing::error!(%run, agent, %violation, "an agent broke a rule");
                failed("protocol_violation", format!("the agent broke a rule of its protocol: {violation}"))
            }
            Broken::TooLong(problem) => {
                tracing::warn!(%run, agent, %problem, "an agent said what cannot be kept");
                failed(
                    "event_too_large",
                    format!("the agent said too much at once: {problem}; what it said before is kept"),
                )
            }
        }
    }
}

/// Why what an agent says cannot be taken.
enum Broken {
    /// It breaks a rule.
    Rule(Violation),
    /// It is too long to be kept.
    TooLong(TooLong),
}

impl Broken {
    fn of(violation: Violation, event: &Event) -> Self {
        match extent(event).bytes {
            bytes if bytes > MAX_EVENT_BYTES => Self::TooLong(TooLong::Bytes(event.kind().into(), bytes)),
            _ => Self::Rule(violation),
        }
    }
}

/// What every event passes on its way to the log.
struct Order {
    guard: Guard,
    coalescer: Coalescer,
}

impl Order {
    /// Empties `heard` into `out`, up to the first event that cannot be taken. What restates the thread waits until all before
    /// it is in the log, and only what is new in it goes on.
    async fn take(
        &mut self,
        heard: &mut Vec<Event>,
        out: &mut Vec<Event>,
        log: &mut RunLog,
    ) -> Result<Result<(), Broken>, Lost> {
        for mut event in heard.drain(..) {
            condense::marks::remove(&mut event);
            let kept = if condense::restates(&event) && extent(&event).depth <= MAX_DEPTH {
                self.coalescer.flush(Instant::now(), out);
                log.append(std::mem::take(out)).await?;
                log.new_in(event).await
            } else {
                Ok(condense::pieces(event))
            };
            let now = Instant::now();
            let checked = kept.map_err(Broken::TooLong).and_then(|kept| {
                for event in kept {
                    self.guard.check(&event).map_err(|violation| Broken::of(violation, &event))?;
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

/// Resolves when the run is to end before its agent does. Never, once the runner is gone: the agent then decides.
async fn stopped(stop: &mut watch::Receiver<Option<RunEnd>>) -> RunEnd {
    let told = stop.wait_for(Option::is_some).await.ok().and_then(|ending| ending.clone());
    match told {
        Some(ending) => ending,
        None => std::future::pending().await,
    }
}

/// What a run that was ended before its agent did has used, where the agent tells at once.
async fn told_late(ending: RunEnd, task: &mut Asked, cancel: &CancellationToken) -> RunEnd {
    if task.is_answered {
        return ending;
    }
    cancel.cancel();
    let returned = timeout(LAST_WORD, &mut task.task).await;
    task.is_answered = returned.is_ok();
    match returned {
        Ok(Ok(Ok(Done { usage, metadata, .. }) | Err(AgentError::Failed { usage, metadata, .. }))) => {
            RunEnd { usage, metadata, ..ending }
        }
        Ok(Ok(Err(AgentError::Told(error)))) => {
            RunEnd { usage: error.usage.unwrap_or_default(), metadata: error.base.metadata, ..ending }
        }
        _ => ending,
    }
}

/// Ends an agent's task: asked first, made to after [`GRACE`].
async fn halt<T>(mut task: JoinHandle<T>, cancel: &CancellationToken, run: &NewRun) {
    cancel.cancel();
    if !task.is_finished() && timeout(GRACE, &mut task).await.is_err() {
        tracing::warn!(run = %run.run_id, agent = run.agent, "an agent did not stop when asked, and was made to");
        task.abort();
    }
}
