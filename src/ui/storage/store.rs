//! What this page stores, and how it comes by what the pages before it left.
//!
//! A record is written to local storage first, at once: a page that ends in the next moment has stored it. From there it
//! moves to the database, which has room and keeps it when the whole browser is killed. Local storage thus holds what the
//! database does not have yet, and counts where both have a record.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::{Rc, Weak},
    time::Duration,
};

use leptos::prelude::{Set, set_timeout};
use uuid::Uuid;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{future_to_promise, spawn_local};

use super::{
    Found, Trouble,
    database::{Database, within},
    page_locks::{self, Presence},
    record::{Content, FileRecord, Record, RecordKey, loose_files, overlay, surplus},
};
use crate::{
    protocol::UserId,
    socket::browser::{Listener, is_hidden},
    ui::browser::{LocalFile, now_ms},
};

/// What the names in local storage begin with.
const PREFIX: &str = "netra.written/";
/// How long records stay in local storage alone before they move to the database together.
const MOVE_INTERVAL: Duration = Duration::from_millis(150);
/// Milliseconds that a page which ended is given to load again, before another one that is open goes on with what it left.
const RELOAD_GRACE_MS: u32 = 10_000;
/// Milliseconds for the database to forget a person.
const FORGET_TIMEOUT_MS: u32 = 3_000;

pub(super) struct Store {
    me: Weak<Store>,
    page: Uuid,
    user: UserId,
    database: RefCell<Option<Rc<Database>>>,
    /// Whether the browser gives no database: local storage is all there is then.
    refused: Cell<bool>,
    /// What the database does not have yet.
    pending: RefCell<BTreeMap<String, Option<String>>>,
    pending_files: RefCell<Vec<LocalFile>>,
    scheduled: Cell<bool>,
    /// Pages whose end is waited for.
    watched: RefCell<BTreeSet<Uuid>>,
    presence: RefCell<Option<Presence>>,
    listeners: RefCell<Vec<Listener>>,
    trouble: Trouble,
    /// Whether it was said that nothing is stored.
    complained: Cell<bool>,
    found: Box<dyn Fn(RecordKey, Found)>,
}

fn local() -> Option<web_sys::Storage> {
    web_sys::window().and_then(|window| window.local_storage().ok().flatten())
}

/// What local storage has of a record: absent: nothing; empty: that it was removed.
fn written(name: &str) -> Option<String> {
    local()?.get_item(&format!("{PREFIX}{name}")).ok().flatten()
}

fn all_written() -> Vec<(String, Option<String>)> {
    let Some(local) = local() else { return Vec::new() };
    let keys = (0..local.length().unwrap_or(0)).filter_map(|index| local.key(index).ok().flatten());
    let names: Vec<String> = keys.filter_map(|key| key.strip_prefix(PREFIX).map(str::to_owned)).collect();
    let value = |name: String| written(&name).map(|value| (name, Some(value).filter(|value| !value.is_empty())));
    names.into_iter().filter_map(value).collect()
}

/// The records that a page removed, and that the database may still have.
fn removed() -> Vec<(String, RecordKey)> {
    let removed = all_written().into_iter().filter(|(_, value)| value.is_none());
    removed.filter_map(|(name, _)| name.parse().ok().map(|key| (name, key))).collect()
}

fn unwrite(name: &str) {
    if let Some(local) = local() {
        let _ = local.remove_item(&format!("{PREFIX}{name}"));
    }
}

impl Store {
    /// The store of this page. `found` is given what pages before it left: messages to send as this page's own, and each
    /// draft and edit by its name, to be claimed with [`Self::claim`].
    pub(super) fn start(page: Uuid, user: UserId, trouble: Trouble, found: Box<dyn Fn(RecordKey, Found)>) -> Rc<Self> {
        let store = Rc::new_cyclic(|me| Self {
            me: me.clone(),
            page,
            user,
            database: RefCell::default(),
            refused: Cell::new(false),
            pending: RefCell::default(),
            pending_files: RefCell::default(),
            scheduled: Cell::new(false),
            watched: RefCell::default(),
            presence: RefCell::new(Presence::hold(page)),
            listeners: RefCell::default(),
            trouble,
            complained: Cell::new(false),
            found,
        });
        store.listen();
        let me = Rc::clone(&store);
        spawn_local(async move { me.load().await });
        store
    }

    fn listen(&self) {
        let Some(window) = web_sys::window() else { return };
        let mut listeners = Vec::new();
        let mut on = |target: &web_sys::EventTarget, name: &'static str, act: fn(&Rc<Self>, web_sys::Event)| {
            let me = self.me.clone();
            let act = move |event| {
                if let Some(me) = me.upgrade() {
                    act(&me, event);
                }
            };
            listeners.push(Listener::new(target, name, act));
        };
        // A page that is put away lets go of its lock, so that it may be shown again; others go on with its messages.
        on(&window, "pagehide", |me, _| {
            me.move_soon(Duration::ZERO);
            me.presence.borrow_mut().take();
        });
        on(&window, "pageshow", |me, _| {
            let mut presence = me.presence.borrow_mut();
            if presence.is_none() {
                *presence = Presence::hold(me.page);
            }
        });
        if page_locks::are_known() {
            on(&window, "storage", |me, event| {
                let key = event.dyn_ref::<web_sys::StorageEvent>().and_then(web_sys::StorageEvent::key);
                let name = key.as_deref().and_then(|key| key.strip_prefix(PREFIX));
                if let Some(Ok(key)) = name.map(str::parse::<RecordKey>) {
                    me.watch(key.page);
                }
            });
        }
        if let Some(document) = window.document() {
            on(&document, "visibilitychange", |me, _| {
                if is_hidden() {
                    me.move_soon(Duration::ZERO);
                }
            });
        }
        *self.listeners.borrow_mut() = listeners;
    }

    /// Writes this page's record, or removes it.
    pub(super) fn write(&self, key: RecordKey, content: Option<Content>) {
        let record = content.map(|content| Record { user: self.user, at: now_ms(), content });
        self.put(key.to_string(), record.and_then(|record| serde_json::to_string(&record).ok()));
    }

    fn put(&self, name: String, value: Option<String>) {
        if let Some(local) = local() {
            // Where it is refused, the database has it a moment later.
            let _ = local.set_item(&format!("{PREFIX}{name}"), value.as_deref().unwrap_or_default());
        }
        self.pending.borrow_mut().insert(name, value);
        if !self.scheduled.replace(true) {
            self.move_soon(MOVE_INTERVAL);
        }
    }

    /// Stores a file.
    pub(super) fn put_file(&self, file: LocalFile) {
        self.pending_files.borrow_mut().push(file);
        self.move_soon(Duration::ZERO);
    }

    fn move_soon(&self, after: Duration) {
        let me = self.me.clone();
        let act = move || {
            if let Some(me) = me.upgrade() {
                spawn_local(async move { me.move_all().await });
            }
        };
        if after.is_zero() { act() } else { set_timeout(act, after) }
    }

    /// Moves what waits to the database.
    async fn move_all(&self) {
        self.scheduled.set(false);
        let Some(database) = self.database.borrow().clone() else {
            if self.refused.get() {
                self.complain();
                self.pending_files.borrow_mut().drain(..).for_each(|file| self.complain_of(&file));
            }
            return;
        };
        let changes: Vec<_> = self.pending.borrow().clone().into_iter().collect();
        if !changes.is_empty() {
            match database.change(&changes).await {
                Ok(()) => self.moved(changes),
                Err(_) => self.complain(),
            }
        }
        let files = std::mem::take(&mut *self.pending_files.borrow_mut());
        for file in files {
            if database.put_file(&file.key().to_string(), file.blob()).await.is_err() {
                self.complain_of(&file);
            }
        }
    }

    fn moved(&self, changes: Vec<(String, Option<String>)>) {
        let mut pending = self.pending.borrow_mut();
        for (name, value) in changes {
            // Unless it was written anew meanwhile.
            if pending.get(&name) == Some(&value) {
                pending.remove(&name);
                unwrite(&name);
            }
        }
    }

    /// Says so where a text is stored nowhere.
    fn complain(&self) {
        if self.pending.borrow().keys().any(|name| written(name).is_none()) && !self.complained.replace(true) {
            let nothing = "This browser stores nothing for this page (a private window, or a full disk): \
                           what you write is gone when the page is closed.";
            self.trouble.set(Some(nothing.into()));
        }
    }

    fn complain_of(&self, file: &LocalFile) {
        let name = file.name();
        self.trouble.set(Some(format!(
            "This browser could not store {name}: if the page is closed before it is sent, attach it again."
        )));
    }

    async fn load(&self) {
        match Database::open().await {
            Ok(database) => *self.database.borrow_mut() = Some(Rc::new(database)),
            Err(_) => self.refused.set(true),
        }
        let Ok(records) = self.records().await else { return };
        for name in surplus(&records, now_ms()) {
            self.put(name, None);
        }
        let database = self.database.borrow().clone();
        if let Some(database) = database
            && let Ok(files) = database.files().await
        {
            // Those that stay are tried again with the next page.
            let _ = database.remove_files(&loose_files(files, &records, now_ms())).await;
        }
        self.move_all().await;
        for (name, record) in records {
            if let (Ok(key), Some(record)) = (name.parse::<RecordKey>(), record)
                && record.user == self.user
            {
                self.watch(key.page);
            }
        }
        removed().into_iter().for_each(|(_, key)| self.watch(key.page));
    }

    /// All records of this origin.
    async fn records(&self) -> Result<Vec<(String, Option<Record>)>, JsValue> {
        let database = self.database.borrow().clone();
        let stored = match database {
            Some(database) => database.all().await?,
            None => Vec::new(),
        };
        Ok(overlay(stored, all_written()))
    }

    /// Takes over from a page as soon as it is gone.
    fn watch(&self, page: Uuid) {
        if page == self.page || !self.watched.borrow_mut().insert(page) {
            return;
        }
        let me = self.me.clone();
        page_locks::when_gone(page, RELOAD_GRACE_MS, move || async move {
            if let Some(me) = me.upgrade() {
                me.watched.borrow_mut().remove(&page);
                me.take_over(page).await;
            }
        });
    }

    async fn take_over(&self, page: Uuid) {
        // What it removed and did not live to remove from the database.
        for (name, _) in removed().into_iter().filter(|(_, key)| key.page == page) {
            self.put(name, None);
        }
        // What cannot be read now is there for the next page.
        for (name, record) in self.records().await.unwrap_or_default() {
            let (Ok(key), Some(record)) = (name.parse::<RecordKey>(), record) else { continue };
            if key.page != page || record.user != self.user {
                continue;
            }
            if record.content.is_sent() {
                let own = RecordKey { page: self.page, slot: key.slot };
                // Its own first: whatever happens in between, one of the two is there.
                self.put(own.to_string(), serde_json::to_string(&record).ok());
                self.put(name, None);
                let found = self.with_files(record).await;
                (self.found)(own, found);
            } else {
                (self.found)(key, Found { record, files: Vec::new(), missing: Vec::new() });
            }
        }
        self.move_all().await;
    }

    /// Takes what a page that is gone left, unless another page did. `taken` writes it as this page's own.
    pub(super) fn claim(&self, key: RecordKey, taken: impl FnOnce(Found) + 'static) {
        let me = self.me.clone();
        page_locks::in_turn(key.page, move || async move {
            let Some(me) = me.upgrade() else { return };
            let name = key.to_string();
            let database = me.database.borrow().clone();
            let value = match (written(&name), database) {
                (Some(value), _) => Some(value),
                (None, Some(database)) => database.record(&name).await.ok().flatten(),
                (None, None) => None,
            };
            if let Some(record) = value.and_then(|value| serde_json::from_str::<Record>(&value).ok())
                && record.user == me.user
            {
                taken(me.with_files(record).await);
                me.put(name, None);
                me.move_all().await;
            }
        });
    }

    async fn with_files(&self, record: Record) -> Found {
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
        Found { record, files, missing }
    }

    /// Removes files that nothing of this page needs any more.
    pub(super) fn remove_files(&self, keys: Vec<Uuid>) {
        self.pending_files.borrow_mut().retain(|file| !keys.contains(&file.key()));
        let Some(database) = self.database.borrow().clone() else { return };
        spawn_local(async move {
            let keys: Vec<String> = keys.iter().map(Uuid::to_string).collect();
            // Those that stay are removed when they are old.
            let _ = database.remove_files(&keys).await;
        });
    }

    /// Removes everything of the person: they leave this browser.
    pub(super) async fn forget(&self) {
        let Some(me) = self.me.upgrade() else { return };
        let work = future_to_promise(async move {
            me.forget_all().await?;
            Ok(JsValue::UNDEFINED)
        });
        // A browser that does not answer keeps nobody from signing out.
        let _ = within(FORGET_TIMEOUT_MS, work).await;
    }

    async fn forget_all(&self) -> Result<(), JsValue> {
        self.pending.borrow_mut().clear();
        self.pending_files.borrow_mut().clear();
        let records = self.records().await?;
        let of_person = |record: &Option<Record>| record.as_ref().is_none_or(|record| record.user == self.user);
        let (mut names, mut files) = (Vec::new(), Vec::new());
        for (name, record) in records.into_iter().filter(|(_, record)| of_person(record)) {
            files.extend(record.iter().flat_map(|record| record.content.files()).map(|file| file.key.to_string()));
            unwrite(&name);
            names.push((name, None));
        }
        let Some(database) = self.database.borrow().clone() else { return Ok(()) };
        database.change(&names).await?;
        database.remove_files(&files).await
    }
}
