//! A thread and a runner in this process, over a store on SQLite.

use std::{path::PathBuf, sync::Arc};

use netra::{
    protocol::{
        Answer, AnswerStatus, Entry, FileId, InterruptAnswer, MessageId, RunId, SendMessage, ThreadEntry, ThreadId,
        agui::Event, http::User,
    },
    server::{
        channel::{Channel, Channels},
        runs::{Runner, verifier::verify},
        store::Engine,
        threads::{self, NewRun},
    },
    thread::{NodeBody, RunState, RunView, ThreadView},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    TEST_TIMEOUT,
    attach::attach,
    store::{DeliveryRecorder, TestStore, create_thread},
};

/// A user's thread and the runner of its agent. `A`: what the test controls or observes of the agent.
pub struct Harness<A> {
    store: TestStore,
    pub channels: Channels,
    pub deliveries: Arc<DeliveryRecorder>,
    pub runner: Runner,
    pub user: User,
    pub thread: ThreadId,
    pub agent: A,
    agent_id: &'static str,
}

impl<A> Harness<A> {
    /// A thread whose agent has this id. `runner` gets the channels and the folder of uploaded files.
    pub async fn start(agent_id: &'static str, agent: A, runner: impl FnOnce(&Channels, PathBuf) -> Runner) -> Self {
        let store = TestStore::on(Engine::Sqlite).await;
        let (channels, deliveries) = store.node().await;
        let runner = runner(&channels, store.folder().join("files"));
        let user = store.user.clone();
        let thread = create_thread(&channels, &user, agent_id).await;
        Self { store, channels, deliveries, runner, user, thread, agent, agent_id }
    }

    /// The folder of uploaded files.
    pub fn files(&self) -> PathBuf {
        self.store.folder().join("files")
    }

    /// One more thread of the same user and agent.
    pub async fn create_thread(&self) -> ThreadId {
        create_thread(&self.channels, &self.user, self.agent_id).await
    }

    /// Uploads a file to the thread.
    pub async fn attach(&self, name: &str, bytes: &[u8]) -> FileId {
        attach(&self.channels, &self.files(), self.thread, name, bytes).await
    }

    /// A message with files, each a name and bytes.
    async fn message_with_files(&self, text: &str, files: &[(&str, &[u8])]) -> SendMessage {
        let mut command = SendMessage::new(self.thread, text);
        for (name, bytes) in files {
            command.attachments.push(self.attach(name, bytes).await);
        }
        command
    }

    /// Sends a message to an agent without starting its run.
    pub async fn accept(&self, agent_id: &str, command: &SendMessage, caller: Option<Value>) -> NewRun {
        let caller = caller.map(|caller| caller.to_string());
        let sent = threads::send(&self.channels, &self.user, command, caller, |_| Ok(agent_id.into())).await;
        sent.expect("the message is accepted").run.expect("a run")
    }

    /// Starts an accepted run.
    pub fn start_run(&self, run: NewRun) -> RunId {
        let id = run.run_id;
        self.runner.start(run);
        id
    }

    /// Sends a message and starts its run, unless another goes first.
    pub async fn send(&self, command: &SendMessage) -> RunId {
        self.start_run(self.accept(self.agent_id, command, None).await)
    }

    /// Sends a text and starts its run.
    pub async fn begin(&self, text: &str) -> RunId {
        self.send(&SendMessage::new(self.thread, text)).await
    }

    /// Sends a text as a program does that calls over HTTP with this input, and starts its run.
    pub async fn begin_with_caller(&self, text: &str, caller: Value) -> RunId {
        let command = SendMessage::new(self.thread, text);
        self.start_run(self.accept(self.agent_id, &command, Some(caller)).await)
    }

    /// Sends a text with files, each a name and bytes, and starts its run.
    pub async fn begin_with_files(&self, text: &str, files: &[(&str, &[u8])]) -> RunId {
        self.send(&self.message_with_files(text, files).await).await
    }

    /// [`Self::begin`], then waits for the run's end.
    pub async fn ask(&self, text: &str) -> RunView {
        self.until_over(self.begin(text).await).await
    }

    /// [`Self::begin_with_caller`], then waits for the run's end.
    pub async fn ask_with_caller(&self, text: &str, caller: Value) -> RunView {
        self.until_over(self.begin_with_caller(text, caller).await).await
    }

    /// [`Self::begin_with_files`], then waits for the run's end.
    pub async fn ask_with_files(&self, text: &str, files: &[(&str, &[u8])]) -> RunView {
        self.until_over(self.begin_with_files(text, files).await).await
    }

    /// Answers a run's interrupts, then waits for the end of the run that resumes it.
    pub async fn answer(&self, run_id: RunId, answers: Vec<InterruptAnswer>) -> RunView {
        let command = Answer { answer_id: MessageId::new(), thread_id: self.thread, run_id, answers };
        let outcome = threads::answer(&self.channels, &self.user, &command, None, |_| Ok(()))
            .await
            .expect("the answer is accepted");
        self.until_over(self.start_run(outcome.run.expect("a run"))).await
    }

    /// Answers a run's only interrupt, then waits for the end of the run that resumes it.
    pub async fn answer_one(&self, run_id: RunId, interrupt: &str, status: AnswerStatus, payload: Value) -> RunView {
        let interrupt_id = interrupt.into();
        self.answer(run_id, vec![InterruptAnswer { interrupt_id, status, payload: Some(payload), metadata: None }])
            .await
    }

    /// Answers each of a run's interrupts with a payload, then waits for the end of the run that resumes it.
    pub async fn answer_all(&self, run_id: RunId, payloads: &[Value]) -> RunView {
        let open = self.view().await.run(run_id).expect("the run").open_interrupts().to_vec();
        let answers = open.iter().zip(payloads).map(|(interrupt, payload)| InterruptAnswer {
            interrupt_id: interrupt.id.clone(),
            status: AnswerStatus::Resolved,
            payload: Some(payload.clone()),
            metadata: None,
        });
        self.answer(run_id, answers.collect()).await
    }

    /// The thread as a client sees it.
    pub async fn view(&self) -> ThreadView {
        self.channels.thread(self.thread).await.expect("the thread is read").1
    }

    /// Waits until the thread is in a state.
    pub async fn until(&self, condition: impl Fn(&ThreadView) -> bool) {
        self.until_in(self.thread, condition).await;
    }

    /// Waits until another thread is in a state.
    pub async fn until_in(&self, thread: ThreadId, condition: impl Fn(&ThreadView) -> bool) {
        let holds = async || condition(&self.channels.thread(thread).await.expect("the thread is read").1);
        timeout(TEST_TIMEOUT, self.deliveries.until(holds)).await.expect("the thread reaches the state in time");
    }

    /// Waits for a run's end. Its events must keep AG-UI's rules.
    pub async fn until_over(&self, run: RunId) -> RunView {
        self.until(|view| view.run(run).is_some_and(|run| run.state.is_over())).await;
        self.events(run).await;
        self.view().await.run(run).expect("the run").clone()
    }

    /// Waits for a run's end; returns how it ended.
    pub async fn final_state(&self, run: RunId) -> RunState {
        self.until_over(run).await.state
    }

    /// Waits until no run is active on this node.
    pub async fn until_idle(&self) {
        let idle = async {
            while self.runner.active() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(TEST_TIMEOUT, idle).await.expect("every run ends in time");
    }

    /// A channel's log as it is sent: JSON, a frame for each entry.
    pub async fn frames(&self, channel: Channel) -> Vec<String> {
        let (mut frames, mut after) = (Vec::new(), 0);
        loop {
            let page = self.channels.page(channel, after).await.expect("the page is read");
            let Some(last) = page.last() else { return frames };
            after = last.seq;
            frames.extend(page.iter().map(|delivery| delivery.frame.as_str().to_owned()));
        }
    }

    /// The thread's log as it is sent.
    pub async fn thread_frames(&self) -> Vec<String> {
        self.frames(Channel::Thread(self.thread)).await
    }

    /// A channel's log.
    pub async fn entries(&self, channel: Channel) -> Vec<Entry> {
        let entry = |frame: String| {
            let mut frame: Value = serde_json::from_str(&frame).expect("JSON");
            Entry::decode(channel.name(), frame["payload"]["entry"].take())
        };
        self.frames(channel).await.into_iter().map(entry).collect()
    }

    /// A run's events in the log, which must keep AG-UI's rules.
    pub async fn events(&self, run: RunId) -> Vec<Event> {
        let events = self.unverified_events(run).await;
        assert_eq!(verify(&events), Ok(()), "{events:#?}");
        events
    }

    /// A run's events in the log.
    pub async fn unverified_events(&self, run: RunId) -> Vec<Event> {
        let event = |entry| match entry {
            Entry::Thread(ThreadEntry::Agent { run_id, event }) if run_id == run => Some(*event),
            _ => None,
        };
        self.entries(Channel::Thread(self.thread)).await.into_iter().filter_map(event).collect()
    }
}

/// The texts of a run, in order.
pub fn texts(run: &RunView) -> Vec<&str> {
    let texts = run.nodes.iter().filter_map(|node| match &node.body {
        NodeBody::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
