//! An error, shown and announced to screen readers at once.

use leptos::prelude::*;

use super::icons::{Glyph, icon};

/// An error message.
pub(crate) fn error_message(text: impl Into<String>) -> impl IntoView {
    view! { <p class="failure" role="alert">{icon(Glyph::Warning)} <span>{text.into()}</span></p> }
}
