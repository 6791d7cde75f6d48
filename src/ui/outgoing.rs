//! What a person sent and the thread does not show yet: it waits for its thread to be made, for uploads, for the reply.
//!
//! It lives in application state, so it goes on while the person goes elsewhere in the application. Trying again sends the
//! same ids: whatever the server got the first time counts once.

use leptos::{prelude::*, task::spawn_local};

use super::{
    browser::{LocalFile, upload},
    drafts::give_back,
};
use crate::{
    protocol::{Attachment, CreateThread, FileId, MessageId, SendMessage, ThreadId, UserId, UserMessage},
    socket::context::Socket,
};

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) message_id: MessageId,
    pub(crate) thread_id: ThreadId,
    pub(crate) text: String,
    pub(crate) files: Vec<ParcelFile>,
    /// Files that the thread has already.
    pub(crate) attached: Vec<Attachment>,
    /// Who is asked; the thread's agent unless it says so.
    agent: Option<String>,
    /// Why it did not get through.
    pub(crate) error: ArcRwSignal<Option<String>>,
    /// The agent of the thread that is made first.
    new_thread: Option<Option<String>>,
    /// Whether the thread exists.
    created: ArcRwSignal<bool>,
    accepted: ArcRwSignal<bool>,
}

impl Parcel {
    fn new(thread_id: ThreadId, text: String) -> Self {
        Self {
            message_id: MessageId::new(),
            thread_id,
            text,
            files: Vec::new(),
            attached: Vec::new(),
            agent: None,
            error: ArcRwSignal::new(None),
            new_thread: None,
            created: ArcRwSignal::new(true),
            accepted: ArcRwSignal::new(false),
        }
    }
}

/// A file of a message on its way.
#[derive(Debug, Clone)]
pub(crate) struct ParcelFile {
    pub(crate) file: LocalFile,
    /// How much is through, 0 to 1.
    pub(crate) share: ArcRwSignal<f64>,
    id: ArcRwSignal<Option<FileId>>,
}

/// All messages on their way, oldest first.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing {
    parcels: RwSignal<Vec<Parcel>>,
    socket: Socket,
}

impl Outgoing {
    pub(crate) fn provide(socket: Socket) {
        provide_context(Self { parcels: RwSignal::new(Vec::new()), socket });
    }

    /// Sends a message; `new_thread`: makes the thread first, for that agent or the server's default.
    pub(crate) fn send(
        self,
        thread_id: ThreadId,
        text: String,
        files: Vec<LocalFile>,
        new_thread: Option<Option<String>>,
    ) {
        let files =
            files.into_iter().map(|file| ParcelFile { file, share: ArcRwSignal::new(0.0), id: ArcRwSignal::new(None) });
        self.post(Parcel {
            files: files.collect(),
            created: ArcRwSignal::new(new_thread.is_none()),
            new_thread,
            ..Parcel::new(thread_id, text)
        });
    }

    /// Asks the same of the same agent about the same files once more, as a new message.
    pub(crate) fn ask_again(self, thread_id: ThreadId, message: UserMessage) {
        self.post(Parcel {
            agent: Some(message.agent),
            attached: message.attachments,
            ..Parcel::new(thread_id, message.content)
        });
    }

    fn post(self, parcel: Parcel) {
        self.parcels.update(|parcels| {
            parcels.retain(|known| !known.accepted.get_untracked());
            parcels.push(parcel.clone());
        });
        self.go(parcel);
    }

    /// Tries again what did not get through.
    pub(crate) fn retry(self, parcel: Parcel) {
        parcel.error.set(None);
        self.go(parcel);
    }

    /// Forgets a message: the thread shows it, or the person gave it up.
    pub(crate) fn forget(self, message_id: MessageId) {
        self.parcels.update(|parcels| parcels.retain(|parcel| parcel.message_id != message_id));
    }

    /// The messages on their way to a thread.
    pub(crate) fn to(self, thread_id: ThreadId) -> Vec<Parcel> {
        self.parcels.with(|parcels| parcels.iter().filter(|parcel| parcel.thread_id == thread_id).cloned().collect())
    }

    /// Forgets everything on its way: its person leaves.
    pub(crate) fn clear(self) {
        self.parcels.set(Vec::new());
    }

    /// Makes drafts of what did not get through: the page is about to be loaded anew, for that person.
    pub(crate) fn give_back(self, user: UserId) {
        self.parcels.with_untracked(|parcels| {
            for parcel in parcels.iter().filter(|parcel| !parcel.accepted.get_untracked()) {
                let thread = parcel.created.get_untracked().then_some(parcel.thread_id);
                give_back(user, thread, &parcel.text);
            }
        });
    }

    /// Whether the thread is still to be made.
    pub(crate) fn creates(self, thread_id: ThreadId) -> bool {
        self.to(thread_id).iter().any(|parcel| !parcel.created.get())
    }

    fn go(self, parcel: Parcel) {
        spawn_local(async move {
            match deliver(self.socket, &parcel).await {
                Ok(()) => parcel.accepted.set(true),
                Err(message) => parcel.error.set(Some(message)),
            }
        });
    }
}

async fn deliver(socket: Socket, parcel: &Parcel) -> Result<(), String> {
    let thread_id = parcel.thread_id;
    if let Some(agent) = &parcel.new_thread {
        let create = CreateThread { thread_id, title: None, agent: agent.clone() };
        socket.send(create).await.map_err(|error| error.message)?;
        parcel.created.set(true);
    }
    let mut attachments: Vec<FileId> = parcel.attached.iter().map(|file| file.file_id).collect();
    for file in &parcel.files {
        let known = file.id.get_untracked();
        attachments.push(match known {
            Some(id) => id,
            None => {
                let share = file.share.clone();
                let uploaded = upload(thread_id, file.file.clone(), Box::new(move |done| share.set(done))).await;
                let id = uploaded.map_err(|error| error.message())?.file_id;
                file.share.set(1.0);
                file.id.set(Some(id));
                id
            }
        });
    }
    let (message_id, text, agent) = (parcel.message_id, parcel.text.clone(), parcel.agent.clone());
    let message = SendMessage { message_id, agent, attachments, ..SendMessage::new(thread_id, text) };
    socket.send(message).await.map(drop).map_err(|error| error.message)
}
