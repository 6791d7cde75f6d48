//! Messages that were sent and that the thread does not show yet: they wait for their thread to be created, for uploads, or
//! for the server's reply.
//!
//! They are application state, so sending continues while the user visits other pages. Each is stored in the browser until
//! the server accepts it, so that another tab sends it if this one is closed. A retry sends the same ids, so the server
//! counts a repeated message once.

use leptos::{prelude::*, task::spawn_local};

pub(crate) use super::storage::record::{NewThread, Place};
use super::{
    browser::LocalFile,
    drafts::{attached_files, file_record},
    format::error_message,
    storage::{
        Storage,
        record::{Content, MessageRecord, Slot},
    },
    uploads::{AttachedFile, Uploads},
};
use crate::{
    protocol::{
        Answer, Attachment, CreateTemporaryThread, CreateThread, ErrorBody, ErrorCode, FileId, MessageId, SendMessage,
        SendMode, ThreadId,
    },
    socket::context::Socket,
};

/// A message as the user wrote it.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewMessage {
    pub(crate) text: String,
    pub(crate) files: Vec<AttachedFile>,
    /// Files that were uploaded to the thread before.
    pub(crate) uploaded: Vec<Attachment>,
    /// The agent to ask; `None`: the thread's agent.
    pub(crate) agent: Option<String>,
    /// What happens if a run is active.
    pub(crate) mode: SendMode,
}

/// A message that is being sent.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingMessage {
    pub(crate) message_id: MessageId,
    pub(crate) thread_id: ThreadId,
    pub(crate) text: String,
    pub(crate) files: Vec<AttachedFile>,
    /// Files that were uploaded to the thread before.
    pub(crate) uploaded: Vec<Attachment>,
    /// The agent to ask; `None`: the thread's agent.
    pub(crate) agent: Option<String>,
    pub(crate) place: Place,
    mode: SendMode,
    /// Why sending failed.
    pub(crate) error: ArcRwSignal<Option<String>>,
    /// The thread to create first.
    new_thread: Option<NewThread>,
    /// Names of files that were not stored before the sending tab was closed.
    missing_files: Vec<String>,
    thread_exists: ArcRwSignal<bool>,
    /// Whether delivery has started.
    started: ArcRwSignal<bool>,
    /// Whether the server accepted it.
    accepted: ArcRwSignal<bool>,
}

impl OutgoingMessage {
    /// Whether delivery ended: the server accepted the message, or it failed and waits for the user to retry.
    fn is_settled(&self) -> bool {
        self.accepted.get_untracked() || self.error.with_untracked(Option::is_some)
    }

    /// The message as it is stored in the browser.
    fn record(&self) -> MessageRecord {
        MessageRecord {
            message_id: self.message_id,
            thread_id: self.thread_id,
            text: self.text.clone(),
            files: self.files.iter().map(file_record).collect(),
            uploaded: self.uploaded.clone(),
            agent: self.agent.clone(),
            place: self.place,
            mode: self.mode,
            new_thread: self.new_thread.clone().filter(|_| !self.thread_exists.get_untracked()),
        }
    }

    fn from_record(record: MessageRecord, files: Vec<AttachedFile>, missing_files: Vec<String>) -> Self {
        Self {
            message_id: record.message_id,
            thread_id: record.thread_id,
            text: record.text,
            files,
            uploaded: record.uploaded,
            agent: record.agent,
            place: record.place,
            mode: record.mode,
            error: ArcRwSignal::new(None),
            thread_exists: ArcRwSignal::new(record.new_thread.is_none()),
            new_thread: record.new_thread,
            missing_files,
            started: ArcRwSignal::new(false),
            accepted: ArcRwSignal::new(false),
        }
    }
}

/// All messages that are being sent, oldest first. From context.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing {
    messages: RwSignal<Vec<OutgoingMessage>>,
    socket: Socket,
    storage: Storage,
    uploads: Uploads,
}

impl Outgoing {
    pub(crate) fn provide(socket: Socket, storage: Storage, uploads: Uploads) -> Self {
        let outgoing = Self { messages: RwSignal::new(Vec::new()), socket, storage, uploads };
        provide_context(outgoing);
        outgoing
    }

    /// Sends a message. `new_thread` is the thread to create first.
    pub(crate) fn send(self, thread_id: ThreadId, message: NewMessage, place: Place, new_thread: Option<NewThread>) {
        let NewMessage { text, files, uploaded, agent, mode } = message;
        let record = MessageRecord {
            message_id: MessageId::new(),
            thread_id,
            text,
            files: Vec::new(),
            uploaded,
            agent,
            place,
            mode,
            new_thread,
        };
        let message = OutgoingMessage::from_record(record, files, Vec::new());
        // Stored first, so that the message is sent even if this page is closed now.
        self.store(&message);
        self.enqueue(message);
    }

    /// Sends a message that a closed tab left in storage.
    pub(crate) fn send_stored(self, record: MessageRecord, files: Vec<LocalFile>, missing_files: Vec<String>) {
        let is_known =
            |messages: &Vec<OutgoingMessage>| messages.iter().any(|known| known.message_id == record.message_id);
        if !self.messages.with_untracked(is_known) {
            let files = attached_files(files, &record.files);
            self.enqueue(OutgoingMessage::from_record(record, files, missing_files));
        }
    }

    /// Answers the interrupts of a run. The answer is stored until the server accepts it, or refuses it permanently.
    pub(crate) async fn send_answer(self, answer: Answer) -> Result<(), ErrorBody> {
        let slot = Slot::Answer(answer.answer_id);
        self.storage.write(slot, Some(Content::Answer(answer.clone())));
        let answered = self.socket.send(answer).await;
        if answered.as_ref().err().is_none_or(|error| error.code != ErrorCode::Unavailable) {
            self.storage.write(slot, None);
        }
        answered.map(drop)
    }

    fn store(self, message: &OutgoingMessage) {
        self.storage.write(Slot::Message(message.message_id), Some(Content::Message(message.record())));
    }

    /// Removes a message and its files from storage: the server has it, or the user discarded it.
    fn remove_stored(self, message: &OutgoingMessage) {
        self.storage.write(Slot::Message(message.message_id), None);
        self.storage.remove_files(message.files.iter().map(AttachedFile::key));
    }

    fn enqueue(self, message: OutgoingMessage) {
        self.messages.update(|messages| {
            messages.retain(|message| !message.accepted.get_untracked());
            messages.push(message.clone());
        });
        self.deliver_next(message.thread_id);
    }

    /// Starts the delivery of a thread's next message, unless one is being delivered: messages of a thread arrive in the
    /// order they were written, also if one waits for uploads.
    fn deliver_next(self, thread_id: ThreadId) {
        let next = self.messages.with_untracked(|messages| {
            let mut in_thread =
                messages.iter().filter(|message| message.thread_id == thread_id && !message.is_settled());
            in_thread.next().filter(|first| !first.started.get_untracked()).cloned()
        });
        if let Some(message) = next {
            message.started.set(true);
            self.deliver(message);
        }
    }

    /// Retries a message whose delivery failed.
    pub(crate) fn retry(self, message: OutgoingMessage) {
        message.error.set(None);
        self.deliver(message);
    }

    /// Removes a message that the user discarded, and its files from the server.
    pub(crate) fn discard(self, message: &OutgoingMessage) {
        message.files.iter().for_each(|file| self.uploads.cancel(file));
        self.remove(message.message_id);
    }

    /// Removes a message: the thread shows it, or the user discarded it.
    pub(crate) fn remove(self, message_id: MessageId) {
        let found = self
            .messages
            .with_untracked(|messages| messages.iter().find(|message| message.message_id == message_id).cloned());
        if let Some(message) = found {
            self.remove_stored(&message);
        }
        self.messages.update(|messages| messages.retain(|message| message.message_id != message_id));
    }

    /// The messages that are being sent to a thread. Reactive.
    pub(crate) fn for_thread(self, thread_id: ThreadId) -> Vec<OutgoingMessage> {
        self.messages
            .with(|messages| messages.iter().filter(|message| message.thread_id == thread_id).cloned().collect())
    }

    /// Drops all messages: the user signs out.
    pub(crate) fn clear(self) {
        self.messages.set(Vec::new());
    }

    /// The message that an outgoing one is about to replace.
    pub(crate) fn replaced_message(self, thread_id: ThreadId) -> Option<MessageId> {
        let replaced = |message: &OutgoingMessage| match message.place {
            Place::Replacing(id) if message.thread_id == thread_id => Some(id),
            _ => None,
        };
        self.messages.with(|messages| messages.iter().find_map(replaced))
    }

    /// Whether an outgoing message still has to create the thread.
    pub(crate) fn is_creating_thread(self, thread_id: ThreadId) -> bool {
        self.for_thread(thread_id).iter().any(|message| !message.thread_exists.get())
    }

    /// Delivers a message in the background, then starts the thread's next one.
    fn deliver(self, message: OutgoingMessage) {
        spawn_local(async move {
            match self.upload_and_send(&message).await {
                Ok(()) => {
                    self.remove_stored(&message);
                    message.accepted.set(true);
                }
                Err(error) => message.error.set(Some(error)),
            }
            self.deliver_next(message.thread_id);
        });
    }

    async fn upload_and_send(self, message: &OutgoingMessage) -> Result<(), String> {
        if let Some(name) = message.missing_files.first() {
            return Err(format!(
                "{name} was not stored before its tab was closed. Discard this message, and send it again with the file"
            ));
        }
        let thread_id = message.thread_id;
        if let Some(NewThread { agent, temporary }) =
            message.new_thread.clone().filter(|_| !message.thread_exists.get_untracked())
        {
            let created = match temporary {
                true => self.socket.send(CreateTemporaryThread { thread_id, agent }).await,
                false => self.socket.send(CreateThread { thread_id, title: None, agent }).await,
            };
            created.map_err(|error| error_message(&error))?;
            message.thread_exists.set(true);
            self.store(message);
        }
        match self.upload_files_and_send(message).await {
            // The server deleted files that were uploaded before but not sent in time.
            Err(Failure::Refused(error)) if error.code == ErrorCode::NotFound && !message.files.is_empty() => {
                self.uploads.forget(&message.files);
                self.upload_files_and_send(message).await.map_err(|failure| failure.message())
            }
            sent => sent.map_err(|failure| failure.message()),
        }
    }

    async fn upload_files_and_send(self, message: &OutgoingMessage) -> Result<(), Failure> {
        let mut attachments: Vec<FileId> = message.uploaded.iter().map(|file| file.file_id).collect();
        for file in &message.files {
            let is_new = file.id().is_none();
            attachments.push(self.uploads.finish(file).await.map_err(Failure::Upload)?);
            if is_new {
                self.store(message);
            }
        }
        let (message_id, text, agent) = (message.message_id, message.text.clone(), message.agent.clone());
        let mode = message.mode;
        let (after, replaces) = match message.place {
            Place::Newest => (None, None),
            Place::After(id) => (Some(id), None),
            Place::Replacing(id) => (None, Some(id)),
        };
        let message = SendMessage {
            message_id,
            agent,
            attachments,
            after,
            replaces,
            mode,
            ..SendMessage::new(message.thread_id, text)
        };
        self.socket.send(message).await.map(drop).map_err(Failure::Refused)
    }
}

/// Why a message was not delivered.
enum Failure {
    /// A file was not uploaded, for this reason.
    Upload(String),
    /// The server refused the message.
    Refused(ErrorBody),
}

impl Failure {
    fn message(self) -> String {
        match self {
            Self::Upload(reason) => reason,
            Self::Refused(error) => error_message(&error),
        }
    }
}
