//! Writes the parser's events as safe HTML, split into [`Unit`]s and their [`Part`](super::unit::Part)s.

mod code;
mod image;
mod marks;
mod output;
mod table;

use std::{cell::RefCell, fmt::Write, ops::Range};

use pulldown_cmark::{Alignment, BrokenLink, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};
use pulldown_cmark_escape::escape_href;

pub(super) use self::code::CODE_HEAD;
use self::{
    image::OpenImage,
    output::{alert_title, element_name, is_allowed, is_inline, is_line_break},
    table::TABLE_HEAD,
};
use super::{
    source::{Source, restore, restore_address},
    unit::{CODE_END, Kind, Unit},
};

/// How deeply elements nest. The text of deeper elements is written into the deepest one that is allowed.
const MAX_DEPTH: usize = 48;

/// A link definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) label: String,
    pub(super) address: String,
    /// Its byte offset in the original text.
    pub(super) start: usize,
}

/// Normalises a label: labels match regardless of case and white space. Uppercase alone would keep `ẞ` apart from `ß`, whose
/// uppercase is `SS`.
pub(super) fn normalised(label: &str) -> String {
    let words: Vec<_> = restore(label).split_whitespace().map(|word| word.to_lowercase().to_uppercase()).collect();
    words.join(" ")
}

/// Parses a text into its units and link definitions. `outer_address` returns the address of a label that is defined outside
/// this text; it takes precedence over definitions in the text.
pub(super) fn parse_units(
    source: &Source,
    outer_address: impl Fn(&str) -> Option<String>,
) -> (Vec<Unit>, Vec<Definition>) {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        // Without this, a single tilde would strike through like two.
        | Options::ENABLE_SUBSCRIPT
        | Options::ENABLE_TASKLISTS
        // Alerts: `> [!NOTE]`.
        | Options::ENABLE_GFM
        | Options::ENABLE_MATH;
    let labels = RefCell::new(Vec::new());
    let resolve = |link: BrokenLink<'_>| {
        let label = normalised(&link.reference);
        let address = outer_address(&label);
        labels.borrow_mut().push(label);
        address.map(|address| (CowStr::from(address), CowStr::Borrowed("")))
    };
    let parser = Parser::new_with_broken_link_callback(source.text(), options, Some(resolve));
    let mut definitions: Vec<_> = parser
        .reference_definitions()
        .iter()
        .map(|(label, definition)| Definition {
            label: normalised(label),
            address: definition.dest.to_string(),
            start: source.original(definition.span.start),
        })
        .collect();
    definitions.sort_by_key(|definition| definition.start);
    let mut writer = Writer::new(source, &labels, &outer_address);
    for (event, range) in parser.into_offset_iter() {
        writer.write_event(event, range);
    }
    (writer.units, definitions)
}

/// An open element.
enum Open {
    /// A list: where its `class` attribute would be inserted into the HTML, and whether it is loose.
    List {
        class: usize,
        loose: bool,
    },
    /// A list item: whether an implicit paragraph, for which the parser emits no event, is open in it.
    Item {
        paragraph: bool,
    },
    Other,
}

struct Writer<'a> {
    source: &'a Source,
    /// The labels that the current unit or part refers to.
    labels: &'a RefCell<Vec<String>>,
    /// Returns the address of a label that is defined outside the text.
    outer_address: &'a dyn Fn(&str) -> Option<String>,
    units: Vec<Unit>,
    /// The HTML of the current part.
    html: String,
    /// Text that is not written yet. Addresses are found in it once it is complete.
    text: String,
    open: Vec<Open>,
    /// The number of open elements that are too deep to be written.
    too_deep: usize,
    /// Whether a code block is open.
    in_code: bool,
    /// Which of the open links are shown as links.
    links: Vec<bool>,
    /// The outermost open image: its text is its description.
    image: Option<OpenImage>,
    /// The alignment of the open table's columns.
    columns: Vec<Alignment>,
    /// The index of the current cell in its row.
    cell: usize,
    /// Whether the current row is the table's head.
    in_head: bool,
    /// The number of cells that the current row lacks at its end.
    missing: usize,
}

impl<'a> Writer<'a> {
    fn new(
        source: &'a Source,
        labels: &'a RefCell<Vec<String>>,
        outer_address: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            source,
            labels,
            outer_address,
            units: Vec::new(),
            html: String::new(),
            text: String::new(),
            open: Vec::new(),
            too_deep: 0,
            in_code: false,
            links: Vec::new(),
            image: None,
            columns: Vec::new(),
            cell: 0,
            in_head: false,
            missing: 0,
        }
    }

    fn write_event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag, range),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.in_code && self.open.len() == 1 => self.append_code(&text, &range),
            Event::Text(text) => self.write_text(&text),
            Event::InlineMath(text) => self.write_math(&format!("${text}$"), false),
            Event::DisplayMath(text) => self.write_math(&format!("$${text}$$"), true),
            Event::Code(code) if self.image.is_some() => self.write_text(&code),
            Event::Code(code) => {
                self.write_inline("<code dir=\"ltr\">");
                self.write_escaped(&restore(&code));
                self.html.push_str("</code>");
            }
            Event::Html(html) | Event::InlineHtml(html) if is_line_break(&html) => self.write_inline("<br>"),
            Event::Html(html) | Event::InlineHtml(html) => self.write_text(&html),
            Event::SoftBreak => self.write_text("\n"),
            Event::HardBreak => self.write_inline("<br>\n"),
            Event::Rule => {
                self.begin_unit(Kind::Whole, &range);
                self.write_block("<hr>");
                self.end_unit();
            }
            Event::TaskListMarker(done) => {
                self.open_paragraph();
                self.text.push_str(if done { "☑ " } else { "☐ " });
            }
            Event::FootnoteReference(label) => self.write_text(&label),
        }
    }

    fn start(&mut self, tag: Tag<'_>, range: Range<usize>) {
        // Lists and tables need room for their items and cells, so they are written completely or not at all.
        let room = if matches!(tag, Tag::List(_) | Tag::Table(_)) { MAX_DEPTH - 4 } else { MAX_DEPTH };
        if self.too_deep > 0 || self.open.len() >= room {
            self.too_deep += 1;
            self.text.push_str(if is_inline(&tag) { "" } else { "\n" });
            return;
        }
        // The first letter of a unit decides the direction of all its text.
        let dir = if self.open.is_empty() { " dir=\"auto\"" } else { "" };
        let mut open = Open::Other;
        match tag {
            Tag::List(number) => open = self.start_list(number, &range, dir),
            Tag::Item => {
                self.begin_part(&range);
                self.write_block("<li>");
                open = Open::Item { paragraph: false };
            }
            Tag::Table(columns) => {
                self.begin_unit(Kind::Table, &range);
                self.columns = columns;
                self.write_block(TABLE_HEAD);
                self.html.push_str(dir);
                self.html.push('>');
            }
            Tag::TableHead => {
                (self.in_head, self.cell) = (true, 0);
                self.write_block("<thead><tr>");
            }
            Tag::TableRow => {
                (self.cell, self.missing) = (0, 0);
                self.begin_part(&range);
                self.write_block("<tr>");
            }
            Tag::TableCell => self.start_cell(&range),
            Tag::CodeBlock(kind) => self.start_code(&kind, &range),
            Tag::Link { link_type, dest_url, id, .. } => self.start_link(link_type, &dest_url, &id),
            Tag::Image { link_type, dest_url, id, .. } => self.start_image(link_type, &dest_url, &id),
            Tag::Emphasis => self.write_inline("<em>"),
            Tag::Strong => self.write_inline("<strong>"),
            Tag::Strikethrough => self.write_inline("<del>"),
            Tag::Subscript => self.write_text("~"),
            Tag::BlockQuote(Some(kind)) => {
                self.begin_unit(Kind::Whole, &range);
                let (class, title) = alert_title(kind);
                // With a direction of its own, the title does not decide that of the text.
                self.write_block(&format!(
                    "<blockquote class=\"alert {class}\"{dir}><p class=\"alert-title\" dir=\"ltr\">{title}</p>"
                ));
            }
            tag => {
                self.begin_unit(Kind::Whole, &range);
                self.write_block(&format!("<{}{dir}>", element_name(&tag.to_end())));
                if matches!(tag, Tag::Paragraph) {
                    self.start_paragraph();
                }
            }
        }
        self.open.push(open);
    }

    fn start_list(&mut self, number: Option<u64>, range: &Range<usize>, dir: &str) -> Open {
        let at_top = self.open.is_empty();
        self.begin_unit(Kind::List { ordered: number.is_some() }, range);
        let mut html = format!("<{}{dir}", if number.is_some() { "ol" } else { "ul" });
        if let Some(number) = number.filter(|number| *number != 1) {
            let _ = write!(html, " start=\"{number}\"");
        }
        self.write_block(&html);
        let open = Open::List { class: self.html.len(), loose: false };
        match self.units.last_mut().filter(|_| at_top) {
            Some(unit) => unit.head = std::mem::take(&mut self.html),
            None => self.html.push('>'),
        }
        open
    }

    fn end(&mut self, tag: TagEnd) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        let open = self.open.pop();
        match (tag, open) {
            (TagEnd::List(ordered), Some(Open::List { class, loose })) => self.end_list(ordered, class, loose),
            (TagEnd::Item, open) => {
                self.flush();
                let paragraph = matches!(open, Some(Open::Item { paragraph: true }));
                self.html.push_str(if paragraph { "</p></li>" } else { "</li>" });
                self.end_part(1);
            }
            (tag @ (TagEnd::Table | TagEnd::TableHead | TagEnd::TableRow | TagEnd::TableCell), _) => {
                self.end_table(tag)
            }
            (TagEnd::CodeBlock, _) => {
                self.flush();
                self.in_code = false;
                if !self.open.is_empty() || self.units.last().is_some_and(|unit| unit.kind != Kind::Code) {
                    self.html.push_str(CODE_END);
                }
            }
            (TagEnd::Link, _) => {
                self.flush();
                if self.links.pop().unwrap_or(false) {
                    self.html.push_str("</a>");
                }
            }
            (TagEnd::Image, _) => self.end_image(),
            (TagEnd::Emphasis, _) => self.write_inline("</em>"),
            (TagEnd::Strong, _) => self.write_inline("</strong>"),
            (TagEnd::Strikethrough, _) => self.write_inline("</del>"),
            (TagEnd::Subscript, _) => self.write_text("~"),
            (tag, _) => {
                self.write_block("");
                let _ = write!(self.html, "</{}>", element_name(&tag));
            }
        }
        self.end_unit();
    }

    fn end_list(&mut self, ordered: bool, class: usize, loose: bool) {
        if self.open.is_empty() {
            return;
        }
        self.flush();
        self.html.push_str(if ordered { "</ol>" } else { "</ul>" });
        if !loose {
            self.html.insert_str(class, " class=\"tight\"");
        }
    }

    fn start_link(&mut self, link_type: LinkType, address: &str, id: &str) {
        let address = self.resolved_address(link_type, address, id);
        let shown = is_allowed(&address) && !self.links.contains(&true) && self.image.is_none();
        self.write_inline("");
        if shown {
            self.open_link(&address);
        }
        self.links.push(shown);
    }

    /// The address of a link or image, whose label is recorded.
    fn resolved_address(&self, link_type: LinkType, address: &str, id: &str) -> String {
        let outer = self.record_label(link_type, id).and_then(|label| (self.outer_address)(&label));
        let address = restore_address(outer.as_deref().unwrap_or(address));
        // For `<ada@example.org>` the parser returns the address without `mailto:`.
        if link_type == LinkType::Email { format!("mailto:{address}") } else { address.into_owned() }
    }

    /// Records the label that a link refers to, and returns it.
    fn record_label(&self, link_type: LinkType, id: &str) -> Option<String> {
        let is_reference = matches!(link_type, LinkType::Reference | LinkType::Collapsed | LinkType::Shortcut);
        is_reference.then(|| {
            let label = normalised(id);
            self.labels.borrow_mut().push(label.clone());
            label
        })
    }

    fn open_link(&mut self, address: &str) {
        self.open_link_with("", address);
    }

    /// Opens a link with these attributes.
    fn open_link_with(&mut self, attributes: &str, address: &str) {
        let _ = write!(self.html, "<a{attributes} rel=\"noopener noreferrer nofollow\" target=\"_blank\" href=\"");
        // Writing to a String cannot fail.
        let _ = escape_href(&mut self.html, address);
        self.html.push_str("\">");
    }
}
