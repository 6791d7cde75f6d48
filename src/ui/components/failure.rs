//! What went wrong, said at once to who looks and to who listens.

use leptos::prelude::*;

use super::icons::{Glyph, icon};

/// A sentence about what went wrong.
pub(crate) fn failure(text: impl Into<String>) -> impl IntoView {
    view! { <p class="failure" role="alert">{icon(Glyph::Warning)} <span>{text.into()}</span></p> }
}
