//! What a person wrote, stored in their browser until the server has it: drafts, edits, messages to send, and their files.
//!
//! It survives a reload, a crash and another page, and belongs to one person: it is read for nobody else, and removed when
//! they sign out. Each page writes records of its own. When a page is gone, another one of the same person sends its
//! messages (their ids make a second time harmless) and takes up its drafts where they are looked at.

#[cfg(feature = "hydrate")]
mod database;
#[cfg(feature = "hydrate")]
mod page_locks;
#[cfg_attr(not(feature = "hydrate"), allow(dead_code, reason = "only a browser stores something"))]
pub(crate) mod record;
#[cfg(feature = "hydrate")]
mod store;

use leptos::prelude::*;
use uuid::Uuid;

use self::record::{Content, Record, RecordKey, Slot};
use super::browser::LocalFile;
use crate::protocol::UserId;

/// What could not be stored, for the person; said once.
type Trouble = RwSignal<Option<String>>;

/// A record that a page left.
#[cfg_attr(not(feature = "hydrate"), allow(dead_code, reason = "only a browser finds something"))]
pub(crate) struct Found {
    pub(crate) record: Record,
    /// Its files.
    pub(crate) files: Vec<LocalFile>,
    /// The names of those that were not stored before the page was gone.
    pub(crate) missing: Vec<String>,
}

/// The store, from context. Cheap to copy; on the server nothing is stored.
#[derive(Clone, Copy)]
pub(crate) struct Storage {
    page: Uuid,
    trouble: Trouble,
    #[cfg(feature = "hydrate")]
    store: StoredValue<Option<std::rc::Rc<store::Store>>, LocalStorage>,
}

impl Storage {
    /// A store that does nothing until [`Self::start`].
    pub(crate) fn provide() -> Self {
        let storage = Self {
            page: Uuid::now_v7(),
            trouble: RwSignal::new(None),
            #[cfg(feature = "hydrate")]
            store: StoredValue::new_local(None),
        };
        provide_context(storage);
        storage
    }

    /// Begins to store for a person. `found` is given what pages before this one left of theirs: a message, with its files,
    /// is this page's own from now on; a draft or an edit is to be claimed ([`Self::claim`]) where it is looked at.
    pub(crate) fn start(self, user: UserId, found: impl Fn(RecordKey, Found) + 'static) {
        #[cfg(feature = "hydrate")]
        self.store.set_value(Some(store::Store::start(self.page, user, self.trouble, Box::new(found))));
        #[cfg(not(feature = "hydrate"))]
        let _ = (user, found);
    }

    /// What could not be stored.
    pub(crate) fn trouble(self) -> RwSignal<Option<String>> {
        self.trouble
    }

    /// Writes what is in a place, at once; absent: removes it.
    pub(crate) fn write(self, slot: Slot, content: Option<Content>) {
        #[cfg(feature = "hydrate")]
        if let Some(store) = self.store() {
            store.write(RecordKey { page: self.page, slot }, content);
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = (slot, content, self.page);
    }

    /// Takes what a page that is gone left, unless another page did so first. `taken` writes it as this page's own.
    pub(crate) fn claim(self, key: RecordKey, taken: impl FnOnce(Found) + 'static) {
        #[cfg(feature = "hydrate")]
        if let Some(store) = self.store() {
            store.claim(key, taken);
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = (key, taken);
    }

    /// Stores a file.
    pub(crate) fn put_file(self, file: &LocalFile) {
        #[cfg(feature = "hydrate")]
        if let Some(store) = self.store() {
            store.put_file(file.clone());
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = file;
    }

    /// Removes files.
    pub(crate) fn remove_files(self, files: impl IntoIterator<Item = Uuid>) {
        let files: Vec<Uuid> = files.into_iter().collect();
        #[cfg(feature = "hydrate")]
        if let Some(store) = self.store().filter(|_| !files.is_empty()) {
            store.remove_files(files);
        }
        #[cfg(not(feature = "hydrate"))]
        drop(files);
    }

    /// Removes everything of the person.
    pub(crate) async fn forget(self) {
        #[cfg(feature = "hydrate")]
        if let Some(store) = self.store() {
            self.store.set_value(None);
            store.forget().await;
        }
    }

    #[cfg(feature = "hydrate")]
    fn store(self) -> Option<std::rc::Rc<store::Store>> {
        self.store.try_get_value().flatten()
    }
}
