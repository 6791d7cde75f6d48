//! A store, a thread, a person and a runner whose one agent is remote.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use netra::{
    protocol::{
        Answer, AnswerStatus, CreateThread, Entry, FileId, InterruptAnswer, MessageId, RunId, SendMessage, ThreadEntry,
        ThreadId,
        agui::Event,
        http::{AgentInfo, User},
    },
    server::{
        agents::{
            AgentRegistry, Kinds,
            remote::{Pace, Remote, RemoteOptions},
        },
        channel::{Channel, Channels, Delivery, Hub},
        config::agents::AgUiConfig,
        raw_events,
        runs::{Agent, Runner, RunnerOptions, verifier::verify},
        store::Store,
        threads,
    },
    thread::{NodeBody, RunState, RunView, ThreadView},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    remote::{PATIENCE, server::Server},
    support::attach::attach,
};

/// The value of a header that must never be seen.
pub const SECRET: &str = "s3cr3t-of-the-tests";

#[derive(Default)]
struct Bell(Notify);

impl Hub for Bell {
    fn deliver(&self, _: &Delivery) {
        self.0.notify_waiters();
    }
}

pub struct House {
    folder: tempfile::TempDir,
    pub channels: Channels,
    pub runner: Runner,
    pub remote: Arc<Remote>,
    pub user: User,
    pub thread: ThreadId,
    bell: Arc<Bell>,
}

/// A configuration for an endpoint on this host.
pub fn config(url: &str, changes: &Value) -> AgUiConfig {
    let mut entry = json!({"url": url, "allow_private_network": true, "headers": {"Authorization": "Bearer ${TOKEN}"}});
    entry.as_object_mut().expect("an object").extend(changes.as_object().cloned().unwrap_or_default());
    serde_json::from_value(entry).expect("a configuration")
}

/// A remote agent; impatient where an endpoint is to be spared.
pub fn remote(config: &AgUiConfig) -> Remote {
    let pace = Pace { failures: 3, first: Duration::from_millis(200), longest: Duration::from_secs(1) };
    let options = RemoteOptions { pace, backoff: Duration::from_millis(10) };
    let variables = |name: &str| (name == "TOKEN").then(|| SECRET.to_owned());
    Remote::new(AgentInfo::new("remote", "Remote", ""), config, variables, options).expect("is right")
}

impl House {
    pub async fn new(server: &Server) -> Self {
        Self::with(&config(&server.url, &json!({}))).await
    }

    /// With changes to the configuration.
    pub async fn but(server: &Server, changes: Value) -> Self {
        Self::with(&config(&server.url, &changes)).await
    }

    pub async fn with(config: &AgUiConfig) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bell = Arc::new(Bell::default());
        let store = Store::open(folder.path()).await.expect("opens");
        let channels = Channels::new(store, bell.clone()).await.expect("begins");
        let remote = Arc::new(remote(config));
        let agents = AgentRegistry::new([remote.clone() as Arc<dyn Agent>], &[], Kinds::default());
        let runner =
            Runner::new(channels.clone(), agents.agents().clone(), RunnerOptions::new(folder.path().join("files")));
        let user = crate::support::owner::person(&channels).await;
        let command = CreateThread { thread_id: ThreadId::new(), title: None, agent: None };
        let thread = threads::create(&channels, &user, &command, "remote").await.expect("made").id;
        Self { folder, channels, runner, remote, user, thread, bell }
    }

    /// Asks; answers the run, which has begun.
    pub async fn ask(&self, text: &str) -> RunId {
        self.ask_with(text, &[]).await
    }

    /// Asks with files, each a name and bytes.
    pub async fn ask_with(&self, text: &str, files: &[(&str, &[u8])]) -> RunId {
        let mut command = SendMessage::new(self.thread, text);
        for (name, bytes) in files {
            command.attachments.push(self.attach(name, bytes).await);
        }
        self.send(&command, None).await
    }

    /// Asks as another program does that gives this along; answers the run, at its end.
    pub async fn answer_given(&self, text: &str, caller: Value) -> RunView {
        let run = self.send(&SendMessage::new(self.thread, text), Some(caller.to_string())).await;
        self.until_over(run).await
    }

    async fn send(&self, command: &SendMessage, caller: Option<String>) -> RunId {
        let sent = threads::send(&self.channels, &self.user, command, caller, |_| Ok("remote".into())).await;
        self.start(sent.expect("accepted"))
    }

    /// Gives the thread a file.
    pub async fn attach(&self, name: &str, bytes: &[u8]) -> FileId {
        attach(&self.channels, &self.files(), self.thread, name, bytes).await
    }

    /// Where the files of threads are.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    fn start(&self, asked: threads::CommandOutcome) -> RunId {
        let run = asked.run.expect("a run");
        let id = run.run_id;
        self.runner.start(run);
        id
    }

    /// Answers what a run waits for; answers the run that goes on, at its end.
    pub async fn reply(&self, run: RunId, interrupt: &str, status: AnswerStatus, payload: Value) -> RunView {
        let interrupt_id = interrupt.into();
        self.reply_with(run, InterruptAnswer { interrupt_id, status, payload: Some(payload), metadata: None }).await
    }

    /// The same, whatever the answer says.
    pub async fn reply_with(&self, run: RunId, answer: InterruptAnswer) -> RunView {
        let (answer_id, thread_id) = (MessageId::new(), self.thread);
        let command = Answer { answer_id, thread_id, run_id: run, answers: vec![answer] };
        let asked = threads::answer(&self.channels, &self.user, &command, None, |_| Ok(())).await.expect("accepted");
        let run = self.start(asked);
        self.until_over(run).await
    }

    /// Asks and waits for the end.
    pub async fn answer(&self, text: &str) -> RunView {
        let run = self.ask(text).await;
        self.until_over(run).await
    }

    /// Asks, and holds that the run fails with this code, its log in order; answers the sentence.
    pub async fn failure(&self, code: &str) -> String {
        let run = self.answer("hello").await;
        match run.state {
            RunState::Failed { message, code: Some(said) } => {
                assert_eq!(said, code, "{message}");
                assert!(!message.is_empty());
                let log = self.frames().await.join("\n");
                assert!(!log.contains(SECRET) && !log.contains(&SECRET[..8]), "{log}");
                let about = self.remote.health().map(|health| health.about).unwrap_or_default();
                assert!(!about.contains(&SECRET[..8]), "{about}");
                message
            }
            other => panic!("fails with {code}, not {other:?}"),
        }
    }

    pub async fn until_over(&self, run: RunId) -> RunView {
        self.until(|view| view.run(run).is_some_and(|run| run.state.is_over())).await;
        let events = self.events(run).await;
        assert_eq!(verify(&events), Ok(()), "{events:#?}");
        self.view().await.run(run).expect("the run").clone()
    }

    pub async fn until(&self, is: impl Fn(&ThreadView) -> bool) {
        let wait = async {
            loop {
                let more = self.bell.0.notified();
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

    /// Waits until a run said this much.
    pub async fn until_said(&self, run: RunId, text: &str) {
        self.until(|view| view.run(run).is_some_and(|run| said(run) == text)).await;
    }

    /// Stops a run; answers how long its end took.
    pub async fn stop(&self, run: RunId) -> Duration {
        let began = Instant::now();
        self.runner.stop(run);
        let over = self.until_over(run).await;
        assert_eq!(over.state, RunState::Cancelled);
        began.elapsed()
    }

    pub async fn view(&self) -> ThreadView {
        self.channels.thread(self.thread).await.expect("reads").1
    }

    /// The events of a run as they are read from the log.
    pub async fn events(&self, wanted: RunId) -> Vec<Event> {
        let channel = Channel::Thread(self.thread).name();
        let entries = self.frames().await.into_iter().map(|frame| {
            let mut frame: Value = serde_json::from_str(&frame).expect("JSON");
            Entry::decode(channel, frame["payload"]["entry"].take())
        });
        let event = |entry| match entry {
            Entry::Thread(ThreadEntry::Agent { run_id, event }) if run_id == wanted => Some(*event),
            _ => None,
        };
        entries.filter_map(event).collect()
    }

    /// The RAW events that are kept of a run.
    pub async fn raw(&self, run: RunId) -> Vec<Value> {
        let page = raw_events::page(&self.channels, self.user.id, run, 0).await.expect("they are read");
        page.events.into_iter().map(|kept| kept.event).collect()
    }

    /// The events of a run as they stand in the log.
    pub async fn written(&self, wanted: RunId) -> Vec<Value> {
        let frames = self.frames().await.into_iter();
        let entries =
            frames.map(|frame| serde_json::from_str::<Value>(&frame).expect("JSON")["payload"]["entry"].take());
        entries.filter(|entry| entry["run_id"] == wanted.to_string()).map(|mut entry| entry["event"].take()).collect()
    }

    /// The log, entry by entry, as it is sent.
    pub async fn frames(&self) -> Vec<String> {
        let (mut frames, mut after) = (Vec::new(), 0);
        loop {
            let page = self.channels.page(Channel::Thread(self.thread), after).await.expect("reads");
            let Some(last) = page.last() else { return frames };
            after = last.seq;
            frames.extend(page.iter().map(|delivery| delivery.frame.as_str().to_owned()));
        }
    }
}

/// All that a run said, its texts one after the other.
pub fn said(run: &RunView) -> String {
    let texts = run.nodes.iter().filter_map(|node| match &node.body {
        NodeBody::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
