//! Files of drafts and of messages that are being sent, and their uploads, which begin when a file is attached.
//!
//! Uploads are application state, so they continue while the user visits other pages. One file is uploaded at a time: browsers open few
//! connections to a server, and the page needs some for itself. An upload that did not reach the server is repeated when the
//! connection is back; one that the server refused waits for the user.

use std::collections::VecDeque;

use futures_channel::oneshot;
use leptos::{
    ev::{EventDescriptor as _, online},
    prelude::*,
    task::spawn_local,
};
use uuid::Uuid;

use super::browser::{self, AbortUpload, LocalFile, RequestError};
use crate::{protocol::FileId, socket::context::Socket};

/// How far the upload of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UploadState {
    /// It waits: files are uploaded one at a time.
    Waiting,
    Running,
    /// The server could not be reached.
    Unreachable,
    /// The server refused the file, for this reason.
    Refused(String),
    /// It is complete, and the server has the file under this id.
    Done(FileId),
}

/// A file that the user attached. Clones share the state of its upload.
#[derive(Debug, Clone)]
pub(crate) struct AttachedFile {
    pub(crate) file: LocalFile,
    state: ArcRwSignal<UploadState>,
    /// The uploaded share, 0 to 1.
    progress: ArcRwSignal<f64>,
    /// Those who wait for the next change of the state.
    waiting: ArcStoredValue<Vec<oneshot::Sender<()>>>,
}

impl AttachedFile {
    /// A file. `id`: its id on the server, if it was uploaded before.
    pub(crate) fn new(file: LocalFile, id: Option<FileId>) -> Self {
        Self {
            file,
            state: ArcRwSignal::new(id.map_or(UploadState::Waiting, UploadState::Done)),
            progress: ArcRwSignal::new(0.0),
            waiting: ArcStoredValue::new(Vec::new()),
        }
    }

    /// Its key in the browser's storage.
    pub(crate) fn key(&self) -> Uuid {
        self.file.key()
    }

    /// How far its upload is. Reactive.
    pub(crate) fn state(&self) -> UploadState {
        self.state.get()
    }

    /// The uploaded share, 0 to 1. Reactive.
    pub(crate) fn progress(&self) -> f64 {
        self.progress.get()
    }

    /// Its id on the server, if it is uploaded.
    pub(crate) fn id(&self) -> Option<FileId> {
        match self.state.get_untracked() {
            UploadState::Done(id) => Some(id),
            _ => None,
        }
    }

    fn set(&self, state: UploadState) {
        self.state.set(state);
        let waiting = self.waiting.try_update_value(std::mem::take).unwrap_or_default();
        for waiting in waiting {
            // Who no longer waits needs no notice.
            let _ = waiting.send(());
        }
    }

    /// Waits until the state changes.
    pub(crate) async fn changed(&self) {
        let (sender, changed) = oneshot::channel();
        self.waiting.update_value(|waiting| waiting.push(sender));
        let _ = changed.await;
    }

    fn reset(&self) {
        self.progress.set(0.0);
        self.set(UploadState::Waiting);
    }
}

/// The uploads of this tab, from context.
#[derive(Clone, Copy)]
pub(crate) struct Uploads {
    socket: Socket,
    queue: StoredValue<VecDeque<AttachedFile>>,
    /// The key of the file that is being uploaded, and what ends its request.
    active: StoredValue<Option<(Uuid, Option<AbortUpload>)>>,
    /// Files to upload when the connection is back.
    unreachable: StoredValue<Vec<AttachedFile>>,
}

impl Uploads {
    /// Provides them as context.
    pub(crate) fn provide(socket: Socket) -> Self {
        let uploads = Self {
            socket,
            queue: StoredValue::new(VecDeque::new()),
            active: StoredValue::new(None),
            unreachable: StoredValue::new(Vec::new()),
        };
        provide_context(uploads);
        Effect::new(move |_| {
            if socket.is_connected() {
                uploads.retry_unreachable();
            }
        });
        // The socket may have survived an outage that was too short for it to notice.
        Effect::new(move |_| {
            let listener = window_event_listener_untyped(&online.name(), move |_| uploads.retry_unreachable());
            on_cleanup(move || listener.remove());
        });
        uploads
    }

    /// Uploads the files for which the server could not be reached.
    fn retry_unreachable(self) {
        let files = self.unreachable.try_update_value(std::mem::take).unwrap_or_default();
        for file in files {
            if file.state.get_untracked() == UploadState::Unreachable {
                self.start(&file);
            }
        }
    }

    /// Uploads a file, unless it is uploaded or waits for that already.
    pub(crate) fn start(self, file: &AttachedFile) {
        let is_queued = self.queue.with_value(|queue| queue.iter().any(|other| other.key() == file.key()));
        if self.is_active(file.key()) || is_queued || file.id().is_some() {
            return;
        }
        file.reset();
        self.queue.update_value(|queue| queue.push_back(file.clone()));
        self.upload_next();
    }

    /// Whether the file with this key is being uploaded.
    fn is_active(self, key: Uuid) -> bool {
        self.active.with_value(|active| active.as_ref().is_some_and(|(active, _)| *active == key))
    }

    /// Starts the upload of the next file, unless one is being uploaded.
    fn upload_next(self) {
        if self.active.with_value(Option::is_some) {
            return;
        }
        let Some(file) = self.queue.try_update_value(VecDeque::pop_front).flatten() else { return };
        let key = file.key();
        self.active.set_value(Some((key, None)));
        file.set(UploadState::Running);
        spawn_local(async move {
            let progress = file.progress.clone();
            let on_begin = move |abort: AbortUpload| match self.is_active(key) {
                true => self.active.set_value(Some((key, Some(abort)))),
                false => abort.abort(),
            };
            let uploaded =
                browser::upload(file.file.clone(), Box::new(move |share| progress.set(share)), on_begin).await;
            // Otherwise it was cancelled.
            if self.is_active(key) {
                self.active.set_value(None);
                match uploaded {
                    Ok(uploaded) => file.set(UploadState::Done(uploaded.file_id)),
                    Err(RequestError::Unreachable) => {
                        self.unreachable.update_value(|files| files.push(file.clone()));
                        file.set(UploadState::Unreachable);
                    }
                    Err(refused) => file.set(UploadState::Refused(refused.message())),
                }
                self.upload_next();
            }
        });
    }

    /// Ends the upload of a file that the user removed, and frees what the server has of it.
    pub(crate) fn cancel(self, file: &AttachedFile) {
        let key = file.key();
        self.queue.update_value(|queue| queue.retain(|other| other.key() != key));
        self.unreachable.update_value(|files| files.retain(|other| other.key() != key));
        let active = self.active.try_update_value(|active| active.take_if(|(active, _)| *active == key)).flatten();
        if let Some(id) = file.id() {
            // If this fails, the server deletes the file after a day.
            spawn_local(async move { drop(browser::delete(&format!("/api/files/{id}")).await) });
        }
        file.reset();
        if let Some((_, abort)) = active {
            abort.into_iter().for_each(AbortUpload::abort);
            self.upload_next();
        }
    }

    /// Uploads a file if necessary, and waits for the end of its upload; without a connection, also for that.
    ///
    /// # Errors
    /// Why the file could not be uploaded, as a sentence.
    pub(crate) async fn finish(self, file: &AttachedFile) -> Result<FileId, String> {
        self.start(file);
        loop {
            match file.state.get_untracked() {
                UploadState::Done(id) => return Ok(id),
                UploadState::Refused(reason) => return Err(reason),
                UploadState::Unreachable if self.socket.is_connected_untracked() => {
                    return Err(RequestError::Unreachable.message());
                }
                UploadState::Waiting | UploadState::Running | UploadState::Unreachable => file.changed().await,
            }
        }
    }

    /// Forgets that files were uploaded, because the server no longer has them.
    pub(crate) fn forget(self, files: &[AttachedFile]) {
        files.iter().for_each(AttachedFile::reset);
    }
}
