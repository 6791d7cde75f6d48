//! Stores in the browser what the user wrote until the server has it: drafts, edits, unsent messages, and their files.
//!
//! The records survive a reload and a crash. They belong to one user: other users cannot read them, and signing out removes
//! them. Each tab writes its own records. When a tab is closed, another tab of the same user sends its messages (the server
//! accepts each id once) and takes over its drafts when the user opens their thread.

#[cfg(feature = "hydrate")]
mod database;
#[cfg(feature = "hydrate")]
mod local;
#[cfg(feature = "hydrate")]
mod page_locks;
#[cfg_attr(not(feature = "hydrate"), allow(dead_code, reason = "only the browser stores records"))]
pub(crate) mod record;
#[cfg(feature = "hydrate")]
mod store;

use leptos::prelude::*;
use uuid::Uuid;

use self::record::{Content, Record, RecordKey, Slot};
use super::browser::LocalFile;
use crate::protocol::UserId;

/// A warning for the user that something could not be stored.
type Warning = RwSignal<Option<String>>;

/// A record that a closed tab left.
#[cfg_attr(not(feature = "hydrate"), allow(dead_code, reason = "only the browser finds records"))]
pub(crate) struct StoredRecord {
    pub(crate) record: Record,
    pub(crate) files: Vec<LocalFile>,
    /// The names of its files that were not stored before the tab was closed.
    pub(crate) missing: Vec<String>,
}

/// The storage of this tab, from context. Cheap to copy. On the server it does nothing.
#[derive(Clone, Copy)]
pub(crate) struct Storage {
    tab: Uuid,
    warning: Warning,
    #[cfg(feature = "hydrate")]
    store: StoredValue<Option<std::rc::Rc<store::Store>>, LocalStorage>,
}

impl Storage {
    /// Provides it as context. It does nothing until [`Self::start`].
    pub(crate) fn provide() -> Self {
        let storage = Self {
            tab: Uuid::now_v7(),
            warning: RwSignal::new(None),
            #[cfg(feature = "hydrate")]
            store: StoredValue::new_local(None),
        };
        provide_context(storage);
        storage
    }

    /// Begins to store for a user. Calls `on_found` for each record that closed tabs left: messages and answers come with
    /// their files and belong to this tab from then on; drafts and edits are to be claimed with [`Self::claim`].
    pub(crate) fn start(self, user: UserId, on_found: impl Fn(RecordKey, StoredRecord) + 'static) {
        #[cfg(feature = "hydrate")]
        self.store.set_value(Some(store::Store::start(self.tab, user, self.warning, Box::new(on_found))));
        #[cfg(not(feature = "hydrate"))]
        let _ = (user, on_found);
    }

    /// A warning for the user if something could not be stored.
    pub(crate) fn warning(self) -> RwSignal<Option<String>> {
        self.warning
    }

    /// Writes this tab's record for a slot at once; `None` removes it.
    pub(crate) fn write(self, slot: Slot, content: Option<Content>) {
        #[cfg(feature = "hydrate")]
        if let Some(store) = self.store() {
            store.write(RecordKey { tab: self.tab, slot }, content);
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = (slot, content, self.tab);
    }

    /// Takes a record that a closed tab left, unless another tab took it first. `on_claimed` must write it as this tab's own;
    /// the old record is removed afterwards.
    pub(crate) fn claim(self, key: RecordKey, on_claimed: impl FnOnce(StoredRecord) + 'static) {
        #[cfg(feature = "hydrate")]
        if let Some(store) = self.store() {
            store.claim(key, on_claimed);
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = (key, on_claimed);
    }

    pub(crate) fn put_file(self, file: &LocalFile) {
        #[cfg(feature = "hydrate")]
        if let Some(store) = self.store() {
            store.put_file(file.clone());
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = file;
    }

    pub(crate) fn remove_files(self, files: impl IntoIterator<Item = Uuid>) {
        let files: Vec<Uuid> = files.into_iter().collect();
        #[cfg(feature = "hydrate")]
        if let Some(store) = self.store().filter(|_| !files.is_empty()) {
            store.remove_files(files);
        }
        #[cfg(not(feature = "hydrate"))]
        drop(files);
    }

    /// Removes everything of the user.
    pub(crate) async fn remove_all(self) {
        #[cfg(feature = "hydrate")]
        if let Some(store) = self.store() {
            self.store.set_value(None);
            store.remove_all().await;
        }
    }

    #[cfg(feature = "hydrate")]
    fn store(self) -> Option<std::rc::Rc<store::Store>> {
        self.store.try_get_value().flatten()
    }
}
