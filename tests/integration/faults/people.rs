//! What people do meanwhile: they say things in their threads, stop runs, rename threads, and wait for answers.

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

use super::{audit::Acknowledged, witness::Witness};

/// A person with several clients.
#[derive(Clone)]
pub(crate) struct Someone {
    pub(crate) user: UserId,
    pub(crate) clients: Vec<Arc<Witness>>,
    threads: Arc<Mutex<Vec<ThreadId>>>,
    pub(crate) ledger: Ledger,
    patience: Duration,
}

/// What was answered, and what went wrong.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    pub(crate) wrongs: Arc<Mutex<Vec<String>>>,
    /// Threads that somebody deletes, from before they do.
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

    pub(crate) fn wrong(&self, what: String) {
        self.wrongs.lock().expect("not poisoned").push(what);
    }
}

impl Someone {
    /// A person whose clients follow the feed, and have a first thread.
    pub(crate) async fn new(clients: Vec<Arc<Witness>>, ledger: Ledger, patience: Duration) -> Self {
        let someone = Self { user: clients[0].user().await, clients, threads: Arc::default(), ledger, patience };
        for client in &someone.clients {
            client.follow(ChannelName::User, None).await;
        }
        someone.begin_thread(&someone.clients[0]).await;
        someone
    }

    /// Lives until it is over: one thing after another, each to its end.
    pub(crate) async fn live(self, mut choices: StdRng, over: Arc<AtomicBool>) {
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
                14..17 => self.interrupt(&client, &watching, thread).await,
                17 => self.rename(&client, thread).await,
                18 => {
                    let read = client.send(MarkRead { thread_id: thread }).await;
                    self.expect("mark_read", thread, read);
                }
                19 | 20 => self.delete_thread(&client, thread).await,
                _ if self.threads.lock().expect("not poisoned").len() < 4 => self.begin_thread(&client).await,
                _ => {}
            }
        }
    }

    /// Asks in the first thread, and waits until another client sees the end.
    pub(crate) async fn ask_once(&self) {
        let thread = self.threads.lock().expect("not poisoned")[0];
        self.ask(&self.clients[0], &self.clients[1], thread, "replay").await;
    }

    async fn begin_thread(&self, client: &Witness) {
        let thread_id = ThreadId::new();
        let made = client.send(CreateThread { thread_id, title: None, agent: None }).await;
        if self.expect("create_thread", thread_id, made).is_some() {
            for client in &self.clients {
                client.follow(ChannelName::Thread(thread_id), None).await;
            }
            self.threads.lock().expect("not poisoned").push(thread_id);
        }
    }

    /// Deletes a thread, whatever goes on in it, where others are left.
    async fn delete_thread(&self, client: &Witness, thread_id: ThreadId) {
        {
            let mut threads = self.threads.lock().expect("not poisoned");
            if threads.len() < 2 || !threads.contains(&thread_id) {
                return;
            }
            self.ledger.deleted.lock().expect("not poisoned").insert(thread_id);
            threads.retain(|other| *other != thread_id);
        }
        // Not excused by the deletion: nothing but this deletes it, and to delete it again is fine.
        if let Err(error) = client.send(DeleteThread { thread_id }).await {
            self.ledger.wrong(format!("delete_thread: {error:?}"));
        }
    }

    async fn ask(&self, client: &Witness, watching: &Witness, thread: ThreadId, agent: &str) {
        if let Some(accepted) = self.say(client, thread, agent).await {
            self.see_the_end(watching, thread, accepted.run_id).await;
        }
    }

    async fn interrupt(&self, client: &Witness, watching: &Witness, thread: ThreadId) {
        if let Some(accepted) = self.say(client, thread, "replay").await {
            // A run that is over meanwhile cannot be stopped, which is an answer too.
            let _ = watching.send(StopRun { run_id: accepted.run_id }).await;
            self.see_the_end(watching, thread, accepted.run_id).await;
        }
    }

    async fn rename(&self, client: &Witness, thread_id: ThreadId) {
        let title = format!("Renamed at {}", netra::server::clock::now_ms());
        let renamed = client.send(RenameThread { thread_id, title }).await;
        self.expect("rename_thread", thread_id, renamed);
    }

    async fn say(&self, client: &Witness, thread: ThreadId, agent: &str) -> Option<MessageAccepted> {
        let message = SendMessage { agent: Some(agent.into()), ..SendMessage::new(thread, "Where do my tokens go?") };
        let accepted = self.expect("send_message", thread, client.send(message.clone()).await)?;
        let acknowledged =
            Acknowledged { message: message.message_id, thread, run: accepted.run_id, seq: accepted.seq };
        self.ledger.acknowledged.lock().expect("not poisoned").push(acknowledged);
        Some(accepted)
    }

    /// Waits until a client sees a run's end, or is told that its thread was deleted.
    async fn see_the_end(&self, client: &Witness, thread: ThreadId, run: RunId) {
        let mut notes = client.notes();
        let ended = notes.wait_for(|notes| {
            if self.ledger.is_deleted(thread) && notes.is_removed(thread) {
                return true;
            }
            let parts = notes.tracks.get(&ChannelName::Thread(thread)).map(|track| track.parts.as_slice());
            parts.unwrap_or_default().iter().any(|part| {
                let state = part.from.as_ref().is_some_and(|(_, state)| is_over(state, run));
                state || part.entries.iter().rev().any(|(_, _, entry)| ends(entry, run))
            })
        });
        if timeout(self.patience, ended).await.is_err() {
            self.ledger.wrong(format!("{} never saw the end of {run}", client.name));
        }
    }

    /// What was answered; an error is wrong, unless the thread is being deleted and it says that there is none.
    fn expect<T>(&self, what: &str, thread: ThreadId, answer: Result<T, netra::protocol::ErrorBody>) -> Option<T> {
        let excused = |code| code == ErrorCode::NotFound && self.ledger.is_deleted(thread);
        let wrong = answer.as_ref().err().filter(|error| !excused(error.code));
        wrong.inspect(|error| self.ledger.wrong(format!("{what}: {error:?}")));
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
