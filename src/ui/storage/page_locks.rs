//! Which tabs of this browser are still open: each holds a Web Lock named after its id while it is shown.

use std::future::Future;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, Object, Promise, Reflect};
use uuid::Uuid;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::{JsFuture, future_to_promise, spawn_local};

/// A tab's lock. Dropping it releases the lock.
pub(super) struct TabLock {
    release: Function,
}

impl TabLock {
    /// Acquires a tab's lock. Without Web Locks (over plain HTTP) each tab treats the others as closed.
    pub(super) fn hold(tab: Uuid) -> Option<Self> {
        let mut release = None;
        let held = Promise::new(&mut |resolve, _| release = Some(resolve));
        request(tab, false, move |_| held);
        release.map(|release| Self { release })
    }
}

impl Drop for TabLock {
    fn drop(&mut self) {
        // Resolving a promise does not throw.
        let _ = self.release.call0(&JsValue::UNDEFINED);
    }
}

/// Whether the browser has Web Locks.
pub(super) fn are_supported() -> bool {
    locks().is_some()
}

/// Runs `work` once a tab is closed, while holding its lock, so that only one tab takes over from it. A tab that is open now
/// gets `grace_ms` milliseconds after it ends: it may only be reloading.
pub(super) fn when_closed<F>(tab: Uuid, grace_ms: u32, work: impl FnOnce() -> F + 'static)
where
    F: Future<Output = ()> + 'static,
{
    if !are_supported() {
        return spawn_local(work());
    }
    request(tab, true, move |is_closed| {
        if is_closed {
            return run(work());
        }
        request(tab, false, move |_| {
            spawn_local(async move {
                TimeoutFuture::new(grace_ms).await;
                request(tab, false, move |_| run(work()));
            });
            Promise::resolve(&JsValue::UNDEFINED)
        });
        Promise::resolve(&JsValue::UNDEFINED)
    });
}

/// Runs `work` about a closed tab while holding its lock, so that no two tabs do so at once.
pub(super) fn with_lock<F>(tab: Uuid, work: impl FnOnce() -> F + 'static)
where
    F: Future<Output = ()> + 'static,
{
    if !are_supported() {
        return spawn_local(work());
    }
    request(tab, false, move |_| run(work()));
}

fn run(work: impl Future<Output = ()> + 'static) -> Promise {
    future_to_promise(async move {
        work.await;
        Ok(JsValue::UNDEFINED)
    })
}

// By reflection: in web-sys, Web Locks are an unstable interface.
fn locks() -> Option<JsValue> {
    let navigator = web_sys::window()?.navigator();
    Reflect::get(&navigator, &JsValue::from_str("locks")).ok().filter(JsValue::is_object)
}

/// Requests a tab's lock, which is held until the promise of `work` resolves. `if_available`: calls `work` at once, with
/// whether the lock was free; otherwise waits for the lock.
fn request(tab: Uuid, if_available: bool, work: impl FnOnce(bool) -> Promise + 'static) {
    let Some(locks) = locks() else { return };
    let request = Reflect::get(&locks, &JsValue::from_str("request")).ok();
    if let Some(request) = request.and_then(|request| request.dyn_into::<Function>().ok()) {
        let options = Object::new();
        // Setting a property of a plain object does not fail.
        let _ = Reflect::set(&options, &JsValue::from_str("ifAvailable"), &JsValue::from_bool(if_available));
        let work = Closure::once_into_js(move |lock: JsValue| work(!lock.is_null()));
        let held = request.call3(&locks, &JsValue::from_str(&format!("netra.page.{tab}")), &options, &work);
        // Rejected for pages without an origin, which cannot store anything either, and aborted when this page is closed.
        if let Some(held) = held.ok().and_then(|held| held.dyn_into::<Promise>().ok()) {
            spawn_local(async move { drop(JsFuture::from(held).await) });
        }
    }
}
