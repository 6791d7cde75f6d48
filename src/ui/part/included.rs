//! Parts in a build that is not split, such as the server: their code is in the same file as all else.

use leptos::prelude::*;

/// A part of the page. `I` is the input of its view.
pub(crate) struct Part<I: 'static> {
    name: &'static str,
    view: fn(I) -> AnyView,
}

impl<I> Part<I> {
    pub(crate) const fn new(name: &'static str, view: fn(I) -> AnyView) -> Self {
        Self { name, view }
    }

    /// The part's view.
    pub(crate) fn show(&'static self, input: I) -> AnyView {
        view! { <div class="part" data-part=self.name>{(self.view)(input)}</div> }.into_any()
    }
}
