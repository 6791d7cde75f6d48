//! What a person sent and the thread does not show yet: it waits for its thread to be made, for uploads, for the reply.
//!
//! It lives in application state, so it goes on while the person goes elsewhere in the application, and is stored in the
//! browser until the server accepts it, so that another page goes on with it when this one is gone. Trying again sends the
//! same ids: whatever the server got the first time counts once.

use leptos::{prelude::*, task::spawn_local};

pub(crate) use super::storage::record::Place;
use super::{
    browser::{LocalFile, upload},
    format::error_message,
    storage::{
        Storage,
        record::{Content, FileRecord, MessageRecord, NewThread, Slot},
    },
};
use crate::{
    protocol::{Answer, Attachment, CreateThread, ErrorBody, ErrorCode, FileId, MessageId, SendMessage, ThreadId},
    socket::context::Socket,
};

/// What somebody wrote.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewMessage {
    pub(crate) text: String,
    pub(crate) files: Vec<LocalFile>,
    /// Files that the thread has already.
    pub(crate) attached: Vec<Attachment>,
    /// Who is asked; the thread's agent unless it says so.
    pub(crate) agent: Option<String>,
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingMessage {
    pub(crate) message_id: MessageId,
    pub(crate) thread_id: ThreadId,
    pub(crate) text: String,
    pub(crate) files: Vec<OutgoingFile>,
    /// Files that the thread has already.
    pub(crate) attached: Vec<Attachment>,
    /// Who is asked; the thread's agent unless it says so.
    pub(crate) agent: Option<String>,
    pub(crate) place: Place,
    /// Why it did not get through.
    pub(crate) error: ArcRwSignal<Option<String>>,
    /// The thread that is made first.
    new_thread: Option<NewThread>,
    /// Files that the page which sent it did not store before it was gone.
    missing: Vec<String>,
    /// Whether the thread exists.
    created: ArcRwSignal<bool>,
    /// Whether it set out.
    begun: ArcRwSignal<bool>,
    accepted: ArcRwSignal<bool>,
}

impl OutgoingMessage {
    /// Whether nothing goes on with it: it got through, or waits for its person.
    fn is_settled(&self) -> bool {
        self.accepted.get_untracked() || self.error.with_untracked(Option::is_some)
    }

    /// What is stored of it.
    fn record(&self) -> MessageRecord {
        let file = |file: &OutgoingFile| FileRecord {
            key: file.file.key(),
            name: file.file.name(),
            id: file.id.get_untracked(),
        };
        MessageRecord {
            message_id: self.message_id,
            thread_id: self.thread_id,
            text: self.text.clone(),
            files: self.files.iter().map(file).collect(),
            attached: self.attached.clone(),
            agent: self.agent.clone(),
            place: self.place,
            new_thread: self.new_thread.clone().filter(|_| !self.created.get_untracked()),
        }
    }

    /// A stored one, with its files.
    fn from_record(record: MessageRecord, files: Vec<LocalFile>, missing: Vec<String>) -> Self {
        let known = |key| record.files.iter().find(|file| file.key == key).and_then(|file| file.id);
        let files = files.into_iter().map(|file| OutgoingFile {
            id: ArcRwSignal::new(known(file.key())),
            progress: ArcRwSignal::new(0.0),
            file,
        });
        Self {
            message_id: record.message_id,
            thread_id: record.thread_id,
            text: record.text,
            files: files.collect(),
            attached: record.attached,
            agent: record.agent,
            place: record.place,
            error: ArcRwSignal::new(None),
            created: ArcRwSignal::new(record.new_thread.is_none()),
            new_thread: record.new_thread,
            missing,
            begun: ArcRwSignal::new(false),
            accepted: ArcRwSignal::new(false),
        }
    }
}

/// A file of a message on its way.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingFile {
    pub(crate) file: LocalFile,
    /// How much is through, 0 to 1.
    pub(crate) progress: ArcRwSignal<f64>,
    id: ArcRwSignal<Option<FileId>>,
}

/// All messages on their way, oldest first.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing {
    parcels: RwSignal<Vec<OutgoingMessage>>,
    socket: Socket,
    storage: Storage,
}

impl Outgoing {
    pub(crate) fn provide(socket: Socket, storage: Storage) -> Self {
        let outgoing = Self { parcels: RwSignal::new(Vec::new()), socket, storage };
        provide_context(outgoing);
        outgoing
    }

    /// Sends a message; `new_thread`: makes the thread first, for that agent or the server's default.
    pub(crate) fn send(
        self,
        thread_id: ThreadId,
        written: NewMessage,
        place: Place,
        new_thread: Option<Option<String>>,
    ) {
        let NewMessage { text, files, attached, agent } = written;
        let new_thread = new_thread.map(|agent| NewThread { agent });
        let message_id = MessageId::new();
        let none = Vec::new();
        let record = MessageRecord { message_id, thread_id, text, files: none, attached, agent, place, new_thread };
        let parcel = OutgoingMessage::from_record(record, files, Vec::new());
        // Before anything else: whatever becomes of this page, it is sent.
        self.store(&parcel);
        self.post(parcel);
    }

    /// Goes on with a message of a page that is gone.
    pub(crate) fn resume(self, record: MessageRecord, files: Vec<LocalFile>, missing: Vec<String>) {
        let is_known =
            |parcels: &Vec<OutgoingMessage>| parcels.iter().any(|known| known.message_id == record.message_id);
        if !self.parcels.with_untracked(is_known) {
            self.post(OutgoingMessage::from_record(record, files, missing));
        }
    }

    /// Answers what a run asks. It is stored until the server took it or refused it for good.
    pub(crate) async fn send_answer(self, answer: Answer) -> Result<(), ErrorBody> {
        let slot = Slot::Answer(answer.answer_id);
        self.storage.write(slot, Some(Content::Answer(answer.clone())));
        let answered = self.socket.send(answer).await;
        if answered.as_ref().err().is_none_or(|refused| refused.code != ErrorCode::Unavailable) {
            self.storage.write(slot, None);
        }
        answered.map(drop)
    }

    fn store(self, parcel: &OutgoingMessage) {
        self.storage.write(Slot::Message(parcel.message_id), Some(Content::Message(parcel.record())));
    }

    /// Removes what is stored of a message: the server has it, or the person gave it up.
    fn unstore(self, parcel: &OutgoingMessage) {
        self.storage.write(Slot::Message(parcel.message_id), None);
        self.storage.remove_files(parcel.files.iter().map(|file| file.file.key()));
    }

    fn post(self, parcel: OutgoingMessage) {
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
            self.deliver(parcel);
        }
    }

    /// Tries again what did not get through.
    pub(crate) fn retry(self, parcel: OutgoingMessage) {
        parcel.error.set(None);
        self.deliver(parcel);
    }

    /// Forgets a message: the thread shows it, or the person gave it up.
    pub(crate) fn remove(self, message_id: MessageId) {
        let known =
            |parcels: &Vec<OutgoingMessage>| parcels.iter().find(|known| known.message_id == message_id).cloned();
        if let Some(parcel) = self.parcels.with_untracked(known) {
            self.unstore(&parcel);
        }
        self.parcels.update(|parcels| parcels.retain(|parcel| parcel.message_id != message_id));
    }

    /// The messages on their way to a thread.
    pub(crate) fn for_thread(self, thread_id: ThreadId) -> Vec<OutgoingMessage> {
        self.parcels.with(|parcels| parcels.iter().filter(|parcel| parcel.thread_id == thread_id).cloned().collect())
    }

    /// Forgets everything on its way: its person leaves.
    pub(crate) fn clear(self) {
        self.parcels.set(Vec::new());
    }

    /// The message whose place another is about to take.
    pub(crate) fn replaced_message(self, thread_id: ThreadId) -> Option<MessageId> {
        let replaced = |parcel: &OutgoingMessage| match parcel.place {
            Place::Replacing(id) if parcel.thread_id == thread_id => Some(id),
            _ => None,
        };
        self.parcels.with(|parcels| parcels.iter().find_map(replaced))
    }

    /// Whether the thread is still to be made.
    pub(crate) fn is_creating_thread(self, thread_id: ThreadId) -> bool {
        self.for_thread(thread_id).iter().any(|parcel| !parcel.created.get())
    }

    fn deliver(self, parcel: OutgoingMessage) {
        spawn_local(async move {
            match self.upload_and_send(&parcel).await {
                Ok(()) => {
                    self.unstore(&parcel);
                    parcel.accepted.set(true);
                }
                Err(message) => parcel.error.set(Some(message)),
            }
            self.advance(parcel.thread_id);
        });
    }

    async fn upload_and_send(self, parcel: &OutgoingMessage) -> Result<(), String> {
        if let Some(name) = parcel.missing.first() {
            let gone =
                "was not stored before its page was closed. Discard this message, and send it again with the file";
            return Err(format!("{name} {gone}"));
        }
        let thread_id = parcel.thread_id;
        if let Some(NewThread { agent }) = parcel.new_thread.as_ref().filter(|_| !parcel.created.get_untracked()) {
            let create = CreateThread { thread_id, title: None, agent: agent.clone() };
            self.socket.send(create).await.map_err(|error| error_message(&error))?;
            parcel.created.set(true);
            self.store(parcel);
        }
        let mut attachments: Vec<FileId> = parcel.attached.iter().map(|file| file.file_id).collect();
        for file in &parcel.files {
            let known = file.id.get_untracked();
            attachments.push(match known {
                Some(id) => id,
                None => {
                    let progress = file.progress.clone();
                    let uploaded = upload(thread_id, file.file.clone(), Box::new(move |done| progress.set(done))).await;
                    let id = uploaded.map_err(|error| error.message())?.file_id;
                    file.progress.set(1.0);
                    file.id.set(Some(id));
                    self.store(parcel);
                    id
                }
            });
        }
        let (message_id, text, agent) = (parcel.message_id, parcel.text.clone(), parcel.agent.clone());
        let (after, replaces) = match parcel.place {
            Place::Newest => (None, None),
            Place::After(id) => (Some(id), None),
            Place::Replacing(id) => (None, Some(id)),
        };
        let message =
            SendMessage { message_id, agent, attachments, after, replaces, ..SendMessage::new(thread_id, text) };
        self.socket.send(message).await.map(drop).map_err(|error| error_message(&error))
    }
}
