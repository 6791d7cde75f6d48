//! Writes this tab's records, and takes over those of closed tabs.
//!
//! A record is first written to local storage, synchronously, so that it survives even if the tab closes right away. From
//! there it moves to the database, which has more room and survives a kill of the whole browser. Local storage thus holds
//! what the database does not have yet, and overrides it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::{Rc, Weak},
    time::Duration,
};

use leptos::prelude::{Set, set_timeout};
use uuid::Uuid;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{future_to_promise, spawn_local};

use super::{
    StoredRecord, Warning,
    database::{Database, with_timeout},
    local,
    page_locks::{self, TabLock},
    record::{Content, FileRecord, Record, RecordKey, orphan_files, overlay, surplus, unnamed_files},
};
use crate::{
    protocol::{UserId, json},
    socket::browser::{Listener, is_hidden},
    ui::browser::{LocalFile, now_ms},
};

/// How long to collect changes before they move from local storage to the database.
const MOVE_INTERVAL: Duration = Duration::from_millis(150);
/// How long a tab that ended may take to reload, in milliseconds, before another tab takes over its records.
const RELOAD_GRACE_MS: u32 = 10_000;
/// How long removing a user's records may take, in milliseconds.
const REMOVE_TIMEOUT_MS: u32 = 3_000;

/// The storage of one tab.
pub(super) struct Store {
    weak_self: Weak<Store>,
    tab: Uuid,
    user: UserId,
    database: RefCell<Option<Rc<Database>>>,
    /// Whether the database could not be opened. Then only local storage is used.
    has_no_database: Cell<bool>,
    /// Records that are not in the database yet; `None`: removed.
    pending: RefCell<BTreeMap<String, Option<String>>>,
    pending_files: RefCell<VecDeque<LocalFile>>,
    /// The keys of files to remove with the next changes of records, in one transaction, so that a tab that is closed meanwhile
    /// does not leave the files of a removed record.
    removed_files: RefCell<Vec<String>>,
    /// Whether a move to the database is scheduled.
    scheduled: Cell<bool>,
    /// Tabs to take over from when they close.
    watched: RefCell<BTreeSet<Uuid>>,
    lock: RefCell<Option<TabLock>>,
    listeners: RefCell<Vec<Listener>>,
    warning: Warning,
    /// Whether the user was warned that nothing is stored.
    warned: Cell<bool>,
    on_found: Box<dyn Fn(RecordKey, StoredRecord)>,
}

impl Store {
    /// Starts the storage of this tab. Calls `on_found` for each record that closed tabs left: messages and answers to send as
    /// this tab's own, and drafts and edits to be claimed with [`Self::claim`].
    pub(super) fn start(
        tab: Uuid,
        user: UserId,
        warning: Warning,
        on_found: Box<dyn Fn(RecordKey, StoredRecord)>,
    ) -> Rc<Self> {
        let store = Rc::new_cyclic(|weak_self| Self {
            weak_self: weak_self.clone(),
            tab,
            user,
            database: RefCell::default(),
            has_no_database: Cell::new(false),
            pending: RefCell::default(),
            pending_files: RefCell::default(),
            removed_files: RefCell::default(),
            scheduled: Cell::new(false),
            watched: RefCell::default(),
            lock: RefCell::new(TabLock::hold(tab)),
            listeners: RefCell::default(),
            warning,
            warned: Cell::new(false),
            on_found,
        });
        store.listen();
        let loading = Rc::clone(&store);
        spawn_local(async move { loading.load().await });
        store
    }

    fn listen(&self) {
        let Some(window) = web_sys::window() else { return };
        let mut listeners = Vec::new();
        let mut on = |target: &web_sys::EventTarget, name: &'static str, act: fn(&Rc<Self>, web_sys::Event)| {
            let weak = self.weak_self.clone();
            let act = move |event| {
                if let Some(store) = weak.upgrade() {
                    act(&store, event);
                }
            };
            listeners.push(Listener::new(target, name, act));
        };
        // A page with a lock cannot enter the back/forward cache, so it releases the lock; other tabs take over its messages.
        on(&window, "pagehide", |store, _| {
            store.move_soon(Duration::ZERO);
            store.lock.borrow_mut().take();
        });
        on(&window, "pageshow", |store, _| {
            let mut lock = store.lock.borrow_mut();
            if lock.is_none() {
                *lock = TabLock::hold(store.tab);
            }
        });
        if page_locks::are_supported() {
            on(&window, "storage", |store, event| {
                let key = event.dyn_ref::<web_sys::StorageEvent>().and_then(web_sys::StorageEvent::key);
                let name = key.as_deref().and_then(local::record_name);
                if let Some(Ok(key)) = name.map(str::parse::<RecordKey>) {
                    store.watch(key.tab);
                }
            });
        }
        if let Some(document) = window.document() {
            on(&document, "visibilitychange", |store, _| {
                if is_hidden() {
                    store.move_soon(Duration::ZERO);
                }
            });
        }
        *self.listeners.borrow_mut() = listeners;
    }

    /// Writes a record, or removes it.
    pub(super) fn write(&self, key: RecordKey, content: Option<Content>) {
        let record = content.map(|content| Record { user: self.user, at: now_ms(), content });
        self.put(key.to_string(), record.and_then(|record| serde_json::to_string(&record).ok()));
    }

    fn put(&self, name: String, value: Option<String>) {
        // If local storage refuses the value, it is still stored in the database a moment later.
        local::set(&name, value.as_deref());
        self.pending.borrow_mut().insert(name, value);
        if !self.scheduled.replace(true) {
            self.move_soon(MOVE_INTERVAL);
        }
    }

    pub(super) fn put_file(&self, file: LocalFile) {
        self.pending_files.borrow_mut().push_back(file);
        self.move_soon(Duration::ZERO);
    }

    fn move_soon(&self, after: Duration) {
        let weak = self.weak_self.clone();
        let act = move || {
            if let Some(store) = weak.upgrade() {
                spawn_local(async move { store.move_all().await });
            }
        };
        if after.is_zero() { act() } else { set_timeout(act, after) }
    }

    /// Moves all pending changes and files to the database.
    async fn move_all(&self) {
        self.scheduled.set(false);
        let Some(database) = self.database.borrow().clone() else {
            if self.has_no_database.get() {
                self.warn();
                self.pending_files.borrow_mut().drain(..).for_each(|file| self.warn_about_file(&file));
                self.removed_files.borrow_mut().clear();
            }
            return;
        };
        let changes: Vec<_> = self.pending.borrow().clone().into_iter().collect();
        let removed_files = std::mem::take(&mut *self.removed_files.borrow_mut());
        if !changes.is_empty() || !removed_files.is_empty() {
            match database.change(&changes, &removed_files).await {
                Ok(()) => self.remove_moved(changes),
                Err(_) => {
                    self.warn();
                    // A full disk has no room for records, but files can still be removed. If that fails, too, the next page load
                    // removes them as files that no record names.
                    let _ = database.change(&[], &removed_files).await;
                }
            }
        }
        // One at a time: those that are still waiting may be removed meanwhile.
        loop {
            let Some(file) = self.pending_files.borrow_mut().pop_front() else { break };
            if database.put_file(&file.key().to_string(), file.blob()).await.is_err() {
                self.warn_about_file(&file);
            }
        }
    }

    /// Removes from local storage the changes that are now in the database.
    fn remove_moved(&self, changes: Vec<(String, Option<String>)>) {
        let mut pending = self.pending.borrow_mut();
        for (name, value) in changes {
            // Unless the record changed again meanwhile.
            if pending.get(&name) == Some(&value) {
                pending.remove(&name);
                local::remove(&name);
            }
        }
    }

    /// Warns the user, once, if a text is stored nowhere.
    fn warn(&self) {
        if self.pending.borrow().keys().any(|name| local::get(name).is_none()) && !self.warned.replace(true) {
            let text = "This browser cannot store what you write (a private window, or a full disk). \
                        Unsent text is lost when you close this page.";
            self.warning.set(Some(text.into()));
        }
    }

    fn warn_about_file(&self, file: &LocalFile) {
        let name = file.name();
        self.warning.set(Some(format!(
            "This browser could not store {name}. If you close this page before it is sent, attach it again."
        )));
    }

    async fn load(&self) {
        match Database::open().await {
            Ok(database) => *self.database.borrow_mut() = Some(Rc::new(database)),
            Err(_) => self.has_no_database.set(true),
        }
        let Ok(records) = self.records().await else { return };
        for name in surplus(&records, now_ms()) {
            self.put(name, None);
        }
        let database = self.database.borrow().clone();
        if let Some(database) = database
            && let Ok(files) = database.file_keys().await
        {
            self.removed_files.borrow_mut().extend(orphan_files(files, &records, now_ms()));
        }
        self.move_all().await;
        for (name, record) in records {
            if let (Ok(key), Some(record)) = (name.parse::<RecordKey>(), record)
                && record.user == self.user
            {
                self.watch(key.tab);
            }
        }
        local::removed().into_iter().for_each(|(_, key)| self.watch(key.tab));
    }

    /// All records of this origin.
    async fn records(&self) -> Result<Vec<(String, Option<Record>)>, JsValue> {
        let database = self.database.borrow().clone();
        let in_database = match database {
            Some(database) => database.records().await?,
            None => Vec::new(),
        };
        Ok(overlay(in_database, local::all()))
    }

    /// Takes over from a tab when it is closed.
    fn watch(&self, tab: Uuid) {
        if tab == self.tab || !self.watched.borrow_mut().insert(tab) {
            return;
        }
        let weak = self.weak_self.clone();
        page_locks::when_closed(tab, RELOAD_GRACE_MS, move || async move {
            if let Some(store) = weak.upgrade() {
                store.watched.borrow_mut().remove(&tab);
                store.take_over(tab).await;
            }
        });
    }

    async fn take_over(&self, tab: Uuid) {
        // Remove the records that the closed tab removed from local storage but not yet from the database, and their files.
        for (name, _) in local::removed().into_iter().filter(|(_, key)| key.tab == tab) {
            if let (Some(removed), Ok(records)) = (self.moved_record(&name).await, self.records().await) {
                self.removed_files.borrow_mut().extend(unnamed_files(&removed, &records));
            }
            self.put(name, None);
        }
        // If reading fails, the next page load tries again.
        for (name, record) in self.records().await.unwrap_or_default() {
            let (Ok(key), Some(record)) = (name.parse::<RecordKey>(), record) else { continue };
            if key.tab != tab || record.user != self.user {
                continue;
            }
            if record.content.is_sent() {
                let own = RecordKey { tab: self.tab, slot: key.slot };
                // Write the new record before removing the old one, so that a crash in between loses nothing.
                self.put(own.to_string(), serde_json::to_string(&record).ok());
                self.put(name, None);
                let found = self.with_files(record).await;
                (self.on_found)(own, found);
            } else {
                (self.on_found)(key, StoredRecord { record, files: Vec::new(), missing: Vec::new() });
            }
        }
        self.move_all().await;
    }

    /// Takes a record that a closed tab left, unless another tab took it. `on_claimed` must write it as this tab's own.
    pub(super) fn claim(&self, key: RecordKey, on_claimed: impl FnOnce(StoredRecord) + 'static) {
        let weak = self.weak_self.clone();
        page_locks::with_lock(key.tab, move || async move {
            let Some(store) = weak.upgrade() else { return };
            let name = key.to_string();
            let record = match local::get(&name) {
                Some(value) => json::from_str(&value).ok(),
                None => store.moved_record(&name).await,
            };
            if let Some(record) = record
                && record.user == store.user
            {
                on_claimed(store.with_files(record).await);
                store.put(name, None);
                store.move_all().await;
            }
        });
    }

    /// A record of the database.
    async fn moved_record(&self, name: &str) -> Option<Record> {
        let database = self.database.borrow().clone()?;
        let value = database.record(name).await.ok()??;
        json::from_str(&value).ok()
    }

    /// A record with its files from the database.
    async fn with_files(&self, record: Record) -> StoredRecord {
        let (mut files, mut missing) = (Vec::new(), Vec::new());
        let database = self.database.borrow().clone();
        for FileRecord { key, name, .. } in record.content.files() {
            let stored = match &database {
                Some(database) => database.file(&key.to_string()).await.ok().flatten(),
                None => None,
            };
            match stored {
                Some(file) => files.push(LocalFile::from_stored(*key, file)),
                None => missing.push(name.clone()),
            }
        }
        StoredRecord { record, files, missing }
    }

    /// Removes files that this tab no longer needs.
    pub(super) fn remove_files(&self, keys: Vec<Uuid>) {
        self.pending_files.borrow_mut().retain(|file| !keys.contains(&file.key()));
        self.removed_files.borrow_mut().extend(keys.iter().map(Uuid::to_string));
        self.move_soon(Duration::ZERO);
    }

    /// Removes everything of the user, who signs out.
    pub(super) async fn remove_all(&self) {
        let Some(store) = self.weak_self.upgrade() else { return };
        let work = future_to_promise(async move {
            store.remove_records().await?;
            Ok(JsValue::UNDEFINED)
        });
        // Signing out goes on even if the browser does not answer.
        let _ = with_timeout(REMOVE_TIMEOUT_MS, work).await;
    }

    async fn remove_records(&self) -> Result<(), JsValue> {
        self.pending.borrow_mut().clear();
        self.pending_files.borrow_mut().clear();
        self.removed_files.borrow_mut().clear();
        let records = self.records().await?;
        let is_theirs = |record: &Option<Record>| record.as_ref().is_none_or(|record| record.user == self.user);
        let (mut names, mut files) = (Vec::new(), Vec::new());
        for (name, record) in records.into_iter().filter(|(_, record)| is_theirs(record)) {
            files.extend(record.iter().flat_map(|record| record.content.files()).map(|file| file.key.to_string()));
            local::remove(&name);
            names.push((name, None));
        }
        let Some(database) = self.database.borrow().clone() else { return Ok(()) };
        database.change(&names, &files).await
    }
}
