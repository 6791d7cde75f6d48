//! Which of the pages of this browser are still there: each holds a Web Lock of its name for as long as it is shown.

use std::future::Future;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, Object, Promise, Reflect};
use uuid::Uuid;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::{JsFuture, future_to_promise, spawn_local};

/// A page's lock, until it is released.
pub(super) struct Presence {
    release: Function,
}

impl Presence {
    /// Holds the lock of a page. Where the browser has none (over plain HTTP), each page takes the others for gone.
    pub(super) fn hold(page: Uuid) -> Option<Self> {
        let mut release = None;
        let held = Promise::new(&mut |resolve, _| release = Some(resolve));
        request(page, false, move |_| held);
        release.map(|release| Self { release })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // What it resolves throws nothing.
        let _ = self.release.call0(&JsValue::UNDEFINED);
    }
}

/// Whether the browser tells which pages are there.
pub(super) fn are_known() -> bool {
    locks().is_some()
}

/// Does something once a page is gone, and nobody else does anything of the kind about that page meanwhile. A page that is
/// there now and ends later is first given `grace_ms` milliseconds: it may be loading again, and goes on itself then.
pub(super) fn when_gone<F>(page: Uuid, grace_ms: u32, work: impl FnOnce() -> F + 'static)
where
    F: Future<Output = ()> + 'static,
{
    if !are_known() {
        return spawn_local(work());
    }
    request(page, true, move |is_gone| {
        if is_gone {
            return done(work());
        }
        request(page, false, move |_| {
            spawn_local(async move {
                TimeoutFuture::new(grace_ms).await;
                request(page, false, move |_| done(work()));
            });
            Promise::resolve(&JsValue::UNDEFINED)
        });
        Promise::resolve(&JsValue::UNDEFINED)
    });
}

/// Does something about a page that was found gone, when nobody else does.
pub(super) fn in_turn<F>(page: Uuid, work: impl FnOnce() -> F + 'static)
where
    F: Future<Output = ()> + 'static,
{
    if !are_known() {
        return spawn_local(work());
    }
    request(page, false, move |_| done(work()));
}

fn done(work: impl Future<Output = ()> + 'static) -> Promise {
    future_to_promise(async move {
        work.await;
        Ok(JsValue::UNDEFINED)
    })
}

// Read by name: web-sys has the locks among its unstable interfaces only.
fn locks() -> Option<JsValue> {
    let navigator = web_sys::window()?.navigator();
    Reflect::get(&navigator, &JsValue::from_str("locks")).ok().filter(JsValue::is_object)
}

/// Asks for the lock of a page, to be held until the promise is resolved. `only_now`: `work` is told at once whether it has
/// the lock; else it begins as soon as it has.
fn request(page: Uuid, only_now: bool, work: impl FnOnce(bool) -> Promise + 'static) {
    let Some(locks) = locks() else { return };
    let request = Reflect::get(&locks, &JsValue::from_str("request")).ok();
    if let Some(request) = request.and_then(|request| request.dyn_into::<Function>().ok()) {
        let options = Object::new();
        // An object of our own takes any property.
        let _ = Reflect::set(&options, &JsValue::from_str("ifAvailable"), &JsValue::from_bool(only_now));
        let work = Closure::once_into_js(move |lock: JsValue| work(!lock.is_null()));
        let held = request.call3(&locks, &JsValue::from_str(&format!("netra.page.{page}")), &options, &work);
        // It is refused to pages without an origin, which store nothing either, and aborted with the page that asked.
        if let Some(held) = held.ok().and_then(|held| held.dyn_into::<Promise>().ok()) {
            spawn_local(async move { drop(JsFuture::from(held).await) });
        }
    }
}
