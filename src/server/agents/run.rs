//! One run, from its first event to its last: the life that the runner gives each in a task of its own.

use std::{
    any::Any,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use sqlx::Row;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Agent, AgentError, Caller, Done, Emitter, InputFile, Outcome, RunInput,
    coalesce::Coalescer,
    guard::{Guard, MAX_EVENT_BYTES, Violation, size},
    log::{Lost, RunLog},
    runner::RunnerOptions,
};
use crate::{
    protocol::{
        Attachment, RunId, ThreadEntry, ThreadId,
        agui::{Event, Resume, ToolCallResult, ToolContent},
    },
    server::{
        channel::Channels,
        error::{Error, Result},
        store::now_ms,
        threads::NewRun,
    },
    thread::{Ending, How},
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
    pub(super) agent: Option<Arc<dyn Agent>>,
    pub(super) channels: Channels,
    pub(super) options: Arc<RunnerOptions>,
    /// How long it may take.
    pub(super) time_limit: Duration,
    /// Told how to end before the agent does.
    pub(super) stop: watch::Receiver<Option<Ending>>,
}

type Returned = std::result::Result<std::result::Result<Done, AgentError>, JoinError>;

impl Run {
    /// Lives the run. Whatever happens, its log ends, unless the store is gone: then the runner ends it later.
    pub(super) async fn live(self) {
        let NewRun { run_id, thread_id, owner, ref agent, .. } = self.new;
        let began = Instant::now();
        let mut log = RunLog::new(&self.channels, &self.options, thread_id, run_id, (owner, agent));
        tracing::info!(run = %run_id, thread = %thread_id, user = %owner, agent, "a run begins");
        match self.answer(&mut log).await {
            Ok(ending) => {
                let ms = began.elapsed().as_millis();
                match ending.how {
                    How::Finished { .. } => tracing::info!(run = %run_id, ms, "a run finished"),
                    How::Interrupted(_) => tracing::info!(run = %run_id, ms, "a run waits for a person"),
                    How::Cancelled => tracing::info!(run = %run_id, ms, "a run was stopped"),
                    How::Failed { message, code } => {
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

    async fn answer(mut self, log: &mut RunLog) -> Result<Ending, Lost> {
        log.begin().await?;
        let cancel = CancellationToken::new();
        // Stopped while it waited its turn: its agent is not asked at all.
        let told = self.stop.borrow().clone();
        if let Some(ending) = told {
            return log.end(&ending).await.map(|()| ending);
        }
        let (agent, mut input) = match self.prepare(cancel.clone()).await {
            Ok(prepared) => prepared,
            Err(ending) => return log.end(&ending).await.map(|()| ending),
        };
        log.append(results(&mut input)).await?;
        let (out, events) = Emitter::channel(CAPACITY);
        let mut task = tokio::spawn(async move { agent.run(input, out).await });
        let ended = self.listen(log, events, &mut task).await;
        let ended = match ended {
            Ok(ending) => {
                let ending = told_late(ending, &mut task, &cancel).await;
                log.end(&ending).await.map(|()| ending)
            }
            Err(lost) => Err(lost),
        };
        // The log is closed first: however slow the agent is to notice, it can say nothing more.
        halt(task, &cancel, &self.new).await;
        ended
    }

    async fn prepare(&self, cancel: CancellationToken) -> Result<(Arc<dyn Agent>, RunInput), Ending> {
        let NewRun { run_id, thread_id, agent, .. } = &self.new;
        let Some(found) = self.agent.clone() else {
            return Err(failed("unknown_agent", format!("the agent `{agent}` cannot be used now; choose another")));
        };
        let input = input(&self.channels, &self.options.files, &self.new, cancel).await.map_err(|error| {
            tracing::error!(run = %run_id, thread = %thread_id, %error, "what a run begins with cannot be read");
            failed("thread_unavailable", "the thread cannot be read at the moment; ask again")
        })?;
        Ok((found, input))
    }

    /// Takes what the agent says to the log until one of them ends; answers how the run ends.
    async fn listen(
        &mut self,
        log: &mut RunLog,
        mut events: mpsc::Receiver<Event>,
        task: &mut JoinHandle<std::result::Result<Done, AgentError>>,
    ) -> Result<Ending, Lost> {
        let mut order = Order { guard: Guard::default(), coalescer: Coalescer::new(self.options.coalesce) };
        let (mut heard, mut out, mut speaks) = (Vec::with_capacity(BATCH), Vec::new(), true);
        let deadline = tokio::time::Instant::now() + self.time_limit;
        let ending = loop {
            let due = order.coalescer.due();
            let due_at = due.unwrap_or_else(Instant::now).into();
            let mut checked = Ok(());
            tokio::select! {
                biased;
                ending = stopped(&mut self.stop) => break ending,
                () = sleep_until(deadline) => break self.out_of_time(),
                returned = &mut *task => break self.returned(returned),
                () = sleep_until(due_at), if due.is_some() => order.coalescer.take_due(Instant::now(), &mut out),
                count = events.recv_many(&mut heard, BATCH), if speaks => {
                    speaks = count > 0;
                    checked = order.take(&mut heard, &mut out);
                }
            }
            log.append(std::mem::take(&mut out)).await?;
            if let Err(violation) = checked {
                break self.violated(&violation);
            }
        };
        // What was said before the end still counts.
        events.close();
        let mut ending = ending;
        while events.recv_many(&mut heard, BATCH).await > 0 {
            if let Err(violation) = order.take(&mut heard, &mut out) {
                if matches!(ending.how, How::Finished { .. } | How::Interrupted(_)) {
                    ending = self.violated(&violation);
                }
                break;
            }
        }
        order.coalescer.flush(Instant::now(), &mut out);
        log.append(out).await?;
        Ok(ending)
    }

    fn returned(&self, returned: Returned) -> Ending {
        let NewRun { run_id, agent, .. } = &self.new;
        match returned {
            Ok(Ok(done)) if size(&done.result) > MAX_EVENT_BYTES => {
                failed("protocol_violation", format!("the agent's result has more than {MAX_EVENT_BYTES} bytes"))
            }
            Ok(Ok(Done { result, outcome, usage, metadata })) => {
                let how = match outcome {
                    Outcome::Success { pending_tool_call_ids: pending } => How::Finished { result, pending },
                    Outcome::Interrupt(interrupts) if interrupts.is_empty() => {
                        return failed("protocol_violation", "the agent waits for a person and does not say for what");
                    }
                    Outcome::Interrupt(interrupts) => How::Interrupted(interrupts),
                    Outcome::Cancelled => How::Cancelled,
                };
                Ending { how, usage, metadata }
            }
            Ok(Err(AgentError::Stopped)) => How::Cancelled.into(),
            Ok(Err(AgentError::Failed { code, message, usage, metadata })) => {
                Ending { usage, metadata, ..failed(&code, message) }
            }
            Err(error) if error.is_panic() => {
                let panic = error.into_panic();
                tracing::error!(run = %run_id, agent, cause = cause(&*panic), "an agent panicked");
                failed("agent_panicked", "the agent met a fault of its own and had to end; what it said so far is kept")
            }
            Err(_) => failed("server_restarting", "the server restarts; ask again in a moment"),
        }
    }

    fn out_of_time(&self) -> Ending {
        let seconds = self.time_limit.as_secs_f32();
        failed("time_limit", format!("the run took longer than the {seconds} s that runs have; ask for less at once"))
    }

    fn violated(&self, violation: &Violation) -> Ending {
        tracing::error!(run = %self.new.run_id, agent = self.new.agent, %violation, "an agent broke a rule");
        failed("protocol_violation", format!("the agent broke a rule of its protocol: {violation}"))
    }
}

/// What every event passes on its way to the log.
struct Order {
    guard: Guard,
    coalescer: Coalescer,
}

impl Order {
    /// Empties `heard` into `out`, up to the first event that breaks a rule.
    fn take(&mut self, heard: &mut Vec<Event>, out: &mut Vec<Event>) -> Result<(), Violation> {
        let now = Instant::now();
        for event in heard.drain(..) {
            if let Err(violation) = self.guard.check(&event) {
                self.coalescer.flush(now, out);
                return Err(violation);
            }
            self.coalescer.push(now, event, out);
        }
        Ok(())
    }
}

/// Resolves when the run is to end before its agent does. Never, once the runner is gone: the agent then decides.
async fn stopped(stop: &mut watch::Receiver<Option<Ending>>) -> Ending {
    let told = stop.wait_for(Option::is_some).await.ok().and_then(|ending| ending.clone());
    match told {
        Some(ending) => ending,
        None => std::future::pending().await,
    }
}

/// What a run that was ended before its agent did has used, where the agent tells at once.
async fn told_late(
    ending: Ending,
    task: &mut JoinHandle<std::result::Result<Done, AgentError>>,
    cancel: &CancellationToken,
) -> Ending {
    if task.is_finished() {
        return ending;
    }
    cancel.cancel();
    match timeout(LAST_WORD, task).await {
        Ok(Ok(Ok(Done { usage, metadata, .. }) | Err(AgentError::Failed { usage, metadata, .. }))) => {
            Ending { usage, metadata, ..ending }
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

/// What a run begins with, read from its thread.
async fn input(channels: &Channels, folder: &Path, new: &NewRun, cancel: CancellationToken) -> Result<RunInput> {
    let NewRun { run_id, thread_id, agent, .. } = new;
    let (_, thread) = channels.thread(*thread_id).await?;
    let message = thread.run(*run_id).and_then(|run| run.message_id).and_then(|id| thread.said(id));
    let message =
        message.ok_or_else(|| Error::Corrupt(format!("no message asks for the run {run_id}")))?.message.clone();
    let files = files(channels, folder, *thread_id, &message.attachments).await?;
    let (parent_run_id, resume) = thread.resume(*run_id);
    Ok(RunInput {
        run_id: *run_id,
        thread_id: *thread_id,
        parent_run_id,
        agent: agent.clone(),
        author: message.author,
        text: message.content,
        files,
        resume,
        caller: caller(channels, *run_id).await?,
        thread,
        cancel,
    })
}

/// Takes the results of the calls that the run before left to whoever asked out of the answers; they stand in the thread now.
fn results(input: &mut RunInput) -> Vec<Event> {
    let before = input.parent_run_id.and_then(|run| input.thread.run(run));
    let pending = before.map(|run| run.pending.clone()).unwrap_or_default();
    let (results, resume) =
        std::mem::take(&mut input.resume).into_iter().partition(|answer| pending.contains(&answer.interrupt_id));
    input.resume = resume;
    let result = |answer: Resume| {
        let content = match answer.payload {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => "There is no result: the call was not carried out.".to_owned(),
        };
        let (id, call) = (format!("{}-result", answer.interrupt_id), answer.interrupt_id);
        Event::from(ToolCallResult::new(id, call, ToolContent::Text(content)))
    };
    let events: Vec<Event> = results.into_iter().map(result).collect();
    for event in &events {
        input.thread.apply(now_ms(), ThreadEntry::Agent { run_id: input.run_id, event: Box::new(event.clone()) });
    }
    events
}

/// What whoever asked for a run gave along.
async fn caller(channels: &Channels, run: RunId) -> Result<Caller> {
    let query = sqlx::query_scalar::<_, Option<String>>("SELECT caller FROM runs WHERE id = $1").bind(run.to_string());
    let caller = query.fetch_optional(channels.store().reader()).await?.flatten();
    Ok(caller.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default())
}

/// The files that a run reads: its message's, else the thread's latest.
async fn files(channels: &Channels, folder: &Path, thread: ThreadId, named: &[Attachment]) -> Result<Vec<InputFile>> {
    let mut attachments = named.to_vec();
    if attachments.is_empty() {
        let sql = "SELECT id, name, bytes FROM files WHERE thread_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1";
        let row = sqlx::query(sql).bind(thread.to_string()).fetch_optional(channels.store().reader()).await?;
        if let Some(row) = row {
            let (id, bytes): (String, i64) = (row.try_get(0)?, row.try_get(2)?);
            attachments.push(Attachment { file_id: id.parse()?, name: row.try_get(1)?, bytes: bytes.cast_unsigned() });
        }
    }
    let folder = folder.join(thread.to_string());
    let file = |attachment: Attachment| InputFile { path: folder.join(attachment.file_id.to_string()), attachment };
    Ok(attachments.into_iter().map(file).collect())
}

/// An ending by failure, its sentence bounded.
pub(super) fn failed(code: &str, message: impl Into<String>) -> Ending {
    /// The longest sentence that a run ends with, in characters.
    const MAX: usize = 2_000;
    How::Failed { message: message.into().chars().take(MAX).collect(), code: code.chars().take(64).collect() }.into()
}

/// What a panic said, for the log.
fn cause(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}
