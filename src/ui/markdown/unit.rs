//! The elements at the top of a text, and their parts.

use std::ops::Range;

use pulldown_cmark_escape::escape_html_body_text;

/// What a unit is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One element, whole: its only part.
    #[default]
    Whole,
    /// A list; its items are the parts.
    List { ordered: bool },
    /// A table; its rows are the parts.
    Table,
    /// A fenced code block.
    Code,
}

/// An element at the top of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) kind: Kind,
    /// What stands before the parts.
    pub(crate) head: String,
    pub(crate) parts: Vec<Part>,
    /// What stands in a code block, as text.
    pub(crate) code: String,
    /// A list in which a paragraph stands apart.
    pub(crate) loose: bool,
    /// Where the text of a code block ends in the original.
    pub(super) code_end: usize,
    /// The labels that the head of a table refers to.
    pub(super) labels: Vec<String>,
    /// Where it stands in the original.
    pub(super) range: Range<usize>,
}

/// A part of a unit: HTML of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) html: String,
    pub(super) range: Range<usize>,
    /// Whether an item has a paragraph: others look the same in loose and in tight lists.
    pub(super) has_paragraph: bool,
    /// The labels of the definitions that its links refer to, known or not.
    pub(super) labels: Vec<String>,
}

impl Unit {
    /// A text as it is, without markup.
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
            Kind::Table => "</tbody></table></div>",
            Kind::Code => "</code></pre>",
        });
        html
    }

    /// Adds the parts of another one.
    pub(super) fn take_over(&mut self, other: Unit) {
        self.parts.extend(other.parts);
        self.code.push_str(&other.code);
    }

    /// Moves its places in the original.
    pub(super) fn move_by(&mut self, by: usize) {
        let moved = |range: &Range<usize>| range.start + by..range.end + by;
        self.range = moved(&self.range);
        self.code_end += by;
        self.parts.iter_mut().for_each(|part| part.range = moved(&part.range));
    }
}
