//! The element at which an event of the browser happened.

use leptos::{wasm_bindgen::JsCast, web_sys};

/// The element.
pub(crate) fn target(event: &web_sys::Event) -> Option<web_sys::Element> {
    event.target().and_then(|target| target.dyn_into().ok())
}

/// Whether it matches a selector or is inside an element that does.
pub(crate) fn is_in(event: &web_sys::Event, selector: &str) -> bool {
    target(event).is_some_and(|target| target.closest(selector).is_ok_and(|found| found.is_some()))
}
