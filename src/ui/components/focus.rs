//! Where keys go. A page that changes under the focus leaves it nowhere; here is how it gets a place again.

use leptos::{
    __reexports::send_wrapper::SendWrapper,
    ev::{FocusEvent, MouseEvent},
    prelude::*,
    wasm_bindgen::JsCast,
    web_sys,
};

/// Moves the focus to an element that a selector names, where it is there and takes it; says whether it did.
pub(crate) fn focus_on(selector: &str) -> bool {
    let found = document().query_selector(selector).ok().flatten();
    let found = found.and_then(|found| found.dyn_into::<web_sys::HtmlElement>().ok());
    found.is_some_and(|found| found.focus().is_ok() && document().active_element().as_ref() == Some(found.as_ref()))
}

/// Whether nothing has the focus, so that keys reach nothing.
pub(crate) fn is_lost() -> bool {
    document().active_element().is_none_or(|at| matches!(at.tag_name().as_str(), "BODY" | "HTML"))
}

/// Follows a link to a part of the page: what it names comes into sight and takes the focus. The router would take the
/// click for a way to another page, and moves no focus.
pub(crate) fn to_fragment(event: MouseEvent) {
    let link = event.current_target().and_then(|link| link.dyn_into::<web_sys::Element>().ok());
    if let Some(fragment) = link.and_then(|link| link.get_attribute("href")) {
        event.prevent_default();
        focus_on(&fragment);
    }
}

/// The page whose composer takes the focus as soon as it is there: whoever goes there goes to write.
#[derive(Clone, Copy)]
pub(crate) struct WritesNext(StoredValue<Option<String>>);

impl WritesNext {
    pub(crate) fn provide() {
        provide_context(Self(StoredValue::new(None)));
    }

    /// The next page puts the focus into its composer.
    pub(crate) fn at(self, path: &str) {
        self.0.set_value(Some(path.to_owned()));
    }

    /// Whether it is this page; once.
    pub(crate) fn take(self, path: &str) -> bool {
        self.0.try_update_value(Option::take).flatten().is_some_and(|wanted| wanted == path)
    }
}

/// The focus within a part of the page, which is not lost with the element that had it.
#[derive(Clone, Copy)]
pub(crate) struct KeptFocus {
    /// A selector of that part.
    part: &'static str,
    last: StoredValue<Option<SendWrapper<web_sys::Element>>>,
}

impl KeptFocus {
    pub(crate) fn new(part: &'static str) -> Self {
        Self { part, last: StoredValue::new(None) }
    }

    /// An element of the part got the focus.
    pub(crate) fn moved(self, event: &FocusEvent) {
        let element = event.target().and_then(|target| target.dyn_into().ok());
        self.last.set_value(element.map(SendWrapper::new));
    }

    /// Gives the focus a place by `give`, where it went with the element that had it. Browsers tell of that by no event, or not
    /// all of them: to be called when the part changed.
    pub(crate) fn keep(self, give: impl Fn()) {
        let Some(Some(gone)) = self.last.try_with_value(|last| last.as_ref().map(|last| !last.is_connected())) else {
            return;
        };
        let at = document().active_element();
        if is_lost() && gone {
            self.last.set_value(None);
            give();
        } else if at.is_some_and(|at| !is_lost() && at.closest(self.part).is_ok_and(|part| part.is_none())) {
            // Who went elsewhere stays there.
            self.last.set_value(None);
        }
    }
}
