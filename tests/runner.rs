//! The runner on a real store: whatever an agent does or the server meets, every run's log ends in order.
#![cfg(feature = "ssr")]

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use netra::{
    protocol::{
        CreateThread, DeleteThread, Entry, FileId, MessageId, RunId, RunPhase, SendMessage, ThreadEntry, ThreadId,
        UserEntry, UserId,
        agui::{
            Event, ReasoningMessageStart, ReasoningRole, ReasoningStart, RunOutcome, StepStarted, SubagentStarted,
            TextMessageContent, TextMessageEnd, TextMessageStart, ToolCallStart,
        },
        http::{AgentInfo, User},
    },
    server::{
        agents::{Agent, AgentError, Agents, Emitter, Replay, RunInput, Runner, RunnerOptions, guard::verify},
        channel::{Channel, Channels, Delivery, Hub},
        store::{Store, now_ms},
        threads,
    },
    thread::{Item, NodeBody, RunState, ThreadView},
};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

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
    let of = |event: Event| event.of_subagent(Some("x"));
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

    async fn run(&self, input: RunInput, out: Emitter) -> Result<Option<Value>, AgentError> {
        let names = input.files.iter().map(|file| format!("{}={}", file.attachment.name, file.path.display()));
        *self.files.lock().expect("not poisoned") = names.collect();
        match input.text.as_str() {
            "answer" => {
                out.emit(TextMessageStart::new("m")).await?;
                for word in ["All ", "is ", "well."] {
                    out.emit(TextMessageContent::new("m", word)).await?;
                }
                out.emit(TextMessageEnd::new("m")).await?;
                return Ok(Some(json!({"words": 3})));
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
            other => panic!("no such script: {other}"),
        }
        Ok(None)
    }
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
        let user = person(&channels).await;
        let thread = thread(&channels, &user).await;
        Self { folder, channels, hub, runner, gate, files, user, thread }
    }

    async fn accept(&self, agent: &str, text: &str) -> threads::NewRun {
        let command = SendMessage {
            message_id: MessageId::new(),
            thread_id: self.thread,
            text: text.into(),
            agent: None,
            attachments: Vec::new(),
        };
        threads::send(&self.channels, &self.user, &command, agent, || Ok(())).await.expect("accepted").1.expect("a run")
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
        let wait = async {
            loop {
                let more = self.hub.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if is(&self.view().await) {
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
    AgentInfo { id: id.into(), name: id.into(), description: String::new(), examples: Vec::new() }
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
    let agents = Agents::new([Arc::new(script) as Arc<dyn Agent>, Arc::new(replay)], &[]).expect("two agents");
    Runner::new(channels.clone(), Arc::new(agents), options)
}

async fn person(channels: &Channels) -> User {
    let user: User = serde_json::from_value(json!({
        "id": UserId::new(), "name": "Owner", "email": "owner@example.org", "role": "member",
    }))
    .expect("a user");
    let mut tx = channels.begin().await.expect("begins");
    sqlx::query("INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ($1, $2, $3, $4, '', 0)")
        .bind(user.id.to_string())
        .bind(&user.email)
        .bind(&user.name)
        .bind("member")
        .execute(tx.sql())
        .await
        .expect("inserts");
    tx.commit().await.expect("commits");
    user
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

#[tokio::test]
async fn an_answer_is_in_the_log_in_order_from_begin_to_end() {
    let house = House::new().await;
    let run = house.begin("answer").await;
    assert_eq!(house.until_over(run).await, RunState::Finished);
    let events = house.events(run).await;
    let Event::RunStarted(begun) = &events[0] else { panic!("begins") };
    assert_eq!((&begun.thread_id, &begun.run_id), (&house.thread.to_string(), &run.to_string()));
    let view = house.view().await;
    let view = view.run(run).expect("the run");
    assert_eq!((said(view), &view.result), (vec!["All is well."], &Some(json!({"words": 3}))));
    assert_eq!(house.phases(run).await, [RunPhase::Running, RunPhase::Finished]);
    house.assert_delivered_in_order();
    house.until_idle().await;
}

#[tokio::test]
async fn what_an_agent_leaves_open_is_closed_for_it() {
    let house = House::new().await;
    let run = house.begin("leave open").await;
    assert_eq!(house.until_over(run).await, RunState::Finished);
    house.events(run).await;
}

#[tokio::test]
async fn a_stopped_run_ends_cancelled_with_everything_closed_and_stopping_again_changes_nothing() {
    let house = House::new().await;
    for text in ["wait", "deaf"] {
        let run = house.begin(text).await;
        house.until_open(run).await;
        let asked = std::time::Instant::now();
        house.runner.stop(run);
        house.runner.stop(run);
        assert_eq!(house.until_over(run).await, RunState::Cancelled);
        assert!(asked.elapsed() < PATIENCE / 2, "an agent that does not listen delays its end by nothing");
        let events = house.events(run).await;
        let Some(Event::RunFinished(end)) = events.last() else { panic!("finishes") };
        assert_eq!(end.outcome, Some(RunOutcome::Cancelled));
        assert_eq!(house.phases(run).await, [RunPhase::Running, RunPhase::Cancelled]);
        house.until_idle().await;
        house.runner.stop(run);
        assert_eq!(house.events(run).await.len(), events.len());
    }
}

#[tokio::test]
async fn a_stop_that_comes_before_the_start_is_kept() {
    let house = House::new().await;
    let run = house.accept("script", "wait").await;
    let id = run.run_id;
    house.runner.stop(id);
    house.runner.start(run);
    assert_eq!(house.until_over(id).await, RunState::Cancelled);
    house.events(id).await;
}

#[tokio::test]
async fn an_error_a_panic_and_a_broken_rule_end_the_run_with_their_codes_and_no_secrets() {
    let house = House::new().await;
    for (text, expected) in
        [("fail", "unreadable_file"), ("panic", "agent_panicked"), ("violate", "protocol_violation")]
    {
        let run = house.begin(text).await;
        let state = house.until_over(run).await;
        assert_eq!(code(&state), expected);
        let events = house.events(run).await;
        assert!(!format!("{events:?}").contains("secret"), "a panic's words are for the log alone");
        assert_eq!(house.phases(run).await, [RunPhase::Running, RunPhase::Failed]);
        let view = house.view().await;
        assert_eq!(said(view.run(run).expect("the run")), ["so far"], "what was said before is kept");
    }
    house.until_idle().await;
}

#[tokio::test]
async fn a_run_that_takes_too_long_fails_with_the_limit() {
    let house = House::with(|options| options.time_limit = Duration::from_millis(50)).await;
    let run = house.begin("deaf").await;
    let state = house.until_over(run).await;
    assert_eq!(code(&state), "time_limit");
    house.events(run).await;
}

#[tokio::test]
async fn an_emitter_that_outlives_its_agent_does_not_keep_the_run_alive() {
    let house = House::new().await;
    let run = house.begin("leak").await;
    assert_eq!(house.until_over(run).await, RunState::Finished);
}

#[tokio::test]
async fn deltas_go_together_within_the_window_and_alone_without_one() {
    let whole: String = (0..500).map(|word| format!("{word} ")).collect();
    for (window, most) in [(Duration::from_secs(5), 2), (Duration::ZERO, 500)] {
        let house = House::with(|options| options.coalesce = window).await;
        let run = house.begin("stream").await;
        assert_eq!(house.until_over(run).await, RunState::Finished);
        let events = house.events(run).await;
        let deltas = events.iter().filter(|event| matches!(event, Event::TextMessageContent(_))).count();
        assert_eq!(deltas, most);
        assert_eq!(said(house.view().await.run(run).expect("the run")), [whole.as_str()]);
        house.assert_delivered_in_order();
    }
}

#[tokio::test]
async fn a_run_whose_thread_is_deleted_ends_without_a_word() {
    let house = House::new().await;
    let run = house.begin("gate").await;
    house.until_open(run).await;
    let running = threads::delete(&house.channels, &house.user, &DeleteThread { thread_id: house.thread }).await;
    assert_eq!(running.expect("deleted"), [run]);
    house.runner.stop_thread(house.thread);
    house.until_idle().await;
    assert_eq!(
        house.channels.extent(Channel::Thread(house.thread)).await.expect("reads").head,
        0,
        "nothing came after"
    );
}

#[tokio::test]
async fn a_person_has_a_bounded_number_of_runs_and_so_has_the_server() {
    let house = House::with(|options| (options.max_runs_per_user, options.max_runs) = (2, 2)).await;
    let runs = [house.begin("wait").await, house.begin("wait").await];
    let refused = house.runner.admit(house.user.id).expect_err("too many");
    assert_eq!(serde_json::to_value(refused.code).expect("a code"), "rate_limited");
    assert!(refused.retry_after_ms.is_some());
    let other = house.runner.admit(UserId::new()).expect_err("too many");
    assert_eq!(serde_json::to_value(other.code).expect("a code"), "unavailable");
    runs.iter().for_each(|run| house.runner.stop(*run));
    house.until_idle().await;
    house.runner.admit(house.user.id).expect("room again");
}

#[tokio::test]
async fn a_restart_ends_what_the_dead_process_left() {
    let house = House::new().await;
    let began = house.begin("gate").await;
    house.until_open(began).await;
    let accepted = house.accept("script", "answer").await.run_id;
    // Another runner on the same store: as after a crash, it lives none of these.
    let after =
        runner(&house.channels, &house.gate, &house.files, RunnerOptions::new(house.folder.path().join("files")));
    assert_eq!(after.recover().await.expect("recovers"), 2);
    for run in [began, accepted] {
        assert_eq!(code(&house.until_over(run).await), "server_restarted");
        house.events(run).await;
        assert_eq!(house.phases(run).await, [RunPhase::Running, RunPhase::Failed]);
    }
    let head = house.channels.extent(Channel::Thread(house.thread)).await.expect("reads").head;
    assert_eq!(after.recover().await.expect("recovers"), 0, "once is enough");
    house.gate.add_permits(1);
    house.until_idle().await;
    let now = house.channels.extent(Channel::Thread(house.thread)).await.expect("reads").head;
    assert_eq!(now, head, "a run that was ended elsewhere says nothing more");
    house.assert_delivered_in_order();
}

#[tokio::test]
async fn recovery_leaves_the_living_alone() {
    let house = House::new().await;
    let run = house.begin("gate").await;
    house.until_open(run).await;
    assert_eq!(house.runner.recover().await.expect("recovers"), 0);
    house.gate.add_permits(1);
    assert_eq!(house.until_over(run).await, RunState::Finished);
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_delays_a_run_and_loses_nothing_of_it() {
    let house = House::new().await;
    let run = house.begin("gate").await;
    house.until_open(run).await;
    house.sql("ALTER TABLE entries RENAME TO elsewhere").await;
    house.gate.add_permits(1);
    while house.gate.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    house.sql("ALTER TABLE elsewhere RENAME TO entries").await;
    assert_eq!(house.until_over(run).await, RunState::Finished);
    house.events(run).await;
    house.assert_delivered_in_order();
}

#[tokio::test]
async fn a_run_that_cannot_be_stored_is_dropped_and_ended_once_the_store_is_back() {
    let house = House::with(|options| options.store_patience = Duration::ZERO).await;
    let run = house.begin("gate").await;
    house.until_open(run).await;
    house.sql("ALTER TABLE entries RENAME TO elsewhere").await;
    house.gate.add_permits(1);
    house.until_idle().await;
    house.sql("ALTER TABLE elsewhere RENAME TO entries").await;
    assert!(!house.view().await.run(run).expect("the run").state.is_over());
    assert_eq!(house.runner.recover().await.expect("recovers"), 1);
    house.until_over(run).await;
    house.events(run).await;
    assert_eq!(house.phases(run).await, [RunPhase::Running, RunPhase::Failed]);
}

#[tokio::test]
async fn a_shutdown_waits_for_what_finishes_and_ends_what_does_not() {
    let house = House::new().await;
    let (short, long) = (house.begin("gate").await, house.begin("deaf").await);
    house.until_open(short).await;
    house.until_open(long).await;
    house.gate.add_permits(1);
    house.until_over(short).await;
    house.runner.shutdown(Duration::from_millis(20)).await;
    assert_eq!(house.runner.active(), 0);
    assert_eq!(house.until_over(short).await, RunState::Finished);
    assert_eq!(code(&house.until_over(long).await), "server_restarting");
    house.events(long).await;
    let refused = house.runner.admit(house.user.id).expect_err("going down");
    assert_eq!(serde_json::to_value(refused.code).expect("a code"), "unavailable");
}

#[tokio::test]
async fn a_run_reads_its_messages_files_and_else_the_threads_latest() {
    let house = House::new().await;
    let ids = [FileId::new(), FileId::new()];
    let mut tx = house.channels.begin().await.expect("begins");
    for (at, id) in ids.iter().enumerate() {
        sqlx::query("INSERT INTO files (id, thread_id, name, bytes, created_at) VALUES ($1, $2, $3, 5, $4)")
            .bind(id.to_string())
            .bind(house.thread.to_string())
            .bind(format!("{at}.csv"))
            .bind(now_ms())
            .execute(tx.sql())
            .await
            .expect("inserts");
    }
    tx.commit().await.expect("commits");
    let mut named = house.accept("script", "answer").await;
    let latest = house.accept("script", "answer").await;
    named.message.attachments =
        serde_json::from_value(json!([{"file_id": ids[0], "name": "0.csv", "bytes": 5}])).expect("an attachment");
    for (run, id, name) in [(named, ids[0], "0.csv"), (latest, ids[1], "1.csv")] {
        let run_id = run.run_id;
        house.runner.start(run);
        house.until_over(run_id).await;
        let path = house.folder.path().join("files").join(house.thread.to_string()).join(id.to_string());
        assert_eq!(*house.files.lock().expect("not poisoned"), [format!("{name}={}", path.display())]);
    }
}

#[tokio::test]
async fn a_replay_tells_the_recording_under_ids_of_its_own() {
    let house = House::new().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let run = house.accept("replay", "play").await;
        runs.push(run.run_id);
        house.runner.start(run);
    }
    for run in &runs {
        assert_eq!(house.until_over(*run).await, RunState::Finished);
        house.events(*run).await;
    }
    let view = house.view().await;
    let [first, second] = [0, 1].map(|index| view.run(runs[index]).expect("the run"));
    assert_eq!(first.result, Some(json!({"saving": 0.43, "actions": 3})));
    assert_eq!(said(first), said(second));
    assert!(
        said(first).iter().any(|text| text.starts_with("# Where the tokens go\n") && text.ends_with("can tell.\n"))
    );
    let subagents = first.nodes.iter().filter(|node| matches!(node.body, NodeBody::Subagent { .. })).count();
    assert_eq!(subagents, 5);
    for (one, other) in first.nodes.iter().zip(&second.nodes) {
        let kept = matches!(one.body, NodeBody::Step | NodeBody::Custom { .. });
        assert_eq!(one.id == other.id, kept, "{one:?}");
        assert!(one.within.is_none() || one.within != other.within);
    }
    assert_eq!(view.items.iter().filter(|item| matches!(item, Item::Run(_))).count(), 2);
}

/// Plays the recording to nobody in particular; answers what came, and the agent's word.
async fn play(rate: u32, cancel: CancellationToken) -> (Vec<Event>, Result<Option<Value>, AgentError>) {
    let replay = Replay::open(info("r"), &recording(), rate).expect("opens");
    let (out, mut events) = Emitter::channel(1);
    let input = RunInput {
        run_id: RunId::new(),
        thread_id: ThreadId::new(),
        author: serde_json::from_value(json!({"id": UserId::new(), "name": "Owner"})).expect("an author"),
        text: "play".into(),
        files: Vec::new(),
        cancel,
    };
    let hear = async {
        let mut heard = Vec::new();
        while let Some(event) = events.recv().await {
            heard.push(event);
        }
        heard
    };
    tokio::join!(hear, replay.run(input, out))
}

#[tokio::test(start_paused = true)]
async fn a_replay_keeps_its_rate_low_and_high() {
    for rate in [1, 20, 1_000, 20_000] {
        let begun = tokio::time::Instant::now();
        let (events, ended) = play(rate, CancellationToken::new()).await;
        assert!(ended.is_ok());
        let (took, expected) = (begun.elapsed().as_secs_f64(), (events.len() - 1) as f64 / f64::from(rate));
        assert!((took - expected).abs() < 0.003, "{rate}/s: took {took} s, not {expected} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_replay_that_is_stopped_does_not_wait_for_its_next_event() {
    let (cancel, begun) = (CancellationToken::new(), tokio::time::Instant::now());
    let stop = async {
        tokio::time::advance(Duration::from_millis(500)).await;
        cancel.cancel();
    };
    let ((events, ended), ()) = tokio::join!(play(1, cancel.clone()), stop);
    assert_eq!((events.len(), ended), (1, Err(AgentError::Stopped)));
    assert!(begun.elapsed() < Duration::from_millis(600));
}

#[test]
fn a_recording_that_is_none_is_refused_with_its_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.jsonl");
    let step = r#"{"type":"STEP_STARTED","stepName":"s"}"#;
    let cases = [
        ("\n\n".to_owned(), "there is no event in it"),
        (format!("{step}\nno"), "run.jsonl:2: expected"),
        (format!("{step}\n\n{step}"), "run.jsonl:3: STEP_STARTED: the step `s` goes on already"),
        (r#"{"type":"STEP_STARTED"}"#.into(), "run.jsonl:1: "),
        (r#"{"type":"THINKING_START"}"#.into(), "run.jsonl:1: "),
        (format!("{{\"type\":\"RUN_ERROR\",\"message\":\"no\"}}\n{step}"), "run.jsonl:2: an event after the run's end"),
        (r#"{"type":"RUN_STARTED","threadId":"t","runId":"r"}"#.repeat(2), "run.jsonl:1: trailing"),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, text).expect("writes");
        let error = Replay::open(info("r"), &path, 10).expect_err(expected).to_string();
        assert!(error.contains(expected), "`{error}` should say `{expected}`");
    }
    let missing = Replay::open(info("r"), &folder.path().join("none.jsonl"), 10).expect_err("missing");
    assert_eq!(missing.key(), "file");
}
