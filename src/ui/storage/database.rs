//! The IndexedDB database: records and files, each by key.

use js_sys::{Array, Promise};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{File, IdbDatabase, IdbObjectStore, IdbRequest, IdbTransaction, IdbTransactionMode};

const NAME: &str = "netra";
const VERSION: u32 = 1;
const RECORDS: &str = "records";
const FILES: &str = "files";
const TIMED_OUT: &str = "the browser did not answer in time";
/// How long to wait for the database to open, in milliseconds.
const OPEN_TIMEOUT_MS: u32 = 5_000;

/// The database of this origin.
pub(super) struct Database(IdbDatabase);

impl Database {
    /// Opens the database, and creates it if it does not exist.
    ///
    /// # Errors
    /// The browser refuses (a private window, a full disk) or does not answer in time.
    pub(super) async fn open() -> Result<Self, JsValue> {
        let unsupported = || JsValue::from_str("this browser has no IndexedDB");
        let factory =
            web_sys::window().and_then(|window| window.indexed_db().ok().flatten()).ok_or_else(unsupported)?;
        let request = factory.open_with_u32(NAME, VERSION)?;
        let database = |request: &IdbRequest| request.result().and_then(JsCast::dyn_into::<IdbDatabase>);
        let opening = request.clone();
        let create = Closure::<dyn FnMut()>::new(move || {
            if let Ok(made) = database(&opening) {
                // Fails only if they exist already.
                let _ = (made.create_object_store(RECORDS), made.create_object_store(FILES));
            }
        });
        request.set_onupgradeneeded(Some(create.as_ref().unchecked_ref()));
        with_timeout(OPEN_TIMEOUT_MS, settled(&request)).await?;
        request.set_onupgradeneeded(None);
        database(&request).map(Self)
    }

    /// All records, as pairs of key and JSON.
    pub(super) async fn records(&self) -> Result<Vec<(String, String)>, JsValue> {
        let (_, store) = self.store(RECORDS, IdbTransactionMode::Readonly)?;
        let (keys, values) = (store.get_all_keys()?, store.get_all()?);
        // Requests of a transaction are answered in order: after the second, both are done.
        JsFuture::from(settled(&values)).await?;
        let text = |value: JsValue| value.as_string();
        let (keys, values): (Array, Array) = (keys.result()?.unchecked_into(), values.result()?.unchecked_into());
        Ok(keys.iter().zip(values.iter()).filter_map(|(key, value)| text(key).zip(text(value))).collect())
    }

    /// Writes records, removes those without a value, and removes files, in one transaction.
    pub(super) async fn change(
        &self,
        changes: &[(String, Option<String>)],
        removed_files: &[String],
    ) -> Result<(), JsValue> {
        // Without the files' store if it is not needed: else records would wait for large files.
        let stores = Array::of1(&RECORDS.into());
        if !removed_files.is_empty() {
            stores.push(&FILES.into());
        }
        let transaction = self.0.transaction_with_str_sequence_and_mode(&stores, IdbTransactionMode::Readwrite)?;
        let store = transaction.object_store(RECORDS)?;
        for key in removed_files {
            transaction.object_store(FILES)?.delete(&JsValue::from_str(key))?;
        }
        for (key, value) in changes {
            let key = JsValue::from_str(key);
            match value {
                Some(value) => store.put_with_key(&JsValue::from_str(value), &key)?,
                None => store.delete(&key)?,
            };
        }
        committed(&transaction).await
    }

    /// One record as JSON.
    pub(super) async fn record(&self, key: &str) -> Result<Option<String>, JsValue> {
        let (_, store) = self.store(RECORDS, IdbTransactionMode::Readonly)?;
        let request = store.get(&JsValue::from_str(key))?;
        JsFuture::from(settled(&request)).await?;
        Ok(request.result()?.as_string())
    }

    /// Stores a file.
    pub(super) async fn put_file(&self, key: &str, file: &File) -> Result<(), JsValue> {
        let (transaction, store) = self.store(FILES, IdbTransactionMode::Readwrite)?;
        store.put_with_key(file, &JsValue::from_str(key))?;
        committed(&transaction).await
    }

    /// A stored file.
    pub(super) async fn file(&self, key: &str) -> Result<Option<File>, JsValue> {
        let (_, store) = self.store(FILES, IdbTransactionMode::Readonly)?;
        let request = store.get(&JsValue::from_str(key))?;
        JsFuture::from(settled(&request)).await?;
        Ok(request.result()?.dyn_into().ok())
    }

    /// The keys of all files.
    pub(super) async fn file_keys(&self) -> Result<Vec<String>, JsValue> {
        let (_, store) = self.store(FILES, IdbTransactionMode::Readonly)?;
        let request = store.get_all_keys()?;
        JsFuture::from(settled(&request)).await?;
        let keys: Array = request.result()?.unchecked_into();
        Ok(keys.iter().filter_map(|key| key.as_string()).collect())
    }

    fn store(&self, name: &str, mode: IdbTransactionMode) -> Result<(IdbTransaction, IdbObjectStore), JsValue> {
        let transaction = self.0.transaction_with_str_and_mode(name, mode)?;
        let store = transaction.object_store(name)?;
        Ok((transaction, store))
    }
}

/// Waits for a promise for at most `ms` milliseconds.
///
/// # Errors
/// The promise was rejected, or did not settle in time.
pub(super) async fn with_timeout(ms: u32, promise: Promise) -> Result<(), JsValue> {
    let timeout = future_to_promise(async move {
        gloo_timers::future::TimeoutFuture::new(ms).await;
        Ok(JsValue::from_str(TIMED_OUT))
    });
    let first = JsFuture::from(Promise::race(&Array::of2(&promise, &timeout))).await?;
    if first.as_string().as_deref() == Some(TIMED_OUT) { Err(first) } else { Ok(()) }
}

/// A promise that settles with the request.
fn settled(request: &IdbRequest) -> Promise {
    Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    })
}

/// Waits for a transaction to commit.
async fn committed(transaction: &IdbTransaction) -> Result<(), JsValue> {
    let end = Promise::new(&mut |resolve, reject| {
        transaction.set_oncomplete(Some(&resolve));
        transaction.set_onerror(Some(&reject));
        transaction.set_onabort(Some(&reject));
    });
    JsFuture::from(end).await.map(drop)
}
