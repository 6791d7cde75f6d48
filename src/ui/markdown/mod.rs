//! Renders agents' Markdown to safe HTML, incrementally while the text streams.
//!
//! Guarantees: for any text, the HTML has only elements, attributes and addresses that this module allows. Raw HTML is shown as
//! text (except `<br>`), links are `http`, `https` or `mailto`, remote images are links, only files of threads are shown as images. A
//! growing text looks at each moment as if it were rendered whole, and settled text is not parsed again.
//!
//! Formulas are written as their source, code without colours: `src/ui/scripts` replaces them, and handles the buttons (`data-press`).

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
