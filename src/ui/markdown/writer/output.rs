//! The writer's output: text, inline and block elements, units and parts.

use std::{borrow::Cow, ops::Range};

use pulldown_cmark::{BlockQuoteKind, HeadingLevel, Tag, TagEnd};
use pulldown_cmark_escape::escape_html_body_text;

use super::{
    super::{
        links,
        source::restore,
        unit::{Kind, Part, Unit},
    },
    Open, Writer,
};

impl Writer<'_> {
    /// Writes text.
    pub(super) fn write_text(&mut self, text: &str) {
        self.open_paragraph_for_text();
        self.text.push_str(text);
    }

    /// Writes the start or end of an inline element. The description of an image has none.
    pub(super) fn write_inline(&mut self, html: &str) {
        if self.image.is_some() {
            return;
        }
        self.open_paragraph_for_text();
        self.flush();
        self.html.push_str(html);
    }

    /// Writes the start or end of a block element.
    pub(super) fn write_block(&mut self, html: &str) {
        self.flush();
        if let Some(Open::Item { paragraph }) = self.open.last_mut()
            && std::mem::take(paragraph)
        {
            self.html.push_str("</p>");
        }
        self.html.push_str(html);
    }

    /// Opens an implicit paragraph for text directly in a list item, so that items look the same in loose and tight lists.
    pub(super) fn open_paragraph(&mut self) {
        if let Some(Open::Item { paragraph }) = self.open.last_mut()
            && !std::mem::replace(paragraph, true)
        {
            self.flush();
            self.html.push_str("<p>");
        }
    }

    /// Opens an implicit paragraph if needed, and records that the item has a paragraph.
    pub(super) fn open_paragraph_for_text(&mut self) {
        self.open_paragraph();
        if let Some(Open::Item { .. }) = self.open.last() {
            self.record_paragraph();
        }
    }

    /// Starts a paragraph that the parser reports. In a list item, it makes the list loose.
    pub(super) fn start_paragraph(&mut self) {
        if let [.., Open::List { loose, .. }, Open::Item { .. }] = self.open.as_mut_slice() {
            *loose = true;
            self.record_paragraph();
            if let (2, Some(unit)) = (self.open.len(), self.units.last_mut()) {
                unit.loose = true;
            }
        }
    }

    fn record_paragraph(&mut self) {
        let part = self.units.last_mut().and_then(|unit| unit.parts.last_mut());
        if let (2, Some(part)) = (self.open.len(), part) {
            part.has_paragraph = true;
        }
    }

    /// Writes the collected text. The description of an image is collected up to its end.
    pub(super) fn flush(&mut self) {
        if self.text.is_empty() || self.image.is_some() {
            return;
        }
        let text = std::mem::take(&mut self.text);
        if self.in_code {
            self.write_escaped(&restore(&text));
        } else {
            self.write_marked(&text);
        }
        self.text = text;
        self.text.clear();
    }

    /// Writes text with its addresses as links.
    pub(super) fn write_plain(&mut self, text: &str) {
        let (text, mut from) = (restore(text), 0);
        if self.links.is_empty() {
            while let Some(found) = links::find_address(&text, from) {
                self.write_escaped(&text[from..found.range.start]);
                let shown = &text[found.range.clone()];
                let address: Cow<'_, str> =
                    if found.scheme.is_empty() { shown.into() } else { format!("{}{shown}", found.scheme).into() };
                self.open_link(&address);
                self.write_escaped(shown);
                self.html.push_str("</a>");
                from = found.range.end;
            }
        }
        self.write_escaped(&text[from..]);
    }

    /// Writes a text with markup characters escaped.
    pub(super) fn write_escaped(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = escape_html_body_text(&mut self.html, text);
    }

    pub(super) fn begin_unit(&mut self, kind: Kind, range: &Range<usize>) {
        if self.open.is_empty() {
            let range = self.source.original(range.start)..self.source.original(range.end);
            self.units.push(Unit { kind, range: range.clone(), ..Unit::default() });
            self.labels.borrow_mut().clear();
            if kind == Kind::Whole {
                self.push_part(range);
            }
        }
    }

    pub(super) fn end_unit(&mut self) {
        if self.open.is_empty() && self.units.last().is_some_and(|unit| unit.kind == Kind::Whole) {
            self.end_part(0);
        }
    }

    pub(super) fn begin_part(&mut self, range: &Range<usize>) {
        if self.open.len() == 1 {
            self.push_part(self.source.original(range.start)..self.source.original(range.end));
        }
    }

    fn push_part(&mut self, range: Range<usize>) {
        if let Some(unit) = self.units.last_mut() {
            unit.parts.push(Part { range, ..Part::default() });
        }
    }

    /// Ends the current part, if its element is at this depth.
    pub(super) fn end_part(&mut self, depth: usize) {
        if let (true, Some(part)) =
            (self.open.len() == depth, self.units.last_mut().and_then(|unit| unit.parts.last_mut()))
        {
            part.html = std::mem::take(&mut self.html);
            part.labels = std::mem::take(&mut *self.labels.borrow_mut());
        }
    }
}

pub(super) fn is_inline(tag: &Tag<'_>) -> bool {
    matches!(
        tag,
        Tag::Emphasis | Tag::Strong | Tag::Strikethrough | Tag::Subscript | Tag::Link { .. } | Tag::Image { .. }
    )
}

/// The class and the title of an alert.
pub(super) fn alert_title(kind: BlockQuoteKind) -> (&'static str, &'static str) {
    match kind {
        BlockQuoteKind::Note => ("note", "Note"),
        BlockQuoteKind::Tip => ("tip", "Tip"),
        BlockQuoteKind::Important => ("important", "Important"),
        BlockQuoteKind::Warning => ("warning", "Warning"),
        BlockQuoteKind::Caution => ("caution", "Caution"),
    }
}

/// The element for a block without attributes.
pub(super) fn element_name(tag: &TagEnd) -> &'static str {
    match tag {
        // The page itself uses h1 and h2.
        TagEnd::Heading(HeadingLevel::H1) => "h3",
        TagEnd::Heading(HeadingLevel::H2) => "h4",
        TagEnd::Heading(HeadingLevel::H3) => "h5",
        TagEnd::Heading(_) => "h6",
        TagEnd::BlockQuote(_) => "blockquote",
        _ => "p",
    }
}

/// Whether raw HTML is a line break, the only element allowed as raw HTML.
pub(super) fn is_line_break(html: &str) -> bool {
    let name = html.trim().strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    name.is_some_and(|name| name.trim_end_matches(['/', ' ']).eq_ignore_ascii_case("br"))
}

/// Whether links may lead to an address.
pub(super) fn is_allowed(address: &str) -> bool {
    let scheme = address.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https" | "mailto"))
}
