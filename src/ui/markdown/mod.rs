//! Renders agents' Markdown to safe HTML, incrementally while the text streams.
//!
//! Guarantees: for any text, the HTML has only elements, attributes and addresses that this module allows. Raw HTML is shown as
//! text (except `<br>`), links are `http`, `https` or `mailto`, images are shown as their description. A growing text looks
//! at each moment as if it were rendered whole, and settled text is not parsed again.

mod definitions;
mod document;
mod edit;
mod links;
mod source;
mod unit;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use document::Document;
pub(crate) use edit::Edit;
use edit::Page;

/// Renders Markdown to safe HTML.
pub(crate) fn to_html(markdown: &str) -> String {
    Page::new(markdown).html()
}
