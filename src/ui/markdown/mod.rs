//! Agents' Markdown as HTML that is safe to insert, and cheap to extend while it streams.
//!
//! Promises: whatever the text says, the HTML holds no element, attribute or address that this module did not choose: raw
//! HTML shows as the text it is (but a line break), addresses are `http`, `https` or `mailto`, images show as their
//! description. A text that grows looks at each moment as if it were rendered whole; what is settled is not parsed again.

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

/// Markdown as safe HTML.
pub(crate) fn to_html(markdown: &str) -> String {
    Page::new(markdown).html()
}
