//! The runner on a real store: whatever the agent or the server does, the log of every run is in order.

mod faults;
mod nodes;
mod replay;
mod runs;
mod turns;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use netra::{
    protocol::{
        DeleteThread, Entry, ErrorCode, FileId, RunId, RunPhase, SendMessage, ThreadEntry, UserEntry, UserId, Waiting,
        WaitsFor,
        agui::{
            Event, Interrupt, ReasoningMessageStart, ReasoningRole, ReasoningStart, RunOutcome, StateDelta,
            StateSnapshot, StepStarted, SubagentStarted, TextMessageContent, TextMessageEnd, TextMessageStart,
            ToolCallArgs, ToolCallEnd, ToolCallResult, ToolCallStart, ToolContent, Usage,
        },
        http::AgentInfo,
    },
    server::{
        agents::{AgentBuilder, AgentRegistry, Replay},
        channel::{Channel, Channels},
        clock::now_ms,
        runs::{Agent, AgentError, Done, Emitter, Outcome, RunInput, Runner, RunnerOptions},
        threads,
    },
    thread::{Item, NodeBody, RunState, ThreadView},
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::AbortHandle};
use tokio_util::sync::CancellationToken;

use crate::support::{
    TEST_TIMEOUT,
    harness::{Harness, texts},
};

/// An agent that does what its message says.
struct Script {
    /// Each permit lets an agent that waits at the gate continue.
    gate: Arc<Semaphore>,
    /// The files of the last run, as `name=path`.
    files: Arc<Mutex<Vec<String>>>,
}

/// Opens a step, a sub-agent, and in it a step, reasoning, a tool call and a text.
async fn open_everything(out: &Emitter) -> Result<(), AgentError> {
    let of = |event: Event| event.with_subagent(Some("x"));
    out.emit(StepStarted::new("plan")).await?;
    out.emit(SubagentStarted::new("x", "Data")).await?;
    out.emit(of(StepStarted::new("read").into())).await?;
    out.emit(of(ReasoningStart::new("r").into())).await?;
    out.emit(of(ReasoningMessageStart::new("r", ReasoningRole::Reasoning).into())).await?;
    out.emit(of(ToolCallStart::new("c", "profile").into())).await?;
    out.emit(of(TextMessageStart::new("m").into())).await?;
    out.emit(of(TextMessageContent::new("m", "so far").into())).await
}

#[async_trait]
impl Agent for Script {
    fn info(&self) -> AgentInfo {
        info("script")
    }

    #[expect(clippy::too_many_lines, reason = "a flat match of all scripts")]
    async fn run(&self, input: RunInput, out: Emitter) -> Result<Done, AgentError> {
        let names = input.files.iter().map(|file| format!("{}={}", file.attachment.name, file.path.display()));
        *self.files.lock().expect("not poisoned") = names.collect();
        match input.text.as_str() {
            "answer" => {
                out.emit(TextMessageStart::new("m")).await?;
                for word in ["All ", "is ", "well."] {
                    out.emit(TextMessageContent::new("m", word)).await?;
                }
                out.emit(TextMessageEnd::new("m")).await?;
                return Ok(Done::with_result(json!({"words": 3})));
            }
            "stream" => {
                out.emit(TextMessageStart::new("m")).await?;
                for word in 0..500 {
                    out.emit(TextMessageContent::new("m", format!("{word} "))).await?;
                }
                out.emit(TextMessageEnd::new("m")).await?;
            }
            "leave open" => open_everything(&out).await?,
            "wait" => {
                open_everything(&out).await?;
                input.cancel.cancelled().await;
                return Err(AgentError::Stopped);
            }
            "ignore the stop" => {
                open_everything(&out).await?;
                std::future::pending::<()>().await;
            }
            "gate" => {
                open_everything(&out).await?;
                self.gate.acquire().await.map_err(|_| AgentError::Stopped)?.forget();
            }
            "fail" => {
                open_everything(&out).await?;
                return Err(AgentError::failed("unreadable_file", "the file cannot be read; attach another"));
            }
            "panic" => {
                open_everything(&out).await?;
                panic!("a secret of the implementation");
            }
            "violate" => {
                open_everything(&out).await?;
                out.emit(TextMessageEnd::new("nobody")).await?;
                std::future::pending::<()>().await;
            }
            "leak" => {
                let kept = out.clone();
                tokio::spawn(async move {
                    let _kept = kept;
                    std::future::pending::<()>().await;
                });
            }
            "ask" if input.resume.is_empty() => {
                out.emit(ToolCallStart::new("call", "delete_file")).await?;
                out.emit(ToolCallArgs::new("call", "{\"path\":\"a\"}")).await?;
                out.emit(ToolCallEnd::new("call")).await?;
                out.emit(StateSnapshot::new(json!({"asked": 1}))).await?;
                return Ok(Done { outcome: Outcome::Interrupt(vec![interrupt(None)]), ..Done::default() });
            }
            "ask" => {
                let answer = json!({"parent": input.parent_run_id, "resume": input.resume, "state": input.state()});
                out.emit(ToolCallResult::new("result", "call", ToolContent::Text("deleted".into()))).await?;
                out.emit(StateDelta::new(vec![json!({"op": "add", "path": "/answered", "value": true})])).await?;
                return Ok(Done::with_result(answer));
            }
            "leave a call" if input.parent_run_id.is_none() => {
                out.emit(ToolCallStart::new("call", "look_up")).await?;
                out.emit(ToolCallEnd::new("call")).await?;
                let outcome = Outcome::Success { pending_tool_call_ids: vec!["call".into()] };
                return Ok(Done { outcome, ..Done::default() });
            }
            "leave a call" => {}
            "too late" => {
                let past = Some("2020-01-01T00:00:00Z".into());
                return Ok(Done { outcome: Outcome::Interrupt(vec![interrupt(past)]), ..Done::default() });
            }
            "deep event" => {
                out.emit(StateSnapshot::new(deep())).await?;
            }
            "deep end" => return Ok(Done::with_result(deep())),
            "tell" => return Ok(Done::with_result(json!({"history": input.history(), "resume": input.resume}))),
            "spend" => return Ok(spent()),
            "spend until stopped" => {
                open_everything(&out).await?;
                input.cancel.cancelled().await;
                return Ok(spent());
            }
            "spend at the gate" => {
                open_everything(&out).await?;
                self.gate.acquire().await.map_err(|_| AgentError::Stopped)?.forget();
                let more: Event = TextMessageContent::new("m", " and more").into();
                out.emit(more.with_subagent(Some("x"))).await?;
                return Ok(spent());
            }
            other => panic!("no such script: {other}"),
        }
        Ok(Done::default())
    }
}

/// The end of a run that used 1,000 tokens for 0.25 dollars.
fn spent() -> Done {
    let used = Usage { input_tokens: Some(900), output_tokens: Some(100), ..Usage::default() };
    Done { usage: vec![used], metadata: json!({"costUsd": 0.25}).as_object().cloned(), ..Done::default() }
}

/// A value that is nested deeper than the log allows.
fn deep() -> Value {
    (0..100).fold(json!(1), |inner, _| json!([inner]))
}

/// An interrupt.
fn interrupt(expires_at: Option<String>) -> Interrupt {
    let known = json!({"id": "i", "reason": "tool_call", "toolCallId": "call"});
    Interrupt { expires_at, ..serde_json::from_value(known).expect("an interrupt") }
}

/// What a test controls of the scripted agent and its runner.
struct ScriptControl {
    /// Each permit lets an agent that waits at the gate continue.
    gate: Arc<Semaphore>,
    /// The files of the last run, as `name=path`.
    files: Arc<Mutex<Vec<String>>>,
    upkeep: Upkeep,
}

/// A thread whose agent does what its message says.
type RunnerHarness = Harness<ScriptControl>;

impl RunnerHarness {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut RunnerOptions)) -> Self {
        let control =
            ScriptControl { gate: Arc::new(Semaphore::new(0)), files: Arc::default(), upkeep: Upkeep::default() };
        let (gate, files) = (control.gate.clone(), control.files.clone());
        let runner = |channels: &Channels, folder| {
            let mut options = RunnerOptions::new(folder);
            change(&mut options);
            runner(channels, &gate, &files, options)
        };
        let mut harness = Self::start("script", control, runner).await;
        harness.agent.upkeep = Upkeep::spawn(&harness.runner);
        harness
    }

    /// Another node on the same store, with the same agents.
    async fn node(&self) -> (Channels, Runner) {
        let channels =
            Channels::new(self.channels.store().clone(), self.deliveries.clone()).await.expect("the log opens");
        let runner = self.runner_on(&channels);
        (channels, runner)
    }

    /// A runner with the same agents.
    fn runner_on(&self, channels: &Channels) -> Runner {
        runner(channels, &self.agent.gate, &self.agent.files, RunnerOptions::new(self.files()))
    }

    /// Waits until everything that [`open_everything`] begins is in the log.
    async fn until_open(&self, run: RunId) {
        self.until(|view| view.run(run).is_some_and(|run| run.nodes.len() == 7 && texts(run).contains(&"so far")))
            .await;
    }

    async fn sql(&self, sql: &'static str) {
        let mut tx = self.channels.begin().await.expect("the transaction begins");
        sqlx::query(sql).execute(tx.sql()).await.expect("the statement succeeds");
        tx.commit().await.expect("the transaction commits");
    }

    /// The phases of a run in its owner's feed.
    async fn phases(&self, wanted: RunId) -> Vec<RunPhase> {
        let phase = |entry| match entry {
            Entry::User(UserEntry::Run { run_id, phase, .. }) if run_id == wanted => Some(phase),
            _ => None,
        };
        self.entries(Channel::User(self.user.id)).await.into_iter().filter_map(phase).collect()
    }

    /// Asserts that each channel's entries were delivered in the order of its log, without a gap.
    fn assert_delivered_in_order(&self) {
        for channel in [Channel::Thread(self.thread), Channel::User(self.user.id)] {
            let seqs = self.deliveries.seqs(channel);
            assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        }
    }
}

fn info(id: &str) -> AgentInfo {
    AgentInfo::new(id, id, "")
}

fn recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/replay.jsonl")
}

fn runner(
    channels: &Channels,
    gate: &Arc<Semaphore>,
    files: &Arc<Mutex<Vec<String>>>,
    options: RunnerOptions,
) -> Runner {
    let replay = Replay::open(info("replay"), &recording(), 2_000).expect("the recording opens");
    let script = Script { gate: gate.clone(), files: files.clone() };
    let built_in = [Arc::new(script) as Arc<dyn Agent>, Arc::new(replay)];
    let agents = AgentRegistry::new(built_in, &[], AgentBuilder::default());
    Runner::new(channels.clone(), agents.agents().clone(), options)
}

/// The runner's periodic upkeep. Ends when dropped.
#[derive(Default)]
struct Upkeep(Option<AbortHandle>);

impl Upkeep {
    fn spawn(runner: &Runner) -> Self {
        let runner = runner.clone();
        Self(Some(tokio::spawn(async move { runner.run_background_tasks().await }).abort_handle()))
    }

    fn abort(&self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.abort();
    }
}

fn code(state: &RunState) -> &str {
    match state {
        RunState::Failed { code: Some(code), .. } => code,
        other => panic!("failed with a code, not {other:?}"),
    }
}
