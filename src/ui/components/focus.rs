//! Keyboard focus. When the page replaces the element that has the focus, browsers move the focus to the body, and keys have
//! no effect; this module moves it to a useful place.

use leptos::{
    __reexports::send_wrapper::SendWrapper,
    ev::{FocusEvent, MouseEvent},
    html::ElementType,
    prelude::*,
    wasm_bindgen::JsCast,
    web_sys,
};

/// Focuses the first element that matches a selector. Returns whether the element exists and took the focus.
pub(crate) fn focus_on(selector: &str) -> bool {
    let found = document().query_selector(selector).ok().flatten();
    let found = found.and_then(|found| found.dyn_into::<web_sys::HtmlElement>().ok());
    found.is_some_and(|found| found.focus().is_ok() && document().active_element().as_ref() == Some(found.as_ref()))
}

/// Focuses an element as soon as it is in the document. Call it in the component that has the element.
pub(crate) fn focus_when_shown<E>(element: NodeRef<E>)
where
    E: ElementType + 'static,
    E::Output: JsCast + AsRef<web_sys::Element> + Clone + 'static,
{
    Effect::new(move |_| {
        if let Some(element) = element.get() {
            focus_element(element.as_ref());
        }
    });
}

/// Focuses the element with an id, if it exists.
pub(crate) fn focus_id(id: &str) {
    if let Some(found) = document().get_element_by_id(id) {
        focus_element(&found);
    }
}

/// Focuses an element.
pub(crate) fn focus_element(element: &web_sys::Element) {
    if let Some(element) = element.dyn_ref::<web_sys::HtmlElement>() {
        let _ = element.focus();
    } else if let Some(element) = element.dyn_ref::<web_sys::SvgElement>() {
        let _ = element.focus();
    }
}

/// Whether no element has the focus.
pub(crate) fn is_focus_lost() -> bool {
    document().active_element().is_none_or(|active| matches!(active.tag_name().as_str(), "BODY" | "HTML"))
}

/// Handles a click on a link to a fragment (`#id`): scrolls to the element and focuses it. The router would treat the click as
/// a navigation and leave the focus where it is.
pub(crate) fn follow_fragment_link(event: MouseEvent) {
    let link = event.current_target().and_then(|link| link.dyn_into::<web_sys::Element>().ok());
    if let Some(fragment) = link.and_then(|link| link.get_attribute("href")) {
        event.prevent_default();
        focus_on(&fragment);
    }
}

/// A request, from context, that the composer of one page take the focus when it is shown. Set before navigating to a page in
/// order to write there.
#[derive(Clone, Copy)]
pub(crate) struct ComposerFocus(StoredValue<Option<String>>);

impl ComposerFocus {
    pub(crate) fn provide() {
        provide_context(Self(StoredValue::new(None)));
    }

    /// Requests the focus for the composer of the page at `path`.
    pub(crate) fn request(self, path: &str) {
        self.0.set_value(Some(path.to_owned()));
    }

    /// Whether the focus was requested for the page at `path`. Clears the request, for whichever page it was.
    pub(crate) fn take(self, path: &str) -> bool {
        self.0.try_update_value(Option::take).flatten().is_some_and(|requested| requested == path)
    }
}

/// Tracks the focus within a region of the page, and restores it when the focused element is removed.
#[derive(Clone, Copy)]
pub(crate) struct FocusKeeper {
    /// A selector of the region.
    region: &'static str,
    last_focused: StoredValue<Option<SendWrapper<web_sys::Element>>>,
}

impl FocusKeeper {
    pub(crate) fn new(region: &'static str) -> Self {
        Self { region, last_focused: StoredValue::new(None) }
    }

    /// Handles `focusin` in the region.
    pub(crate) fn on_focus_in(self, event: &FocusEvent) {
        let element = event.target().and_then(|target| target.dyn_into().ok());
        self.last_focused.set_value(element.map(SendWrapper::new));
    }

    /// Calls `restore` if the focused element was removed. Browsers do not reliably fire an event for that, so call this
    /// whenever the region has changed.
    pub(crate) fn restore_if_lost(self, restore: impl Fn()) {
        let is_removed = |last: &Option<SendWrapper<web_sys::Element>>| last.as_ref().map(|last| !last.is_connected());
        let Some(Some(removed)) = self.last_focused.try_with_value(is_removed) else { return };
        let active = document().active_element();
        if is_focus_lost() && removed {
            self.last_focused.set_value(None);
            restore();
        } else if active
            .is_some_and(|active| !is_focus_lost() && active.closest(self.region).is_ok_and(|region| region.is_none()))
        {
            // The person moved the focus out of the region: leave it there.
            self.last_focused.set_value(None);
        }
    }
}
