//! Simulated users: they send messages, stop runs, rename and delete threads, and wait for the runs to end.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use netra::protocol::{
    ChannelName, CreateThread, DeleteThread, Entry, ErrorCode, MarkRead, MessageAccepted, RenameThread, RunId,
    SendMessage, StopRun, ThreadEntry, ThreadId, UserId, agui::Event,
};
use rand::{RngExt, rngs::StdRng};
use tokio::time::timeout;

use super::{audit::Acknowledged, client_recorder::ClientRecorder};

/// A user with several clients.
#[derive(Clone)]
pub(crate) struct SimulatedUser {
    pub(crate) user: UserId,
    pub(crate) clients: Vec<Arc<ClientRecorder>>,
    threads: Arc<Mutex<Vec<ThreadId>>>,
    pub(crate) ledger: Ledger,
    run_timeout: Duration,
}

/// What all users saw acknowledged, and what went wrong.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    pub(crate) violations: Arc<Mutex<Vec<String>>>,
    /// Deleted threads; each is added before its deletion is requested.
    deleted: Arc<Mutex<BTreeSet<ThreadId>>>,
}

impl Ledger {
    /// The threads that were deleted.
    pub(crate) fn deleted(&self) -> BTreeSet<ThreadId> {
        self.deleted.lock().expect("not poisoned").clone()
    }

    fn is_deleted(&self, thread: ThreadId) -> bool {
        self.deleted.lock().expect("not poisoned").contains(&thread)
    }

    pub(crate) fn violation(&self, what: String) {
        self.violations.lock().expect("not poisoned").push(what);
    }
}

impl SimulatedUser {
    /// A user with one thread, whose clients follow the feed.
    pub(crate) async fn new(clients: Vec<Arc<ClientRecorder>>, ledger: Ledger, run_timeout: Duration) -> Self {
        let user = Self { user: clients[0].user().await, clients, threads: Arc::default(), ledger, run_timeout };
        for client in &user.clients {
            client.follow(ChannelName::User, None).await;
        }
        user.create_thread(&user.clients[0]).await;
        user
    }

    /// Does one thing after another until `over` is set.
    pub(crate) async fn act(self, mut choices: StdRng, over: Arc<AtomicBool>) {
        while !over.load(Ordering::SeqCst) {
            let client = self.clients[choices.random_range(0..self.clients.len())].clone();
            let watching = self.clients[choices.random_range(0..self.clients.len())].clone();
            let thread = {
                let threads = self.threads.lock().expect("not poisoned");
                threads[choices.random_range(0..threads.len())]
            };
            match choices.random_range(0..22) {
                0..12 => self.ask(&client, &watching, thread, "replay").await,
                12..14 => self.ask(&client, &watching, thread, "analyst").await,
                14..17 => self.ask_and_stop(&client, &watching, thread).await,
                17 => self.rename(&client, thread).await,
                18 => {
                    let read = client.send(MarkRead { thread_id: thread }).await;
                    self.expect("mark_read", thread, read);
                }
                19 | 20 => self.delete_thread(&client, thread).await,
                _ if self.threads.lock().expect("not poisoned").len() < 4 => self.create_thread(&client).await,
                _ => {}
            }
        }
    }

    /// Sends a message in the first thread and waits until another client sees the run end.
    pub(crate) async fn ask_once(&self) {
        let thread = self.threads.lock().expect("not poisoned")[0];
        self.ask(&self.clients[0], &self.clients[1], thread, "replay").await;
    }

    async fn create_thread(&self, client: &ClientRecorder) {
        let thread_id = ThreadId::new();
        let reply = client.send(CreateThread { thread_id, title: None, agent: None }).await;
        if self.expect("create_thread", thread_id, reply).is_some() {
            for client in &self.clients {
                client.follow(ChannelName::Thread(thread_id), None).await;
            }
            self.threads.lock().expect("not poisoned").push(thread_id);
        }
    }

    /// Deletes a thread, even during a run, unless it is the last.
    async fn delete_thread(&self, client: &ClientRecorder, thread_id: ThreadId) {
        {
            let mut threads = self.threads.lock().expect("not poisoned");
            if threads.len() < 2 || !threads.contains(&thread_id) {
                return;
            }
            self.ledger.deleted.lock().expect("not poisoned").insert(thread_id);
            threads.retain(|other| *other != thread_id);
        }
        // No error is expected: only this deletes the thread, and a repeated deletion succeeds.
        if let Err(error) = client.send(DeleteThread { thread_id }).await {
            self.ledger.violation(format!("delete_thread: {error:?}"));
        }
    }

    async fn ask(&self, client: &ClientRecorder, watching: &ClientRecorder, thread: ThreadId, agent: &str) {
        if let Some(accepted) = self.send_message(client, thread, agent).await {
            self.until_run_ends(watching, thread, accepted.run_id).await;
        }
    }

    async fn ask_and_stop(&self, client: &ClientRecorder, watching: &ClientRecorder, thread: ThreadId) {
        if let Some(accepted) = self.send_message(client, thread, "replay").await {
            // The run may be over by now, which is an error that is expected.
            let _ = watching.send(StopRun { run_id: accepted.run_id }).await;
            self.until_run_ends(watching, thread, accepted.run_id).await;
        }
    }

    async fn rename(&self, client: &ClientRecorder, thread_id: ThreadId) {
        let title = format!("Renamed at {}", netra::server::clock::now_ms());
        let renamed = client.send(RenameThread { thread_id, title }).await;
        self.expect("rename_thread", thread_id, renamed);
    }

    async fn send_message(&self, client: &ClientRecorder, thread: ThreadId, agent: &str) -> Option<MessageAccepted> {
        let message = SendMessage { agent: Some(agent.into()), ..SendMessage::new(thread, "Where do my tokens go?") };
        let accepted = self.expect("send_message", thread, client.send(message.clone()).await)?;
        let acknowledged =
            Acknowledged { message: message.message_id, thread, run: accepted.run_id, seq: accepted.seq };
        self.ledger.acknowledged.lock().expect("not poisoned").push(acknowledged);
        Some(accepted)
    }

    /// Waits until a client sees a run end or its thread removed.
    async fn until_run_ends(&self, client: &ClientRecorder, thread: ThreadId, run: RunId) {
        let mut record = client.record();
        let ended = record.wait_for(|record| {
            if self.ledger.is_deleted(thread) && record.is_removed(thread) {
                return true;
            }
            let segments = record
                .channels
                .get(&ChannelName::Thread(thread))
                .map(|channel_record| channel_record.segments.as_slice());
            segments.unwrap_or_default().iter().any(|segment| {
                let state = segment.from.as_ref().is_some_and(|(_, state)| is_over(state, run));
                state || segment.entries.iter().rev().any(|(_, _, entry)| ends(entry, run))
            })
        });
        if timeout(self.run_timeout, ended).await.is_err() {
            self.ledger.violation(format!("{} did not see the end of {run}", client.name));
        }
    }

    /// The answer. An error is a violation, unless it is `not_found` and the thread was deleted.
    fn expect<T>(&self, what: &str, thread: ThreadId, answer: Result<T, netra::protocol::ErrorBody>) -> Option<T> {
        let excused = |code| code == ErrorCode::NotFound && self.ledger.is_deleted(thread);
        let unexpected = answer.as_ref().err().filter(|error| !excused(error.code));
        unexpected.inspect(|error| self.ledger.violation(format!("{what}: {error:?}")));
        answer.ok()
    }
}

fn ends(entry: &Entry, run: RunId) -> bool {
    matches!(entry, Entry::Thread(ThreadEntry::Agent { run_id, event })
        if *run_id == run && matches!(**event, Event::RunFinished(_) | Event::RunError(_)))
}

fn is_over(state: &netra::protocol::Snapshot, run: RunId) -> bool {
    let netra::protocol::Snapshot::Thread(view) = state else { return false };
    view.run(run).is_some_and(|run| run.state.is_over())
}
