//! The runner on a real store: whatever an agent does or the server meets, every run's log ends in order.

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
        CreateThread, DeleteThread, Entry, ErrorCode, FileId, RunId, RunPhase, SendMessage, ThreadEntry, ThreadId,
        UserEntry, UserId, Waiting, WaitsFor,
        agui::{
            Event, Interrupt, ReasoningMessageStart, ReasoningRole, ReasoningStart, RunOutcome, StateDelta,
            StateSnapshot, StepStarted, SubagentStarted, TextMessageContent, TextMessageEnd, TextMessageStart,
            ToolCallArgs, ToolCallEnd, ToolCallResult, ToolCallStart, ToolContent, Usage,
        },
        http::{AgentInfo, User},
    },
    server::{
        agents::{AgentRegistry, Kinds, Replay},
        channel::{Channel, Channels, Delivery, Hub},
        clock::now_ms,
        runs::{Agent, AgentError, Done, Emitter, Outcome, RunInput, Runner, RunnerOptions, verifier::verify},
        store::Store,
        threads,
    },
    thread::{Item, NodeBody, RunState, ThreadView},
};
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, Semaphore},
    task::AbortHandle,
};
use tokio_util::sync::CancellationToken;

use crate::support::owner;

/// Long enough for any of this on a busy machine; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Remembers the place of every delivery.
#[derive(Default)]
struct Recorder {
    seqs: Mutex<Vec<(Channel, u64)>>,
    more: Notify,
}

impl Hub for Recorder {
    fn deliver(&self, delivery: &Delivery) {
        self.seqs.lock().expect("not poisoned").push((delivery.channel, delivery.seq));
        self.more.notify_waiters();
    }
}

/// An agent that does what its message says.
struct Script {
    /// Lets a waiting agent go on.
    gate: Arc<Semaphore>,
    /// Where a deaf agent says that it still lives.
    files: Arc<Mutex<Vec<String>>>,
}

/// Begins one of everything, nested.
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
            "deaf" => {
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

/// What a run ends with that used 1,000 tokens for a quarter of a dollar.
fn spent() -> Done {
    let used = Usage { input_tokens: Some(900), output_tokens: Some(100), ..Usage::default() };
    Done { usage: vec![used], metadata: json!({"costUsd": 0.25}).as_object().cloned(), ..Done::default() }
}

/// Nested deeper than a log holds.
fn deep() -> Value {
    (0..100).fold(json!(1), |inner, _| json!([inner]))
}

/// What an agent waits for.
fn interrupt(expires_at: Option<String>) -> Interrupt {
    let known = json!({"id": "i", "reason": "tool_call", "toolCallId": "call"});
    Interrupt { expires_at, ..serde_json::from_value(known).expect("an interrupt") }
}

struct House {
    folder: tempfile::TempDir,
    channels: Channels,
    hub: Arc<Recorder>,
    runner: Runner,
    gate: Arc<Semaphore>,
    files: Arc<Mutex<Vec<String>>>,
    user: User,
    thread: ThreadId,
    tended: Tended,
}

impl House {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut RunnerOptions)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let hub = Arc::new(Recorder::default());
        let store = Store::open(folder.path()).await.expect("opens");
        let channels = Channels::new(store, hub.clone()).await.expect("begins");
        let (gate, files) = (Arc::new(Semaphore::new(0)), Arc::default());
        let mut options = RunnerOptions::new(folder.path().join("files"));
        change(&mut options);
        let runner = runner(&channels, &gate, &files, options);
        let user = owner::person(&channels).await;
        let thread = thread(&channels, &user).await;
        let tended = Tended::new(&runner);
        Self { folder, channels, hub, runner, gate, files, user, thread, tended }
    }

    /// Another node on the same store, whose runs do the same.
    async fn node(&self) -> (Channels, Runner) {
        let channels = Channels::new(self.channels.store().clone(), self.hub.clone()).await.expect("begins");
        let options = RunnerOptions::new(self.folder.path().join("files"));
        let runner = runner(&channels, &self.gate, &self.files, options);
        (channels, runner)
    }

    async fn accept(&self, agent: &str, text: &str) -> threads::NewRun {
        self.ask(agent, &SendMessage::new(self.thread, text)).await
    }

    async fn ask(&self, agent: &str, command: &SendMessage) -> threads::NewRun {
        let asked = threads::send(&self.channels, &self.user, command, None, |_| Ok(agent.into())).await;
        asked.expect("accepted").run.expect("a run")
    }

    async fn begin(&self, text: &str) -> RunId {
        let run = self.accept("script", text).await;
        let id = run.run_id;
        self.runner.start(run);
        id
    }

    /// Waits until a run that said all of `open_everything` has it in the log.
    async fn until_open(&self, run: RunId) {
        self.until(|view| view.run(run).is_some_and(|run| run.nodes.len() == 7 && said(run).contains(&"so far"))).await;
    }

    async fn until_over(&self, run: RunId) -> RunState {
        self.until(|view| view.run(run).is_some_and(|run| run.state.is_over())).await;
        self.view().await.run(run).expect("the run").state.clone()
    }

    async fn until(&self, is: impl Fn(&ThreadView) -> bool) {
        self.until_of(self.thread, is).await;
    }

    /// The same of another thread.
    async fn until_of(&self, thread: ThreadId, is: impl Fn(&ThreadView) -> bool) {
        let wait = async {
            loop {
                let more = self.hub.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if is(&self.channels.thread(thread).await.expect("reads").1) {
                    return;
                }
                more.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("happens at all");
    }

    async fn until_idle(&self) {
        let wait = async {
            while self.runner.active() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("every run ends");
    }

    async fn sql(&self, sql: &'static str) {
        let mut tx = self.channels.begin().await.expect("begins");
        sqlx::query(sql).execute(tx.sql()).await.expect("executes");
        tx.commit().await.expect("commits");
    }

    async fn view(&self) -> ThreadView {
        self.channels.thread(self.thread).await.expect("reads").1
    }

    /// The events of a run as the log has them, held to AG-UI's rules.
    async fn events(&self, run: RunId) -> Vec<Event> {
        let events = self.unverified(run).await;
        assert_eq!(verify(&events), Ok(()), "{events:#?}");
        events
    }

    async fn unverified(&self, wanted: RunId) -> Vec<Event> {
        let event = |entry| match entry {
            Entry::Thread(ThreadEntry::Agent { run_id, event }) if run_id == wanted => Some(*event),
            _ => None,
        };
        log(&self.channels, Channel::Thread(self.thread)).await.into_iter().filter_map(event).collect()
    }

    /// What the owner's feed says of a run.
    async fn phases(&self, wanted: RunId) -> Vec<RunPhase> {
        let phase = |entry| match entry {
            Entry::User(UserEntry::Run { run_id, phase, .. }) if run_id == wanted => Some(phase),
            _ => None,
        };
        log(&self.channels, Channel::User(self.user.id)).await.into_iter().filter_map(phase).collect()
    }

    /// Every channel's deliveries came in the order of its log, without a gap.
    fn assert_delivered_in_order(&self) {
        let seqs = self.hub.seqs.lock().expect("not poisoned");
        for channel in [Channel::Thread(self.thread), Channel::User(self.user.id)] {
            let of: Vec<u64> = seqs.iter().filter(|(at, _)| *at == channel).map(|(_, seq)| *seq).collect();
            assert_eq!(of, (1..=of.len() as u64).collect::<Vec<_>>());
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
    let replay = Replay::open(info("replay"), &recording(), 2_000).expect("opens");
    let script = Script { gate: gate.clone(), files: files.clone() };
    let built_in = [Arc::new(script) as Arc<dyn Agent>, Arc::new(replay)];
    let agents = AgentRegistry::new(built_in, &[], Kinds::default());
    Runner::new(channels.clone(), agents.agents().clone(), options)
}

/// Tends a runner as long as this lives.
struct Tended(AbortHandle);

impl Tended {
    fn new(runner: &Runner) -> Self {
        let runner = runner.clone();
        Self(tokio::spawn(async move { runner.tend().await }).abort_handle())
    }
}

impl Drop for Tended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn thread(channels: &Channels, user: &User) -> ThreadId {
    let command = CreateThread { thread_id: ThreadId::new(), title: None, agent: None };
    threads::create(channels, user, &command, "script").await.expect("made").id
}

async fn log(channels: &Channels, channel: Channel) -> Vec<Entry> {
    let (mut entries, mut after) = (Vec::new(), 0);
    loop {
        let page = channels.page(channel, after).await.expect("reads");
        let Some(last) = page.last() else { return entries };
        after = last.seq;
        for delivery in page {
            let frame: Value = serde_json::from_str(delivery.frame.as_str()).expect("JSON");
            entries.push(Entry::decode(channel.name(), frame["payload"]["entry"].clone()));
        }
    }
}

fn said(run: &netra::thread::RunView) -> Vec<&str> {
    let texts = run.nodes.iter().filter_map(|node| match &node.body {
        NodeBody::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn code(state: &RunState) -> &str {
    match state {
        RunState::Failed { code: Some(code), .. } => code,
        other => panic!("failed with a code, not {other:?}"),
    }
}
