//! Units (top-level elements of a text) and their parts.

use std::ops::Range;

use pulldown_cmark_escape::escape_html_body_text;

/// The HTML after the rows of a table.
pub(super) const TABLE_END: &str = "</tbody></table></div></div>";
/// The HTML after the text of a code block.
pub(super) const CODE_END: &str = "</code></pre></div>";

/// The kind of a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One element, which is its only part.
    #[default]
    Whole,
    /// A list; its items are the parts.
    List { ordered: bool },
    /// A table; its rows are the parts.
    Table,
    /// A fenced code block.
    Code,
}

/// A top-level element of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) kind: Kind,
    /// The HTML before the parts.
    pub(crate) head: String,
    pub(crate) parts: Vec<Part>,
    /// The text of a code block.
    pub(crate) code: String,
    /// Whether a list is loose: blank lines separate its items or their paragraphs.
    pub(crate) loose: bool,
    /// The end of a code block's text in the original.
    pub(super) code_end: usize,
    /// The labels that a table's head refers to.
    pub(super) labels: Vec<String>,
    /// Its range in the original.
    pub(super) range: Range<usize>,
}

/// A part of a unit, as HTML.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) html: String,
    pub(super) range: Range<usize>,
    /// Whether a list item has a paragraph. Other items look the same in loose and tight lists.
    pub(super) has_paragraph: bool,
    /// The labels that its links refer to, defined or not.
    pub(super) labels: Vec<String>,
}

impl Unit {
    /// A unit that shows a text without markup.
    pub(super) fn plain(text: &str) -> Self {
        let mut html = String::from("<p dir=\"auto\">");
        // Writing to a String cannot fail.
        let _ = escape_html_body_text(&mut html, text);
        html.push_str("</p>");
        Self { parts: vec![Part { html, ..Part::default() }], ..Self::default() }
    }

    /// The HTML of the unit.
    pub(crate) fn html(&self) -> String {
        let mut html = self.head.clone();
        if let Kind::List { .. } = self.kind {
            html.push_str(if self.loose { ">" } else { " class=\"tight\">" });
        }
        self.parts.iter().for_each(|part| html.push_str(&part.html));
        // Writing to a String cannot fail.
        let _ = escape_html_body_text(&mut html, &self.code);
        html.push_str(match self.kind {
            Kind::Whole => "",
            Kind::List { ordered: false } => "</ul>",
            Kind::List { ordered: true } => "</ol>",
            Kind::Table => TABLE_END,
            Kind::Code => CODE_END,
        });
        html
    }

    /// Appends the parts and the code of another unit.
    pub(super) fn append(&mut self, other: Unit) {
        self.parts.extend(other.parts);
        self.code.push_str(&other.code);
    }

    /// Shifts its offsets in the original.
    pub(super) fn shift_by(&mut self, by: usize) {
        let moved = |range: &Range<usize>| range.start + by..range.end + by;
        self.range = moved(&self.range);
        self.code_end += by;
        self.parts.iter_mut().for_each(|part| part.range = moved(&part.range));
    }
}
