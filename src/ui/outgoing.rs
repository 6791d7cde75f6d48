//! What a person sent and the thread does not show yet: it waits for its thread to be made, for uploads, for the reply.
//!
//! It lives in application state, so it goes on while the person goes elsewhere in the application. Trying again sends the
//! same ids: whatever the server got the first time counts once.

use leptos::{prelude::*, task::spawn_local};

use super::{
    browser::{LocalFile, upload},
    drafts::give_back,
    format::refusal,
};
use crate::{
    protocol::{Attachment, CreateThread, FileId, MessageId, SendMessage, ThreadId, UserId},
    socket::context::Socket,
};

/// What somebody wrote.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) files: Vec<LocalFile>,
    /// Files that the thread has already.
    pub(crate) attached: Vec<Attachment>,
    /// Who is asked; the thread's agent unless it says so.
    pub(crate) agent: Option<String>,
}

/// Where in its thread a message stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// After the newest message.
    #[default]
    Newest,
    /// After this one.
    After(MessageId),
    /// In the place of this one, as another version of it.
    Instead(MessageId),
}

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
    pub(crate) agent: Option<String>,
    pub(crate) place: Place,
    /// Why it did not get through.
    pub(crate) error: ArcRwSignal<Option<String>>,
    /// The agent of the thread that is made first.
    new_thread: Option<Option<String>>,
    /// Whether the thread exists.
    created: ArcRwSignal<bool>,
    /// Whether it set out.
    begun: ArcRwSignal<bool>,
    accepted: ArcRwSignal<bool>,
}

impl Parcel {
    /// Whether nothing goes on with it: it got through, or waits for its person.
    fn is_settled(&self) -> bool {
        self.accepted.get_untracked() || self.error.with_untracked(Option::is_some)
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
    pub(crate) fn send(self, thread_id: ThreadId, written: Written, place: Place, new_thread: Option<Option<String>>) {
        let Written { text, files, attached, agent } = written;
        let file = |file| ParcelFile { file, share: ArcRwSignal::new(0.0), id: ArcRwSignal::new(None) };
        self.post(Parcel {
            message_id: MessageId::new(),
            thread_id,
            text,
            files: files.into_iter().map(file).collect(),
            attached,
            agent,
            place,
            error: ArcRwSignal::new(None),
            created: ArcRwSignal::new(new_thread.is_none()),
            new_thread,
            begun: ArcRwSignal::new(false),
            accepted: ArcRwSignal::new(false),
        });
    }

    fn post(self, parcel: Parcel) {
        self.parcels.update(|parcels| {
            parcels.retain(|known| !known.accepted.get_untracked());
            parcels.push(parcel.clone());
        });
        self.advance(parcel.thread_id);
    }

    /// Lets the next message of a thread set out, if none of it is on its way: one may wait for its files, and what was
    /// said later comes later.
    fn advance(self, thread_id: ThreadId) {
        let next = self.parcels.with_untracked(|parcels| {
            let mut of_thread = parcels.iter().filter(|parcel| parcel.thread_id == thread_id && !parcel.is_settled());
            of_thread.next().filter(|first| !first.begun.get_untracked()).cloned()
        });
        if let Some(parcel) = next {
            parcel.begun.set(true);
            self.go(parcel);
        }
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

    /// The message whose place another is about to take.
    pub(crate) fn replacing(self, thread_id: ThreadId) -> Option<MessageId> {
        let replaced = |parcel: &Parcel| match parcel.place {
            Place::Instead(id) if parcel.thread_id == thread_id => Some(id),
            _ => None,
        };
        self.parcels.with(|parcels| parcels.iter().find_map(replaced))
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
            self.advance(parcel.thread_id);
        });
    }
}

async fn deliver(socket: Socket, parcel: &Parcel) -> Result<(), String> {
    let thread_id = parcel.thread_id;
    if let Some(agent) = &parcel.new_thread {
        let create = CreateThread { thread_id, title: None, agent: agent.clone() };
        socket.send(create).await.map_err(|error| refusal(&error))?;
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
    let (after, replaces) = match parcel.place {
        Place::Newest => (None, None),
        Place::After(id) => (Some(id), None),
        Place::Instead(id) => (None, Some(id)),
    };
    let message = SendMessage { message_id, agent, attachments, after, replaces, ..SendMessage::new(thread_id, text) };
    socket.send(message).await.map(drop).map_err(|error| refusal(&error))
}
